"""Tables, pages and comparisons, from reports that are made up."""

import copy

import pytest

from nnxp.bench import closing, compare, markdown, table


class TestTable:
    def test_figures(self, report):
        title, heading, *rows = table(report, "W1").splitlines()
        assert title == "W1 spiral: 2-64-3, batch 300; a step"
        assert heading.split() == ["µs/step", "quartiles", "×", "floor", "nnxp", "is", "loss", "error", "peak", "MiB"]
        cells = {row.split("  ")[1]: " ".join(row.split()) for row in rows}
        assert cells["floor"] == "floor 10.0 9.9 – 10.1 1.00 – 40"
        assert cells["book"] == "book 150.0 148.5 – 151.5 15.00 3.00× faster 1e-07 40"
        assert cells["nnxp"] == "nnxp 50.0 49.5 – 50.5 5.00 1e-07 40"
        assert cells["rival"] == "rival 40.0 39.6 – 40.4 4.00 1.25× slower 1e-07 20"
        assert rows[3].strip() == "nnxp numba  not installed; pip install numba"

    def test_milliseconds_and_long_reasons(self, report):
        text = table(report, "W3")
        assert "ms/step" in text
        assert " 200.0 " in text
        assert max(map(len, text.splitlines())) == 100
        assert text.endswith("…")

    def test_without_a_floor_or_nnxp(self, report):
        del report["workloads"]["W1"]["floor"], report["workloads"]["W1"]["nnxp"]
        assert "faster" not in table(report, "W1")

    def test_an_old_report_has_no_shapes(self, report):
        report["shapes"].clear()
        assert table(report, "W1").startswith("W1\n")

    def test_sweep(self, report):
        del report["sweeps"]["batch"]["points"]["64"]["contenders"]["rival"]["median_us"]
        title, *rows = table(report, "batch").splitlines()
        assert title == "batch: µs per step; 784-128-10"
        assert [row.split() for row in rows] == [
            ["samples", "in", "a", "batch", "floor", "nnxp", "rival"],
            ["32", "32", "64", "96"],
            ["64", "64", "128", "–"],
            ["128", "128", "256", "192"],
        ]

    def test_sweep_of_epochs(self, report):
        report["sweeps"]["batch"]["unit"] = "epoch"
        report["sweeps"]["batch"]["points"]["128"]["steps"] = 10
        assert table(report, "batch").splitlines()[-1].split() == ["128", "1280", "2560", "1920"]


class TestClosing:
    def test_says_where_a_peer_wins(self, report):
        text = closing(report)
        assert "W1: rival is 1.25× faster (40 µs; nnxp: 50 µs)" in text
        assert "W1: rival is 2.00× smaller in memory (20 MiB; nnxp: 40 MiB)" in text
        assert "batch: rival is faster than nnxp at 128" in text
        assert "book is" not in text
        assert "  rival: rivals at work" in text
        assert "medians of 21 rounds" in text
        assert "BLAS: openblas 0.3.31 (SkylakeX)" in text

    def test_each_of_our_kernels_counts(self, report):
        """Who has not installed numba meets NumPy's kernels."""
        report["workloads"]["W1"]["nnxp numba"] = report["workloads"]["W1"]["nnxp"] | {"median_us": 39.0}
        text = closing(report)
        assert "W1: rival is 1.25× faster (40 µs; nnxp: 50 µs)" in text
        assert "faster (40 µs; nnxp numba" not in text

    def test_nowhere(self, report):
        report["sweeps"].clear()
        del report["workloads"]["W1"]["rival"]
        assert "Where a peer wins:\n  nowhere here" in closing(report)

    def test_without_nnxp(self, report):
        report["sweeps"].clear()
        del report["workloads"]["W1"]["nnxp"], report["workloads"]["W3"]
        assert "Where a peer wins:\n  not known, as nnxp has no figures here" in closing(report)

    def test_long_lines_are_wrapped(self, report):
        report["contenders"]["rival"]["note"] = "does it otherwise, " * 20
        assert max(map(len, closing(report).splitlines())) <= 100


def test_markdown(report):
    text = markdown(report)
    assert "**W1 spiral: 2-64-3, batch 300; a step**" in text
    assert "| rival | 40.0 | 39.6 – 40.4 | 4.00 | 1.25× slower | 1e-07 | 20 |" in text
    assert "| 128 | 128 | 256 | 192 |" in text
    assert "- W1: rival is 1.25× faster (40 µs; nnxp: 50 µs)" in text
    assert text.endswith("```sh\nnnxp bench --workloads W1 W3\n```")
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert all(len({line.count("|") for line in lines}) == 1 for lines in tables)


class TestCompare:
    @pytest.fixture
    def old(self, report):
        return copy.deepcopy(report)

    @pytest.fixture
    def slower(self, old, report):
        """The same on a machine of half the speed, with an nnxp that is better by a fifth."""
        for results in report["workloads"].values():
            for name, figures in results.items():
                scale = 1.6 if name == "nnxp" else 2.0
                if "median_us" in figures:
                    figures["median_us"] *= scale
                    figures["quartiles_us"] = [quartile * scale for quartile in figures["quartiles_us"]]
        return report

    def test_by_floors(self, old, slower):
        lines = compare(old, slower).splitlines()
        assert lines[0] == "W1"
        assert [line.split() for line in lines[2:6]] == [
            ["floor", "10.0", "20.0", "2.00", "–", "slower"],
            ["book", "150.0", "300.0", "2.00", "1.00"],
            ["nnxp", "50.0", "80.0", "1.60", "0.80", "faster"],
            ["rival", "40.0", "80.0", "2.00", "1.00"],
        ]

    def test_within_the_spread(self, old, report):
        report["workloads"]["W1"]["nnxp"]["median_us"] = 50.4
        assert "er" not in compare(old, report).split("nnxp ")[1].splitlines()[0]

    def test_what_differs(self, old, report):
        report["machine"]["cpu"], report["threads"] = "Another", 2
        report["pools"][0]["architecture"] = "Haswell"
        assert compare(old, report).splitlines()[:3] == [
            "machine differs: A processor then, Another now",
            "BLAS differs: openblas 0.3.31 SkylakeX then, openblas 0.3.31 Haswell now",
            "threads differs: 1 then, 2 now",
        ]

    def test_a_workload_that_is_new(self, old, report):
        report["workloads"]["W9"] = report["workloads"]["W1"]
        assert compare(old, report).endswith("W9: the old report does not have it")
