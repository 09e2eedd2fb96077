"""The workspace: where values lie, by rows or by columns, and whose memory is whose."""

from itertools import combinations

import numpy as np
import pytest

import nnxp
from nnxp.backend import Backend
from nnxp.ops.record import Record, record
from nnxp.training.workspace import Places, Workspace, place


@pytest.fixture(params=["float32", "float64"])
def host(request: pytest.FixtureRequest) -> Backend:
    """NumPy, where addresses can be read."""
    return nnxp.get_backend("numpy", dtype=request.param)


def placed(**shapes: tuple[int, ...]) -> Places:
    places = Places()
    for name, shape in shapes.items():
        places.add(name, shape)
    return places


SHAPES = {"a": (5, 3), "b": (7, 2), "c": (5,), "d": (1, 1), "e": (2, 3, 4)}


class TestWorkspace:
    @pytest.mark.parametrize("columns", [set(), {"a"}, {"a", "b", "d"}])
    def test_views(self, host, columns):
        """Of the right shapes, in the right order, each on a boundary of its own, and none in another's memory."""
        workspace = Workspace(placed(**SHAPES), host, by_columns=columns)
        assert workspace.views.keys() == SHAPES.keys()
        assert workspace.extended == {}
        for name, view in workspace.views.items():
            assert (view.shape, view.dtype) == (SHAPES[name], host.dtype)
            assert view.flags.f_contiguous if name in columns else view.flags.c_contiguous
            assert view.flags.writeable
            assert view.ctypes.data % 64 == 0
            assert np.shares_memory(view, workspace.buffer.flat)
        for a, b in combinations(workspace.views.values(), 2):
            assert not np.shares_memory(a, b)

    @pytest.mark.parametrize("shape", [(5, 3), (1, 1), (1, 4), (6, 1), (16, 2), (33, 16)])
    def test_a_column_of_ones(self, host, shape):
        """Right behind the value, in its own block: writing the value leaves it, and so does writing the neighbours."""
        places = placed(before=(4, 4), x=shape, after=(3, 3))
        workspace = Workspace(places, host, by_columns={"before", "x", "after"}, extended={"x"})
        extended, x = workspace.extended["x"], workspace.views["x"]
        assert extended.shape == (shape[0], shape[1] + 1)
        assert extended.flags.f_contiguous
        for name, view in workspace.views.items():
            view[...] = 7 if name == "x" else np.nan
        np.testing.assert_array_equal(extended[:, :-1], np.full(shape, 7))
        np.testing.assert_array_equal(extended[:, -1], np.ones(shape[0]))
        assert np.shares_memory(extended[:, :-1], x)
        assert extended[:, :-1].ctypes.data == x.ctypes.data

    def test_only_what_lies_by_columns_is_extended(self, host):
        workspace = Workspace(placed(x=(5, 3)), host, by_columns=set(), extended={"x"})
        assert workspace.extended == {}

    def test_values_that_share_a_block(self, host):
        places = placed(a=(6, 2))
        places.add("b", (6, 2), block=places.blocks["a"])
        places.add("c", (3, 4), block=places.blocks["a"])
        workspace = Workspace(places, host, by_columns={"a", "b"}, extended={"a", "b"})
        views = workspace.views
        assert views["a"].ctypes.data == views["b"].ctypes.data == views["c"].ctypes.data
        views["c"][...] = 3
        for name in ("a", "b"):
            np.testing.assert_array_equal(workspace.extended[name][:, -1], np.ones(6))
        np.testing.assert_array_equal(views["b"], np.full((6, 2), 3))

    def test_bytes(self, host):
        """Sums of blocks on boundaries of 64 bytes; values that share one count once."""
        places = placed(a=(16, 4), b=(3, 1))
        places.add("c", (16, 4), block=places.blocks["a"])
        assert Workspace(places, host).nbytes == 64 * host.itemsize + 64
        more = Workspace(places, host, by_columns={"a"}, extended={"a"})
        assert more.nbytes == (64 + 16) * host.itemsize + 64
        assert Workspace(Places(), host).nbytes == 0

    def test_a_workspace_of_any_backend_that_can_be_written(self, backend):
        if not backend.writable:
            pytest.skip("nothing is placed where arrays are immutable")
        workspace = Workspace(placed(a=(5, 3), b=(5, 2)), backend, by_columns={"a"}, extended={"a"})
        workspace.views["a"][...] = 7.0
        workspace.views["b"][...] = 8.0
        expected = np.concatenate([np.full((5, 3), 7), np.ones((5, 1))], axis=1)
        np.testing.assert_array_equal(backend.to_numpy(workspace.extended["a"]), expected)


OPS = {"linear", "tanh", "relu", "relu_backward", "tanh_backward", "linear_input_gradient", "squared_error", "reshape"}


def blocks(records: list[Record], shapes: dict[str, tuple[int, ...]], **options: set[str]) -> dict[str, int]:
    given = {"elsewhere": set(), "wanted": set()} | options
    return place(records, shapes, OPS, **given).blocks


class TestPlace:
    """x → linear → a → … : who may lie where."""

    LINES = (record("linear", "x w b", "a"), record("linear", "a w b", "c"), record("linear", "c w b", "d"))
    SAME = dict.fromkeys("xacd", (4, 3))

    def test_a_product_does_not_lie_over_its_input(self):
        found = blocks(list(self.LINES), self.SAME)
        assert found["a"] != found["c"] != found["d"]

    def test_what_nobody_reads_any_more_is_taken(self):
        found = blocks(list(self.LINES), self.SAME)
        assert found["d"] == found["a"]
        assert "x" not in found

    def test_only_a_block_of_the_same_size_is_taken(self):
        """Behind a value may stand ones: a block is not cut."""
        found = blocks(list(self.LINES), self.SAME | {"a": (4, 4)})
        assert len(set(found.values())) == 3

    @pytest.mark.parametrize("wanted", ["a", "c"])
    def test_what_is_wanted_lives_on(self, wanted):
        found = blocks(list(self.LINES), self.SAME, wanted={wanted})
        assert list(found.values()).count(found[wanted]) == 1

    def test_elementwise_ops_write_over_their_input(self):
        steps = [record("linear", "x w b", "a"), record("tanh", "a", "c")]
        assert blocks(steps, self.SAME)["a"] == blocks(steps, self.SAME)["c"]

    def test_not_while_it_is_read_later(self):
        steps = [record("linear", "x w b", "a"), record("tanh", "a", "c"), record("linear", "a w b", "d")]
        found = blocks(steps, self.SAME)
        assert found["a"] != found["c"]

    def test_one_input_twice_is_one_block(self):
        """``relu_backward(a, a)`` ends one life, not two: only one later value may take its block."""
        shapes = dict.fromkeys("xacde", (4, 3))
        steps = [
            record("linear", "x w b", "a"),
            record("linear", "a a b", "c"),
            record("linear", "c w b", "d"),
            record("linear", "d c b", "e"),
        ]
        found = blocks(steps, shapes, wanted={"d", "e"})
        assert found["d"] != found["e"]

    def test_a_view_keeps_its_owner_alive(self):
        shapes = self.SAME | {"v": (4, 3), "e": (4, 3)}
        steps = [
            record("linear", "x w b", "a"),
            record("reshape", "a shape", "v"),
            record("linear", "x w b", "c"),
            record("linear", "x w b", "d"),
            record("linear", "v c d", "e"),
        ]
        found = blocks(steps, shapes)
        assert "v" not in found
        assert len({found["a"], found["c"], found["d"], found["e"]}) == 4

    def test_a_view_of_a_view_keeps_the_first_owner_alive(self):
        shapes = self.SAME | dict.fromkeys("uve", (4, 3))
        steps = [
            record("linear", "x w b", "a"),
            record("reshape", "a shape", "v"),
            record("reshape", "v shape", "u"),
            record("linear", "x w b", "c"),
            record("linear", "x w b", "d"),
            record("linear", "u c d", "e"),
        ]
        found = blocks(steps, shapes)
        assert not {"u", "v"} & found.keys()
        assert len({found["a"], found["c"], found["d"], found["e"]}) == 4
        assert found == blocks(steps, shapes, wanted={"u"})

    def test_what_an_own_layer_has_seen_is_never_taken(self):
        shapes = self.SAME | {"v": (4, 3)}
        steps = [
            record("linear", "x w b", "a"),
            Record(lambda a: a, ("a",), ("v",)),
            record("linear", "v w b", "c"),
            record("linear", "c w b", "d"),
        ]
        found = blocks(steps, shapes)
        assert "v" not in found
        assert found["a"] not in (found["c"], found["d"])

    def test_numbers_and_gradients_have_no_place(self):
        shapes = self.SAME | {"loss": (), "dw": (3, 3)}
        steps = [*self.LINES, record("squared_error", "d y divisor", "loss"), record("linear", "d w b", "dw")]
        assert blocks(steps, shapes, elsewhere={"dw"}).keys() == {"a", "c", "d"}

    def test_ops_that_are_offered_no_buffer_have_no_place(self):
        found = place(list(self.LINES), self.SAME, set(), elsewhere=set(), wanted=set())
        assert found.blocks == {}

    def test_a_place_that_is_added_is_a_block_of_its_own(self):
        """As that of x is, behind all others, some of which share blocks."""
        places = place(list(self.LINES), self.SAME, OPS, elsewhere=set(), wanted=set())
        places.add("x", (4, 3))
        assert list(places.blocks.values()).count(places.blocks["x"]) == 1
        assert "x" in places
        assert places.size("x") == 12
