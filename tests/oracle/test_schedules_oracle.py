"""PyTorch's schedulers, step by step: where they agree with ours, and where they are other functions."""

import numpy as np
import pytest

from nnxp.schedules import (
    CosineDecay,
    CosineRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LinearWarmup,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    StepDecay,
)

torch = pytest.importorskip("torch")
lr_scheduler = torch.optim.lr_scheduler

RATE = 0.1
STEPS = 60
TOLERANCE = 1e-12
"""Relative: some of theirs are computed from step to step, and sixty roundings of 1e-16 add up."""


def theirs(make, steps=STEPS, rate=RATE):
    """The rates of ``steps`` updates; ``make`` takes an optimizer."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=rate)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def ours(schedule, steps=STEPS):
    return [schedule(step) for step in range(steps)]


def in_turn(optimizer):
    rise = lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=8)
    fall = lr_scheduler.StepLR(optimizer, 5, 0.5)
    return lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[8])


AGREE = {
    "inverse time": (InverseTimeDecay(RATE, 0.1), lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + 0.1 * t))),
    "steps": (StepDecay(RATE, 7, 0.5), lambda o: lr_scheduler.StepLR(o, 7, 0.5)),
    "pieces": (
        PiecewiseConstant([5, 20], [RATE, 0.2 * RATE, 0.04 * RATE]),
        lambda o: lr_scheduler.MultiStepLR(o, [5, 20], 0.2),
    ),
    "exponential": (ExponentialDecay(RATE, 0.9), lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
    "line": (PolynomialDecay(RATE, 25), lambda o: lr_scheduler.PolynomialLR(o, 25)),
    "line to an end": (PolynomialDecay(RATE, 25, 0.25 * RATE), lambda o: lr_scheduler.LinearLR(o, 1.0, 0.25, 25)),
    "parabola": (PolynomialDecay(RATE, 25, power=2.0), lambda o: lr_scheduler.PolynomialLR(o, 25, 2.0)),
    "cosine": (CosineDecay(RATE, STEPS, 0.01), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, 0.01)),
    "restarts": (CosineRestarts(RATE, 8), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 8, 2)),
    "equal periods": (
        CosineRestarts(RATE, 8, 1.0, 1.0, 0.01),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 8, 1, 0.01),
    ),
    "warmup": (LinearWarmup(RATE, 8, 0.25 * RATE), lambda o: lr_scheduler.LinearLR(o, 0.25, 1.0, 8)),
}


@pytest.mark.parametrize("name", AGREE)
def test_agrees(name):
    schedule, make = AGREE[name]
    np.testing.assert_allclose(ours(schedule), theirs(make), rtol=TOLERANCE, atol=TOLERANCE * RATE)


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")  # their own call, in SequentialLR
def test_a_schedule_behind_a_warmup_begins_at_its_own_first_step():
    schedule = LinearWarmup(StepDecay(RATE, 5, 0.5), 8, 0.25 * RATE)
    np.testing.assert_allclose(ours(schedule), theirs(in_turn), rtol=TOLERANCE)


@pytest.mark.parametrize("rise", [0.25, 0.5])
def test_one_cycle_is_theirs_of_one_step_more(rise):
    """Ours: the peak at rise·T, the end at T. Theirs: the peak at rise'·N - 1, the end at N - 1."""
    total = STEPS + 1
    schedule = OneCycle(RATE, STEPS, rise)

    def make(optimizer, share=(rise * STEPS + 1) / total):
        return lr_scheduler.OneCycleLR(optimizer, RATE, total, pct_start=share, cycle_momentum=False)

    np.testing.assert_allclose(ours(schedule), theirs(make), rtol=TOLERANCE)


# -- where they are other functions


def test_one_cycle_counts_to_the_last_update():
    rates = theirs(lambda o: lr_scheduler.OneCycleLR(o, RATE, STEPS, cycle_momentum=False), STEPS - 1)
    assert rates.index(max(rates)) == 17
    schedule = OneCycle(RATE, STEPS)
    assert max(range(STEPS), key=schedule) == 18


def test_their_cosine_rises_again():
    rates = theirs(lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS // 2))
    assert rates[-1] > 0.9 * RATE
    assert CosineDecay(RATE, STEPS // 2)(STEPS - 1) == 0


def test_their_warmup_does_not_begin_at_zero():
    with pytest.raises(ValueError, match="Starting multiplicative factor"):
        theirs(lambda o: lr_scheduler.LinearLR(o, 0.0, 1.0, 8))
    assert LinearWarmup(RATE, 8)(0) == 0


def test_their_periods_grow_by_whole_factors():
    with pytest.raises(ValueError, match="T_mult"):
        theirs(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 8, 1.5))
