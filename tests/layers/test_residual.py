"""Residual: x is added to what its layers make of it, its gradient to theirs, and its paths are those of a chain."""

import numpy as np
import pytest

import nnxp
from nnxp.errors import ConfigurationError, ShapeError
from nnxp.gradcheck import check
from nnxp.layers import Dense, Dropout, Flatten, Layer, ReLU, Residual, Sequential, Tanh
from nnxp.losses import MeanSquaredError
from nnxp.optimizers import SGD

X = np.random.default_rng(0).normal(size=(4, 3))


class Square(Layer):
    """A layer of the user's own."""

    def forward(self, x, *, training=False):
        self.x = x
        return x * x

    def backward(self, dy):
        return 2 * self.x * dy


def model(layers, backend="numpy"):
    made = nnxp.Model(layers, loss=MeanSquaredError(), optimizer=SGD(0.1), backend=backend)
    made.build((3,))
    return made


def test_forward_and_backward_add(backend, array):
    """With f(x) = relu(x): y = x + max(x, 0), and dx = dy + dy where x > 0."""
    layer = Residual(ReLU())
    assert layer.build((3,), backend) == (3,)
    x, dy = array([[-1.0, 2.0, 0.5]]), array([[3.0, -1.0, 1.0]])
    np.testing.assert_array_equal(backend.to_numpy(layer.forward(x)), [[-1, 4, 1]])
    np.testing.assert_array_equal(backend.to_numpy(layer.backward(dy)), [[3, -2, 2]])


def test_one_layer_is_a_list_of_one(backend):
    one, listed = Residual(Dense(3)), Residual([Dense(3)])
    for layer in (one, listed):
        layer.build((3,), backend)
    assert str(one) == str(listed) == "Residual(1 layer)"
    x = backend.asarray(X)
    np.testing.assert_array_equal(backend.to_numpy(one.forward(x)), backend.to_numpy(listed.forward(x)))


NETWORKS = {
    "plain": lambda: Residual([Dense(5), ReLU(), Dense(3)]),
    "nested": lambda: Residual([Residual([Dense(2), Tanh(), Dense(3)]), Residual(Tanh()), Residual(Dense(3))]),
    "first in a chain": lambda: Sequential([Residual(Dense(3)), Dense(2)]),
    "a chain inside": lambda: Residual(Sequential([Dense(4), Sequential([Tanh(), Dense(3)])])),
    "with dropout": lambda: Residual([Dropout(0.3), Dense(3), Residual(Dropout(0.4))]),
    "beginning with a layer of one's own": lambda: Residual([Square(), Dense(3)]),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name, training, make_backend):
    check(NETWORKS[name](), backend=make_backend(dtype="float64"), training=training)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_a_model(name, make_backend):
    """The plan's own path: what the layer in front gets, too."""
    check(model([Dense(3), NETWORKS[name](), Dense(2)], make_backend(dtype="float64")))


def test_samples_of_several_axes(make_backend):
    layer = Residual([Tanh(), Residual(ReLU())])
    assert layer.build((2, 3), make_backend()) == (2, 3)
    check(layer, input_shape=(2, 3), backend=make_backend(dtype="float64"))


def test_names_are_those_of_a_chain(backend):
    network = model([Dense(3), Residual([Dense(4), ReLU(), Residual(Dense(4)), Dense(3)]), Dense(2)], backend)
    paths = ["0", "1.0", "1.2.0", "1.3", "2"]
    assert list(network.state_dict()) == [f"{path}.{name}" for path in paths for name in ("weights", "biases")]
    records = network.engine.plan(
        nnxp.training.engine.GRADIENTS, *map(backend.asarray, (X, X[:, :2]))
    ).network.program.records
    made = [name for record in records for name in record.outputs]
    assert len(set(made)) == len(made)


def test_the_first_gradient_by_x_is_not_made(backend):
    """Nobody reads it, so neither the branch's nor the sum is computed."""
    network = model([Residual([Dense(3), Tanh()]), Dense(2)], backend)
    x, y = backend.asarray(X), backend.asarray(X[:, :2])
    records = network.engine.plan(nnxp.training.engine.GRADIENTS, x, y).network.program.records
    assert sum(record.op == "linear_input_gradient" for record in records) == 1
    assert sum(record.op == "add" for record in records) == 1


def test_a_residual_of_zeros_is_the_identity(backend):
    network = model([Residual([Dense(4), ReLU(), Dense(3)])], backend)
    network.load_state_dict({key: 0 * array for key, array in network.state_dict().items()})
    np.testing.assert_array_equal(network.predict(X.astype(np.float32)), X.astype(np.float32))


def test_saved_and_loaded(backend, tmp_path):
    network = model([Residual([Dense(4), Residual(Tanh()), Dense(3)]), Residual(Sequential([Dense(3)]))], backend)
    y = 0.5 * X
    network.train_step(X, y)
    network.save(tmp_path / "m")
    back = nnxp.load(tmp_path / "m", backend=backend)
    assert str(back.summary()) == str(network.summary())
    np.testing.assert_array_equal(back.predict(X), network.predict(X))
    assert float(back.train_step(X, y)) == float(network.train_step(X, y))


def test_moved_to_another_backend(backend):
    network = model([Residual([Dense(4), ReLU(), Dense(3)])])
    expected = network.predict(X)
    np.testing.assert_allclose(backend.to_numpy(network.to(backend).predict(X)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layers", [[Dense(4)], [Dense(3), ReLU(), Dense(4)]])
def test_another_shape_is_refused(layers, backend):
    message = (
        r"Residual\(\d layers?\) expected its layers to end in the shape of x, \(batch, 3\), to add them up, got "
        r"\(batch, 4\); end it with a layer that brings that shape back"
    )
    with pytest.raises(ShapeError, match=message):
        Residual(layers).build((3,), backend)
    with pytest.raises(ShapeError, match=r"got \(batch, 6\)") as caught:
        nnxp.Model([Residual(Flatten())], loss=MeanSquaredError(), optimizer=SGD(), backend=backend).build((2, 3))
    assert "in layer 0 of the network" in caught.value.__notes__


@pytest.mark.parametrize("layers", [[], None, 3, Dense, [Dense], "Dense"])
def test_only_layers_are_taken(layers):
    with pytest.raises(ConfigurationError, match="layers"):
        Residual(layers)


def test_the_same_layer_twice_is_refused():
    layer = Dense(3)
    with pytest.raises(ConfigurationError, match="twice"):
        Sequential([layer, Residual(layer)])
