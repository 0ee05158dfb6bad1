import pytest

from edge_runtime.errors import InputError
from federated.settings import Settings


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"rounds": 0}, "rounds 0: at least 1"),
        ({"clients": 0}, "clients 0: at least 1"),
        ({"epochs": 0}, "epochs 0: at least 1"),
        ({"batch_size": -1}, "batch_size -1: at least 1"),
        ({"seed": -1}, "seed -1: expected 0 or more"),
        ({"threads": -1}, "threads -1: expected 0 or more"),
        ({"fraction": 0.0}, "fraction 0: expected more than 0"),
        ({"fraction": 1.01}, "fraction 1.01: expected more than 0"),
        ({"fraction": float("nan")}, "fraction nan"),
        ({"sample": 0}, "sample 0: expected 1 to 5"),
        ({"sample": 6}, "sample 6: expected 1 to 5"),
        ({"lr": 0.0}, "lr 0: expected a positive"),
        ({"lr": float("inf")}, "lr inf: expected a positive"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(bad, says):
    with pytest.raises(InputError, match=says):
        Settings(**bad)


def test_how_many_train_in_a_round():
    assert Settings().per_round == 5
    assert Settings(clients=10, fraction=0.3).per_round == 3
    assert Settings(clients=10, fraction=0.01).per_round == 1
    assert Settings(clients=10, fraction=0.3, sample=7).per_round == 7


def test_json_names_every_setting():
    assert set(Settings().to_json()) == set(Settings.__slots__)
