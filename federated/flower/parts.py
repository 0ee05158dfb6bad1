"""What a round loop is put together from, by its settings: the strategy that aggregates and the grid that asks.

The loop needs no more than this: take `strategy` and `grid`, `restore` after a checkpoint was read, write `memory` and
`arrays` into the next one, and `noted` into the round's history.
"""

from dataclasses import dataclass
from typing import Any

from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from edge_runtime.tensors import Array
from federated.checkpoint import State
from federated.flower.guard import Guarded
from federated.flower.secure import SecureGrid
from federated.flower.strategies import Named, named
from federated.privacy import dp
from federated.privacy.rounds import Plan
from federated.robust import rule
from federated.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """The strategy and the grid of a run."""

    strategy: Strategy
    grid: Grid

    @property
    def memory(self) -> dict[str, Any]:
        """What the next round depends on besides the model, as JSON has it."""
        guard = self.strategy.memory if isinstance(self.strategy, Guarded) else {}
        return {"guard": guard, "secure": self.grid.memory if isinstance(self.grid, SecureGrid) else {}}

    @property
    def arrays(self) -> dict[str, Array]:
        """The same as arrays: a strategy's moments."""
        return self.strategy.state() if isinstance(self.strategy, Named) else {}

    def restore(self, state: State) -> None:
        """Go on from a checkpoint.

        Raises:
            InputError: it holds something else.
        """
        if isinstance(self.strategy, Guarded):
            self.strategy.restore(state.memory.get("guard", {}))
        if isinstance(self.strategy, Named):
            self.strategy.restore(state.arrays)
        if isinstance(self.grid, SecureGrid):
            self.grid.restore(state.memory.get("secure", {}))

    @property
    def noted(self) -> dict[str, Any]:
        """What the round's history says besides: `set_aside` and `epsilon`."""
        if not isinstance(self.strategy, Guarded):
            return {}
        return {"set_aside": self.strategy.notes.set_aside, "epsilon": self.strategy.notes.epsilon}

    def moved(self, down: int, up: int) -> dict[str, Any]:
        """`bytes_down` and `bytes_up` of the round: as counted by who asked, or by the secure grid with all stages."""
        if isinstance(self.grid, SecureGrid):
            down, up = self.grid.bytes_down, self.grid.bytes_up
        return {"bytes_down": down, "bytes_up": up}


def arrange(settings: Settings, grid: Grid) -> Parts:
    """The parts that the settings ask for, over the grid.

    Raises:
        InputError: a strategy, a defence or a budget is not well formed.
    """
    guard = Guarded(
        settings.asked,
        settings.seed,
        clients=settings.clients,
        rounds=settings.rounds,
        rule=rule.parse(settings.defence) if settings.defence else None,
        privacy=dp.parse(settings.privacy) if settings.privacy else None,
    )
    strategy = (
        named(settings.strategy, settings.asked, settings.seed, settings.lr) if settings.strategy else guard
    )
    if settings.secure:
        return Parts(
            strategy, SecureGrid(grid, Plan(settings.secure), lambda: strategy.before, seed=settings.seed)
        )
    return Parts(strategy, grid)
