"""Data to learn from: four toy sets, the packaged digits, MNIST and Fashion-MNIST, and a user's own files."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nnxp.data._digits import digits
from nnxp.data._scaling import Scaling
from nnxp.data._splits import Split, Splits, split
from nnxp.data._toy import moons, sine, spiral, vertical

if TYPE_CHECKING:
    from nnxp.data._files import Table, load_csv, load_features, load_npz
    from nnxp.data._idx import load_idx
    from nnxp.data._mnist import FASHION_CLASSES, fashion_mnist, mnist

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

_READERS = {
    "_files": ("Table", "load_csv", "load_features", "load_npz"),
    "_idx": ("load_idx",),
    "_mnist": ("FASHION_CLASSES", "fashion_mnist", "mnist"),
}
"""What reads files, by its module: imported at first use, because most programs have arrays."""


def __getattr__(name: str) -> Any:
    for module, names in _READERS.items():
        if name in names:
            return getattr(import_module(f"nnxp.data.{module}"), name)
    raise AttributeError(f"module 'nnxp.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
