"""What a graph's inputs and outputs look like, and the check that an array fits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.errors import BundleError, InputError

Array = np.ndarray[
    tuple[Any, ...], np.dtype[Any]
]  # as numpy.typing.NDArray, which takes a millisecond to import
Dim = int | str
"""A length, or the name of a length that may vary from call to call (such as the batch)."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, NumPy dtype name and shape of one input or output: ``images: float32[n, 3, 224, 224]``."""

    name: str
    dtype: str
    shape: tuple[Dim, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of `shape` fits: the same rank, and every fixed length equal."""
        return len(shape) == len(self.shape) and all(
            isinstance(want, str) or want == got for want, got in zip(self.shape, shape, strict=True)
        )

    def check(self, array: Array) -> None:
        """Do nothing if the array fits.

        Raises:
            InputError: its dtype or shape is another.
        """
        if array.dtype == np.dtype(self.dtype) and self.accepts(array.shape):
            return
        wanted = str(self).partition(": ")[2]
        raise InputError(f"input '{self.name}': expected {wanted}, got {describe(array)}")

    def to_json(self) -> dict[str, Any]:
        """The form in which a manifest holds it."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, value: Any, where: str) -> "TensorSpec":
        """Read the form that `to_json` gives.

        Raises:
            BundleError: something is missing or of a wrong type.
        """
        try:
            shape = tuple(value["shape"])
            np.dtype(value["dtype"])
            if not all(isinstance(dim, int | str) for dim in shape):
                raise TypeError
            return cls(str(value["name"]), str(value["dtype"]), shape)
        except (KeyError, TypeError) as error:
            raise BundleError(f"{where}: a tensor needs name, dtype and shape, got {value!r}") from error


def describe(array: Array) -> str:
    """``float32[1, 3, 224, 224]``."""
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


def check_inputs(specs: Iterable[TensorSpec], inputs: Mapping[str, Array]) -> None:
    """Do nothing if `inputs` holds exactly the named tensors of `specs`, each of the right dtype and shape.

    Raises:
        InputError: a name is missing or unknown, or an array does not fit.
    """
    wanted = {spec.name: spec for spec in specs}
    for name in inputs:
        if name not in wanted:
            raise InputError(
                f"input '{name}': the model has no such input; it takes {', '.join(map(str, wanted.values()))}"
            )
    for name, spec in wanted.items():
        if name not in inputs:
            raise InputError(
                f"input '{name}': missing; the model takes {', '.join(map(str, wanted.values()))}"
            )
        spec.check(np.asarray(inputs[name]))


def as_arrays(given: Mapping[str, Any]) -> dict[str, Array]:
    """NumPy arrays over the memory of what was given; an array is itself.

    Raises:
        InputError: something is neither an array nor speaks DLPack, or lies in another device's memory.
    """
    return {
        name: value if isinstance(value, np.ndarray) else _as_array(name, value)
        for name, value in given.items()
    }


def _as_array(name: str, value: Any) -> Array:
    if not hasattr(value, "__dlpack__"):
        raise InputError(
            f"'{name}': expected a NumPy array, or one that speaks DLPack, got {type(value).__name__}"
        )
    try:
        taken: Array = np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"'{name}': it cannot be read where it is ({error}); give a copy in CPU memory"
        ) from error
    return taken


def example(specs: Sequence[TensorSpec], seed: int = 0, free: int = 1) -> dict[str, Array]:
    """Random inputs that fit: normal floats, small integers; a length that may vary is `free`."""
    rng = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    for spec in specs:
        shape = [dim if isinstance(dim, int) else free for dim in spec.shape]
        kind = np.dtype(spec.dtype)
        values = rng.standard_normal(shape) if kind.kind == "f" else rng.integers(0, 2, shape)
        made[spec.name] = values.astype(kind)
    return made
