"""NVIDIA's own compiler takes the source for every generation of GPUs, without a word of warning and without spills.

Skipped where there is no NVRTC; it comes with the wheel ``nvidia-cuda-nvrtc``, and needs no driver for this.
"""

import ctypes
import importlib
import re
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from nnxp.ops import cuda
from nnxp.ops.cuda.launch import REAL, SOURCE, nvrtc_options, signatures

GENERATIONS = ("sm_75", "sm_80", "sm_90", "sm_100")
"""Turing, Ampere, Hopper, Blackwell."""

MOST_REGISTERS = 127
"""Of 65,536, for blocks of 256 threads: two blocks at least stay on a multiprocessor."""
STACK: dict[str, int] = {}
"""Bytes of a stack frame, where one is needed: nowhere."""


def find() -> ctypes.CDLL | str:
    """The library, or why it cannot be had."""
    try:
        loaded = importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib("nvrtc")
        library = ctypes.CDLL(loaded.abs_path)
    except (ImportError, RuntimeError, OSError) as error:
        return f"no libnvrtc ({type(error).__name__}); the wheels nvidia-cuda-nvrtc and cuda-pathfinder bring it"
    of_program = {"CompileProgram": (c_int, c_void_p), "DestroyProgram": ()}
    of_program |= {f"Get{what}": (c_char_p,) for what in ("ProgramLog", "CUBIN")}
    of_program |= {f"Get{what}Size": (c_void_p,) for what in ("ProgramLog", "CUBIN")}
    for name, arguments in of_program.items():
        getattr(library, f"nvrtc{name}").argtypes = (c_void_p, *arguments)
    library.nvrtcDestroyProgram.argtypes = (c_void_p,)
    library.nvrtcCreateProgram.argtypes = (c_void_p, c_char_p, c_char_p, c_int, c_void_p, c_void_p)
    return library


LIBRARY = find()
pytestmark = pytest.mark.skipif(isinstance(LIBRARY, str), reason=str(LIBRARY))


@dataclass(frozen=True)
class Kernel:
    """What the assembler says of one: bytes and registers."""

    stack: int
    stores: int
    loads: int
    registers: int


@dataclass(frozen=True)
class Compiled:
    status: int
    log: str
    binary: bytes

    @property
    def kernels(self) -> dict[str, Kernel]:
        found = re.findall(
            r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill "
            r"loads.*?Used (\d+) registers",
            self.log,
            flags=re.DOTALL,
        )
        return {name: Kernel(*map(int, numbers)) for name, *numbers in found}

    @property
    def complaints(self) -> list[str]:
        return [line for line in self.log.splitlines() if re.search(r"\b(warning|error)\b", line)]


@cache
def compiled(source: str, dtype: str, generation: str, *more: str) -> Compiled:
    """With the options that the machine has, one that CuPy adds, and a report of the assembler."""
    options = (*nvrtc_options(dtype), "-ftz=true", f"--gpu-architecture={generation}", "--ptxas-options=-v", *more)
    program = c_void_p()
    assert LIBRARY.nvrtcCreateProgram(byref(program), source.encode(), b"kernels.cuh", 0, None, None) == 0
    try:
        encoded = (c_char_p * len(options))(*map(str.encode, options))
        status = LIBRARY.nvrtcCompileProgram(program, len(options), encoded)
        log = answer(program, "ProgramLog").rstrip(b"\0").decode()
        return Compiled(status, log, answer(program, "CUBIN") if status == 0 else b"")
    finally:
        LIBRARY.nvrtcDestroyProgram(byref(program))


def answer(program: c_void_p, what: str) -> bytes:
    size = c_size_t()
    assert getattr(LIBRARY, f"nvrtcGet{what}Size")(program, byref(size)) == 0
    buffer = ctypes.create_string_buffer(size.value)
    assert getattr(LIBRARY, f"nvrtcGet{what}")(program, buffer) == 0
    return buffer.raw


def text() -> str:
    return SOURCE.read_text(encoding="utf-8")


both = pytest.mark.parametrize("dtype", REAL)
generations = pytest.mark.parametrize("generation", GENERATIONS)


def test_the_options_are_those_of_the_machine():
    """Its module cannot be imported without CuPy."""
    assert [nvrtc_options(dtype)[1:] for dtype in REAL] == [("-DREAL=float",), ("-DREAL=double",)]
    assert all(nvrtc_options(dtype)[0] == "--std=c++17" for dtype in REAL)
    assert "options=nvrtc_options(dtype)" in (Path(cuda.__file__).parent / "device.py").read_text()


@both
@generations
def test_it_compiles_without_a_warning(generation, dtype):
    made = compiled(text(), dtype, generation)
    assert made.status == 0, made.log
    assert not made.complaints
    for name in signatures(text()):
        assert f".text.{name}\0".encode() in made.binary, name


@both
@generations
def test_nothing_is_spilled(generation, dtype):
    made = compiled(text(), dtype, generation)
    assert made.kernels.keys() == signatures(text()).keys()
    for name, kernel in made.kernels.items():
        assert (kernel.stores, kernel.loads) == (0, 0), name
        assert kernel.stack <= STACK.get(name, 0), name
        assert kernel.registers <= MOST_REGISTERS, name


def test_a_spill_would_be_seen():
    made = compiled(text(), "float64", "sm_90", "--maxrregcount=16")
    assert sum(kernel.stores + kernel.loads for kernel in made.kernels.values()) > 0
    assert made.complaints  # so few registers are refused


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ("KERNEL planted(real* x) { x[0] = y; }", 'identifier "y" is undefined'),
        ("KERNEL planted(real* x) { x[0] = 1 }", 'expected a ";"'),
        ("KERNEL planted(real* x) { int unused; x[0] = 1; }", "never referenced"),
        ("#include <math.h>", "could not open source file|cannot open source file"),
    ],
)
def test_a_mistake_would_be_seen(planted, found):
    made = compiled(f"{text()}\n{planted}\n", "float32", "sm_90")
    assert made.complaints
    assert re.search(found, made.log), made.log
