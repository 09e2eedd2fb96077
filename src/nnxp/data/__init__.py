"""Data to learn from: four toy sets, the packaged digits, MNIST and Fashion-MNIST, and a user's own files."""

from nnxp.data._digits import digits
from nnxp.data._files import Table, load_csv, load_features, load_npz
from nnxp.data._idx import load_idx
from nnxp.data._mnist import FASHION_CLASSES, fashion_mnist, mnist
from nnxp.data._scaling import Scaling
from nnxp.data._splits import Split, Splits, split
from nnxp.data._toy import moons, sine, spiral, vertical

__all__ = [
    "FASHION_CLASSES",
    "Scaling",
    "Split",
    "Splits",
    "Table",
    "digits",
    "fashion_mnist",
    "load_csv",
    "load_features",
    "load_idx",
    "load_npz",
    "mnist",
    "moons",
    "sine",
    "spiral",
    "split",
    "vertical",
]
