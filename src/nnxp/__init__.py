"""nnxp: neural networks on ``xp``.

Explicit forward and backward mathematics, written once against a swappable array namespace: the same network trains on
a CPU with NumPy and on a CUDA GPU with CuPy.
"""

from nnxp import (
    backend,
    callbacks,
    data,
    errors,
    gradcheck,
    initializers,
    layers,
    losses,
    metrics,
    ops,
    optimizers,
    plotting,
    regularizers,
    schedules,
)
from nnxp.backend import Backend, available_backends, get_backend
from nnxp.training import History, Model, load

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
    "plotting",
    "regularizers",
    "schedules",
]
