"""The gradient check: right gradients pass, also beside kinks, and each deliberate mistake is caught and named."""

from dataclasses import dataclass

import numpy as np
import pytest

import nnxp
from nnxp import layers, losses, optimizers, regularizers
from nnxp.errors import ConfigurationError, DtypeError, GradientError, NnxpError, NotBuiltError, ShapeError
from nnxp.gradcheck import check
from nnxp.gradcheck._compare import STEP
from nnxp.layers import Dense, Dropout, Lambda, Layer, ReLU, Residual, Sequential, Softmax, Tanh

ONE_BY_ONE = True


@pytest.fixture
def backend(make_backend):
    """Differences need float64; where there is none, the test is skipped."""
    return make_backend(dtype="float64")


class Scale(Layer):
    """y = s·x + t, with a step count and a memory; the tests replace one part at a time."""

    def build(self, input_shape, backend):
        xp, self.backend = backend.xp, backend
        self.scale = xp.ones(input_shape, dtype=backend.dtype, device=backend.device)
        self.shift = xp.zeros(input_shape, dtype=backend.dtype, device=backend.device)
        self.mean = xp.zeros(input_shape, dtype=backend.dtype, device=backend.device)
        self.calls = 0
        return input_shape

    def forward(self, x, *, training=False):
        self.x, self.calls = x, self.calls + 1
        if training:
            self.mean = self.mean * 0.5 + self.backend.xp.mean(x, axis=0) * 0.5
        return x * self.scale + self.shift

    def backward(self, dy):
        self.d_scale, self.d_shift = self.sums(dy)
        return dy * self.scale

    def sums(self, dy):
        return self.backend.xp.sum(dy * self.x, axis=0), self.backend.xp.sum(dy, axis=0)

    def parameters(self):
        return {"scale": self.scale, "shift": self.shift}

    def gradients(self):
        return {"scale": self.d_scale, "shift": self.d_shift}

    def buffers(self):
        return {"mean": self.mean}


def test_a_right_layer_passes(backend):
    result = check(Scale(), backend=backend)
    assert result.ok
    assert list(result.errors) == ["x", "scale", "shift"]
    assert 0 < result.worst.error < 1e-9
    assert result.errors[result.worst.name] == max(result.errors.values())
    assert str(result) == repr(result)
    first, header, *rows = str(result).splitlines()
    assert first == f"Scale(): right, worst error {result.worst.error:.1e}, tolerance 1e-07"
    assert header.split() == ["tensor", "shape", "error", "largest", "difference", "left", "out"]
    assert [row.split()[0] for row in rows] == ["x", "scale", "shift"]


# -- mistakes


def wrong(**methods):
    return type("Scale", (Scale,), methods)()


MISTAKES = {
    "x of the wrong sign": (lambda s, dy: (*s.sums(dy), -dy * s.scale), "x", "sign is turned round"),
    "x twice": (lambda s, dy: (*s.sums(dy), 2 * dy * s.scale), "x", "2 times the right one"),
    "x without the scale": (lambda s, dy: (*s.sums(dy), dy), "x", "term that is missing"),
    "x of zeros": (lambda s, dy: (*s.sums(dy), 0 * dy), "x", "gives zeros"),
    "x of NaN": (lambda s, dy: (*s.sums(dy), dy * float("nan")), "x", "NaN or infinity"),
    "x summed": (lambda s, dy: (*s.sums(dy), s.sums(dy)[1]), "x", r"shape \(3,\), expected \(4, 3\)"),
    "no x": (lambda s, dy: (*s.sums(dy), None), "x", "did not make one"),
    "a mean over the batch": (
        lambda s, dy: (s.sums(dy)[0] / 4, s.sums(dy)[1], dy * s.scale),
        "scale",
        "0.25 times the right one",
    ),
    "no sum over the batch": (
        lambda s, dy: (dy * s.x, s.sums(dy)[1], dy * s.scale),
        "scale",
        r"shape \(4, 3\), expected \(3,\): look at its sums",
    ),
    "one sample of the batch": (lambda s, dy: (s.sums(dy)[0], dy[0, ...], dy * s.scale), "shift", "sum over the batch"),
    "scale without a term": (
        lambda s, dy: (s.sums(dy)[1], s.sums(dy)[1], dy * s.scale),
        "scale",
        "term that is missing",
    ),
    "exchanged": (lambda s, dy: (*s.sums(dy)[::-1], dy * s.scale), "s(cale|hift)", "term that is missing"),
    "zero for one parameter": (
        lambda s, dy: (s.sums(dy)[0], 0 * s.sums(dy)[1], dy * s.scale),
        "shift",
        "gives zeros",
    ),
    "one element": (
        lambda s, dy: (s.sums(dy)[0], s.sums(dy)[1] * s.backend.asarray(np.array([1, 1.001, 1.0])), dy * s.scale),
        r"shift.*at shift\[1\]",
        "term that is missing",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("training", [True, False])
def test_a_mistake_is_caught_and_named(name, training, backend):
    mistake, tensor, hint = MISTAKES[name]

    def backward(self, dy):
        self.d_scale, self.d_shift, dx = mistake(self, dy)
        return dx

    layer = wrong(backward=backward)
    with pytest.raises(GradientError, match=rf"^Scale\(\): the gradient by {tensor}.*{hint}"):
        check(layer, backend=backend, training=training)
    result = check(layer, backend=backend, training=training, raises=False)
    assert not result.ok
    assert "WRONG" in str(result)


def test_the_message_names_the_largest_difference():
    """An upstream of the test's own, to know the numbers: L = Σ u·x² has the gradient 2·u·x."""
    layer = Lambda(lambda xp, x: x * x, lambda xp, dy, x: 3 * dy * x)
    result = check(layer, [[0.5, -1.0, 0.25]], raises=False)
    (tensor,) = result.tensors
    np.testing.assert_allclose(tensor.analytic, 1.5 * tensor.numeric, rtol=1e-9)
    with pytest.raises(GradientError) as caught:
        check(layer, [[0.5, -1.0, 0.25]])
    message = str(caught.value)
    assert "has an error of 0.2, above the tolerance of 1e-07" in message  # |3 - 2| / (3 + 2)
    where = f"at x{list(tensor.index)}: backward gives {tensor.analytic:.6g}, differences {tensor.numeric:.6g}"
    assert where in message
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, NnxpError)


def test_a_gradient_that_is_missing_or_of_a_constant():
    with pytest.raises(GradientError, match=r"gradient by shift.*did not make one"):
        check(wrong(gradients=lambda self: {"scale": self.d_scale}))
    with pytest.raises(GradientError, match="value does not depend on it, and backward says that it does"):
        check(Lambda(lambda xp, x: 0 * x + 1, lambda xp, dy, x: dy))


def test_zeros_pass_as_a_softmax_only_with_an_upstream_of_ones(backend):
    layer = Lambda(Softmax_forward, lambda xp, dy, y: 0 * dy, reads="y")
    with pytest.raises(GradientError, match="gives zeros"):
        check(layer, backend=backend)


def Softmax_forward(xp, x):  # noqa: N802  # named in errors
    e = xp.exp(x)
    return e / xp.sum(e, axis=-1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_a_parameter_of_one_or_zero_hides_nothing(seed):
    """Scale starts at exactly 1 and shift at exactly 0; without moving them these two would pass."""

    def forgets_scale(self, dy):
        self.d_scale, self.d_shift = self.sums(dy)
        return dy

    def forgets_shift(self, dy):
        self.d_scale, self.d_shift = self.sums(dy)
        self.d_scale = self.d_scale + self.shift
        return dy * self.scale

    for backward in (forgets_scale, forgets_shift):
        with pytest.raises(GradientError):
            check(wrong(backward=backward), seed=seed)


# -- kinks


@pytest.mark.parametrize("seed", range(3))
def test_networks_with_kinks_pass(seed, backend):
    chain = Sequential([Dense(6), ReLU(), Residual([Dense(4), ReLU(), Dense(6)]), ReLU(), Dense(2)])
    check(chain, backend=backend, seed=seed)


@pytest.mark.parametrize("place", [0, 0.05, 0.2, 0.3, 1 / 3, 0.37, 0.45, 0.5, 0.55, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("side", [1, -1])
def test_elements_at_a_kink_are_left_out_and_counted(place, side, backend):
    """``place`` is the distance to the kink in steps of the difference."""
    x = np.array([[side * place * STEP, 0.5, -0.5]])
    result = check(ReLU(), x, backend=backend)
    assert result.tensors[0].left_out == (place < 1)
    assert result.tensors[0].error < 1e-9


@pytest.mark.parametrize("place", [0, 0.2, 1 / 3, 0.5, 0.7])
@pytest.mark.parametrize("factor", [-1, 2, 1.5, 0.5, 0])
def test_a_wrong_gradient_does_not_hide_behind_kinks(place, factor, backend):
    """Neither where other elements are smooth, nor, outside the slopes on both sides, where none is."""
    layer = Lambda(
        lambda xp, x: xp.maximum(x, 0 * x), lambda xp, dy, y: factor * xp.where(y > 0, dy, 0 * dy), reads="y"
    )
    with pytest.raises(GradientError):
        check(layer, np.array([[place * STEP, 0.5, -0.5]]), backend=backend)
    with pytest.raises(GradientError):
        check(layer, np.full((2, 3), place * STEP), backend=backend)


@pytest.mark.parametrize("place", [0, 0.2, 1 / 3, 0.5, 0.7])
@pytest.mark.parametrize("slope", [-1, -0.2, 1.2, 3])
def test_a_gradient_that_is_wrong_at_the_kink_alone_is_caught(place, slope, backend):
    """It is none of the slopes beside the kink, nor between them."""

    def backward(xp, dy, x):
        near = xp.abs(x) < 0.1
        return dy * (xp.astype(x > 0, x.dtype) * xp.astype(~near, x.dtype) + slope * xp.astype(near, x.dtype))

    with pytest.raises(GradientError, match=r"largest difference is at x\[0, 0\]"):
        check(Lambda(lambda xp, x: xp.maximum(x, 0 * x), backward), [[place * STEP, 0.5, -0.5]], backend=backend)


def test_a_layer_at_kinks_alone_is_not_right(backend):
    with pytest.raises(GradientError, match="Every element lies at a kink: give another x"):
        check(ReLU(), np.zeros((2, 3)), backend=backend)


def test_a_jump_is_left_out(backend):
    (tensor,) = check(
        Lambda(step, lambda xp, dy, x: dy), np.array([[STEP / 4, 0.5], [-0.5, 1.0]]), backend=backend
    ).tensors
    assert (tensor.left_out, tensor.error < 1e-9) == (1, True)


def step(xp, x):
    """x, and 1 more where it is positive."""
    return x + xp.where(x > 0, 0 * x + 1, 0 * x)


@pytest.mark.parametrize("factor", [1.001, 1.000001])
@pytest.mark.parametrize("power", [2, 3, 6, 10])
def test_a_strong_curvature_is_no_kink(power, factor, backend):
    """x^10 at 1.5 has a third derivative of 12,000: the differences err, but say so nowhere near a kink's amount."""
    layer = Lambda(lambda xp, x: x**power, lambda xp, dy, x: factor * power * dy * x ** (power - 1))
    result = check(layer, backend=backend, raises=False)
    assert not result.ok
    assert result.tensors[0].left_out == 0
    assert f"{factor:.4g} times the right one" in result.tensors[0].note


# -- zero


def test_zero_on_both_sides_is_no_error_and_is_said(backend):
    result = check(Lambda(lambda xp, x: 0 * x, lambda xp, dy, x: 0 * dy), backend=backend)
    assert [(t.error, t.note) for t in result.tensors] == [(0.0, "zero")]
    assert "zero" in str(result)


def test_a_zero_of_rounding_is_zero():
    """A bias that a mean takes away again: the difference of two numbers of order one is not exactly 0."""

    def centred(xp, x):
        return x - xp.mean(x, axis=-1, keepdims=True)

    def centred_backward(xp, dy, x):
        return dy - xp.mean(dy, axis=-1, keepdims=True)

    class Shift(Scale):
        def parameters(self):
            return {"shift": self.shift}

        def gradients(self):
            return {"shift": self.d_shift}

        def build(self, input_shape, backend):
            super().build(input_shape, backend)
            self.shift = self.shift[:1]
            return input_shape

        def sums(self, dy):
            return None, self.backend.xp.sum(dy)[None]

    result = check(Sequential([Shift(), Lambda(centred, centred_backward)]))
    assert [t.note for t in result.tensors] == ["", "zero"]


# -- randomness and memory


@pytest.mark.parametrize(
    "network", [lambda: Dropout(0.5), lambda: Sequential([Dense(6), Dropout(0.5), Tanh(), Dropout(0.2)])]
)
def test_dropout_drops_the_same_in_every_call(network, backend):
    layer = network()
    layer.build((3,), backend)
    for _ in range(3):
        layer.forward(backend.asarray(np.ones((2, 3))), training=True)
    check(layer)
    check(layer, training=False)


def test_a_layer_with_dice_of_its_own_is_refused():
    class Noisy(Scale):
        dice = np.random.default_rng(0)

        def forward(self, x, *, training=False):
            return super().forward(x) + (self.dice.normal() if training else 0)

    with pytest.raises(GradientError, match=r"at one point, so differences say nothing.*seed.*training=False"):
        check(Noisy())
    check(Noisy(), training=False)


def test_memory_does_not_drift(backend):
    """What the layer remembers is part of its function here; every call must begin with the same."""

    class Remembers(Scale):
        def forward(self, x, *, training=False):
            self.mean = self.mean + 1
            return super().forward(x) * self.mean * self.calls

    check(Remembers(), backend=backend)

    class WritesDown(Scale):
        def forward(self, x, *, training=False):
            if self.backend.writable:
                self.mean[...] = self.mean + 1
            return super().forward(x) + self.mean

    layer = built(WritesDown(), backend)
    layer.mean = backend.asarray(np.array([1.0, 2.0, 3.0]))
    check(layer, backend=backend)
    np.testing.assert_array_equal(backend.to_numpy(layer.mean), [1, 2, 3])


def test_a_layer_is_checked_with_what_it_remembers(backend):
    class Weighs(Scale):
        def forward(self, x, *, training=False):
            seen.append(self.backend.to_numpy(self.mean))
            return super().forward(x)

    seen = []
    layer = built(Weighs(), backend)
    layer.mean = backend.asarray(np.array([1.0, 2.0, 3.0]))
    check(layer, backend=backend)
    assert all((mean == [1, 2, 3]).all() for mean in seen)


def test_training_is_handed_on():
    class Trains(Scale):
        def forward(self, x, *, training=False):
            return super().forward(x) * (2 if training else 1)

    check(Trains(), training=False)
    with pytest.raises(GradientError):
        check(Trains())


# -- the target is left as it was


def built(layer, backend):
    layer.input_shape, layer.output_shape = (3,), layer.build((3,), backend)
    return layer


@pytest.mark.parametrize("make", [Scale, lambda: wrong(sums=lambda self, dy: (dy, dy))])
def test_an_own_layer_is_left_as_it_was(make, backend):
    layer = make()
    check(layer, backend=backend, raises=False)
    assert vars(layer) == {}
    built(layer, backend)
    layer.scale = backend.asarray(np.array([2.0, 3.0, 4.0]))
    before = dict(vars(layer))
    check(layer, backend=backend, raises=False)
    assert vars(layer).keys() == before.keys()
    assert all(vars(layer)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(backend.to_numpy(layer.scale), [2, 3, 4])
    np.testing.assert_array_equal(backend.to_numpy(layer.mean), [0, 0, 0])


def test_a_built_in_layer_is_left_as_it_was(backend):
    layer = Sequential([Dense(4), Dropout(0.2), Residual(Dense(4))])
    check(layer, backend=backend)
    assert all(part.input_shape is None for part in (layer, layer.layers[0], layer.layers[2]))
    layer.build((3,), backend)
    layer.forward(backend.asarray(np.ones((2, 3))), training=True)
    arrays = {key: backend.to_numpy(a) for key, a in layer.parameters().items()}
    held = [(leaf, dict(vars(leaf))) for _, leaf in layer.leaves()]
    check(layer)
    assert [dict(vars(leaf)) for leaf, _ in held] == [attributes for _, attributes in held]
    for key, array in layer.parameters().items():
        np.testing.assert_array_equal(backend.to_numpy(array), arrays[key])
    layer.backward(backend.asarray(np.ones((2, 4))))  # of the forward before the check


def test_after_an_error_the_layer_is_as_it_was(backend):
    class Breaks(Scale):
        def backward(self, dy):
            raise RuntimeError("mine")

    layer = Breaks()
    with pytest.raises(RuntimeError, match="mine"):
        check(layer, backend=backend)
    assert vars(layer) == {}


def test_a_layer_that_keeps_its_arrays_in_a_dictionary(backend):
    class Keeps(Layer):
        def __init__(self):
            self.arrays, self.slopes = {}, {}

        def build(self, input_shape, backend):
            self.arrays["w"] = backend.xp.ones(input_shape, dtype=backend.dtype, device=backend.device)
            return input_shape

        def forward(self, x, *, training=False):
            self.x = x
            return x * self.arrays["w"]

        def backward(self, dy):
            self.slopes["w"] = (dy * self.x)[0, ...] + (dy * self.x)[1, ...]
            return dy * self.arrays["w"]

        def parameters(self):
            return self.arrays

        def gradients(self):
            return self.slopes

    layer = built(Keeps(), backend)
    w = layer.arrays["w"]
    check(layer, np.ones((2, 3)), backend=backend)
    assert layer.arrays["w"] is w
    assert layer.slopes == {}
    np.testing.assert_array_equal(backend.to_numpy(w), np.ones(3))


def test_x_is_not_written(array, backend):
    """Also where the layer writes into it, which only its own copy sees."""

    class Writes(Scale):
        def forward(self, x, *, training=False):
            y = super().forward(x)
            self.x = x + 0
            if self.backend.writable:
                x[...] = 0
            return y

    x = array(np.array([[0.5, -1.0, 2.0]]))
    check(Writes(), x, backend=backend)
    np.testing.assert_array_equal(backend.to_numpy(x), [[0.5, -1.0, 2.0]])


def test_a_built_layer_keeps_its_values_within_the_shift():
    """Parameters are moved by at most 0.1: a layer is checked where it stands."""
    seen = []

    class Tells(Scale):
        def forward(self, x, *, training=False):
            seen.append(self.backend.to_numpy(self.scale))
            return super().forward(x)

    layer = built(Tells(), nnxp.get_backend("numpy"))
    layer.scale = np.array([10.0, -20.0, 30.0], dtype=np.float32)
    check(layer)
    assert np.all(np.abs(np.array(seen) - [10, -20, 30]) <= 0.1 + 1e-3)
    assert np.all(seen[0] != [10, -20, 30])
    assert {array.dtype.name for array in seen} == {"float64"}


# -- what is drawn, and what is given


def test_the_seed_decides_what_is_drawn():
    first, again, other = (check(Dense(3), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_x_keeps_away_from_zero_and_has_both_signs():
    seen = []
    layer = Lambda(lambda xp, x: seen.append(np.array(x)) or x, lambda xp, dy, x: dy)
    check(layer, input_shape=(5,))
    x = seen[1]  # after the empty batch that asks for the shape
    assert x.shape == (4, 5)
    assert np.all((np.abs(x) >= 0.2) & (np.abs(x) <= 1.5))
    assert (x > 0).any()
    assert (x < 0).any()


def test_indices_are_not_differentiated(backend):
    class Rows(Layer):
        """y = w[x]; it has no gradient to give for x."""

        def build(self, input_shape, backend):
            self.backend = backend
            self.w = backend.asarray(np.linspace(0.1, 1.0, 5))
            return input_shape

        def forward(self, x, *, training=False):
            self.one_hot = x[..., None] == self.backend.asarray(np.arange(5))
            return self.backend.xp.sum(self.backend.xp.astype(self.one_hot, self.w.dtype) * self.w, axis=-1)

        def backward(self, dy):
            self.dw = self.backend.xp.sum(self.backend.xp.astype(self.one_hot, dy.dtype) * dy[..., None], axis=(0, 1))

        def parameters(self):
            return {"w": self.w}

        def gradients(self):
            return {"w": self.dw}

    result = check(Rows(), np.array([[0, 3], [3, 4]]), backend=backend)
    assert list(result.errors) == ["w"]
    with pytest.raises(ConfigurationError, match="nothing has a gradient"):
        check(layers.Linear(), np.array([[0, 3]]), backend=backend)


def test_a_layer_of_float32_is_checked_in_float64(make_backend, backend):
    layer = Dense(3)
    layer.build((3,), make_backend(dtype="float32"))
    assert check(layer).worst.error < 1e-9
    assert layer.weights.dtype == make_backend(dtype="float32").dtype
    assert check(layer, backend="numpy").worst.error < 1e-9


# -- losses

LOSSES = [getattr(losses, name) for name in losses.__all__ if name != "Loss"]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", LOSSES)
def test_losses_draw_what_fits(kind, reduction, backend):
    options = [{"from_logits": True}, {"from_logits": False}] if "from_logits" in kind.__dataclass_fields__ else [{}]
    for option in options:
        for seed in range(3):
            result = check(kind(reduction=reduction, **option), backend=backend, seed=seed)
            assert [(t.name, t.note) for t in result.tensors] == [("y_pred", "")]
            assert result.tensors[0].left_out <= (
                kind is losses.Huber
            )  # its slope bends at ±δ, where some error may lie


def test_a_loss_whose_gradient_is_of_another_reduction():
    @dataclass(frozen=True)
    class Halved(losses.MeanSquaredError):
        def value(self, y_pred, y):
            return super().value(y_pred, y) / 2

    with pytest.raises(GradientError, match=r"Halved.*by y_pred.*2 times the right one"):
        check(Halved())


def test_a_loss_takes_predictions_and_targets(backend):
    loss = losses.CategoricalCrossentropy()
    rows = backend.asarray(np.array([[0.2, 0.8, 0.0], [0.1, 0.1, 0.8]]))
    assert check(loss, np.full((2, 3), 0.3), rows, backend=backend).ok
    with pytest.raises(ConfigurationError, match="input_shape makes no sense for a loss"):
        check(loss, input_shape=(3,))


# -- models


def network(backend, first=None, loss=None, **options):
    chain = [first or Dense(6), ReLU(), Dropout(0.3), Residual([Dense(6), Tanh()]), Dense(3), Softmax()]
    loss = loss or losses.CategoricalCrossentropy()
    return nnxp.Model(chain, loss=loss, optimizer=optimizers.Adam(), backend=backend, **options)


def penalized():
    return Dense(6, weight_regularizer=regularizers.L2(0.1), bias_regularizer=regularizers.L1(0.1))


@pytest.mark.parametrize("training", [True, False])
def test_a_model_passes_and_is_left_as_it_was(training, backend):
    model = network(backend, penalized())
    model.build((2,))
    x, y = np.ones((3, 2)), np.array([0, 1, 2])
    for _ in range(2):
        model.train_step(x, y)
    before, slots = model.state_dict(), model.engine.slot_state()
    result = check(model, training=training)
    assert list(result.errors) == list(before)
    assert result.worst.error < 1e-8
    assert model.step == 2
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[key])
    for slot, arrays in model.engine.slot_state().items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, slots[slot][key])
    assert check(model, x, y, training=training).ok
    float(model.train_step(x, y))


@pytest.mark.parametrize("loss", [losses.MeanSquaredError(), losses.BinaryCrossentropy()])
def test_a_model_of_any_kind_of_targets(loss, backend):
    check(network(backend, loss=loss), input_shape=(2,))


def test_a_model_with_a_wrong_layer_is_caught(backend):
    def backward(self, dy):
        self.d_scale, self.d_shift = self.sums(dy)
        return 2 * dy * self.scale

    model = nnxp.Model(
        [Dense(3), wrong(backward=backward), Dense(2)],
        loss=losses.MeanSquaredError(),
        optimizer=optimizers.SGD(),
        backend=backend,
    )
    model.build((2,))
    before = model.state_dict()
    with pytest.raises(GradientError, match=r"^Model of 3 layers: the gradient by 0\.\w+ .* 2 times the right one"):
        check(model)
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


def test_a_model_of_float32_says_what_to_do(make_backend):
    model = network(make_backend(dtype="float32"))
    with pytest.raises(
        DtypeError, match=r"got float32.*Model\(…, dtype='float64'\).*get_backend\('\w+', dtype='float64'\)"
    ):
        check(model)


def test_a_model_must_know_its_input(backend):
    with pytest.raises(NotBuiltError, match="call build"):
        check(network(backend))
    assert check(network(backend), np.ones((2, 2)), [0, 2]).ok
    with pytest.raises(ConfigurationError, match="backend makes no sense for a model, which has its own"):
        check(network(backend), backend="numpy")


# -- refusals


@pytest.mark.parametrize("target", [None, Dense, lambda x: x, "Dense"])
def test_only_layers_losses_and_models(target):
    with pytest.raises(ConfigurationError, match="check expected a layer, a loss or a model, got"):
        check(target)


def test_arguments_that_make_no_sense():
    with pytest.raises(ConfigurationError, match="y makes no sense for a layer"):
        check(Dense(2), y=np.ones(3))
    with pytest.raises(ConfigurationError, match="tolerance must be a positive number"):
        check(Dense(2), tolerance=0)
    with pytest.raises(ShapeError, match="expected x of shape") as caught:
        check(Dense(2, input_size=5))
    assert "give x or input_shape" in "".join(caught.value.__notes__)


def test_a_forward_of_another_shape_than_build_said():
    with pytest.raises(ShapeError, match=r"forward gave None, expected shape \(4, 3\)"):
        check(wrong(forward=lambda self, x, training: None))
    with pytest.raises(GradientError, match=r"its value is nan .*give another x"):
        check(Lambda(lambda xp, x: x * float("nan"), lambda xp, dy, x: dy))


def test_every_layer_has_a_check():
    """Names that a reader can rely on."""
    assert set(nnxp.gradcheck.__all__) == {"GradientCheck", "TensorCheck", "check", "numerical_gradient"}
    assert {"Lambda", "Residual"} <= set(layers.__all__)
