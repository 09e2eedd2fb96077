"""PyTorch and scikit-learn on the same predictions, in float64: losses with their options, and sample weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nnxp.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
)

torch = pytest.importorskip("torch")
functional = torch.nn.functional

TOLERANCE = 1e-10
"""Relative, to the largest element: float64 on both sides, and sums of a few dozen numbers of order one."""

ROWS, CLASSES = 6, 4
RANDOM = np.random.default_rng(11)
LOGITS, REAL, OTHERS = RANDOM.standard_normal((3, ROWS, CLASSES)) * np.array([5, 1, 1])[:, None, None]
LABELS = np.array([0, 3, 1, 1, 2, 0])
SOFT = RANDOM.dirichlet(np.ones(CLASSES), ROWS)
SHARES = RANDOM.uniform(size=(ROWS, CLASSES))
ANSWERS = RANDOM.integers(0, 2, (ROWS, CLASSES)).astype(float)
WEIGHTS = np.array([0.5, 2.0, 1.0, 3.0])
SAMPLES = np.array([1.0, 0.0, 2.5, 0.5, 1.0, 3.0])


def tensor(a: Any) -> Any:
    return torch.tensor(np.asarray(a))


def assert_agrees(found: Any, expected: Any, name: str) -> None:
    found, expected = np.asarray(found), expected.detach().numpy()
    assert found.dtype == expected.dtype == np.float64
    assert found.shape == expected.shape, name
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(), err_msg=name)


def compare(loss: Loss, p: Any, y: Any, peer: Callable[[Any, Any], Any], weights: Any = None) -> None:
    """Value and gradient against those of a function of the predictions and the targets."""
    point = torch.tensor(p, requires_grad=True)
    expected = peer(point, tensor(y))
    expected.backward()
    assert_agrees(loss.value(p, y, sample_weight=weights), expected, "value")
    assert_agrees(loss.gradient(p, y, sample_weight=weights), point.grad, "gradient")


def rows(e: Any) -> Any:
    return e.sum(dim=tuple(range(1, e.ndim))) if e.ndim > 1 else e  # over no axis, PyTorch sums over all


def cross_entropy(**options: Any) -> Callable[..., Any]:
    return lambda z, y, reduction: functional.cross_entropy(z, y, reduction=reduction, **options)


def divergence(z: Any, y: Any, reduction: str) -> Any:
    log_p = functional.log_softmax(z, dim=1)
    return functional.kl_div(log_p, y, reduction="batchmean" if reduction == "mean" else reduction)


def divergence_of_labels(z: Any, y: Any, reduction: str) -> Any:
    return divergence(z, functional.one_hot(y, CLASSES).double(), reduction)


def nll(p: Any, y: Any, reduction: str) -> Any:
    return functional.nll_loss(torch.log(p), y, reduction=reduction)


def log_divergence(p: Any, y: Any, reduction: str) -> Any:
    return functional.kl_div(torch.log(p), y, reduction="batchmean" if reduction == "mean" else reduction)


LOSSES: dict[str, tuple[type[Loss], dict[str, Any], Any, Any, Callable[..., Any]]] = {
    # loss, its options, predictions, targets, PyTorch's with a reduction
    "cce of labels": (CategoricalCrossentropy, {"from_logits": True}, LOGITS, LABELS, cross_entropy()),
    "cce of shares": (CategoricalCrossentropy, {"from_logits": True}, LOGITS, SOFT, cross_entropy()),
    "cce, smooth labels": (
        CategoricalCrossentropy,
        {"from_logits": True, "label_smoothing": 0.2},
        LOGITS,
        LABELS,
        cross_entropy(label_smoothing=0.2),
    ),
    "cce, smooth shares": (
        CategoricalCrossentropy,
        {"from_logits": True, "label_smoothing": 0.2},
        LOGITS,
        SOFT,
        cross_entropy(label_smoothing=0.2),
    ),
    "cce, weighted shares": (  # of shares, PyTorch's mean divides by the samples, as ours does
        CategoricalCrossentropy,
        {"from_logits": True, "class_weights": WEIGHTS},
        LOGITS,
        SOFT,
        cross_entropy(weight=tensor(WEIGHTS)),
    ),
    "cce, smooth and weighted shares": (
        CategoricalCrossentropy,
        {"from_logits": True, "class_weights": WEIGHTS, "label_smoothing": 0.3},
        LOGITS,
        SOFT,
        cross_entropy(weight=tensor(WEIGHTS), label_smoothing=0.3),
    ),
    "cce of probabilities": (CategoricalCrossentropy, {}, SOFT, LABELS, nll),
    "kl of logits": (KLDivergence, {"from_logits": True}, LOGITS, SOFT, divergence),
    "kl of logits, labels": (KLDivergence, {"from_logits": True}, LOGITS, LABELS, divergence_of_labels),
    "kl": (KLDivergence, {}, SOFT, SOFT[::-1].copy(), log_divergence),
    "bce": (BinaryCrossentropy, {}, SHARES, ANSWERS, functional.binary_cross_entropy),
    "bce of logits": (
        BinaryCrossentropy,
        {"from_logits": True},
        LOGITS,
        SHARES,
        functional.binary_cross_entropy_with_logits,
    ),
    "bce, positive": (
        BinaryCrossentropy,
        {"from_logits": True, "positive_weight": 2.5},
        LOGITS,
        SHARES,
        lambda z, y, reduction: functional.binary_cross_entropy_with_logits(
            z, y, pos_weight=tensor(2.5), reduction=reduction
        ),
    ),
    "bce, positives": (
        BinaryCrossentropy,
        {"from_logits": True, "positive_weight": WEIGHTS},
        LOGITS,
        ANSWERS,
        lambda z, y, reduction: functional.binary_cross_entropy_with_logits(
            z, y, pos_weight=tensor(WEIGHTS), reduction=reduction
        ),
    ),
    "bce of probabilities, positives": (
        BinaryCrossentropy,
        {"positive_weight": WEIGHTS},
        SHARES,
        ANSWERS,
        lambda p, y, reduction: functional.binary_cross_entropy_with_logits(
            torch.logit(p), y, pos_weight=tensor(WEIGHTS), reduction=reduction
        ),
    ),
    "huber": (Huber, {}, REAL, OTHERS, functional.huber_loss),
    "huber, half": (
        Huber,
        {"delta": 0.5},
        REAL,
        OTHERS,
        lambda p, y, reduction: functional.huber_loss(p, y, delta=0.5, reduction=reduction),
    ),
    "mse": (MeanSquaredError, {}, REAL, OTHERS, functional.mse_loss),
    "mae": (MeanAbsoluteError, {}, REAL, OTHERS, functional.l1_loss),
}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, reduction):
    make, options, p, y, peer = LOSSES[name]
    compare(make(reduction=reduction, **options), p, y, lambda p, y: peer(p, y, reduction=reduction))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_sample_weights(name, reduction):
    """They multiply what PyTorch gives without a reduction; the mean then divides by what it divided by before."""
    make, options, p, y, peer = LOSSES[name]
    loss = make(reduction=reduction, **options)

    def weighted(p: Any, y: Any) -> Any:
        each = peer(p, y, reduction="none")
        return (tensor(SAMPLES) * rows(each)).sum() / loss.divisor(tuple(p.shape))

    compare(loss, p, y, weighted, SAMPLES)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_class_weights_of_labels(smoothing):
    """In a sum they are PyTorch's. Its mean divides by the weights of the samples' classes, ours by the samples."""
    options = {"from_logits": True, "class_weights": WEIGHTS, "label_smoothing": smoothing}
    peer = cross_entropy(weight=tensor(WEIGHTS), label_smoothing=smoothing)
    compare(CategoricalCrossentropy(reduction="sum", **options), LOGITS, LABELS, lambda z, y: peer(z, y, "sum"))
    ratio = WEIGHTS[LABELS].sum() / ROWS
    assert abs(ratio - 1) > 0.1
    compare(CategoricalCrossentropy(**options), LOGITS, LABELS, lambda z, y: peer(z, y, "mean") * ratio)


def test_sample_weights_are_class_weights_of_labels():
    """What one says by classes, the other says by samples."""
    by_class = CategoricalCrossentropy(from_logits=True, class_weights=WEIGHTS)
    peer = cross_entropy(weight=tensor(WEIGHTS))
    compare(by_class, LOGITS, LABELS, lambda z, y: peer(z, y, "sum") / ROWS)
    plain = CategoricalCrossentropy(from_logits=True)
    compare(plain, LOGITS, LABELS, lambda z, y: peer(z, y, "sum") / ROWS, WEIGHTS[LABELS])


def test_smooth_l1_divides_by_delta():
    """PyTorch's other loss of that shape."""
    compare(Huber(delta=0.5), REAL, OTHERS, lambda p, y: 0.5 * functional.smooth_l1_loss(p, y, beta=0.5))


def log_cosh(p: Any, y: Any) -> Any:
    """Directly: log(1 + (cosh e - 1)) with cosh e - 1 = 2 sinh² (e / 2), or log(e^e + e^-e) where that overflows."""
    e = p - y
    return torch.log1p(2 * torch.sinh(e / 2) ** 2) if abs(e).max() < 10 else torch.logaddexp(e, -e) - np.log(2)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("size", [1e-6, 0.1, 1.0, 300.0])
def test_log_cosh(size, reduction):
    loss = LogCosh(reduction=reduction)
    compare(loss, size * REAL, np.zeros_like(REAL), lambda p, y: getattr(log_cosh(p, y), reduction)())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_hinge(reduction):
    """PyTorch has it for several classes only: its formula, with labels of -1 and 1."""
    loss = Hinge(reduction=reduction)
    compare(loss, REAL, ANSWERS, lambda p, y: getattr(functional.relu(1 - (2 * y - 1) * p), reduction)())


def test_hinge_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    for column in range(CLASSES):
        p, y = REAL[:, column : column + 1], ANSWERS[:, column : column + 1]
        signs = 2 * y[:, 0] - 1
        expected = metrics.hinge_loss(signs, p[:, 0], labels=[-1, 1])
        assert float(Hinge().value(p, y)) == pytest.approx(expected, rel=TOLERANCE)
        weighted = metrics.hinge_loss(signs, p[:, 0], labels=[-1, 1], sample_weight=SAMPLES)  # over the sum of weights
        found = float(Hinge(reduction="sum").value(p, y, sample_weight=SAMPLES)) / SAMPLES.sum()
        assert found == pytest.approx(weighted, rel=TOLERANCE)


def test_weights_of_scikit_learn():
    """Its log loss divides by the sum of the weights."""
    metrics = pytest.importorskip("sklearn.metrics")
    expected = metrics.log_loss(LABELS, SOFT, sample_weight=SAMPLES)
    found = float(CategoricalCrossentropy().value(SOFT, LABELS, sample_weight=SAMPLES))
    assert found * ROWS / SAMPLES.sum() == pytest.approx(expected, rel=TOLERANCE)
