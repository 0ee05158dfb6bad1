"""Arrays that are read and written where they are: DLPack, bindings, and shared memory between processes."""

import subprocess
import sys

import numpy as np
import pytest

from converter.lowering import lower
from converter.optimize import optimize
from edge_runtime import Session
from edge_runtime.binding import Binding
from edge_runtime.errors import InputError
from edge_runtime.shared_arrays import SharedArrays
from edge_runtime.tensors import TensorSpec
from tests.models import LINEAR, build, cnn, images


@pytest.fixture(scope="module", params=["onnxruntime", "litert"])
def session(request):
    model = optimize(cnn())
    if request.param == "litert":
        pytest.importorskip("ai_edge_litert")
        return Session(lower(model), engine="litert", threads=1)
    return Session(model.SerializeToString(), threads=1)


class Elsewhere:
    """An array of another library: it speaks DLPack, and nothing else."""

    def __init__(self, array, far=False):
        self.array, self.far = array, far
        self.shape, self.dtype = array.shape, array.dtype

    def __dlpack__(self, **options):
        if self.far:
            raise BufferError("the memory of a graphics card")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return (1, 0)


def test_arrays_of_other_libraries_are_read_where_they_are(session):
    x = images(2)
    wanted = session.run({"images": x})["logits"]
    np.testing.assert_array_equal(session.run({"images": Elsewhere(x)})["logits"], wanted)
    torch = pytest.importorskip("torch")
    for _ in range(2):
        np.testing.assert_array_equal(session.run({"images": torch.from_numpy(x)})["logits"], wanted)
    np.testing.assert_array_equal(torch.from_dlpack(session.run({"images": x})["logits"]).numpy(), wanted)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [([[1.0]], "speaks DLPack, got list"), (Elsewhere(images(1), far=True), "cannot be read where it is")],
)
def test_what_is_no_array_or_on_another_device_is_refused(value, sentence):
    with pytest.raises(InputError, match=sentence):
        Session(cnn().SerializeToString(), threads=1).run({"images": value})


def test_a_binding_reads_and_writes_the_same_arrays_each_time(session):
    bound = session.bind(lengths={"n": 2, "d0": 2})
    x, y = bound.inputs["images"], bound.outputs["logits"]
    for seed in (1, 2):
        x[:] = images(2, seed)
        bound()
        np.testing.assert_allclose(y, session.run({"images": images(2, seed)})["logits"], rtol=1e-6)


def test_a_binding_writes_into_what_it_is_given():
    session = Session(build(LINEAR).SerializeToString(), threads=1)
    x, y = np.ones((3, 4), np.float32), np.zeros((3, 3), np.float32)
    bound = session.bind({"x": x}, {"y": y})
    assert bound.outputs["y"] is y
    bound()
    np.testing.assert_allclose(y, session.run({"x": x})["y"])


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        ({"x": np.ones((3, 4))}, {}, "expected float32"),
        ({"x": np.ones((3, 8), np.float32)[:, ::2]}, {}, "not contiguous"),
        ({"x": np.ones((3, 4), np.float32)}, {"y": np.ones((2, 3), np.float32)}, "axis 'n' has length 2"),
        ({"z": np.ones(1)}, {}, "no such input or output"),
    ],
)
def test_what_cannot_be_bound_is_named(inputs, outputs, sentence):
    with pytest.raises(InputError, match=sentence):
        Session(build(LINEAR).SerializeToString(), threads=1).bind(inputs, outputs)


def test_a_length_that_only_the_output_has_must_be_given():
    spec = TensorSpec("y", "float32", ("m",))
    with pytest.raises(InputError, match="'m' does not follow"):
        Binding.made((), (spec,), {}, {})
    assert Binding.made((), (spec,), {}, {"m": 5}).outputs["y"].shape == (5,)
    with pytest.raises(InputError, match=r"Session\.bind"):
        Binding.made((), (), {}, {})()


SPECS = [TensorSpec("x", "float32", (3, 4)), TensorSpec("y", "float32", (3, 3))]
CHILD = """
import sys
from edge_runtime.shared_arrays import SharedArrays
from edge_runtime.tensors import TensorSpec
from tests.edge_runtime.test_binding import SPECS
with SharedArrays(SPECS, sys.argv[1]) as seen:
    seen["x"][:] = 2
    print(float(seen["y"].sum()))
"""


def test_another_process_writes_what_the_model_reads():
    session = Session(build(LINEAR).SerializeToString(), threads=1)
    with SharedArrays(SPECS) as shared:
        bound = session.bind({"x": shared["x"]}, {"y": shared["y"]})
        shared["x"][:] = 1
        bound()
        command = [sys.executable, "-c", CHILD, shared.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert float(done.stdout) == pytest.approx(float(shared["y"].sum()))
        assert done.stderr == ""
        bound()
        twice = session.run({"x": np.full((3, 4), 2, np.float32)})["y"]
        np.testing.assert_allclose(shared["y"], twice)
        name = shared.name
        del bound
    with pytest.raises(InputError, match="No such file"):
        SharedArrays(SPECS, name)


def test_shared_memory_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="axis that varies"):
        SharedArrays([TensorSpec("x", "float32", ("n", 4))])
    with SharedArrays(SPECS[:1]) as small, pytest.raises(InputError, match="these arrays need"):
        SharedArrays([TensorSpec("x", "float64", (3000, 4))], small.name)
