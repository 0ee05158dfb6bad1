import hashlib
import random
import resource
import shutil
import socket
from collections import namedtuple

import pytest

from edge_runtime.agent import fetch as module
from edge_runtime.agent.fetch import BLOCK, fetch
from edge_runtime.agent.trust import Delta, Signed
from edge_runtime.delta import make
from edge_runtime.errors import TransferError
from tests.cloud.repository.made import serving

CONTENT = random.Random(0).randbytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PATH = f"blobs/sha256/{DIGEST[:2]}/{DIGEST}"


def blobs(*contents):
    by_path = {}
    for content in contents:
        digest = hashlib.sha256(content).hexdigest()
        by_path[f"blobs/sha256/{digest[:2]}/{digest}"] = content
    return by_path.get


@pytest.fixture
def site():
    with serving(blobs(CONTENT)) as running:
        yield running


def signed(site, **more):
    return Signed("kws/1/rpi4.bundle", DIGEST, len(CONTENT), url=site.url, **more)


def quiet(_seconds):
    """A wait that is none."""


def test_a_bundle_comes_whole_and_gets_its_name_last(site, tmp_path):
    told = []
    path = fetch(signed(site), {}, tmp_path, progress=lambda *step: told.append(step))
    assert path == tmp_path / f"{DIGEST}.bundle"
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT), len(CONTENT))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_is_here_is_not_fetched_again(site, tmp_path):
    fetch(signed(site), {}, tmp_path)
    fetch(signed(site), {}, tmp_path)
    assert site.sent == len(CONTENT)


@pytest.mark.parametrize("seed", range(5))
def test_broken_lines_cost_a_block_each_at_most(site, tmp_path, monkeypatch, seed):
    monkeypatch.setattr(module, "BLOCK", 10_000)
    rng, breaks = random.Random(seed), 0

    def cuts():
        nonlocal breaks
        while True:
            cut = rng.random() < 0.4
            breaks += cut
            yield rng.randrange(10_000) if cut else 1 << 30

    site.breaks = cuts()
    assert fetch(signed(site), {}, tmp_path, sleep=quiet).read_bytes() == CONTENT
    assert breaks > 3
    assert site.sent <= len(CONTENT) + breaks * 10_000


def test_what_came_before_a_restart_is_not_fetched_again(site, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 10_000)

    def stop(done, total, moved):
        if done >= 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(signed(site), {}, tmp_path, progress=stop)
    assert fetch(signed(site), {}, tmp_path).read_bytes() == CONTENT
    assert site.sent <= len(CONTENT) + 10_000


def test_a_part_that_was_damaged_is_thrown_away_once(site, tmp_path):
    (tmp_path / f"{DIGEST}.part").write_bytes(b"rubbish" * 1000)
    assert fetch(signed(site), {}, tmp_path).read_bytes() == CONTENT
    (tmp_path / f"{DIGEST}.bundle").unlink()
    (tmp_path / f"{DIGEST}.part").write_bytes(CONTENT + b"more")
    assert fetch(signed(site), {}, tmp_path).read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_once(site, tmp_path):
    site.ranges = False
    assert fetch(signed(site), {}, tmp_path).read_bytes() == CONTENT
    assert site.sent == len(CONTENT)


def test_a_server_without_ranges_that_breaks_is_resumed_too(site, tmp_path):
    site.ranges, site.breaks = False, iter([100_000, 200_000])
    assert fetch(signed(site), {}, tmp_path, sleep=quiet).read_bytes() == CONTENT


def test_a_server_that_is_away_is_asked_a_few_times_and_the_part_is_kept(site, tmp_path):
    waits = []
    site.breaks = iter([50_000, *[0] * 100])
    with pytest.raises(TransferError, match="50000 of 300000 bytes are here"):
        fetch(signed(site), {}, tmp_path, sleep=waits.append)
    assert len(waits) >= 5
    assert max(waits) <= 60
    assert (tmp_path / f"{DIGEST}.part").stat().st_size == 50_000
    site.breaks = None
    assert fetch(signed(site), {}, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (403, 1), (503, 6), (429, 6)])
def test_some_answers_are_worth_another_try(site, tmp_path, status, asked):
    site.status = status
    with pytest.raises(TransferError, match=str(status)):
        fetch(signed(site), {}, tmp_path, sleep=quiet)
    assert len(site.asked) == asked


def test_nobody_there_is_one_sentence(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = Signed("p", DIGEST, 9, url=f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(TransferError, match="cannot be reached"):
        fetch(away, {}, tmp_path, sleep=quiet)
    with pytest.raises(TransferError, match="expected a URL"):
        fetch(Signed("p", DIGEST, 9, url="file:///etc/passwd?"), {}, tmp_path, sleep=quiet)


def test_a_full_disk_is_noticed_before_anything_is_fetched(site, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    with pytest.raises(TransferError, match="MB of disk are free"):
        fetch(signed(site), {}, tmp_path)
    assert site.sent == 0


def test_a_disk_that_fills_up_under_way_is_said_and_what_came_is_kept(site, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    waited = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_001, hard))
    try:
        with pytest.raises(TransferError, match=r"\.part: cannot be written: File too large"):
            fetch(signed(site), {}, tmp_path, sleep=waited.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert waited == []  # the line is not to blame, so it is not tried again at once
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [CONTENT[:100_001]]
    site.sent = 0
    assert fetch(signed(site), {}, tmp_path).read_bytes() == CONTENT
    assert site.sent == len(CONTENT) - 100_001


def test_a_rate_is_kept(site, tmp_path):
    clock = []
    fetch(signed(site), {}, tmp_path, max_kbps=100, sleep=clock.append)
    assert (
        clock[-1] > 0.8 * len(CONTENT) * 8 / 100_000
    )  # the waits were not waited for, so the last has them all


def patched(old=CONTENT[: 1 << 17] + CONTENT[(1 << 17) + 10 :]):
    return old, make(old, CONTENT, {}, {})


def test_a_patch_is_taken_first(tmp_path):
    old, patch = patched()
    digest = hashlib.sha256(old).hexdigest()
    (tmp_path / "old").write_bytes(old)
    with serving(blobs(CONTENT, patch)) as site:
        wanted = signed(site, deltas={digest: Delta(hashlib.sha256(patch).hexdigest(), len(patch))})
        path = fetch(wanted, {digest: tmp_path / "old"}, tmp_path / "slots")
        assert path.read_bytes() == CONTENT
        assert site.sent == len(patch) < 1000
        assert fetch(wanted, {}, tmp_path / "other").read_bytes() == CONTENT
        assert site.sent == len(patch) + len(CONTENT)


def test_a_patch_that_is_missing_or_does_not_fit_costs_only_itself(tmp_path):
    old, patch = patched()
    digest = hashlib.sha256(old).hexdigest()
    (tmp_path / "old").write_bytes(b"not what it is said to be")
    delta = Delta(hashlib.sha256(patch).hexdigest(), len(patch))
    for contents in ((CONTENT,), (CONTENT, patch)):
        with serving(blobs(*contents)) as site:
            wanted = signed(site, deltas={digest: delta})
            path = fetch(wanted, {digest: tmp_path / "old"}, tmp_path / f"slots{len(contents)}")
            assert path.read_bytes() == CONTENT
            assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_blocks_size_is_what_the_docs_say():
    assert BLOCK == 512 << 10


def test_a_line_that_drips_is_a_broken_one(site, tmp_path, monkeypatch):
    """Every look at the clock finds a thousand seconds gone."""
    times = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(module._Pace, "now", lambda _pace: float(next(times)))
    assert fetch(signed(site), {}, tmp_path, sleep=quiet).read_bytes() == CONTENT
    assert len(site.asked) > 4  # one would do; given up and asked anew after each piece
