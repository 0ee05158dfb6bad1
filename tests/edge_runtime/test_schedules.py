"""Learning rates against torch's schedulers."""

import doctest

import pytest
import torch

from edge_runtime.training import schedules

LR, TOTAL = 0.3, 20


def torch_rates(make) -> list[float]:
    solver = torch.optim.SGD([torch.zeros(1)], LR)
    scheduler = make(solver)
    rates = []
    for _ in range(TOTAL):
        rates.append(scheduler.get_last_lr()[0])
        solver.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (schedules.constant(LR), lambda s: torch.optim.lr_scheduler.ConstantLR(s, 1.0)),
        (schedules.steps(LR, 6, 0.5), lambda s: torch.optim.lr_scheduler.StepLR(s, 6, 0.5)),
        (
            schedules.cosine(LR, TOTAL, 0.01),
            lambda s: torch.optim.lr_scheduler.CosineAnnealingLR(s, TOTAL, 0.01),
        ),
        (
            schedules.warm_up(schedules.constant(LR), 5),
            lambda s: torch.optim.lr_scheduler.LambdaLR(s, lambda k: min((k + 1) / 5, 1)),
        ),
    ],
)
def test_rates_are_those_of_torch(schedule: schedules.Schedule, make) -> None:
    assert [schedule(k) for k in range(TOTAL)] == pytest.approx(torch_rates(make))


def test_the_examples_hold() -> None:
    assert doctest.testmod(schedules).failed == 0
