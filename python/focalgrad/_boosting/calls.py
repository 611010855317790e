"""The two ways in which boosters call an objective or a metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Given(NamedTuple):
    """What a booster hands over, where it lies: nothing is copied."""

    scores: NDArray[Any]
    labels: NDArray[Any]
    weights: NDArray[Any] | None
    is_dataset: bool = False  # labels and weights came in a data set, not as arguments


def fields_of(data: Any) -> tuple[Any, Any]:
    """Labels and weights of a data set."""
    return data.get_label(), data.get_weight()


def read_call(
    a: Any, b: Any, weights: Any = None, fields: Callable[[Any], tuple[Any, Any]] = fields_of
) -> Given:
    """Tell ``(scores, data set)`` from ``(labels, scores, weights)``.

    Weights that are absent are None or, in XGBoost, an empty array.
    """
    is_dataset = hasattr(b, "get_label")
    scores, labels, weights = (a, *fields(b)) if is_dataset else (b, a, weights)
    if labels is None:
        raise ValueError("the data must have labels; got none")
    return Given(
        np.asarray(scores),
        np.asarray(labels),
        np.asarray(weights) if np.size(weights) and weights is not None else None,
        is_dataset,
    )
