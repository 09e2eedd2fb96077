"""Neighbours of a step that are cheaper as one.

It works on bound links: where one writes a buffer and the next one works on that buffer, addresses say what belongs
together. Each rule looks at two neighbours and gives one link for both, or None.

cublasLt could do a ReLU and its derivative within a product, too. It is not asked to: it makes 0 of NaN, so that a
network that has diverged looks healthy, and its derivative at 0 is 1, where that of `nnxp.ops.reference` is 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nnxp.ops.cuda.gemm import Epilogue
from nnxp.ops.cuda.kernels import ACTIVATIONS
from nnxp.ops.cuda.launch import Launch, Link, Multiplication

__all__ = ["fuse"]


def fuse(links: Sequence[Link]) -> list[Link]:
    """The same work in fewer links."""
    fused: list[Link] = []
    for link in links:
        fused.append(link)
        while len(fused) > 1 and (both := _joined(fused[-2], fused[-1])) is not None:
            fused[-2:] = [both]
    return fused


def _joined(first: Link, second: Link) -> Link | None:
    if not isinstance(first, Launch):
        return None
    if isinstance(second, Launch):
        rules = _LAUNCHES.get(second.kernel, ())
        return next((both for rule in rules if (both := rule(first, second)) is not None), None)
    return _gradients_of_a_layer(first, second) if isinstance(second, Multiplication) else None


def _bias_and_activation(first: Launch, second: Launch) -> Link | None:
    """x + b and an activation of it, in one pass."""
    if first.kernel != "activation" or ACTIVATIONS[first.arguments["kind"]] != "identity":
        return None
    if not _follows(second, "x", first, "y"):
        return None
    biased, own = first.arguments, second.arguments
    in_place = _address(second, "y") == _address(first, "y")
    inputs = {
        "x": biased["x"],
        "bias": biased["bias"],
        "columns": biased["columns"],
        "z": None if in_place else own["x"],
    }
    return _launch(second, own | inputs)


def _slope_and_bias_gradient(first: Launch, second: Launch) -> Link | None:
    """An activation's backward, and the sum of what it makes over the batch."""
    if first.kernel != "activation_backward" or second.arguments["kept"] is not None:
        return None
    if not _follows(second, "dy", first, "dx"):
        return None
    kept = {name: first.arguments[name] for name in ("kind", "dy", "kept", "a", "dx")}
    return _launch(second, second.arguments | kept)


def _gradients_of_a_layer(first: Launch, second: Multiplication) -> Link | None:
    """The sum of dy over the batch, and the product for the weights' gradient, which reads dy anyway."""
    product = second.product
    if first.kernel != "bias_activation_backward" or first.arguments["dx"] is not None:
        return None
    if product.epilogue is not Epilogue.DEFAULT or not product.transpose_b:
        return None
    if _address(first, "dy") != second.machine.address(second.a):
        return None
    product = replace(product, epilogue=Epilogue.BGRADA)
    both = Multiplication(second.machine, product, second.a, second.b, second.d, first.arguments["db"])
    return both if both.supported() else None


def _loss_and_gradient(first: Launch, second: Launch) -> Link | None:
    """What one kernel makes of the same inputs, all at once."""
    outputs = ("p", "dz", "dp", "loss", "matches", "row_losses", "row_matches", "parts", "arrived")
    names = [name for name in second.arguments if name not in outputs]
    if first.kernel != second.kernel or not all(_same(first.arguments[n], second.arguments[n]) for n in names):
        return None
    made = {name: value for name, value in first.arguments.items() if name in outputs and value is not None}
    return _launch(second, second.arguments | made)


def _loss_and_class_matches(first: Launch, second: Launch) -> Link | None:
    """The count of right classes, by the warps that made the classes' probabilities."""
    if not _has_room_for_matches(first, "softmax_crossentropy") or not _follows(second, "p", first, "p"):
        return None
    if not all(_same(first.arguments[name], second.arguments[name]) for name in ("labels", "shares")):
        return None
    return _launch(first, first.arguments | {name: second.arguments[name] for name in ("matches", "row_matches")})


def _loss_and_element_matches(first: Launch, second: Launch) -> Link | None:
    """The count of right answers, by the threads that made the answers' probabilities."""
    if not _has_room_for_matches(first, "sigmoid_crossentropy") or not _follows(second, "p", first, "p"):
        return None
    if second.arguments["distance"] or not _same(first.arguments["y"], second.arguments["y"]):
        return None
    counted = {"matches": second.arguments["matches"], "threshold": second.arguments["limit"]}
    return _launch(first, first.arguments | counted)


def _has_room_for_matches(launch: Launch, kernel: str) -> bool:
    """Whether it is this kernel, makes p, and does not count something else already."""
    return launch.kernel == kernel and launch.arguments["p"] is not None and launch.arguments["matches"] is None


def _decay_and_update(first: Launch, second: Launch) -> Link | None:
    """AdamW's decay, within the update's pass."""
    if first.kernel != "decay_weights" or not _follows(second, "w", first, "w"):
        return None
    if not _same(first.arguments["learning_rate"], second.arguments["learning_rate"]):
        return None
    return _launch(second, second.arguments | {"decay": first.arguments["decay"]})


_LAUNCHES: dict[str, tuple[Callable[[Launch, Launch], Link | None], ...]] = {
    "activation": (_bias_and_activation,),
    "bias_activation_backward": (_slope_and_bias_gradient,),
    "class_matches": (_loss_and_class_matches,),
    "element_matches": (_loss_and_element_matches,),
    **dict.fromkeys(("softmax_crossentropy", "sigmoid_crossentropy", "squared_error"), (_loss_and_gradient,)),
    **dict.fromkeys(("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "lion"), (_decay_and_update,)),
}
"""Rules by the kernel of the second neighbour."""


def _launch(like: Launch, arguments: dict[str, Any]) -> Launch:
    return Launch(like.machine, like.kernel, like.dtype, arguments, blocks=like.blocks, result=like.result)


def _address(launch: Launch, name: str) -> int:
    return launch.machine.address(launch.arguments[name])


def _follows(second: Launch, read: str, first: Launch, written: str) -> bool:
    """Whether the second launch reads what the first one wrote."""
    return _address(second, read) == _address(first, written)


def _same(a: Any, b: Any) -> bool:
    """Whether two arguments are the same array or changing number, or equal numbers: sizes are made anew each time."""
    return a is b or (isinstance(a, int | float) and isinstance(b, int | float) and a == b)
