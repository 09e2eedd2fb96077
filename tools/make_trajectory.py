"""Write ``tests/golden/trajectory.npz``: four small trainings by the reference on NumPy, in float32 and float64.

``python tools/make_trajectory.py NAME…`` is to be run when a network is new or its mathematics is meant to change, and
never else: the file is what later versions, other libraries and other machines are held against. What it holds of the
networks that are not named stays as it is. For each training it holds the initial
parameters, the loss of each step, the last parameters and optimizer state, and one step op by op, with the state before
it.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np

import nnxp
from nnxp import layers, losses, optimizers, parity, regularizers, schedules

TARGET = Path(__file__).parents[1] / "tests" / "golden" / "trajectory.npz"
STEPS = {"float32": 10, "float64": 200}
"""Float32 is compared while rounding has not grown yet, float64 over a longer way."""
STEPS_ON_IMAGES = {"float32": 5, "float64": 30}
TAKEN_APART = 3
"""The step that is stored op by op."""
ROWS, BATCH = 36, 12


def classes() -> dict:
    """ReLU, dropout and a penalty; softmax with cross-entropy; Adam."""
    penalty = regularizers.L2(1e-3)
    first = [layers.Dense(8, weight_regularizer=penalty, bias_regularizer=penalty), layers.ReLU(), layers.Dropout(0.2)]
    rate = schedules.InverseTimeDecay(0.02, 1e-3)
    return {
        "layers": [*first, layers.Dense(6), layers.Tanh(), layers.Dense(3), layers.Softmax()],
        "loss": losses.CategoricalCrossentropy(),
        "optimizer": optimizers.Adam(rate),
    }


def yes_or_no() -> dict:
    """Sigmoids, one of them with its cross-entropy; gradient descent with momentum."""
    return {
        "layers": [layers.Dense(8), layers.Sigmoid(), layers.Dropout(0.1), layers.Dense(2), layers.Sigmoid()],
        "loss": losses.BinaryCrossentropy(),
        "optimizer": optimizers.SGD(0.2, momentum=0.9, clip_norm=0.5),
    }


def regression() -> dict:
    """Tanh; squared errors, summed; Nesterov's momentum; a penalty on absolute values."""
    return {
        "layers": [layers.Dense(8, weight_regularizer=regularizers.L1(1e-3)), layers.Tanh(), layers.Dense(1)],
        "loss": losses.MeanSquaredError(reduction="sum"),
        "optimizer": optimizers.SGD(0.005, momentum=0.8, nesterov=True, clip_value=5.0),
    }


def images() -> dict:
    """A convolution, poolings, both normalizations; smoothed and weighted classes; AdamW.

    The convolution's biases are not directly before a normalization, where their gradient would be all rounding.
    """
    first = [layers.Conv2D(3, 3), layers.GELU(), layers.MaxPool2D(2, strides=1), layers.BatchNorm()]
    return {
        "layers": [*first, layers.Flatten(), layers.LayerNorm(), layers.Dense(3), layers.Softmax()],
        "loss": losses.CategoricalCrossentropy(label_smoothing=0.1, class_weights=(1.0, 2.0, 0.5)),
        "optimizer": optimizers.AdamW(0.02, weight_decay=0.1, epsilon=1e-4, clip_parameter_norm=1.5),
    }


NETWORKS = {network.__name__: network for network in (classes, yes_or_no, regression, images)}


def steps(name: str, dtype: str) -> int:
    """The length of a training."""
    return (STEPS_ON_IMAGES if name == "images" else STEPS)[dtype]


def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and targets, float64."""
    random = np.random.Generator(np.random.Philox(17))
    if name == "images":
        x = random.standard_normal((ROWS, 5, 5, 1))
        return x, np.argmax(x[:, 2, 1:4, 0], axis=1)
    x = random.standard_normal((ROWS, 4))
    targets = {
        "classes": np.argmax(x[:, :3], axis=1),
        "yes_or_no": (x[:, :2] * x[:, 2:] > 0).astype(np.float64),
        "regression": np.sin(x[:, :1] + x[:, 1:2]),
    }
    return x, targets[name]


def model_of(name: str, backend: nnxp.Backend) -> nnxp.Model:
    """The network, built on a backend."""
    model = nnxp.Model(**NETWORKS[name](), backend=backend)
    model.build(data(name)[0].shape[1:])
    return model


def batch(step: int) -> slice:
    """The rows of a step."""
    start = step * BATCH % ROWS
    return slice(start, start + BATCH)


def record(name: str, dtype: str) -> Iterator[tuple[str, np.ndarray]]:
    """Everything about one training, by name."""
    backend = nnxp.get_backend("numpy", kernels="reference", dtype=dtype, seed=11)
    model, (x, y) = model_of(name, backend), data(name)
    yield from (("initial." + key, array) for key, array in model.state_dict().items())
    values = []
    for step in range(steps(name, dtype)):
        part = batch(step)
        if step == TAKEN_APART:
            yield from _taken_apart(model, backend.asarray(x[part]), backend.asarray(y[part]))
        values.append(model.train_step(x[part], y[part]))
    yield "losses", np.asarray(values)
    yield from _state("final", model)


def _state(prefix: str, model: nnxp.Model) -> Iterator[tuple[str, np.ndarray]]:
    yield from ((f"{prefix}.{key}", array) for key, array in model.state_dict().items())
    for slot, arrays in model.engine.slot_state().items():
        yield from ((f"{prefix}.{slot}.{key}", array) for key, array in arrays.items())


def _taken_apart(model: nnxp.Model, x: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield from _state("before", model)
    for number, (step, values) in enumerate(parity.calls(model, x, y)):
        returned = getattr(model.backend.ops, step.op)(*[values[key] for key in step.inputs])
        results = returned if isinstance(returned, tuple) else (returned,)
        values.update(zip(step.outputs, results, strict=True))
        for key, array in zip(step.outputs, results, strict=True):
            yield f"op.{number}.{step.op}.{key}", np.array(array)


def save(arrays: Mapping[str, np.ndarray]) -> None:
    """Store arrays as one: hundreds of small entries would be mostly their headers."""
    index = [f"{key} {array.dtype.str} {array.shape}" for key, array in arrays.items()]
    content = b"".join(array.tobytes() for array in arrays.values())
    np.savez_compressed(TARGET, index=np.asarray(index), content=np.frombuffer(content, dtype=np.uint8))


def load() -> dict[str, np.ndarray]:
    """What `save` stored."""
    arrays, start = {}, 0
    with np.load(TARGET, allow_pickle=False) as file:
        index, content = file["index"], file["content"].tobytes()
    for entry in index:
        key, dtype, shape = str(entry).split(" ", 2)
        sizes = tuple(int(size) for size in shape.strip("()").split(",") if size.strip())
        arrays[key] = np.frombuffer(content, dtype, prod(sizes), start).reshape(sizes)
        start += arrays[key].nbytes
    return arrays


def main(names: Sequence[str]) -> None:
    """Run these (without a name, all) and store them beside the others."""
    kept = load() if names else {}
    arrays = {key: array for key, array in kept.items() if key.partition(".")[0] not in names}
    for name in names or NETWORKS:
        arrays |= {f"{name}.{part}": array for part, array in zip("xy", data(name), strict=True)}
        for dtype in STEPS:
            arrays |= {f"{name}.{dtype}.{key}": array for key, array in record(name, dtype)}
    save(arrays)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes, {len(arrays)} arrays, NumPy {np.__version__}")


if __name__ == "__main__":
    main(sys.argv[1:])
