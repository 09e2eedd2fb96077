"""Write ``tests/golden/trajectory.npz``: three small trainings by the reference on NumPy, in float32 and float64.

``python tools/make_trajectory.py`` is to be run when the mathematics is meant to change, and never else: the file is
what later versions, other libraries and other machines are held against. For each training it holds the initial
parameters, the loss of each step, the last parameters and optimizer state, and one step op by op, with the state before
it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import nnxp
from nnxp import layers, losses, optimizers, parity, regularizers, schedules

TARGET = Path(__file__).parents[1] / "tests" / "golden" / "trajectory.npz"
STEPS = {"float32": 10, "float64": 200}
"""Float32 is compared while rounding has not grown yet, float64 over a longer way."""
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


NETWORKS = {network.__name__: network for network in (classes, yes_or_no, regression)}


def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and targets, float64."""
    x = np.random.Generator(np.random.Philox(17)).standard_normal((ROWS, 4))
    targets = {
        "classes": np.argmax(x[:, :3], axis=1),
        "yes_or_no": (x[:, :2] * x[:, 2:] > 0).astype(np.float64),
        "regression": np.sin(x[:, :1] + x[:, 1:2]),
    }
    return x, targets[name]


def model_of(name: str, backend: nnxp.Backend) -> nnxp.Model:
    """The network, built on a backend."""
    model = nnxp.Model(**NETWORKS[name](), backend=backend)
    model.build((4,))
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
    for step in range(STEPS[dtype]):
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


def main() -> None:
    """Run all and store them."""
    arrays = {f"{name}.{part}": array for name in NETWORKS for part, array in zip("xy", data(name), strict=True)}
    for name in NETWORKS:
        for dtype in STEPS:
            arrays |= {f"{name}.{dtype}.{key}": array for key, array in record(name, dtype)}
    np.savez_compressed(TARGET, **arrays)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes, {len(arrays)} arrays, NumPy {np.__version__}")


if __name__ == "__main__":
    main()
