"""What the devices of the fleet's demonstration do all day: read digits, and learn of some of them what was right.

    python examples/fleet_app.py digits.npz 2.0 STORE STORE ...

One process plays the application of every device, by what an application uses: `edge_runtime.agent.live.Live`.
"""

import signal
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_runtime.agent.live import Live
from edge_runtime.errors import LittoralError

_LABELLED = 0.75  # of the digits: what was right is learnt at once


def main(data: Path, per_second: float, stores: list[Path]) -> None:
    """Read digits on every device whose model answers, until SIGTERM."""
    with np.load(data) as found:
        x, y = found["x"], found["y"]
    rng, lives = np.random.default_rng(0), dict[Path, Live]()
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    while not ended:
        began = time.monotonic()
        for store in stores:
            if ended:
                break
            if store not in lives:
                try:
                    lives[store] = Live(store, threads=1)
                except LittoralError:
                    continue  # no model answers there yet
            k = int(rng.integers(len(x)))
            try:
                lives[store].run({"images": x[k : k + 1]})
                if rng.random() < _LABELLED:
                    lives[store].label(int(y[k]))
            except LittoralError as error:
                print(f"{store}: {error}", file=sys.stderr)
        time.sleep(max(0.02, 1 / per_second - (time.monotonic() - began)))
    for live in lives.values():
        live.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), [Path(each) for each in sys.argv[3:]])
