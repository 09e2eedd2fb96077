"""What a user's file holds: features, targets, and the names of the classes where it spells them out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnxp._check import one_line
from nnxp.errors import FileFormatError, FileNotFound

__all__ = ["Table", "class_labels", "unreadable"]


@dataclass(frozen=True, eq=False)
class Table:
    """Features ``x`` and targets ``y``, row by row.

    ``y`` is int64 labels of shape (N,), or targets of shape (N, outputs). ``class_names[k]`` is the name of label k; it
    is None where the file numbers its classes itself, or holds no classes.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    class_names: tuple[str, ...] | None


def class_labels(names: list[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Names as labels: label k is the k-th name in sorted order."""
    classes = tuple(sorted(set(names)))
    index = {name: k for k, name in enumerate(classes)}
    return np.array([index[name] for name in names], dtype=np.int64), classes


def unreadable(path: Path, error: OSError) -> FileFormatError | FileNotFound:
    """Why ``path`` could not be opened, as an error of ours."""
    if isinstance(error, FileNotFoundError):
        return FileNotFound(f"{path} does not exist; check the path (the current folder is {Path.cwd()}).")
    if isinstance(error, IsADirectoryError):
        return FileFormatError(f"{path} is a folder; name a file in it.")
    return FileFormatError(f"{path} cannot be read: {one_line(error.strerror or error)}.")
