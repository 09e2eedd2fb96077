"""The benchmark for a GPU, tried without one: tiny networks, the CUDA kernels compiled for the host."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import nnxp
from nnxp.bench.book import Book
from nnxp.errors import BackendError

FOLDER = Path(__file__).parents[2] / "benchmarks"
FAULTY = '''
from dataclasses import replace

from gpu_bench.with_nnxp import Nnxp


class Faster(Nnxp):
    """Learns twice as fast as it was told."""

    def __init__(self, task):
        super().__init__(replace(task, workload=replace(task.workload, learning_rate=2 * task.workload.learning_rate)))


class Stale(Nnxp):
    """Says the first loss again and again."""

    def step(self):
        if not hasattr(self, "first"):
            self.first = super().step()
        return self.first


class Unwritten(Nnxp):
    """Reads gradients before they are written: what is left of the step before does no harm, NaN does."""

    def step(self):
        engine = self.model.engine
        for name in engine.gradients:
            engine.parameters[name][...] += 0 * engine.gradients[name]
        return super().step()


class Raises(Nnxp):
    def step(self):
        raise RuntimeError("no device\\nhere")

    train = None
'''


@pytest.fixture(autouse=True)
def _compiler():
    try:
        nnxp.get_backend("numpy", kernels="cuda")
    except BackendError as error:
        pytest.skip(str(error))


@pytest.fixture
def parts(monkeypatch):
    """The script's modules."""
    monkeypatch.syspath_prepend(str(FOLDER))
    from gpu_bench import entries, exact, running, table, workloads

    return {"entries": entries, "exact": exact, "running": running, "table": table, "workloads": workloads}


def test_dry_run(tmp_path):
    output = tmp_path / "folder" / "gpu.json"
    command = [sys.executable, str(FOLDER / "gpu.py"), "--dry-run", "--output", str(output), "--workloads", "W2"]
    quick = ["--rounds", "2", "--seconds", "0.005", "--contenders", "nnxp", "nnxp-eager", "nnxp-gather"]
    done = subprocess.run([*command, *quick], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(output.read_text())
    assert report["finished"]
    assert report["dry_run"]
    assert done.stdout.startswith("DRY RUN")
    assert report["ceilings"]["nodes that ran"]["right"]
    assert report["ceilings"]["tf32 cublasLt"]["error"] < 1e-3
    for precision, section in report["workloads"]["W2"].items():
        contenders = section["contenders"]
        for facts in contenders.values():
            assert facts["median_us"] > 0
            assert facts["loss_error"] < {"float32": 1e-6, "tf32": 1e-3, "bf16": 1e-2}[precision]
            assert facts["repeats"]
        assert contenders["nnxp"]["captured"]
        assert contenders["nnxp"]["asked_per_step"] == {"graph": 1}
        assert contenders["nnxp-gather"]["captured"]
        assert not contenders["nnxp-eager"]["captured"]
        assert contenders["nnxp"]["same_bits_as_eager"]
        # all but the last node, which publishes the loss
        assert len(contenders["nnxp"]["node_times"]) == contenders["nnxp"]["nodes"] - 1


def test_who_computes_something_else_is_refused(parts, tmp_path, monkeypatch):
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    entry = parts["entries"].Entry
    entries = [entry(kind.lower(), f"faulty:{kind}", ("numpy",)) for kind in ("Faster", "Stale", "Unwritten", "Raises")]
    entries += [entry("right", "gpu_bench.with_nnxp:Nnxp", ("numpy",)), entry("absent", "no:No", ("no_such_module",))]
    settings = parts["running"].Settings(
        tmp_path / "gpu.json", ["W2"], ["float32"], rounds=1, seconds=0.001, ceilings=False, dry=True
    )
    report = parts["running"].Run(settings, entries).run()
    found = report["workloads"]["W2"]["float32"]["contenders"]
    assert report["refused"] == ["W2 float32: faster", "W2 float32: stale", "W2 float32: unwritten"]
    assert all("median_us" not in facts for name, facts in found.items() if name != "right")
    assert found["faster"]["progress_error"] > 0.2
    assert np.isnan(found["unwritten"]["progress_error"])
    assert found["raises"]["reason"].startswith("TypeError")
    assert found["absent"]["reason"] == "not installed: no_such_module"
    assert found["right"]["median_us"] > 0
    text = "\n".join(parts["table"].lines(report))
    assert "REFUSED W2 float32: faster" in text
    assert "absent: not installed" in text


def test_nothing_is_begun_after_the_budget(parts, tmp_path):
    settings = parts["running"].Settings(tmp_path / "gpu.json", ["W2"], budget=1e-9, dry=True)
    report = parts["running"].Run(settings).run()
    assert report["workloads"] == {"W2": {"reason": "no time left: the budget was 0 s"}}
    assert json.loads((tmp_path / "gpu.json").read_text())["finished"]


@pytest.mark.parametrize("name", ["W2", "W5"])
def test_exact_losses_are_those_of_the_book(parts, name):
    workload = parts["workloads"].TINY[name]
    weights = [array for pair in workload.weights() for array in pair]
    rate = workload.learning_rate
    found = parts["exact"].exact_losses(np, *workload.data(), weights, learning_rate=rate, steps=20)
    np.testing.assert_allclose(found, Book(workload, dtype="float64").losses(20), rtol=1e-12)


def test_counts(parts):
    """64.9 MFLOP and 28 bytes a parameter for Adam: by hand, of 784-128-128-10 at a batch of 128."""
    module = parts["workloads"]
    operations = {operation.name: operation for operation in module.operations(module.WORKLOADS["W2"])}
    assert sum(operation.flop for operation in operations.values()) == 2 * 128 * (
        3 * (784 * 128 + 128 * 128 + 128 * 10) - 784 * 128
    )
    assert operations["adam"].bytes == 28 * 118_282
    assert "dx 784x128" not in operations
    assert operations["dx 128x10"].bytes == 4 * (128 * 10 + 128 * 10 + 2 * 128 * 128)
    floors = module.floors(module.WORKLOADS["W3"], "tf32", module.ASSUMED)
    assert floors["floor_us"] == floors["memory_us"] > floors["arithmetic_us"]
    assert floors["stages_us"] > floors["floor_us"]


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_a_peer(parts, tmp_path):
    contenders = ["nnxp", "torch-graph"]
    settings = parts["running"].Settings(
        tmp_path / "gpu.json", ["W3"], ["bf16"], contenders, rounds=1, seconds=0.001, ceilings=False, dry=True
    )
    found = parts["running"].Run(settings).run()["workloads"]["W3"]["bf16"]["contenders"]
    assert 1e-6 < found["torch-graph"]["loss_error"] < 1e-2
    assert found["torch-graph"]["median_us"] > 0
