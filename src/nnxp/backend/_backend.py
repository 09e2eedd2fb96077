"""Where it runs, as one immutable value that is handed down explicitly."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from nnxp._check import dtype_name
from nnxp._types import Array, Device, Dtype, Namespace, Op
from nnxp.backend._arrays import namespace_of, to_host
from nnxp.backend._memory import Shortage, host_memory, shortage
from nnxp.backend._rng import Rng
from nnxp.errors import DtypeError
from nnxp.ops import Call, Ops

__all__ = ["Adapter", "Backend"]

_NUMBERS = "biufc"  # NumPy's kinds: bool, signed and unsigned integers, floating, complex


@dataclass(frozen=True)
class Adapter:
    """The little that array libraries do each in their own way."""

    from_host: Op
    """``from_host(xp, array, device)``: a NumPy array as one of its own; it may share memory."""
    zeros: Op
    """``zeros(xp, size, dtype, device)``: a flat array of zeros."""
    read: Op
    """``read(scalars)``: a list of 0-d arrays as a list of floats, in one transfer where that matters."""
    quiet: Callable[[], AbstractContextManager[Any]]
    """A context in which the library does not warn of overflow: training reports divergence itself."""
    synchronize: Op
    """``synchronize(device)``: wait for what was queued."""
    writable: bool
    """Whether arrays can be written, and slices of them share their memory."""
    piece: int | None = None
    """Elements that elementwise work takes at a time, so that they stay in cache from one op to the next; None where
    the calls themselves would cost more."""
    apart: bool = False
    """Whether the device has a memory of its own, to which host arrays must travel."""
    memory: Callable[[Device], tuple[int, int] | None] = host_memory
    """``memory(device)``: its free bytes and all that it has; None where nobody knows."""
    shortage: Callable[[BaseException], Shortage | None] = shortage
    """``shortage(error)``: what an error says of memory that ran out; None for any other error."""


@dataclass(frozen=True)
class Backend:
    """A namespace with a device, a data type, a source of randomness and a table of ops."""

    name: str
    xp: Namespace = field(repr=False)
    device: Device
    dtype: Dtype
    """The floating type of parameters and features, as the namespace's own object."""
    integer_dtype: Dtype
    """The type of class labels: int64, where the library has it."""
    rng: Rng
    ops: Ops = field(repr=False)
    kernels: str
    """Which kernels the table holds: ``"reference"``, ``"numpy"``, …"""
    adapter: Adapter = field(repr=False)
    precision: str = "float32"
    """How products of float32 numbers are made: ``"float32"``, ``"tf32"`` or ``"bf16"``."""

    @property
    def writable(self) -> bool:
        """Whether arrays can be written, and slices of them share their memory."""
        return self.adapter.writable

    @property
    def itemsize(self) -> int:
        """Bytes of one element of `dtype`."""
        return int(self.xp.finfo(self.dtype).bits) // 8

    def for_layer(self, index: int) -> "Backend":
        """The same backend with the randomness of the leaf layer ``index``."""
        return replace(self, rng=self.rng.for_layer(index))

    def asarray(self, a: Any, *, dtype: Dtype = None) -> Array:
        """``a`` (an array of any library, a list or a scalar) on this device; it may share memory with ``a``.

        Floating values take this backend's dtype; integers and booleans keep theirs. ``dtype`` overrides both.
        """
        if self.owns(a):
            wanted = self.dtype if dtype is None else dtype
            if a.dtype == wanted or (dtype is None and not self.is_floating(a.dtype)):
                return a
            with self.quiet():  # a number that is too large becomes infinite, which the caller's checks name
                return self.xp.astype(a, wanted)
        host = to_host(a)
        if host.dtype.kind not in _NUMBERS:
            raise DtypeError(f"expected numbers, got {host.dtype.name} values")
        if dtype is None and host.dtype.kind == "f":
            dtype = self.dtype
        native = host.dtype.newbyteorder("=") if dtype is None else dtype_name(dtype)
        with self.quiet():
            host = host.astype(native, copy=False)
        return self.adapter.from_host(self.xp, host, self.device)

    def owns(self, a: Any) -> bool:
        """Whether ``a`` is an array of this namespace on this device."""
        return namespace_of(a) is self.xp and bool(a.device == self.device)

    def is_floating(self, dtype: Dtype) -> bool:
        """Whether a data type of this namespace is real floating."""
        return bool(self.xp.isdtype(dtype, "real floating"))

    def to_numpy(self, a: Any) -> Any:
        """A host copy of ``a``: an array of this backend, or anything that NumPy takes."""
        return to_host(a).copy()

    def zeros(self, size: int, dtype: Dtype = None) -> Array:
        """A flat array of zeros; on NumPy it begins on a 64-byte boundary."""
        return self.adapter.zeros(self.xp, size, self.dtype if dtype is None else dtype, self.device)

    def read(self, scalars: Sequence[Array]) -> list[float]:
        """0-d arrays as Python floats; on a device this waits for them."""
        return self.adapter.read(scalars)  # type: ignore[no-any-return]

    def quiet(self) -> AbstractContextManager[Any]:
        """A context in which the library does not warn of overflow and NaN."""
        return self.adapter.quiet()

    def synchronize(self) -> None:
        """Wait until the device has done what was asked of it."""
        self.adapter.synchronize(self.device)

    def compile_step(self, calls: Sequence[Call], *, capture: bool = False) -> list[Call]:
        """A faster form of calls that are repeated in this order: as many, or fewer that do the same.

        ``capture`` allows to make a graph of a whole step, where the device has such a thing.
        """
        return self.ops.linker.link(calls, capture=capture)
