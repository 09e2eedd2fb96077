"""Steady state: the same step again and again allocates nothing, asks nothing, and is the step of the plain path.

The networks are small relatives of those that the benchmark times.
"""

import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import array_api_compat
import numpy as np
import pytest

import nnxp
from nnxp.backend import _arrays
from nnxp.errors import BackendError
from nnxp.layers import Conv2D, Dense, GlobalAveragePool2D, Layer, MaxPool2D, ReLU, Sigmoid, Softmax, Tanh
from nnxp.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, MeanSquaredError
from nnxp.metrics import RegressionAccuracy
from nnxp.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from nnxp.regularizers import L1, L2
from nnxp.schedules import InverseTimeDecay
from nnxp.training.engine import EVALUATE, PREDICT

CLASSES, BINARY, SQUARES = CategoricalCrossentropy(), BinaryCrossentropy(), MeanSquaredError()
ADAM = Adam(0.01)
MIXED = {"weight_regularizer": L2(5e-3), "bias_regularizer": L1(5e-3)}
BOTH = {"weight_regularizer": L2(5e-3), "bias_regularizer": L2(5e-3)}


@dataclass(frozen=True)
class Net:
    """A network, what it learns from, and how."""

    layers: Callable[[], list[Layer]]
    loss: Loss
    inputs: int | tuple[int, ...]
    outputs: int
    optimizer: Optimizer = ADAM
    rows: int = 600

    @property
    def sample(self) -> tuple[int, ...]:
        return self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)

    def model(self, *, planned: bool = True, **options: Any) -> nnxp.Model:
        metrics = [RegressionAccuracy(1.0)] if self.loss is SQUARES else ["accuracy"]
        model = nnxp.Model(self.layers(), loss=self.loss, optimizer=self.optimizer, metrics=metrics, **options)
        model.build(self.sample)
        model.engine.planned = planned
        return model

    def data(self, rows: int | None = None, *, seed: int = 0, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
        random, rows = np.random.default_rng(seed), rows or self.rows
        x = random.standard_normal((rows, *self.sample)).astype(dtype)
        if self.loss is CLASSES:
            return x, random.integers(0, self.outputs, rows)
        y = random.integers(0, 2, (rows, self.outputs)) if self.loss is BINARY else random.normal(size=(rows, 1))
        return x, y.astype(dtype)


NETS = {
    "narrow, penalties": Net(
        lambda: [Dense(64, **BOTH), ReLU(), Dense(3), Softmax()],
        CLASSES, 2, 3, Adam(InverseTimeDecay(0.02, 5e-7)),
    ),
    "penalties of two kinds": Net(
        lambda: [Dense(32, **MIXED), ReLU(), Dense(3, **BOTH), Softmax()],
        CLASSES, 2, 3, SGD(0.1, momentum=0.9),
    ),
    "wide": Net(lambda: [Dense(96), ReLU(), Dense(96), ReLU(), Dense(10), Softmax()], CLASSES, 100, 10),
    "regression": Net(lambda: [Dense(64), ReLU(), Dense(64), ReLU(), Dense(1)], SQUARES, 1, 1),
    "yes or no": Net(lambda: [Dense(64, **BOTH), ReLU(), Dense(1), Sigmoid()], BINARY, 2, 1, SGD(0.5)),
    "tanh": Net(lambda: [Dense(32), Tanh(), Dense(32), Tanh(), Dense(4), Softmax()], CLASSES, 8, 4, RMSprop(0.01)),
    "wide, several yes or no": Net(
        lambda: [Dense(64), Sigmoid(), Dense(20), Sigmoid()], BINARY, 40, 20, Adagrad(0.05, clip_value=0.5)
    ),
    "decaying, averaging": Net(
        lambda: [Dense(64), ReLU(), Dense(3), Softmax()], CLASSES, 2, 3, AdamW(0.01, weight_decay=0.1, ema=0.9)
    ),
    "images": Net(
        lambda: [
            Conv2D(6, 3, padding="same"), ReLU(), MaxPool2D(), Conv2D(8, 2), ReLU(), GlobalAveragePool2D(),
            Dense(10), Softmax(),
        ],
        CLASSES, (8, 8, 1), 10, rows=100,
    ),
    "limited": Net(lambda: [Dense(64), ReLU(), Dense(3), Softmax()], CLASSES, 2, 3, SGD(0.5, clip_norm=0.5)),
}  # fmt: skip

nets = pytest.mark.parametrize("net", NETS.values(), ids=list(NETS))
FEW = ["narrow, penalties", "wide", "regression", "tanh", "images"]
few_nets = pytest.mark.parametrize("net", [NETS[name] for name in FEW], ids=FEW)


@pytest.fixture(params=["numpy", "numba"])
def kernels(request: pytest.FixtureRequest) -> nnxp.Backend:
    """NumPy with each set of kernels that is bound to memory."""
    try:
        return nnxp.get_backend("numpy", kernels=request.param)
    except BackendError as error:
        pytest.skip(str(error))


dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

STEPS = 1e-4
"""Tolerance, relative and absolute, between the planned path and the plain one in float32: products with a column of
ones and sums by columns round in another order, by a few ULP (1e-7) a step, and a dozen steps carry that on. In float64
it is as many of its ULP."""


def tolerance(dtype: Any) -> dict[str, float]:
    limit = STEPS * float(np.finfo(dtype).eps / np.finfo("float32").eps)
    return {"rtol": limit, "atol": limit}


# -- what is allocated


LITTLE = 3072
"""Bytes of Python's objects, of NumPy's blocks and of the loss. The smallest activations here are 2400 bytes, those of
a hidden layer 75 KB and more."""


@nets
@dtypes
@pytest.mark.parametrize("what", ["train", "train with metrics", "evaluate", "predict"])
def test_a_step_allocates_no_data(net, what, dtype, kernels, allocated):
    model, (x, y) = net.model(backend=kernels, dtype=dtype), net.data(dtype=dtype)
    engine = model.engine
    steps = {
        "train": lambda: model.train_step(x, y),
        "train with metrics": lambda: engine.train(x, y, predictions=True),
        "evaluate": lambda: engine.run(EVALUATE, x, y),
        "predict": lambda: engine.run(PREDICT, x),
    }
    assert allocated(steps[what]) < LITTLE


def test_what_is_allocated_is_seen(kernels, allocated):
    """The plain path shows what the measure is worth: activations of 600 rows."""
    net = NETS["narrow, penalties"]
    model, (x, y) = net.model(backend=kernels, planned=False), net.data()
    assert allocated(lambda: model.train_step(x, y)) > 600 * 64 * 4


@few_nets
def test_steps_hold_on_to_nothing(net, kernels):
    """Ten steps later as many bytes are held as before; other threads may hold some for a while, but not each time."""
    model, (x, y) = net.model(backend=kernels), net.data()

    def held() -> int:
        for _ in range(10):
            model.train_step(x, y)
        gc.collect(0)  # the whole heap takes a second here, and a step leaves nothing that is old
        return tracemalloc.get_traced_memory()[0]

    held()
    tracemalloc.start()
    try:
        levels = [held() for _ in range(4)]
        assert min(after - before for before, after in pairwise(levels)) < LITTLE
    finally:
        tracemalloc.stop()


@few_nets
def test_a_step_with_new_arrays_allocates_no_activations(net, kernels, allocated):
    """Other arrays of the same look: what reads them is bound anew, and makes work arrays at most as large as the
    predictions (four of them) and the labels, but no hidden layer."""
    model = net.model(backend=kernels)
    batches = iter([net.data(seed=seed) for seed in range(20)])
    limit = LITTLE + net.rows * (4 * net.outputs + 12) * 8
    assert allocated(lambda: model.train_step(*next(batches))) < limit


class Noting(Layer):
    """A user's own layer that remembers its arrays without holding on to them."""

    def __init__(self):
        self.seen = []

    def forward(self, x, *, training=False):
        return self._note(x + 1)

    def backward(self, dy):
        return self._note(dy * 1)

    def _note(self, a):
        self.seen.append(weakref.ref(a))
        return a


def test_what_an_own_layer_made_is_let_go(kernels):
    """An array that a plan did not place is gone after the step."""
    layer = Noting()
    net = Net(lambda: [Dense(8), Tanh(), layer, Dense(3), Softmax()], CLASSES, 2, 3)
    model, (x, y) = net.model(backend=kernels), net.data(20)
    for _ in range(3):
        model.train_step(x, y)
    gc.collect()
    assert len(layer.seen) == 6
    assert not any(reference() is not None for reference in layer.seen)


# -- what is asked


@few_nets
def test_a_step_asks_for_no_namespace(net, kernels, monkeypatch):
    """What library an array belongs to is asked at the door, and a batch that looks like the last one passes it."""
    model, (x, y) = net.model(backend=kernels), net.data()
    for _ in range(2):
        model.train_step(x, y)
    asked = []
    for module, name in ((array_api_compat, "array_namespace"), (_arrays, "namespace_of")):
        monkeypatch.setattr(module, name, lambda *arrays, **options: asked.append(arrays))
    for name in ("namespace_of", "to_host"):
        monkeypatch.setattr(nnxp.backend._backend, name, lambda *arrays: asked.append(arrays))
    for _ in range(3):
        model.train_step(x, y)
        model.train_step(x.copy(), y.copy())
        model.engine.run(PREDICT, x)
    assert asked == []


# -- what comes out: whatever is done in between, it is what the plain path says


def both(net: Net, life: Callable[[nnxp.Model], list[Any]], kernels: Any, dtype: str = "float32") -> None:
    """A life of the planned model against that of the plain one."""
    planned, plain = (net.model(backend=kernels, dtype=dtype, planned=p) for p in (True, False))
    for a, b in zip(life(planned), life(plain), strict=True):
        np.testing.assert_allclose(a, b, **tolerance(dtype))
    for (key, a), b in zip(planned.state_dict().items(), plain.state_dict().values(), strict=True):
        np.testing.assert_allclose(a, b, **tolerance(dtype), err_msg=key)


@nets
@dtypes
def test_steps_equal_the_plain_path(net, dtype, kernels):
    x, y = net.data(60, dtype=dtype)
    both(net, lambda model: [float(model.train_step(x, y)) for _ in range(12)], kernels, dtype)


@few_nets
def test_batches_of_many_sizes(net, kernels):
    """More shapes than plans are kept, each twice, and in between one that is asked for again and again."""
    x, y = net.data(60)
    sizes = [60, *range(1, 19), 60, *range(18, 0, -1), 60, 7]

    def life(model: nnxp.Model) -> list[Any]:
        return [float(model.train_step(x[:size], y[:size])) for size in sizes]

    both(net, life, kernels)


@few_nets
def test_evaluation_between_steps(net, kernels):
    """Of the same batch and of others; and a fit with a ragged last batch, validation and shuffling."""
    x, y = net.data(50)
    xv, yv = net.data(30, seed=1)

    def life(model: nnxp.Model) -> list[Any]:
        seen: list[Any] = []
        for _ in range(3):
            seen.append(float(model.train_step(x, y)))
            seen += model.evaluate(x, y).values()
            seen.append(model.predict(xv))
            seen.append(float(model.loss_and_gradients(x, y)[0]))
            seen += model.loss_and_gradients(xv, yv, training=False)[1].values()
            seen += model.evaluate(xv, yv, batch_size=8).values()
        seen += model.fit(x, y, epochs=2, batch_size=16, validation_data=(xv, yv), progress="off").values()
        seen.append(model.predict(x, batch_size=7))
        return seen

    both(net, life, kernels)


def spread(x: np.ndarray) -> np.ndarray:
    """The same values with gaps; what stands in the gaps is no number."""
    wide = np.full((x.shape[0], 2 * x.shape[1] + 3, *x.shape[2:]), np.nan, dtype=x.dtype)
    wide[:, 1 : 2 * x.shape[1] : 2] = x
    return wide[:, 1 : 2 * x.shape[1] : 2]


def by_columns(x: np.ndarray) -> np.ndarray:
    return np.array(x, order="F")


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


WAYS = {
    "slice": lambda x: np.concatenate([x, x])[5 : 5 + len(x)],
    "columns of a wider one": spread,
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "by columns": by_columns,
    "read-only": read_only,
    "unaligned": lambda x: np.frombuffer(b"0" * 4 + x.tobytes(), dtype=np.uint8)[4:].view(x.dtype).reshape(x.shape),
}
"""Ways for the same values to lie in memory."""


@few_nets
@pytest.mark.parametrize("way", WAYS)
def test_arrays_of_any_layout(net, way, kernels):
    """A new array in each step, then the same one again; y too, where it has two axes."""
    x, y = net.data(40)
    lay = WAYS[way]

    def life(model: nnxp.Model) -> list[Any]:
        kept = lay(x), lay(y) if y.ndim == 2 else y
        seen = [model.train_step(lay(x), lay(y) if y.ndim == 2 else y) for _ in range(2)]
        seen += [model.train_step(*kept) for _ in range(2)]
        seen += [model.train_step(x, y), model.train_step(*kept), model.predict(kept[0])]
        return [np.array(a) for a in seen]

    both(net, life, kernels)


HEADS = {
    "softmax": Net(lambda: [Softmax()], CLASSES, 4, 4),
    "sigmoid": Net(lambda: [Sigmoid()], BINARY, 3, 3),
    "activation": Net(lambda: [Tanh()], SQUARES, 1, 1),
}


@pytest.mark.parametrize("net", [*(NETS[name] for name in FEW), *HEADS.values()], ids=[*FEW, *HEADS])
@pytest.mark.parametrize("lay", [np.array, by_columns, spread], ids=["rows", "columns", "gaps"])
def test_the_same_arrays_with_other_contents(net, lay, kernels):
    """A user's own buffer, filled anew for each step: what was bound to it must not keep what stood there."""
    batches = [net.data(30, seed=seed) for seed in range(5)]

    def life(model: nnxp.Model) -> list[Any]:
        x, y, seen = lay(batches[0][0]), batches[0][1].copy(), []
        for new_x, new_y in batches:
            x[...], y[...] = new_x, new_y
            seen += [float(model.train_step(x, y)), np.array(model.predict(x)), *model.evaluate(x, y).values()]
        return seen

    both(net, life, kernels)


@few_nets
def test_the_same_features_with_other_targets(net, kernels):
    """And the same targets with other features: either is bound anew by itself, as it is where all arrays are new."""
    (x, y), (x2, y2) = net.data(30), net.data(30, seed=1)
    batches = [(x, y), (x, y2), (x2, y2), (x2, y), (x, y), (x, y2)]
    new = [(a.copy(), b.copy()) for a, b in batches]
    for planned in (True, False):
        found = [losses(net.model(backend=kernels, planned=planned), part) for part in (batches, new)]
        np.testing.assert_allclose(*found, **tolerance("float32"))


def test_classes_as_labels_and_as_rows_in_turn(kernels):
    """Of one shape of x, and equal in value."""
    net = NETS["narrow, penalties"]
    x, y = net.data(30)
    rows = np.eye(3, dtype="float32")[y]

    def life(model: nnxp.Model) -> list[Any]:
        return [float(model.train_step(x, targets)) for targets in (y, rows, y, y, rows, rows, y)]

    both(net, life, kernels)
    same = net.model(backend=kernels)
    np.testing.assert_allclose(life(net.model(backend=kernels)), losses(same, [(x, y)] * 7), **tolerance("float32"))


class Doubled(Layer):
    """A user's own layer, y = 2·x, whose results lie by columns and are its own arrays."""

    def forward(self, x, *, training=False):
        return np.asfortranarray(2 * x)

    def backward(self, dy):
        return np.asfortranarray(2 * dy)


class Exchanged(Layer):
    """A user's own layer: features in the opposite order, as views with negative strides."""

    def forward(self, x, *, training=False):
        return x[:, ::-1]

    def backward(self, dy):
        return dy[:, ::-1]


@pytest.mark.parametrize("own", [Doubled, Exchanged])
@pytest.mark.parametrize(
    "layers",
    [
        lambda own: [Dense(16, **BOTH), own(), ReLU(), Dense(3), Softmax()],
        lambda own: [Dense(16, **BOTH), ReLU(), own(), Dense(3, **BOTH), Softmax()],
        lambda own: [Dense(16), ReLU(), own(), ReLU(), own(), Tanh(), Dense(3), own(), Softmax()],
        lambda own: [own(), Dense(16, **BOTH), ReLU(), Dense(3), Softmax()],
        lambda own: [own(), ReLU(), Dense(3), Softmax(), own()],
    ],
    ids=["before", "behind", "all over", "first", "last"],
)
def test_an_own_layer_among_them(own, layers, kernels):
    net = Net(lambda: layers(own), CLASSES, 2, 3, SGD(0.05))
    x, y = net.data(40)

    def life(model: nnxp.Model) -> list[Any]:
        seen: list[Any] = []
        for size in (40, 40, 13, 40):
            seen += [float(model.train_step(x[:size], y[:size])), np.array(model.predict(x[:size]))]
        return seen

    both(net, life, kernels)


def test_relu_of_negative_zeros_with_gaps(kernels):
    """The mask of the backward pass reads the sign bit of what relu made, whatever memory x lay in."""

    class Zeros(Layer):
        def forward(self, x, *, training=False):
            return spread(-0.0 * np.abs(x))

        def backward(self, dy):
            self.dy = np.array(dy)
            return dy

    layer = Zeros()
    net = Net(lambda: [Dense(8), layer, ReLU(), Dense(3), Softmax()], CLASSES, 2, 3)
    model, (x, y) = net.model(backend=kernels), net.data(11)
    for _ in range(2):
        model.train_step(x, y)
    np.testing.assert_array_equal(layer.dy, np.zeros((11, 8)))


# -- several models


def losses(model: nnxp.Model, batches: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    return [float(model.train_step(*batch)) for batch in batches]


@few_nets
def test_two_models_in_turn_and_at_once(net, kernels):
    """Each says what it says alone, bit for bit: they share no memory."""
    batches = [[net.data(20 + size, seed=seed) for size in (0, 0, 7, 0)] * 3 for seed in range(2)]
    alone = [losses(net.model(backend=kernels), part) for part in batches]

    first, second = net.model(backend=kernels), net.model(backend=kernels)
    in_turn: list[list[float]] = [[], []]
    for batch in zip(*batches, strict=True):
        for model, part, found in zip((first, second), batch, in_turn, strict=True):
            found += losses(model, [part])
    assert in_turn == alone

    models = [net.model(backend=kernels) for _ in range(2)]
    at_once: list[list[float]] = [[], []]

    def train(index: int) -> None:
        at_once[index] += losses(models[index], batches[index])

    threads = [threading.Thread(target=train, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert at_once == alone


# -- results


@few_nets
def test_results_never_change_afterwards(net, kernels):
    """Each loss is a number of its own, and predictions and gradients are arrays of their own."""
    model, (x, y) = net.model(backend=kernels), net.data(30)
    kept: list[Any] = []
    for _ in range(3):
        kept += [model.train_step(x, y), model.predict(x), model.evaluate(x, y)]
        kept += model.loss_and_gradients(x, y)[1].values()
        kept.append(model.fit(x, y, epochs=2, batch_size=8, progress="off"))
        kept += model.state_dict().values()
    then = [dict(a) if hasattr(a, "items") else np.array(a) for a in kept]
    for size in (30, 8):
        for _ in range(2):
            model.train_step(x[:size] + 1, y[:size])
            model.predict(x[:size] - 1)
            model.evaluate(x[:size] * 2, y[:size])
    model.fit(x, y, batch_size=8, progress="off")
    for a, b in zip(kept, then, strict=True):
        if isinstance(b, dict):
            assert {key: a[key] for key in b} == b
        else:
            np.testing.assert_array_equal(a, b)


@nets
@dtypes
def test_resumed_training_is_the_same_bit_for_bit(net, dtype, kernels, tmp_path):
    """The first step of a plan and its later ones round alike, and nothing of a plan is state: two steps are a step, a
    file, and a step of the model in the file."""
    (x, y), (xv, yv) = net.data(40, dtype=dtype), net.data(40, seed=1, dtype=dtype)
    path = tmp_path / "m.safetensors"
    whole, half = (net.model(backend=kernels, dtype=dtype) for _ in range(2))
    whole.train_step(x, y)
    second = whole.train_step(xv, yv)
    half.train_step(x, y)
    half.save(path)
    rest = nnxp.load(path, backend=nnxp.get_backend("numpy", dtype=dtype, kernels=whole.backend.kernels))
    assert float(rest.train_step(xv, yv)) == float(second)
    for a, b in zip(whole.state_dict().values(), rest.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a, b)


@few_nets
def test_a_step_does_not_depend_on_the_past(net, kernels):
    """From the same parameters and slots the same losses and updates, bit for bit: by an old plan, and by a new one."""
    x, y = net.data(40)
    model = net.model(backend=kernels)
    start = model.engine.snapshot()
    found = []
    for again in range(3):
        if again == 2:
            for rows in range(1, 20):  # so many plans are not kept: the training plan goes
                model.predict(x[:rows])
        model.engine.restore(start)
        found.append([float(model.train_step(x, y)) for _ in range(2)] + [model.engine.parameters.copy()])
    for later in found[1:]:
        assert later[:2] == found[0][:2]
        np.testing.assert_array_equal(later[2], found[0][2])


@pytest.mark.parametrize("kernels", ["numpy", "auto"])
def test_inputs_that_are_their_own_targets(kernels, random):
    """x and y may be one array in some steps and not in others; y is too large to be copied."""
    wide, rows = 300, 120
    batches = []
    for share in (True, False, True, True, False, False, True):
        x = random.standard_normal((rows, wide)).astype("float32")
        batches.append((x, x if share else random.standard_normal((rows, wide)).astype("float32")))
    seen = []
    for planned in (True, False):
        backend = nnxp.get_backend("numpy", kernels=kernels)
        model = nnxp.Model(
            [Dense(20), ReLU(), Dense(wide)],
            loss=MeanSquaredError(),
            optimizer=SGD(0.1),
            backend=backend,
        )
        model.build((wide,))
        model.engine.planned = planned
        steps = [float(model.train_step(*batch)) for batch in batches]
        seen.append([*steps, float(model.evaluate(*batches[0])["loss"]), *model.state_dict().values()])
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # float32 sums of 36,000 terms
