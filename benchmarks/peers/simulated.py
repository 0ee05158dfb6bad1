"""One simulated run in a process of its own: prints JSON.

`python -m benchmarks.peers.simulated in-process|ray CLIENTS ROUNDS FOLDER`.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

os.environ.update(FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1", RAY_USAGE_STATS_ENABLED="0")

from benchmarks.peers import federation
from edge_runtime.bundle import Bundle
from edge_runtime.trainer import Trainer
from federated import Settings
from federated.flower.client import client_app
from federated.flower.grid import run_in_process
from federated.flower.server import server_app

EACH = 8  # samples of a client: one step of one batch


def main(engine: str, clients: int, rounds: int, folder: str) -> dict[str, Any]:
    path = Path(folder) / "m.bundle"
    # Clients in processes of Ray's get the path; here one trainer serves both ends.
    shared = Trainer(path, threads=1) if engine == "in-process" else None
    held_out, own = federation.samples(50, 1), federation.samples(EACH)
    settings = Settings(rounds=rounds, clients=clients, batch_size=EACH, alpha=None)
    out = Path(folder) / f"{engine}-{clients}"
    server = server_app(
        shared or Bundle.open(path), settings, test=held_out, out=out, progress=False, restart=True
    )
    client = client_app(shared or path, lambda _client, _clients: own)
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    if engine == "ray":
        from flwr.simulation import run_simulation

        run_simulation(
            server, client, clients, backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
        )
    else:
        run_in_process(server, client, clients)
    history = json.loads((out / "history.json").read_text("utf-8"))
    seconds = [entry["seconds"] for entry in history["rounds"]]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    start = time.perf_counter() - began - sum(seconds)
    return {"round_s": median(seconds[1:]), "rounds": seconds, "peak_mb": peak, "start_s": start}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
