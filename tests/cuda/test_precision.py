"""Products in TF32 and bf16: what is asked for is what is done, and float32 stays float32."""

import re

import numpy as np
import pytest

import nnxp
from nnxp import layers, losses, optimizers
from nnxp.backend import Backend
from nnxp.errors import BackendError, ConfigurationError

FRACTION = {"tf32": 10, "bf16": 7}
"""Explicit bits of a number's fraction."""


def backend(precision: str) -> Backend:
    try:
        return nnxp.get_backend("numpy", kernels="cuda", precision=precision)
    except BackendError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("precision", FRACTION)
def test_products_round_their_operands_and_nothing_else(precision: str) -> None:
    ops, step = backend(precision).ops, np.float32(2.0 ** -FRACTION[precision])
    x = np.array([[1 + step, 1 + step / 4]], np.float32)  # kept, and rounded to 1
    w = np.eye(2, dtype=np.float32)
    b = np.array([step / 8, step / 8], np.float32)
    np.testing.assert_array_equal(ops.matmul(x, w), [[1 + step, 1]])
    np.testing.assert_array_equal(ops.linear(x, w, b), [[1 + step + step / 8, 1 + step / 8]])
    np.testing.assert_array_equal(ops.relu(x), x)


@pytest.mark.parametrize(("precision", "apart"), [("float32", 1e-6), ("tf32", 2e-3), ("bf16", 2e-2)])
def test_training_parts_from_float64_by_the_rounding(precision: str, apart: float) -> None:
    x = np.random.default_rng(0).standard_normal((64, 20)).astype(np.float32)
    y = np.arange(64) % 3
    histories = []
    for where in (backend(precision), nnxp.get_backend("numpy", kernels="reference", dtype="float64")):
        network = [layers.Dense(32), layers.ReLU(), layers.Dense(3), layers.Softmax()]
        parts = {"loss": losses.CategoricalCrossentropy(), "optimizer": optimizers.Adam(0.01)}
        model = nnxp.Model(network, **parts, backend=where)
        histories.append(model.fit(x, y, epochs=20, progress="off")["loss"])
        assert {array.dtype for array in model.state_dict().values()} == {np.dtype(str(where.dtype))}
    difference = np.abs(np.subtract(*histories)).max()
    assert difference < apart
    assert precision == "float32" or difference > apart / 1000, "nothing was rounded"


def test_a_model_keeps_kernels_and_precision() -> None:
    parts = {"loss": losses.MeanSquaredError(), "optimizer": optimizers.SGD()}
    model = nnxp.Model([layers.Dense(2)], **parts, backend=backend("tf32"), seed=3)
    assert (model.backend.precision, model.backend.kernels) == ("tf32", "cuda")
    wider = nnxp.Model([layers.Dense(2)], **parts, backend=backend("float32"), dtype="float64")
    assert (wider.backend.precision, wider.backend.kernels) == ("float32", "cuda")
    with pytest.raises(BackendError, match="'tf32' rounds float32 numbers"):
        nnxp.Model([layers.Dense(2)], **parts, backend=backend("tf32"), dtype="float64")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"precision": "half"}, ConfigurationError, "precision must be one of 'float32', 'tf32', 'bf16', got 'half'"),
        ({"precision": "tf32"}, BackendError, "multiplies float32 as it is; precision 'tf32' needs kernels 'cuda'"),
        (
            {"precision": "bf16", "dtype": "float64", "kernels": "cuda"},
            BackendError,
            "rounds float32 .* got .*'float64'",
        ),
    ],
)
def test_a_precision_that_cannot_be(options: dict[str, str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.compile(message)):
        nnxp.get_backend("numpy", **options)
