import json
import math

import pytest

from edge_runtime.errors import InputError
from federated.history import History, Round, draw
from federated.settings import Settings


def a_round(number, accuracy=0.9, **changes):
    values = {
        "loss": 0.314,
        "train_loss": 0.5,
        "clients": (0, 2, 3),
        "failed": {},
        "seconds": 0.4321,
        "bytes_down": 3000,
        "bytes_up": 2000,
    }
    return Round(number, accuracy, **(values | changes))


def a_history(**changes):
    values = {
        "split": ((3, 1), (0, 4), (2, 2), (1, 0)),
        "settings": Settings(clients=4).to_json(),
        "inputs": {"data": "ab"},
        "held_out": 7,
        "initial": {"accuracy": 0.1, "loss": 2.3},
    }
    return History(**(values | changes))


def test_round_trip_through_json():
    history = a_history().add(a_round(1, failed={2: "no answer in time"})).add(a_round(2))
    text = json.dumps(history.to_json(), allow_nan=False)
    assert json.loads(text)["clients"][1] == {"client": 1, "samples": 4, "classes": [0, 4]}
    assert History.from_json(json.loads(text), "h") == history


def test_a_loss_that_is_not_finite_becomes_null():
    history = a_history().add(a_round(1, loss=math.inf, train_loss=math.nan))
    entry = json.loads(json.dumps(history.to_json(), allow_nan=False))["rounds"][0]
    assert entry["loss"] is None
    assert math.isnan(History.from_json(history.to_json(), "h").rounds[0].train_loss)


def test_the_progress_line():
    assert a_round(3, 0.9123).line(20) == "round 3/20  accuracy 0.912  loss 0.31  clients 3  0.4 s"
    assert "clients 2 of 3" in a_round(3, failed={2: "x"}).line(20)


@pytest.mark.parametrize("value", [None, [], {}, {"schema": 2}, {"schema": 1, "settings": 3}])
def test_what_is_not_a_history_is_refused(value):
    with pytest.raises(InputError, match="here: not the history"):
        History.from_json(value, "here")


@pytest.mark.parametrize(
    "history",
    [
        a_history(),
        a_history().add(a_round(1)).add(a_round(2)),
        a_history(split=()).add(a_round(1)),
        a_history(split=tuple((1,) * 100 for _ in range(300))).add(a_round(1, math.nan)),
        a_history(split=tuple((5,) * 15 for _ in range(2))),
    ],
    ids=["no round", "two", "no split", "many", "fifteen classes"],
)
def test_the_picture_is_a_png(history, tmp_path):
    content = draw(history, tmp_path / "curve.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert [entry.name for entry in tmp_path.iterdir()] == ["curve.png"]
