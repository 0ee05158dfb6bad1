"""Which shard a device takes."""

from collections import Counter

from cloud.broker.placement import placed

SHARDS = [f"mqtts://b:{i}" for i in range(5)]
NAMES = [f"pi-{i}" for i in range(5000)]


def test_each_shard_gets_its_share():
    found = Counter(placed(name, SHARDS)[0] for name in NAMES)
    assert all(0.9 < found[shard] / 1000 < 1.1 for shard in SHARDS)


def test_a_shard_that_goes_moves_only_its_own():
    rest = SHARDS[1:]
    for name in NAMES[:500]:
        before, after = placed(name, SHARDS), placed(name, rest)
        assert after == tuple(each for each in before if each != SHARDS[0])


def test_the_order_in_which_they_are_named_does_not_matter():
    assert placed("pi-1", SHARDS) == placed("pi-1", SHARDS[::-1])
