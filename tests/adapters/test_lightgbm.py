"""Training runs of LightGBM: gradients, trees, metrics, wrappers."""

from __future__ import annotations

from typing import Any

import joblib
import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

import focalgrad as fg
from cases import CLASSES, HESSIANS, Array, Recorder, check_calls, every_loss, made, mean
from focalgrad.lightgbm import Metric, Objective, add_init_score, init_score
from lightgbm_runs import ENTROPY, FOCAL, ONE_VS_REST, QUIET, SOFTMAX, by_loss, parameters, trained


def trees(booster: lgb.Booster) -> list[dict[str, Any]]:
    """Trees without what does not matter to predictions."""
    return [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]


def assert_same_tree(a: dict[str, Any], b: dict[str, Any], scale: float = 1.0) -> None:
    """Assert that splits are the same, and leaf values of `a` those of `b` times `scale`, to 1e-6."""
    assert ("leaf_value" in a) == ("leaf_value" in b)
    if "leaf_value" in a:
        assert a["leaf_value"] == pytest.approx(b["leaf_value"] * scale, rel=1e-6, abs=1e-9)
        return
    assert (a["split_feature"], a["threshold"]) == (b["split_feature"], b["threshold"])
    for side in ("left_child", "right_child"):
        assert_same_tree(a[side], b[side], scale)


class TestGradients:
    """What arrives in LightGBM is what the definition says."""

    @pytest.mark.parametrize("weighted", [False, True])
    @every_loss
    def test_are_the_definition(self, kind: str, loss: Any, weighted: bool) -> None:
        data = made(kind)
        for hessian in HESSIANS:
            recorder = Recorder(Objective(loss, hessian=hessian))
            train = lgb.Dataset(data.X, data.y, weight=data.w if weighted else None)
            lgb.train(parameters(loss, recorder), train, 3)
            check_calls(recorder.calls, loss, hessian, atol=1e-13)

    @pytest.mark.parametrize("loss", [SOFTMAX, ONE_VS_REST])
    def test_come_in_the_memory_order_of_the_scores(self, loss: Any) -> None:
        recorder = Recorder(Objective(loss))
        data = made("classes")
        lgb.train(parameters(loss, recorder), lgb.Dataset(data.X, data.y), 2)
        for arrays in recorder.raw:
            for array in arrays:
                assert array.shape == (400, 3)
                assert array.dtype == np.float64
                assert array.flags.f_contiguous

    def test_an_exact_hessian_is_handed_on_where_it_is_negative(self) -> None:
        data = made("binary")
        recorder = Recorder(Objective(FOCAL, hessian="exact"))
        train = lgb.Dataset(data.X, data.y, init_score=np.full(400, -5.0))
        lgb.train(parameters(FOCAL, recorder), train, 1)
        assert (recorder.calls[0].hess[data.y == 1] < 0).all()


class TestGammaZero:
    """Without gamma and alpha the trees are LightGBM's own."""

    @pytest.mark.parametrize("weighted", [False, True])
    def test_logistic(self, weighted: bool) -> None:
        data = made("binary", 2000)
        own = lgb.train(
            QUIET | {"objective": "binary", "boost_from_average": False},
            lgb.Dataset(data.X, data.y, weight=data.w if weighted else None),
            10,
        )
        ours = lgb.train(
            parameters(ENTROPY), lgb.Dataset(data.X, data.y, weight=data.w if weighted else None), 10
        )
        for a, b in zip(trees(ours), trees(own), strict=True):
            assert_same_tree(a, b)

    def test_start_is_that_of_boost_from_average(self) -> None:
        data = made("binary", 2000)
        own = lgb.train(QUIET | {"objective": "binary"}, lgb.Dataset(data.X, data.y), 10)
        ours, score, raw = trained(ENTROPY, data, 10)
        np.testing.assert_allclose(add_init_score(ours, score).predict(data.X), raw + score, rtol=1e-12)
        np.testing.assert_allclose(ours.predict(data.X), own.predict(data.X, raw_score=True), atol=1e-6)
        np.testing.assert_allclose(ENTROPY.posterior(ours.predict(data.X)), own.predict(data.X), atol=1e-6)

    def test_multiclass_has_a_hessian_of_three_halves(self) -> None:
        """Its factor is C / (C - 1), so its leaf values are 2/3 of ours."""
        data, loss = made("classes", 2000), fg.SoftmaxFocalLoss(gamma=0.0)
        more = {"min_sum_hessian_in_leaf": 0.0, "lambda_l2": 0.0}
        own = lgb.train(
            QUIET | {"objective": "multiclass", "num_class": 3, "boost_from_average": False} | more,
            lgb.Dataset(data.X, data.y),
            1,
        )
        ours = lgb.train(parameters(loss, **more), lgb.Dataset(data.X, data.y), 1)
        for a, b in zip(trees(ours), trees(own), strict=True):
            assert_same_tree(a, b, 1.5)

    def test_one_against_the_rest(self) -> None:
        data, loss = made("classes", 2000), fg.SigmoidFocalLoss(None, 0.0, class_axis=-1)
        own = lgb.train(
            QUIET | {"objective": "multiclassova", "num_class": 3, "boost_from_average": False},
            lgb.Dataset(data.X, data.y),
            5,
        )
        ours = lgb.train(parameters(loss), lgb.Dataset(data.X, data.y), 5)
        for a, b in zip(trees(ours), trees(own), strict=True):
            assert_same_tree(a, b)


class TestCrossValidation:
    """`lgb.cv` takes objective, metric and start."""

    @by_loss
    def test_starts_and_measures(self, kind: str, loss: Any) -> None:
        data = made(kind)
        train = lgb.Dataset(data.X, data.y)
        score = init_score(loss, train)
        folds = [(np.arange(200, 400), np.arange(200)), (np.arange(200), np.arange(200, 400))]
        found = lgb.cv(parameters(loss), train, 3, folds=folds, feval=Metric(loss), return_cvbooster=True)
        expected = []
        for (_, test), booster in zip(folds, found["cvbooster"].boosters, strict=True):
            scores = booster.predict(data.X[test]) + score
            expected.append(mean(loss, scores, data.y[test]))
        assert found["valid focal_loss-mean"][-1] == pytest.approx(np.mean(expected), rel=1e-9)


class TestMetric:
    """What LightGBM reports is the weighted mean of the losses."""

    @by_loss
    def test_is_reported_for_every_data_set(self, kind: str, loss: Any) -> None:
        data, other = made(kind), made(kind, 200, seed=1)
        train = lgb.Dataset(data.X, data.y, weight=data.w)
        valid = lgb.Dataset(other.X, other.y, weight=other.w)
        seen: dict[str, Any] = {}
        booster = lgb.train(
            parameters(loss),
            train,
            3,
            valid_sets=[train, valid],
            feval=Metric(loss, name="fl"),
            callbacks=[lgb.record_evaluation(seen)],
        )
        for name, part in (("training", data), ("valid_1", other)):
            expected = mean(loss, booster.predict(part.X), part.y, part.w)
            assert seen[name]["fl"][-1] == pytest.approx(expected, rel=1e-9)


class TestWrapper:
    """LGBMClassifier."""

    @by_loss
    @pytest.mark.parametrize("weighted", [False, True])
    def test_is_the_same_as_the_native_interface(self, kind: str, loss: Any, weighted: bool) -> None:
        data = made(kind)
        weights = data.w if weighted else None
        native = lgb.train(parameters(loss), lgb.Dataset(data.X, data.y, weight=weights), 5)
        options = {"metric": "None", "verbosity": -1, "n_jobs": 1, "min_child_samples": 5}
        model = lgb.LGBMClassifier(n_estimators=5, objective=Objective(loss), **options)
        model.fit(data.X, data.y, sample_weight=weights)
        raw = model.predict(data.X, raw_score=True)
        np.testing.assert_array_equal(raw, native.predict(data.X))
        assert add_init_score(model, 1.0 if kind == "binary" else np.ones(3)) is model
        np.testing.assert_allclose(model.predict(data.X, raw_score=True), raw + 1.0, atol=1e-12)

    def test_early_stopping_obeys_the_metric_alone(self) -> None:
        data = made("binary", 800)
        model = lgb.LGBMClassifier(
            n_estimators=60,
            objective=Objective(FOCAL),
            metric="None",
            verbosity=-1,
            n_jobs=1,
            learning_rate=0.5,
        )
        model.fit(
            data.X[:400],
            data.y[:400],
            eval_X=data.X[400:],
            eval_y=data.y[400:],
            eval_metric=Metric(FOCAL),
            callbacks=[lgb.early_stopping(5, verbose=False)],
        )
        (seen,) = model.evals_result_.values()
        assert list(seen) == ["focal_loss"]
        assert min(seen["focal_loss"]) == seen["focal_loss"][model.best_iteration_ - 1]
        assert model.best_iteration_ < 55

    def test_clones_and_goes_to_other_processes(self) -> None:
        data = made("binary")
        model = lgb.LGBMClassifier(
            n_estimators=3, objective=Objective(FOCAL), metric="None", verbosity=-1, n_jobs=1
        )
        assert clone(model).objective is model.objective

        def score(model: Any, X: Array, y: Array) -> float:
            return -mean(FOCAL, model.predict(X, raw_score=True), y)

        alone = cross_val_score(model, data.X, data.y, cv=2, scoring=score)
        with joblib.parallel_backend("loky", n_jobs=2):
            together = cross_val_score(model, data.X, data.y, cv=2, scoring=score, n_jobs=2)
        np.testing.assert_array_equal(alone, together)


class TestBadUse:
    """One sentence says what came and what to do."""

    def test_num_class_forgotten(self) -> None:
        data = made("classes")
        params = QUIET | {"objective": Objective(SOFTMAX)}
        with pytest.raises(
            ValueError,
            match=r"scores must have shape \(n, C\) .* got shape \(400,\): set the number of classes",
        ):
            lgb.train(params, lgb.Dataset(data.X, data.y), 1)

    def test_classes_for_a_loss_without(self) -> None:
        data = made("classes")
        params = parameters(FOCAL, num_class=3)
        with pytest.raises(ValueError, match=r"got shape \(400, 3\): take a SoftmaxFocalLoss, or"):
            lgb.train(params, lgb.Dataset(data.X, data.y), 1)

    @pytest.mark.parametrize(("label", "shown"), [(-1.0, r"-1\.0"), (1.5, r"1\.5"), (2.0, r"2\.0")])
    def test_labels_of_two_classes(self, label: float, shown: str) -> None:
        data = made("binary")
        y = data.y.astype(float)
        y[7] = label
        message = rf"labels must be 0 or 1, .*; got labels\[7\] = {shown}"
        with pytest.raises(ValueError, match=message):
            lgb.train(parameters(FOCAL), lgb.Dataset(data.X, y), 1)
        with pytest.raises(ValueError, match=message):
            init_score(FOCAL, lgb.Dataset(data.X, y))

    @pytest.mark.parametrize("label", [-1.0, 1.5, 3.0])
    def test_labels_of_classes(self, label: float) -> None:
        data = made("classes")
        y = data.y.astype(float)
        y[7] = label
        with pytest.raises(ValueError, match=rf"from 0 to 2; got targets\[7\] = {label:g}"):
            lgb.train(parameters(SOFTMAX), lgb.Dataset(data.X, y), 1)

    def test_a_data_set_that_is_not_constructed(self) -> None:
        """Gradients and metrics of it are those of its labels and weights, and it stays as it is."""
        data, scores = made("binary"), np.linspace(-2, 2, 400)
        train = lgb.Dataset(data.X, pd.Series(data.y), weight=data.w)
        for thing in (Objective(FOCAL), Metric(FOCAL)):
            np.testing.assert_equal(thing(scores, train), thing(data.y, scores, data.w))
        with pytest.raises(lgb.basic.LightGBMError):
            train.num_data()

    def test_what_is_no_data_set(self) -> None:
        data = made("binary")
        with pytest.raises(TypeError, match=r"data must be lightgbm\.Dataset; got ndarray"):
            init_score(FOCAL, lgb.Dataset(data.X, data.y), data.X)
        with pytest.raises(NotFittedError, match="No booster found"):
            add_init_score(lgb.LGBMClassifier(), 0.0)

    def test_a_class_without_rows(self) -> None:
        data = made("binary")
        with pytest.raises(ValueError, match="every class must have weight for a start; got none of class 1"):
            init_score(FOCAL, lgb.Dataset(data.X, np.zeros(400)))
        by_class = CLASSES["softmax by class"]
        with pytest.raises(ValueError, match="got none of class 2"):
            init_score(by_class, lgb.Dataset(data.X, data.y))

    @pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
    def test_a_metric_of_logits_beside_probabilities_of_classes(self, objective: str) -> None:
        data = made("classes")
        train = lgb.Dataset(data.X, data.y)
        params = QUIET | {"objective": objective, "num_class": 3}
        if objective == "multiclass":
            with pytest.raises(ValueError, match="scores must be logits; got rows that sum to 1"):
                lgb.train(params, train, 2, valid_sets=[train], feval=Metric(SOFTMAX))
        seen: dict[str, Any] = {}
        loss = ONE_VS_REST.replace(from_logits=False)
        booster = lgb.train(
            params, train, 2, valid_sets=[train], feval=Metric(loss), callbacks=[lgb.record_evaluation(seen)]
        )
        expected = mean(loss, booster.predict(data.X), data.y)
        assert seen["training"]["focal_loss"][-1] == pytest.approx(expected, rel=1e-9)

    def test_a_metric_of_logits_beside_probabilities(self) -> None:
        data = made("binary")
        train = lgb.Dataset(data.X, data.y)
        with pytest.warns(UserWarning, match="scores look like probabilities"):
            lgb.train(QUIET | {"objective": "binary"}, train, 2, valid_sets=[train], feval=Metric(FOCAL))

    def test_a_metric_of_probabilities_beside_logits(self) -> None:
        data = made("binary")
        train = lgb.Dataset(data.X, data.y)
        init_score(FOCAL, train)
        metric = Metric(FOCAL.replace(from_logits=False))
        with pytest.raises(ValueError, match=r"scores must be probabilities .*; got some from -"):
            lgb.train(parameters(FOCAL), train, 2, valid_sets=[train], feval=metric)
