"""The book's accuracies: shares of right predictions, of one batch and of a pass."""

import numpy as np
import pytest

import nnxp.compat.nnfs as nnfs
from nnxp.compat.nnfs import Accuracy_Categorical, Accuracy_Regression


@pytest.mark.parametrize(
    "y",
    [
        np.array([0, 2, 1, 1], dtype=np.uint8),
        np.array([0, 2, 1, 1]),
        [0, 2, 1, 1],
        np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0]]),
        np.eye(3)[[0, 2, 1, 1]],
    ],
    ids=["uint8", "int64", "list", "one-hot", "float one-hot"],
)
def test_classes(y, begun):
    found = Accuracy_Categorical().calculate(np.array([0, 2, 2, 1]), y)
    assert isinstance(found, float)
    assert found == 0.75


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float32", "float64"])
def test_binary(dtype, begun, array):
    """Output by output, for several outputs at once."""
    y = np.array([[1, 0], [0, 0], [1, 1], [0, 1]]).astype(dtype)
    predictions = np.array([[1, 1], [0, 0], [1, 1], [1, 1]])
    assert Accuracy_Categorical(binary=True).calculate(array(predictions), array(y)) == 6 / 8


def test_binary_one_column_is_not_one_hot(begun):
    assert Accuracy_Categorical(binary=True).calculate([[0], [1], [1]], [[0], [0], [1]]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("y", [[[1.0], [3.0]], [[1], [3]]], ids=["floats", "whole numbers"])
def test_regression(y, begun):
    """Closer than std(y) / 250, with std of the data that init was given: 1/250 here."""
    accuracy = Accuracy_Regression()
    accuracy.init(y)
    assert accuracy.precision == 1 / 250
    predictions = np.float32([[1.0 + 0.9 / 250], [3.0 + 1.1 / 250]])
    assert accuracy.calculate(predictions, y) == 0.5
    assert accuracy.calculate(predictions[::-1].copy(), y[::-1]) == 0.5


def test_the_precision_stays_unless_asked(begun):
    accuracy = Accuracy_Regression()
    accuracy.init([[1.0], [3.0]])
    accuracy.init([[0.0], [10.0]])
    assert accuracy.precision == 1 / 250
    accuracy.init([[0.0], [10.0]], reinit=True)
    assert accuracy.precision == 5 / 250


def test_the_precision_is_that_of_float64():
    """A large mean does not eat it, as it does in float32."""
    nnfs.init()
    accuracy = Accuracy_Regression()
    accuracy.init(1e6 + np.arange(100.0))
    assert accuracy.precision == pytest.approx(np.std(np.arange(100.0)) / 250)


def test_accumulates_over_a_pass(begun):
    accuracy = Accuracy_Categorical()
    accuracy.calculate([0, 1, 2], [0, 1, 2])
    accuracy.calculate([0], [1])
    assert accuracy.calculate_accumulated() == 0.75
    accuracy.new_pass()
    accuracy.calculate([0], [1])
    assert accuracy.calculate_accumulated() == 0
