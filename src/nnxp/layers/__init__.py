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
from nnxp.layers.convolution import Conv2D
from nnxp.layers.dense import Dense
from nnxp.layers.dropout import Dropout
from nnxp.layers.embedding import Embedding
from nnxp.layers.function import Lambda
from nnxp.layers.normalization import BatchNorm, LayerNorm, RMSNorm
from nnxp.layers.pooling import AveragePool2D, GlobalAveragePool1D, GlobalAveragePool2D, MaxPool2D
from nnxp.layers.reshape import Flatten, Reshape
from nnxp.layers.residual import Residual
from nnxp.layers.sequential import Sequential

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AveragePool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GELUTanh",
    "GlobalAveragePool1D",
    "GlobalAveragePool2D",
    "HardSigmoid",
    "HardTanh",
    "Lambda",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MaxPool2D",
    "Mish",
    "RMSNorm",
    "ReLU",
    "RecordedLayer",
    "Reshape",
    "Residual",
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
