"""What does not go together is refused when the settings are made, with the reason and the way out."""

import pytest

from edge_runtime.errors import InputError
from federated import codecs
from federated.compose import bits
from federated.settings import Settings

MANY = {"clients": 60}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"defence": "median", "codec": "default"}, "less than 4 bits.*take a codec of at least 4 bits"),
        ({"defence": "krum:f=1", "codec": "terngrad"}, "less than 4 bits"),
        ({"defence": "bulyan:f=1", "codec": "topk"}, "less than 4 bits"),
        ({"defence": "trimmed-mean", "codec": "mask:fraction=0.1(half)"}, "less than 4 bits"),
        ({"defence": "median", "codec": "layers(*.b=half;*=terngrad)"}, "less than 4 bits"),
        ({"defence": "clipping", "codec": "vote"}, "vote"),
        ({"defence": "median", "clients": 2}, "needs 3 devices in a round, and there are 2"),
        ({"defence": "detect", "privacy": "central"}, "stated epsilon would be wrong"),
        ({"secure": 20, "codec": "half"}, "leave the codec away"),
        ({"secure": 20, "downlink": "qsgd:bucket=64"}, "leave the downlink codec away"),
        ({"secure": 2}, "hides nobody"),
        ({"secure": 20, "sample": 2}, "hides nobody"),
        ({"secure": 20, "privacy": "central"}, "take privacy 'local'"),
        (
            {"secure": 20, "defence": "krum"},
            "only sums of groups can be judged; 20 devices in groups of 20 make 1",
        ),
        ({"defence": "detect", "codec": "default"}, "less than 4 bits"),
        ({"secure": 20, "strategy": "krum"}, "compares single devices"),
        ({"secure": 20, "strategy": "multikrum:num_malicious_nodes=1"}, "compares single devices"),
        ({"strategy": "fedadam", "defence": "median"}, "aggregates by itself"),
        ({"strategy": "fedadam", "privacy": "local"}, "aggregates by itself"),
        ({"strategy": "fedxgbbagging"}, "trees"),
        ({"defence": "medan"}, "did you mean 'median'"),
        ({"codec": "feedback(qsgd)"}, "an unbiased codec needs no error feedback"),
        ({"codec": "feedback(mask:fraction=0.1(half))"}, "needs no error feedback"),
    ],
)
def test_is_refused(settings, says):
    with pytest.raises(InputError, match=says):
        Settings(**({"clients": 20} | settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"defence": "median", "codec": "qsgd:bits=4,norm=max"},
        {"defence": "median", "codec": "half"},
        {"defence": "krum", "codec": "clip:norm=1(qsgd:bits=8,norm=max)"},
        {"defence": "trimmed-mean", "codec": "mask:fraction=0.5,common=yes(half)"},
        {"defence": "geometric-median", "codec": "drive:bits=4"},
        {"defence": "detect", "privacy": "local"},
        {"secure": 20},
        {"secure": 5, "defence": "detect"},
        {"secure": 20, "privacy": "local"},
        {"secure": 20, "strategy": "fedadam"},
        {"privacy": "central", "codec": "default"},
        {"strategy": "krum", "codec": "default"},
        {"codec": "feedback(topk)"},
    ],
)
def test_goes_together(settings):
    Settings(**(MANY | settings))


@pytest.mark.parametrize(
    ("codec", "count"),
    [
        ("half", 16),
        ("qsgd:bits=4,norm=max", 4),
        ("qsgd:bits=2,norm=max", 2),
        ("qsgd:levels=7", 3.9),
        ("drive:bits=3", 3),
    ],
)
def test_bits_of_a_codec(codec, count):
    assert bits(codecs.parse(codec)) == pytest.approx(count, abs=0.01)
