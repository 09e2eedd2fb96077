"""The classes of the book *Neural Networks from Scratch in Python*, on nnxp's ops.

Source: Kinsley & Kukieła (2020), https://nnfs.io. A script of the book runs when its class definitions are deleted,
``import nnfs`` becomes ``import nnxp.compat.nnfs as nnfs``, and ``from nnxp.compat.nnfs import *`` is added. On NumPy
it prints the book's digits; ``nnfs.init(backend="cupy")`` runs it on a GPU. The classes compute with the corrected
mathematics: ``docs/errata.md`` lists what the book has otherwise.

Where the book's own package is not installed, its name ``nnfs`` leads here too, from the first import of this module
on, so that ``from nnfs.datasets import spiral_data`` needs no change.
"""

import sys
from importlib.util import find_spec

from nnxp.compat.nnfs import datasets
from nnxp.compat.nnfs._accuracy import Accuracy, Accuracy_Categorical, Accuracy_Regression
from nnxp.compat.nnfs._activations import (
    Activation_Linear,
    Activation_ReLU,
    Activation_Sigmoid,
    Activation_Softmax,
)
from nnxp.compat.nnfs._arithmetic import init
from nnxp.compat.nnfs._layers import Layer_Dense, Layer_Dropout, Layer_Input
from nnxp.compat.nnfs._losses import (
    Activation_Softmax_Loss_CategoricalCrossentropy,
    Loss,
    Loss_BinaryCrossentropy,
    Loss_CategoricalCrossentropy,
    Loss_MeanAbsoluteError,
    Loss_MeanSquaredError,
)
from nnxp.compat.nnfs._model import Model
from nnxp.compat.nnfs._optimizers import Optimizer_Adagrad, Optimizer_Adam, Optimizer_RMSprop, Optimizer_SGD
from nnxp.compat.nnfs.datasets import sine_data, spiral_data, vertical_data

__all__ = [
    "Accuracy",
    "Accuracy_Categorical",
    "Accuracy_Regression",
    "Activation_Linear",
    "Activation_ReLU",
    "Activation_Sigmoid",
    "Activation_Softmax",
    "Activation_Softmax_Loss_CategoricalCrossentropy",
    "Layer_Dense",
    "Layer_Dropout",
    "Layer_Input",
    "Loss",
    "Loss_BinaryCrossentropy",
    "Loss_CategoricalCrossentropy",
    "Loss_MeanAbsoluteError",
    "Loss_MeanSquaredError",
    "Model",
    "Optimizer_Adagrad",
    "Optimizer_Adam",
    "Optimizer_RMSprop",
    "Optimizer_SGD",
    "datasets",
    "init",
    "sine_data",
    "spiral_data",
    "vertical_data",
]

if "nnfs" not in sys.modules and find_spec("nnfs") is None:
    sys.modules["nnfs"], sys.modules["nnfs.datasets"] = sys.modules[__name__], datasets
