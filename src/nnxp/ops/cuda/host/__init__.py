"""The CUDA kernels on a CPU: the same source, compiled by a C++ compiler, run on NumPy arrays.

Slow, and made for proving and for reading: what runs here is what a GPU runs, launched in the same way. ``shim.h`` says
how threads and barriers are done. What it cannot show: tensor cores, coalescing, launch limits, fast-math, speed.

With ``NNXP_CUDA_HOST_FLAGS="-fsanitize=thread"`` the kernels are watched for missing barriers and for blocks that get
in each other's way, with ``-fsanitize=address`` for accesses outside of arrays. The sanitizer's library must be there
before Python is: ``tests/cuda/test_sanitizers.py`` says how.
"""

import ctypes
import hashlib
import os
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nnxp.errors import BackendError
from nnxp.ops.cuda import model
from nnxp.ops.cuda.gemm import Addresses, Precision, Product
from nnxp.ops.cuda.launch import REAL, SOURCE, WARP

__all__ = ["HostMachine", "build", "compiler"]

SHIM = Path(__file__).with_name("shim.h")
# A distribution may fortify longjmp, which then takes a switch of stacks for an error. Symbols are hidden because the
# libraries for float and for double stand side by side in one process and name the same things.
FLAGS = ("-std=c++20", "-O2", "-g1", "-shared", "-fPIC", "-pthread", "-U_FORTIFY_SOURCE", "-fvisibility=hidden")
KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(')
SCALARS: dict[str, type[np.generic]] = {
    "P": np.uint64,
    "Q": np.uint64,
    "q": np.int64,
    "I": np.uint32,
    "i": np.int32,
    "f": np.float32,
    "d": np.float64,
}
MOST_THREADS = 1024

Arguments = tuple[np.generic, ...]


@cache
def compiler() -> tuple[str, ...]:
    """The command of the C++ compiler: CXX of the environment, or the first of the usual names that exists."""
    asked = shlex.split(os.environ.get("CXX", ""))
    for command in (asked,) if asked else (["c++"], ["g++"], ["clang++"]):
        if shutil.which(command[0]):
            return tuple(command)
    names = asked[0] if asked else "c++, g++ or clang++"
    raise BackendError(
        f"no C++ compiler found ({names}), and the CUDA kernels are to be compiled for the CPU; "
        "install g++ 11 or newer (Debian: apt install g++), or name a compiler in the environment as CXX"
    )


@cache
def _version(command: tuple[str, ...]) -> str:
    return _run((*command, "--version"))


def build(source: str, *, dtype: str, flags: Sequence[str] = ()) -> ctypes.CDLL:
    """The library of a CUDA source for float32 or float64, with ``launch_NAME`` and ``types_NAME`` for each kernel.

    It is compiled when it is first asked for, and kept in a folder of this user's for temporary files.
    """
    _check_preloaded(flags)
    command = (*compiler(), *FLAGS, f"-DREAL={REAL[dtype]}", *flags)
    shim = SHIM.read_text()
    key = hashlib.sha256("\0".join((source, shim, *command, _version(compiler()))).encode()).hexdigest()[:24]
    library = _folder() / f"{key}.so"
    if not library.exists():
        _compile(source, command, library)
    return ctypes.CDLL(str(library))


def _check_preloaded(flags: Sequence[str]) -> None:
    """A sanitizer that watches memory must be there before Python is; without it the process would be aborted."""
    preloaded = os.environ.get("LD_PRELOAD", "")
    for name, library in (("thread", "libtsan"), ("address", "libasan")):
        if f"-fsanitize={name}" in flags and library not in preloaded:
            raise BackendError(
                f"-fsanitize={name} needs {library} before Python starts; "
                f"run with LD_PRELOAD=$(g++ -print-file-name={library}.so)"
            )


def _folder() -> Path:
    """The cache, which nobody else can write to: what lies there is loaded and run."""
    folder = Path(tempfile.gettempdir()) / f"nnxp-cuda-host-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise BackendError(f"{folder} is not a folder of this user's alone (mode 0700); remove it, or set TMPDIR")
    return folder


def _compile(source: str, command: tuple[str, ...], library: Path) -> None:
    """Another process may do the same at this moment: the file gets its name when it is whole."""
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        unit, made = Path(scratch) / "kernels.cpp", Path(scratch) / "kernels.so"
        bare = f'#line 1 "kernels.cuh"\n{source}\n'
        unit.write_text(bare, encoding="utf-8")
        # A macro may have written a kernel, so their names stand in what the preprocessor makes of the source.
        real = next(flag for flag in command if flag.startswith("-DREAL="))
        plain = _run((*compiler(), "-E", "-P", "-x", "c++", real, str(unit)))
        names = dict.fromkeys(KERNEL.findall(plain))
        trampolines = "".join(f"NNXP_TRAMPOLINE({name})\n" for name in names)
        unit.write_text(f'{bare}#line 1 "trampolines"\n{trampolines}', encoding="utf-8")
        _run((*command, "-include", str(SHIM), str(unit), "-o", str(made)))
        made.replace(library)


def _run(command: Sequence[str]) -> str:
    # A sanitizer that watches this process has no business in the compiler.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise BackendError(f"the CUDA kernels do not compile for the CPU: {shlex.join(command)} says\n{done.stderr}")
    return done.stdout


class _Kernel:
    """A compiled kernel: ``kernel(grid, block, arguments)``, checked as the driver of a GPU would."""

    def __init__(self, name: str, library: ctypes.CDLL, machine: "HostMachine"):
        self.name = name
        self._machine = machine
        self._launch = library[f"launch_{name}"]
        self._launch.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p)
        self._launch.restype = ctypes.c_char_p
        types = library[f"types_{name}"]
        types.restype = ctypes.c_char_p
        self.types = tuple(SCALARS[letter] for letter in types().decode())

    def __call__(self, grid: int, block: int, arguments: Arguments) -> None:
        if tuple(map(type, arguments)) != self.types:
            arrived, expected = map(_names, (map(type, arguments), self.types))
            raise BackendError(f"kernel {self.name} was given the arguments ({arrived}); its types are ({expected})")
        if grid < 1 or not 1 <= block <= MOST_THREADS or block % WARP:
            raise BackendError(
                f"kernel {self.name} was given {grid} blocks of {block} threads; expected at least one block "
                f"of a multiple of {WARP} threads, at most {MOST_THREADS}"
            )
        self._machine.submit("kernel", self._frozen(grid, block, arguments))

    def _frozen(self, grid: int, block: int, arguments: Arguments) -> Callable[[], None]:
        """The launch with the values that the arguments have now."""
        values = b"".join([argument.tobytes().ljust(8, b"\0") for argument in arguments])

        def call() -> None:
            error = self._launch(grid, block, values)
            if error is not None:
                raise BackendError(f"kernel {self.name}, {grid} blocks of {block} threads: {error.decode()}")

        return call


def _names(types: Iterable[type]) -> str:
    return ", ".join(kind.__name__ for kind in types)


class HostMachine:
    """A machine whose arrays are NumPy's and whose kernels are compiled by a C++ compiler.

    ``source`` is the package's own unless given; ``flags`` go to the compiler, after those of NNXP_CUDA_HOST_FLAGS.
    ``counts`` says what was asked of it: "kernel", "product", "upload", "graph" (replays of a capture).
    """

    xp = np

    def __init__(
        self,
        *,
        threads: int = 64,
        precision: Precision = "float32",
        source: str | None = None,
        flags: Sequence[str] = (),
    ):
        self.threads, self.precision = threads, precision
        self.counts: Counter[str] = Counter()
        self._source = source
        self._flags = (*shlex.split(os.environ.get("NNXP_CUDA_HOST_FLAGS", "")), *flags)
        self._libraries: dict[str, ctypes.CDLL] = {}
        self._of_thread = threading.local()  # as a GPU's streams are, so that no other thread's calls are captured

    def kernel(self, name: str, dtype: str) -> Callable[[int, int, Arguments], None]:
        """``call(grid, block, arguments)`` runs the kernel; arguments are NumPy scalars of exactly the C types."""
        try:
            return _Kernel(name, self._library(dtype), self)
        except AttributeError:
            raise BackendError(f'the CUDA source has no kernel extern "C" __global__ void {name}(…)') from None

    def _library(self, dtype: str) -> ctypes.CDLL:
        if dtype not in REAL:
            raise BackendError(f"CUDA kernels are compiled for {' and '.join(REAL)}, not for {dtype}")
        if dtype not in self._libraries:
            source = SOURCE.read_text(encoding="utf-8") if self._source is None else self._source
            self._libraries[dtype] = build(source, dtype=dtype, flags=self._flags)
        return self._libraries[dtype]

    def product(self, product: Product, addresses: Addresses) -> Callable[[], None]:
        """A matrix product as NumPy does it, in place of cublasLt."""
        a = addresses
        call = model.bind(product, a.a, a.b, a.d, bias=a.bias, mask=a.mask)
        return lambda: self.submit("product", call)

    def address(self, array: np.ndarray[Any, Any]) -> int:
        """Where the array's first element is."""
        address: int = array.__array_interface__["data"][0]
        return address

    def upload(self, array: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
        """Copy values; they may change at once afterwards. A copy from the host has no place in a capture."""
        if (array.shape, array.dtype) != (values.shape, values.dtype):
            raise BackendError(
                f"an upload of {values.dtype}{list(values.shape)} into {array.dtype}{list(array.shape)}; "
                "expected the same shape and data type"
            )
        if self._captured is not None:
            raise BackendError("an upload was captured; copies from the host stay outside of a graph")
        self.submit("upload", lambda: np.copyto(array, values))

    def submit(self, what: str, call: Callable[[], None]) -> None:
        """Do a call now and count it, or keep it for the replays while a capture is under way."""
        if self._captured is not None:
            self._captured.append(call)
        else:
            self.counts[what] += 1
            call()

    @property
    def _captured(self) -> list[Callable[[], None]] | None:
        """What was submitted since a capture began in this thread; None while there is none."""
        return getattr(self._of_thread, "captured", None)

    def capture(self, calls: Iterable[Callable[[], None]]) -> Callable[[], None]:
        """One call that repeats what these calls submit, with the arguments of now. Nothing runs while capturing."""
        if self._captured is not None:
            raise BackendError("a capture was begun inside a capture; end the first one before")
        captured: list[Callable[[], None]] = []
        self._of_thread.captured = captured
        try:
            for call in calls:
                call()
        finally:
            self._of_thread.captured = None

        def replay() -> None:
            for each in captured:
                each()

        return lambda: self.submit("graph", replay)
