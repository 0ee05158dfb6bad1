import itertools

from hypothesis import given
from hypothesis import strategies as st

from federated import seeds

SEEDS = st.integers(0, 2**63)


@given(SEEDS, st.integers(0, 10_000), st.integers(0, 2**64 - 1))
def test_the_same_place_gives_the_same_number(seed, number, client):
    first = seeds.number(seed, "train", number, client)
    assert first == seeds.number(seed, "train", number, client)
    assert 0 <= first < 2**32
    assert (
        seeds.generator(seed, "sample", number).random() == seeds.generator(seed, "sample", number).random()
    )


def test_places_do_not_share_their_numbers():
    places = [
        (s, p, *n)
        for s in range(4)
        for p in ("holdout", "split", "sample", "train")
        for n in ((), (0,), (0, 0), (0, 1), (1,), (1, 0))
    ]
    drawn = [seeds.number(seed, purpose, *numbers) for seed, purpose, *numbers in places]
    assert len(set(drawn)) == len(places)
    assert all(a != b for a, b in itertools.combinations(drawn[:10], 2))
