"""An update as a value: what clients learned, weighted by how many examples they learned it from.

The law that everything else rests on::

    (Update.of(w1, n1) + Update.of(w2, n2)).average() == (n1 w1 + n2 w2) / (n1 + n2)

`+` is linear, commutative, and associative up to the rounding of float64. So updates may be summed in any
order and in groups: a gateway's sum of its devices is an update like any other, and the cloud's average is
the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import FleetError
from edge_runtime.tensors import Array, describe


@dataclass(frozen=True, slots=True)
class Update:
    """The sum of n_k w_k over one or more clients k, and the sum of their n_k.

    `arrays` holds the sums in float64, `dtypes` what the weights were and what `average` gives back.
    """

    arrays: Mapping[str, NDArray[np.float64]]
    num_examples: int
    dtypes: Mapping[str, np.dtype[np.generic]]

    @classmethod
    def of(cls, weights: Mapping[str, Array], num_examples: int) -> "Update":
        """One client's weights (any shapes, numeric dtypes) after training on `num_examples` examples.

        Raises:
            FleetError: `num_examples` is not a positive integer.
        """
        check_count(num_examples)
        sums = {name: np.asarray(weight, np.float64) * num_examples for name, weight in weights.items()}
        return cls(sums, num_examples, {name: np.asarray(weight).dtype for name, weight in weights.items()})

    def __add__(self, other: "Update") -> "Update":
        """The update of both sides' clients together.

        Raises:
            FleetError: the two are of different models.
        """
        check_fit(other.arrays, self.arrays)
        if other.dtypes != self.dtypes:
            raise FleetError("updates of different models: their weights have other dtypes")
        sums = {name: self.arrays[name] + other.arrays[name] for name in self.arrays}
        return Update(sums, self.num_examples + other.num_examples, self.dtypes)

    def average(self) -> dict[str, Array]:
        """The weights averaged by n_k / n, in their own dtypes; integers are rounded to the nearest."""
        return {
            name: _cast(total / self.num_examples, self.dtypes[name]) for name, total in self.arrays.items()
        }


def _cast(mean: NDArray[np.float64], dtype: np.dtype[np.generic]) -> Array:
    return (np.rint(mean) if np.issubdtype(dtype, np.integer) else mean).astype(dtype)


def check_count(num_examples: object) -> None:
    """Do nothing if this can be the number of examples that an update rests on.

    Raises:
        FleetError: it is not a positive integer.
    """
    if isinstance(num_examples, bool) or not isinstance(num_examples, int) or num_examples < 1:
        raise FleetError(f"an update has num_examples {num_examples!r}; it needs an integer of at least 1")


def check_fit(arrays: Mapping[str, Array], like: Mapping[str, Array]) -> None:
    """Do nothing if `arrays` are of the model that `like` is of: same names, shapes and dtypes.

    Raises:
        FleetError: they do not.
    """
    if arrays.keys() != like.keys():
        odd = min(arrays.keys() ^ like.keys())
        raise FleetError(
            f"weights of another model: '{odd}' is on one side only; {len(like)} tensors are expected"
        )
    for name, array in arrays.items():
        if array.shape != like[name].shape or array.dtype != like[name].dtype:
            raise FleetError(f"weights '{name}': expected {describe(like[name])}, got {describe(array)}")


def check_finite(arrays: Mapping[str, Array]) -> None:
    """Do nothing if every value is a finite number.

    Raises:
        FleetError: one is not, as after training that diverged.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise FleetError(
                f"weights '{name}' hold NaN or infinity: training diverged; try a smaller learning rate"
            )
