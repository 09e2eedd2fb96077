"""Files that are replaced as a whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike, fsync, urandom
from pathlib import Path
from typing import BinaryIO

from nnxp._check import one_line
from nnxp.errors import FileNotWritable

__all__ = ["replacement"]


@contextmanager
def replacement(path: str | PathLike[str]) -> Iterator[BinaryIO]:
    """A new file in the same folder, which takes the place of ``path`` once it is complete and on the disk."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = one_line(error.strerror or error)
        raise FileNotWritable(
            f"{path} could not be written: {reason}. Nothing was changed; choose a path in a folder that you "
            "may write to."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
