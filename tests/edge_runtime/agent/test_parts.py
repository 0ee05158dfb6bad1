"""Telemetry, commands, conditions, federated rounds, settings, the unit, and the counts that become statistics."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.agent import drift, windows
from edge_runtime.agent.commands import Commands
from edge_runtime.agent.conditions import Conditions, metered, power, read
from edge_runtime.agent.federating import Federating
from edge_runtime.agent.judging import refused, slow
from edge_runtime.agent.link import Address
from edge_runtime.agent.settings import Settings
from edge_runtime.agent.slots import Slots
from edge_runtime.agent.telemetry import Telemetry
from edge_runtime.agent.unit import unit
from edge_runtime.agent.windows import Window
from edge_runtime.agent.worker import Child
from edge_runtime.errors import FleetError, InputError
from edge_runtime.messages import Command, Result, Shadow
from tests.edge_runtime.agent.conftest import bundle
from tests.edge_runtime.agent.test_live import put


def drained(queue):
    found = []
    while (entry := queue.take()) is not None:
        found.append(json.loads(entry[1])["i"])
        queue.done()
    return found


def test_telemetry_waits_in_order_over_restarts(tmp_path):
    for i in range(100):
        queue = Telemetry(tmp_path)
        queue.put("stats", json.dumps({"i": i}).encode())
        if i == 50:
            assert queue.take() == ("stats", b'{"i":0}')
            assert queue.take() == ("stats", b'{"i":0}')  # until it has arrived
    assert drained(Telemetry(tmp_path)) == list(range(100))
    assert drained(Telemetry(tmp_path)) == []


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=300))
def test_telemetry_is_bounded_and_drops_the_oldest(sizes):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        queue = Telemetry(Path(folder), 1 << 14)
        for i, size in enumerate(sizes):
            queue.put("stats", json.dumps({"i": i, "text": "x" * size}).encode())
        assert sum(path.stat().st_size for path in Path(folder).glob("*.jsonl")) <= (1 << 14) + 17 * 450
        found = drained(queue)
        assert found == list(range(len(sizes) - len(found), len(sizes)))
        assert queue.dropped == Telemetry(Path(folder)).dropped == len(sizes) - len(found)


def test_telemetry_that_a_power_cut_has_cut_is_skipped(tmp_path):
    queue = Telemetry(tmp_path)
    queue.put("stats", b'{"i":1}')
    path = next(tmp_path.glob("*.jsonl"))
    path.write_text(path.read_text() + '["stats",{"i":')
    Telemetry(tmp_path).put("stats", b'{"i":2}')
    assert drained(Telemetry(tmp_path))[0] == 1


def test_weeks_of_statistics_fit(tmp_path):
    line = (
        b'{"model":"%s","begin":1795281362,"end":1795281662,"n":30000,"p50_us":1,"p95_us":2,"p99_us":3}'
        % (b"0" * 64)
    )
    weeks = (4 << 20) / (len(line) + 12) * 300 / 604_800
    assert weeks > 8


class Log:
    def __init__(self, path, **operations):
        self.sent, self.done = [], []
        known = {"note": lambda command: self.done.append(command.id) or "noted", **operations}
        self.commands = Commands(path, known, self.sent.append)


def test_a_command_is_done_once_also_after_a_restart(tmp_path):
    path = tmp_path / "commands.json"
    first, command = Log(path), Command("c1", "note", 100)
    first.commands.take(command, 50)
    first.commands.take(command, 60)
    again = Log(path)
    again.commands.take(command, 70)
    assert first.sent == [Result("c1", "done", "noted")] * 2
    assert (first.done, again.done, again.sent) == (["c1"], [], first.sent[:1])


def test_commands_that_expire_fail_or_are_not_known(tmp_path):
    def fails(_):
        raise FleetError("it cannot")

    log = Log(tmp_path / "c", fails=fails)
    for name, op, expires in (("a", "note", 10), ("b", "fails", 99), ("c", "dance", 99)):
        log.commands.take(Command(name, op, expires), 50)
    assert [each.status for each in log.sent] == ["expired", "failed", "unknown"]
    assert log.done == []


def test_a_command_that_ended_the_agent_is_not_done_again(tmp_path):
    def dies(_):
        raise KeyboardInterrupt

    log = Log(tmp_path / "c", dies=dies)
    with pytest.raises(KeyboardInterrupt):
        log.commands.take(Command("a", "dies", 99), 50)
    again = Log(tmp_path / "c", dies=dies)
    again.commands.take(Command("a", "dies", 99), 50)
    assert again.sent[0].status == "failed"


def supply(folder, **files):
    for name, fields in files.items():
        (folder / name).mkdir(parents=True)
        for field, text in fields.items():
            (folder / name / field).write_text(text + "\n")
    return folder


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "mains"),
        ({"AC": {"type": "Mains", "online": "1"}}, "mains"),
        (
            {"AC": {"type": "Mains", "online": "0"}, "BAT": {"type": "Battery", "status": "Discharging"}},
            "battery",
        ),
        (
            {"AC": {"type": "USB", "online": "1"}, "BAT": {"type": "Battery", "status": "Charging"}},
            "charging",
        ),
        ({"BAT": {"type": "Battery", "status": "Full"}}, "charging"),
    ],
)
def test_power(tmp_path, files, said):
    (tmp_path / "supply").mkdir()
    assert power(supply(tmp_path / "supply", **files)) == said
    assert power(tmp_path / "missing") == "unknown"


def test_metered_links_are_known_by_a_command():
    for word, known in (("yes", True), ("no (guessed)", False), ("unknown", None), ("no\nyes", True)):
        assert metered([sys.executable, "-c", f"print({word!r})"]) is known
    assert metered(["/no/such/command"]) is None
    assert metered([sys.executable, "-c", "print('yes'); raise SystemExit(1)"]) is None


def stat_file(root, busy, idle):
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\n")


def test_idle_is_what_others_leave(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    found = Conditions([sys.executable, "-c", "print('no')"], root=tmp_path)
    for busy, idle, own, said in (
        (0, 0, 0, None),
        (900, 100, 0, False),
        (1000, 1000, 0, True),
        (1900, 1100, 800, True),
    ):
        stat_file(tmp_path, busy, idle)
        (tmp_path / "proc/7").mkdir(exist_ok=True)
        (tmp_path / "proc/7/stat").write_text("7 (a b) " + " ".join(["0"] * 11 + [str(own)] + ["0"] * 10))
        assert found([7]).idle is said
        clock[0] += 11
    assert found().metered is False
    assert found().spare == ""


def test_whoever_looks_after_the_device_may_say_it(tmp_path):
    path = tmp_path / "conditions.json"
    found = Conditions([sys.executable, "-c", "print('no')"], path, tmp_path)
    assert found().power == "unknown"
    for text, said in (
        ('{"charging": false}', "it runs on its battery"),
        ('{"charging": true, "idle": false}', "others need the processor"),
        ('{"charging": true, "idle": true, "unmetered": false}', "its link is metered"),
        ('{"charging": true, "idle": true, "unmetered": true}', ""),
        ('{"charging": true, "idle": false, "more": 1}', "others need the processor"),
        ("[", "others need the processor"),  # what was said before
        ('{"idle": 3}', "others need the processor"),
    ):
        path.write_text(text)
        assert found().spare == said
    assert found().known == {"charging": True, "idle": False, "unmetered": True}
    path.unlink()
    assert found().known == {"unmetered": True}


@pytest.mark.parametrize("text", ["{", "[]", '{"idle": "yes"}', "3", "\0"])
def test_a_file_that_says_nothing_of_the_conditions_is_refused(text, tmp_path):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError, match=r"c\.json"):
        read(tmp_path / "c.json")


@pytest.fixture
def learner(tmp_path, monkeypatch):
    """A store with a model, and a package that stands for the federated device's process."""
    put(tmp_path, "a", bundle(tmp_path / "one.bundle"))
    code = tmp_path / "code/federated/device"
    code.mkdir(parents=True)
    (code.parent / "__init__.py").touch()
    (code / "__init__.py").touch()
    (code / "__main__.py").write_text("import sys, time; print(sys.argv[1:], flush=True); time.sleep(60)")
    monkeypatch.chdir(tmp_path / "code")
    made = Federating(tmp_path, {"data": "mine.npz"})
    yield made
    made.end()


def test_a_federated_round_runs_only_when_it_may(tmp_path, learner):
    wish = {"broker": "mqtt://host:1883", "key": {"device": "pi-1", "number": 3, "key": "00"}, "threads": 2}
    assert learner.tend(wish, "it runs on its battery") == "waits: it runs on its battery"
    assert not learner.pids
    learner.tend(wish, "")
    (pid,) = learner.pids
    assert learner.tend(wish, "") == "takes part"
    assert learner.pids == (pid,)
    for _ in range(100):
        if (tmp_path / "federated.log").read_text():
            break
        time.sleep(0.05)
    words = (tmp_path / "federated.log").read_text()
    for word in ("mqtt://host:1883", "mine.npz", "slots/a/model.bundle", "'2'"):
        assert word in words
    assert (tmp_path / "credential/federated.key").stat().st_mode & 0o777 == 0o600
    for _ in range(20):
        learner.tend(wish, "others need the processor")
    assert not learner.pids
    assert learner.tend(None, "") == "no run"


def test_a_sealed_model_is_opened_by_a_key_that_no_disk_sees(tmp_path, learner, monkeypatch):
    from edge_runtime.agent import credential

    slots = Slots(tmp_path)
    sealed = replace(slots.release("a"), key="wrapped")
    (tmp_path / "slots/a/release.json").write_text(json.dumps(asdict(sealed)))
    monkeypatch.setattr(credential, "content_key", lambda _store, wrapped: {"wrapped": b"k" * 32}[wrapped])
    code = "import os; print(open(os.environ['LITTORAL_KEY_FILE']).read())"
    (tmp_path / "code/federated/device/__main__.py").write_text(code)
    (tmp_path / "conditions.json").write_text("{}")
    learner.tend({"broker": "mqtt://h", "key": {}}, "")
    for _ in range(200):
        if said := (tmp_path / "federated.log").read_text():
            break
        time.sleep(0.05)
    assert said.strip() == (b"k" * 32).hex()


@pytest.mark.parametrize(
    ("wish", "own", "why"),
    [
        ({}, {"data": "x"}, "names no broker"),
        ({"broker": "mqtt://h"}, {}, "name no data"),
        ({"broker": "mqtt://h"}, {"data": "x"}, "no key"),
        ({"broker": "--help", "data": "/etc/shadow"}, {"data": "x"}, "names no broker"),
    ],
)
def test_a_federated_round_that_cannot_be(tmp_path, wish, own, why):
    put(tmp_path, "a", bundle(tmp_path / "one.bundle"))
    assert why in Federating(tmp_path, own).tend(wish, "")


def test_settings_name_what_is_wrong(tmp_path):
    assert Settings.load(tmp_path).beat_s == 60
    for text, why in (
        ("beats = 1", "did you mean 'beat_s'"), ("beat_s = 0", "above 0"), ("metered = 'x'", "list of words"),
        ("federated = 1", "a table"), ("=", "TOML"),
    ):  # fmt: skip
        (tmp_path / "agent.toml").write_text(text)
        with pytest.raises(InputError, match=why):
            Settings.load(tmp_path)
    (tmp_path / "agent.toml").write_text('target = "rpi4"\nmetered = ["nm"]\n[federated]\ndata = "x.npz"\n')
    assert Settings.load(tmp_path) == Settings("rpi4", metered=("nm",), federated={"data": "x.npz"})


def test_broker_urls():
    assert Address.parse("mqtts://host") == Address("host", 8883, tls=True)
    for url in ("http://x", "mqtt://", "mqtt://h:x", "host:1883"):
        with pytest.raises(InputError, match="expected mqtts"):
            Address.parse(url)


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    text = unit("/var/lib/littoral", sys.executable)
    assert "StateDirectory=littoral\n" in text
    assert "ReadWritePaths=/srv/x" in unit("/srv/x", "python")
    for word in ("DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "Restart=always"):
        assert word in text
    if shutil.which("systemd-analyze"):
        path = tmp_path / "littoral-agent.service"
        path.write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", path], capture_output=True, text=True, check=False
        )
        assert "littoral-agent.service" not in done.stderr, done.stderr


def test_percentiles_of_counted_times_are_right_to_a_few_percent():
    window, times = Window("m", 0.0), np.random.default_rng(0).lognormal(-6, 1, 5000)
    for each in times:
        window.took(float(each))
    for share in (0.5, 0.95, 0.99):
        assert window.quantile_us(share) == pytest.approx(1e6 * np.quantile(times, share), rel=0.04)
    assert Window("m", 0.0).quantile_us(0.5) == 0


def test_windows_add_up_and_damaged_ones_are_thrown_away(tmp_path):
    for serial, n in enumerate((3, 4)):
        window = Window("m" * 64, 1.0, 2.0 + serial, n, 1, features={"class": [n, 0]})
        window.took(0.001)
        window.write(tmp_path, serial)
    for name, text in (("x", "{"), ("y", "[]"), ("z", '{"model": 1}')):
        (tmp_path / windows.FOLDER / f"{name}.json").write_text(text)
    (found,) = windows.collect(tmp_path)
    assert (found.n, found.errors, found.end, found.features) == (7, 2, 3.0, {"class": [7, 0]})
    assert windows.collect(tmp_path) == []
    assert not list((tmp_path / windows.FOLDER).iterdir())


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 1000), min_size=2, max_size=10),
    st.lists(st.integers(0, 1000), min_size=10, max_size=10),
)
def test_the_distance_is_between_nothing_and_all(known, seen):
    seen = seen[: len(known)]
    found = drift.distance(known, seen)
    assert 0 <= found <= 1
    assert found == pytest.approx(drift.distance(seen, known))
    assert drift.distance(known, known) == 0 or not sum(known)


def test_small_samples_are_not_taken_for_drift():
    rng, p = np.random.default_rng(0), np.full(10, 0.1)
    known = [1000] * 10
    found = [drift.distance(known, rng.multinomial(100, p).tolist()) for _ in range(200)]
    assert np.mean(found) < 0.05
    moved = [
        drift.distance(known, rng.multinomial(100, np.linspace(0.2, 0, 10) / 1.0).tolist()) for _ in range(50)
    ]
    assert min(moved) > 0.15


SEEN = {"n": 100, "agree_ppm": 990_000, "unlabelled": 50, "labelled": 50, "correct": 45, "old_correct": 46,
        "p95_us": 20_000, "old_p95_us": 18_000, "errors": 0}  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "change", "why"),
    [
        ({}, {}, ""),
        ({"min_agree_ppm": 990_000, "max_drop_ppm": 20_000, "max_slower_ppm": 120_000}, {}, ""),
        ({"min_agree_ppm": 990_001}, {}, "990001 are asked for"),
        ({"min_agree_ppm": 990_001}, {"unlabelled": 0, "labelled": 100}, ""),
        ({"max_drop_ppm": 19_999}, {}, "accuracy falls by 20000 ppm"),
        ({"max_drop_ppm": 0}, {"correct": 50}, ""),
        ({"max_slower_ppm": 100_000}, {}, "111111 ppm slower"),
        ({}, {"errors": 1}, "failed on 1 of 100"),
    ],
)
def test_the_shadows_limits(limits, change, why):
    found = refused(Shadow(100, 60, **limits), {**SEEN, **change})
    assert why in found if why else not found
    assert slow(100, 100, 0) == ""
    assert slow(1_050, 60, 0) == ""  # less than a busy scheduler takes
    assert "1700000 ppm slower" in slow(2_700, 1_000, 1_000_000 - 1)


def test_a_child_that_crashes_is_one_sentence(tmp_path):
    (tmp_path / "bad.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    (tmp_path / "worse.py").write_text("raise SystemExit('it cannot')")
    (tmp_path / "ever.py").write_text("import time; print('{\"a\": 1}', flush=True); time.sleep(99)")
    sys.path.insert(0, str(tmp_path))
    try:
        for name, why in (("bad", "signal 11"), ("worse", "it cannot"), ("ever", "too long")):
            lines, ended = [], []
            child = Child([name], lines.append, ended.append)
            if name == "ever":
                while not lines:
                    time.sleep(0.02)
                child.expire()
            for _ in range(500):
                if ended:
                    break
                time.sleep(0.02)
            assert why in ended[0]
    finally:
        sys.path.remove(str(tmp_path))
