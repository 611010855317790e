"""What the tests of the adapters share: data, losses, the definition, and objectives that record."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import focalgrad as fg
from focalgrad import _reference as reference

Array = NDArray[Any]
HESSIANS = ("exact", "gauss_newton", "upper")

#: Losses for labels 0 and 1, for labels between them, and for classes 0 to 2.
BINARY = {
    "default": fg.SigmoidFocalLoss(),
    "cross entropy": fg.SigmoidFocalLoss(alpha=None, gamma=0.0),
    "gamma 0.5": fg.SigmoidFocalLoss(alpha=0.75, gamma=0.5, reduction="none"),
    "smoothed": fg.SigmoidFocalLoss(alpha=None, gamma=3.7, label_smoothing=0.1),
    "with a normalizer": fg.SigmoidFocalLoss(gamma=1.0, normalizer="positives"),
}
IGNORING = fg.SigmoidFocalLoss(gamma=1.0, ignore_index=-1)
SOFT = {
    meaning: fg.SigmoidFocalLoss(alpha=0.3, gamma=2.0, soft_targets=meaning)
    for meaning in ("mixture", "expected", "quality")
}
CLASSES = {
    "softmax": fg.SoftmaxFocalLoss(),
    "softmax of gamma 0": fg.SoftmaxFocalLoss(gamma=0.0, reduction="none"),
    "softmax by class": fg.SoftmaxFocalLoss(alpha=[1.0, 2.0, 0.5], gamma=[0.0, 2.0, 3.0], class_axis=1),
    "softmax smoothed": fg.SoftmaxFocalLoss(gamma=1.5, label_smoothing=0.2),
    "one-vs-rest": fg.SigmoidFocalLoss(class_axis=-1),
    "one-vs-rest by class": fg.SigmoidFocalLoss(
        alpha=[0.2, 0.5, 0.9], gamma=[1.0, 2.0, 0.0], class_axis=-1, class_weight=[1.0, 3.0, 0.5]
    ),
}
CASES = [
    *(("binary", name, loss) for name, loss in BINARY.items()),
    *(("soft", name, loss) for name, loss in SOFT.items()),
    ("ignored", "ignoring", IGNORING),
    *(("classes", name, loss) for name, loss in CLASSES.items()),
]


every_loss = pytest.mark.parametrize(
    ("kind", "loss"), [(kind, loss) for kind, _, loss in CASES], ids=[name for _, name, _ in CASES]
)


class Data(NamedTuple):
    """Features, labels and weights of rows."""

    X: Array
    y: Array
    w: Array


def made(kind: str, rows: int = 400, seed: int = 0) -> Data:
    """Data of a kind.

    "binary": a fifth are positives; "ignored": and a third has the label -1; "soft": labels between 0 and 1;
    "classes": 0 to 2.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4))
    signal = X[:, 0] + 0.5 * X[:, 1] ** 2 + rng.normal(size=rows)
    y = {
        "binary": (signal > 1.7).astype(int),
        "ignored": np.where(np.arange(rows) % 3 == 0, -1, signal > 1.7),
        "soft": 1 / (1 + np.exp(-signal)),
        "classes": np.digitize(signal, [0.0, 1.5]),
    }[kind]
    return Data(X, y, rng.uniform(0.5, 2.0, rows).astype(np.float32))


def rare(rows: int = 20_000, seed: int = 0) -> Data:
    """One positive in a thousand, half of which can be told from the rest."""
    rng = np.random.default_rng(seed)
    y = np.zeros(rows, int)
    y[rng.choice(rows, rows // 1000, replace=False)] = 1
    X = rng.normal(size=(rows, 4))
    X[:, 0] += 3 * y * rng.integers(0, 2, rows)
    return Data(X, y, np.ones(rows, np.float32))


def defined(
    loss: Any, scores: Array, labels: Array, weights: Array | None, hessian: str
) -> tuple[Array, Array]:
    """Gradient and Hessian of the sum of a loss, by the definition."""
    found = reference.evaluate(
        loss.replace(reduction="sum"),
        np.float64(scores),
        np.float64(labels),
        sample_weight=weights,
        hessian=hessian,
    )
    return found.gradient, found.hessian


def mean(loss: Any, scores: Array, labels: Array, weights: Array | None = None) -> float:
    """Weighted mean of the losses of rows, by the definition."""
    weights = np.ones(len(labels)) if weights is None else np.float64(weights)
    summed = loss.replace(reduction="sum")
    total = reference.evaluate(summed, scores, np.float64(labels), sample_weight=weights).value
    counted = np.ones(len(labels), bool) if loss.ignore_index is None else labels != loss.ignore_index
    return float(total / weights[counted].sum())


class Call(NamedTuple):
    """One call of an objective: what came and what went back, copied."""

    scores: Array
    labels: Array
    weights: Array | None
    grad: Array
    hess: Array


class Recorder:
    """An objective for LightGBM or XGBoost that writes down what another one is given and gives."""

    def __init__(self, objective: Any) -> None:
        self.objective = objective
        self.calls: list[Call] = []
        self.raw: list[tuple[Array, Array, Array]] = []  # scores, gradient and Hessian as they were

    def __deepcopy__(self, memo: Any) -> Recorder:
        return self

    def __call__(self, scores: Array, data: Any) -> tuple[Array, Array]:
        grad, hess = self.objective(scores, data)
        weights = data.get_weight()
        self.raw.append((scores, grad, hess))
        self.calls.append(
            Call(
                scores.copy(),
                np.array(data.get_label()),
                np.array(weights) if weights is not None and len(weights) else None,
                grad.copy(),
                hess.copy(),
            )
        )
        return grad, hess


def check_calls(calls: list[Call], loss: Any, hessian: str, atol: float) -> None:
    """Assert that what went back is what the definition says, for scores that moved."""
    assert len(calls) > 1
    assert np.ptp(calls[-1].scores) > 0.01
    for call in calls:
        grad, hess = defined(loss, call.scores, call.labels, call.weights, hessian)
        np.testing.assert_allclose(call.grad, grad, rtol=0, atol=atol)
        np.testing.assert_allclose(call.hess, hess, rtol=0, atol=atol)
