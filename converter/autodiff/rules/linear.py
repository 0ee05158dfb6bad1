"""Gradients of matrix products and of the determinant."""

import numpy as np

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule


@rule("Gemm", weights=(0, 1, 2))
def gemm(g: Graph, node: Node, dy: Value) -> Gradients:
    """With A' for A or its transpose, y = alpha·A'B' + beta·C: dA' = alpha·dy B'ᵀ, dB' = alpha·A'ᵀ dy."""
    a, b = node.x, node.input(1)
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    ta, tb = node.attribute("transA", 0), node.attribute("transB", 0)
    da = (
        g.op("Gemm", b, dy, alpha=alpha, transA=tb, transB=1)
        if ta
        else g.op("Gemm", dy, b, alpha=alpha, transB=1 - tb)
    )
    db = (
        g.op("Gemm", dy, a, alpha=alpha, transA=1, transB=ta)
        if tb
        else g.op("Gemm", a, dy, alpha=alpha, transA=1 - ta)
    )
    if not node.has(2):
        return da, db
    dc = g.unbroadcast(dy, node.y.shape, node.input(2))
    return da, db, dc if beta == 1 else dc * beta


@rule("MatMul", weights=(0, 1))
def matmul(g: Graph, node: Node, dy: Value) -> Gradients:
    """Product y = A B, stacked and broadcast over the leading axes: dA = dy Bᵀ, dB = Aᵀ dy."""
    a, b = node.x, node.input(1)
    if len(b.shape) == 2 and len(a.shape) > 2:  # a layer applied to every position: one large product
        rows, flat = g.reshape(a, [-1, int(b.shape[0])]), g.reshape(dy, [-1, int(b.shape[1])])
        da = g.reshape_like(g.op("Gemm", flat, b, transB=1), a)
        return da, g.op("Gemm", rows, flat, transA=1)
    rank_a, rank_b = len(a.shape), len(b.shape)
    matrix_a = g.op("Unsqueeze", a, [0]) if rank_a == 1 else a
    matrix_b = g.op("Unsqueeze", b, [1]) if rank_b == 1 else b
    batch = node.y.shape[: len(node.y.shape) - (rank_a > 1) - (rank_b > 1)]
    if rank_b == 1:
        dy = g.op("Unsqueeze", dy, [-1])
    if rank_a == 1:
        dy = g.op("Unsqueeze", dy, [-2])
    da = dy @ _transposed(g, matrix_b, max(rank_b, 2))
    db = _transposed(g, matrix_a, max(rank_a, 2)) @ dy
    if rank_b == 1:
        db = g.op("Squeeze", db, [-1])
    rows_a, rows_b = a.shape[-2:] if rank_a > 1 else (1, *a.shape), b.shape[-2:]
    return g.unbroadcast(da, (*batch, *rows_a), a), g.unbroadcast(db, (*batch, *rows_b), b)


def _transposed(g: Graph, x: Value, rank: int) -> Value:
    return g.op("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])


@rule("Det")
def det(g: Graph, node: Node, dy: Value) -> Gradients:
    """Determinant: dX = dy times the cofactors, which exist also where the inverse does not."""
    n = int(node.x.shape[-1])
    if n == 1:
        return g.op("Unsqueeze", dy, [-2, -1])
    others = np.array([[k for k in range(n) if k != i] for i in range(n)])
    cells = np.arange(n * n).reshape(n, n)
    minors = np.stack([cells[np.ix_(others[i], others[j])] for i in range(n) for j in range(n)])
    lead = [0] * (len(node.x.shape) - 2)
    flat = g.reshape(node.x, [*lead, n * n])
    cofactors = g.op("Det", g.op("Gather", flat, minors, axis=-1))
    signs = (-1.0) ** np.add.outer(np.arange(n), np.arange(n))
    return g.op("Unsqueeze", dy, [-2, -1]) * (g.reshape(cofactors, [*lead, n, n]) * signs.astype(g.dtype))
