"""Where it runs: a namespace, a device, a data type, randomness and a table of ops, as one value."""

from nnxp.backend._arrays import namespace_of, to_host
from nnxp.backend._backend import Backend
from nnxp.backend._registry import available_backends, backend_of, get_backend
from nnxp.backend._rng import Purpose, Rng, Stream

__all__ = [
    "Backend",
    "Purpose",
    "Rng",
    "Stream",
    "available_backends",
    "backend_of",
    "get_backend",
    "namespace_of",
    "to_host",
]
