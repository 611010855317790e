"""Focal loss for CatBoost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._adapters import library
from focalgrad._boosting import BaseMetric, BaseObjective, Given, check_score, constant_score
from focalgrad._boosting.checks import Loss, check_logits
from focalgrad._core import read_array

catboost = library("catboost")

__all__ = ["Metric", "Objective", "add_init_score", "init_score"]


@dataclass(frozen=True, slots=True)
class Objective(BaseObjective):
    """Objective."""

    no_jit: ClassVar[bool] = True

    def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> NDArray[np.float64]:
        """Negative gradient and Hessian of some rows."""
        out = np.empty((len(targets), 2))
        self._grad_and_hess(Given(approxes, targets, weights), grad_out=out[:, 0], hess_out=out[:, 1])
        return np.negative(out, out=out)

    def calc_ders_multi(
        self, approxes: Any, target: float, weight: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Negative gradient and Hessian of one row."""
        hess = np.zeros((len(approxes), len(approxes)))
        grad, _ = self._sum.grad_and_hess(
            approxes,
            target,
            sample_weight=-weight,
            hessian=self.hessian,
            hess_out=hess.reshape(-1)[:: len(hess) + 1],
        )
        return grad, hess


@dataclass(frozen=True, slots=True)
class Metric(BaseMetric):
    """Metric."""

    no_jit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        super(Metric, self).__post_init__()
        check_logits(self.loss, "a metric of CatBoost")
        if self.loss.class_axis is not None:
            raise ValueError(
                "loss must be a SigmoidFocalLoss without a class axis, since for C classes CatBoost takes "
                f'only metrics of its own: set eval_metric="MultiClass"; got {self.loss!r}'
            )

    def evaluate(self, approxes: Any, targets: Any, weights: Any) -> tuple[float, float]:
        """Sum of the weighted losses, and sum of the weights."""
        return self._sums(Given(approxes[0], targets, weights))

    def get_final_error(self, error: float, weight: float) -> float:
        """Weighted mean of the losses."""
        return error / weight if weight != 0 else 0.0

    def is_max_optimal(self) -> bool:
        """Lower is better."""
        return False


def init_score(loss: Loss, train: Any, *others: Any) -> float | NDArray[np.float64]:
    """Start of training."""
    labels = read_array("label", train.get_label())
    score = constant_score(loss, Given(labels, labels, read_array("weight", train.get_weight())))
    for pool in (train, *others):
        pool.set_baseline(np.full((pool.num_row(), *np.shape(score)), score))
    return score


def add_init_score(model: Any, score: ArrayLike) -> Any:
    """Write the start into a trained model."""
    scale, bias = model.get_scale_and_bias()
    before = np.atleast_1d(np.asarray(bias, np.float64))
    after = [b + s for b, s in zip(before, check_score(score, len(before)), strict=True)]
    model.set_scale_and_bias(scale, after if len(after) > 1 else after[0])
    return model
