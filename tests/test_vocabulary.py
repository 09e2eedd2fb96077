"""Every word of the vocabulary, on every backend, in float32 and float64: what all of them promise.

dtype in = dtype out; results on the device of the inputs; inputs unchanged (NumPy's are read-only here); a batch of
one, of none, and one that has gaps in memory. Ops have the same table in ``ops/test_reference.py``, kernels theirs in
``ops/test_numpy_kernels.py``, gradients in ``ops/test_gradients.py``, convergence in
``training/test_convergence.py``, and the peers in ``oracle/``.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp import layers, losses, metrics, optimizers, schedules

BATCH, CLASSES = 5, 3
IMAGE = (6, 6, 2)


def sine(xp, x):
    return xp.sin(x)


def sine_backward(xp, dy, x):
    return dy * xp.cos(x)


# name: (how it is made, the shape of one sample); most are made without arguments, for rows of four features
SHAPES: dict[str, tuple[Callable[[], layers.Layer], tuple[int, ...]]] = {
    "AveragePool2D": (lambda: layers.AveragePool2D(2), IMAGE),
    "BatchNorm": (layers.BatchNorm, IMAGE),
    "Conv2D": (lambda: layers.Conv2D(3, (3, 2), padding="same"), IMAGE),
    "Dense": (lambda: layers.Dense(3), (4,)),
    "Dropout": (lambda: layers.Dropout(0.5), (4,)),
    "Embedding": (lambda: layers.Embedding(7, 3), (4,)),
    "Flatten": (layers.Flatten, IMAGE),
    "GlobalAveragePool1D": (layers.GlobalAveragePool1D, (6, 2)),
    "GlobalAveragePool2D": (layers.GlobalAveragePool2D, IMAGE),
    "Lambda": (lambda: layers.Lambda(sine, sine_backward), (4,)),
    "MaxPool2D": (lambda: layers.MaxPool2D(2), IMAGE),
    "Reshape": (lambda: layers.Reshape((3, 4)), (12,)),
    "Residual": (lambda: layers.Residual([layers.Dense(4), layers.Tanh()]), (4,)),
    "Sequential": (lambda: layers.Sequential([layers.Dense(3), layers.ReLU()]), (4,)),
}
ABSTRACT = {"Layer", "RecordedLayer"}
LAYERS = sorted(set(layers.__all__) - ABSTRACT)


def made(name: str) -> tuple[layers.Layer, tuple[int, ...]]:
    make, shape = SHAPES.get(name, (None, (4,)))
    return (make or getattr(layers, name))(), shape


def drawn(layer: layers.Layer, random: np.random.Generator, shape: tuple[int, ...], rows: int) -> np.ndarray:
    """Values of order one, none near a kink at 0; for a layer that reads indices, those."""
    if isinstance(layer, layers.Embedding):
        return random.integers(0, layer.vocabulary, (rows, *shape))
    return random.choice([-1.0, 1.0], (rows, *shape)) * random.uniform(0.2, 1.5, (rows, *shape))


@pytest.fixture
def given(typed_backend):
    """A function that puts host values on the backend in its dtype, on NumPy read-only; integers stay integers."""

    def give(values: np.ndarray) -> Any:
        dtype = typed_backend.integer_dtype if values.dtype.kind in "iu" else typed_backend.dtype
        array = typed_backend.asarray(values, dtype=dtype)
        if isinstance(array, np.ndarray):
            array = array.copy()
            array.flags.writeable = False
        return array

    return give


def with_gaps(backend: nnxp.Backend, array: Any) -> Any:
    """The same values, the last axis not contiguous in memory."""
    order = (array.ndim - 1, *range(array.ndim - 1))
    stored = backend.xp.asarray(backend.xp.permute_dims(array, order), copy=True)
    return backend.xp.permute_dims(stored, (*range(1, array.ndim), 0))


@pytest.mark.parametrize("name", LAYERS)
class TestLayers:
    @pytest.fixture
    def built(self, name, typed_backend):
        layer, shape = made(name)
        output_shape = layer.build(shape, typed_backend)
        assert output_shape == layer.output_shape
        return layer, shape

    def test_types_devices_and_inputs(self, built, typed_backend, given, random):
        layer, shape = built
        backend, (x, dy) = typed_backend, (drawn(layer, random, shape, BATCH), None)
        x = given(x)
        dy = given(random.standard_normal((BATCH, *layer.output_shape)))
        originals = [backend.to_numpy(array).copy() for array in (x, dy)]
        y, dx = layer.forward(x, training=True), layer.backward(dy)
        assert tuple(y.shape) == (BATCH, *layer.output_shape)
        gradients, parameters = layer.gradients(), layer.parameters()
        assert gradients.keys() == parameters.keys()
        results = [y, *gradients.values(), *layer.buffers().values()]
        if layer.index_limit is None:
            assert tuple(dx.shape) == (BATCH, *shape)
            results.append(dx)
        for result in results:
            assert result.dtype == backend.dtype
            assert backend.owns(result)
        for key, gradient in gradients.items():
            assert tuple(gradient.shape) == tuple(parameters[key].shape)
        for array, original in zip((x, dy), originals, strict=True):
            np.testing.assert_array_equal(backend.to_numpy(array), original)

    def test_a_batch_of_one_is_a_row_of_the_batch(self, built, typed_backend, given, random):
        layer, shape = built
        x = drawn(layer, random, shape, BATCH)
        whole = typed_backend.to_numpy(layer.forward(given(x)))
        one = typed_backend.to_numpy(layer.forward(given(x[2:3])))
        np.testing.assert_allclose(one, whole[2:3], **tolerance(typed_backend))

    @pytest.mark.parametrize("training", [True, False])
    def test_a_batch_of_none(self, built, typed_backend, given, random, training):
        layer, shape = built
        y = layer.forward(given(drawn(layer, random, shape, 0)), training=training)
        assert tuple(y.shape) == (0, *layer.output_shape)
        dx = layer.backward(given(np.zeros((0, *layer.output_shape))))
        assert layer.index_limit is not None or tuple(dx.shape) == (0, *shape)
        for gradient in layer.gradients().values():
            assert not typed_backend.to_numpy(gradient).any()

    def test_gaps_in_memory(self, name, typed_backend, given, random):
        """The same values in another order of memory give the same results."""
        results = []
        values = None
        for layout in (lambda array: array, lambda array: with_gaps(typed_backend, array)):
            layer, shape = made(name)
            layer.build(shape, typed_backend)
            if values is None:
                values = drawn(layer, random, shape, BATCH), random.standard_normal((BATCH, *layer.output_shape))
            x, dy = (layout(given(value)) for value in values)
            y, dx = layer.forward(x, training=True), layer.backward(dy)
            kept = [y, *layer.gradients().values()] + ([dx] if layer.index_limit is None else [])
            results.append([typed_backend.to_numpy(array) for array in kept])
        for first, second in zip(*results, strict=True):
            np.testing.assert_allclose(second, first, **tolerance(typed_backend))


def lies_on(backend: nnxp.Backend, result: Any) -> bool:
    """Whether a result is the backend's own, on its device; NumPy's sums are scalars, which lie nowhere else."""
    return isinstance(result, np.generic) or backend.owns(result)


def tolerance(backend: nnxp.Backend) -> dict[str, float]:
    """Products and sums over another layout round in another order: some tens of ULP of values of order one."""
    limit = 64 * float(np.finfo(str(backend.dtype).rsplit(".", 1)[-1]).eps)
    return {"rtol": limit, "atol": limit}


# -- losses


@dataclass(frozen=True)
class LossCase:
    make: Callable[[], losses.Loss]
    targets: Callable[[np.random.Generator, int], np.ndarray]
    probabilities: bool = False


def classes(random, rows):
    return random.integers(0, CLASSES, rows)


def shares(random, rows):
    return random.dirichlet(np.ones(CLASSES), rows)


def bits(random, rows):
    return random.integers(0, 2, (rows, CLASSES)).astype(float)


def reals(random, rows):
    return random.standard_normal((rows, CLASSES))


WEIGHTS = (0.5, 1.0, 2.0)
LOSSES: dict[str, LossCase] = {
    "CategoricalCrossentropy": LossCase(losses.CategoricalCrossentropy, classes, probabilities=True),
    "CategoricalCrossentropy, shares": LossCase(losses.CategoricalCrossentropy, shares, probabilities=True),
    "CategoricalCrossentropy, logits": LossCase(lambda: losses.CategoricalCrossentropy(from_logits=True), classes),
    "CategoricalCrossentropy, smooth": LossCase(
        lambda: losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, class_weights=WEIGHTS), classes
    ),
    "BinaryCrossentropy": LossCase(losses.BinaryCrossentropy, bits, probabilities=True),
    "BinaryCrossentropy, logits": LossCase(lambda: losses.BinaryCrossentropy(from_logits=True), bits),
    "BinaryCrossentropy, positive": LossCase(
        lambda: losses.BinaryCrossentropy(from_logits=True, positive_weight=WEIGHTS), bits
    ),
    "KLDivergence": LossCase(losses.KLDivergence, shares, probabilities=True),
    "KLDivergence, logits": LossCase(lambda: losses.KLDivergence(from_logits=True), shares),
    "Hinge": LossCase(losses.Hinge, bits),
    "Huber": LossCase(losses.Huber, reals),
    "LogCosh": LossCase(losses.LogCosh, reals),
    "MeanAbsoluteError": LossCase(losses.MeanAbsoluteError, reals),
    "MeanSquaredError": LossCase(losses.MeanSquaredError, reals),
}


@pytest.mark.parametrize("case", LOSSES.values(), ids=list(LOSSES))
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
class TestLosses:
    def predictions(self, case, random, rows):
        drawn = random.uniform(0.1, 0.9, (rows, CLASSES)) if case.probabilities else 2 * reals(random, rows)
        return (
            drawn / drawn.sum(axis=1, keepdims=True)
            if case.targets in (classes, shares) and case.probabilities
            else drawn
        )

    def test_types_devices_and_inputs(self, case, weighted, typed_backend, given, random):
        loss, backend = case.make(), typed_backend
        arrays = [given(self.predictions(case, random, BATCH)), given(case.targets(random, BATCH))]
        weights = given(random.uniform(0.5, 2.0, BATCH)) if weighted else None
        originals = [backend.to_numpy(array).copy() for array in arrays]
        value = loss.value(*arrays, sample_weight=weights)
        gradient = loss.gradient(*arrays, sample_weight=weights)
        assert tuple(value.shape) == ()
        assert tuple(gradient.shape) == (BATCH, CLASSES)
        for result in (value, gradient):
            assert result.dtype == backend.dtype
            assert lies_on(backend, result)
            assert np.isfinite(backend.to_numpy(result)).all()
        for array, original in zip(arrays, originals, strict=True):
            np.testing.assert_array_equal(backend.to_numpy(array), original)

    def test_rows_add_up_to_the_batch(self, case, weighted, typed_backend, given, random):
        """Value and gradient of the mean are those of batches of one, divided by their number; also with gaps."""
        loss, backend = case.make(), typed_backend
        p, y = self.predictions(case, random, BATCH), case.targets(random, BATCH)
        weights = random.uniform(0.5, 2.0, BATCH) if weighted else None
        ones = [None if weights is None else given(weights[row : row + 1]) for row in range(BATCH)]
        rows = [(given(p[row : row + 1]), given(y[row : row + 1])) for row in range(BATCH)]
        values = [float(loss.value(*row, sample_weight=w)) for row, w in zip(rows, ones, strict=True)]
        gradients = [backend.to_numpy(loss.gradient(*row, sample_weight=w)) for row, w in zip(rows, ones, strict=True)]
        together = (with_gaps(backend, given(p)), given(y))
        weights = None if weights is None else given(weights)
        value, gradient = loss.value(*together, sample_weight=weights), loss.gradient(*together, sample_weight=weights)
        assert float(value) == pytest.approx(np.mean(values), rel=tolerance(backend)["rtol"])
        expected = np.concatenate(gradients) / BATCH
        np.testing.assert_allclose(backend.to_numpy(gradient), expected, **tolerance(backend))

    def test_of_no_samples(self, case, weighted, typed_backend, given, random):
        loss = case.make()
        p, y = given(self.predictions(case, random, 0)), given(case.targets(random, 0))
        weights = given(np.ones(0)) if weighted else None
        assert float(loss.value(p, y, sample_weight=weights)) == 0
        assert tuple(loss.gradient(p, y, sample_weight=weights).shape) == (0, CLASSES)


# -- optimizers

NO_UPDATE = {"Optimizer", "GradientOptimizer"}
OPTIMIZERS = sorted(set(optimizers.__all__) - NO_UPDATE)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_keeps_types_devices_and_data(name, typed_backend, given, random):
    backend = typed_backend
    model = nnxp.Model(
        [layers.Dense(4), layers.Tanh(), layers.Dense(CLASSES)],
        loss=losses.CategoricalCrossentropy(from_logits=True),
        optimizer=getattr(optimizers, name)(),
        backend=backend,
    )
    x, y = given(random.standard_normal((BATCH, 3))), given(classes(random, BATCH))
    model.build((3,))
    before = model.state_dict()
    for _ in range(30):  # a random search needs some tries
        loss = model.train_step(x, y)
    assert loss.dtype == backend.dtype
    assert lies_on(backend, loss)
    engine = model.engine
    for buffer in (engine.parameters, engine.gradients, *engine.slots.values()):
        assert buffer.flat.dtype == backend.dtype
        assert backend.owns(buffer.flat)
    after = model.state_dict()
    for key, weights in before.items():
        assert np.isfinite(after[key]).all()
        assert (after[key] != weights).any(), key


# -- metrics and schedules

REALS = {"MeanAbsoluteError", "MeanSquaredError", "RSquared", "RegressionAccuracy"}
MACRO = {"average": "macro"}
METRICS = sorted(set(metrics.__all__) - {"Metric", "resolve"})


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_a_number_of_the_host(name, typed_backend, given, random):
    """By ``evaluate``, in one batch and in ragged ones; predictions and targets stay on the device until the end."""
    kind = getattr(metrics, name)
    binary = name in {"BinaryAccuracy", "AUC"}
    loss: losses.Loss = losses.MeanSquaredError() if name in REALS else losses.CategoricalCrossentropy()
    head: list[layers.Layer] = [] if name in REALS else [layers.Softmax()]
    if binary:
        loss, head = losses.BinaryCrossentropy(), [layers.Sigmoid()]
    options = {"TopKAccuracy": {"k": 2}, "F1": MACRO, "Precision": MACRO, "Recall": MACRO}
    metric = kind(**options.get(name, {}))
    model = nnxp.Model(
        [layers.Dense(1 if binary else CLASSES), *head],
        loss=loss,
        optimizer=optimizers.SGD(),
        metrics=[metric],
        backend=typed_backend,
    )
    x, rows = given(random.standard_normal((23, 4))), 23
    y = bits(random, rows)[:, :1] if binary else (reals if name in REALS else classes)(random, rows)
    model.build((4,))
    whole, parts = (model.evaluate(x, given(y), batch_size=size)[metric.name] for size in (None, 5))
    if name == "ConfusionMatrix":
        np.testing.assert_array_equal(whole, parts)
        assert np.sum(whole) == rows
        return
    assert isinstance(whole, float)
    assert np.isfinite(whole)
    assert parts == pytest.approx(whole, rel=1e-5)


SCHEDULES: dict[str, Callable[[], schedules.Schedule]] = {
    "Constant": lambda: schedules.Constant(0.1),
    "CosineDecay": lambda: schedules.CosineDecay(0.1, 50),
    "CosineRestarts": lambda: schedules.CosineRestarts(0.1, 10),
    "ExponentialDecay": lambda: schedules.ExponentialDecay(0.1, 0.9),
    "InverseTimeDecay": lambda: schedules.InverseTimeDecay(0.1, 0.01),
    "LinearWarmup": lambda: schedules.LinearWarmup(0.1, 10),
    "OneCycle": lambda: schedules.OneCycle(0.1, 50),
    "PiecewiseConstant": lambda: schedules.PiecewiseConstant([10, 20], [0.1, 0.01, 0.001]),
    "PolynomialDecay": lambda: schedules.PolynomialDecay(0.1, 50),
    "StepDecay": lambda: schedules.StepDecay(0.1, 10, 0.5),
}


def test_every_schedule_is_here():
    assert SCHEDULES.keys() == set(schedules.__all__) - {"Schedule"}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_a_function_of_the_step(name):
    """Python floats, also for NumPy's integers; equal configurations give equal rates, in any order of asking."""
    first, second = SCHEDULES[name](), SCHEDULES[name]()
    steps = [*range(60), 10**6]
    rates = [first(step) for step in steps]
    assert [second(np.int64(step)) for step in reversed(steps)] == rates[::-1]
    assert all(type(rate) is float and 0 <= rate <= 0.1 + 1e-12 for rate in rates)
    assert first == second


# -- the registry


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (layers, {*LAYERS, *ABSTRACT}),
        (losses, {name.partition(",")[0] for name in LOSSES} | {"Loss"}),
        (optimizers, {*OPTIMIZERS, *NO_UPDATE}),
        (schedules, {*SCHEDULES, "Schedule"}),
        (metrics, {*METRICS, "Metric", "resolve"}),
    ],
    ids=lambda value: value.__name__.rpartition(".")[2] if hasattr(value, "__name__") else "",
)
def test_no_word_is_missing(module, words):
    assert set(module.__all__) == words


@pytest.mark.parametrize(
    "kind", ["layers", "losses", "optimizers", "schedules", "initializers", "regularizers", "metrics"]
)
def test_every_word_is_documented(kind):
    """In its docstring, and in the list."""
    page = (Path(__file__).parents[1] / "docs" / "vocabulary.md").read_text(encoding="utf-8")
    module = getattr(nnxp, kind)
    words = [name for name in module.__all__ if isinstance(getattr(module, name), type)]
    concrete = [name for name in words if not inspect.isabstract(getattr(module, name))]
    listed = [name for name in concrete if name not in ABSTRACT | NO_UPDATE]
    assert [name for name in listed if f"`{name}`" not in page] == []
    assert [name for name in concrete if len(getattr(module, name).__doc__ or "") < 15] == []
