"""Sample weights from the door to the update, and losses behind known heads: every path computes the same."""

import numpy as np
import pytest

import nnxp
from nnxp.errors import NnxpError
from nnxp.layers import BatchNorm, Dense, Dropout, Layer, Linear, Sequential, Sigmoid, Softmax, Tanh
from nnxp.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
)
from nnxp.optimizers import SGD, Adam, RandomSearch
from nnxp.regularizers import L2

ROWS, BATCH, INPUTS, OUTPUTS = 10, 4, 3, 3
PARTS = [slice(0, 4), slice(4, 8), slice(8, 10)]
WEIGHTS = np.array([1.0, 0.0, 2.5, 0.5, 1.0, 3.0, 0.0, 0.25, 1.0, 2.0])


class Same(Layer):
    """Hides a head from what is behind it."""

    def forward(self, x, *, training=False):
        return x

    def backward(self, dy):
        return dy


LOSSES = {
    # loss, head, targets
    "cce": (CategoricalCrossentropy(), Softmax, "labels"),
    "cce of rows": (CategoricalCrossentropy(label_smoothing=0.2), Softmax, "rows"),
    "cce of classes": (CategoricalCrossentropy(class_weights=[1, 2, 0.5], reduction="sum"), Softmax, "labels"),
    "cce of logits": (CategoricalCrossentropy(from_logits=True), None, "labels"),
    "kl": (KLDivergence(), Softmax, "rows"),
    "kl of logits": (KLDivergence(from_logits=True), None, "labels"),
    "bce": (BinaryCrossentropy(), Sigmoid, "answers"),
    "bce of positives": (BinaryCrossentropy(positive_weight=[1, 2, 0.5]), Sigmoid, "answers"),
    "bce of logits": (BinaryCrossentropy(from_logits=True, positive_weight=2.0), None, "answers"),
    "mse": (MeanSquaredError(), None, "real"),
    "mae": (MeanAbsoluteError(reduction="sum"), None, "real"),
    "huber": (Huber(delta=0.5), None, "real"),
    "log cosh": (LogCosh(), None, "real"),
    "hinge": (Hinge(), None, "answers"),
}
SOME = ["cce of rows", "huber"]


def targets(kind):
    random = np.random.default_rng(3)
    return {
        "labels": random.integers(0, OUTPUTS, ROWS),
        "rows": random.dirichlet(np.ones(OUTPUTS), ROWS),
        "answers": random.integers(0, 2, (ROWS, OUTPUTS)).astype(float),
        "real": random.standard_normal((ROWS, OUTPUTS)) + 1,
    }[kind]


def build(name, backend, *, planned=True, layers=None, **options):
    loss, head, _ = LOSSES[name]
    middle = [Dense(4, weight_regularizer=L2(0.02)), Tanh(), Dense(OUTPUTS)] if layers is None else layers
    model = nnxp.Model(
        [*middle, *([head()] if head else [])],
        **{"loss": loss, "optimizer": SGD(0.1), "backend": backend, "metrics": ["accuracy"]} | options,
    )
    model.build((INPUTS,))
    model.engine.planned = planned
    return model


@pytest.fixture
def x(array):
    return array(np.random.default_rng(2).standard_normal((ROWS, INPUTS)))


@pytest.fixture
def weights(array):
    return array(WEIGHTS)


def assert_close(found, expected, backend, roundings=400):
    """Sums in other orders, over a few steps."""
    tolerance = roundings * float(backend.xp.finfo(backend.dtype).eps)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def by_hand(name, model, x, y, weights):
    """Loss and its gradients by the parameters, from the loss object's own pair: for a chain that is run by layers."""
    backend, loss = model.backend, model.loss
    p = x
    for layer in model.layers:
        p = layer.forward(p, training=True)
    value = float(loss.value(p, y, sample_weight=weights))
    dy = loss.gradient(p, y, sample_weight=weights)
    for layer in reversed(model.layers):
        dy = layer.backward(dy)
    found = {
        f"{i}.{name}": backend.to_numpy(a)
        for i, layer in enumerate(model.layers)
        for name, a in layer.gradients().items()
    }
    state = model.state_dict()
    return value + 0.02 * (state["0.weights"] ** 2).sum(), found | {
        "0.weights": found["0.weights"] + 0.04 * state["0.weights"]
    }


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradients(name, backend, array, x, weights):
    """The plan's numbers are those of layers and loss objects called one by one; and nothing is changed."""
    y = array(targets(LOSSES[name][2]))
    model = build(name, backend)
    expected, gradients = by_hand(name, build(name, backend), x, y, weights)
    state = model.state_dict()
    for given in (weights, WEIGHTS.tolist()):
        loss, found = model.loss_and_gradients(x, y, sample_weight=given)
        assert found.keys() == gradients.keys()
        assert_close([float(loss), *found.values()], [expected, *gradients.values()], backend, 100)
    plain, _ = model.loss_and_gradients(x, y)
    assert float(plain) != pytest.approx(expected, rel=1e-3)
    for key, array_then in state.items():
        np.testing.assert_array_equal(model.state_dict()[key], array_then)


def life(model, x, y, weights):
    """Weighted and plain steps of whole and ragged batches, in turns, and what the model says of itself between."""
    host, seen = model.backend.to_numpy, []
    for index in (0, 1, 2, 0):
        part = PARTS[index]
        seen.append(host(model.train_step(x[part, ...], y[part, ...], sample_weight=weights[part])))
        seen.append(host(model.train_step(x[part, ...], y[part, ...])))
    seen += model.evaluate(x, y, sample_weight=weights, batch_size=BATCH).values()
    seen += model.evaluate(x, y, batch_size=BATCH).values()
    for given in (weights, None):
        seen += model.fit(x, y, epochs=2, batch_size=BATCH, sample_weight=given, progress="off").values()
        loss, gradients = model.loss_and_gradients(x, y, sample_weight=given, training=given is None)
        seen += [host(loss), *gradients.values()]
    return seen + list(model.state_dict().values())


@pytest.mark.parametrize("name", SOME)
def test_planned_equals_unplanned(name, donating_backend, backend, array, x, weights):
    y = array(targets(LOSSES[name][2]))
    planned = life(build(name, donating_backend), x, y, weights)
    assert_close(planned, life(build(name, backend, planned=False), x, y, weights), backend)


@pytest.mark.parametrize("name", SOME)
def test_ones_are_no_weights(name, backend, array, x):
    y, ones = array(targets(LOSSES[name][2])), array(np.ones(ROWS))
    weighted, plain = build(name, backend), build(name, backend)
    first = weighted.fit(
        x, y, epochs=3, batch_size=BATCH, sample_weight=ones, validation_data=(x, y, ones), progress="off"
    )
    second = plain.fit(x, y, epochs=3, batch_size=BATCH, validation_data=(x, y), progress="off")
    assert first.keys() == second.keys()
    assert_close(list(first.values()), list(second.values()), backend)
    assert_close(list(weighted.state_dict().values()), list(plain.state_dict().values()), backend)


def test_whole_weights_are_repetitions(backend, array):
    """In a sum without a penalty: a weight of 2 is a sample twice, and of 0 is a sample left out."""
    counts = np.array([2, 0, 1, 3, 1, 1, 0, 2, 1, 1])
    x, y = np.random.default_rng(5).standard_normal((2, ROWS, INPUTS))
    options = {
        "loss": MeanSquaredError(reduction="sum"),
        "optimizer": SGD(0.005),
        "layers": [Dense(4), Tanh(), Dense(3)],
    }
    weighted, repeated = (build("mse", backend, **options | {"layers": [Dense(4), Tanh(), Dense(3)]}) for _ in range(2))
    twice = [array(np.repeat(a, counts, axis=0)) for a in (x, y)]
    for _ in range(3):
        first = weighted.train_step(array(x), array(y), sample_weight=array(counts))
        assert float(first) == pytest.approx(float(repeated.train_step(*twice)), rel=1e-5)
    assert weighted.evaluate(array(x), array(y), sample_weight=counts)["data_loss"] == pytest.approx(
        repeated.evaluate(*twice)["data_loss"], rel=1e-5
    )
    assert_close(list(weighted.state_dict().values()), list(repeated.state_dict().values()), backend)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_zeros_leave_the_penalty(reduction, backend, array, x):
    y = array(targets("real"))
    model = build("mse", backend, loss=MeanSquaredError(reduction=reduction))
    weights = model.state_dict()["0.weights"]
    found = model.evaluate(x, y, sample_weight=np.zeros(ROWS))
    assert found["data_loss"] == 0
    assert found["loss"] == pytest.approx(0.02 * (weights**2).sum(), rel=1e-6)
    model.train_step(x, y, sample_weight=np.zeros(ROWS))
    np.testing.assert_allclose(model.state_dict()["0.weights"], weights * (1 - 0.1 * 0.04), rtol=1e-6)


@pytest.mark.parametrize("name", ["cce of rows", "mae"])
def test_evaluate_is_the_same_for_every_batch_size(name, backend, array, x, weights):
    y, model = array(targets(LOSSES[name][2])), build(name, backend)
    whole = model.evaluate(x, y, sample_weight=weights)
    assert model.evaluate(x, y)["accuracy"] == whole["accuracy"]
    for size in (1, 4, 7):
        for key, value in model.evaluate(x, y, sample_weight=weights, batch_size=size).items():
            assert value == pytest.approx(whole[key], rel=1e-5), key


def test_history_and_validation_by_hand(backend, array, x, weights):
    """Batch losses divide by their samples, and are weighted by them: the whole is divided by all samples."""
    y, still = targets("real"), SGD(1e-30)
    model = build("mse", backend, layers=[Linear()], optimizer=still)
    squares = (backend.to_numpy(x) - y) ** 2
    others = np.arange(ROWS) / 4
    history = model.fit(
        x,
        array(y),
        epochs=2,
        batch_size=BATCH,
        sample_weight=weights,
        validation_data=(x, array(y), others),
        progress="off",
    )
    for key, given in (("loss", WEIGHTS), ("data_loss", WEIGHTS), ("val_loss", others), ("val_data_loss", others)):
        np.testing.assert_allclose(history[key], [(given @ squares).sum() / y.size] * 2, rtol=1e-5, err_msg=key)
    plain = model.fit(x, array(y), validation_data=[x, array(y), None], progress="off")
    np.testing.assert_allclose([plain["loss"], plain["val_loss"]], squares.mean(), rtol=1e-5)


class Watch(Layer):
    """Notes the rows that it is trained on, which come to it as features."""

    def __init__(self):
        self.rows = []

    def build(self, input_shape, backend):
        self.to_numpy = backend.to_numpy
        return input_shape

    def forward(self, x, *, training=False):
        if training:
            self.rows.append(self.to_numpy(x)[:, 0].astype(int))
        return x

    def backward(self, dy):
        return dy


def test_shuffled_batches_carry_their_weights_along(backend, array):
    """Row i has the feature i, the target 0 and the weight 2^-i: each batch's loss says which weights it had."""
    watch, losses = Watch(), []
    model = nnxp.Model([watch], loss=MeanAbsoluteError(reduction="sum"), optimizer=SGD(), backend=backend)
    model.build((1,))
    train = model.engine.train

    def noting(*arguments, **options):
        results = train(*arguments, **options)
        losses.append(float(results["data_loss"]))
        return results

    model.engine.train = noting
    rows = np.arange(ROWS, dtype=float)
    model.fit(
        array(rows[:, None]),
        array(np.zeros((ROWS, 1))),
        epochs=3,
        batch_size=BATCH,
        sample_weight=array(0.5**rows),
        progress="off",
    )
    assert len({tuple(batch) for batch in watch.rows}) == 9
    np.testing.assert_allclose(losses, [(batch * 0.5**batch).sum() for batch in watch.rows], rtol=1e-6)


def test_shuffled_host_weights_are_those_of_the_device(backend, array, x, weights):
    y = targets("real")
    first, second = build("mse", backend), build("mse", backend)
    host = first.fit(backend.to_numpy(x), y, epochs=2, batch_size=BATCH, sample_weight=WEIGHTS, progress="off")
    there = second.fit(x, array(y), epochs=2, batch_size=BATCH, sample_weight=weights, progress="off")
    assert host == there


@pytest.mark.parametrize("planned", [True, False])
def test_weighted_and_plain_steps_in_any_order(planned, backend, array, x, weights):
    """Each step is that of a fresh model with the same parameters: no plan keeps weights, or the lack of them."""
    y = array(targets("labels"))
    model = build("cce", backend, planned=planned)
    others = array(WEIGHTS[::-1].copy())
    for given in (None, weights, None, others, weights, others, None, None, weights):
        fresh = build("cce", backend, planned=planned)
        fresh.load_state_dict(model.state_dict())
        found, expected = (m.train_step(x, y, sample_weight=given) for m in (model, fresh))
        assert float(found) == float(expected)
        for key, state in fresh.state_dict().items():
            np.testing.assert_array_equal(model.state_dict()[key], state, err_msg=key)


def test_weights_in_a_batch_of_one(backend, array):
    model = build("mse", backend, layers=[Dense(OUTPUTS)])
    x, y = array(np.ones((1, INPUTS))), array(np.zeros((1, OUTPUTS)))
    plain = model.evaluate(x, y)["loss"]
    assert model.evaluate(x, y, sample_weight=[2.5])["loss"] == pytest.approx(2.5 * plain, rel=1e-6)
    assert float(model.train_step(x, y, sample_weight=[2.5])) == pytest.approx(2.5 * plain, rel=1e-6)


def test_weights_with_a_norm_and_masks(backend, array, x, weights):
    """A weight of 0 leaves a sample out of the loss, and not out of the batch's mean and variance."""
    y = array(targets("labels"))

    def made(planned):
        return build("cce", backend, layers=[Dense(4), BatchNorm(), Dropout(0.3), Dense(OUTPUTS)], planned=planned)

    assert_close(life(made(True), x, y, weights), life(made(False), x, y, weights), backend, 2000)


def test_random_search_compares_weighted_losses(backend, array, x):
    """With all weight on one sample, its loss alone decides."""
    y, alone = array(targets("real")), array(np.eye(ROWS)[4])
    model = build(
        "mse", backend, optimizer=RandomSearch(0.05), layers=[Dense(OUTPUTS)], loss=MeanSquaredError(reduction="sum")
    )
    seen = [model.evaluate(x[4:5, ...], y[4:5, ...])["loss"]]
    for _ in range(20):
        assert float(model.train_step(x, y, sample_weight=alone)) == pytest.approx(seen[-1], rel=1e-5)
        seen.append(model.evaluate(x[4:5, ...], y[4:5, ...])["loss"])
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < 0.9 * seen[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones(ROWS - 1), r"sample_weight expected shape \(10,\), one number a sample, got \(9,\)"),
        (np.ones((ROWS, 1)), r"got \(10, 1\)"),
        (1.0, r"got \(\)"),
        (-WEIGHTS, r"weights to have finite values of at least 0, got -1\.0 at \[0\]"),
        (np.where(WEIGHTS == 3, np.nan, WEIGHTS), r"got nan at \[5\]"),
        (["much"] * ROWS, "weights to be an array of numbers"),
    ],
    ids=["short", "column", "number", "negative", "nan", "words"],
)
def test_bad_weights_are_refused_and_nothing_happens(given, message, backend, array, x):
    y = array(targets("real"))
    for built in (False, True):
        model = nnxp.Model([Dense(OUTPUTS)], loss=MeanSquaredError(), optimizer=SGD(), backend=backend)
        if built:
            model.train_step(x, y, sample_weight=WEIGHTS)
        for call in ("fit", "evaluate", "train_step", "loss_and_gradients"):
            with pytest.raises(NnxpError, match=message):
                getattr(model, call)(x, y, sample_weight=given, **({"progress": "off"} if call == "fit" else {}))
        assert model.built == built
        assert model.step == built


def test_weights_are_never_written(backend, x):
    given = WEIGHTS.astype(np.float32)
    given.flags.writeable = False
    build("mse", backend).fit(x, targets("real"), sample_weight=given, batch_size=BATCH, epochs=2, progress="off")


def test_arguments_have_names(x):
    with pytest.raises(TypeError, match="positional"):
        build("mse", "numpy").evaluate(x, targets("real"), WEIGHTS)


# -- known heads

PAIRS = {
    # the loss of probabilities and its head, the loss of logits
    "cce": (CategoricalCrossentropy(), Softmax, CategoricalCrossentropy(from_logits=True), "labels"),
    "cce, smooth": (
        CategoricalCrossentropy(label_smoothing=0.3, class_weights=[1, 2, 0]),
        Softmax,
        CategoricalCrossentropy(label_smoothing=0.3, class_weights=[1, 2, 0], from_logits=True),
        "rows",
    ),
    "kl": (KLDivergence(), Softmax, KLDivergence(from_logits=True), "rows"),
    "bce": (BinaryCrossentropy(), Sigmoid, BinaryCrossentropy(from_logits=True), "answers"),
    "bce, positive": (
        BinaryCrossentropy(positive_weight=2.5),
        Sigmoid,
        BinaryCrossentropy(positive_weight=2.5, from_logits=True),
        "answers",
    ),
    "bce, positives": (
        BinaryCrossentropy(positive_weight=[2.5, 0, 1], reduction="sum"),
        Sigmoid,
        BinaryCrossentropy(positive_weight=[2.5, 0, 1], from_logits=True, reduction="sum"),
        "answers",
    ),
}
CHAINS = {
    "flat": lambda head: [Dense(OUTPUTS), head],
    "nested": lambda head: [Sequential([Dense(OUTPUTS), Sequential([head])])],
}


@pytest.mark.parametrize(("chain", "weighted"), [("flat", False), ("nested", True)])
@pytest.mark.parametrize("name", ["cce, smooth", "kl", "bce, positive", "bce, positives"])
def test_a_known_head_is_the_loss_of_logits(name, chain, weighted, backend, array, x, weights):
    """To the last bits but for fused kernels; the same, nearly, as through probabilities with a hidden head."""
    of_head, head, of_logits, kind = PAIRS[name]
    y, given = array(targets(kind)), weights if weighted else None
    options = {"optimizer": SGD(0.1), "backend": backend}
    models = [
        nnxp.Model(CHAINS[chain](head()), loss=of_head, **options),
        nnxp.Model([Dense(OUTPUTS)], loss=of_logits, **options),
        nnxp.Model([Dense(OUTPUTS), head(), Same()], loss=of_head, **options),
    ]
    seen = []
    for model in models:
        loss, gradients = model.loss_and_gradients(x, y, sample_weight=given)
        steps = [float(model.train_step(x, y, sample_weight=given)) for _ in range(3)]
        seen.append([float(loss), *gradients.values(), *steps, model.evaluate(x, y, sample_weight=given)["loss"]])
    assert_close(seen[0], seen[1], backend, 20)
    assert_close(seen[0], seen[2], backend, 200)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("name", PAIRS)
def test_huge_logits_behind_a_head(name, weighted, backend, array):
    """Logits of ±10³⁰: a loss of that size or of 0, finite gradients, and no NaN, however the sample is weighted."""
    of_head, head, of_logits, kind = PAIRS[name]
    signs = np.where(np.random.default_rng(8).uniform(size=(ROWS, OUTPUTS)) < 0.5, -1.0, 1.0)
    signs[0] = [0, 1, -1]
    x, y = array(signs), array(targets(kind))
    losses = []
    for network, loss in (([Dense(OUTPUTS), head()], of_head), ([Dense(OUTPUTS)], of_logits)):
        model = nnxp.Model(network, loss=loss, optimizer=SGD(1e-3), backend=backend)
        model.build((OUTPUTS,))
        model.load_state_dict({"0.weights": 1e30 * np.eye(OUTPUTS), "0.biases": np.zeros(OUTPUTS)})
        given = WEIGHTS if weighted else None
        with backend.quiet():
            value, gradients = model.loss_and_gradients(x, y, sample_weight=given)
            assert np.isfinite(model.evaluate(x, y, sample_weight=given)["loss"])
            assert np.isfinite(float(model.train_step(x, y, sample_weight=given)))
        for gradient in gradients.values():
            assert np.isfinite(gradient).all()
            assert np.abs(gradient).max() <= 40  # of ten samples, weighted by 3 and 2.5 at most
        assert np.isfinite(backend.to_numpy(model.predict(x))).all()
        losses.append(float(value))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert 1e28 < losses[0] < 1e32


@pytest.mark.parametrize("name", ["huber", "log cosh", "hinge", "mae"])
def test_huge_outputs_of_other_losses(name, backend, array, weights):
    x = array(1e30 * np.where(np.arange(ROWS * INPUTS).reshape(ROWS, INPUTS) % 2, 1.0, -1.0))
    y, model = array(targets(LOSSES[name][2])), build(name, backend, layers=[Linear()])
    for given in (None, weights):
        found = model.evaluate(x, y, sample_weight=given)
        assert np.isfinite(found["loss"])
        assert found["loss"] > 1e28


def test_known_heads_are_computed_from_their_logits(backend, array, x, weights):
    """By their ops: neither softmax nor sigmoid is needed where nobody asks for predictions."""
    for name, (loss, head, _, kind) in PAIRS.items():
        model = nnxp.Model([Dense(OUTPUTS), head()], loss=loss, optimizer=Adam(), backend=backend)
        model.build((INPUTS,))
        model.engine.planned = False
        for given in (weights, None):
            model.train_step(x, array(targets(kind)), sample_weight=given)
        for plan in model.engine._plans.values():
            ops = {step.op for step in plan.records}
            assert not ops & {"softmax", "sigmoid", "softmax_backward", "sigmoid_backward"}, name
            assert any(op.endswith("from_logits_backward") for op in ops), name
            assert ("scale_rows" in ops) == ("weighted_sum" in ops) == any(op.endswith("_rows") for op in ops)
