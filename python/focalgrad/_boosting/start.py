"""The constant score that training starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalgrad._boosting.calls import Given
from focalgrad._boosting.checks import Loss, check_labels, check_logits, check_loss
from focalgrad._boosting.objects import row_weights
from focalgrad._core import SoftmaxFocalLoss


def constant_score(
    loss: Loss, labels: NDArray[Any], weights: NDArray[Any] | None
) -> float | NDArray[np.float64]:
    """Constant score that minimises the loss, if it is finite.

    Raises
    ------
    ValueError
        If it is infinite: names the class that has no weight.
    """
    check_loss(loss)
    check_logits(loss, "a booster")
    check_labels(loss, labels, len(labels))
    score: float | NDArray[np.float64] = loss.init_score(
        labels, sample_weight=row_weights(Given(labels, labels, weights))
    )
    bad = np.flatnonzero(~np.isfinite(score))
    if not bad.size:
        return score
    value = float(np.ravel(score)[bad[0]])
    if np.isnan(value):
        raise ValueError("weights must be finite numbers for a start; got some that are not")
    raise ValueError(
        f"every class must have weight for a start; got none {missing(loss, value, int(bad[0]))}"
    )


def missing(loss: Loss, value: float, column: int) -> str:
    """Say which class it is without which a score is infinite."""
    if loss.class_axis is None:
        return f"of class {int(value < 0)}"
    if isinstance(loss, SoftmaxFocalLoss) or value < 0:
        return f"of class {column}"
    return f"of any class but {column}"


def one_for_each_class(score: Any, classes: int) -> list[float]:
    """Give a start as a list with one number for each class, or refuse it."""
    values = np.atleast_1d(np.asarray(score, np.float64))
    if values.shape != (classes,):
        wanted = f"{classes} numbers, one for each class" if classes > 1 else "one number"
        raise ValueError(f"score must be {wanted}, as init_score returned; got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"score must be finite; got {score!r}")
    result: list[float] = values.tolist()
    return result
