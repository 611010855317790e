"""One positive in a thousand: training is finite, and better than the constant that it starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import catboost as cb
import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb

import focalgrad as fg
import focalgrad.catboost as fgc
import focalgrad.lightgbm as fgl
import focalgrad.xgboost as fgx
from cases import Array, rare

DATA = rare()
ODDS = np.log(DATA.y.mean() / (1 - DATA.y.mean()))
ROUNDS = 30


def by_lightgbm(loss: Any) -> Array:
    """Raw scores of a model of LightGBM."""
    train = lgb.Dataset(DATA.X, DATA.y)
    score = fgl.init_score(loss, train)
    params = {"objective": fgl.Objective(loss), "metric": "None", "verbosity": -1, "num_threads": 1}
    booster = lgb.train(params, train, ROUNDS)
    return fgl.add_init_score(booster, score).predict(DATA.X)


def by_xgboost(loss: Any) -> Array:
    """Raw scores of a model of XGBoost."""
    train = xgb.DMatrix(DATA.X, DATA.y)
    # Penalties are in units of the Hessian.
    score = fgx.init_score(loss, train)
    params = {"base_score": score, "nthread": 1, "min_child_weight": 1e-3, "reg_lambda": 1e-2, "eta": 0.1}
    booster = xgb.train(params, train, ROUNDS, obj=fgx.Objective(loss))
    return booster.predict(train, output_margin=True).astype(np.float64)


def by_catboost(loss: Any) -> Array:
    """Raw scores of a model of CatBoost."""
    train = cb.Pool(DATA.X, DATA.y)
    score = fgc.init_score(loss, train)
    model = cb.CatBoostClassifier(
        loss_function=fgc.Objective(loss),
        eval_metric=fgc.Metric(loss),
        class_names=[0, 1],
        iterations=ROUNDS,
        learning_rate=0.1,
        l2_leaf_reg=0.03,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    ).fit(train)
    fgc.add_init_score(model, score)
    return model.predict(DATA.X, prediction_type="RawFormulaVal")


boosters = pytest.mark.parametrize("train", [by_lightgbm, by_xgboost, by_catboost])


@boosters
@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_from_the_best_constant(train: Callable[..., Array], gamma: float, alpha: float | None) -> None:
    loss = fg.SigmoidFocalLoss(alpha=alpha, gamma=gamma)
    scores = train(loss)
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0.1
    constant = np.full(len(DATA.y), loss.init_score(DATA.y))
    assert loss(scores, DATA.y) < 0.95 * loss(constant, DATA.y)
    assert scores[DATA.y == 1].mean() > scores[DATA.y == 0].mean()


def test_the_exact_hessian_is_negative_at_the_log_odds_and_not_at_the_best_constant() -> None:
    loss = fg.SigmoidFocalLoss(alpha=None, gamma=2.0)
    exact = fgl.Objective(loss, hessian="exact")
    y = DATA.y.astype(np.float32)
    poor, best = (exact(y, np.full(len(y), s))[1] for s in (ODDS, loss.init_score(y)))
    assert (poor[y == 1] < 0).all()
    assert (best > 0).all()
