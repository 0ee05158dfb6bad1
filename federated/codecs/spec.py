"""Codecs by name, as a settings file, a command line and a message's header write them.

A codec is ``name``, ``name:key=value,key=value``, with what it holds in brackets: ``feedback(topk:fraction=0.01)``.
Rules by layer are ``layers(<256=half;*.weight=qsgd:bucket=2048;*=half)``. `default` and `aggressive` stand for what was
measured to lose nothing, and little.
"""

from dataclasses import fields
from typing import Any

from edge_runtime.errors import InputError, hint
from federated.codecs.clip import Clip
from federated.codecs.codec import Codec
from federated.codecs.drive import Drive
from federated.codecs.feedback import Feedback
from federated.codecs.half import Half
from federated.codecs.layers import Layers, Rule
from federated.codecs.lossless import Lossless
from federated.codecs.lowrank import LowRank
from federated.codecs.mask import Mask
from federated.codecs.qsgd import QSGD
from federated.codecs.signsgd import Sign, Vote
from federated.codecs.terngrad import TernGrad
from federated.codecs.topk import Threshold, TopK
from federated.spec import read

CODECS: dict[str, type[Any]] = {
    "clip": Clip,
    "drive": Drive,
    "feedback": Feedback,
    "half": Half,
    "layers": Layers,
    "lossless": Lossless,
    "lowrank": LowRank,
    "mask": Mask,
    "qsgd": QSGD,
    "sign": Sign,
    "terngrad": TernGrad,
    "threshold": Threshold,
    "topk": TopK,
    "vote": Vote,
}
NAMED = {
    "default": "qsgd:bucket=320",
    "aggressive": "qsgd:bucket=6400",
}
_LONGEST = 255
_DEEPEST = 4


def parse(text: str) -> Codec:
    """The codec that `text` names.

    >>> parse("topk:fraction=0.02(half)")
    TopK(fraction=0.02, inner=Half())

    Raises:
        InputError: there is no such codec or parameter, a value is out of range, or the text is not well formed.
    """
    text = NAMED.get(text.strip(), text.strip())
    if len(text) > _LONGEST or not text.isascii():
        raise InputError(f"codec: expected at most {_LONGEST} plain characters, got {len(text)}")
    return _parse(text, 0)


def spec(codec: Codec) -> str:
    """The shortest text that `parse` turns into this codec.

    >>> spec(TopK(0.02, Half()))
    'topk:fraction=0.02(half)'
    """
    (name,) = (name for name, kind in CODECS.items() if type(codec) is kind)
    if isinstance(codec, Layers):
        return f"{name}({';'.join(f'{rule.pattern}={spec(rule.codec)}' for rule in codec.rules)})"
    given = {each.name: getattr(codec, each.name) for each in fields(codec)}  # type: ignore[arg-type]
    inner, usual = given.pop("inner", None), CODECS[name]()
    changed = [f"{key}={_word(value)}" for key, value in given.items() if value != getattr(usual, key)]
    head = name + (":" + ",".join(changed) if changed else "")
    return head if inner is None or inner == usual.inner else f"{head}({spec(inner)})"


def _parse(text: str, depth: int) -> Codec:
    if depth > _DEEPEST:
        raise InputError(f"codec: more than {_DEEPEST} codecs within each other")
    head, bracket, rest = text.partition("(")
    if bracket and not rest.endswith(")"):
        raise InputError(f"codec '{text}': a bracket is not closed")
    name, _, settings = head.partition(":")
    kind = CODECS.get(name)
    if kind is None:
        known = [*NAMED, *CODECS]
        raise InputError(f"codec '{name}': there are {', '.join(known)}{hint(name, known)}")
    if bracket and kind is Layers:
        return Layers(tuple(_rule(part, depth + 1) for part in _divide(rest[:-1])))
    given = dict(_setting(name, pair, kind) for pair in settings.split(",")) if settings else {}
    if bracket:
        if all(each.name != "inner" for each in fields(kind)):
            raise InputError(f"codec '{name}': holds no other codec")
        given["inner"] = _parse(rest[:-1], depth + 1)
    made: Codec = kind(**given)
    return made


def _setting(name: str, pair: str, kind: type[Any]) -> tuple[str, Any]:
    key, sign, word = pair.partition("=")
    usual = {
        each.name: getattr(kind(), each.name) for each in fields(kind) if each.name not in ("inner", "rules")
    }
    if key not in usual or not sign:
        takes = ", ".join(usual) or "no parameters"
        raise InputError(f"codec '{name}': '{pair}': it takes {takes}{hint(key, usual)}")
    return key, read(word, type(usual[key]), f"codec '{name}': {key}")


def _rule(text: str, depth: int) -> Rule:
    pattern, sign, codec = text.partition("=")
    if not sign:
        raise InputError(f"layers: rule '{text}': expected pattern=codec")
    return Rule(pattern, _parse(codec, depth))


def _divide(text: str) -> list[str]:
    """The parts between semicolons that stand in no bracket."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == ";" and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
