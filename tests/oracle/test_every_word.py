"""Every activation, layer, loss, penalty and optimizer is held against PyTorch somewhere here, or is listed with the
reason why it cannot be. New words, new names of tests and tests that are gone make this fail.

First, the plain layers that no other file takes.
"""

import importlib.util
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp import layers, losses, optimizers, regularizers

torch = pytest.importorskip("torch")
functional = torch.nn.functional

TOLERANCE = 1e-10
"""Relative, to the largest element: float64 on both sides, and sums of a few dozen numbers of order one."""

PEERS: dict[str, tuple[Callable[[], layers.Layer], tuple[int, ...], Callable[..., Any]]] = {
    # the layer, the shape of x, and PyTorch's function of x and the parameters
    "Dense": (lambda: layers.Dense(4), (5, 3), lambda x, w, b: functional.linear(x, w.T, b)),
    "Dropout": (lambda: layers.Dropout(0.4), (5, 3), lambda x: functional.dropout(x, 0.4, training=False)),
    "Flatten": (layers.Flatten, (5, 2, 3, 4), lambda x: torch.nn.Flatten()(x)),
    "Reshape": (lambda: layers.Reshape((4, 6)), (5, 2, 3, 4), lambda x: torch.nn.Unflatten(1, (4, 6))(x.flatten(1))),
    "GlobalAveragePool1D": (
        layers.GlobalAveragePool1D,
        (5, 7, 3),
        lambda x: functional.adaptive_avg_pool1d(x.movedim(-1, 1), 1).flatten(1),
    ),
    "GlobalAveragePool2D": (
        layers.GlobalAveragePool2D,
        (5, 4, 6, 3),
        lambda x: functional.adaptive_avg_pool2d(x.movedim(-1, 1), 1).flatten(1),
    ),
    "Linear": (layers.Linear, (5, 3), lambda x: torch.nn.Identity()(x)),
    "Sequential": (
        lambda: layers.Sequential([layers.Dense(6), layers.Tanh(), layers.Sequential([layers.Dense(2)])]),
        (5, 3),
        lambda x, w, b, v, c: functional.linear(torch.tanh(functional.linear(x, w.T, b)), v.T, c),
    ),
    "Residual": (
        lambda: layers.Residual([layers.Dense(4), layers.Sigmoid(), layers.Dense(3)]),
        (5, 3),
        lambda x, w, b, v, c: x + functional.linear(torch.sigmoid(functional.linear(x, w.T, b)), v.T, c),
    ),
}

ELSEWHERE: dict[type, tuple[str, str]] = {
    # the word, the file and the test; where the test goes over a table, its name
    **{
        getattr(layers, name): ("test_activations_oracle", "PEERS")
        for name in layers.activations.__all__
        if name not in ("Linear", "Step")
    },
    layers.AveragePool2D: ("test_vision_oracle", "test_average_pooling"),
    layers.Conv2D: ("test_vision_oracle", "test_convolution"),
    layers.MaxPool2D: ("test_vision_oracle", "test_max_pooling"),
    layers.BatchNorm: ("test_normalization_oracle", "test_batch_norm"),
    layers.LayerNorm: ("test_normalization_oracle", "test_layer_norm"),
    layers.RMSNorm: ("test_normalization_oracle", "test_rms_norm"),
    layers.Embedding: ("test_normalization_oracle", "test_embedding"),
    losses.BinaryCrossentropy: ("test_losses_oracle", "LOSSES"),
    losses.CategoricalCrossentropy: ("test_losses_oracle", "LOSSES"),
    losses.Huber: ("test_losses_oracle", "LOSSES"),
    losses.KLDivergence: ("test_losses_oracle", "LOSSES"),
    losses.MeanAbsoluteError: ("test_losses_oracle", "LOSSES"),
    losses.MeanSquaredError: ("test_losses_oracle", "LOSSES"),
    regularizers.L1: ("test_torch_oracle", "test_penalty"),
    regularizers.L2: ("test_torch_oracle", "test_penalty"),
    **{
        getattr(optimizers, name): ("test_optimizers_oracle", "AGREE")
        for name in ("SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RMSprop")
    },
}

WITHOUT: dict[type, str] = {
    layers.Lambda: "two functions of the user's own; tests/layers/test_lambda.py",
    layers.Step: "has no gradient, and PyTorch no such layer; tests/ops/test_activations.py",
    losses.Hinge: "PyTorch's are for several classes; its formula, and scikit-learn: test_losses_oracle.py",
    losses.LogCosh: "not in PyTorch; its formula there: test_losses_oracle.py",
    optimizers.Lion: "not in PyTorch; its paper's algorithm: test_optimizers_oracle.py",
    optimizers.RandomSearch: "draws its steps; tests/training/test_random_search.py",
    regularizers.L1L2: "L1 and L2, which are here; tests/test_regularizers.py",
}


def tensor(a: Any, *, gradient: bool = False) -> Any:
    return torch.tensor(np.asarray(a), requires_grad=gradient)


def assert_agrees(found: Any, expected: Any, name: str) -> None:
    found, expected = np.asarray(found), expected.detach().numpy()
    assert found.dtype == expected.dtype == np.float64
    assert found.shape == expected.shape, name
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(), err_msg=name)


@pytest.mark.parametrize("kernels", ["reference", "numpy"])
@pytest.mark.parametrize("name", PEERS)
def test_layer(name, kernels, random):
    """Output and all gradients, with a random gradient from above; Dropout outside of training."""
    make, shape, peer = PEERS[name]
    layer, backend = make(), nnxp.get_backend("numpy", dtype="float64", kernels=kernels)
    layer.build(shape[1:], backend)
    for path, leaf in layer.leaves():
        for parameter, value in leaf.parameters().items():
            assert hasattr(leaf, parameter), (path, parameter)
            setattr(leaf, parameter, random.standard_normal(value.shape))
    x = random.standard_normal(shape)
    points = [tensor(a.copy(), gradient=True) for a in (x, *layer.parameters().values())]
    y, expected = layer.forward(x, training=name != "Dropout"), peer(*points)
    assert_agrees(y, expected, "y")
    dy = random.standard_normal(y.shape)
    dx = layer.backward(dy)
    expected.backward(tensor(dy))
    for found, point, what in zip((dx, *layer.gradients().values()), points, ("x", *layer.gradients()), strict=True):
        assert_agrees(found, point.grad, what)


@pytest.mark.parametrize("kernels", ["reference", "numpy"])
def test_gradient_of_an_embedding(kernels, random):
    """Of words that stand twice, and of some that nobody names."""
    layer, backend = layers.Embedding(9, 4), nnxp.get_backend("numpy", dtype="float64", kernels=kernels)
    layer.build((3, 5), backend)
    x, dy = random.integers(0, 6, (2, 3, 5)), random.standard_normal((2, 3, 5, 4))
    weights = tensor(layer.weights.copy(), gradient=True)
    expected = functional.embedding(tensor(x), weights)
    expected.backward(tensor(dy))
    assert_agrees(layer.forward(x, training=True), expected, "y")
    layer.backward(dy)
    assert_agrees(layer.gradients()["weights"], weights.grad, "weights")
    assert not layer.gradients()["weights"][6:].any()


# -- nothing is missing


def words() -> set[type]:
    """The classes of the public modules that say what they do."""
    public = {getattr(module, name) for module in (layers, losses, optimizers, regularizers) for name in module.__all__}
    bases = {layers.Layer, layers.RecordedLayer, losses.Loss, optimizers.Optimizer, optimizers.GradientOptimizer}
    return {word for word in public if inspect.isclass(word)} - bases - {regularizers.Penalty, regularizers.Regularizer}


@cache
def neighbour(name: str) -> ModuleType:
    """Another file of this folder, by its path."""
    spec = importlib.util.spec_from_file_location(f"oracle_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_table(table: dict[str, tuple[Any, ...]]) -> set[type]:
    """The classes of what a table's rows begin with: an object, or what makes one."""
    firsts = [row[0] for row in table.values()]
    return {type(first if not callable(first) else first()) for first in firsts}


def test_every_word_has_its_place():
    places = [{getattr(layers, name) for name in PEERS}, set(ELSEWHERE), set(WITHOUT)]
    assert set().union(*places) == words()
    assert sum(map(len, places)) == len(words()), "a word stands in two places"


def test_own_table_makes_what_it_says():
    assert {name: type(make()).__name__ for name, (make, _, _) in PEERS.items()} == {name: name for name in PEERS}


@pytest.mark.parametrize("word", ELSEWHERE, ids=lambda word: word.__name__)
def test_the_place_is_there(word):
    """A row of the table, or a test that names the class; and what goes over the table is a test."""
    file, name = ELSEWHERE[word]
    module = neighbour(file)
    tests = {test: inspect.getsource(make) for test, make in vars(module).items() if test.startswith("test_")}
    if name.startswith("test_"):
        assert f"{word.__name__}(" in tests[name]  # in its decorators or its body
    else:
        assert word in in_table(getattr(module, name))
        assert any(f'"name", {name})' in source for source in tests.values())


@pytest.mark.parametrize("word", WITHOUT, ids=lambda word: word.__name__)
def test_the_reason_holds(word):
    """PyTorch has nothing of that name, and the file that is named instead names the word."""
    assert not hasattr(torch.nn, word.__name__)
    assert not hasattr(torch.optim, word.__name__)
    place = WITHOUT[word].replace(": ", "; ").split("; ")[-1]
    here = Path(__file__).parent
    path = here / place if "/" not in place else here.parents[1] / place
    assert word.__name__ in path.read_text(encoding="utf-8")
