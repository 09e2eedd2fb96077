"""Noise. The random words come from the host, from a counter-based stream: the same on every backend, bit for bit."""

from typing import Protocol

from nnxp._types import Array, Namespace, Shape

__all__ = ["Stream", "dropout"]


class Stream(Protocol):
    """A stream of 64-bit random words that is a function of its address alone (`nnxp.backend.Stream`)."""

    def keep(self, shape: Shape, rate: float) -> Array:
        """A host array of bool: element e is true where word e is at least rate · 2⁶⁴."""


def dropout(xp: Namespace, x: Array, rate: float, stream: Stream) -> Array:
    r"""$y_e = x_e / (1 - r)$ where the stream's word e is at least $r\,2^{64}$, else 0.

    The derivative has the same form, so the backward is the same call on dy: the mask is made again, not kept.
    Source: Srivastava et al., *Dropout*, JMLR 15 (2014), in the inverted form.
    """
    kept = xp.asarray(stream.keep(tuple(x.shape), rate), device=x.device)
    return xp.where(kept, x * (1 / (1 - rate)), xp.zeros_like(x))
