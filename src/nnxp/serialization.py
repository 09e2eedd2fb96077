"""Models as files: arrays in the safetensors format, the configuration as JSON in its header. No pickle.

A file holds the `state_dict`, the optimizer's slots (``optimizer.<slot>.<key>``) and a configuration of plain data,
from which only nnxp's own classes, and those that the reader names, are ever made. A SHA-256 over both tells of damage;
it is no signature, so it does not tell who wrote the file.
"""

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nnxp import _check, initializers, layers, losses, metrics, optimizers, regularizers, schedules
from nnxp._files import replacement
from nnxp._types import Arrays, Shape
from nnxp.backend import Backend, Rng, get_backend
from nnxp.data import Scaling
from nnxp.errors import ConfigurationError, FileFormatError, FileNotFound, NnxpError, ShapeError
from nnxp.layers import Layer, RecordedLayer, Sequential
from nnxp.layers._base import join
from nnxp.training import Model

__all__ = ["load", "save"]

_ENTRY = "nnxp"
_VERSION = 1
_SLOT = "optimizer"
_SCALING = ("offset", "factor")
_MOST_STEPS = 2**53
_MODULES = (layers, losses, optimizers, schedules, regularizers, initializers, metrics)
_PLAIN = (bool, int, float, str, type(None))


def save(model: Model, path: str | PathLike[str]) -> None:
    """Write a built model; the file appears whole or not at all.

    Raises
    ------
    ConfigurationError
        Something in the model cannot be written as plain data, such as a lambda for a learning rate. Functions that
        stand at the top of a module are written by their names.
    FileNotWritable
        The path cannot be written; what stood there is unchanged.
    """
    from safetensors.numpy import save as to_bytes

    engine = model.engine
    tensors = dict(engine.state())
    for slot, arrays in engine.slot_state().items():
        tensors |= {f"{_SLOT}.{slot}.{key}": array for key, array in arrays.items()}
    tensors = {key: np.ascontiguousarray(array) for key, array in tensors.items()}
    configuration = json.dumps(_configuration(model), sort_keys=True, allow_nan=False)
    # one entry, not three: the header does not keep the order of several, and the same model should be the same file
    header = json.dumps({"configuration": configuration, "sha256": _digest(configuration, tensors)}, sort_keys=True)
    content = to_bytes(tensors, metadata={_ENTRY: header})
    with replacement(path) as file:
        file.write(content)


def load(path: str | PathLike[str], *, backend: str | Backend, custom_objects: Mapping[str, Any]) -> Model:
    """Read what `save` wrote.

    Raises
    ------
    FileNotFound, FileFormatError
        There is no such file, or it is truncated, damaged, or not a model of nnxp.
    """
    header, tensors = _read(Path(path))
    configuration = _checked_configuration(path, header, tensors)
    try:
        return _model(configuration, tensors, backend, custom_objects)
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        what = f"{type(error).__name__}: {_check.one_line(error)}"
        raise FileFormatError(f"{path} has a configuration that this version cannot read ({what}).") from error
    except NnxpError as error:
        error.add_note(f"while reading {path}")
        raise


def _read(path: Path) -> tuple[str, Arrays]:
    """The header's entry and the tensors; the library holds declared sizes against the file's before it reads."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if _ENTRY not in metadata:
                raise FileFormatError(
                    f"{path} is a safetensors file of another program: its metadata has no entry {_ENTRY!r}, got "
                    f"{sorted(metadata)}; expected a file that Model.save wrote."
                )
            return metadata[_ENTRY], {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a mapping
    except FileNotFoundError as error:
        raise FileNotFound(f"There is no file {path}; check the path, or train and save a model first.") from error
    except SafetensorError as error:
        raise FileFormatError(
            f"{path} is not a whole safetensors file ({_check.one_line(error)}); {_guess(path)}"
        ) from error
    except OSError as error:
        if path.is_dir():
            raise FileFormatError(f"{path} is a folder; name a file in it.") from error
        raise FileFormatError(f"{path} cannot be read: {_check.one_line(error.strerror or error)}.") from error


def _guess(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(1) == b"\x80":  # what every binary pickle since Python 2.3 begins with
            return "it looks like a pickle, which nnxp never reads, because reading one can run anything."
    return "it was truncated, or is of another kind; save the model again."


def _checked_configuration(path: Any, header: str, tensors: Arrays) -> dict[str, Any]:
    try:
        entry = json.loads(header)
        text, sha256 = str(entry["configuration"]), entry["sha256"]
        configuration = json.loads(text)
        version = configuration["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileFormatError(f"{path} was changed after it was saved: its header cannot be read.") from error
    if sha256 != _digest(text, tensors):
        raise FileFormatError(
            f"{path} was changed after it was saved: its SHA-256 does not fit its contents. Use another copy."
        )
    if version != _VERSION:
        raise FileFormatError(f"{path} has format version {version!r}, this nnxp reads {_VERSION}; update nnxp.")
    return configuration  # type: ignore[no-any-return]


def _digest(configuration: str, tensors: Arrays) -> str:
    digest = hashlib.sha256(configuration.encode())
    for key in sorted(tensors):
        array = tensors[key]
        digest.update(f"\0{key}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


# -- objects as plain data: {"class": name, argument: value, …}


def _configuration(model: Model) -> dict[str, Any]:
    scaling = model.input_scaling
    return {
        "version": _VERSION,
        "layers": _encode(model.layers, "layers"),
        "loss": _encode(model.loss, "loss"),
        "optimizer": _encode(model.optimizer, "optimizer"),
        "metrics": _encode(model.metrics, "metrics"),
        "input_shape": list(model.input_shape),
        "dtype": _check.dtype_name(model.backend.dtype),
        "seed": model.backend.rng.seed,
        "step": model.step,
        "optimizer_start": model.engine.optimizer_start,
        "rate_factor": model.engine.rate_factor,
        "input_scaling": None if scaling is None else {name: getattr(scaling, name).tolist() for name in _SCALING},
        "class_names": model.class_names and list(model.class_names),
    }


def _encode(value: Any, where: str) -> Any:
    """Plain data as it is; an object by its class's name and what its constructor takes, read from its attributes."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list | tuple):
        return [_encode(item, where) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"mapping": {key: _encode(item, f"{where}[{key!r}]") for key, item in value.items()}}
    if isinstance(value, np.generic):
        return value.item()
    if inspect.isroutine(value) or isinstance(value, partial):
        return {"function": _function_name(value, where)}
    try:
        arguments = {name: getattr(value, name) for name in _arguments(type(value))}
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"save: {where} holds {value!r}, which cannot be written as plain data ({_check.one_line(error)}). "
            "Keep each constructor argument as an attribute of the same name."
        ) from error
    name = _NAMES.get(type(value), type(value).__name__)
    return {"class": name} | {key: _encode(item, f"{where}.{name}.{key}") for key, item in arguments.items()}


def _function_name(function: Any, where: str) -> str:
    """The name by which the reader can hand the function in; one without a name in its module has none."""
    name = getattr(function, "__name__", "")
    if getattr(sys.modules.get(getattr(function, "__module__", None) or ""), name, None) is not function:
        raise ConfigurationError(
            f"save: {where} is the function {function!r}, of which a file can only hold a name, and it has none: "
            "define it with def at the top of a module, or take an object of nnxp.schedules for a learning rate."
        )
    return str(name)


def _arguments(kind: type) -> list[str]:
    parameters = inspect.signature(kind).parameters.values()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _own_classes() -> dict[str, type]:
    """By the names that stand in files: where two modules have one name, that of the later module is in front of it."""
    classes: dict[str, type] = {}
    for module in _MODULES:
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type):
                classes[name if name not in classes else f"{module.__name__.rpartition('.')[2]}.{name}"] = kind
    return classes


_CLASSES = _own_classes()
_NAMES = {kind: name for name, kind in _CLASSES.items()}


def _decode(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_decode(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"function"}:
        return _named("function", value["function"], known)
    if value.keys() == {"mapping"}:
        return {key: _decode(item, known) for key, item in value["mapping"].items()}
    kind = _named("class", value["class"], known)
    return kind(**{key: _decode(item, known) for key, item in value.items() if key != "class"})


def _named(what: Literal["class", "function"], name: str, known: Mapping[str, Any]) -> Any:
    found = known.get(name)
    if not callable(found) or isinstance(found, type) is not (what == "class"):
        holds = "an object of class" if what == "class" else "the function"
        raise FileFormatError(
            f"The file holds {holds} {name!r}, which nnxp does not know; "
            f"pass it to load: custom_objects={{{name!r}: {name}}}."
        )
    return found


# -- from plain data to a model


def _model(configuration: dict[str, Any], tensors: Arrays, backend: str | Backend, custom: Mapping[str, Any]) -> Model:
    known = {**_CLASSES, **custom}
    scaling = configuration["input_scaling"]
    network = _decode(configuration["layers"], known)
    backend = _backend(backend, configuration)
    shape = tuple(_check.positive_int("load", "input_shape", size) for size in configuration["input_shape"])
    state = {key: array for key, array in tensors.items() if not key.startswith(_SLOT + ".")}
    _check_declared(Sequential(network), "", shape, {key: array.shape for key, array in state.items()}, backend)
    model = Model(
        network,
        loss=_decode(configuration["loss"], known),
        optimizer=_decode(configuration["optimizer"], known),
        metrics=_decode(configuration["metrics"], known),
        backend=backend,
        input_scaling=None if scaling is None else Scaling(**scaling),
        class_names=configuration["class_names"],
    )
    model.build(shape)
    model.load_state_dict(state)
    engine = model.engine
    engine.load_slot_state(_slots(model, {key: array for key, array in tensors.items() if key not in state}))
    start, step = (_check.non_negative_int("load", name, configuration[name]) for name in ("optimizer_start", "step"))
    if not start <= step < _MOST_STEPS:
        raise FileFormatError(f"The file says that the optimizer began at step {start} and is at step {step}.")
    engine.step, engine.optimizer_start = step, start
    engine.rate_factor = _check.positive("load", "rate_factor", configuration.get("rate_factor", 1.0))
    return model


def _backend(backend: str | Backend, configuration: dict[str, Any]) -> Backend:
    seed = configuration["seed"]
    if not isinstance(backend, Backend):
        return get_backend(backend, dtype=configuration["dtype"], seed=seed)
    return replace(backend, rng=Rng(seed))


def _slots(model: Model, tensors: Arrays) -> dict[str, Arrays]:
    """The optimizer's slots, held against the parameters' shapes."""
    parameters = {key: _check.shape(array) for key, array in model.engine.parameters.items()}
    expected = {f"{_SLOT}.{slot}.{key}": shape for slot in model.engine.slots for key, shape in parameters.items()}
    found = {key: array.shape for key, array in tensors.items()}
    if found != expected:
        odd = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
        raise FileFormatError(f"The optimizer's memory in the file does not fit the network: {', '.join(odd)}.")
    return {slot: {key: tensors[f"{_SLOT}.{slot}.{key}"] for key in parameters} for slot in model.engine.slots}


def _check_declared(layer: Layer, path: str, shape: Shape, shapes: Mapping[str, Shape], backend: Backend) -> Shape:
    """Hold what the layers will allocate against what the file holds, before anything is allocated."""
    if isinstance(layer, Sequential):
        for index, child in enumerate(layer.layers):
            shape = _check_declared(child, join(path, index), shape, shapes, backend)
        return shape
    if not isinstance(layer, RecordedLayer):
        return layer.build(shape, backend)  # the reader's own code, and the only way to know its output's shape
    try:
        output, specs = layer.specify(shape)
    except ShapeError as error:
        raise FileFormatError(f"A layer needs another input than the file declares: {error}") from error
    for name, spec in {**specs, **layer.statistics(shape)}.items():
        key = join(path, name)
        if shapes.get(key) != spec.shape:
            raise FileFormatError(f"{layer} needs {key} of shape {spec.shape}, the file holds {shapes.get(key)}.")
    return output
