"""Rows are dealt into three parts: train on one, tune on the second, report the third."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnxp._check import fraction
from nnxp.data._random import words
from nnxp.errors import ConfigurationError, DataError, DtypeError, ShapeError

__all__ = ["Split", "Splits", "deal", "split"]


class Split(NamedTuple):
    """Samples ``x`` and their targets ``y``, row by row."""

    x: NDArray[Any]
    y: NDArray[Any]


class Splits(NamedTuple):
    """The three parts of one data set. No row is in two of them."""

    train: Split
    validation: Split
    test: Split


def split(
    x: ArrayLike,
    y: ArrayLike,
    *,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
    stratify: bool | None = None,
) -> Splits:
    """Deal the rows of ``x`` and ``y`` at random into training, validation and test parts.

    Shapes: x[N, ...], y[N, ...]; the parts are copies, in shuffled order. ``validation`` and ``test`` are shares of the
    rows, rounded; a share of 0 gives an empty part, any other at least one row. The same seed gives the same parts on
    every machine and every version of NumPy.

    With ``stratify`` each class is dealt by itself, so that the parts hold the classes in the same proportions and a
    class of three or more rows is in every part; rarer classes are dealt together, as if they were one. The default,
    None, stratifies integer labels of shape (N,) and nothing else.

    Raises ``ShapeError`` for different lengths, ``ConfigurationError`` for shares that leave nothing to train on,
    ``DataError`` for fewer rows than parts.
    """
    x, y = _host("x", x), _host("y", y)
    if len(x) != len(y):
        raise ShapeError(f"split expected x and y of the same length, got {len(x)} rows of x and {len(y)} of y.")
    shares = _shares(validation, test)
    parts = 1 + sum(share > 0 for share in shares)
    if len(x) < parts:
        raise DataError(f"split needs at least {parts} rows for {parts} parts, got {len(x)}; lower validation or test.")
    # The raw words of a generator never change between versions of NumPy; what `permutation` makes of them may.
    draw, order = np.argsort(words("split", seed).random_raw(2 * len(x)).reshape(2, -1), axis=1, kind="stable")
    groups = _groups(y, parts) if _by_class(y, stratify) else [np.arange(len(y))]
    return Splits(*(Split(x[rows], y[rows]) for rows in deal(draw, order, groups, shares)))


def deal(
    draw: NDArray[np.intp],
    order: NDArray[np.intp],
    groups: Iterable[NDArray[np.intp]],
    shares: tuple[float, float],
) -> tuple[NDArray[np.intp], ...]:
    """The rows of the training, validation and test part: ``draw`` decides who is in which, ``order`` lines them up.

    Both are permutations of all rows. Each of the ``groups``, which have no row in common, gives those of its rows that
    come first in ``draw`` to validation and the next to test. With one permutation for both, the first rows of a part
    would be of the few classes whose cut comes early.
    """
    rank = np.empty_like(draw)
    rank[draw] = np.arange(len(draw))
    part = np.zeros(len(draw), dtype=np.int8)
    for group in groups:
        rows = group[np.argsort(rank[group])]
        n_validation, n_test = _sizes(len(rows), shares)
        part[rows[:n_validation]] = 1
        part[rows[n_validation : n_validation + n_test]] = 2
    return tuple(order[part[order] == k] for k in range(3))


def _sizes(rows: int, shares: tuple[float, float]) -> tuple[int, int]:
    """How many of ``rows`` go to validation and to test: the rounded share, at least 1, and 1 left for training."""
    counts = [max(round(rows * share), 1) if share > 0 else 0 for share in shares]
    while sum(counts) >= rows:
        counts[counts.index(max(counts))] -= 1
    return counts[0], counts[1]


def _groups(y: NDArray[Any], parts: int) -> Iterator[NDArray[np.intp]]:
    """The rows of each class; classes too small to be in every part are one group."""
    _, label, count = np.unique(y, return_inverse=True, return_counts=True)
    rare = count < parts
    if rare.any():
        yield np.flatnonzero(rare[label])
    for k in np.flatnonzero(~rare):
        yield np.flatnonzero(label == k)


def _by_class(y: NDArray[Any], stratify: bool | None) -> bool:
    labels = y.ndim == 1 and y.dtype.kind in "biuSU"
    if stratify and not labels:
        raise ConfigurationError(
            f"split can stratify class labels of shape (N,), got y of shape {y.shape} and type {y.dtype}; "
            "pass stratify=False."
        )
    return labels and y.dtype.kind in "biu" if stratify is None else bool(stratify)


def _shares(validation: float, test: float) -> tuple[float, float]:
    shares = fraction("split", "validation", validation), fraction("split", "test", test)
    if sum(shares) >= 1:
        raise ConfigurationError(
            f"split: validation and test must leave rows to train on, got {validation} + {test} = {sum(shares):g}."
        )
    return shares


def _host(name: str, value: ArrayLike) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"split could not read {name} as a NumPy array ({error}); pass a host array.") from error
    if array.ndim == 0:
        raise ShapeError(f"split expected {name} with one row per sample, got a single {array.dtype} value.")
    return array
