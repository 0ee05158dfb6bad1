"""Power cuts and a full disk at every step: something good answers, and the update ends."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_runtime.agent import durable
from edge_runtime.agent.slots import Slots
from tests.edge_runtime.agent import power

ROOT = Path(__file__).parents[3]
MEMORY = Path("/dev/shm")  # noqa: S108  hundreds of flushed writes: on a disk they take a minute


@pytest.fixture
def disk(tmp_path):
    """A folder, in memory where the system has that."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


def test_a_power_cut_at_every_durable_step(disk):
    done = subprocess.run(
        [sys.executable, "-m", "tests.edge_runtime.agent.power", str(disk)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cases = json.loads(done.stdout)
    for case in cases:
        assert case["cut"] in (signal.SIGKILL, 0), (case, done.stderr)
        assert case["again"] == 0, (case, done.stderr)
        # The bad model answers only in its probation, as an application may see it, and never stays.
        assert case["then"] in ("one", case["wish"]), case
        late = case["v"] == 1  # the cut came before the wish was written down: the cloud sends it again
        assert case["end"] == ("one" if case["wish"] == "bad" or late else "two"), case
        assert case["state"] == ("running" if late or case["wish"] == "two" else "reverted"), case
    counted = {
        name: sum(case["wish"] == name and case["cut"] != 0 for case in cases) for name in ("two", "bad")
    }
    assert min(counted.values()) > 30  # the steps that were cut, of each
    assert {case["then"] for case in cases} == {"one", "two", "bad"}


@pytest.fixture
def store(disk):
    return disk / "store"


@pytest.fixture
def device(store):
    store.mkdir()
    here = power.Here(store)
    here.boot()
    here.happen(power.wished("one", 1))
    here.settle()
    return here


def count(monkeypatch, store):
    """The steps of an update on a copy of the device."""
    steps = []
    copy = store.parent / "copy"
    shutil.copytree(store, copy, symlinks=True)
    monkeypatch.setattr(durable, "step", steps.append)
    power.begin(copy, "two")
    monkeypatch.setattr(durable, "step", lambda _what: None)
    return steps


@pytest.mark.parametrize(
    "lasting", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["once", "lasting"]
)
@pytest.mark.parametrize("wish", ["two", "bad"])
def test_a_full_disk_at_every_durable_step(monkeypatch, store, device, wish, lasting):
    base, total = store, len(count(monkeypatch, store))
    for k in range(1, total + 1):
        store = base.parent / "case"
        shutil.copytree(base, store, symlinks=True)
        seen = []

        def full(what, k=k, seen=seen):
            seen.append(what)
            room = what.startswith(("remove", "flush", "rename"))  # these need none
            if not room and (len(seen) >= k if lasting else len(seen) == k) and len(seen) < k + 40:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(durable, "step", full)
        power.begin(store, wish)
        monkeypatch.setattr(durable, "step", lambda _what: None)
        assert power.answers(store) in ("one", "two"), (k, seen[k - 1 :])
        here = power.Here(store)
        here.boot()
        here.settle()
        assert power.answers(store) in ("one", "two")
        assert here.state.state in ("running", "reverted", "failed")
        here.happen(power.wished("two", 9))  # with room again, an update succeeds
        here.settle()
        assert power.answers(store) == "two"
        shutil.rmtree(store)


def test_a_limit_that_the_system_enforces(store, device):
    """Writes fail for real, half way through a file: RLIMIT_FSIZE."""
    base, store = store, store.parent / "limited"
    before = len((base / "state.json").read_bytes())
    for limit in (0, 10, 100, before - 200):
        shutil.copytree(base, store, symlinks=True)

        def work(limit=limit):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            here = power.Here(store)
            here.boot()
            here.happen(power.wished("two", 2))
            for _ in range(20):
                while not here.calls.empty():
                    here.calls.get()()
                here.tend()
            assert here.trouble.startswith("nothing can be written down"), here.trouble

        assert power.forked(work) == 0
        assert power.answers(store) == "one"
        assert not list(store.glob(".*.new"))
        power.go_on(store)
        assert power.answers(store) == "one"
        shutil.rmtree(store)


def test_a_disk_that_is_full(tmp_path):
    """A real one, which only root can make: the update waits, the old model answers, room lets it go on."""
    where = tmp_path / "mounted"
    where.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", where], check=False).returncode
    ):
        pytest.skip("needs the right to mount")
    try:
        here = power.Here(where)
        here.boot()
        here.happen(power.wished("one", 1))
        here.settle()
        with suppress(OSError), (where / "filling").open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(1024))
        here.happen(power.wished("two", 2))
        assert here.trouble.startswith("nothing can be written down: No space left")
        assert (power.answers(where), here.state.v) == ("one", 1)
        power.go_on(where)
        assert power.answers(where) == "one"
        (where / "filling").unlink()
        here.settle()
        assert (power.answers(where), here.trouble) == ("two", "")
    finally:
        subprocess.run(["umount", where], check=True)


def test_room_is_made_by_the_previous_model_alone(store, device, monkeypatch):
    device.happen(power.wished("two", 2))
    device.settle()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    device.happen(power.wished("bad", 3))
    device.tend()
    slots = Slots(store)
    assert (power.answers(store), slots.release("a")) == ("two", None)
    device.settle()
    assert (power.answers(store), device.state.state) == ("two", "reverted")


def test_a_damaged_bundle_is_left_for_the_other_slot(store, device):
    device.happen(power.wished("two", 2))
    device.settle()
    slots = Slots(store)
    with slots.bundle(slots.current()).open("r+b") as stream:
        stream.write(b"?")
    here = power.Here(store)
    here.boot()
    here.settle()
    assert power.answers(store) == "one"
    assert "damaged" in here.state.error


def test_a_damaged_state_is_made_of_the_slots(store, device):
    for content in (b"", b"{", b"[]", b'{"v":1}'):
        (store / "state.json").write_bytes(content)
        here = power.Here(store)
        here.boot()
        here.settle()
        assert power.answers(store) == "one"
        assert here.state.state == "running"
