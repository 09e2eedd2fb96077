"""Sanitizers find what is planted in kernels on the host, and nothing in the right ones.

Any tests can be run under a sanitizer. A report on standard error shows the kernel's line, and the exit status is not 0
even where all tests pass::

    export PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1

    NNXP_CUDA_HOST_FLAGS="-fsanitize=thread" LD_PRELOAD=$(g++ -print-file-name=libtsan.so) \
        TSAN_OPTIONS=exitcode=66 python -m pytest --capture=sys -p no:xdist tests/cuda

    NNXP_CUDA_HOST_FLAGS="-fsanitize=address" LD_PRELOAD=$(g++ -print-file-name=libasan.so) \
        ASAN_OPTIONS=detect_leaks=0 python -m pytest --capture=sys -p no:xdist tests/cuda

Where ThreadSanitizer says "unexpected memory mapping", put ``setarch -R`` before ``python``.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nnxp
from nnxp.errors import BackendError
from nnxp.ops.cuda import host

THREAD, ADDRESS = "thread", "address"

SOURCE = r"""
typedef REAL real;

extern "C" __global__ void right_map(real* x, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) x[i] += 1;
}

// Threads that start further to the right write one element more, and the last one writes beyond the end.
extern "C" __global__ void one_too_far(real* x, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i <= n; i += gridDim.x * blockDim.x) x[i] = 1;
}

extern "C" __global__ void beyond_shared(real* x, int n) {
    __shared__ real tile[16];
    tile[threadIdx.x % 17] = n;
    __syncthreads();
    if (threadIdx.x == 0) x[blockIdx.x] = tile[0];
}

template <bool FIRST, bool SECOND>
__device__ void exchange(real* x) {
    __shared__ real tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    if (FIRST) __syncthreads();
    real other = tile[63 - threadIdx.x];
    if (SECOND) __syncthreads();
    tile[threadIdx.x] = 2 * other;
    if (blockIdx.x == 0) x[threadIdx.x] = tile[threadIdx.x];
}

extern "C" __global__ void right_exchange(real* x, int n) {
    if (gridDim.x == 1) exchange<true, true>(x);
}
extern "C" __global__ void no_first_barrier(real* x, int n) {
    if (blockIdx.x == 0) exchange<false, true>(x);
}
extern "C" __global__ void no_second_barrier(real* x, int n) {
    if (blockIdx.x == 0) exchange<true, false>(x);
}

// A shuffle hands a value over and orders nothing else.
template <bool ORDERED>
__device__ void through_warp(real* x) {
    __shared__ real tile[64];
    tile[threadIdx.x] = 1;
    real sum = __shfl_xor_sync(0xffffffffu, real(threadIdx.x), 1);
    if (ORDERED) __syncwarp();
    sum += tile[threadIdx.x ^ 1];
    if (sum < 0) x[0] = sum;
}

extern "C" __global__ void right_warp(real* x, int n) { through_warp<true>(x); }
extern "C" __global__ void no_warp_barrier(real* x, int n) { through_warp<false>(x); }

extern "C" __global__ void blocks_collide(real* x, int n) {
    __syncthreads();
    if (threadIdx.x == 0) x[0] = blockIdx.x;
}

// Elements 0, 1, … are the blocks' parts; the count stands where x ends.
template <bool FENCED>
__device__ void last_block(real* x, int n) {
    __shared__ bool last;
    unsigned* done = reinterpret_cast<unsigned*>(x + n - 1);
    if (threadIdx.x == 0) {
        x[blockIdx.x] = 1;
        if (FENCED) __threadfence();
        last = atomicAdd(done, 1) == gridDim.x - 1;
        if (FENCED) __threadfence();
    }
    __syncthreads();
    if (last && threadIdx.x == 0) {
        real sum = 0;
        for (unsigned block = 0; block < gridDim.x; ++block) sum += x[block];
        x[gridDim.x] = sum;
        *done = 0;
    }
}

extern "C" __global__ void right_last_block(real* x, int n) { last_block<true>(x, n); }
extern "C" __global__ void no_fence(real* x, int n) { last_block<false>(x, n); }
"""

RIGHT = ("right_map", "right_exchange", "right_warp", "right_last_block")
PLANTED = {
    THREAD: ("no_first_barrier", "no_second_barrier", "no_warp_barrier", "blocks_collide", "no_fence"),
    ADDRESS: ("one_too_far", "beyond_shared"),
}

SCRIPT = """
import sys

import numpy as np

from nnxp.ops.cuda.host import HostMachine

machine = HostMachine(source=open(sys.argv[1]).read())
for name in sys.argv[2:]:
    for grid in (1, 2, 3, 8):
        # The size leaves no room between the array and what its allocator put behind it.
        x = np.zeros(65)
        print("KERNEL", name, file=sys.stderr, flush=True)
        machine.kernel(name, "float64")(grid, 64, (np.uint64(machine.address(x)), np.int32(x.size)))
"""


def environment(sanitizer: str) -> dict[str, str]:
    """What a process needs so that its kernels are watched."""
    name = {THREAD: "libtsan.so", ADDRESS: "libasan.so"}[sanitizer]
    command = [*host.compiler(), f"-print-file-name={name}"]
    library = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if not Path(library).is_absolute():
        pytest.skip(f"{host.compiler()[0]} has no {name}")
    return os.environ | {
        "LD_PRELOAD": library,
        "NNXP_CUDA_HOST_FLAGS": f"-fsanitize={sanitizer} -fsanitize-recover=all",
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=0",
        "TSAN_OPTIONS": "exitcode=66",
        "PYTHONMALLOC": "malloc",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(nnxp.__file__).parents[1]),
    }


def watched(sanitizer: str, tmp_path: Path, kernels: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    try:
        env = environment(sanitizer)
    except BackendError as error:
        pytest.skip(str(error))
    source = tmp_path / "source.cuh"
    source.write_text(SOURCE)
    command = [sys.executable, "-c", SCRIPT, str(source), *kernels]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("this ThreadSanitizer does not know how this system lays out memory; setarch -R helps")
    return done


@pytest.mark.parametrize("sanitizer", PLANTED)
def test_right_kernels_pass(sanitizer, tmp_path):
    done = watched(sanitizer, tmp_path, RIGHT)
    assert done.returncode == 0, done.stderr
    assert "SUMMARY" not in done.stderr


@pytest.mark.parametrize("sanitizer", PLANTED)
def test_every_planted_mistake_is_found(sanitizer, tmp_path):
    done = watched(sanitizer, tmp_path, PLANTED[sanitizer])
    reports = {}
    for part in done.stderr.split("KERNEL ")[1:]:
        name = part.split()[0]
        reports[name] = reports.get(name, 0) + len(re.findall(r"SUMMARY: .*kernels\.cuh:\d+", part))
    assert all(reports[name] > 0 for name in PLANTED[sanitizer]), reports
    if sanitizer == THREAD:
        assert done.returncode == 66
