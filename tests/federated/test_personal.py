import numpy as np
import pytest

from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.trainer import Trainer
from federated.personal import FineTune, personalise


@pytest.fixture(scope="module")
def trained(linear, digits):
    trainer = Trainer(linear, threads=1)
    trainer.fit(digits, epochs=3, lr=0.01)
    return trainer, trainer.parameters


def test_one_whose_labels_mean_something_else_gets_a_model_of_their_own(trained, held_out):
    trainer, model = trained
    swapped = Samples(held_out.x, (held_out.y + 1) % 10)
    mine, later = Samples(swapped.x[:200], swapped.y[:200]), Samples(swapped.x[200:], swapped.y[200:])
    made = personalise(trainer, model, mine)
    assert made.kept
    assert made.after > made.before + 0.3
    trainer.load(made.parameters)
    assert trainer.evaluate(later)["accuracy"] > 0.4  # a tenth, had it stayed as it was


def test_what_does_not_help_is_not_kept(trained, held_out):
    trainer, model = trained
    rng = np.random.default_rng(0)
    noise = Samples(held_out.x[:40], rng.permutation(held_out.y[:40]))
    made = personalise(trainer, model, noise, FineTune(margin=0.3))
    assert not made.kept
    for name, array in model.items():
        np.testing.assert_array_equal(made.parameters[name], array)


def test_the_same_samples_give_the_same_model(trained, held_out):
    trainer, model = trained
    mine = Samples(held_out.x[:60], held_out.y[:60])
    groups = np.repeat(np.arange(6), 10)
    first, second = (personalise(trainer, model, mine, groups=groups) for _ in range(2))
    assert (first.before, first.after, first.kept) == (second.before, second.after, second.kept)
    for name, array in first.parameters.items():
        np.testing.assert_array_equal(second.parameters[name], array)


def test_too_few_samples_are_refused(trained, held_out):
    trainer, model = trained
    with pytest.raises(InputError, match="3 samples cannot be judged in 4 folds"):
        personalise(trainer, model, Samples(held_out.x[:3], held_out.y[:3]))
    with pytest.raises(InputError, match="two folds"):
        FineTune(folds=1)
