"""Focal loss as scikit-learn's metrics and scorers are: labels of any kind, probabilities or raw scores."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import focalgrad as fg
from focalgrad.sklearn import focal_loss, focal_scorer

rng = np.random.default_rng(5)
ROWS = 40
TWO = rng.integers(0, 2, ROWS)
THREE = rng.integers(0, 3, ROWS)
P_TWO = rng.uniform(size=ROWS)
P_THREE = rng.dirichlet(np.ones(3), ROWS)
SCORES = 3 * rng.normal(size=(ROWS, 3))
WEIGHTS = rng.integers(0, 4, ROWS).astype(float)
NAMES = np.array(["ham", "news", "spam"])


def of_target(p, y):
    """The probability of each row's own class."""
    return np.where(y == 1, p, 1 - p) if p.ndim == 1 else p[np.arange(len(y)), y]


def by_hand(p_t, gamma, weights=None):
    return np.average(-((1 - p_t) ** gamma) * np.log(p_t), weights=weights)


class TestValue:
    @pytest.mark.parametrize(("p", "y"), [(P_TWO, TWO), (P_THREE, THREE)], ids=["two", "three"])
    @pytest.mark.parametrize("weights", [None, WEIGHTS])
    def test_default_is_gamma_2_without_alpha_on_probabilities(self, p, y, weights):
        expected = by_hand(of_target(p, y), 2, weights)
        assert focal_loss(y, p, sample_weight=weights) == pytest.approx(expected, rel=1e-13)

    @pytest.mark.parametrize("weights", [None, WEIGHTS])
    def test_gamma_0_is_log_loss(self, weights):
        eps = np.finfo(float).eps
        p = P_TWO.copy()
        p[:4] = [0, 1, 0, 1]
        sigmoid = fg.SigmoidFocalLoss(None, 0, from_logits=False, eps=eps)
        softmax = fg.SoftmaxFocalLoss(None, 0, from_logits=False, eps=eps)
        for y, scores, loss in ((TWO, p, sigmoid), (THREE, P_THREE, softmax)):
            expected = log_loss(y, scores, sample_weight=weights)
            assert focal_loss(y, scores, loss=loss, sample_weight=weights) == pytest.approx(expected, 1e-13)

    def test_certainties_are_clipped_in_float64_whatever_the_dtype(self):
        wrong = focal_loss([0, 1], np.array([1.0, 1.0], np.float32))
        eps = np.finfo(float).eps
        assert wrong == pytest.approx(by_hand(np.array([eps, 1 - eps]), 2), rel=1e-12)

    def test_shapes_of_two_classes(self):
        loss = fg.SigmoidFocalLoss(0.25, 1.5)
        pair = np.column_stack([1 - P_TWO, P_TWO])
        assert focal_loss(TWO, pair) == focal_loss(TWO, P_TWO)
        raw = SCORES[:, :2]
        single = focal_loss(TWO, raw[:, 1] - raw[:, 0], loss=loss)
        assert focal_loss(TWO, raw, loss=loss) == single
        assert single == pytest.approx(loss(raw[:, 1] - raw[:, 0], TWO), rel=1e-14)

    def test_rows_of_raw_scores(self):
        softmax = fg.SoftmaxFocalLoss([1, 2, 3], [0, 1, 2])
        expected = softmax.replace(reduction="none")(SCORES, THREE)
        assert focal_loss(THREE, SCORES, loss=softmax) == pytest.approx(expected.mean(), rel=1e-14)
        each = fg.SigmoidFocalLoss(0.25, 2, class_axis=-1)
        expected = each.replace(reduction="none")(SCORES, THREE).sum(axis=1)
        value = focal_loss(THREE, SCORES, loss=each, sample_weight=WEIGHTS)
        assert value == pytest.approx(np.average(expected, weights=WEIGHTS), rel=1e-14)

    @pytest.mark.parametrize("reduction", ["none", "mean", "sum_classes"])
    def test_other_reductions_are_means_over_rows(self, reduction):
        loss = fg.SigmoidFocalLoss(class_axis=1, reduction=reduction)
        expected = loss.replace(reduction="sum")(SCORES, THREE) / ROWS
        assert focal_loss(THREE, SCORES, loss=loss) == pytest.approx(expected, rel=1e-14)

    def test_a_sum_is_not_divided_and_a_normaliser_does_not_matter(self):
        loss = fg.SoftmaxFocalLoss(reduction="sum")
        expected = loss(SCORES, THREE, sample_weight=WEIGHTS)
        assert focal_loss(THREE, SCORES, loss=loss, sample_weight=WEIGHTS) == pytest.approx(expected, 1e-14)
        weighted = fg.SoftmaxFocalLoss([1, 2, 3], normalizer="weights")
        plain = weighted.replace(normalizer=None)
        assert focal_loss(THREE, SCORES, loss=weighted) == focal_loss(THREE, SCORES, loss=plain)

    def test_a_weight_is_a_row_given_that_often(self):
        often = WEIGHTS.astype(int)
        repeated = focal_loss(np.repeat(THREE, often), np.repeat(P_THREE, often, axis=0))
        assert focal_loss(THREE, P_THREE, sample_weight=WEIGHTS) == pytest.approx(repeated, rel=1e-13)
        assert focal_loss(THREE, P_THREE, sample_weight=np.zeros(ROWS)) == 0.0

    def test_ignored_classes_have_no_weight(self):
        loss = fg.SoftmaxFocalLoss(ignore_index=1)
        kept = THREE != 1
        expected = focal_loss(
            THREE[kept], SCORES[kept], loss=loss.replace(ignore_index=None), labels=[0, 1, 2]
        )
        assert focal_loss(THREE, SCORES, loss=loss) == pytest.approx(expected, rel=1e-14)

    def test_infinite_scores_are_limits(self):
        loss = fg.SigmoidFocalLoss()
        assert focal_loss([0, 1], [-np.inf, np.inf], loss=loss) == 0.0
        assert focal_loss([0, 1], [[np.inf, -np.inf], [0, np.inf]], loss=loss) == 0.0
        assert focal_loss([0, 1], [np.inf, 0.0], loss=loss) == np.inf


KINDS = {
    "strings": lambda y: NAMES[y],
    "objects": lambda y: NAMES[y].astype(object),
    "numbers": lambda y: y * 2.0 - 1,
    "list": lambda y: NAMES[y].tolist(),
    "categories": lambda y: pd.Series(pd.Categorical(NAMES[y])),
    "nullable": lambda y: pd.Series(y, dtype="Int64"),
    "series": lambda y: pd.Series(NAMES[y]),
    "column": lambda y: y.astype(np.int8),
}


class TestLabels:
    @pytest.mark.parametrize("kind", KINDS)
    def test_any_kind(self, kind):
        assert focal_loss(KINDS[kind](THREE), P_THREE) == focal_loss(THREE, P_THREE)

    def test_bools(self):
        assert focal_loss(TWO == 1, P_TWO) == focal_loss(TWO, P_TWO)

    def test_labels_name_absent_classes(self):
        kept = THREE != 2
        expected = by_hand(of_target(P_THREE[kept], THREE[kept]), 2)
        assert focal_loss(NAMES[THREE[kept]], P_THREE[kept], labels=NAMES) == pytest.approx(expected, 1e-13)
        assert focal_loss(["a", "a"], [0.5, 0.5], labels=["a", "b"]) == pytest.approx(0.25 * np.log(2))

    def test_labels_are_in_the_order_of_the_columns(self):
        backwards = focal_loss(NAMES[THREE], P_THREE[:, ::-1], labels=NAMES[::-1])
        assert backwards == focal_loss(NAMES[THREE], P_THREE)


class TestBadUse:
    @pytest.mark.parametrize(
        ("y", "scores", "options", "error", "message"),
        [
            (
                ["a", "a"],
                [0.1, 0.2],
                {},
                ValueError,
                "y_true must hold two classes.*one class: 'a'",
            ),
            (
                [0, 1],
                [0.1, 1.5],
                {},
                ValueError,
                r"probabilities from 0 to 1.*1\.5 in row 1",
            ),
            ([0, 1], [0.1, np.nan], {}, ValueError, r"y_score must hold.*got nan in row 1"),
            ([0, 1], [0.1], {}, ValueError, r"y_score must have shape \(2,\) or \(2, 2\).*got shape \(1,\)"),
            ([0, 1], np.full((2, 3), 1 / 3), {}, ValueError, r"got shape \(2, 3\); labels= names classes"),
            ([0, 1, 2], [0.1, 0.2, 0.3], {}, ValueError, r"y_score must have shape \(3, 3\)"),
            (
                [0, 1],
                [0.1, 0.2],
                {"labels": [0, 2]},
                ValueError,
                "y_true must hold the classes 0, 2; got 1",
            ),
            ([0, 1], [0.1, 0.2], {"labels": [0]}, ValueError, r"labels must be two or more classes.*got 0"),
            ([0, 1], [0.1, 0.2], {"labels": [0, 1, 1]}, ValueError, r"labels must be.*once; got 0, 1, 1"),
            ([0, 1], [0.1, 0.2], {"sample_weight": [1.0]}, ValueError, r"sample_weight.*\(2,\).*\(1,\)"),
            ([0, 1], [0.1, 0.2], {"sample_weight": [1, np.nan]}, ValueError, "NaN"),
            (
                [0, 1],
                [0.1, 0.2],
                {"loss": "focal"},
                TypeError,
                "loss must be.*got 'focal'",
            ),
            (
                [0, 1],
                [0.1, 0.2],
                {"loss": fg.SoftmaxFocalLoss()},
                ValueError,
                r"loss must be a SigmoidFocalLoss without class_axis.*got SoftmaxFocalLoss",
            ),
            (
                [0, 1],
                [0.1, 0.2],
                {"loss": fg.SigmoidFocalLoss(class_axis=-1)},
                ValueError,
                "without class_axis",
            ),
            (
                [0, 1, 2],
                np.eye(3),
                {"loss": fg.SigmoidFocalLoss()},
                ValueError,
                "for one-vs-rest",
            ),
            ([0, 1, 2], np.eye(3), {"loss": fg.SoftmaxFocalLoss(class_axis=0)}, ValueError, "class_axis=0"),
            (
                [0, 1, 2],
                np.eye(3),
                {"loss": fg.SoftmaxFocalLoss([1, 2])},
                ValueError,
                r"3 entries as alpha.*got 2 entries",
            ),
            ([0.5, 1.5], [0.1, 0.2], {}, ValueError, "continuous"),
            ([[0, 1], [1, 0]], [0.1, 0.2], {}, ValueError, "1d array"),
            (np.array(["a", 1], object), [0.1, 0.2], {}, ValueError, "y_true must hold labels of one kind"),
            ([0, 1], np.zeros((2, 2, 2)), {}, ValueError, "dim 3"),
        ],
    )
    def test_one_sentence(self, y, scores, options, error, message):
        with pytest.raises(error, match=message):
            focal_loss(y, scores, **options)


class TestScorer:
    def test_asks_for_what_the_loss_reads(self):
        X, y = load_breast_cancer(return_X_y=True)
        model = RidgeClassifier().fit(X, y)  # has no predict_proba
        loss = fg.SigmoidFocalLoss(0.25, 2)
        assert focal_scorer(loss)(model, X, y) == -focal_loss(y, model.decision_function(X), loss=loss)
        with pytest.raises(AttributeError, match="predict_proba"):
            focal_scorer()(model, X, y)

    @pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
    def test_probabilities_and_raw_scores_of_any_labels(self, load):
        X, y = load(return_X_y=True)
        y = np.array(["c", "a", "b"])[y]
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
        weights = np.random.default_rng(0).uniform(size=len(y))
        loss = fg.SigmoidFocalLoss(None, 2) if load is load_breast_cancer else fg.SoftmaxFocalLoss(None, 2)
        expected = -focal_loss(y, model.predict_proba(X), sample_weight=weights)
        for scorer in (focal_scorer(), focal_scorer(loss), focal_scorer(labels=model.classes_[::-1])):
            assert scorer(model, X, y, sample_weight=weights) == pytest.approx(expected, rel=1e-9)

    def test_model_selection(self):
        X, y = load_breast_cancer(return_X_y=True)
        model = make_pipeline(StandardScaler(), LogisticRegression())
        search = GridSearchCV(
            model, {"logisticregression__C": [1e-4, 1.0]}, scoring=focal_scorer(), cv=3
        ).fit(X, y)
        assert search.best_params_ == {"logisticregression__C": 1.0}
        assert search.best_score_ < 0

    def test_folds_that_lack_a_class_need_labels(self):
        X, y = load_iris(return_X_y=True)
        X, y = np.concatenate([X, X]), np.concatenate([y, y])
        fold = PredefinedSplit(np.where((np.arange(300) >= 150) & (y != 2), 0, -1))
        model = LogisticRegression(max_iter=1000)
        assert np.isfinite(
            cross_val_score(model, X, y, cv=fold, scoring=focal_scorer(labels=[0, 1, 2]))
        ).all()
        with pytest.raises(ValueError, match="labels= names classes that y_true lacks"):
            cross_val_score(model, X, y, cv=fold, scoring=focal_scorer(), error_score="raise")

    def test_weights_are_routed(self):
        X, y = load_breast_cancer(return_X_y=True)
        weights = np.where(y == 1, 1.0, 5.0)
        model = RidgeClassifier()
        loss = fg.SigmoidFocalLoss()
        with sklearn.config_context(enable_metadata_routing=True):
            scorer = focal_scorer(loss).set_score_request(sample_weight=True)
            folds = PredefinedSplit(np.where(np.arange(len(y)) % 2, 0, -1))
            routed = cross_validate(
                model.set_fit_request(sample_weight=False),
                X,
                y,
                cv=folds,
                scoring=scorer,
                params={"sample_weight": weights},
            )
        odd = np.arange(len(y)) % 2 == 1
        model.fit(X[~odd], y[~odd])
        expected = -focal_loss(y[odd], model.decision_function(X[odd]), loss=loss, sample_weight=weights[odd])
        assert routed["test_score"][0] == pytest.approx(expected, rel=1e-12)

    def test_travels(self):
        X, y = load_breast_cancer(return_X_y=True)
        model = RidgeClassifier().fit(X, y)
        scorer = focal_scorer(fg.SigmoidFocalLoss(), labels=[0, 1])
        assert pickle.loads(pickle.dumps(scorer))(model, X, y) == scorer(model, X, y)

    def test_bad_use(self):
        with pytest.raises(TypeError, match="loss must be"):
            focal_scorer(2.0)
        with pytest.raises(ValueError, match="labels must be"):
            focal_scorer(labels=["a"])
