"""scikit-learn on the same weights and data, in float64: networks, logistic regression, scores and scaling."""

from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp.data import Scaling
from nnxp.layers import Dense, Layer, ReLU, Sigmoid, Softmax, Tanh
from nnxp.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, MeanAbsoluteError, MeanSquaredError
from nnxp.optimizers import SGD
from nnxp.regularizers import L2

pytest.importorskip("sklearn")

from sklearn.linear_model import LogisticRegression, Ridge  # only where it is installed
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, mean_squared_error
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

TOLERANCE = 1e-10
"""Relative: float64 on both sides, and twenty steps that multiply its 1e-16 by a few thousand at most."""
RATE = 0.1
N = 60


@pytest.fixture
def x(random) -> np.ndarray:
    return random.standard_normal((N, 3))


def three_classes(x: np.ndarray) -> np.ndarray:
    """Three bands that a line does not part."""
    return np.digitize(np.sin(2 * x[:, 0]) + x[:, 1], [-0.5, 0.5])


def two_classes(x: np.ndarray) -> np.ndarray:
    return (x[:, 0] * x[:, 1] > 0).astype(int)


def model_of(layers: list[Layer], loss: Loss, rate: float = RATE, **options: Any) -> nnxp.Model:
    return nnxp.Model(layers, loss=loss, optimizer=SGD(rate), backend="numpy", dtype="float64", **options)


class TestMultilayerPerceptrons:
    """Full-batch gradient descent from the same start: one call of ``partial_fit`` is one step.

    scikit-learn divides losses by the batch alone, and its squared error has ½ in front; so for regression with one
    output its loss is half of ours, and its rate twice.
    """

    @pytest.mark.parametrize(
        ("make", "activation", "ours", "outputs", "head", "loss", "targets"),
        [
            (MLPClassifier, "tanh", Tanh, 3, [Softmax], CategoricalCrossentropy(), three_classes),
            (MLPClassifier, "relu", ReLU, 3, [Softmax], CategoricalCrossentropy(), three_classes),
            (MLPClassifier, "logistic", Sigmoid, 1, [Sigmoid], BinaryCrossentropy(), two_classes),
            (MLPRegressor, "tanh", Tanh, 1, [], MeanSquaredError(), lambda x: np.sin(x[:, 0])),
        ],
        ids=["three classes, tanh", "three classes, relu", "two classes", "regression"],
    )
    def test_the_same_steps(self, make, activation, ours, outputs, head, loss, targets, x, random):
        y, half = targets(x), 0.5 if make is MLPRegressor else 1.0
        peer = make(
            hidden_layer_sizes=(8, 5),
            activation=activation,
            solver="sgd",
            alpha=0,
            momentum=0,
            learning_rate_init=RATE,
            shuffle=False,
        )
        classes = {"classes": np.unique(y)} if make is MLPClassifier else {}
        peer.partial_fit(x, y, **classes)  # the only way to make its weights; they are overwritten now
        hidden = [layer for units in (8, 5) for layer in (Dense(units), ours())]
        model = model_of([*hidden, Dense(outputs), *(make_head() for make_head in head)], loss, half * RATE)
        model.build((3,))
        state = {key: random.standard_normal(a.shape) / 2 for key, a in model.state_dict().items()}
        model.load_state_dict(state)
        theirs = [a for pair in zip(peer.coefs_, peer.intercepts_, strict=True) for a in pair]
        for weight, start in zip(theirs, state.values(), strict=True):
            weight[...] = start  # in place: its optimizer holds these arrays

        y_ours = y if outputs == 3 else y[:, None]
        for step in range(20):
            loss_value = float(model.train_step(x, y_ours))
            peer.partial_fit(x, y)
            assert half * loss_value == pytest.approx(peer.loss_, rel=TOLERANCE), step
            theirs = [a for pair in zip(peer.coefs_, peer.intercepts_, strict=True) for a in pair]
            for (key, found), expected in zip(model.state_dict().items(), theirs, strict=True):
                np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE, err_msg=f"{key}, step {step}")

        predicted = model.predict(x)
        expected = peer.predict(x) if make is MLPRegressor else peer.predict_proba(x)
        if make is MLPRegressor:
            predicted = predicted[:, 0]
        elif outputs == 1:
            predicted = np.hstack([1 - predicted, predicted])
        np.testing.assert_allclose(predicted, expected, rtol=0, atol=TOLERANCE)


class TestConvexProblems:
    """One optimum, whoever looks for it: gradient descent until the gradient is gone, against their solvers."""

    ACCURACY = 1e-6
    """Relative: both stop at gradients far below 1e-7, and no direction here is flatter than 0.2."""

    def descend(self, model: nnxp.Model, x: np.ndarray, y: np.ndarray) -> None:
        for step in range(3000):
            model.train_step(x, y)
            if step % 100 == 0:
                _, gradients = model.loss_and_gradients(x, y)
                if max(np.abs(g).max() for g in gradients.values()) < 1e-9:
                    return
        raise AssertionError("gradient descent did not arrive")

    @pytest.mark.parametrize("penalty", [0.1, 1.0])
    def test_binary_logistic_regression(self, penalty, x):
        """Theirs: ½‖w‖² + C·Σ loss; ours: Σ loss + λ‖w‖², the same for λ = 1/(2C)."""
        y = (x @ [1.0, -2.0, 0.5] + 0.3 * np.sin(7 * x[:, 0]) > 0).astype(int)
        layers = [Dense(1, weight_regularizer=L2(penalty)), Sigmoid()]
        model = model_of(layers, BinaryCrossentropy(reduction="sum"), rate=0.05)
        self.descend(model, x, y[:, None])
        peer = LogisticRegression(C=1 / (2 * penalty), tol=1e-10, max_iter=10_000).fit(x, y)
        assert model.layers[0].weights[:, 0] == pytest.approx(peer.coef_[0], rel=self.ACCURACY)
        assert float(model.layers[0].biases[0]) == pytest.approx(peer.intercept_[0], rel=self.ACCURACY)

    def test_softmax_regression(self, x):
        """Biases have a direction in which the loss is flat, all equally; so their differences are compared."""
        y = three_classes(x)
        model = model_of(
            [Dense(3, weight_regularizer=L2(0.5)), Softmax()], CategoricalCrossentropy(reduction="sum"), 0.02
        )
        self.descend(model, x, y)
        peer = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(x, y)
        np.testing.assert_allclose(model.layers[0].weights.T, peer.coef_, atol=self.ACCURACY)
        found = model.layers[0].biases - model.layers[0].biases.mean()
        np.testing.assert_allclose(found, peer.intercept_ - peer.intercept_.mean(), atol=self.ACCURACY)

    def test_ridge_regression(self, x):
        y = x @ [1.0, -2.0, 0.5] + 0.3 + 0.1 * np.sin(7 * x[:, 0])
        model = model_of([Dense(1, weight_regularizer=L2(2.0))], MeanSquaredError(reduction="sum"), 0.004)
        self.descend(model, x, y[:, None])
        peer = Ridge(alpha=2.0).fit(x, y)
        assert model.layers[0].weights[:, 0] == pytest.approx(peer.coef_, rel=self.ACCURACY)
        assert float(model.layers[0].biases[0]) == pytest.approx(peer.intercept_, rel=self.ACCURACY)


class TestScores:
    """What ``evaluate`` says of a network's predictions, against their functions of the same predictions."""

    def test_of_classes(self, x):
        y = three_classes(x)
        model = model_of([Dense(3), Softmax()], CategoricalCrossentropy(), metrics=["accuracy"])
        found = model.evaluate(x, y, batch_size=7)
        p = model.predict(x)
        assert found["loss"] == pytest.approx(log_loss(y, p), rel=1e-12)
        assert found["accuracy"] == accuracy_score(y, p.argmax(axis=1))

    def test_of_a_binary_target(self, x):
        y = two_classes(x)
        model = model_of([Dense(1), Sigmoid()], BinaryCrossentropy(), metrics=["accuracy"])
        found = model.evaluate(x, y[:, None], batch_size=7)
        p = model.predict(x)[:, 0]
        assert found["loss"] == pytest.approx(log_loss(y, p), rel=1e-12)
        assert found["accuracy"] == accuracy_score(y, p > 0.5)

    def test_of_probabilities(self, random):
        p, y = random.dirichlet(np.ones(4), N), random.integers(0, 4, N)
        assert float(CategoricalCrossentropy().value(p, y)) == pytest.approx(log_loss(y, p), rel=1e-12)

    def test_of_regressions(self, random):
        p, y = random.standard_normal((2, N, 2))
        assert float(MeanSquaredError().value(p, y)) == pytest.approx(mean_squared_error(y, p), rel=1e-12)
        assert float(MeanAbsoluteError().value(p, y)) == pytest.approx(mean_absolute_error(y, p), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_standard_scaling(dtype, random):
    """A constant feature is only shifted, by both. In float32 the mean of a constant may miss it by an ULP."""
    x = (random.standard_normal((N, 4)) * [1.0, 100.0, 1e-3, 0.0] + [0.0, 50.0, 3.0, 8.0]).astype(dtype)
    scaling, peer = Scaling.standard(x), StandardScaler().fit(x.astype(np.float64))
    np.testing.assert_allclose(scaling.offset, peer.mean_, rtol=1e-12)
    np.testing.assert_allclose(1 / scaling.factor, peer.scale_, rtol=1e-10)
    unseen = random.standard_normal((5, 4))
    np.testing.assert_allclose(scaling.apply(unseen), peer.transform(unseen), rtol=1e-10)
