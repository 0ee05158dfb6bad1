"""Federated averaging against central training: the same model, the same digits, as many epochs."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from converter.convert import convert
from converter.trainable import pack_trainable
from edge_runtime import Trainer
from examples import digits
from federated import Settings, federate

ROUNDS = 20


def cases() -> Iterator[Case]:
    train, test = digits.load()
    model = convert("examples.digits:model", trainable=True)
    with tempfile.TemporaryDirectory() as folder:
        bundle = pack_trainable(model, Path(folder) / "digits.bundle", name="digits")
        central = Trainer(bundle, threads=1)
        central.fit(train, epochs=ROUNDS, batch_size=32, lr=0.1)
        best = float(central.evaluate(test)["accuracy"])
        for alpha in (0.5, None):
            settings = Settings(rounds=ROUNDS, clients=5, lr=0.1, alpha=alpha)
            out = Path(folder) / f"alpha-{alpha}"
            last = federate(bundle, train, settings, test=test, out=out, progress=False).rounds[-1].accuracy
            split = "IID" if alpha is None else f"Dirichlet {alpha}"
            note = f"{last:.4f} against {best:.4f}; {settings.clients} clients, {ROUNDS} rounds"
            yield Case(
                f"{split}: federated / central",
                round(last / best, 4),
                "ratio",
                0.95,
                "higher",
                len(test),
                note,
            )


if __name__ == "__main__":
    main(cases)
