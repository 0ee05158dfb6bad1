"""Guest instructions an inference on emulated Arm processors: EfficientNet-Lite0, int8 against fp32, exact."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from compress import quantize
from converter.convert import convert
from converter.model import save
from edge_runtime import Target, emulator
from examples import efficientnet_lite0 as example

GOALS = {"rpi5": 0.55}


def cases() -> Iterator[Case]:
    if not emulator.available():
        lacking = ", ".join(need.tool for need in emulator.missing())
        yield Case("int8 / fp32", None, "ratio", 0.55, "lower", 0, f"no emulator: {lacking} missing")
        return
    model = convert("examples.efficientnet_lite0:model")
    samples = example.calibration(60).x
    with tempfile.TemporaryDirectory() as folder:
        fp32 = save(model, Path(folder) / "fp32.onnx")
        int8 = {
            kind: save(quantize(model, samples, activation=kind), Path(folder) / f"{kind}.onnx")
            for kind in ("uint8", "int8")
        }
        for name in ("rpi3", "rpi4", "rpi5"):
            target = Target.load(name)
            before, unsigned, signed = emulator.count(target, [fp32, int8["uint8"], int8["int8"]])
            own = unsigned if target.activation == "uint8" else signed
            other = signed if target.activation == "uint8" else unsigned
            note = f"{own.instructions / 1e6:.1f} M against {before.instructions / 1e6:.1f} M"
            ratio = own.instructions / before.instructions
            yield Case(f"{name}: int8 / fp32", round(ratio, 4), "ratio", GOALS.get(name), "lower", 1, note)
            ratio = own.instructions / other.instructions
            what = f"{name}: the target's activation type / the other"
            yield Case(
                what, round(ratio, 4), "ratio", 1.0, "lower", 1, f"{target.activation} is the target's"
            )


if __name__ == "__main__":
    main(cases)
