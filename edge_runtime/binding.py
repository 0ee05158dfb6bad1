"""Arrays that a session reads and writes where they are: those of other libraries, and those that were made once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array, TensorSpec, describe


def _nothing() -> None:
    raise InputError("this binding belongs to no session; make it with Session.bind")


@dataclass(frozen=True, slots=True)
class Binding:
    """Arrays bound to a session: write to `inputs`, call it, read `outputs`. One call at a time."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    _call: Callable[[], None] = field(default=_nothing, repr=False)

    def __call__(self) -> None:
        """Run the model on what is in `inputs` now.

        Raises:
            ModelError: the engine failed.
        """
        self._call()

    def calling(self, call: Callable[[], None]) -> "Binding":
        """The same arrays, with what runs the model."""
        return replace(self, _call=call)

    @classmethod
    def made(
        cls,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        given: Mapping[str, Array],
        lengths: Mapping[str, int],
    ) -> "Binding":
        """Arrays for every tensor: those given, if they fit, and new ones; an axis has one length throughout.

        Raises:
            InputError: an array does not fit, or a length of an output is not known.
        """
        known = dict(lengths)
        named = {spec.name for spec in (*inputs, *outputs)}
        for name in given:
            if name not in named:
                raise InputError(
                    f"'{name}': the model has no such input or output; it has {', '.join(sorted(named))}"
                )
        for spec in (*inputs, *outputs):
            if spec.name in given:
                _fits(spec, given[spec.name], known)
        for spec in inputs:
            for dim in spec.shape:
                if isinstance(dim, str):
                    known.setdefault(dim, 1)
        sources = {spec.name: _array(spec, given, known) for spec in inputs}
        return cls(sources, {spec.name: _array(spec, given, known) for spec in outputs})


def _fits(spec: TensorSpec, array: Array, known: dict[str, int]) -> None:
    """Check an array and learn the lengths of its axes."""
    spec.check(array)
    if not array.flags.c_contiguous:
        raise InputError(
            f"'{spec.name}': {describe(array)} is not contiguous; give numpy.ascontiguousarray of it"
        )
    for dim, length in zip(spec.shape, array.shape, strict=True):
        if isinstance(dim, str) and known.setdefault(dim, length) != length:
            raise InputError(f"'{spec.name}': its axis '{dim}' has length {length}, elsewhere {known[dim]}")


def _array(spec: TensorSpec, given: Mapping[str, Array], known: Mapping[str, int]) -> Array:
    if spec.name in given:
        return given[spec.name]
    try:
        return np.zeros([known[dim] if isinstance(dim, str) else dim for dim in spec.shape], spec.dtype)
    except KeyError as error:
        raise InputError(
            f"'{spec.name}': the length of axis {error} does not follow from the inputs; give it in `lengths`, "
            "or an array for the output"
        ) from error
