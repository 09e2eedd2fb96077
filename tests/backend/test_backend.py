"""Where it runs: backends by name, what stands in a library's way, and arrays on their way in and out."""

import contextlib
import importlib
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError
from types import ModuleType, SimpleNamespace

import array_api_compat.numpy
import numpy as np
import pytest

import nnxp
from nnxp.backend import Backend, _registry, backend_of, namespace_of
from nnxp.errors import BackendError, ConfigurationError, PerformanceWarning


def dtype_name(dtype: object) -> str:
    return str(dtype).rsplit(".", 1)[-1]


class TestGetBackend:
    def test_by_name(self, backend, backend_name):
        assert backend.name == backend_name.partition(":")[0].partition("/")[0]
        assert dtype_name(backend.dtype) == "float32"
        assert (backend.rng.seed, backend.rng.layer) == (0, 0)
        assert backend.itemsize == 4

    def test_dtype(self, make_backend):
        backend = make_backend(dtype="float64")
        assert dtype_name(backend.dtype) == "float64"
        assert backend.itemsize == 8
        assert dtype_name(backend.asarray([1.0]).dtype) == "float64"

    def test_by_namespace(self, backend):
        again = nnxp.get_backend(backend.xp, device=backend.device)
        assert (again.name, again.xp, again.device) == (backend.name, backend.xp, backend.device)

    @pytest.mark.parametrize("namespace", [np, array_api_compat.numpy])
    def test_a_bare_library_is_taken_in_its_array_api_form(self, namespace):
        backend = nnxp.get_backend(namespace)
        assert (backend.name, backend.xp) == ("numpy", np)

    def test_a_namespace_without_a_name(self):
        """Any module of the Array API will do; it gets the reference."""
        stranger = ModuleType("stranger")
        vars(stranger).update(vars(importlib.import_module("array_api_strict")) | {"__name__": "stranger"})
        backend = nnxp.get_backend(stranger)
        assert (backend.name, backend.xp, backend.kernels) == ("stranger", stranger, "reference")

    def test_of_a_backend(self, backend):
        assert nnxp.get_backend(backend) is backend

    def test_a_bare_dtype_of_the_library(self, backend):
        again = nnxp.get_backend(backend.xp, device=backend.device, dtype=backend.xp.float32)
        assert again.dtype == backend.dtype

    def test_seed(self):
        assert nnxp.get_backend("numpy", seed=2**64 - 1).rng.seed == 2**64 - 1

    @pytest.mark.parametrize("kernels", ["reference", "numpy"])
    def test_kernels_of_numpy(self, kernels):
        backend = nnxp.get_backend("numpy", kernels=kernels)
        assert bool(backend.ops.honours) == (kernels != "reference")
        assert backend.kernels == kernels

    def test_compiled_kernels_are_the_first_choice(self):
        pytest.importorskip("numba")
        backend = nnxp.get_backend("numpy")
        assert backend.kernels == "numba"
        assert backend.ops.honours >= nnxp.get_backend("numpy", kernels="numpy").ops.honours

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (ModuleNotFoundError("No module named 'numba'", name="numba"), r'numba is not installed; .*"nnxp\[fast\]"'),
            (
                ImportError("Numba needs NumPy 2.3 or less.\nGot 9.9"),
                r"does not import: Numba needs NumPy 2\.3 or less\.$",
            ),
            (SystemError("initialization failed"), "does not import: initialization failed"),
        ],
    )
    def test_without_compiled_kernels(self, error, message, monkeypatch):
        """Where numba is missing or broken, NumPy's own kernels do; who asks for numba's is told why."""
        registry = importlib.import_module("nnxp.backend._registry")

        def fail(name):
            raise error

        monkeypatch.setattr(registry.importlib, "import_module", fail)
        registry._numba_state.cache_clear()
        try:
            assert registry._kernel_set("numpy", "auto") == "numpy"
            with pytest.raises(BackendError, match=message):
                registry._kernel_set("numpy", "numba")
        finally:
            registry._numba_state.cache_clear()

    def test_for_layer(self, backend):
        there = backend.for_layer(3)
        assert (there.rng.seed, there.rng.layer, there.ops) == (backend.rng.seed, 3, backend.ops)
        assert backend.rng.layer == 0

    @pytest.mark.parametrize(
        ("arguments", "options", "error", "message"),
        [
            (["nunpy"], {}, BackendError, r"There is no backend 'nunpy'\. Usable here: numpy"),
            ([3], {}, BackendError, "backend must be a name, an Array API namespace or a Backend, got 3"),
            ([None], {}, BackendError, "backend must be a name"),
            (
                [os],
                {},
                BackendError,
                "The module 'os' is not an Array API namespace: it has no __array_namespace_info__",
            ),
            (["numpy"], {"dtype": "float16"}, BackendError, "dtype must be one of float32, float64, got 'float16'"),
            (["numpy"], {"dtype": int}, BackendError, "dtype must be one of float32, float64"),
            (["numpy"], {"seed": -1}, ConfigurationError, "seed must be a whole number of at least 0, got -1"),
            (["numpy"], {"seed": 1.5}, ConfigurationError, "seed must be a whole number of at least 0, got 1.5"),
            (["numpy"], {"seed": True}, ConfigurationError, "seed must be a whole number of at least 0, got True"),
            (["numpy"], {"seed": 2**64}, ConfigurationError, r"seed must be below 2\*\*64"),
            (["numpy"], {"kernels": "fast"}, ConfigurationError, "kernels must be one of 'auto', 'reference'"),
            (["array_api_strict"], {"kernels": "cuda"}, BackendError, "has no kernels 'cuda' here; it has: reference"),
            (["array_api_strict"], {"kernels": "numpy"}, BackendError, "it has: reference"),
        ],
        ids=str,
    )
    def test_errors(self, arguments, options, error, message):
        with pytest.raises(error, match=message):
            nnxp.get_backend(*arguments, **options)

    def test_a_device_without_the_dtype(self):
        device = importlib.import_module("array_api_strict").Device("no_float64")
        with pytest.raises(BackendError, match=r"has no float64 on .*no_float64.*It has: float32"):
            nnxp.get_backend("array_api_strict", device=device, dtype="float64")


def fake_cupy(monkeypatch: pytest.MonkeyPatch, namespace: ModuleType, *, gpu: bool) -> None:
    """CuPy is installed, with or without a GPU; its arrays are those of ``namespace``."""
    cupy = ModuleType("cupy")
    cupy.cuda = SimpleNamespace(is_available=lambda: gpu)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", namespace)


class Missing:
    """A finder that says of one package what Python says of a package that is not there."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, *arguments: object) -> None:
        if name == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def uninstall(monkeypatch: pytest.MonkeyPatch, package: str, module: str) -> None:
    """Make importing ``module`` fail as if ``package``, which it needs, were not installed."""
    for name in (package, module):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(package), *sys.meta_path])


def broken(error: Exception) -> ModuleType:
    """A library whose first array raises."""

    def zeros(*arguments: object) -> None:
        raise error

    namespace = ModuleType("broken")
    namespace.zeros = zeros
    return namespace


class TestAvailableBackends:
    def test_every_name_has_a_state(self):
        states = nnxp.available_backends()
        assert set(states) == {"numpy", "cupy", "torch", "jax", "array_api_strict"}
        assert states["numpy"] == states["array_api_strict"] == "ready"
        assert all("\n" not in state for state in states.values())

    @pytest.mark.parametrize(
        ("name", "package", "module", "hint"),
        [
            ("cupy", "cupy", "array_api_compat.cupy", r'pip install "nnxp\[cuda13\]"'),
            ("torch", "torch", "array_api_compat.torch", "pip install torch"),
            ("jax", "jax", "jax.numpy", "pip install jax"),
            ("array_api_strict", "array_api_strict", "array_api_strict", "pip install array-api-strict"),
        ],
    )
    def test_not_installed(self, name, package, module, hint, monkeypatch):
        uninstall(monkeypatch, package, module)
        assert nnxp.available_backends()[name].startswith("not installed; pip install ")
        with pytest.raises(BackendError, match=rf"'{name}' cannot be used: not installed; {hint}.*Usable here: numpy"):
            nnxp.get_backend(name)

    def test_an_import_that_fails(self, monkeypatch):
        original = importlib.import_module

        def import_module(module: str) -> ModuleType:
            if module == "array_api_compat.cupy":
                raise ImportError("libcublas.so.13: cannot open\nshared object file")
            return original(module)

        monkeypatch.setattr(importlib, "import_module", import_module)
        state = nnxp.available_backends()["cupy"]
        assert state.startswith("installed, but it does not import: libcublas.so.13: cannot open; pip install")

    def test_no_driver(self, monkeypatch):
        fake_cupy(monkeypatch, np, gpu=False)
        assert nnxp.available_backends()["cupy"].startswith("installed, but no CUDA driver")
        with pytest.raises(BackendError, match=r"'cupy' cannot be used: installed, but no CUDA driver.*nvidia-smi"):
            nnxp.get_backend("cupy")

    def test_a_driver_that_fails(self, monkeypatch):
        """Whatever it raises, the other backends still have their states."""
        fake_cupy(monkeypatch, broken(RuntimeError("cudaErrorInsufficientDriver:\nupdate it")), gpu=True)
        states = nnxp.available_backends()
        assert states["cupy"] == "installed, but unusable: cudaErrorInsufficientDriver:"
        assert states["numpy"] == "ready"

    def test_auto_is_numpy_without_a_gpu(self, monkeypatch):
        fake_cupy(monkeypatch, np, gpu=False)
        assert nnxp.get_backend("auto").name == nnxp.get_backend().name == "numpy"

    def test_auto_is_cupy_with_a_gpu(self, monkeypatch):
        fake_cupy(monkeypatch, array_api_compat.numpy, gpu=True)
        fake_machine(monkeypatch, kernel=lambda name, dtype: None)
        backend = nnxp.get_backend("auto")
        assert (backend.name, backend.kernels, backend.adapter.apart) == ("cupy", "cuda", True)


LOG = "\n".join(f"kernels.cuh({line}): error: expected a ';'" for line in range(1, 21))


def fake_machine(monkeypatch: pytest.MonkeyPatch, kernel: object) -> None:
    """A GPU whose arrays are NumPy's, and which gives kernels in this way."""
    device = ModuleType("nnxp.ops.cuda.device")
    device.CudaMachine = lambda device, precision: SimpleNamespace(kernel=kernel, xp=np, threads=32, counts={})
    monkeypatch.setitem(sys.modules, "nnxp.ops.cuda.device", device)
    registry = importlib.import_module("nnxp.backend._registry")
    registry._warn_once.cache_clear()


class TestKernelsThatDoNotCompile:
    """The reference takes their place: said once, aloud, and with the compiler's own words."""

    @pytest.fixture(autouse=True)
    def _broken(self, monkeypatch):
        def kernel(name: str, dtype: str) -> None:
            raise BackendError(f"the CUDA kernels do not compile for {dtype}: {LOG}")

        fake_cupy(monkeypatch, array_api_compat.numpy, gpu=True)
        fake_machine(monkeypatch, kernel)

    def test_it_is_said_once_and_training_goes_on(self):
        with pytest.warns(PerformanceWarning) as caught:
            backend = nnxp.get_backend("cupy")
        assert (backend.kernels, backend.ops.honours) == ("reference", frozenset())
        assert [warning.filename for warning in caught] == [__file__]
        nnxp.get_backend("cupy")  # warnings are errors here

        first, *lines, last = str(caught[0].message).splitlines()
        assert first == (
            "The CUDA kernels cannot be used on cpu. The reference takes their place: the results are the same, the "
            "speed is not."
        )
        assert lines[0] == "    the CUDA kernels do not compile for float32: kernels.cuh(1): error: expected a ';'"
        assert lines[1:] == [
            *(f"    kernels.cuh({line}): error: expected a ';'" for line in range(2, 7)),
            "    … and 14 lines more",
        ]
        assert last == (
            "`nnxp doctor` tries each part of CUDA by itself, and names the line to type. With kernels='reference' "
            "this is not said."
        )

        network = [nnxp.layers.Dense(3, input_size=2)]
        loss, optimizer = nnxp.losses.MeanSquaredError(), nnxp.optimizers.SGD(0.1)
        model = nnxp.Model(network, loss=loss, optimizer=optimizer, backend=backend)
        model.fit(np.ones((4, 2), "float32"), np.ones((4, 3), "float32"), progress="off")

    def test_who_asks_for_them_is_told(self):
        with pytest.raises(
            BackendError, match=r"^The CUDA kernels cannot be used on cpu:\n    the CUDA .*\n"
        ) as caught:
            nnxp.get_backend("cupy", kernels="cuda")
        assert str(caught.value).count("\n") == 8

    def test_who_does_not_want_them_is_not(self):
        assert nnxp.get_backend("cupy", kernels="reference").kernels == "reference"

    def test_whatever_is_raised(self, monkeypatch):
        def kernel(name: str, dtype: str) -> None:
            raise OSError("libnvrtc.so.13: cannot open shared object file")

        fake_machine(monkeypatch, kernel)
        with pytest.warns(PerformanceWarning, match=r"\n    OSError: libnvrtc\.so\.13: cannot open"):
            assert nnxp.get_backend("cupy").kernels == "reference"


def foreign(name: str) -> object:
    """[1, 2] in float64 of another library, on a device of its own where it has several."""
    if name == "numpy":
        return np.array([1.0, 2.0])
    if name == "strict":
        strict = importlib.import_module("array_api_strict")
        return strict.asarray([1.0, 2.0], device=strict.Device("device1"))
    return pytest.importorskip(name).asarray([1.0, 2.0])


def read_only(a: np.ndarray) -> np.ndarray:
    a.flags.writeable = False
    return a


HOST = {
    "a list": [[1.0, 2.0], [3.0, 4.0]],
    "a list of integers and floats": [1, 2.5],
    "an empty list": [],
    "a scalar": 2.5,
    "a NumPy scalar": np.float64(2.5),
    "half precision": np.array([1.5, 2.5], dtype=np.float16),
    "double precision": np.array([1.5, 2.5]),
    "single precision": np.array([1.5, 2.5], dtype=np.float32),
    "read-only": read_only(np.array([1.5, 2.5], dtype=np.float32)),
    "negative strides": np.arange(6.0)[::-1],
    "every second": np.arange(6.0)[::2],
    "in Fortran order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "a row for all": np.broadcast_to(np.arange(3.0), (2, 3)),
    "the other byte order": np.array([1.5, 2.5], dtype=np.dtype(np.float32).newbyteorder()),
}


class TestAsarray:
    @pytest.mark.parametrize("name", HOST)
    def test_floats_take_the_dtype(self, name, typed_backend):
        backend, host = typed_backend, np.asarray(HOST[name])
        a = backend.asarray(HOST[name])
        assert backend.owns(a)
        assert a.dtype == backend.dtype
        assert tuple(a.shape) == host.shape
        np.testing.assert_array_equal(backend.to_numpy(a), host)

    @pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "bool"])
    def test_integers_and_booleans_keep_theirs(self, dtype, backend):
        a = backend.asarray(np.array([0, 1, 1], dtype=dtype))
        assert dtype_name(a.dtype) == dtype
        np.testing.assert_array_equal(backend.to_numpy(a), [0, 1, 1])

    @pytest.mark.parametrize("values", [[1, 2], 3, (1, 2), np.array([1, 2])], ids=str)
    def test_whole_numbers_are_integers(self, values, backend):
        a = backend.asarray(values)
        assert a.dtype == backend.integer_dtype
        np.testing.assert_array_equal(backend.to_numpy(a), values)

    def test_integers_of_the_other_byte_order(self, backend):
        """As IDX files and old archives hold them."""
        a = backend.asarray(np.array([1, 2], dtype=np.dtype(np.int32).newbyteorder()))
        assert backend.xp.isdtype(a.dtype, "integral")
        np.testing.assert_array_equal(backend.to_numpy(a), [1, 2])

    @pytest.mark.parametrize("library", ["numpy", "strict", "torch", "jax.numpy"])
    def test_foreign_arrays(self, library, backend):
        a = backend.asarray(foreign(library))
        assert backend.owns(a)
        assert a.dtype == backend.dtype
        np.testing.assert_array_equal(backend.to_numpy(a), [1, 2])

    def test_dtype_overrides(self, backend):
        for values in ([1, 2], backend.asarray([1, 2])):
            assert backend.asarray(values, dtype=backend.dtype).dtype == backend.dtype
        for values in ([1.0, 2.0], backend.asarray([1.0, 2.0])):
            a = backend.asarray(values, dtype=backend.integer_dtype)
            assert a.dtype == backend.integer_dtype

    def test_its_own_array_is_not_copied(self, backend):
        a, labels = backend.asarray([1.0]), backend.asarray([1])
        assert backend.asarray(a) is a
        assert backend.asarray(labels) is labels

    def test_a_users_array_is_not_written(self, backend):
        """The result may share memory; that it can be made from a read-only array is tested above."""
        host = np.array([1.0, 2.0], dtype=np.float32)
        backend.ops.relu(backend.asarray(-host))
        backend.asarray(host, dtype=backend.integer_dtype)
        np.testing.assert_array_equal(host, [1, 2])


class TestArrays:
    def test_to_numpy_copies(self, backend):
        a = backend.asarray(np.array([1.0, 2.0]))
        for source in (a, np.array([1.0, 2.0]), [1.0, 2.0]):
            host = backend.to_numpy(source)
            assert isinstance(host, np.ndarray)
            host[0] = 9
            assert backend.to_numpy(source)[0] == 1

    @pytest.mark.parametrize("value", [2.5, np.float32(2.5), np.array(2.5)], ids=repr)
    def test_to_numpy_of_a_scalar(self, value, backend):
        host = backend.to_numpy(value)
        assert host.shape == ()
        assert host == 2.5

    def test_owns(self, backend):
        a = backend.asarray([1.0])
        assert backend.owns(a)
        for stranger in ([1.0], 1.0, None, "x"):
            assert not backend.owns(stranger)
        assert backend.owns(np.zeros(1)) == (backend.name == "numpy")

    def test_owns_no_array_of_another_device(self):
        strict = importlib.import_module("array_api_strict")
        here, there = (nnxp.get_backend("array_api_strict", device=strict.Device(d)) for d in ("CPU_DEVICE", "device1"))
        assert not here.owns(there.asarray([1.0]))
        moved = here.asarray(there.asarray([1.0]))
        assert moved.device == here.device

    @pytest.mark.parametrize("values", [[1.0], [1]], ids=["floats", "integers"])
    def test_backend_of(self, values, typed_backend):
        a = typed_backend.asarray(values)
        found = backend_of(a)
        assert (found.name, found.xp, found.device) == (typed_backend.name, typed_backend.xp, typed_backend.device)
        assert found.dtype == (typed_backend.dtype if isinstance(values[0], float) else typed_backend.xp.float32)

    @pytest.mark.parametrize("value", [[1.0], 1.0, (1, 2)], ids=str)
    def test_backend_of_host_values(self, value):
        found = backend_of(value)
        assert (found.name, dtype_name(found.dtype)) == ("numpy", "float32")
        assert dtype_name(backend_of(value, dtype="float64").dtype) == "float64"

    def test_namespace_of(self, backend):
        assert namespace_of(backend.asarray([1.0])) is backend.xp
        assert all(namespace_of(value) is None for value in ([1.0], 1, "x", None, np.float32(1)))

    def test_is_floating(self, backend):
        assert backend.is_floating(backend.dtype)
        assert not backend.is_floating(backend.integer_dtype)
        assert not backend.is_floating(backend.xp.bool)

    @pytest.mark.parametrize("size", [0, 1, 17])
    def test_zeros(self, size, typed_backend):
        zeros = typed_backend.zeros(size)
        assert typed_backend.owns(zeros)
        assert zeros.dtype == typed_backend.dtype
        np.testing.assert_array_equal(typed_backend.to_numpy(zeros), np.zeros(size))
        assert typed_backend.zeros(2, typed_backend.integer_dtype).dtype == typed_backend.integer_dtype

    def test_read(self, backend):
        scalars = [backend.asarray(value) for value in (1.5, 2.5)]
        assert backend.read(scalars) == [1.5, 2.5]
        assert all(isinstance(value, float) for value in backend.read(scalars))
        assert backend.read([]) == []

    def test_quiet(self, backend):
        """Warnings are errors here, so overflow would raise."""
        with backend.quiet():
            inf = backend.asarray([3e38]) * 10
            nan = inf - inf
        assert np.isnan(backend.to_numpy(nan)).all()

    def test_synchronize(self, backend):
        assert backend.synchronize() is None

    def test_compile_step(self, backend):
        """Calls that the library cannot join stay as they are."""
        done = []
        for call in backend.compile_step([lambda: done.append(1), lambda: done.append(2)]):
            call()
        assert done == [1, 2]


class TestImmutability:
    @pytest.mark.parametrize("name", ["xp", "dtype", "ops", "rng", "device"])
    def test_is_frozen(self, name, backend):
        with pytest.raises(FrozenInstanceError):
            setattr(backend, name, None)

    def test_writable_is_true(self, backend):
        """The arena hands out views if writes go through them, and slices again if not; so ask the library itself."""
        whole = backend.zeros(4)
        with contextlib.suppress(TypeError):
            whole[1:3][...] = 1.0
        assert backend.writable == bool(backend.to_numpy(whole).any())

    def test_fields_are_what_a_reader_expects(self, backend):
        assert isinstance(backend, Backend)
        assert backend.name in repr(backend)


ON_DEMAND = ["cupy", "torch", "jax", "numba", "sklearn", "matplotlib", "safetensors", "tqdm"]


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import nnxp", [*ON_DEMAND, "array_api_compat", "array_api_strict"]),
        ("import nnxp; nnxp.get_backend('numpy', kernels='numpy').asarray([1.0])", ON_DEMAND),
    ],
    ids=["import", "numpy"],
)
def test_what_is_imported_on_demand_stays_out(code, names):
    """In a process of its own; other tests have imported everything here."""
    code += f"; import sys; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


class _OnDevice(np.ndarray):
    """NumPy's array that says where it lies as CuPy's does."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.__array_interface__["data"][0])


def test_scalars_of_few_arrays_are_read_at_once(monkeypatch):
    chunk = np.arange(12.0, dtype=np.float32).reshape(4, 3).view(_OnDevice)
    large = np.arange(5000.0).view(_OnDevice)
    alone = np.array(7).view(_OnDevice)
    homes = []

    def to_host(array):
        homes.append(array)
        return np.asarray(array)

    monkeypatch.setattr(_registry, "to_host", to_host)
    pieces = (chunk[2, 1, ...], alone, large[9, ...], chunk[0, 2, ...])
    assert _registry._read_wholes(np, pieces) == [7.0, 7.0, 9.0, 2.0]
    assert [home.size for home in homes] == [12 + 1 + 1]
    assert _registry._read_wholes(np, []) == []
