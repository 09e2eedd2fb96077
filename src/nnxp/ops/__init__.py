"""The mathematics: functions from arrays to arrays, in one frozen table.

Every op takes ``out=`` last, which is a *donation*: the op may write its result into that buffer and return it, or
ignore it. Callers use only what is returned, and a donated buffer is dead afterwards, also when it was one of the
inputs: only elementwise ops (`ELEMENTWISE`) may be handed the buffer of an input. An op with several results takes as
many buffers, and an update of the arena takes those of the very inputs that it replaces. Buffers have no gaps, but may
lie by rows or by columns. No op writes into an argument that was not donated.

An entry may be backed by a `Kernel`, which separates what is done once from what is done in every step.

Letters: B batch, I inputs, O outputs, K classes, H height, W width, C channels; ``[]`` is a 0-d array. The formulas
stand in `nnxp.ops.reference`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias, Union

from nnxp._types import Array, Op

__all__ = [
    "ELEMENTWISE",
    "NOT_OPS",
    "UPDATES",
    "VIEWS",
    "Call",
    "Changing",
    "Kept",
    "Kernel",
    "Linker",
    "Number",
    "Ops",
]

Call: TypeAlias = Callable[[], Any]
"""An op bound to its arguments: what it returns is what the op returns."""

Kernel: TypeAlias = Callable[..., Call]
"""``kernel(*inputs, out=buffers, scratch=work_arrays)``: binds an op to arrays, which are read anew at every call, and
to numbers, where a `Number` is read anew and a float is not. A call writes into its buffers, and returns them."""


@dataclass(frozen=True)
class Kept:
    """A call whose result, or one of whose results, is a new value in each run: it is kept under a name."""

    call: Call
    values: dict[str, Any]
    name: str
    index: int | None = None

    def __call__(self) -> None:
        returned = self.call()
        self.values[self.name] = returned if self.index is None else returned[self.index]


class Linker:
    """How bound calls become a step. This one leaves them as they are."""

    whole = False
    """Whether a step is best bound as a whole: numbers such as losses get places, so that they can be read by bound
    calls, views are made once, and what changes from run to run is a `Changing`."""

    def link(self, calls: Sequence[Call], *, capture: bool = False) -> list[Call]:
        """As many calls, in order, or fewer that do the same; ``capture`` allows to record them as one launch."""
        return list(calls)

    def move(self, held: Sequence[Call], linked: Sequence[Call], pairs: Sequence[tuple[Array, Array]]) -> bool:
        """Let the bound calls ``held``, which stand in the list ``linked``, read the second array of each pair in place
        of the first. False where they must be bound anew."""
        return False

    def stand_in(self, array: Array) -> Array | None:
        """An array without memory, from which calls can be moved to the next one as from this one; None where they
        cannot be moved."""
        return None

    def publish(self, results: dict[str, Array], values: dict[str, Any]) -> Call:
        """The end of a whole step: the numbers that it made, as new values under their names."""
        raise NotImplementedError

    def gather(self, arrays: Sequence[Array | None], order: Array, rows: int, stride: int) -> Any:
        """Batches of so many rows that a whole step takes from resident arrays by itself; each begins ``stride`` rows
        behind the one before. None where steps do not."""
        return None


@dataclass
class Number:
    """A number that changes between the calls of a bound kernel, such as a learning rate.

    ``later(steps)`` says what it will be in so many steps, as far as that can be foreseen; without it, the same.
    """

    value: float
    later: Callable[[int], float] | None = None

    @classmethod
    def of(cls, number: Union["Number", float]) -> "Number":
        """A number that may change, also of one that does not."""
        return number if isinstance(number, Number) else cls(number)

    def ahead(self, steps: int) -> float:
        """The value in so many steps."""
        return self.value if self.later is None else self.later(steps)


@dataclass
class Changing:
    """Something else that changes between the runs of a plan, such as a stream of random words."""

    value: Any


ELEMENTWISE = frozenset(
    {
        "absolute_error_backward",
        "add",
        "clip_value",
        "dropout",
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
        "l1_backward",
        "l2_backward",
        "moving_average",
        "leaky_relu",
        "leaky_relu_backward",
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
        "softplus",
        "softplus_backward",
        "softsign",
        "softsign_backward",
        "squared_error_backward",
        "step",
        "step_backward",
        "tanh",
        "tanh_backward",
    }
)
"""Ops that read element e of their inputs only to make element e of their result: the buffer may be an input's own."""

UPDATES = frozenset(
    {
        "adadelta",
        "adagrad",
        "adam",
        "adamax",
        "average",
        "clip_value",
        "clone",
        "decay_weights",
        "lion",
        "momentum",
        "move",
        "nadam",
        "nesterov",
        "rmsprop",
        "sgd",
    }
)
"""Updates that read element e of the arena only to make element e: a piece of the arena may be done at a time."""

VIEWS = frozenset({"reshape"})
"""Ops whose result may share memory with their input."""


NOT_OPS = frozenset({"kernels", "scratch", "linker", "honours", "by_columns"})
"""The fields of `Ops` that are not operations."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Ops:
    """The contract between the mathematics and the rest of the house: an entry for each operation.

    `nnxp.ops.reference.table` fills it for any namespace; a backend's kernels are entries replaced in it.
    """

    # lines
    matmul: Op  # a[B,I], b[I,O] -> y[B,O]: a·b
    linear: Op  # x[B,I], w[I,O], b[O] -> y[B,O]: x·w + b
    linear_bias_gradient: Op  # dy[B,O] -> db[O]: Σ_b dy
    linear_weight_gradient: Op  # x[B,I], dy[B,O] -> dw[I,O]: xᵀ·dy
    linear_input_gradient: Op  # dy[B,O], w[I,O] -> dx[B,I]: dy·wᵀ
    reshape: Op  # x[B,…], shape -> y[B,*shape]
    add: Op  # a, b -> a + b

    # images x[B,H,W,C] in windows kh·kw, of which h·w fit; sizes (H, W), windows (kh, kw) and strides are pairs
    conv2d: Op  # x[B,H,W,C], w[kh,kw,C,O], b[O], strides, padding -> y[B,h,w,O]: windows·w + b
    conv2d_bias_gradient: Op  # dy[B,h,w,O] -> db[O]: Σ_bhw dy
    conv2d_weight_gradient: Op  # x[B,H,W,C], dy[B,h,w,O], window, strides, padding -> dw[kh,kw,C,O]: windowsᵀ·dy
    conv2d_input_gradient: Op  # dy[B,h,w,O], w[kh,kw,C,O], size, strides, padding -> dx[B,H,W,C]: Σ of dy·wᵀ in place
    max_pool2d: Op  # x[B,H,W,C], window, strides, padding -> y[B,h,w,C]: max of each window
    max_pool2d_backward: Op  # dy, x, y, window, strides, padding -> dx[B,H,W,C]: dy at the first largest element
    average_pool2d: Op  # x[B,H,W,C], window, strides, padding -> y[B,h,w,C]: mean of each window, without its margins
    average_pool2d_backward: Op  # dy[B,h,w,C], size, window, strides, padding -> dx[B,H,W,C]: Σ of dy / n in place
    global_average_pool: Op  # x[B,…,C] -> y[B,C]: mean over the axes in between
    global_average_pool_backward: Op  # dy[B,C], size -> dx[B,*size,C]: dy / n

    # activations; a backward takes dy and the output y, or the input x where y says too little
    relu: Op  # x -> y: max(x, 0)
    relu_backward: Op  # dy, y -> dx: dy where y > 0
    leaky_relu: Op  # x, s -> y: x where x > 0, else s·x
    leaky_relu_backward: Op  # dy, y, s -> dx: dy where y > 0, else s·dy
    elu: Op  # x, α -> y: x where x > 0, else α·(e^x - 1)
    elu_backward: Op  # dy, y, α -> dx: dy where y > 0, else dy·(y + α)
    selu: Op  # x -> y: λ·x where x > 0, else λ·α·(e^x - 1)
    selu_backward: Op  # dy, y -> dx: λ·dy where y > 0, else dy·(y + λ·α)
    sigmoid: Op  # x -> y: 1 / (1 + e^-x)
    sigmoid_backward: Op  # dy, y -> dx: dy·y·(1 - y)
    hard_sigmoid: Op  # x -> y: min(max(x / 6 + 1/2, 0), 1)
    hard_sigmoid_backward: Op  # dy, y -> dx: dy / 6 where 0 < y < 1
    tanh: Op  # x -> y: tanh x
    tanh_backward: Op  # dy, y -> dx: dy·(1 - y²)
    hard_tanh: Op  # x -> y: min(max(x, -1), 1)
    hard_tanh_backward: Op  # dy, y -> dx: dy where -1 < y < 1
    softsign: Op  # x -> y: x / (1 + |x|)
    softsign_backward: Op  # dy, x -> dx: dy / (1 + |x|)²
    softplus: Op  # x -> y: log(1 + e^x)
    softplus_backward: Op  # dy, y -> dx: dy·(1 - e^-y)
    step: Op  # x -> y: 1 where x > 0, else 0
    step_backward: Op  # dy, y -> dx: 0
    silu: Op  # x -> y: x·σ(x)
    silu_backward: Op  # dy, x -> dx: dy·σ(x)·(1 + x·σ(-x))
    mish: Op  # x -> y: x·tanh s, s = log(1 + e^x)
    mish_backward: Op  # dy, x -> dx: dy·(tanh s + x·σ(x)·(1 - tanh² s))
    gelu: Op  # x -> y: x·Φ(x), with the normal distribution Φ
    gelu_backward: Op  # dy, x -> dx: dy·(Φ(x) + x·φ(x))
    gelu_tanh: Op  # x -> y: x·(1 + tanh u) / 2, u = √(2/π)·(x + 0.044715·x³)
    gelu_tanh_backward: Op  # dy, x -> dx: dy·((1 + tanh u) / 2 + x·u'·(1 - tanh² u) / 2)
    softmax: Op  # x[…,K] -> y[…,K]: e^x / Σ e^x
    softmax_backward: Op  # dy[…,K], y[…,K] -> dx[…,K]: y·(dy - Σ dy·y)
    log_softmax: Op  # x[…,K] -> y[…,K]: x - log Σ e^x
    log_softmax_backward: Op  # dy[…,K], y[…,K] -> dx[…,K]: dy - e^y·Σ dy

    # normalization, of features or channels C; ε is inside the root
    batch_norm: Op  # x[B,…,C], scale[C], offset[C], ε -> y[B,…,C], mean[C], variance[C]
    batch_norm_backward: Op  # dy, x, mean, variance, scale, ε -> dx, dscale[C], doffset[C]
    fixed_norm: Op  # x, mean, variance, scale, offset, ε -> y: scale·(x - mean) / √(variance + ε) + offset
    fixed_norm_backward: Op  # dy, x, mean, variance, scale, ε -> dx, dscale[C], doffset[C]
    layer_norm: Op  # x[B,…,C], scale[C], offset[C], ε -> y: the same, with mean and variance of each row
    layer_norm_backward: Op  # dy, x, scale, ε -> dx, dscale[C], doffset[C]
    rms_norm: Op  # x[B,…,C], scale[C], ε -> y: scale·x / √(mean x² + ε)
    rms_norm_backward: Op  # dy, x, scale, ε -> dx, dscale[C]
    moving_average: Op  # a, b, μ -> μ·a + (1 - μ)·b

    # vectors for indices
    embedding: Op  # x[B,…] (integers), w[V,D] -> y[B,…,D]: w[x]
    embedding_gradient: Op  # dy[B,…,D], x[B,…], w[V,D] -> dw[V,D]: Σ dy where x = v

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

    weighted_binary_crossentropy: Op  # p, y, r, D -> loss[]: -Σ (r·y·log p + (1 - y)·log(1 - p)) / D
    weighted_binary_crossentropy_backward: Op  # p, y, r, D -> dp: -(r·y / p - (1 - y) / (1 - p)) / D
    weighted_binary_crossentropy_from_logits: Op  # z, y, r, D -> loss[]: the same of p = σ(z)
    weighted_binary_crossentropy_from_logits_backward: Op  # z, y, r, D -> dz: ((1 + (r - 1)·y)·σ(z) - r·y) / D
    kl_divergence: Op  # p[B,K], y, D -> loss[]: Σ y·log(y / p) / D
    kl_divergence_backward: Op  # p[B,K], y, D -> dp[B,K]: -y / p / D
    kl_divergence_from_logits: Op  # z[B,K], y, D -> loss[]: Σ y·(log y + log Σ e^z - z) / D
    kl_divergence_from_logits_backward: Op  # z[B,K], y, D -> dz[B,K]: (softmax z - y) / D
    huber: Op  # p, y, δ, D -> loss[]: Σ h(p - y) / D, h(e) = e²/2 where |e| <= δ, else δ·(|e| - δ/2)
    huber_backward: Op  # p, y, δ, D -> dp: p - y, kept within ± δ, / D
    log_cosh: Op  # p, y, D -> loss[]: Σ log cosh(p - y) / D
    log_cosh_backward: Op  # p, y, D -> dp: tanh(p - y) / D
    hinge: Op  # p, y, D -> loss[]: Σ max(0, 1 - (2·y - 1)·p) / D
    hinge_backward: Op  # p, y, D -> dp: -(2·y - 1) / D where the margin is below 1

    # losses of each sample, and weights of samples and classes
    squared_error_rows: Op  # p, y -> [B]
    absolute_error_rows: Op  # p, y -> [B]
    categorical_crossentropy_rows: Op  # p[B,K], y -> [B]
    categorical_crossentropy_from_logits_rows: Op  # z[B,K], y -> [B]
    binary_crossentropy_rows: Op  # p, y -> [B]
    binary_crossentropy_from_logits_rows: Op  # z, y -> [B]
    weighted_binary_crossentropy_rows: Op  # p, y, r -> [B]
    weighted_binary_crossentropy_from_logits_rows: Op  # z, y, r -> [B]
    kl_divergence_rows: Op  # p[B,K], y -> [B]
    kl_divergence_from_logits_rows: Op  # z[B,K], y -> [B]
    huber_rows: Op  # p, y, δ -> [B]
    log_cosh_rows: Op  # p, y -> [B]
    hinge_rows: Op  # p, y -> [B]
    weighted_sum: Op  # rows[B], w[B], D -> loss[]: Σ w·rows / D
    scale_rows: Op  # dp[B,…], w[B] -> dp: w·dp
    soft_targets: Op  # y, w[K], s -> t[B,K]: w·((1 - s)·y + s / K), y as rows of probabilities

    # penalties; a backward adds to the gradient that is there
    l1: Op  # w, λ -> penalty[]: λ·Σ |w|
    l1_backward: Op  # dw, w, λ -> dw: dw + λ·sign w
    l2: Op  # w, λ -> penalty[]: λ·Σ w²
    l2_backward: Op  # dw, w, λ -> dw: dw + 2·λ·w

    # noise
    dropout: Op  # x, rate, stream -> y: x / (1 - rate) where the stream says keep, else 0; its own backward

    # rows
    take_rows: Op  # x[N,…], index[B] -> y[B,…]

    # what metrics count
    categorical_matches: Op  # p[B,K], y -> count[]
    top_matches: Op  # p[B,K], y, k -> count[]: the target's is one of the k largest
    class_pairs: Op  # p[B,K], y -> pair[B]: K·(the target's column) + (the largest p's column)
    binary_matches: Op  # p, y, threshold -> count[]
    binary_hits: Op  # p, y, threshold -> hits[], predicted[], actual[]
    tolerance_matches: Op  # p, y, tolerance -> count[]
    moments: Op  # y -> c[], s[], q[]: about the mean, Σ (y - c), Σ (y - c)²

    # updates of the arena; learning rate η, correction c_i = 1 - β_i^(t+1)
    sgd: Op  # w, g, η -> w
    momentum: Op  # w, g, v, η, μ -> w, v
    nesterov: Op  # w, g, v, η, μ -> w, v
    adam: Op  # w, g, m, v, η, β_1, β_2, ε, c_1, c_2 -> w, m, v
    adamax: Op  # w, g, m, u, η, β_1, β_2, ε, c_1 -> w, m, u
    nadam: Op  # w, g, m, v, η, β_1, β_2, ε, share of m, share of g, c_2 -> w, m, v
    lion: Op  # w, g, m, η, β_1, β_2 -> w, m
    adagrad: Op  # w, g, c, η, ε -> w, c
    rmsprop: Op  # w, g, c, η, ρ, ε -> w, c
    adadelta: Op  # w, g, c, u, η, ρ, ε -> w, c, u
    decay_weights: Op  # w, η, λ -> w - η·λ·w
    clone: Op  # w -> w: in memory of its own
    move: Op  # w, w', r -> w + r·(w' - w)
    average: Op  # a, w, β -> β·a + (1 - β)·w
    perturb: Op  # w, n, s -> w + s·n
    keep_better: Op  # w, w', loss[], loss'[] -> w' where loss' < loss, else w
    clip_value: Op  # g, limit -> g
    clip_norm: Op  # g, limit -> g: the norm of all of g
    clip_norms: Op  # g, limit, bounds -> g: the norm of each parameter
    all_finite: Op  # w -> bool[]

    kernels: Mapping[str, Kernel] = field(default_factory=dict)
    """The kernels behind those entries that have one."""
    scratch: Callable[[], Any] = lambda: None
    """Makes the work arrays that kernels of one network share."""
    linker: Linker = field(default_factory=Linker)
    """Makes a step of bound calls."""
    honours: frozenset[str] = frozenset()
    """The ops that are offered buffers; the others would not write into them."""
    by_columns: bool = False
    """Whether kernels take narrow values by columns, and products that bring their biases along."""

    def replace(self, **kernels: Kernel) -> "Ops":
        """The table with these kernels behind its entries."""
        unknown = kernels.keys() - {f.name for f in fields(self)} | kernels.keys() & NOT_OPS
        if unknown:
            raise TypeError(f"there is no op {sorted(unknown)}")
        entries: dict[str, Any] = {name: _once(kernel, getattr(self, name)) for name, kernel in kernels.items()}
        return replace(self, **entries, kernels={**self.kernels, **kernels}, honours=self.honours | kernels.keys())

    def without_donation(self, *, poison: bool = False) -> "Ops":
        """For tests: every op is offered buffers and drops them; ``poison`` fills them with NaN, so no stale read "
        "hides."""
        names = frozenset(f.name for f in fields(self)) - NOT_OPS
        entries: dict[str, Any] = {name: _drop(getattr(self, name), poison) for name in names}
        return replace(self, **entries, kernels={}, honours=names, linker=Linker(), by_columns=False)


def _once(kernel: Kernel, entry: Op) -> Op:
    """A kernel as a function in place of an entry: bound, and called once."""

    def op(*inputs: Any, out: Any = None) -> Any:
        return kernel(*inputs, out=out)()

    op.__name__, op.__doc__ = entry.__name__, entry.__doc__
    return op


def _drop(op: Op, poison: bool) -> Op:
    def dropping(*arguments: Any, out: Any = None) -> Any:
        result = op(*arguments)
        for buffer in out if isinstance(out, tuple) else (out,):
            if poison and buffer is not None:
                buffer[...] = float("nan") if "float" in str(buffer.dtype) else -1
        return result

    return dropping
