"""Lambda: a pair of functions as a layer, which the plan runs, differences check, and a file holds by name."""

from functools import partial

import numpy as np
import pytest

import nnxp
from nnxp.errors import ConfigurationError, DtypeError, FileFormatError, NotBuiltError, OrderError, ShapeError
from nnxp.gradcheck import check
from nnxp.layers import Dense, Lambda
from nnxp.losses import MeanSquaredError
from nnxp.ops.reference import FUNCTIONS
from nnxp.ops.reference.activations import tanh, tanh_backward
from nnxp.optimizers import SGD

X = np.random.default_rng(0).normal(size=(4, 3))


def sine(xp, x):
    return xp.sin(x)


def sine_backward(xp, dy, x):
    return dy * xp.cos(x)


def norm(xp, x):
    """``x[B,…,I] -> y[B,…]``: half the squared length."""
    return xp.sum(x * x, axis=-1) / 2


def norm_backward(xp, dy, x):
    return dy[..., None] * x


def model(layers, backend="numpy", **options):
    return nnxp.Model(layers, loss=MeanSquaredError(), optimizer=SGD(0.1, **options), backend=backend)


def test_calls_its_functions(backend, array):
    layer = Lambda(sine, sine_backward)
    assert layer.build((3,), backend) == (3,)
    assert str(layer) == "Lambda(sine)"
    y, dy = layer.forward(array(X)), array(2 * X)
    dx = layer.backward(dy)
    x = backend.to_numpy(array(X))
    np.testing.assert_allclose(backend.to_numpy(y), np.sin(x), rtol=1e-6)
    np.testing.assert_allclose(backend.to_numpy(dx), 2 * x * np.cos(x), rtol=1e-5)
    assert dx.dtype == backend.dtype
    with pytest.raises(OrderError, match="call forward"):
        layer.backward(dy)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax"])
def test_reference_functions_fit(name, make_backend):
    backend = make_backend(dtype="float64")
    check(Lambda(FUNCTIONS[name], FUNCTIONS[name + "_backward"], reads="y"), backend=backend)


def test_the_pair_is_checked(make_backend):
    backend = make_backend(dtype="float64")
    check(Lambda(sine, sine_backward), backend=backend)
    check(Lambda(norm, norm_backward), input_shape=(2, 3), backend=backend)
    with pytest.raises(AssertionError, match="sign is turned round"):
        check(Lambda(sine, lambda xp, dy, x: -dy * xp.cos(x)), backend=backend)


def test_the_shape_is_found(backend):
    layer = Lambda(norm, norm_backward)
    assert layer.build((5, 2, 3), backend) == (5, 2)
    assert layer.build((5,), backend) == ()  # and anew for another input
    model([Lambda(norm, norm_backward), Dense(2)], backend).build((4, 3))


def test_a_function_that_takes_no_empty_batch_gets_its_shape_said(backend):
    def centred(xp, x):
        return x - xp.max(x)

    layer = Lambda(centred, lambda xp, dy, x: dy)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the library's own
        layer.build((3,), backend)
    assert "give Lambda(…, output_shape=…)" in "".join(caught.value.__notes__)
    layer = Lambda(centred, lambda xp, dy, x: dy, output_shape=(3,))
    assert layer.build((3,), backend) == (3,)
    assert float(backend.xp.max(layer.forward(backend.asarray(X)))) == 0


def test_the_first_gradient_by_x_is_not_asked_for(backend):
    calls = []
    network = model([Lambda(sine, lambda xp, dy, x: calls.append(1)), Dense(2)], backend)
    network.train_step(X, X[:, :2])
    assert calls == []


def test_trains_and_predicts(backend):
    network = model([Dense(8), Lambda(sine, sine_backward), Dense(3)], backend)
    history = network.fit(X, 0.5 * X, epochs=30, batch_size=3, progress="off")
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert network.predict(X[:1]).shape == (1, 3)


# -- files


def test_saved_by_name(backend, tmp_path):
    network = model([Dense(4), Lambda(sine, sine_backward), Lambda(tanh, tanh_backward, reads="y"), Dense(3)], backend)
    network.train_step(X, X)
    network.save(tmp_path / "m")
    mine = {f.__name__: f for f in (sine, sine_backward, tanh, tanh_backward)}
    back = nnxp.load(tmp_path / "m", backend=backend, custom_objects=mine)
    assert back.layers[1].f is sine
    assert back.layers[2].reads == "y"
    np.testing.assert_array_equal(back.predict(X), network.predict(X))
    assert float(back.train_step(X, X)) == float(network.train_step(X, X))


def test_unknown_functions_are_not_called(tmp_path):
    network = model([Lambda(sine, sine_backward)])
    network.build((3,))
    network.save(tmp_path / "m")
    match = r"the function 'sine_backward'.*custom_objects={'sine_backward': sine_backward}"
    with pytest.raises(FileFormatError, match=match):
        nnxp.load(tmp_path / "m", custom_objects={"sine": sine})
    with pytest.raises(FileFormatError, match="the function 'sine'"):
        nnxp.load(tmp_path / "m", custom_objects={"sine": Lambda, "sine_backward": sine_backward})


def test_a_function_is_no_class(tmp_path):
    """A file that names a reader's function where a class should stand does not get it called."""

    class Own(Dense):
        pass

    called = []
    network = model([Own(3)])
    network.build((3,))
    network.save(tmp_path / "m")
    with pytest.raises(FileFormatError, match="an object of class 'Own'"):
        nnxp.load(tmp_path / "m", custom_objects={"Own": lambda **arguments: called.append(arguments)})
    assert called == []


@pytest.mark.parametrize("f", [lambda xp, x: x, partial(sine), "nested"], ids=["lambda", "partial", "nested"])
def test_a_function_without_a_name_is_not_saved(f, tmp_path):
    if f == "nested":

        def f(xp, x):
            return x

    network = model([Lambda(f, sine_backward, output_shape=(3,))])
    network.build((3,))
    with pytest.raises(ConfigurationError, match=r"save: layers\.Lambda\.f .*(def at the top of a module|plain data)"):
        network.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_an_object_that_is_called_is_saved_as_one(tmp_path):
    network = model([Lambda(Power(3), PowerBackward(3))])
    network.build((3,))
    network.save(tmp_path / "m")
    back = nnxp.load(tmp_path / "m", custom_objects={"Power": Power, "PowerBackward": PowerBackward})
    np.testing.assert_array_equal(back.predict(X), network.predict(X))
    assert str(back.layers[0]) == "Lambda(Power)"


class Power:
    def __init__(self, power):
        self.power = power

    def __call__(self, xp, x):
        return x**self.power


class PowerBackward(Power):
    def __call__(self, xp, dy, x):
        return dy * self.power * x ** (self.power - 1)


# -- refusals


@pytest.mark.parametrize("pair", [(None, sine), (sine, None), ("sin", sine), (sine, 3)])
def test_not_a_function(pair):
    name = "f" if callable(pair[1]) else "f_backward"
    with pytest.raises(ConfigurationError, match=rf"Lambda: {name} must be a function {name}\(xp, .*got "):
        Lambda(*pair)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"reads": "z"}, "reads must be one of 'x', 'y', got 'z'"),
        ({"output_shape": 3}, r"output_shape must be a tuple such as \(10,\), got 3"),
        ({"output_shape": (0,)}, "every size in output_shape must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ConfigurationError, match=match):
        Lambda(sine, sine_backward, **options)


def test_not_built():
    with pytest.raises(NotBuiltError, match=r"Lambda\(sine\)"):
        Lambda(sine, sine_backward).forward(X)


@pytest.mark.parametrize(
    ("f", "error", "match"),
    [
        (lambda xp, x: None, DtypeError, r"Lambda\(<lambda>\) expected <lambda> to return .* of float32.*got NoneType"),
        (lambda xp, x: [1.0], DtypeError, "got list"),
        (lambda xp, x: x > 0, DtypeError, "got .* of bool"),
        (lambda xp, x: xp.astype(x, xp.int32), DtypeError, "got .* of int32"),
        (lambda xp, x: xp.sum(x, axis=0), ShapeError, r"keep the batch axis, got shape \(3,\) for x of shape \(0, 3\)"),
        (lambda xp, x: xp.sum(x), ShapeError, r"keep the batch axis, got shape \(\)"),
        (lambda xp, x: xp.reshape(x, (-1, 1))[None, ...], ShapeError, "keep the batch axis"),
    ],
)
def test_a_wrong_result_is_refused_at_build(f, error, match, backend):
    with pytest.raises(error, match=match):
        model([Lambda(f, sine_backward)], backend).build((3,))


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize(
    ("pair", "error", "match"),
    [
        (
            (sine, lambda xp, dy, x: dy[..., :1]),
            ShapeError,
            r"return shape \(4, 3\), got \(4, 1\); dx has the shape of x",
        ),
        ((sine, lambda xp, dy, x: xp.sum(dy, axis=0)), ShapeError, r"return shape \(4, 3\), got \(3,\); dx has"),
        ((sine, lambda xp, dy, x: None), DtypeError, "got NoneType"),
        ((lambda xp, x: x[..., :2], lambda xp, dy, x: x), ShapeError, r"return shape \(4, 3\), got \(4, 2\)"),
    ],
)
def test_a_wrong_result_is_refused_in_training(pair, error, match, planned, backend):
    network = model([Dense(3), Lambda(*pair, output_shape=(3,))], backend)
    network.build((3,))
    network.engine.planned = planned
    with pytest.raises(error, match=match):
        network.train_step(X, X)
