"""Callbacks: code that runs between epochs, given to ``Model.fit``."""

from nnxp.training.callbacks import Callback

__all__ = ["Callback"]
