"""What a contender's process is given: its threads, its processors, its variables."""

import os
from dataclasses import replace

import numpy as np
import pytest

from nnxp.bench import machine
from nnxp.bench.contenders import Entry
from nnxp.bench.processes import Failed, Process, processes
from nnxp.bench.workloads import WORKLOADS

ASKING = '''
import os
import sys

from nnxp.bench._base import Contender


class Asking(Contender):
    """Says as losses what surrounds it."""

    def __init__(self, workload):
        imported = {"torch", "jax", "keras", "matplotlib"} & sys.modules.keys()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        variables = [int(os.environ[name]) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OWN")]
        self.surroundings = [cores, len(imported), *variables]

    def losses(self, steps):
        return self.surroundings

    def train(self, steps):
        pass
'''
ENTRY = Entry("asking", "asking_contender:Asking", environment={"OWN": "7"})


@pytest.fixture(autouse=True)
def _asking(tmp_path, monkeypatch):
    (tmp_path / "asking_contender.py").write_text(ASKING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "5")


def test_threads_processors_and_variables():
    with processes([ENTRY], threads=1) as process_of:
        assert process_of(ENTRY).ask("losses", ENTRY, WORKLOADS["W1"])["losses"] == [1, 0, 1, 1, 7]
        assert process_of(ENTRY) is process_of(ENTRY)


def test_a_process_each_or_one_for_all():
    other = replace(ENTRY, name="other", environment={"OTHER": "1"})
    with processes([ENTRY, other], threads=1) as process_of:
        assert process_of(ENTRY) is not process_of(other)
        with pytest.raises(Failed, match="KeyError: 'OWN'"):
            process_of(other).ask("losses", other, WORKLOADS["W1"])
    with processes([ENTRY, other], threads=1, together=True) as process_of:
        assert process_of(ENTRY) is process_of(other)
        assert process_of(other).ask("losses", other, WORKLOADS["W1"])["losses"][-1] == 7


def test_an_ended_process_is_replaced_and_none_is_left():
    with processes([ENTRY], threads=1) as process_of:
        first = process_of(ENTRY)
        first._process.kill()
        with pytest.raises(Failed, match="its process was ended by signal 9"):
            first.ask("losses", ENTRY, WORKLOADS["W1"])
        second = process_of(ENTRY)
        assert second is not first
        assert not second.ended
    assert second.ended


def test_patience_ends(monkeypatch):
    """A contender that answers no more is ended, and the run goes on."""
    monkeypatch.setattr("nnxp.bench.processes.PATIENCE", 0.01)
    process = Process(1, {"OWN": "1"})
    try:
        with pytest.raises(Failed, match="its process was ended by signal 9"):
            process.ask("losses", ENTRY, WORKLOADS["W1"])
    finally:
        process.end()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs processor sets")
def test_core_set_is_of_ours():
    ours = os.sched_getaffinity(0)
    for threads in range(1, len(ours) + 1):
        cores = machine.core_set(threads)
        assert len(cores) == threads
        assert set(cores) <= ours


def test_peak_memory_grows():
    before = machine.peak_mib()
    ballast = np.ones(64 * 2**20, np.uint8)
    assert machine.peak_mib() > before + 32 or before > 64 + ballast.nbytes / 2**20
