"""scikit-learn's own checks of estimators, and what they cannot say of ours."""

from __future__ import annotations

import inspect

import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import check_estimator
from xgboost import XGBClassifier

import focalgrad as fg
from focalgrad.sklearn import FocalClassifier, FocalLogisticRegression, focal_loss, focal_scorer

#: Runs only where the environment variable SCIPY_ARRAY_API is set.
SKIPPED = {"check_array_api_input": "skipped"}

DENSE = "check_sample_weight_equivalence_on_dense_data"
SPARSE = "check_sample_weight_equivalence_on_sparse_data"

ESTIMATORS = {
    "FocalLogisticRegression": (FocalLogisticRegression(), {}),
    "LightGBM": (
        FocalClassifier(LGBMClassifier(n_estimators=20, min_child_samples=1, n_jobs=1, verbosity=-1)),
        {
            DENSE: "LightGBM counts rows, whatever their weight, for its bins",
            SPARSE: "LightGBM counts rows, whatever their weight, for its bins",
        },
    ),
    "XGBoost": (
        FocalClassifier(XGBClassifier(n_estimators=20, n_jobs=1, min_child_weight=1e-3, reg_lambda=1e-2)),
        {
            DENSE: "XGBoost adds up in float32: equal to 1e-6, where the check wants 1e-7",
            SPARSE: "XGBoost adds up in float32: equal to 1e-6, where the check wants 1e-7",
        },
    ),
    "CatBoost": (
        FocalClassifier(
            CatBoostClassifier(
                iterations=10, depth=3, thread_count=1, verbose=False, allow_writing_files=False
            )
        ),
        {
            DENSE: "CatBoost draws rows, and one of weight 2 is drawn otherwise than two rows",
            SPARSE: "CatBoost draws rows, and one of weight 2 is drawn otherwise than two rows",
            "check_dtype_object": "CatBoost answers cells that are no numbers with an error type of its own",
            "check_estimator_sparse_array": "CatBoost does not take indices of 64 bits, and does not say so",
            "check_estimator_sparse_matrix": "CatBoost does not take indices of 64 bits, and does not say so",
        },
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_all_checks_pass_but_those_listed(name: str) -> None:
    estimator, unavoidable = ESTIMATORS[name]
    results = check_estimator(estimator, expected_failed_checks=unavoidable, on_fail=None, on_skip=None)
    found = {each["check_name"]: each["status"] for each in results if each["status"] != "passed"}
    assert found == SKIPPED | dict.fromkeys(unavoidable, "xfail"), [
        each["exception"] for each in results if each["status"] == "failed"
    ]
    assert len(results) > 50


def test_both_are_estimators() -> None:
    for estimator in (FocalLogisticRegression(), FocalClassifier(LGBMClassifier(), fg.SigmoidFocalLoss())):
        assert isinstance(estimator, BaseEstimator)
        assert repr(estimator).startswith(type(estimator).__name__)
        assert type(estimator).__module__ == "focalgrad.sklearn"


PUBLIC = [
    focal_loss,
    focal_scorer,
    *(
        getattr(kind, name)
        for kind in (FocalClassifier, FocalLogisticRegression)
        for name in ("fit", "decision_function", "predict_proba", "predict")
    ),
]


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__qualname__)
def test_everything_public_is_documented(thing) -> None:
    text = inspect.getdoc(thing)
    for section in ("Parameters", "Returns", "Raises", "Examples"):
        assert f"{section}\n---" in text, section
    for parameter in inspect.signature(thing).parameters:
        assert parameter == "self" or parameter in text
