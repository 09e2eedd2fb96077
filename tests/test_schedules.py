"""Schedules: what they give at each step, before, at and far beyond their ends."""

import pickle
from dataclasses import FrozenInstanceError
from math import cos, pi, sqrt

import numpy as np
import pytest

import nnxp
from nnxp import schedules
from nnxp.errors import ConfigurationError
from nnxp.layers import Dense
from nnxp.losses import MeanSquaredError
from nnxp.optimizers import SGD
from nnxp.schedules import (
    Constant,
    CosineDecay,
    CosineRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LinearWarmup,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    Schedule,
    StepDecay,
)


class Falling:
    """A schedule of the user's own that is no `Schedule`."""

    def __call__(self, step):
        return 1 / (1 + step)

    def __repr__(self):
        return "Falling()"


FAR = 10**15
HALF = (1 + cos(pi / 4)) / 2  # half a cosine, a quarter of its way

VALUES = [
    # schedule, {step: rate}; exact where the ends are promised exactly, else to a few roundings
    (Constant(0.3), {0: 0.3, 1: 0.3, FAR: 0.3}),
    (Constant(1), {0: 1.0}),
    (InverseTimeDecay(0.5, 0.1), {0: 0.5, 1: 0.5 / 1.1, 10: 0.25, 30: 0.125, FAR: 5e-15}),
    (InverseTimeDecay(0.5, 0), {0: 0.5, 1000: 0.5}),
    (StepDecay(0.8, 10, 0.5), {0: 0.8, 9: 0.8, 10: 0.4, 19: 0.4, 20: 0.2, FAR: 0.0}),
    (StepDecay(0.8, 1, 1), {0: 0.8, FAR: 0.8}),
    (PiecewiseConstant([5, 8], [0.1, 0.4, 0.0]), {0: 0.1, 4: 0.1, 5: 0.4, 7: 0.4, 8: 0.0, FAR: 0.0}),
    (PiecewiseConstant([], [0.1]), {0: 0.1, FAR: 0.1}),
    (ExponentialDecay(0.8, 0.5), {0: 0.8, 1: 0.4, 2: 0.2, FAR: 0.0}),
    (ExponentialDecay(0.8, 0.25, 4), {0: 0.8, 1: 0.8 / sqrt(2), 2: 0.4, 4: 0.2}),
    (PolynomialDecay(0.8, 10), {0: 0.8, 1: 0.72, 5: 0.4, 10: 0.0, 11: 0.0, FAR: 0.0}),
    (PolynomialDecay(0.8, 10, end=0.4, power=2), {0: 0.8, 5: 0.5, 9: 0.404, 10: 0.4, FAR: 0.4}),
    (PolynomialDecay(0.1, 10, end=0.2), {0: 0.1, 5: 0.15, 10: 0.2}),  # a rise, too
    (CosineDecay(0.8, 8), {0: 0.8, 2: 0.8 * HALF, 4: 0.4, 8: 0.0, 9: 0.0, 16: 0.0, FAR: 0.0}),
    (CosineDecay(0.8, 8, minimum=0.2), {0: 0.8, 2: 0.2 + 0.6 * HALF, 4: 0.5, 8: 0.2, FAR: 0.2}),
    (CosineDecay(0.8, 8, 0.8), {0: 0.8, 3: 0.8, 8: 0.8}),
    (CosineRestarts(0.8, 8), {0: 0.8, 2: 0.8 * HALF, 4: 0.4, 8: 0.8, 12: 0.8 * HALF, 16: 0.4, 24: 0.8, 56: 0.8}),
    (CosineRestarts(0.8, 8, 1.0), {0: 0.8, 4: 0.4, 8: 0.8, 12: 0.4, 16: 0.8, 8 * FAR: 0.8, 8 * FAR + 4: 0.4}),
    (CosineRestarts(0.8, 8, 1.5), {0: 0.8, 8: 0.8, 14: 0.4, 20: 0.8, 29: 0.4, 38: 0.8}),  # periods of 8, 12, 18
    (CosineRestarts(0.8, 8, 2.0, 0.5, 0.2), {0: 0.8, 4: 0.5, 8: 0.5, 16: 0.35, 24: 0.35, 56: 0.275}),
    (CosineRestarts(0.8, 8, 1.0, 0.5), {0: 0.8, 8: 0.4, 12: 0.2, 16: 0.2, 8 * FAR: 0.0}),
    (OneCycle(0.5, 10), {0: 0.02, 3: 0.5, 10: 2e-6, 11: 2e-6, FAR: 2e-6}),
    (OneCycle(0.5, 8, 0.5, 0.2, 0.0), {0: 0.1, 1: 0.5 - 0.4 * HALF, 2: 0.3, 4: 0.5, 5: 0.5 * HALF, 6: 0.25, 8: 0.0}),
    (OneCycle(0.5, 8, rise=0), {0: 0.5, 8: 2e-6}),
    (LinearWarmup(0.4, 4), {0: 0.0, 1: 0.1, 2: 0.2, 4: 0.4, 5: 0.4, FAR: 0.4}),
    (LinearWarmup(0.4, 4, start=0.2), {0: 0.2, 2: 0.3, 4: 0.4}),
    (LinearWarmup(0.4, 4, start=0.8), {0: 0.8, 2: 0.6, 4: 0.4}),
    (LinearWarmup(StepDecay(0.4, 2, 0.5), 4), {3: 0.3, 4: 0.4, 5: 0.4, 6: 0.2}),  # begins when the rise is over
    (LinearWarmup(Falling(), 2), {0: 0.0, 1: 0.5, 2: 1.0, 3: 0.5}),
    (LinearWarmup(LinearWarmup(0.4, 2), 2), {0: 0.0, 2: 0.0, 3: 0.2, 4: 0.4}),
]
ALL = [schedule for schedule, _ in VALUES]
IDS = [f"{type(schedule).__name__}-{index}" for index, schedule in enumerate(ALL)]  # a lambda's address is no name


def test_every_schedule_is_here():
    public = {getattr(schedules, name) for name in schedules.__all__} - {Schedule}
    assert {type(schedule) for schedule in ALL} == public
    assert {type(schedule).__name__ for schedule, _ in BAD} == {kind.__name__ for kind in public}


@pytest.mark.parametrize(("schedule", "expected"), VALUES, ids=IDS)
def test_values(schedule, expected):
    rates = {step: schedule(step) for step in expected}
    assert rates == pytest.approx(expected, rel=1e-14, abs=1e-17)  # a few roundings
    assert {type(rate) for rate in rates.values()} == {float}


@pytest.mark.parametrize(("schedule", "expected"), VALUES, ids=IDS)
def test_the_first_and_the_last_rate_are_exact(schedule, expected):
    if isinstance(schedule, OneCycle):
        assert schedule(round(schedule.rise * schedule.steps)) == schedule.peak
        expected = {0: expected[0]} if schedule.rise == 0 else {}
    for step in {0, FAR} & expected.keys():
        if not isinstance(schedule, InverseTimeDecay):
            assert schedule(step) == expected[step]


@pytest.mark.parametrize("schedule", ALL, ids=IDS)
def test_rates_are_positive_and_finite(schedule):
    rates = [schedule(step) for step in [*range(60), 10**3, 10**6, 10**9, FAR]]
    assert np.all(np.isfinite(rates))
    assert min(rates) >= 0


@pytest.mark.parametrize("schedule", ALL, ids=IDS)
def test_a_float_is_a_step_too(schedule):
    assert [schedule(float(step)) for step in range(30)] == [schedule(step) for step in range(30)]


def test_numbers_of_numpy_give_floats_of_python():
    """NumPy's scalars would make float64 of float32 arrays."""
    number = np.float64(0.5)
    for schedule in [
        Constant(number),
        InverseTimeDecay(number, number),
        StepDecay(number, np.int64(3), number),
        PiecewiseConstant([np.int64(3)], [number, number]),
        ExponentialDecay(number, number),
        PolynomialDecay(number, np.int64(3), number, number),
        CosineDecay(number, np.int64(3), number),
        CosineRestarts(number, np.int64(3), np.float64(1.5), number, number),
        OneCycle(number, np.int64(3), number, number, number),
        LinearWarmup(number, np.int64(3), number),
    ]:
        assert {type(schedule(step)) for step in range(8)} == {float}


BAD = [
    (Constant(1.0), [((0,), "Constant: learning_rate must be a positive number, got 0")]),
    (
        InverseTimeDecay(1.0, 1.0),
        [((0.1, np.nan), "InverseTimeDecay: decay must be a number of at least 0, got nan")],
    ),
    (
        StepDecay(1.0, 1, 0.5),
        [
            ((-0.1, 1, 0.5), "StepDecay: learning_rate must be a positive number, got -0.1"),
            ((0.1, 0, 0.5), "StepDecay: every must be a whole number of at least 1, got 0"),
            ((0.1, 1.5, 0.5), "StepDecay: every must be a whole number of at least 1, got 1.5"),
            ((0.1, 1, 0), r"StepDecay: factor must be a number in \(0, 1\], got 0"),
            ((0.1, 1, 1.01), r"StepDecay: factor must be a number in \(0, 1\], got 1.01"),
        ],
    ),
    (
        PiecewiseConstant([1], [1.0, 2.0]),
        [
            (([1, 2], [0.1, 0.2]), "rates must be one more than boundaries, got 2 rates for 2 boundaries"),
            (([], []), "rates must be one more than boundaries, got 0 rates for 0"),
            (([2, 2], [0.1] * 3), r"boundaries must rise from one to the next, got \[2, 2\]"),
            (([0], [0.1] * 2), "each of boundaries must be a whole number of at least 1, got 0"),
            (([1.5], [0.1] * 2), "each of boundaries must be a whole number of at least 1, got 1.5"),
            (([1], [0.1, -0.1]), "each of rates must be a number of at least 0, got -0.1"),
            ((1, [0.1, 0.1]), "boundaries must be a list of numbers, got 1"),
            (([1], "ab"), "rates must be a list of numbers, got 'ab'"),
        ],
    ),
    (
        ExponentialDecay(1.0, 0.5),
        [
            ((None, 0.5), "ExponentialDecay: learning_rate must be a positive number, got None"),
            ((0.1, 2), r"ExponentialDecay: factor must be a number in \(0, 1\], got 2"),
            ((0.1, np.nan), r"ExponentialDecay: factor must be a number in \(0, 1\], got nan"),
            ((0.1, 0.5, 0), "ExponentialDecay: every must be a whole number of at least 1, got 0"),
        ],
    ),
    (
        PolynomialDecay(1.0, 1),
        [
            ((0, 1), "PolynomialDecay: learning_rate must be a positive number, got 0"),
            ((0.1, 0), "PolynomialDecay: steps must be a whole number of at least 1, got 0"),
            ((0.1, 1, -0.1), "PolynomialDecay: end must be a number of at least 0, got -0.1"),
            ((0.1, 1, 0.0, 0), "PolynomialDecay: power must be a positive number, got 0"),
        ],
    ),
    (
        CosineDecay(1.0, 1),
        [
            ((0, 1), "CosineDecay: learning_rate must be a positive number, got 0"),
            ((0.1, True), "CosineDecay: steps must be a whole number of at least 1, got True"),
            ((0.1, 1, -0.1), "CosineDecay: minimum must be a number of at least 0, got -0.1"),
            ((0.1, 1, 0.2), r"CosineDecay: minimum must not be above learning_rate 0\.1, got 0\.2"),
        ],
    ),
    (
        CosineRestarts(1.0, 1),
        [
            ((0.1, 0), "CosineRestarts: steps must be a whole number of at least 1, got 0"),
            ((0.1, 1, 0.9), "CosineRestarts: factor must be at least 1, or the periods end, got 0.9"),
            ((0.1, 1, np.inf), "CosineRestarts: factor must be a finite number, got inf"),
            ((0.1, 1, 2, 0), r"CosineRestarts: decay must be a number in \(0, 1\], got 0"),
            ((0.1, 1, 2, 1, 0.2), "CosineRestarts: minimum must not be above learning_rate"),
        ],
    ),
    (
        OneCycle(1.0, 1),
        [
            ((0, 1), "OneCycle: peak must be a positive number, got 0"),
            ((0.1, 0), "OneCycle: steps must be a whole number of at least 1, got 0"),
            ((0.1, 1, 1.0), r"OneCycle: rise must be a number in \[0, 1\), got 1.0"),
            ((0.1, 1, 0.3, 25), r"OneCycle: start must be a number in \[0, 1\), got 25"),
            ((0.1, 1, 0.3, 0.1, -1), r"OneCycle: end must be a number in \[0, 1\), got -1"),
        ],
    ),
    (
        LinearWarmup(1.0, 1),
        [
            ((0, 1), "LinearWarmup: schedule must be a positive number, got 0"),
            (("0.1", 1), "LinearWarmup: schedule must be a positive number, got '0.1'"),
            ((Constant, 1), "LinearWarmup: schedule must be an object such as .*, got the class Constant"),
            ((0.1, 0), "LinearWarmup: steps must be a whole number of at least 1, got 0"),
            ((0.1, 1, -1), "LinearWarmup: start must be a number of at least 0, got -1"),
        ],
    ),
]


@pytest.mark.parametrize(("schedule", "arguments", "message"), [(good, *case) for good, cases in BAD for case in cases])
def test_errors(schedule, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        type(schedule)(*arguments)


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in BAD], ids=repr)
def test_is_frozen(schedule):
    name = next(iter(vars(schedule)))
    with pytest.raises(FrozenInstanceError):
        setattr(schedule, name, 1.0)
    same = pickle.loads(pickle.dumps(schedule))
    assert (same, hash(same)) == (schedule, hash(schedule))


def test_lists_and_tuples_are_one():
    assert PiecewiseConstant([1], [0.1, 0.2]) == PiecewiseConstant((1,), (0.1, 0.2))


def test_the_parent_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Schedule()


def test_an_optimizer_follows_it(backend):
    """Three updates of a bias by a gradient of 2·(b - y): the rates stand in the differences."""
    schedule = LinearWarmup(PiecewiseConstant([1], [0.5, 0.25]), steps=1, start=0.125)
    model = nnxp.Model([Dense(1, input_size=1)], loss=MeanSquaredError(), optimizer=SGD(schedule), backend=backend)
    model.load_state_dict({"0.weights": [[0.0]], "0.biases": [1.0]})
    biases = []
    for _ in range(3):
        model.train_step(backend.asarray([[0.0]]), backend.asarray([[0.0]]))
        biases.append(float(model.state_dict()["0.biases"][0]))
    assert biases == [0.75, 0.0, 0.0]
