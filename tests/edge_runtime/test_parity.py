"""The same numbers on an emulated Arm device as here: both engines, fp32 and int8, within the device's memory."""

import os

import numpy as np
import pytest

from benchmarks import parity
from compress import quantize
from converter.optimize import optimize
from edge_runtime import Target, emulator
from tests.models import CNN, LINEAR, build, cnn, images


@pytest.mark.slow
@pytest.mark.skipif(
    not emulator.available() and "CI" not in os.environ, reason=f"not here: {emulator.missing()}"
)
@pytest.mark.parametrize("name", ["rpi-zero2", "rpi5"])
def test_an_arm_device_gives_the_same(name):
    target = Target.load(name)
    model = optimize(cnn())
    forms = {"fp32": model, "int8": quantize(model, images(32, 7), activation=target.activation)}
    found = list(parity.compared("cnn", forms, images(3), target))
    assert len(found) == 4
    for case in found:
        assert case.value is not None, case.note
        assert case.value <= case.goal, f"{case.case}: {case.value} {case.unit}"


def test_a_step_is_by_how_much_the_output_moves():
    model = optimize(build(CNN))
    quantised = quantize(model, images(32, 7))
    step = parity.step(quantised)
    assert step.shape == (4,)
    assert (step > 0).all()
    with pytest.raises((ValueError, KeyError)):
        parity.step(build(LINEAR))
    assert np.isfinite(step).all()
