"""What is published together: names, mirrors and hashes, without the means to fetch them."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Collection"]


@dataclass(frozen=True)
class Collection:
    """Files that belong together: ``sha256`` has a hash for each file's name, ``mirrors`` are tried in order."""

    name: str
    mirrors: tuple[str, ...]
    sha256: Mapping[str, str]
