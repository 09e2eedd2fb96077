"""Scaling of raw features, kept with the model, so that a loaded model takes raw features too."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.backend import backend_of, namespace_of
from nnxp.errors import ConfigurationError, ShapeError

__all__ = ["Scaling"]


@dataclass(frozen=True, eq=False)
class Scaling:
    r"""$x' = (x - o) \cdot f$, elementwise, with an offset and a factor that broadcast against one sample.

    Parameters
    ----------
    offset, factor
        Numbers or host arrays; kept in float64.
    """

    offset: Any
    factor: Any

    def __post_init__(self) -> None:
        for name in ("offset", "factor"):
            value = np.array(getattr(self, name), dtype=np.float64)
            if not np.isfinite(value).all():
                raise ConfigurationError(f"Scaling: {name} must be finite, got {value}.")
            object.__setattr__(self, name, value)

    @classmethod
    def standard(cls, x: Any) -> "Scaling":
        """Mean 0 and standard deviation 1 for each feature of ``x``; a constant feature is only shifted.

        >>> Scaling.standard([[1.0, 7.0], [3.0, 7.0]]).apply([[3.0, 8.0]]).tolist()
        [[1.0, 1.0]]
        """
        x = np.asarray(x, dtype=np.float64)
        deviation = x.std(axis=0)
        return cls(x.mean(axis=0), 1 / np.where(deviation > 0, deviation, 1.0))

    def apply(self, x: Any) -> Array:
        """Scaled features where x is; host data is scaled in float64."""
        xp = namespace_of(x)
        shape = np.shape(x) if xp is None else tuple(x.shape)
        sample = np.broadcast_shapes(self.offset.shape, self.factor.shape)
        if len(sample) >= len(shape) or any(a not in (1, b) for a, b in zip(sample[::-1], shape[::-1], strict=False)):
            raise ShapeError(f"Scaling was made for samples of shape {sample}, got x of shape {shape}.")
        if xp is None or xp is np:
            return (np.asarray(x) - self.offset) * self.factor
        backend = backend_of(x)
        x = backend.asarray(x) if backend.is_floating(x.dtype) else xp.astype(x, backend.dtype)
        return (x - backend.asarray(self.offset)) * backend.asarray(self.factor)
