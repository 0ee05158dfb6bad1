from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import FleetError, InputError
from federated.aggregate import sample_clients
from federated.rounds.selection import Condition, Policy, Record, choose, ready


def test_those_that_do_not_charge_are_left_alone():
    conditions = {1: Condition(charging=False), 2: Condition(unmetered=False), 3: Condition()}
    assert ready(conditions, [4, 3, 2, 1], Policy()) == [3, 4]
    assert ready(conditions, [4, 3, 2, 1], Policy(needs=("unmetered",))) == [1, 3, 4]
    assert ready(conditions, [4, 3, 2, 1], Policy(needs=())) == [1, 2, 3, 4]


def test_without_records_it_is_the_sample_of_algorithm_1():
    assert choose(range(10, 60), 7, 3, 5) == sample_clients(list(range(10, 60)), 7, 3, 5)


@given(st.sets(st.integers(0, 99), min_size=1), st.data())
def test_a_choice_is_of_distinct_devices_and_the_same_again(devices, data):
    count = data.draw(st.integers(1, len(devices)))
    known = data.draw(st.sets(st.sampled_from(sorted(devices))))
    records = {k: Record(10 * k + 1, 0.5, 1.0, k % 3) for k in known}
    policy = Policy(useful=True)
    found = choose(devices, count, 1, 4, policy=policy, records=records)
    assert found == choose(sorted(devices, reverse=True), count, 1, 4, policy=policy, records=records)
    assert len(set(found)) == count
    assert set(found) <= devices


def test_what_is_learned_from_is_asked_more_and_what_is_slow_less():
    records = {0: Record(100, 2.0, 1.0, 50), 1: Record(100, 0.1, 1.0, 50), 2: Record(100, 2.0, 10.0, 50)}
    policy = Policy(useful=True, explore=0.0, seconds=2.0)
    asked = Counter(k for r in range(400) for k in choose(records, 1, r, 51, policy=policy, records=records))
    assert asked[0] > 3 * asked[1]
    assert asked[0] > 5 * asked[2]


def test_new_devices_get_their_share():
    records = {k: Record(10, 1.0, 1.0, 1) for k in range(50)}
    policy = Policy(useful=True, explore=0.3)
    found = choose(range(100), 20, 0, 2, policy=policy, records=records)
    assert sum(k >= 50 for k in found) == 6


def test_too_few_devices_and_unknown_conditions_are_refused():
    with pytest.raises(FleetError, match="needs 3 clients and 2 are there"):
        choose([1, 2], 3, 0, 1)
    with pytest.raises(InputError, match="condition 'rested' is unknown"):
        Policy(needs=("rested",))
    with pytest.raises(InputError, match="explore"):
        Policy(explore=2.0)
