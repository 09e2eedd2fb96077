"""A batch in parts, whose gradients are added up before one update."""

from itertools import pairwise
from typing import Any, TypeAlias

from nnxp._types import Array, Namespace

__all__ = ["Data", "add_results", "part_of", "parts_of"]

Data: TypeAlias = tuple[Array, Array, Array | None]
"""Features, targets, and perhaps a weight for each sample."""


def part_of(data: Data, part: slice) -> Data:
    """Some samples of a data set, as views."""
    x, y, sample_weight = data
    return x[part, ...], y[part, ...], None if sample_weight is None else sample_weight[part]


def parts_of(samples: int, count: int) -> list[slice]:
    """A batch in ``count`` parts, or in as many as it has samples; sizes differ by one at most, larger ones first.

    >>> parts_of(7, 3)
    [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
    """
    size, larger = divmod(samples, min(count, samples))
    starts = [index * size + min(index, larger) for index in range(min(count, samples) + 1)]
    return [slice(*ends) for ends in pairwise(starts)]


def add_results(results: list[dict[str, Any]], xp: Namespace) -> dict[str, Any]:
    """The results of a batch from those of its parts, of which the first has the penalties in its loss."""
    first, *others = results
    total = dict(first)
    for part in others:
        total["loss"] = total["loss"] + part["data_loss"]
        total["data_loss"] = total["data_loss"] + part["data_loss"]
    if "y_pred" in first:
        total["y_pred"] = xp.concat([part["y_pred"] for part in results])
    return total
