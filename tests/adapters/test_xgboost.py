"""Training runs of XGBoost: gradients, trees, starts, saved models, wrappers."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import xgboost as xgb
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import focalgrad as fg
from cases import CLASSES, HESSIANS, Array, Data, Recorder, check_calls, every_loss, made, mean
from focalgrad.xgboost import Metric, Objective, add_init_score, init_score

FOCAL = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0)
ENTROPY = fg.SigmoidFocalLoss(alpha=None, gamma=0.0)
SOFTMAX = CLASSES["softmax"]
ONE_VS_REST = CLASSES["one-vs-rest"]
QUIET = {"nthread": 1, "disable_default_eval_metric": 1, "max_depth": 3}
FINE = {"min_child_weight": 1e-3, "reg_lambda": 1e-2}
by_loss = pytest.mark.parametrize(
    ("kind", "loss"),
    [("binary", FOCAL), ("classes", SOFTMAX), ("classes", ONE_VS_REST)],
    ids=["sigmoid", "softmax", "one-vs-rest"],
)


def parameters(loss: Any, **more: Any) -> dict[str, Any]:
    """Parameters of a training run."""
    return QUIET | FINE | ({} if loss.class_axis is None else {"num_class": 3}) | more


def matrix(data: Data, weighted: bool = False) -> xgb.DMatrix:
    """Data as XGBoost takes it."""
    return xgb.DMatrix(data.X, data.y, weight=data.w if weighted else None)


def trained(loss: Any, data: Data, rounds: int = 8, **more: Any) -> tuple[xgb.Booster, Any]:
    """A model that started from the init score, and that score."""
    train = matrix(data)
    score = init_score(loss, train)
    return xgb.train(parameters(loss, base_score=score, **more), train, rounds, obj=Objective(loss)), score


def margins(booster: xgb.Booster, X: Array, **options: Any) -> Array:
    """Raw scores."""
    return booster.predict(xgb.DMatrix(X), output_margin=True, **options)


def trees(booster: xgb.Booster) -> list[dict[str, Any]]:
    """Trees as XGBoost dumps them."""
    return [json.loads(tree) for tree in booster.get_dump(dump_format="json")]


def assert_same_tree(a: dict[str, Any], b: dict[str, Any], scale: float = 1.0) -> None:
    """Assert that splits are the same, and leaf values of `a` those of `b` times `scale`, to 1e-6."""
    assert ("leaf" in a) == ("leaf" in b)
    if "leaf" in a:
        assert a["leaf"] == pytest.approx(b["leaf"] * scale, rel=1e-5, abs=1e-6)
        return
    assert (a["split"], a["split_condition"]) == (b["split"], b["split_condition"])
    for one, other in zip(a["children"], b["children"], strict=True):
        assert_same_tree(one, other, scale)


class TestGradients:
    """What arrives in XGBoost is what the definition says."""

    @pytest.mark.parametrize("weighted", [False, True])
    @every_loss
    def test_are_the_definition(self, kind: str, loss: Any, weighted: bool) -> None:
        data = made(kind)
        for hessian in HESSIANS:
            recorder = Recorder(Objective(loss, hessian=hessian))
            xgb.train(parameters(loss), matrix(data, weighted), 3, obj=recorder)
            check_calls(recorder.calls, loss, hessian, atol=3e-6)

    @pytest.mark.parametrize("loss", [SOFTMAX, ONE_VS_REST])
    def test_come_in_the_memory_order_of_the_scores(self, loss: Any) -> None:
        recorder = Recorder(Objective(loss))
        xgb.train(parameters(loss), matrix(made("classes")), 2, obj=recorder)
        for arrays in recorder.raw:
            for array in arrays:
                assert array.shape == (400, 3)
                assert array.dtype == np.float32
                assert array.flags.c_contiguous

    @pytest.mark.parametrize("weighted", [False, True])
    def test_of_several_labels_a_row(self, weighted: bool) -> None:
        data = made("classes")
        labels = np.stack([data.y > 0, data.X[:, 0] > 0.3, data.X[:, 1] > 1], axis=1).astype(np.float64)
        train = xgb.DMatrix(data.X, labels, weight=data.w if weighted else None)
        score = init_score(ONE_VS_REST, train)
        np.testing.assert_allclose(
            score, ONE_VS_REST.init_score(labels, data.w[:, None] if weighted else None), rtol=1e-6
        )
        recorder = Recorder(Objective(ONE_VS_REST))
        params = QUIET | FINE | {"base_score": score}
        booster = xgb.train(params, train, 3, obj=recorder, custom_metric=Metric(ONE_VS_REST))
        calls = [
            call._replace(weights=call.weights[:, None] if weighted else None) for call in recorder.calls
        ]
        check_calls(calls, ONE_VS_REST, "upper", atol=3e-6)
        assert (
            Metric(ONE_VS_REST)(margins(booster, data.X), train)[1]
            < Metric(ONE_VS_REST)(np.broadcast_to(np.float32(score), (400, 3)), train)[1]
        )


class TestGammaZero:
    """Without gamma and alpha the trees are XGBoost's own."""

    @pytest.mark.parametrize("weighted", [False, True])
    def test_logistic(self, weighted: bool) -> None:
        data = made("binary", 2000)
        train = matrix(data, weighted)
        own = xgb.train(QUIET | {"objective": "binary:logistic", "base_score": 0.5}, train, 10)
        ours = xgb.train(QUIET | {"base_score": 0.0}, train, 10, obj=Objective(ENTROPY))
        for a, b in zip(trees(ours), trees(own), strict=True):
            assert_same_tree(a, b)

    def test_start_is_the_average(self) -> None:
        data = made("binary", 2000)
        own = xgb.train(QUIET | {"objective": "binary:logistic"}, matrix(data), 10)
        score = init_score(ENTROPY, matrix(data))
        ours = xgb.train(QUIET | {"base_score": score}, matrix(data), 10, obj=Objective(ENTROPY))
        np.testing.assert_allclose(
            margins(ours, data.X), own.predict(matrix(data), output_margin=True), atol=2e-5
        )
        np.testing.assert_allclose(
            ENTROPY.posterior(margins(ours, data.X)), own.predict(matrix(data)), atol=1e-5
        )

    def test_softmax_has_twice_the_hessian(self) -> None:
        """So its leaf values are half of ours where penalties are in proportion."""
        data, loss = made("classes", 2000), fg.SoftmaxFocalLoss(gamma=0.0)
        twice = {"reg_lambda": 2.0, "min_child_weight": 2.0}
        params = QUIET | {"num_class": 3}
        own = xgb.train(params | twice | {"objective": "multi:softprob", "base_score": 0.5}, matrix(data), 1)
        once = {"reg_lambda": 1.0, "min_child_weight": 1.0}
        ours = xgb.train(params | once | {"base_score": 0.5}, matrix(data), 1, obj=Objective(loss))
        for a, b in zip(trees(ours), trees(own), strict=True):
            assert_same_tree(a, b, 2.0)


class TestStart:
    """Training starts from the best constant, and the model keeps it."""

    @by_loss
    def test_training_starts_there(self, kind: str, loss: Any) -> None:
        data = made(kind)
        train, valid = matrix(data, weighted=True), matrix(made(kind, 50))
        score = init_score(loss, train, valid)
        np.testing.assert_allclose(score, loss.init_score(data.y, data.w), rtol=1e-6)
        assert train.get_base_margin().size == valid.get_base_margin().size == 0
        recorder = Recorder(Objective(loss))
        xgb.train(parameters(loss, base_score=score), train, 1, obj=recorder)
        first = recorder.calls[0].scores
        np.testing.assert_allclose(first, np.broadcast_to(score, first.shape), rtol=1e-5, atol=1e-6)

    @by_loss
    def test_a_model_keeps_it(self, kind: str, loss: Any, tmp_path: Path) -> None:
        data = made(kind)
        booster, score = trained(loss, data)
        raw, none = margins(booster, data.X), margins(booster, data.X, iteration_range=(0, 1))
        assert add_init_score(booster, score) is booster
        assert mean(loss, raw, data.y) < mean(loss, none, data.y)
        booster.save_model(tmp_path / "model.json")
        for kept in (xgb.Booster(model_file=tmp_path / "model.json"), pickle.loads(pickle.dumps(booster))):
            np.testing.assert_array_equal(margins(kept, data.X), raw)
            shap = kept.predict(xgb.DMatrix(data.X), pred_contribs=True)
            np.testing.assert_allclose(shap.sum(axis=-1), raw, atol=1e-5)
            assert add_init_score(kept, score) is kept

    @by_loss
    def test_training_goes_on_from_it(self, kind: str, loss: Any) -> None:
        data = made(kind)
        whole, score = trained(loss, data, 8)
        half, _ = trained(loss, data, 4)
        rest = xgb.train(
            parameters(loss, base_score=score), matrix(data), 4, obj=Objective(loss), xgb_model=half
        )
        assert rest.num_boosted_rounds() == 8
        np.testing.assert_allclose(margins(rest, data.X), margins(whole, data.X), atol=1e-5)

    def test_a_model_that_started_elsewhere_is_refused(self) -> None:
        data = made("binary")
        train = matrix(data)
        booster = xgb.train(parameters(FOCAL), train, 1, obj=Objective(FOCAL))
        with pytest.raises(
            ValueError, match=r"trained with base_score=-.*; got one that starts from .* \[0\.5\]"
        ):
            add_init_score(booster, init_score(FOCAL, train))
        with pytest.raises(ValueError, match=r"score must be one number, .* got shape \(3,\)"):
            add_init_score(booster, [0.5] * 3)

    def test_penalties_in_units_of_the_hessian_stop_trees_early(self) -> None:
        """The numbers of leaves are those of the docstring."""
        leaves: dict[float, list[int]] = {1.0: [], 1e-3: []}
        for seed in range(3):
            rng = np.random.default_rng(seed)
            X = rng.normal(size=(200, 4))
            signal = X[:, 0] + 0.5 * X[:, 1] + rng.normal(size=200)
            train = xgb.DMatrix(X, signal > np.quantile(signal, 0.9))
            start = {"base_score": init_score(FOCAL, train), "nthread": 1}
            for more in ({"min_child_weight": 1.0, "reg_lambda": 1.0}, FINE):
                (tree,) = xgb.train(start | more, train, 1, obj=Objective(FOCAL)).get_dump()
                leaves[more["min_child_weight"]].append(tree.count("leaf="))
        assert (min(leaves[1.0]), max(leaves[1.0])) == (3, 5)
        assert (min(leaves[1e-3]), max(leaves[1e-3])) == (12, 17)


class TestCrossValidation:
    """`xgb.cv` takes objective, metric and start."""

    @by_loss
    def test_starts_and_measures(self, kind: str, loss: Any) -> None:
        data = made(kind)
        train = matrix(data)
        params = parameters(loss, base_score=init_score(loss, train))
        folds = [(np.arange(200, 400), np.arange(200)), (np.arange(200), np.arange(200, 400))]
        found = xgb.cv(
            params, train, 3, folds=folds, obj=Objective(loss), custom_metric=Metric(loss), as_pandas=False
        )
        expected = []
        for fit, test in folds:
            booster = xgb.train(params, xgb.DMatrix(data.X[fit], data.y[fit]), 3, obj=Objective(loss))
            expected.append(mean(loss, margins(booster, data.X[test]), data.y[test]))
        assert found["test-focal_loss-mean"][-1] == pytest.approx(np.mean(expected), rel=1e-4)


class TestMetric:
    """What XGBoost reports is the weighted mean of the losses, and early stopping obeys it."""

    @by_loss
    def test_is_reported_for_every_matrix(self, kind: str, loss: Any) -> None:
        data, other = made(kind), made(kind, 200, seed=1)
        train, valid = matrix(data, weighted=True), matrix(other, weighted=True)
        seen: dict[str, Any] = {}
        booster = xgb.train(
            parameters(loss, base_score=init_score(loss, train)),
            train,
            3,
            obj=Objective(loss),
            custom_metric=Metric(loss, name="fl"),
            evals=[(train, "train"), (valid, "valid")],
            evals_result=seen,
            verbose_eval=False,
        )
        for name, part in (("train", data), ("valid", other)):
            assert list(seen[name]) == ["fl"]
            expected = mean(loss, margins(booster, part.X), part.y, part.w)
            assert seen[name]["fl"][-1] == pytest.approx(expected, rel=1e-5)

    def test_early_stopping(self) -> None:
        data = made("binary", 800)
        train, valid = xgb.DMatrix(data.X[:400], data.y[:400]), xgb.DMatrix(data.X[400:], data.y[400:])
        booster = xgb.train(
            parameters(FOCAL, base_score=init_score(FOCAL, train), eta=0.7, max_depth=6),
            train,
            100,
            obj=Objective(FOCAL),
            custom_metric=Metric(FOCAL),
            evals=[(valid, "valid")],
            early_stopping_rounds=5,
            verbose_eval=False,
        )
        assert booster.best_iteration < 90
        best = margins(booster, data.X[400:], iteration_range=(0, booster.best_iteration + 1))
        assert mean(FOCAL, best, data.y[400:]) == pytest.approx(booster.best_score, rel=1e-5)


class TestWrapper:
    """XGBClassifier."""

    @by_loss
    @pytest.mark.parametrize("weighted", [False, True])
    def test_is_the_same_as_the_native_interface(self, kind: str, loss: Any, weighted: bool) -> None:
        data = made(kind)
        score = init_score(loss, matrix(data, weighted))
        native = xgb.train(parameters(loss, base_score=score), matrix(data, weighted), 5, obj=Objective(loss))
        base_score = 1 / (1 + np.exp(-score)) if kind == "binary" else score
        model = xgb.XGBClassifier(
            n_estimators=5,
            objective=Objective(loss),
            eval_metric=Metric(loss),
            base_score=base_score,
            n_jobs=1,
            max_depth=3,
            disable_default_eval_metric=1,
            **FINE,
        )
        weights = data.w if weighted else None
        model.fit(data.X, data.y, sample_weight=weights, eval_set=[(data.X, data.y)], verbose=False)
        raw = model.predict(data.X, output_margin=True)
        np.testing.assert_allclose(raw, margins(native, data.X), atol=1e-5)
        assert list(model.evals_result()["validation_0"]) == ["focal_loss"]
        reported = model.evals_result()["validation_0"]["focal_loss"][-1]
        assert reported == pytest.approx(mean(loss, raw, data.y), rel=1e-4)
        assert add_init_score(model, score) is model

    def test_clones_and_goes_to_other_processes(self) -> None:
        data = made("binary")
        model = xgb.XGBClassifier(n_estimators=3, objective=Objective(FOCAL), n_jobs=1, **FINE)
        assert clone(model).objective is model.objective

        def score(model: Any, X: Array, y: Array) -> float:
            return -mean(FOCAL, model.predict(X, output_margin=True), y)

        alone = cross_val_score(model, data.X, data.y, cv=2, scoring=score)
        with joblib.parallel_backend("loky", n_jobs=2):
            together = cross_val_score(model, data.X, data.y, cv=2, scoring=score, n_jobs=2)
        np.testing.assert_array_equal(alone, together)


class TestBadUse:
    """One sentence says what came and what to do."""

    def test_num_class_forgotten(self) -> None:
        with pytest.raises(ValueError, match=r"\(n, C\) .* got shape \(400,\): set the number of classes"):
            xgb.train(QUIET, matrix(made("classes")), 1, obj=Objective(SOFTMAX))

    def test_classes_for_a_loss_without(self) -> None:
        with pytest.raises(ValueError, match=r"got shape \(400, 3\): take a SoftmaxFocalLoss, or"):
            xgb.train(QUIET | {"num_class": 3}, matrix(made("classes")), 1, obj=Objective(FOCAL))

    @pytest.mark.parametrize("label", [-1.0, 1.5, 2.0])
    def test_labels_of_two_classes(self, label: float) -> None:
        data = made("binary")
        y = data.y.astype(float)
        y[7] = label
        message = rf"labels must be 0 or 1, .*; got labels\[7\] = {label}"
        with pytest.raises(ValueError, match=message):
            xgb.train(QUIET, xgb.DMatrix(data.X, y), 1, obj=Objective(FOCAL))
        with pytest.raises(ValueError, match=message):
            init_score(FOCAL, xgb.DMatrix(data.X, y))

    @pytest.mark.parametrize("label", [-1.0, 1.5, 3.0])
    def test_labels_of_classes(self, label: float) -> None:
        data = made("classes")
        y = data.y.astype(float)
        y[7] = label
        with pytest.raises(ValueError, match=rf"from 0 to 2; got targets\[7\] = {label:g}"):
            xgb.train(parameters(SOFTMAX), xgb.DMatrix(data.X, y), 1, obj=Objective(SOFTMAX))

    def test_no_labels(self) -> None:
        data = made("binary")
        with pytest.raises(TypeError, match=r"data must be xgboost\.DMatrix; got ndarray"):
            init_score(FOCAL, data.y)
        with pytest.raises(ValueError, match="train must have labels; got a DMatrix without"):
            init_score(FOCAL, xgb.DMatrix(data.X))
        with pytest.raises(ValueError, match=r"one label for each of 400 rows; got shape \(0,\)"):
            xgb.train(QUIET, xgb.DMatrix(data.X), 1, obj=Objective(FOCAL))

    def test_a_class_without_rows(self) -> None:
        data = made("binary")
        with pytest.raises(ValueError, match="every class must have weight for a start; got none of class 0"):
            init_score(FOCAL, xgb.DMatrix(data.X, np.ones(400)))

    def test_a_metric_of_logits_beside_probabilities(self) -> None:
        data = made("classes")
        params = QUIET | {"objective": "multi:softprob", "num_class": 3}
        train = matrix(data)
        with pytest.raises(ValueError, match="scores must be logits; got rows that sum to 1"):
            xgb.train(params, train, 1, custom_metric=Metric(SOFTMAX), evals=[(train, "train")])
        data = made("binary")
        train = matrix(data)
        params = QUIET | {"objective": "binary:logistic"}
        with pytest.warns(UserWarning, match="scores look like probabilities"):
            xgb.train(
                params, train, 2, custom_metric=Metric(FOCAL), evals=[(train, "train")], verbose_eval=False
            )

    def test_a_metric_of_probabilities_beside_logits(self) -> None:
        train = matrix(made("binary"))
        metric = Metric(FOCAL.replace(from_logits=False))
        params = parameters(FOCAL, base_score=init_score(FOCAL, train))
        with pytest.raises(ValueError, match=r"scores must be probabilities .*; got some from -"):
            xgb.train(params, train, 1, obj=Objective(FOCAL), custom_metric=metric, evals=[(train, "train")])
