"""Losses with their gradients and counts, penalties, and norms."""

from typing import Any

from nnxp._types import Array
from nnxp.ops import Call
from nnxp.ops.cuda.kernels.base import Family
from nnxp.ops.cuda.launch import WARP, Chain, Launch, blocks_for

__all__ = ["Counts", "Losses", "Penalties"]


class _WithTargets(Family):
    def _targets(self, like: Array, y: Array) -> tuple[Array | None, Array | None]:
        """Targets as labels, or as shares of rows, where the kernels can read them."""
        if not y.flags.c_contiguous:
            return None, None
        labels = y if y.ndim == 1 and y.dtype == self._xp.int64 else None
        return labels, y if y.ndim == 2 and y.dtype == like.dtype else None


class Losses(_WithTargets):
    """Cross-entropies from logits, and squares."""

    def softmax_categorical_crossentropy(
        self, z: Array, y: Array, divisor: float, *, out: Any = None, scratch: Any = None
    ) -> Call:
        p, loss, dz = out or (None, None, None)
        p, loss, dz = self._like(z, p), self._scalar(z, loss), self._like(z, dz)
        return self._classes("softmax_categorical_crossentropy", z, y, divisor, (p, loss, dz), p=p, loss=loss, dz=dz)

    def categorical_crossentropy_from_logits(
        self, z: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        loss = self._scalar(z, out)
        return self._classes("categorical_crossentropy_from_logits", z, y, divisor, loss, loss=loss)

    def categorical_crossentropy_from_logits_backward(
        self, z: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        dz = self._like(z, out)
        return self._classes("categorical_crossentropy_from_logits_backward", z, y, divisor, dz, dz=dz)

    def _classes(self, op: str, z: Array, y: Array, divisor: float, result: Any, **outputs: Array) -> Call:
        labels, shares = self._targets(z, y)
        if not self._ready(z) or not z.size or (labels is None and shares is None):
            return self._fallback(op, z, y, divisor, out=result)
        rows, columns = z.shape
        losses, arrived = self._work(rows, z)
        arguments = {
            "z": z, "labels": labels, "shares": shares, "rows": rows, "columns": columns, "divisor": divisor, "p": None,
            "dz": None, "loss": None, "matches": None, "row_losses": losses, "row_matches": None, "arrived": arrived,
        } | outputs  # fmt: skip
        return self._launch("softmax_crossentropy", z, arguments, result, size=WARP * rows)

    def sigmoid_binary_crossentropy(
        self, z: Array, y: Array, divisor: float, *, out: Any = None, scratch: Any = None
    ) -> Call:
        p, loss, dz = out or (None, None, None)
        p, loss, dz = self._like(z, p), self._scalar(z, loss), self._like(z, dz)
        return self._questions("sigmoid_binary_crossentropy", z, y, divisor, (p, loss, dz), p=p, loss=loss, dz=dz)

    def binary_crossentropy_from_logits(
        self, z: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        loss = self._scalar(z, out)
        return self._questions("binary_crossentropy_from_logits", z, y, divisor, loss, loss=loss)

    def binary_crossentropy_from_logits_backward(
        self, z: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        dz = self._like(z, out)
        return self._questions("binary_crossentropy_from_logits_backward", z, y, divisor, dz, dz=dz)

    def _questions(self, op: str, z: Array, y: Array, divisor: float, result: Any, **outputs: Array) -> Call:
        if not self._ready(z, y) or z.shape != y.shape:
            return self._fallback(op, z, y, divisor, out=result)
        parts, arrived = self._work(2 * blocks_for(z.size, self._machine.threads), z)
        arguments = {
            "z": z, "y": y, "size": z.size, "divisor": divisor, "threshold": 0.5, "p": None, "dz": None, "loss": None,
            "matches": None, "parts": parts, "arrived": arrived,
        } | outputs  # fmt: skip
        return self._launch("sigmoid_crossentropy", z, arguments, result, size=z.size)

    def squared_error(self, p: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None) -> Call:
        loss = self._scalar(p, out)
        return self._squares("squared_error", p, y, divisor, loss, loss=loss)

    def squared_error_backward(
        self, p: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        dp = self._like(p, out)
        return self._squares("squared_error_backward", p, y, divisor, dp, dp=dp)

    def _squares(self, op: str, p: Array, y: Array, divisor: float, result: Array, **outputs: Array) -> Call:
        if not self._ready(p, y) or p.shape != y.shape:
            return self._fallback(op, p, y, divisor, out=result)
        parts, arrived = self._work(blocks_for(p.size, self._machine.threads), p)
        arguments = {
            "p": p, "y": y, "size": p.size, "divisor": divisor, "dp": None, "loss": None, "parts": parts,
            "arrived": arrived,
        } | outputs  # fmt: skip
        return self._launch("squared_error", p, arguments, result, size=p.size)


class Counts(_WithTargets):
    """How many are right: into a place of the floating type, and without one, as integers, by the reference."""

    def categorical_matches(self, p: Array, y: Array, *, out: Array = None, scratch: Any = None) -> Call:
        labels, shares = self._targets(p, y)
        if out is None or not self._ready(p) or not p.size or (labels is None and shares is None):
            return self._fallback("categorical_matches", p, y, out=out)
        rows, columns = p.shape
        matches, arrived = self._work(rows, p)
        arguments = {
            "p": p, "labels": labels, "shares": shares, "rows": rows, "columns": columns, "matches": out,
            "row_matches": matches, "arrived": arrived,
        }  # fmt: skip
        return self._launch("class_matches", p, arguments, out, size=WARP * rows)

    def binary_matches(self, p: Array, y: Array, threshold: float, *, out: Array = None, scratch: Any = None) -> Call:
        return self._matches("binary_matches", p, y, threshold, out)

    def tolerance_matches(
        self, p: Array, y: Array, tolerance: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        return self._matches("tolerance_matches", p, y, tolerance, out)

    def _matches(self, op: str, p: Array, y: Array, limit: float, out: Array | None) -> Call:
        if out is None or not self._ready(p, y) or p.shape != y.shape:
            return self._fallback(op, p, y, limit, out=out)
        parts, arrived = self._work(2 * blocks_for(p.size, self._machine.threads), p)
        arguments = {
            "p": p, "y": y, "size": p.size, "distance": op == "tolerance_matches", "limit": limit, "matches": out,
            "parts": parts, "arrived": arrived,
        }  # fmt: skip
        return self._launch("element_matches", p, arguments, out, size=p.size)


class Penalties(Family):
    """Penalties on weights, and the norm of a gradient."""

    def l1(self, w: Array, rate: float, *, out: Array = None, scratch: Any = None) -> Call:
        return self._penalty("l1", w, rate, out)

    def l2(self, w: Array, rate: float, *, out: Array = None, scratch: Any = None) -> Call:
        return self._penalty("l2", w, rate, out)

    def _penalty(self, op: str, w: Array, rate: float, out: Array | None) -> Call:
        if not self._ready(w):
            return self._fallback(op, w, rate, out=out)
        return self._sum(w, op == "l2", rate, self._scalar(w, out))

    def _sum(self, w: Array, squares: bool, rate: float, sum_: Array) -> Launch:
        blocks = blocks_for(w.size, self._machine.threads)
        parts, arrived = self._work(blocks, w)
        arguments = {
            "w": w, "size": w.size, "squares": squares, "rate": rate, "sum": sum_, "parts": parts, "arrived": arrived,
        }  # fmt: skip
        return Launch(self._machine, "sum_of_powers", w.dtype, arguments, blocks=blocks, result=sum_)

    def l1_backward(self, dw: Array, w: Array, rate: float, *, out: Array = None, scratch: Any = None) -> Call:
        return self._penalty_backward("l1_backward", dw, w, rate, out)

    def l2_backward(self, dw: Array, w: Array, rate: float, *, out: Array = None, scratch: Any = None) -> Call:
        return self._penalty_backward("l2_backward", dw, w, rate, out)

    def _penalty_backward(self, op: str, dw: Array, w: Array, rate: float, out: Array | None) -> Call:
        if not self._ready(dw, w):
            return self._fallback(op, dw, w, rate, out=out)
        out = self._like(dw, out)
        arguments = {"dw": dw, "w": w, "size": w.size, "squares": op == "l2_backward", "rate": rate, "out": out}
        return self._launch("penalty_backward", w, arguments, out, size=w.size)

    def clip_norm(self, g: Array, limit: float, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(g):
            return self._fallback("clip_norm", g, limit, out=out)
        square, out = self._scalar(g), self._like(g, out)
        arguments = {"g": g, "size": g.size, "square": square, "limit": limit, "out": out}
        clip = self._launch("clip_norm", g, arguments, out, size=g.size)
        return Chain(self._machine, [self._sum(g, True, 1.0, square), clip], out)
