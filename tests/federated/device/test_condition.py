import json
import os

import pytest

from edge_runtime.errors import InputError
from federated.device import condition
from federated.device.condition import Conditions, charging


def supply(folder, name, **files):
    (folder / name).mkdir(parents=True)
    for each, text in files.items():
        (folder / name / each).write_text(text + "\n")


@pytest.mark.parametrize(
    ("supplies", "wanted"),
    [
        ([], True),  # a machine without a battery is fed by a cable
        (
            [
                ("AC", {"type": "Mains", "online": "1"}),
                ("BAT0", {"type": "Battery", "status": "Discharging"}),
            ],
            True,
        ),
        (
            [
                ("AC", {"type": "Mains", "online": "0"}),
                ("BAT0", {"type": "Battery", "status": "Discharging"}),
            ],
            False,
        ),
        ([("BAT0", {"type": "Battery", "status": "Charging"})], True),
        ([("BAT0", {"type": "Battery", "status": "Discharging"})], False),
    ],
)
def test_power(supplies, wanted, tmp_path):
    for name, files in supplies:
        supply(tmp_path, name, **files)
    assert charging(tmp_path) is wanted
    assert charging(tmp_path / "elsewhere") is None


def test_a_processor_that_others_use_is_not_idle(monkeypatch, tmp_path):
    monkeypatch.setattr(condition, "_POWER", tmp_path / "none")
    clock, used = [0.0], [(0.0, 0.0, 0.0)]
    monkeypatch.setattr(condition.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(condition, "_processor", lambda: used[0])
    says = Conditions()
    assert "idle" not in says()  # not known yet
    for busy, own, wanted in ((18, 18, True), (38, 19, False), (39, 20, True)):
        clock[0] += 10
        used[0] = (busy, clock[0] * 2, own)  # two processors; this one's own work does not count
        assert says()["idle"] is wanted
        assert "unmetered" not in says()


def test_the_file_stands_above_the_system_and_is_read_again(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"charging": False, "more": 1}))
    says = Conditions(path)
    assert says()["charging"] is False
    assert "more" not in says()
    path.write_text(json.dumps({"charging": True, "unmetered": False}))
    os.utime(path, ns=(1, 1))
    assert says() | {"idle": None} == {"charging": True, "unmetered": False, "idle": None}
    path.unlink()
    assert says()["unmetered"] is False  # what was said before


@pytest.mark.parametrize("text", ["{", "[]", '{"idle": "yes"}', "3"])
def test_a_file_that_says_nothing_is_refused_at_the_start(text, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"c\.json"):
        Conditions(path)
