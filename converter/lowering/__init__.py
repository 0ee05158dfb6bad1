"""From ONNX to the forms of other engines."""

from converter.lowering.lower import lower

__all__ = ["lower"]
