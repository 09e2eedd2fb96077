"""The CUDA part of ``nnxp doctor``: each way in which it can be broken, and the exact line to type.

CuPy, its driver and its GPUs are faked down to what they say; what a GPU would compute, the host computes, by the same
kernels. Where there is a C++ compiler, that is: without one those tests are skipped.
"""

import importlib
import importlib.metadata
import json
import platform
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from nnxp.cli import _cuda, main
from nnxp.errors import BackendError
from nnxp.ops.cuda import probe

UBUNTU = "sudo ubuntu-drivers install; restart; then nvidia-smi should list a GPU"
REPORT = "please report this, with the output of: nnxp doctor --json"
ON_A_GPU = ["arithmetic", "kernels", "products", "graphs", "precision"]
NAMES = ["CuPy", "driver", "GPU 0", "libraries", "compiling", *ON_A_GPU, "on a CPU"]


class CUDARuntimeError(RuntimeError):
    """CuPy's, by name."""


class NVRTCError(RuntimeError):
    """The same."""


NO_DRIVER = CUDARuntimeError(
    "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
)
NO_DEVICE = CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")


def raising(error: BaseException):
    def fail(*arguments: object, **options: object) -> None:
        raise error

    return fail


class FakeNvrtc:
    """CuPy's door to NVRTC; ``log`` is what a compilation that fails leaves."""

    log = ""

    def __init__(self) -> None:
        self.options: list[tuple[str, ...]] = []

    def getVersion(self) -> tuple[int, int]:  # noqa: N802
        return 13, 5

    def createProgram(self, source: str, name: str, headers: tuple, names: tuple) -> str:  # noqa: N802
        return source

    def compileProgram(self, program: str, options: tuple[str, ...]) -> None:  # noqa: N802
        self.options.append(options)
        if self.log:
            raise NVRTCError("NVRTC_ERROR_COMPILATION (6)")

    def getProgramLog(self, program: str) -> str:  # noqa: N802
        return self.log

    def destroyProgram(self, program: str) -> None:  # noqa: N802
        pass


class FakeDevice:
    """A GPU with some memory."""

    def __init__(self, index: int = 0) -> None:
        self.mem_info = 100 * 2**30, (140 + index) * 2**30

    def __enter__(self) -> "FakeDevice":
        return self

    def __exit__(self, *arguments: object) -> None:
        pass


@pytest.fixture
def cupy(monkeypatch):
    """A sound installation on one GPU, for tests to break. Arrays and kernels are the host's."""
    cupy = ModuleType("cupy")
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda index: {"name": b"NVIDIA H200", "major": 9, "minor": 0},
        runtimeGetVersion=lambda: 13020,
    )
    cupy.__version__ = "14.2.0"
    cupy.asarray = np.asarray
    cupy.cuda = SimpleNamespace(runtime=runtime, nvrtc=FakeNvrtc(), Device=FakeDevice, is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(probe, "driver", lambda: probe.Driver("580.65.06", (13, 0)))
    monkeypatch.setattr(probe, "cublaslt_version", lambda: (13, 1, 0))
    monkeypatch.setattr(probe, "path", lambda name: f"/lib/{name}.so")
    monkeypatch.setattr(probe, "machine", probe.host_machine)
    monkeypatch.setattr(_cuda, "_driver_line", lambda: UBUNTU)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install(monkeypatch, {"cupy-cuda13x": "14.2.0"})
    return cupy


def install(monkeypatch: pytest.MonkeyPatch, wheels: dict[str, str]) -> None:
    """These distributions are installed, and some that have to do with CuPy by name alone."""
    named = {**wheels, "cupy-xarray": "0.1", "numpy": np.__version__}
    found = [SimpleNamespace(metadata={"Name": name}, version=version) for name, version in named.items()]
    monkeypatch.setattr(_cuda.importlib.metadata, "distributions", lambda: found)


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy is not installed."""
    install(monkeypatch, {})
    monkeypatch.setattr(_cuda.importlib.util, "find_spec", lambda name: None)


def compiler() -> None:
    """Skip without a C++ compiler."""
    try:
        importlib.import_module("nnxp.ops.cuda.host").compiler()
    except BackendError as error:
        pytest.skip(str(error))


def others_are_sound(findings: dict, *broken: str) -> None:
    """A failure hides nothing: every other check was made, and says what it always says."""
    assert [name for name in NAMES if name not in findings] == []
    assert [name for name, finding in findings.items() if finding["state"] != "ready"] == list(broken)


class TestSound:
    def test_every_finding(self, cupy, capsys):
        compiler()
        findings = _cuda.examine()
        others_are_sound(findings)
        assert list(findings) == NAMES
        _cuda.print_section(findings)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "CUDA:"
        assert lines[1:5] == [
            "  CuPy        cupy-cuda13x 14.2.0",
            "  driver      580.65.06, for CUDA up to 13.0",
            "  GPU 0       NVIDIA H200, compute capability 9.0, 100.0 of 140.0 GiB free",
            "  libraries   nvrtc 13.5, cublasLt 13.1.0, cudart 13.2",
        ]
        assert len(lines) == 1 + len(NAMES)
        assert all("ready" in line for line in lines[5:10])
        assert '  precision   float32 products keep all 24 bits; precision="tf32" and "bf16" can be asked for' in lines

    def test_it_is_all_in_the_json(self, cupy):
        compiler()
        findings = json.loads(json.dumps(_cuda.examine()))
        assert findings["CuPy"]["wheels"] == {"cupy-cuda13x": "14.2.0"}
        assert findings["driver"]["cuda"] == "13.0"
        assert findings["GPU 0"]["free"] == 100 * 2**30
        assert findings["libraries"]["libraries"]["nvrtc"] == {"version": "13.5", "path": "/lib/nvrtc.so"}
        assert findings["precision"]["true_float32"] is True
        assert findings["on a CPU"]["compiler"]

    def test_kernels_are_compiled_for_the_gpu_that_is_there(self, cupy):
        _cuda.examine()
        assert cupy.cuda.nvrtc.options == [
            ("--std=c++17", "-DREAL=float", "--gpu-architecture=sm_90"),
            ("--std=c++17", "-DREAL=double", "--gpu-architecture=sm_90"),
        ]

    def test_several_gpus(self, cupy):
        cupy.cuda.runtime.getDeviceCount = lambda: 3
        findings = _cuda.examine()
        assert [name for name in findings if name.startswith("GPU")] == ["GPU 0", "GPU 1", "GPU 2"]
        assert findings["GPU 2"]["total"] == 142 * 2**30


class TestCuPy:
    @pytest.mark.parametrize(
        ("cuda", "line"),
        [
            (None, 'not installed; pip install "nnxp[cuda13]", or "nnxp[cuda12]" for a CUDA 12 driver'),
            ((13, 0), 'not installed; pip install "nnxp[cuda13]"'),
            ((12, 8), 'not installed; pip install "nnxp[cuda12]"'),
        ],
    )
    def test_not_installed_is_one_line(self, cuda, line, monkeypatch, capsys):
        """Which extra it should be, the driver says."""
        without(monkeypatch)
        found = raising(OSError("libcuda.so.1")) if cuda is None else (lambda: probe.Driver("", cuda))
        monkeypatch.setattr(probe, "driver", found)
        findings = _cuda.examine()
        assert list(findings) == ["CuPy", "on a CPU"]
        _cuda.print_section(findings)
        assert capsys.readouterr().out.splitlines()[1] == f"  CuPy      {line}"

    @pytest.mark.parametrize(
        "wheels",
        [
            ["cupy-cuda12x", "cupy-cuda13x"],
            ["cupy", "cupy-cuda13x"],
            ["cupy-cuda11x", "cupy-cuda12x", "cupy-rocm-7-0"],
        ],
    )
    def test_several_wheels(self, wheels, cupy, monkeypatch):
        install(monkeypatch, dict.fromkeys(wheels, "14.2.0"))
        findings = _cuda.examine()
        named = ", ".join(f"{wheel} 14.2.0" for wheel in wheels)
        assert findings["CuPy"]["text"] == f"{len(wheels)} at once, which break one another: {named}"
        line = f'pip uninstall -y {" ".join(wheels)}; then pip install "nnxp[cuda13]"'
        assert findings["CuPy"]["remedy"] == line
        others_are_sound({**findings, "on a CPU": {"state": "ready"}}, "CuPy")

    @pytest.mark.parametrize("name", ["cupy-xarray", "cupyx", "my-cupy"])
    def test_other_packages_are_no_wheels(self, name, cupy, monkeypatch):
        install(monkeypatch, {"cupy-cuda13x": "14.2.0", name: "1.0"})
        assert _cuda.examine()["CuPy"]["state"] == "ready"

    def test_of_no_wheel(self, cupy, monkeypatch):
        install(monkeypatch, {})
        monkeypatch.setattr(_cuda.importlib.util, "find_spec", lambda name: True)
        assert _cuda.examine()["CuPy"]["text"] == "14.2.0, of no wheel"

    def test_it_does_not_import(self, cupy, monkeypatch):
        original = importlib.import_module

        def import_module(name: str) -> ModuleType:
            if name == "cupy":
                raise ImportError("libcublas.so.13: cannot open\nshared object file")
            return original(name)

        monkeypatch.setattr(importlib, "import_module", import_module)
        findings = _cuda.examine()
        text = "cupy-cuda13x 14.2.0, which does not import: libcublas.so.13: cannot open"
        assert findings["CuPy"]["text"] == text
        assert findings["CuPy"]["remedy"] == 'pip install --force-reinstall --no-cache-dir "nnxp[cuda13]"'
        assert findings["driver"]["state"] == "ready"
        assert findings["GPU"]["state"] == "failed"
        assert [findings[name]["state"] for name in ON_A_GPU] == ["not tried"] * 5


class TestDriver:
    def test_none(self, cupy, monkeypatch, capsys):
        monkeypatch.setattr(probe, "driver", raising(OSError("libcuda.so.1: cannot open shared object file")))
        cupy.cuda.runtime.getDeviceCount = raising(NO_DRIVER)
        findings = _cuda.examine()
        _cuda.print_section(findings)
        lines = capsys.readouterr().out.splitlines()
        assert lines[2:5] == [
            "  driver      not found: libcuda.so.1: cannot open shared object file",
            f"              → {UBUNTU}",
            "  GPU         none without a driver",
        ]
        assert f"  on a GPU    not tried: {', '.join(ON_A_GPU)}" in lines
        assert findings["compiling"]["state"] == "ready"
        assert cupy.cuda.nvrtc.options[0][-1] == "--gpu-architecture=sm_75"

    def test_older_than_the_wheel(self, cupy, monkeypatch):
        monkeypatch.setattr(probe, "driver", lambda: probe.Driver("550.54", (12, 4)))
        cupy.cuda.runtime.getDeviceCount = raising(NO_DRIVER)
        findings = _cuda.examine()
        assert findings["driver"]["text"] == "550.54, for CUDA up to 12.4, and cupy-cuda13x needs 13.0"
        line = f'pip uninstall -y cupy-cuda13x; then pip install "nnxp[cuda12]"; or a newer driver: {UBUNTU}'
        assert findings["driver"]["remedy"] == line
        assert findings["GPU"]["remedy"] == f"a newer driver is needed: {UBUNTU}"

    def test_older_than_any_wheel(self, cupy, monkeypatch):
        install(monkeypatch, {"cupy-cuda12x": "14.2.0"})
        monkeypatch.setattr(probe, "driver", lambda: probe.Driver("", (11, 8)))
        findings = _cuda.examine()
        assert findings["driver"]["text"] == "found, for CUDA up to 11.8, and cupy-cuda12x needs 12.0"
        assert findings["driver"]["remedy"] == f"a newer driver is needed: {UBUNTU}"

    def test_broken(self, cupy, monkeypatch):
        monkeypatch.setattr(
            probe, "driver", raising(BackendError("libcuda.so.1 is there, and fails with CUDA error 34"))
        )
        findings = _cuda.examine()
        assert findings["driver"]["text"] == "failed: libcuda.so.1 is there, and fails with CUDA error 34"
        assert findings["driver"]["remedy"] == UBUNTU

    def test_asked_without_cupy(self, monkeypatch):
        class Library:
            def __init__(self, name):
                assert name in (probe._DRIVER, probe._MANAGEMENT)

            def cuDriverGetVersion(self, number):  # noqa: N802
                number._obj.value = 13020
                return 0

            def nvmlInit_v2(self):  # noqa: N802
                return 0

            def nvmlSystemGetDriverVersion(self, text, size):  # noqa: N802
                text.value = b"580.65.06"
                return 0

            def nvmlShutdown(self):  # noqa: N802
                return 0

        monkeypatch.setattr(probe.ctypes, "CDLL", Library)
        assert probe.driver() == ("580.65.06", (13, 2))
        monkeypatch.setattr(Library, "nvmlInit_v2", lambda self: 9)
        assert probe.driver() == ("", (13, 2))
        monkeypatch.setattr(Library, "cuDriverGetVersion", lambda self, number: 34)
        with pytest.raises(BackendError, match="fails with CUDA error 34"):
            probe.driver()


class TestWhereTheDriverComesFrom:
    @pytest.mark.parametrize(
        ("system", "release", "marks", "identity", "line"),
        [
            ("Linux", "6.1", [], "ubuntu", UBUNTU),
            (
                "Linux",
                "6.1",
                [],
                "debian",
                "sudo apt install nvidia-driver; restart; then nvidia-smi should list a GPU",
            ),
            ("Linux", "6.1", [], "arch", "install it from https://www.nvidia.com/drivers; restart; then nvidia-smi "),
            ("Linux", "6.1", ["/.dockerenv"], "debian", "start the container with its GPUs: docker run --gpus all …"),
            (
                "Linux",
                "5.15-microsoft-standard-WSL2",
                [],
                "ubuntu",
                "install NVIDIA's driver on Windows, then type there",
            ),
            ("Darwin", "24", [], "", "macOS has no CUDA"),
            ("Windows", "11", [], OSError(), "install it from https://www.nvidia.com/drivers; restart"),
        ],
    )
    def test_line(self, system, release, marks, identity, line, monkeypatch):
        def told() -> dict[str, str]:
            if isinstance(identity, OSError):
                raise identity
            return {"ID": identity}

        monkeypatch.setattr(platform, "system", lambda: system)
        monkeypatch.setattr(platform, "release", lambda: release)
        monkeypatch.setattr(platform, "freedesktop_os_release", told)
        monkeypatch.setattr(_cuda.Path, "exists", lambda self: str(self) in marks)
        assert _cuda._driver_line().startswith(line)


class TestGpus:
    def test_none(self, cupy):
        cupy.cuda.runtime.getDeviceCount = lambda: 0
        findings = _cuda.examine()
        assert findings["GPU"]["text"] == "none"
        line = "nvidia-smi should list a GPU; if it does not, restart, or install its driver anew"
        assert findings["GPU"]["remedy"] == line

    @pytest.mark.parametrize("error", [None, NO_DEVICE])
    def test_hidden(self, error, cupy, monkeypatch):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        cupy.cuda.runtime.getDeviceCount = raising(error) if error else lambda: 0
        line = "unset CUDA_VISIBLE_DEVICES (it is '', which hides GPUs)"
        assert _cuda.examine()["GPU"]["remedy"] == line

    def test_one_of_two_is_broken(self, cupy):
        def told(index: int) -> dict[str, object]:
            if index == 1:
                raise CUDARuntimeError("cudaErrorECCUncorrectable: uncorrectable ECC error encountered")
            return {"name": b"NVIDIA H200", "major": 9, "minor": 0}

        cupy.cuda.runtime.getDeviceCount = lambda: 2
        cupy.cuda.runtime.getDeviceProperties = told
        findings = _cuda.examine()
        assert findings["GPU 0"]["state"] == "ready"
        assert findings["GPU 1"]["text"].startswith("failed: CUDARuntimeError: cudaErrorECCUncorrectable")
        assert findings["GPU 1"]["remedy"] == REPORT

    def test_too_old_for_cuda_13(self, cupy):
        cupy.cuda.runtime.getDeviceProperties = lambda index: {"name": b"Tesla V100", "major": 7, "minor": 0}
        finding = _cuda.examine()["GPU 0"]
        assert finding["text"].endswith("GiB free; CUDA 13 knows 7.5 and newer")
        assert finding["remedy"] == 'pip uninstall -y cupy-cuda13x; then pip install "nnxp[cuda12]"'


class TestLibraries:
    @pytest.mark.parametrize("broken", ["nvrtc", "cublasLt", "cudart"])
    def test_one_is_missing(self, broken, cupy, monkeypatch):
        """The others are named all the same."""
        monkeypatch.setattr(probe, f"{broken.lower()}_version", raising(BackendError(f"lib{broken} is not here\nmore")))
        findings = _cuda.examine()
        text = findings["libraries"]["text"]
        assert f"no {broken} (lib{broken} is not here)" in text
        assert [name in text for name in ("nvrtc", "cublasLt", "cudart")] == [True] * 3
        assert findings["libraries"]["remedy"] == 'pip install "nnxp[cuda13]"'
        assert findings["libraries"]["libraries"][broken] == {"error": f"lib{broken} is not here\nmore"}

    def test_no_cublaslt(self, monkeypatch):
        monkeypatch.setattr(probe.cublaslt, "find", lambda: "no libcublasLt (ImportError)")
        with pytest.raises(BackendError, match="no libcublasLt"):
            probe.cublaslt_version()
        monkeypatch.setattr(probe.cublaslt, "find", lambda: SimpleNamespace(cublasLtGetVersion=lambda: 131002))
        assert probe.cublaslt_version() == (13, 10, 2)


class TestKernels:
    def test_they_do_not_compile(self, cupy, capsys):
        """The log's first lines, and that there are more."""
        cupy.cuda.nvrtc.log = "\n".join(f"kernels.cuh({line}): error: no" for line in range(1, 10))
        findings = _cuda.examine()
        _cuda.print_section(findings)
        lines = capsys.readouterr().out.splitlines()
        at = next(index for index, line in enumerate(lines) if line.startswith("  compiling"))
        assert lines[at] == "  compiling   failed: kernels.cuh(1): error: no"
        assert lines[at + 5] == "                  kernels.cuh(6): error: no"
        assert lines[at + 6] == "                  … and 3 lines more"
        assert lines[at + 7] == f"              → {REPORT}"
        assert findings["compiling"]["error"].count("\n") == 8

    def test_a_compiler_older_than_the_gpu(self, cupy):
        cupy.cuda.nvrtc.log = "nvrtc: error: invalid value for --gpu-architecture (-arch)"
        assert _cuda.examine()["compiling"]["remedy"] == 'pip install --upgrade "nnxp[cuda13]"'

    @pytest.mark.parametrize(
        ("check", "part"),
        [
            ("arithmetic", "arithmetic"),
            ("launch", "kernels"),
            ("product", "products"),
            ("graph", "graphs"),
            ("product_graph", "graphs"),
            ("true_float32", "precision"),
        ],
    )
    @pytest.mark.parametrize(
        ("error", "line"),
        [
            (CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access"), REPORT),
            (
                MemoryError("Out of memory allocating 33,554,432 bytes"),
                "nvidia-smi names the processes that hold the mem",
            ),
            (BackendError("no libcublasLt (OSError)"), 'pip install "nnxp[cuda13]"'),
            (RuntimeError("cuda_fp16.h: cannot open source file"), 'pip install "nnxp[cuda13]"'),
        ],
        ids=["illegal", "memory", "library", "headers"],
    )
    def test_one_part_fails(self, check, part, error, line, cupy, monkeypatch):
        compiler()
        monkeypatch.setattr(probe, check, raising(error))
        findings = _cuda.examine()
        if check in ("launch", "graph"):
            findings["on a CPU"]["state"] = "ready"  # which is tried by the same function
        others_are_sound(findings, part)
        assert findings[part]["text"].startswith("failed: ")
        assert findings[part]["remedy"].startswith(line)

    def test_there_is_no_machine(self, cupy, monkeypatch):
        compiler()
        monkeypatch.setattr(probe, "machine", raising(CUDARuntimeError("cudaErrorUnknown: unknown error")))
        findings = _cuda.examine()
        others_are_sound(findings, *ON_A_GPU[1:])

    def test_wrong_results_are_found(self, cupy, monkeypatch):
        """Each function that tries a machine tells a right one from a wrong one."""
        compiler()
        machine = probe.host_machine()
        for check in (lambda: probe.launch(machine, "float64"), lambda: probe.product(machine, "float32")):
            check()
        kernel, product, capture = machine.kernel, machine.product, machine.capture
        machine.kernel = lambda name, dtype: lambda *arguments: None
        with pytest.raises(BackendError, match=r"wrong results: 999 of 1000, the first 0\.0 instead of 3"):
            probe.launch(machine, "float32")
        machine.kernel = kernel
        machine.product = lambda *arguments: lambda: None
        with pytest.raises(BackendError, match="wrong results"):
            probe.product(machine, "float32")
        machine.product = lambda *arguments: None
        with pytest.raises(BackendError, match="cublasLt has no algorithm for a small product"):
            probe.product(machine, "float32")
        machine.product = product
        machine.capture = lambda runs: lambda: None
        for check in (probe.graph, probe.product_graph):
            with pytest.raises(BackendError, match="wrong results"):
                check(machine)
        machine.capture = capture
        probe.graph(machine)
        probe.product_graph(machine)
        assert probe.true_float32(machine)

    def test_lost_bits(self, cupy, monkeypatch):
        compiler()
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
        monkeypatch.setattr(probe, "true_float32", lambda machine: False)
        finding = _cuda.examine()["precision"]
        text = "float32 products lose bits: something switches TF32 on; NVIDIA_TF32_OVERRIDE=1 is set"
        assert (finding["text"], finding["remedy"]) == (text, "unset NVIDIA_TF32_OVERRIDE")
        monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
        assert _cuda.examine()["precision"]["remedy"] == REPORT

    @pytest.mark.parametrize("precision", ["tf32", "bf16"])
    def test_rounded_factors_are_found(self, precision):
        compiler()
        machine = importlib.import_module("nnxp.ops.cuda.host").HostMachine()
        run = machine.product

        def rounding(product, addresses):
            from dataclasses import replace

            return run(replace(product, precision=precision), addresses)

        machine.product = rounding
        assert not probe.true_float32(machine)
        probe.product(machine, "float32")  # whole numbers are exact all the same


class TestHost:
    def test_no_compiler(self, cupy, monkeypatch):
        host = importlib.import_module("nnxp.ops.cuda.host")
        monkeypatch.setattr(host, "compiler", raising(BackendError("no C++ compiler found (c++, g++ or clang++), and")))
        finding = _cuda.examine()["on a CPU"]
        assert finding["text"].startswith("failed: no C++ compiler found")
        assert finding["remedy"].startswith("sudo apt install g++")
        monkeypatch.setattr(platform, "system", lambda: "Darwin")
        assert _cuda.examine()["on a CPU"]["remedy"] == "xcode-select --install"

    def test_a_compiler_that_fails(self, cupy, monkeypatch):
        monkeypatch.setattr(probe, "host_machine", raising(BackendError("the CUDA kernels do not compile for the CPU")))
        finding = _cuda.examine()["on a CPU"]
        assert (finding["state"], finding["remedy"]) == ("failed", REPORT)


def test_the_command(cupy, capsys):
    """The section stands among the others, and in the JSON."""
    assert main(["doctor", "--json"]) == 0
    text = capsys.readouterr().out
    assert text.index("backends:") < text.index("CUDA:") < text.index("extras:")
    assert list(json.loads(text.splitlines()[-1])["cuda"]) == NAMES
