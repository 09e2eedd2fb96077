"""The arena: where arrays lie, and that nobody ever sees an old one."""

from math import prod

import numpy as np
import pytest

from nnxp.errors import NotBuiltError, ShapeError
from nnxp.layers import Dense
from nnxp.ops.record import run
from nnxp.optimizers import SGD, Adadelta, Adam, Adamax, AdamW, Lion, NAdam
from nnxp.parameters import Buffer, Layout, Segment

GROUPS = [
    {"0.weights": (2, 3), "0.biases": (3,)},
    {},
    {"2.weights": (5, 4), "2.biases": (4,)},
    {"3.scale": (1,)},
]


def contents(layout: Layout) -> np.ndarray:
    """Values from 1 up where arrays lie, 0 in the padding."""
    flat = np.zeros(layout.size)
    for place in layout.places.values():
        flat[place.start : place.stop] = 1 + np.arange(place.start, place.stop)
    return flat


@pytest.fixture
def buffer(typed_backend) -> Buffer:
    return Buffer(Layout.of(GROUPS, typed_backend.itemsize), typed_backend)


@pytest.fixture
def filled(buffer) -> Buffer:
    buffer.replace(buffer.backend.asarray(contents(buffer.layout)))
    return buffer


def values(buffer: Buffer) -> dict[str, list[float]]:
    return {name: buffer.backend.to_numpy(array).ravel().tolist() for name, array in buffer.items()}


class TestLayout:
    @pytest.mark.parametrize(
        ("itemsize", "starts", "size"),
        [(4, [0, 6, 16, 36, 48], 64), (8, [0, 6, 16, 36, 40], 48)],
    )
    def test_places(self, itemsize, starts, size):
        """Biases directly after weights; a layer begins where 64 bytes do: after 16 float32 or 8 float64."""
        layout = Layout.of(GROUPS, itemsize)
        assert list(layout.places) == ["0.weights", "0.biases", "2.weights", "2.biases", "3.scale"]
        assert [place.start for place in layout.places.values()] == starts
        assert layout.size == size
        assert layout.count == 6 + 3 + 20 + 4 + 1

    @pytest.mark.parametrize("itemsize", [4, 8])
    def test_groups_and_boundaries(self, itemsize):
        groups = [{"w": (n, 3), "b": (3,)} for n in range(1, 20)]
        layout = Layout.of(
            [{f"{i}.{name}": shape for name, shape in g.items()} for i, g in enumerate(groups)], itemsize
        )
        places = layout.places
        for index in range(len(groups)):
            assert places[f"{index}.w"].start * itemsize % 64 == 0
            assert places[f"{index}.b"].start == places[f"{index}.w"].stop
        for place in places.values():
            assert place.stop - place.start == prod(place.shape)
        ends = [place.stop for place in places.values()]
        assert ends == sorted(ends)
        assert layout.size * itemsize % 64 == 0
        assert 0 <= layout.size - ends[-1] < 64 // itemsize

    def test_without_arrays(self):
        assert (Layout.of([], 4).size, Layout.of([{}, {}], 4).count) == (0, 0)

    def test_is_immutable(self):
        with pytest.raises(TypeError, match="does not support item assignment"):
            Layout.of(GROUPS, 4).places["0.weights"] = None


class TestBuffer:
    def test_begins_as_zeros(self, buffer):
        assert tuple(buffer.flat.shape) == (buffer.layout.size,)
        assert buffer.flat.dtype == buffer.backend.dtype
        assert not buffer.backend.to_numpy(buffer.flat).any()

    def test_is_a_mapping_of_views(self, filled):
        flat = contents(filled.layout)
        assert list(filled) == list(filled.layout.places)
        assert len(filled) == 5
        for name, place in filled.layout.places.items():
            assert tuple(filled[name].shape) == place.shape
            np.testing.assert_array_equal(filled.backend.to_numpy(filled[name]).ravel(), flat[place.start : place.stop])

    def test_joint(self, filled):
        """``[w; b]``: the weights' rows, and under them the biases; of the very memory, where it can be written."""
        for layer, shape in (("0", (3, 3)), ("2", (6, 4))):
            joint = filled.joint(f"{layer}.weights", f"{layer}.biases")
            host = filled.backend.to_numpy(joint)
            assert host.shape == shape
            np.testing.assert_array_equal(host[:-1], filled.backend.to_numpy(filled[f"{layer}.weights"]))
            np.testing.assert_array_equal(host[-1], filled.backend.to_numpy(filled[f"{layer}.biases"]))

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("0.biases", "0.weights"),  # in this order they do not lie so
            ("0.weights", "2.biases"),
            ("0.weights", "2.weights"),
            ("0.biases", "2.weights"),
            ("2.biases", "3.scale"),
            ("0.weights", "0.weights"),
            ("0.weights", "9.biases"),
            ("9.weights", "0.biases"),
        ],
    )
    def test_not_joint(self, filled, first, second):
        assert filled.joint(first, second) is None

    def test_not_joint_with_something_between_or_of_another_width(self, typed_backend):
        groups = [
            {"0.weights": (16, 4), "0.scale": (1,), "0.biases": (4,)},
            {"1.weights": (4, 4), "1.biases": (3,)},
            {"2.weights": (4, 4, 4), "2.biases": (4, 4)},
            {"3.weights": (4,), "3.biases": (4,)},
            {"4.weights": (8, 2)},  # a whole number of lines of memory: the next layer begins right behind
            {"5.biases": (2,)},
        ]
        buffer = Buffer(Layout.of(groups, typed_backend.itemsize), typed_backend)
        for layer in "0123":
            assert buffer.joint(f"{layer}.weights", f"{layer}.biases") is None
        assert buffer.joint("4.weights", "5.biases") is not None  # memory decides, not names

    def test_joint_is_a_view(self, filled):
        if not filled.backend.writable:
            pytest.skip("where arrays are immutable, a view shows what was")
        joint = filled.joint("2.weights", "2.biases")
        filled.write({"2.biases": filled.backend.asarray(np.full(4, 7.0))})
        np.testing.assert_array_equal(filled.backend.to_numpy(joint)[-1], np.full(4, 7))
        joint[...] = 8.0
        assert set(values(filled)["2.weights"] + values(filled)["2.biases"]) == {8.0}
        assert values(filled)["3.scale"] == ([49.0] if filled.backend.itemsize == 4 else [41.0])

    def test_write(self, filled):
        backend, before = filled.backend, values(filled)
        filled.write({"2.biases": backend.asarray(np.full(4, 7.0)), "0.weights": backend.asarray(np.full((2, 3), 8.0))})
        assert values(filled) == before | {"2.biases": [7.0] * 4, "0.weights": [8.0] * 6}
        expected = contents(filled.layout)
        expected[0:6] = 8
        expected[36:40] = 7
        np.testing.assert_array_equal(backend.to_numpy(filled.flat), expected)

    def test_writing_a_view_to_itself(self, filled):
        before = values(filled)
        filled.write(dict(filled))
        assert values(filled) == before

    def test_what_was_written_is_a_copy(self, filled):
        backend = filled.backend
        if not backend.writable:
            pytest.skip("an immutable array cannot change afterwards")
        given = backend.asarray(np.full(4, 7.0))
        filled.write({"2.biases": given})
        given[...] = 9.0
        assert values(filled)["2.biases"] == [7.0] * 4

    def test_replace(self, filled):
        backend = filled.backend
        filled.replace(filled.flat * 2)
        np.testing.assert_array_equal(backend.to_numpy(filled.flat), 2 * contents(filled.layout))
        for name, place in filled.layout.places.items():
            expected = 2 * (1 + np.arange(place.start, place.stop))
            np.testing.assert_array_equal(backend.to_numpy(filled[name]).ravel(), expected)

    def test_replacing_by_its_own_array(self, filled):
        flat, before = filled.flat, values(filled)
        filled.replace(flat)
        assert filled.flat is flat
        assert values(filled) == before

    def test_memory_stays_where_arrays_are_writable(self, filled):
        """Views that a plan bound once see every write."""
        backend = filled.backend
        if not backend.writable:
            pytest.skip("views of immutable arrays are sliced again")
        flat, view = filled.flat, filled["2.biases"]
        filled.replace(filled.flat * 2)
        filled.write({"0.biases": backend.asarray(np.zeros(3))})
        assert filled.flat is flat
        assert filled["2.biases"] is view
        np.testing.assert_array_equal(backend.to_numpy(view), 2 * (1 + np.arange(36, 40)))

    def test_writing_one_view_keeps_the_flat_array_in_step(self, filled):
        """On immutable arrays the flat one is put together again: nothing may get lost on the way, padding neither."""
        backend = filled.backend
        for round, name in enumerate(filled):
            filled.write({name: filled[name] * 0 + round})
        expected = np.zeros(filled.layout.size)
        for round, place in enumerate(filled.layout.places.values()):
            expected[place.start : place.stop] = round
        np.testing.assert_array_equal(backend.to_numpy(filled.flat), expected)

    def test_copy(self, filled):
        copy = filled.copy()
        filled.replace(filled.flat * 0)
        np.testing.assert_array_equal(filled.backend.to_numpy(copy), contents(filled.layout))

    def test_numpy_views_are_aligned(self, filled):
        if filled.backend.name != "numpy":
            pytest.skip("where memory begins is the library's own affair")
        for name in ("0.weights", "2.weights", "3.scale"):
            assert filled[name].ctypes.data % 64 == 0
        for name in filled:
            assert np.shares_memory(filled[name], filled.flat)

    def test_without_arrays(self, backend):
        empty = Buffer(Layout.of([{}], backend.itemsize), backend)
        empty.write({})
        assert dict(empty) == {}
        assert tuple(empty.copy().shape) == (0,)

    @pytest.mark.parametrize(
        "optimizer",
        [
            Adam(0.1),
            SGD(0.1, momentum=0.9, nesterov=True, clip_norm=1.0),
            *(kind(0.01, ema=0.9) for kind in (Adadelta, AdamW, Adamax, NAdam, Lion)),
        ],
        ids=lambda o: type(o).__name__,
    )
    def test_padding_stays_zero(self, optimizer, typed_backend, random):
        """Twenty updates of the whole arena, padding included."""
        layout = Layout.of(GROUPS, typed_backend.itemsize)
        buffers = {name: Buffer(layout, typed_backend) for name in ("w", "g", *optimizer.memory)}
        for step in range(20):
            for name in ("g",) if step else ("g", "w"):
                drawn = {key: random.standard_normal(place.shape) for key, place in layout.places.items()}
                buffers[name].write({key: typed_backend.asarray(a) for key, a in drawn.items()})
            state = {name: buffer.flat for name, buffer in buffers.items()} | optimizer.scalars(step)
            run(optimizer.records(), state, typed_backend.ops)
            for name, buffer in buffers.items():
                buffer.replace(state[name])
        padding = contents(layout) == 0
        assert padding.any()
        for name, buffer in buffers.items():
            flat = typed_backend.to_numpy(buffer.flat)
            np.testing.assert_array_equal(flat[padding], 0, err_msg=name)
            assert np.all(flat[~padding] != 0), name


class TestSegment:
    def test_is_a_share_of_the_buffer(self, filled):
        segment = Segment(filled, "2.", ("weights", "biases"))
        assert list(segment) == ["weights", "biases"]
        assert len(segment) == 2
        assert segment["weights"] is filled["2.weights"]

    def test_write(self, filled):
        before = values(filled)
        Segment(filled, "2.", ("weights", "biases")).write({"biases": filled.backend.asarray(np.zeros(4))})
        assert values(filled) == before | {"2.biases": [0.0] * 4}

    def test_never_shows_an_old_array(self, filled):
        segment = Segment(filled, "2.", ("weights", "biases"))
        filled.replace(filled.flat * 0)
        assert not filled.backend.to_numpy(segment["weights"]).any()


class TestAssignment:
    """``layer.weights = …`` copies into the arena."""

    @pytest.fixture
    def layer(self, typed_backend) -> Dense:
        layer = Dense(3)
        layer.build((2,), typed_backend)
        return layer

    @pytest.mark.parametrize(
        "given", [[[1, 2, 3], [4, 5, 6]], np.arange(1.0, 7.0).reshape(2, 3)], ids=["list", "array"]
    )
    def test_is_cast_and_copied(self, layer, given, typed_backend):
        buffer = layer.segment().buffer
        layer.weights = given
        assert layer.weights.dtype == typed_backend.dtype
        np.testing.assert_array_equal(typed_backend.to_numpy(layer.weights), given)
        np.testing.assert_array_equal(typed_backend.to_numpy(buffer.flat)[:9], [1, 2, 3, 4, 5, 6, 0, 0, 0])

    def test_the_given_array_is_not_kept(self, layer):
        given = np.ones((2, 3))
        layer.weights = given
        given[...] = 9
        assert layer.segment().buffer.backend.to_numpy(layer.weights).max() == 1

    def test_reaches_the_next_forward(self, layer, typed_backend):
        x = typed_backend.asarray([[1.0, 2.0]])
        layer.forward(x)
        layer.weights, layer.biases = np.ones((2, 3)), [1.0, 2.0, 3.0]
        np.testing.assert_array_equal(typed_backend.to_numpy(layer.forward(x)), [[4, 5, 6]])

    @pytest.mark.parametrize("given", [np.ones((3, 2)), np.ones(3), 1.0, np.ones((1, 3))], ids=np.shape)
    def test_another_shape_is_refused(self, layer, given):
        before = layer.segment().buffer.copy()
        with pytest.raises(ShapeError, match=r"Dense\(3\): weights has shape \(2, 3\), got .*; transpose it, or build"):
            layer.weights = given
        backend = layer.segment().buffer.backend
        np.testing.assert_array_equal(backend.to_numpy(layer.segment().buffer.flat), backend.to_numpy(before))

    def test_before_it_is_built(self):
        with pytest.raises(NotBuiltError, match="has no parameters yet; call build"):
            Dense(3).weights = [[1.0]]
        with pytest.raises(NotBuiltError, match="has no parameters yet; call build"):
            Dense(3).parameters()
