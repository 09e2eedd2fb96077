"""Random search in a model: the better of two parameter sets, chosen by the batch, on every backend alike."""

import numpy as np
import pytest

import nnxp
from nnxp.backend import Purpose
from nnxp.errors import DataError, ShapeError, TrainingError
from nnxp.layers import Dense, Dropout, Layer, Linear, ReLU, Sequential, Softmax, Step, Tanh
from nnxp.losses import CategoricalCrossentropy, MeanSquaredError
from nnxp.optimizers import SGD, Adam, RandomSearch
from nnxp.regularizers import L1, L1L2, L2

ROWS, BATCH, INPUTS = 10, 4, 3
SCALE = 0.05
LABELS = np.array([0, 2, 1, 1, 0, 2, 2, 0, 1, 0])


class Affine(Layer):
    """Dense once more, without a gradient: nothing here may ask for one."""

    def __init__(self, units):
        self.units = units

    def build(self, input_shape, backend):
        self.weights = backend.asarray(np.linspace(-1, 1, input_shape[0] * self.units).reshape(-1, self.units))
        self.biases = backend.zeros(self.units)
        return (self.units,)

    def forward(self, x, *, training=False):
        return x @ self.weights + self.biases

    def backward(self, dy):
        raise NotImplementedError

    def parameters(self):
        return {"weights": self.weights, "biases": self.biases}


class Mean(Layer):
    """Takes off a running mean, which it remembers; fails in the forward of number ``failing``."""

    def __init__(self, failing=None):
        self.failing, self.forwards = failing, 0

    def build(self, input_shape, backend):
        self.xp = backend.xp
        self.mean = backend.zeros(input_shape[0])
        return input_shape

    def forward(self, x, *, training=False):
        self.forwards += 1
        if self.forwards == self.failing:
            raise RuntimeError("stumbled")
        if training:
            self.mean = 0.5 * self.mean + 0.5 * self.xp.mean(x, axis=0)
        return x - self.mean

    def backward(self, dy):
        return dy

    def buffers(self):
        return {"mean": self.mean}


NETWORKS = {
    "plain": lambda: [Dense(4), Tanh(), Dense(3)],
    "dropout": lambda: [Dropout(0.2), Dense(4), ReLU(), Dropout(0.5), Dense(3)],
    "penalties": lambda: [
        Dense(4, weight_regularizer=L2(0.1), bias_regularizer=L1(0.1)),
        Tanh(),
        Dense(3, weight_regularizer=L1L2(0.1, 0.2)),
    ],
    "nested": lambda: [Sequential([Dense(4), Sequential([Tanh(), Dropout(0.3)])]), Dense(3)],
    "step": lambda: [Dense(8), Step(), Dense(3)],
    "own": lambda: [Dense(4), Tanh(), Affine(3)],
    "own first": lambda: [Affine(4), Tanh(), Dense(3)],
    "remembers": lambda: [Dense(4), Mean(), Tanh(), Dense(3)],
}


@pytest.fixture
def x(array, random):
    return array(random.normal(size=(ROWS, INPUTS)))


@pytest.fixture
def y(array, random):
    return array(random.normal(size=(ROWS, 3)) + 1)


def network(backend, layers="plain", *, optimizer=None, planned=True, **options):
    layers = NETWORKS[layers]() if isinstance(layers, str) else layers
    optimizer = optimizer or RandomSearch(SCALE)
    model = nnxp.Model(layers, loss=MeanSquaredError(), optimizer=optimizer, backend=backend, **options)
    model.build((INPUTS,))
    model.engine.planned = planned
    return model


def classifier(backend, **options):
    """The known head, whose loss is computed from its input."""
    layers = [Dense(4), Tanh(), Dropout(0.3), Dense(3), Softmax()]
    options = {"loss": CategoricalCrossentropy(), "optimizer": RandomSearch(SCALE), "metrics": ["accuracy"]} | options
    return nnxp.Model(layers, backend=backend, **options)


def steps(model, x, y, count):
    return [float(model.train_step(x, y)) for _ in range(count)]


def fit(model, x, y, epochs, **options):
    return model.fit(x, y, epochs=epochs, **{"batch_size": BATCH, "progress": "off"} | options)


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def assert_close(a, b, tolerance):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=tolerance, atol=tolerance, err_msg=key)


def eps(backend):
    return float(backend.xp.finfo(backend.dtype).eps)


def elsewhere(backend):
    """The name of another backend that is always there."""
    return "array_api_strict" if backend.name == "numpy" else "numpy"


def still_loss(model, x, y):
    """The training loss at the model's step; nothing changes, and no gradient is asked for."""
    (mode,) = {mode for mode, *_ in model.engine._plans if mode.training and not mode.predictions}
    remembered = model.engine.remembered()
    loss = float(model.engine.run(mode, x, y)["loss"])
    model.engine.remember(remembered)
    return loss


# -- an update


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_better_of_two_is_kept(name, planned, typed_backend, x, y):
    """An update by hand: a candidate of w + s·n with the noise of (seed, step, parameter), taken where its loss with
    the same masks, penalties and memory is lower. Twelve updates see both outcomes. w + s·n rounds three times."""
    model = network(typed_backend, name, planned=planned, seed=7)
    parameters = [key for key in model.state_dict() if not key.endswith("mean")]
    x, y = typed_backend.asarray(x), typed_backend.asarray(y)
    model.train_step(x, y)
    taken = set()
    for step in range(1, 13):
        before = model.state_dict()
        draws = {
            key: model.backend.rng.generator(Purpose.SEARCH, step=step, item=item).standard_normal(before[key].shape)
            for item, key in enumerate(model.engine.parameters)
        }
        assert sorted(draws) == sorted(parameters)
        candidate = before | {key: before[key] + SCALE * draws[key] for key in parameters}
        model.load_state_dict(candidate)
        candidate_loss = still_loss(model, x, y)
        model.load_state_dict(before)
        loss = still_loss(model, x, y)
        assert float(model.train_step(x, y)) == pytest.approx(loss, rel=4 * eps(typed_backend))
        better = candidate_loss < loss
        taken.add(better)
        after, wanted = model.state_dict(), candidate if better else before
        assert_close(
            {key: after[key] for key in parameters}, {key: wanted[key] for key in parameters}, 4 * eps(typed_backend)
        )
    assert taken == {True, False}


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("name", ["plain", "penalties", "step", "own"])
def test_the_loss_of_one_batch_never_rises(name, planned, backend, x, y):
    """Two runs of the same plan give the same bits, so there is no tolerance, but that the first goes without buffers:
    a few ULP. It falls, too: through a step, where gradients learn nothing."""
    model = network(backend, name, planned=planned)
    losses = steps(model, x, y, 200)
    assert np.diff(losses).max() <= 4 * eps(backend) * losses[0]
    assert np.diff(losses[2:]).max() <= 0
    assert losses[-1] < 0.7 * losses[0]


def test_a_step_returns_the_loss_before_the_update(backend, x, y):
    """The loss of `loss_and_gradients`, which is computed in another plan: a few ULP."""
    model = network(backend)
    for _ in range(5):
        expected = float(model.loss_and_gradients(x, y)[0])
        loss = model.train_step(x, y)
        assert tuple(loss.shape) == ()
        assert loss.dtype == backend.dtype
        assert float(loss) == pytest.approx(expected, rel=4 * eps(backend))
    assert model.step == 5


def test_a_returned_loss_stays(backend, x, y):
    model = network(backend)
    losses = [model.train_step(x, y) for _ in range(20)]
    assert [float(loss) for loss in losses] == steps(network(backend), x, y, 20)


def test_what_layers_remember_is_of_the_parameters_before(backend, x, y):
    """One update remembers once, of the batch that the kept loss is from, as an update by gradients does."""
    searching, still = network(backend, "remembers"), network(backend, "remembers", optimizer=SGD(1e-30))
    for _ in range(3):
        still.load_state_dict(searching.state_dict())
        assert float(searching.train_step(x, y)) == pytest.approx(float(still.train_step(x, y)), rel=4 * eps(backend))
        np.testing.assert_allclose(
            searching.state_dict()["1.mean"], still.state_dict()["1.mean"], rtol=0, atol=4 * eps(backend)
        )


@pytest.mark.parametrize("failing", [3, 4])
def test_an_error_in_a_forward_leaves_the_model(backend, x, y, failing):
    """In the second update: in the candidate's forward, and in the one of the parameters before it."""
    layer = Mean(failing)
    model = network(backend, [Dense(4), layer, Dense(3)])
    model.train_step(x, y)
    before = model.state_dict()
    with pytest.raises(RuntimeError, match="stumbled"):
        model.train_step(x, y)
    assert_same(model.state_dict(), before)
    assert model.step == 1


def test_no_gradient_is_computed(backend, x, y):
    model = network(backend)
    steps(model, x, y, 3)
    assert not any(mode.gradients for mode, *_ in model.engine._plans)
    np.testing.assert_array_equal(backend.to_numpy(model.engine.gradients.flat), 0)


def test_padding_stays_zero(backend, x, y):
    """12 + 4 weights fill a line of 64 bytes; 12 + 3 leave a gap."""
    model = network(backend)
    steps(model, x, y, 20)
    flat = backend.to_numpy(model.engine.parameters.flat)
    for place in model.engine.parameters.layout.places.values():
        assert np.any(flat[place.start : place.stop] != 0)
        flat[place.start : place.stop] = 0
    assert flat.size > model.engine.parameters.layout.count
    np.testing.assert_array_equal(flat, 0)


def test_a_network_without_parameters(backend, x, y):
    model = network(backend, [Linear()])
    losses = steps(model, x, y, 3)
    assert losses[0] == losses[1] == losses[2]
    assert model.step == 3


# -- the same everywhere


@pytest.mark.parametrize("name", ["plain", "dropout", "penalties"])
def test_every_backend_finds_the_same(name, typed_backend, x, y):
    """Each update adds s·n with one rounding or adds nothing, and twenty losses here differ by more than rounding."""
    dtype = str(typed_backend.dtype).rsplit(".", 1)[-1]
    host = typed_backend.to_numpy(x), typed_backend.to_numpy(y)
    here, there = network(typed_backend, name, seed=3), network("numpy", name, seed=3, dtype=dtype)
    np.testing.assert_allclose(steps(here, *host, 20), steps(there, *host, 20), rtol=40 * eps(typed_backend))
    assert_close(here.state_dict(), there.state_dict(), 20 * eps(typed_backend))
    assert np.any(here.state_dict()["1.weights" if name == "dropout" else "0.weights"] != 0)


def test_the_draws_do_not_know_the_dtype(make_backend, random):
    """In float32 and in float64 the noise is the same, but for the cast."""
    flats = []
    for dtype in ("float32", "float64"):
        model = network(make_backend(dtype=dtype, seed=3))
        flats.append({key: model.backend.to_numpy(a) for key, a in model.engine._noise().items()})
    assert_close(*flats, 1e-7)  # half an ULP of float32


def test_draws_differ_by_seed_step_and_parameter(backend):
    def noise(seed, step):
        model = network(backend, [Dense(3), Dense(3)], seed=seed)
        model.engine.step = step
        return {key: backend.to_numpy(a) for key, a in model.engine._noise().items()}

    first = noise(1, 0)
    assert_same(first, noise(1, 0))
    others = [noise(2, 0), noise(1, 1)]
    for key, values in first.items():
        for other in others:
            assert not np.any(values == other[key])
    assert not np.any(first["0.weights"] == first["1.weights"])
    assert not np.any(first["0.biases"] == first["0.weights"][0])


def test_an_own_layer_is_searched_like_a_built_in_one(backend, x, y):
    ours, theirs = network(backend, [Dense(4), Affine(3)]), network(backend, [Dense(4), Dense(3)])
    theirs.load_state_dict(ours.state_dict())
    # Sums in another order: a few ULP of the loss; what is added to the parameters is the same.
    np.testing.assert_allclose(steps(ours, x, y, 20), steps(theirs, x, y, 20), rtol=1e-6)
    assert_close(ours.state_dict(), theirs.state_dict(), 1e-6)
    for name, array in ours.layers[1].parameters().items():
        np.testing.assert_array_equal(backend.to_numpy(array), ours.state_dict()["1." + name])


# -- in a training


def test_fit_takes_mini_batches(backend, x, y):
    """The batches of a training are updates, the ragged one too; each compares its losses on its own rows."""
    fitted, stepped = network(backend), network(backend)
    history = fit(fitted, x, y, 3, shuffle=False)
    for epoch in range(3):
        losses = [float(stepped.train_step(x[part, ...], y[part, ...])) for part in map(slice, (0, 4, 8), (4, 8, 10))]
        assert history["loss"][epoch] == pytest.approx(np.average(losses, weights=[4, 4, 2]), rel=1e-12)
    assert_same(fitted.state_dict(), stepped.state_dict())
    assert fitted.step == 9


def test_metrics_see_the_predictions_before_the_update(backend, x):
    """Not those of the candidate, which may be as good as any."""
    model = nnxp.Model(
        [Dense(4), Tanh(), Dense(3), Softmax()],
        loss=CategoricalCrossentropy(),
        optimizer=RandomSearch(0.5),
        metrics=["accuracy"],
        backend=backend,
    )
    model.build((INPUTS,))
    seen = set()
    for _ in range(12):
        before = model.evaluate(x, LABELS)
        history = fit(model, x, LABELS, 1, batch_size=None)
        assert history["accuracy"] == [before["accuracy"]]
        assert history["loss"] == pytest.approx([before["loss"]], rel=8 * eps(backend))  # another plan's rounding
        seen.add(before["accuracy"])
    assert len(seen) > 1


def test_metrics_change_nothing(backend, x):
    """With predictions and without, it is the same search."""
    watched, alone = classifier(backend), classifier(backend, metrics=[])
    assert fit(watched, x, LABELS, 3, validation_data=(x, LABELS))["loss"] == fit(alone, x, LABELS, 3)["loss"]
    assert_same(watched.state_dict(), alone.state_dict())


@pytest.mark.parametrize("name", NETWORKS)
def test_planned_equals_unplanned(name, donating_backend, backend, x, y):
    """With donated buffers honoured, dropped and poisoned; fused kernels round otherwise, the search adds the same."""
    planned, plain = network(donating_backend, name), network(backend, name, planned=False)
    histories = [fit(model, x, y, 3) for model in (planned, plain)]
    tolerance = 40 * eps(backend)
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=tolerance)
    assert_close(planned.state_dict(), plain.state_dict(), tolerance)


def test_training_resumes_bit_for_bit(backend, x, tmp_path):
    whole, half = classifier(backend, seed=11), classifier(backend, seed=11)
    expected = fit(whole, x, LABELS, 4)
    fit(half, x, LABELS, 2)
    half.save(tmp_path / "m.safetensors")
    back = nnxp.load(tmp_path / "m.safetensors", backend=backend)
    assert back.optimizer == RandomSearch(SCALE)
    assert fit(back, x, LABELS, 2)["loss"] == expected["loss"][2:]
    assert_same(back.state_dict(), whole.state_dict())
    assert back.step == whole.step == 12


def test_moved_and_back_continues_bit_for_bit(backend, x, y):
    stayed, moved = network(backend), network(backend)
    for model in (stayed, moved):
        steps(model, x, y, 3)
    moved.to(elsewhere(backend)).to(backend)
    assert steps(moved, x, y, 5) == steps(stayed, x, y, 5)
    assert_same(moved.state_dict(), stayed.state_dict())


def test_moved_elsewhere_continues_closely(backend, x, y):
    """The noise is the same there; the losses differ by rounding."""
    stayed, moved = network(backend), network(backend)
    for model in (stayed, moved):
        steps(model, x, y, 3)
    moved.to(elsewhere(backend))
    host = backend.to_numpy(x), backend.to_numpy(y)
    np.testing.assert_allclose(steps(moved, *host, 5), steps(stayed, x, y, 5), rtol=1e-6)
    assert_close(moved.state_dict(), stayed.state_dict(), 1e-6)


def test_optimizers_may_take_turns(backend, x, y):
    """What search finds, gradients go on from, and the other way round; each plan sees the parameters of now."""
    model = network(backend)
    losses = []
    for optimizer in (RandomSearch(SCALE), Adam(0.05), RandomSearch(SCALE), SGD(0.05), RandomSearch(SCALE)):
        model.optimizer = optimizer
        losses += steps(model, x, y, 20)
        assert losses[-1] == pytest.approx(float(model.loss_and_gradients(x, y)[0]), rel=0.5)
    assert losses[-1] < 0.5 * losses[0]
    assert model.step == 100


def test_divergence_gives_advice_that_helps(backend, x, y):
    """There is no rate to lower and no gradient to clip. 10³⁰ is a number, and its square is none in float32."""
    model = network(backend, [Dense(3)])
    before = model.state_dict()
    with pytest.raises(
        TrainingError, match=r"epoch 1: the loss is (inf|nan).*before training\. Scale the inputs\.$"
    ) as caught:
        fit(model, x * 1e30, y, 1, batch_size=None)
    assert "rate" not in str(caught.value)
    assert "clip" not in str(caught.value)
    assert_same(model.state_dict(), before)


@pytest.mark.parametrize("scale", [1e30, 1e38])
def test_a_candidate_whose_loss_is_no_number_is_not_kept(scale, backend, x, y):
    """Scales at which every candidate overflows, to a loss of ∞ and of ∞ - ∞: the parameters stay as they are."""
    model = network(backend, [Dense(4), Dense(3)], optimizer=RandomSearch(scale))
    before = model.state_dict()
    with backend.quiet():
        losses = steps(model, x, y, 5)
    assert np.all(np.isfinite(losses))
    assert_same(model.state_dict(), before)


def test_values_are_looked_at_in_the_first_step_of_a_shape(backend, x, y):
    model, bad = network(backend), x * np.nan
    with pytest.raises(DataError, match="x"):
        model.train_step(bad, y)
    model.train_step(x, y)
    with backend.quiet():
        assert np.isnan(float(model.train_step(bad, y)))


def test_bad_data_is_refused_before_a_search(backend, x):
    model = network(backend)
    before = model.state_dict()
    with pytest.raises(ShapeError):
        model.train_step(x, np.ones((ROWS, 2)))
    assert_same(model.state_dict(), before)
    assert model.step == 0
