"""A whole run: who is wrong, missing or broken is named, and the others go on."""

import json
from dataclasses import replace

import pytest

from nnxp.bench import CONTENDERS, Entry, Settings, run, running
from nnxp.bench.contenders import chosen
from nnxp.errors import ConfigurationError, MissingDependencyError

FAST = {"workloads": ["W1"], "rounds": 2, "seconds": 0.001}
BOOK = chosen(["book"])


def faulty_entry(kind, **options):
    return Entry(kind.lower(), f"faulty_contenders:{kind}", **options)


@pytest.mark.usefixtures("faulty")
class TestFaults:
    @pytest.fixture
    def results(self):
        entries = [
            *BOOK,
            *(faulty_entry(kind) for kind in ("Wrong", "Diverged", "Raises", "Dies", "Talks")),
            Entry("absent", "nowhere:Absent", "a_package_that_is_nowhere", "a-package"),
            Entry("asker", "faulty_contenders:Talks", does=("predict",)),
        ]
        return run(Settings(**FAST, contenders=[entry.name for entry in entries]), entries=entries)

    def test_each_has_its_reason_and_others_go_on(self, results):
        w1 = results["workloads"]["W1"]
        reasons = {name: figures.get("reason", "") for name, figures in w1.items()}
        assert reasons["wrong"].startswith("computes something else: its loss is off by ")
        assert reasons["diverged"] == "computes something else: its loss is off by nan, allowed is 1e-03"
        assert reasons["raises"] == "RuntimeError: no compiler"
        assert reasons["dies"] == "its process ended with 3: last words"
        assert reasons["absent"] == "not installed; pip install a-package"
        assert reasons["asker"] == "not made for step"
        assert [name for name, reason in reasons.items() if not reason] == ["book", "talks"]
        assert [name for name, figures in w1.items() if "median_us" in figures] == ["book", "talks"]
        assert w1["wrong"]["loss_error"] > 1e-3
        assert [line.partition(" computes")[0] for line in results["refused"]] == ["W1: wrong", "W1: diverged"]


@pytest.fixture(scope="module")
def whole():
    """The report of a small run, and what was heard of it."""
    heard = []
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPENBLAS_CORETYPE", raising=False)
        report = run(
            Settings(**FAST, what=["step", "predict"], contenders=["floor", "nnxp"]),
            command="nnxp bench --workloads W1",
            started=heard.append,
            finished=lambda report, key: heard.append((key, len(report["workloads"]))),
        )
    return report, heard


class TestReport:
    def test_is_plain_data_with_everything_that_figures_depend_on(self, whole):
        report, _ = whole
        assert json.loads(json.dumps(report)) == report
        assert report["machine"].keys() == {"cpu", "cores", "system"}
        assert {"nnxp", "numpy"} <= report["versions"].keys()
        assert (report["threads"], report["separate"], report["refused"]) == (1, True, [])
        assert report["command"] == "nnxp bench --workloads W1"
        assert report["contenders"].keys() == {entry.name for entry in CONTENDERS}
        states = [facts["state"] for facts in report["contenders"].values()]
        assert all(state == "ready" or "pip install" in state for state in states)
        (blas,) = [pool for pool in report["pools"] if pool["user_api"] == "blas"]
        assert {"internal_api", "version", "num_threads"} <= blas.keys()
        assert blas["num_threads"] == 1

    def test_figures(self, whole):
        report, _ = whole
        assert report["workloads"].keys() == report["shapes"].keys() == {"W1", "W1 predict"}
        for results in report["workloads"].values():
            assert list(results) == ["floor", "nnxp"]
            assert "loss_error" not in results["floor"]
            assert results["nnxp"]["loss_error"] < 1e-5
            for figures in results.values():
                low, high = figures["quartiles_us"]
                assert 0 < figures["minimum_us"] <= figures["median_us"]
                assert low <= figures["median_us"] <= high
                assert (figures["rounds"], figures["steps_per_round"] >= 2) == (2, True)
                assert 10 < figures["peak_mib"] < 1000
        assert report["workloads"]["W1"]["nnxp"]["checked_steps"] == 20
        assert report["workloads"]["W1 predict"]["nnxp"]["checked_steps"] == 1

    def test_progress(self, whole):
        _, heard = whole
        assert heard == ["W1: 2 contenders", ("W1", 1), "W1 predict: 2 contenders", ("W1 predict", 2)]


def test_who_cannot_do_it_is_left_out_unless_asked_for():
    asker = Entry("asker", "nowhere:Asker", does=("predict",))
    assert run(Settings(**FAST), entries=[asker])["workloads"] == {"W1": {}}


def test_together(faulty):
    """One process for all, whose memory is nobody's own."""
    report = run(Settings(**FAST, together=True), entries=[*BOOK, faulty_entry("Talks")])
    assert report["separate"] is False
    assert all("median_us" in figures and "peak_mib" not in figures for figures in report["workloads"]["W1"].values())


def test_sweep(monkeypatch):
    monkeypatch.setitem(running.SWEEPS, "data", replace(running.SWEEPS["data"], values=(256, 512)))
    report = run(Settings(sweeps=["data"], rounds=1, seconds=0.001, contenders=["floor", "nnxp", "torch"]))
    sweep = report["sweeps"]["data"]
    assert (sweep["unit"], list(sweep["points"]), report["workloads"]) == ("epoch", ["256", "512"], {})
    assert [point["steps"] for point in sweep["points"].values()] == [2, 4]
    for point in sweep["points"].values():
        assert "median_us" in point["contenders"]["floor"]
        assert point["contenders"]["nnxp"]["loss_error"] < 1e-5
        assert point["contenders"]["nnxp"]["steps_per_round"] % point["steps"] == 0
        assert "reason" in point["contenders"]["torch"]  # not installed, or not made for fit


def test_a_pinned_blas_is_refused(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    with pytest.raises(ConfigurationError, match=r"OPENBLAS_CORETYPE=Haswell is set.*not be fair\. Unset it"):
        run(Settings(**FAST))


def test_without_threadpoolctl(monkeypatch):
    monkeypatch.setattr(running, "find_spec", lambda name: None if name == "threadpoolctl" else object())
    with pytest.raises(MissingDependencyError, match=r'threadpoolctl is not installed; pip install "nnxp\[bench\]"'):
        run(Settings(**FAST))
