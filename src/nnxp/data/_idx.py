"""IDX files, the format of MNIST and its relatives: a header, then the elements, high byte first.

The header is two zero bytes, the type of the elements, the number of dimensions, and each size in four bytes. A file
may be compressed with gzip; its content says so, not its name.

Source: Y. LeCun, C. Cortes and C. Burges, http://yann.lecun.com/exdb/mnist/
"""

import gzip
import zlib
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nnxp._check import one_line
from nnxp.data._table import unreadable
from nnxp.errors import FileFormatError

__all__ = ["Samples", "load_idx", "read_samples"]

ELEMENTS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
DAMAGE = (gzip.BadGzipFile, zlib.error, EOFError)
_GZIP = b"\x1f\x8b"
_CHUNK = 2**20

Source = BinaryIO | gzip.GzipFile


class Header(NamedTuple):
    """What a file says of itself."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype.newbyteorder('=')} of shape {self.shape}"


class Samples(NamedTuple):
    """What a file is expected to hold: bytes, one array of ``shape`` for each of N samples."""

    what: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.what}: uint8 of shape ({', '.join(['N', *map(str, self.shape)])}{',' * (not self.shape)})"


def load_idx(path: str | PathLike[str]) -> NDArray[Any]:
    """The array of an IDX file, plain or compressed with gzip, in the byte order of this machine.

    The types of the format are uint8, int8, int16, int32, float32 and float64. No more is read, and no more memory is
    taken, than the header declares and the file holds.

    Raises ``FileNotFound``, or ``FileFormatError`` for a file that is not exactly what its header says.
    """
    return _read(Path(path), None)


def read_samples(path: Path, expected: Samples) -> NDArray[np.uint8]:
    """The array of an IDX file that holds at least one sample of the ``expected`` kind."""
    return _read(path, expected)


def _read(path: Path, expected: Samples | None) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            if not packed:
                return _parse(path, file, expected)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _parse(path, unpacked, expected)
    except DAMAGE as error:
        raise FileFormatError(f"{path} is damaged ({one_line(error)}); get the file again.") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _parse(path: Path, file: Source, expected: Samples | None) -> NDArray[Any]:
    header = _header(path, file)
    if expected is not None:
        _check_kind(path, header, expected)
    dtype, shape = header
    declared = prod(shape) * dtype.itemsize
    content = _up_to(declared + 1, file)
    if len(content) != declared:
        found = f"{len(content):,} bytes follow" if len(content) < declared else "more bytes follow"
        raise FileFormatError(
            f"{path} is not whole: its header declares {header}, {declared:,} bytes, and {found}; get the file again."
        )
    try:
        return np.frombuffer(content, dtype).astype(dtype.newbyteorder("="), copy=False).reshape(shape)
    except ValueError as error:
        raise FileFormatError(f"{path} declares {header}, which no array can have ({one_line(error)}).") from error


def _header(path: Path, file: Source) -> Header:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0":
        raise FileFormatError(
            f"{path} is not an IDX file: it starts with the bytes {start.hex(' ') or '(none)'}, expected two zero "
            "bytes, a type and a number of dimensions; get the file again."
        )
    code, dimensions = start[2:]
    if code not in ELEMENTS or not dimensions:
        known = ", ".join(f"{key:#04x}" for key in ELEMENTS)
        raise FileFormatError(
            f"{path} is not an IDX file: it declares elements of type {code:#04x} in {dimensions} dimensions, "
            f"expected one of the types {known}, and at least 1 dimension."
        )
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise FileFormatError(f"{path} ends within its header of {dimensions} dimensions; get the file again.")
    return Header(np.dtype(ELEMENTS[code]), tuple(np.frombuffer(sizes, ">u4").tolist()))


def _check_kind(path: Path, header: Header, expected: Samples) -> None:
    if header.dtype != np.uint8 or header.shape[1:] != expected.shape:
        raise FileFormatError(
            f"{path} holds {header}, expected {expected}; check that it is the file that its name says "
            "(nnxp.data.load_idx reads arrays of any shape)."
        )
    if header.shape[0] == 0:
        raise FileFormatError(f"{path} holds no samples, expected one {expected.what[:-1]} at least.")


def _up_to(limit: int, file: Source) -> bytearray:
    """In pieces: ``file.read(limit)`` would take the memory that a forged header asks for before it reads a byte."""
    content = bytearray()
    while len(content) < limit and (chunk := file.read(min(_CHUNK, limit - len(content)))):
        content += chunk
    return content
