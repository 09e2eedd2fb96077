"""The picture of a report, from the figure's own objects."""

import pytest

from nnxp import plotting
from nnxp.errors import DataError

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex  # only where it is there


def by_title(figure):
    return {axes.get_title(loc="left").partition(" ")[0].rstrip(":"): axes for axes in figure.findobj(is_drawn)}


def is_drawn(artist):
    return hasattr(artist, "get_xscale") and artist.get_visible()


def bars(axes):
    labels = [label.get_text() for label in axes.get_yticklabels()]
    return {
        label: (bar.get_x() + bar.get_width(), to_hex(bar.get_facecolor()))
        for label, bar in zip(labels, axes.patches, strict=True)
    }


def test_bars_are_multiples_of_the_floor(report):
    axes = by_title(plotting.benchmark(report))
    assert axes.keys() == {"W1", "W3", "batch"}
    shown = bars(axes["W1"])
    assert {name: end for name, (end, _) in shown.items()} == pytest.approx({"book": 15, "nnxp": 5, "rival": 4})
    assert axes["W1"].get_xscale() == "log"
    assert axes["W1"].get_title(loc="left") == "W1 spiral: 2-64-3, batch 300"
    assert axes["W1"].get_xlabel() == "times of the floor (10.0 µs)"
    assert list(bars(axes["W3"])) == ["nnxp"]


def test_curves_of_a_sweep(report):
    axes = by_title(plotting.benchmark(report))["batch"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    floor, nnxp, _ = axes.get_lines()
    assert floor.get_linestyle() == "--"
    assert list(nnxp.get_xdata()) == [32, 64, 128]
    assert list(nnxp.get_ydata()) == [64, 128, 256]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["32", "64", "128"]


def test_a_contender_keeps_its_colour(report):
    figure = plotting.benchmark(report)
    axes = by_title(figure)
    (rival,) = [line for line in axes["batch"].get_lines() if line.get_ydata()[0] == 96]
    colour = bars(axes["W1"])["rival"][1]
    assert to_hex(rival.get_color()) == colour
    del report["workloads"]["W1"]["book"]
    assert bars(by_title(plotting.benchmark(report))["W1"])["rival"][1] == colour


def test_one_part_alone(report):
    sweeps = report | {"workloads": {}}
    assert by_title(plotting.benchmark(sweeps)).keys() == {"batch"}
    workloads = report | {"sweeps": {}}
    assert by_title(plotting.benchmark(workloads)).keys() == {"W1", "W3"}


def test_without_a_floor(report):
    del report["workloads"]["W1"]["floor"]
    axes = by_title(plotting.benchmark(report))["W1"]
    assert axes.get_xlabel() == "µs per step"
    assert bars(axes)["nnxp"][0] == pytest.approx(50)


def test_faster_than_the_floor(report):
    report["workloads"]["W1"]["rival"]["median_us"] = 9.0
    axes = by_title(plotting.benchmark(report))["W1"]
    assert axes.get_xlim()[0] < 0.9
    assert bars(axes)["rival"][0] == pytest.approx(0.9)


def test_nothing_to_draw(report):
    with pytest.raises(DataError, match="The report holds no figures"):
        plotting.benchmark(report | {"workloads": {}, "sweeps": {}})
