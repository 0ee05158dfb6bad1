"""What each codec keeps of an update: round trips, errors within their bounds, no bias, the same bytes each time."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import FleetError, InputError
from federated.codecs import CODECS, NAMED, Context, clip, decode, encode, parse, spec
from federated.codecs.drive import CENTROIDS, hadamard
from federated.codecs.signsgd import Vote

SPECS = [
    "clip:norm=0.5(half)",
    "drive",
    "drive:bits=3,block=256",
    "feedback(sign)",
    "feedback(topk:fraction=0.1)",
    "feedback(lowrank:rank=2)",
    "half",
    "layers(<20=lossless;w*=qsgd:levels=7,norm=max;*=half)",
    "lossless",
    "lowrank:rank=2",
    "lowrank:rank=2,basis=seeded",
    "mask:fraction=0.3",
    "mask:fraction=0.5,common=yes(drive)",
    "qsgd",
    "qsgd:bits=1,norm=max",
    "qsgd:bits=4,norm=max",
    "qsgd:bits=8,norm=max",
    "qsgd:bucket=64,norm=l2",
    "qsgd:levels=3,bucket=10",
    "sign",
    "terngrad",
    "threshold:times=1(qsgd:bits=4,norm=max)",
    "topk:fraction=0.05",
    "vote",
]
UNBIASED = [text for text in SPECS if text.startswith(("qsgd", "mask", "drive", "lowrank:rank=2,basis"))]


def update(seed=0, scale=1e-3):
    rng = np.random.default_rng(seed)
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (40, 30), "b2": (30,)}
    return {name: (rng.standard_t(3, shape) * scale).astype(np.float32) for name, shape in shapes.items()}


def through(text, found, context=None):
    codec = parse(text)
    return decode(encode(codec, found, context or Context()), found, codec)


def flat(found):
    return np.concatenate([found[name].ravel() for name in sorted(found)]).astype(np.float64)


def test_every_codec_is_tested_here():
    assert {text.partition(":")[0].partition("(")[0] for text in SPECS} == set(CODECS)


@pytest.mark.parametrize("text", SPECS)
def test_what_is_decoded_has_the_names_dtypes_and_shapes_that_were_encoded(text):
    found = update() | {"half": np.linspace(-1, 1, 12).astype(np.float16), "double": np.ones((2, 6))}
    found |= {"count": np.array([3, -4], np.int64), "empty": np.zeros((0, 5), np.float32)}
    found |= {"scalar": np.array(0.5, np.float32)}
    got = through(text, found)
    assert list(got) == list(found)
    for name, array in got.items():
        assert (array.dtype, array.shape) == (found[name].dtype, found[name].shape)
    np.testing.assert_array_equal(got["count"], found["count"])


@pytest.mark.parametrize("text", SPECS)
def test_nothing_becomes_nothing(text):
    nothing = {name: np.zeros_like(array) for name, array in update().items()}
    if not text.startswith("vote"):
        assert not flat(through(text, nothing)).any()
    assert through(text, {}) == {}


@pytest.mark.parametrize("text", SPECS)
def test_the_message_follows_from_update_and_context_alone(text):
    codec, found = parse(text), update()
    first = encode(codec, found, Context(3, 5, 7))
    again = encode(codec, dict(reversed(found.items())), Context(3, 5, 7))
    assert first == again
    if text in UNBIASED:
        assert encode(codec, found, Context(3, 5, 8)) != first


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        (
            "75010c64726976653a626974733d32215a4f76323d9f3e45e79ee79ce9964f9ca5839a4d9b9ee7",
            "05a53aa6843c35a5",
        ),
        (
            "7501126d61736b3a6672616374696f6e3d302e32358860a33880be00be00bd40bc80ba80b900b600b00000c03c003e803e",
            "36ba53a2ac187fdf",
        ),
        (
            "75011b6c6f7772616e6b3a72616e6b3d322c62617369733d736565646564894a803a003480340035803500368036"
            "0037803700b000b000b000b000b000b000b000b0",
            "e55ee8bf29e218ee",
        ),
        (
            "750114717367643a6e6f726d3d6d61782c626974733d340000003f00000000001111222233333434555566566677"
            "778778899999aaaabbbbbcccdddddeee",
            "c89bd12b15f9b89a",
        ),
    ],
    ids=["drive", "mask", "lowrank", "qsgd"],
)
def test_a_message_means_the_same_everywhere(message, digest):
    # Bytes that were written once, and the bits that they stood for: on every machine, with every version of NumPy.
    got = decode(bytes.fromhex(message), {"w": np.zeros((8, 8), np.float32)})["w"]
    assert hashlib.sha256(got.astype("<f4").tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("text", UNBIASED)
def test_the_mean_over_many_messages_is_the_update(text):
    codec, rounds = parse(text), 150
    rng = np.random.default_rng(1)  # normal numbers: no few elements decide
    found = {name: rng.standard_normal(array.shape).astype(np.float32) for name, array in update().items()}
    decoded = np.stack(
        [flat(decode(encode(codec, found, Context(0, k, k)), found, codec)) for k in range(rounds)]
    )
    away = decoded.mean(axis=0) - flat(found)
    # The error of a mean of n is the deviation of one over sqrt(n): its square, on average over the elements, is 1.
    expected = decoded.var(axis=0).sum() / rounds
    assert (away**2).sum() < 1.25 * expected + 1e-12 * (flat(found) ** 2).sum()
    along = decoded @ flat(found) / (flat(found) ** 2).sum()
    assert along.mean() == pytest.approx(1, abs=4 * along.std() / np.sqrt(rounds) + 1e-3)


@pytest.mark.parametrize("text", [text for text in SPECS if text.startswith("feedback")])
def test_with_feedback_nothing_is_lost_for_good(text):
    found, context = update(), Context()
    total = sum(flat(through(text, found, Context(0, k, 0, context.memory))) for k in range(1, 61))
    once = np.linalg.norm(flat(through(text.partition("(")[2][:-1], found)) - flat(found))
    assert np.linalg.norm(total / 60 - flat(found)) < 0.4 * once


def test_errors_are_within_their_bounds():
    found = update()
    vector = flat(found)
    np.testing.assert_array_equal(flat(through("lossless", found)), vector)
    assert np.abs(flat(through("half", found)) - vector).max() <= np.abs(vector).max() * 2**-11
    for bits, levels in ((2, 1), (4, 7), (8, 127)):
        got = flat(through(f"qsgd:bits={bits},norm=max,bucket=64", found))
        largest = np.repeat([np.abs(part).max() for part in np.split(vector, range(64, vector.size, 64))], 64)
        step = (
            largest[: vector.size] * 2 ** (1 / 8) / levels
        )  # a bucket's scale is rounded up by an eighth of an octave
        assert (np.abs(got - vector) <= step * 1.001).all()
    for text, bits in (("drive", 1), ("drive:bits=2", 2), ("drive:bits=3", 3), ("drive:bits=4", 4)):
        error = np.linalg.norm(flat(through(text, found)) - vector) / np.linalg.norm(vector)
        assert error < [0.80, 0.41, 0.21, 0.12][bits - 1]
    kept = flat(through("topk:fraction=0.05(lossless)", found))
    assert np.count_nonzero(kept) == round(0.05 * vector.size)
    assert np.abs(vector[kept == 0]).max() <= np.abs(kept[kept != 0]).min()
    beyond = flat(through("threshold:times=2(lossless)", found))
    np.testing.assert_array_equal(
        beyond, np.where(np.abs(vector) > 2 * np.sqrt((vector**2).mean()), vector, 0)
    )


def test_low_rank_gives_a_matrix_of_that_rank_back():
    rng = np.random.default_rng(0)
    matrix = (rng.standard_normal((50, 2)) @ rng.standard_normal((2, 40))).astype(np.float32)
    got = through("lowrank:rank=2(lossless)", {"w": matrix})["w"]
    np.testing.assert_allclose(got, matrix, rtol=1e-4, atol=1e-4)


def test_what_a_codec_remembers_of_another_model_is_forgotten():
    context = Context()
    for shape in ((50, 40), (50, 30)):
        found = {"w": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
        assert through("feedback(lowrank:rank=2)", found, context)["w"].shape == shape


def test_drive_is_the_paper_s():
    blocks = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    np.testing.assert_allclose(hadamard(hadamard(blocks)), blocks, atol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(hadamard(blocks), axis=1), np.linalg.norm(blocks, axis=1), rtol=1e-5
    )
    normal = np.abs(np.random.default_rng(1).standard_normal(400_000))
    for (
        centroids
    ) in CENTROIDS.values():  # each is the mean of what is nearest to it: the condition of Lloyd and Max
        nearest = np.abs(normal[:, None] - np.array(centroids)).argmin(axis=1)
        means = [normal[nearest == i].mean() for i in range(len(centroids))]
        np.testing.assert_allclose(means, centroids, atol=0.02)


def test_coarse_codecs_are_small():
    rng = np.random.default_rng(0)
    found = {"w": (rng.standard_normal((500, 200)) * 1e-3).astype(np.float32)}
    ratio = {
        text: 400_000 / len(encode(parse(text), found, Context())) for text in (*NAMED, "terngrad", "sign")
    }
    assert ratio["default"] > 90  # of normal numbers; real updates have longer tails, so more zeros
    assert ratio["aggressive"] > 320
    assert ratio["terngrad"] > 20.2  # 32 / log2(3)
    assert ratio["sign"] > 31.9


def test_votes_are_counted():
    votes = [{"w": np.array(row, np.float32)} for row in ([1, -2, 3], [1, -1, -1], [-9, -1, 0.5])]
    codec = parse("vote:step=0.5")
    assert isinstance(codec, Vote)
    signs = [decode(encode(codec, vote, Context()), vote, codec)["w"] for vote in votes]
    np.testing.assert_array_equal(signs, 0.5 * np.array([[1, -1, 1], [1, -1, -1], [-1, -1, 1]]))
    np.testing.assert_array_equal(codec.settle({"w": np.mean(signs, axis=0)})["w"], [0.5, -0.5, 0.5])


def test_the_norm_holds_again_after_decoding():
    found = update(scale=1.0)
    coarse = flat(through("qsgd:bucket=1000,norm=l2", clip(found, 0.5)))
    assert np.linalg.norm(coarse) > 1
    again = flat(through("clip:norm=0.5(qsgd:bucket=1000,norm=l2)", found))
    assert np.linalg.norm(again) <= 0.5001
    small = update(scale=1e-6)
    assert clip(small, 0.5)["w1"] is not small["w1"]
    np.testing.assert_array_equal(clip(small, 0.5)["w1"], small["w1"])


@pytest.mark.parametrize("text", SPECS)
def test_a_spec_is_read_and_written(text):
    codec = parse(text)
    assert parse(spec(codec)) == codec
    assert spec(parse(spec(codec))) == spec(codec)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text(alphabet="qsgdtopkhalflayers:=,();<*.0123456789 inf-e", max_size=60))
def test_any_text_is_a_codec_or_one_sentence(text):
    try:
        codec = parse(text)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert parse(spec(codec)) == codec


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("qsdg", "did you mean 'qsgd'"),
        ("qsgd:level=3", "did you mean 'levels'"),
        ("qsgd:levels=many", "expected a whole number"),
        ("qsgd:levels=128", "expected 1 to 127"),
        ("qsgd:bits=1", "needs norm=max"),
        ("half(qsgd)", "holds no other codec"),
        ("topk(half", "a bracket is not closed"),
        ("topk:fraction=2", "at most 1"),
        ("topk:fraction=nan", "at most 1"),
        ("mask:common=perhaps", "expected yes or no"),
        ("feedback(qsgd)", "needs no error feedback"),
        ("feedback(mask)", "needs no error feedback"),
        ("feedback(lowrank:basis=seeded)", "needs no error feedback"),
        ("layers(a=half)", "the last rule has to be"),
        ("layers(<x=half;*=half)", "expected a name with"),
        ("clip(clip(clip(clip(clip(clip(half))))))", "within each other"),
        ("x" * 300, "at most 255"),
    ],
)
def test_what_is_no_codec_is_said_in_one_sentence(text, says):
    with pytest.raises(InputError, match=says):
        parse(text)


def test_what_is_not_finite_is_not_sent():
    with pytest.raises(FleetError, match="training diverged"):
        encode(parse("half"), {"w": np.array([1, np.nan], np.float32)}, Context())
