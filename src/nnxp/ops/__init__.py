"""The mathematics: functions from arrays to arrays, in one frozen table.

Every op takes ``out=`` last, which is a *donation*: the op may write its result into that buffer and return it, or
ignore it. Callers use only what is returned, and a donated buffer is dead afterwards, also when it was one of the
inputs: only elementwise ops (`ELEMENTWISE`) may be handed the buffer of an input. An op with several results takes as
many buffers, and an update of the arena takes those of the very inputs that it replaces. No op writes into an argument
that was not donated.

Letters: B batch, I inputs, O outputs, K classes; ``[]`` is a 0-d array. The formulas stand in `nnxp.ops.reference`.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

from nnxp._types import Op

__all__ = ["ELEMENTWISE", "VIEWS", "Ops"]

ELEMENTWISE = frozenset(
    {
        "absolute_error_backward",
        "add",
        "clip_value",
        "dropout",
        "l1_backward",
        "l2_backward",
        "relu",
        "relu_backward",
        "sigmoid",
        "sigmoid_backward",
        "squared_error_backward",
        "step",
        "step_backward",
        "tanh",
        "tanh_backward",
    }
)
"""Ops that read element e of their inputs only to make element e of their result: the buffer may be an input's own."""

VIEWS = frozenset({"reshape"})
"""Ops whose result may share memory with their input."""


@dataclass(frozen=True, kw_only=True)
class Ops:
    """The contract between the mathematics and the rest of the house: an entry for each operation.

    `nnxp.ops.reference.table` fills it for any namespace; a backend's kernels are entries replaced in it.
    """

    # lines
    linear: Op  # x[B,I], w[I,O], b[O] -> y[B,O]: x·w + b
    linear_bias_gradient: Op  # dy[B,O] -> db[O]: Σ_b dy
    linear_weight_gradient: Op  # x[B,I], dy[B,O] -> dw[I,O]: xᵀ·dy
    linear_input_gradient: Op  # dy[B,O], w[I,O] -> dx[B,I]: dy·wᵀ
    reshape: Op  # x[B,…], shape -> y[B,*shape]
    add: Op  # a, b -> a + b

    # activations; each backward takes dy and the output y
    relu: Op  # x -> y: max(x, 0)
    relu_backward: Op  # dy, y -> dx: dy where y > 0
    sigmoid: Op  # x -> y: 1 / (1 + e^-x)
    sigmoid_backward: Op  # dy, y -> dx: dy·y·(1 - y)
    tanh: Op  # x -> y: tanh x
    tanh_backward: Op  # dy, y -> dx: dy·(1 - y²)
    step: Op  # x -> y: 1 where x > 0, else 0
    step_backward: Op  # dy, y -> dx: 0
    softmax: Op  # x[…,K] -> y[…,K]: e^x / Σ e^x
    softmax_backward: Op  # dy[…,K], y[…,K] -> dx[…,K]: y·(dy - Σ dy·y)

    # losses, summed and divided by D; y is [B,O], or for classes [B] or [B,K]
    squared_error: Op  # p, y, D -> loss[]: Σ (p - y)² / D
    squared_error_backward: Op  # p, y, D -> dp: 2·(p - y) / D
    absolute_error: Op  # p, y, D -> loss[]: Σ |p - y| / D
    absolute_error_backward: Op  # p, y, D -> dp: sign(p - y) / D
    categorical_crossentropy: Op  # p[B,K], y, D -> loss[]: -Σ y·log p / D
    categorical_crossentropy_backward: Op  # p[B,K], y, D -> dp[B,K]: -y / p / D
    categorical_crossentropy_from_logits: Op  # z[B,K], y, D -> loss[]: Σ y·(log Σ e^z - z) / D
    categorical_crossentropy_from_logits_backward: Op  # z[B,K], y, D -> dz[B,K]: (softmax z - y) / D
    softmax_categorical_crossentropy: Op  # z[B,K], y, D -> p[B,K], loss[], dz[B,K]
    binary_crossentropy: Op  # p, y, D -> loss[]: -Σ (y·log p + (1 - y)·log(1 - p)) / D
    binary_crossentropy_backward: Op  # p, y, D -> dp: -(y / p - (1 - y) / (1 - p)) / D
    binary_crossentropy_from_logits: Op  # z, y, D -> loss[]: Σ (max(z, 0) - z·y + log(1 + e^-|z|)) / D
    binary_crossentropy_from_logits_backward: Op  # z, y, D -> dz: (σ(z) - y) / D
    sigmoid_binary_crossentropy: Op  # z, y, D -> p, loss[], dz

    # penalties; a backward adds to the gradient that is there
    l1: Op  # w, λ -> penalty[]: λ·Σ |w|
    l1_backward: Op  # dw, w, λ -> dw: dw + λ·sign w
    l2: Op  # w, λ -> penalty[]: λ·Σ w²
    l2_backward: Op  # dw, w, λ -> dw: dw + 2·λ·w

    # noise
    dropout: Op  # x, rate, stream -> y: x / (1 - rate) where the stream says keep, else 0; its own backward

    # rows and counts
    take_rows: Op  # x[N,…], index[B] -> y[B,…]
    categorical_matches: Op  # p[B,K], y -> count[]
    binary_matches: Op  # p, y, threshold -> count[]
    tolerance_matches: Op  # p, y, tolerance -> count[]

    # updates of the arena; learning rate η, correction c_i = 1 - β_i^(t+1)
    sgd: Op  # w, g, η -> w
    momentum: Op  # w, g, v, η, μ -> w, v
    nesterov: Op  # w, g, v, η, μ -> w, v
    adam: Op  # w, g, m, v, η, β_1, β_2, ε, c_1, c_2 -> w, m, v
    adagrad: Op  # w, g, c, η, ε -> w, c
    rmsprop: Op  # w, g, c, η, ρ, ε -> w, c
    perturb: Op  # w, n, s -> w + s·n
    keep_better: Op  # w, w', loss[], loss'[] -> w' where loss' < loss, else w
    clip_value: Op  # g, limit -> g
    clip_norm: Op  # g, limit -> g: the norm of all of g
    all_finite: Op  # w -> bool[]

    honours: frozenset[str] = frozenset()
    """The ops that write into a donated buffer; the others are not worth a buffer."""

    def replace(self, **kernels: Op) -> "Ops":
        """The table with these kernels in place of its entries; kernels take ``out=`` and honour it."""
        return replace(self, **kernels, honours=self.honours | kernels.keys())

    def without_donation(self, *, poison: bool = False) -> "Ops":
        """For tests: every op is offered buffers and drops them; ``poison`` fills them with NaN, so no stale read "
        "hides."""
        names = frozenset(field.name for field in fields(self)) - {"honours"}
        return replace(self, **{name: _drop(getattr(self, name), poison) for name in names}, honours=names)


def _drop(op: Op, poison: bool) -> Op:
    def dropping(*arguments: Any, out: Any = None) -> Any:
        result = op(*arguments)
        for buffer in out if isinstance(out, tuple) else (out,):
            if poison and buffer is not None:
                buffer[...] = float("nan")
        return result

    return dropping
