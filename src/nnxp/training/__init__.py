"""Training: programs, plans, steps and loops."""

from nnxp.training.callbacks import Callback
from nnxp.training.history import History
from nnxp.training.model import Model, load

__all__ = ["Callback", "History", "Model", "load"]
