"""Numerical gradients: the book's digits, the analytic gradient on every backend, and what is refused."""

import numpy as np
import pytest

import nnxp
from nnxp.errors import ConfigurationError, DataError, DtypeError, ShapeError
from nnxp.gradcheck import numerical_gradient


def eps(dtype):
    return float(np.finfo(dtype).eps)


def weighted(xp, x):
    """Numbers that differ from element to element, as constants of f."""
    return xp.reshape(xp.arange(1, 7, dtype=x.dtype, device=x.device), (2, 3))


A = np.arange(1.0, 7.0).reshape(2, 3)
FUNCTIONS = {
    # f and its gradient, for x of shape (2, 3)
    "linear": (lambda xp, x: xp.sum(weighted(xp, x) * x), lambda x: A),
    "squares": (lambda xp, x: xp.sum(weighted(xp, x) * x * x), lambda x: 2 * A * x),
    "sines": (lambda xp, x: xp.sum(weighted(xp, x) * xp.sin(x)), lambda x: A * np.cos(x)),
    "product": (lambda xp, x: xp.prod(x), lambda x: x.prod() / x),
    "norm": (lambda xp, x: xp.sqrt(xp.sum(x * x)), lambda x: x / np.linalg.norm(x)),
    "log of a sum of exponentials": (
        lambda xp, x: xp.log(xp.sum(xp.exp(x))),
        lambda x: np.exp(x) / np.exp(x).sum(),
    ),
    "matrix product": (lambda xp, x: xp.sum(x @ xp.permute_dims(x, (1, 0))), lambda x: 2 * x.sum(axis=0) + 0 * x),
    "one element": (lambda xp, x: x[1, 2] ** 3, lambda x: np.array([[0, 0, 0], [0, 0, 3 * x[1, 2] ** 2]])),
}


@pytest.fixture
def point():
    """Of order one and nowhere near 0: no function above is steep or flat there."""
    return np.array([[0.5, -1.25, 1.5], [-0.75, 1.0, 2.0]])


@pytest.mark.parametrize("method", ["central", "forward"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_equals_the_analytic_gradient(name, method, typed_backend, point):
    """Rounding errs by eps·|f| / δ and the method by δ² or δ: with the δ of its own, each is eps^⅔ or eps^½, times
    f and its higher derivatives, which are below 50 here."""
    f, gradient = FUNCTIONS[name]
    backend = typed_backend
    x = backend.asarray(point)
    found = numerical_gradient(lambda x: f(backend.xp, x), x, method=method)
    tolerance = 50 * eps(str(backend.dtype).rsplit(".", 1)[-1]) ** (2 / 3 if method == "central" else 1 / 2)
    np.testing.assert_allclose(backend.to_numpy(found), gradient(point), rtol=0, atol=tolerance)


def test_central_errs_less_than_forward(point):
    """At δ = 10⁻³ by δ²·f‴/6 and not by δ·f″/2."""
    f, gradient = FUNCTIONS["sines"]
    errors = [
        np.abs(numerical_gradient(lambda x: f(np, x), point, method=method, delta=1e-3) - gradient(point)).max()
        for method in ("central", "forward")
    ]
    assert errors[0] < 1e-6 < 1e-4 < errors[1]


@pytest.mark.parametrize(("x", "expected"), [(1.0, 4.0001999999987845), (2.0, 8.000199999998785)])
def test_the_digits_of_the_book(x, expected):
    """*Neural Networks from Scratch in Python*, chapter 7: the slope of 2x², to the last digit."""
    gradient = numerical_gradient(lambda x: 2 * x**2, x, delta=1e-4, method="forward")
    assert gradient.shape == ()
    assert float(gradient) == expected


def test_the_result_lies_where_x_lies(typed_backend, point):
    backend = typed_backend
    gradient = numerical_gradient(lambda x: backend.xp.sum(x), backend.asarray(point))
    assert backend.owns(gradient)
    assert gradient.dtype == backend.dtype
    assert tuple(gradient.shape) == (2, 3)


def test_f_sees_arrays_like_x(typed_backend, point):
    backend, seen = typed_backend, []

    def f(x):
        seen.append((backend.owns(x), x.dtype == backend.dtype, tuple(x.shape)))
        return backend.xp.sum(x)

    numerical_gradient(f, backend.asarray(point))
    assert seen == [(True, True, (2, 3))] * 12


@pytest.mark.parametrize("shape", [(), (1,), (4,), (1, 1), (2, 3, 2), (0,), (2, 0)])
def test_any_shape(shape, backend, random):
    x = backend.asarray(random.uniform(1, 2, shape))
    gradient = backend.to_numpy(numerical_gradient(lambda x: backend.xp.sum(x * x), x))
    assert gradient.shape == shape
    # as above; a sum of twelve squares is below 50, too
    np.testing.assert_allclose(gradient, 2 * backend.to_numpy(x), rtol=0, atol=50 * eps("float32") ** (2 / 3))


@pytest.mark.parametrize("x", [[1, 2], [1.0, 2.0], (1.0, 2.0), np.array([1, 2]), np.array([1, 2], dtype="float16")])
def test_what_is_no_array_of_floats_becomes_float64(x):
    gradient = numerical_gradient(lambda x: np.sum(x**2), x)
    assert type(gradient) is np.ndarray
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, [2, 4], rtol=1e-9)  # eps^⅔ is 4e-11


@pytest.mark.parametrize(("x", "dtype"), [(3, "float64"), (3.0, "float64"), (np.float32(3), "float32")])
def test_a_number_is_a_point(x, dtype):
    gradient = numerical_gradient(lambda x: x**2, x)
    assert gradient.shape == ()
    assert gradient.dtype == dtype
    assert float(gradient) == pytest.approx(6, rel=50 * eps(dtype) ** (2 / 3))


@pytest.mark.parametrize("result", [float, np.float64, lambda v: v, lambda v: v[None], lambda v: [[v]], int, bool])
def test_f_gives_one_number_in_any_form(result):
    """Whole numbers, too: their slope is that of a staircase."""
    gradient = numerical_gradient(lambda x: result(10 * x), np.array(2.0), delta=0.25)
    assert float(gradient) == (0 if result is bool else 10)


def test_x_is_not_changed(backend, array, point):
    """Neither by the differences nor by an f that writes; on NumPy, x is read-only."""
    x = array(point)

    def f(x):
        value = float(backend.xp.sum(x))
        if backend.writable:
            x[...] = 0
        return value

    gradient = numerical_gradient(f, x)
    np.testing.assert_allclose(backend.to_numpy(gradient), np.ones((2, 3)), atol=50 * eps("float32") ** (2 / 3))
    np.testing.assert_array_equal(backend.to_numpy(x), point)


def test_the_step_grows_with_x():
    """At 10⁸ a step of eps^⅓ would be lost in float32; one of eps^⅓·|x| is not."""
    x = np.array([1e8, -1e8, 1e-8], dtype="float32")
    gradient = numerical_gradient(lambda x: 3 * float(x[0]) - 2 * float(x[1]) + float(x[2]), x)
    np.testing.assert_allclose(gradient, [3, -2, 1], rtol=1e-5)  # f, about 5·10⁸, is computed in float64


def test_the_distance_is_the_one_that_is_left_after_rounding():
    """At 100, float32 has steps of 7.6e-6: of 2e-5, 2.3e-5 are left, and a division by 2e-5 would err by a seventh."""
    x = np.array([100.0], dtype="float32")
    assert np.float32(100 + 2e-5) - np.float32(100) != np.float32(2e-5)
    gradient = numerical_gradient(lambda x: float(x[0]), x, delta=2e-5, method="forward")
    assert float(gradient[0]) == 1.0


def test_the_gradient_of_a_loss(backend, random):
    """What the function is for: a model's own gradients, held against differences."""
    x, y = random.normal(size=(4, 3)), random.normal(size=(4, 2))
    loss = nnxp.losses.MeanSquaredError()
    target = backend.asarray(y)
    found = numerical_gradient(lambda p: loss.value(p, target), backend.asarray(x[:, :2]))
    expected = loss.gradient(backend.asarray(x[:, :2]), target)
    np.testing.assert_allclose(
        backend.to_numpy(found), backend.to_numpy(expected), rtol=0, atol=50 * eps("float32") ** (2 / 3)
    )


# -- errors


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (lambda xp, x: x, r"\(2, 3\)"),
        (lambda xp, x: xp.sum(x, axis=1), r"\(2,\)"),
        (lambda xp, x: x[:0, ...], r"\(0, 3\)"),
    ],
)
def test_f_must_give_one_number(f, shape, backend, point):
    message = rf"numerical_gradient expected f\(x\) to be one number, got shape {shape}; sum it, or take one element"
    with pytest.raises(ShapeError, match=message):
        numerical_gradient(lambda x: f(backend.xp, x), backend.asarray(point))


@pytest.mark.parametrize(("result", "got"), [(None, "NoneType"), ("1", "str"), (1j, "complex128")])
def test_f_must_give_a_number(result, got):
    """An f without `return` is the commonest."""
    with pytest.raises(DtypeError, match=rf"numerical_gradient expected f\(x\) .*numbers, got {got}"):
        numerical_gradient(lambda x: result, 1.0)


@pytest.mark.parametrize(
    ("x", "got"), [("1", "str"), (None, "NoneType"), ([1j], "complex128"), ([[1.0], [1.0, 2.0]], "list")]
)
def test_x_must_be_numbers(x, got):
    with pytest.raises(DtypeError, match=f"numerical_gradient expected x .*numbers, got {got}"):
        numerical_gradient(lambda x: 0.0, x)


@pytest.mark.parametrize("method", ["central", "forward"])
def test_a_delta_that_moves_nothing_is_refused(method, backend):
    x = backend.asarray(np.array([1.0, 256.0]))
    message = (
        r"numerical_gradient: delta = 1e-06 does not move x = 256\.0 at \(1,\) in float32; "
        r"use a larger delta, or float64\."
    )
    with pytest.raises(DataError, match=message):
        numerical_gradient(lambda x: backend.xp.sum(x), x, delta=1e-6, method=method)


@pytest.mark.parametrize("delta", [0, -1e-4, np.nan, np.inf, "small", True])
def test_delta_must_be_positive(delta):
    with pytest.raises(ConfigurationError, match=f"numerical_gradient: delta must be a positive number, got {delta!r}"):
        numerical_gradient(lambda x: x, 1.0, delta=delta)


@pytest.mark.parametrize("method", ["backward", "Central", None, 2])
def test_an_unknown_method_is_refused(method):
    message = f"numerical_gradient: method must be one of 'central', 'forward', got {method!r}"
    with pytest.raises(ConfigurationError, match=message):
        numerical_gradient(lambda x: x, 1.0, method=method)


def test_an_error_of_f_is_the_users():
    class Mine(Exception):
        pass

    def f(x):
        raise Mine

    with pytest.raises(Mine):
        numerical_gradient(f, 1.0)


def test_f_must_be_a_function():
    with pytest.raises(ConfigurationError, match="expected f to be a function of an array, got 3"):
        numerical_gradient(3, 1.0)
