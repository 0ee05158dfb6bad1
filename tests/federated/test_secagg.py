"""Secure aggregation: the sum is exact, devices may vanish, and nothing of a single one can be seen."""

import os
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import FleetError, InputError
from federated.privacy import keys, masked, shamir
from federated.privacy.masked import Coding
from federated.privacy.rounds import Aggregation, Devices, Plan
from federated.privacy.secagg import Device, Group, Server, threshold

STAGES = 4


def a_group(n, count=300, bits=6):
    return Group(os.urandom(16), tuple(range(100, 100 + n)), threshold(n), count, bits)


class Session:
    """A session carried by hand; `drops[k]` are those that do not answer at stage k."""

    def __init__(self, group, seed=0, drops=()):
        rng = np.random.default_rng(seed)
        self.group, self.server = group, Server(group)
        self.devices = {m: Device(m, group) for m in group.members}
        self.words = {
            m: rng.integers(0, 1 << group.bits, group.count).astype(np.uint16) for m in group.members
        }
        self.drops = [set(each) for each in drops] + [set()] * (STAGES - len(drops))
        self.alive, self.up = list(group.members), 0

    def ask(self, stage, answer):
        found = {m: answer(m) for m in self.alive if m not in self.drops[stage]}
        self.alive = list(found)
        self.up += sum(map(len, found.values()))
        return found

    def until_masked(self):
        roster = self.server.roster(self.ask(0, lambda m: self.devices[m].advertise()))
        mail = self.server.mail(self.ask(1, lambda m: self.devices[m].share(roster)))
        return self.ask(2, lambda m: self.devices[m].mask(mail[m], self.words[m]))

    def run(self):
        self.masked = self.until_masked()
        survivors = self.server.survivors(self.masked)
        self.revealed = self.ask(3, lambda m: self.devices[m].unmask(survivors))
        return self.server.total(self.revealed)

    def sum_of(self, members):
        total = sum(self.words[m].astype(np.int64) for m in members)
        return (total % (1 << self.group.bits)).astype(np.uint16)


@pytest.mark.parametrize("n", [3, 4, 5, 10, 20, 31])
def test_the_sum_is_exact(n):
    session = Session(a_group(n))
    total, alive = session.run()
    assert alive == session.group.members
    np.testing.assert_array_equal(total, session.sum_of(alive))


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_devices_vanish_at_any_stage(data):
    n = data.draw(st.integers(4, 14))
    group = a_group(n, 40, data.draw(st.integers(1, 16)))
    gone = data.draw(st.permutations(group.members))[: n - group.threshold]
    stages = [data.draw(st.integers(0, 3)) for _ in gone]
    drops = [[m for m, stage in zip(gone, stages, strict=True) if stage == k] for k in range(STAGES)]
    session = Session(group, drops=drops)
    total, alive = session.run()
    assert set(alive) == set(group.members) - set(drops[0]) - set(drops[1]) - set(drops[2])
    np.testing.assert_array_equal(total, session.sum_of(alive))


@pytest.mark.parametrize("n", range(4, 101))
def test_thirty_percent_may_vanish_and_a_majority_is_needed(n):
    assert n - threshold(n) >= int(0.3 * n)
    assert 2 * threshold(n) > n


@pytest.mark.parametrize("stage", range(STAGES))
def test_with_too_few_left_there_is_no_sum(stage):
    group = a_group(7)
    drops = [group.members[:3] if k == stage else () for k in range(STAGES)]
    with pytest.raises(FleetError, match=f"{4} devices .*; {group.threshold} are needed"):
        Session(group, drops=drops).run()


def chi_square(words, bits):
    """Pearson's statistic against the uniform distribution, in standard deviations from its mean."""
    counts = np.bincount(words, minlength=1 << bits)
    expected = len(words) / (1 << bits)
    free = (1 << bits) - 1
    return (np.sum((counts - expected) ** 2 / expected) - free) / np.sqrt(2 * free)


def unpacked(text, group):
    from federated.codecs.reader import Reader
    from federated.codecs.symbols import unpack_bits

    return unpack_bits(Reader(text), group.count, group.bits)


class TestNothingOfASingleDevice:
    group = a_group(9, 40_000, 6)

    def session(self):
        session = Session(self.group, drops=[(), (), (), ()])
        session.words = {
            m: np.full(self.group.count, 7, np.uint16) for m in self.group.members
        }  # far from uniform
        return session

    def test_a_masked_update_looks_uniform(self):
        session = self.session()
        for text in session.until_masked().values():
            assert abs(chi_square(unpacked(text, self.group), 6)) < 5
        assert chi_square(session.words[100].astype(np.int64), 6) > 1e5  # the test can tell

    def test_nor_does_the_server_see_it_after_unmasking_the_sum(self):
        """With all self masks removed, as the server can, the masks of pairs still cover each update."""
        session = self.session()
        total, alive = session.run()
        np.testing.assert_array_equal(total, session.sum_of(alive))
        for device in alive:
            key = keys.derive(
                session.devices[device]._self_seed.to_bytes(16, "big"), self.group.session, "self"
            )
            opened = unpacked(session.masked[device], self.group) - keys.mask(
                key, self.group.count, 6
            ).astype(int)
            assert abs(chi_square(opened % 64, 6)) < 5

    def test_nor_in_sums_of_all_but_one(self):
        session = self.session()
        session.run()
        opened = sum(
            unpacked(session.masked[m], self.group)
            - keys.mask(
                keys.derive(session.devices[m]._self_seed.to_bytes(16, "big"), self.group.session, "self"),
                self.group.count,
                6,
            ).astype(int)
            for m in self.group.members[1:]
        )
        assert abs(chi_square(opened % 64, 6)) < 5

    def test_an_update_that_came_late_stays_closed(self):
        """The server called a device vanished and learned its mask key; its self mask still covers what it sent."""
        session = self.session()
        masked_inputs = session.until_masked()
        late = 100
        survivors = session.server.survivors({m: text for m, text in masked_inputs.items() if m != late})
        revealed = {m: session.devices[m].unmask(survivors) for m in self.group.members if m != late}
        total, alive = session.server.total(revealed)
        assert late not in alive
        np.testing.assert_array_equal(total, session.sum_of(alive))
        opened = unpacked(masked_inputs[late], self.group).astype(np.uint16)
        device = session.devices[late]
        for other in alive:  # what the server can compute with the late device's mask key
            public = session.server._adverts[other][keys.KEY_BYTES :]
            shared = keys.derive(
                keys.agree(device._mask_key, public), self.group.session, "pair", *sorted((late, other))
            )
            mask = keys.mask(shared, self.group.count, 6)
            opened = opened - (mask if late < other else np.negative(mask))
        assert abs(chi_square((opened & 63).astype(np.int64), 6)) < 5

    def test_a_device_reveals_once_and_never_both(self):
        session = self.session()
        masked_inputs = session.until_masked()
        first = session.server.survivors(masked_inputs)
        device = session.devices[100]
        device.unmask(first)
        with pytest.raises(FleetError, match="each comes once"):
            device.unmask(first[8:])  # another list, on which the first of the others vanished

    def test_a_device_refuses_a_list_that_would_single_one_out(self):
        session = self.session()
        survivors = session.server.survivors(session.until_masked())
        with pytest.raises(FleetError, match="1 devices sent a masked update"):
            session.devices[100].unmask(survivors[:8])
        with pytest.raises(FleetError, match="lacks this device"):
            session.devices[101].unmask(survivors[:8] + survivors[16:])

    def test_the_server_has_no_way_to_a_sum_of_few(self):
        """Every public method with every subset below the threshold raises."""
        session = self.session()
        masked_inputs = session.until_masked()
        for few in range(self.group.threshold):
            with pytest.raises(FleetError, match="are needed"):
                session.server.survivors(dict(list(masked_inputs.items())[:few]))
        session = self.session()
        session.masked = session.until_masked()
        survivors = session.server.survivors(session.masked)
        revealed = session.ask(3, lambda m: session.devices[m].unmask(survivors))
        for few in range(self.group.threshold):
            with pytest.raises(FleetError, match="are needed"):
                session.server.total(dict(list(revealed.items())[:few]))

    def test_two_lists_of_survivors_cannot_both_be_unmasked(self):
        assert 2 * self.group.threshold > len(self.group.members)
        with pytest.raises(FleetError, match="over half"):
            Group(b"s", tuple(range(8)), 4, 1, 1)


class TestHostileBytes:
    def test_altered_mail_costs_a_share_and_not_the_sum(self):
        session = Session(a_group(7))
        roster = session.server.roster(session.ask(0, lambda m: session.devices[m].advertise()))
        mail = session.server.mail(session.ask(1, lambda m: session.devices[m].share(roster)))
        mail[100] = mail[100][:-1] + bytes([mail[100][-1] ^ 1])
        inputs = session.ask(2, lambda m: session.devices[m].mask(mail[m], session.words[m]))
        survivors = session.server.survivors(inputs)
        total, alive = session.server.total({m: session.devices[m].unmask(survivors) for m in inputs})
        np.testing.assert_array_equal(total, session.sum_of(alive))

    @pytest.mark.parametrize("cut", [0, 1, -1])
    def test_a_message_of_another_length_is_as_good_as_none(self, cut):
        session = Session(a_group(7))
        inputs = session.until_masked()
        inputs[100] = inputs[100][:cut] if cut else b""
        survivors = session.server.survivors(inputs)
        assert len(survivors) == 6 * 8
        revealed = {m: session.devices[m].unmask(survivors) for m in session.group.members[1:]}
        total, alive = session.server.total(revealed)
        np.testing.assert_array_equal(total, session.sum_of(alive))

    def test_a_wrong_share_of_a_mask_key_is_noticed(self):
        session = Session(a_group(7), drops=[(), (), (100,)])
        inputs = session.until_masked()
        survivors = session.server.survivors(inputs)
        revealed = {m: session.devices[m].unmask(survivors) for m in inputs}
        revealed[101] = bytes(16) + revealed[101][16:]
        with pytest.raises(FleetError, match="do not fit together"):
            session.server.total(revealed)

    @pytest.mark.parametrize("change", ["cut", "stranger", "twice", "key"])
    def test_a_roster_that_is_wrong_is_refused(self, change):
        group = a_group(5)
        session = Session(group)
        roster = session.server.roster(session.ask(0, lambda m: session.devices[m].advertise()))
        entry = 8 + 64
        wrong = {
            "cut": roster[:-1],
            "stranger": (999).to_bytes(8, "little") + roster[8:],
            "twice": roster + roster[-entry:],
            "key": roster[: entry + 8] + roster[8:entry] + roster[2 * entry :],
        }[change]
        with pytest.raises(FleetError, match="secure aggregation"):
            session.devices[100].share(wrong)

    def test_out_of_turn(self):
        device = Device(100, a_group(5))
        with pytest.raises(FleetError, match="message 3 after message 0"):
            device.mask(b"", np.zeros(300, np.uint16))
        with pytest.raises(FleetError, match="is not of the group"):
            Device(7, a_group(5))

    def test_words_beyond_the_modulus(self):
        session = Session(a_group(5))
        session.words[102][3] = 64
        with pytest.raises(FleetError, match="words of 6 bits"):
            session.run()


@pytest.mark.parametrize(
    ("members", "t", "count", "bits"),
    [
        ((1, 2), 2, 1, 1),
        ((1, 1, 2), 2, 1, 1),
        ((1, 2, 3), 4, 1, 1),
        ((1, 2, 3), 2, 0, 1),
        ((1, 2, 3), 2, 1, 17),
    ],
)
def test_groups_that_cannot_be(members, t, count, bits):
    with pytest.raises(FleetError, match="secure aggregation"):
        Group(b"", members, t, count, bits)


class TestShamir:
    @settings(max_examples=25, deadline=None)
    @given(st.data())
    def test_any_threshold_of_shares_gives_the_secret_back(self, data):
        n = data.draw(st.integers(1, 12))
        t = data.draw(st.integers(1, n))
        secret = data.draw(st.integers(0, shamir.PRIME - 1))
        shares = shamir.split(secret, range(1, n + 1), t)
        some = data.draw(st.permutations(sorted(shares)))[:t]
        assert shamir.join({x: shares[x] for x in some}, t) == secret

    def test_fewer_do_not(self):
        shares = shamir.split(42, range(1, 6), 3)
        with pytest.raises(FleetError, match="2 shares of a secret; 3 are needed"):
            shamir.join({1: shares[1], 2: shares[2]}, 3)
        assert shamir.join({1: shares[1], 2: shares[2]}, 2) != 42

    def test_the_prime_is_one(self):
        p, odd, twos = shamir.PRIME, shamir.PRIME - 1, 0
        while not odd % 2:
            odd, twos = odd // 2, twos + 1
        for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):  # Miller-Rabin
            x = pow(base, odd, p)
            assert x in (1, p - 1) or any((x := x * x % p) == p - 1 for _ in range(twos - 1))


class TestCoding:
    @settings(max_examples=20, deadline=None)
    @given(
        st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 3000), st.sampled_from([0.05, 0.3, 1.0])
    )
    def test_a_sum_never_overflows_and_the_numbers_are_exact(self, seed, n, size, keep):
        rng = np.random.default_rng(seed)
        coding = Coding(size, n, 1.0, 300, keep, seed)
        examples = rng.integers(1, 1000, n).tolist()
        words = [masked.encode(coding, rng.standard_normal(size), k, 1.25, rng) for k in examples]
        assert all(len(each) == coding.count and each.max() < coding.levels for each in words)
        total = np.sum(words, axis=0)
        assert total.max() < 1 << coding.bits
        found = masked.decode(coding, total.astype(np.uint16), n)
        assert (found.num_examples, found.loss, found.devices) == (sum(examples), 1.25, n)

    def test_is_unbiased(self):
        rng = np.random.default_rng(0)
        deltas = rng.standard_normal((5, 500)) * 0.02
        examples = [100, 200, 300, 50, 300]
        want = np.average(deltas, axis=0, weights=examples)
        found = np.zeros(500)
        rounds = 600
        for key in range(rounds):
            coding = Coding(500, 5, 1.0, 300, 0.25, 7 * key)
            words = sum(
                masked.encode(coding, delta, n, 0, rng).astype(int)
                for delta, n in zip(deltas, examples, strict=True)
            )
            found += masked.decode(coding, words.astype(np.uint16), 5).delta / rounds
        assert np.linalg.norm(found - want) < 0.25 * np.linalg.norm(want)

    def test_all_elements_and_many_levels_give_the_mean(self):
        rng = np.random.default_rng(0)
        coding = Coding(1024, 1, 1.0, 1, 1.0, 3)
        delta = rng.standard_normal(1024) / 40
        rotated = coding.rotate(delta)
        np.testing.assert_allclose(coding.unrotate(rotated), delta, atol=1e-6)
        assert np.linalg.norm(rotated) == pytest.approx(np.linalg.norm(delta), rel=1e-5)

    def test_clips_to_the_bound_and_says_so(self):
        coding = Coding(2000, 1, 1.0, 1, 1.0, 3)
        long = np.zeros(2000)
        long[5] = 50
        found = masked.decode(coding, masked.encode(coding, long, 1, 0, np.random.default_rng(0)), 1)
        assert found.below == 0
        assert np.linalg.norm(found.delta) < 2.5  # clipped to 1, and the noise of four levels
        assert found.delta[5] > 0.5

    def test_the_bound_follows_the_devices(self):
        assert masked.follow(1.0, 1.0) < 1 < masked.follow(1.0, 0.5)
        assert masked.follow(1.0, 0.8) == 1

    @pytest.mark.parametrize(
        "change", [{"keep": 0}, {"keep": 1.1}, {"bound": 0}, {"cap": 0}, {"devices": 0}, {"devices": 5000}]
    )
    def test_what_cannot_be(self, change):
        with pytest.raises(InputError, match="secure aggregation"):
            Coding(**({"size": 10, "devices": 5, "bound": 1.0, "cap": 3} | change))


class TestRounds:
    @pytest.mark.parametrize(
        ("n", "group", "sizes"),
        [(20, 20, {20}), (30, 10, {10}), (7, 3, {3, 4}), (5, 20, {5}), (100, 20, {20}), (4, 3, {4})],
    )
    def test_groups_are_of_about_the_wanted_size(self, n, group, sizes):
        groups = Plan(group).groups(range(n))
        assert {len(each) for each in groups} == sizes
        assert sorted(member for each in groups for member in each) == list(range(n))

    def test_two_devices_are_no_group(self):
        with pytest.raises(FleetError, match="2 devices in the round"):
            Plan(3).groups([1, 2])

    def play(self, n, plan, drops):
        """A whole round on requests and answers; the sums, the failed, bytes up, and the changes."""
        rng = np.random.default_rng(0)
        common = rng.standard_normal(20_000) * 0.005
        deltas = {k: common + rng.standard_normal(20_000) * 0.002 for k in range(n)}
        work = Aggregation(plan, range(n), size=20_000, bound=1.0, cap=1, key=9)
        devices, up = Devices(), 0

        def ask(requests, stage):
            nonlocal up
            found = {
                k: devices.mask(request, k, deltas[k], 10, 0.5) if stage == 3 else devices.answer(request, k)
                for k, request in requests.items()
                if k not in drops.get(stage, ())
            }
            up += sum(map(len, found.values()))
            return found

        adverts = ask(work.advertise(), 1)
        inputs = ask(work.mask(ask(work.share(adverts), 2)), 3)
        return work.sums(ask(work.unmask(inputs), 4)), work.failed, up, deltas

    def test_thirty_percent_vanish_and_the_uplink_is_a_thirty_fifth(self):
        n = 20
        sums, failed, up, deltas = self.play(n, Plan(20), {2: {0, 1}, 3: {2, 3}, 4: {4, 5}})
        ((alive, total),) = sums
        assert alive == tuple(range(4, 20))
        assert (total.devices, total.num_examples, total.loss) == (16, 160, 0.5)
        assert not failed
        want = np.mean([deltas[k] for k in alive], axis=0)
        cosine = total.delta @ want / np.linalg.norm(total.delta) / np.linalg.norm(want)
        assert cosine > 0.2  # a sixteenth of the elements, unbiased: a quarter of the direction
        assert n * 4 * 20_000 / up > 30  # of 20,000 weights; the keys' part is less in a larger model

    def test_a_group_that_falls_apart_does_not_stop_the_others(self):
        sums, failed, _, _ = self.play(12, Plan(6), {3: {0, 1, 2}})
        assert [alive for alive, _ in sums] == [tuple(range(6, 12))]
        assert failed.keys() == set(range(6))
        assert "3 devices sent a masked update; 5 are needed" in failed[4]

    def test_a_device_in_no_session(self):
        request = {"stage": 2, "session": b"x", "text": b""}
        with pytest.raises(FleetError, match="not in the session"):
            Devices().answer(request, 3)
        with pytest.raises(FleetError, match="no stage 9"):
            Devices().answer(request | {"stage": 9}, 3)


def test_the_study_of_dropouts_in_every_combination():
    """One device of five vanishes at each stage in turn, alone: five sums, all exact."""
    for stage, member in product(range(STAGES), range(100, 105)):
        session = Session(a_group(5, 16), drops=[(member,) if k == stage else () for k in range(STAGES)])
        total, alive = session.run()
        np.testing.assert_array_equal(total, session.sum_of(alive))
