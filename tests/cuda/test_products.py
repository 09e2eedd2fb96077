"""NumPy's model of cublasLt's products against the mathematics, on sizes that no tile divides."""

from itertools import product as pairs

import numpy as np
import pytest

from nnxp.errors import DtypeError, ShapeError
from nnxp.ops.cuda import gemm, model
from nnxp.ops.cuda.gemm import Epilogue, Product

SIZES = [
    *((1, 1, 1), (1, 31, 33), (31, 1, 127), (33, 127, 1), (2, 3, 5), (127, 100, 129), (128, 128, 128)),
    *((129, 33, 31), (100, 784, 10), (61, 67, 71)),
]
"""The batch, the features before and after."""

DTYPES = ("float32", "float64")
ULPS = 64
"""Sums in another order: relative to the sums of magnitudes, in units of the last place."""


def draw(*shape, dtype="float64", seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


def run(product, a, b, d, *, bias=None, mask=None):
    addresses = {"bias": 0 if bias is None else bias.ctypes.data, "mask": 0 if mask is None else mask.ctypes.data}
    model.run(product, a.ctypes.data, b.ctypes.data, d.ctypes.data, **addresses)


def close(found, expected, magnitudes):
    assert found.dtype in (np.float32, np.float64)
    assert np.all(np.abs(found - expected) <= ULPS * np.finfo(found.dtype).eps * magnitudes)


def bits(mask, rows):
    """The mask[B,F] of activations[B,F], bit by bit: bit i % 8 of byte i // 8 of a column."""
    i = np.arange(rows)
    return (mask[:, i // 8] >> (i % 8)) & 1


def new_mask(product, fill=0):
    assert product.mask_bytes == gemm.mask_bytes(product.m, product.n)
    return np.full((product.n, product.mask_ld // 8), fill, dtype=np.uint8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("batch", "inputs", "outputs"), SIZES)
@pytest.mark.parametrize(
    "epilogue",
    [e for e in Epilogue if not e.masks and e not in (Epilogue.BGRADA, Epilogue.BGRADB)],
    ids=lambda e: e.name,
)
def test_forward(batch, inputs, outputs, dtype, epilogue):
    x, w, b = draw(batch, inputs, dtype=dtype), draw(inputs, outputs, dtype=dtype), draw(outputs, dtype=dtype)
    product = gemm.forward(batch, inputs, outputs, epilogue=epilogue, dtype=dtype)
    y, mask = np.full((batch, outputs), np.nan, dtype=dtype), new_mask(product) if epilogue.has_mask else None

    run(product, w, x, y, bias=b if epilogue.has_bias else None, mask=mask)

    z = x.astype("f8") @ w + (b if epilogue.adds_bias else 0)
    close(y, np.maximum(z, 0) if epilogue.relu else z, np.abs(x) @ np.abs(w) + np.abs(b))
    if mask is not None:
        np.testing.assert_array_equal(bits(mask, outputs), y > 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("batch", "inputs", "outputs"), SIZES)
def test_input_gradient(batch, inputs, outputs, dtype):
    dy, w = draw(batch, outputs, dtype=dtype), draw(inputs, outputs, dtype=dtype)
    dx = np.full((batch, inputs), np.nan, dtype=dtype)

    run(gemm.input_gradient(batch, inputs, outputs, dtype=dtype), w, dy, dx)

    close(dx, dy.astype("f8") @ w.T, np.abs(dy) @ np.abs(w.T))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("batch", "inputs", "outputs"), SIZES)
@pytest.mark.parametrize("epilogue", [Epilogue.DEFAULT, Epilogue.BGRADA, Epilogue.BGRADB], ids=lambda e: e.name)
def test_weight_gradient(batch, inputs, outputs, dtype, epilogue):
    x, dy = draw(batch, inputs, dtype=dtype), draw(batch, outputs, dtype=dtype)
    product = gemm.weight_gradient(batch, inputs, outputs, epilogue=epilogue, dtype=dtype)
    dw, db = np.full((inputs, outputs), np.nan, dtype=dtype), np.full(product.bias_size + 1, np.nan, dtype=dtype)

    run(product, dy, x, dw, bias=db if epilogue.has_bias else None)

    close(dw, x.T.astype("f8") @ dy, np.abs(x.T) @ np.abs(dy))
    if epilogue.has_bias:
        summed = dy if epilogue is Epilogue.BGRADA else x
        close(db[:-1], summed.sum(0, dtype="f8"), np.abs(summed).sum(0))
    assert np.isnan(db[-1])  # nothing was written behind the vector


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("batch", "inputs", "outputs"), SIZES)
@pytest.mark.parametrize("epilogue", [Epilogue.DRELU, Epilogue.DRELU_BGRAD], ids=lambda e: e.name)
def test_a_mask_goes_from_forward_to_backward(batch, inputs, outputs, dtype, epilogue):
    """Two layers with a ReLU between them: dz of the first is dy · wᵀ where the ReLU let through."""
    K = 7
    x, v, b = draw(batch, K, dtype=dtype), draw(K, inputs, dtype=dtype), draw(inputs, dtype=dtype)
    w, dy = draw(inputs, outputs, dtype=dtype), draw(batch, outputs, dtype=dtype)
    there = gemm.forward(batch, K, inputs, epilogue=Epilogue.RELU_AUX_BIAS, dtype=dtype)
    back = gemm.input_gradient(batch, inputs, outputs, epilogue=epilogue, dtype=dtype)
    y, mask = np.empty((batch, inputs), dtype=dtype), new_mask(there)
    assert back.mask_ld == there.mask_ld

    run(there, v, x, y, bias=b, mask=mask)
    mask[:, -(-inputs // 8) :] = 255  # the bits behind the last row mean nothing
    if inputs % 8:
        mask[:, inputs // 8] |= np.uint8((255 << inputs % 8) & 255)
    dz, db = np.full((batch, inputs), np.nan, dtype=dtype), np.full(inputs, np.nan, dtype=dtype)
    run(back, w, dy, dz, bias=db if epilogue.has_bias else None, mask=mask)

    expected, magnitudes = np.where(y > 0, dy.astype("f8") @ w.T, 0), np.abs(dy) @ np.abs(w.T)
    close(dz, expected, magnitudes)
    if epilogue.has_bias:
        close(db, expected.sum(0), magnitudes.sum(0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [gemm.forward, gemm.input_gradient, gemm.weight_gradient])
def test_rows_with_gaps(kind, dtype):
    """Views of wider matrices: the gaps are neither read nor written."""
    batch, inputs, outputs = 5, 7, 11
    x, w, y = (draw(r, c, dtype=dtype) for r, c in ((batch, inputs + 3), (inputs, outputs + 2), (batch, outputs + 5)))
    strides = {"ldx": inputs + 3, "ldw": outputs + 2, "ldy": outputs + 5}
    product = kind(batch, inputs, outputs, epilogue=Epilogue.DEFAULT, dtype=dtype, **strides)
    expected = {
        gemm.forward: lambda: x[:, :inputs] @ w[:, :outputs],
        gemm.input_gradient: lambda: y[:, :outputs] @ w[:, :outputs].T,
        gemm.weight_gradient: lambda: x[:, :inputs].T @ y[:, :outputs],
    }[kind]()
    a, b, d = {gemm.forward: (w, x, y), gemm.input_gradient: (w, y, x), gemm.weight_gradient: (y, x, w)}[kind]
    before = d.copy()

    run(product, a, b, d)

    columns = expected.shape[1]
    np.testing.assert_allclose(d[:, :columns], expected, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-5)
    np.testing.assert_array_equal(d[:, columns:], before[:, columns:])


@pytest.mark.parametrize("kind", [gemm.forward, gemm.weight_gradient])
def test_beta_adds_to_what_is_there_and_never_to_a_bias_gradient(kind):
    batch, inputs, outputs = 3, 4, 5
    epilogue = Epilogue.BIAS if kind is gemm.forward else Epilogue.BGRADA
    x, w, y, vector = draw(batch, inputs), draw(inputs, outputs), draw(batch, outputs), draw(outputs)
    before = (y if kind is gemm.forward else w).copy()
    product = kind(batch, inputs, outputs, epilogue=epilogue, dtype="float64", beta=1)
    if kind is gemm.forward:
        run(product, w, x, y, bias=vector)
        np.testing.assert_allclose(y, before + x @ w + vector, rtol=1e-12)
    else:
        run(product, y, x, w, bias=vector)
        np.testing.assert_allclose(w, before + x.T @ y, rtol=1e-12)
        np.testing.assert_allclose(vector, y.sum(0), rtol=1e-12)


def test_at_zero_and_at_nan_as_the_device_is_expected_to():
    """Unlike the reference: at 0 the mask lets through, and a ReLU makes 0 of NaN."""
    x = np.array([[0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0]])
    product = gemm.forward(1, 1, 7, epilogue=Epilogue.RELU_AUX, dtype="float64")
    y, mask = np.empty((1, 7)), new_mask(product)
    run(product, x, np.ones((1, 1)), y, mask=mask)
    np.testing.assert_array_equal(y, [[0, 0, 0, np.inf, 0, 1, 0]])
    np.testing.assert_array_equal(bits(mask, 7), [[1, 1, 1, 1, 0, 1, 0]])


def test_a_closed_gate_stops_what_is_not_finite():
    product = gemm.input_gradient(1, 2, 2, epilogue=Epilogue.DRELU, dtype="float64")
    mask = new_mask(product)
    mask[0, 0] = 0b10
    dx = np.empty((1, 2))
    run(product, np.eye(2), np.array([[np.inf, 3.0]]), dx, mask=mask)
    assert dx[0, 0] == 0
    assert np.isnan(dx[0, 1])  # ∞ · 0 + 3


def patterns():
    """float32 numbers whose bits are the hard ones: ties, carries, the ends of the range, both zeros."""
    exponents = np.array([0, 1, 2, 126, 127, 128, 253, 254], dtype=np.uint32) << 23
    fractions = {0, 1, (1 << 23) - 1}
    for keep in (10, 7):
        half = 1 << (22 - keep)
        for odd, near in pairs((0, 2 * half, (1 << 23) - 2 * half), (half - 1, half, half + 1)):
            fractions.add((odd + near) & 0x7FFFFF)
    ones = [e | np.uint32(f) | s for e in exponents for f in fractions for s in (np.uint32(0), np.uint32(1 << 31))]
    rng = np.random.default_rng(1)
    some = rng.integers(0, 0x7F800000, 500, dtype=np.uint32) | (rng.integers(0, 2, 500, dtype=np.uint32) << 31)
    return np.concatenate([np.array(ones, dtype=np.uint32), some])


def rounded(pattern, keep, tie):
    """One number's bits, rounded to ``keep`` bits of the fraction by whole numbers: magnitudes are in order."""
    sign, magnitude = pattern >> 31, pattern & 0x7FFFFFFF
    step = 1 << (23 - keep)
    below, rest = magnitude // step, magnitude % step
    up = rest > step // 2 or (rest == step // 2 and (tie == "away" or below % 2 == 1))
    return sign << 31 | (below + up) * step


@pytest.mark.parametrize(("function", "keep", "tie"), [(model.tf32, 10, "away"), (model.bf16, 7, "even")])
def test_rounding_is_bit_for_bit_its_definition(function, keep, tie):
    x = patterns()
    expected = [rounded(int(pattern), keep, tie) for pattern in x]
    np.testing.assert_array_equal(function(x.view(np.float32)).view(np.uint32), np.array(expected, dtype=np.uint32))


@pytest.mark.parametrize("function", [model.tf32, model.bf16])
def test_rounding_keeps_what_is_no_number(function):
    x = np.array([np.inf, -np.inf, np.nan, -np.nan], dtype=np.float32)
    np.testing.assert_array_equal(function(x), x)
    full = np.array([0x7FFFFFFF, 0xFFFFFFFF], dtype=np.uint32).view(np.float32)
    assert np.all(np.isnan(function(full)))


@pytest.mark.parametrize(("precision", "eps"), [("float32", 2.0**-22), ("tf32", 2.0**-11), ("bf16", 2.0**-8)])
def test_a_precision_rounds_the_factors_and_nothing_else(precision, eps):
    batch, inputs, outputs = 33, 129, 31
    x, w, b = draw(batch, inputs, dtype="f4"), draw(inputs, outputs, dtype="f4"), draw(outputs, dtype="f4")
    y = np.empty((batch, outputs), dtype="f4")
    run(gemm.forward(batch, inputs, outputs, precision=precision), w, x, y, bias=b)
    function = {"float32": lambda a: a, "tf32": model.tf32, "bf16": model.bf16}[precision]
    magnitudes = np.abs(x) @ np.abs(w) + np.abs(b)
    close(y, function(x).astype("f8") @ function(w) + b, magnitudes)
    error = np.max(np.abs(y - (x.astype("f8") @ w + b)) / magnitudes)
    assert error < 2.1 * eps
    assert precision == "float32" or error > eps / 100  # rounded indeed


def test_fields_that_contradict_each_other():
    good = {"m": 5, "n": 3, "k": 4, "transpose_a": False, "transpose_b": False, "lda": 5, "ldb": 4, "ldd": 5}
    Product(**good)
    with pytest.raises(ShapeError, match="sizes of at least 1, got m=0"):
        Product(**good | {"m": 0})
    for name, value in (("lda", 4), ("ldb", 3), ("ldd", 4)):
        with pytest.raises(ShapeError, match=f"{name} must be at least the matrix's {value + 1} rows, got {value}"):
            Product(**good | {name: value})
    with pytest.raises(ShapeError, match="lda must be at least the matrix's 6 rows"):
        Product(**good | {"transpose_a": True, "k": 6, "ldb": 6})
    with pytest.raises(ShapeError, match="beta must be 0"):
        Product(**good, beta=2)
    with pytest.raises(DtypeError, match="'tf32' is for float32"):
        Product(**good, dtype="float64", precision="tf32")
    with pytest.raises(ShapeError, match="BIAS has no mask"):
        Product(**good, epilogue=Epilogue.BIAS, mask_ld=128)
    for wrong in (0, 64, 130):
        with pytest.raises(ShapeError, match="multiple of 128 bits and at least 128"):
            Product(**good, epilogue=Epilogue.RELU_AUX, mask_ld=wrong)


def test_addresses_that_are_missing():
    product = gemm.forward(1, 1, 1)
    with pytest.raises(ShapeError, match="BIAS needs bias=True and mask=False, got 0"):
        run(product, *(np.ones((1, 1), dtype="f4") for _ in range(3)))


@pytest.mark.parametrize(("rows", "ld"), [(1, 128), (127, 128), (128, 128), (129, 256), (1000, 1024)])
def test_mask_sizes(rows, ld):
    assert gemm.mask_ld(rows) == ld
    assert gemm.mask_bytes(rows, 3) == 3 * ld // 8
