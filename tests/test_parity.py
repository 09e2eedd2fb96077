"""Sameness: what is the same is found to be so, and what is wrong is found, and named."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import nnxp
from nnxp import layers, losses, optimizers, parity, regularizers
from nnxp.errors import BackendError, ConfigurationError
from nnxp.ops import ELEMENTWISE, NOT_OPS
from nnxp.ops.reference import FUNCTIONS
from nnxp.parity import BOUNDS, allowed, bound_of, compare

ROWS = 24
RNG = np.random.default_rng(5)
X = RNG.standard_normal((ROWS, 3))
CLASSES = np.arange(ROWS) % 4
YES = (X[:, :2] > 0).astype(float)
REAL = np.sin(X[:, :1])
IMAGES = RNG.standard_normal((ROWS, 6, 6, 2))
WORDS = RNG.integers(0, 9, (ROWS, 5))
PENALTY = regularizers.L1L2(1e-3, 1e-3)
EPS = float(np.finfo(np.float32).eps)


class Scale(layers.Layer):
    """A layer of a user: a factor for each feature."""

    def build(self, input_shape, backend):
        self.xp = backend.xp
        self.factor = backend.xp.ones(input_shape, dtype=backend.dtype, device=backend.device)
        return input_shape

    def forward(self, x, *, training=False):
        self.x = x
        return x * self.factor

    def backward(self, dy):
        self.d_factor = self.xp.sum(dy * self.x, axis=0)
        return dy * self.factor

    def parameters(self):
        return {"factor": self.factor}

    def gradients(self):
        return {"factor": self.d_factor}


def _classes():
    hidden = [layers.Dense(5, weight_regularizer=PENALTY, bias_regularizer=PENALTY), layers.ReLU(), layers.Dropout(0.2)]
    return [*hidden, layers.Dense(4), layers.Softmax()], losses.CategoricalCrossentropy(), optimizers.Adam(0.02)


def _yes_or_no():
    optimizer = optimizers.SGD(0.1, momentum=0.9, clip_norm=0.1)
    return (
        [layers.Dense(5), layers.Sigmoid(), layers.Dense(2), layers.Sigmoid()],
        losses.BinaryCrossentropy(),
        optimizer,
    )


def _regression():
    optimizer = optimizers.SGD(0.1, momentum=0.9, nesterov=True, clip_value=0.5)
    return [layers.Dense(5), layers.Tanh(), layers.Dense(1)], losses.MeanSquaredError(), optimizer


def _own():
    network = [layers.Dense(5), Scale(), layers.Softmax(), layers.Dense(1)]
    return network, losses.MeanAbsoluteError(), optimizers.RMSprop(0.01)


def _without_head():
    network = [layers.Flatten(), layers.Dense(4), layers.Softmax(), Scale()]
    return network, losses.CategoricalCrossentropy(), optimizers.Adagrad(0.01)


def _sigmoid_without_head():
    return [layers.Dense(2), layers.Sigmoid(), Scale()], losses.BinaryCrossentropy(), optimizers.SGD(0.1)


def _search():
    return [layers.Dense(1), layers.Step()], losses.MeanSquaredError(), optimizers.RandomSearch(0.1)


def _images():
    """Convolutions, poolings, and normalization by running statistics. Biases come after it, or after an activation:
    directly before it, their gradient is nothing but rounding."""
    first = [layers.Conv2D(4, 3), layers.ReLU(), layers.BatchNorm(), layers.MaxPool2D(2)]
    second = [layers.Conv2D(3, 2, padding="same"), layers.SiLU(), layers.BatchNorm(), layers.AveragePool2D(2)]
    loss = losses.CategoricalCrossentropy(label_smoothing=0.1, class_weights=(1, 2, 0.5, 1))
    rates = {"0": 0.5, "9.biases": 0}
    optimizer = optimizers.AdamW(0.01, ema=0.9, rates=rates, clip_parameter_norm=0.5)
    return [*first, *second, layers.Flatten(), layers.Dense(4), layers.Softmax()], loss, optimizer


def _words():
    network = [layers.Embedding(9, 4), layers.Flatten(), layers.Dense(6), layers.ELU(), layers.Dense(4)]
    loss = losses.CategoricalCrossentropy(from_logits=True, class_weights=(1, 2, 0.5, 1))
    return network, loss, optimizers.Lion(0.003, weight_decay=0.1, clip_parameter_norm=0.5)


def _residual():
    block = layers.Residual([layers.LayerNorm(), layers.Dense(6), layers.GELU(), layers.Dense(6)])
    return [layers.Dense(6), block, layers.LayerNorm(), layers.Dense(1)], losses.Huber(), optimizers.NAdam(0.01)


NETWORKS = {
    "classes": (_classes, X, CLASSES),
    "yes_or_no": (_yes_or_no, X, YES),
    "regression": (_regression, X, REAL),
    "own": (_own, X, REAL),
    "without_head": (_without_head, X, CLASSES),
    "sigmoid_without_head": (_sigmoid_without_head, X, YES),
    "search": (_search, X, REAL),
    "images": (_images, IMAGES, CLASSES),
    "words": (_words, WORDS, CLASSES),
    "residual": (_residual, X, REAL),
}
STEPS = {"float32": 5, "float64": 30}
"""Of the networks that have more to go wrong; the others make 3."""


def factory_of(name):
    """A model factory, and the targets."""
    parts, _, y = NETWORKS[name]

    def factory(backend):
        network, loss, optimizer = parts()
        return nnxp.Model(network, loss=loss, optimizer=optimizer, backend=backend)

    return factory, y


def compared(name, *backends, steps=3, **options):
    factory, y = factory_of(name)
    return compare(factory, NETWORKS[name][1], y, backends=backends, steps=steps, batch_size=10, **options)


def with_op(backend, name, op):
    """The backend with this op in place of one of the table, also where that has a kernel."""
    ops = backend.ops
    kernels = {n: kernel for n, kernel in ops.kernels.items() if n != name}
    return replace(backend, ops=replace(ops, kernels=kernels, honours=ops.honours - {name}, **{name: op}))


def off(op, error=1e-3, place=0):
    """An op whose result (the one at ``place``, of several) is off by a thousandth."""

    def wrong(*arguments, out=None):
        result = op(*arguments)
        if not isinstance(result, tuple):
            return result * (1 + error)
        return tuple(r * (1 + error) if index == place else r for index, r in enumerate(result))

    return wrong


def measure(op, inputs, standard, found):
    """The difference of two results, beside what is allowed for these inputs."""
    return parity.measure(op, standard, found, allowed(op, standard, inputs))


class TestSame:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_every_backend_is_the_same_as_the_reference(self, name, typed_backend):
        dtype = str(typed_backend.dtype).rsplit(".", 1)[-1]
        steps = STEPS[dtype] if name in ("images", "words", "residual") else 3
        standard = nnxp.get_backend("numpy", kernels="reference", dtype=dtype)
        result = compared(name, standard, typed_backend, steps=steps)
        assert result.ok, result
        assert result.chaotic_from is None or name == "own", result
        assert result.comparisons[0].worst_op.share < 0.8, result
        assert result.dtype == dtype

    def test_a_backend_is_the_same_as_itself_to_the_last_bit(self, backend):
        (comparison,) = (result := compared("classes", backend, backend)).comparisons
        assert result.ok
        assert {row.share for row in (*comparison.ops, *comparison.values)} == {0.0}
        assert {row.ulp for row in comparison.ops} <= {0.0, None}
        assert result.verdicts[0].endswith("to the last bit of 3 steps.")

    def test_all_ops_of_a_step_are_compared(self, backend):
        (comparison,) = compared("classes", backend, backend, steps=2).comparisons
        results = {row.op: row.results for row in comparison.ops}
        assert results["linear"] == results["l1"] == results["l2_backward"] == 4
        assert results["adam"] == results["softmax_categorical_crossentropy"] == 6  # three results each
        assert results["dropout"] == 4  # forward and backward
        assert [row.value for row in comparison.values][-1] == "loss"
        assert len(comparison.values) == 5

    def test_statistics_slots_and_averages_are_compared(self):
        (comparison,) = (result := compared("images", "numpy", "numpy", steps=2)).comparisons
        assert {"2.running_mean", "2.running_var", "6.running_mean"} <= {row.value for row in comparison.values}
        ops = {row.op: row.results for row in comparison.ops}
        assert ops["moving_average"] == 8
        assert {op: ops[op] for op in ("clip_norms", "clone", "decay_weights", "move", "average")} == dict.fromkeys(
            ("clip_norms", "clone", "decay_weights", "move", "average"), 2
        )
        assert result.yardstick < 1e-4, "a jolted run remembers what it saw, too"

    def test_names(self):
        result = compared("classes", "numpy", "numpy/numpy", "array_api_strict", dtype="float64", seed=3)
        assert (result.standard, [c.backend for c in result.comparisons]) == (
            "numpy",
            ["numpy/numpy", "array_api_strict"],
        )
        assert result.ok
        assert result.dtype == "float64"
        assert "to the last bit" in result.verdicts[1]  # the reference on NumPy's own arithmetic

    def test_rounding_alone_is_far_below_the_bounds(self):
        """Half the precision of float32 is seen: TensorFloat32 keeps 10 bits of a product's factors, float32 23."""
        backend = nnxp.get_backend("numpy", kernels="reference")

        def rounded(x):
            return (x.view(np.int32) & -8192).view(np.float32)

        def tf32(x, w, b, *, out=None):
            return rounded(x) @ rounded(w) + b

        (comparison,) = compared("classes", backend, with_op(backend, "linear", tf32)).comparisons
        assert comparison.first_op.op == "linear"
        assert comparison.worst_op.share > 20


WRONG = [
    ("classes", "linear", "0.y"),
    ("classes", "linear_bias_gradient", "3.dbiases"),
    ("classes", "linear_weight_gradient", "3.dweights"),
    ("classes", "linear_input_gradient", "3.dx"),
    ("classes", "relu", "1.y"),
    ("classes", "dropout", "2.y"),
    ("classes", "softmax", "4.y"),
    ("classes", "categorical_crossentropy_from_logits", "data_loss"),
    ("classes", "categorical_crossentropy_from_logits_backward", "4.dx"),
    ("classes", "softmax_categorical_crossentropy", "4.y"),
    ("classes", "l2_backward", "0.dweights.penalized"),
    ("classes", "adam", "w"),
    ("yes_or_no", "sigmoid_backward", "1.dx"),
    ("yes_or_no", "momentum", "w"),
    ("yes_or_no", "clip_norm", "g"),
    ("regression", "squared_error", "data_loss"),
    ("regression", "tanh_backward", "1.dx"),
    ("images", "soft_targets", "soft_y"),
    ("images", "conv2d", "0.y"),
    ("images", "conv2d_weight_gradient", "4.dweights"),
    ("images", "conv2d_input_gradient", "4.dx"),
    ("images", "batch_norm", "2.y"),
    ("images", "batch_norm_backward", "6.dx"),
    ("images", "moving_average", "2.next_running_mean"),
    ("images", "max_pool2d", "3.y"),
    ("images", "max_pool2d_backward", "3.dx"),
    ("images", "clip_norms", "g"),
    ("images", "decay_weights", "stepped"),
    ("images", "move", "w"),
    ("images", "average", "average"),
    ("words", "embedding", "0.y"),
    ("words", "embedding_gradient", "0.dweights"),
    ("words", "lion", "w"),
    ("residual", "layer_norm_backward", "2.dx"),
    ("residual", "gelu_backward", "1.2.dx"),
    ("residual", "huber_backward", "dy_pred"),
    ("residual", "nadam", "w"),
]


class TestDifferent:
    @pytest.mark.parametrize(("network", "op", "value"), WRONG, ids=[op for _, op, _ in WRONG])
    def test_a_wrong_op_is_named(self, network, op, value, backend):
        wrong = with_op(backend, op, off(getattr(backend.ops, op)))
        (comparison,) = (result := compared(network, backend, wrong, steps=1)).comparisons
        assert not result.ok
        assert (comparison.first_op.op, comparison.first_op.step) == (op, 1)
        assert comparison.first_op.value.startswith(value.removesuffix(".penalized"))
        assert {row.op for row in comparison.ops if row.share > 1} == {op}, "inputs are equal, so no other op parts"
        assert re.search(rf"parts from .* in step 1, where {op} makes .* instead of", result.verdicts[0])

    def test_the_first_of_two_wrong_ops_is_named(self, backend):
        ops = backend.ops
        wrong = with_op(with_op(backend, "softmax", off(ops.softmax)), "linear", off(ops.linear))
        (comparison,) = compared("classes", backend, wrong).comparisons
        assert (comparison.first_op.op, comparison.first_op.value) == ("linear", "0.y")
        assert {row.op for row in comparison.ops if row.share > 1} == {"linear", "softmax"}

    def test_an_epsilon_inside_the_root(self, backend):
        xp = backend.xp

        def adam(w, g, m, v, rate, beta_1, beta_2, epsilon, correction_1, correction_2, *, out=None):
            m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * (g * g)
            return w - rate * (m / correction_1) / xp.sqrt(v / correction_2 + epsilon), m, v

        (comparison,) = compared("classes", backend, with_op(backend, "adam", adam)).comparisons
        assert (comparison.first_op.op, comparison.first_op.value) == ("adam", "w")
        assert comparison.first_value.step == 1

    def test_an_op_that_is_wrong_in_one_step(self, backend):
        """The step in which it went wrong is the one that is named."""
        right = backend.ops.adam

        def wrong(w, g, m, v, rate, *numbers, out=None):
            late = numbers[3] > 0.25  # the correction 1 - 0.9^(t+1): from the third step on
            return right(w, g, m, v, rate * (1 + 1e-3 * late), *numbers)

        (comparison,) = compared("classes", backend, with_op(backend, "adam", wrong), steps=4).comparisons
        assert (comparison.first_op.op, comparison.first_op.step) == ("adam", 3)
        assert comparison.first_value.step == 3

    def test_a_wrong_shape_and_a_wrong_type(self):
        backend = nnxp.get_backend("numpy", kernels="reference")
        ops = backend.ops
        wide = with_op(backend, "l2", lambda w, rate, out=None: np.float64(rate) * np.sum(w.astype(np.float64) ** 2))
        (result,) = compared("classes", backend, wide, steps=1).verdicts
        assert "l2 makes penalty.1 with dtype float64 instead of float32" in result
        flat = with_op(backend, "linear_bias_gradient", lambda dy, out=None: ops.linear_bias_gradient(dy)[None])
        (result,) = measured = measure("linear_bias_gradient", [X], [X.sum(axis=0)], [flat.ops.linear_bias_gradient(X)])
        assert result.note == "shape (1, 3) instead of (3,)"
        assert measured[0].share == np.inf

    def test_state_that_goes_wrong_between_ops(self):
        """A kernel that is right when it is asked alone, and wrong in a plan: only the path shows it."""
        backend = nnxp.get_backend("numpy", kernels="numpy")
        right = backend.ops.kernels["relu"]

        def kernel(x, *, out=None, scratch=None):
            call = right(x, out=out, scratch=scratch)
            return call if scratch is None else lambda: np.multiply(call(), 1.001, out=out)

        wrong = replace(backend, ops=backend.ops.replace(relu=kernel))
        (comparison,) = (result := compared("classes", backend, wrong)).comparisons
        assert comparison.first_op is None
        assert (comparison.first_value.step, result.ok) == (1, False)
        assert "in step 1, op by op they are the same" in result.verdicts[0]

    def test_other_initial_parameters(self, backend):
        factory, y = factory_of("regression")
        made = []

        def unseeded(backend):
            model = factory(replace(backend, rng=nnxp.backend.Rng(len(made))))
            made.append(model)
            return model

        result = compare(unseeded, X, y, backends=(backend, backend), steps=1)
        assert not result.ok
        assert "before the first step: the initial 0.weights differ" in result.verdicts[0]

    def test_chaos_is_not_compared(self):
        """A training whose own roundings lead anywhere: ops still tell."""

        def factory(backend):
            network = [layers.Dense(16), layers.Tanh(), layers.Dense(16), layers.Tanh(), layers.Dense(1)]
            loss, optimizer = losses.MeanSquaredError(), optimizers.Adam(1.0)
            return nnxp.Model(network, loss=loss, optimizer=optimizer, backend=backend)

        result = compare(factory, X, REAL, backends=("numpy", "numpy/numpy"), steps=40)
        assert result.chaotic_from is not None
        assert result.ok, result
        assert f"after {result.chaotic_from - 1} steps" in result.verdicts[0]
        assert f"From step {result.chaotic_from} on" in str(result)


class TestMeasure:
    def test_a_sum_is_measured_by_its_terms(self):
        a, b = np.array([[1e4, 1.0, -1e4]], dtype=np.float32), np.ones((3, 1), dtype=np.float32)
        right = np.array([[1.0]], dtype=np.float32)
        (found,) = measure("matmul", [a, b], [right], [right + np.float32(2e-3)])
        assert found.share == pytest.approx(2e-3 / (4 * EPS * 20001), rel=1e-3)
        assert found.ulp is None

    def test_ulp(self):
        right = np.array([1.0, 4.0], dtype=np.float32)
        (found,) = measure("tanh", [right], [right], [np.nextafter(right, np.float32(9))])
        assert found.ulp == 1.0
        assert found.share == pytest.approx(1 / 8)
        assert found.place == (0,)

    @pytest.mark.parametrize("small", [0.0, 1e-45, 1e-39, -1e-38])
    def test_what_underflows_is_nothing(self, small):
        a, b = np.array([small], dtype=np.float32), np.zeros(1, dtype=np.float32)
        (found,) = measure("sigmoid", [a], [a], [b])
        assert found.ulp == 0.0
        assert found.share < 1

    @pytest.mark.parametrize(
        ("a", "b", "same"),
        [
            (np.nan, np.nan, True),
            (np.inf, np.inf, True),
            (np.inf, -np.inf, False),
            (np.nan, 1.0, False),
            (1.0, np.nan, False),
            (np.inf, 3e38, False),
            (-0.0, 0.0, True),
        ],
    )
    @pytest.mark.parametrize("op", ["relu", "sgd", "softmax", "own layer"])
    def test_what_is_not_finite(self, op, a, b, same):
        one, other = np.array([[a, 1.0]], dtype=np.float32), np.array([[b, 1.0]], dtype=np.float32)
        inputs = {"sgd": [one, one, 0.1]}.get(op, [one])
        (found,) = measure(op, inputs, [one], [other])
        assert (found.share <= 1) is same

    def test_nothing(self):
        empty = np.zeros((0, 3), dtype=np.float32)
        assert measure("relu", [empty], [empty], [empty])[0].share == 0.0

    def test_counts_are_equal_or_not(self):
        one, two = np.asarray(1), np.asarray(2)
        assert measure("all_finite", [X], [one], [one])[0].share == 0.0
        assert measure("all_finite", [X], [one], [two])[0].share == np.inf

    def test_bounds_are_of_ops(self):
        assert BOUNDS.keys() == FUNCTIONS.keys()
        assert not BOUNDS.keys() & NOT_OPS

    @pytest.mark.parametrize("op", ["relu", "relu_backward", "clip_value", "step", "reshape"])
    def test_ops_that_only_choose_are_exact(self, op):
        (found,) = measure(op, [X], [X.astype(np.float32)], [np.nextafter(X.astype(np.float32), np.float32(9))])
        assert found.share > 1

    def test_an_op_without_a_bound_of_its_own(self):
        """Such as a layer of a user's own: 256 roundings of the largest result."""
        right = np.array([1e-6, 2.0], dtype=np.float32)
        for error, share in ((256 * EPS, 0.5), (1024 * EPS, 2.0)):
            (found,) = measure("own layer", [], [right], [right + np.float32(error)])
            assert found.share == pytest.approx(share, rel=1e-2)
        assert bound_of("own layer") is bound_of("an op of tomorrow")

    def test_elementwise_ops_of_one_sign_are_in_ulp(self):
        in_ulp = {op for op, bound in BOUNDS.items() if bound.relative}
        assert {"relu", "sigmoid", "tanh", "dropout", "relu_backward", "sigmoid_backward"} <= in_ulp & ELEMENTWISE


class TestReport:
    def test_prints_as_tables(self):
        text = str(compared("classes", "numpy", "numpy/numpy"))
        first, *lines = text.splitlines()
        assert first == "numpy/numpy (cpu) beside numpy (cpu), float32"
        words = [line.split() for line in lines]
        assert ["linear", "6"] in [line[:2] for line in words]
        assert "0.weights" in [line[0] for line in words if line]
        assert max(map(len, lines[:-1])) <= 120
        assert lines[-1].startswith("numpy/numpy is the same as numpy: op by op within 0.")

    def test_marks_what_parts(self):
        backend = nnxp.get_backend("numpy")
        text = str(compared("classes", backend, with_op(backend, "adam", off(backend.ops.adam)), steps=1))
        (line,) = [line for line in text.splitlines() if "! " in line and line.startswith("adam")]
        assert line.endswith("w, step 1")

    def test_json(self):
        backend = nnxp.get_backend("numpy")
        wrong = with_op(backend, "relu", lambda x, out=None: np.full_like(x, np.nan))

        def refuse(text):
            raise AssertionError(f"{text} is no JSON")

        plain = json.loads(compared("classes", backend, wrong, steps=1).as_json(), parse_constant=refuse)
        (comparison,) = plain["comparisons"]
        assert plain["ok"] is comparison["ok"] is False
        assert comparison["first_op"]["op"] == "relu"
        assert comparison["first_op"]["found"] is None
        assert comparison["verdict"].startswith("numpy/")

    def test_is_frozen(self):
        with pytest.raises(AttributeError):
            compared("regression", "numpy", "numpy", steps=1).steps = 2


class TestArguments:
    @pytest.mark.parametrize("backends", ["numpy", ["numpy"], []])
    def test_two_backends(self, backends):
        with pytest.raises(ConfigurationError, match=r"backends must be two or more, such as \(\"numpy\", \"torch\"\)"):
            compare(factory_of("classes")[0], X, CLASSES, backends=backends)

    def test_a_missing_backend(self):
        with pytest.raises(BackendError, match="has no kernels 'cuda' here"):
            compared("classes", "numpy", "array_api_strict/cuda")

    def test_two_data_types(self):
        pair = [nnxp.get_backend("numpy", dtype=dtype) for dtype in ("float32", "float64")]
        with pytest.raises(ConfigurationError, match=r"computes in float32 and .* in float64; give both one dtype"):
            compared("classes", *pair)

    def test_a_batch_in_parts(self):
        def factory(backend):
            optimizer = optimizers.Adam(accumulate=3)
            return nnxp.Model([layers.Dense(1)], loss=losses.MeanSquaredError(), optimizer=optimizer, backend=backend)

        with pytest.raises(ConfigurationError, match=r"Adam has accumulate=3, .* give smaller batches instead"):
            compare(factory, X, REAL, backends=("numpy", "numpy"))

    def test_a_factory_that_ignores_its_backend(self):
        factory, y = factory_of("classes")
        with pytest.raises(ConfigurationError, match="give the model the backend that the factory gets"):
            compare(lambda backend: factory("numpy"), X, y, backends=("numpy", "array_api_strict"))

    def test_a_factory_that_makes_no_model(self):
        with pytest.raises(ConfigurationError, match=r"model_factory must return a nnxp\.Model, got None"):
            compare(lambda backend: None, X, CLASSES, backends=("numpy", "numpy"))

    def test_a_factory_that_makes_other_networks(self):
        sizes = iter(range(3, 99))

        def factory(backend):
            network, loss = [layers.Dense(next(sizes)), layers.Dense(1)], losses.MeanSquaredError()
            return nnxp.Model(network, loss=loss, optimizer=optimizers.SGD(), backend=backend)

        with pytest.raises(ConfigurationError, match="it must make the same network each time"):
            compare(factory, X, REAL, backends=("numpy", "numpy"))

    def test_a_factory_that_makes_other_layers(self):
        kinds = iter([layers.ReLU, layers.Tanh] * 9)

        def factory(backend):
            network, loss = [layers.Dense(3), next(kinds)(), layers.Dense(1)], losses.MeanSquaredError()
            return nnxp.Model(network, loss=loss, optimizer=optimizers.SGD(), backend=backend)

        with pytest.raises(ConfigurationError, match="made other layers for another backend"):
            compare(factory, X, REAL, backends=("numpy", "numpy"))

    @pytest.mark.parametrize("name", ["steps", "batch_size"])
    def test_whole_numbers(self, name):
        with pytest.raises(ConfigurationError, match=rf"parity\.compare: {name} must be a whole number of at least 1"):
            compare(factory_of("classes")[0], X, CLASSES, backends=("numpy", "numpy"), **{name: 0})

    def test_lists_and_whole_numbers_as_features(self):
        """A conversion at the door is not what is compared, so it warns of nothing."""
        factory, _ = factory_of("regression")
        x, y = [[0, 1, 2], [3, 4, 5]], [[0.5], [1.5]]
        assert compare(factory, x, y, backends=("numpy", "numpy/numpy"), steps=2).ok

    def test_leaves_no_trace_on_the_data(self, backend):
        x = backend.asarray(X)
        factory, y = factory_of("regression")
        assert compare(factory, x, backend.asarray(y), backends=(backend, backend), steps=1).ok
        np.testing.assert_array_equal(backend.to_numpy(x), X.astype(backend.to_numpy(x).dtype))


def test_is_loaded_at_its_first_use():
    assert nnxp.parity is parity
    assert "parity" in dir(nnxp)
