"""Focal loss in YDF (Yggdrasil Decision Forests), which takes losses of one's own.

>>> import numpy as np
>>> import ydf
>>> import focalgrad as fg
>>> rng = np.random.default_rng(0)
>>> x = rng.normal(size=2000)
>>> data = {"x": x, "y": (x + rng.normal(size=2000) > 2.5).astype(int)}
>>> loss = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0)
>>> learner = ydf.GradientBoostedTreesLearner(label="y", loss=custom_loss(loss), num_trees=50)
>>> proba = loss.posterior(learner.train(data, verbose=0).predict(data))
>>> bool(abs(proba.mean() - data["y"].mean()) < 0.02)
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from focalgrad._adapters import library
from focalgrad._boosting import BaseMetric, BaseObjective, Given, Loss, constant_score

ydf = library("ydf")

__all__ = ["custom_loss"]

FIRST = 1  # YDF counts classes from here


@dataclass(frozen=True, slots=True)
class Start:
    """Constant score that training starts from: 0 for C classes, since YDF's models forget any other."""

    loss: Loss

    def __call__(self, labels: Any, weights: Any) -> Any:
        """Compute it."""
        score = constant_score(self.loss, labels - FIRST, weights if len(weights) else None)
        return np.float32(score) if self.loss.class_axis is None else np.zeros(np.shape(score), np.float32)


@dataclass(frozen=True, slots=True)
class Value(BaseMetric):
    """Weighted mean of the loss, which early stopping watches."""

    def __call__(self, labels: Any, scores: Any, weights: Any) -> np.float32:
        """Compute it."""
        given = Given(scores, labels - FIRST, weights if len(weights) else None)
        return np.float32(self._mean(given))


@dataclass(frozen=True, slots=True)
class Derivatives(BaseObjective):
    """Gradient and Hessian. YDF multiplies them by the weights."""

    def __call__(self, labels: Any, scores: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Compute the gradient, and minus the Hessian, with a row for each class where there are classes."""
        grad, hess = np.empty(scores.shape[::-1], scores.dtype), np.empty(scores.shape[::-1], scores.dtype)
        given = Given(scores, labels - FIRST, None)
        self._grad_and_hess(given, grad_out=grad.T, hess_out=hess.T)
        return grad, np.negative(hess, out=hess)


def custom_loss(loss: Loss, *, hessian: Literal["exact", "gauss_newton", "upper"] = "upper") -> Any:
    """Make a loss that YDF trains gradient boosted trees with.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Of logits. Its reduction does not matter. Two classes take a `SigmoidFocalLoss`; C classes a
        `SoftmaxFocalLoss`, or ``SigmoidFocalLoss(class_axis=-1)`` for every class against the rest.
    hessian : {"upper", "gauss_newton", "exact"}, default "upper"
        ``"upper"`` and ``"gauss_newton"`` are never negative, ``"upper"`` is 1 + gamma times the other and so
        takes smaller steps. ``"exact"`` is negative for hard rows.

    Returns
    -------
    ydf.BinaryClassificationLoss or ydf.MultiClassificationLoss
        For ``ydf.GradientBoostedTreesLearner(loss=...)``. Early stopping watches the weighted mean of `loss`.
        ``model.predict`` gives raw scores: ``loss.posterior`` makes probabilities of them. Two classes start
        from ``loss.init_score`` of the training labels, which YDF keeps in the model. C classes start from 0:
        predictions of YDF's models of C classes lack any other start.

    Raises
    ------
    TypeError
        If `loss` is no loss.
    ValueError
        If it is one of probabilities, has its classes along another axis than the last, or has no such
        Hessian. In training, as a `RuntimeError` of YDF: if there are three classes and the loss is for two.

    Notes
    -----
    YDF has a focal loss for two classes itself (``loss="BINARY_FOCAL_LOSS"``, with ``focal_loss_alpha`` and
    ``focal_loss_gamma``), of the same values. It starts from the log-odds.

    Examples
    --------
    >>> import focalgrad as fg
    >>> type(custom_loss(fg.SoftmaxFocalLoss())).__name__
    'MultiClassificationLoss'
    """
    derivatives = Derivatives(loss, hessian=hessian)
    kind = ydf.BinaryClassificationLoss if loss.class_axis is None else ydf.MultiClassificationLoss
    return kind(
        initial_predictions=Start(loss),
        loss=Value(loss),
        gradient_and_hessian=derivatives,
        activation=ydf.Activation.IDENTITY,
    )
