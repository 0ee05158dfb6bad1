"""What a pruned model costs on the target in guest instructions: a linear model of its work, fitted to exact counts.

Counting a candidate takes seconds, and a search asks for hundreds. What a kernel spends on each multiply-accumulate
depends on the processor and hardly on the layer, so a few counted candidates give the price of each kind of work.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from compress.pruning.channels import Channels, Labels
from compress.pruning.cost import Costs
from compress.pruning.resize import remove
from converter.model import save
from converter.optimize import optimize
from edge_runtime import emulator
from edge_runtime.console import progress
from edge_runtime.errors import ModelError
from edge_runtime.target import Target
from edge_runtime.tensors import Array

_SHARES = (0.0, 0.2, 0.4, 0.6)


def counted(models: Sequence[onnx.ModelProto], target: Target) -> list[int]:
    """Exact guest instructions of one inference of each model, in the form in which it would be deployed.

    Raises:
        ModelError: the target cannot be emulated here.
    """
    if not target.emulator_cpu or not emulator.available():
        raise ModelError(
            f"prune: instructions on {target.name} cannot be counted here; 'littoral doctor' says what is missing"
        )
    found = []
    for model in progress(models, f"count on the emulated {target.name}"):
        with (
            tempfile.TemporaryDirectory() as folder
        ):  # one at a time: many in one process disturb one another's counts
            path = save(optimize(model), Path(folder) / "m.onnx")
            found.append(emulator.count(target, [path])[0].instructions)
    return found


def fitted(
    model: onnx.ModelProto, channels: Channels, order: Sequence[Labels], costs: Costs, target: Target
) -> Costs:
    """Costs that know instructions: fitted to candidates that lost equal shares, and every other layer's.

    Raises:
        ModelError: the target cannot be emulated here.
    """
    candidates = [_without(order, share, every) for share in _SHARES for every in ((1, 2) if share else (1,))]
    counts = counted([remove(model, channels, removed) for removed in candidates], target)
    work = np.array([costs.work(removed) for removed in candidates])
    return replace(costs, prices=prices_of(work, np.array(counts, np.float64)))


def _without(order: Sequence[Labels], share: float, every: int) -> Labels:
    chosen = [mine[: int(share * len(mine)) // 4 * 4] for mine in order[::every]]
    return np.concatenate(chosen).astype(np.int64)


def prices_of(work: Array, counts: Array) -> Array:
    """Non-negative prices of least relative error (Lawson and Hanson's problem, by coordinate descent)."""
    scale, size = np.maximum(work.max(axis=0), 1.0), float(counts.mean())
    a, prices = work / scale * size / counts[:, None], np.zeros(work.shape[1])
    gram, cross = a.T @ a + 1e-9 * np.eye(a.shape[1]), a.sum(axis=0)
    for _ in range(5_000):
        for k in range(len(prices)):
            prices[k] = max(0.0, prices[k] + (cross[k] - gram[k] @ prices) / gram[k, k])
    return np.asarray(prices * size / scale)
