"""``nnxp bench``, called as a person calls it."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import nnxp
from nnxp.bench import CONTENDERS, Entry, run
from nnxp.cli import main

TINY = ["bench", "--workloads", "W1", "--rounds", "2", "--seconds", "0.001"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_table_report_and_picture(capsys):
    pytest.importorskip("matplotlib")
    contenders = ["--contenders", "nnxp", "floor", "book"]
    assert main([*TINY, *contenders, "--output", "r.json", "--plot", "p.png", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "W1: 3 contenders\n"
    assert captured.out.startswith("W1 spiral: 2-64-3, batch 300; one training step on a batch\n")
    assert "report:  r.json\npicture: p.png\n" in captured.out
    report = json.loads(captured.out.splitlines()[-1])
    assert report == json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert list(report["workloads"]["W1"]) == ["floor", "book", "nnxp"]
    command = "nnxp bench --workloads W1 --contenders nnxp floor book --rounds 2 --seconds 0.001"
    assert report["command"] == command
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")


class TestShow:
    @pytest.fixture(autouse=True)
    def _saved(self, report):
        Path("r.json").write_text(json.dumps(report))

    def test_a_report_again(self, capsys):
        assert main(["bench", "--show", "r.json"]) == 0
        text = capsys.readouterr().out
        assert "W1 spiral" in text
        assert "batch: µs per step" in text
        assert "rival is 1.25× faster" in text

    def test_as_markdown(self, capsys):
        assert main(["bench", "--show", "r.json", "--markdown"]) == 0
        assert capsys.readouterr().out.startswith("**W1 spiral")

    def test_beside_an_older_one(self, report, capsys):
        older = {name: report[name] for name in ("machine", "python", "versions", "threads", "pools", "workloads")}
        Path("old.json").write_text(json.dumps(older))
        assert main(["bench", "--show", "r.json", "--compare", "old.json"]) == 0
        text = capsys.readouterr().out.partition("Compared with old.json:\n")[2]
        assert text.startswith("W1\n")
        assert "1.00" in text

    def test_somebody_was_refused(self, report, capsys):
        Path("r.json").write_text(json.dumps(report | {"refused": ["W1: rival computes something else"]}))
        assert main(["bench", "--show", "r.json", "--json"]) == 1
        captured = capsys.readouterr()
        assert captured.err == "nnxp: W1: rival computes something else\n"
        assert json.loads(captured.out.splitlines()[-1])["refused"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workloads", "W9"], "ConfigurationError: bench: a workload must be one of 'W1', 'W2', 'W3', 'W4'"),
        (["--contenders", "caffe"], "ConfigurationError: bench: there is no contender 'caffe'"),
        (["--sweep", "length"], "ConfigurationError: bench: a sweep must be one of 'batch'"),
        (["--output", "no/such/r.json"], "FileNotWritable: no/such/r.json cannot be written"),
        (["--plot", "p.gif"], "ConfigurationError: p.gif ends in '.gif'"),
        (["--compare", "none.json"], "FileNotFound: There is no file none.json."),
        (["--show", "bad.json"], "FileFormatError: bad.json is no report of nnxp bench: it has no 'machine'."),
        (["--show", "text"], "FileFormatError: text is no report of nnxp bench: Expecting value"),
    ],
)
def test_errors_are_one_line(arguments, message, capsys):
    pytest.importorskip("matplotlib")
    Path("bad.json").write_text("[]")
    Path("text").write_text("hello")
    assert main(["bench", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"nnxp: {message}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--threads", "x"]])
def test_wrong_usage(arguments):
    with pytest.raises(SystemExit, match="2"):
        main(["bench", *arguments])


def test_others_do_not_import_it():
    program = "import sys, nnxp.cli; nnxp.cli.main(['evaluate', 'none', 'moons']); print('nnxp.bench' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(Path(nnxp.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.endswith("False\n")


@pytest.mark.usefixtures("faulty")
def test_a_wrong_contender_is_status_1(capsys, monkeypatch):
    planted = (CONTENDERS[0], Entry("book", "faulty_contenders:Wrong"))
    monkeypatch.setattr("nnxp.bench.run", partial(run, entries=planted))
    assert main([*TINY, "--contenders", "floor", "book"]) == 1
    captured = capsys.readouterr()
    assert "book   computes something else" in captured.out
    assert captured.err.splitlines()[1].startswith("nnxp: W1: book computes something else: its loss is off by ")
