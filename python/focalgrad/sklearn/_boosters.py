"""The recipe of training with focal loss, for the scikit-learn wrapper of each booster.

Each recipe takes a fresh copy of an estimator, sets objective, metric and start, trains it, and sees to it
that the start is in the trained model. Raw scores of the model then need nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse, isspmatrix
from scipy.special import expit
from sklearn.base import clone

from focalgrad.sklearn._losses import Loss

Floats: TypeAlias = NDArray[np.float64]
Hessian: TypeAlias = Literal["exact", "gauss_newton", "upper"]


class Rows(NamedTuple):
    """Rows to train or to evaluate on."""

    x: Any
    targets: NDArray[np.intp]
    weights: Floats | None


class Training(NamedTuple):
    """All that a recipe needs."""

    estimator: Any  # to be changed and trained
    loss: Loss
    hessian: Hessian
    start: float | Floats
    train: Rows
    evals: list[Rows]
    fit_params: dict[str, Any]

    def start_at(self, rows: Rows) -> Floats:
        """Give the start for every row."""
        return np.full((len(rows.targets), *np.shape(self.start)), self.start)


class Recipe(NamedTuple):
    """How a booster is trained, how its raw scores are got, and what it must be left to do itself."""

    train: Callable[[Training], Any]
    raw_scores: Callable[[Any, Any], Any]
    copy: Callable[[Any], Any]
    ours: frozenset[str]  # arguments of its `fit` that the recipe sets
    weighting: frozenset[str]  # parameters that would weight classes once more, unknown to the start


def train_lightgbm(job: Training) -> Any:
    """Train an `LGBMClassifier`; its leaves get the start."""
    from focalgrad import lightgbm as adapter

    # Without metric="None" the wrapper adds the log loss of raw scores taken for probabilities.
    objective = adapter.Objective(job.loss, hessian=job.hessian)
    model = job.estimator.set_params(objective=objective, metric="None")
    params = dict(job.fit_params)
    patience = params.pop("early_stopping_rounds", None)
    if patience is not None:
        stopping = adapter.lightgbm.early_stopping(patience, verbose=False)
        params["callbacks"] = [*(params.get("callbacks") or ()), stopping]
    if job.evals:
        xs, ys = tuple(rows.x for rows in job.evals), tuple(rows.targets for rows in job.evals)
        if "eval_X" in inspect.signature(model.fit).parameters:
            params |= {"eval_X": xs, "eval_y": ys}
        else:  # before 4.7
            params |= {"eval_set": list(zip(xs, ys, strict=True))}
        params |= {
            "eval_sample_weight": [rows.weights for rows in job.evals],
            "eval_init_score": [job.start_at(rows) for rows in job.evals],
            "eval_metric": adapter.Metric(job.loss),
        }
    x, targets, weights = job.train
    model.fit(x, targets, sample_weight=weights, init_score=job.start_at(job.train), **params)
    return adapter.add_init_score(model, job.start)


def train_xgboost(job: Training) -> Any:
    """Train an `XGBClassifier`; the start is its ``base_score``."""
    from focalgrad import xgboost as adapter

    params = dict(job.fit_params)
    start = np.asarray(job.start)
    changes = {
        "objective": adapter.Objective(job.loss, hessian=job.hessian),
        "eval_metric": adapter.Metric(job.loss),
        "disable_default_eval_metric": 1,
        # In a classifier of two classes the base score is a probability, of more a list of margins.
        "base_score": expit(start).item() if start.ndim == 0 else start.tolist(),
    }
    if "early_stopping_rounds" in params:
        changes["early_stopping_rounds"] = params.pop("early_stopping_rounds")
    if job.evals:
        params["eval_set"] = [(rows.x, rows.targets) for rows in job.evals]
        if any(rows.weights is not None for rows in job.evals):
            params["sample_weight_eval_set"] = [
                np.ones(len(rows.targets)) if rows.weights is None else rows.weights for rows in job.evals
            ]
    model = job.estimator.set_params(**changes)
    model.fit(job.train.x, job.train.targets, sample_weight=job.train.weights, **params)
    return adapter.add_init_score(model, job.start)


def train_catboost(job: Training) -> Any:
    """Train a `CatBoostClassifier`; the start becomes the bias of the model."""
    from focalgrad import catboost as adapter

    two = np.ndim(job.start) == 0
    model = job.estimator.set_params(
        loss_function=adapter.Objective(job.loss, hessian=job.hessian),
        eval_metric=adapter.Metric(job.loss) if two else "MultiClass",
        class_names=list(range(2 if two else np.size(job.start))),
    )
    params = dict(job.fit_params)
    if job.evals:
        own = model.get_params()
        # A Pool must be told of them once more; the model checks that it was told the same.
        kinds = ("cat_features", "text_features", "embedding_features")
        told = {kind: params.get(kind, own.get(kind)) for kind in kinds}
        pool = partial(adapter.catboost.Pool, **told)
        params["eval_set"] = [
            pool(catboost_table(rows.x), rows.targets, weight=rows.weights, baseline=job.start_at(rows))
            for rows in job.evals
        ]
    x, targets, weights = job.train
    baseline = job.start_at(job.train)
    model.fit(catboost_table(x), targets, sample_weight=weights, baseline=baseline, **params)
    return adapter.add_init_score(model, job.start)


def catboost_table(x: Any) -> Any:
    """Wrap rows that CatBoost does not know: sparse arrays, and what only turns into an array."""
    if issparse(x) and not isspmatrix(x):
        return csr_matrix(x)
    return np.asarray(x) if hasattr(x, "__array__") and not hasattr(x, "shape") else x


def copy_catboost(model: Any) -> Any:
    """Give an untrained copy; `clone` refuses models with lists among their parameters."""
    return type(model)(**model.get_params())


RECIPES = {
    "LGBMClassifier": Recipe(
        train_lightgbm,
        lambda model, x: model.predict(x, raw_score=True),
        clone,
        frozenset(
            {
                "init_score",
                "eval_X",
                "eval_y",
                "eval_init_score",
                "eval_class_weight",
                "eval_metric",
                "init_model",
            }
        ),
        frozenset({"class_weight", "scale_pos_weight", "is_unbalance", "unbalance"}),
    ),
    "XGBClassifier": Recipe(
        train_xgboost,
        lambda model, x: model.predict(x, output_margin=True),
        clone,
        frozenset({"base_margin", "base_margin_eval_set", "sample_weight_eval_set", "xgb_model"}),
        frozenset({"scale_pos_weight"}),
    ),
    "CatBoostClassifier": Recipe(
        train_catboost,
        lambda model, x: model.predict(catboost_table(x), prediction_type="RawFormulaVal"),
        copy_catboost,
        frozenset({"baseline", "init_model"}),
        frozenset({"class_weights", "auto_class_weights", "scale_pos_weight"}),
    ),
}


def recipe_for(estimator: Any) -> Recipe:
    """Give the recipe of an estimator, or raise.

    Raises
    ------
    TypeError
        If it is of no class that has one, nor of a subclass.
    """
    for kind in type(estimator).__mro__:
        if kind.__name__ in RECIPES:
            return RECIPES[kind.__name__]
    known = ", ".join(RECIPES)
    raise TypeError(f"estimator must be one of {known}; got {estimator!r}")


def check_left_alone(recipe: Recipe, estimator: Any, fit_params: dict[str, Any]) -> None:
    """Refuse what the recipe sets itself, and weights of classes that its start would not know.

    Raises
    ------
    ValueError
        Naming the first.
    """
    taken = sorted(recipe.ours & fit_params.keys())
    if taken:
        raise ValueError(f"fit_params must leave {taken[0]} to FocalClassifier, which sets it; got it, too")
    params = estimator.get_params()
    for name in sorted(recipe.weighting & params.keys()):
        value = params[name]
        if value is None or value is False or (value == 1 and type(value) in (int, float)):
            continue
        raise ValueError(
            f"estimator must leave classes unweighted: give the loss an alpha, or fit a sample_weight; "
            f"got {name}={value!r}"
        )
