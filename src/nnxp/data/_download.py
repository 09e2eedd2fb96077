"""Files that are published under several addresses: the first mirror that gives the right bytes is taken.

What counts is the SHA-256, not the mirror, so a mirror may well be one that speaks plain http.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import WARNING, Logger
from pathlib import Path
from typing import Any

from nnxp._check import one_line
from nnxp.data._collection import Collection
from nnxp.data._transfer import Refused, Transfer
from nnxp.errors import DownloadError, FileNotWritable, MissingDependencyError

__all__ = ["download"]


def download(collection: Collection, names: list[str], folder: Path, progress: str) -> None:
    """Fetch the files ``names`` of a collection into ``folder``. A file is there under its name when it is whole.

    What an interrupted download has received stays in the folder with the suffix ``.part``.

    Raises ``MissingDependencyError`` without pooch, ``DownloadError`` when no mirror gives a file, ``FileNotWritable``
    for a folder that cannot be written.
    """
    try:
        import pooch
    except ImportError as error:
        raise MissingDependencyError(
            f"{collection.name}: {', '.join(names)} must be downloaded to {folder}, and pooch is not installed; "
            f'pip install "nnxp[data]", or {_by_hand(collection, folder)}.'
        ) from error
    mirrors = collection.mirrors
    with _silenced(pooch.get_logger()):
        for name in names:
            good = _from_any(pooch, collection, mirrors, folder / name, progress)
            mirrors = (good, *(mirror for mirror in mirrors if mirror != good))


def _from_any(pooch: Any, collection: Collection, mirrors: tuple[str, ...], path: Path, progress: str) -> str:
    """Fetch one file; the mirror that gave it."""
    reasons = []
    for mirror in mirrors:
        reason = _from_one(pooch, mirror, path, collection.sha256[path.name], progress)
        if reason is None:
            return mirror
        reasons.append(f"{mirror} ({reason})")
    raise DownloadError(
        f"{collection.name}: no mirror gave {path.name}: {'; '.join(reasons)}. Check the network and try again, or "
        f"{_by_hand(collection, path.parent)}."
    )


def _from_one(pooch: Any, mirror: str, path: Path, sha256: str, progress: str) -> str | None:
    """Fetch one file from one mirror; the reason when it does not give it."""
    transfer = Transfer(path.with_name(f"{path.name}.part"), sha256, progress)
    try:
        pooch.retrieve(mirror + path.name, f"sha256:{sha256}", path.name, path.parent, downloader=transfer)
    except Refused as refused:
        return str(refused)
    except OSError as error:
        raise FileNotWritable(
            f"{path} could not be written: {one_line(error.strerror or error)}; set NNXP_DATA to a folder that you "
            "may write to."
        ) from error
    return None


def _by_hand(collection: Collection, folder: Path) -> str:
    return (
        f"fetch {', '.join(collection.sha256)} by hand and put them into {folder}, or say which folder has them: "
        "folder= in Python, --data-folder on the command line"
    )


@contextmanager
def _silenced(logger: Logger) -> Iterator[None]:
    """Without pooch's line for each attempt: progress is shown here, and "off" means nothing."""
    level = logger.level
    logger.setLevel(WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
