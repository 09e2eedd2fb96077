r"""Optimizers: what they are called, what they remember, and which ops make the update.

An optimizer is immutable configuration. Its state lies in the arena, one slot per name in ``memory``, so a model can be
saved, moved and resumed without asking the optimizer. ``learning_rate`` is a float or a schedule; steps count from 0.
What all optimizers by gradient share (clipping, parts of a batch, moving averages, rates by parameter) is described
at `GradientOptimizer`.
"""

from nnxp.optimizers._base import GradientOptimizer, Optimizer
from nnxp.optimizers.adagrad import Adadelta, Adagrad
from nnxp.optimizers.adam import Adam, Adamax, AdamW
from nnxp.optimizers.lion import Lion
from nnxp.optimizers.nadam import NAdam
from nnxp.optimizers.random_search import RandomSearch
from nnxp.optimizers.rmsprop import RMSprop
from nnxp.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "GradientOptimizer",
    "Lion",
    "NAdam",
    "Optimizer",
    "RMSprop",
    "RandomSearch",
]
