"""Whole networks against torch's autograd: every gradient, and the weights and statistics after a step.

The truth is torch in float64; ours runs in float32 on onnxruntime. An activation that lies within rounding of a
kink (of ReLU, or of two maxima) may go either way, and moves the gradients of a deep network by 1e-3 at once, in
torch's float32 as well. So the comparison is made on the sample, of some that are drawn, that stays furthest from
every kink; torch's forward passes alone decide which one that is.
"""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from converter import convert
from converter.autodiff import gradient_graph, weight_names
from converter.autodiff.canonical import canonical
from converter.differentiate import differentiate
from tests import assets, networks
from tests.converter.test_differentiate import table, train, weights

Arrays = dict[str, np.ndarray]
LR = 0.05
TOLERANCE = 1e-4
DRAWN = 40
KINKS: dict[str, tuple[float, ...]] = {
    "relu": (0,), "leaky_relu": (0,), "hardswish": (-3, 3), "hardsigmoid": (-3, 3), "elu": (0,),
    "hardtanh": (), "clamp": (),
}  # fmt: skip


def efficientnet_lite0() -> networks.Network:
    """The real one, on smaller pictures, and without what it drops at random."""
    assets.find("efficientnet-lite0")
    from examples import efficientnet_lite0 as example

    network = example.model()[0]
    network._dropout.p = 0.0
    network._global_params = network._global_params._replace(drop_connect_rate=0.0)
    return network, (3, 64, 64)


FAST: dict[str, Callable[[], networks.Network]] = {
    "lenet": networks.lenet,
    "mlp": networks.mlp,
    "cnn": networks.cnn,
    "cnn1d": networks.cnn1d,
    "transformer": lambda: networks.transformer(32, 8),
    "vit": networks.vit,
    "bert": networks.bert,
    "unet": networks.unet,
    "lstm": networks.lstm,
    "gru": networks.gru,
}
SLOW: dict[str, Callable[[], networks.Network]] = {
    "resnet18": lambda: networks.resnet18(32, 16),
    "mobilenetv2": lambda: networks.mobilenetv2(0.25, 64),
    "mobilenetv3": networks.mobilenetv3,
    "efficientnet_lite0": efficientnet_lite0,
    "shufflenetv2": networks.shufflenetv2,
    "densenet": networks.densenet,
    "unet_bilinear": networks.unet_bilinear,
}


def sample(
    network: nn.Module, shape: tuple[int, ...], seed: int, n: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Data (tokens, where the network embeds them) and labels."""
    rng = np.random.default_rng(seed)
    tokens = any(isinstance(part, nn.Embedding) for part in network.modules())
    x = rng.integers(0, 100, (n, *shape)) if tokens else rng.standard_normal((n, *shape)).astype(np.float32)
    return x, rng.integers(0, 10, n)


def torch_step(network: nn.Module, x: np.ndarray, y: np.ndarray) -> tuple[Arrays, Arrays]:
    """The gradients of cross-entropy, and parameters and statistics after a step of plain SGD, in float64."""
    twin = copy.deepcopy(network).double().train()
    data = torch.tensor(x)
    F.cross_entropy(twin(data.double() if data.is_floating_point() else data), torch.tensor(y)).backward()
    gradients = {name: p.grad.numpy().copy() for name, p in twin.named_parameters() if p.grad is not None}
    torch.optim.SGD(twin.parameters(), LR).step()
    return gradients, {name: w.detach().numpy() for name, w in twin.state_dict().items()}


def known_as(model: onnx.ModelProto, network: nn.Module) -> dict[str, tuple[str, bool]]:
    """What torch calls each weight, and whether it lies transposed here; without the zeros that an exporter adds."""
    form = canonical(model)
    tensors = {t.name: t for t in form.graph.initializer}
    parameters = {name: p.detach().numpy() for name, p in network.named_parameters()}
    found = {}
    learned = weight_names(form.graph.node, tensors, onnx.TensorProto.FLOAT)
    for name in dict.fromkeys([*learned, *(name for name in parameters if name in tensors)]):
        array = onnx.numpy_helper.to_array(tensors[name])
        turned = (k for k, p in parameters.items() if p.shape == array.T.shape and np.array_equal(p, array.T))
        if name in parameters:
            found[name] = (name, False)
        elif array.any():
            found[name] = (next(turned, name), True)
    return found


def renamed(arrays: Arrays, names: dict[str, tuple[str, bool]]) -> Arrays:
    pairs = {name: names.get(name, (name, False)) for name in arrays}
    return {pairs[name][0]: array.T if pairs[name][1] else array for name, array in arrays.items()}


def our_gradients(
    model: onnx.ModelProto, names: dict[str, tuple[str, bool]], x: np.ndarray, y: np.ndarray
) -> Arrays:
    form, wanted = canonical(model), list(names)
    session = onnxruntime.InferenceSession(gradient_graph(form, wanted).SerializeToString())
    data, out = form.graph.input[0].name, form.graph.output[0].name
    classes = int(form.graph.output[0].type.tensor_type.shape.dim[1].dim_value)
    nothing = np.zeros((len(x), classes), np.float32)
    logits = session.run([out], {data: x, "cotangent": nothing})[0]
    p = torch.softmax(torch.tensor(logits).double(), 1).numpy()
    cotangent = ((p - np.eye(classes)[y]) / len(x)).astype(np.float32)
    found = session.run([f"d/{name}" for name in wanted], {data: x, "cotangent": cotangent})
    return renamed(dict(zip(wanted, found, strict=True)), names)


def our_step(
    model: onnx.ModelProto, names: dict[str, tuple[str, bool]], x: np.ndarray, y: np.ndarray
) -> Arrays:
    step = differentiate(model, trainable=list(names))
    kept = {name: w for name, w in weights(canonical(model)).items() if name in table(step)["parameters"]}
    return renamed(train(step, kept, [(x, y)], LR)[1], names)


def distances(got: Arrays, want: Arrays) -> Iterator[tuple[float, str]]:
    """How far each tensor is off, relative to its norm; what is zero but for rounding counts against all of them."""
    whole = float(np.sqrt(sum((want[name] ** 2).sum() for name in got)))
    for name, array in got.items():
        assert array.shape == want[name].shape, name
        own = float(np.linalg.norm(want[name]))
        yield float(np.linalg.norm(array - want[name])) / max(own, 1e-3 * whole), name


class Kinks(TorchDispatchMode):
    """What goes into each operator that has kinks, and how near it comes to one."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[tuple[torch.Tensor, float]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kind = func.overloadpacket.__name__.rstrip("_")
        if kind in KINKS:
            x = args[0]
            places = KINKS[kind] or [v for v in args[1:3] if v is not None]
            self.met.append((x.clone(), min(float((x - place).abs().min()) for place in places)))
        elif kind == "max_pool2d_with_indices":
            self.met.append((args[0].clone(), float(runner_up(*args[:4]))))
        return func(*args, **(kwargs or {}))


def runner_up(
    x: torch.Tensor, kernel: list[int], stride: list[int] | None = None, padding: list[int] | None = None
) -> torch.Tensor:
    """The least distance between the two largest of a window, where the largest is not one of many zeros of a ReLU."""
    sides = [side for p in reversed(padding or [0, 0]) for side in (p, p)]
    images = F.pad(x, sides, value=-1e30).flatten(0, 1)[:, None]
    windows = F.unfold(images, kernel, stride=stride or kernel)
    best = windows.topk(2, dim=1).values
    apart = (best[:, 0] - best[:, 1])[best[:, 0] != 0]
    return apart.min() if apart.numel() else torch.tensor(float("inf"))


def clearest(network: nn.Module, shape: tuple[int, ...]) -> int:
    """The seed of the sample that stays furthest from every kink: in errors that torch's float32 makes there."""
    single = copy.deepcopy(network).train()
    double = copy.deepcopy(network).double().train()

    def clearance(seed: int) -> float:
        x = torch.tensor(sample(network, shape, seed)[0])
        with torch.no_grad(), Kinks() as rough:
            single(x)
        with torch.no_grad(), Kinks() as exact:
            double(x.double() if x.is_floating_point() else x)
        pairs = zip(exact.met, rough.met, strict=True)
        return min((near / float((z - y).std() + 1e-30) for (z, near), (y, _) in pairs), default=float("inf"))

    return 0 if clearance(0) == float("inf") else max(range(DRAWN), key=clearance)


def check(make: Callable[[], networks.Network]) -> None:
    torch.manual_seed(0)
    network, shape = make()
    x, _ = sample(network, shape, 0, 2)
    model = convert(network, example=[x], trainable=True)
    names = known_as(model, network)
    x, y = sample(network, shape, clearest(network, shape))
    gradients, after = torch_step(network, x, y)
    ours = our_gradients(model, names, x, y)
    assert set(ours) == set(gradients)
    assert max(distances(ours, gradients)) < (TOLERANCE,)
    assert max(distances(our_step(model, names, x, y), after)) < (TOLERANCE,)


def test_kinks_are_seen() -> None:
    x = torch.tensor([[[[1.0, 2.0, 5.0, 5.5], [-1.0, 0.5, -3.0, 2.0]]]], dtype=torch.float64)
    for layer, near in ((nn.ReLU6(), 0.5), (nn.Hardswish(), 0.0), (nn.MaxPool2d(2), 0.5)):
        with Kinks() as found:
            layer(x)
        assert [distance for _, distance in found.met] == [near]
    with Kinks() as found:
        nn.SiLU()(x)
    assert not found.met


@pytest.mark.parametrize("name", FAST)
def test_gradients_are_as_in_torch(name: str) -> None:
    check(FAST[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_gradients_of_larger_networks_are_as_in_torch(name: str) -> None:
    check(SLOW[name])


def smooth(network: nn.Module) -> nn.Module:
    """The network without kinks: the error is then that of the arithmetic alone."""
    for name, part in network.named_children():
        if isinstance(part, nn.ReLU | nn.ReLU6):
            setattr(network, name, nn.SiLU())
        elif isinstance(part, nn.MaxPool2d):
            setattr(network, name, nn.AvgPool2d(part.kernel_size, part.stride, part.padding))
        else:
            smooth(part)
    return network


def off(got: Arrays, want: Arrays) -> float:
    """The distance of all gradients together."""
    return float(
        np.sqrt(sum(((got[n] - want[n]) ** 2).sum() for n in got) / sum((want[n] ** 2).sum() for n in got))
    )


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 5.0])
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "densenet"])
def test_batch_norm_is_as_accurate_as_in_torch(name: str, shift: float) -> None:
    """Against float64, no further off than twice what torch's float32 is; also where the mean is not near 0."""
    torch.manual_seed(0)
    network, shape = SLOW[name]()
    network = smooth(network)
    x, y = sample(network, shape, 0, 16)
    x += np.float32(shift)
    want, _ = torch_step(network, x, y)
    model = convert(network, example=[x[:2]], trainable=True)
    ours = our_gradients(model, known_as(model, network), x, y)
    F.cross_entropy(network.train()(torch.tensor(x)), torch.tensor(y)).backward()
    single = {name: p.grad.numpy() for name, p in network.named_parameters() if name in ours}
    assert off(ours, want) < 2 * off(single, want)
