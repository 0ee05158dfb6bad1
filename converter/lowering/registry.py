"""Which function lowers which operator; a rule gives TFLite operators for one node of the ONNX graph."""

from collections.abc import Callable

import onnx

from converter.lowering.builder import Builder

Rule = Callable[[Builder, onnx.NodeProto], None]
RULES: dict[str, Rule] = {}


def lowers(*operators: str) -> Callable[[Rule], Rule]:
    """Register the function below as the rule of these operators."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, rule))
        return rule

    return register
