"""Contenders with faults, and reports that nobody measured."""

import copy

import pytest

FAULTY = '''
import os

from nnxp.bench.book import Book


class Wrong(Book):
    """Learns twice as fast as it was told."""

    def __init__(self, workload):
        super().__init__(workload)
        self.optimizer.learning_rate *= 2


class Diverged(Book):
    def losses(self, steps):
        return [float("nan")] * steps


class Raises(Book):
    def step(self):
        raise RuntimeError("no compiler\\nhere")


class Dies(Book):
    def step(self):
        os.write(2, b"last words\\n")
        os._exit(3)


class Talks(Book):
    def step(self):
        print("a progress bar")
        return super().step()
'''


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """A module that processes of contenders can import."""
    (tmp_path / "faulty_contenders.py").write_text(FAULTY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture(autouse=True)
def _no_pinned_blas(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)


def figures(median, error=1e-7, peak=40.0):
    return {
        "peak_mib": peak,
        "loss_error": error,
        "checked_steps": 20,
        "median_us": median,
        "quartiles_us": [median * 0.99, median * 1.01],
        "minimum_us": median * 0.98,
        "rounds": 21,
        "steps_per_round": 300,
    }


REPORT = {
    "date": "2026-01-01T00:00:00+00:00",
    "command": "nnxp bench --workloads W1 W3",
    "machine": {"cpu": "A processor", "cores": 2, "system": "A system"},
    "python": "3.11.0",
    "versions": {"nnxp": "0.1.0", "numpy": "2.4.0"},
    "threads": 1,
    "environment": {},
    "separate": True,
    "pools": [{"user_api": "blas", "internal_api": "openblas", "version": "0.3.31", "architecture": "SkylakeX"}],
    "contenders": {
        name: {"note": note, "state": "ready"}
        for name, note in (("floor", ""), ("book", ""), ("nnxp", ""), ("nnxp numba", ""), ("rival", "rivals at work"))
    },
    "shapes": {
        "W1": {"title": "spiral", "sizes": [2, 64, 3], "batch": 300, "samples": 300, "what": "a step"},
        "W3": {"title": "wide", "sizes": [1024, 4096, 1000], "batch": 256, "samples": 256, "what": "a step"},
    },
    "workloads": {
        "W1": {
            "floor": {key: value for key, value in figures(10.0).items() if key != "loss_error"},
            "book": figures(150.0),
            "nnxp": figures(50.0),
            "nnxp numba": {"reason": "not installed; pip install numba"},
            "rival": figures(40.0, peak=20.0),
        },
        "W3": {
            "floor": figures(180_000.0),
            "nnxp": figures(200_000.0),
            "rival": {"reason": "computes something else: " + "very " * 40, "refused": True},
        },
    },
    "sweeps": {
        "batch": {
            "title": "784-128-10",
            "axis": "samples in a batch",
            "unit": "step",
            "points": {
                str(batch): {
                    "steps": 1,
                    "contenders": {"floor": figures(batch), "nnxp": figures(2.0 * batch), "rival": figures(batch + 64)},
                }
                for batch in (32, 64, 128)
            },
        }
    },
    "refused": [],
}


@pytest.fixture
def report():
    """A report as a run makes it, to be changed freely."""
    return copy.deepcopy(REPORT)
