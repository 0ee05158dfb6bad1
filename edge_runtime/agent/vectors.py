"""What a bundle carries for the device that it goes to: self-test vectors, and what drift is measured by."""

import json

import numpy as np

from edge_runtime.accelerators import selftest
from edge_runtime.agent import drift
from edge_runtime.data import feeds
from edge_runtime.errors import LittoralError
from edge_runtime.session import Session
from edge_runtime.tensors import Array

_MOST_BYTES = 64 << 10  # of the vectors' outputs, unless an accelerator needs them
_SAMPLES = 128


def files(session: Session, x: Array | None = None, *, needed: bool = False) -> dict[str, bytes]:
    """The files to pack beside a model.

    Args:
        session: the model as it is packed.
        x: samples as it takes them, such as the calibration data; None for no reference.
        needed: whether the self-test is packed however large its outputs are.

    Raises:
        LittoralError: the model does not run on the self-test's inputs, and that is needed.
    """
    found: dict[str, bytes] = {}
    try:
        test = selftest.made(session.inputs, session.run)
    except LittoralError:  # of an input whose lengths vary it may not take 1, such as one channel
        if needed:
            raise
    else:
        if needed or sum(each.nbytes for each in test.outputs.values()) <= _MOST_BYTES:
            found[selftest.FILE] = test.to_bytes()
    if x is not None and len(x):
        found[drift.FILE] = json.dumps(reference(session, x), separators=(",", ":")).encode()
    return found


def reference(session: Session, x: Array) -> drift.Reference:
    """What live data is compared with: the numbers of the first samples and of their answers."""
    numbers: dict[str, list[Array]] = {}
    for feed, count in feeds(x[:_SAMPLES], session.inputs, 0):
        for name, values in drift.features(feed, session.run(feed)).items():
            numbers.setdefault(name, []).append(values[:count] if count else values)
    return drift.reference({name: np.concatenate(values) for name, values in numbers.items()})
