r"""A weight as a product of smaller ones: truncated SVD, Tucker-2 and CP, as functions on arrays.

``matrix`` minimises ``||W - A B||`` (Eckart and Young 1936). Given a square root ``S`` of the inputs' second moment,
it minimises the error of the *outputs* on those inputs, ``||(W - A B) S||``, which is that of ``SVD(W S)`` with ``S``
divided out again (Wang et al., "SVD-LLM", ICLR 2025, section 3.1; Zhang et al. 2016, for convolutions).

``tucker`` writes a convolution ``W[out, in, k, k]`` as 1x1, k x k and 1x1 convolutions (Kim et al., "Compression of
Deep Convolutional Neural Networks", ICLR 2016): a truncated higher-order SVD, refined by alternating least squares
(HOOI, De Lathauwer et al. 2000). ``cp`` writes it as 1x1, depthwise k x k and 1x1 (Lebedev et al., "Speeding-up
Convolutional Neural Networks Using Fine-tuned CP-Decomposition", ICLR 2015, with both spatial axes in one factor).
"""

from dataclasses import dataclass

import numpy as np

from edge_runtime.tensors import Array

_SWEEPS = {"tucker": 3, "cp": 40}


def root(moment: Array, ridge: float = 1e-6) -> Array:
    """A square root S of a second moment, ``S Sᵀ = moment``, made safe to invert: float64[n, n]."""
    values, vectors = np.linalg.eigh(moment)
    floor = ridge * max(float(values[-1]), 1e-30)
    scaled: Array = vectors * np.sqrt(np.maximum(values, floor))
    return scaled


@dataclass(frozen=True, slots=True)
class Svd:
    """All singular values of a matrix [outputs, inputs], from which any rank is cut."""

    left: Array
    values: Array
    right: Array

    @classmethod
    def of(cls, weight: Array, scale: Array | None = None) -> "Svd":
        """Decompose ``weight`` float[outputs, inputs]; ``scale`` is a square root of the inputs' second moment."""
        wide = weight.astype(np.float64)
        left, values, right = np.linalg.svd(wide if scale is None else wide @ scale, full_matrices=False)
        return cls(left, values, right if scale is None else np.linalg.solve(scale.T, right.T).T)

    def cut(self, rank: int) -> tuple[Array, Array]:
        """``A`` float64[outputs, rank] and ``B`` float64[rank, inputs], balanced in size."""
        size = np.sqrt(self.values[:rank])
        return self.left[:, :rank] * size, self.right[:rank] * size[:, None]

    def errors(self) -> Array:
        """The share of the squares that is lost at each rank from 0 on: float64[ranks + 1], falling to 0."""
        squares = np.square(self.values)
        lost = np.concatenate([[0.0], np.cumsum(squares[::-1])])[::-1]
        return np.asarray(lost / max(float(squares.sum()), 1e-300))


def modes(weight: Array, scale: Array | None = None) -> tuple[Svd, Svd]:
    """The SVDs of a convolution's weight [out, in, ...] unfolded along outputs, and along inputs."""
    scaled = _scaled(weight, scale)
    return tuple(Svd.of(_unfolded(scaled, axis)) for axis in (0, 1))  # type: ignore[return-value]


def tucker(weight: Array, ranks: tuple[int, int], scale: Array | None = None) -> tuple[Array, Array, Array]:
    """Tucker-2 of a convolution's weight.

    Args:
        weight: float[out, in, ...].
        ranks: of the outputs and of the inputs.
        scale: a square root of the input channels' second moment, float64[in, in].

    Returns:
        ``A`` [out, r_out], the core [r_out, r_in, ...] and ``B`` [r_in, in]; exact at full ranks.
    """
    scaled = _scaled(weight, scale)
    out, into = (svd.left[:, :rank] for svd, rank in zip(modes(weight, scale), ranks, strict=True))
    for _ in range(_SWEEPS["tucker"]):
        out = _leading(_unfolded(np.einsum("oi...,ir->or...", scaled, into), 0), ranks[0])
        into = _leading(_unfolded(np.einsum("oi...,or->ri...", scaled, out), 1), ranks[1])
    core = np.einsum("oi...,or,is->rs...", scaled, out, into)
    first = into.T if scale is None else np.linalg.solve(scale.T, into).T
    return out, core, first


def tucker_error(weight: Array, ranks: tuple[int, int], scale: Array | None = None) -> float:
    """The share of the squares that `tucker` loses: its factors are orthonormal, so the core holds the rest."""
    kept = float(np.square(tucker(weight, ranks, scale)[1]).sum())
    return max(0.0, 1 - kept / max(float(np.square(_scaled(weight, scale)).sum()), 1e-300))


def cp(weight: Array, rank: int, scale: Array | None = None) -> tuple[tuple[Array, Array, Array], float]:
    """CP of a convolution's weight by alternating least squares, from the leading singular vectors.

    Args:
        weight: float[out, in, ...].
        rank: how many terms; at most out, in and the product of the spatial lengths times the smaller of both.
        scale: as for `tucker`.

    Returns:
        ``A`` [out, rank], the depthwise kernels [rank, 1, ...] and ``B`` [rank, in]; and the share of the squares lost.
    """
    scaled = _scaled(weight, scale)
    tensor = scaled.reshape(*scaled.shape[:2], -1)
    rng = np.random.default_rng(0)
    factors = [
        _start(np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1), rank, rng) for axis in range(3)
    ]
    for _ in range(_SWEEPS["cp"]):
        for axis in range(3):
            p, q = (factors[k] for k in range(3) if k != axis)
            gram = (p.T @ p) * (q.T @ q)
            letters = "oik".replace("oik"[axis], "")
            cross = np.einsum(f"oik,{letters[0]}r,{letters[1]}r->{'oik'[axis]}r", tensor, p, q, optimize=True)
            ridge = 1e-9 * np.trace(gram) / rank * np.eye(rank)
            factors[axis] = np.linalg.solve(gram + ridge, cross.T).T
    made = np.einsum("or,ir,kr->oik", *factors, optimize=True)
    lost = float(np.square(tensor - made).sum() / max(float(np.square(tensor).sum()), 1e-300))
    out, into, kernel = _balanced(factors)
    first = into.T if scale is None else np.linalg.solve(scale.T, into).T
    return (out, kernel.T.reshape(rank, 1, *weight.shape[2:]), first), lost


def _start(unfolded: Array, rank: int, rng: np.random.Generator) -> Array:
    left = np.linalg.svd(unfolded, full_matrices=False)[0][:, :rank]
    missing = rng.standard_normal((len(unfolded), max(0, rank - left.shape[1]))) * 0.1
    return np.concatenate([left, missing], axis=1)


def _balanced(factors: list[Array]) -> list[Array]:
    """The same product with columns of the same size in every factor."""
    norms = [np.maximum(np.linalg.norm(factor, axis=0), 1e-30) for factor in factors]
    size = np.cbrt(np.prod(norms, axis=0))
    return [factor / norm * size for factor, norm in zip(factors, norms, strict=True)]


def _scaled(weight: Array, scale: Array | None) -> Array:
    wide = weight.astype(np.float64)
    return wide if scale is None else np.asarray(np.einsum("oi...,ij->oj...", wide, scale))


def _unfolded(tensor: Array, axis: int) -> Array:
    return np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)


def _leading(matrix: Array, rank: int) -> Array:
    """The leading left singular vectors, by the smaller eigenproblem."""
    return np.asarray(np.linalg.eigh(matrix @ matrix.T)[1][:, ::-1][:, :rank])
