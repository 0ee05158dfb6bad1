"""Which operators can be differentiated, and how: the table of docs/training.md.

``python -m converter.autodiff.coverage`` prints it with totals, ``... coverage docs/training.md`` writes it there.
That what is covered is also right is checked on ONNX's own test cases, in tests/converter/test_backend_cases.py.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import onnx

import converter.autodiff  # noqa: F401  (the rules register themselves)
from converter.autodiff.inline import has_function
from converter.autodiff.registry import EXPANSIONS, RULES

OPSET = onnx.defs.onnx_opset_version()
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"

# Reviewed by hand: what has no gradient, and why.
NOT_DIFFERENTIABLE = {
    "piecewise constant": "Ceil Floor Hardmax Round Sign",
    "gives booleans, or takes them": "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Xor",
    "gives integers, or works on bits": """ArgMax ArgMin BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr
        BitwiseXor NonMaxSuppression NonZero Shape Size""",
    "integer arithmetic": "ConvInteger DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul",
    "makes numbers from shapes, limits or attributes": """BlackmanWindow Constant ConstantOfShape EyeLike HammingWindow
        HannWindow MelWeightMatrix Range""",
    "random": "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike",
    "works on strings or files": """ImageDecoder RegexFullMatch StringConcat StringNormalizer StringSplit
        TfIdfVectorizer""",
    "works on sequences or optional values": """ConcatFromSequence Optional OptionalGetElement OptionalHasElement
        SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap
        SplitToSequence""",
}


def _operators() -> list[str]:
    """Those of the newest opset's default domain that are not deprecated."""
    schemas = onnx.defs.get_all_schemas()
    return sorted(schema.name for schema in schemas if schema.domain == "" and not schema.deprecated)


_REASONS = {kind: reason for reason, kinds in NOT_DIFFERENTIABLE.items() for kind in kinds.split()}
DIFFERENTIABLE = [kind for kind in _operators() if kind not in _REASONS]


def how(kind: str) -> str:
    """By what the operator is differentiated: the file of its rule or expansion, or ONNX's function; "" if not."""
    known = RULES.get(kind)
    if known is not None:
        return known.gradient.__module__.rpartition(".")[2]
    expansion = EXPANSIONS.get(kind)
    if expansion is not None:
        return f"{expansion.outputs.__module__.rpartition('.')[2]}, written out"
    return "ONNX's function, written out" if has_function(kind, OPSET) else ""


COVERED = [kind for kind in DIFFERENTIABLE if how(kind)]
NOT_COVERED = [kind for kind in DIFFERENTIABLE if not how(kind)]


def totals() -> str:
    """One sentence with the counts."""
    share = 100 * len(COVERED) / len(DIFFERENTIABLE)
    return (
        f"Of the {len(_operators())} operators of opset {OPSET}, {len(DIFFERENTIABLE)} are differentiable, and "
        f"{len(COVERED)} of these are covered ({share:.0f} %)."
    )


def table() -> str:
    """The coverage as Markdown."""
    ways: dict[str, list[str]] = {}
    for kind in COVERED:
        ways.setdefault(how(kind), []).append(kind)
    rows = [f"| {way} | {' '.join(kinds)} |" for way, kinds in sorted(ways.items())]
    if NOT_COVERED:
        rows.append(f"| **not covered** | {' '.join(NOT_COVERED)} |")
    for reason, kinds in NOT_DIFFERENTIABLE.items():
        rows.append(f"| not differentiable: {reason} | {' '.join(sorted(kinds.split()))} |")
    return "\n".join([totals(), "", "| file in `converter/autodiff/rules` | operators |", "|---|---|", *rows])


def written(page: str) -> str:
    """The page with the present table between its two markers."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def main(arguments: Sequence[str]) -> None:
    """Print the table, or bring the pages that are named up to date."""
    for name in arguments:
        page = Path(name)
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
    if not arguments:
        print(table())


if __name__ == "__main__":
    main(sys.argv[1:])
