"""Focal loss for LightGBM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._adapters import library
from focalgrad._boosting import BaseMetric, BaseObjective, Given, check_score, constant_score, read_call
from focalgrad._boosting.checks import Loss
from focalgrad._core import read_array

lightgbm = library("lightgbm")

__all__ = ["Metric", "Objective", "add_init_score", "init_score"]


@dataclass(frozen=True, slots=True)
class Objective(BaseObjective):
    """Objective."""

    def __call__(self, a: Any, b: Any, weight: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Gradient and Hessian of the sum of the loss."""
        return self._grad_and_hess(read_call(a, b, weight))


@dataclass(frozen=True, slots=True)
class Metric(BaseMetric):
    """Metric."""

    def __call__(self, a: Any, b: Any, weight: Any = None) -> tuple[str, float, bool]:
        """Name, value, and whether higher is better."""
        return self.name, self._mean(read_call(a, b, weight)), False


def init_score(loss: Loss, train: Any, *others: Any) -> float | NDArray[np.float64]:
    """Start of training."""
    labels = [labels_of(data) for data in (train, *others)]
    weights = field_of(train, "weight")
    given = Given(labels[0], labels[0], None if weights is None else read_array("weight", weights))
    score = constant_score(loss, given)
    for data, label in zip((train, *others), labels, strict=True):
        data.set_init_score(np.full((len(label), *np.shape(score)), score, order="F"))
    return score


def is_constructed(data: Any) -> bool:
    """Whether LightGBM has read a data set; until then there is only what was given."""
    try:
        data.num_data()
    except lightgbm.basic.LightGBMError:
        return False
    return True


def field_of(data: Any, name: str) -> Any:
    """Labels or weights of a data set, without constructing it; None where there are none."""
    given = getattr(data, name)
    return data.get_field(name) if given is None and is_constructed(data) else given


def labels_of(data: Any) -> NDArray[Any]:
    """Labels of a data set as one column."""
    label = field_of(data, "label")
    if label is None:
        raise ValueError(
            "every Dataset must have labels; got one without: give it label=, or call construct() "
            "if they are in its file or in the Dataset that it is a subset of"
        )
    return read_array("label", label).reshape(-1)


def add_init_score(model: Any, score: ArrayLike) -> Any:
    """Write the start into a trained model."""
    booster = getattr(model, "booster_", model)
    trees = booster.dump_model(num_iteration=1)["tree_info"]
    for tree, (info, value) in enumerate(zip(trees, check_score(score, len(trees)), strict=True)):
        for leaf in range(info["num_leaves"]):
            booster.set_leaf_output(tree, leaf, booster.get_leaf_output(tree, leaf) + value)
    return model
