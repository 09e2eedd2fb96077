"""Callbacks: code that runs between epochs, given to ``Model.fit``."""

from nnxp.training.callbacks import Callback
from nnxp.training.watching import EarlyStopping, ReduceOnPlateau

__all__ = ["Callback", "EarlyStopping", "ReduceOnPlateau"]
