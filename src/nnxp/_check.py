"""Checks of arguments. Each returns the value it checked, so that a check reads as an assignment."""

from collections.abc import Iterable, Mapping, Set
from math import isfinite
from numbers import Integral, Real
from typing import Any, TypeVar

from nnxp._types import Array, Shape
from nnxp.errors import ConfigurationError

__all__ = [
    "choice",
    "dtype_name",
    "finite",
    "first_lines",
    "flag",
    "fraction",
    "instance",
    "non_negative",
    "non_negative_int",
    "numbers",
    "one_line",
    "pair",
    "positive",
    "positive_int",
    "shape",
    "up_to_one",
]

T = TypeVar("T")


def dtype_name(dtype: Any) -> str:
    """The bare name of a data type, the same for every library: ``torch.float32`` is ``"float32"``."""
    return dtype.__name__ if isinstance(dtype, type) else str(dtype).rsplit(".", 1)[-1]


def shape(x: Array) -> Shape:
    """The shape of an array as a plain tuple, whatever the library calls it."""
    return tuple(int(n) for n in x.shape)


def one_line(text: object) -> str:
    """The first line of a foreign error, for use inside one of ours."""
    return (str(text).strip().splitlines() or ["no reason given"])[0]


def first_lines(text: object, count: int = 6) -> str:
    """The first lines of a foreign log, indented, for use below a sentence of ours."""
    lines = [line for line in str(text).strip().splitlines() if line.strip()] or ["no reason given"]
    more = [f"… and {len(lines) - count} lines more"] if len(lines) > count else []
    return "\n".join(f"    {line}" for line in [*lines[:count], *more])


def positive_int(owner: str, name: str, value: Any) -> int:
    """``value`` as an int that is at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ConfigurationError(f"{owner}: {name} must be a whole number of at least 1, got {value!r}.")
    return int(value)


def non_negative_int(owner: str, name: str, value: Any) -> int:
    """``value`` as an int that is at least 0."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise ConfigurationError(f"{owner}: {name} must be a whole number of at least 0, got {value!r}.")
    return int(value)


def finite(owner: str, name: str, value: Any) -> float:
    """``value`` as a finite float."""
    return _real(owner, name, value, "a finite number")


def positive(owner: str, name: str, value: Any) -> float:
    """``value`` as a finite float above 0."""
    number = _real(owner, name, value, "a positive number")
    if number <= 0:
        raise ConfigurationError(f"{owner}: {name} must be a positive number, got {value!r}.")
    return number


def non_negative(owner: str, name: str, value: Any) -> float:
    """``value`` as a finite float of at least 0."""
    number = _real(owner, name, value, "a number of at least 0")
    if number < 0:
        raise ConfigurationError(f"{owner}: {name} must be a number of at least 0, got {value!r}.")
    return number


def fraction(owner: str, name: str, value: Any) -> float:
    """``value`` as a float in [0, 1)."""
    number = _real(owner, name, value, "a number in [0, 1)")
    if not 0 <= number < 1:
        raise ConfigurationError(f"{owner}: {name} must be a number in [0, 1), got {value!r}.")
    return number


def numbers(owner: str, name: str, values: Any) -> tuple[float, ...]:
    """``values`` as a tuple of at least one finite float of at least 0."""
    try:
        items = () if isinstance(values, str | bytes | Mapping | Set) else tuple(values)
    except TypeError:  # no list, or an array without an axis
        items = ()
    if not items:
        raise ConfigurationError(f"{owner}: {name} must be a list of numbers, got {values!r}.")
    return tuple(non_negative(owner, f"every number in {name}", item) for item in items)


def up_to_one(owner: str, name: str, value: Any) -> float:
    """``value`` as a float in (0, 1]."""
    number = _real(owner, name, value, "a number in (0, 1]")
    if not 0 < number <= 1:
        raise ConfigurationError(f"{owner}: {name} must be a number in (0, 1], got {value!r}.")
    return number


def flag(owner: str, name: str, value: Any) -> bool:
    """``value`` as True or False."""
    if not isinstance(value, bool) and getattr(getattr(value, "dtype", None), "kind", "") != "b":
        raise ConfigurationError(f"{owner}: {name} must be True or False, got {value!r}.")
    return bool(value)


def choice(owner: str, name: str, value: Any, options: Iterable[str]) -> str:
    """``value`` as one of ``options``."""
    known = tuple(options)
    if not isinstance(value, str) or value not in known:
        raise ConfigurationError(f"{owner}: {name} must be one of {', '.join(map(repr, known))}, got {value!r}.")
    return value


def pair(owner: str, name: str, value: Any) -> tuple[int, int]:
    """``value`` as two ints of at least 1, for the rows and the columns; a single one stands for both."""
    both = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(both) != 2 or any(isinstance(n, bool) or not isinstance(n, Integral) or n < 1 for n in both):
        raise ConfigurationError(
            f"{owner}: {name} must be a whole number of at least 1, or two of them, got {value!r}."
        )
    return int(both[0]), int(both[1])


def instance(owner: str, name: str, value: T, kind: type, *, none: bool = False) -> T:
    """``value``, an object of this class, or None where that is allowed."""
    if isinstance(value, kind) or (none and value is None):
        return value
    raise ConfigurationError(f"{owner}: {name} must be a {kind.__name__} object, got {value!r}.")


def _real(owner: str, name: str, value: Any, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(float(value)):
        raise ConfigurationError(f"{owner}: {name} must be {expected}, got {value!r}.")
    return float(value)
