"""Layers: names, shapes and hyper-parameters; the formulas stand in `nnxp.ops`."""

from nnxp.layers._base import Layer
from nnxp.layers._recorded import RecordedLayer
from nnxp.layers.activations import (
    ELU,
    GELU,
    SELU,
    GELUTanh,
    HardSigmoid,
    HardTanh,
    LeakyReLU,
    Linear,
    LogSoftmax,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Step,
    Swish,
    Tanh,
)
from nnxp.layers.dense import Dense
from nnxp.layers.dropout import Dropout
from nnxp.layers.reshape import Flatten
from nnxp.layers.sequential import Sequential

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Dense",
    "Dropout",
    "Flatten",
    "GELUTanh",
    "HardSigmoid",
    "HardTanh",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Mish",
    "ReLU",
    "RecordedLayer",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Step",
    "Swish",
    "Tanh",
]
