"""NumPy archives, read without pickle: a file from anywhere can hold wrong data, and cannot run code."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnxp._check import one_line
from nnxp.data._table import Table, class_labels, unreadable
from nnxp.errors import FileFormatError

__all__ = ["load_npz", "npz_features"]

# What zipfile, zlib and NumPy's own reader raise on bytes that are not what they claim to be.
DAMAGE = (ValueError, TypeError, EOFError, OSError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


def load_npz(path: str | Path) -> Table:
    """The arrays ``x`` [N, ...] and ``y`` of a NumPy archive (``np.savez(path, x=x, y=y)``).

    ``y`` is integer labels [N], made int64; class names [N], made labels in sorted order; or real targets [N, ...], of
    which [N] becomes [N, 1]. Real arrays keep their type.

    Raises ``FileNotFound``, or ``FileFormatError`` for anything that is not such an archive.
    """
    path = Path(path)
    arrays = _read(path, ("x", "y"))
    x, y = _features(path, arrays["x"]), arrays["y"]
    if y.ndim == 0 or len(y) != len(x):
        raise FileFormatError(
            f"{path}: x has shape {x.shape} and y has shape {y.shape}; expected as many rows in both."
        )
    return Table(x, *_targets(path, y))


def npz_features(path: Path) -> NDArray[Any]:
    """The array ``x`` of a NumPy archive."""
    return _features(path, _read(path, ("x",))["x"])


def _read(path: Path, keys: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise FileFormatError(f"{path} is not an NPZ archive; write it with np.savez(path, x=x, y=y).")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {key: _array(path, archive, key) for key in keys}
    except FileFormatError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except DAMAGE as error:
        raise FileFormatError(f"{path} is not a whole NPZ archive ({one_line(error)}).") from error


def _array(path: Path, archive: Any, key: str) -> NDArray[Any]:
    if key not in archive.files:
        found = ", ".join(map(repr, archive.files)) or "none"
        raise FileFormatError(f"{path} has no array {key!r} (found: {found}); write it with np.savez(path, x=x, y=y).")
    try:
        array = archive[key]
    except DAMAGE as error:
        if "Object arrays" in str(error):
            raise FileFormatError(f"{path}: {key} is an array of Python objects; store numbers or text.") from error
        raise FileFormatError(f"{path}: {key} cannot be read ({one_line(error)}).") from error
    if not isinstance(array, np.ndarray):
        raise FileFormatError(f"{path}: {key} is not a NumPy array; write it with np.savez(path, x=x, y=y).")
    return array


def _features(path: Path, x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype.kind not in "biuf":
        raise FileFormatError(f"{path}: x holds {x.dtype}, expected real numbers.")
    if x.ndim < 2 or x.size == 0:
        raise FileFormatError(
            f"{path}: x has shape {x.shape}, expected (rows, features) or (rows, ...), none of them 0."
        )
    return x


def _targets(path: Path, y: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    if y.ndim == 1 and y.dtype.kind == "U":
        return class_labels(y.tolist())
    if y.dtype.kind not in "biuf":
        raise FileFormatError(f"{path}: y holds {y.dtype}, expected labels, class names of shape (N,) or real targets.")
    if y.ndim > 1:
        return y, None
    return (y[:, None] if y.dtype.kind == "f" else y.astype(np.int64)), None
