"""The rules, a file for each family of operators."""

from converter.lowering.rules import (
    arithmetic,
    convolution,
    dense,
    normalization,
    pooling,
    reduction,
    selection,
    shape,
    unary,
)

__all__ = [
    "arithmetic",
    "convolution",
    "dense",
    "normalization",
    "pooling",
    "reduction",
    "selection",
    "shape",
    "unary",
]
