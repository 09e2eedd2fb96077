"""Steps of CUDA kernels, compiled for the host and, where there is one, on a GPU: graphs, numbers, batches."""

import os
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp import data, layers, losses, metrics, optimizers, regularizers, schedules
from nnxp.backend import Backend
from nnxp.errors import BackendError, PerformanceWarning
from nnxp.ops.cuda.agenda import ROWS
from nnxp.ops.cuda.launch import Launch, Multiplication
from nnxp.ops.cuda.step import Step
from nnxp.training.engine import TRAIN, Engine

X = np.random.default_rng(1).standard_normal((150, 6)).astype(np.float32)
X[:2] = 0  # where every ReLU of the first layer stands at its kink, as in the spiral
CLASSES = np.arange(150) % 3
QUESTIONS = (X[:, :2] > 0).astype(np.float32)
REALS = np.sin(X[:, :2])


Make = Callable[..., Backend]


@pytest.fixture(params=["numpy", "cupy"])
def cuda(request: pytest.FixtureRequest) -> Make:
    """A function that makes a backend with CUDA kernels: compiled for the host, or for a GPU, where there is one."""

    def make(**options: Any) -> Backend:
        try:
            return nnxp.get_backend(request.param, kernels="cuda", **options)
        except BackendError as error:
            if request.param == "cupy" and os.environ.get("NNXP_REQUIRE_GPU") == "1":
                raise
            pytest.skip(str(error))

    make()
    return make


def counts(backend: Backend) -> Counter[str]:
    return backend.ops.linker._machine.counts


def classifier(backend: Backend, optimizer: Any = None, *, drop: float = 0.0, rate: float = 0.0) -> nnxp.Model:
    penalty = regularizers.L2(rate) if rate else None
    dense = layers.Dense(16, weight_regularizer=penalty, bias_regularizer=penalty)
    noise = [layers.Dropout(drop)] if drop else []
    return nnxp.Model(
        [dense, layers.ReLU(), *noise, layers.Dense(8), layers.GELU(), layers.Dense(3), layers.Softmax()],
        loss=losses.CategoricalCrossentropy(),
        optimizer=optimizer or optimizers.Adam(0.01),
        metrics=["accuracy"],
        backend=backend,
    )


def answerer(backend: Backend) -> nnxp.Model:
    network = [layers.Dense(8), layers.Tanh(), layers.Dense(2), layers.Sigmoid()]
    parts = {"loss": losses.BinaryCrossentropy(), "optimizer": optimizers.RMSprop(0.01), "metrics": ["accuracy"]}
    return nnxp.Model(network, **parts, backend=backend)


def regressor(backend: Backend) -> nnxp.Model:
    network = [layers.Dense(8), layers.SiLU(), layers.Dense(2)]
    parts = {"loss": losses.MeanSquaredError(), "optimizer": optimizers.SGD(0.1, momentum=0.9), "metrics": ["accuracy"]}
    return nnxp.Model(network, **parts, backend=backend)


OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(schedules.InverseTimeDecay(0.1, 0.05)),
    "momentum": lambda: optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adagrad": lambda: optimizers.Adagrad(0.1),
    "rmsprop": lambda: optimizers.RMSprop(0.01),
    "adam": lambda: optimizers.Adam(0.01),
    "adamw": lambda: optimizers.AdamW(schedules.CosineDecay(0.02, 40), weight_decay=0.1),
    "lion": lambda: optimizers.Lion(0.003),
    "clipped": lambda: optimizers.Adam(0.01, clip_norm=0.1),
    "in a range": lambda: optimizers.SGD(0.05, clip_value=0.01),
    "averaged": lambda: optimizers.Adam(0.01, ema=0.9),
    "of several rates": lambda: optimizers.AdamW(0.02, rates={"0": 0.5, "2.weights": 0.0}),
    "without a kernel": lambda: optimizers.Adadelta(1.0),
}

PROBLEMS: dict[str, tuple[Callable[[Backend], nnxp.Model], np.ndarray]] = {
    **{name: (lambda b, make=make: classifier(b, make()), CLASSES) for name, make in OPTIMIZERS.items()},
    "dropout": (lambda b: classifier(b, drop=0.3), CLASSES),
    "penalties": (lambda b: classifier(b, rate=0.01), CLASSES),
    "shares": (classifier, np.eye(3, dtype=np.float32)[CLASSES]),
    "questions": (answerer, QUESTIONS),
    "reals": (regressor, REALS),
}


def fitted(make: Callable[[Backend], nnxp.Model], y: np.ndarray, backend: Backend, **options: Any) -> nnxp.Model:
    model = make(backend)
    model.fit(X, y, **{"epochs": 5, "batch_size": 32, "progress": "off", **options})
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_graph_gives_the_bits_of_single_launches(cuda: Make, name: str, dtype: str) -> None:
    make, y = PROBLEMS[name]
    alone, captured = (fitted(make, y, cuda(dtype=dtype), graph=graph) for graph in (False, True))
    assert (counts(captured.backend)["graph"] > 10) is (name != "without a kernel")
    assert counts(alone.backend)["graph"] == 0
    assert dict(captured.history) == dict(alone.history)
    for key, array in alone.state_dict().items():
        np.testing.assert_array_equal(captured.state_dict()[key], array)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize(
    "options", [{}, {"batch_size": None}, {"shuffle": False}], ids=["shuffled", "whole", "ordered"]
)
def test_training_is_that_of_the_reference(cuda: Make, name: str, options: dict[str, Any]) -> None:
    make, y = PROBLEMS[name]
    reference = nnxp.get_backend("numpy", kernels="reference", dtype="float64")
    expected, found = fitted(make, y, reference, **options), fitted(make, y, cuda(dtype="float64"), **options)
    for key, numbers in expected.history.items():
        np.testing.assert_allclose(found.history[key], numbers, rtol=1e-9, err_msg=key)
    for key, array in expected.state_dict().items():
        np.testing.assert_allclose(found.state_dict()[key], array, rtol=1e-7, atol=1e-10, err_msg=key)


# -- the budget


def wide(backend: Backend) -> nnxp.Model:
    """W2: 784→128→128→10."""
    return nnxp.Model(
        [layers.Dense(128), layers.ReLU(), layers.Dense(128), layers.ReLU(), layers.Dense(10), layers.Softmax()],
        loss=losses.CategoricalCrossentropy(),
        optimizer=optimizers.Adam(0.001),
        metrics=["accuracy"],
        backend=backend,
    )


BUDGET = [
    "gather",
    *("product", "activation", "product", "activation", "product"),
    "softmax_crossentropy",  # with loss, accuracy and gradient
    *("product", "product", "bias_activation_backward", "product", "product", "bias_activation_backward", "product"),
    *("adam", "publish"),
]
"""What a training step of W2 launches, at most and in this order; as a graph, one launch."""


def test_a_step_of_w2_keeps_to_its_budget(cuda: Make) -> None:
    model, rng = wide(cuda()), np.random.default_rng(0)
    x, y = rng.standard_normal((128 * 40, 784)).astype(np.float32), rng.integers(0, 10, 128 * 40)
    model.fit(x, y, epochs=1, batch_size=128, progress="off", graph=False)
    launched = counts(model.backend)
    launched.clear()  # a plan begins with a look at an empty batch
    model.fit(x, y, epochs=1, batch_size=128, progress="off", graph=False)
    assert launched["kernel"] + launched["product"] == 40 * len(BUDGET)
    model.fit(x, y, epochs=1, batch_size=128, progress="off")
    launched.clear()
    model.fit(x, y, epochs=3, batch_size=128, progress="off")
    eager = 2
    assert launched["kernel"] + launched["product"] == eager * len(BUDGET)
    assert launched["graph"] == 120 - eager
    assert launched["upload"] == 3, "numbers are uploaded once in 64 steps, and where an epoch begins anew"


def test_the_budget_names_what_a_step_launches(cuda: Make) -> None:
    model, rng = wide(cuda()), np.random.default_rng(0)
    x, y = rng.standard_normal((256, 784)).astype(np.float32), rng.integers(0, 10, 256)
    seen: list[Step] = []
    model.fit(x, y, epochs=2, batch_size=128, progress="off", callbacks=[_Looks(seen)])
    (step,) = seen
    assert [_name(link) for link in step.links] == BUDGET
    assert step.captured


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (losses.MeanSquaredError(), np.zeros((300, 2), np.float32)),
        (losses.BinaryCrossentropy(from_logits=True), np.zeros((300, 2), np.float32)),
        (losses.CategoricalCrossentropy(from_logits=True), np.zeros(300, np.int64)),
    ],
    ids=["squares", "questions", "classes"],
)
def test_a_loss_and_its_gradient_are_one_kernel_for_large_batches_too(cuda: Make, loss: Any, y: np.ndarray) -> None:
    model = nnxp.Model([layers.Dense(2)], loss=loss, optimizer=optimizers.SGD(0.1), backend=cuda())
    model.train_step(np.ones((300, 6), np.float32), y)
    (step,) = [call for call in _calls(model) if isinstance(call, Step)]
    names = [_name(link) for link in step.links]
    assert names[1:] == [names[1], "product", "sgd", "publish"]


class _Looks(nnxp.callbacks.Callback):
    """Takes the steps of a training while it is under way."""

    def __init__(self, seen: list[Step]) -> None:
        self.seen = seen

    def on_epoch_end(self, model: nnxp.Model, epoch: int, logs: dict[str, Any]) -> None:
        self.seen[:] = [call for call in _calls(model) if isinstance(call, Step)]


ENDS: dict[str, tuple[Callable[[], Any], np.ndarray]] = {
    "softmax_crossentropy": (lambda: losses.CategoricalCrossentropy(from_logits=True), CLASSES % 2),
    "sigmoid_crossentropy": (lambda: losses.BinaryCrossentropy(from_logits=True), QUESTIONS),
    "squared_error": (losses.MeanSquaredError, REALS),
}


@pytest.mark.parametrize("times", [1, 4], ids=["150 samples", "600 samples"])
@pytest.mark.parametrize("kernel", ENDS)
def test_a_loss_and_its_gradient_are_one_launch_at_any_size(cuda: Make, kernel: str, times: int) -> None:
    loss, y = ENDS[kernel]
    model = nnxp.Model([layers.Dense(2)], loss=loss(), optimizer=optimizers.SGD(), backend=cuda())
    seen: list[Step] = []
    x, y = np.tile(X, (times, 1)), np.concatenate([y] * times)
    model.fit(x, y, epochs=1, batch_size=None, progress="off", callbacks=[_Looks(seen)])
    (step,) = seen
    assert [_name(link) for link in step.links].count(kernel) == 1


def _calls(model: nnxp.Model) -> Iterator[Any]:
    for (mode, *_), plan in model.engine._plans.items():
        if mode.update:
            yield from plan._calls


def _name(link: Any) -> str:
    return link.kernel if isinstance(link, Launch) else "product" if isinstance(link, Multiplication) else "?"


def test_training_waits_for_the_device_a_few_times_an_epoch(cuda: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for the losses, once for the accuracy, and once to see that the parameters are finite numbers."""
    waits: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            waits[name] += 1
            return function(*arguments)

        return call

    backend = cuda()
    adapter = replace(
        backend.adapter,
        read=counted("read", backend.adapter.read),
        synchronize=counted("synchronize", backend.adapter.synchronize),
    )
    model = classifier(replace(backend, adapter=adapter))
    model.fit(X, CLASSES, epochs=1, batch_size=16, progress="off")
    monkeypatch.setattr("nnxp.backend._backend.to_host", counted("to host", nnxp.backend._backend.to_host))
    monkeypatch.setattr(Engine, "all_finite", counted("finite", Engine.all_finite))
    waits.clear()
    before = Counter(waits)
    model.fit(X, CLASSES, epochs=5, batch_size=16, progress="off")
    at_the_door = Counter({name: count for name, count in (waits - before).items() if name == "to host"})
    assert waits - at_the_door == Counter({"read": 2 * 5, "finite": 5})
    assert at_the_door["to host"] <= 5 + 5, "data come in once, and each epoch's order"
    waits.clear()
    for _ in range(10):
        model.train_step(X, CLASSES)
    assert not waits - Counter({"to host": 20}), "only host arrays that come in"


def test_steps_of_ones_own_batches_are_one_launch_too(cuda: Make) -> None:
    model = classifier(cuda())
    model.build((6,))
    for _ in range(10):
        model.train_step(X, CLASSES)
    assert counts(model.backend)["graph"] == 8


# -- numbers that are known ahead


def losses_of(backend: Backend, optimizer: Any, change: Callable[[nnxp.Model, int], None], steps: int) -> list[float]:
    model = classifier(backend, optimizer)
    model.build((6,))
    found = []
    for step in range(steps):
        change(model, step)
        found.append(model.train_step(X, CLASSES))
    return [float(loss) for loss in found]  # read at the end: no later step may have changed them


def _halves(model: nnxp.Model, step: int) -> None:
    if step in (7, 70):
        model.learning_rate_factor = model.learning_rate_factor / 2


def _nothing(model: nnxp.Model, step: int) -> None:
    pass


@pytest.mark.parametrize("change", [_nothing, _halves])
def test_numbers_of_later_steps_are_those_of_their_step(cuda: Make, change: Callable[[nnxp.Model, int], None]) -> None:
    optimizer = optimizers.Adam(schedules.CosineDecay(0.02, 100))
    reference = nnxp.get_backend("numpy", kernels="reference", dtype="float64")
    expected = losses_of(reference, optimizer, change, 2 * ROWS + 9)
    np.testing.assert_allclose(losses_of(cuda(dtype="float64"), optimizer, change, 2 * ROWS + 9), expected, rtol=1e-10)


def test_a_rate_that_cannot_be_foreseen_is_asked_in_time(cuda: Make) -> None:
    def rate(step: int) -> float:
        if step >= limit:
            raise RuntimeError("not so far")
        return 0.01

    limit = 5
    model = classifier(cuda(), optimizers.SGD(rate))
    model.build((6,))
    for step in range(20):
        limit = step + 3
        model.train_step(X, CLASSES)
    limit = model.step
    with pytest.raises(RuntimeError, match="not so far"):
        model.train_step(X, CLASSES)


def test_a_rate_that_is_no_function_of_the_step_is_read_each_time(cuda: Make) -> None:
    given: list[float] = []

    def rate(step: int) -> float:
        given.append(0.001 * (len(given) + 1))
        return given[-1]

    model = nnxp.Model(
        [layers.Dense(1)], loss=losses.MeanSquaredError(), optimizer=optimizers.SGD(rate), backend=cuda()
    )
    model.build((1,))
    x, y = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
    for _ in range(6):
        asked, before = len(given), float(model.predict(x)[0, 0])
        model.train_step(x, y)
        moved = before - float(model.predict(x)[0, 0])  # by η·2y for the weight, and as much for the bias
        assert moved == pytest.approx(given[asked] * 4 * before, rel=1e-4)


def test_a_step_that_was_broken_off_leaves_no_trace_in_the_next(cuda: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [classifier(cuda(dtype="float64"), optimizers.Adam(schedules.CosineDecay(0.02, 50))) for _ in range(2)]
    for model in models:
        model.build((6,))
        for _ in range(5):
            model.train_step(X, CLASSES)
    broken, whole = models
    (step,) = [call for call in _calls(broken) if isinstance(call, Step)]
    monkeypatch.setattr(step._agenda, "advance", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        broken.train_step(X, CLASSES)
    monkeypatch.undo()
    broken.engine.restore(whole.engine.snapshot())  # the update itself was done; the count was not
    for _ in range(5):
        assert float(broken.train_step(X, CLASSES)) == float(whole.train_step(X, CLASSES))


def _interrupt() -> None:
    raise KeyboardInterrupt


# -- batches


def test_each_batch_is_read_wherever_it_lies(cuda: Make) -> None:
    rng = np.random.default_rng(3)
    batches = [(rng.standard_normal((20, 6)).astype(np.float32), rng.integers(0, 3, 20)) for _ in range(12)]
    found = []
    for backend in (cuda(), nnxp.get_backend("numpy", kernels="reference")):
        model = classifier(backend)
        model.build((6,))
        found.append([float(model.train_step(x.copy(), y.copy())) for x, y in batches])
    np.testing.assert_allclose(*found, rtol=1e-4)
    assert len(set(found[0])) == len(batches)


@pytest.mark.parametrize("order", ["aa ab bc", "aa bb bb ac", "ab cc ca ac", "ab ba ab bc", "ab ab ba ba ab"])
def test_arrays_that_change_their_parts_are_told_apart(cuda: Make, order: str) -> None:
    """The same array as x and as y, and later as one of them."""
    found = []
    for backend in (cuda(dtype="float64"), nnxp.get_backend("numpy", kernels="reference", dtype="float64")):
        rng = np.random.default_rng(3)
        arrays = {name: backend.asarray(rng.standard_normal((20, 6))) for name in "abc"}
        network = [layers.Dense(8), layers.Tanh(), layers.Dense(6)]
        model = nnxp.Model(network, loss=losses.MeanSquaredError(), optimizer=optimizers.SGD(0.5), backend=backend)
        found.append([float(model.train_step(arrays[x], arrays[y])) for x, y in order.split() * 2])
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_parameters_as_a_batch_are_not_taken_for_the_next_batch(cuda: Make) -> None:
    found = []
    for backend in (cuda(dtype="float64"), nnxp.get_backend("numpy", kernels="reference", dtype="float64")):
        model = nnxp.Model(
            [layers.Dense(6), layers.Tanh(), layers.Dense(6)],
            loss=losses.MeanSquaredError(),
            optimizer=optimizers.SGD(0.1),
            backend=backend,
        )
        model.build((6,))
        y = backend.asarray(np.eye(6))
        batches = [model.layers[0].weights, backend.asarray(X[:6].copy()), backend.asarray(X[6:12].copy())]
        found.append([float(model.train_step(x, y)) for x in batches])
    np.testing.assert_allclose(*found, rtol=1e-9)


@dataclass(frozen=True)
class _OfTruths(losses.MeanSquaredError):
    def check(self, y: Any, expected: tuple[int, ...], backend: Backend, *, values: bool) -> Any:
        return backend.asarray(y)


@pytest.mark.parametrize("shuffle", [False, True])
def test_rows_that_the_kernel_cannot_gather_are_gathered_without_it(cuda: Make, shuffle: bool) -> None:
    """Two truth values are two bytes, and the kernel moves four at a time."""
    found = []
    for backend in (cuda(dtype="float64"), nnxp.get_backend("numpy", kernels="reference", dtype="float64")):
        model = nnxp.Model([layers.Dense(2)], loss=_OfTruths(), optimizer=optimizers.SGD(0.1), backend=backend)
        found.append(model.fit(X, X[:, :2] > 0, epochs=3, batch_size=32, shuffle=shuffle, progress="off")["loss"])
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_a_fit_after_steps_of_ones_own_gathers_before_it_reads(cuda: Make) -> None:
    found = []
    for backend in (cuda(dtype="float64"), nnxp.get_backend("numpy", kernels="reference", dtype="float64")):
        model = classifier(backend)
        model.metrics = model._metrics = ()  # so that both have one plan
        model.build((6,))
        steps = []
        for _ in range(2):
            steps += [float(model.train_step(X[:30].copy(), CLASSES[:30])) for _ in range(4)]
            steps += model.fit(X, CLASSES, epochs=2, batch_size=30, progress="off")["loss"]
        found.append(steps)
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_a_batch_that_was_changed_in_place_is_read_anew(cuda: Make) -> None:
    model = classifier(cuda())
    x = model.backend.asarray(X.copy())
    model.build((6,))
    for _ in range(4):
        model.train_step(x, CLASSES)
    expected = model.evaluate(x * 2, CLASSES)["loss"]
    x *= 2
    assert float(model.train_step(x, CLASSES)) == pytest.approx(expected, rel=1e-5)


def test_a_fit_lets_go_of_its_data(cuda: Make) -> None:
    model = classifier(cuda())
    x = model.backend.asarray(X.copy())
    model.fit(x, CLASSES, epochs=2, batch_size=32, progress="off")
    gone = weakref.ref(x)
    del x
    assert gone() is None


def test_samples_count_by_their_weights(cuda: Make) -> None:
    weights = np.linspace(0.1, 2, 150).astype(np.float32)
    found = []
    for backend in (cuda(dtype="float64"), nnxp.get_backend("numpy", kernels="reference", dtype="float64")):
        model = fitted(classifier, CLASSES, backend, sample_weight=weights)
        found.append(model.history["loss"])
    np.testing.assert_allclose(*found, rtol=1e-9)


# -- metrics


def test_metrics_counted_within_the_step_are_those_of_the_predictions(cuda: Make) -> None:
    several = ["accuracy", metrics.TopKAccuracy(2), metrics.MeanAbsoluteError()]
    y = np.eye(3, dtype=np.float32)[CLASSES]
    found = []
    for backend in (cuda(), nnxp.get_backend("numpy", kernels="reference")):
        network = [layers.Dense(8), layers.Tanh(), layers.Dense(3), layers.Softmax()]
        parts = {"loss": losses.CategoricalCrossentropy(), "optimizer": optimizers.SGD(0.1)}
        model = nnxp.Model(network, **parts, metrics=several, backend=backend)
        history = model.fit(X, y, epochs=4, batch_size=32, validation_data=(X, y), progress="off")
        found.append(history)
    for key in found[0]:
        np.testing.assert_allclose(found[0][key], found[1][key], rtol=1e-5, err_msg=key)


class _Again(metrics.CategoricalAccuracy):
    @property
    def name(self) -> str:
        return "again"


def test_two_metrics_that_count_the_same_both_have_their_counts(cuda: Make) -> None:
    model = classifier(cuda())
    model.metrics = model._metrics = (metrics.CategoricalAccuracy(), _Again())
    history = model.fit(X, CLASSES, epochs=2, batch_size=32, progress="off")
    assert history["again"] == history["accuracy"]
    assert history["again"] == classifier(cuda()).fit(X, CLASSES, epochs=2, batch_size=32, progress="off")["accuracy"]


# -- what cannot be captured


def test_a_capture_that_fails_is_said_once_and_training_goes_on(cuda: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = cuda()

    def refuse(runs: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(backend.ops.linker._machine, "capture", refuse)
    model = classifier(backend)
    model.build((6,))
    model.train_step(X, CLASSES)
    with pytest.warns(PerformanceWarning, match="could not be captured .*not permitted.* graph=False"):
        model.train_step(X, CLASSES)
    found = [float(model.train_step(X, CLASSES)) for _ in range(5)]  # warnings are errors here
    other = classifier(cuda())
    other.build((6,))
    assert found == [float(other.train_step(X, CLASSES)) for _ in range(7)][2:]


class _Half(layers.Layer):
    """y = x / 2, as a layer of one's own."""

    def build(self, input_shape: tuple[int, ...], backend: Backend) -> tuple[int, ...]:
        return input_shape

    def forward(self, x: Any, *, training: bool = False) -> Any:
        return x / 2

    def backward(self, dy: Any) -> Any:
        return dy / 2


@pytest.mark.parametrize("layer", [_Half, layers.BatchNorm])
def test_a_network_with_an_op_without_kernel_runs_one_by_one(cuda: Make, layer: Callable[[], layers.Layer]) -> None:
    found = []
    for backend in (cuda(dtype="float64"), nnxp.get_backend("numpy", kernels="reference", dtype="float64")):
        network = [layers.Dense(8), layer(), layers.ReLU(), layers.Dense(3), layers.Softmax()]
        parts = {"loss": losses.CategoricalCrossentropy(), "optimizer": optimizers.Adam(0.01)}
        model = nnxp.Model(network, **parts, metrics=["accuracy"], backend=backend)
        found.append(model.fit(X, CLASSES, epochs=3, batch_size=32, progress="off"))
        if backend.kernels == "cuda":
            assert counts(backend)["graph"] == 0
    for key in found[0]:
        np.testing.assert_allclose(found[0][key], found[1][key], rtol=1e-9)


# -- memory


def test_nothing_is_read_that_the_step_did_not_write(cuda: Make) -> None:
    """The workspace, and the gradients, are poisoned before each step."""
    clean, poisoned = (classifier(cuda(), drop=0.2, rate=0.01) for _ in range(2))
    for model in (clean, poisoned):
        model.build((6,))
    for _ in range(6):
        expected = float(clean.train_step(X, CLASSES))
        assert float(poisoned.train_step(X, CLASSES)) == expected
        plan = poisoned.engine.plan(TRAIN, X, CLASSES)
        assert plan.workspace is not None
        plan.workspace.buffer.flat[...] = np.nan
        for array in poisoned.engine.gradients.values():
            array[...] = np.nan


def test_a_model_moves_there_and_back(cuda: Make) -> None:
    x, y = data.spiral(30, 3)
    model = classifier(nnxp.get_backend("numpy"))
    other = classifier(nnxp.get_backend("numpy"))
    for each in (model, other):
        each.fit(x, y, epochs=3, batch_size=16, progress="off")
    model.to(cuda())
    model.fit(x, y, epochs=3, batch_size=16, progress="off")
    assert counts(model.backend)["graph"] > 0
    model.to("numpy")
    for each in (model, other):
        each.fit(x, y, epochs=3 if each is model else 6, batch_size=16, progress="off")
    for key, array in other.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[key], array, rtol=2e-3, atol=2e-4)
