"""Training runs of LightGBM that its tests share."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import pytest

import focalgrad as fg
from cases import CLASSES, Array, Data
from focalgrad.lightgbm import Objective, init_score

FOCAL = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0)
ENTROPY = fg.SigmoidFocalLoss(alpha=None, gamma=0.0)
QUIET = {"verbosity": -1, "num_threads": 1, "metric": "None", "min_data_in_leaf": 5}
SOFTMAX = CLASSES["softmax"]
ONE_VS_REST = CLASSES["one-vs-rest"]
by_loss = pytest.mark.parametrize(
    ("kind", "loss"),
    [("binary", FOCAL), ("classes", SOFTMAX), ("classes", ONE_VS_REST)],
    ids=["sigmoid", "softmax", "one-vs-rest"],
)


def parameters(loss: Any, objective: Any = None, **more: Any) -> dict[str, Any]:
    """Parameters of a training run."""
    classes = {} if loss.class_axis is None else {"num_class": 3}
    return QUIET | {"objective": objective or Objective(loss)} | classes | more


def trained(
    loss: Any, data: Data, rounds: int = 8, weighted: bool = False, **more: Any
) -> tuple[lgb.Booster, Any, Array]:
    """A model that started from the init score, that score, and what it predicts without."""
    train = lgb.Dataset(data.X, data.y, weight=data.w if weighted else None)
    score = init_score(loss, train)
    booster = lgb.train(parameters(loss, **more), train, rounds)
    return booster, score, booster.predict(data.X)
