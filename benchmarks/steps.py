"""Microseconds per training step: nnxp beside the book's code and PyTorch.

    python benchmarks/steps.py --workloads W1 W2 W4 --json steps.json

All contenders start from the same weights and see the same batch. Before any clock starts, their losses over the first
steps must agree with the book's code run in float64. Then they are timed in interleaved rounds; every round starts from
the first weights again, so that nobody is timed on a network that has stopped learning.

Each contender has a process of its own, as it has with its user; the rounds take turns all the same. ``--together``
runs them in one process, which flatters code that allocates at every step: in a shared heap its fresh arrays are cheap
once somebody else has freed larger ones. With several threads processes are always separate: pools disturb each other.
"""

import argparse
import gc
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import platform
import statistics
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from book import Book
from workloads import WORKLOADS

CHECKED_STEPS = 20
TOLERANCE = 1e-3
WARM_UP_STEPS = 5


class Nnxp:
    """nnxp through its public names: as it comes, or with the reference kernels."""

    def __init__(self, workload, x, y, weights, kernels="auto"):
        import nnxp
        from nnxp import layers, losses, optimizers, regularizers

        penalty = regularizers.L2(workload.l2) if workload.l2 else None
        chain, state = [], {}
        for w, b in weights:
            state |= {f"{len(chain)}.weights": w, f"{len(chain)}.biases": b}
            penalties = {} if chain else {"weight_regularizer": penalty, "bias_regularizer": penalty}
            chain += [layers.Dense(w.shape[1], **penalties), layers.ReLU()]
        chain[-1:] = [layers.Softmax()] if workload.classifies else []
        self.model = nnxp.Model(
            chain,
            loss=losses.CategoricalCrossentropy() if workload.classifies else losses.MeanSquaredError(),
            optimizer=optimizers.Adam(learning_rate=workload.learning_rate),
            backend=nnxp.get_backend("numpy", kernels=kernels),
        )
        self.model.build(x.shape[1:])
        self.model.load_state_dict(state)
        self.x, self.y = x, y

    def step(self):
        """One update on the batch; the loss before it."""
        return self.model.train_step(self.x, self.y)


@dataclass
class Result:
    """One contender on one workload."""

    loss_error: float  # worst relative difference from the float64 losses
    steps_per_round: int = 0
    rounds: list[float] = field(default_factory=list)  # µs per step

    @property
    def median(self):
        return statistics.median(self.rounds)

    def as_json(self):
        low, _, high = statistics.quantiles(self.rounds, n=4)
        return {
            "median_us": self.median,
            "quartiles_us": [low, high],
            "minimum_us": min(self.rounds),
            "rounds": len(self.rounds),
            "steps_per_round": self.steps_per_round,
            "loss_error": self.loss_error,
        }


def torch_peer(*start):
    """PyTorch, imported only when it takes part."""
    from torch_peer import Torch

    return Torch(*start)


# The book comes first: the others are compared with it.
MAKERS = {"book": Book, "nnxp": Nnxp, "nnxp reference": partial(Nnxp, kernels="reference"), "torch": torch_peer}


def installed():
    """The names of everyone who can take part."""
    return [name for name in MAKERS if name == "book" or importlib.util.find_spec(name.split()[0])]


def first_losses(contender):
    """The losses of the first steps, penalties included."""
    losses = []
    for _ in range(CHECKED_STEPS):
        penalty = float(contender.penalty()) if hasattr(contender, "penalty") else 0.0
        losses.append(float(contender.step()) + penalty)
    return np.asarray(losses)


def check(workload, names):
    """The error of each contender's losses; whoever computes something else ends the run."""
    exact = first_losses(Book(workload, *workload.data("float64"), workload.weights("float64")))
    results = {}
    for name in names:
        losses = first_losses(MAKERS[name](workload, *workload.data(), workload.weights()))
        error = float(np.max(np.abs(losses - exact) / np.abs(exact)))
        if not error <= TOLERANCE:
            sys.exit(f"{workload.name}: the losses of {name} are off by {error:.1e}, allowed are {TOLERANCE:.0e}.")
        results[name] = Result(error)
    return results


def time_round(name, workload, steps):
    """Microseconds per step from the first weights on, after a few steps that are not counted."""
    contender = MAKERS[name](workload, *workload.data(), workload.weights())
    for _ in range(WARM_UP_STEPS):
        contender.step()
    gc.collect()
    start = perf_counter()
    for _ in range(steps):
        contender.step()
    return (perf_counter() - start) / steps * 1e6


@contextmanager
def limited(threads):
    """Everybody's pools held to so many threads."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    with threadpool_limits(threads):
        yield


def serve(pipe, threads):
    """The life of a separate process: it times the rounds that it is sent, until it is sent None."""
    while task := pipe.recv():
        name, workload, steps = task
        MAKERS[name](workload, *workload.data(), workload.weights())  # imports what it needs, before the limit
        with limited(threads):
            pipe.send(time_round(name, workload, steps))


@contextmanager
def separate(names, threads):
    """`time_round`, with a process for each contender."""
    spawn = multiprocessing.get_context("spawn")
    pipes = {}
    for name in names:
        pipes[name], theirs = spawn.Pipe()
        spawn.Process(target=serve, args=(theirs, threads), daemon=True).start()
        theirs.close()  # so that a process that dies ends the run

    def time_there(name, workload, steps):
        pipes[name].send((name, workload, steps))
        return pipes[name].recv()

    yield time_there
    for pipe in pipes.values():
        pipe.send(None)


def measure(workload, names, rounds, seconds, timed):
    """Check, then time in rounds of about ``seconds`` for each contender, each round led by another one."""
    results = check(workload, names)
    for name in names:
        guess = timed(name, workload, 5)
        results[name].steps_per_round = int(min(max(seconds * 1e6 / guess, 5), 300))
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            results[name].rounds.append(timed(name, workload, results[name].steps_per_round))
    return results


def table(workload, results):
    """The medians as text."""
    layers = "-".join(map(str, workload.sizes))
    lines = [f"{workload.name} {workload.title}: {layers}, batch {workload.batch}"]
    lines.append(f"  {'':16}{'µs/step':>10}{'quartiles':>20}{'× faster':>10}{'loss error':>12}")
    for name, result in results.items():
        values = result.as_json()
        low, high = values["quartiles_us"]
        ratio = results["book"].median / result.median
        spread = f"{low:.1f} – {high:.1f}"
        lines.append(f"  {name:16}{result.median:>10.1f}{spread:>20}{ratio:>10.2f}{result.loss_error:>12.0e}")
    return "\n".join(lines)


def cpu_name():
    """The processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def surroundings(options):
    """What the figures depend on."""
    versions = {}
    for package in ("nnxp", "numpy", "numba", "array-api-compat", "torch"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    pools = ("user_api", "internal_api", "version", "architecture", "threading_layer", "num_threads")
    return {
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "system": platform.platform()},
        "python": platform.python_version(),
        "versions": versions,
        "threads": options.threads,
        "separate": options.separate,
        "pools": [{key: pool[key] for key in pools if key in pool} for pool in threadpool_info()],
        "environment": {k: v for k, v in os.environ.items() if k.startswith(("OPENBLAS_", "OMP_", "MKL_", "KMP_"))},
    }


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--workloads", nargs="+", choices=WORKLOADS, default=["W1", "W2", "W4"], help="default: W1 W2 W4"
    )
    parser.add_argument("--contenders", nargs="+", metavar="NAME", help="default: all installed; book always runs")
    parser.add_argument("--rounds", type=int, default=21, help="at least 15 (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.05, help="per contender and round (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="BLAS threads (default: %(default)s)")
    parser.add_argument("--together", action="store_true", help="all contenders in one process")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and what they depend on")
    options = parser.parse_args(arguments)
    if options.rounds < 15:
        parser.error("medians need at least 15 rounds")
    options.separate = not options.together or options.threads > 1
    return options


def main(arguments=None):
    options = parse(arguments)
    if "OPENBLAS_CORETYPE" in os.environ:
        sys.exit(
            f"OPENBLAS_CORETYPE={os.environ['OPENBLAS_CORETYPE']} is set. It makes NumPy's BLAS use that processor's "
            "kernels and leaves PyTorch's alone, so the comparison would not be fair. Unset it and run again."
        )
    names = installed()
    unknown = set(options.contenders or ()) - set(names)
    if unknown:
        sys.exit(f"Not installed or unknown: {', '.join(sorted(unknown))}. Here are: {', '.join(names)}.")
    if options.contenders:
        names = [name for name in names if name == "book" or name in options.contenders]
    if "torch" in names:
        import torch  # noqa: F401  before the limit, so that it is held too
    here = nullcontext(time_round)
    with limited(options.threads), separate(names, options.threads) if options.separate else here as timed:
        report = surroundings(options) | {"workloads": {}}
        for name in options.workloads:
            results = measure(WORKLOADS[name], names, options.rounds, options.seconds, timed)
            print(table(WORKLOADS[name], results), flush=True)
            report["workloads"][name] = {contender: result.as_json() for contender, result in results.items()}
    if options.json:
        options.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
