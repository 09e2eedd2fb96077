"""The book's arithmetic: nnxp's reference in float32, with matrix products accumulated in float64.

The book's own package does the same by patching NumPy. Here nothing is patched: the ops see a namespace whose
``matmul`` is the precise one. Parameters and products are float32; features and targets that a script gives in float64
stay so until the next product, as in the book, whose digits depend on it.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._types import Array, Device, Dtype, Namespace
from nnxp._values import numbers
from nnxp.backend import Backend, get_backend
from nnxp.ops import reference

__all__ = ["current", "host_scalar", "init", "own", "typed"]


class _PreciseProducts:
    """A namespace with its products accumulated in a wide type and rounded once, to a narrow one."""

    def __init__(self, xp: Namespace, wide: Dtype, narrow: Dtype) -> None:
        self._xp, self._wide, self._narrow = xp, wide, narrow

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._xp, name)
        setattr(self, name, value)  # found here from now on
        return value

    def matmul(self, a: Array, b: Array) -> Array:
        astype, wide = self._xp.astype, self._wide
        return astype(self._xp.matmul(astype(a, wide), astype(b, wide)), self._narrow)


@dataclass
class _Session:
    """What `init` has chosen. The book's scripts hand nothing down, so this is the one global in nnxp."""

    backend: Backend | None = None
    floats: dict[str, Dtype] = field(default_factory=dict)
    """The floating types of the backend."""


_session = _Session()


def init(
    backend: str | Namespace | Backend = "numpy",
    *,
    dot_precision_workaround: bool = True,
    default_dtype: str = "float32",
    random_seed: int | None = 0,
    device: Device | None = None,
) -> None:
    """Begin as the book's ``nnfs.init()`` does: NumPy's legacy stream from ``random_seed``, float32, precise products.

    It seeds ``numpy.random`` and changes nothing else in NumPy.

    Parameters
    ----------
    backend
        Where the classes compute from now on; see `nnxp.get_backend`. Initial weights and data are drawn on the host.
    dot_precision_workaround
        Accumulate products in float64, where the backend has it: the book's digits need it.
    default_dtype
        ``"float32"`` or ``"float64"``, of everything that the classes compute.
    random_seed
        None leaves the legacy stream where it is.
    device
        The library's own device object.
    """
    if random_seed is not None:
        random_seed = _check.non_negative_int("init", "random_seed", random_seed)
    _begin(backend, default_dtype, device, precise=dot_precision_workaround)
    if random_seed is not None:
        np.random.seed(random_seed)


def current() -> Backend:
    """The backend that `init` chose; NumPy's, where a script does without `init`."""
    if _session.backend is None:
        _begin("numpy", "float32", None, precise=True)
    assert _session.backend is not None
    return _session.backend


def own(owner: str, name: str, a: Any) -> Array:
    """``a`` on the current backend: floating numbers in their own precision, others in the backend's type."""
    backend = current()
    a = numbers(owner, name, a)
    return backend.asarray(a, dtype=_session.floats.get(_check.dtype_name(a.dtype), backend.dtype))


def typed(like: Array) -> Backend:
    """The current backend with the data type of an array."""
    backend = current()
    return backend if like.dtype == backend.dtype else replace(backend, dtype=like.dtype)


def host_scalar(a: Array) -> Any:
    """A 0-d array as a NumPy scalar of its own type, which prints and compares as the book's does."""
    return current().to_numpy(a)[()]


def _begin(backend: str | Namespace | Backend, dtype: str, device: Device | None, *, precise: bool) -> None:
    if not isinstance(backend, Backend):
        backend = get_backend(backend, dtype=dtype, device=device)
    xp = backend.xp
    floats = xp.__array_namespace_info__().dtypes(device=backend.device, kind="real floating")
    floats = {name: floats[name] for name in ("float32", "float64") if name in floats}
    names = _PreciseProducts(xp, floats["float64"], backend.dtype) if precise and "float64" in floats else xp
    _session.backend = replace(backend, ops=reference.table(names), kernels="reference")
    _session.floats = floats
