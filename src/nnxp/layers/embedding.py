"""Vectors for indices, learned."""

from typing import ClassVar

from nnxp import _check
from nnxp._types import Array, Shape
from nnxp.backend import namespace_of
from nnxp.errors import ConfigurationError, DtypeError
from nnxp.initializers import Initializer, Uniform
from nnxp.layers._base import Outputs
from nnxp.layers._recorded import Parameter, ParameterSpec, RecordedLayer
from nnxp.ops.record import Program, Record, record

__all__ = ["Embedding"]

_UNIFORM = Uniform(-0.05, 0.05)


class Embedding(RecordedLayer):
    r"""``x[B,…] -> y[B,…,D]``: row $x$ of ``weights[V,D]``, for words, categories or items numbered from 0.

    It is the first layer of its network, and x holds integers. Backward: $dw_v = \sum_{i: x_i = v} dy_i$; indices have
    no derivative.

    Parameters
    ----------
    vocabulary
        V, how many different indices there are: x lies in 0..V-1.
    size
        D, the length of each vector.
    weight_initializer
        Where training starts: uniform in [-0.05, 0.05), as in Keras (PyTorch: N(0, 1)).
    """

    makes: ClassVar[Outputs] = "scores"

    weights = Parameter()

    def __init__(self, vocabulary: int, size: int, *, weight_initializer: Initializer = _UNIFORM) -> None:
        self.vocabulary = _check.positive_int("Embedding", "vocabulary", vocabulary)
        self.size = _check.positive_int("Embedding", "size", size)
        if not isinstance(weight_initializer, Initializer):
            raise ConfigurationError(
                f"Embedding: weight_initializer must be an Initializer object, got {weight_initializer!r}."
            )
        self.weight_initializer = weight_initializer
        self.index_limit = self.vocabulary

    def __str__(self) -> str:
        return f"Embedding({self.vocabulary}, {self.size})"

    def check_input(self, x: Array) -> None:
        super().check_input(x)
        xp = namespace_of(x)
        if xp is not None and not xp.isdtype(x.dtype, "integral"):
            raise DtypeError(
                f"{self} expected indices x of an integer dtype, got {_check.dtype_name(x.dtype)}; put it first in "
                "the network, and number words or categories from 0."
            )

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        weights = ParameterSpec((self.vocabulary, self.size), self.weight_initializer)
        return (*input_shape, self.size), {"weights": weights}

    def backward(self, dy: Array) -> Array:
        """Zeros, in the shape of x."""
        cache = self._cache or {"x": dy}  # without a forward the next line raises
        super().backward(dy)
        return self._backend.xp.zeros(cache["x"].shape, dtype=dy.dtype, device=dy.device)  # type: ignore[union-attr]

    def trace(self, program: Program, path: str, x: str, *, training: bool) -> str:
        if x != "x":
            raise ConfigurationError(f"{self} reads indices, not the output of another layer; put it first.")
        return super().trace(program, path, x, training=training)

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("embedding", "x weights", "y"),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("embedding_gradient", "dy x weights", "dweights"),)
