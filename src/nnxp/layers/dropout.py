"""Dropout: in training, a random share of the inputs is set to zero."""

from collections.abc import Callable
from typing import Any, ClassVar

from nnxp import _check
from nnxp.backend import Purpose, Rng
from nnxp.errors import NotBuiltError
from nnxp.layers._base import Outputs
from nnxp.layers._recorded import RecordedLayer
from nnxp.ops.record import Moment, Record, record

__all__ = ["Dropout"]


class Dropout(RecordedLayer):
    r"""In training $y_e = x_e / (1 - r)$ with probability $1 - r$, else 0; otherwise $y = x$.

    Whether element e of an update is kept is a function of (seed, layer, step, e): the mask is made again for the
    backward pass, and is the same on every backend. Source: Srivastava et al. (JMLR 15, 2014), in the inverted form.

    Parameters
    ----------
    rate
        r, the share that is dropped, in [0, 1).
    """

    makes: ClassVar[Outputs] = "its input"

    def __init__(self, rate: float) -> None:
        self.rate = _check.fraction("Dropout", "rate", rate)

    def __str__(self) -> str:
        return f"Dropout({self.rate:g})"

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("dropout", "x rate stream", "y"),) if training and self.rate else ()

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("dropout", "dy rate stream", "dx"),) if training and self.rate else ()

    def constants(self) -> dict[str, Any]:
        return {"rate": self.rate}

    def varying(self) -> dict[str, Callable[[Moment], Any]]:
        return {"stream": self._stream}

    def _stream(self, moment: Moment) -> Any:
        if self._rng is None or self.input_shape is None:
            raise NotBuiltError("Dropout draws from the backend that it is built on; build it, or its model, first.")
        size = 1
        for length in self.input_shape:
            size *= length
        return self._rng.stream(Purpose.DROPOUT, step=moment.step).skip(moment.offset * size)

    @property
    def _rng(self) -> Rng | None:
        return None if self._backend is None else self._backend.rng
