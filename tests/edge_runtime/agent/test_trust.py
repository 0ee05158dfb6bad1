import subprocess
import sys
import time

import pytest

from cloud.repository import Repository
from edge_runtime.agent.trust import Trust
from edge_runtime.errors import FleetError, TransferError
from tests.cloud.repository.made import bundle, reader, serving

PATH = "kws/1/rpi4.bundle"


@pytest.fixture
def made(tmp_path):
    repository = Repository.create(tmp_path / "repository", tmp_path / "keys")
    repository.publish(bundle(tmp_path / "a.bundle").path)
    return repository


@pytest.fixture
def site(made):
    with serving(reader(made)) as running:
        yield running


def test_what_is_signed_is_told(made, site, tmp_path):
    made.publish(bundle(tmp_path / "b.bundle", 1).path)
    first, second = made.releases()
    told = Trust(tmp_path / "trust", site.url, made.root).release(second.path)
    assert (told.sha256, told.length, told.url) == (second.sha256, second.bytes, site.url)
    assert told.deltas[first.sha256].length == second.custom["deltas"][first.sha256]["length"]
    assert told.custom["metrics"]["accuracy_ppm"] == 930_000


def test_without_a_network_the_disk_answers_until_it_expires(made, site, tmp_path):
    Trust(tmp_path / "trust", site.url, made.root).release(PATH)
    site.read = lambda _path: None
    site.status = 503
    away = Trust(tmp_path / "trust", site.url, made.root)
    assert away.release(PATH).path == PATH
    assert away.release(PATH, fresh=False).path == PATH
    with pytest.raises(TransferError, match="503"):
        away.refresh()
    later = Trust(tmp_path / "trust", site.url, made.root, lambda: time.time() + 4 * 86_400)
    with pytest.raises(FleetError, match="expired"):
        later.release(PATH, fresh=False)
    with pytest.raises(TransferError, match="503"):
        later.release(PATH)


def test_a_release_that_is_newer_than_what_the_disk_knows_is_asked_for_later(made, site, tmp_path):
    trust = Trust(tmp_path / "trust", site.url, made.root)
    trust.release(PATH)
    new = made.publish(bundle(tmp_path / "b.bundle", 1).path)
    site.read, read, site.status = (lambda _path: None), site.read, 503
    with pytest.raises(TransferError, match="503"):
        trust.release(new.path)
    site.read, site.status = read, 0
    assert trust.release(new.path).sha256 == new.sha256


def test_a_device_that_never_reached_it_says_so(made, site, tmp_path):
    site.status = 503
    with pytest.raises(TransferError, match="cannot be reached"):
        Trust(tmp_path / "trust", site.url, made.root).release(PATH)


def test_a_device_that_was_away_for_rotations_and_weeks_catches_up(made, site, tmp_path):
    root = made.root
    Trust(tmp_path / "trust", site.url, root).refresh()
    for role in ("root", "timestamp", "root", "snapshot", "targets", "kws", "root"):
        made.rotate(role)
    made.publish(bundle(tmp_path / "b.bundle", 1).path)
    for folder in ("trust", "new"):
        assert (
            Trust(tmp_path / folder, site.url, root).release("kws/2/rpi4.bundle").path == "kws/2/rpi4.bundle"
        )


def test_the_clocks_lower_bound_only_rises(made, site, tmp_path):
    trust = Trust(tmp_path / "trust", site.url, made.root, lambda: 0.0)
    assert trust.now() == 0
    trust.learn_time(1_000_000)
    trust.learn_time(5)
    assert Trust(tmp_path / "trust", site.url, made.root, lambda: 7.0).now() == 1_000_000
    (tmp_path / "trust" / "time.json").write_text("rubbish")
    assert trust.lower_bound() == 0


def test_nothing_new_costs_little(made, site, tmp_path):
    trust = Trust(tmp_path / "trust", site.url, made.root)
    trust.refresh()
    site.sent = 0
    trust.refresh()
    assert site.sent < 1000


def test_a_root_that_is_none_is_refused(site, tmp_path):
    for root in (b"", b"{}", b"not json"):
        with pytest.raises(FleetError, match="damaged or forged"):
            Trust(tmp_path / "trust", site.url, root)


def test_damage_on_disk_is_mended_from_the_network(made, site, tmp_path):
    Trust(tmp_path / "trust", site.url, made.root).release(PATH)
    for path in (tmp_path / "trust").glob("*.json"):
        path.unlink()
        path.write_bytes(b"\0" * 100)
    assert Trust(tmp_path / "trust", site.url, made.root).release(PATH).path == PATH


def test_what_a_device_loads_for_it_is_small(tmp_path):
    code = """if True:
        import sys
        import edge_runtime.agent.trust, edge_runtime.agent.fetch, tuf.ngclient
        print("numpy" in sys.modules, "requests" in sys.modules)
        print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules, resident = done.stdout.splitlines()
    assert modules == "False False"
    assert int(resident) < 45_000  # kilobytes, of the 60 MB that the whole agent may have
