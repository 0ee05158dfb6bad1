import re
from dataclasses import replace

import pytest

from federated import Settings, report
from federated.history import History, Round


@pytest.fixture
def history():
    rounds = tuple(
        Round(
            number=k,
            accuracy=0.5 + 0.1 * k,
            loss=1.0 / k,
            train_loss=0.9 / k,
            clients=(0, 1, 2),
            failed={2: "no answer in time"} if k == 2 else {},
            seconds=0.1,
            bytes_down=2_000_000,
            bytes_up=1_000_000,
            set_aside={1: "<far> from the others"} if k == 3 else {},
            losses={0: 0.5 / k, 1: 0.25},
        )
        for k in (1, 2, 3)
    )
    return History(
        Settings(clients=3, rounds=3).to_json(), {}, 100, {"accuracy": 0.1, "loss": 2.3}, (), rounds
    )


def test_the_page_says_what_happened_and_needs_no_network(history, tmp_path):
    text = report.write(history, tmp_path / "report.html").read_text()
    assert "80.00%" in text
    assert "3.00 MB" in text
    assert "6.00 MB" in text
    assert "no answer in time" in text
    assert "&lt;far&gt; from the others" in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert text.count("<img") == 2


def test_a_run_without_losses_or_setbacks_is_a_shorter_page(history, tmp_path):
    rounds = tuple(replace(each, failed={}, set_aside={}, losses={}, epsilon=2.5) for each in history.rounds)
    text = report.write(replace(history, rounds=rounds), tmp_path / "report.html").read_text()
    assert "Fairness" not in text
    assert "Set aside" not in text
    assert "epsilon spent" in text


def test_a_history_with_losses_comes_back_from_json(history):
    assert History.from_json(history.to_json(), "here") == history


def test_events_hold_every_round_and_replace_those_before(history, tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto import event_pb2

    for _ in range(2):
        report.write_events(history, tmp_path / "events")
    (file,) = (tmp_path / "events").iterdir()
    content, found = file.read_bytes(), []
    while content:  # records: length u64, its checksum u32, the event, its checksum u32
        length = int.from_bytes(content[:8], "little")
        event = event_pb2.Event.FromString(content[12 : 12 + length])
        found += [(value.tag, event.step, round(value.simple_value, 3)) for value in event.summary.value]
        content = content[16 + length :]
    assert ("held-out/accuracy", 3, 0.8) in found
    assert [step for tag, step, _ in found if tag == "device/loss"] == [1, 2, 3]


def test_a_run_that_goes_on_is_shown_now_and_then(history, tmp_path):
    """Every five seconds, and less often where drawing takes long."""
    now = [0.0]
    live = report.Live(tmp_path / "report.html", tmp_path / "events", clock=lambda: now[0])
    started = replace(history, settings={**history.settings, "rounds": 99})
    live.show(started)
    assert not (tmp_path / "report.html").exists()
    now[0] = 5.0
    live.show(started)
    assert f"round {len(history.rounds)} of 99, and it goes on" in (tmp_path / "report.html").read_text()
    assert list((tmp_path / "events").iterdir())
    (tmp_path / "report.html").unlink()
    now[0] = 9.9
    live.show(started)
    assert not (tmp_path / "report.html").exists()
    now[0] = 10.0
    live.show(started)
    assert (tmp_path / "report.html").exists()
    (tmp_path / "report.html").unlink()
    ticks = iter([15.0, 17.0, 54.0, 55.0, 56.0])  # two seconds of drawing: not again for forty
    slow = report.Live(tmp_path / "report.html", tmp_path / "events", clock=lambda: now[0])
    slow._clock = lambda: next(ticks)
    slow.show(started)
    (tmp_path / "report.html").unlink()
    slow.show(started)
    assert not (tmp_path / "report.html").exists()
    slow.show(started)
    assert (tmp_path / "report.html").exists()


def test_bytes_at_the_socket_staleness_and_own_models_are_on_the_page(history, tmp_path):
    rounds = tuple(
        replace(entry, wire_up=2_000_000, wire_down=3_000_000, staleness=1.5) for entry in history.rounds
    )
    personal = {
        0: {"before": 0.5, "after": 0.75, "kept": 1.0},
        1: {"before": 0.5, "after": 0.25, "kept": 0.0},
    }
    told = replace(
        history,
        rounds=rounds,
        personal=personal,
        names={0: "pi-1"},
        settings={**history.settings, "asynchronous": 4},
    )
    text = report.write(told, tmp_path / "report.html").read_text()
    for said in (
        "at the socket",
        "versions old",
        "a step every 4 changes",
        "1 of 2 devices keep",
        "75.0%",
        "<td>pi-1</td>",
    ):
        assert said in text
    assert History.from_json(told.to_json(), "here").personal == personal
    assert History.from_json(told.to_json(), "here").rounds == rounds
