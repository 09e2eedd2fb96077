"""Records over a layer's weights and biases together, where their memory allows it.

In the arena a layer's biases lie directly after its weights, so the two are one matrix ``[w; b]``. Where a layer's
input has a column of ones behind it, ``x·w + b`` is the single product ``[x 1]·[w; b]``, and ``[x 1]ᵀ·dy`` is both
gradients at once. A penalty that weights and biases share is taken once over both.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from nnxp.ops.record import Record

__all__ = ["ONES", "join_penalties", "join_products", "parts"]

ONES = "1"
_PLUS = " + "

Adjacent: TypeAlias = Callable[[str, str], bool]
"""Whether two values lie in memory one directly after the other, weights and then biases."""


def parts(name: str) -> tuple[str, str]:
    """The two that a joint name stands for; for any other name, itself and nothing."""
    first, _, second = name.partition(_PLUS)
    return first, second


def _joint(first: str, second: str) -> str:
    return first + _PLUS + second


def join_products(records: Sequence[Record], extended: Collection[str], adjacent: Adjacent) -> list[Record]:
    """`linear` and its two gradients as one product each, for every input that is ``extended`` by ones."""
    joined: list[Record] = []
    for step in records:
        before = joined[-1] if joined else step
        if step.op == "linear" and step.inputs[0] in extended and adjacent(*step.inputs[1:]):
            x, w, b = step.inputs
            joined.append(Record("matmul", (_joint(x, ONES), _joint(w, b)), step.outputs))
        elif (
            (before.op, step.op) == ("linear_bias_gradient", "linear_weight_gradient")
            and step.inputs[0] in extended
            and adjacent(*step.outputs, *before.outputs)
        ):
            x, dy = step.inputs
            joined[-1] = Record(
                "linear_weight_gradient", (_joint(x, ONES), dy), (_joint(*step.outputs, *before.outputs),)
            )
        else:
            joined.append(step)
    return joined


def join_penalties(records: Sequence[Record], constants: Mapping[str, Any], adjacent: Adjacent) -> list[Record]:
    """A penalty on weights and the same one, of the same rate, on the biases after them, as one."""
    joined: list[Record] = []
    for step in records:
        joined.append(step)
        if len(joined) < 6 or step.op not in ("l1_backward", "l2_backward"):
            continue
        value, add, slope, value_b, add_b, slope_b = joined[-6:]
        kinds = [s.op for s in joined[-6:]]
        if (
            kinds[:3] == kinds[3:]
            and slope.op == f"{value.op}_backward"
            and constants[value.inputs[1]] == constants[value_b.inputs[1]]
            and adjacent(value.inputs[0], value_b.inputs[0])
        ):
            (w, rate), (b, _), (dw, *_), (db, *_) = value.inputs, value_b.inputs, slope.inputs, slope_b.inputs
            wb = _joint(w, b)
            joined[-6:] = [
                Record(value.op, (wb, rate), value.outputs),
                Record(add.op, (add.inputs[0], *value.outputs), add_b.outputs),
                Record(slope.op, (_joint(dw, db), wb, rate), (_joint(*slope.outputs, *slope_b.outputs),)),
            ]
    return joined
