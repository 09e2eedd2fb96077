"""The folder of the user's in which downloaded files stay."""

import os
import sys
import warnings
from pathlib import Path

from nnxp.data._collection import Collection
from nnxp.data._download import download
from nnxp.data._table import unreadable
from nnxp.data._transfer import sha256_of

__all__ = ["cache_folder", "cached"]


def cache_folder() -> Path:
    """``NNXP_DATA`` where it is set, else the folder that ``pooch.os_cache("nnxp")`` names.

    It is worked out here, because files that are there are read without pooch.
    """
    if chosen := os.environ.get("NNXP_DATA"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "nnxp/nnxp/Cache"
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "nnxp"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "nnxp"


def cached(collection: Collection, progress: str) -> list[Path]:
    """The files of a collection, whole; what is missing or damaged is downloaded. A damaged file is warned of."""
    folder = cache_folder() / collection.name
    paths = [folder / name for name in collection.sha256]
    found = {path.name: _hash(path) for path in paths}
    wanted = [name for name, sha256 in collection.sha256.items() if found[name] != sha256]
    if damaged := [name for name in wanted if found[name] is not None]:
        warnings.warn(
            f"{folder} has damaged files, whose SHA-256 is not the published one: {', '.join(damaged)}; they are "
            "downloaded again.",
            stacklevel=4,  # whoever called mnist()
        )
    if wanted:
        download(collection, wanted, folder, progress)
    return paths


def _hash(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError as error:
        raise unreadable(path, error) from error
