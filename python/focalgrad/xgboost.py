"""Focal loss for XGBoost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalgrad._adapters import library
from focalgrad._boosting import BaseMetric, BaseObjective, Given, constant_score, read_call
from focalgrad._boosting.checks import Loss

xgboost = library("xgboost")

__all__ = ["Metric", "Objective", "init_score"]


@dataclass(frozen=True, slots=True)
class Objective(BaseObjective):
    """Objective."""

    def __call__(self, a: Any, b: Any, sample_weight: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Gradient and Hessian of the sum of the loss."""
        return self._grad_and_hess(read_call(a, b, sample_weight))


@dataclass(frozen=True, slots=True)
class Metric(BaseMetric):
    """Metric."""

    @property
    def __name__(self) -> str:
        """Name, where XGBoost's scikit-learn wrapper looks for it."""
        return self.name

    def __call__(self, a: Any, b: Any, sample_weight: Any = None) -> tuple[str, float] | float:
        """Name and value for a DMatrix, the value alone for labels and scores."""
        given = read_call(a, b, sample_weight)
        value = self._mean(given)
        return (self.name, value) if given.is_dataset else value


def init_score(loss: Loss, train: Any, *others: Any) -> float | NDArray[np.float64]:
    """Start of training."""
    labels, weights = train.get_label(), train.get_weight()
    return constant_score(loss, Given(labels, labels, weights if weights.size else None))
