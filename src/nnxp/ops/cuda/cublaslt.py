"""cublasLt through ctypes: descriptors of a product, the choice among its algorithms, its launch.

CuPy's own products refuse to be captured into a CUDA graph; cublasLt's do not mind, once the algorithm is chosen. The
library needs a GPU for its handle and for the choice; descriptors can be made and read back anywhere.

Source: the declarations of NVIDIA's ``cublasLt.h``, ``cublas_api.h`` and ``library_types.h``, version 13.
"""

import ctypes
import importlib
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any, Self

from nnxp.errors import BackendError
from nnxp.ops.cuda.gemm import Addresses, Epilogue, Product

__all__ = ["Algorithm", "CublasLt", "Descriptors", "StatusError", "alignment", "find", "load"]


class Status(IntEnum):
    SUCCESS = 0
    INVALID_VALUE = 7
    NOT_SUPPORTED = 15


class ComputeType(IntEnum):
    """How products are made and summed."""

    COMPUTE_32F = 68
    COMPUTE_64F = 70
    COMPUTE_32F_FAST_16BF = 75  # may round to bfloat16, and may take TF32
    COMPUTE_32F_FAST_TF32 = 77


class DataType(IntEnum):
    """What lies in memory; also the type of α and β."""

    R_32F = 0
    R_64F = 1


class Operation(IntEnum):
    OP_N = 0
    OP_T = 1


class Order(IntEnum):
    COL = 0


class MatmulDesc(IntEnum):
    COMPUTE_TYPE = 0
    SCALE_TYPE = 1
    TRANSA = 3
    TRANSB = 4
    EPILOGUE = 7
    BIAS_POINTER = 8
    EPILOGUE_AUX_POINTER = 11
    EPILOGUE_AUX_LD = 12


class MatrixLayout(IntEnum):
    TYPE = 0
    ORDER = 1
    ROWS = 2
    COLS = 3
    LD = 4


class MatmulPref(IntEnum):
    MAX_WORKSPACE_BYTES = 1
    MIN_ALIGNMENT_A_BYTES = 5
    MIN_ALIGNMENT_B_BYTES = 6
    MIN_ALIGNMENT_C_BYTES = 7
    MIN_ALIGNMENT_D_BYTES = 8


_DESCRIPTION: dict[MatmulDesc, Any] = {
    MatmulDesc.COMPUTE_TYPE: c_int32,
    MatmulDesc.SCALE_TYPE: c_int32,
    MatmulDesc.TRANSA: c_int32,
    MatmulDesc.TRANSB: c_int32,
    MatmulDesc.EPILOGUE: c_uint32,
    MatmulDesc.BIAS_POINTER: c_uint64,
    MatmulDesc.EPILOGUE_AUX_POINTER: c_uint64,
    MatmulDesc.EPILOGUE_AUX_LD: c_int64,
}
"""The attributes of a product that matter here, with their C types."""

_LAYOUT: dict[MatrixLayout, Any] = {
    MatrixLayout.TYPE: c_uint32,
    MatrixLayout.ORDER: c_int32,
    MatrixLayout.ROWS: c_uint64,
    MatrixLayout.COLS: c_uint64,
    MatrixLayout.LD: c_int64,
}

_COMPUTE = {
    ("float32", "float32"): ComputeType.COMPUTE_32F,
    ("float32", "tf32"): ComputeType.COMPUTE_32F_FAST_TF32,
    ("float32", "bf16"): ComputeType.COMPUTE_32F_FAST_16BF,
    ("float64", "float32"): ComputeType.COMPUTE_64F,
}

_STORED = {"float32": DataType.R_32F, "float64": DataType.R_64F}

_SCALAR: dict[str, Any] = {"float32": ctypes.c_float, "float64": ctypes.c_double}


class MatmulAlgo(ctypes.Structure):
    """``cublasLtMatmulAlgo_t``."""

    _fields_ = (("data", c_uint64 * 8),)


class HeuristicResult(ctypes.Structure):
    """``cublasLtMatmulHeuristicResult_t``."""

    _fields_ = (
        ("algo", MatmulAlgo),
        ("workspaceSize", c_size_t),
        ("state", c_int),
        ("wavesCount", c_float),
        ("reserved", c_int * 4),
    )


_ATTRIBUTE = (c_void_p, c_int, c_void_p, c_size_t)

_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "Create": (POINTER(c_void_p),),
    "Destroy": (c_void_p,),
    "MatmulDescCreate": (POINTER(c_void_p), c_int, c_int),
    "MatmulDescDestroy": (c_void_p,),
    "MatmulDescSetAttribute": _ATTRIBUTE,
    "MatmulDescGetAttribute": (*_ATTRIBUTE, POINTER(c_size_t)),
    "MatrixLayoutCreate": (POINTER(c_void_p), c_int, c_uint64, c_uint64, c_int64),
    "MatrixLayoutDestroy": (c_void_p,),
    "MatrixLayoutGetAttribute": (*_ATTRIBUTE, POINTER(c_size_t)),
    "MatmulPreferenceCreate": (POINTER(c_void_p),),
    "MatmulPreferenceDestroy": (c_void_p,),
    "MatmulPreferenceSetAttribute": _ATTRIBUTE,
    "MatmulPreferenceGetAttribute": (*_ATTRIBUTE, POINTER(c_size_t)),
    "MatmulAlgoGetHeuristic": (*(c_void_p,) * 7, c_int, POINTER(HeuristicResult), POINTER(c_int)),
    # handle, description, α, A, its layout, B, its layout, β, C, its layout, D, its layout, algorithm, workspace
    "Matmul": (*(c_void_p,) * 14, c_size_t, c_void_p),
}
"""The arguments of the functions that return a status, after their prefix ``cublasLt``."""

_SONAMES = ("libcublasLt.so.13", "libcublasLt.so.12", "cublasLt64_13.dll", "cublasLt64_12.dll")

_MASK_ALIGNMENT = 16
"""Bytes. A mask's columns are multiples of it, so its beginning should be one."""


_BIAS_ALIGNMENT = 16
"""Bytes. Kernels may read so much of a bias at a time, and no preference tells cublasLt how it is aligned. One that
lies otherwise makes them fault, and after a fault the process can use the GPU no more.

Source: PyTorch's pull request 194497.
"""


class StatusError(BackendError):
    """cublasLt refused; ``status`` is its number for the reason."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Algorithm:
    """A way to compute one product, valid for one version of the library and one kind of GPU.

    ``data`` is cublasLt's own description, ``workspace`` the bytes that it needs, ``waves`` how often it fills the GPU.
    """

    data: bytes
    workspace: int
    waves: float


def find() -> ctypes.CDLL | str:
    """The library, with its functions' types; or why it cannot be had."""
    try:
        loaded = importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib("cublasLt")
        return load(loaded.abs_path or _SONAMES[0])
    except (ImportError, RuntimeError, OSError) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
    for soname in _SONAMES:
        try:
            return load(soname)
        except OSError:
            continue
    return f"no libcublasLt ({reason}); it comes with cupy-cuda12x[ctk] and cupy-cuda13x[ctk]"


def load(path: str) -> ctypes.CDLL:
    """The library at a path or of a soname, with its functions' types."""
    library = ctypes.CDLL(path)
    for name, arguments in _PROTOTYPES.items():
        function = getattr(library, "cublasLt" + name)
        function.argtypes, function.restype = arguments, c_int
    library.cublasLtGetVersion.argtypes, library.cublasLtGetVersion.restype = (), c_size_t
    for name in ("cublasLtGetStatusName", "cublasLtGetStatusString"):
        function = getattr(library, name)
        function.argtypes, function.restype = (c_int,), c_char_p
    return library


def alignment(address: int) -> int:
    """The largest power of two, up to 256, that divides an address: what the choice of an algorithm may rely on."""
    return min(address & -address, 256) or 256


class Descriptors:
    """cublasLt's description of a product, with the addresses of its bias and mask, and of its matrices' layouts.

    C is D. The addresses count before any launch: an algorithm is chosen by their alignment.
    """

    def __init__(self, library: ctypes.CDLL, product: Product, *, bias: int = 0, mask: int = 0) -> None:
        self._library = library
        self._undo: list[tuple[Any, c_void_p]] = []
        _check_addresses(product, bias, mask)
        try:
            self.description = self._describe(product, bias, mask)
            self.a = self._layout(product, product.a_shape, product.lda)
            self.b = self._layout(product, product.b_shape, product.ldb)
            self.d = self._layout(product, (product.m, product.n), product.ldd)
            self.c = self._layout(product, (product.m, product.n), product.ldd)
        except BaseException:
            self.close()
            raise

    def _describe(self, product: Product, bias: int, mask: int) -> c_void_p:
        compute, scale = _COMPUTE[product.dtype, product.precision], _STORED[product.dtype]
        made = self._create("MatmulDesc", compute, scale)
        values: dict[MatmulDesc, int] = {
            MatmulDesc.TRANSA: Operation.OP_T if product.transpose_a else Operation.OP_N,
            MatmulDesc.TRANSB: Operation.OP_T if product.transpose_b else Operation.OP_N,
            MatmulDesc.EPILOGUE: product.epilogue,
        }
        if product.epilogue.has_bias:
            values[MatmulDesc.BIAS_POINTER] = bias
        if product.epilogue.has_mask:
            values |= {MatmulDesc.EPILOGUE_AUX_POINTER: mask, MatmulDesc.EPILOGUE_AUX_LD: product.mask_ld}
        for attribute, value in values.items():
            _set(self._library, "MatmulDesc", made, attribute, _DESCRIPTION[attribute](value))
        return made

    def _layout(self, product: Product, shape: tuple[int, int], ld: int) -> c_void_p:
        return self._create("MatrixLayout", _STORED[product.dtype], *shape, ld)  # by columns, unless told otherwise

    def _create(self, kind: str, *arguments: int) -> c_void_p:
        made = c_void_p()
        _call(self._library, kind + "Create", ctypes.byref(made), *arguments)
        self._undo.append((getattr(self._library, f"cublasLt{kind}Destroy"), made))
        return made

    def read_back(self) -> dict[str, int]:
        """All that cublasLt was told, as it remembers it: ``TRANSA``, ``A.ROWS``, … by their names in C."""
        found = {
            attribute.name: _get(self._library, "MatmulDesc", self.description, attribute, kind)
            for attribute, kind in _DESCRIPTION.items()
        }
        for letter, layout in {"A": self.a, "B": self.b, "C": self.c, "D": self.d}.items():
            for attribute, kind in _LAYOUT.items():
                found[f"{letter}.{attribute.name}"] = _get(self._library, "MatrixLayout", layout, attribute, kind)
        return found

    def close(self) -> None:
        """Give all back; may be called again."""
        while self._undo:
            destroy, made = self._undo.pop()
            destroy(made)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class CublasLt:
    """Products on the current GPU, within a workspace on it: 32 MiB are advised for Hopper, 4 MiB before.

    Products that run at the same time, on two streams, need a workspace each, and so an object each.
    Source of the sizes: cuBLAS library documentation, ``cublasSetWorkspace``.
    """

    def __init__(self, library: ctypes.CDLL, *, workspace: int, size: int) -> None:
        self.version: int = library.cublasLtGetVersion()
        self._library, self._workspace, self._size = library, workspace, size
        self._handle = c_void_p()
        self._kept: dict[tuple[Product, int, int], Descriptors] = {}
        _call(library, "Create", ctypes.byref(self._handle))

    def algorithms(self, product: Product, addresses: Addresses, *, most: int = 8) -> list[Algorithm]:
        """Ways to compute the product on matrices that are aligned as these are, the likely fastest first.

        Empty where cublasLt cannot do this epilogue for these sizes, types and addresses.
        """
        if _is_known_to_fail(product, self.version) or addresses.bias % _BIAS_ALIGNMENT:
            return []
        described, results, count = self._descriptors(product, addresses), (HeuristicResult * most)(), c_int()
        with _Preference(self._library, self._size, addresses) as preference:
            layouts = (described.a, described.b, described.c, described.d)
            arguments = (described.description, *layouts, preference.made, most, results, ctypes.byref(count))
            try:
                _call(self._library, "MatmulAlgoGetHeuristic", self._handle, *arguments)
            except StatusError as error:
                if not _is_refusal(error, product):
                    raise
                return []
        found = (result for result in results[: count.value] if result.state == Status.SUCCESS)
        return [Algorithm(bytes(result.algo), result.workspaceSize, result.wavesCount) for result in found]

    def choose(
        self,
        product: Product,
        addresses: Addresses,
        time: Callable[[Callable[[], None]], float],
        *,
        stream: int,
        most: int = 8,
    ) -> Algorithm | None:
        """The fastest algorithm, by ``time(call) -> seconds``, where each call queues the product once on the stream.

        The product really runs: D, and a bias or mask that the epilogue writes, are not what they were. Another
        process may choose otherwise, and then sums in another order; ``algorithms(…)[0]`` depends on no clock.
        None where no algorithm can do it: the caller then takes the epilogue apart.
        """
        best, least = None, float("inf")
        for algorithm in self.algorithms(product, addresses, most=most):
            queue = self.bind(product, algorithm, addresses)
            try:
                seconds = time(partial(queue, stream))
            except StatusError:
                continue
            if seconds < least:
                best, least = algorithm, seconds
        return best

    def bind(self, product: Product, algorithm: Algorithm, addresses: Addresses) -> Callable[[int], None]:
        """``call(stream)`` queues the product; it can be captured into a graph, which keeps the addresses."""
        if algorithm.workspace > self._size:
            raise BackendError(f"The algorithm needs {algorithm.workspace} bytes of workspace, here are {self._size}.")
        described, scalar = self._descriptors(product, addresses), _SCALAR[product.dtype]
        alpha, beta = scalar(1), scalar(product.beta)
        algo = MatmulAlgo.from_buffer_copy(algorithm.data)
        arguments = (
            *(self._handle, described.description, ctypes.byref(alpha)),
            *(addresses.a, described.a, addresses.b, described.b, ctypes.byref(beta)),
            *(addresses.d, described.c, addresses.d, described.d),
            *(ctypes.byref(algo), self._workspace, self._size),
        )
        return lambda stream: _call(self._library, "Matmul", *arguments, stream)

    def run(self, product: Product, algorithm: Algorithm, addresses: Addresses, stream: int) -> None:
        """Queue the product on the stream, once."""
        self.bind(product, algorithm, addresses)(stream)

    def _descriptors(self, product: Product, addresses: Addresses) -> Descriptors:
        key = (product, addresses.bias, addresses.mask)
        if key not in self._kept:
            self._kept[key] = Descriptors(self._library, product, bias=addresses.bias, mask=addresses.mask)
        return self._kept[key]

    def close(self) -> None:
        """Give all back; may be called again. Bound calls are dead afterwards."""
        for described in self._kept.values():
            described.close()
        self._kept.clear()
        if self._handle:
            _call(self._library, "Destroy", self._handle)
            self._handle = c_void_p()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Preference:
    """What an algorithm may use and rely on: the workspace's size, and how the matrices are really aligned.

    cublasLt's default promises 256 bytes, which a matrix within an arena does not keep.
    """

    def __init__(self, library: ctypes.CDLL, size: int, addresses: Addresses) -> None:
        self._library, self.made = library, c_void_p()
        _call(library, "MatmulPreferenceCreate", ctypes.byref(self.made))
        self._set(MatmulPref.MAX_WORKSPACE_BYTES, c_uint64(size))
        self._set(MatmulPref.MIN_ALIGNMENT_A_BYTES, c_uint32(alignment(addresses.a)))
        self._set(MatmulPref.MIN_ALIGNMENT_B_BYTES, c_uint32(alignment(addresses.b)))
        self._set(MatmulPref.MIN_ALIGNMENT_C_BYTES, c_uint32(alignment(addresses.d)))
        self._set(MatmulPref.MIN_ALIGNMENT_D_BYTES, c_uint32(alignment(addresses.d)))

    def _set(self, attribute: MatmulPref, value: Any) -> None:
        _set(self._library, "MatmulPreference", self.made, attribute, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _call(self._library, "MatmulPreferenceDestroy", self.made)


def _check_addresses(product: Product, bias: int, mask: int) -> None:
    epilogue = product.epilogue
    if (epilogue.has_bias and not bias) or (epilogue.has_mask and not mask):
        needs = f"bias: {epilogue.has_bias}, mask: {epilogue.has_mask}"
        raise BackendError(f"{epilogue.name} needs addresses ({needs}), got bias={bias:#x}, mask={mask:#x}.")
    if mask % _MASK_ALIGNMENT:
        raise BackendError(f"A mask must begin at a multiple of {_MASK_ALIGNMENT} bytes, got {mask:#x}.")


def _is_known_to_fail(product: Product, version: int) -> bool:
    """Some epilogues do not reckon with sums of one term, which is asked for by a layer with one output.

    Source: nvmath-python, ``nvmath/linalg/_internal/epilog_protocol.py``.
    """
    if product.k > 1:
        return False
    return product.epilogue.masks or (product.epilogue in (Epilogue.BGRADA, Epilogue.BGRADB) and version < 120304)


def _is_refusal(error: StatusError, product: Product) -> bool:
    """Is an error of the heuristics no mistake of ours? Odd shapes with an epilogue are "invalid" to some versions."""
    plain = product.epilogue is Epilogue.DEFAULT
    return error.status == Status.NOT_SUPPORTED or (error.status == Status.INVALID_VALUE and not plain)


def _call(library: ctypes.CDLL, name: str, *arguments: Any) -> None:
    status = getattr(library, "cublasLt" + name)(*arguments)
    if status != Status.SUCCESS:
        code, words = library.cublasLtGetStatusName(status).decode(), library.cublasLtGetStatusString(status).decode()
        advice = "; it needs a GPU and its driver" if name == "Create" else ""
        raise StatusError(f"cublasLt{name} failed with {code} ({status}): {words}{advice}.", status)


def _set(library: ctypes.CDLL, kind: str, made: c_void_p, attribute: IntEnum, value: Any) -> None:
    _call(library, kind + "SetAttribute", made, attribute, ctypes.byref(value), ctypes.sizeof(value))


def _get(library: ctypes.CDLL, kind: str, made: c_void_p, attribute: IntEnum, ctype: Any) -> int:
    value = ctype()
    _call(library, kind + "GetAttribute", made, attribute, ctypes.byref(value), ctypes.sizeof(value), None)
    return int(value.value)
