"""What rounding allows each op: right implementations are within it, and one that is off by a thousandth is not.

Inputs are those of the table in ``ops/test_reference.py``, which has a case for every op.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import nnxp
from nnxp.backend import to_host
from nnxp.ops import NOT_OPS
from nnxp.ops.reference import FUNCTIONS
from nnxp.parity import BOUNDS, allowed, measure

BATCHES = (1, 40)
ALL_ROUNDING = {("moments", 1)}
"""Results that are 0 but for rounding: nothing can be said of their digits."""


def _table():
    path = Path(__file__).parent / "ops" / "test_reference.py"
    spec = importlib.util.spec_from_file_location("cases_of_all_ops", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLE = _table()


def cases(dtype):
    """Each op with its inputs in this dtype, as host arrays."""
    random = np.random.default_rng(4)
    for batch in BATCHES:
        for op, arguments, *_ in TABLE.CASES:
            inputs = arguments(TABLE.Draw(random, batch))
            yield op, [a.astype(dtype) if getattr(a, "dtype", None) == np.float64 else a for a in inputs]


def run(backend, op, inputs):
    """The op on the backend, and its results on the host; integers are as wide as the backend has them."""
    arrays = [put(backend, a) if isinstance(a, np.ndarray) else a for a in inputs]
    with backend.quiet():
        returned = getattr(backend.ops, op)(*arrays)
    results = [to_host(a) for a in (returned if isinstance(returned, tuple) else (returned,))]
    return [a.astype(np.int64) if a.dtype.kind == "i" else a for a in results]


def put(backend, a):
    return backend.asarray(a.copy(), dtype=backend.dtype if a.dtype.kind == "f" else backend.integer_dtype)


def reference(dtype):
    return nnxp.get_backend("numpy", kernels="reference", dtype=dtype)


def share(op, inputs, standard, found):
    """The worst share of what is allowed."""
    return max(difference.share for difference in measure(op, standard, found, allowed(op, standard, inputs)))


def test_every_op_has_a_bound():
    assert BOUNDS.keys() == FUNCTIONS.keys()
    assert not BOUNDS.keys() & NOT_OPS
    assert BOUNDS.keys() == {op for op, *_ in TABLE.CASES}


def test_right_implementations_are_within(typed_backend):
    dtype, shares = str(typed_backend.dtype).rsplit(".", 1)[-1], {}
    for op, inputs in cases(dtype):
        standard, found = (run(backend, op, inputs) for backend in (reference(dtype), typed_backend))
        shares[op] = max(share(op, inputs, standard, found), shares.get(op, 0.0))
    assert {op: worst for op, worst in shares.items() if not worst <= 0.8} == {}


def test_float32_is_within_of_float64():
    """The exact result, rounded once, is a right one too."""
    shares = {}
    for op, inputs in cases(np.float32):
        wide = [a.astype(float) if getattr(a, "dtype", None) == np.float32 else a for a in inputs]
        standard, exact = run(reference("float32"), op, inputs), run(reference("float64"), op, wide)
        found = [a.astype(b.dtype) for a, b in zip(exact, standard, strict=True)]
        shares[op] = max(share(op, inputs, standard, found), shares.get(op, 0.0))
    assert {op: worst for op, worst in shares.items() if not worst <= 0.8} == {}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_result_that_is_off_by_a_thousandth_is_beyond(dtype):
    missed = set()
    for op, inputs in cases(dtype):
        standard = run(reference(dtype), op, inputs)
        for place, result in enumerate(standard):
            found = [wrong(a) if index == place else a for index, a in enumerate(standard)]
            if not np.any(result) or share(op, inputs, standard, found) > 1:
                continue
            missed.add((op, place))
    assert missed == ALL_ROUNDING


def wrong(a):
    """The same, but for the largest element."""
    a = a.copy()
    place = np.unravel_index(np.argmax(np.abs(a)), a.shape)
    a[place] = a[place] * 1.001 if a.dtype.kind == "f" else not a[place]
    return a


@pytest.mark.parametrize("op", sorted(op for op in BOUNDS if "_norm" in op and "clip" not in op))
def test_normalization_far_from_zero(op, typed_backend):
    """An offset of a thousand spreads costs three digits: a hundred roundings of a thousand, or a little more."""
    dtype, random = str(typed_backend.dtype).rsplit(".", 1)[-1], np.random.default_rng(1)
    x = random.standard_normal((50, 6)) + (0 if op.startswith("rms") else 1000)
    dy, scale, offset = random.standard_normal((50, 6)), *random.uniform(0.5, 1.0, (2, 6))
    given = (x.mean(axis=0), x.var(axis=0))
    inputs = {
        "batch_norm": (x, scale, offset, 1e-5),
        "batch_norm_backward": (dy, x, *given, scale, 1e-5),
        "fixed_norm": (x, *given, scale, offset, 1e-5),
        "fixed_norm_backward": (dy, x, *given, scale, 1e-5),
        "layer_norm": (x, scale, offset, 1e-5),
        "layer_norm_backward": (dy, x, scale, 1e-5),
        "rms_norm": (x, scale, 1e-5),
        "rms_norm_backward": (dy, x, scale, 1e-5),
    }[op]
    inputs = [a.astype(dtype) if isinstance(a, np.ndarray) else a for a in inputs]
    standard, found = (run(backend, op, inputs) for backend in (reference(dtype), typed_backend))
    assert share(op, inputs, standard, found) <= 0.8
    (limit, *_), eps = allowed(op, standard, inputs), float(np.finfo(dtype).eps)
    assert np.max(limit) < 150 * 1000 * eps * max(np.max(np.abs(standard[0])), 1)


class TestJumps:
    """Lion goes by a sign: whole steps apart where its argument is all rounding, and nowhere else."""

    RATE, BETAS = 0.01, (0.9, 0.99)

    def limits(self, g, m):
        w = np.full(len(g), 0.5, dtype=np.float32)
        inputs = [w, np.float32(g), np.float32(m), self.RATE, *self.BETAS]
        standard = run(reference("float32"), "lion", inputs)
        return inputs, standard, allowed("lion", standard, inputs)

    def test_near_a_change_of_sign_a_whole_step_is_allowed(self):
        _, _, (w, m) = self.limits([-0.9, -0.9 * (1 + 1e-6), -0.8, 0.0, 1e-30], [0.1, 0.1, 0.1, 0.0, 0.0])
        np.testing.assert_array_equal(w > self.RATE, [True, False, False, False, False])
        assert np.all(m < 1e-5)

    def test_a_turned_direction(self):
        _, standard, limits = self.limits([-0.9, 0.5], [0.1, 0.1])
        for place, right in ((0, True), (1, False)):
            w = standard[0].copy()
            w[place] = 0.5 - 0.01 if w[place] > 0.495 else 0.5 + 0.01
            (difference, _) = measure("lion", standard, [w, standard[1]], limits)
            assert (difference.share <= 1) is right
