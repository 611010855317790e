"""Training runs of YDF: derivatives, trees, its own focal loss, answers to bad use."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import ydf

import focalgrad as fg
from cases import CASES, CLASSES, HESSIANS, Array, Call, Data, check_calls, made, mean
from focalgrad.ydf import custom_loss

FOCAL = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0)
by_loss = pytest.mark.parametrize(
    ("kind", "loss"),
    [("binary", FOCAL), ("classes", CLASSES["softmax"]), ("classes", CLASSES["one-vs-rest"])],
    ids=["sigmoid", "softmax", "one-vs-rest"],
)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    ydf.verbose(0)


def table(data: Data) -> dict[str, Array]:
    """Data as YDF takes it."""
    return {"a": data.X[:, 0], "b": data.X[:, 1], "y": data.y, "w": data.w}


def trained(data: Data, loss: Any, weighted: bool = False, **more: Any) -> Any:
    """A model of ten trees."""
    options = {"num_trees": 10, "validation_ratio": 0.0, "features": ["a", "b"], "num_threads": 1} | more
    weights = "w" if weighted else None
    learner = ydf.GradientBoostedTreesLearner(label="y", weights=weights, loss=loss, **options)
    return learner.train(table(data))


def log_odds(model: Any, data: Data) -> Array:
    """Raw scores of a model that gives probabilities."""
    p = model.predict(table(data)).astype(np.float64)
    return np.log(p) - np.log1p(-p)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("kind", "loss"),
    # YDF classifies: labels are classes, none soft or ignored.
    [(kind, loss) for kind, _, loss in CASES if kind in ("binary", "classes")],
    ids=[name for kind, name, _ in CASES if kind in ("binary", "classes")],
)
def test_derivatives_are_the_definition(kind: str, loss: Any, weighted: bool) -> None:
    data = made(kind)
    for hessian in HESSIANS:
        made_loss, calls = custom_loss(loss, hessian=hessian), []

        def recorded(labels: Any, scores: Any, made_loss: Any = made_loss, calls: Any = calls) -> Any:
            grad, hess = made_loss.gradient_and_hessian(labels, scores)
            calls.append(Call(scores.copy(), labels - 1, None, grad.T.copy(), -hess.T))
            return grad, hess

        model = trained(data, replace(made_loss, gradient_and_hessian=recorded), weighted)
        check_calls(calls, loss, hessian, atol=3e-6)
        start = np.zeros(3) if kind == "classes" else loss.init_score(data.y, data.w if weighted else None)
        np.testing.assert_allclose(calls[0].scores[0], start, rtol=1e-6)
        np.testing.assert_allclose(model.initial_predictions(), np.atleast_1d(start), rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_gamma_zero_grows_its_own_trees(weighted: bool) -> None:
    data, entropy = made("binary", 2000), fg.SigmoidFocalLoss(alpha=None, gamma=0.0)
    ours, own = trained(data, custom_loss(entropy), weighted), trained(data, "DEFAULT", weighted)
    scores = ours.predict(table(data))
    np.testing.assert_allclose(entropy.posterior(scores), own.predict(table(data)), atol=1e-6)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 0.5), (0.75, 3.0)])
def test_its_own_focal_loss_is_this_one(alpha: float, gamma: float) -> None:
    """The same values; the same trees too from its start, the log-odds, with the exact Hessian."""
    data, loss = made("binary", 2000), fg.SigmoidFocalLoss(alpha, gamma)
    own = trained(data, "BINARY_FOCAL_LOSS", focal_loss_alpha=alpha, focal_loss_gamma=gamma)
    scores = log_odds(own, data)
    assert own.training_logs()[-1].training_evaluation.loss == pytest.approx(loss(scores, data.y), rel=1e-5)
    odds = np.log(data.y.mean() / (1 - data.y.mean()))
    exact = replace(custom_loss(loss, hessian="exact"), initial_predictions=lambda y, w: np.float32(odds))
    np.testing.assert_allclose(trained(data, exact).predict(table(data)), scores, atol=1e-4)


@by_loss
def test_early_stopping_watches_the_weighted_mean(kind: str, loss: Any) -> None:
    data, other = made(kind), made(kind, 200, seed=1)
    learner = ydf.GradientBoostedTreesLearner(
        label="y",
        weights="w",
        loss=custom_loss(loss),
        features=["a", "b"],
        num_trees=5,
        num_threads=1,
        early_stopping="NONE",
    )
    model = learner.train(table(data), valid=table(other))
    expected = mean(loss, np.float64(model.predict(table(other))), other.y, other.w)
    assert model.training_logs()[-1].evaluation.loss == pytest.approx(expected, rel=1e-5)
    start = np.zeros((200, 3)) if kind == "classes" else np.full(200, model.initial_predictions()[0])
    assert expected < mean(loss, start, other.y, other.w)


def test_is_picklable() -> None:
    assert pickle.loads(pickle.dumps(custom_loss(FOCAL))) == custom_loss(FOCAL)


def test_refused_losses() -> None:
    with pytest.raises(TypeError, match="loss must be a SigmoidFocalLoss or SoftmaxFocalLoss; got str"):
        custom_loss("focal")
    with pytest.raises(ValueError, match="raw scores; got from_logits=False"):
        custom_loss(fg.SigmoidFocalLoss(from_logits=False))


def test_a_loss_of_two_classes_for_three_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"labels must be 0 or 1, .* got labels\[\d+\] = 2"):
        trained(made("classes"), custom_loss(FOCAL))
