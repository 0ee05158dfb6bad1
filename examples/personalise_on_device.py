"""A model made in the cloud learns its user's handwriting on the device, and does not forget how others write.

    python examples/personalise_on_device.py out/personalise
    python examples/personalise_on_device.py out/personalise --emulate    # the last step on an emulated Raspberry Pi 4

The user's paper lies at an angle: real digits, turned by 40 degrees. The cloud sends the model, and with it a memory
set of 200 digits. The device trains the last two layers on their features, once on its own digits alone and once
together with the memory set.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnx

from converter.convert import convert
from converter.trainable import pack_trainable
from converter.transfer import last_layers, pack_split
from edge_runtime import Bundle, Samples, Session, Trainer, emulator
from edge_runtime.bundle import pack
from edge_runtime.console import say, table
from edge_runtime.continual import Memory
from edge_runtime.errors import LittoralError
from edge_runtime.tensors import Array
from edge_runtime.training import staged
from examples import digits

TARGET = "rpi4"
ANGLE, OWN, REMEMBERED, EPOCHS, LR = 40.0, 200, 200, 20, 0.05


def main(out: Path, *, emulate: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    everyone, test = digits.load()
    bundle, memory = in_the_cloud(out, everyone)
    mine, my_test, others = turned(_part(test, 0, OWN)), turned(_part(test, OWN, 600)), _part(test, 600, 1000)
    say(f"on the device: {len(mine)} digits of its user, {len(memory.samples)} from the cloud")
    alone = on_the_device(bundle, mine, out / "alone.bundle")
    jointly = on_the_device(bundle, staged.together(mine, memory.samples), out / "together.bundle")
    made = {"as delivered": bundle, "own digits alone": alone, "with the memory set": jointly}
    if emulate:
        made[f"with the memory set, on {TARGET}"] = on_an_emulated_device(out, mine)
    rows = [
        (name, f"{accuracy(each, my_test):.3f}", f"{accuracy(each, others):.3f}")
        for name, each in made.items()
    ]
    print(table(["model", "its user's digits", "other people's"], rows))


def in_the_cloud(out: Path, samples: Samples) -> tuple[Bundle, Memory]:
    """Train on everyone's digits, cut the model where its last two layers begin, and choose the memory set."""
    say(f"in the cloud: {len(samples)} digits of many people")
    model = convert("examples.digits:model", input_names=["images"], output_names=["logits"], trainable=True)
    trainer = Trainer(pack_trainable(model, out / "cloud.bundle", name="digits"))
    trainer.fit(samples, epochs=8, lr=0.1)
    learnt = onnx.load_model_from_string(trainer.export(out / "cloud.bundle").read("infer.onnx"))
    bundle = pack_split(
        learnt, out / "digits.bundle", name="digits", trainable=last_layers(learnt, 2), target=TARGET
    )
    memory = Memory(REMEMBERED)
    memory.extend(samples)
    memory.save(out / "memory.npz")
    return bundle, memory


def on_the_device(bundle: Bundle, samples: Samples, path: Path) -> Bundle:
    """What `littoral train` does: the frozen part once, the head for some epochs, and both in one bundle again."""
    learnt, _ = staged.train(bundle, samples, [staged.Turn("head", EPOCHS)], lr=LR)
    return pack(path, learnt.manifest, {name: learnt.read(name) for name in learnt.manifest.files})


def on_an_emulated_device(out: Path, mine: Samples) -> Bundle:
    """The same as a command on the emulated device."""
    say(f"the same on an emulated {TARGET}, which is exact and not fast")
    with (out / "mine.npz").open("wb") as stream:
        np.savez(stream, x=mine.x, y=np.asarray(mine.y))
    command = ["train", str(out / "digits.bundle"), "--data", str(out / "mine.npz"), "--holdout", "0.1"]
    command += [
        "--memory",
        str(out / "memory.npz"),
        "--epochs",
        str(EPOCHS),
        "--lr",
        str(LR),
        "--threads",
        "1",
    ]
    done = emulator.run(TARGET, [*command, "--out", str(out / "emulated.bundle"), "--json"], capture=True)
    if done.returncode:
        raise LittoralError(f"training on {TARGET}: {done.stderr.strip().splitlines()[-1]}")
    seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
    say(f"{seconds:.1f} s as the emulator counts them")
    return Bundle.open(out / "emulated.bundle")


def turned(samples: Samples) -> Samples:
    """The digits turned by `ANGLE` degrees."""
    return Samples(np.stack([_turned(picture[0]) for picture in samples.x])[:, None], samples.y)


def _turned(picture: Array) -> Array:
    found = Image.fromarray(picture).rotate(ANGLE, Image.Resampling.BILINEAR)
    return np.asarray(found, np.float32)


def accuracy(bundle: Bundle, samples: Samples) -> float:
    """The share of the samples that the bundle's inference graph gets right."""
    logits = Session(bundle).run_batches(samples.x, 100)[0]
    return float((logits.argmax(axis=1) == samples.y).mean())


def _part(samples: Samples, start: int, stop: int) -> Samples:
    return Samples(samples.x[start:stop], np.asarray(samples.y)[start:stop])


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--emulate"]
    main(Path(given[0] if given else "out/personalise"), emulate="--emulate" in sys.argv)
