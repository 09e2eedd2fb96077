r"""Losses, each followed by its gradient: one consistent pair.

Every loss is a sum over all elements (categorical: over samples) divided by ``divisor``: the number of elements for the
reduction "mean", 1 for "sum". ``…_rows`` is the same before samples are added up and divided, one number a sample: what
sample weights multiply. Class targets ``y`` are indices ``[B]`` or rows of probabilities ``[B,K]``.
"""

from nnxp.ops.reference.losses import binary, categorical, regression, weighting
from nnxp.ops.reference.losses.binary import *  # noqa: F403  each file says in __all__ what it has
from nnxp.ops.reference.losses.categorical import *  # noqa: F403
from nnxp.ops.reference.losses.regression import *  # noqa: F403
from nnxp.ops.reference.losses.weighting import *  # noqa: F403

__all__ = [*regression.__all__, *categorical.__all__, *binary.__all__, *weighting.__all__]
