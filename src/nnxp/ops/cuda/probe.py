"""What of CUDA works here, part by part, so that a part that is broken does not hide the others.

Each function returns what it found or raises: whatever libraries and drivers raise is the finding. The functions that
take a machine try it with whole numbers, of which every result is exact.
"""

import ctypes
import importlib
import sys
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from nnxp._types import Array
from nnxp.errors import BackendError
from nnxp.ops.cuda import cublaslt
from nnxp.ops.cuda.gemm import Addresses, Epilogue, Product, forward
from nnxp.ops.cuda.launch import SOURCE, Machine, Run, blocks_for, nvrtc_options

__all__ = [
    "Driver",
    "Gpu",
    "arithmetic",
    "compile_kernels",
    "count",
    "cublaslt_version",
    "cudart_version",
    "driver",
    "gpu",
    "graph",
    "host_machine",
    "launch",
    "machine",
    "nvrtc_version",
    "path",
    "product",
    "product_graph",
    "true_float32",
]

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MANAGEMENT = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_OLDEST = 75
"""Where nobody says which GPU: the oldest architecture that CUDA 13 compiles for."""

_SIZE = 1000
_BATCH, _INPUTS, _OUTPUTS = 8, 16, 12


class Driver(NamedTuple):
    """NVIDIA's driver: its version ("" where nobody tells), and the newest CUDA that it knows."""

    version: str
    cuda: tuple[int, int]


class Gpu(NamedTuple):
    """A device, and bytes of its memory."""

    name: str
    capability: tuple[int, int]
    free: int
    total: int


def driver() -> Driver:
    """The driver, asked without CuPy."""
    library, number = ctypes.CDLL(_DRIVER), ctypes.c_int()
    status = library.cuDriverGetVersion(ctypes.byref(number))
    if status:
        raise BackendError(f"{_DRIVER} is there, and fails with CUDA error {status}")
    return Driver(_driver_version(), _version(number.value))


def _driver_version() -> str:
    with suppress(OSError, AttributeError):
        library, text = ctypes.CDLL(_MANAGEMENT), ctypes.create_string_buffer(96)
        if library.nvmlInit_v2() == 0:
            told = library.nvmlSystemGetDriverVersion(text, len(text)) == 0
            library.nvmlShutdown()
            return text.value.decode() if told else ""
    return ""


def _version(number: int) -> tuple[int, int]:
    """CUDA's way to write a version: 13020 is 13.2."""
    return number // 1000, number % 1000 // 10


def count() -> int:
    """How many GPUs CuPy sees."""
    return int(_cupy().cuda.runtime.getDeviceCount())


def gpu(index: int) -> Gpu:
    """One of them."""
    cupy = _cupy()
    told = cupy.cuda.runtime.getDeviceProperties(index)
    with cupy.cuda.Device(index) as device:
        free, total = device.mem_info
    return Gpu(told["name"].decode(), (told["major"], told["minor"]), free, total)


def nvrtc_version() -> tuple[int, ...]:
    """The compiler of kernels."""
    return tuple(_cupy().cuda.nvrtc.getVersion())


def cublaslt_version() -> tuple[int, ...]:
    """The library of products."""
    library = cublaslt.find()
    if isinstance(library, str):
        raise BackendError(library)
    number = int(library.cublasLtGetVersion())
    return number // 10_000, number // 100 % 100, number % 100


def cudart_version() -> tuple[int, ...]:
    """The runtime that CuPy was built with."""
    return _version(_cupy().cuda.runtime.runtimeGetVersion())


def path(library: str) -> str | None:
    """Where a library of CUDA's lies; None where it is not found, or nobody can look."""
    try:
        return str(importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib(library).abs_path)
    except Exception:  # which of them is not for this place to know
        return None


def compile_kernels(dtype: str, capability: tuple[int, int] | None) -> None:
    """Compile all kernels, for this or for an old GPU. NVRTC needs neither a GPU nor a driver."""
    nvrtc = _cupy().cuda.nvrtc
    major, minor = capability or divmod(_OLDEST, 10)
    program = nvrtc.createProgram(SOURCE.read_text(encoding="utf-8"), SOURCE.name, (), ())
    try:
        nvrtc.compileProgram(program, (*nvrtc_options(dtype), f"--gpu-architecture=sm_{major}{minor}"))
    except Exception as error:
        raise BackendError(nvrtc.getProgramLog(program) or str(error)) from error
    finally:
        nvrtc.destroyProgram(program)


def arithmetic() -> None:
    """CuPy's own kernels, which it compiles with CUDA's headers."""
    found = _cupy().asarray(np.arange(_SIZE, dtype="float32")) * 2 + 1
    _require(found, np.arange(_SIZE) * 2 + 1)


def machine() -> Machine:
    """The current GPU as a machine."""
    made: Machine = importlib.import_module("nnxp.ops.cuda.device").CudaMachine(_cupy().cuda.Device())
    return made


def host_machine() -> Machine:
    """The host in a GPU's place."""
    made: Machine = importlib.import_module("nnxp.ops.cuda.host").HostMachine()
    return made


def launch(machine: Machine, dtype: str) -> None:
    """One kernel, a + b."""
    a, b, total = _arrays(machine, dtype)
    _sum(machine, dtype, a, b, total)()
    _require(total, 3 * np.arange(_SIZE))


def graph(machine: Machine) -> None:
    """That kernel captured; the replay must see what became of a since."""
    a, b, total = _arrays(machine, "float32")
    run = _sum(machine, "float32", a, b, total)
    run()
    replay = machine.capture([run])
    machine.upload(a, 5 * np.arange(_SIZE, dtype="float32"))
    for _ in range(2):
        replay()
    _require(total, 7 * np.arange(_SIZE))


def product(machine: Machine, dtype: str) -> None:
    """y = x · w."""
    x, w, y = _factors(machine, dtype)
    _multiplication(machine, dtype, x, w, y)()
    _require(y, _home(x) @ _home(w))


def product_graph(machine: Machine) -> None:
    """That product captured."""
    x, w, y = _factors(machine, "float32")
    run = _multiplication(machine, "float32", x, w, y)
    run()
    replay = machine.capture([run])
    machine.upload(x, 3 * _home(x))
    replay()
    _require(y, _home(x) @ _home(w))


def true_float32(machine: Machine) -> bool:
    """Whether products keep all 24 bits of a float32; tensor cores would keep 11 (TF32) or 8 (bfloat16)."""
    x, w, y = _factors(machine, "float32")
    fine = np.full((_BATCH, _INPUTS), 1 + 2.0**-20, dtype="float32")
    machine.upload(x, fine)
    machine.upload(w, np.eye(_INPUTS, _OUTPUTS, dtype="float32"))
    _multiplication(machine, "float32", x, w, y)()
    return bool(np.all(_home(y) == fine[:, :_OUTPUTS]))


def _cupy() -> Any:
    return importlib.import_module("cupy")


def _arrays(machine: Machine, dtype: str) -> tuple[Array, Array, Array]:
    """a, b = 2 a, and room for their sum."""
    a = np.arange(_SIZE, dtype=dtype)
    make = machine.xp.asarray
    return make(a), make(2 * a), make(np.zeros_like(a))


def _sum(machine: Machine, dtype: str, a: Array, b: Array, total: Array) -> Run:
    add, threads = machine.kernel("add", dtype), machine.threads
    start_a, start_b, start = (np.uint64(machine.address(array)) for array in (a, b, total))
    arguments = start_a, start_b, np.int64(_SIZE), start
    return lambda: add(blocks_for(_SIZE, threads), threads, arguments)


def _factors(machine: Machine, dtype: str) -> tuple[Array, Array, Array]:
    x = (np.arange(_BATCH * _INPUTS) % 7 - 3).reshape(_BATCH, _INPUTS).astype(dtype)
    w = (np.arange(_INPUTS * _OUTPUTS) % 5 - 2).reshape(_INPUTS, _OUTPUTS).astype(dtype)
    make = machine.xp.asarray
    return make(x), make(w), make(np.zeros((_BATCH, _OUTPUTS), dtype))


def _multiplication(machine: Machine, dtype: Any, x: Array, w: Array, y: Array) -> Run:
    wanted: Product = forward(_BATCH, _INPUTS, _OUTPUTS, epilogue=Epilogue.DEFAULT, dtype=dtype)
    run = machine.product(wanted, Addresses(machine.address(w), machine.address(x), machine.address(y)))
    if run is None:
        raise BackendError(getattr(machine, "without_products", "") or "cublasLt has no algorithm for a small product")
    return run


def _home(array: Array) -> Any:
    """The values on the host; waits for the device."""
    return array if isinstance(array, np.ndarray) else np.from_dlpack(array, device="cpu")


def _require(found: Array, expected: Any) -> None:
    wrong = _home(found) != expected
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        value, wanted = _home(found).flat[first], expected.flat[first]
        raise BackendError(f"wrong results: {int(wrong.sum())} of {wrong.size}, the first {value} instead of {wanted}")
