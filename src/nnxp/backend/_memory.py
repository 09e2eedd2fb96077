"""How much memory a device has, and what libraries say when there is not enough of it."""

import importlib
import re
from contextlib import suppress
from dataclasses import dataclass

from nnxp._types import Device

__all__ = ["Shortage", "cupy_memory", "host_memory", "jax_memory", "shortage", "torch_memory"]

_SIGNS = re.compile(
    r"out of memory|not enough memory|can't allocate memory|RESOURCE_EXHAUSTED|cudaErrorMemoryAllocation"
    r"|CUDA_ERROR_OUT_OF_MEMORY|STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_ASKED = re.compile(r"allocat\w* ([\d.,]*\d) ?(bytes|[KMGTPE]iB)\b")
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50, "EiB": 2**60}


@dataclass(frozen=True)
class Shortage:
    """Memory ran out: how many bytes were asked for (0 where nobody says), and whether the host's it was."""

    asked: int
    on_host: bool


def shortage(error: BaseException) -> Shortage | None:
    """What an error says of memory; None for an error that is about something else."""
    text = str(error)
    if not isinstance(error, MemoryError) and not (isinstance(error, RuntimeError) and _SIGNS.search(text)):
        return None
    found = _ASKED.search(text)
    asked = round(float(found[1].replace(",", "")) * _UNITS[found[2]]) if found else 0
    return Shortage(asked, type(error).__module__.partition(".")[0] in ("builtins", "numpy") and "CUDA" not in text)


def host_memory(device: Device = None) -> tuple[int, int] | None:
    """Free and all bytes of this computer, where Linux tells them; what it holds of files counts as free."""
    with suppress(OSError, KeyError, ValueError, IndexError):
        with open("/proc/meminfo", encoding="ascii") as file:  # pathlib would cost every import of nnxp 10 ms
            lines = file.read().splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return kilobytes["MemAvailable"] << 10, kilobytes["MemTotal"] << 10
    return None


def cupy_memory(device: Device) -> tuple[int, int] | None:
    """Free and all bytes of a GPU. What CuPy's pool holds ready is free; a limit of the pool is all there is."""
    cupy = importlib.import_module("cupy")
    with device:
        free, total = device.mem_info
        pool = cupy.get_default_memory_pool()
        free += pool.free_bytes()
        limit = pool.get_limit()
        return (min(free, limit - pool.used_bytes()), min(total, limit)) if limit else (free, total)


def torch_memory(device: Device) -> tuple[int, int] | None:
    """The same of a torch device: what its allocator holds ready is free."""
    if device.type == "cpu":
        return host_memory()
    if device.type != "cuda":
        return None
    cuda = importlib.import_module("torch").cuda
    free, total = cuda.mem_get_info(device)
    return free + cuda.memory_reserved(device) - cuda.memory_allocated(device), total


def jax_memory(device: Device) -> tuple[int, int] | None:
    """The same of a JAX device."""
    if device.platform == "cpu":
        return host_memory()
    told = device.memory_stats() or {}
    return (told["bytes_limit"] - told["bytes_in_use"], told["bytes_limit"]) if "bytes_limit" in told else None
