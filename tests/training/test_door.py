"""The door: what looks like a batch that passed goes in unasked, and everything else is asked everything."""

import warnings
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp.errors import BackendError, ConversionWarning, DataError, NnxpError, ShapeError
from nnxp.layers import Dense, ReLU, Softmax
from nnxp.losses import CategoricalCrossentropy, MeanSquaredError
from nnxp.optimizers import SGD
from nnxp.training import model as model_module
from nnxp.training.door import Door


def classifier(**options: Any) -> nnxp.Model:
    layers = [Dense(8), ReLU(), Dense(3), Softmax()]
    return nnxp.Model(layers, loss=CategoricalCrossentropy(), optimizer=SGD(0.1), **options)


def batch(rows: int = 10, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(rows)
    return random.standard_normal((rows, 2)).astype(dtype), random.integers(0, 3, rows)


@pytest.fixture
def asked(monkeypatch):
    """A list that grows by a word each time that a batch goes through the full check."""
    asked: list[str] = []
    convert = model_module.convert_features

    def noting(*arguments: Any, **options: Any) -> Any:
        asked.append("x")
        return convert(*arguments, **options)

    monkeypatch.setattr(model_module, "convert_features", noting)
    return asked


class TestDoor:
    def test_knows_what_it_remembers(self):
        x, y = batch()
        door = Door()
        assert not door.knows(x, y)
        door.remember(x, y)
        assert door.knows(x, y)
        assert door.knows(x.copy(), y.copy())
        assert door.knows(np.asfortranarray(x), y)
        assert not Door().knows(x, y)

    @pytest.mark.parametrize(
        "other",
        [
            lambda x, y: (x[:9], y),
            lambda x, y: (x, y[:9]),
            lambda x, y: (x[:9], y[:9]),
            lambda x, y: (x[:, :1], y),
            lambda x, y: (x, y[:, None]),
            lambda x, y: (x[None], y),
            lambda x, y: (x.astype("float64"), y),
            lambda x, y: (x.astype("int32"), y),
            lambda x, y: (x.astype(">f4"), y),
            lambda x, y: (x, y.astype("int32")),
            lambda x, y: (x, y.astype("float32")),
            lambda x, y: (x.tolist(), y),
            lambda x, y: (x, y.tolist()),
            lambda x, y: (x.tolist(), y.tolist()),
            lambda x, y: (np.ma.masked_array(x), y),
            lambda x, y: (x.view(np.recarray), y),
            lambda x, y: (y, x),
            lambda x, y: (None, None),
            lambda x, y: (1.0, 2),
        ],
    )
    def test_another_look_is_not_known(self, other):
        x, y = batch()
        door = Door()
        door.remember(x, y)
        assert not door.knows(*other(x, y))

    def test_pairs_are_known_not_single_arrays(self):
        """x of one batch with y of another is a look of its own."""
        (x, y), (x2, y2) = batch(10), batch(6)
        door = Door()
        door.remember(x, y)
        door.remember(x2, y2)
        assert door.knows(x2, y2)
        assert not door.knows(x, y2)
        assert not door.knows(x2, y)

    def test_devices(self):
        strict = pytest.importorskip("array_api_strict")
        door = Door()
        x, y = (strict.asarray(a, device=strict.Device("device1")) for a in batch())
        door.remember(x, y)
        assert door.knows(x, y)
        assert not door.knows(*(strict.asarray(a, device=strict.Device("CPU_DEVICE")) for a in batch()))
        assert not door.knows(*batch())

    def test_it_does_not_grow_for_ever(self):
        """The first looks are those that it keeps."""
        door, y = Door(), np.zeros(1)
        for rows in range(1, 1500):
            door.remember(np.empty((rows, 1)), y)
        assert door.knows(np.empty((1, 1)), y)
        assert not door.knows(np.empty((1400, 1)), y)

    def test_it_holds_no_array(self):
        import weakref

        x, y = batch()
        door, gone = Door(), weakref.ref(x)
        door.remember(x, y)
        del x
        assert gone() is None


class TestModel:
    def test_a_known_look_is_not_asked_again(self, asked):
        model, (x, y) = classifier(), batch()
        for _ in range(3):
            model.train_step(x, y)
            model.train_step(x.copy(), y.copy())
        assert asked == ["x"]

    @pytest.mark.parametrize(
        "other",
        [
            lambda x, y: (x.tolist(), y.tolist()),
            lambda x, y: (x.tolist(), y),
            lambda x, y: (x[:4], y[:4]),
            lambda x, y: (x.astype("float64"), y),
            lambda x, y: (x, y.astype("int32")),
            lambda x, y: (x, np.eye(3, dtype="float32")[y]),
        ],
    )
    def test_another_look_is_asked(self, asked, other):
        """After good batches of a known look, with the result that a model gets which never saw those."""
        model, (x, y) = classifier(), batch()
        for _ in range(3):
            model.train_step(x, y)
        del asked[:]
        fresh = classifier()
        fresh.build((2,))
        fresh.load_state_dict(model.state_dict())
        assert float(model.train_step(*other(x, y))) == float(fresh.train_step(*other(x, y)))
        assert len(asked) == 2

    @pytest.mark.parametrize(
        ("other", "error", "message"),
        [
            (lambda x, y: (x[:, :1], y), ShapeError, "expected x of shape"),
            (lambda x, y: (x, y[:4]), NnxpError, None),
            (lambda x, y: (x[:0], y[:0]), DataError, "the data is empty"),
            (lambda x, y: (x[:5] * np.float32("nan"), y[:5]), DataError, "finite"),
            (lambda x, y: (x[:5], y[:5] + 3), NnxpError, None),
            (lambda x, y: (x[:5], y[:5] - 3), NnxpError, None),
            (lambda x, y: (x, y + 0.5), NnxpError, None),
            (lambda x, y: (x, y.astype("int32") + 3), NnxpError, None)
            if False
            else (lambda x, y: (x, "y"), NnxpError, None),
            (lambda x, y: (x * 1j, y), NnxpError, None),
            (lambda x, y: (None, y), NnxpError, None),
        ],
    )
    def test_bad_batches_of_another_look_are_refused(self, other, error, message):
        model, (x, y) = classifier(), batch()
        for _ in range(3):
            model.train_step(x, y)
        before = model.state_dict()
        for _ in range(2):  # what was refused is not known afterwards
            with pytest.raises(error, match=message):
                model.train_step(*other(x, y))
        for a, b in zip(model.state_dict().values(), before.values(), strict=True):
            np.testing.assert_array_equal(a, b)
        model.train_step(x, y)

    def test_what_was_converted_is_converted_each_time(self):
        """Lists, integers and float64 are never known: each batch of them is made float32."""
        model, (x, y) = classifier(), batch(dtype="float64")
        x = np.round(4 * x)
        same = classifier()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConversionWarning)
            for _ in range(3):
                losses = [float(model.train_step(a, y)) for a in (x, x.astype("int64"), x.tolist())]
                assert losses == [float(same.train_step(x.astype("float32"), y)) for _ in range(3)]

    def test_scaling_is_applied_to_each_batch(self):
        """The array that goes in is not the one that the network reads."""
        from nnxp.data import Scaling

        x, y = batch()
        scaled, plain = classifier(input_scaling=Scaling(1.0, 0.5)), classifier()
        for _ in range(3):
            scaling = Scaling(1.0, 0.5).apply(x)
            assert float(scaled.train_step(x, y)) == float(plain.train_step(scaling, y))

    def test_values_of_a_known_look_are_not_looked_at(self):
        """By contract: NaN goes in, comes out as the loss, and costs no question."""
        model, (x, y) = classifier(), batch()
        model.train_step(x, y)
        bad = x.copy()
        bad[0, 0] = np.nan
        with np.errstate(all="ignore"):
            assert np.isnan(float(model.train_step(bad, y)))

    def test_values_of_a_shape_are_looked_at_once(self):
        """Also where batches are converted each time, and so are never known."""
        model, (x, y) = classifier(), batch()
        model.train_step(x.tolist(), y)
        bad = x.tolist()
        bad[0][0] = float("nan")
        with np.errstate(all="ignore"):
            assert np.isnan(float(model.train_step(bad, y)))

    def test_targets_of_another_shape_are_looked_at(self):
        """Rows of probabilities after labels, for the very same features."""
        model, (x, y) = classifier(), batch()
        rows = np.eye(3, dtype="float32")[y]
        model.train_step(x, y)
        for _ in range(2):
            with pytest.raises(NnxpError):
                model.train_step(x, 2 * rows)
        model.train_step(x, rows)

    def test_values_of_the_first_batch_are_looked_at(self):
        model, (x, y) = classifier(), batch()
        x[0, 0] = np.nan
        for _ in range(2):
            with pytest.raises(DataError, match="finite"):
                model.train_step(x, y)
        assert not model.built

    def test_after_a_move_questions_are_asked_again(self, asked):
        """The looks of one backend say nothing to another."""
        model, (x, y) = classifier(), batch()
        model.train_step(x, y)
        model.to(nnxp.get_backend("numpy", dtype="float64"))
        del asked[:]
        first = float(model.train_step(x, y))  # float32 is converted, each time
        model.train_step(x, y)
        assert asked == ["x", "x"]
        assert model.engine.parameters.flat.dtype == np.float64
        assert np.isfinite(first)
        wide = x.astype("float64")
        model.train_step(wide, y)
        model.train_step(wide, y)
        assert asked == ["x"] * 3

    def test_after_a_move_to_another_library(self, asked):
        try:
            strict = nnxp.get_backend("array_api_strict")
        except BackendError as error:
            pytest.skip(str(error))
        model, (x, y) = classifier(), batch()
        model.train_step(x, y)
        model.to(strict)
        del asked[:]
        model.train_step(x, y)
        model.train_step(x, y)
        model.train_step(strict.asarray(x), strict.asarray(y))
        model.train_step(strict.asarray(x), strict.asarray(y))
        assert asked == ["x"] * 3
        model.to("numpy")
        model.train_step(x, y)
        assert asked == ["x"] * 4

    def test_a_door_belongs_to_a_model(self, asked):
        (x, y), first, second = batch(), classifier(), classifier()
        first.train_step(x, y)
        second.train_step(x, y)
        assert asked == ["x", "x"]
        other = nnxp.Model([Dense(3, input_size=5)], loss=MeanSquaredError(), optimizer=SGD())
        with pytest.raises(ShapeError, match="shape"):
            other.train_step(x, y)

    def test_other_ways_in_look_at_the_values_always(self):
        """Also of arrays whose look is known."""
        model, (x, y) = classifier(), batch()
        model.train_step(x, y)
        bad = np.full_like(x, np.nan)
        for call in (lambda: model.fit(bad, y, progress="off"), lambda: model.evaluate(bad, y)):
            with pytest.raises(DataError, match="finite"):
                call()
        with pytest.raises(DataError, match="finite"):
            model.predict(bad)
