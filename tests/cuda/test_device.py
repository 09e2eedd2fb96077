"""CuPy's machine, with a pretender in CuPy's place: what is asked of which GPU."""

import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from nnxp.ops.cuda import gemm
from nnxp.ops.cuda.gemm import Addresses


class Pretender:
    """Two GPUs, of which the first one is current, each with a current stream of its own."""

    def __init__(self) -> None:
        self.current, self.compiled_on = 0, []
        self.cuda = SimpleNamespace(Device=self.device, get_current_stream=self.stream)

    @contextmanager
    def device(self, number: int) -> Any:
        before, self.current = self.current, number
        yield
        self.current = before

    def stream(self) -> Any:
        return SimpleNamespace(ptr=100 + self.current)

    def RawModule(self, **_: Any) -> Any:  # noqa: N802 - as CuPy names it
        note = lambda *_: self.compiled_on.append(self.current)  # noqa: E731
        return SimpleNamespace(compile=note, get_function=note)


@pytest.fixture
def pretender(monkeypatch: pytest.MonkeyPatch) -> Pretender:
    cupy, made = ModuleType("cupy"), Pretender()
    vars(cupy).update(cuda=made.cuda, RawModule=made.RawModule)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.delitem(sys.modules, "nnxp.ops.cuda.device", raising=False)
    return made


def machine_of_the_second_gpu() -> Any:
    from nnxp.ops.cuda.device import CudaMachine

    machine = object.__new__(CudaMachine)
    vars(machine).update(
        _device=SimpleNamespace(id=1), _several=True, _functions={}, _modules={}, _algorithms={}, _capturing=False
    )
    return machine


def test_an_algorithm_is_sought_on_the_stream_of_the_machines_own_gpu(pretender: Pretender) -> None:
    streams = []
    machine = machine_of_the_second_gpu()
    machine._lt = SimpleNamespace(choose=lambda *_, stream: streams.append(stream))
    assert machine.product(gemm.forward(2, 3, 4), Addresses(256, 512, 1024, bias=2048)) is None
    assert streams == [101]
    assert pretender.current == 0


def test_kernels_are_compiled_and_loaded_on_the_machines_own_gpu(pretender: Pretender) -> None:
    machine_of_the_second_gpu().kernel("add", "float32")
    assert pretender.compiled_on == [1, 1]
