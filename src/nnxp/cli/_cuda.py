"""The CUDA part of ``nnxp doctor``: what each part of it says, and the line to type where one fails."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnxp._check import first_lines, one_line
from nnxp.errors import NnxpError
from nnxp.ops.cuda import probe

__all__ = ["examine", "print_section"]

_WHEEL = re.compile(r"cupy(-cuda\d+x?|-rocm-[\d-]+)?")
_REPORT = "please report this, with the output of: nnxp doctor --json"
_DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Finding:
    """What a check says: ``ready``, ``failed`` or ``not tried``, in words, and what to type."""

    text: str
    state: str = "ready"
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "state": self.state,
            "text": self.text,
            **({"remedy": self.remedy} if self.remedy else {}),
            **self.facts,
        }


def examine() -> dict[str, Any]:
    """The findings by name, as plain data. Without CuPy there is one, and that of the host."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what CuPy would warn of is found out here
        findings = _Examination().all()
        findings["on a CPU"] = _tried(_host, _without_compiler)
    return {name: finding.plain() for name, finding in findings.items()}


def print_section(findings: dict[str, Any]) -> None:
    """The findings, for a person: what to type stands below what failed."""
    print("CUDA:")
    width = max(map(len, findings))
    untried = [name for name, finding in findings.items() if finding["state"] == "not tried"]
    for name, finding in findings.items():
        if name in untried[1:]:
            continue
        if name in untried:
            print(f"  {'on a GPU':<{width}}  not tried: {', '.join(untried)}")
            continue
        first, *more = finding["text"].splitlines()
        print(f"  {name:<{width}}  {first}")
        for line in more:
            print(f"  {'':<{width}}  {line}")
        if "remedy" in finding:
            print(f"  {'':<{width}}  → {finding['remedy']}")


class _Examination:
    """The checks that go through CuPy, and what one of them knows for another's advice."""

    def __init__(self) -> None:
        self.wheels: dict[str, str] = {}
        self.driver: probe.Driver | None = None
        self.gpus = 0
        self.capability: tuple[int, int] | None = None
        self._machine: Any = None

    def all(self) -> dict[str, Finding]:
        """All findings; without CuPy there is that one alone."""
        found = {"CuPy": _tried(self._cupy, lambda error: _REPORT)}
        if found["CuPy"].state == "missing":
            return found
        found["driver"] = _tried(self._driver, lambda error: _driver_line())
        found |= self._devices()
        found["libraries"] = self._libraries()
        found["compiling"] = _tried(self._compiling, self._remedy)
        on_gpu: dict[str, Callable[[], Finding]] = {
            "arithmetic": self._arithmetic,
            "kernels": self._kernels,
            "products": self._products,
            "graphs": self._graphs,
            "precision": self._precision,
        }
        for name, check in on_gpu.items():
            there = self.gpus > 0
            found[name] = _tried(check, self._remedy) if there else Finding("no GPU", "not tried")
        return found

    # -- without a GPU

    def _cupy(self) -> Finding:
        """The wheels: one must be there, and no second."""
        self.wheels = _wheels()
        facts = {"wheels": self.wheels}
        named = ", ".join(f"{name} {version}" for name, version in self.wheels.items())
        if len(self.wheels) > 1:
            remedy = f"pip uninstall -y {' '.join(self.wheels)}; then {self._install()}"
            return Finding(f"{len(self.wheels)} at once, which break one another: {named}", "failed", remedy, facts)
        if not self.wheels and importlib.util.find_spec("cupy") is None:
            also = "" if _ask_driver() else ', or "nnxp[cuda12]" for a CUDA 12 driver'
            return Finding(f"not installed; {self._install()}{also}", "missing", facts=facts)
        try:
            version = importlib.import_module("cupy").__version__
        except Exception as error:  # a broken installation raises what it likes
            text = f"{named}, which does not import: {one_line(error)}"
            remedy = f'pip install --force-reinstall --no-cache-dir "{self._extra()}"'
            return Finding(text, "failed", remedy, facts)
        return Finding(named or f"{version}, of no wheel", facts={**facts, "version": version})

    def _extra(self) -> str:
        """The extra of nnxp for this driver; without one, for the wheel that is there."""
        found = self.driver or _ask_driver()
        if found is None:
            return "nnxp[cuda12]" if list(self.wheels) == ["cupy-cuda12x"] else "nnxp[cuda13]"
        return "nnxp[cuda12]" if found.cuda[0] == 12 else "nnxp[cuda13]"

    def _install(self) -> str:
        return f'pip install "{self._extra()}"'

    def _driver(self) -> Finding:
        try:
            self.driver = found = probe.driver()
        except OSError as error:
            return Finding(f"not found: {one_line(error)}", "failed", _driver_line())
        text = f"{found.version or 'found'}, for CUDA up to {_dotted(found.cuda)}"
        facts = {"version": found.version, "cuda": _dotted(found.cuda)}
        for wheel in self.wheels:
            wanted = re.fullmatch(r"cupy-cuda(\d+)x", wheel)
            if wanted and int(wanted[1]) > found.cuda[0]:
                text += f", and {wheel} needs {wanted[1]}.0"
                if found.cuda[0] < 12:
                    return Finding(text, "failed", f"a newer driver is needed: {_driver_line()}", facts)
                remedy = f"pip uninstall -y {wheel}; then {self._install()}; or a newer driver: {_driver_line()}"
                return Finding(text, "failed", remedy, facts)
        return Finding(text, facts=facts)

    def _devices(self) -> dict[str, Finding]:
        try:
            self.gpus = probe.count()
        except Exception as error:  # a driver can raise anything
            if self.driver is None and "InsufficientDriver" in str(error):
                return {"GPU": Finding("none without a driver", "failed")}
            return {"GPU": _failed(error, self._remedy(error))}
        if not self.gpus:
            return {"GPU": Finding("none", "failed", self._remedy(None))}
        return {
            f"GPU {index}": _tried(lambda index=index: self._gpu(index), self._remedy)  # type: ignore[misc]
            for index in range(self.gpus)
        }

    def _gpu(self, index: int) -> Finding:
        name, capability, free, total = probe.gpu(index)
        if index == 0:
            self.capability = capability
        text = f"{name}, compute capability {_dotted(capability)}, {_gibibytes(free)} of {_gibibytes(total)} GiB free"
        facts = {"name": name, "capability": _dotted(capability), "free": free, "total": total}
        if capability < (7, 5) and "cupy-cuda13x" in self.wheels:
            remedy = 'pip uninstall -y cupy-cuda13x; then pip install "nnxp[cuda12]"'
            return Finding(f"{text}; CUDA 13 knows 7.5 and newer", "failed", remedy, facts)
        return Finding(text, facts=facts)

    def _libraries(self) -> Finding:
        """Each by itself: one that is missing is named among those that are there."""
        asked = {"nvrtc": probe.nvrtc_version, "cublasLt": probe.cublaslt_version, "cudart": probe.cudart_version}
        facts: dict[str, dict[str, str | None]] = {}
        words, state = [], "ready"
        for name, version in asked.items():
            try:
                facts[name] = {"version": _dotted(version())}
                if name != "cudart":  # which is a part of CuPy
                    facts[name]["path"] = probe.path(name)
                words.append(f"{name} {facts[name]['version']}")
            except Exception as error:  # any library can be broken in its own way
                facts[name], state = {"error": str(error)}, "failed"
                words.append(f"no {name} ({one_line(error)})")
        return Finding(", ".join(words), state, self._install() if state == "failed" else "", {"libraries": facts})

    def _compiling(self) -> Finding:
        for dtype in _DTYPES:
            probe.compile_kernels(dtype, self.capability)
        there = f"sm_{self.capability[0]}{self.capability[1]}" if self.capability else "sm_75; no GPU is needed for it"
        return Finding(f"ready: NVRTC compiles the kernels for float32 and float64 ({there})")

    # -- with a GPU

    def _arithmetic(self) -> Finding:
        probe.arithmetic()
        return Finding("ready: CuPy's own kernels compile and are right")

    @property
    def _device(self) -> Any:
        self._machine = self._machine or probe.machine()
        return self._machine

    def _kernels(self) -> Finding:
        for dtype in _DTYPES:
            probe.launch(self._device, dtype)
        return Finding("ready: a kernel ran, and is right, in float32 and float64")

    def _products(self) -> Finding:
        for dtype in _DTYPES:
            probe.product(self._device, dtype)
        return Finding("ready: cublasLt multiplied, and is right, in float32 and float64")

    def _graphs(self) -> Finding:
        probe.graph(self._device)
        probe.product_graph(self._device)
        return Finding("ready: a kernel and a product were captured, and their replays are right")

    def _precision(self) -> Finding:
        true = probe.true_float32(self._device)
        more = (
            'precision="tf32" and "bf16" can be asked for' if (self.capability or (0, 0)) >= (8, 0) else "nothing else"
        )
        switched = {name: os.environ[name] for name in ("NVIDIA_TF32_OVERRIDE", "CUPY_TF32") if name in os.environ}
        facts = {"true_float32": true, "environment": switched}
        named = "".join(f"; {name}={value} is set" for name, value in switched.items())
        if true:
            return Finding(f"float32 products keep all 24 bits; {more}{named}", facts=facts)
        text = f"float32 products lose bits: something switches TF32 on{named}"
        return Finding(text, "failed", f"unset {' '.join(switched)}" if switched else _REPORT, facts)

    def _remedy(self, error: Exception | None) -> str:
        """What to type about an error of CUDA's."""
        text = str(error)
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        if hidden is not None and (error is None or "NoDevice" in text or "no CUDA-capable device" in text):
            return f"unset CUDA_VISIBLE_DEVICES (it is {hidden!r}, which hides GPUs)"
        if "InsufficientDriver" in text:
            return f"a newer driver is needed: {_driver_line()}"
        if "gpu-architecture" in text:  # the compiler is older than the GPU
            return self._install().replace("install", "install --upgrade")
        if error is None or "NoDevice" in text or "no CUDA-capable device" in text:
            return "nvidia-smi should list a GPU; if it does not, restart, or install its driver anew"
        if "out of memory" in text.lower() or "cudaErrorMemoryAllocation" in text:
            return "nvidia-smi names the processes that hold the memory; end one of them"
        if any(sign in text for sign in ("libcublasLt", "libnvrtc", "header", "cannot open source file", "nvrtc64")):
            return self._install()
        return _REPORT


def _tried(check: Callable[[], Finding], remedy: Callable[[Exception], str]) -> Finding:
    try:
        return check()
    except Exception as error:  # drivers, compilers and libraries raise what they like: it is the finding
        return _failed(error, remedy(error))


def _failed(error: Exception, remedy: str) -> Finding:
    kind = "" if isinstance(error, NnxpError) else f"{type(error).__name__}: "
    first, *more = first_lines(f"{kind}{error}").splitlines()
    return Finding("\n".join([f"failed: {first.strip()}", *more]), "failed", remedy, {"error": f"{kind}{error}"})


def _wheels() -> dict[str, str]:
    """The distributions that bring a module ``cupy``, with their versions."""
    names = ((str(found.metadata["Name"] or ""), found.version) for found in importlib.metadata.distributions())
    return dict(sorted((name.lower(), version) for name, version in names if _WHEEL.fullmatch(name.lower())))


def _ask_driver() -> probe.Driver | None:
    try:
        return probe.driver()
    except Exception:  # there is none, or it is broken, which is another check's to say
        return None


def _driver_line() -> str:
    """How NVIDIA's driver gets here."""
    if platform.system() == "Darwin":
        return "macOS has no CUDA; the other backends are as good there"
    if any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")):
        return "start the container with its GPUs: docker run --gpus all …"
    if "microsoft" in platform.release().lower():
        return "install NVIDIA's driver on Windows, then type there: wsl --update"
    try:
        system = platform.freedesktop_os_release().get("ID", "")
    except OSError:
        system = ""
    lines = {"ubuntu": "sudo ubuntu-drivers install", "debian": "sudo apt install nvidia-driver"}
    line = lines.get(system, "install it from https://www.nvidia.com/drivers")
    return f"{line}; restart; then nvidia-smi should list a GPU"


def _host() -> Finding:
    """The same kernels, compiled by a C++ compiler."""
    host = importlib.import_module("nnxp.ops.cuda.host")
    command = " ".join(host.compiler())
    machine = probe.host_machine()
    probe.launch(machine, "float32")
    probe.graph(machine)
    text = f'ready: {command} compiles the kernels for NumPy arrays, to read and to prove them: kernels="cuda"'
    return Finding(text, facts={"compiler": command})


def _without_compiler(error: Exception) -> str:
    if "no C++ compiler" not in str(error):
        return _REPORT
    if platform.system() == "Darwin":
        return "xcode-select --install"
    return 'sudo apt install g++ (or dnf install gcc-c++); only kernels="cuda" on NumPy needs it'


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _gibibytes(count: int) -> str:
    return f"{count / 2**30:.1f}"
