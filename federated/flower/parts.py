"""What a round loop is put together from, by its settings: the strategy that aggregates and the grid that asks.

The loop needs no more than this: take `strategy` and `grid`, `restore` after a checkpoint was read, write `memory` and
`arrays` into the next one, and `noted` into the round's history.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from federated.checkpoint import State
from federated.flower.encrypted import EncryptedGrid
from federated.flower.guard import Guarded
from federated.flower.secure import SecureGrid
from federated.flower.strategies import Named, named
from federated.link.traffic import Traffic, counted
from federated.privacy import dp
from federated.privacy.he import ServerKey
from federated.privacy.rounds import Plan
from federated.robust import rule
from federated.settings import Settings


@runtime_checkable
class Counts(Protocol):
    """A grid that counts the bytes at its socket."""

    def traffic(self) -> Traffic:
        """Those so far."""
        ...


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

    @property
    def inner(self) -> Grid:
        """The grid that carries the messages."""
        return self.grid.inner if isinstance(self.grid, SecureGrid) else self.grid

    def traffic(self) -> Traffic | None:
        """Bytes at the socket so far, of a grid that counts them."""
        return self.inner.traffic() if isinstance(self.inner, Counts) and counted() else None

    def moved(self, down: int, up: int, before: Traffic | None = None) -> dict[str, Any]:
        """The bytes of the round: as counted by who asked, or by the secure grid with all stages; and at the socket.

        Args:
            down: bytes of the messages to clients.
            up: bytes of their answers.
            before: what `traffic` gave before the round.
        """
        if isinstance(self.grid, SecureGrid):
            down, up = self.grid.bytes_down, self.grid.bytes_up
        found, now = {"bytes_down": down, "bytes_up": up}, self.traffic()
        if now is None or before is None:
            return found
        return found | {"wire_down": (now - before).sent, "wire_up": (now - before).received}


def arrange(settings: Settings, grid: Grid, encryption: ServerKey | None = None) -> Parts:
    """The parts that the settings ask for, over the grid.

    Args:
        settings: of the run.
        grid: that carries the messages.
        encryption: the server's key, where devices encrypt.

    Raises:
        InputError: a strategy, a defence or a budget is not well formed, or a key is missing.
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
    if settings.encrypt:
        if encryption is None:
            raise InputError("homomorphic encryption needs the server's key; this way to run was given none")
        return Parts(strategy, EncryptedGrid(grid, encryption, lambda: strategy.before))
    if settings.secure:
        return Parts(
            strategy, SecureGrid(grid, Plan(settings.secure), lambda: strategy.before, seed=settings.seed)
        )
    return Parts(strategy, grid)
