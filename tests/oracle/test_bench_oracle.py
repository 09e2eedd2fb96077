"""The peers of the benchmark compute what nnxp computes; each is asked in its own process, as in a run."""

import pytest

from nnxp.bench import CONTENDERS, Settings, run

PEERS = [entry for entry in CONTENDERS if entry.name in ("torch", "jax", "sklearn", "keras", "thinc")]
FLOAT32 = 1e-4
"""Relative, after twenty steps: each peer rounds in its own way."""


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_losses(peer, monkeypatch):
    if reason := peer.missing():
        pytest.skip(reason)
    pytest.importorskip("threadpoolctl")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    workloads = ("W1", "W2", "W4")
    report = run(Settings(workloads=workloads, contenders=[peer.name], rounds=1, seconds=0.001))
    for name in workloads:
        figures = report["workloads"][name][peer.name]
        assert "reason" not in figures
        assert figures["loss_error"] < FLOAT32
        assert figures["checked_steps"] == 20
        assert figures["median_us"] > 0
