"""What figures depend on: the machine, its BLAS, the versions, the threads."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nnxp import __version__

__all__ = ["core_set", "environment", "peak_mib", "surroundings"]

_LIMITS = (
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_PACKAGES = ("numpy", "numba", "array-api-compat", "torch", "jax", "jaxlib", "scikit-learn", "keras", "thinc")
_TOLD = ("OPENBLAS_", "OMP_", "MKL_", "KMP_", "GOMP_", "BLIS_", "XLA_", "JAX_", "NUMBA_")


def surroundings(threads: int) -> dict[str, Any]:
    """As plain data."""
    return {
        "machine": {"cpu": _cpu_name(), "cores": os.cpu_count(), "system": platform.platform()},
        "python": platform.python_version(),
        "versions": {"nnxp": __version__} | _versions(_PACKAGES),
        "threads": threads,
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_TOLD)},
    }


def environment(threads: int) -> dict[str, str]:
    """The variables that hold every pool of threads to a number; most are read when a library is imported."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    return dict.fromkeys(_LIMITS, str(threads)) | {"XLA_FLAGS": flags.strip()}


def core_set(threads: int) -> list[int] | None:
    """As many of the processors we may use, of different cores as far as they reach; None where that is not known.

    The last ones come first, as systems like to do their own work on the first.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    first: list[int] = []
    siblings: list[int] = []
    seen: set[str] = set()
    for cpu in sorted(os.sched_getaffinity(0), reverse=True):
        file = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        core = file.read_text() if file.exists() else str(cpu)
        (siblings if core in seen else first).append(cpu)
        seen.add(core)
    return sorted([*first, *siblings][:threads])


def peak_mib() -> float | None:
    """The most memory that this process ever held, in MiB; None where the system does not tell.

    Linux counts it anew for a new program in ``VmHWM``; the ``ru_maxrss`` of others may be that of the parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
