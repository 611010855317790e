"""Training runs of CatBoost: derivatives, trees, starts, saved models, continued training."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import catboost as cb
import joblib
import numpy as np
import pytest
from sklearn.base import clone

import focalgrad as fg
from cases import CLASSES, HESSIANS, Array, Call, Data, check_calls, every_loss, made, mean
from focalgrad.catboost import Metric, Objective, add_init_score, init_score

FOCAL = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0)
ENTROPY = fg.SigmoidFocalLoss(alpha=None, gamma=0.0)
SOFTMAX = CLASSES["softmax"]
ONE_VS_REST = CLASSES["one-vs-rest"]
QUIET = {"verbose": False, "allow_writing_files": False, "thread_count": 1, "depth": 3, "iterations": 6}
by_loss = pytest.mark.parametrize(
    ("kind", "loss"),
    [("binary", FOCAL), ("classes", SOFTMAX), ("classes", ONE_VS_REST)],
    ids=["sigmoid", "softmax", "one-vs-rest"],
)


class Recorder:
    """An objective that writes down what another one is given, and gradient and Hessian of the loss."""

    no_jit = True

    def __init__(self, objective: Any) -> None:
        self.objective = objective
        self.calls: list[Call] = []

    def __deepcopy__(self, memo: Any) -> Recorder:
        return self

    def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> Array:
        found = self.objective.calc_ders_range(approxes, targets, weights)
        assert found.flags.c_contiguous
        assert found.dtype == np.float64
        weights = None if weights is None else weights.copy()
        self.calls.append(Call(approxes.copy(), targets.copy(), weights, -found[:, 0], -found[:, 1]))
        return found

    def calc_ders_multi(self, approxes: Any, target: float, weight: float) -> tuple[Array, Array]:
        grad, hess = self.objective.calc_ders_multi(approxes, target, weight)
        assert np.count_nonzero(hess - np.diag(np.diag(hess))) == 0
        self.calls.append(
            Call(
                approxes[None].copy(),
                np.array([target]),
                np.array([weight]),
                -grad[None],
                -np.diag(hess)[None],
            )
        )
        return grad, hess


def pool(data: Data, weighted: bool = False) -> cb.Pool:
    """Data as CatBoost takes it."""
    return cb.Pool(data.X, data.y, weight=data.w if weighted else None)


def model_of(loss: Any, objective: Any = None, **more: Any) -> cb.CatBoostClassifier:
    """A model to be trained."""
    two = loss.class_axis is None
    options = {
        "loss_function": objective or Objective(loss),
        "eval_metric": Metric(loss) if two else "MultiClass",
        "class_names": [0, 1] if two else [0, 1, 2],
    }
    return cb.CatBoostClassifier(**QUIET | options | more)


def raw(model: cb.CatBoost, X: Any, **options: Any) -> Array:
    """Raw scores."""
    return model.predict(X, prediction_type="RawFormulaVal", **options)


def trained(loss: Any, data: Data, **more: Any) -> tuple[cb.CatBoostClassifier, Any]:
    """A model that started from the init score, without it, and that score."""
    train = pool(data)
    score = init_score(loss, train)
    return model_of(loss, **more).fit(train), score


class TestGradients:
    """What arrives in CatBoost is what the definition says."""

    @pytest.mark.parametrize("weighted", [False, True])
    @every_loss
    def test_are_the_definition(self, kind: str, loss: Any, weighted: bool) -> None:
        data = made(kind, 400 if loss.class_axis is None else 60)
        for hessian in HESSIANS:
            recorder = Recorder(Objective(loss, hessian=hessian))
            two = loss.class_axis is None
            options = QUIET | {"iterations": 3, "loss_function": recorder}
            if kind in ("soft", "ignored"):  # for a classifier these are no labels
                model = cb.CatBoostRegressor(**options, eval_metric="RMSE")
            else:
                model = model_of(loss, recorder, eval_metric="Logloss" if two else "MultiClass", iterations=3)
            model.fit(pool(data, weighted))
            calls = recorder.calls if two else [merged(recorder.calls)] * 2
            check_calls(calls, loss, hessian, atol=1e-13)

    def test_slices_are_not_kept(self) -> None:
        """CatBoost's memory goes away: what comes back shares none with what came."""
        scores, labels = np.linspace(-1, 1, 5), np.array([0, 1, 0, 1, 1], np.float32)
        found = Objective(FOCAL).calc_ders_range(scores, labels, None)
        assert not np.shares_memory(found, scores)
        assert found.base is None


def merged(calls: list[Call]) -> Call:
    """Calls of one row each as one call."""
    return Call(*(np.concatenate(parts) for parts in zip(*calls, strict=True)))


class TestGammaZero:
    """Without gamma and alpha the trees are CatBoost's own."""

    @pytest.mark.parametrize("weighted", [False, True])
    def test_logistic(self, weighted: bool) -> None:
        data = made("binary", 2000)
        options = QUIET | {"leaf_estimation_iterations": 1, "leaf_estimation_method": "Newton"}
        own = cb.CatBoostClassifier(loss_function="Logloss", boost_from_average=False, **options)
        own.fit(pool(data, weighted))
        ours = model_of(ENTROPY, **options).fit(pool(data, weighted))
        np.testing.assert_allclose(raw(ours, data.X), raw(own, data.X), atol=1e-6)
        assert same_splits(ours, own)

    def test_start_is_that_of_boost_from_average(self) -> None:
        data = made("binary", 2000)
        options = QUIET | {"leaf_estimation_iterations": 1, "leaf_estimation_method": "Newton"}
        own = cb.CatBoostClassifier(loss_function="Logloss", boost_from_average=True, **options)
        own.fit(pool(data))
        ours, score = trained(ENTROPY, data, **options)
        assert score == pytest.approx(own.get_scale_and_bias()[1], rel=1e-6)
        np.testing.assert_allclose(raw(add_init_score(ours, score), data.X), raw(own, data.X), atol=1e-6)

    @pytest.mark.parametrize(
        ("name", "loss", "method"),
        [
            ("MultiClass", fg.SoftmaxFocalLoss(gamma=0.0), "Gradient"),
            ("MultiClassOneVsAll", fg.SigmoidFocalLoss(None, 0.0, class_axis=-1), "Newton"),
        ],
    )
    def test_classes(self, name: str, loss: Any, method: str) -> None:
        """The Hessian of MultiClass is a full matrix: leaf values are the same where none is asked for."""
        data = made("classes", 150)
        # By default CatBoost samples rows otherwise for its own objectives of classes than for others.
        options = {"leaf_estimation_method": method, "leaf_estimation_iterations": 1, "bootstrap_type": "No"}
        own = cb.CatBoostClassifier(**QUIET | options, loss_function=name).fit(pool(data))
        ours = model_of(loss, **options).fit(pool(data))
        assert same_splits(ours, own)
        np.testing.assert_allclose(raw(ours, data.X), raw(own, data.X), atol=1e-6)


def same_splits(a: cb.CatBoost, b: cb.CatBoost) -> bool:
    """Whether the trees of two models split alike."""
    return all(
        a._get_tree_splits(tree, None) == b._get_tree_splits(tree, None) for tree in range(a.tree_count_)
    )


class TestStart:
    """Training starts from the best constant, and the model keeps it."""

    @by_loss
    def test_pools_get_it(self, kind: str, loss: Any) -> None:
        data = made(kind)
        train, valid = pool(data, weighted=True), pool(made(kind, 50))
        score = init_score(loss, train, valid)
        np.testing.assert_allclose(score, loss.init_score(data.y, data.w), rtol=1e-12)
        for each, rows in ((train, 400), (valid, 50)):
            expected = np.broadcast_to(np.reshape(score, (1, -1)), (rows, np.size(score)))
            np.testing.assert_allclose(each.get_baseline(), expected, rtol=1e-6)

    @by_loss
    def test_a_model_keeps_it(self, kind: str, loss: Any, tmp_path: Path) -> None:
        data = made(kind, 400 if kind == "binary" else 100)
        model, score = trained(loss, data)
        before, two = raw(model, data.X), raw(model, data.X, ntree_end=2)
        importance = model.get_feature_importance()
        for _ in range(2):  # the second call changes nothing
            assert add_init_score(model, score) is model
            np.testing.assert_allclose(raw(model, data.X), before + score, rtol=0, atol=1e-12)
        np.testing.assert_allclose(raw(model, data.X, ntree_end=2), two + score, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(model.get_feature_importance(), importance)

        model.save_model(str(tmp_path / "model.cbm"))
        loaded = cb.CatBoostClassifier().load_model(str(tmp_path / "model.cbm"))
        for kept in (loaded, pickle.loads(pickle.dumps(model)), model.copy()):
            np.testing.assert_allclose(raw(kept, data.X), before + score, rtol=0, atol=1e-12)
            shap = kept.get_feature_importance(cb.Pool(data.X), type="ShapValues")
            np.testing.assert_allclose(shap.sum(axis=-1), before + score, rtol=0, atol=1e-10)

    @pytest.mark.parametrize(
        ("kind", "loss", "saved"),
        [
            ("binary", FOCAL, False),
            ("binary", FOCAL, True),
            ("classes", SOFTMAX, False),  # CatBoost itself refuses to go on from a saved model of classes
            ("classes", ONE_VS_REST, False),
        ],
    )
    def test_training_goes_on_from_it(self, kind: str, loss: Any, saved: bool, tmp_path: Path) -> None:
        data = made(kind, 400 if kind == "binary" else 100)
        whole, score = trained(loss, data, iterations=6)
        half, _ = trained(loss, data, iterations=3)
        add_init_score(whole, score)
        first: Any = add_init_score(half, score)
        if saved:
            first = str(tmp_path / "model.cbm")
            half.save_model(first)
        rest = add_init_score(model_of(loss, iterations=3).fit(pool(data), init_model=first), score)
        assert rest.tree_count_ == 6
        # A loaded model has no random state to go on with, so that its trees need not be the same.
        loose = 0.2 * np.ptp(raw(whole, data.X)) if saved else 1e-6
        np.testing.assert_allclose(raw(rest, data.X), raw(whole, data.X), rtol=0, atol=loose)
        assert mean(loss, raw(rest, data.X), data.y) < mean(loss, raw(half, data.X), data.y)

    def test_a_pool_with_a_baseline_adds_it_again(self) -> None:
        """As the docstring warns."""
        data = made("binary")
        train = pool(data)
        score = init_score(FOCAL, train)
        model = add_init_score(model_of(FOCAL).fit(train), score)
        np.testing.assert_allclose(raw(model, train), raw(model, data.X) + score, atol=1e-6)

    @pytest.mark.parametrize("policy", ["SymmetricTree", "Depthwise", "Lossguide"])
    def test_trees_of_all_shapes_keep_it(self, policy: str) -> None:
        data = made("binary")
        model, score = trained(FOCAL, data, grow_policy=policy)
        before = raw(model, data.X)
        np.testing.assert_allclose(raw(add_init_score(model, score), data.X), before + score, atol=1e-12)

    def test_what_cannot_keep_it(self) -> None:
        model, _ = trained(FOCAL, made("binary"))
        with pytest.raises(ValueError, match=r"score must be one number, .* got shape \(3,\)"):
            add_init_score(model, [0.5] * 3)
        with pytest.raises(ValueError, match="score must be finite; got inf"):
            add_init_score(model, np.inf)


class TestMetric:
    """What CatBoost reports is the weighted mean of the losses, and early stopping obeys it."""

    def test_is_reported_for_every_pool(self) -> None:
        data, other = made("binary"), made("binary", 200, seed=1)
        train, valid = pool(data, weighted=True), pool(other, weighted=True)
        score = init_score(FOCAL, train, valid)
        model = model_of(FOCAL, use_best_model=False).fit(train, eval_set=valid)
        add_init_score(model, score)
        for name, part in (("learn", data), ("validation", other)):
            expected = mean(FOCAL, raw(model, part.X), part.y, part.w)
            assert model.evals_result_[name]["Metric"][-1] == pytest.approx(expected, rel=1e-6)

    def test_early_stopping(self) -> None:
        data = made("binary", 800)
        train, valid = cb.Pool(data.X[:400], data.y[:400]), cb.Pool(data.X[400:], data.y[400:])
        score = init_score(FOCAL, train, valid)
        model = model_of(FOCAL, iterations=200, learning_rate=0.8, depth=6, early_stopping_rounds=5)
        model.fit(train, eval_set=valid)
        seen = model.evals_result_["validation"]["Metric"]
        assert model.best_iteration_ == int(np.argmin(seen)) < 190
        scores = raw(add_init_score(model, score), data.X[400:])
        assert mean(FOCAL, scores, data.y[400:]) == pytest.approx(min(seen), rel=1e-6)

    @by_loss
    def test_cross_validation(self, kind: str, loss: Any) -> None:
        data = made(kind, 400 if kind == "binary" else 100)
        train = pool(data)
        init_score(loss, train)
        two = loss.class_axis is None
        params = QUIET | {
            "loss_function": Objective(loss),
            "eval_metric": Metric(loss) if two else "MultiClass",
            "iterations": 3,
        }
        half = len(data.y) // 2
        folds = [(np.arange(half, 2 * half), np.arange(half)), (np.arange(half), np.arange(half, 2 * half))]
        params.pop("verbose")
        found = cb.cv(
            train, params | ({} if two else {"classes_count": 3}), folds=folds, as_pandas=False, verbose=False
        )
        values = found["test-Metric-mean" if two else "test-MultiClass-mean"]
        assert len(values) == 3
        assert values[-1] < values[0]


class TestWrapper:
    """CatBoostClassifier among scikit-learn's tools."""

    def test_clones_and_goes_to_other_processes(self) -> None:
        data = made("binary")
        model = cb.CatBoostClassifier(loss_function=Objective(FOCAL), eval_metric=Metric(FOCAL), **QUIET)
        assert clone(model).get_params()["loss_function"] is model.get_params()["loss_function"]
        model.set_params(class_names=[0, 1])  # lists among the parameters are what CatBoost's clones lack

        def fitted(model: Any, data: Data) -> Array:
            return raw(model.fit(data.X, data.y), data.X)

        together = joblib.Parallel(n_jobs=2)(joblib.delayed(fitted)(model, data) for _ in range(2))
        for scores in together:
            np.testing.assert_array_equal(scores, fitted(model, data))


class TestBadUse:
    """One sentence says what came and what to do."""

    def test_metrics_of_classes(self) -> None:
        for loss in (SOFTMAX, ONE_VS_REST):
            with pytest.raises(ValueError, match='set eval_metric="MultiClass"; got S'):
                Metric(loss)

    def test_metrics_of_probabilities(self) -> None:
        with pytest.raises(ValueError, match=r"a metric of CatBoost gets raw scores; got from_logits=False"):
            Metric(fg.SigmoidFocalLoss(from_logits=False))

    def test_labels_that_are_no_numbers(self) -> None:
        data = made("binary")
        with pytest.raises(TypeError, match=r"labels must be numbers: 0 and 1, .*; got <U1"):
            init_score(FOCAL, cb.Pool(data.X, data.y.astype(str)))

    def test_labels_that_do_not_fit(self) -> None:
        data = made("binary")
        with pytest.raises(TypeError, match=r"data must be catboost\.Pool; got ndarray"):
            init_score(FOCAL, data.y)
        with pytest.raises(ValueError, match=r"labels must be 0 or 1, .*; got labels\[\d+\] = -1"):
            init_score(FOCAL, cb.Pool(data.X, 2 * data.y - 1))
        with pytest.raises(ValueError, match="train must have labels; got a Pool without"):
            init_score(FOCAL, cb.Pool(data.X))

    @pytest.mark.parametrize(("loss", "kind"), [(SOFTMAX, "binary"), (FOCAL, "classes")])
    def test_a_loss_of_other_classes(self, loss: Any, kind: str) -> None:
        two = kind == "binary"
        model = cb.CatBoostClassifier(
            loss_function=Objective(loss),
            eval_metric="Logloss" if two else "MultiClass",
            class_names=[0, 1] if two else [0, 1, 2],
            **QUIET,
        )
        message = r"scores must have shape \(n, C\)" if two else "without a class axis"
        with pytest.raises((ValueError, cb.CatBoostError), match=message):
            model.fit(pool(made(kind)))

    def test_a_class_without_rows(self) -> None:
        data = made("binary")
        train = cb.Pool(data.X, np.zeros(400, int))
        with pytest.raises(ValueError, match="every class must have weight for a start; got none of class 1"):
            init_score(FOCAL, train)
        assert train.get_baseline().size == 0
