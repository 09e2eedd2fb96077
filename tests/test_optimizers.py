"""Optimizers as configuration: the updates that they name, worked out by hand, and what they refuse."""

from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from math import sqrt

import numpy as np
import pytest

from nnxp import optimizers
from nnxp.backend import Backend
from nnxp.errors import ConfigurationError
from nnxp.ops.record import run
from nnxp.optimizers import SGD, Adagrad, Adam, GradientOptimizer, Optimizer, RandomSearch, RMSprop
from nnxp.schedules import InverseTimeDecay

ROUNDINGS = 1e-6
"""Relative, for float32: eight ULP; an update here has at most ten roundings."""


def train(optimizer: Optimizer, backend: Backend, w: Sequence[float], gradients: Sequence[Sequence[float]]) -> dict:
    """The state after an update for each gradient: w, and the slots."""
    zero = backend.asarray(np.zeros(len(w)))
    state = {"w": backend.asarray(np.array(w)), **dict.fromkeys(optimizer.slots, zero)}
    for step, g in enumerate(gradients):
        values = state | {"g": backend.asarray(np.array(g))} | optimizer.scalars(step)
        run(optimizer.records(), values, backend.ops)
        state = {name: values[name] for name in state}
    return {name: backend.to_numpy(array) for name, array in state.items()}


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
    np.testing.assert_array_equal(state.pop("w"), [1, 0])
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
        (Adam(), ("first_moment", "second_moment")),
        (RandomSearch(), ()),
    ],
    ids=str,
)
def test_slots(optimizer, slots):
    assert optimizer.slots == slots


@pytest.mark.parametrize(
    ("optimizer", "needed"),
    [(SGD(), True), (Adagrad(), True), (RMSprop(), True), (Adam(), True), (RandomSearch(), False)],
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
    limited = Adam(0.1, clip_value=1.0, clip_norm=2)
    assert limited.constants().items() >= {"clip_value": 1.0, "clip_norm": 2.0}.items()


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
    known = {"w", "g", "noise", *optimizer.slots, *optimizer.scalars(0)}
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
        Adam(**numbers, beta_1=np.float64(0.5), beta_2=np.float64(0.5), epsilon=np.float64(0.5)),
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
    assert Adam() == Adam(0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, clip_value=None, clip_norm=None)


BY_GRADIENT = [SGD, Adagrad, RMSprop, Adam]


@pytest.mark.parametrize("make", BY_GRADIENT)
@pytest.mark.parametrize("name", ["learning_rate", "clip_value", "clip_norm"])
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
    ],
)
def test_hyper_parameters(make, options, message):
    with pytest.raises(ConfigurationError, match=message):
        make(**options)


@pytest.mark.parametrize("scale", [0, -0.05, np.nan, np.inf, "0.05", None, True])
def test_the_scale_of_random_search_must_be_positive(scale):
    with pytest.raises(ConfigurationError, match=f"RandomSearch: scale must be a positive number, got {scale!r}"):
        RandomSearch(scale)


@pytest.mark.parametrize("name", ["learning_rate", "clip_norm"])
def test_random_search_has_no_rate_and_nothing_to_clip(name):
    with pytest.raises(TypeError, match=name):
        RandomSearch(**{name: 0.1})


@pytest.mark.parametrize("make", [*BY_GRADIENT, RandomSearch])
def test_hyper_parameters_have_names(make):
    with pytest.raises(TypeError, match="positional"):
        make(0.1, 0.9)


@pytest.mark.parametrize("optimizer", [SGD(), Adagrad(), RMSprop(), Adam(), RandomSearch()], ids=str)
def test_is_frozen(optimizer):
    with pytest.raises(FrozenInstanceError):
        setattr(optimizer, "learning_rate" if optimizer.needs_gradient else "scale", 1.0)
    assert optimizer == type(optimizer)()
    assert optimizer != type(optimizer)(0.5)


@pytest.mark.parametrize(("parent", "arguments"), [(Optimizer, ()), (GradientOptimizer, (0.1,))])
def test_the_parents_are_abstract(parent, arguments):
    with pytest.raises(TypeError, match="abstract"):
        parent(*arguments)


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
