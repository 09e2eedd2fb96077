"""A GPU through CuPy: kernels by NVRTC, products by cublasLt, steps as CUDA graphs."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import cupy

from nnxp._types import Array
from nnxp.errors import BackendError
from nnxp.ops.cuda.cublaslt import Algorithm, CublasLt, alignment, find
from nnxp.ops.cuda.gemm import Addresses, Product
from nnxp.ops.cuda.launch import SOURCE, Run, nvrtc_options

__all__ = ["CudaMachine"]

_THREADS = 256

_WORKSPACE = 32 << 20
"""Bytes that cublasLt may use; NVIDIA advises so much for Hopper, and less for older GPUs."""

_REPEATS = 5
"""Runs of an algorithm that are timed together."""

_LONG = 2e-3
"""Seconds from which a run is long enough to be timed by itself."""


class CudaMachine:
    """One GPU. Everything is queued on CuPy's current stream, so it keeps its order with the user's own work."""

    xp = cupy
    threads = _THREADS

    def __init__(self, device: Any, *, precision: str = "float32") -> None:
        self.precision = precision
        self.counts: Counter[str] = Counter()
        self._device = device
        self._several = cupy.cuda.runtime.getDeviceCount() > 1
        self._functions: dict[tuple[str, str], Any] = {}
        self._modules: dict[str, Any] = {}
        self._algorithms: dict[Any, Algorithm | None] = {}
        self._capturing = False
        self._lt: CublasLt | None = None
        self.without_products = ""
        """Why there is no cublasLt; empty where there is."""
        with self._here():
            self._stream = cupy.cuda.Stream(non_blocking=True)
            self._open()

    def _open(self) -> None:
        library = find()
        if isinstance(library, str):
            self.without_products = library
            return
        self._workspace = cupy.empty(_WORKSPACE, dtype=cupy.uint8)
        try:
            self._lt = CublasLt(library, workspace=self._workspace.data.ptr, size=_WORKSPACE)
        except BackendError as error:  # the kernels are good without it
            self.without_products = str(error)

    def _here(self) -> AbstractContextManager[Any]:
        """The machine's GPU as the current one; that costs a call, which a single GPU does not need."""
        return cupy.cuda.Device(self._device.id) if self._several else nullcontext()

    def _count(self, what: str) -> None:
        if not self._capturing:
            self.counts[what] += 1

    def kernel(self, name: str, dtype: str) -> Callable[[int, int, tuple[Any, ...]], None]:
        """The compiled kernel; CuPy keeps what it compiled on disk."""
        if (name, dtype) not in self._functions:
            with self._here():
                self._functions[name, dtype] = self._module(dtype).get_function(name)
        function = self._functions[name, dtype]

        def call(blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
            self._count("kernel")
            with self._here():
                function((blocks,), (threads,), arguments)

        return call

    def _module(self, dtype: str) -> Any:
        if dtype not in self._modules:
            module = cupy.RawModule(code=SOURCE.read_text(encoding="utf-8"), options=nvrtc_options(dtype))
            try:
                module.compile()
            except cupy.cuda.compiler.CompileException as error:
                raise BackendError(f"the CUDA kernels do not compile for {dtype}: {error}") from error
            self._modules[dtype] = module
        return self._modules[dtype]

    def address(self, array: Array) -> int:
        """Where an array begins."""
        return int(array.data.ptr)

    def upload(self, array: Array, values: Array) -> None:
        """Queue a copy of host values. They are staged before this returns, because their memory is not pinned."""
        self._count("upload")
        with self._here():
            array.data.copy_from_host_async(values.ctypes.data, values.nbytes, cupy.cuda.get_current_stream())

    def product(self, product: Product, addresses: Addresses) -> Run | None:
        """The product by its fastest algorithm, which is sought when a product like it is met for the first time."""
        if self._lt is None:
            return None
        lt, key = self._lt, (product, *map(alignment, vars(addresses).values()))
        if key not in self._algorithms:
            with self._here():
                stream = cupy.cuda.get_current_stream().ptr
                self._algorithms[key] = lt.choose(product, addresses, self._seconds, stream=stream)
        algorithm = self._algorithms[key]
        if algorithm is None:
            return None
        queue = lt.bind(product, algorithm, addresses)

        def run() -> None:
            self._count("product")
            with self._here():
                queue(cupy.cuda.get_current_stream().ptr)

        return run

    def _seconds(self, call: Run) -> float:
        """The time of a call, on the device's own clock: a median of short ones, one run of a long one."""
        call()  # which may load code
        once = _elapsed(call, 1)
        if once > _LONG:
            return once
        return statistics.median(_elapsed(call, _REPEATS) for _ in range(3))

    def capture(self, runs: Iterable[Run]) -> Run:
        """What the runs queue, as a graph that is launched on the current stream."""
        with self._here(), self._stream:
            self._stream.begin_capture()
            self._capturing = True
            try:
                for run in runs:
                    run()
            finally:
                self._capturing = False
                graph = self._stream.end_capture()  # also after an error: the stream is to be usable again

        def launch() -> None:
            self._count("graph")
            with self._here():
                graph.launch()

        return launch


def _elapsed(call: Run, times: int) -> float:
    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    for _ in range(times):
        call()
    stop.record()
    stop.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, stop)) / times / 1000
