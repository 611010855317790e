"""Logistic regression with focal loss: the minimum, the gradient, and what scikit-learn expects."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.optimize import approx_fprime
from scipy.sparse import coo_array, csc_matrix, csr_array
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import focalgrad as fg
from focalgrad.sklearn import FocalLogisticRegression, focal_loss, focal_scorer
from focalgrad.sklearn._problem import problem_at

ENTROPY = fg.SigmoidFocalLoss(None, 0)
SOFTMAX = fg.SoftmaxFocalLoss(None, 0)
RARE = make_classification(3000, 8, n_informative=4, weights=[0.95], random_state=3)
X_IRIS, Y_IRIS = load_iris(return_X_y=True)
WEIGHTS = np.random.default_rng(1).uniform(0.5, 3, len(Y_IRIS))
NAMES = np.array(["virginica", "setosa", "versicolor"])


def objective(model, X, y, weights=None):
    """The formula of the documentation, from coefficients and scores alone."""
    index = np.searchsorted(model.classes_, y)
    loss = model.loss_.replace(reduction="sum")(model.decision_function(X), index, sample_weight=weights)
    return 0.5 * np.sum(model.coef_**2) + model.C * loss


class TestGammaZero:
    """It is LogisticRegression."""

    @pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
    @pytest.mark.parametrize("fit_intercept", [True, False])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_two_classes(self, C, fit_intercept, weighted):
        X, y = RARE
        weights = np.where(y == 1, 7.0, 0.5) if weighted else None
        ours = FocalLogisticRegression(ENTROPY, C=C, fit_intercept=fit_intercept).fit(X, y, weights)
        theirs = LogisticRegression(
            C=C, fit_intercept=fit_intercept, solver="newton-cholesky", tol=1e-10, max_iter=1000
        ).fit(X, y, weights)
        assert ours.coef_.shape == theirs.coef_.shape
        assert ours.intercept_.shape == theirs.intercept_.shape
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-7)

    @pytest.mark.parametrize("weights", [None, WEIGHTS])
    def test_three_classes(self, weights):
        ours = FocalLogisticRegression(SOFTMAX).fit(X_IRIS, NAMES[Y_IRIS], weights)
        theirs = LogisticRegression(solver="newton-cholesky", tol=1e-10, max_iter=1000)
        theirs.fit(X_IRIS, NAMES[Y_IRIS], weights)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours.predict_proba(X_IRIS), theirs.predict_proba(X_IRIS), atol=1e-6)
        assert ours.n_iter_.shape == theirs.n_iter_.shape

    def test_one_against_the_rest(self):
        ours = FocalLogisticRegression(ENTROPY.replace(class_axis=-1)).fit(X_IRIS, Y_IRIS)
        one = LogisticRegression(solver="newton-cholesky", tol=1e-10, max_iter=1000)
        theirs = OneVsRestClassifier(one).fit(X_IRIS, Y_IRIS)
        coefs = np.concatenate([each.coef_ for each in theirs.estimators_])
        np.testing.assert_allclose(ours.coef_, coefs, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours.predict_proba(X_IRIS), theirs.predict_proba(X_IRIS), atol=1e-6)


LOSSES = {
    "sigmoid": (fg.SigmoidFocalLoss(0.25, 2), 2),
    "smoothed": (fg.SigmoidFocalLoss(None, 1.5, label_smoothing=0.1), 2),
    "softmax": (fg.SoftmaxFocalLoss([1, 2, 3], [0.5, 1, 2]), 3),
    "one-vs-rest": (fg.SigmoidFocalLoss(0.4, 2, class_axis=-1, class_weight=[1, 2, 3]), 3),
}


class TestMinimum:
    @pytest.mark.parametrize("fit_intercept", [True, False])
    @pytest.mark.parametrize("sparse", [False, True])
    @pytest.mark.parametrize("name", LOSSES)
    def test_gradient_is_that_of_the_value(self, name, sparse, fit_intercept):
        loss, classes = LOSSES[name]
        generator = np.random.default_rng(0)
        X = generator.normal(3, 2, size=(50, 4)) * (generator.uniform(size=(50, 4)) > 0.5)
        y = generator.integers(0, classes, 50)
        y[:classes] = range(classes)
        weights = generator.uniform(0.1, 2, 50)
        start = np.atleast_1d(loss.init_score(y, weights))
        problem, point = problem_at(
            loss,
            csr_array(X) if sparse else X,
            y,
            weights,
            start,
            penalty=0.3,
            fit_intercept=fit_intercept,
        )
        coef, intercept = problem.unpack(point)
        assert not coef.any()
        np.testing.assert_allclose(intercept, start if fit_intercept else 0, rtol=1e-14)
        point = point + 0.3 * generator.normal(size=point.shape)
        slopes = approx_fprime(point, lambda p: problem(p)[0], 1e-7)
        np.testing.assert_allclose(problem(point)[1], slopes, atol=2e-6)
        # The value is that of the documented formula, in units of that at the start.
        coef, intercept = problem.unpack(point)
        scores = (X @ coef.T + intercept).squeeze()
        by_hand = loss.replace(reduction="sum")(scores, y, sample_weight=weights) + 0.15 * np.sum(coef**2)
        assert problem(point)[0] * problem.unit == pytest.approx(by_hand, rel=1e-12)

    @pytest.mark.parametrize("name", LOSSES)
    def test_no_neighbour_is_lower(self, name):
        loss, classes = LOSSES[name]
        X, y = X_IRIS, np.minimum(Y_IRIS, classes - 1)
        model = FocalLogisticRegression(loss, C=2.0).fit(X, y)
        least = objective(model, X, y)
        generator = np.random.default_rng(0)
        for size in (1e-3, 1e-2):
            other = copy.copy(model)
            other.coef_ = model.coef_ + size * generator.normal(size=model.coef_.shape)
            assert objective(other, X, y) > least
            other.coef_ = model.coef_
            other.intercept_ = model.intercept_ + size * (1 + generator.uniform(size=model.intercept_.shape))
            assert objective(other, X, y) > least

    def test_columns_of_any_size_and_offset(self):
        X, y = load_breast_cancer(return_X_y=True)
        model = FocalLogisticRegression().fit(X, y)  # a warning would be an error
        assert model.n_iter_[0] < 1000
        # Ten classes and many constant columns take all steps, of which the last hundreds gain nothing.
        X, y = load_digits(return_X_y=True)
        assert FocalLogisticRegression().fit(X, y).score(X, y) == 1.0
        X, y = load_wine(return_X_y=True)
        shifted = FocalLogisticRegression().fit(X + 1000, y)
        model = FocalLogisticRegression().fit(X, y)
        np.testing.assert_allclose(model.coef_, shifted.coef_, rtol=1e-3, atol=1e-4)

    def test_constant_columns_and_no_penalty(self):
        X, y = RARE
        constant = np.column_stack([X, np.full(len(X), 1e6), np.zeros(len(X))])
        model = FocalLogisticRegression(C=np.inf).fit(constant, y)
        plain = FocalLogisticRegression(C=np.inf).fit(X, y)
        np.testing.assert_allclose(
            model.decision_function(constant), plain.decision_function(X), rtol=1e-4, atol=1e-5
        )

    @pytest.mark.parametrize("convert", [csr_array, csc_matrix, coo_array])
    def test_sparse_rows(self, convert):
        X = np.where(np.abs(X_IRIS) > 2, X_IRIS, 0)
        dense = FocalLogisticRegression().fit(X, Y_IRIS, WEIGHTS)
        sparse = FocalLogisticRegression().fit(convert(X), Y_IRIS, WEIGHTS)
        np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(sparse.predict_proba(convert(X)), sparse.predict_proba(X), rtol=1e-12)

    def test_a_weight_is_a_row_given_that_often(self):
        often = np.random.default_rng(0).integers(1, 4, len(Y_IRIS))
        weighted = FocalLogisticRegression().fit(X_IRIS, Y_IRIS, often)
        repeated = FocalLogisticRegression().fit(np.repeat(X_IRIS, often, axis=0), np.repeat(Y_IRIS, often))
        np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-5, atol=1e-6)

    def test_says_when_it_did_not_arrive(self):
        with pytest.warns(ConvergenceWarning, match=r"ended after 2 of max_iter=2 steps"):
            model = FocalLogisticRegression(max_iter=2).fit(X_IRIS, Y_IRIS)
        assert model.n_iter_[0] == 2
        early = FocalLogisticRegression(tol=1e-2).fit(X_IRIS, Y_IRIS)
        assert early.n_iter_[0] < FocalLogisticRegression().fit(X_IRIS, Y_IRIS).n_iter_[0]


class TestModel:
    def test_attributes(self):
        X, y = RARE
        y = np.where(y == 1, "yes", "no")
        loss = fg.SigmoidFocalLoss(0.25, 2, reduction="none")
        model = FocalLogisticRegression(loss).fit(X, y)
        assert model.classes_.tolist() == ["no", "yes"]
        assert model.n_features_in_ == 8
        assert model.loss_ == loss
        assert model.init_score_ == loss.init_score(y == "yes")
        scores = model.decision_function(X)
        np.testing.assert_allclose(scores, (X @ model.coef_.T + model.intercept_)[:, 0], rtol=1e-12)
        np.testing.assert_array_equal(model.predict_proba(X)[:, 1], loss.posterior(scores))
        assert set(model.predict(X)) == {"no", "yes"}
        # With alpha 0.25 half of the posterior is not where the score is 0.
        assert np.any((scores > 0) != (model.predict(X) == "yes"))

    def test_probabilities_are_calibrated_where_scores_are_not(self):
        X, y = RARE
        model = FocalLogisticRegression(fg.SigmoidFocalLoss(0.75, 2)).fit(X, y)
        raw = 1 / (1 + np.exp(-model.decision_function(X)))
        assert raw.mean() > 2 * y.mean()
        assert model.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), rel=0.05)
        assert brier_score_loss(y, model.predict_proba(X)[:, 1]) < brier_score_loss(y, raw)

    def test_several_classes(self):
        for loss in (fg.SoftmaxFocalLoss([1, 2, 3]), fg.SigmoidFocalLoss(class_axis=-1)):
            model = FocalLogisticRegression(loss).fit(X_IRIS, NAMES[Y_IRIS])
            assert model.classes_.tolist() == sorted(NAMES)
            scores, proba = model.decision_function(X_IRIS), model.predict_proba(X_IRIS)
            assert scores.shape == proba.shape == (150, 3)
            np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-14)
            posterior = loss.posterior(scores)
            np.testing.assert_allclose(proba, posterior / posterior.sum(axis=1, keepdims=True), rtol=1e-13)
            assert model.score(X_IRIS, NAMES[Y_IRIS]) > 0.9

    def test_certain_negatives_share_the_probability(self):
        # Smoothing undone cuts small posteriors off at 0, here of all classes.
        loss = fg.SigmoidFocalLoss(None, 0, class_axis=-1, label_smoothing=0.9)
        model = FocalLogisticRegression(loss).fit(X_IRIS, Y_IRIS)
        model.coef_, model.intercept_ = np.zeros((3, 4)), np.full(3, -5.0)
        np.testing.assert_array_equal(model.predict_proba(X_IRIS[:1]), np.full((1, 3), 1 / 3))


class TestInScikitLearn:
    def test_clone_and_pickle(self):
        model = FocalLogisticRegression(fg.SoftmaxFocalLoss([1, 2, 3], 1.5), C=3.0)
        copied = clone(model)
        assert copied.get_params() == model.get_params()
        with pytest.raises(NotFittedError):
            copied.predict(X_IRIS)
        model.fit(X_IRIS, Y_IRIS)
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict_proba(X_IRIS), model.predict_proba(X_IRIS))

    def test_grid_search_over_losses(self):
        X, y = RARE
        losses = [fg.SigmoidFocalLoss(None, gamma) for gamma in (0, 2)]
        search = GridSearchCV(
            FocalLogisticRegression(),
            {"loss": [None, *losses], "C": [1e-3, 1.0]},
            scoring=focal_scorer(losses[1]),
            n_jobs=2,
            cv=3,
        ).fit(X, y)
        assert search.best_params_["loss"] in (None, losses[1])

    def test_pipeline_of_frames_and_categories(self):
        frame = pd.DataFrame(X_IRIS, columns=list("abcd"))
        frame["kind"] = pd.Categorical(np.where(X_IRIS[:, 0] > 5.5, "long", "short"))
        ready = make_column_transformer(
            (OneHotEncoder(sparse_output=False), ["kind"]), remainder=StandardScaler()
        )
        model = make_pipeline(ready, FocalLogisticRegression()).set_output(transform="pandas")
        model.fit(frame, pd.Series(NAMES[Y_IRIS], dtype="category"))
        assert model.score(frame, NAMES[Y_IRIS]) > 0.9
        assert model[-1].feature_names_in_.tolist()[0] == "onehotencoder__kind_long"

    def test_weights_are_routed(self):
        X, y = RARE
        weights = np.where(y == 1, 10.0, 1.0)
        with sklearn.config_context(enable_metadata_routing=True):
            model = make_pipeline(
                StandardScaler().set_fit_request(sample_weight=False),
                FocalLogisticRegression().set_fit_request(sample_weight=True),
            ).fit(X, y, sample_weight=weights)
        expected = FocalLogisticRegression().fit(StandardScaler().fit_transform(X), y, weights)
        np.testing.assert_allclose(model[-1].coef_, expected.coef_, rtol=1e-9)

    def test_calibrated(self):
        X, y = RARE
        model = CalibratedClassifierCV(FocalLogisticRegression(fg.SigmoidFocalLoss()), cv=3).fit(X, y)
        assert model.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), rel=0.1)

    def test_scorer_of_its_own_loss(self):
        X, y = RARE
        loss = fg.SigmoidFocalLoss(0.25, 2)
        model = FocalLogisticRegression(loss).fit(X, y)
        assert -focal_scorer(loss)(model, X, y) == focal_loss(y, model.decision_function(X), loss=loss)


class TestBadUse:
    @pytest.mark.parametrize(
        ("params", "error", "message"),
        [
            ({"C": 0}, ValueError, "C must be a positive number; got 0"),
            ({"C": "1"}, ValueError, "C must be a positive number; got '1'"),
            ({"tol": -1.0}, ValueError, r"tol must be a positive number; got -1\.0"),
            ({"tol": np.nan}, ValueError, "tol must be a positive number; got nan"),
            ({"max_iter": 10.0}, ValueError, r"max_iter must be a positive integer; got 10\.0"),
            ({"max_iter": True}, ValueError, "max_iter must be a positive integer; got True"),
            ({"loss": 2}, TypeError, "loss must be a SigmoidFocalLoss"),
            ({"loss": fg.SoftmaxFocalLoss()}, ValueError, "without class_axis where there are two classes"),
            ({"loss": fg.SigmoidFocalLoss(from_logits=False)}, ValueError, "loss must be one of logits"),
            (
                {"loss": fg.SigmoidFocalLoss(0.0)},
                ValueError,
                "every class some weight.*class 1",
            ),
        ],
    )
    def test_parameters(self, params, error, message):
        with pytest.raises(error, match=message):
            FocalLogisticRegression(**params).fit(*RARE)

    def test_data(self):
        X, y = RARE
        with pytest.raises(ValueError, match="y must hold two classes or more; got one class: 'a'"):
            FocalLogisticRegression().fit(X, ["a"] * len(y))
        with pytest.raises(ValueError, match="every class some weight; got zero for class 1"):
            FocalLogisticRegression().fit(X, y, np.where(y == 1, 0, 1))
        with pytest.raises(ValueError, match=r"sample_weight must be a number or have shape \(3000,\)"):
            FocalLogisticRegression().fit(X, y, [1.0, 2.0])
        softmax = fg.SoftmaxFocalLoss(modulator="sigmoid")
        with pytest.raises(ValueError, match="modulator"):
            FocalLogisticRegression(softmax).fit(X_IRIS, Y_IRIS)
