"""Layers that keep activations at mean 0 and variance 1."""

from typing import ClassVar

from nnxp import _check
from nnxp._types import Shape
from nnxp.errors import ShapeError
from nnxp.initializers import Constant, Zeros
from nnxp.layers._base import Outputs, batch_of
from nnxp.layers._recorded import Parameter, ParameterSpec, RecordedLayer
from nnxp.ops.record import Record, record

__all__ = ["BatchNorm", "LayerNorm", "RMSNorm"]

_ONES, _ZEROS = Constant(1.0), Zeros()


class _Normalization(RecordedLayer):
    """``scale[C]``, for the last axis of x."""

    makes: ClassVar[Outputs] = "scores"

    scale = Parameter()

    def __init__(self, *, epsilon: float = 1e-5) -> None:
        self.epsilon = _check.positive(type(self).__name__, "epsilon", epsilon)

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        if not input_shape:
            raise ShapeError(f"{self} expected x of shape (batch, …, features), got {batch_of(input_shape)}.")
        return input_shape, {"scale": ParameterSpec(input_shape[-1:], _ONES)}

    def constants(self) -> dict[str, float]:
        return {"epsilon": self.epsilon}


class _Centred(_Normalization):
    """And ``offset[C]``."""

    offset = Parameter()

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        output_shape, specs = super().specify(input_shape)
        return output_shape, specs | {"offset": ParameterSpec(input_shape[-1:], _ZEROS)}


class BatchNorm(_Centred):
    r"""``x[B,…,C] -> y[B,…,C]``: $y = \gamma (x - \mu_c) / \sqrt{\sigma_c^2 + \epsilon} + \beta$.

    In training mean and variance are those of the batch, over all axes but the last (for images: a pair a channel).
    Outside of training they are the running ones, $r \leftarrow m\,r + (1 - m)\,b$ after each training step. So a
    sample's output depends on its batch in training, and micro-batches (``accumulate=``) are not the batch.

    Source: Ioffe & Szegedy (ICML 2015). As in Keras, ``momentum`` is the share that is kept (PyTorch: the share of the
    new value), and the running variance divides by the number of values n (PyTorch and the paper: by n - 1).

    Parameters
    ----------
    momentum
        m, the share of the running statistics that a step keeps, in [0, 1).
    epsilon
        $\epsilon$, added to the variance: 1e-5, as in PyTorch (Keras: 1e-3).
    """

    def __init__(self, *, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        super().__init__(epsilon=epsilon)
        self.momentum = _check.fraction("BatchNorm", "momentum", momentum)

    def statistics(self, input_shape: Shape) -> dict[str, ParameterSpec]:
        features = input_shape[-1:]
        return {"running_mean": ParameterSpec(features, _ZEROS), "running_var": ParameterSpec(features, _ONES)}

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        if not training:
            return (record("fixed_norm", "x running_mean running_var scale offset epsilon", "y"),)
        return (
            record("batch_norm", "x scale offset epsilon", "y mean variance"),
            record("moving_average", "running_mean mean momentum", "next_running_mean"),
            record("moving_average", "running_var variance momentum", "next_running_var"),
        )

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        if not training:
            inputs = "dy x running_mean running_var scale epsilon"
            return (record("fixed_norm_backward", inputs, "dx dscale doffset"),)
        return (record("batch_norm_backward", "dy x mean variance scale epsilon", "dx dscale doffset"),)

    def constants(self) -> dict[str, float]:
        return {"epsilon": self.epsilon, "momentum": self.momentum}


class LayerNorm(_Centred):
    r"""``x[B,…,C] -> y[B,…,C]``: $y = \gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta$ over each row of C values.

    It is the same in training and outside, and the same for a batch of one. Source: Ba, Kiros & Hinton (2016);
    $\epsilon$ = 1e-5, as in PyTorch (Keras: 1e-3).
    """

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("layer_norm", "x scale offset epsilon", "y"),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("layer_norm_backward", "dy x scale epsilon", "dx dscale doffset"),)


class RMSNorm(_Normalization):
    r"""``x[B,…,C] -> y[B,…,C]``: $y = \gamma x / \sqrt{\overline{x^2} + \epsilon}$ over each row of C values.

    Only ``scale``, no ``offset``: `LayerNorm` without its centring. Source: Zhang & Sennrich (NeurIPS 2019).
    """

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("rms_norm", "x scale epsilon", "y"),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("rms_norm_backward", "dy x scale epsilon", "dx dscale"),)
