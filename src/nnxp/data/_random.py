"""One stream of random words for each (purpose, seed), and no stream of the process."""

import numpy as np

from nnxp._check import non_negative_int

__all__ = ["words"]


def words(purpose: str, seed: int) -> "np.random.Philox":
    """The Philox stream of ``purpose`` under ``seed``.

    The purpose is part of the key. With the seed alone, ``split(*moons(seed=0), seed=0)`` would put rows into parts by
    the very words that made their noise.
    """
    seed = non_negative_int(purpose, "seed", seed)
    return np.random.Philox(np.random.SeedSequence([seed, int.from_bytes(purpose.encode(), "big")]))
