"""Arguments in, text and an exit status out.

Exit status: 0, or 1 for an error of nnxp (one line on standard error), 2 for wrong usage, 130 for Ctrl-C. With
``--json`` the last line of standard output is one JSON object.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np

from nnxp import __version__, data, plotting
from nnxp._types import Array
from nnxp.backend import Backend, get_backend
from nnxp.cli import _bench, _doctor, _parity
from nnxp.cli._recipes import FROM_FOLDERS, NAMED, Recipe, of_name, of_table, read_table, some
from nnxp.data import Table
from nnxp.errors import DataError, FileFormatError, FileNotWritable, NnxpError, ShapeError
from nnxp.training import Model, load

__all__ = ["main"]

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    options = _options(arguments)
    try:
        result = options.run(options)
        if options.json:
            print(json.dumps(_json(result), allow_nan=False))
        sys.stdout.flush()
    except NnxpError as error:
        print(f"nnxp: {type(error).__name__}: {' '.join([str(error), *_notes(error)])}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"nnxp: interrupted. {interrupt}".rstrip(), file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    status: int = options.status
    return status


def _json(value: Any) -> Any:
    """The same for JSON: arrays are lists there, and no number (NaN, infinity) is null."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_json(item) for item in value]
    if isinstance(value, np.generic):
        return _json(value.item())
    return None if isinstance(value, float) and not isfinite(value) else value


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = _parser().parse_args(arguments)
    if getattr(options, "data_folder", None) is not None and options.data not in FROM_FOLDERS:
        options.refuse(f"argument --data-folder: only {' and '.join(FROM_FOLDERS)} have one, not {options.data!r}")
    return options


def _notes(error: BaseException) -> list[str]:
    return [f"({note})" for note in getattr(error, "__notes__", [])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nnxp", description="Neural networks on NumPy, CuPy or any array namespace.")
    parser.add_argument("--version", action="version", version=f"nnxp {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    source = f"{', '.join(NAMED)}, or a file: FILE.csv (target in the last column) or FILE.npz (keys x and y)"

    train = _command(commands, "train", _train, "train a network on data")
    _data_options(train, source)
    train.add_argument(
        "--task",
        choices=("auto", "classes", "regression"),
        default="auto",
        help="what a file's targets are; auto: classes for names and for up to 50 different whole numbers",
    )
    train.add_argument("--epochs", type=_positive, metavar="N", help="how often to go through the data")
    train.add_argument("--batch-size", type=_positive, metavar="N", help="samples an update")
    train.add_argument("--save", metavar="FILE", help="write the model (safetensors)")
    train.add_argument("--plot", metavar="FILE", help="draw the result (png, pdf or svg)")
    train.add_argument("--progress", choices=("auto", "bar", "lines", "off"), default="auto")
    train.add_argument("--seed", type=int, default=0, help="of all randomness (default 0)")
    _backend_options(train)

    evaluate = _command(commands, "evaluate", _evaluate, "measure a saved model on data")
    predict = _command(commands, "predict", _predict, "ask a saved model")
    for command, what in ((evaluate, source), (predict, f"{source}; a file for predict may leave the target out")):
        command.add_argument("model", metavar="MODEL", help="a file that nnxp train --save wrote")
        _data_options(command, what)
        _backend_options(command)

    _command(commands, "doctor", _run_doctor, "say what works here, and what to do where something does not")

    parity = _command(
        commands, "parity", _parity.run, "prove that backends compute the same, op by op and step by step"
    )
    _parity.add_options(parity, _positive)

    bench = _command(commands, "bench", _bench.run, "measure the speed of training beside other libraries")
    _bench.add_options(bench, _positive)
    return parser


def _command(commands: Any, name: str, run: Callable[..., Any], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.set_defaults(run=run, refuse=parser.error, status=0)
    return parser


def _data_options(parser: argparse.ArgumentParser, source: str) -> None:
    parser.add_argument("data", metavar="DATA", help=source)
    what = f"where the files of {' or '.join(FROM_FOLDERS)} are (default: a cache, into which they are downloaded)"
    parser.add_argument("--data-folder", metavar="DIR", help=what)


def _backend_options(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("NNXP_BACKEND", "numpy")
    names = "numpy, cupy, torch, jax, auto, …, or NAME/KERNELS such as numpy/numba (default: %(default)s)"
    parser.add_argument("--backend", default=default, help=names)
    parser.add_argument("--dtype", choices=("float32", "float64"), help="default: float32, or the saved model's")
    precision = "how CUDA products multiply float32 numbers (default: as they are)"
    parser.add_argument("--precision", choices=("float32", "tf32", "bf16"), default="float32", help=precision)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


# -- train


def _train(options: argparse.Namespace) -> dict[str, Any]:
    backend = _backend(options, options.seed)
    _check_outputs(options)
    recipe = _recipe(options)
    epochs, batch_size = options.epochs or recipe.epochs, options.batch_size or recipe.batch_size
    model = recipe.model(backend)
    counts = ", ".join(f"{len(part.y):,} {name}" for name, part in recipe.splits._asdict().items())
    print(f"{recipe.name}: {recipe.task}")
    print(", ".join(str(layer).removesuffix("()") for layer in recipe.layers))
    print(f"{counts} samples; {_where(backend, options)}, seed {options.seed}")
    start = time.perf_counter()
    try:
        _fit(model, recipe, epochs, batch_size, options.progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_after_interrupt(model, recipe, epochs, options.save)) from None
    seconds = time.perf_counter() - start
    test = _results(model, *recipe.splits.test)
    print(f"{_sentence(test, len(recipe.splits.test.y), 'test')}; {epochs} epochs in {seconds:.1f} s")
    _write(model, recipe, options)
    outputs = {"saved": options.save, "plot": options.plot}
    return {"data": recipe.name, "backend": backend.name, "epochs": epochs, "seconds": seconds, "test": test} | outputs


def _backend(options: argparse.Namespace, seed: int = 0) -> Backend:
    name, _, kernels = options.backend.partition("/")
    choices = {"kernels": kernels or "auto", "precision": options.precision}
    return get_backend(name, dtype=options.dtype or "float32", seed=seed, **choices)


def _where(backend: Backend, options: argparse.Namespace) -> str:
    """What the model trains on, as far as it was asked for."""
    kernels = f"/{backend.kernels}" if "/" in options.backend else ""
    precision = "" if backend.precision == "float32" else f" with {backend.precision} products"
    return f"{backend.name}{kernels}, {options.dtype or 'float32'}{precision}"


def _recipe(options: argparse.Namespace) -> Recipe:
    if options.data in NAMED:
        return of_name(options.data, options.seed, options.data_folder, options.progress)
    return of_table(options.data, options.seed, options.task)


def _check_outputs(options: argparse.Namespace) -> None:
    """Say now, not after a download and the training, that a result could not be written."""
    for path in filter(None, (options.save, options.plot)):
        folder = Path(path).absolute().parent
        if not folder.is_dir() or Path(path).is_dir() or not os.access(folder, os.W_OK):
            raise FileNotWritable(f"{path} cannot be written; choose a file in a folder that exists and is yours.")
    if options.plot:
        plotting.check(options.plot)


def _fit(model: Model, recipe: Recipe, epochs: int, batch_size: int, progress: Any) -> None:
    (x, y), (x_validation, y_validation), _ = recipe.splits
    model.fit(
        x,
        recipe.targets(y),
        epochs=epochs,
        batch_size=batch_size,
        validation_data=(x_validation, recipe.targets(y_validation)),
        progress=progress,
    )
    recipe.unscale(model)


def _after_interrupt(model: Model, recipe: Recipe, epochs: int, save: str | None) -> str:
    done = model.history.epochs
    if not save:
        return "Nothing was saved, because there was no --save."
    if not done:
        return "No epoch was finished, so nothing was saved."
    recipe.unscale(model)
    model.save(save)
    return f"The model as it was after epoch {done} of {epochs} was saved to {save}."


def _write(model: Model, recipe: Recipe, options: argparse.Namespace) -> None:
    if options.save:
        model.save(options.save)
        print(f"model:   {options.save}")
    if options.plot:
        plotting.save(recipe.draw(model, recipe.splits), options.plot)
        print(f"picture: {options.plot}")


# -- evaluate and predict


def _evaluate(options: argparse.Namespace) -> dict[str, Any]:
    model = _load(options)
    x, y = _test_data(options, model)
    results = _results(model, x, y)
    print(_sentence(results, len(y), "test" if options.data in NAMED else f"{options.data}:"))
    return {"model": options.model, "data": options.data, "samples": len(y), **results}


def _predict(options: argparse.Namespace) -> dict[str, Any]:
    model = _load(options)
    x, y = _questions(options, model)
    rows = [{"row": index, **_answer(model, output)} for index, output in enumerate(model.predict(x))]
    if y is not None:
        names = model.class_names if model.loss.targets == "classes" else None
        for row, target in zip(rows, y, strict=True):
            row["target"] = names[int(target)] if names else _plain(target)
    _print_rows(rows)
    return {"model": options.model, "data": options.data, "predictions": rows}


def _answer(model: Model, output: Array) -> dict[str, Any]:
    """A class with its probability, a yes or no with its probability, or numbers."""
    if model.loss.targets == "classes":
        best = int(output.argmax())
        return {"class": model.class_names[best] if model.class_names else best, "probability": float(output[best])}
    if model.loss.targets == "binary" and output.shape == (1,):
        return {"class": int(output[0] > 0.5), "probability": float(output[0])}
    return {"output": _plain(output)}


def _plain(value: Array) -> Any:
    """A number, or a list of them."""
    return value.item() if value.size == 1 else value.tolist()


def _print_rows(rows: list[dict[str, Any]]) -> None:
    print("\t".join(rows[0]))
    for row in rows:
        print("\t".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in row.values()))


def _load(options: argparse.Namespace) -> Model:
    saved = options.dtype is None and options.precision == "float32" and "/" not in options.backend
    return load(options.model, backend=options.backend if saved else _backend(options))  # a name keeps the saved dtype


def _test_data(options: argparse.Namespace, model: Model) -> tuple[Array, Array]:
    """The test split of a data set that has a name, or all of a file."""
    if options.data in NAMED:
        x, y = of_name(options.data, model.backend.rng.seed, options.data_folder).splits.test
        return _shaped(x, model), y
    table = read_table(options.data)
    return _shaped(table.x, model), _labels(table, model)


def _questions(options: argparse.Namespace, model: Model) -> tuple[Array, Array | None]:
    """The samples of a data set, and their targets where it holds them: as a key of NPZ, as a last column of CSV."""
    if Path(options.data).suffix.lower() == ".npz":
        with suppress(FileFormatError):
            return _test_data(options, model)
    if options.data not in NAMED:
        with suppress(FileFormatError):  # a target that is a name is no feature
            features = data.load_features(options.data)
            if prod(features.shape[1:]) == prod(model.input_shape):
                return _shaped(features, model), None
    return _test_data(options, model)


def _shaped(x: Array, model: Model) -> Array:
    """Rows of numbers as the model's samples (images in a CSV file are flat)."""
    found, expected = prod(x.shape[1:]), prod(model.input_shape)
    if found != expected:
        raise ShapeError(f"The data has {found} features a sample, the model was trained on {expected}.")
    return x.reshape(len(x), *model.input_shape)


def _labels(table: Table, model: Model) -> Array:
    """The table's targets in the model's numbering: classes are matched by name."""
    if model.loss.targets != "classes":
        return table.y.reshape(len(table.y), -1)
    if model.class_names is None:
        return table.y
    names = np.array(table.class_names)[table.y] if table.class_names else table.y
    numbers = {name: number for number, name in enumerate(model.class_names)}
    unknown = sorted({str(name) for name in names} - numbers.keys())
    if unknown:
        raise DataError(
            f"The model does not know the classes {some(unknown)}; it knows {some(model.class_names)}. "
            "Check that the data is of the kind that it was trained on, with the target in the last column."
        )
    return np.array([numbers[str(name)] for name in names])


def _results(model: Model, x: Array, y: Array) -> dict[str, float]:
    """What ``evaluate`` says; for a regression also its error in the data's unit, and the share that it explains."""
    results = model.evaluate(x, y)
    if model.loss.targets == "real":
        error, spread = model.predict(x) - np.asarray(y), np.asarray(y) - np.mean(y, axis=0)
        squared = float(np.sum(error**2)), float(np.sum(spread**2))
        results["rmse"] = float(np.sqrt(squared[0] / error.size))
        results.setdefault("r2", 1 - squared[0] / squared[1] if squared[1] else 0.0)
    return results


def _sentence(results: dict[str, float], count: int, what: str) -> str:
    if "rmse" in results:
        return f"{what} root mean squared error {results['rmse']:.4g}, R² {results['r2']:.4f} ({count} samples)"
    if "accuracy" not in results:
        return f"{what} loss {results['loss']:.4g} ({count} samples)"
    accuracy = results["accuracy"]
    return f"{what} accuracy {accuracy:.1%} ({round(accuracy * count)} of {count}), loss {results['loss']:.4f}"


def _run_doctor(options: argparse.Namespace) -> dict[str, Any]:
    findings = _doctor.examine()
    _doctor.print_report(findings)
    return findings
