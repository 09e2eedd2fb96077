"""Activations as layers: nothing to train, one op forward and one backward, which reads the output or the input."""

from typing import Any, ClassVar, Literal

from nnxp import _check
from nnxp.layers._base import Outputs
from nnxp.layers._recorded import RecordedLayer
from nnxp.ops.record import Record

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "GELUTanh",
    "HardSigmoid",
    "HardTanh",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Mish",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Step",
    "Swish",
    "Tanh",
]


class _Activation(RecordedLayer):
    """``op`` forward, ``op + "_backward"`` backward."""

    makes: ClassVar[Outputs] = "scores"

    op: ClassVar[str]
    reads: ClassVar[Literal["x", "y"]] = "y"
    """What the backward reads beside ``dy``: the output, or the input, which is then kept until it has run."""
    numbers: ClassVar[tuple[str, ...]] = ()
    """The attributes that both ops read last."""

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{number:g}' for number in self.constants().values())})"

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (Record(self.op, ("x", *self.numbers), ("y",)),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (Record(self.op + "_backward", ("dy", self.reads, *self.numbers), ("dx",)),)

    def constants(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.numbers}


# -- rectifiers


class ReLU(_Activation):
    r"""$y = \max(x, 0)$; its derivative at 0 is taken as 0. Source: Nair & Hinton (ICML 2010)."""

    op = "relu"


class LeakyReLU(_Activation):
    r"""$y = x$ where $x > 0$, else $s x$; its derivative at 0 is taken as s. Source: Maas, Hannun & Ng (ICML 2013).

    Parameters
    ----------
    negative_slope
        s, above 0; the paper's is 0.01. (Keras has 0.3.)
    """

    op = "leaky_relu"
    numbers = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = _check.positive("LeakyReLU", "negative_slope", negative_slope)


class ELU(_Activation):
    r"""$y = x$ where $x > 0$, else $\alpha (e^x - 1)$; its derivative at 0 is taken as α.

    Source: Clevert, Unterthiner & Hochreiter (ICLR 2016).

    Parameters
    ----------
    alpha
        α, above 0: y stays above -α. The paper's is 1, for which the derivative has no jump.
    """

    op = "elu"
    numbers = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _check.positive("ELU", "alpha", alpha)


class SELU(_Activation):
    r"""$y = \lambda x$ where $x > 0$, else $\lambda \alpha (e^x - 1)$, with λ = 1.0507… and α = 1.6733….

    Through layers with weights of mean 0 and variance 1/I, activations keep mean 0 and variance 1.
    Source: Klambauer, Unterthiner, Mayr & Hochreiter (NeurIPS 2017).
    """

    op = "selu"


# -- from one level to another


class Sigmoid(_Activation):
    r"""$y = 1 / (1 + e^{-x})$, with $dx = dy \cdot y (1 - y)$."""

    op = "sigmoid"
    makes = "probabilities"


class HardSigmoid(_Activation):
    r"""$y = \min(\max(x / 6 + 1/2, 0), 1)$: a sigmoid of three straight lines.

    The same as PyTorch's and Keras 3's; Keras 2 had $x / 5 + 1/2$. Source: Howard et al., MobileNetV3 (ICCV 2019).
    """

    op = "hard_sigmoid"
    makes = "probabilities"


class Tanh(_Activation):
    r"""$y = \tanh x$, with $dx = dy \cdot (1 - y^2)$."""

    op = "tanh"


class HardTanh(_Activation):
    r"""$y = \min(\max(x, -1), 1)$: a tanh of three straight lines. Source: Collobert (2004)."""

    op = "hard_tanh"


class Softsign(_Activation):
    r"""$y = x / (1 + |x|)$, with $dx = dy / (1 + |x|)^2$. Source: Turian, Bergstra & Bengio (NAACL 2009)."""

    op = "softsign"
    reads = "x"


class Softplus(_Activation):
    r"""$y = \log(1 + e^x)$, with $dx = dy \cdot \sigma(x) = dy \cdot (1 - e^{-y})$.

    Source: Dugas, Bengio, Bélisle, Nadeau & Garcia (NeurIPS 2000).
    """

    op = "softplus"


class Step(_Activation):
    r"""$y = 1$ where $x > 0$, else 0: the perceptron's threshold. Its gradient is 0: layers in front never learn."""

    op = "step"


# -- gates


class SiLU(_Activation):
    r"""$y = x \, \sigma(x)$, also called Swish.

    Sources: Elfwing, Uchibe & Doya (Neural Networks 107, 2018); Ramachandran, Zoph & Le (2017), who named it Swish.
    """

    op = "silu"
    reads = "x"


Swish = SiLU


class Mish(_Activation):
    r"""$y = x \tanh \log(1 + e^x)$. Source: Misra (BMVC 2020)."""

    op = "mish"
    reads = "x"


class GELU(_Activation):
    r"""$y = x \, \Phi(x)$ with the normal distribution Φ, exactly. Source: Hendrycks & Gimpel (2016)."""

    op = "gelu"
    reads = "x"


class GELUTanh(_Activation):
    r"""$y = x \cdot (1 + \tanh u) / 2$ with $u = \sqrt{2/\pi} \, (x + 0.044715 x^3)$, within 5e-4 of `GELU`.

    For networks that were trained with it; its gradient is its own, not GELU's. Source: Hendrycks & Gimpel (2016).
    """

    op = "gelu_tanh"
    reads = "x"


# -- shares of a whole


class Softmax(_Activation):
    r"""$y_k = e^{x_k} / \sum_j e^{x_j}$ over the last axis, with $dx = y \cdot (dy - \sum_j dy_j y_j)$."""

    op = "softmax"
    makes = "probabilities"


class LogSoftmax(_Activation):
    r"""$y_k = x_k - \log \sum_j e^{x_j}$ over the last axis, with $dx = dy - e^y \sum_j dy_j$.

    Logarithms of probabilities are logits too: train with ``CategoricalCrossentropy(from_logits=True)``.
    """

    op = "log_softmax"


class Linear(RecordedLayer):
    """$y = x$: the activation of a regression's output, said aloud. It costs nothing."""

    makes: ClassVar[Outputs] = "its input"
