"""onnxruntime's own static quantisation in its sensible settings, for comparison: no benchmark by itself."""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from converter.model import save
from edge_runtime.tensors import Array

_CHUNK = (
    20  # samples whose activations the histogram calibrators hold at once: they fill the memory otherwise
)


class _Reader:
    """What `quantize_static` reads its calibration data from."""

    def __init__(self, name: str, samples: Array) -> None:
        self._name, self._samples, self._next = name, samples, 0

    def get_next(self) -> dict[str, Array] | None:
        if self._next >= len(self._samples):
            return None
        self._next += 1
        return {self._name: self._samples[self._next - 1 : self._next]}

    def __iter__(self) -> "_Reader":
        return self

    def __next__(self) -> dict[str, Array]:
        batch = self.get_next()
        if batch is None:
            raise StopIteration
        return batch


def settings() -> dict[str, dict[str, Any]]:
    """The settings by name: types of activations and calibrators, with weights int8 per channel."""
    from onnxruntime.quantization import CalibrationMethod, QuantType

    average = {"CalibMovingAverage": True, "CalibMovingAverageConstant": 0.01}
    found: dict[str, dict[str, Any]] = {}
    for short, kind in (("u8s8", QuantType.QUInt8), ("s8s8", QuantType.QInt8)):
        for name, method, extra in (
            ("minmax", CalibrationMethod.MinMax, {}),
            ("moving average", CalibrationMethod.MinMax, average),
            ("entropy", CalibrationMethod.Entropy, {"CalibMaxIntermediateOutputs": _CHUNK}),
            ("percentile", CalibrationMethod.Percentile, {"CalibMaxIntermediateOutputs": _CHUNK}),
        ):
            found[f"{short} {name}"] = {
                "activation_type": kind,
                "calibrate_method": method,
                "extra_options": extra,
            }
    found["s8s8 minmax, symmetric activations"] = {
        "activation_type": QuantType.QInt8,
        "calibrate_method": CalibrationMethod.MinMax,
        "extra_options": {"ActivationSymmetric": True},
    }
    return found


def quantized(model: onnx.ModelProto, samples: Array) -> Iterator[tuple[str, onnx.ModelProto | str]]:
    """The model by each setting, calibrated on the samples; or why a setting failed."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    name = model.graph.input[0].name
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
        save(model, source)
        for label, setting in settings().items():
            try:
                with contextlib.redirect_stdout(io.StringIO()):  # the calibrators print
                    quantize_static(
                        str(source),
                        str(target),
                        _Reader(name, samples),
                        quant_format=QuantFormat.QDQ,
                        per_channel=True,
                        weight_type=QuantType.QInt8,
                        **setting,
                    )
                yield label, onnx.load(str(target))
            except (ValueError, RuntimeError, AssertionError, MemoryError) as error:
                yield label, f"{type(error).__name__}: {error}"
