"""Randomness that is a function of an address: (seed, purpose, leaf layer, step), never of what was drawn before.

The generator is Philox4x64-10 (Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC 2011), as NumPy has it:
its block b is ``philox(counter + b + 1)``, four 64-bit words. Draws are made on the host, so they are the same on every
backend.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from math import prod
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._types import Shape
from nnxp.errors import ConfigurationError

__all__ = ["Purpose", "Rng", "Stream"]

_BLOCK = 4
_LAYER_BITS = 32


class Purpose(IntEnum):
    """What a draw is for. The numbers are part of a run's reproducibility: never reuse or change one."""

    INITIALIZE = 1
    SHUFFLE = 2
    DROPOUT = 3
    SEARCH = 4
    USER = 5


@dataclass(frozen=True)
class Stream:
    """Where a stream of words begins: a key of two words, a counter of four, and the position of the first word."""

    key: tuple[int, int]
    counter: tuple[int, int, int, int]
    offset: int = 0

    def skip(self, words: int) -> "Stream":
        """The same stream, begun ``words`` later."""
        return replace(self, offset=self.offset + words)

    def bit_generator(self) -> "np.random.Philox":
        """NumPy's generator at the block of the first word."""
        counter = np.array(self.counter, dtype=np.uint64)
        counter[0] += np.uint64(self.offset // _BLOCK)
        return np.random.Philox(key=np.array(self.key, dtype=np.uint64), counter=counter)

    def words(self, count: int) -> Any:
        """The next ``count`` words, as a host array of uint64."""
        lead = self.offset % _BLOCK
        return self.bit_generator().random_raw(lead + count)[lead:]

    def keep(self, shape: Shape, rate: float) -> Any:
        """A host array of bool: element e is true where word e is at least rate · 2⁶⁴, so with probability 1 - rate."""
        return (self.words(prod(shape)) >= np.uint64(int(rate * 2.0**64))).reshape(shape)


@dataclass(frozen=True)
class Rng:
    """A seed, and the index of the leaf layer that draws (0 outside layers)."""

    seed: int = 0
    layer: int = 0

    def __post_init__(self) -> None:
        if _check.non_negative_int("Rng", "seed", self.seed) >= 2**64:
            raise ConfigurationError(f"Rng: seed must be below 2**64, got {self.seed!r}.")

    def for_layer(self, index: int) -> "Rng":
        """The same seed for the leaf layer ``index``."""
        return replace(self, layer=index)

    def stream(self, purpose: Purpose, *, step: int = 0, item: int = 0) -> Stream:
        """The stream at (seed, purpose, layer, step); ``item`` tells apart several of one address."""
        return Stream(key=(self.seed, (int(purpose) << _LAYER_BITS) | self.layer), counter=(0, 0, step, item))

    def generator(self, purpose: Purpose, *, step: int = 0, item: int = 0) -> "np.random.Generator":
        """NumPy's distributions over that stream, on the host."""
        return np.random.Generator(self.stream(purpose, step=step, item=item).bit_generator())
