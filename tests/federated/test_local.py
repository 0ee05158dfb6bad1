import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.trainer import Trainer
from federated.local import client_update, trainer_of
from federated.steps import Steps

STEPS = Steps(round_number=3, epochs=2, batch_size=32, lr=0.05, seed=0)


def test_client_update_is_fit_from_the_given_weights(linear, digits):
    trainer = Trainer(linear, threads=1)
    start = trainer.parameters
    learned = client_update(trainer, start, digits, STEPS, client=1)
    assert learned.num_examples == len(digits)
    assert any((learned.parameters[name] != start[name]).any() for name in start)
    again = client_update(trainer, start, digits, STEPS, client=1)
    assert learned.loss == again.loss
    for name in start:
        np.testing.assert_array_equal(learned.parameters[name], again.parameters[name])


def test_clients_and_rounds_shuffle_differently(linear, digits):
    trainer = Trainer(linear, threads=1)
    start = trainer.parameters
    losses = {client_update(trainer, start, digits, STEPS, client).loss for client in range(3)}
    losses.add(client_update(trainer, start, digits, Steps(4, 2, 32, 0.05, 0), 0).loss)
    assert len(losses) == 4


def test_weights_of_another_model_are_refused(linear, digits):
    with pytest.raises(InputError):
        client_update(Trainer(linear, threads=1), {"other": np.zeros(3, np.float32)}, digits, STEPS, 0)


def test_one_trainer_is_kept(linear):
    get = trainer_of(linear)
    assert get() is get()
    trainer = Trainer(linear, threads=1)
    assert trainer_of(trainer)() is trainer


def test_a_trainer_is_loaded_once_also_where_it_is_sent_to(linear):
    import pickle

    from federated.local import trainer_of

    once = trainer_of(linear.path)
    assert once() is once()
    sent = [pickle.loads(pickle.dumps(once)) for _ in range(2)]  # noqa: S301
    assert sent[0]() is sent[1]()
    assert sent[0]() is not once()
