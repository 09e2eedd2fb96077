"""``init``: what it chooses, what it seeds, and that NumPy itself stays as it was."""

import numpy as np
import pytest

import nnxp
import nnxp.compat.nnfs as nnfs
from nnxp.compat.nnfs import Activation_Sigmoid, Layer_Dense, Layer_Dropout, spiral_data, vertical_data
from nnxp.errors import BackendError, ConfigurationError

ROWS = [[1.0, -2.0], [0.5, 3.0]]


def draws(seed):
    return np.random.RandomState(seed).randn(3)


@pytest.mark.parametrize("seed", [0, 7])
def test_seeds_the_legacy_stream(seed):
    nnfs.init(random_seed=seed)
    np.testing.assert_array_equal(np.random.randn(3), draws(seed))


def test_the_seed_is_0():
    np.random.seed(5)
    nnfs.init()
    np.testing.assert_array_equal(np.random.randn(3), draws(0))


def test_without_a_seed_the_stream_goes_on():
    np.random.seed(5)
    nnfs.init(random_seed=None)
    np.testing.assert_array_equal(np.random.randn(3), draws(5))


def test_numpy_is_not_patched(begun):
    """The book's package replaces these four; here they are what they were, before and after use."""
    names = {"dot": np, "zeros": np, "eye": np, "randn": np.random}
    before = {name: getattr(module, name) for name, module in names.items()}
    nnfs.init(begun)
    layer = Layer_Dense(2, 3)
    layer.forward(ROWS)
    spiral_data(3, 2)
    assert all(getattr(module, name) is before[name] for name, module in names.items())
    for a in (np.zeros(2), np.eye(2), np.random.randn(2), np.dot(np.eye(2), np.eye(2))):
        assert a.dtype == np.float64


@pytest.mark.parametrize("choose", [lambda backend: backend, lambda backend: backend.xp], ids=["object", "namespace"])
def test_takes_a_backend_or_a_namespace(choose, backend):
    nnfs.init(choose(backend))
    assert Layer_Dense(2, 3).weights.dtype == backend.dtype


def test_takes_a_name():
    nnfs.init("array_api_strict")
    assert nnxp.get_backend("array_api_strict").owns(Layer_Dense(2, 3).weights)


def test_takes_a_device():
    import array_api_strict

    device = array_api_strict.Device("device1")
    nnfs.init("array_api_strict", device=device)
    assert Layer_Dense(2, 3).weights.device == device


def test_weights_and_data_are_the_same_on_every_backend(backend):
    def start():
        arrays = Layer_Dense(3, 4).weights, *spiral_data(5, 3), *vertical_data(4, 2)
        return [np.float32(backend.to_numpy(a)) for a in arrays]

    nnfs.init("numpy")
    expected = start()
    nnfs.init(backend)
    for found, wanted in zip(start(), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_float64():
    nnfs.init(default_dtype="float64")
    layer = Layer_Dense(2, 3)
    layer.forward(np.float64(ROWS))
    assert layer.weights.dtype == layer.biases.dtype == layer.output.dtype == np.float64
    np.testing.assert_array_equal(layer.output, np.float64(ROWS) @ layer.weights)


# A thousand terms: every sum of them in float32, in whatever order, misses some of fifty results by a last digit.
A = np.random.RandomState(0).randn(50, 1000).astype(np.float32)
B = np.random.RandomState(1).randn(1000, 20).astype(np.float32)


EXACT = (A.astype(np.float64) @ B).astype(np.float32)


def products(precise):
    """A·B three times: as an output, as a gradient by the inputs and as one by the weights."""
    nnfs.init(dot_precision_workaround=precise)
    first, second, third = Layer_Dense(1000, 20), Layer_Dense(20, 1000), Layer_Dense(50, 20)
    first.weights, second.weights = B, B.T.copy()
    first.forward(A)
    second.forward(np.zeros((50, 20)))
    second.backward(A)
    third.forward(A.T)
    third.backward(B)
    return first.output, second.dinputs, third.dweights


def test_products_are_summed_in_float64():
    for found in products(True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, EXACT)


def test_the_workaround_can_be_left_out():
    for found in products(False):
        assert found.dtype == np.float32
        assert np.any(found != EXACT)
        np.testing.assert_allclose(found, EXACT, rtol=1e-3, atol=1e-3)


def test_works_without_init(monkeypatch):
    """An early chapter's script may never call it: NumPy, float32, and the stream as the script has it."""
    from nnxp.compat.nnfs import _arithmetic

    monkeypatch.setattr(_arithmetic, "_session", _arithmetic._Session())
    np.random.seed(3)
    layer = Layer_Dense(2, 3)
    assert isinstance(layer.weights, np.ndarray)
    expected = np.float32(0.01) * np.random.RandomState(3).randn(2, 3).astype(np.float32)
    np.testing.assert_array_equal(layer.weights, expected)


def test_arrays_of_an_earlier_backend_are_taken(backend):
    """``init`` in the middle of a notebook: layers made before go on, on the new backend."""
    nnfs.init("numpy")
    layer, activation, dropout = Layer_Dense(2, 3), Activation_Sigmoid(), Layer_Dropout(0.5)
    nnfs.init(backend)
    layer.forward(np.float32(ROWS))
    activation.forward(layer.output)
    dropout.forward(activation.output)
    assert backend.owns(dropout.output)


def test_an_unknown_backend_changes_nothing():
    nnfs.init("numpy")
    with pytest.raises(BackendError, match=r"There is no backend 'nope'. Usable here: numpy"):
        nnfs.init("nope")
    assert isinstance(Layer_Dense(2, 3).weights, np.ndarray)


def test_bad_choices():
    with pytest.raises(BackendError, match="dtype must be one of float32, float64, got 'float16'"):
        nnfs.init(default_dtype="float16")
    with pytest.raises(ConfigurationError, match="init: random_seed must be a whole number of at least 0, got 'x'"):
        nnfs.init(random_seed="x")
