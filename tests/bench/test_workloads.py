"""Workloads and sweeps are what their names say, and the same for everybody."""

from dataclasses import replace

import numpy as np
import pytest

from nnxp.bench import SWEEPS, WORKLOADS, Settings
from nnxp.bench.workloads import named
from nnxp.errors import ConfigurationError

SIZES = {
    "W1": ((2, 64, 3), 300),
    "W2": ((784, 128, 128, 10), 128),
    "W3": ((1024, 4096, 4096, 1000), 256),
    "W4": ((1, 64, 64, 1), 1000),
}


def test_sizes_and_batches():
    assert {name: (workload.sizes, workload.batch) for name, workload in WORKLOADS.items()} == SIZES
    assert [name for name, workload in WORKLOADS.items() if workload.l2] == ["W1"]


@pytest.mark.parametrize("name", ["W1", "W2", "W4"])
class TestDraws:
    def test_data(self, name):
        workload = WORKLOADS[name]
        (x, y), (x_again, y_again) = workload.data(), workload.data()
        assert (x.dtype, x.shape) == (np.float32, (workload.batch, workload.sizes[0]))
        assert x.flags.c_contiguous
        assert np.mean(x == 0) < 0.01
        np.testing.assert_array_equal(x, x_again)
        np.testing.assert_array_equal(y, y_again)
        if workload.classifies:
            assert (y.dtype, y.shape) == (np.int64, (workload.batch,))
            assert set(y) == set(range(workload.sizes[-1]))
        else:
            assert (y.dtype, y.shape) == (np.float32, (workload.batch, workload.sizes[-1]))

    def test_weights(self, name):
        workload = WORKLOADS[name]
        layers, again = list(workload.weights()), list(workload.weights())
        assert [w.shape for w, _ in layers] == list(zip(workload.sizes[:-1], workload.sizes[1:], strict=True))
        for (w, b), (w_again, _) in zip(layers, again, strict=True):
            assert (w.dtype, b.dtype, b.shape) == (np.float32, np.float32, w.shape[1:])
            assert np.std(w) == pytest.approx((2 / len(w)) ** 0.5, rel=0.3)  # a layer has 64 draws at least
            np.testing.assert_array_equal(w, w_again)


def test_fit_goes_through_several_batches():
    step, fit = named("W2"), named("W2", "fit")
    assert (step.key, step.samples, step.steps_at_once) == ("W2", 128, 1)
    assert (fit.key, fit.samples, fit.steps_at_once) == ("W2 fit", 2048, 16)
    assert len(fit.data()[0]) == 2048
    assert len(fit.one_batch.data()[0]) == 128


def test_sweeps_vary_one_size():
    assert {name: list(sweep.values) for name, sweep in SWEEPS.items()} == {
        "batch": [32, 64, 128, 256, 512, 1024, 2048, 4096],
        "width": [32, 64, 128, 256, 512, 1024, 2048],
        "depth": [1, 2, 3, 4, 5, 6, 7, 8],
        "data": [256, 1024, 4096, 16384],
    }
    assert SWEEPS["batch"].workload(32) == replace(WORKLOADS["W2"], batch=32)
    assert SWEEPS["width"].workload(64).sizes == (784, 64, 64, 10)
    assert SWEEPS["depth"].workload(3).sizes == (784, 128, 128, 128, 10)
    data = SWEEPS["data"].workload(1024)
    assert (data.what, data.samples, data.batch, SWEEPS["data"].steps(1024)) == ("fit", 1024, 128, 8)
    assert WORKLOADS["W2"] in [SWEEPS[name].workload(value) for name, value in (("batch", 128), ("width", 128))]


class TestSettings:
    @pytest.mark.parametrize(
        ("given", "workloads", "sweeps"),
        [
            ({}, ["W1", "W2", "W3", "W4"], ["batch"]),
            ({"workloads": ["W4"]}, ["W4"], []),
            ({"sweeps": ["width", "batch"]}, [], ["batch", "width"]),
            ({"sweeps": ["all"], "workloads": ["W1"]}, ["W1"], ["batch", "width", "depth", "data"]),
            ({"quick": True}, ["W1", "W2", "W4"], []),
            ({"workloads": ["W2"], "what": ["step", "predict"]}, ["W2", "W2 predict"], []),
        ],
    )
    def test_what_is_measured(self, given, workloads, sweeps):
        settings = Settings(**given)
        assert [workload.key for workload in settings.chosen_workloads()] == workloads
        assert [sweep.name for sweep in settings.chosen_sweeps()] == sweeps

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"rounds": 0}, "rounds must be a whole number of at least 1, got 0"),
            ({"seconds": -1}, "seconds must be a positive number, got -1"),
            ({"threads": 10_000}, "threads must be at most"),
            ({"together": True, "threads": 2}, "each contender needs a process of its own"),
        ],
    )
    def test_numbers_are_checked(self, given, message):
        with pytest.raises(ConfigurationError, match=message):
            Settings(**given)

    def test_names_are_checked(self):
        with pytest.raises(ConfigurationError, match="a workload must be one of 'W1', 'W2', 'W3', 'W4', got 'W9'"):
            Settings(workloads=["W9"]).chosen_workloads()
        with pytest.raises(ConfigurationError, match=r"a sweep must be one of 'batch', .*'all', got 'length'"):
            Settings(sweeps=["length"]).chosen_sweeps()
