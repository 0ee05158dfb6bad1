"""The main job, end to end, on real weights and pictures; every figure on its page is measured in the same run.

    python examples/demo.py out/demo

EfficientNet-Lite0 (ImageNet) goes from PyTorch to ONNX, is compressed for a Raspberry Pi 4, and looks at 20 labelled
photographs on an emulated one. Then five devices learn real digits together, none of them showing its own.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from compress import Compressed, compress
from compress.report import report
from compress.report.page import Page
from converter.convert import convert
from converter.model import save
from converter.trainable import pack_trainable
from edge_runtime import Samples, Trainer, emulator
from edge_runtime.console import say, table
from edge_runtime.errors import LittoralError
from edge_runtime.tensors import Array
from examples import digits, efficientnet_lite0
from federated import History, Settings, federate

TARGET = "rpi4"


@dataclass(frozen=True, slots=True)
class OnDevice:
    """Classes that the original and the compressed model gave on the emulated device: int64[n] each."""

    original: Array
    compressed: Array
    seconds: float


def main(out: Path) -> None:
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    photographs = efficientnet_lite0.photographs()
    made = compress_for_the_pi(out, photographs)
    seen = look_on_the_pi(out, photographs)
    history = learn_together(out)
    central = learn_in_one_place(out, history)
    rows = summary(made, seen, photographs, history, central)
    write_page(out / "index.html", rows, made, seen, photographs, history)
    print(table(["", "original", "compressed", "ratio"], rows))
    print(f"\n{out / 'index.html'} shows all of it. {time.monotonic() - began:.0f} s")


def compress_for_the_pi(out: Path, photographs: Samples) -> Compressed:
    """From PyTorch to a bundle for the target."""
    say("1/4  convert EfficientNet-Lite0 from PyTorch")
    model = convert("examples.efficientnet_lite0:model", input_names=["images"], output_names=["logits"])
    save(model, out / "efficientnet-lite0.onnx")
    say(f"2/4  compress it for {TARGET}, calibrated on other photographs")
    return compress(
        model,
        efficientnet_lite0.calibration(),
        out / "efficientnet-lite0.bundle",
        target=TARGET,
        test=photographs,
        preprocess=efficientnet_lite0.PREPROCESS,
    )


def look_on_the_pi(out: Path, photographs: Samples) -> OnDevice | None:
    """Run both models over the photographs on the emulated device, each on a core of this machine."""
    if not emulator.available():
        say(f"3/4  no emulator here, so nothing runs on {TARGET}: 'littoral doctor' says what to install")
        return None
    say(f"3/4  run both on the emulated {TARGET}, over {len(photographs)} photographs")
    began = time.monotonic()
    with (out / "photographs.npz").open("wb") as stream:
        np.savez(stream, x=photographs.x, y=np.asarray(photographs.y))

    def run(name: str) -> Array:
        answers = out / f"{name}.npz"
        command = ["run", str(out / name), "--input", str(out / "photographs.npz"), "--output", str(answers)]
        done = emulator.run(TARGET, [*command, "--threads", "1", "--json"], capture=True)
        if done.returncode:
            raise LittoralError(f"{name} on {TARGET}: {done.stderr.strip().splitlines()[-1]}")
        with np.load(answers) as outputs:
            logits: Array = outputs["logits"]
        return logits

    with ThreadPoolExecutor(2) as pool:
        both = pool.map(run, ["efficientnet-lite0.onnx", "efficientnet-lite0.bundle"])
        original, compressed = (logits.argmax(axis=1) for logits in both)
    seconds = time.monotonic() - began
    say(f"     {seconds:.0f} s; the emulator is exact, not fast")
    return OnDevice(original, compressed, seconds)


def learn_together(out: Path) -> History:
    """Federated averaging of a digit model over five devices whose digits differ."""
    say("4/4  five devices learn digits together")
    train, test = digits.load()
    model = convert("examples.digits:model", input_names=["images"], output_names=["logits"], trainable=True)
    bundle = pack_trainable(model, out / "digits.bundle", name="digits", target=TARGET)
    settings = Settings(rounds=20, clients=5, epochs=1, lr=0.1, alpha=0.5)
    return federate(bundle, train, settings, test=test, out=out / "federated", restart=True)


def learn_in_one_place(out: Path, history: History) -> float:
    """Accuracy of the same model when all digits are in one place, after as many epochs."""
    train, test = digits.load()
    trainer = Trainer(out / "digits.bundle", threads=1)
    trainer.fit(train, epochs=len(history.rounds), batch_size=32, lr=0.1)
    return float(trainer.evaluate(test)["accuracy"])


def summary(
    made: Compressed, seen: OnDevice | None, photographs: Samples, history: History, central: float
) -> list[tuple[str, str, str, str]]:
    """The table: what compression gave, what the device saw, what the devices learned."""
    rows = report.rows(made)
    if seen is not None and photographs.y is not None:
        right = [float((answer == photographs.y).mean()) for answer in (seen.original, seen.compressed)]
        same = float((seen.original == seen.compressed).mean())
        rows.append(
            (
                f"top-1 on the emulated {TARGET}",
                f"{right[0]:.2f}",
                f"{right[1]:.2f}",
                f"n = {len(photographs)}",
            )
        )
        rows.append((f"agreement on the emulated {TARGET}", "", f"{same:.2f}", f"n = {len(photographs)}"))
    first, last = history.initial["accuracy"], history.rounds[-1].accuracy
    rows.append(
        ("digits: before, after federated rounds", f"{first:.4f}", f"{last:.4f}", f"n = {history.held_out}")
    )
    rows.append(
        ("digits: trained in one place, federated", f"{central:.4f}", f"{last:.4f}", f"{last / central:.3f}")
    )
    return rows


def write_page(
    path: Path,
    rows: list[tuple[str, str, str, str]],
    made: Compressed,
    seen: OnDevice | None,
    photographs: Samples,
    history: History,
) -> None:
    """One page with all of it."""
    page = Page(
        "From a trained model to a device, and back",
        "Every figure on this page was measured in the run that wrote it.",
    )
    first, last = history.initial["accuracy"], history.rounds[-1].accuracy
    page.cards(
        [*report.cards(made), (f"{first:.0%} → {last:.0%}", "of digits right, learned by five devices")]
    )
    page.table(["", "original", "compressed", "ratio"], rows)
    page.heading("A model for a Raspberry Pi 4")
    page.paragraph(
        "EfficientNet-Lite0 with its ImageNet weights, converted from PyTorch to ONNX and put into 8-bit integers, "
        f"calibrated on other photographs than the {len(photographs)} on which it is checked here."
    )
    report.add_pictures(page, made)
    if seen is not None:
        page.heading("On the emulated device")
        page.paragraph(
            f"Both models ran on an emulated Cortex-A72, in Debian's arm64 Python, in {seen.seconds:.0f} s. "
            "The instructions are exact; the emulator's time says nothing about the device's."
        )
        labels = photographs.y if photographs.y is not None else np.zeros(0)
        answers = zip(labels, seen.original, seen.compressed, strict=True)
        page.table(
            ["photograph", "label", "original", "compressed"],
            [(k + 1, label, old, new) for k, (label, old, new) in enumerate(answers)],
        )
    page.heading("Five devices learn digits together")
    page.paragraph(
        f"Federated averaging over {history.settings['clients']} devices with different digits; "
        f"in {len(history.rounds)} rounds, accuracy on {history.held_out} digits that no device has "
        f"rose from {first:.3f} to {last:.3f}. "
        "A training step is a plain ONNX graph, run by the same onnxruntime that serves the model."
    )
    page.figure(
        (path.parent / "federated" / "curve.png").read_bytes(),
        "Accuracy round by round, and who holds which digits.",
    )
    page.write(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo"))
