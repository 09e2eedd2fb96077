"""Memory that runs out, on a device whose arrays may hold so many bytes at a time: what is said, and what is left."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import nnxp
from nnxp.backend import Backend
from nnxp.backend._memory import Shortage, cupy_memory, host_memory, jax_memory, shortage, torch_memory
from nnxp.errors import NnxpError, OutOfMemoryError
from nnxp.layers import BatchNorm, Dense, Lambda, ReLU, Softmax
from nnxp.losses import CategoricalCrossentropy
from nnxp.optimizers import SGD, Adam, RandomSearch
from nnxp.training.memory import Need, of_bytes

ROWS, INPUTS, CLASSES = 2000, 20, 3
LIMIT = 200_000
"""Bytes: the data and the parameters fit, and the values between the layers of all rows do not."""


class FakeOutOfMemory(MemoryError):
    """What a library's own error would be."""


def limited(backend: Backend, limit: int = LIMIT) -> Backend:
    """The backend on a device that has so many free bytes, and says no to a larger block."""
    itemsize = backend.itemsize

    def zeros(xp: object, size: int, *arguments: object) -> object:
        if size * itemsize > limit:
            raise FakeOutOfMemory(f"Out of memory allocating {size * itemsize:,} bytes (allocated so far: 7 bytes).")
        return backend.adapter.zeros(xp, size, *arguments)

    return replace(backend, adapter=replace(backend.adapter, zeros=zeros, memory=lambda device: (limit, 4 * limit)))


@pytest.fixture
def limited_backend(backend: Backend) -> Backend:
    """The tested library with little memory."""
    if not backend.ops.honours:
        pytest.skip("no values are placed here; `test_values_that_have_no_place` is for these")
    return limited(backend)


def classifier(backend: object, **options: object) -> nnxp.Model:
    layers = [Dense(64, input_size=INPUTS), BatchNorm(), ReLU(), Dense(CLASSES), Softmax()]
    settings = {"optimizer": Adam(0.01, ema=0.9), "metrics": ["accuracy"], **options}
    return nnxp.Model(layers, loss=CategoricalCrossentropy(), backend=backend, **settings)


@pytest.fixture
def data(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return random.standard_normal((ROWS, INPUTS)).astype("float32"), random.integers(0, CLASSES, ROWS)


CALLS: dict[str, Callable[..., object]] = {
    "fit": lambda model, x, y, size: model.fit(x, y, batch_size=size, progress="off"),
    "train_step": lambda model, x, y, size: model.train_step(x[:size], y[:size]),
    "loss_and_gradients": lambda model, x, y, size: model.loss_and_gradients(x[:size], y[:size]),
    "evaluate": lambda model, x, y, size: model.evaluate(x, y, batch_size=size),
    "predict": lambda model, x, y, size: model.predict(x, batch_size=size),
}
ADVICE = {
    "fit": r"fit\(…, batch_size=(\d+)\), or, for the same updates, optimizers\.Adam\(…, accumulate=\d+\)",
    "train_step": r"hand train_step (\d+) samples at a time, or, for the same updates, optimizers\.Adam",
    "loss_and_gradients": r"hand loss_and_gradients (\d+) samples at a time",
    "evaluate": r"evaluate\(…, batch_size=(\d+)\)\.",
    "predict": r"predict\(…, batch_size=(\d+)\)\.",
}


def state_of(model: nnxp.Model) -> dict[str, np.ndarray]:
    slots = {f"{slot}/{key}": a for slot, arrays in model.engine.slot_state().items() for key, a in arrays.items()}
    return {**model.state_dict(), **slots}


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


@pytest.mark.parametrize("call", CALLS)
def test_the_message_and_its_advice(limited_backend, data, call):
    """What is needed, what is free, what fits; and what is said to fit does."""
    model = classifier(limited_backend)
    with pytest.raises(OutOfMemoryError, match=rf"^{call}: memory ran out on .*{ADVICE[call]}") as caught:
        CALLS[call](model, *data, ROWS)
    message, fits = str(caught.value), caught.value.batch_size
    assert isinstance(caught.value, NnxpError)
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value.__cause__, FakeOutOfMemory)
    assert int(re.search(ADVICE[call], message)[1]) == fits
    assert re.search(r"[\d.]+ [KM]iB were asked for, and 195 KiB of 781 KiB are free\.", message)
    assert re.search(rf"{ROWS} samples take about [\d.]+ [KM]iB \(.* of values between layers, .* of data\)", message)
    assert ("as it was after its last finished epoch" in message) == (call == "fit")
    assert 1 < fits < ROWS
    CALLS[call](model, *data, fits)


def test_the_advice_to_accumulate_fits(limited_backend, data):
    model = classifier(limited_backend)
    with pytest.raises(OutOfMemoryError) as caught:
        model.fit(*data, progress="off")
    times = int(re.search(r"accumulate=(\d+)", str(caught.value))[1])
    model.optimizer = Adam(0.01, accumulate=times)
    model.fit(*data, progress="off")
    assert model.step == 1


def test_advice_counts_the_parts_that_there_are(limited_backend, data):
    model = classifier(limited_backend, optimizer=SGD(0.1, accumulate=2))
    with pytest.raises(OutOfMemoryError, match=f"^fit: .* {ROWS // 2} samples take about") as caught:
        model.fit(*data, progress="off")
    times = int(re.search(r"accumulate=(\d+)", str(caught.value))[1])
    assert times > 2
    whole = classifier(limited_backend, optimizer=SGD(0.1))
    with pytest.raises(OutOfMemoryError) as in_one:
        whole.train_step(*(a[: ROWS // 2] for a in data))
    assert caught.value.batch_size == 2 * in_one.value.batch_size
    model.optimizer = SGD(0.1, accumulate=times)
    model.fit(*data, progress="off")
    model.optimizer = SGD(0.1, accumulate=2)
    model.fit(*data, batch_size=caught.value.batch_size, progress="off")


def test_an_optimizer_without_gradients_cannot_accumulate(limited_backend, data):
    model = classifier(limited_backend, optimizer=RandomSearch())
    with pytest.raises(OutOfMemoryError, match=r"fit\(…, batch_size=\d+\)\. The model is"):
        model.fit(*data, progress="off")


@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_lost(limited_backend, data, call):
    """The model goes on as one to which nothing happened."""
    x, y = data
    model, other = classifier(limited_backend), classifier(limited_backend)
    for each in (model, other):
        each.fit(x, y, batch_size=50, progress="off")
        each.learning_rate_factor = 0.5
    before = state_of(model)
    with pytest.raises(OutOfMemoryError):
        CALLS[call](model, x, y, ROWS)
    assert_same(state_of(model), before)
    assert (model.step, model.learning_rate_factor) == (other.step, 0.5)
    for each in (model, other):
        each.fit(x, y, batch_size=50, progress="off")
    assert_same(state_of(model), state_of(other))


def test_a_later_batch_of_fit(limited_backend, data):
    """A callback asks for too much after the second epoch: that one is finished, and is what is left."""
    model = classifier(limited_backend)
    model.fit(*data, batch_size=50, progress="off")
    before = state_of(model)

    class Greedy(nnxp.callbacks.Callback):
        def on_epoch_end(self, model, epoch, logs):
            if epoch == 1:
                model.evaluate(*data)

    with pytest.raises(OutOfMemoryError, match=r"^evaluate: ") as caught:
        model.fit(*data, batch_size=50, epochs=5, progress="off", callbacks=[Greedy()])
    assert not isinstance(caught.value.__cause__, OutOfMemoryError)
    assert len(model.history["loss"]) == 2
    assert model.step == 3 * ROWS // 50  # the second epoch was finished when the callback was called
    other = classifier(limited_backend)
    other.fit(*data, batch_size=50, progress="off")
    assert_same(state_of(other), before)
    other.fit(*data, batch_size=50, epochs=2, progress="off")
    assert_same(state_of(other), state_of(model))


def test_a_plan_that_found_no_room_is_not_used_again(backend, data):
    """Once there is room, the same call on the same arrays works, and gives what it always gives."""
    full = [True]
    usual, none_left = backend.adapter.zeros, limited(backend).adapter.zeros

    def zeros(*arguments):
        return (none_left if full[0] else usual)(*arguments)

    here = replace(backend, adapter=replace(backend.adapter, zeros=zeros))
    x, y = (backend.asarray(a) for a in data)
    model, other = classifier(here), classifier(backend)
    if backend.ops.honours:
        for _ in range(2):
            with pytest.raises(OutOfMemoryError):
                model.train_step(x, y)
    full[0] = False
    for _ in range(2):
        assert float(model.train_step(x, y)) == float(other.train_step(x, y))
    assert_same(state_of(model), state_of(other))


def test_a_plan_that_was_interrupted_while_it_was_made_is_not_used_again(backend, data, monkeypatch):
    x, y = (backend.asarray(a) for a in data)
    model, other = classifier(backend), classifier(backend)

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    if backend.ops.honours:
        monkeypatch.setattr("nnxp.training.plan.Workspace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.train_step(x, y)
        monkeypatch.undo()
    for _ in range(2):
        assert float(model.train_step(x, y)) == float(other.train_step(x, y))
    assert_same(state_of(model), state_of(other))


def test_the_error_holds_no_arrays(limited_backend, data):
    """A notebook keeps the last error: the frames that it leads to are empty."""
    model = classifier(limited_backend)
    with pytest.raises(OutOfMemoryError) as caught:
        model.train_step(*data)
    trace, frames = caught.value.__cause__.__traceback__, []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    bind = [frame for frame in frames if frame.f_code.co_name == "_bind"]
    assert len(bind) == 1
    assert not bind[0].f_locals
    assert len(model.engine._plans) == 0


def test_the_engine_forgets_its_plans_by_itself(limited_backend, data):
    """Also the small ones, so that what is put back after an error finds room."""
    model = classifier(limited_backend)
    x, y = (limited_backend.asarray(a) for a in data)
    model.train_step(x[:10, :], y[:10])
    with pytest.raises(FakeOutOfMemory):
        model.engine.train(x, y)
    assert len(model.engine._plans) == 0


def test_parameters_that_do_not_fit(backend):
    small = limited(backend)
    model = nnxp.Model([Dense(3000)], loss=CategoricalCrossentropy(from_logits=True), optimizer=SGD(), backend=small)
    with pytest.raises(OutOfMemoryError, match=r"^Model: memory ran out .* were asked for.* It was for the par"):
        model.build((INPUTS,))
    assert not model.built


def test_a_model_that_cannot_move_stays(backend, data):
    model = classifier(backend)
    model.train_step(data[0][:50], data[1][:50])
    before, there = state_of(model), model.backend
    with pytest.raises(OutOfMemoryError, match="on the new device; the model stays where it was"):
        model.to(limited(backend, 100))
    assert model.backend is there
    assert_same(state_of(model), before)
    model.train_step(data[0][:50], data[1][:50])


@pytest.mark.parametrize("name", ["x", "y"])
def test_data_that_does_not_fit(backend, data, name):
    """It is moved to the device as a whole."""

    def from_host(xp, array, device):
        if array.shape == {"x": (ROWS, INPUTS), "y": (ROWS,)}[name]:
            raise FakeOutOfMemory(f"Out of memory allocating {array.nbytes:,} bytes")
        return backend.adapter.from_host(xp, array, device)

    if backend.name == "numpy":
        pytest.skip("nothing is moved here")
    model = classifier(replace(backend, adapter=replace(backend.adapter, from_host=from_host)))
    x, y = data
    with pytest.raises(
        OutOfMemoryError, match=f"^Model: .* It was for {name}, of which all is moved .* hand over parts"
    ):
        model.fit(x, y, progress="off")
    model.train_step(x[:10], y[:10])


def test_values_that_have_no_place(backend, data):
    """A layer of one's own runs out of memory by itself, and so does any op of a library without kernels."""

    def hungry(xp, x):
        if x.shape[0] > 100:
            raise FakeOutOfMemory("Out of memory allocating 123,456,789 bytes")
        return x

    layers = [Dense(8, input_size=INPUTS), Lambda(hungry, lambda xp, dy, x: dy), Dense(CLASSES), Softmax()]
    here = replace(backend, adapter=replace(backend.adapter, memory=lambda device: (10_000, 20_000)))
    model = nnxp.Model(layers, loss=CategoricalCrossentropy(), optimizer=SGD(0.1), backend=here)
    with pytest.raises(
        OutOfMemoryError, match=rf"train_step: .* 118 MiB were asked for.* {ROWS} samples take"
    ) as caught:
        model.train_step(*data)
    model.train_step(*(a[: caught.value.batch_size] for a in data))


def test_nothing_fits(backend):
    need = Need(rows=10, values=1000, batch=1000)
    assert need.fits(100) == 0
    assert Need(1, 10, 10).fits(None) == 0
    small = limited(backend)
    model = nnxp.Model([Dense(1, input_size=2)], loss=nnxp.losses.MeanSquaredError(), optimizer=SGD(), backend=small)

    def fail(*arguments, **options):
        model.engine._need = need
        raise FakeOutOfMemory

    model.engine.run = fail
    object.__setattr__(small.adapter, "memory", lambda device: (100, 200))
    with pytest.raises(OutOfMemoryError, match=r"a block was asked for.*not even one will fit: free other") as caught:
        model.predict([[1.0, 2.0]])
    assert caught.value.batch_size is None


def test_any_other_error_is_left_alone(backend, data):
    def wrong(xp, x):
        if x.shape[0]:
            raise RuntimeError("no")
        return x

    layers = [Dense(3, input_size=INPUTS), Lambda(wrong, lambda xp, dy, x: dy), Softmax()]
    model = nnxp.Model(layers, loss=CategoricalCrossentropy(), optimizer=SGD(), backend=backend)
    with pytest.raises(RuntimeError, match=r"^no$"):
        model.train_step(*data)


class TestNeed:
    @pytest.mark.parametrize(
        ("free", "expected"), [(None, 32), (10_000_000, 32), (2_000, 16), (1_000, 8), (120, 1), (100, 0), (0, 0)]
    )
    def test_a_power_of_two_below_what_there_was(self, free, expected):
        assert Need(rows=64, values=6000, batch=400).fits(free) == expected

    @pytest.mark.parametrize(
        ("count", "text"),
        [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (150 << 20, "150 MiB"), (3 << 50, "3072 TiB")],
    )
    def test_bytes(self, count, text):
        assert of_bytes(count) == text


def error_of(kind: str, base: type[Exception], module: str, text: str) -> Exception:
    return type(kind, (base,), {"__module__": module})(text)


class TestLibraries:
    """What each library says, word for word."""

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (
                error_of(
                    "OutOfMemoryError", MemoryError, "cupy.cuda.memory", "Out of memory allocating 8,589 bytes (al"
                ),
                Shortage(8589, on_host=False),
            ),
            (
                error_of("CUDARuntimeError", RuntimeError, "cupy", "cudaErrorMemoryAllocation: out of memory"),
                Shortage(0, on_host=False),
            ),
            (error_of("CUDADriverError", RuntimeError, "cupy", "CUDA_ERROR_OUT_OF_MEMORY: ou"), Shortage(0, False)),
            (error_of("CUBLASError", RuntimeError, "cupy", "CUBLAS_STATUS_ALLOC_FAILED"), Shortage(0, False)),
            (
                error_of(
                    "OutOfMemoryError", RuntimeError, "torch", "CUDA out of memory. Tried to allocate 2.00 GiB. GPU"
                ),
                Shortage(2 << 30, False),
            ),
            (
                RuntimeError(
                    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000 bytes. Error code 12"
                ),
                Shortage(4000, True),
            ),
            (
                error_of(
                    "XlaRuntimeError", RuntimeError, "jaxlib", "RESOURCE_EXHAUSTED: Out of memory allocating 40 bytes."
                ),
                Shortage(40, False),
            ),
            (MemoryError(), Shortage(0, True)),
            (RuntimeError("no"), None),
            (ValueError("out of memory"), None),
            (KeyboardInterrupt(), None),
        ],
        ids=str,
    )
    def test_shortage(self, error, expected):
        assert shortage(error) == expected

    def test_numpy_itself(self):
        with pytest.raises(MemoryError) as caught:
            np.empty((1 << 50,))
        found = shortage(caught.value)
        assert found is not None
        assert found.on_host
        assert found.asked == 1 << 53

    def test_a_model_on_numpy(self):
        """Nothing is faked here: no computer has so much memory."""
        model = nnxp.Model([Dense(1 << 30)], loss=nnxp.losses.MeanSquaredError(), optimizer=SGD())
        with pytest.raises(OutOfMemoryError, match=r"memory ran out on the host: .*asked for.*for the parameters"):
            model.build((1 << 25,))

    def test_host(self):
        found = host_memory()
        assert found is None or 0 < found[0] <= found[1]

    def test_no_meminfo(self, monkeypatch):
        def fail(*arguments, **options):
            raise FileNotFoundError

        monkeypatch.setattr("nnxp.backend._memory.open", fail, raising=False)
        assert host_memory() is None

    @pytest.mark.parametrize(("limit", "expected"), [(0, (130, 200)), (100, (80, 100)), (1000, (130, 200))])
    def test_cupy(self, limit, expected, monkeypatch):
        """Free on the GPU, and held ready by the pool, of which 20 bytes are in use; a limit counts."""
        pool = SimpleNamespace(free_bytes=lambda: 30, used_bytes=lambda: 20, get_limit=lambda: limit)
        cupy = SimpleNamespace(get_default_memory_pool=lambda: pool)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        assert cupy_memory(Gpu()) == expected

    def test_torch(self, monkeypatch):
        cuda = SimpleNamespace(
            mem_get_info=lambda device: (100, 200),
            memory_reserved=lambda device: 50,
            memory_allocated=lambda device: 20,
        )
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
        assert torch_memory(SimpleNamespace(type="cuda")) == (130, 200)
        assert torch_memory(SimpleNamespace(type="cpu")) is not None or host_memory() is None
        assert torch_memory(SimpleNamespace(type="mps")) is None

    def test_jax(self):
        told = {"bytes_limit": 200, "bytes_in_use": 50}
        assert jax_memory(SimpleNamespace(platform="gpu", memory_stats=lambda: told)) == (150, 200)
        assert jax_memory(SimpleNamespace(platform="tpu", memory_stats=lambda: None)) is None
        assert jax_memory(SimpleNamespace(platform="cpu")) == pytest.approx(host_memory(), rel=0.1)


class Gpu:
    """CuPy's device, as far as it is asked."""

    mem_info = 100, 200

    def __enter__(self) -> "Gpu":
        return self

    def __exit__(self, *arguments: object) -> None:
        pass
