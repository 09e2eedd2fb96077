"""Optimizers as configuration: the updates that they name, worked out by hand, and what they refuse."""

from collections.abc import Sequence
from dataclasses import FrozenInstanceError, replace
from math import sqrt

import numpy as np
import pytest

from nnxp import optimizers
from nnxp.backend import Backend
from nnxp.errors import ConfigurationError
from nnxp.ops.record import run
from nnxp.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    GradientOptimizer,
    Lion,
    NAdam,
    Optimizer,
    RandomSearch,
    RMSprop,
)
from nnxp.schedules import InverseTimeDecay

ROUNDINGS = 1e-6
"""Relative, for float32: eight ULP; an update here has at most ten roundings."""


def train(optimizer: Optimizer, backend: Backend, w: Sequence[float], gradients: Sequence[Sequence[float]]) -> dict:
    """The state after an update for each gradient: w, which is one parameter, and what is remembered."""
    zero = backend.asarray(np.zeros(len(w)))
    state = {"w": backend.asarray(np.array(w)), **dict.fromkeys(optimizer.memory, zero)}
    for step, g in enumerate(gradients):
        values = state | {"g": backend.asarray(np.array(g))} | optimizer.scalars(step)
        values["bounds"] = ((0, len(w)),)
        run(optimizer.records(), values, backend.ops)
        state = {name: values[name] for name in state}
    return {name: backend.to_numpy(array) for name, array in state.items()}


BY_GRADIENT = [SGD, Adagrad, Adadelta, RMSprop, Adam, AdamW, Adamax, NAdam, Lion]

STEPS = [[0.5, -2.0], [1.0, 2.0]]
UPDATES = [
    # two updates of w = (1, -1) by STEPS
    (SGD(0.1), {"w": [1 - 0.05 - 0.1, -1 + 0.2 - 0.2]}),
    (
        SGD(0.1, momentum=0.5),
        # v: -0.05, 0.2; then 0.5·v - 0.1·g
        {"velocity": [-0.025 - 0.1, 0.1 - 0.2], "w": [1 - 0.05 - 0.125, -1 + 0.2 - 0.1]},
    ),
    (
        SGD(0.1, momentum=0.5, nesterov=True),
        # the same v; w moves by 0.5·v - 0.1·g with the new v: -0.075, 0.3; then -0.1625, -0.25
        {"velocity": [-0.125, -0.1], "w": [1 - 0.075 - 0.1625, -1 + 0.3 - 0.25]},
    ),
    (SGD(0.1, nesterov=True), {"w": [1 - 0.05 - 0.1, -1 + 0.2 - 0.2]}),  # without momentum there is nothing ahead
    (
        # m: 0.25, -1; then 0.5·m + 0.5·g. v: 0.0625, 1; then 0.75·v + 0.25·g².
        # The first step is η·sign(g); the second divides by 1 - 0.5² = 0.75 and 1 - 0.75² = 0.4375.
        Adam(0.1, beta_1=0.5, beta_2=0.75, epsilon=1e-12),
        {
            "first_moment": [0.125 + 0.5, -0.5 + 1],
            "second_moment": [0.046875 + 0.25, 0.75 + 1],
            "w": [
                1 - 0.1 - 0.1 * (0.625 / 0.75) / sqrt(0.296875 / 0.4375),
                -1 + 0.1 - 0.1 * (0.5 / 0.75) / sqrt(1.75 / 0.4375),
            ],
        },
    ),
    (
        # ε stands outside the root and is added to the corrected root: the first step is η·g / (|g| + ε)
        Adam(0.1, beta_1=0.0, beta_2=0.0, epsilon=1.0),
        {
            "first_moment": [1.0, 2.0],
            "second_moment": [1.0, 4.0],
            "w": [1 - 0.1 * 0.5 / 1.5 - 0.1 / 2, -1 + 0.1 * 2 / 3 - 0.1 * 2 / 3],
        },
    ),
    # η: 0.1, then 0.1 / (1 + 0.25)
    (SGD(InverseTimeDecay(0.1, 0.25)), {"w": [1 - 0.05 - 0.08, -1 + 0.2 - 0.16]}),
    (SGD(lambda step: 0.1 * (step + 1)), {"w": [1 - 0.05 - 0.2, -1 + 0.2 - 0.4]}),
    # the momentum holds η·g with the η of its time
    (
        SGD(lambda step: 0.1 * (step + 1), momentum=0.5),
        {"velocity": [-0.025 - 0.2, 0.1 - 0.4], "w": [1 - 0.05 - 0.225, -1 + 0.2 - 0.3]},
    ),
    (SGD(0.1, clip_value=1.0), {"w": [1 - 0.05 - 0.1, -1 + 0.1 - 0.1]}),
    (
        SGD(0.1, clip_norm=1.0),
        {"w": [1 - 0.05 / sqrt(4.25) - 0.1 / sqrt(5), -1 + 0.2 / sqrt(4.25) - 0.2 / sqrt(5)]},
    ),
    # by value first, then by norm: (0.5, -1), (1, 1)
    (
        SGD(0.1, clip_norm=1.0, clip_value=1.0),
        {"w": [1 - 0.05 / sqrt(1.25) - 0.1 / sqrt(2), -1 + 0.1 / sqrt(1.25) - 0.1 / sqrt(2)]},
    ),
    (
        # c: 0.25, 4; then 1.25, 8. The first step is η·sign(g).
        Adagrad(0.1, epsilon=1e-12),
        {"squared_sum": [1.25, 8.0], "w": [1 - 0.1 - 0.1 / sqrt(1.25), -1 + 0.1 - 0.2 / sqrt(8)]},
    ),
    (
        # ε stands outside the root
        Adagrad(0.1, epsilon=1.0),
        {
            "squared_sum": [1.25, 8.0],
            "w": [1 - 0.05 / 1.5 - 0.1 / (sqrt(1.25) + 1), -1 + 0.2 / 3 - 0.2 / (sqrt(8) + 1)],
        },
    ),
    # c holds g² without the η of its time
    (
        Adagrad(lambda step: 0.1 * (step + 1), epsilon=1e-12),
        {"squared_sum": [1.25, 8.0], "w": [1 - 0.1 - 0.2 / sqrt(1.25), -1 + 0.1 - 0.4 / sqrt(8)]},
    ),
    # c gathers the clipped gradients: (0.5, -1), (1, 1)
    (
        Adagrad(0.1, epsilon=1e-12, clip_value=1.0),
        {"squared_sum": [1.25, 2.0], "w": [1 - 0.1 - 0.1 / sqrt(1.25), -1 + 0.1 - 0.1 / sqrt(2)]},
    ),
    # of length 1: c is 0.25 / 4.25, 4 / 4.25; then 1 / 5 and 4 / 5 more
    (
        Adagrad(0.1, epsilon=1e-12, clip_norm=1.0),
        {
            "squared_sum": [1 / 17 + 0.2, 16 / 17 + 0.8],
            "w": [1 - 0.1 - 0.1 / sqrt(5) / sqrt(1 / 17 + 0.2), -1 + 0.1 - 0.2 / sqrt(5) / sqrt(16 / 17 + 0.8)],
        },
    ),
    (
        # c: 0.0625, 1; then 0.75·c + 0.25·g². The first step is η·sign(g) / √0.25.
        RMSprop(0.1, rho=0.75, epsilon=1e-12),
        {
            "squared_average": [0.046875 + 0.25, 0.75 + 1],
            "w": [1 - 0.2 - 0.1 / sqrt(0.296875), -1 + 0.2 - 0.2 / sqrt(1.75)],
        },
    ),
    (
        # without memory the step is η·g / (|g| + ε)
        RMSprop(0.1, rho=0.0, epsilon=1.0),
        {"squared_average": [1.0, 4.0], "w": [1 - 0.05 / 1.5 - 0.1 / 2, -1 + 0.2 / 3 - 0.2 / 3]},
    ),
    (
        RMSprop(InverseTimeDecay(0.1, 0.25), rho=0.75, epsilon=1e-12, clip_value=1.0),
        {
            "squared_average": [0.046875 + 0.25, 0.1875 + 0.25],
            "w": [1 - 0.2 - 0.08 / sqrt(0.296875), -1 + 0.2 - 0.08 / sqrt(0.4375)],
        },
    ),
    (
        RMSprop(0.1, rho=0.75, epsilon=1e-12, clip_norm=1.0),
        {
            "squared_average": [0.1875 / 17 + 0.05, 3 / 17 + 0.2],
            "w": [
                1 - 0.2 - 0.1 / sqrt(5) / sqrt(0.1875 / 17 + 0.05),
                -1 + 0.2 - 0.2 / sqrt(5) / sqrt(3 / 17 + 0.2),
            ],
        },
    ),
    (SGD(0.1, clip_norm=100.0, clip_value=100.0), {"w": [1 - 0.05 - 0.1, -1 + 0.2 - 0.2]}),
    (SGD(0.1, clip_parameter_norm=100.0), {"w": [1 - 0.05 - 0.1, -1 + 0.2 - 0.2]}),
    (
        SGD(0.1, clip_parameter_norm=1.0),
        {"w": [1 - 0.05 / sqrt(4.25) - 0.1 / sqrt(5), -1 + 0.2 / sqrt(4.25) - 0.2 / sqrt(5)]},
    ),
    (
        # of what was after each update: 0.5·w, then half of that and half of w
        SGD(0.1, ema=0.5),
        {"w": [0.85, -1.0], "average": [0.25 * 0.95 + 0.5 * 0.85, -0.25 * 0.8 - 0.5]},
    ),
    (
        # c: 0.0625, 1; then 0.75·c + 0.25·g². d: g / √(c + 1), then g·√(u + 1) / √(c + 1). u: 0.25·d², then again.
        Adadelta(0.1, rho=0.75, epsilon=1.0),
        {
            "squared_average": [0.296875, 1.75],
            "squared_steps": [0.75 / 17 + 0.25 * (18 / 17) / 1.296875, 0.375 + 1.5 / 2.75],
            "w": [
                1 - 0.05 / sqrt(1.0625) - 0.1 * sqrt(18 / 17 / 1.296875),
                -1 + 0.2 / sqrt(2) - 0.2 * sqrt(1.5 / 2.75),
            ],
        },
    ),
    (
        # w shrinks by 0.1·0.5 of itself before each of Adam's steps, and the moments know nothing of it
        AdamW(0.1, beta_1=0.5, beta_2=0.75, epsilon=1e-12, weight_decay=0.5),
        {
            "first_moment": [0.625, 0.5],
            "second_moment": [0.296875, 1.75],
            "w": [
                0.85 * 0.95 - 0.1 * (0.625 / 0.75) / sqrt(0.296875 / 0.4375),
                -0.85 * 0.95 - 0.1 * (0.5 / 0.75) / sqrt(1.75 / 0.4375),
            ],
        },
    ),
    (
        # u: |g|, then max(0.75·u, |g|) = 1, 2. The first step is η·sign(g).
        Adamax(0.1, beta_1=0.5, beta_2=0.75, epsilon=1e-12),
        {
            "first_moment": [0.625, 0.5],
            "largest_gradient": [1.0, 2.0],
            "w": [1 - 0.1 - 0.1 * 0.625 / 0.75, -1 + 0.1 - 0.1 * 0.5 / 0.75 / 2],
        },
    ),
    (
        # without memory of the direction the step is η·g / (u + ε); the second u is 0.9·2
        Adamax(0.1, beta_1=0.0, beta_2=0.9, epsilon=1.0),
        {
            "first_moment": [1.0, 2.0],
            "largest_gradient": [1.0, 2.0],
            "w": [1 - 0.05 / 1.5 - 0.1 / 2, -1 + 0.2 / 3 - 0.2 / 3],
        },
    ),
    (
        # A momentum that does not grow: μ is 1/4 in all updates, its products are 1/4, 1/16, 1/64.
        # First m·(1/4)/(15/16) + g·(3/4)/(3/4) = (4/15)·m + g, with m = g/2; then (16/63)·m + (4/5)·g.
        NAdam(0.1, beta_1=0.5, beta_2=0.75, epsilon=1e-12, momentum_decay=0.0),
        {
            "first_moment": [0.625, 0.5],
            "second_moment": [0.296875, 1.75],
            "w": [
                1 - 0.1 * 17 / 15 - 0.1 * (16 / 63 * 0.625 + 0.8) / sqrt(0.296875 / 0.4375),
                -1 + 0.1 * 17 / 15 - 0.1 * (16 / 63 * 0.5 + 1.6) / sqrt(1.75 / 0.4375),
            ],
        },
    ),
    (
        # the direction of 0.9·m + 0.1·g: in the second update the old moment, -1, outweighs the new gradient, 2
        Lion(0.1, beta_1=0.9, beta_2=0.5),
        {"first_moment": [0.125 + 0.5, -0.5 + 1.0], "w": [1 - 0.1 - 0.1, -1 + 0.1 + 0.1]},
    ),
    (
        Lion(0.1, beta_1=0.9, beta_2=0.5, weight_decay=0.5),
        {"first_moment": [0.625, 0.5], "w": [0.85 * 0.95 - 0.1, -0.85 * 0.95 + 0.1]},
    ),
]


@pytest.mark.parametrize(("optimizer", "expected"), UPDATES, ids=lambda case: type(case).__name__)
def test_two_updates(optimizer, expected, backend):
    state = train(optimizer, backend, [1.0, -1.0], STEPS)
    assert state.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(state[name], values, rtol=ROUNDINGS, atol=ROUNDINGS / 10, err_msg=name)


def test_every_optimizer_has_updates():
    public = {getattr(optimizers, name) for name in optimizers.__all__}
    by_gradient = {kind for kind in public if kind.needs_gradient and not kind.__abstractmethods__}
    assert {type(optimizer) for optimizer, _ in UPDATES} == by_gradient
    assert public - by_gradient == {Optimizer, GradientOptimizer, RandomSearch}


def test_a_candidate_of_random_search(backend):
    """w + s·n; w itself stays, until the losses are known."""
    search = RandomSearch(0.5)
    values = {"w": backend.asarray([1.0, -1.0]), "noise": backend.asarray([0.5, -2.0]), **search.scalars(0)}
    run(search.records(), values, backend.ops)
    np.testing.assert_array_equal(backend.to_numpy(values["candidate"]), [1.25, -2.0])
    np.testing.assert_array_equal(backend.to_numpy(values["w"]), [1.0, -1.0])


@pytest.mark.parametrize("optimizer", [optimizer for optimizer, _ in UPDATES], ids=lambda o: type(o).__name__)
def test_a_zero_gradient_moves_nothing(optimizer, backend):
    """As padding has it: no NaN out of 0 / 0."""
    state = train(optimizer, backend, [1.0, 0.0], [[0.0, 0.0]] * 3)
    left = (1 - 0.1 * getattr(optimizer, "weight_decay", 0.0)) ** 3  # but for a decay
    np.testing.assert_allclose(state.pop("w"), [left, 0], rtol=ROUNDINGS)
    state.pop("average", None)
    for values in state.values():
        np.testing.assert_array_equal(values, [0, 0])


@pytest.mark.parametrize(
    ("optimizer", "slots"),
    [
        (SGD(), ()),
        (SGD(nesterov=True), ()),
        (SGD(momentum=0.9), ("velocity",)),
        (Adagrad(), ("squared_sum",)),
        (RMSprop(), ("squared_average",)),
        (Adadelta(), ("squared_average", "squared_steps")),
        (Adam(), ("first_moment", "second_moment")),
        (AdamW(), ("first_moment", "second_moment")),
        (Adamax(), ("first_moment", "largest_gradient")),
        (NAdam(), ("first_moment", "second_moment")),
        (Lion(), ("first_moment",)),
        (RandomSearch(), ()),
    ],
    ids=str,
)
def test_slots(optimizer, slots):
    assert optimizer.slots == optimizer.memory == slots
    if optimizer.needs_gradient:
        assert replace(optimizer, ema=0.9).memory == (*slots, "average")


@pytest.mark.parametrize(
    ("optimizer", "needed"),
    [*((make(), True) for make in BY_GRADIENT), (RandomSearch(), False)],
)
def test_needs_gradient(optimizer, needed):
    assert optimizer.needs_gradient is needed
    assert isinstance(optimizer, GradientOptimizer) is needed


def test_scalars_of_adam():
    """Corrections 1 - β^(t+1), t = 0 at the first update. What is not set is not there: None is no number."""
    adam = Adam(0.1, beta_1=0.5, beta_2=0.75)
    constants = {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.75, "epsilon": 1e-7}
    assert adam.constants() == constants
    assert adam.scalars(0) == constants | {"correction_1": 0.5, "correction_2": 0.25}
    assert adam.scalars(2) == constants | {"correction_1": 0.875, "correction_2": 1 - 0.75**3}
    limited = replace(adam, clip_value=1.0, clip_norm=2, clip_parameter_norm=3, ema=0.5, accumulate=4)
    given = {"clip_value": 1.0, "clip_norm": 2.0, "clip_parameter_norm": 3.0, "ema": 0.5}
    assert limited.constants() == constants | given


def test_scalars_of_nadam():
    """The momentum μ_t = β(1 - 0.96^(tψ)/2) grows from near β/2 to β; its products as one would multiply them."""
    nadam = NAdam(0.1, beta_1=0.9, momentum_decay=0.1)
    mu = [0.9 * (1 - 0.5 * 0.96 ** (0.1 * t)) for t in range(60)]
    for step in (0, 1, 7, 50):
        t = step + 1
        expected = {
            "moment_share": mu[t + 1] / (1 - np.prod(mu[1 : t + 2])),
            "gradient_share": (1 - mu[t]) / (1 - np.prod(mu[1 : t + 1])),
            "correction_2": 1 - 0.999**t,
        }
        found = nadam.varying(step)
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("options", [{}, {"beta_1": 0.0}, {"beta_1": 0.999}, {"momentum_decay": 0.0}], ids=str)
def test_products_of_nadams_momentum(options):
    """The series against the product itself, also where that is as good as nothing."""
    nadam, product = NAdam(**options), 1.0
    for t in range(1, 500):
        product *= nadam._momentum(t)
        assert nadam._product(t) == pytest.approx(product, rel=1e-12, abs=1e-17)
    assert NAdam(**options).varying(10**9).keys() == nadam.varying(0).keys()


@pytest.mark.parametrize(
    ("optimizer", "constants", "varying"),
    [
        (SGD(0.1), {"learning_rate", "momentum"}, {"learning_rate"}),
        (SGD(InverseTimeDecay(0.1, 0.5)), {"momentum"}, {"learning_rate"}),
        (SGD(lambda step: 0.1, clip_value=1.0), {"momentum", "clip_value"}, {"learning_rate"}),
        (Adagrad(0.1, clip_norm=1.0), {"learning_rate", "epsilon", "clip_norm"}, {"learning_rate"}),
        (RMSprop(lambda step: 0.1), {"rho", "epsilon"}, {"learning_rate"}),
        (
            Adam(lambda step: 0.1),
            {"beta_1", "beta_2", "epsilon"},
            {"learning_rate", "correction_1", "correction_2"},
        ),
        (RandomSearch(0.5), {"scale"}, set()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_constants_and_what_varies(optimizer, constants, varying):
    """A flag is no number (SGD's nesterov), nor is a schedule."""
    assert optimizer.constants().keys() == constants
    for step in (0, 3):
        assert optimizer.varying(step).keys() == varying
        assert optimizer.scalars(step) == optimizer.constants() | optimizer.varying(step)


@pytest.mark.parametrize(
    "optimizer", [*(optimizer for optimizer, _ in UPDATES), RandomSearch(0.5)], ids=lambda o: type(o).__name__
)
def test_records_read_only_scalars_and_memory(optimizer):
    """And a number that changes with the step is among what varies: the rest is read once."""
    known = {"w", "g", "noise", "bounds", *optimizer.memory, *optimizer.scalars(0)}
    for step in optimizer.records():
        assert known.issuperset(step.inputs)
    for name, value in optimizer.scalars(5).items():
        assert name in optimizer.varying(5) or value == optimizer.scalars(0)[name]


def test_scalars_are_python_floats():
    """Anything else would make float64 of float32 arrays."""
    numbers = dict.fromkeys(("learning_rate", "clip_value", "clip_norm"), np.float64(0.5))
    given = [
        SGD(**numbers, momentum=np.float64(0.5)),
        Adagrad(**numbers, epsilon=np.float64(0.5)),
        RMSprop(**numbers, rho=np.float64(0.5), epsilon=np.float64(0.5)),
        Adadelta(**numbers, rho=np.float64(0.5), epsilon=np.float64(0.5)),
        *(
            kind(**numbers, beta_1=np.float64(0.5), beta_2=np.float64(0.5), epsilon=np.float64(0.5))
            for kind in (Adam, AdamW, Adamax, NAdam)
        ),
        NAdam(momentum_decay=np.float64(0.5), beta_1=np.float64(0.5)),
        AdamW(weight_decay=np.float64(0.5)),
        Lion(**numbers, beta_1=np.float64(0.5), beta_2=np.float64(0.5), weight_decay=np.float64(0.5)),
        SGD(clip_parameter_norm=np.float64(0.5), ema=np.float64(0.5), rates={"0": np.float64(0.5)}),
        RandomSearch(np.float64(0.5)),
    ]
    for optimizer in [optimizer for optimizer, _ in UPDATES] + given:
        assert {type(value) for value in optimizer.scalars(3).values()} == {float}


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.25, [0.25, 0.25, 0.25]),
        (1, [1.0, 1.0, 1.0]),
        (InverseTimeDecay(1.0, 0.5), [1.0, 1 / 1.5, 0.5]),
        (lambda step: np.float32(2.0**-step), [1.0, 0.5, 0.25]),
    ],
)
def test_rate(rate, expected):
    rates = [SGD(rate).rate(step) for step in range(3)]
    assert rates == expected
    assert all(type(value) is float for value in rates)


def test_defaults():
    assert SGD() == SGD(0.01, momentum=0.0, nesterov=False)
    assert Adagrad() == Adagrad(0.01, epsilon=1e-7, clip_value=None, clip_norm=None)
    assert RMSprop() == RMSprop(0.001, rho=0.9, epsilon=1e-7, clip_value=None, clip_norm=None)
    assert RandomSearch() == RandomSearch(0.05)
    moments = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    assert Adam() == Adam(0.001, **moments, clip_value=None, clip_norm=None, clip_parameter_norm=None)
    assert Adam() == Adam(accumulate=1, ema=None, rates=None)
    assert AdamW() == AdamW(0.001, **moments, weight_decay=0.01)
    assert Adamax() == Adamax(0.001, **moments)
    assert NAdam() == NAdam(0.001, **moments, momentum_decay=0.004)
    assert Adadelta() == Adadelta(1.0, rho=0.95, epsilon=1e-6)
    assert Lion() == Lion(1e-4, beta_1=0.9, beta_2=0.99, weight_decay=0.0)


@pytest.mark.parametrize("make", BY_GRADIENT)
@pytest.mark.parametrize("name", ["learning_rate", "clip_value", "clip_parameter_norm", "clip_norm"])
@pytest.mark.parametrize("value", [0, -0.1, np.nan, np.inf, "0.1", True])
def test_rates_and_limits_must_be_positive(make, name, value):
    with pytest.raises(ConfigurationError, match=f"{make.__name__}: {name} must be a positive number, got "):
        make(**{name: value})


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (SGD, {"learning_rate": None}, "SGD: learning_rate must be a positive number, got None"),
        (SGD, {"momentum": 1.0}, r"SGD: momentum must be a number in \[0, 1\), got 1\.0"),
        (SGD, {"momentum": -0.1}, r"SGD: momentum must be a number in \[0, 1\), got -0\.1"),
        (SGD, {"momentum": None}, "SGD: momentum must be a number in"),
        (Adagrad, {"epsilon": 0}, "Adagrad: epsilon must be a positive number, got 0"),
        (Adagrad, {"epsilon": -1e-7}, "Adagrad: epsilon must be a positive number, got -1e-07"),
        (RMSprop, {"rho": 1.0}, r"RMSprop: rho must be a number in \[0, 1\), got 1\.0"),
        (RMSprop, {"rho": -0.1}, r"RMSprop: rho must be a number in \[0, 1\), got -0\.1"),
        (RMSprop, {"epsilon": 0}, "RMSprop: epsilon must be a positive number, got 0"),
        (Adam, {"beta_1": 1.0}, r"Adam: beta_1 must be a number in \[0, 1\), got 1\.0"),
        (Adam, {"beta_2": 1.5}, r"Adam: beta_2 must be a number in \[0, 1\), got 1\.5"),
        (Adam, {"beta_2": np.nan}, "Adam: beta_2 must be a number in"),
        (Adam, {"epsilon": 0}, "Adam: epsilon must be a positive number, got 0"),
        (Adadelta, {"rho": 1.0}, r"Adadelta: rho must be a number in \[0, 1\), got 1\.0"),
        (Adadelta, {"epsilon": 0}, "Adadelta: epsilon must be a positive number, got 0"),
        (AdamW, {"beta_1": 1.0}, r"AdamW: beta_1 must be a number in"),
        (AdamW, {"weight_decay": -0.1}, r"AdamW: weight_decay must be a number of at least 0, got -0\.1"),
        (Adamax, {"beta_2": 1.0}, r"Adamax: beta_2 must be a number in"),
        (Adamax, {"epsilon": 0}, "Adamax: epsilon must be a positive number, got 0"),
        (NAdam, {"beta_1": -0.5}, r"NAdam: beta_1 must be a number in"),
        (NAdam, {"momentum_decay": -1}, "NAdam: momentum_decay must be a number of at least 0, got -1"),
        (Lion, {"beta_2": 1.0}, r"Lion: beta_2 must be a number in"),
        (Lion, {"weight_decay": np.inf}, "Lion: weight_decay must be a number of at least 0, got inf"),
        (SGD, {"accumulate": 0}, "SGD: accumulate must be a whole number of at least 1, got 0"),
        (Adam, {"accumulate": 2.0}, r"Adam: accumulate must be a whole number of at least 1, got 2\.0"),
        (SGD, {"ema": 1.0}, r"SGD: ema must be a number in \[0, 1\), got 1\.0"),
        (Lion, {"ema": -0.5}, r"Lion: ema must be a number in \[0, 1\), got -0\.5"),
        (SGD, {"rates": 0.1}, r'SGD: rates must be a mapping such as \{"0.weights": 0.1\}, got 0\.1'),
        (SGD, {"rates": {0: 0.1}}, 'SGD: rates must have text for keys, such as "0", got 0'),
        (Adam, {"rates": {"0": -1}}, r"Adam: rates\['0'\] must be a number of at least 0, got -1"),
        (Adam, {"rates": {"0": None}}, r"Adam: rates\['0'\] must be a number of at least 0, got None"),
    ],
)
def test_hyper_parameters(make, options, message):
    with pytest.raises(ConfigurationError, match=message):
        make(**options)


@pytest.mark.parametrize("scale", [0, -0.05, np.nan, np.inf, "0.05", None, True])
def test_the_scale_of_random_search_must_be_positive(scale):
    with pytest.raises(ConfigurationError, match=f"RandomSearch: scale must be a positive number, got {scale!r}"):
        RandomSearch(scale)


@pytest.mark.parametrize("name", ["learning_rate", "clip_norm", "accumulate", "ema", "rates"])
def test_random_search_has_no_rate_and_nothing_to_clip(name):
    with pytest.raises(TypeError, match=name):
        RandomSearch(**{name: 0.1})


@pytest.mark.parametrize("make", [*BY_GRADIENT, RandomSearch])
def test_hyper_parameters_have_names(make):
    with pytest.raises(TypeError, match="positional"):
        make(0.1, 0.9)


@pytest.mark.parametrize("optimizer", [*(make() for make in BY_GRADIENT), RandomSearch()], ids=str)
def test_is_frozen(optimizer):
    with pytest.raises(FrozenInstanceError):
        setattr(optimizer, "learning_rate" if optimizer.needs_gradient else "scale", 1.0)
    assert optimizer == type(optimizer)()
    assert optimizer != type(optimizer)(0.5)


@pytest.mark.parametrize(("parent", "arguments"), [(Optimizer, ()), (GradientOptimizer, (0.1,))])
def test_the_parents_are_abstract(parent, arguments):
    with pytest.raises(TypeError, match="abstract"):
        parent(*arguments)


class TestRates:
    """Multipliers of the learning rate, by key and by path."""

    def test_reads_like_a_mapping_and_never_changes(self):
        given = {"2.weights": 0, "0": 0.5}
        optimizer = Adam(rates=given)
        given["1"] = 7.0
        assert dict(optimizer.rates) == {"0": 0.5, "2.weights": 0.0}
        assert optimizer.rates == {"2.weights": 0, "0": 0.5}
        assert repr(optimizer.rates) == "{'0': 0.5, '2.weights': 0.0}"
        with pytest.raises(TypeError):
            optimizer.rates["0"] = 1.0

    def test_equality_and_hash(self):
        optimizer = Adam(rates={"0": 0.5, "1": 2})
        same = Adam(rates={"1": 2.0, "0": 0.5})
        assert optimizer == same == replace(optimizer)
        assert hash(optimizer) == hash(same)
        assert optimizer != Adam(rates={"0": 0.5})
        assert optimizer != Adam()

    def test_the_longest_entry_counts(self):
        keys = ["0.weights", "0.biases", "1.0.weights", "1.0.biases", "1.1.weights", "10.weights"]
        optimizer = SGD(rates={"0.biases": 3, "0": 2, "1": 0.5, "1.0": 0.25, "1.0.biases": 0})
        assert list(optimizer.multipliers(keys).values()) == [2, 3, 0.25, 0, 0.5, 1]

    def test_without_entries(self):
        for rates in (None, {}):
            assert SGD(rates=rates).multipliers(["0.weights"]) == {"0.weights": 1.0}
            assert len(SGD(rates=rates).records()) == 1
        assert RandomSearch().multipliers(["0.weights"]) == {"0.weights": 1.0}

    @pytest.mark.parametrize("path", ["1", "0.weight", "0.weights.x", "weights", "", "00"])
    def test_an_entry_about_nothing(self, path):
        text = f"AdamW: rates has an entry '{path}', and .* its parameters are 0.weights, 0.biases"
        with pytest.raises(ConfigurationError, match=text):
            AdamW(rates={"0": 1, path: 1}).multipliers(["0.weights", "0.biases"])

    def test_only_several_rates_cost_something(self):
        plain = Adam().records()
        assert Adam(rates={"0": 1, "2.weights": 1.0}).records() == plain
        ops = [step.op for step in AdamW(rates={"0": 0}, clip_norm=1.0, ema=0.9).records()]
        assert ops == ["clip_norm", "clone", "decay_weights", "adam", "move", "average"]

    def test_a_share_of_the_step(self, backend):
        """Half a rate is half the way; what the rule remembers is that of the whole step."""
        rates = {"rates": backend.asarray(np.array([0.5, 0.0]))}
        for optimizer in (SGD(0.1, rates={"x": 0.5}), SGD(0.1, momentum=0.5, rates={"x": 0.5})):
            state = {"w": np.array([1.0, -1.0]), "g": np.array([2.0, np.inf]), "velocity": np.array([0.4, np.nan])}
            values = {name: backend.asarray(a) for name, a in state.items()} | rates | optimizer.scalars(0)
            with backend.quiet():
                run(optimizer.records(), values, backend.ops)
            step = -0.2 + (0.2 if optimizer.momentum else 0.0)
            np.testing.assert_allclose(backend.to_numpy(values["w"]), [1 + step / 2, -1], rtol=ROUNDINGS)


def test_the_order_of_the_limits():
    ops = [step.op for step in SGD(0.1, clip_norm=1.0, clip_parameter_norm=1.0, clip_value=1.0).records()]
    assert ops == ["clip_value", "clip_norms", "clip_norm", "sgd"]


@pytest.mark.parametrize("make", [AdamW, Lion])
def test_without_decay(make):
    """No weight decay is no record, and AdamW is then Adam."""
    assert [step.op for step in make(weight_decay=0.0).records()] == [make.__name__.lower().removesuffix("w")]
    assert AdamW(0.1, weight_decay=0.0).records() == Adam(0.1).records()


class TestInverseTimeDecay:
    def test_values(self):
        decay = InverseTimeDecay(0.5, 0.1)
        assert [decay(step) for step in (0, 1, 10, 30)] == pytest.approx([0.5, 0.5 / 1.1, 0.25, 0.125])

    def test_without_decay(self):
        assert InverseTimeDecay(0.5, 0)(1000) == 0.5

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((0, 0.1), "InverseTimeDecay: learning_rate must be a positive number, got 0"),
            ((0.1, -1), "InverseTimeDecay: decay must be a number of at least 0, got -1"),
            ((0.1, np.inf), "InverseTimeDecay: decay must be a number of at least 0, got inf"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(ConfigurationError, match=message):
            InverseTimeDecay(*arguments)
