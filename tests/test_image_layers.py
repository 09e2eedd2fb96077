"""Layers of images: the shapes that they make, what they refuse, and small networks of them."""

import numpy as np
import pytest

import nnxp
from nnxp.errors import ConfigurationError, ShapeError
from nnxp.layers import (
    AveragePool2D,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    MaxPool2D,
    ReLU,
    Reshape,
    Softmax,
)
from nnxp.losses import CategoricalCrossentropy
from nnxp.optimizers import Adam


@pytest.mark.parametrize(
    ("layer", "given", "expected"),
    [
        (Conv2D(8, 3), (28, 28, 1), (26, 26, 8)),
        (Conv2D(8, 3, padding="same"), (28, 27, 1), (28, 27, 8)),
        (Conv2D(8, (3, 5), strides=(2, 3), padding="same"), (28, 28, 3), (14, 10, 8)),
        (Conv2D(8, 7, strides=2, padding=3), (32, 32, 3), (16, 16, 8)),
        (Conv2D(8, 3, padding=[0, 1]), (5, 5, 3), (3, 5, 8)),
        (Conv2D(8, 9, padding="same"), (4, 4, 1), (4, 4, 8)),
        (MaxPool2D(), (28, 29, 4), (14, 14, 4)),
        (MaxPool2D(padding="same"), (28, 29, 4), (14, 15, 4)),
        (MaxPool2D(3, strides=2, padding=1), (28, 28, 4), (14, 14, 4)),
        (AveragePool2D((2, 4)), (8, 8, 4), (4, 2, 4)),
        (GlobalAveragePool2D(), (8, 7, 4), (4,)),
        (GlobalAveragePool1D(), (8, 4), (4,)),
        (Reshape((8, 8, 1)), (64,), (8, 8, 1)),
        (Reshape([4, -1]), (8, 8, 1), (4, 16)),
    ],
    ids=str,
)
def test_shapes(layer, given, expected, backend, array):
    assert layer.build(given, backend) == expected
    y = layer.forward(array(np.ones((2, *given), np.float32)))
    assert tuple(y.shape) == (2, *expected)
    assert tuple(layer.backward(y).shape) == (2, *given)


def test_parameters_of_a_convolution(backend):
    layer = Conv2D(5, (2, 3))
    layer.build((8, 8, 4), backend)
    weights, biases = (backend.to_numpy(a) for a in layer.parameters().values())
    assert weights.shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(biases, np.zeros(5))
    limit = np.sqrt(6 / (2 * 3 * (4 + 5)))  # Glorot: both fans count the window
    assert 0.9 * limit < np.abs(weights).max() <= limit


def test_pools_touch_by_default():
    assert MaxPool2D((2, 3)).strides == (2, 3)
    assert AveragePool2D(4).strides == (4, 4)
    assert MaxPool2D(3, strides=2).strides == (2, 2)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Conv2D(0, 3), "Conv2D: filters must be a whole number of at least 1, got 0"),
        (lambda: Conv2D(8, 0), "Conv2D: kernel_size must be a whole number of at least 1, or two of them, got 0"),
        (lambda: Conv2D(8, (3, 3, 3)), r"kernel_size must be .* got \(3, 3, 3\)"),
        (lambda: Conv2D(8, 2.5), r"kernel_size must be .* got 2\.5"),
        (lambda: Conv2D(8, True), "kernel_size must be .* got True"),
        (lambda: Conv2D(8, 3, strides=(1, 0)), r"Conv2D: strides must be .* got \(1, 0\)"),
        (lambda: Conv2D(8, 3, padding="full"), "Conv2D: padding must be 'valid', 'same', .* got 'full'"),
        (lambda: Conv2D(8, 3, padding=-1), "padding must be .* got -1"),
        (lambda: Conv2D(8, 3, padding=(1, 1, 1)), r"padding must be .* got \(1, 1, 1\)"),
        (lambda: Conv2D(8, 3, weight_regularizer=0.1), r"Conv2D: weight_regularizer must be a Regularizer object"),
        (lambda: Conv2D(8, 3, bias_initializer="zeros"), r"Conv2D: bias_initializer must be an? Initializer object"),
        (lambda: MaxPool2D(0), "MaxPool2D: pool_size must be a whole number of at least 1, or two of them, got 0"),
        (lambda: AveragePool2D(2, strides=-1), "AveragePool2D: strides must be .* got -1"),
        (lambda: MaxPool2D(2, padding=2), r"MaxPool2D: padding must be smaller than pool_size \(2, 2\).* got 2"),
        (lambda: Reshape(4), "Reshape: target_shape must be whole numbers .* got 4"),
        (lambda: Reshape(()), "Reshape: target_shape must be"),
        (lambda: Reshape((-1, -1)), r"Reshape: target_shape must be .* got \(-1, -1\)"),
        (lambda: Reshape((0, 3)), r"Reshape: target_shape must be .* got \(0, 3\)"),
    ],
)
def test_senseless_arguments(make, says):
    with pytest.raises(ConfigurationError, match=says):
        make()


@pytest.mark.parametrize(
    ("layer", "given", "says"),
    [
        (
            Conv2D(8, 3),
            (28, 28),
            r"Conv2D\(8, 3x3\) expected x of shape \(batch, height, width, channels\), got \(batch, 28, 28\); "
            r"for images without channels use x\[\.\.\., None\]",
        ),
        (Conv2D(8, 3), (784,), r"got \(batch, 784\); put Reshape\(\(height, width, channels\)\) before it"),
        (
            Conv2D(8, 5),
            (4, 9, 1),
            r"windows of 5x5, which do not fit on x of shape \(batch, 4, 9, 1\); use a smaller kernel_size, or pad",
        ),
        (MaxPool2D(), (1, 1, 8), r"MaxPool2D\(2x2\) has windows of 2x2, which do not fit .* use a smaller pool_size"),
        (
            AveragePool2D(),
            (8, 8),
            r"AveragePool2D\(2x2\) expected .* for images without channels use x\[\.\.\., None\]",
        ),
        (GlobalAveragePool2D(), (8, 8), r"expected x of shape \(batch, height, width, channels\), got \(batch, 8, 8\)"),
        (GlobalAveragePool1D(), (8,), r"expected x of shape \(batch, tokens, channels\), got \(batch, 8\)"),
        (Reshape((5, 5)), (24,), r"Reshape\(\(5, 5\)\) cannot hold the 24 numbers of a sample, got x of shape"),
        (Reshape((5, -1)), (24,), r"Reshape\(\(5, -1\)\) cannot hold the 24 numbers"),
        (Reshape((25, -1)), (24,), r"cannot hold the 24 numbers"),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit(layer, given, says, backend):
    with pytest.raises(ShapeError, match=says):
        layer.build(given, backend)


def network(backend="numpy"):
    return nnxp.Model(
        [
            *(Conv2D(8, 3, padding="same"), ReLU(), MaxPool2D()),
            *(Conv2D(12, 3), ReLU(), AveragePool2D(2, strides=1)),
            *(Flatten(), Dense(2), Softmax()),
        ],
        loss=CategoricalCrossentropy(),
        optimizer=Adam(0.02),
        metrics=["accuracy"],
        backend=backend,
    )


def stripes(random, rows=64):
    """Images of noise with a bright row (class 0) or column (class 1) anywhere in them."""
    x, y = 0.3 * random.standard_normal((rows, 8, 8, 1)), random.integers(0, 2, rows)
    for image, label in zip(x, y, strict=True):
        place = random.integers(8)
        image[(place, slice(None)) if label == 0 else (slice(None), place)] += 1
    return x.astype(np.float32), y


def test_a_network_learns_where_places_do_not_matter(backend, random):
    """Rows against columns: a linear function of the pixels cannot tell them, as each pixel is in as many of both."""
    model = network(backend)
    x, y = stripes(random)
    history = model.fit(x, y, epochs=15, batch_size=16, progress="off")
    assert history["accuracy"][-1] == 1.0
    assert model.evaluate(*stripes(random))["accuracy"] > 0.9


def test_a_channel_axis_is_missed_at_the_door(backend):
    model = network(backend)
    model.build((8, 8, 1))
    with pytest.raises(
        ShapeError, match=r"Conv2D\(8, 3x3\) .*\(batch, 8, 8, 1\), got \(2, 8, 8\); use x\[\.\.\., None\]"
    ):
        model.predict(np.ones((2, 8, 8), np.float32))


def test_summary():
    model = network()
    model.build((8, 8, 1))
    lines = [line.split() for line in str(model.summary()).splitlines()]
    assert lines[2] == ["0", "Conv2D(8,", "3x3)", "(batch,", "8,", "8,", "8)", "80"]
    assert lines[4] == ["2", "MaxPool2D(2x2)", "(batch,", "4,", "4,", "8)", "0"]
    assert lines[5] == ["3", "Conv2D(12,", "3x3)", "(batch,", "2,", "2,", "12)", "876"]


def test_training_resumes_from_a_file(tmp_path, random):
    x, y = stripes(random)
    whole, half = network(), network()
    whole.fit(x, y, epochs=2, batch_size=16, progress="off")
    half.fit(x, y, epochs=1, batch_size=16, progress="off")
    half.save(tmp_path / "half")
    back = nnxp.load(tmp_path / "half")
    back.fit(x, y, epochs=1, batch_size=16, progress="off")
    for key, expected in whole.state_dict().items():
        np.testing.assert_array_equal(back.state_dict()[key], expected, err_msg=key)
