"""What can go wrong, by whose fault it is; every error of Littoral is a `LittoralError`.

LittoralError
├── ModelError              a bad artefact: a model, a bundle, a recipe
│   ├── BudgetError           a budget that no candidate meets
│   ├── BundleError           a bundle that is incomplete, altered or of another schema
│   └── InputError            data that does not fit the model: path, shape, dtype, NaN, empty
├── BackendError            what should execute it is missing or refuses
│   ├── TargetError           no such target, or a target file with a mistake
│   └── EmulatorError         the emulated device cannot be built or does not run
├── TransferError           the network, or what came over it
└── FleetError              a message between device and cloud that breaks the protocol

An error's text is one sentence that a user can act on: what, where, what was got and what is accepted.
"""

from collections.abc import Iterable


def hint(name: str, known: Iterable[str]) -> str:
    """What goes behind an unknown name: the known one that was probably meant, or nothing.

    >>> "no target 'rpi44'" + hint("rpi44", ["rpi4", "x86-64"])
    "no target 'rpi44' (did you mean 'rpi4'?)"
    """
    import difflib  # only where something is wrong already

    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


class LittoralError(Exception):
    """Base of every error that Littoral raises on purpose; the command line turns it into exit code 2."""


class ModelError(LittoralError):
    """An artefact (model, bundle, recipe, data) is not what it should be."""


class BudgetError(ModelError):
    """No compressed model meets the budget."""


class BundleError(ModelError):
    """A bundle is incomplete, altered, or written for another schema version."""


class InputError(ModelError):
    """Data does not fit: missing, empty, not finite, or of another shape or type than the model takes."""


class BackendError(LittoralError):
    """An engine, execution provider or tool is missing or refused the work."""


class TargetError(BackendError):
    """A target is unknown, or its file has a mistake."""


class EmulatorError(BackendError):
    """The emulated device cannot be built or its process failed."""


class TransferError(LittoralError):
    """The network failed, or what came over it is damaged."""


class FleetError(LittoralError):
    """A message between device and cloud breaks the protocol."""
