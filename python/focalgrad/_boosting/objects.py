"""Objectives and metrics: immutable objects around a loss, which boosters call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from focalgrad._boosting.calls import Given
from focalgrad._boosting.checks import (
    Loss,
    check_hessian,
    check_labels,
    check_logits,
    check_loss,
    check_meaning,
    check_scores,
    is_ignored,
)


class Immutable:
    """Copies are the object itself.

    Boosters deep-copy their parameters, and scikit-learn's ``clone`` compares what it gets with what it gave.
    """

    __slots__ = ()

    def __copy__(self) -> Any:
        """Return the object itself."""
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        """Return the object itself."""
        return self


@dataclass(frozen=True, slots=True)
class BaseObjective(Immutable):
    """Gradient and Hessian of the sum of a loss over rows."""

    loss: Loss
    hessian: Literal["exact", "gauss_newton", "upper"] = field(default="upper", kw_only=True)
    _sum: Loss = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_loss(self.loss)
        check_logits(self.loss, "an objective")
        check_hessian(self.loss, self.hessian)
        object.__setattr__(self, "_sum", summed(self.loss))

    def _grad_and_hess(self, given: Given, **out: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Gradient and Hessian in the shape, order and dtype of the scores."""
        check_scores(self.loss, given.scores)
        check_labels(self.loss, given.labels, len(given.scores))
        return self._sum.grad_and_hess(
            given.scores, given.labels, sample_weight=row_weights(given), hessian=self.hessian, **out
        )


@dataclass(frozen=True, slots=True)
class BaseMetric(Immutable):
    """Weighted mean of a loss over rows."""

    loss: Loss
    name: str = field(default="focal_loss", kw_only=True)
    _sum: Loss = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_loss(self.loss)
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string; got {type(self.name).__name__}")
        object.__setattr__(self, "_sum", summed(self.loss))

    def _sums(self, given: Given) -> tuple[float, float]:
        """Sum of the weighted losses, and sum of the weights of the rows that are not ignored."""
        check_scores(self.loss, given.scores)
        check_labels(self.loss, given.labels, len(given.scores))
        check_meaning(self.loss, given.scores, given.labels)
        total = self._sum(given.scores, given.labels, sample_weight=row_weights(given))
        return float(total), weight_of_rows(self.loss, given)

    def _mean(self, given: Given) -> float:
        """Sum of the weighted losses by sum of the weights."""
        return ratio(*self._sums(given))


def summed(loss: Loss) -> Loss:
    """Loss of all rows, or of a single one: the last axis is that of the classes."""
    return loss.replace(reduction="sum", class_axis=None if loss.class_axis is None else -1)


def ratio(total: float, weight: float) -> float:
    """Mean of what has this weight in total; 0.0 without weight."""
    return total / weight if weight != 0 else 0.0


def row_weights(given: Given) -> NDArray[Any] | None:
    """Weights of rows in a shape that broadcasts to the labels'."""
    weights = given.weights
    return weights if weights is None or given.labels.ndim == 1 else weights[:, None]


def weight_of_rows(loss: Loss, given: Given) -> float:
    """Sum of the weights of the rows that are not ignored."""
    labels, weights = given.labels, given.weights
    if loss.ignore_index is None or labels.ndim == 2:
        return float(len(labels) if weights is None else np.sum(weights, dtype=np.float64))
    kept = ~is_ignored(loss, labels)
    return float(np.sum(kept) if weights is None else np.sum(weights, where=kept, dtype=np.float64))
