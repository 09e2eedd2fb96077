"""``benchmarks/README.md`` shows the figures of the report beside it."""

import json
from pathlib import Path

from nnxp.bench import WORKLOADS, markdown

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_the_page_shows_the_report():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    report = json.loads((FOLDER / "cpu.json").read_text(encoding="utf-8"))
    assert markdown(report) in page, "run benchmarks/refresh.py"
    for picture in ("workloads.png", "sweeps.png"):
        assert f"({picture})" in page
        assert (FOLDER / picture).exists()


def test_the_page_names_every_workload():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for workload in WORKLOADS.values():
        assert f"| {workload.name} {workload.title} | {'-'.join(map(str, workload.sizes))}, " in page
