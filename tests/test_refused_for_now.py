"""Are options that are not taken yet refused, rather than computed wrongly?

Each of these refusals can be lifted one day. Then its row leaves this file, and tests of what it does instead
arrive.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from support import refused


@pytest.mark.parametrize(
    "option",
    [
        {"class_axis": 1},
        {"class_weight": [1.0, 2.0]},
        {"label_smoothing": 0.1},
        {"ignore_index": -1},
        {"background_index": 0},
        {"from_logits": False},
        {"eps": 1e-7},
        {"soft_targets": "quality"},
    ],
    ids=lambda option: next(iter(option)),
)
def test_options(option: dict[str, Any]) -> None:
    """Unknown keywords so far."""
    refused(TypeError, [next(iter(option))], fg.SigmoidFocalLoss, **option)


def test_values_of_options() -> None:
    """Unknown strings so far."""
    refused(ValueError, ["reduction", "sum_classes"], fg.SigmoidFocalLoss, reduction="sum_classes")
    refused(ValueError, ["normalizer", "focal_weights"], fg.SigmoidFocalLoss, normalizer="focal_weights")


@pytest.mark.parametrize("values", [[0.25, 0.5], (0.25,), [], np.array([0.25, 0.5])], ids=repr)
def test_numbers_per_class(values: Any) -> None:
    """Without a class axis there is no class to give a number to."""
    refused(ValueError, ["alpha", "number"], fg.SigmoidFocalLoss, alpha=values)
    refused(ValueError, ["gamma", "number"], fg.SigmoidFocalLoss, gamma=values)
