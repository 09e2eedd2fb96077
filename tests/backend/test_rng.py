"""Randomness: the published generator, addressed and not drawn in turn, the same on every backend."""

from dataclasses import FrozenInstanceError, replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnxp
from nnxp.backend import Purpose, Rng, Stream
from nnxp.errors import ConfigurationError
from nnxp.initializers import GlorotNormal, GlorotUniform, HeNormal, HeUniform, Normal
from nnxp.layers import Dense, Dropout, Flatten, ReLU, Sequential
from nnxp.ops.record import Moment

MASK = 2**64 - 1


def philox(counter: tuple[int, ...], key: tuple[int, ...]) -> list[int]:
    """Philox4x64-10 as its paper writes it (Salmon et al., SC 2011): ten rounds of two products, the key moving on."""
    c, k = list(counter), list(key)
    for _ in range(10):
        high_0, low_0 = divmod(0xD2E7470EE14C6C93 * c[0], 2**64)
        high_1, low_1 = divmod(0xCA5A826395121157 * c[2], 2**64)
        c = [high_1 ^ c[1] ^ k[0], low_1, high_0 ^ c[3] ^ k[1], low_0]
        k = [(k[0] + 0x9E3779B97F4A7C15) & MASK, (k[1] + 0xBB67AE8584CAA73B) & MASK]
    return c


def before(counter: tuple[int, ...]) -> tuple[int, ...]:
    """The counter less one, as one number of 256 bits: NumPy adds one before it makes the first block."""
    number = sum(word << 64 * place for place, word in enumerate(counter)) - 1
    return tuple(number >> 64 * place & MASK for place in range(4))


PI = (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89)
KNOWN = [
    # counter, key, words: the vectors for philox4x64 with 10 rounds in Random123's kat_vectors
    (
        (0, 0, 0, 0),
        (0, 0),
        [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B],
    ),
    (
        (MASK,) * 4,
        (MASK,) * 2,
        [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0],
    ),
    (
        PI,
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        [0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6],
    ),
]


SEEDS, LAYERS, STEPS = st.integers(0, MASK), st.integers(0, 2**32 - 1), st.integers(0, MASK)
PURPOSES = st.sampled_from(list(Purpose))
ADDRESSES = st.tuples(SEEDS, LAYERS, PURPOSES, STEPS, st.integers(0, MASK))


def stream_at(address: tuple[int, int, Purpose, int, int]) -> Stream:
    """The stream of (seed, layer, purpose, step, item)."""
    seed, layer, purpose, step, item = address
    return Rng(seed, layer).stream(purpose, step=step, item=item)


def word(address: tuple[int, int, Purpose, int, int], position: int) -> int:
    """One word by the paper's algorithm alone: what any other implementation of our streams must give."""
    seed, layer, purpose, step, item = address
    return philox((position // 4 + 1, 0, step, item), (seed, purpose << 32 | layer))[position % 4]


class TestWords:
    @settings(deadline=None)
    @given(address=ADDRESSES, skip=st.integers(0, 2**40), count=st.integers(0, 9))
    def test_by_the_papers_algorithm_alone(self, address, skip, count):
        words = stream_at(address).skip(skip).words(count).tolist()
        assert words == [word(address, position) for position in range(skip, skip + count)]

    @settings(deadline=None)
    @given(one=ADDRESSES, other=ADDRESSES)
    def test_no_two_addresses_share_a_stream(self, one, other):
        """A counter of the same key and the same last words would be a stream that runs into the other."""
        a, b = stream_at(one), stream_at(other)
        assert ((a.key, a.counter[1:]) == (b.key, b.counter[1:])) is (one == other)

    @settings(deadline=None)
    @given(seed=SEEDS, layers=st.lists(st.tuples(PURPOSES, LAYERS), min_size=2, max_size=50, unique=True), step=STEPS)
    def test_all_layers_and_purposes_draw_other_words(self, seed, layers, step):
        keys = {Rng(seed, layer).stream(purpose, step=step).key for purpose, layer in layers}
        first = {int(Rng(seed, layer).stream(purpose, step=step).words(1)[0]) for purpose, layer in layers}
        assert len(keys) == len(first) == len(layers)

    @pytest.mark.parametrize(("counter", "key", "words"), KNOWN, ids=["zeros", "ones", "pi"])
    def test_known_answers(self, counter, key, words):
        assert philox(counter, key) == words
        assert Stream(key, before(counter)).words(4).tolist() == words

    @pytest.mark.parametrize(
        ("seed", "layer", "purpose", "step", "item"),
        [(0, 0, Purpose.SHUFFLE, 0, 0), (7, 3, Purpose.DROPOUT, 1000, 0), (MASK, 2**32 - 1, Purpose.USER, 2**40, 9)],
    )
    def test_of_an_address(self, seed, layer, purpose, step, item):
        """Block b is philox((b + 1, 0, step, item), (seed, purpose·2³² + layer)): what a kernel must compute."""
        stream = Rng(seed, layer).stream(purpose, step=step, item=item)
        expected = [w for b in range(3) for w in philox((b + 1, 0, step, item), (seed, purpose << 32 | layer))]
        words = stream.words(11)
        assert words.dtype == np.uint64
        assert words.tolist() == expected[:11]

    def test_purposes_keep_their_numbers(self):
        """A changed number is another run for the same seed."""
        numbers = {"INITIALIZE": 1, "SHUFFLE": 2, "DROPOUT": 3, "SEARCH": 4, "USER": 5}
        assert {name: int(Purpose[name]) for name in numbers} == numbers

    @pytest.mark.parametrize("skip", [0, 1, 3, 4, 5, 7, 8, 1001])
    @pytest.mark.parametrize("count", [1, 4, 6, 9])
    def test_skip(self, skip, count):
        stream = Rng(3).stream(Purpose.DROPOUT)
        assert stream.skip(skip).words(count).tolist() == stream.words(skip + count)[skip:].tolist()
        assert stream.skip(1).skip(skip).words(count).tolist() == stream.words(1 + skip + count)[1 + skip :].tolist()

    def test_no_words(self):
        assert Rng().stream(Purpose.USER).words(0).tolist() == []

    def test_drawing_changes_nothing(self):
        stream = Rng().stream(Purpose.USER)
        assert stream.words(5).tolist() == stream.words(5).tolist()
        rng = Rng()
        first = rng.generator(Purpose.USER).random(3)
        rng.generator(Purpose.SHUFFLE).random(3)
        np.testing.assert_array_equal(rng.generator(Purpose.USER).random(3), first)

    def test_addresses_share_no_words(self):
        """Other seeds, layers, purposes, steps and items: no word of one comes up in another."""
        addresses = list(product((0, 1), (0, 1), (Purpose.INITIALIZE, Purpose.DROPOUT), (0, 1, 2), (0, 1)))
        words = [Rng(seed, layer).stream(p, step=step, item=item).words(64) for seed, layer, p, step, item in addresses]
        assert len(np.unique(np.concatenate(words))) == 64 * len(addresses)

    @pytest.mark.parametrize(
        ("seed", "message"),
        [
            (-1, "seed must be a whole number of at least 0, got -1"),
            (1.5, "seed must be a whole number of at least 0, got 1.5"),
            (2**64, r"seed must be below 2\*\*64, got 18446744073709551616"),
        ],
    )
    def test_seeds(self, seed, message):
        with pytest.raises(ConfigurationError, match=message):
            Rng(seed)

    @pytest.mark.parametrize(("value", "name"), [(Rng(), "seed"), (Rng().stream(Purpose.USER), "offset")])
    def test_is_frozen(self, value, name):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 1)


class TestKeep:
    @pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
    def test_frequency(self, rate):
        """Within four standard deviations of a binomial share; the words are fixed, so this never flickers."""
        n = 100_000
        share = Rng(1).stream(Purpose.DROPOUT).keep((n,), rate).mean()
        assert abs(share - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / n)

    def test_is_a_comparison_of_words(self):
        stream = Rng(1).stream(Purpose.DROPOUT).skip(3)
        expected = [word >= 0.25 * 2**64 for word in stream.words(12).tolist()]
        kept = stream.keep((3, 4), 0.25)
        assert kept.dtype == bool
        assert kept.ravel().tolist() == expected

    @pytest.mark.parametrize(("rate", "share"), [(0.0, 1), (1 - 2**-53, 0)])
    def test_limits(self, rate, share):
        assert Rng().stream(Purpose.DROPOUT).keep((1000,), rate).mean() == share

    @pytest.mark.parametrize("first", [1, 4, 7])
    def test_is_the_same_however_the_batch_is_split(self, first):
        """Element e of the update uses word e; rows have five elements, so parts do not begin on a block."""
        stream = Rng(2).stream(Purpose.DROPOUT, step=5)
        whole = stream.keep((10, 5), 0.5)
        parts = [stream.keep((first, 5), 0.5), stream.skip(5 * first).keep((10 - first, 5), 0.5)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)

    def test_more_is_dropped_at_a_higher_rate(self):
        stream = Rng(2).stream(Purpose.DROPOUT)
        low, high = stream.keep((1000,), 0.2), stream.keep((1000,), 0.6)
        assert not (high & ~low).any()


class TestBackends:
    """The same seed gives the same network and the same noise everywhere, to the last bit."""

    @pytest.fixture
    def host(self, typed_backend) -> nnxp.Backend:
        """NumPy, with the tested backend's dtype and seed."""
        return nnxp.get_backend("numpy", dtype=str(typed_backend.dtype).rsplit(".", 1)[-1])

    @pytest.mark.parametrize(
        "initializer", [GlorotUniform(), GlorotNormal(), HeUniform(), HeNormal(), Normal(0.1)], ids=str
    )
    def test_initial_weights(self, initializer, typed_backend, host):
        def weights(backend: nnxp.Backend) -> np.ndarray:
            network = Sequential([Dense(5, weight_initializer=initializer), Dense(3, bias_initializer=initializer)])
            network.build((4,), backend)
            return [backend.to_numpy(a) for a in network.parameters().values()]

        for found, expected in zip(weights(typed_backend), weights(host), strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)

    def test_weights_are_cast_from_float64(self, typed_backend):
        layer = Dense(3)
        layer.build((2,), typed_backend.for_layer(4))
        drawn = GlorotUniform().sample((2, 3), Rng(0, 4).generator(Purpose.INITIALIZE))
        found = typed_backend.to_numpy(layer.weights)
        np.testing.assert_array_equal(found, drawn.astype(found.dtype))

    def test_dropout(self, typed_backend, host):
        here, there = Dropout(0.4), Dropout(0.4)
        for _ in range(3):
            np.testing.assert_array_equal(dropped(typed_backend, here), dropped(host, there))

    def test_masks_by_the_papers_algorithm_alone(self, typed_backend):
        """Of the second leaf layer, in its third step."""
        backend, layer, rate = replace(typed_backend, rng=Rng(7, 1)), Dropout(0.4), 0.4
        for _ in range(3):
            y = dropped(backend, layer)
        kept = [word((7, 1, Purpose.DROPOUT, 2, 0), place) >= int(rate * 2.0**64) for place in range(y.size)]
        np.testing.assert_array_equal(y != 0, np.reshape(kept, y.shape))

    @pytest.mark.parametrize("first", [1, 2, 7, 9])
    def test_masks_are_the_same_however_an_update_is_split(self, first, backend):
        """Each part of an update says how many samples came before it; rows of 7 elements do not end with a block."""
        layer = Dropout(0.5)
        layer.build((7,), backend)

        def mask(rows: int, offset: int) -> np.ndarray:
            ones = backend.asarray(np.ones((rows, 7)))
            stream = layer.varying()["stream"](Moment(step=4, offset=offset))
            return backend.to_numpy(backend.ops.dropout(ones, layer.rate, stream))

        parts = [mask(first, 0), mask(10 - first, first)]
        np.testing.assert_array_equal(np.concatenate(parts), mask(10, 0))

    def test_layers_of_a_network_have_streams_of_their_own(self, backend):
        """Leaves are counted through all chains, also those without parameters, so a nested network is the flat one."""
        inner = Sequential([Dense(3), Sequential([Dropout(0.5), ReLU()]), Dropout(0.5)])
        network = Sequential([Flatten(), Dropout(0.5), inner, Dropout(0.5)])
        network.build((4,), backend)
        drops = [leaf for _, leaf in network.leaves() if isinstance(leaf, Dropout)]
        streams = [leaf.varying()["stream"](Moment(0)) for leaf in drops]
        assert [stream.key[1] & 0xFFFFFFFF for stream in streams] == [1, 3, 5, 6]
        assert len({stream.key for stream in streams}) == 4

    def test_steps_and_layers_drop_different_elements(self, backend):
        layer = Dropout(0.5)
        first = dropped(backend, layer)
        second = dropped(backend, layer)
        other = dropped(backend.for_layer(1), Dropout(0.5))
        assert not np.array_equal(first, second)
        assert not np.array_equal(first, other)

    def test_backward_drops_the_same_elements(self, backend):
        layer = Dropout(0.4)
        layer.build((50,), backend)
        ones = backend.asarray(np.ones((3, 50)))
        y = backend.to_numpy(layer.forward(ones, training=True))
        np.testing.assert_array_equal(backend.to_numpy(layer.backward(ones)), y)
        assert set(np.unique(y)) == {0, np.float32(1 / 0.6)}


def dropped(backend: nnxp.Backend, layer: Dropout) -> np.ndarray:
    """One forward of ones in training."""
    if layer.input_shape is None:
        layer.build((50,), backend)
    return backend.to_numpy(layer.forward(backend.asarray(np.ones((3, 50))), training=True))
