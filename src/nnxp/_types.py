"""Words for types. An array belongs to whichever library made it, so its type is not ours to name."""

from collections.abc import Callable
from typing import Any, TypeAlias

Array: TypeAlias = Any
"""An array of any Array API library."""

Namespace: TypeAlias = Any
"""A module of the Array API: ``numpy``, ``array_api_compat.cupy``, ``jax.numpy``, …"""

Dtype: TypeAlias = Any
Device: TypeAlias = Any

Shape: TypeAlias = tuple[int, ...]
"""A shape without its batch axis, unless said otherwise."""

Arrays: TypeAlias = dict[str, Array]
"""Arrays by name."""

Op: TypeAlias = Callable[..., Any]
"""A function from arrays to arrays; it takes ``out=`` and may ignore it."""
