"""One file over HTTP: what has arrived is kept, and the next attempt goes on from there."""

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnxp._check import one_line

__all__ = ["Refused", "Transfer", "sha256_of"]

_TIMEOUT = 20.0
"""Seconds without an answer, or without any byte of it, after which a mirror counts as dead."""
_CHUNK = 2**16
_LARGEST = 2**28
"""More bytes than any file has that is fetched here: a mirror that does not stop must not fill the disk."""


class Refused(Exception):
    """Why a mirror did not give the file."""


@dataclass(frozen=True)
class Transfer:
    """A downloader for pooch. Bytes gather in the file ``part``, which moves on once its SHA-256 is right."""

    part: Path
    sha256: str
    progress: str

    def __call__(self, url: str, output: str, pooch: Any) -> None:
        """Fetch ``url`` into ``output``, or raise `Refused`."""
        kept = self.part.stat().st_size if self.part.exists() else 0
        # What was kept may be of another server, or longer than the file: a wrong result has a second attempt from 0.
        for start in dict.fromkeys((kept, 0)):
            self._receive(url, start)
            if sha256_of(self.part) == self.sha256:
                self.part.replace(output)
                return
        found = sha256_of(self.part)
        self.part.unlink(missing_ok=True)
        raise Refused(f"it sent other bytes, of SHA-256 {found}")

    def _receive(self, url: str, start: int) -> None:
        """Put the bytes from ``start`` on into the part. A server that has no such bytes leaves it as it is."""
        import requests

        outer = sys.exception()
        # Bytes are hashed as they are stored, so a server must not compress them once more on their way.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        try:
            with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
                place = _place(response, start)
                if place is not None:
                    self._write(response, url, *place)
        except (requests.RequestException, requests.exceptions.BaseHTTPError) as error:
            raise Refused(_reason(error, outer)) from error

    def _write(self, response: Any, url: str, start: int, total: int | None) -> None:
        position = start
        response.raw.enforce_content_length = False  # the check below keeps the last bytes that came
        with self.part.open("r+b" if start else "wb") as file, _bar(self.progress, url, start, total) as bar:
            file.seek(start)
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                position += len(chunk)
                if position > _LARGEST:
                    raise Refused(f"it sends more than {_LARGEST:,} bytes")
                file.write(chunk)
                bar.update(len(chunk))
        if total is not None and position < total:
            raise Refused(f"the connection ended after {position:,} of {total:,} bytes")


def sha256_of(path: Path) -> str | None:
    """The SHA-256 of a file; None where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _place(response: Any, start: int) -> tuple[int, int | None] | None:
    """Where the body belongs in the file, and how long the file is; None when it does not go on at ``start``."""
    if response.status_code == 200:  # the whole file, whatever was asked for
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    if response.status_code == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found and int(found[1]) <= start:
            return int(found[1]), None if found[2] == "*" else int(found[2])
    if response.status_code in (206, 416) and start:
        return None
    raise Refused(f"it answered {response.status_code} {response.reason}".rstrip())


def _bar(progress: str, url: str, start: int, total: int | None) -> Any:
    """A bar in a terminal, one line elsewhere, or nothing; on standard error."""
    from tqdm import tqdm

    kind = progress if progress != "auto" else "bar" if sys.stderr.isatty() else "lines"
    if kind == "lines":
        size = "" if total is None else f", {total / 1e6:.1f} MB"
        tqdm.write(f"downloading {url}{size}", file=sys.stderr)
    name = url.rsplit("/", 1)[-1]
    options: dict[str, Any] = {"unit": "B", "unit_scale": True, "dynamic_ncols": True}
    return tqdm(desc=name, initial=start, total=total, disable=kind != "bar", **options)


def _reason(error: BaseException, outer: BaseException | None) -> str:
    """The cause at the bottom: what lies above it names the classes of two libraries.

    Below it may be what the caller was handling when it called, the ``outer`` error.
    """
    while (cause := error.__cause__ or error.__context__) not in (None, outer):
        error = cause
    if isinstance(error, TimeoutError):
        return f"no answer within {_TIMEOUT:g} seconds"
    return one_line(getattr(error, "strerror", None) or error)
