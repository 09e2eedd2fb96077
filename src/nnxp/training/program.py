"""A network, its loss and its penalties, written out as one program.

The program is symbolic: names, no arrays. `nnxp.training.plan` runs it, with buffers or without.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from nnxp.layers import Layer
from nnxp.layers._base import join
from nnxp.losses import Loss
from nnxp.ops.record import Program, Record, record

__all__ = ["Mode", "Network", "write"]

HEADS = {
    ("softmax", "categorical_crossentropy"),
    ("softmax", "kl_divergence"),
    ("sigmoid", "binary_crossentropy"),
    ("sigmoid", "weighted_binary_crossentropy"),
}
"""The known heads: a last op and a loss that together are computed from the op's input, stably: by the ops of the same
names with ``_from_logits`` behind the loss's."""

FUSIONS = {
    (
        "softmax",
        "categorical_crossentropy_from_logits",
        "categorical_crossentropy_from_logits_backward",
    ): "softmax_categorical_crossentropy",
    (
        "sigmoid",
        "binary_crossentropy_from_logits",
        "binary_crossentropy_from_logits_backward",
    ): "sigmoid_binary_crossentropy",
}
"""Neighbours that read the same values, and the op that makes all their results at once."""


@dataclass(frozen=True, eq=False)
class Mode:
    """What a program is for. Two modes are equal when they are one object: it is looked up in every step."""

    training: bool
    """Whether layers behave as in training (Dropout drops)."""
    loss: bool
    gradients: bool
    predictions: bool
    update: bool = False
    """Whether the optimizer's update follows."""
    remembers: bool = False
    """Whether layers remember what they saw (BatchNorm its running statistics)."""
    penalties: bool = True
    """Whether penalties are in the loss and in the gradients."""
    counts: tuple[tuple[str, str, tuple[float, ...]], ...] = ()
    """What is counted of the predictions within the program: a name, an op over ``y_pred`` and ``y``, its numbers."""


@dataclass
class Network:
    """A program, and where its results stand."""

    program: Program
    outputs: dict[str, str]
    """``y_pred``, ``data_loss`` and ``loss``: the values' names in the program."""
    gradients: dict[str, str]
    """A parameter's key (``0.weights``) to the value that is its gradient, penalty included."""
    targets: dict[str, str]
    """A value that lies in the gradients' buffer, to the key of its place there."""
    remembered: dict[str, str]
    """A value that lies in the statistics' buffer, to the key of its place there."""


def write(
    root: Layer, loss: Loss, mode: Mode, *, fused: bool, weighted: bool = False, frozen: Collection[str] = ()
) -> Network:
    """The program of one mode, without the steps that nobody reads; ``fused`` puts `FUSIONS` in place of neighbours.

    ``weighted`` lets the loss read ``sample_weight``; parameters whose keys are ``frozen`` get no gradients.
    """
    program = Program(list(loss.target_records()) if mode.loss else [])
    y_pred = root.trace(program, "", "x", training=mode.training)
    outputs = {"y_pred": y_pred} if mode.predictions or not mode.loss else {}
    gradients: dict[str, str] = {}
    targets: dict[str, str] = {}
    if mode.loss:
        program.records += [step.renamed(_rename(y_pred=y_pred)) for step in loss.value_records(weighted=weighted)]
        outputs["data_loss"] = "data_loss"
    if mode.gradients:
        program.records += [step.renamed(_rename(y_pred=y_pred)) for step in loss.gradient_records(weighted=weighted)]
        root.trace_backward(program, "", "dy_pred", training=mode.training)
        gradients = {
            join(path, name): join(path, "d" + name)
            for path, leaf in root.leaves()
            for name in leaf.parameters()
            if join(path, name) not in frozen
        }
        targets = {value: key for key, value in gradients.items()}
    if mode.loss:
        _compute_from_logits(program, y_pred, loss.op)
        outputs["loss"] = _penalize(program, root, gradients, targets) if mode.penalties else "data_loss"
    records = _fuse(program.records) if fused else program.records
    for name, op, numbers in mode.counts:
        outputs[name] = _count(program, records, y_pred, name, op, numbers)
    remembered = program.remembered if mode.remembers else {}
    program.records = _prune(records, {*outputs.values(), *gradients.values(), *remembered})
    return Network(program, outputs, gradients, targets, remembered)


def _rename(**names: str) -> Callable[[str], str]:
    return lambda name: names.get(name, name)


def _compute_from_logits(program: Program, y_pred: str, op: str) -> None:
    """Where the network ends in a known head, let the loss and its gradient read the head's input."""
    records = program.records
    head = next((step for step in records if step.outputs == (y_pred,)), None)
    if head is None or (head.op, op) not in HEADS:
        return
    from_logits = {op + end: f"{op}_from_logits{end}" for end in ("", "_rows", "_backward")}
    for index, step in enumerate(records):
        if step.op in from_logits:
            inputs = (head.inputs[0], *step.inputs[1:])
            records[index] = Record(from_logits[str(step.op)], inputs, step.outputs)
    gradient = next((step for step in records if step.outputs == ("dy_pred",)), None)
    if gradient is not None:
        head_backward = next(step for step in records if "dy_pred" in step.inputs)
        records[records.index(gradient)] = replace(gradient, outputs=head_backward.outputs)
        records.remove(head_backward)


def _penalize(program: Program, root: Layer, gradients: dict[str, str], targets: dict[str, str]) -> str:
    """Add the penalties to the loss and to the gradients; return the name of the whole loss."""
    loss = "data_loss"
    penalties = [
        (join(path, name), penalty)
        for path, leaf in root.leaves()
        for name, regularizer in leaf.regularizers().items()
        for penalty in regularizer.penalties()
    ]
    for index, (key, penalty) in enumerate(penalties):
        rate, value, total = (f"{what}.{index}" for what in ("rate", "penalty", "loss"))
        program.constants[rate] = float(penalty.rate)  # a NumPy scalar would make float64 of a float32 loss
        program.records.append(penalty.value_record().renamed(_rename(w=key, rate=rate, penalty=value)))
        program.records.append(record("add", f"{loss} {value}", total))
        loss = total
        if key in gradients:
            before, after = gradients[key], f"{gradients[key]}.penalized"
            step = penalty.gradient_record()
            program.records.append(replace(step.renamed(_rename(w=key, rate=rate, dw=before)), outputs=(after,)))
            gradients[key], targets[after] = after, key
    return loss


def _count(program: Program, records: list[Record], y_pred: str, name: str, op: str, numbers: tuple[float, ...]) -> str:
    """Count something of the predictions, as soon as they are there."""
    program.constants |= {f"{name}.{index}": number for index, number in enumerate(numbers)}
    index = max((i for i, step in enumerate(records) if y_pred in step.outputs), default=-1)
    constants = (f"{name}.{index}" for index in range(len(numbers)))
    records.insert(index + 1, Record(op, (y_pred, "y", *constants), (name,)))
    return name


def _prune(records: Iterable[Record], wanted: set[str]) -> list[Record]:
    """Only the records that lead to what is wanted: the first layer's dx, for one, is never made."""
    kept: list[Record] = []
    needed = set(wanted)
    for step in reversed(list(records)):
        if needed.intersection(step.outputs):
            kept.append(step)
            needed.update(step.inputs)
    return kept[::-1]


def _fuse(records: list[Record]) -> list[Record]:
    """The same records with `FUSIONS` in place of neighbours."""
    fused, index = [], 0
    while index < len(records):
        for ops, op in FUSIONS.items():
            group = records[index : index + len(ops)]
            if tuple(step.op for step in group) == ops and len({step.inputs[0] for step in group}) == 1:
                outputs = tuple(name for step in group for name in step.outputs)
                fused.append(Record(op, group[-1].inputs, outputs))
                index += len(ops)
                break
        else:
            fused.append(records[index])
            index += 1
    return fused
