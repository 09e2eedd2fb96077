r"""Activations, each followed by its backward, by families.

A backward takes the gradient of the loss by the output, ``dy``, and the *output* ``y`` where the derivative is a
well-conditioned function of it: then the input's buffer is free as soon as the output is known. Where it is not (an
output that two inputs share, or one that has lost the input's digits), it takes the *input* ``x``.
"""

from nnxp.ops.reference.activations.gates import (
    gelu,
    gelu_backward,
    gelu_tanh,
    gelu_tanh_backward,
    mish,
    mish_backward,
    silu,
    silu_backward,
)
from nnxp.ops.reference.activations.rectifiers import (
    elu,
    elu_backward,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    selu,
    selu_backward,
)
from nnxp.ops.reference.activations.sigmoids import (
    hard_sigmoid,
    hard_sigmoid_backward,
    hard_tanh,
    hard_tanh_backward,
    sigmoid,
    sigmoid_backward,
    softplus,
    softplus_backward,
    softsign,
    softsign_backward,
    step,
    step_backward,
    tanh,
    tanh_backward,
)
from nnxp.ops.reference.activations.softmax import (
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)

__all__ = [
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "gelu_tanh",
    "gelu_tanh_backward",
    "hard_sigmoid",
    "hard_sigmoid_backward",
    "hard_tanh",
    "hard_tanh_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "log_softmax",
    "log_softmax_backward",
    "mish",
    "mish_backward",
    "relu",
    "relu_backward",
    "selu",
    "selu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "softsign",
    "softsign_backward",
    "step",
    "step_backward",
    "tanh",
    "tanh_backward",
]
