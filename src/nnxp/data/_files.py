"""A user's own data: a NumPy archive or comma-separated text."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nnxp.data._csv import csv_features, load_csv
from nnxp.data._npz import load_npz, npz_features
from nnxp.data._table import Table
from nnxp.errors import FileFormatError

__all__ = ["Table", "load_csv", "load_features", "load_npz"]


def load_features(path: str | Path) -> NDArray[Any]:
    """The features to predict for: array ``x`` of an NPZ archive, or a CSV file that has features alone.

    Raises ``FileNotFound``, or ``FileFormatError`` for a file that is neither.
    """
    path = Path(path)
    readers = {".npz": npz_features, ".csv": csv_features}
    if path.suffix.lower() not in readers:
        raise FileFormatError(f"{path} ends in {path.suffix!r}, expected a file that ends in .npz or .csv.")
    return readers[path.suffix.lower()](path)
