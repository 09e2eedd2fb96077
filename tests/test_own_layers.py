"""What a layer of one's own is told when it is wrong, on every backend."""

import numpy as np
import pytest

import nnxp
from nnxp.errors import ConfigurationError, ShapeError
from nnxp.layers import Dense, Layer
from nnxp.losses import MeanSquaredError
from nnxp.optimizers import SGD

X, Y = np.ones((6, 3)), np.ones((6, 2))


class Scale(Layer):
    """Right in everything; the tests replace one part at a time."""

    def build(self, input_shape, backend):
        self.xp = backend.xp
        self.factor = self.xp.ones(input_shape, dtype=backend.dtype, device=backend.device)
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


def train(layer, backend, place):
    layers = [Dense(4), Dense(2)]
    layers.insert(place, layer)
    model = nnxp.Model(layers, loss=MeanSquaredError(), optimizer=SGD(0.1), backend=backend)
    model.train_step(X, Y)


def without(method, result):
    return type("Scale", (Scale,), {method: lambda self, *_, **__: result})


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_right_one_trains(backend, place):
    layer = Scale()
    train(layer, backend, place)
    assert np.any(backend.to_numpy(layer.factor) != 1)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("method", "result", "error", "message"),
    [
        ("build", None, ConfigurationError, r"Scale\(\)\.build returned None, expected the output's shape"),
        ("forward", None, ShapeError, r"Scale\(\)\.forward gave None, expected shape \(6, \d\)"),
        ("forward", np.ones((6, 9)), ShapeError, r"Scale\(\)\.forward gave shape \(6, 9\), expected shape \(6, \d\)"),
        (
            "backward",
            None,
            ShapeError,
            r"Scale\(\)\.backward gave None, expected shape \(6, \d\), the shape of its input",
        ),
        ("backward", np.ones((6, 9)), ShapeError, r"Scale\(\)\.backward gave shape \(6, 9\), expected shape \(6, \d\)"),
        ("gradients", {}, ConfigurationError, r"Scale\(\)\.gradients\(\) lacks 'factor'; it has \[\]"),
        ("gradients", {"factor": np.ones(9)}, ShapeError, r"Scale\(\)\.gradients\(\)\['factor'\] gave shape \(9,\)"),
    ],
)
def test_a_wrong_one_is_named(backend, place, method, result, error, message):
    with pytest.raises(error, match=message):
        train(without(method, result)(), backend, place)


def test_class_names_fit_the_outputs(backend):
    with pytest.raises(ConfigurationError, match=r"2 class_names for outputs of shape \(3,\); name each output"):
        nnxp.Model(
            [Dense(3, input_size=2)],
            loss=MeanSquaredError(),
            optimizer=SGD(),
            backend=backend,
            class_names=["a", "b"],
        )
