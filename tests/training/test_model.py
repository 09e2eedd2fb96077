"""The model: what each method promises, on every backend."""

import numpy as np
import pytest

import nnxp
from nnxp.data import Scaling
from nnxp.errors import BackendError, ConfigurationError, DataError, NnxpError, NotBuiltError, ShapeError
from nnxp.layers import Dense, Dropout, Flatten, Layer, Linear, ReLU, Sequential, Sigmoid, Softmax, Step, Tanh
from nnxp.losses import BinaryCrossentropy, CategoricalCrossentropy, MeanAbsoluteError, MeanSquaredError
from nnxp.optimizers import SGD, Adagrad, Adam, RMSprop
from nnxp.regularizers import L1, L2
from nnxp.schedules import InverseTimeDecay

ROWS, INPUTS, CLASSES = 6, 3, 3
LABELS = np.array([0, 2, 1, 1, 0, 2])
KEYS = ["0.weights", "0.biases", "3.weights", "3.biases"]


def classifier(backend, *, optimizer=None, **options):
    """Dropout, penalties and a known head: what a contract has to hold for."""
    layers = [
        Dense(4, weight_regularizer=L2(0.02), bias_regularizer=L1(0.01)),
        Tanh(),
        Dropout(0.4),
        Dense(CLASSES, weight_regularizer=L1(0.03)),
        Softmax(),
    ]
    model = nnxp.Model(
        layers, loss=CategoricalCrossentropy(), optimizer=optimizer or SGD(0.1), backend=backend, **options
    )
    model.build((INPUTS,))
    return model


def regressor(backend, *, optimizer=None, layers=None, **options):
    """The smallest network without noise."""
    layers = layers or [Dense(4), Tanh(), Dense(3)]
    model = nnxp.Model(layers, loss=MeanSquaredError(), optimizer=optimizer or SGD(0.1), backend=backend, **options)
    model.build((INPUTS,))
    return model


@pytest.fixture
def x(array, random):
    return array(random.normal(size=(ROWS, INPUTS)))


@pytest.fixture
def labels(array):
    return array(LABELS)


@pytest.fixture
def y(array, random):
    return array(random.normal(size=(ROWS, 3)) + 1)


def randomize(model, seed=5):
    """Give a model parameters that are nowhere zero."""
    random = np.random.default_rng(seed)
    state = {key: random.choice([-1, 1], a.shape) * random.uniform(0.2, 1, a.shape) for key, a in ordered(model)}
    model.load_state_dict(state)


def ordered(model):
    return sorted(model.state_dict().items())


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def assert_close(a, b, tolerance):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=tolerance, atol=tolerance, err_msg=key)


# -- a step


def test_a_step_is_the_gradients_and_then_the_update(backend, x, labels):
    model = classifier(backend, optimizer=SGD(InverseTimeDecay(0.5, 0.3)))
    for step in range(3):
        before = model.state_dict()
        loss, gradients = model.loss_and_gradients(x, labels)
        rate = 0.5 / (1 + 0.3 * step)
        assert float(model.train_step(x, labels)) == float(loss)
        assert model.step == step + 1
        for key, after in model.state_dict().items():
            expected = before[key].astype(np.float64) - rate * gradients[key]
            np.testing.assert_allclose(after, expected, rtol=1e-6, atol=1e-7)  # two roundings of float32


def test_momentum_remembers_between_steps(backend, x, labels):
    model = classifier(backend, optimizer=SGD(0.5, momentum=0.9))
    velocity = dict.fromkeys(KEYS, 0.0)
    for _ in range(3):
        before = model.state_dict()
        _, gradients = model.loss_and_gradients(x, labels)
        model.train_step(x, labels)
        velocity = {key: 0.9 * velocity[key] - 0.5 * gradients[key] for key in KEYS}
        for key, after in model.state_dict().items():
            np.testing.assert_allclose(after, before[key] + velocity[key], rtol=1e-5, atol=1e-6)


def test_the_loss_is_a_number_on_the_device(backend, x, labels):
    model = classifier(backend)
    for loss in (model.train_step(x, labels), model.loss_and_gradients(x, labels)[0]):
        assert tuple(loss.shape) == ()
        assert np.isfinite(float(loss))
        assert loss.dtype == backend.dtype
        if not isinstance(loss, np.generic):
            assert backend.owns(loss)


def test_nothing_in_front_of_a_step_learns_by_gradients(backend, x, y):
    model = regressor(backend, layers=[Dense(8), Step(), Dense(3)])
    before = model.state_dict()
    for _ in range(3):
        model.train_step(x, y)
    after = model.state_dict()
    for key in ("0.weights", "0.biases"):
        np.testing.assert_array_equal(after[key], before[key])
    for key in ("2.weights", "2.biases"):
        assert np.any(after[key] != before[key])


# -- loss_and_gradients


@pytest.mark.parametrize("training", [True, False])
def test_loss_and_gradients_changes_nothing(backend, x, labels, training):
    model = classifier(backend, optimizer=Adam(0.1))
    twin = classifier(backend, optimizer=Adam(0.1))
    for _ in range(2):
        state, step = model.state_dict(), model.step
        first = model.loss_and_gradients(x, labels, training=training)
        second = model.loss_and_gradients(x, labels, training=training)
        assert float(first[0]) == float(second[0])
        assert_same(first[1], second[1])
        assert_same(model.state_dict(), state)
        assert model.step == step
        assert float(model.train_step(x, labels)) == float(twin.train_step(x, labels))
    assert_same(model.state_dict(), twin.state_dict())


def test_without_training_nothing_is_dropped(backend, x, labels):
    model = classifier(backend)
    loss, _ = model.loss_and_gradients(x, labels, training=False)
    np.testing.assert_allclose(float(loss), model.evaluate(x, labels)["loss"], rtol=1e-6)
    assert abs(float(model.loss_and_gradients(x, labels)[0]) - float(loss)) > 1e-3


def test_masks_differ_from_step_to_step(backend, x, labels):
    model = classifier(backend, optimizer=SGD(1e-30))
    losses = [float(model.train_step(x, labels)) for _ in range(3)]
    assert len(set(losses)) == 3


def test_gradients_are_host_copies_by_the_keys_of_the_state(backend, x, labels):
    model = classifier(backend)
    _, gradients = model.loss_and_gradients(x, labels)
    assert sorted(gradients) == sorted(KEYS)
    for key, array in model.state_dict().items():
        assert type(gradients[key]) is np.ndarray
        assert gradients[key].shape == array.shape
        assert gradients[key].dtype == array.dtype == np.dtype(str(backend.dtype).rsplit(".", 1)[-1])
        gradients[key][...] = 1e9
    twin = classifier(backend)
    assert float(model.train_step(x, labels)) == float(twin.train_step(x, labels))
    assert_same(model.state_dict(), twin.state_dict())


def test_gradients_include_the_penalties(backend, x, labels):
    plain = nnxp.Model([Dense(CLASSES), Softmax()], loss=CategoricalCrossentropy(), optimizer=SGD(), backend=backend)
    penalized = nnxp.Model(
        [Dense(CLASSES, weight_regularizer=L2(0.25), bias_regularizer=L1(0.5)), Softmax()],
        loss=CategoricalCrossentropy(),
        optimizer=SGD(),
        backend=backend,
    )
    for model in (plain, penalized):
        model.build((INPUTS,))
        randomize(model)
    state = plain.state_dict()
    loss, gradients = plain.loss_and_gradients(x, labels)
    loss_with, gradients_with = penalized.loss_and_gradients(x, labels)
    weights, biases = state["0.weights"].astype(np.float64), state["0.biases"].astype(np.float64)
    penalty = 0.25 * (weights**2).sum() + 0.5 * np.abs(biases).sum()
    # 1e-6: sums of a dozen float32 numbers near one
    np.testing.assert_allclose(float(loss_with) - float(loss), penalty, rtol=1e-6)
    np.testing.assert_allclose(gradients_with["0.weights"], gradients["0.weights"] + 0.5 * weights, atol=1e-6)
    np.testing.assert_allclose(gradients_with["0.biases"], gradients["0.biases"] + 0.5 * np.sign(biases), atol=1e-6)


NETWORKS = {
    "softmax": (lambda: [Dense(3), Softmax()], CategoricalCrossentropy(), "labels"),
    "sigmoid": (lambda: [Dense(3), Sigmoid()], BinaryCrossentropy(), "shares"),
    "class logits": (lambda: [Dense(3)], CategoricalCrossentropy(from_logits=True, reduction="sum"), "labels"),
    "clipped": (lambda: [Dense(3), Softmax(), _Twice()], CategoricalCrossentropy(), "labels"),
    "squared": (lambda: [Dense(3), Linear()], MeanSquaredError(reduction="sum"), "reals"),
    "absolute": (lambda: [Dense(3)], MeanAbsoluteError(), "reals"),
}


class _Twice(Layer):
    """y = x / 2, as a layer of one's own."""

    def forward(self, x, *, training=False):
        return x / 2

    def backward(self, dy):
        return dy / 2


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_equal_differences_of_the_loss(make_backend, name):
    backend = make_backend(dtype="float64")
    layers, loss, kind = NETWORKS[name]
    first = Dense(4, weight_regularizer=L2(0.1), bias_regularizer=L1(0.2))
    second = Dense(4, weight_regularizer=L1(0.3), bias_regularizer=L2(0.4))
    model = nnxp.Model(
        [Flatten(), Sequential([first, Tanh(), Dropout(0.3)]), second, Sigmoid(), *layers()],
        loss=loss,
        optimizer=SGD(),
        backend=backend,
    )
    random = np.random.default_rng(1)
    x = backend.asarray(random.normal(size=(ROWS, 3, 1)))
    y = {"labels": LABELS, "shares": random.uniform(size=(ROWS, 3)), "reals": random.normal(size=(ROWS, 3)) + 9}[kind]
    y = backend.asarray(y)
    model.build((3, 1))
    randomize(model)
    state = model.state_dict()
    _, gradients = model.loss_and_gradients(x, y)
    h = 1e-5
    for key, array in state.items():
        numerical = np.empty_like(array)
        for place in np.ndindex(array.shape):
            values = []
            for sign in (1, -1):
                moved = array.copy()
                moved[place] += sign * h
                model.load_state_dict({**state, key: moved})
                values.append(float(model.loss_and_gradients(x, y)[0]))
            numerical[place] = (values[0] - values[1]) / (2 * h)
        # h² · f''' / 6 is near 1e-10, and rounding of a loss near 10 gives 1e-15 / h
        np.testing.assert_allclose(gradients[key], numerical, rtol=1e-6, atol=1e-8, err_msg=key)


# -- state


def test_state_is_named_by_position(backend):
    layers = [Flatten(), Sequential([Dense(4), ReLU(), Sequential([Dropout(0.1), Dense(2)])]), Dense(3)]
    model = nnxp.Model(layers, loss=MeanSquaredError(), optimizer=SGD(), backend=backend)
    model.build((3, 1))
    shapes = {key: array.shape for key, array in model.state_dict().items()}
    assert shapes == {
        "1.0.weights": (3, 4),
        "1.0.biases": (4,),
        "1.2.1.weights": (4, 2),
        "1.2.1.biases": (2,),
        "2.weights": (2, 3),
        "2.biases": (3,),
    }


def test_state_is_copied_out(backend, x, labels):
    model, twin = classifier(backend), classifier(backend)
    for array in model.state_dict().values():
        assert type(array) is np.ndarray
        array[...] = 7.0
    before = model.state_dict()
    kept = {key: array.copy() for key, array in before.items()}
    assert float(model.train_step(x, labels)) == float(twin.train_step(x, labels))
    assert_same(before, kept)


def test_state_is_copied_in_and_cast(backend):
    model = regressor(backend)
    state = {key: np.arange(a.size, dtype=np.float64).reshape(a.shape) / 8 for key, a in model.state_dict().items()}
    model.load_state_dict(state)
    kept = {key: array.copy() for key, array in state.items()}
    for array in state.values():
        array[...] = -1
    assert_same(model.state_dict(), kept)
    assert {array.dtype for array in model.state_dict().values()} == {np.dtype("float32")}


@pytest.mark.parametrize(
    "form",
    [
        lambda a, backend: backend.asarray(a),
        lambda a, backend: a.tolist(),
        lambda a, backend: a.astype(np.float16),
        lambda a, backend: np.asfortranarray(a),
    ],
    ids=["own arrays", "lists", "half", "fortran order"],
)
def test_state_may_come_in_any_form(backend, form):
    model = regressor(backend)
    values = {key: np.round(array * 8) / 8 for key, array in model.state_dict().items()}  # exact in half precision
    model.load_state_dict({key: form(array, backend) for key, array in values.items()})
    assert_same(model.state_dict(), values)


def test_integers_are_taken_as_state(backend):
    model = regressor(backend)
    model.load_state_dict({key: np.full(a.shape, 3) for key, a in model.state_dict().items()})
    assert {float(a) for array in model.state_dict().values() for a in array.ravel()} == {3.0}


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda s: s.pop("2.biases"), DataError, r"missing: \['2.biases'\]"),
        (lambda s: s.update({"3.weights": s.pop("2.weights")}), DataError, r"'2.weights'.*'3.weights'"),
        (lambda s: s.update(extra=np.zeros(1)), DataError, r"does not have: \['extra'\]"),
        (lambda s: s.update({"2.biases": np.zeros(4)}), ShapeError, r"2.biases .*\(3,\).*\(4,\)"),
        (lambda s: s.update({"2.biases": np.zeros(())}), ShapeError, r"2.biases .*\(3,\).*\(\)"),
        (lambda s: s.update({"2.biases": np.zeros((1, 3))}), ShapeError, r"2.biases .*\(3,\).*\(1, 3\)"),
        (lambda s: s.update({"2.weights": s["2.weights"].T}), ShapeError, r"2.weights .*\(4, 3\).*\(3, 4\)"),
        (lambda s: s.update({"2.biases": np.zeros(3, complex)}), ShapeError, "2.biases .*complex128"),
        (lambda s: s.update({"2.biases": np.array(["a", "b", "c"])}), ShapeError, "2.biases .*U1"),
        (lambda s: s.update({"2.biases": np.array([1, None, 2])}), ShapeError, "2.biases .*object"),
        (lambda s: s.update({"2.biases": [[1], [1, 2], 3]}), NnxpError, "2.biases"),
    ],
    ids=[
        "missing",
        "renamed",
        "extra",
        "longer",
        "scalar",
        "rank",
        "transposed",
        "complex",
        "strings",
        "objects",
        "ragged",
    ],
)
def test_a_wrong_state_is_refused_as_a_whole(backend, change, error, match):
    model = regressor(backend)
    before = model.state_dict()
    state = {key: array + 1 for key, array in before.items()}
    change(state)
    with pytest.raises(error, match=match):
        model.load_state_dict(state)
    assert_same(model.state_dict(), before)


# -- assigning to weights


@pytest.mark.parametrize("form", [lambda a, backend: a, lambda a, backend: a.tolist(), lambda a, b: b.asarray(a)])
def test_assigned_weights_are_trained(backend, x, y, form):
    model, twin = regressor(backend), regressor(backend)
    weights = np.linspace(-1, 1, INPUTS * 4).reshape(INPUTS, 4).astype(np.float32)
    view = model.layers[0].weights
    model.layers[0].weights = form(weights, backend)
    twin.load_state_dict(twin.state_dict() | {"0.weights": weights})
    np.testing.assert_array_equal(model.state_dict()["0.weights"], weights)
    if backend.writable:
        np.testing.assert_array_equal(backend.to_numpy(view), weights)
    for _ in range(2):
        assert float(model.train_step(x, y)) == float(twin.train_step(x, y))
    assert_same(model.state_dict(), twin.state_dict())
    np.testing.assert_array_equal(backend.to_numpy(model.layers[0].weights), model.state_dict()["0.weights"])


def test_assigned_arrays_are_copied(backend):
    model = regressor(backend)
    biases = np.ones(4, np.float32)
    model.layers[0].biases = biases
    biases[...] = 5
    np.testing.assert_array_equal(model.state_dict()["0.biases"], np.ones(4))


@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 3), (), (3, 4, 1)])
def test_assigned_weights_are_never_broadcast(backend, shape):
    model = regressor(backend)
    before = model.state_dict()
    with pytest.raises(ShapeError, match=r"Dense\(4\).*weights .*\(3, 4\)"):
        model.layers[0].weights = np.zeros(shape)
    assert_same(model.state_dict(), before)


# -- moving


def elsewhere(backend):
    """The name of another backend that is always there."""
    return "array_api_strict" if backend.name == "numpy" else "numpy"


def test_moved_and_back_continues_bit_for_bit(backend, x, labels):
    stayed, moved = classifier(backend, optimizer=Adam(0.05)), classifier(backend, optimizer=Adam(0.05))
    for model in (stayed, moved):
        model.train_step(x, labels)
        model.optimizer = Adam(InverseTimeDecay(0.1, 0.5), beta_1=0.5)
        model.train_step(x, labels)
    assert moved.to(elsewhere(backend)) is moved
    assert moved.backend.name == elsewhere(backend)
    moved.to(backend)
    for _ in range(2):
        assert float(moved.train_step(x, labels)) == float(stayed.train_step(x, labels))
    assert moved.step == stayed.step == 4
    assert_same(moved.state_dict(), stayed.state_dict())


def test_moved_elsewhere_continues_closely(backend, x, labels):
    stayed, moved = classifier(backend, optimizer=Adam(0.05)), classifier(backend, optimizer=Adam(0.05))
    for model in (stayed, moved):
        model.train_step(x, labels)
    state = moved.state_dict()
    moved.to(elsewhere(backend))
    assert_same(moved.state_dict(), state)
    for _ in range(2):
        a, b = stayed.train_step(x, labels), moved.train_step(backend.to_numpy(x), LABELS)
        np.testing.assert_allclose(float(a), float(b), rtol=1e-5)
    # Adam divides by √v, so a few ULP of a small gradient weigh more than they would in the loss.
    assert_close(moved.state_dict(), stayed.state_dict(), 1e-4)


def test_moving_keeps_dtype_and_seed(make_backend):
    model = classifier(make_backend(seed=9), optimizer=SGD(0.1))
    model.to("array_api_strict" if model.backend.name == "numpy" else "numpy")
    assert str(model.backend.dtype).endswith("float32")
    assert model.backend.rng.seed == 9


def test_an_unbuilt_model_moves(backend, x, y):
    model = nnxp.Model([Dense(3)], loss=MeanSquaredError(), optimizer=SGD(), backend=elsewhere(backend))
    model.to(backend)
    assert not model.built
    model.train_step(x, y)
    assert model.backend.name == backend.name
    assert backend.owns(model.layers[0].weights)


@pytest.mark.parametrize("target", ["no_such_library", 5])
def test_a_failed_move_leaves_the_model(backend, x, labels, target):
    model = classifier(backend)
    before = model.state_dict()
    with pytest.raises(BackendError):
        model.to(target)
    assert model.backend is backend
    assert_same(model.state_dict(), before)
    assert np.isfinite(float(model.train_step(x, labels)))


def test_an_own_layer_moves(backend, x, y):
    stayed, moved = (regressor(backend, layers=[Dense(4), Affine(3)], optimizer=Adam(0.05)) for _ in range(2))
    for model in (stayed, moved):
        model.train_step(x, y)
    moved.to(elsewhere(backend)).to(backend)
    for model in (stayed, moved):
        model.train_step(x, y)
    assert_same(moved.state_dict(), stayed.state_dict())


def test_a_move_that_fails_half_way_leaves_the_model(backend, x, y):
    class Local(Affine):
        def build(self, input_shape, where):
            if where.name != backend.name:
                raise ConfigurationError("not there")
            return super().build(input_shape, where)

    moved, stayed = (regressor(backend, layers=[Dense(4), Local(3)], optimizer=Adam(0.05)) for _ in range(2))
    for model in (moved, stayed):
        model.train_step(x, y)
    with pytest.raises(ConfigurationError, match="not there"):
        moved.to(elsewhere(backend))
    assert moved.backend is backend
    for _ in range(2):
        assert float(moved.train_step(x, y)) == float(stayed.train_step(x, y))
    assert_same(moved.state_dict(), stayed.state_dict())
    np.testing.assert_array_equal(backend.to_numpy(moved.layers[0].weights), moved.state_dict()["0.weights"])


# -- predict and evaluate


@pytest.mark.parametrize("batch_size", [None, 4])
def test_predictions_live_where_x_lives(backend, x, batch_size):
    host = np.array(backend.to_numpy(x))
    at_backend, at_numpy = regressor(backend), regressor("numpy")
    assert backend.owns(at_backend.predict(x, batch_size=batch_size))
    for features in (host, host.astype(np.float64), host.tolist()):
        y_pred = at_backend.predict(features, batch_size=batch_size)
        assert type(y_pred) is np.ndarray
        assert y_pred.dtype == np.float32
    y_pred = at_numpy.predict(x, batch_size=batch_size)
    assert backend.owns(y_pred)
    assert y_pred.dtype == backend.dtype
    # 1e-6: two libraries' sums of four products near one
    np.testing.assert_allclose(backend.to_numpy(y_pred), at_backend.predict(host), atol=1e-6)


def test_predictions_have_the_dtype_of_the_model(typed_backend):
    random = np.random.default_rng(0)
    model = regressor(typed_backend)
    for dtype in (np.float32, np.float64):
        y_pred = model.predict(random.normal(size=(2, INPUTS)).astype(dtype))
        assert str(y_pred.dtype) == str(typed_backend.dtype).rsplit(".", 1)[-1]


@pytest.mark.parametrize("layers", [[Linear], [Flatten], [Dense, Flatten]])
@pytest.mark.parametrize("batch_size", [None, 4])
def test_predictions_are_new_arrays(backend, random, layers, batch_size):
    model = regressor(backend, layers=[layer(4) if layer is Dense else layer() for layer in layers])
    x = backend.asarray(random.normal(size=(ROWS, INPUTS)))
    before = backend.to_numpy(x)
    first = model.predict(x, batch_size=batch_size)
    kept = backend.to_numpy(first)
    second = model.predict(x + 1, batch_size=batch_size)
    assert np.abs(kept - backend.to_numpy(second)).max() > 0.01
    np.testing.assert_array_equal(backend.to_numpy(first), kept)
    if backend.writable:
        first[...] = 99.0
        np.testing.assert_array_equal(backend.to_numpy(x), before)
        np.testing.assert_array_equal(backend.to_numpy(model.predict(x, batch_size=batch_size)), kept)


@pytest.mark.parametrize("batch_size", [1, 4, 6, 100])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_evaluate_is_the_same_for_every_batch_size(backend, x, labels, reduction, batch_size):
    layers = [Dense(3, weight_regularizer=L2(0.3), bias_regularizer=L1(0.2)), Softmax()]
    loss = CategoricalCrossentropy(reduction=reduction)
    model = nnxp.Model(layers, loss=loss, optimizer=SGD(), metrics=["accuracy"], backend=backend)
    model.build((INPUTS,))
    randomize(model)
    whole = model.evaluate(x, labels)
    parts = model.evaluate(x, labels, batch_size=batch_size)
    assert whole.keys() == parts.keys() == {"loss", "data_loss", "accuracy"}
    assert all(type(value) is float for value in parts.values())
    for key in whole:
        np.testing.assert_allclose(parts[key], whole[key], rtol=2e-6)  # sums of six float32 numbers in another order


def test_evaluate_is_loss_and_penalty_and_share_of_right_answers(backend, x, labels):
    model = classifier(backend, metrics=["accuracy"])
    randomize(model)
    got = model.evaluate(x, labels)
    p = backend.to_numpy(model.predict(x)).astype(np.float64)
    s = {key: array.astype(np.float64) for key, array in model.state_dict().items()}
    penalty = 0.02 * (s["0.weights"] ** 2).sum() + 0.01 * abs(s["0.biases"]).sum() + 0.03 * abs(s["3.weights"]).sum()
    data_loss = -np.log(p[np.arange(ROWS), LABELS]).mean()
    # 1e-5: p has the relative error of float32, and log p is small where p is near one
    np.testing.assert_allclose([got["data_loss"], got["loss"]], [data_loss, data_loss + penalty], rtol=1e-5)
    assert got["accuracy"] == np.mean(p.argmax(axis=1) == LABELS)
    assert model.step == 0


# -- structure


def test_summary_names_layers_shapes_and_counts(backend):
    layers = [Flatten(), Sequential([Dense(4), ReLU()]), Dropout(0.25), Dense(1000), Softmax()]
    model = nnxp.Model(layers, loss=CategoricalCrossentropy(), optimizer=Adam(), backend=backend)
    model.build((3, 1))
    text = str(model.summary())
    rows = [line.split() for line in text.splitlines()]
    for expected in (
        "0 Flatten() (batch, 3) 0",
        "1.0 Dense(4) (batch, 4) 16",
        "1.1 ReLU() (batch, 4) 0",
        "2 Dropout(0.25) (batch, 4) 0",
        "3 Dense(1000) (batch, 1000) 5,000",
        "4 Softmax() (batch, 1000) 0",
        "5,016 parameters",
    ):
        assert expected.split() in rows
    for word in (backend.name, "float32", "CategoricalCrossentropy", "Adam"):
        assert word in text


def test_built_by_input_size_by_build_or_by_data(backend, x, y):
    def model(**options):
        return nnxp.Model([Dense(3, **options)], loss=MeanSquaredError(), optimizer=SGD(), backend=backend)

    by_size, by_call, by_data, by_evaluating = model(input_size=INPUTS), model(), model(), model()
    assert by_size.built
    assert not by_call.built
    by_call.build((INPUTS,))
    by_data.loss_and_gradients(x, y)
    by_evaluating.evaluate(x, y)
    for built in (by_size, by_call, by_data, by_evaluating):
        assert built.built
        assert (built.input_shape, built.output_shape) == ((INPUTS,), (3,))
        assert_same(built.state_dict(), by_size.state_dict())


def test_input_size_inside_a_chain_builds_too(backend):
    layers = [Sequential([Sequential([Dense(3, input_size=INPUTS)])])]
    assert nnxp.Model(layers, loss=MeanSquaredError(), optimizer=SGD(), backend=backend).built


def test_building_again_does_nothing_and_never_another_shape(backend, x, y):
    model = regressor(backend)
    model.train_step(x, y)
    before = model.state_dict()
    model.build([INPUTS])
    assert_same(model.state_dict(), before)
    with pytest.raises(ShapeError, match=r"\(3,\), got \(5,\)"):
        model.build((5,))
    assert_same(model.state_dict(), before)


@pytest.mark.parametrize("shape", [(0,), (-2,), (2.5,), ("a",), (True,), 3, None])
def test_a_senseless_input_shape_is_refused(backend, shape):
    model = nnxp.Model([Dense(3)], loss=MeanSquaredError(), optimizer=SGD(), backend=backend)
    with pytest.raises(ConfigurationError, match="input_shape"):
        model.build(shape)
    assert not model.built


def test_input_size_is_held_against_the_data(backend, array):
    layers = [ReLU(), Dense(3, input_size=5)]
    model = nnxp.Model(layers, loss=MeanSquaredError(), optimizer=SGD(), backend=backend)
    with pytest.raises(ShapeError, match=r"Dense\(3\) expected x of shape \(batch, 5\), got \(batch, 3\)"):
        model.evaluate(array(np.ones((2, 3))), array(np.ones((2, 3))))
    assert not model.built


@pytest.mark.parametrize(
    "ask",
    [
        lambda m: m.predict([[1.0]]),
        lambda m: m.summary(),
        lambda m: m.state_dict(),
        lambda m: m.load_state_dict({}),
        lambda m: m.input_shape,
        lambda m: m.output_shape,
    ],
    ids=["predict", "summary", "state_dict", "load_state_dict", "input_shape", "output_shape"],
)
def test_an_unbuilt_model_says_how_to_build_it(backend, ask):
    model = nnxp.Model([Dense(3)], loss=MeanSquaredError(), optimizer=SGD(), backend=backend)
    with pytest.raises(NotBuiltError, match=r"build\(input_shape\).*input_size"):
        ask(model)
    assert model.step == 0


def test_a_layer_belongs_to_one_model(backend):
    shared, free = Dense(3), Dense(4)
    regressor(backend, layers=[Sequential([shared])])
    with pytest.raises(ConfigurationError, match=r"Dense\(3\) belongs to another model.*new layer"):
        regressor(backend, layers=[free, shared])
    regressor(backend, layers=[free])  # it was refused with the other one, and so belongs to nobody


def test_a_model_that_was_never_made_owns_no_layers(backend):
    layers = [Dense(4, input_size=INPUTS), Dense(3, input_size=5)]
    with pytest.raises(ShapeError, match=r"Dense\(3\) expected x of shape \(batch, 5\), got \(batch, 4\)"):
        regressor(backend, layers=layers)
    regressor(backend, layers=layers[:1])


def test_a_layer_stands_in_one_place(backend):
    layer = ReLU()
    with pytest.raises(ConfigurationError, match="twice"):
        regressor(backend, layers=[Dense(3), layer, Sequential([layer])])


@pytest.mark.parametrize(
    ("layers", "match"),
    [([], "empty"), ([Dense], "class Dense"), ([Dense(2), "relu"], "'relu'"), ([Dense(2), None], "None")],
)
def test_what_is_no_layer_is_refused(layers, match):
    with pytest.raises(ConfigurationError, match=match):
        nnxp.Model(layers, loss=MeanSquaredError(), optimizer=SGD())


# -- optimizer, dtype, seed


def test_a_new_optimizer_starts_afresh(backend, x, y):
    used, fresh = regressor(backend, optimizer=Adam(0.3)), regressor(backend)
    for _ in range(3):
        used.train_step(x, y)
    fresh.load_state_dict(used.state_dict())
    for model in (used, fresh):
        model.optimizer = Adam(InverseTimeDecay(0.1, 1.0))
    assert (used.step, fresh.step) == (3, 0)
    for _ in range(2):
        assert float(used.train_step(x, y)) == float(fresh.train_step(x, y))
    assert_same(used.state_dict(), fresh.state_dict())
    assert used.optimizer == Adam(InverseTimeDecay(0.1, 1.0))


def test_an_optimizer_may_be_assigned_before_building(backend, x, y):
    model = nnxp.Model([Dense(3)], loss=MeanSquaredError(), optimizer=Adam(0.3), backend=backend)
    model.optimizer = SGD(0.25)
    _, gradients = model.loss_and_gradients(x, y)
    before = model.state_dict()
    model.train_step(x, y)
    for key, after in model.state_dict().items():
        np.testing.assert_allclose(after, before[key] - 0.25 * gradients[key], atol=1e-6)


def test_backend_gives_dtype_and_seed(make_backend):
    backend = make_backend(seed=7)
    model = classifier(backend)
    assert model.backend is backend
    assert_same(model.state_dict(), classifier("numpy", seed=7).state_dict())


def test_given_dtype_and_seed_win_in_a_copy(make_backend):
    backend = make_backend(seed=7)
    make_backend(dtype="float64")  # skips where there is none
    model = classifier(backend, dtype="float64", seed=0)
    assert str(model.backend.dtype).endswith("float64")
    assert (model.backend.rng.seed, backend.rng.seed) == (0, 7)
    assert str(backend.dtype).endswith("float32")
    assert model.backend.device == backend.device
    assert model.backend.name == backend.name
    assert_same(model.state_dict(), classifier("numpy", dtype="float64").state_dict())


def test_seed_alone_keeps_the_rest(make_backend):
    backend = make_backend(seed=7)
    model = classifier(backend, seed=3)
    assert model.backend.dtype == backend.dtype
    assert_same(model.state_dict(), classifier("numpy", seed=3).state_dict())
    assert np.any(model.state_dict()["0.weights"] != classifier(backend).state_dict()["0.weights"])


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "a", True])
@pytest.mark.parametrize("by_name", [True, False])
def test_a_senseless_seed_is_refused(by_name, seed):
    backend = "numpy" if by_name else nnxp.get_backend("numpy")
    with pytest.raises(ConfigurationError, match="seed"):
        nnxp.Model([Dense(1)], loss=MeanSquaredError(), optimizer=SGD(), backend=backend, seed=seed)


@pytest.mark.parametrize("by_name", [True, False])
def test_a_senseless_dtype_is_refused(by_name):
    backend = "numpy" if by_name else nnxp.get_backend("numpy")
    with pytest.raises(BackendError, match=r"float32, float64.*int8"):
        nnxp.Model([Dense(1)], loss=MeanSquaredError(), optimizer=SGD(), backend=backend, dtype="int8")


# -- scaling


def test_scaling_is_applied_wherever_features_come_in(backend, x, y):
    # Factors are powers of two and offsets whole numbers, so features scaled here and there are equal to the bit.
    features = backend.to_numpy(x).round(2)
    scaled = ((features.astype(np.float64) - [1, 0, -2]) * [0.5, 4, 1]).astype(np.float32)
    features, scaled = backend.asarray(features), backend.asarray(scaled)
    with_scaling = regressor(backend, input_scaling=Scaling([1, 0, -2], [0.5, 4, 1]))
    without = regressor(backend)
    seen = []
    for model, data in ((with_scaling, features), (without, scaled)):
        host = model.backend.to_numpy
        loss, gradients = model.loss_and_gradients(data, y)
        seen.append([host(loss), *gradients.values(), host(model.train_step(data, y)), host(model.predict(data))])
        seen[-1] += model.evaluate(data, y).values()
        seen[-1] += model.fit(data, y, validation_data=(data, y), progress="off").values()
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)  # offsets round in float32 where x is on a device


# -- layers of one's own


class Affine(Layer):
    """Dense once more, as a reader would write it."""

    def __init__(self, units):
        self.units = units

    def build(self, input_shape, backend):
        self.xp = backend.xp
        self.weights = backend.asarray(np.linspace(-1, 1, input_shape[0] * self.units).reshape(-1, self.units))
        self.biases = backend.zeros(self.units)
        return (self.units,)

    def forward(self, x, *, training=False):
        self.x = x
        return x @ self.weights + self.biases

    def backward(self, dy):
        self.dweights = self.x.T @ dy
        self.dbiases = self.xp.sum(dy, axis=0)
        return dy @ self.weights.T

    def parameters(self):
        return {"weights": self.weights, "biases": self.biases}

    def gradients(self):
        return {"weights": self.dweights, "biases": self.dbiases}


class InDictionary(Layer):
    """The same, with its arrays in dictionaries."""

    def __init__(self, units):
        self.units = units
        self.held, self.slopes = {}, {}

    def build(self, input_shape, backend):
        self.xp = backend.xp
        self.held["weights"] = backend.asarray(np.linspace(-1, 1, input_shape[0] * self.units).reshape(-1, self.units))
        self.held["biases"] = backend.zeros(self.units)
        return (self.units,)

    def forward(self, x, *, training=False):
        self.x = x
        return x @ self.held["weights"] + self.held["biases"]

    def backward(self, dy):
        self.slopes = {"weights": self.x.T @ dy, "biases": self.xp.sum(dy, axis=0)}
        return dy @ self.held["weights"].T

    def parameters(self):
        return self.held

    def gradients(self):
        return self.slopes


class Made(Affine):
    """Shows copies of its parameters, so that a model cannot put others in their place."""

    def parameters(self):
        return {"weights": self.weights * 1, "biases": self.biases}


class Mean(Layer):
    """Takes off a running mean, which it remembers."""

    def build(self, input_shape, backend):
        self.xp = backend.xp
        self.mean = backend.zeros(input_shape[0])
        return input_shape

    def forward(self, x, *, training=False):
        if training:
            self.mean = 0.5 * self.mean + 0.5 * self.xp.mean(x, axis=0)
        return x - self.mean

    def backward(self, dy):
        return dy

    def buffers(self):
        return {"mean": self.mean}


OPTIMIZERS = {
    "sgd": SGD(0.1),
    "momentum": SGD(0.1, momentum=0.9),
    "nesterov": SGD(0.1, momentum=0.9, nesterov=True),
    "adagrad": Adagrad(0.01),
    "rmsprop": RMSprop(0.001),
    "adam": Adam(0.01),
    "clipped by value": SGD(0.5, clip_value=0.05),
    "clipped by norm": Adam(0.01, clip_norm=0.1),
}


@pytest.mark.parametrize("own", [Affine, InDictionary])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_own_layer_is_trained_like_a_built_in_one(backend, x, y, own, name):
    ours = regressor(backend, layers=[Dense(4), own(3)], optimizer=OPTIMIZERS[name])
    theirs = regressor(backend, layers=[Dense(4), Dense(3)], optimizer=OPTIMIZERS[name])
    theirs.load_state_dict(ours.state_dict())
    for _ in range(3):
        loss, gradients = ours.loss_and_gradients(x, y)
        other_loss, other_gradients = theirs.loss_and_gradients(x, y)
        np.testing.assert_allclose(float(loss), float(other_loss), rtol=1e-5)
        assert_close(gradients, other_gradients, 1e-5)
        np.testing.assert_allclose(float(ours.train_step(x, y)), float(theirs.train_step(x, y)), rtol=1e-5)
    # Sums in another order, amplified by Adam's division where the gradient is small.
    assert_close(ours.state_dict(), theirs.state_dict(), 1e-4)
    held = ours.layers[1].parameters()
    for name, array in held.items():
        np.testing.assert_array_equal(backend.to_numpy(array), ours.state_dict()["1." + name])


@pytest.mark.parametrize("own", [Affine, InDictionary])
def test_an_own_layer_takes_a_state(backend, x, own):
    model = regressor(backend, layers=[Dense(4), own(3)])
    state = {key: array + 1 for key, array in model.state_dict().items()}
    model.load_state_dict(state)
    hidden = backend.to_numpy(x) @ state["0.weights"] + state["0.biases"]
    expected = hidden @ state["1.weights"] + state["1.biases"]
    np.testing.assert_allclose(backend.to_numpy(model.predict(x)), expected, rtol=1e-5, atol=1e-5)


def test_an_own_layer_may_come_first(backend, x, y):
    ours, theirs = regressor(backend, layers=[Affine(3)]), regressor(backend, layers=[Dense(3)])
    theirs.load_state_dict(ours.state_dict())
    for _ in range(2):
        np.testing.assert_allclose(float(ours.train_step(x, y)), float(theirs.train_step(x, y)), rtol=1e-5)
    assert_close(ours.state_dict(), theirs.state_dict(), 1e-5)
    with pytest.raises(ShapeError, match=r"Affine\(\) expected x of shape \(batch, 3\), got \(6, 2\)"):
        ours.predict(x[:, :2])


def test_parameters_that_cannot_be_replaced_are_refused(backend):
    with pytest.raises(ConfigurationError, match=r"Made\(\).*parameters\(\)\['weights'\].*self\.weights"):
        regressor(backend, layers=[Dense(4), Made(3)])


def test_what_a_layer_remembers_is_state(backend, x, y):
    model = regressor(backend, layers=[Dense(4), Mean(), Dense(3)])
    assert "1.mean" in model.state_dict()
    assert "1.mean" not in model.loss_and_gradients(x, y)[1]
    model.load_state_dict(model.state_dict() | {"1.mean": np.full(4, 2.0)})
    s = model.state_dict()
    hidden = backend.to_numpy(x) @ s["0.weights"] + s["0.biases"]
    expected = (hidden - 2) @ s["2.weights"] + s["2.biases"]
    np.testing.assert_allclose(backend.to_numpy(model.predict(x)), expected, rtol=1e-5, atol=1e-5)
    model.train_step(x, y)
    np.testing.assert_allclose(model.state_dict()["1.mean"], 1 + 0.5 * hidden.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_asking_changes_nothing_that_a_layer_remembers(backend, x, y, training):
    model = regressor(backend, layers=[Dense(4), Mean(), Dense(3)])
    model.train_step(x, y)
    before = model.state_dict()
    model.evaluate(x, y)
    model.predict(x)
    model.loss_and_gradients(x, y, training=training)
    assert_same(model.state_dict(), before)
