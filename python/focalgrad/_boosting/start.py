"""The constant score that training starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalgrad._boosting.calls import Given
from focalgrad._boosting.checks import Loss, check_labels, check_logits, check_loss
from focalgrad._boosting.objects import row_weights
from focalgrad._core import SoftmaxFocalLoss


def constant_score(loss: Loss, given: Given) -> float | NDArray[np.float64]:
    """Score of the loss for these labels and weights; its scores are not looked at.

    Raises
    ------
    ValueError
        If it is infinite: names the class that has no weight.
    """
    check_loss(loss)
    check_logits(loss, "a booster")
    check_labels(loss, given.labels, len(given.labels))
    score: float | NDArray[np.float64] = loss.init_score(given.labels, row_weights(given))
    bad = np.flatnonzero(~np.isfinite(score))
    if not bad.size:
        return score
    if np.isnan(np.ravel(score)[bad[0]]):
        raise ValueError("labels and weights must be numbers for a start; got NaN")
    raise ValueError(
        f"every class must have weight for a start; got none {missing(loss, score, int(bad[0]))}"
    )


def missing(loss: Loss, score: float | NDArray[np.float64], place: int) -> str:
    """Say which class an infinite score misses."""
    if loss.class_axis is None:
        return f"of class {int(score < 0)}"
    if isinstance(loss, SoftmaxFocalLoss) or np.ravel(score)[place] < 0:
        return f"of class {place}"
    return f"beside class {place}"


def check_score(score: Any, classes: int) -> list[float]:
    """Give a start as a list of numbers, one for each class, or refuse it."""
    values = np.atleast_1d(np.asarray(score, np.float64))
    if values.shape != (classes,):
        given = f"{classes} numbers, one for each class" if classes > 1 else "a number"
        raise ValueError(
            f"score must be {given}, as init_score returns for this model; got shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"score must be finite; got {score!r}")
    result: list[float] = values.tolist()
    return result
