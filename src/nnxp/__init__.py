"""nnxp: neural networks on ``xp``.

Explicit forward and backward mathematics, written once against a swappable array namespace: the same network trains on
a CPU with NumPy and on a CUDA GPU with CuPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nnxp import (
    backend,
    callbacks,
    data,
    errors,
    initializers,
    layers,
    losses,
    metrics,
    ops,
    optimizers,
    regularizers,
    schedules,
)
from nnxp.backend import Backend, available_backends, get_backend
from nnxp.training import History, Model, load

if TYPE_CHECKING:
    from nnxp import gradcheck, parity, plotting

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "History",
    "Model",
    "__version__",
    "available_backends",
    "backend",
    "callbacks",
    "data",
    "errors",
    "get_backend",
    "gradcheck",
    "initializers",
    "layers",
    "load",
    "losses",
    "metrics",
    "ops",
    "optimizers",
    "parity",
    "plotting",
    "regularizers",
    "schedules",
]


def __getattr__(name: str) -> Any:
    """The rooms that a training does not enter are opened at their first use."""
    if name in ("gradcheck", "parity", "plotting"):
        return import_module(f"nnxp.{name}")
    raise AttributeError(f"module 'nnxp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
