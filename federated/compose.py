"""Compositions of codec, defence, privacy and secure aggregation that are wrong by nature, refused before a run.

Each refusal says why it cannot work and what to do instead. What was measured stands in docs/federated.md. (Error
feedback around an unbiased codec, or around a mask that changes from round to round, cannot even be written:
`federated.codecs.feedback` refuses it.)
"""

import math
from dataclasses import dataclass

from edge_runtime.errors import InputError
from federated import codecs
from federated.codecs.clip import Clip
from federated.codecs.codec import Codec
from federated.codecs.drive import Drive
from federated.codecs.feedback import Feedback
from federated.codecs.half import Half
from federated.codecs.layers import Layers
from federated.codecs.lossless import Lossless
from federated.codecs.lowrank import LowRank
from federated.codecs.mask import Mask
from federated.codecs.qsgd import QSGD
from federated.codecs.signsgd import Vote
from federated.privacy import dp
from federated.robust import rule as rules
from federated.robust.submission import Rule

LEAST_BITS = 4
_FINE = "qsgd:bits=4,norm=max"
# What homomorphic encryption does not go with, and why.
_PLAIN = {
    "codec": "encrypted numbers look random and no coding makes them smaller; leave the codec away, or take secure "
    "aggregation, which shrinks what it hides",
    "downlink": "a device must start from the model that the sum is added to, sent whole; leave the codec away",
    "defence": "there is one sum of all devices and nothing to judge; take secure aggregation in small groups, whose "
    "sums are judged",
    "secure": "either hides single updates already; leave one away",
    "privacy": "the server cannot clip what it does not see; take privacy 'local', where devices clip and add noise",
}
_COMPARING = ("krum", "multikrum", "bulyan", "fedmedian", "fedtrimmedavg", "qfedavg")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run composes, as its settings write it; empty is without. `secure` is the size of a group."""

    codec: str = ""
    downlink: str = ""
    defence: str = ""
    privacy: str = ""
    strategy: str = ""
    secure: int = 0
    encrypt: bool = False
    clients: int = 5
    per_round: int = 5


def check(plan: Plan) -> None:
    """Do nothing if the parts of a run go together.

    Raises:
        InputError: two of them do not, or one is not well formed; the sentence has the reason and the way out.
    """
    codec = codecs.parse(plan.codec) if plan.codec else None
    rule = rules.parse(plan.defence) if plan.defence else None
    privacy = dp.parse(plan.privacy) if plan.privacy else None
    if plan.strategy and (rule or privacy):
        raise InputError(
            f"strategy '{plan.strategy}' aggregates by itself, which leaves no place for defence or privacy; "
            "take one, or a strategy that has it, such as multikrum or dp-server-fixed"
        )
    if plan.strategy.startswith("fedxgb"):
        raise InputError(
            f"strategy '{plan.strategy}' aggregates trees of XGBoost, and these clients train networks"
        )
    if rule is not None:
        _defended(plan, rule, codec)
    if privacy is not None and codec is not None:
        _private(plan, codec)
    if plan.secure:
        _secure(plan, codec)
    if plan.encrypt:
        _encrypted(plan)


def bits(codec: Codec) -> float:
    """How finely a codec writes an element, in bits; 0 where each device leaves most elements out."""
    if isinstance(codec, Half | Lossless):
        return 16.0
    if isinstance(codec, Drive):
        return float(codec.bits)
    if isinstance(codec, QSGD):
        return float(codec.bits) if codec.bits else math.log2(2 * codec.most + 1)
    if isinstance(codec, Clip | Feedback):
        return bits(codec.inner)
    if isinstance(codec, Mask):
        return bits(codec.inner) if codec.common else 0.0
    if isinstance(codec, LowRank):
        return 0.0  # a few directions, each device its own
    if isinstance(codec, Layers):
        return min(bits(each.codec) for each in codec.rules)
    return 0.0  # sparse, sign, ternary


def _defended(plan: Plan, rule: Rule, codec: Codec | None) -> None:
    name = plan.defence.partition(":")[0]
    if codec is not None and rule.fine and bits(codec) < LEAST_BITS:
        raise InputError(
            f"codec '{plan.codec}' with defence '{name}': in updates of less than {LEAST_BITS} bits nearly every "
            "element is 0 or noise, and so is a median of them or the distance between two; "
            f"take a codec of at least {LEAST_BITS} bits, such as {_FINE}"
        )
    if isinstance(codec, Vote):
        raise InputError(
            f"codec 'vote' settles by majority already, so defence '{name}' has nothing to do; leave one away"
        )
    hidden = bool(plan.secure) and rule.inspects
    judged = plan.per_round // plan.secure if hidden else plan.per_round
    if hidden and judged < rule.least(judged):
        raise InputError(
            f"secure aggregation with defence '{name}': single updates are hidden, only sums of groups can be judged; "
            f"{plan.per_round} devices in groups of {plan.secure} make {judged}, and it needs {rule.least(judged)}: "
            "ask more devices a round, or take smaller groups"
        )
    if judged < rule.least(judged):
        raise InputError(
            f"defence '{name}' needs {rule.least(judged)} devices in a round, and there are {judged}; "
            "ask more devices, expect fewer hostile ones, or leave it away"
        )
    if plan.privacy.startswith("central"):
        raise InputError(
            f"defence '{name}' with central privacy: what it sets aside depends on all devices, which the noise "
            "does not cover, so the stated epsilon would be wrong; "
            "privacy clips each device already, or take privacy 'local'"
        )


def _private(plan: Plan, codec: Codec) -> None:
    if plan.privacy.startswith("central") and not isinstance(codec, Clip):
        return  # the server clips again what it decodes
    if isinstance(codec, Vote):
        raise InputError("codec 'vote' with privacy: a majority has no norm to clip; take another codec")


def _secure(plan: Plan, codec: Codec | None) -> None:
    if codec is not None:
        raise InputError(
            f"secure aggregation with codec '{plan.codec}': masked updates look random and no two devices may choose "
            "other elements, so it has a coding of its own, a shared mask and rounding, summed exactly; "
            "leave the codec away"
        )
    if plan.downlink:
        raise InputError(
            "secure aggregation with a downlink codec: a device must start from the model that the sum is added to, "
            "sent whole; leave the downlink codec away"
        )
    if plan.secure < 3 or plan.per_round < 3:
        raise InputError(
            f"secure aggregation in groups of {plan.secure}, {plan.per_round} devices a round: "
            "a sum of less than 3 hides nobody; take groups and rounds of at least 3 devices"
        )
    if plan.privacy.startswith("central"):
        raise InputError(
            "secure aggregation with central privacy: the server cannot clip what it does not see, so one device "
            "could exceed what the noise covers; take privacy 'local', where devices clip and add noise"
        )
    if plan.strategy.partition(":")[0] in _COMPARING:
        raise InputError(
            f"secure aggregation with strategy '{plan.strategy}': it compares single devices, which are hidden; "
            "take a defence, which judges sums of groups, or a strategy that averages"
        )


def _encrypted(plan: Plan) -> None:
    for name, why in _PLAIN.items():
        value = getattr(plan, name)
        if value and (name != "privacy" or value.startswith("central")):
            raise InputError(f"homomorphic encryption with {name} '{value}': {why}")
    if plan.per_round < 3:
        raise InputError(
            f"homomorphic encryption with {plan.per_round} devices a round: a sum of less than 3 hides nobody; "
            "ask at least 3"
        )
    if plan.strategy.partition(":")[0] in _COMPARING:
        raise InputError(
            f"homomorphic encryption with strategy '{plan.strategy}': it compares single devices, which are hidden; "
            "take a strategy that averages"
        )
