"""The mathematics: functions from arrays to arrays, in one frozen table.

Every op takes ``out=`` last, which is a *donation*: the op may write its result into that buffer and return it, or
ignore it. Callers use only what is returned, and a donated buffer is dead afterwards, also when it was one of the
inputs: only elementwise ops (`ELEMENTWISE`) may be handed the buffer of an input. An op with several results takes as
many buffers, and an update of the arena takes those of the very inputs that it replaces. Buffers have no gaps, but may
lie by rows or by columns. No op writes into an argument that was not donated.

An entry may be backed by a `Kernel`, which separates what is done once from what is done in every step.

Letters: B batch, I inputs, O outputs, K classes; ``[]`` is a 0-d array. The formulas stand in `nnxp.ops.reference`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias, Union

from nnxp._types import Array, Op

__all__ = ["ELEMENTWISE", "NOT_OPS", "UPDATES", "VIEWS", "Call", "Kept", "Kernel", "Linker", "Number", "Ops"]

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

    def link(self, calls: Sequence[Call]) -> list[Call]:
        """As many calls, in order, or fewer that do the same."""
        return list(calls)

    def move(self, held: Sequence[Call], linked: Sequence[Call], pairs: Sequence[tuple[Array, Array]]) -> bool:
        """Let the bound calls ``held``, which stand in the list ``linked``, read the second array of each pair in place
        of the first. False where they must be bound anew."""
        return False

    def stand_in(self, array: Array) -> Array | None:
        """An array without memory, from which calls can be moved to the next one as from this one; None where they
        cannot be moved."""
        return None


@dataclass
class Number:
    """A number that changes between the calls of a bound kernel, such as a learning rate."""

    value: float

    @classmethod
    def of(cls, number: Union["Number", float]) -> "Number":
        """A number that may change, also of one that does not."""
        return number if isinstance(number, Number) else cls(number)


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


NOT_OPS = frozenset({"kernels", "scratch", "linker", "honours"})
"""The fields of `Ops` that are not operations."""


@dataclass(frozen=True, kw_only=True)
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
        return replace(self, **entries, kernels={}, honours=names, linker=Linker())


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
