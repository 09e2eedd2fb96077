"""The machine on which CUDA kernels run without a GPU: threads, barriers, shuffles, arguments, captures, its cache."""

import math
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from nnxp.errors import BackendError
from nnxp.ops.cuda import host
from nnxp.ops.cuda.host import HostMachine

SIZES = (1, 31, 33, 64, 97, 1000, 10007)
DTYPES = ("float32", "float64")

SOURCE = r"""
typedef REAL real;
#define EACH(i, n) (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)

extern "C" __global__ void saxpy(real a, const real* __restrict__ x, real* __restrict__ y, const int n) {
    for EACH(i, n) y[i] += a * x[i];
}

// Shared memory and barriers: y[block] = the sum of what the block saw.
extern "C" __global__ void __launch_bounds__(1024) block_sum(const real* x, real* y, int n) {
    __shared__ real tile[1024];
    real sum = 0;
    for EACH(i, n) sum += x[i];
    tile[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = 512; half > 0; half /= 2) {
        if (threadIdx.x < half && threadIdx.x + half < blockDim.x) tile[threadIdx.x] += tile[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) y[blockIdx.x] = tile[0];
}

__device__ __forceinline__ real warp_sum(real value) {
    for (int lane = 16; lane > 0; lane /= 2) value += __shfl_xor_sync(0xffffffffu, value, lane);
    return value;
}

// One sum a warp, which each of its lanes knows.
extern "C" __global__ void warp_sums(const real* x, real* y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = warp_sum(x[i]);
}

extern "C" __global__ void shift(const double* x, double* y, int delta) {
    y[threadIdx.x] = __shfl_down_sync(0xffffffffu, x[threadIdx.x], delta);
}

// The block that is done last adds the blocks' sums up, always in the same order.
extern "C" __global__ void total(const real* x, real* parts, unsigned* done, real* y, int n) {
    __shared__ real sums[32];
    __shared__ bool last;
    real sum = 0;
    for EACH(i, n) sum += x[i];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) sum += sums[warp];
        parts[blockIdx.x] = sum;
        __threadfence();
        last = atomicAdd(done, 1u) == gridDim.x - 1;
        __threadfence();
    }
    __syncthreads();
    if (last && threadIdx.x == 0) {
        sum = 0;
        for (unsigned block = 0; block < gridDim.x; ++block) sum += parts[block];
        *y = sum;
        *done = 0;
    }
}

extern "C" __global__ void types(real* y, const long long* a, int b, long long c, double d, unsigned long long e,
                                 unsigned f, float g, const real* none) {
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        y[0] = a ? a[0] : -1;
        y[1] = b;
        y[2] = c;
        y[3] = d;
        y[4] = e;
        y[5] = f;
        y[6] = g;
        y[7] = none ? 1 : 0;
    }
}

extern "C" __global__ void bits(const unsigned long long* x, unsigned long long* y) {
    y[0] = __umul64hi(x[0], x[1]);
    y[1] = __double_as_longlong(__longlong_as_double((long long)x[0]));
    y[2] = __float_as_uint(__int_as_float((int)x[2]));
}

#define MAP(name, formula) \
    extern "C" __global__ void name(const real* x, real* y, int n) { for EACH(i, n) { real v = x[i]; y[i] = formula; } }
MAP(map_exp, exp(v))
MAP(map_log1p, log1p(v))
MAP(map_tanh, tanh(v))
MAP(map_sqrt, sqrt(fabs(v)))
MAP(map_erfc, erfc(v))
MAP(map_finite, isfinite(v) && !isnan(v) ? fmax(v, real(0)) : fmin(v, real(0)))

extern "C" __global__ void some_wait() { if (threadIdx.x < 5) __syncthreads(); }

extern "C" __global__ void wait_apart() {
    if (threadIdx.x == 0)
        __syncthreads();
    else
        __syncthreads();
}
"""


@pytest.fixture(scope="module")
def machine() -> HostMachine:
    try:
        host.compiler()
    except BackendError as error:
        pytest.skip(str(error))
    return HostMachine(source=SOURCE)


def pointer(array):
    return np.uint64(0 if array is None else array.__array_interface__["data"][0])


def numbers(n, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(n).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grid", [1, 3, 200])
@pytest.mark.parametrize("n", SIZES)
def test_each_element_is_met_once(machine, n, grid, dtype):
    x, y = numbers(n, dtype), numbers(n, dtype, seed=1)
    expected = y + y.dtype.type(2) * x
    machine.kernel("saxpy", dtype)(grid, 64, (y.dtype.type(2), pointer(x), pointer(y), np.int32(n)))
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("block", [32, 64, 96, 1024])
@pytest.mark.parametrize("n", SIZES)
def test_a_block_sums_through_shared_memory(machine, n, block, dtype):
    x, y = numbers(n, dtype), np.full(3, np.nan, dtype)
    machine.kernel("block_sum", dtype)(3, block, (pointer(x), pointer(y), np.int32(n)))
    seen = np.arange(n) // block % 3
    expected = [np.sum(x[seen == each], dtype=np.float64) for each in range(3)]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_warp_sums_through_shuffles(machine, dtype):
    x = np.arange(2 * 96, dtype=dtype)
    y = np.zeros_like(x)
    machine.kernel("warp_sums", dtype)(2, 96, (pointer(x), pointer(y)))
    np.testing.assert_array_equal(y, np.repeat(x.reshape(-1, 32).sum(axis=1), 32))


def test_a_shuffle_beyond_the_warp_gives_the_own_value(machine):
    x = np.arange(64.0)
    y = np.zeros(64)
    machine.kernel("shift", "float64")(1, 64, (pointer(x), pointer(y), np.int32(5)))
    lane = np.arange(64) % 32
    np.testing.assert_array_equal(y, np.where(lane + 5 < 32, x + 5, x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grid", [1, 2, 7])
@pytest.mark.parametrize("n", SIZES)
def test_the_last_block_adds_up_in_a_fixed_order(machine, n, grid, dtype):
    x, parts, y = numbers(n, dtype), np.zeros(grid, dtype), np.zeros(1, dtype)
    done = np.zeros(1, np.uint32)
    sums = []
    for _ in range(2):
        arguments = (pointer(x), pointer(parts), pointer(done), pointer(y), np.int32(n))
        machine.kernel("total", dtype)(grid, 64, arguments)
        sums.append(y[0])
    assert sums[0] == sums[1]
    assert done[0] == 0
    np.testing.assert_allclose(y[0], np.sum(x, dtype=np.float64), rtol=1e-5, atol=1e-4)


def test_arguments_of_every_type_arrive(machine):
    y, a = np.zeros(8), np.array([-(2**40)])
    numbers = (np.int32(-7), np.int64(-(2**41)), np.float64(0.1), np.uint64(2**52), np.uint32(2**32 - 1))
    rest = (*numbers, np.float32(1.5))
    kernel = machine.kernel("types", "float64")
    kernel(1, 32, (pointer(y), pointer(a), *rest, pointer(y)))
    assert y.tolist() == [-(2.0**40), -7, -(2.0**41), 0.1, 2.0**52, 2.0**32 - 1, 1.5, 1]
    kernel(1, 32, (pointer(y), pointer(None), *rest, pointer(None)))
    assert (y[0], y[7]) == (-1, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        (np.float64(2), np.uint64(0), np.uint64(0), np.int32(0)),
        (np.float32(2), np.uint64(0), np.uint64(0), np.int64(0)),
        (np.float32(2), np.uint64(0), np.uint64(0)),
        (2.0, 0, 0, 0),
    ],
)
def test_arguments_of_other_types_are_refused(machine, arguments):
    with pytest.raises(BackendError, match=r"kernel saxpy was given .*float32, uint64, uint64, int32"):
        machine.kernel("saxpy", "float32")(1, 32, arguments)


@pytest.mark.parametrize(("grid", "block"), [(0, 32), (1, 0), (1, 33), (1, 1056)])
def test_a_launch_that_no_gpu_would_take_is_refused(machine, grid, block):
    with pytest.raises(BackendError, match=f"{grid} blocks of {block} threads; expected"):
        machine.kernel("some_wait", "float32")(grid, block, ())


def test_bits_are_kept(machine):
    x = np.array([2**63 + 12345, 2**62 + 678, 0x3F800001], dtype=np.uint64)
    y = np.zeros(3, np.uint64)
    machine.kernel("bits", "float32")(1, 32, (pointer(x), pointer(y)))
    assert y.tolist() == [int(x[0]) * int(x[1]) >> 64, int(x[0]), 0x3F800001]


FORMULAS = {
    "map_exp": np.exp,
    "map_log1p": np.log1p,
    "map_tanh": np.tanh,
    "map_sqrt": lambda x: np.sqrt(np.abs(x)),
    "map_erfc": lambda x: np.array([math.erfc(each) for each in x]),
    "map_finite": lambda x: np.maximum(x, 0),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_kernels_that_a_macro_wrote_are_found(machine, name, dtype):
    x = np.linspace(-0.9, 3, 33, dtype=dtype)
    y = np.zeros_like(x)
    machine.kernel(name, dtype)(2, 32, (pointer(x), pointer(y), np.int32(33)))
    np.testing.assert_allclose(y, FORMULAS[name](x.astype(np.float64)), rtol=3e-7 if dtype == "float32" else 1e-14)


def test_a_barrier_that_not_all_reach_is_an_error_and_no_hang(machine):
    with pytest.raises(BackendError, match=r"kernel some_wait.* a barrier in line \d+ is not reached .*: 5 are there"):
        machine.kernel("some_wait", "float32")(1, 64, ())
    with pytest.raises(BackendError, match=r"different barriers at once, in lines (\d+) and (\d+)"):
        machine.kernel("wait_apart", "float32")(1, 64, ())
    test_a_warp_sums_through_shuffles(machine, "float32")  # and the machine is whole


def test_threads_of_python_take_turns(machine):
    barrier = threading.Barrier(4)

    def work(seed):
        barrier.wait()
        for _ in range(20):
            test_a_block_sums_through_shared_memory(machine, 100 + seed, 64, "float64")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_a_capture_repeats_with_the_arguments_of_then():
    machine = HostMachine(source=SOURCE)
    x, y = np.ones(5), np.zeros(5)
    factor = [np.float64(2)]
    kernel = machine.kernel("saxpy", "float64")

    def add():
        kernel(1, 32, (factor[0], pointer(x), pointer(y), np.int32(5)))

    replay = machine.capture([add, add])
    assert y.tolist() == [0] * 5, "a capture runs nothing"
    assert machine.counts == {}
    factor[0] = np.float64(100)
    replay()
    replay()
    assert y.tolist() == [8] * 5
    add()
    assert y.tolist() == [108] * 5
    assert machine.counts == {"graph": 2, "kernel": 1}


def test_arrays_are_read_at_the_time_of_a_replay():
    machine = HostMachine(source=SOURCE)
    x, y = np.ones(5), np.zeros(5)
    arguments = (np.float64(1), pointer(x), pointer(y), np.int32(5))
    replay = machine.capture([lambda: machine.kernel("saxpy", "float64")(1, 32, arguments)])
    machine.upload(x, np.full(5, 3.0))
    replay()
    assert y.tolist() == [3] * 5
    assert machine.counts == {"upload": 1, "graph": 1}


def test_a_capture_takes_nothing_from_other_threads():
    machine, done = HostMachine(), []

    def meanwhile():
        other = threading.Thread(target=machine.submit, args=("kernel", lambda: done.append("other")))
        other.start()
        other.join()

    replay = machine.capture([lambda: machine.submit("kernel", lambda: done.append("own")), meanwhile])
    assert done == ["other"]
    replay()
    assert done == ["other", "own"]


def test_what_cannot_be_captured_is_refused_and_the_capture_ends():
    machine = HostMachine(source=SOURCE)
    x = np.zeros(2)
    with pytest.raises(BackendError, match="copies from the host stay outside of a graph"):
        machine.capture([lambda: machine.upload(x, np.ones(2))])
    with pytest.raises(BackendError, match="a capture was begun inside a capture"):
        machine.capture([lambda: machine.capture([])])
    machine.upload(x, np.ones(2))
    assert x.tolist() == [1, 1]


def test_an_upload_is_a_copy():
    machine = HostMachine(source=SOURCE)
    x, values = np.zeros(3), np.arange(3.0)
    machine.upload(x, values)
    values[:] = 7
    assert x.tolist() == [0, 1, 2]
    with pytest.raises(BackendError, match=r"an upload of float32\[3\] into float64\[3\]"):
        machine.upload(x, np.zeros(3, np.float32))


def test_what_is_not_there_is_named(machine):
    with pytest.raises(BackendError, match='no kernel extern "C" __global__ void absent'):
        machine.kernel("absent", "float32")
    with pytest.raises(BackendError, match="for float32 and float64, not for float16"):
        machine.kernel("saxpy", "float16")


@pytest.fixture
def folder(machine, tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(host.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


TINY = 'extern "C" __global__ void one(REAL* y) { y[0] = 1; }'


def test_a_source_is_compiled_once(folder, monkeypatch):
    host.build(TINY, dtype="float32")
    (cache,) = folder.iterdir()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert [path.suffix for path in cache.iterdir()] == [".so"]
    compiled = []
    monkeypatch.setattr(host, "_compile", lambda *arguments: compiled.append(arguments))
    host.build(TINY, dtype="float32")
    assert not compiled
    for source, dtype, flags in ((TINY + " ", "float32", ()), (TINY, "float64", ()), (TINY, "float32", ("-O1",))):
        with pytest.raises(OSError, match=r"\.so"):
            host.build(source, dtype=dtype, flags=flags)
    assert len(compiled) == 3


def test_a_folder_that_others_may_write_to_is_not_used(folder):
    cache = folder / f"nnxp-cuda-host-{os.getuid()}"
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.raises(BackendError, match="not a folder of this user's alone"):
        host.build(TINY, dtype="float32")


def test_the_compiler_is_quoted_with_the_line_of_the_source(folder):
    with pytest.raises(BackendError, match=r"kernels\.cuh:2:.*error: .*nonsense"):
        host.build("\nnonsense;\n", dtype="float32")
    (cache,) = folder.iterdir()
    assert not list(cache.iterdir()), "what does not compile leaves nothing behind"


@pytest.fixture
def forgetful():
    host.compiler.cache_clear()
    yield
    host.compiler.cache_clear()


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch, forgetful):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BackendError, match=r"no C\+\+ compiler found .*install g\+\+"):
        host.compiler()
    host.compiler.cache_clear()
    monkeypatch.setenv("CXX", "absent++ -v")
    with pytest.raises(BackendError, match=r"no C\+\+ compiler found \(absent\+\+\)"):
        host.compiler()


def test_a_sanitizer_must_be_preloaded(monkeypatch):
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    with pytest.raises(BackendError, match=r"LD_PRELOAD=.*libtsan\.so"):
        HostMachine(source=TINY, flags=["-fsanitize=thread"]).kernel("one", "float32")
