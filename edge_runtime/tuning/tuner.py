"""The tuner: races the settings of a model on this device, and keeps the fastest that gives the same outputs.

First come engines, providers and threads; then the layouts, kernels and plans of memory of the best of these, one
change at a time; then the changes that helped, together.
"""

from edge_runtime.errors import InputError
from edge_runtime.tuning import store
from edge_runtime.tuning.race import Race
from edge_runtime.tuning.setting import combined, cores, default, starts, variants
from edge_runtime.tuning.source import Source
from edge_runtime.tuning.store import Choice

_NEAR, _HELPS = 1.1, 0.995


def tune(
    source: Source, threads: int = 0, budget_s: float = 60.0, exact_int8: bool = True, seed: int = 0
) -> Choice:
    """The fastest setting here that gives the same outputs as an untuned session (`race.TOLERANCE`).

    Args:
        source: the model.
        threads: the most that a setting may use; 0 is one for each core. With 1, what is timed is the processor's
            time, else the clock's.
        budget_s: seconds after which no further round is begun; what is best then is taken.
        exact_int8: as for a session; no setting may break it.
        seed: of the random inputs.

    Raises:
        InputError: the budget or the threads are not positive.
        BackendError: no engine for the model is installed.
        ModelError: the engine refuses the model.
    """
    if threads < 0 or not budget_s > 0:
        raise InputError(f"threads {threads}, budget {budget_s} s: expected positive numbers")
    limit = threads or len(cores())
    race = Race(source, default(source, limit), budget_s, exact_int8, seed)
    found = race.halved(starts(source, limit))
    best = [each for each in found if race.ratio(each) <= _NEAR * race.ratio(found[0])][:2]
    for base in list(best):
        changed = race.halved(variants(base))
        helped = [each for each in changed if race.ratio(each) < _HELPS * race.ratio(base)]
        best += helped[:2]
        if len(helped) > 1:
            best.append(combined(base, *helped))
    return race.choice(best)


def tuned(source: Source, threads: int = 0) -> Choice:
    """The choice kept for this device, or a new one, which is kept.

    Raises:
        BackendError: no engine for the model is installed.
        ModelError: the engine refuses the model.
    """
    return store.load(source, threads) or store.save(source, threads, tune(source, threads))
