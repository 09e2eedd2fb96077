r"""Derivatives by differences, one element at a time."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from nnxp import _check
from nnxp._types import Array
from nnxp._values import numbers
from nnxp.backend import backend_of, to_host
from nnxp.errors import ConfigurationError, DataError, ShapeError

__all__ = ["numerical_gradient"]


def numerical_gradient(
    f: Callable[[Array], Any],
    x: Any,
    *,
    delta: float | None = None,
    method: Literal["central", "forward"] = "central",
) -> Array:
    r"""``x[…] -> df/dx[…]``: the partial derivative of f by each element of x, one element at a time.

    "central": $(f(x + \delta) - f(x - \delta)) / 2\delta$, with an error of order $\delta^2$.
    "forward": $(f(x + \delta) - f(x)) / \delta$, with an error of order $\delta$.

    >>> float(numerical_gradient(lambda x: 2 * x**2, 1.0, delta=1e-4, method="forward"))
    4.0001999999987845
    >>> numerical_gradient(lambda x: x[0] ** 2 * x[1], np.asarray([3.0, 2.0])).round(6).tolist()
    [12.0, 9.0]

    Parameters
    ----------
    f
        A function of an array like x, with a single number as its result: a float or an array with one element.
    x
        A point of any shape, in any library; whole numbers and lists are taken as NumPy's float64. It is not changed.
    delta
        The distance, in the unit of x. By default $\epsilon^{1/3}$ (central) or $\epsilon^{1/2}$ (forward) times
        max(1, \|x\|) for each element, with the $\epsilon$ of the data type: about where rounding and the method's own
        error are equal.
    method
        Which difference.

    Raises
    ------
    ShapeError
        f gives more than one number.
    DtypeError
        x, or what f gives, are no real numbers.
    DataError
        x + delta is x, because delta is too small for this data type.
    """
    if not callable(f):
        raise ConfigurationError(f"numerical_gradient expected f to be a function of an array, got {f!r}.")
    _check.choice("numerical_gradient", "method", method, ("central", "forward"))
    x = numbers("numerical_gradient", "x", x)
    backend = backend_of(x, dtype=x.dtype if _check.dtype_name(x.dtype) in ("float32", "float64") else "float64")
    point = np.array(to_host(x), dtype=_check.dtype_name(backend.dtype))
    gradient = np.empty_like(point)
    order = 3 if method == "central" else 2
    default = float(np.finfo(point.dtype).eps) ** (1 / order)
    delta = None if delta is None else _check.positive("numerical_gradient", "delta", delta)

    def value(at: Array) -> float:
        return _number(f(backend.asarray(at)))

    here = value(point.copy()) if method == "forward" and point.size else None
    for index in np.ndindex(point.shape):
        step = default * max(1.0, abs(float(point[index]))) if delta is None else delta
        above, below = point.copy(), point.copy()
        above[index] += step
        if method == "central":
            below[index] -= step
        distance = float(above[index]) - float(below[index])  # what is left of the step after rounding
        if distance == 0:
            raise DataError(
                f"numerical_gradient: delta = {step:g} does not move x = {point[index]} at {index} in {point.dtype}; "
                "use a larger delta, or float64."
            )
        gradient[index] = (value(above) - (value(below) if here is None else here)) / distance
    return backend.asarray(gradient)


def _number(result: Any) -> float:
    host = to_host(numbers("numerical_gradient", "f(x)", result))
    if host.size != 1:
        raise ShapeError(
            f"numerical_gradient expected f(x) to be one number, got shape {host.shape}; sum it, or take one element."
        )
    return float(host.reshape(()))
