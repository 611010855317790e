"""Focal loss in XGBoost: objective, metric, and the score that training starts from.

>>> import numpy as np
>>> import xgboost as xgb
>>> import focalgrad as fg
>>> rng = np.random.default_rng(0)
>>> X = rng.normal(size=(2000, 4))
>>> y = (X[:, 0] + rng.normal(size=2000) > 2.5).astype(float)
>>> train = xgb.DMatrix(X, y)

Five lines train, and give probabilities:

>>> loss = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0)
>>> params = {"base_score": init_score(loss, train), "disable_default_eval_metric": 1}
>>> params |= {"min_child_weight": 1e-3, "reg_lambda": 1e-2}  # in units of the Hessian, which is small
>>> booster = xgb.train(params, train, 20, obj=Objective(loss), custom_metric=Metric(loss))
>>> proba = loss.posterior(booster.predict(train, output_margin=True))
>>> bool(abs(proba.mean() - y.mean()) < 0.02)
True
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._adapters import library
from focalgrad._boosting import (
    BaseMetric,
    BaseObjective,
    Loss,
    check_data,
    check_model,
    constant_score,
    one_for_each_class,
    read_call,
)

xgboost = library("xgboost")

__all__ = ["Metric", "Objective", "add_init_score", "init_score"]


@dataclass(frozen=True, slots=True)
class Objective(BaseObjective):
    """Objective of XGBoost: gradient and Hessian of a focal loss, summed over rows.

    Immutable, hashable, comparable and picklable; a copy is the object itself.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Of logits. Its reduction does not matter. Two classes take a `SigmoidFocalLoss`; C classes a
        `SoftmaxFocalLoss`, or ``SigmoidFocalLoss(class_axis=-1)`` for every class against the rest, and
        XGBoost's parameter ``num_class``.
    hessian : {"upper", "gauss_newton", "exact"}, default "upper"
        ``"upper"`` and ``"gauss_newton"`` are never negative, ``"upper"`` is 1 + gamma times the other and
        so takes smaller steps. ``"exact"`` is negative for hard rows, which XGBoost takes for 0: from a poor
        start it trains nothing.

    Raises
    ------
    TypeError
        If `loss` is no loss.
    ValueError
        If it is one of probabilities, has its classes along another axis than the last, or has no such
        Hessian.

    See Also
    --------
    init_score : Where to start; XGBoost starts custom objectives at a margin of 0.5.

    Notes
    -----
    ``xgb.train(params, train, obj=Objective(loss))``, or ``XGBClassifier(objective=Objective(loss),
    eval_metric=Metric(loss), disable_default_eval_metric=1)``. Leave the parameter ``objective`` alone beside
    ``obj``. Predictions with ``output_margin=True`` are raw scores: ``loss.posterior`` makes probabilities of
    them.

    ``min_child_weight`` (1) and ``reg_lambda`` (1) are in units of the Hessian, and a focal Hessian is
    several times smaller than a logistic one, so these defaults stop trees early: of 200 rows with 10%
    positives the first tree has 3 to 5 leaves with alpha 0.25, and 12 to 17 with 1e-3 and 1e-2.

    XGBoost's own multi-class objective multiplies its Hessian by 2; with ``gamma=0`` this one has the same
    gradients, and with ``reg_lambda`` and ``min_child_weight`` half as large the same splits and leaf values
    that are twice as large.

    A DMatrix with labels of shape (n, C), several of which may be 1, goes with
    ``SigmoidFocalLoss(class_axis=-1)``.

    Examples
    --------
    >>> import focalgrad as fg
    >>> Objective(fg.SigmoidFocalLoss(), hessian="gauss_newton")
    Objective(loss=SigmoidFocalLoss(alpha=0.25, gamma=2.0, reduction='mean'), hessian='gauss_newton')
    """

    def __call__(self, a: Any, b: Any, sample_weight: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Compute gradient and Hessian.

        Parameters
        ----------
        a, b : ndarray and DMatrix, or ndarray and ndarray
            Either scores, and the DMatrix that has labels and weights; or labels and scores, as from the
            scikit-learn wrapper. Scores of shape (n,), or (n, C) for C classes; labels 0 and 1 (or between
            them), or 0 to C-1.
        sample_weight : ndarray of shape (n,), optional
            Weights of rows, beside labels and scores. An empty array stands for none.

        Returns
        -------
        grad, hess : ndarray
            In the scores' shape, dtype and memory order.

        Raises
        ------
        ValueError
            If scores do not fit the loss, or labels do not fit it.

        Examples
        --------
        >>> import numpy as np
        >>> import focalgrad as fg
        >>> labels, scores = np.array([0.0, 1.0], np.float32), np.array([0.5, -0.5], np.float32)
        >>> grad, hess = Objective(fg.SigmoidFocalLoss())(labels, scores)
        >>> grad
        array([ 0.394614, -0.131538], dtype=float32)
        """
        return self._grad_and_hess(read_call(a, b, sample_weight))


@dataclass(frozen=True, slots=True)
class Metric(BaseMetric):
    """Metric of XGBoost: mean of a focal loss over rows, ``sum(w_i loss_i) / sum(w_i)``.

    A weight of 2 counts as a row given twice; ignored labels do not count. Lower is better. Immutable,
    hashable, comparable and picklable; a copy is the object itself.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Its reduction does not matter. Beside a custom objective XGBoost gives metrics raw scores; beside a
        built-in one probabilities: for these take a loss with ``from_logits=False``.
    name : str, default "focal_loss"
        Under which XGBoost reports it.

    Raises
    ------
    TypeError
        If `loss` is no loss or `name` no string.
    ValueError
        If `loss` has its classes along another axis than the last.

    Examples
    --------
    >>> import focalgrad as fg
    >>> Metric(fg.SoftmaxFocalLoss(gamma=1.0)).__name__
    'focal_loss'
    """

    @property
    def __name__(self) -> str:
        """Name, where XGBoost's scikit-learn wrapper looks for it."""
        return self.name

    def __call__(self, a: Any, b: Any, sample_weight: Any = None) -> tuple[str, float] | float:
        """Compute the mean.

        Parameters
        ----------
        a, b, sample_weight : ndarray, DMatrix
            As for a call of `Objective`.

        Returns
        -------
        (str, float) or float
            Name and value for a DMatrix, the value alone for labels and scores: as XGBoost wants it. The
            value is 0.0 if no row has weight.

        Raises
        ------
        ValueError
            If scores or labels do not fit the loss; if probabilities of three classes or more come for a loss
            of logits, or logits for one of probabilities.

        Warns
        -----
        UserWarning
            If scores look like probabilities of two classes, and the loss takes logits.

        Examples
        --------
        >>> import numpy as np
        >>> import focalgrad as fg
        >>> round(Metric(fg.SigmoidFocalLoss(alpha=None, gamma=0.0))(np.array([0.0, 1.0]), np.zeros(2)), 6)
        0.693147
        """
        given = read_call(a, b, sample_weight)
        value = self._mean(given)
        return (self.name, value) if given.is_dataset else value


def init_score(loss: Loss, train: Any, *others: Any) -> float | NDArray[np.float64]:
    """Compute the best constant score for data to train on: XGBoost's ``base_score``.

    XGBoost keeps it in the model, for every matrix to come, so nothing is set on the matrices here.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Of logits.
    train : xgboost.DMatrix
        Its labels and weights decide.
    *others : xgboost.DMatrix
        Taken as in the modules for other boosters, and left as they are.

    Returns
    -------
    float or ndarray of shape (C,)
        ``loss.init_score`` of the labels and weights of `train`. It is a margin, as ``base_score`` is while
        the parameter ``objective`` is left alone. Beside ``binary:logistic``, which `XGBClassifier` sets for
        two classes, ``base_score`` is the probability ``1 / (1 + exp(-score))``.

    Raises
    ------
    TypeError
        If the data are no `DMatrix`.
    ValueError
        If there are no labels or they do not fit the loss; if the score is infinite, because a class has no
        weight.

    Examples
    --------
    >>> import numpy as np
    >>> import xgboost as xgb
    >>> import focalgrad as fg
    >>> train = xgb.DMatrix(np.arange(10.0)[:, None], [1.0] + [0.0] * 9)
    >>> round(init_score(fg.SigmoidFocalLoss(alpha=None, gamma=0.0), train), 6)
    -2.197225
    """
    check_data(xgboost.DMatrix, train, *others)
    labels = train.get_label()
    if labels.size == 0:
        raise ValueError("train must have labels; got a DMatrix without")
    weights = train.get_weight()
    return constant_score(loss, labels, weights if weights.size else None)


def add_init_score(model: Any, score: ArrayLike) -> Any:
    """Make sure that a trained model starts from a score, as those of other boosters do by now.

    XGBoost itself keeps ``base_score`` in the model, in predictions, saved and pickled models and sums of
    SHAP values. So nothing is added; this is for code that treats all boosters alike.

    Parameters
    ----------
    model : xgboost.Booster or xgboost.XGBModel
        It is not changed.
    score : float or array_like of shape (C,)
        As `init_score` returned it.

    Returns
    -------
    Booster or XGBModel
        The model itself.

    Raises
    ------
    TypeError
        If `model` is none of XGBoost's.
    ValueError
        If the model was trained with another ``base_score``.

    Examples
    --------
    >>> import numpy as np
    >>> import xgboost as xgb
    >>> import focalgrad as fg
    >>> loss, train = fg.SigmoidFocalLoss(), xgb.DMatrix(np.arange(10.0)[:, None], [1.0] + [0.0] * 9)
    >>> score = init_score(loss, train)
    >>> booster = xgb.train({"base_score": score}, train, 3, obj=Objective(loss))
    >>> add_init_score(booster, score) is booster
    True
    """
    check_model(model, xgboost.Booster, xgboost.XGBModel)
    margins = start_of(model.get_booster() if hasattr(model, "get_booster") else model)
    wanted = one_for_each_class(score, len(margins))
    if not np.allclose(margins, wanted, rtol=1e-5, atol=1e-5):
        raise ValueError(
            f"model must be trained with base_score={score!r}; got one that starts from a margin of {margins}"
        )
    return model


def start_of(booster: Any) -> list[float]:
    """Margins that a model starts from, one for each class."""
    learner = json.loads(booster.save_config())["learner"]
    found = json.loads(learner["learner_model_param"]["base_score"])
    values = np.atleast_1d(np.asarray(found, np.float64))
    if learner["objective"]["name"] == "binary:logistic":
        values = np.log(values) - np.log1p(-values)
    classes = max(int(learner["learner_model_param"]["num_class"]), len(values))
    margins: list[float] = np.broadcast_to(values, classes).tolist()
    return margins
