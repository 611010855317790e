"""FocalClassifier: the whole recipe around each of the three boosters."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier, early_stopping
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from xgboost import XGBClassifier

import focalgrad as fg
from focalgrad.sklearn import FocalClassifier, focal_loss

LOSS = fg.SigmoidFocalLoss(0.25, 2)
SOFTMAX = fg.SoftmaxFocalLoss([1, 2, 2], 1.5)
REST = fg.SigmoidFocalLoss(None, 2, class_axis=-1)
ENTROPY = fg.SigmoidFocalLoss(None, 0)
X, Y = make_classification(1200, 6, n_informative=4, weights=[0.9], random_state=1)
X3, Y3 = make_classification(600, 6, n_informative=4, n_classes=3, weights=[0.6, 0.3], random_state=2)
NAMES = np.array(["b", "c", "a"])
TRAIN, VALID = slice(0, None, 2), slice(1, None, 2)
WEIGHTS = np.random.default_rng(4).uniform(0.2, 3, len(Y))
ROUNDS = {
    "LGBMClassifier": "n_estimators",
    "XGBClassifier": "n_estimators",
    "CatBoostClassifier": "iterations",
}


def lightgbm(**params):
    return LGBMClassifier(
        **{"n_estimators": 20, "verbosity": -1, "n_jobs": 1, "min_child_weight": 1e-3} | params
    )


def xgboost(**params):
    base = {"n_estimators": 20, "n_jobs": 1, "min_child_weight": 1e-3, "reg_lambda": 1e-2, "max_depth": 4}
    base |= {"max_delta_step": 1}  # else leaves leap, with XGBoost's own objective too
    return XGBClassifier(**base | params)


def catboost(**params):
    base = {"iterations": 20, "depth": 4, "learning_rate": 0.3, "thread_count": 1, "verbose": False}
    return CatBoostClassifier(**base | {"allow_writing_files": False, "random_seed": 0} | params)


boosters = pytest.mark.parametrize("booster", [lightgbm, xgboost, catboost], ids=lambda make: make.__name__)


def named(index):
    return NAMES[index]


@boosters
class TestRecipe:
    def test_two_classes(self, booster):
        y = np.where(Y == 1, "cancelled", "flew")
        model = FocalClassifier(booster(), LOSS).fit(X[TRAIN], y[TRAIN])
        assert model.classes_.tolist() == ["cancelled", "flew"]
        assert model.loss_ == LOSS
        assert model.init_score_ == pytest.approx(LOSS.init_score(y[TRAIN] == "flew"), rel=1e-12)
        scores, proba = model.decision_function(X), model.predict_proba(X)
        assert scores.shape == (len(X),)
        assert scores.dtype == proba.dtype == np.float64
        np.testing.assert_array_equal(proba[:, 1], LOSS.posterior(scores))
        np.testing.assert_array_equal(proba[:, 0], 1 - proba[:, 1])
        np.testing.assert_array_equal(model.predict(X), model.classes_[proba.argmax(axis=1)])
        assert average_precision_score(y[VALID] == "cancelled", proba[VALID, 0]) > 0.6
        assert proba[:, 1].mean() == pytest.approx((y == "flew").mean(), abs=0.05)

    @pytest.mark.parametrize("loss", [None, SOFTMAX, REST], ids=["default", "softmax", "one-vs-rest"])
    def test_three_classes(self, booster, loss):
        model = FocalClassifier(booster(), loss).fit(X3[TRAIN], named(Y3[TRAIN]))
        assert model.classes_.tolist() == ["a", "b", "c"]
        assert model.loss_ == (fg.SoftmaxFocalLoss(None, 2) if loss is None else loss)
        index = np.searchsorted(model.classes_, named(Y3[TRAIN]))
        np.testing.assert_allclose(model.init_score_, model.loss_.init_score(index), rtol=1e-12)
        scores, proba = model.decision_function(X3), model.predict_proba(X3)
        posterior = model.loss_.posterior(scores)
        np.testing.assert_allclose(proba, posterior / posterior.sum(axis=1, keepdims=True), rtol=1e-13)
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-14)
        assert model.score(X3[VALID], named(Y3[VALID])) > 0.7

    @pytest.mark.parametrize("data", [(X, Y, LOSS), (X3, Y3, SOFTMAX)], ids=["two", "three"])
    def test_starts_from_the_best_constant(self, booster, data):
        """With next to no steps, scores are the start."""
        x, y, loss = data
        estimator = booster(**{ROUNDS[type(booster()).__name__]: 2, "learning_rate": 1e-6})
        model = FocalClassifier(estimator, loss).fit(x, y, eval_set=[(x, y)])
        start = np.broadcast_to(model.init_score_, model.decision_function(x).shape)
        np.testing.assert_allclose(model.decision_function(x), start, atol=1e-4)
        # Evaluation starts there too (CatBoost reports its own metric for three classes).
        if not (booster is catboost and loss is SOFTMAX):
            constant = focal_loss(y, start, loss=loss)
            assert first_evaluation(model.estimator_) == pytest.approx(constant, rel=1e-4)

    def test_weights_decide_start_and_trees(self, booster):
        weights = np.where(Y == 1, 9.0, 1.0)
        model = FocalClassifier(booster(), LOSS).fit(X, Y, sample_weight=weights)
        assert model.init_score_ == pytest.approx(LOSS.init_score(Y, weights), rel=1e-12)
        share = np.average(model.predict_proba(X)[:, 1], weights=weights)
        assert share == pytest.approx(np.average(Y, weights=weights), abs=0.05)

    def test_evaluation_is_the_weighted_loss_of_what_was_trained(self, booster):
        y, weights = np.where(Y == 1, "yes", "no"), WEIGHTS[VALID]
        model = FocalClassifier(booster(), LOSS).fit(
            X[TRAIN],
            y[TRAIN],
            sample_weight=WEIGHTS[TRAIN],
            eval_set=[(X[VALID], y[VALID]), (X[TRAIN], y[TRAIN])],
            eval_sample_weight=[weights, None],
            **({"use_best_model": False} if booster is catboost else {}),
            **({"verbose": False} if booster is xgboost else {}),
        )
        scores = model.decision_function(X)
        first, second = last_evaluations(model.estimator_)
        weighted = focal_loss(y[VALID], scores[VALID], loss=LOSS, sample_weight=weights)
        assert first == pytest.approx(weighted, abs=1e-6)
        assert second == pytest.approx(focal_loss(y[TRAIN], scores[TRAIN], loss=LOSS), abs=1e-6)

    @pytest.mark.parametrize("data", [(X, Y, LOSS), (X3, Y3, SOFTMAX)], ids=["two", "three"])
    def test_early_stopping(self, booster, data):
        x, y, loss = data
        estimator = booster(**{ROUNDS[type(booster()).__name__]: 150, "learning_rate": 0.5})
        quiet = {"verbose": False} if booster is not lightgbm else {}
        model = FocalClassifier(estimator, loss).fit(
            x[:300], y[:300], eval_set=[(x[300:], y[300:])], early_stopping_rounds=5, **quiet
        )
        best = model.estimator_.best_iteration_ if booster is not xgboost else model.estimator_.best_iteration
        assert best < 140
        if booster is catboost and loss is SOFTMAX:
            return
        # What is predicted with is the best iteration.
        value = focal_loss(y[300:], model.decision_function(x[300:]), loss=loss)
        assert value == pytest.approx(best_evaluation(model.estimator_), abs=1e-6)

    def test_the_estimator_stays_as_it_was(self, booster):
        estimator = booster()
        before = dict(estimator.get_params())
        model = FocalClassifier(estimator, LOSS).fit(X, Y)
        assert model.estimator is estimator
        assert estimator.get_params() == before
        with pytest.raises(Exception, match=r"(?i)fit|train"):
            estimator.predict(X)
        first = model.predict_proba(X)
        np.testing.assert_array_equal(model.fit(X, Y).predict_proba(X), first)

    def test_clone_pickle_and_search(self, booster):
        model = FocalClassifier(booster(), LOSS, hessian="gauss_newton")
        copied = clone(model)
        assert copied.estimator is not model.estimator
        assert copied.estimator.get_params() == model.estimator.get_params()
        assert (copied.loss, copied.hessian) == (LOSS, "gauss_newton")
        model.fit(X, Y)
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        with pytest.raises(NotFittedError):
            clone(model).predict(X)
        rounds = f"estimator__{ROUNDS[type(booster()).__name__]}"
        search = GridSearchCV(
            FocalClassifier(booster()),
            {"loss": [LOSS, ENTROPY], rounds: [1, 15]},
            scoring="neg_log_loss",
            cv=2,
        ).fit(X, Y)
        assert search.best_params_[rounds] == 15

    def test_metadata_routing_survives_a_clone(self, booster):
        with sklearn.config_context(enable_metadata_routing=True):
            model = FocalClassifier(booster(), LOSS).set_fit_request(sample_weight=True)
            routed = clone(make_pipeline(SimpleImputer(), model)).fit(X, Y, sample_weight=WEIGHTS)
        expected = FocalClassifier(booster(), LOSS).fit(X, Y, sample_weight=WEIGHTS)
        np.testing.assert_allclose(routed.predict_proba(X), expected.predict_proba(X), rtol=1e-12)

    def test_calibrated(self, booster):
        model = CalibratedClassifierCV(FocalClassifier(booster(), LOSS), cv=2).fit(X, Y)
        assert model.predict_proba(X)[:, 1].mean() == pytest.approx(Y.mean(), abs=0.03)

    def test_frames_with_categories_and_missing_values(self, booster):
        frame = pd.DataFrame(X, columns=list("abcdef"))
        frame.loc[::7, "a"] = np.nan
        kind = np.where(Y == 1, "rare", "often")
        kind[::3] = "other"
        frame["kind"] = pd.Categorical(kind)
        params = {xgboost: {"enable_categorical": True}, catboost: {"cat_features": ["kind"]}}.get(
            booster, {}
        )
        quiet = {"verbose": False} if booster is not lightgbm else {}
        model = FocalClassifier(booster(**params), LOSS)
        fitted = clone(model).fit(
            frame[TRAIN], pd.Series(Y[TRAIN]), eval_set=[(frame[VALID], pd.Series(Y[VALID]))], **quiet
        )
        assert fitted.feature_names_in_.tolist() == frame.columns.tolist()
        assert average_precision_score(Y[VALID], fitted.predict_proba(frame[VALID])[:, 1]) > 0.8
        with pytest.raises(ValueError, match="feature names should match"):
            fitted.predict(frame.rename(columns={"a": "z"}))

    def test_sparse_rows(self, booster):
        x = np.where(np.abs(X) > 1, X, 0)
        model = FocalClassifier(booster(), LOSS).fit(csr_matrix(x), Y)
        assert average_precision_score(Y, model.predict_proba(csr_matrix(x))[:, 1]) > 0.7

    def test_rare_positives_train(self, booster):
        generator = np.random.default_rng(0)
        x = generator.normal(size=(20_000, 4))
        y = np.zeros(20_000, int)
        y[np.argsort(x[:, 0] + 0.3 * generator.normal(size=20_000))[-20:]] = 1
        for gamma in (0.5, 5.0):
            loss = fg.SigmoidFocalLoss(None, gamma)
            model = FocalClassifier(booster(), loss).fit(x, y)
            scores = model.decision_function(x)
            assert np.isfinite(scores).all()
            assert np.ptp(scores) > 0.1
            assert focal_loss(y, scores, loss=loss) < focal_loss(
                y, np.full(len(y), model.init_score_), loss=loss
            )


def first_evaluation(model):
    return next(iter(evaluations(model)[0]))


def last_evaluations(model):
    return [values[-1] for values in evaluations(model)]


def best_evaluation(model):
    return min(evaluations(model)[0])


def evaluations(model):
    """Values of the focal loss by iteration, for each evaluation set."""
    if isinstance(model, LGBMClassifier):
        results = model.evals_result_
    else:
        results = model.evals_result() if isinstance(model, XGBClassifier) else model.get_evals_result()
    sets = [values for name, values in results.items() if name != "learn"]
    # CatBoost reports a metric under the name of its class.
    name = "Metric" if isinstance(model, CatBoostClassifier) else "focal_loss"
    return [values[name] for values in sets]


class TestGammaZero:
    """It grows the trees of the booster's own objective, from the booster's own start."""

    def test_lightgbm(self):
        model = FocalClassifier(lightgbm(), ENTROPY).fit(X, Y, sample_weight=WEIGHTS)
        own = lightgbm().fit(X, Y, sample_weight=WEIGHTS)
        np.testing.assert_allclose(model.predict_proba(X), own.predict_proba(X), atol=1e-6)

    def test_xgboost(self):
        model = FocalClassifier(xgboost(), ENTROPY).fit(X, Y, sample_weight=WEIGHTS)
        own = xgboost().fit(X, Y, sample_weight=WEIGHTS)
        np.testing.assert_allclose(model.predict_proba(X), own.predict_proba(X), atol=1e-5)


class TestCatBoostLists:
    """`clone` refuses a model with lists among its parameters."""

    def test_clone(self):
        model = FocalClassifier(catboost(cat_features=[0], ignored_features=[2]), LOSS)
        x = pd.DataFrame(X).astype({0: int})
        copied = clone(clone(model))
        assert copied.estimator.get_params()["cat_features"] == [0]
        proba = copied.fit(x, Y).predict_proba(x)
        np.testing.assert_array_equal(GridSearchCV(model, {}, cv=2).fit(x, Y).predict_proba(x), proba)


class TestBadUse:
    @pytest.mark.parametrize(
        ("estimator", "loss", "error", "message"),
        [
            (RandomForestClassifier(), None, TypeError, "estimator must be one of LGBMClassifier, XGBClass"),
            (LGBMClassifier, None, TypeError, "estimator must be one of LGBMClassifier"),
            (lightgbm(), 2.0, TypeError, "loss must be a SigmoidFocalLoss"),
            (lightgbm(), fg.SoftmaxFocalLoss(), ValueError, "without class_axis where there are two classes"),
            (lightgbm(), fg.SigmoidFocalLoss(from_logits=False), ValueError, "loss must be one of logits"),
            (
                lightgbm(),
                fg.SigmoidFocalLoss(1.0),
                ValueError,
                "every class some weight.*class 1",
            ),
            (lightgbm(class_weight="balanced"), LOSS, ValueError, "unweighted.*class_weight='balanced'"),
            (lightgbm(is_unbalance=True), LOSS, ValueError, "unweighted.*is_unbalance=True"),
            (xgboost(scale_pos_weight=9), LOSS, ValueError, "unweighted.*scale_pos_weight=9"),
            (catboost(auto_class_weights="Balanced"), LOSS, ValueError, "unweighted.*auto_class_weights"),
            (catboost(class_weights=[1, 2]), LOSS, ValueError, "unweighted.*class_weights"),
        ],
    )
    def test_parameters(self, estimator, loss, error, message):
        with pytest.raises(error, match=message):
            FocalClassifier(estimator, loss).fit(X, Y)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"init_score": np.zeros(len(Y))}, "fit_params must leave init_score to FocalClassifier"),
            ({"eval_set": [(X, Y + 1)]}, r"y of eval_set\[0\] must hold the classes 0, 1; got 2 too"),
            ({"eval_set": [X]}, r"eval_set must be a list of \(X, y\); got ndarray as entry 0"),
            ({"eval_set": [(X, Y[:5])]}, "inconsistent numbers of samples"),
            ({"eval_set": [(X, Y)], "eval_sample_weight": []}, "one entry for each of the 1 sets.*got 0"),
            ({"eval_sample_weight": [WEIGHTS]}, "eval_sample_weight must come with an eval_set"),
            ({"sample_weight": np.where(Y == 1, 0, 1)}, "some weight; got zero for class 1"),
            ({"sample_weight": [1.0]}, r"sample_weight must be a number or have shape \(1200,\)"),
        ],
    )
    def test_arguments(self, options, message):
        with pytest.raises(ValueError, match=message):
            FocalClassifier(lightgbm(), LOSS).fit(X, Y, **options)

    def test_hessian(self):
        with pytest.raises(ValueError, match="hessian must be"):
            FocalClassifier(lightgbm(), LOSS, hessian="full").fit(X, Y)

    @boosters
    def test_labels_and_rows(self, booster):
        with pytest.raises(ValueError, match="y must hold two classes or more; got one class: 1"):
            FocalClassifier(booster(), LOSS).fit(X, np.ones(len(X)))
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            FocalClassifier(booster(), LOSS).fit(X, Y[:-1])
        model = FocalClassifier(booster(), LOSS).fit(X, Y)
        with pytest.raises(ValueError, match="Reshape your data"):
            model.predict(X[0])
        with pytest.raises(ValueError, match="X has 5 features, but FocalClassifier is expecting 6"):
            model.predict(X[:, 1:])

    def test_callbacks_stay(self):
        seen = []
        callbacks = [early_stopping(3, verbose=False), lambda env: seen.append(env.iteration)]
        model = FocalClassifier(lightgbm(n_estimators=200, learning_rate=0.5), LOSS).fit(
            X[TRAIN],
            Y[TRAIN],
            eval_set=(X[VALID], Y[VALID]),
            callbacks=callbacks,
        )
        assert 0 < len(seen) < 200
        assert model.estimator_.best_iteration_ <= len(seen)
