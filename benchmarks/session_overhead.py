"""What `Session.run` costs over a bare `InferenceSession.run`, interleaved, medians."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from converter.convert import convert
from converter.model import to_bytes
from edge_runtime import profile
from edge_runtime.engines.onnx import open_session
from edge_runtime.session import Session

TINY = """
<ir_version: 10, opset_import: ["" : 21]>
tiny (float[n, 48] x) => (float[n, 48] y) <float[48, 48] w = {%s}> { h = MatMul(x, w)  y = Relu(h) }
"""


def tiny() -> bytes:
    """A model of about 10 kB: one product and a Relu."""
    values = np.random.default_rng(0).standard_normal(48 * 48).astype(np.float32)
    model = onnx.parser.parse_model(TINY % ", ".join(map(str, values)))
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values.reshape(48, 48), "w"))
    return to_bytes(model)


def cases() -> Iterator[Case]:
    models = {
        "efficientnet-lite0": (to_bytes(convert("examples.efficientnet_lite0:model")), 200),
        "tiny": (tiny(), 20_000),
    }
    for name, (model, rounds) in models.items():
        session = Session(model, threads=1)
        bare = open_session(model, where=name, threads=1)
        feed = profile.example(session.inputs)
        calls = [partial(session.run, feed), partial(bare.run, None, feed)]
        ours, theirs = profile.interleaved(calls, rounds, 20)
        note = f"{ours.median_ms * 1000:.1f} µs against {theirs.median_ms * 1000:.1f} µs, {len(model) / 1000:.0f} kB"
        goal = 1.03 if name == "efficientnet-lite0" else None
        yield Case(name, round(ours.median_ms / theirs.median_ms, 4), "ratio", goal, "lower", rounds, note)
        added = round((ours.median_ms - theirs.median_ms) * 1000, 3)
        yield Case(f"{name}, added", added, "µs", 10 if name == "tiny" else None, "lower", rounds, note)


if __name__ == "__main__":
    main(cases)
