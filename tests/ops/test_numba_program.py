"""Compiled kernels: the exponential, the table and who walks down it, and what happens without BLAS or a cache."""

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

pytest.importorskip("numba")

from numba import njit
from numba.core import caching

import nnxp
from nnxp.ops import Kept, Number
from nnxp.ops.numba import kernels, loops, program


@njit
def exponentials(x, y):
    for i in range(x.size):
        y[i] = loops.exp(x[i])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponential(dtype):
    """Against float64 (or, for it, longer) numbers: one ULP for the rounding, one for the arithmetic."""
    x = np.concatenate([np.linspace(-87, 88, 200_001), np.random.default_rng(0).normal(size=10_000)]).astype(dtype)
    y = np.empty_like(x)
    exponentials(x, y)
    exact = np.exp(x.astype(np.longdouble))
    assert np.max(np.abs(y - exact) / (exact * np.finfo(dtype).eps)) <= 2


def test_exponential_of_special_values():
    """Where e^x is no normal number, float32 gives 0 or infinity; NaN stays."""
    x = np.array([0.0, -0.0, -np.inf, np.inf, np.nan, -100.0, 100.0, 1e-30], dtype="float32")
    y = np.empty_like(x)
    exponentials(x, y)
    np.testing.assert_array_equal(y, np.array([1, 1, 0, np.inf, np.nan, 0, np.inf, 1], dtype="float32"))


def test_neighbours_become_one_table_and_the_loss_is_kept():
    """Two native calls are one, a plain one stays between the tables, and each loss is a new number of their type."""
    w, y = np.arange(4.0, dtype="float32"), np.array([-1.0, 2.0], dtype="float32")
    values, done = {}, []
    calls = [
        Kept(kernels.l2(w, 0.5), values, "penalty"),
        kernels.relu(y, out=y),
        lambda: done.append(float(y[0])),
        kernels.sgd(w, np.ones(4, "float32"), Number(1.0), out=w),
    ]
    linked = program.TableLinker().link(calls)
    assert [isinstance(call, program.Program) for call in linked] == [True, False, True]
    for call in linked:
        call()
    first = values["penalty"]
    assert (first, first.dtype, done) == (7.0, np.float32, [0.0])
    np.testing.assert_array_equal(y, [0, 2])
    np.testing.assert_array_equal(w, [-1, 0, 1, 2])
    for call in linked:
        call()
    assert (first, values["penalty"]) == (7.0, 3.0)


def test_a_number_is_read_in_every_call():
    w, rate = np.zeros(3), Number(1.0)
    call = kernels.sgd(w, np.ones(3), rate, out=w)
    call()
    rate.value = 10.0
    call()
    np.testing.assert_array_equal(w, -11.0)


def test_a_call_holds_its_arrays():
    """Rows hold addresses; memory that was given back would be read all the same."""
    x = np.ones(1000)
    seen = weakref.ref(x)
    call = kernels.relu(x)
    del x
    gc.collect()
    assert seen() is not None
    np.testing.assert_array_equal(call(), 1.0)


def test_moving_lets_go_of_the_old_array():
    linker = program.TableLinker()
    old, new, w, out = np.ones((40, 30)), np.full((40, 30), 2.0), np.ones((30, 5)), np.empty((40, 5))
    held = kernels.matmul(old, w, out=out)
    (linked,) = linker.link([held])
    seen = weakref.ref(old)
    assert linker.move([held], [linked], [(old, new)])
    del old
    gc.collect()
    assert seen() is None
    linked()
    np.testing.assert_array_equal(out, 60.0)


@pytest.mark.parametrize(
    "new", [np.ones((41, 30)), np.ones((40, 30), "float32"), np.ones((30, 40)).T, np.ones((40, 60))[:, ::2]]
)
def test_arrays_that_lie_otherwise_are_not_moved_to(new):
    linker, old = program.TableLinker(), np.ones((40, 30))
    held = kernels.matmul(old, np.ones((30, 5)))
    assert not linker.move([held], linker.link([held]), [(old, new)])


@pytest.mark.parametrize("order", ["ab ba ab bc", "ab ac ca ba", "aa ab ba cc cd"])
def test_arrays_that_change_their_parts(order):
    """What was x is y in the next step, and the other way round: addresses are not moved one after the other."""
    found, rng = [], np.random.default_rng(0)
    arrays = {name: rng.standard_normal((300, 64)) for name in "abcd"}
    for kernels_ in ("numba", "reference"):
        backend = nnxp.get_backend("numpy", kernels=kernels_, dtype="float64")
        network = [nnxp.layers.Dense(64), nnxp.layers.Tanh(), nnxp.layers.Dense(64)]
        parts = {"loss": nnxp.losses.MeanSquaredError(), "optimizer": nnxp.optimizers.SGD(0.5)}
        model = nnxp.Model(network, **parts, backend=backend)
        found.append([float(model.train_step(arrays[x], arrays[y])) for x, y in order.split()])
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_without_blas_products_are_numpys(monkeypatch, random):
    monkeypatch.setattr(kernels, "BLAS", None)
    monkeypatch.setattr(program, "BLAS", None)
    x, y = random.standard_normal((20, 6)), random.integers(0, 3, 20)
    found = []
    for name in ("numba", "numpy"):
        model = nnxp.Model(
            [nnxp.layers.Dense(8), nnxp.layers.ReLU(), nnxp.layers.Dense(3), nnxp.layers.Softmax()],
            loss=nnxp.losses.CategoricalCrossentropy(),
            optimizer=nnxp.optimizers.Adam(),
            backend=nnxp.get_backend("numpy", dtype="float64", kernels=name),
        )
        found.append([float(model.train_step(x, y)) for _ in range(4)])
    np.testing.assert_allclose(*found, rtol=1e-12)  # sums of 20 terms in another order, a few steps
    assert not isinstance(kernels.matmul(x, x.T), program.Native)
    assert isinstance(kernels.relu(x), program.Native)


def test_without_a_folder_for_the_cache(monkeypatch):
    """Then numba refuses to cache; it compiles anew in each process."""
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="cannot cache"):
        njit(cache=True)(lambda x: x + 1)
    assert program._compiled(lambda x: x + 1)(1) == 2


def test_nothing_is_compiled_before_it_is_needed():
    code = (
        "import nnxp; nnxp.get_backend('numpy', kernels='numba');"
        "from nnxp.ops.numba.program import run; print(run.signatures)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_compiled_and_cached_code_give_the_same_bits(tmp_path):
    """The process that compiles, and one that reads what it left behind."""
    code = """
import numpy, nnxp, sys
random = numpy.random.default_rng(0)
x, y = random.standard_normal((50, 4), dtype="float32"), random.integers(0, 3, 50)
for optimizer in (nnxp.optimizers.Adam(), nnxp.optimizers.SGD(0.1, momentum=0.9)):
    model = nnxp.Model(
        [nnxp.layers.Dense(33), nnxp.layers.Tanh(), nnxp.layers.Dense(17), nnxp.layers.Sigmoid(),
         nnxp.layers.Dense(3), nnxp.layers.Softmax()],
        loss=nnxp.losses.CategoricalCrossentropy(), optimizer=optimizer,
        backend=nnxp.get_backend("numpy", kernels="numba"),
    )
    for _ in range(5):
        model.train_step(x, y)
    for array in model.state_dict().values():
        sys.stdout.write(array.tobytes().hex())
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", code]
    first, second = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert any(tmp_path.rglob("*.nbc"))
    assert first == second
