"""Downloads, against a server on this machine that misbehaves in every way that a mirror can; nothing else is asked."""

import contextlib
import gzip
import hashlib
import logging
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pooch
import pytest

from nnxp.data import _cache, _transfer
from nnxp.data._cache import cache_folder
from nnxp.data._collection import Collection
from nnxp.data._mnist import FASHION_MNIST, MNIST, load_collection, mnist
from nnxp.errors import DownloadError, FileNotWritable, MissingDependencyError

NAMES = tuple(MNIST.sha256)
IMAGES = NAMES[0]
CHUNK = 2**16


def idx(array: np.ndarray) -> bytes:
    return gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes(), mtime=0)


def contents() -> dict[str, bytes]:
    """Noise, which does not compress: several chunks of it."""
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, size=(600, 28, 28), dtype=np.uint8), np.arange(600, dtype=np.uint8) % 10
    return dict(zip(NAMES, map(idx, (x, y, x[:50], y[:50])), strict=True))


class Request(NamedTuple):
    mirror: str
    name: str
    range: str | None


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how the mirror behaves."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, mirror, name = self.path.split("/")
        self.server.asked.append(Request(mirror, name, self.headers["Range"]))
        self.close_connection = True
        content = self.server.files.get(name, b"")
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "bytes=0-")[1])
        getattr(self, f"as_{mirror}")(content, start)

    def as_good(self, content: bytes, start: int) -> None:
        if start >= len(content):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        if start:
            return self.answer(206, content[start:], self.place(content, start))
        return self.answer(200, content)

    def as_ignoring(self, content: bytes, start: int) -> None:
        self.answer(200, content)

    def as_breaking(self, content: bytes, start: int) -> None:
        rest = content[start:]
        headers = self.place(content, start) if start else {}
        self.answer(206 if start else 200, rest[: len(rest) // 2], headers, length=len(rest))

    def as_shifted(self, content: bytes, start: int) -> None:
        self.answer(206 if start else 200, content, self.place(content, 0) if start else {})

    def as_ahead(self, content: bytes, start: int) -> None:
        self.answer(206 if start else 200, content[start + 9 :] if start else content, self.place(content, start + 9))

    def as_partial(self, content: bytes, start: int) -> None:
        self.answer(206, content[9:], self.place(content, 9))

    def as_squeezing(self, content: bytes, start: int) -> None:
        squeezed = "gzip" in (self.headers["Accept-Encoding"] or "")
        self.answer(200, gzip.compress(content) if squeezed else content)

    def as_wrong(self, content: bytes, start: int) -> None:
        self.as_good(bytes(len(content)), start)

    def as_missing(self, content: bytes, start: int) -> None:
        self.answer(404, b"<html>")

    def as_labelled(self, content: bytes, start: int) -> None:
        self.answer(200, content, {"Content-Encoding": "gzip"})

    def as_unsized(self, content: bytes, start: int) -> None:
        self.answer(200, content, {"Connection": "close"}, length=None)

    def as_silent(self, content: bytes, start: int) -> None:
        self.server.closing.wait(30)

    def place(self, content: bytes, start: int) -> dict[str, str]:
        return {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = -1) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever asked may have gone
            self.wfile.write(body)
            self.server.sent += len(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = contents()
        self.asked: list[Request] = []
        self.sent = 0
        self.closing = threading.Event()

    def collection(self, *mirrors: str) -> Collection:
        urls = tuple(f"http://127.0.0.1:{self.server_port}/{mirror}/" for mirror in mirrors)
        return Collection("mnist", urls, {name: hashlib.sha256(file).hexdigest() for name, file in self.files.items()})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own cache, and no way to any other machine."""
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: tuple[str, int]) -> None:
        assert address[0] == "127.0.0.1", f"the tests asked {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("NNXP_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mnist"


@pytest.fixture
def refused() -> str:
    """The address of a mirror that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}/"


def fill(folder: Path, server: Server) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in server.files.items():
        (folder / name).write_bytes(content)


def check_cache(folder: Path, server: Server) -> None:
    """All files are there and whole, and nothing else is."""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == server.files


def load(collection: Collection, progress: str = "off") -> tuple[int, ...]:
    return tuple(len(part.y) for part in load_collection(collection, None, progress))


class TestFirstTime:
    def test_all_files_once(self, server, cache):
        assert load(server.collection("good")) == (500, 100, 50)
        check_cache(cache, server)
        assert load(server.collection("good")) == (500, 100, 50)
        assert server.asked == [Request("good", name, None) for name in NAMES]

    @pytest.mark.parametrize("mirror", ["ignoring", "labelled", "unsized", "squeezing"])
    def test_other_ways_to_answer(self, server, cache, mirror):
        load(server.collection(mirror))
        check_cache(cache, server)

    def test_files_put_there_by_hand_are_used(self, server, cache):
        fill(cache, server)
        (cache / IMAGES).unlink()
        load(server.collection("good"))
        assert [request.name for request in server.asked] == [IMAGES]

    def test_the_public_function(self, server, cache, monkeypatch):
        monkeypatch.setattr("nnxp.data._mnist.MNIST", server.collection("good"))
        train, _, test = mnist(progress="off")
        assert train.x.shape == (500, 28, 28, 1)
        assert test.y.tolist() == [k % 10 for k in range(50)]

    def test_progress(self, server, capsys, monkeypatch):
        load(server.collection("good"), "auto")
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 4
        assert re.fullmatch(rf"downloading http://127\.0\.0\.1:\d+/good/{IMAGES}, 0\.5 MB", lines[0])

    def test_progress_in_a_terminal_is_a_bar(self, server, capsys, monkeypatch):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        load(server.collection("good"), "auto")
        output = capsys.readouterr().err
        assert all(f"{name}: 100%" in output for name in NAMES)
        assert "downloading" not in output

    def test_off_says_nothing(self, server, refused, capsys):
        collection, handler = server.collection("missing", "good"), logging.StreamHandler(log := StringIO())
        pooch.get_logger().addHandler(handler)
        load(Collection("mnist", (refused, *collection.mirrors), collection.sha256))
        pooch.get_logger().removeHandler(handler)
        assert capsys.readouterr() == ("", "")
        assert log.getvalue() == ""


class TestResume:
    def interrupted(self, server: Server, cache: Path) -> int:
        with pytest.raises(DownloadError, match=r"the connection ended after [\d,]+ of [\d,]+ bytes"):
            load(server.collection("breaking"))
        assert [path.name for path in cache.iterdir()] == [f"{IMAGES}.part"]
        return (cache / f"{IMAGES}.part").stat().st_size

    def test_from_where_it_stopped(self, server, cache):
        kept = self.interrupted(server, cache)
        load(server.collection("good"))
        check_cache(cache, server)
        assert server.asked[:2] == [Request("breaking", IMAGES, None), Request("good", IMAGES, f"bytes={kept}-")]
        assert kept == len(server.files[IMAGES]) // 2
        assert server.sent == sum(map(len, server.files.values()))

    def test_the_next_mirror_goes_on(self, server, cache):
        load(server.collection("breaking", "good"))
        check_cache(cache, server)
        assert server.asked[1].range is not None

    @pytest.mark.parametrize(("mirror", "requests"), [("ignoring", 1), ("shifted", 1), ("ahead", 2)])
    def test_a_server_that_cannot_go_on_starts_again(self, server, cache, mirror, requests):
        self.interrupted(server, cache)
        load(server.collection(mirror))
        check_cache(cache, server)
        assert [request.name for request in server.asked[1:]].count(IMAGES) == requests

    def test_a_server_that_never_begins_at_the_beginning(self, server):
        with pytest.raises(DownloadError, match=r"/partial/ \(it answered 206 Partial Content\)"):
            load(server.collection("partial"))

    def test_ctrl_c_keeps_what_has_arrived(self, server, cache, monkeypatch):
        class Interrupting(contextlib.nullcontext):
            def update(self, count: int) -> None:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(_transfer, "_bar", lambda *_: Interrupting(Interrupting()))
            with pytest.raises(KeyboardInterrupt):
                load(server.collection("good"))
        assert [(path.name, path.stat().st_size) for path in cache.iterdir()] == [(f"{IMAGES}.part", CHUNK)]
        load(server.collection("good"))
        check_cache(cache, server)
        assert server.asked[1].range == f"bytes={CHUNK}-"

    @pytest.mark.parametrize(
        ("leftover", "requests"),
        [
            (lambda content: content, 1),
            (lambda content: bytes(len(content)), 2),
            (lambda content: bytes(1000), 2),
            (lambda content: content + b"more", 2),
            (lambda content: b"", 1),
        ],
        ids=["whole", "as long, and wrong", "wrong", "too long", "empty"],
    )
    @pytest.mark.parametrize("mirror", ["good", "ignoring"])
    def test_leftovers(self, server, cache, mirror, leftover, requests):
        cache.mkdir(parents=True)
        (cache / f"{IMAGES}.part").write_bytes(leftover(server.files[IMAGES]))
        load(server.collection(mirror))
        check_cache(cache, server)
        assert len([request for request in server.asked if request.name == IMAGES]) == (
            requests if mirror == "good" else 1
        )


class TestMirrors:
    def test_one_that_is_not_there(self, server, cache, refused):
        collection = server.collection("good")
        load(Collection("mnist", (refused, *collection.mirrors), collection.sha256))
        check_cache(cache, server)

    @pytest.mark.parametrize("mirror", ["missing", "wrong"])
    def test_one_that_fails_is_asked_once(self, server, cache, mirror):
        load(server.collection(mirror, "good"))
        check_cache(cache, server)
        assert [request.mirror for request in server.asked] == [mirror, *["good"] * 4]

    def test_one_that_hangs(self, server, cache, monkeypatch):
        monkeypatch.setattr(_transfer, "_TIMEOUT", 0.2)
        load(server.collection("silent", "good"))
        check_cache(cache, server)
        with pytest.raises(DownloadError, match=r"/silent/ \(no answer within 0\.2 seconds\)"):
            load(Collection("other", server.collection("silent").mirrors, MNIST.sha256))

    @pytest.mark.parametrize("mirror", ["good", "unsized"])
    def test_one_that_does_not_stop(self, server, cache, monkeypatch, mirror):
        monkeypatch.setattr(_transfer, "_LARGEST", 100_000)
        with pytest.raises(DownloadError, match=r"it sends more than 100,000 bytes"):
            load(server.collection(mirror))
        assert sum(path.stat().st_size for path in cache.iterdir()) <= 100_000

    def test_none_is_left(self, server, cache, refused):
        collection = server.collection("missing", "wrong")
        collection = Collection("mnist", (refused, *collection.mirrors), collection.sha256)
        with pytest.raises(DownloadError) as caught:
            load(collection)
        there = re.escape(f"http://127.0.0.1:{server.server_port}/")
        assert isinstance(caught.value, ConnectionError)
        assert re.fullmatch(
            rf"mnist: no mirror gave {IMAGES}: {refused} \(Connection refused\); {there}missing/ \(it answered 404 "
            rf"Not Found\); {there}wrong/ \(it sent other bytes, of SHA-256 [0-9a-f]{{64}}\)\. Check the network and "
            rf"try again, or fetch {', '.join(NAMES)} by hand and put them into {re.escape(str(cache))}, or say which "
            r"folder has them: folder= in Python, --data-folder on the command line\.",
            str(caught.value),
        )
        assert not list(cache.iterdir())

    def test_the_reason_is_not_what_the_caller_was_handling(self, refused):
        try:
            raise OSError("no such file")
        except OSError:
            with pytest.raises(DownloadError, match="Connection refused"):
                load(Collection("mnist", (refused,), MNIST.sha256))


class TestCache:
    def test_a_damaged_file_is_named_and_fetched_again(self, server, cache, monkeypatch):
        monkeypatch.setattr("nnxp.data._mnist.MNIST", server.collection("good"))
        fill(cache, server)
        (cache / IMAGES).write_bytes(server.files[IMAGES][:-1])
        with pytest.warns(UserWarning, match=rf"mnist has damaged files, .*: {IMAGES}; they are downloaded") as caught:
            mnist(progress="off")
        assert caught[0].filename == __file__
        check_cache(cache, server)
        assert [request.name for request in server.asked] == [IMAGES]

    def test_a_damaged_file_is_never_read(self, server, cache):
        fill(cache, server)
        (cache / IMAGES).write_bytes(server.files[NAMES[2]])
        with pytest.warns(UserWarning, match="damaged"), pytest.raises(DownloadError):
            load(server.collection("missing"))

    def test_a_folder_that_cannot_be_written(self, server, cache):
        cache.parent.write_text("a file")
        with pytest.raises(
            FileNotWritable, match=rf"{IMAGES} could not be written: .*; set NNXP_DATA to a folder that"
        ):
            load(server.collection("good"))
        assert not server.asked

    def test_a_file_that_cannot_be_written(self, server, cache):
        (cache / f"{IMAGES}.part").mkdir(parents=True)
        with pytest.raises(FileNotWritable, match=f"{IMAGES} could not be written: Is a directory; set NNXP_DATA"):
            load(server.collection("good", "ignoring"))

    def test_without_pooch(self, server, cache, monkeypatch):
        monkeypatch.setitem(sys.modules, "pooch", None)
        monkeypatch.setitem(sys.modules, "requests", None)
        message = (
            rf"mnist: {', '.join(NAMES)} must be downloaded to {re.escape(str(cache))}, and pooch is not installed; "
            rf'pip install "nnxp\[data\]", or fetch .*--data-folder'
        )
        with pytest.raises(MissingDependencyError, match=message):
            load(server.collection("good"))
        fill(cache, server)
        assert load(server.collection("good")) == (500, 100, 50)
        assert sum(len(part.y) for part in mnist(cache)) == 650

    def test_the_folder_is_the_one_that_pooch_names(self, monkeypatch):
        monkeypatch.delenv("NNXP_DATA")
        monkeypatch.setenv("XDG_CACHE_HOME", str(Path.home() / "elsewhere"))
        assert cache_folder() == Path(pooch.os_cache("nnxp"))
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        assert cache_folder() == Path(pooch.os_cache("nnxp"))

    @pytest.mark.parametrize(
        ("platform", "folder"),
        [("linux", ".cache/nnxp"), ("darwin", "Library/Caches/nnxp"), ("win32", "AppData/Local/nnxp/nnxp/Cache")],
    )
    def test_the_folder_on_each_system(self, monkeypatch, platform, folder):
        for name in ("NNXP_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(_cache.sys, "platform", platform)
        assert cache_folder() == Path.home() / folder

    def test_the_environment_names_the_folder(self, monkeypatch):
        monkeypatch.setenv("NNXP_DATA", "~/sets")
        assert cache_folder() == Path.home() / "sets"


@pytest.mark.parametrize("collection", [MNIST, FASHION_MNIST])
def test_published_collections(collection):
    assert len(collection.mirrors) > 1
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in collection.mirrors)
    assert tuple(collection.sha256) == NAMES
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in collection.sha256.values())
    assert not set(MNIST.sha256.values()) & set(FASHION_MNIST.sha256.values())


def test_importing_nnxp_imports_no_pooch():
    code = "import sys, nnxp.cli; print({'pooch', 'requests', 'urllib3', 'tqdm'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
