"""Gradients of Fourier transforms."""

import numpy as np

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, expansion, rule
from edge_runtime.errors import ModelError


@rule("DFT")
def dft(g: Graph, node: Node, dy: Value) -> Gradients:
    """y = F x, complex numbers as pairs: dx = Fᴴ dy, where Fᴴ is n times the inverse transform of length n.

    A real input takes the real part, a one-sided transform has no gradient for the other side, and what was cut
    off or padded to the length n is padded or cut off.
    """
    x, rank = node.x, len(node.x.shape)
    axis = (int(node.constant(2)) if node.has(2) else -2) % rank
    size = x.shape[axis]
    if isinstance(size, str):
        raise ModelError(f"{node}: its gradient needs a fixed length along axis {axis}; got {x.shape}")
    n = int(node.constant(1)) if node.has(1) else size
    inverse = int(node.attribute("inverse", 0))
    if node.attribute("onesided", 0) and inverse:
        return _to_one_side(g, node, dy, axis, size)
    if node.attribute("onesided", 0):
        dy = _resized(g, dy, axis, int(node.y.shape[axis]), n, rank)
    dx = g.op("DFT", dy, None, np.array(axis), inverse=1 - inverse)
    dx = _resized(g, dx * (1 / n if inverse else float(n)), axis, n, size, rank)
    return g.slice(dx, [0], [1], [rank - 1], [1]) if x.shape[-1] == 1 else dx


def _to_one_side(g: Graph, node: Node, dy: Value, axis: int, size: int) -> Value:
    """The adjoint of the one-sided inverse, where all but the first and the middle count for the other side too."""
    n, rank = int(node.y.shape[axis]), len(node.x.shape)
    counts = np.full(n // 2 + 1, 2 / n)
    counts[0] = 1 / n
    if n % 2 == 0:
        counts[-1] = 1 / n
    shape = [-1 if i == axis else 1 for i in range(rank)]
    dx = g.op("DFT", dy, None, np.array(axis), onesided=1) * counts.reshape(shape).astype(g.dtype)
    return _resized(g, dx, axis, n // 2 + 1, size, rank)


def _resized(g: Graph, x: Value, axis: int, before: int, after: int, rank: int) -> Value:
    """Cut off or padded with zeros at the end of an axis."""
    if before == after:
        return x
    pads = [0] * (2 * rank)
    pads[rank + axis] = after - before
    return g.op("Pad", x, pads)


@expansion("STFT", needs="a fixed length and a constant frame")
def stft(g: Graph, node: Node) -> Value | None:
    """The DFT of each frame: frames picked by index, times the window."""
    length = node.x.shape[1]
    given = [index for index in (1, 3) if node.has(index)]
    if isinstance(length, str) or any(node.input(index).name not in g.constants for index in given):
        return None
    step = int(node.constant(1))
    size = int(node.constant(3)) if node.has(3) else int(node.input(2).shape[0])
    frames = np.arange(0, length - size + 1, step)[:, None] + np.arange(size)
    signal = node.x if len(node.x.shape) == 3 else g.op("Unsqueeze", node.x, [-1])
    picked = g.op("Gather", signal, frames, axis=1)
    if node.has(2):
        picked = picked * g.op("Unsqueeze", node.input(2), [-1])
    return g.op("DFT", picked, None, np.array(2), onesided=node.attribute("onesided", 1))
