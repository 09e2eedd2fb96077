"""Layers: names, shapes and hyper-parameters; the formulas stand in `nnxp.ops`."""

from nnxp.layers._base import Layer
from nnxp.layers._recorded import RecordedLayer
from nnxp.layers.activations import Linear, ReLU, Sigmoid, Softmax, Step, Tanh
from nnxp.layers.dense import Dense
from nnxp.layers.dropout import Dropout
from nnxp.layers.function import Lambda
from nnxp.layers.reshape import Flatten
from nnxp.layers.residual import Residual
from nnxp.layers.sequential import Sequential

__all__ = [
    "Dense",
    "Dropout",
    "Flatten",
    "Lambda",
    "Layer",
    "Linear",
    "ReLU",
    "RecordedLayer",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Step",
    "Tanh",
]
