"""The two ways in which boosters call an objective or a metric."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Given(NamedTuple):
    """What a booster hands over, in place: nothing is copied."""

    scores: NDArray[Any]
    labels: NDArray[Any]
    weights: NDArray[Any] | None
    is_dataset: bool = False  # scores came with a data set, not with labels


def read_call(a: Any, b: Any, weights: Any = None) -> Given:
    """Tell ``(scores, data set)`` from ``(labels, scores, weights)``.

    Weights that are absent are None or, in XGBoost, an empty array.
    """
    is_dataset = hasattr(b, "get_label")
    if is_dataset:
        scores, labels, weights = a, b.get_label(), b.get_weight()
    else:
        labels, scores = a, b
    if labels is None:
        raise ValueError("the data must have labels; got none")
    if weights is not None:
        weights = np.asarray(weights)
    return Given(np.asarray(scores), np.asarray(labels), weights if np.size(weights) else None, is_dataset)
