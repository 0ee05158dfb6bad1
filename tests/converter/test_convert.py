"""From PyTorch to ONNX: equal outputs, any batch, and the door for what is not a model."""

import numpy as np
import pytest
import torch
from torch import nn

from converter import convert
from converter.model import to_bytes
from edge_runtime import ModelError, Session
from edge_runtime.__main__ import main
from tests import assets
from tests.models import cnn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(), nn.MaxPool2d(2)
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    network = Net()
    network(torch.randn(16, 3, 8, 8))  # gives the normalisation statistics that are not trivial
    return network.eval()


@pytest.fixture(scope="module")
def converted(net):
    return convert(net, example=(torch.zeros(1, 3, 8, 8),), input_names=["images"], output_names=["logits"])


@pytest.mark.parametrize("batch", [1, 5])
def test_outputs_are_those_of_the_source(net, converted, batch):
    x = torch.randn(batch, 3, 8, 8)
    got = Session(to_bytes(converted)).run({"images": x.numpy()})["logits"]
    np.testing.assert_allclose(got, net(x).detach().numpy(), atol=1e-5)


def test_batch_normalisation_and_mean_are_gone(converted):
    ops = {node.op_type for node in converted.graph.node}
    assert "BatchNormalization" not in ops
    assert "GlobalAveragePool" in ops


def test_the_measured_difference_is_recorded_and_no_machine(converted):
    (record,) = [p for p in converted.metadata_props if p.key == "littoral.max_abs_difference"]
    assert float(record.value) < 1e-4
    assert b".py" not in to_bytes(converted)


def test_the_same_source_gives_the_same_bytes(net, converted):
    again = convert(net, example=(torch.zeros(1, 3, 8, 8),), input_names=["images"], output_names=["logits"])
    assert to_bytes(again) == to_bytes(converted)


def test_an_exported_program_from_the_command_line(net, tmp_path, capsys):
    program = torch.export.export(net, (torch.zeros(2, 3, 8, 8),))
    torch.export.save(program, tmp_path / "net.pt2")
    assert main(["convert", str(tmp_path / "net.pt2"), "-o", str(tmp_path / "net.onnx"), "--json"]) == 0
    x = torch.randn(2, 3, 8, 8)
    (got,) = (
        Session(tmp_path / "net.onnx")
        .run({Session(tmp_path / "net.onnx").inputs[0].name: x.numpy()})
        .values()
    )
    np.testing.assert_allclose(got, net(x).detach().numpy(), atol=1e-5)
    assert '"bytes"' in capsys.readouterr().out


def test_a_callable_from_the_command_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "mymodel.py").write_text("from torch import nn\ndef make():\n    return nn.Linear(4, 2)\n")
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "mymodel:make", "--input", "float32[1,4]", "-o", "m.onnx"]) == 0
    assert Session("m.onnx").inputs[0].shape[1] == 4
    assert main(["convert", "mymodel:make", "--input", "float32(1,4)", "-o", "m.onnx"]) == 2
    assert main(["convert", "mymodel:make", "-o", "m.onnx"]) == 2
    assert "--input" in capsys.readouterr().err


def test_onnx_goes_through_and_is_not_changed():
    source = cnn()
    before = to_bytes(source)
    assert "BatchNormalization" not in {node.op_type for node in convert(source).graph.node}
    assert to_bytes(source) == before


def test_other_things_are_refused():
    with pytest.raises(ModelError, match="dict is not a model"):
        convert({})


def test_efficientnet_lite0_converts_within_the_tolerance():
    assets.locate("efficientnet-lite0")
    from examples.efficientnet_lite0 import model

    network, example = model()
    converted = convert(network, example=example)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 224, 224)).astype(np.float32))
    session = Session(to_bytes(converted))
    got = session.run({session.inputs[0].name: x.numpy()})[session.outputs[0].name]
    with torch.no_grad():
        np.testing.assert_allclose(got, network(x).numpy(), atol=1e-4)


def test_a_trainable_model_keeps_its_layers_and_its_equal_weights_apart():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
    ).eval()
    made = convert(network, example=(torch.zeros(1, 3, 8, 8),), trainable=True)
    names = {tensor.name for tensor in made.graph.initializer}
    assert {"1.weight", "4.weight", "1.running_mean", "4.running_mean"} <= names
    ops = [node.op_type for node in made.graph.node]
    assert ops == ["Conv", "BatchNormalization", "Relu", "Conv", "BatchNormalization"]
