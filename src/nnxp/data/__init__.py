"""Data to learn from: four toy sets, the digits that come with the package, and a user's own files."""

from nnxp.data._digits import digits
from nnxp.data._files import Table, load_csv, load_features, load_npz
from nnxp.data._scaling import Scaling
from nnxp.data._splits import Split, Splits, split
from nnxp.data._toy import moons, sine, spiral, vertical

__all__ = [
    "Scaling",
    "Split",
    "Splits",
    "Table",
    "digits",
    "load_csv",
    "load_features",
    "load_npz",
    "moons",
    "sine",
    "spiral",
    "split",
    "vertical",
]
