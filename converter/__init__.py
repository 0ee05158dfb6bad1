"""From a framework's model to ONNX, and from ONNX to what a device runs or trains."""

from converter.convert import convert
from converter.differentiate import differentiate
from converter.lowering import lower
from converter.optimize import optimize

__all__ = ["convert", "differentiate", "lower", "optimize"]
