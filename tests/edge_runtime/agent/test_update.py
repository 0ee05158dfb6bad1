import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.agent import events as on
from edge_runtime.agent import update
from edge_runtime.agent.standing import State
from edge_runtime.errors import FleetError
from edge_runtime.messages.twin import ENDED
from tests.edge_runtime.agent.machine import SHADOW, Device, digest, wish

ONE, TWO, BAD = digest("one"), digest("two"), digest("bad")


def device(*models, **more):
    """A device on which these models were rolled out, one after the other."""
    made = Device(**more)
    made.boot()
    for v, name in enumerate(models, 1):
        made.happen(on.Wish(wish(v, name)))
        made.settle()
    return made


def test_the_first_model_and_the_next():
    found = device("one")
    assert (found.state.state, found.model(), found.state.slot) == ("running", ONE, "a")
    found.happen(on.Wish(wish(2, "two", probation_s=100, probes=3)))
    names = [found.state.state]
    while found.advance():
        names.append(found.state.state)
    assert list(dict.fromkeys(names)) == ["waiting", "fetching", "switching", "probation", "running"]
    assert (found.model(), found.state.previous, found.state.good) == (TWO, ONE, (ONE, TWO))
    assert found.now >= found.state.since - 1 >= 1e9 + 99  # the probation was waited for


def test_a_model_that_fails_once_it_answers_is_taken_back():
    found = device("one", "bad", bad=frozenset({BAD}))
    assert (found.state.state, found.model(), found.state.slot) == ("reverted", ONE, "a")
    assert "not healthy" in found.state.error
    assert BAD in found.answered
    assert found.state.previous == ""  # nobody goes to it any more


def test_a_first_model_that_fails_leaves_none():
    found = device("bad", bad=frozenset({BAD}))
    assert (found.state.state, found.link, found.state.slot) == ("reverted", "", "")


def test_a_model_that_does_not_open_never_answers():
    found = device("one", "bad", unfit=frozenset({BAD}))
    assert (found.state.state, found.model()) == ("failed", ONE)
    assert BAD not in found.answered


def test_the_shadow_decides():
    found = device("one", wrong=frozenset({BAD}))
    found.happen(on.Wish(wish(2, "bad", shadow=SHADOW)))
    assert found.settle() == "failed"
    assert "accuracy falls by 900000 ppm, 20000 are allowed" in found.state.error
    assert BAD not in found.answered
    found.happen(on.Wish(wish(3, "two", shadow=SHADOW)))
    assert found.settle() == "running"
    assert found.state.shadow["correct"] == 90


def test_older_wishes_and_the_same_again_change_nothing():
    found = device("one", "two")
    before = found.state
    for v in (1, 2):
        found.happen(on.Wish(wish(v, "one")))
    assert found.state == before


def test_the_way_back_needs_no_fetch_and_no_window():
    found = device("one", "two")
    found.now = 86_400.0 * 20_000  # midnight
    found.happen(on.Wish(wish(3, "one", window=("12:00", "13:00"))))
    found.online = False
    assert found.settle() == "running"
    assert found.model() == ONE
    assert found.now < 86_400.0 * 20_000 + 60


def test_a_window_is_waited_for_after_fetching():
    found = device("one")
    found.now = 86_400.0 * 20_000
    found.happen(on.Wish(wish(2, "two", window=("02:00", "04:00"))))
    while found.state.state != "probation":
        assert found.advance()
    assert 2 * 3600 <= found.now % 86_400 < 4 * 3600
    assert found.state.held("b") == TWO


def test_jitter_delays_the_fetch_by_its_share():
    found = device("one")
    found.happen(on.Wish(wish(2, "two", jitter_s=600), draw=0.5))
    assert update.due(found.state) == found.now + 300


def test_a_network_that_is_away_is_waited_for_longer_and_longer():
    found = device("one")
    found.online = False
    found.happen(on.Wish(wish(2, "two")))
    waits = []
    for _ in range(40):
        before = found.now
        found.advance()
        waits.append(found.now - before)
    assert found.state.state == "fetching"
    assert max(waits) == update.RETRY_S[1]
    assert found.state.error == "the network is away"
    found.online = True
    assert found.settle() == "running"
    assert found.state.error == ""


def test_a_wish_in_the_probation_waits_for_its_end_unless_it_goes_back():
    found = device("one")
    found.happen(on.Wish(wish(2, "two", probation_s=1000)))
    while found.state.state != "probation":
        found.advance()
    found.happen(on.Wish(wish(3, "three")))
    assert (found.state.v, found.state.next.v) == (2, 3)  # slot a holds the last good model
    assert found.settle() == "running"
    assert found.model() == digest("three")
    assert found.state.v == 3


def test_an_abort_in_the_probation_goes_back_at_once():
    found = device("one")
    found.happen(on.Wish(wish(2, "two", probation_s=1000)))
    while found.state.state != "probation":
        found.advance()
    began = found.now
    found.happen(on.Wish(wish(3, "one")))
    assert found.settle() == "running"
    assert (found.model(), found.now - began < 1) == (ONE, True)


def test_nothing_is_what_it_runs_if_that_is_wished():
    found = device("one", None)
    assert (found.state.state, found.link, found.state.model) == ("running", "", "")


def test_boots_without_a_passed_probe_bring_the_old_model_back():
    found = device("one")
    found.happen(on.Wish(wish(2, "two")))
    while not (found.state.state == "probation" and found.pending):
        found.advance()
    for _ in range(update.BOOTS):
        found.boot()
        found.advance()  # a probe begins, and the device goes down in it
    assert (found.state.state, found.model()) == ("reverted", ONE)
    assert "started 3 times" in found.state.error


def test_errors_of_applications_bring_the_old_model_back():
    found = device("one")
    found.happen(on.Wish(wish(2, "two")))
    while found.state.state != "probation":
        found.advance()
    found.happen(on.Lived(100, 4))
    assert found.state.state == "probation"
    found.happen(on.Lived(30, 4))
    assert (found.state.state, found.model()) == ("reverted", ONE)
    assert "4 of 30" in found.state.error


def test_revert_on_command():
    found = device("one", "two")
    found.happen(on.Revert())
    assert (found.state.state, found.model()) == ("reverted", ONE)
    found.happen(on.Revert())  # there is no further back
    assert found.model() == ONE


def test_a_damaged_slot_is_left_for_the_other_one():
    found = device("one", "two")
    found.slots["b"] = ""  # two answers, and its file is not what it was
    found.boot()
    found.settle()
    assert (found.state.state, found.model()) == ("reverted", ONE)
    assert "damaged" in found.state.error


def test_a_damaged_slot_without_another_is_fetched_again():
    found = device("one")
    found.slots["a"] = ""
    found.boot()
    assert found.settle() == "running"
    assert found.model() == ONE


def test_a_disk_without_room_for_three_gives_up_the_previous_model_first():
    found = device("one", "two", tight=True)
    found.online = False
    found.happen(on.Wish(wish(3, "three")))
    for _ in range(3):
        found.advance()
    assert (found.model(), found.state.previous, found.slots["a"]) == (TWO, "", "")
    found.happen(on.Revert())  # there is nothing to go back to any more
    assert found.model() == TWO
    found.online = True
    assert found.settle() == "running"
    assert found.model() == digest("three")


def test_a_lost_state_is_made_of_what_answers():
    found = device("one", "two")
    found.kept = State().to_json()
    found.boot()
    assert (found.state.state, found.model(), found.state.v) == ("running", TWO, 0)
    found.settle()
    assert found.model() == TWO


def test_the_state_is_kept_whole_as_json():
    found = device("one")
    found.happen(on.Wish(wish(2, "two", shadow=SHADOW, window=("01:00", "02:00"), federated={"broker": "x"})))
    assert State.from_json(json.loads(json.dumps(found.state.to_json()))) == found.state
    for broken in ({}, {"v": -1}, {**found.state.to_json(), "state": "elsewhere"}):
        with pytest.raises(FleetError):
            State.from_json(broken)


EVENTS = st.one_of(
    st.just("advance"), st.just("advance"), st.just("advance"), st.just("boot"), st.just("cut"),
    st.just("offline"), st.just("online"), st.just("revert"), st.just("lived"),
    st.tuples(st.just("wish"), st.sampled_from(["one", "two", "three", "bad", "wrong", "unfit", None]), st.booleans()),
)  # fmt: skip


class CutError(Exception):
    """The power."""


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.lists(EVENTS, max_size=40), st.integers(0, 5), st.booleans())
def test_whatever_happens_something_good_answers(script, when, tight):
    """Wishes, power cuts between any two writes, networks that come and go: never an unproven model at the end."""
    bad, wrong, unfit = (frozenset({digest(name)}) for name in ("bad", "wrong", "unfit"))
    found = Device(bad, wrong, unfit, tight=tight)
    found.boot()
    v, budget, do = 0, 0, found.do

    def cut_short(action):
        nonlocal budget
        if budget == 1:
            budget = 0
            raise CutError
        budget = max(budget - 1, 0)
        do(action)

    found.do = cut_short
    for each in script:
        try:
            if each == "advance":
                found.advance()
            elif each == "boot":
                found.boot()
            elif each == "cut":
                budget = when
            elif each in ("offline", "online"):
                found.online = each == "online"
            elif each == "revert":
                found.happen(on.Revert())
            elif each == "lived":
                found.happen(on.Lived(10, 9))
            else:
                v += 1
                found.happen(on.Wish(wish(v, each[1], shadow=SHADOW if each[2] else wish(1, None).shadow)))
        except CutError:
            found.boot()
        # Once a good model was there, one answers, unless nothing was wished or a new one is being proven.
        if found.link and found.state.state in ("waiting", "fetching", "shadow", "running"):
            assert found.model() in found.state.good or update.due(found.state) is not None
    budget, found.online = 0, True
    found.boot()
    assert found.settle() in (*ENDED, "waiting")
    assert found.model() not in bad | unfit
    assert found.state.slot == found.link
    v += 1
    found.happen(on.Wish(wish(v, "last")))
    assert found.settle() == "running"
    assert found.model() == digest("last")
