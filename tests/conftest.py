"""One test, every backend: ``--backend NAME[/KERNELS][:DEVICE][,…]`` chooses what the ``backend`` fixture runs over.

The default is NumPy with its own and with compiled kernels, and the strict namespace on two of its fake devices:
``device1``, where any silent conversion to NumPy raises, and ``no_float64``, where any silent upcast does. A backend
that is missing is skipped, and the summary says so; with ``NNXP_REQUIRE_GPU=1`` a missing GPU is an error.
"""

import importlib
import os
import signal
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import nnxp
from nnxp.backend import Backend
from nnxp.errors import BackendError

COMPILED = "numpy/numba"
DEFAULT = f"numpy/numpy,{COMPILED},array_api_strict:device1,array_api_strict:no_float64"
"""A module with ``ONE_BY_ONE = True`` calls ops and never a plan: there compiled kernels, which ``ops/`` proves by
themselves, would only take time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend", default=DEFAULT, help="the backends to test, as NAME[/KERNELS][:DEVICE], separated by commas"
    )


def pytest_configure(config: pytest.Config) -> None:
    # A job that a shell put into the background ignores Ctrl-C, and so would the trainings that the tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("NNXP_REQUIRE_GPU") == "1" and "cupy" in config.getoption("--backend"):
        state = nnxp.available_backends()["cupy"]
        if state != "ready":
            raise pytest.UsageError(f"NNXP_REQUIRE_GPU=1, but cupy is not usable: {state}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say aloud which backend was asked for and not tested: a row of skips is easily overlooked."""
    for backend in dict.fromkeys(spec.partition(":")[0] for spec in config.getoption("--backend").split(",")):
        name, _, kernels = backend.partition("/")
        try:
            nnxp.get_backend(name, kernels=kernels or "auto")
        except BackendError as error:
            terminalreporter.write_line(f"NOT TESTED: {error}", yellow=True, bold=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend_name" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--backend")
        names = chosen.split(",")
        if chosen == DEFAULT and getattr(metafunc.module, "ONE_BY_ONE", False):
            names.remove(COMPILED)
        metafunc.parametrize("backend_name", names, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With backends of one's own choice, only what they can change: the rest belongs to the default session."""
    if config.getoption("--backend") != DEFAULT:
        kept = [item for item in items if "backend_name" in getattr(item, "fixturenames", ())]
        others = [item for item in items if "backend_name" not in getattr(item, "fixturenames", ())]
        if kept:  # else a file without backends was asked for by name
            config.hook.pytest_deselected(items=others)
            items[:] = kept


@pytest.fixture
def make_backend(backend_name: str) -> Callable[..., Backend]:
    """A function that makes a backend of the tested library: ``make_backend(dtype="float64", seed=3)``."""
    library, _, device_name = backend_name.partition(":")
    name, _, kernels = library.partition("/")

    def make(**options: object) -> Backend:
        device = importlib.import_module(name).Device(device_name) if device_name else None
        try:
            return nnxp.get_backend(name, device=device, **{"kernels": kernels or "auto", **options})
        except BackendError as error:
            pytest.skip(f"{backend_name}: {error}")

    return make


@pytest.fixture
def backend(make_backend: Callable[..., Backend]) -> Backend:
    """The tested library in float32."""
    return make_backend()


@pytest.fixture(params=["float32", "float64"])
def typed_backend(request: pytest.FixtureRequest, make_backend: Callable[..., Backend]) -> Backend:
    """The tested library in float32 and, where it has it, in float64."""
    return make_backend(dtype=request.param)


@pytest.fixture(params=["honour", "drop", "poison"])
def donating_backend(request: pytest.FixtureRequest, backend: Backend) -> Backend:
    """The tested library with donated buffers honoured, dropped, and dropped and filled with NaN."""
    if request.param == "honour":
        return backend
    if not backend.writable:
        pytest.skip("nothing is donated where arrays are immutable")
    return replace(backend, ops=backend.ops.without_donation(poison=request.param == "poison"))


@pytest.fixture
def random() -> np.random.Generator:
    """A generator that starts the same for every test."""
    return np.random.default_rng(0)


@pytest.fixture
def array(backend: Backend) -> Callable[[object], object]:
    """A function that puts host values on the backend; on NumPy read-only, so that a write into them raises."""

    def make(values: object) -> object:
        result = backend.asarray(np.array(values))
        if isinstance(result, np.ndarray):
            result = result.copy()
            result.flags.writeable = False
        return result

    return make


@pytest.fixture
def allocated() -> Callable[[Callable[[], object]], int]:
    """A function that says how many bytes a call holds at most, above what was held before it.

    NumPy's ufuncs take operands that they broadcast or cast in blocks of at most 8192 elements, in memory of their own:
    here they are told to take small blocks, so that what is left is data. Other threads of the process allocate too,
    now and then: the least of several calls is the call's own.
    """

    def measure(call: Callable[[], object]) -> int:
        usual = np.setbufsize(64)
        try:
            for _ in range(3):
                call()
            tracemalloc.start()
            call()  # what Python allocates at first, once
            return min(_peak(call) for _ in range(5))
        finally:
            tracemalloc.stop()
            np.setbufsize(usual)

    return measure


def _peak(call: Callable[[], object]) -> int:
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    call()
    return tracemalloc.get_traced_memory()[1] - before
