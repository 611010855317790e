"""Training runs of LightGBM: starts, and models that keep them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from cases import made, mean
from focalgrad.lightgbm import Metric, add_init_score, init_score
from lightgbm_runs import FOCAL, by_loss, parameters, trained


class TestStart:
    """Training starts from the best constant, and the model keeps it."""

    @by_loss
    def test_data_sets_get_it_and_stay_as_they_are(self, kind: str, loss: Any) -> None:
        data = made(kind)
        train, valid = lgb.Dataset(data.X, data.y, weight=data.w), lgb.Dataset(data.X[:100], data.y[:100])
        built = lgb.Dataset(data.X[:50], data.y[:50]).construct()
        score = init_score(loss, train, valid, built)
        np.testing.assert_array_equal(score, loss.init_score(data.y, data.w))
        for unconstructed in (train, valid):
            with pytest.raises(lgb.basic.LightGBMError):
                unconstructed.num_data()
        for each, rows in ((train, 400), (valid, 100), (built, 50)):
            expected = np.broadcast_to(score, (rows, *np.shape(score)))
            np.testing.assert_array_equal(each.construct().get_init_score(), expected)

    @pytest.mark.parametrize("wrap", [list, pd.Series, lambda y: pd.DataFrame({"y": y}), pa.array, pl.Series])
    def test_labels_come_as_they_come(self, wrap: Any) -> None:
        data = made("binary")
        train = lgb.Dataset(data.X, wrap(data.y))
        assert init_score(FOCAL, train) == FOCAL.init_score(data.y)

    def test_labels_in_a_file(self, tmp_path: Path) -> None:
        data = made("binary")
        lgb.Dataset(data.X, data.y, weight=data.w).save_binary(tmp_path / "train.bin")
        train = lgb.Dataset(tmp_path / "train.bin")
        with pytest.raises(ValueError, match=r"must have labels; got one without: .* or call construct\(\)"):
            init_score(FOCAL, train)
        assert init_score(FOCAL, train.construct()) == FOCAL.init_score(data.y, data.w)

    @by_loss
    def test_a_model_keeps_it(self, kind: str, loss: Any, tmp_path: Path) -> None:
        data = made(kind)
        booster, score, raw = trained(loss, data)
        two = booster.predict(data.X, num_iteration=2)
        importance = booster.feature_importance("gain")
        assert add_init_score(booster, score) is booster
        np.testing.assert_allclose(booster.predict(data.X), raw + score, rtol=0, atol=1e-12)
        np.testing.assert_allclose(booster.predict(data.X, num_iteration=2), two + score, atol=1e-12)
        np.testing.assert_array_equal(booster.feature_importance("gain"), importance)

        booster.save_model(tmp_path / "model.txt")
        for kept in (
            lgb.Booster(model_file=tmp_path / "model.txt"),
            pickle.loads(pickle.dumps(booster)),
            lgb.Booster(model_str=booster.model_to_string()),
        ):
            np.testing.assert_allclose(kept.predict(data.X), raw + score, rtol=0, atol=1e-12)
            shap = kept.predict(data.X, pred_contrib=True).reshape(len(raw), -1, data.X.shape[1] + 1)
            np.testing.assert_allclose(np.squeeze(shap.sum(axis=2)), raw + score, rtol=0, atol=1e-10)

    @by_loss
    def test_a_second_call_adds_nothing(self, kind: str, loss: Any) -> None:
        data = made(kind)
        booster, score, raw = trained(loss, data, 3)
        for model in (booster, booster, pickle.loads(pickle.dumps(booster))):
            np.testing.assert_allclose(
                add_init_score(model, score).predict(data.X), raw + score, rtol=0, atol=1e-12
            )
        with pytest.raises(ValueError, match=r"score must be \[.*\], which the model has by now; got \["):
            add_init_score(booster, np.add(score, 1))
        np.testing.assert_allclose(booster.predict(data.X), raw + score, rtol=0, atol=1e-12)
        other, _, theirs = trained(loss, data, 3, learning_rate=0.5)
        booster.model_from_string(other.model_to_string())
        np.testing.assert_allclose(
            add_init_score(booster, score).predict(data.X), theirs + score, rtol=0, atol=1e-12
        )

    @by_loss
    def test_training_goes_on_from_it(self, kind: str, loss: Any) -> None:
        data = made(kind)
        whole, score, raw = trained(loss, data, 8)
        half, _, _ = trained(loss, data, 4)
        rest = lgb.train(
            parameters(loss), lgb.Dataset(data.X, data.y), 4, init_model=add_init_score(half, score)
        )
        assert rest.num_trees() == whole.num_trees()
        np.testing.assert_allclose(rest.predict(data.X), raw + score, rtol=0, atol=1e-6)

    def test_a_tree_that_does_not_split_keeps_it(self) -> None:
        data = made("binary")
        booster, score, raw = trained(FOCAL, data, 3, min_gain_to_split=1e9)
        assert booster.num_trees() == 1
        assert not raw.any()
        np.testing.assert_allclose(add_init_score(booster, score).predict(data.X), np.full(400, score))

    def test_early_stopped_models_keep_it(self) -> None:
        data = made("binary", 800)
        train, valid = lgb.Dataset(data.X[:400], data.y[:400]), lgb.Dataset(data.X[400:], data.y[400:])
        score, seen = init_score(FOCAL, train, valid), {}
        booster = lgb.train(
            parameters(FOCAL, learning_rate=0.5),
            train,
            100,
            valid_sets=[valid],
            feval=Metric(FOCAL),
            callbacks=[lgb.early_stopping(5, verbose=False), lgb.record_evaluation(seen)],
        )
        assert 0 < booster.best_iteration < 95
        add_init_score(booster, score)
        values = seen["valid_0"]["focal_loss"]
        assert min(values) == values[booster.best_iteration - 1]
        assert mean(FOCAL, booster.predict(data.X[400:]), data.y[400:]) == pytest.approx(
            min(values), rel=1e-9
        )

    def test_what_cannot_keep_it(self) -> None:
        data = made("binary")
        booster, score, _ = trained(FOCAL, data, 2)
        with pytest.raises(
            ValueError, match=r"score must be one number, as init_score returned; got shape \(3,\)"
        ):
            add_init_score(booster, [score] * 3)
        with pytest.raises(ValueError, match="score must be finite; got -inf"):
            add_init_score(booster, -np.inf)
        linear = lgb.train(
            parameters(FOCAL, linear_tree=True), lgb.Dataset(data.X, data.y, params={"linear_tree": True}), 2
        )
        with pytest.raises(ValueError, match=r"model must have constant leaves; got one .* linear_tree"):
            add_init_score(linear, score)
