"""The backends by name.

This is the only place that knows a library's name, or what a library does in its own way; of memory, that is `_memory`.
"""

import importlib
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import Any

import numpy as np

from nnxp._check import choice, dtype_name, first_lines, one_line
from nnxp._types import Array, Device, Namespace
from nnxp.backend._arrays import namespace_of, to_host
from nnxp.backend._backend import Adapter, Backend
from nnxp.backend._memory import cupy_memory, host_memory, jax_memory, torch_memory
from nnxp.backend._rng import Rng
from nnxp.errors import BackendError, PerformanceWarning
from nnxp.ops import Ops

__all__ = ["available_backends", "backend_of", "get_backend"]

_DTYPES = ("float32", "float64")
_KERNELS = ("auto", "reference", "numpy", "numba", "cuda")
_PRECISIONS = ("float32", "tf32", "bf16")
_READY = "ready"
_DOCTOR = "`nnxp doctor` tries each part of CUDA by itself, and names the line to type."


@dataclass(frozen=True)
class _Library:
    """A library that has a name here: its import, what stands in its way, and how to get it."""

    package: str
    module: str
    install: str
    usable: Callable[[Namespace], str] = lambda xp: _READY

    def state(self) -> str:
        """``"ready"``, or the reason why it cannot be used here."""
        try:
            return self.usable(self.load())
        except ImportError as error:
            if isinstance(error, ModuleNotFoundError) and error.name == self.package:
                return f"not installed; {self.install}"
            return f"installed, but it does not import: {one_line(error)}; {self.install}"
        except Exception as error:  # a broken driver can raise anything, and must not take the others down
            return f"installed, but unusable: {one_line(error)}"

    def load(self) -> Namespace:
        """The Array API namespace."""
        return importlib.import_module(self.module)


def _cuda_usable(xp: Namespace) -> str:
    cuda = importlib.import_module("cupy").cuda
    if not cuda.is_available():
        return "installed, but no CUDA driver (or no GPU) was found; nvidia-smi should list one"
    xp.zeros(1) + 1  # the first kernel shows whether the toolkit's parts are there as well
    return _READY


_LIBRARIES = {
    "numpy": _Library("numpy", "numpy", "pip install numpy"),
    "cupy": _Library(
        "cupy",
        "array_api_compat.cupy",
        'pip install "nnxp[cuda13]", or "nnxp[cuda12]" for a CUDA 12 driver',
        _cuda_usable,
    ),
    "torch": _Library("torch", "array_api_compat.torch", "pip install torch"),
    "jax": _Library("jax", "jax.numpy", "pip install jax"),
    "array_api_strict": _Library("array_api_strict", "array_api_strict", "pip install array-api-strict"),
}


def available_backends() -> dict[str, str]:
    """Every backend that has a name: ``"ready"``, or why it cannot be used here and what to do."""
    return {name: library.state() for name, library in _LIBRARIES.items()}


def get_backend(
    backend: str | Namespace | Backend = "auto",
    *,
    dtype: str | Any = "float32",
    device: Device | None = None,
    seed: int = 0,
    kernels: str = "auto",
    precision: str = "float32",
) -> Backend:
    """The backend of an array library.

    Parameters
    ----------
    backend
        A name (see `available_backends`), ``"auto"`` (CuPy if it is usable, else NumPy), or any Array API namespace.
    dtype
        ``"float32"`` or ``"float64"``: the type of parameters and features.
    device
        The library's own device object, or None for its default.
    seed
        The seed of all randomness: a whole number below 2⁶⁴.
    kernels
        ``"auto"`` (the fastest there are), ``"reference"`` (the specification, in pure Array API) or a kernel set:
        ``"numpy"`` and ``"numba"`` for NumPy, ``"cuda"`` for CuPy. With ``"cuda"``, NumPy runs the CUDA kernels too,
        compiled for the host by a C++ compiler: to read them and to prove them, not to be fast.
    precision
        How CUDA products multiply float32 numbers: ``"float32"``, or, on tensor cores, rounded to ``"tf32"`` (10 bits
        of fraction) or ``"bf16"`` (7 bits). Parameters, activations and sums stay float32.

    Raises
    ------
    BackendError
        The library, the device, the dtype or the kernels are not usable here; the message lists what is.
    """
    if isinstance(backend, Backend):
        return backend
    xp, name = _namespace(backend)
    adapter = _adapter(xp, name, device)
    kernels, asked = _kernel_set(name, kernels), kernels
    device = xp.zeros(1).device if device is None else device
    precision = choice("get_backend", "precision", precision, _PRECISIONS)
    ops = importlib.import_module("nnxp.ops.reference").table(xp)
    if kernels == "cuda":
        kernels, ops = _with_cuda(ops, name, dtype_name(dtype), device, precision, asked)
    elif kernels != "reference":
        ops = _with_kernels(ops, kernels)
    if dtype_name(dtype) != "float32" and precision != "float32":
        raise BackendError(f"precision {precision!r} rounds float32 numbers, got dtype {dtype_name(dtype)!r}.")
    if kernels != "cuda" and precision != "float32":
        raise BackendError(
            f"Backend {name!r} with kernels {kernels!r} multiplies float32 as it is; precision {precision!r} needs "
            "kernels 'cuda': those of 'cupy', or, without a GPU, of 'numpy' (numpy/cuda on the command line)."
        )
    return Backend(
        name=name,
        xp=xp,
        device=device,
        dtype=_dtype(xp, name, dtype, device),
        integer_dtype=xp.__array_namespace_info__().default_dtypes(device=device)["integral"],
        rng=Rng(seed),
        ops=ops,
        kernels=kernels,
        adapter=adapter,
        precision=precision,
    )


def backend_of(a: Array, *, dtype: Any = None) -> Backend:
    """The backend that an array lives on; NumPy's for a list or a scalar."""
    xp, device = namespace_of(a), None
    if xp is None:
        xp = np
    else:
        device, dtype = a.device, a.dtype if dtype is None else dtype
    name = dtype_name(dtype) if dtype_name(dtype) in _DTYPES else "float32"
    key = (xp.__name__, str(device), name)  # by text: not every library's device can be hashed
    if key not in _found:
        _found[key] = get_backend(xp, device=device, dtype=name)
    return _found[key]


_found: dict[tuple[str, str, str], Backend] = {}
"""The backends that arrays were found on."""


def _namespace(backend: str | Namespace) -> tuple[Namespace, str]:
    if isinstance(backend, ModuleType):
        return _known_namespace(backend)
    if not isinstance(backend, str):
        raise BackendError(f"backend must be a name, an Array API namespace or a Backend, got {backend!r}.")
    if backend == "auto":
        backend = "cupy" if _LIBRARIES["cupy"].state() == _READY else "numpy"
    library = _LIBRARIES.get(backend)
    if library is None:
        raise BackendError(f"There is no backend {backend!r}. {_listing()}")
    state = library.state()
    if state != _READY:
        also = f" {_DOCTOR}" if backend == "cupy" and not state.startswith("not installed") else ""
        raise BackendError(f"Backend {backend!r} cannot be used: {state}.{also} {_listing(but=backend)}")
    return library.load(), backend


def _known_namespace(module: ModuleType) -> tuple[Namespace, str]:
    """A namespace given as a module; a bare library is taken in its Array API form."""
    bare = {"numpy": "numpy", "array_api_compat.numpy": "numpy", "cupy": "cupy", "torch": "torch"}
    for name, library in _LIBRARIES.items():
        if bare.get(module.__name__) == name or module.__name__ == library.module:
            return _namespace(name)
    if callable(getattr(module, "__array_namespace_info__", None)):
        return module, module.__name__
    raise BackendError(
        f"The module {module.__name__!r} is not an Array API namespace: it has no __array_namespace_info__. "
        f"{_listing()}"
    )


def _listing(but: str | None = None) -> str:
    states = {name: state for name, state in available_backends().items() if name != but}
    usable = ", ".join(name for name, state in states.items() if state == _READY)
    others = "".join(f" {name}: {state}." for name, state in states.items() if state != _READY)
    return f"Usable here: {usable}.{others}"


def _dtype(xp: Namespace, name: str, dtype: Any, device: Device) -> Any:
    wanted = dtype_name(dtype)
    if wanted not in _DTYPES:
        raise BackendError(f"dtype must be one of {', '.join(_DTYPES)}, got {dtype!r}.")
    usable = xp.__array_namespace_info__().dtypes(device=device, kind="real floating")
    if wanted not in usable:
        remedy = "; set the environment variable JAX_ENABLE_X64=1 before Python starts" if name == "jax" else ""
        raise BackendError(f"Backend {name!r} has no {wanted} on {device}{remedy}. It has: {', '.join(usable)}.")
    return usable[wanted]


def _kernel_set(name: str, kernels: str) -> str:
    choice("get_backend", "kernels", kernels, _KERNELS)
    usable = {"numpy": ["reference", "numpy"], "cupy": ["reference", "cuda"]}.get(name, ["reference"])
    if name == "numpy" and kernels == "cuda":
        return kernels  # on the host: for those who ask for it
    if name == "numpy" and kernels in ("auto", "numba"):
        state = _numba_state()
        if state == _READY:
            usable.append("numba")
        elif kernels == "numba":
            raise BackendError(f"Backend {name!r} cannot use the kernels 'numba' here: {state.rstrip('.')}.")
    if kernels == "auto":
        return usable[-1]
    if kernels not in usable:
        raise BackendError(f"Backend {name!r} has no kernels {kernels!r} here; it has: {', '.join(usable)}.")
    return kernels


@cache
def _numba_state() -> str:
    """``"ready"``, or why the compiled kernels cannot be used."""
    try:
        importlib.import_module("nnxp.ops.numba")
    except ModuleNotFoundError as error:
        if error.name == "numba":
            return 'numba is not installed; pip install "nnxp[fast]"'
        return one_line(error)
    except Exception as error:  # a numba that does not fit its NumPy says so with various errors
        return f"numba does not import: {one_line(error)}"
    return _READY


def _with_kernels(ops: Ops, kernels: str) -> Ops:
    # imported at the first backend, not with nnxp: the mathematics is the larger part of the package
    ops = importlib.import_module("nnxp.ops.numpy").table(ops)
    return importlib.import_module("nnxp.ops.numba").table(ops) if kernels == "numba" else ops


def _with_cuda(ops: Ops, name: str, dtype: str, device: Device, precision: str, asked: str) -> tuple[str, Ops]:
    """The CUDA kernels, and their name; where nobody asked for them and they do not compile, the reference."""
    try:
        if name == "cupy":
            machine = importlib.import_module("nnxp.ops.cuda.device").CudaMachine(device, precision=precision)
        else:
            machine = importlib.import_module("nnxp.ops.cuda.host").HostMachine(precision=precision)
        if dtype in _DTYPES:
            machine.kernel("add", dtype)  # which compiles all
        return "cuda", importlib.import_module("nnxp.ops.cuda").table(ops, machine)
    except Exception as error:  # compilers and drivers raise what they like
        log = first_lines(error if isinstance(error, BackendError) else f"{type(error).__name__}: {error}")
        if asked == "cuda":
            raise BackendError(f"The CUDA kernels cannot be used on {device}:\n{log}\n{_DOCTOR}") from error
        _warn_once(
            f"The CUDA kernels cannot be used on {device}. The reference takes their place: the results are the same, "
            f"the speed is not.\n{log}\n{_DOCTOR} With kernels='reference' this is not said."
        )
        return "reference", ops


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, PerformanceWarning, stacklevel=4)


def _adapter(xp: Namespace, name: str, device: Device | None) -> Adapter:
    if name == "numpy":
        _keep_freed_memory()
        return Adapter(
            from_host=_same,
            zeros=_aligned_zeros,
            read=_floats,
            quiet=_numpy_quiet,
            synchronize=_nothing,
            writable=True,
            piece=importlib.import_module("nnxp.ops.numpy").CHUNK,
        )
    return Adapter(
        from_host=_from_host,
        zeros=_zeros,
        read=partial(_read_wholes if name == "cupy" else _read_stacked, xp),
        quiet=_numpy_quiet,  # the strict namespace computes with NumPy; to the others it does nothing
        synchronize=_cupy_synchronize if name == "cupy" else _torch_synchronize if name == "torch" else _nothing,
        writable=_writes_through(xp, device),
        apart=_apart(xp, name, device),
        memory={"cupy": cupy_memory, "torch": torch_memory, "jax": jax_memory}.get(name, host_memory),
    )


def _apart(xp: Namespace, name: str, device: Device | None) -> bool:
    """Whether the device has a memory of its own."""
    if name not in ("torch", "jax"):
        return name == "cupy"
    device = xp.zeros(1).device if device is None else device
    return "cpu" not in (getattr(device, "type", ""), getattr(device, "platform", ""))


def _writes_through(xp: Namespace, device: Device | None) -> bool:
    """Whether a write into a slice is seen in the whole, tried on two elements."""
    whole = xp.zeros(2, device=device)
    try:
        whole[0:1][...] = 1.0
    except TypeError:  # what JAX raises
        return False
    return float(whole[0]) == 1.0


@cache
def _keep_freed_memory() -> None:
    """Free one array of 16 MiB, once: from then on glibc's malloc keeps what is freed up to that size for the next one.

    Before that it gives every array above 128 KiB back to the system, and a new one costs a page fault for each 4 KiB:
    code that makes fresh arrays in every step ran two to three times as long. Nothing is written into the array.
    """
    np.empty(1 << 24, dtype=np.uint8)


def _same(xp: Namespace, array: Array, device: Device) -> Array:
    return array


def _from_host(xp: Namespace, array: Array, device: Device) -> Array:
    own = array if array.flags.c_contiguous and array.flags.writeable else array.copy(order="C")
    return xp.asarray(own, device=device)


def _aligned_zeros(xp: Namespace, size: int, dtype: Any, device: Device) -> Array:
    return importlib.import_module("nnxp.ops.numpy").zeros(size, dtype)


def _zeros(xp: Namespace, size: int, dtype: Any, device: Device) -> Array:
    return xp.zeros(size, dtype=dtype, device=device)


def _floats(scalars: Sequence[Array]) -> list[float]:
    return list(map(float, scalars))


def _read_stacked(xp: Namespace, scalars: Sequence[Array]) -> list[float]:
    return [float(value) for value in to_host(xp.stack(list(scalars)))] if scalars else []


def _read_wholes(xp: Namespace, scalars: Sequence[Array]) -> list[float]:
    """Scalars that are elements of few small arrays, as the losses of many steps are: the arrays come home at once."""
    wholes: dict[int, Array] = {}
    places: list[tuple[int, int]] = []  # of which whole, which element
    for a in scalars:
        whole, element = a, 0
        if a.base is not None and a.base.size <= _SMALL:
            whole, element = a.base, (a.data.ptr - a.base.data.ptr) // a.dtype.itemsize
        wholes.setdefault(id(whole), whole)
        places.append((id(whole), element))
    if not wholes:
        return []
    host = to_host(xp.concat([xp.reshape(whole, (-1,)) for whole in wholes.values()]))
    sizes = [math.prod(whole.shape) for whole in wholes.values()]
    starts = dict(zip(wholes, itertools.accumulate(sizes, initial=0), strict=False))
    return [float(host[starts[whole] + element]) for whole, element in places]


_SMALL = 4096
"""Elements of an array that is brought home for the sake of some of them."""


def _numpy_quiet() -> AbstractContextManager[Any]:
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def _nothing(device: Device) -> None:
    pass


def _cupy_synchronize(device: Device) -> None:
    device.synchronize()


def _torch_synchronize(device: Device) -> None:
    torch = importlib.import_module("torch")
    if device.type != "cpu":
        getattr(torch, device.type).synchronize(device)
