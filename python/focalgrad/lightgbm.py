"""Focal loss in LightGBM: objective, metric, and the score that training starts from.

>>> import lightgbm as lgb
>>> import numpy as np
>>> import focalgrad as fg
>>> rng = np.random.default_rng(0)
>>> X = rng.normal(size=(2000, 4))
>>> y = (X[:, 0] + rng.normal(size=2000) > 2.5).astype(float)
>>> train, valid = lgb.Dataset(X[:1500], y[:1500]), lgb.Dataset(X[1500:], y[1500:])

Five lines train, and give probabilities:

>>> loss = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0)
>>> score = init_score(loss, train, valid)
>>> params = {"objective": Objective(loss), "metric": "None", "verbosity": -1}
>>> booster = lgb.train(params, train, 50, valid_sets=[valid], feval=Metric(loss))
>>> proba = loss.posterior(add_init_score(booster, score).predict(X))
>>> bool(abs(proba.mean() - y.mean()) < 0.02)
True
"""

from __future__ import annotations

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
    fields_of,
    one_for_each_class,
    read_call,
)
from focalgrad._core import read_array

lightgbm = library("lightgbm")

#: Attribute of a Booster: the leaves of its first trees with a start, and the start.
REMEMBERED = "_focalgrad_start"

__all__ = ["Metric", "Objective", "add_init_score", "init_score"]


@dataclass(frozen=True, slots=True)
class Objective(BaseObjective):
    """Objective of LightGBM: gradient and Hessian of a focal loss, summed over rows.

    Immutable, hashable, comparable and picklable; a copy is the object itself.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Of logits. Its reduction does not matter. Two classes take a `SigmoidFocalLoss`; C classes a
        `SoftmaxFocalLoss`, or ``SigmoidFocalLoss(class_axis=-1)`` for every class against the rest, and
        LightGBM's parameter ``num_class``.
    hessian : {"upper", "gauss_newton", "exact"}, default "upper"
        ``"upper"`` and ``"gauss_newton"`` are never negative, ``"upper"`` is 1 + gamma times the other and
        so takes smaller steps. ``"exact"`` is negative for hard rows: from a poor start it trains nothing.

    Raises
    ------
    TypeError
        If `loss` is no loss.
    ValueError
        If it is one of probabilities, has its classes along another axis than the last, or has no such
        Hessian.

    See Also
    --------
    init_score : Where to start; LightGBM starts custom objectives at 0.

    Notes
    -----
    It goes into the parameters, ``lgb.train({"objective": Objective(loss), "metric": "None"}, ...)``, or to
    the scikit-learn wrapper, ``LGBMClassifier(objective=Objective(loss), metric="None")``. Without
    ``metric="None"`` the wrapper adds the log loss of raw scores taken for probabilities, and early stopping
    obeys it. Predictions of a custom objective are raw scores, of which ``loss.posterior`` makes
    probabilities.

    LightGBM's own multi-class objective multiplies its Hessian by C / (C - 1); with ``gamma=0`` this one has
    the same gradients and splits, and leaf values that are as many times larger, but for ``lambda_l2``.

    Examples
    --------
    >>> import focalgrad as fg
    >>> Objective(fg.SigmoidFocalLoss())
    Objective(loss=SigmoidFocalLoss(alpha=0.25, gamma=2.0, reduction='mean'), hessian='upper')
    """

    def __call__(self, a: Any, b: Any, weight: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Compute gradient and Hessian.

        Parameters
        ----------
        a, b : ndarray and Dataset, or ndarray and ndarray
            Either scores, and the Dataset that has labels and weights; or labels and scores, as from the
            scikit-learn wrapper. Scores of shape (n,), or (n, C) for C classes; labels 0 and 1 (or between
            them), or 0 to C-1.
        weight : ndarray of shape (n,), optional
            Weights of rows, beside labels and scores.

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
        >>> grad, hess = Objective(fg.SigmoidFocalLoss())(np.array([0.0, 1.0]), np.array([0.5, -0.5]))
        >>> grad, hess
        (array([ 0.39461387, -0.13153796]), array([0.44694835, 0.14898278]))
        """
        return self._grad_and_hess(read_call(a, b, weight, labels_and_weights))


@dataclass(frozen=True, slots=True)
class Metric(BaseMetric):
    """Metric of LightGBM: mean of a focal loss over rows, ``sum(w_i loss_i) / sum(w_i)``.

    A weight of 2 counts as a row given twice; ignored labels do not count. Lower is better. Immutable,
    hashable, comparable and picklable; a copy is the object itself.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Its reduction does not matter. Beside a custom objective LightGBM gives metrics raw scores; beside a
        built-in one probabilities: for these take a loss with ``from_logits=False``.
    name : str, default "focal_loss"
        Under which LightGBM reports it.

    Raises
    ------
    TypeError
        If `loss` is no loss or `name` no string.
    ValueError
        If `loss` has its classes along another axis than the last.

    Examples
    --------
    >>> import focalgrad as fg
    >>> Metric(fg.SoftmaxFocalLoss(gamma=1.0), name="fl1")
    Metric(loss=SoftmaxFocalLoss(alpha=None, gamma=1.0, reduction='mean'), name='fl1')
    """

    def __call__(self, a: Any, b: Any, weight: Any = None) -> tuple[str, float, bool]:
        """Compute the mean.

        Parameters
        ----------
        a, b, weight : ndarray, Dataset
            As for a call of `Objective`.

        Returns
        -------
        name : str
            Of the metric.
        value : float
            0.0 if no row has weight.
        is_higher_better : bool
            False.

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
        >>> Metric(fg.SigmoidFocalLoss(alpha=None, gamma=0.0))(np.array([0.0, 1.0]), np.array([0.0, 0.0]))
        ('focal_loss', 0.6931471805599453, False)
        """
        return self.name, self._mean(read_call(a, b, weight, labels_and_weights)), False


def init_score(loss: Loss, train: Any, *others: Any) -> float | NDArray[np.float64]:
    """Compute the best constant score for data to train on, and set it on data sets.

    LightGBM starts a custom objective at 0, so that its first trees do nothing but find the prior. It does
    not keep the score in the model: see `add_init_score`.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Of logits.
    train : lightgbm.Dataset
        Its labels and weights decide. A Dataset that is not constructed stays so.
    *others : lightgbm.Dataset
        For validation: they get the same score.

    Returns
    -------
    float or ndarray of shape (C,)
        ``loss.init_score`` of the labels and weights of `train`.

    Raises
    ------
    TypeError
        If the data are no `Dataset`, or labels no numbers.
    ValueError
        If there are no labels or they do not fit the loss; if the score is infinite, because a class has no
        weight. Nothing is set then.

    Examples
    --------
    >>> import lightgbm as lgb
    >>> import numpy as np
    >>> import focalgrad as fg
    >>> train = lgb.Dataset(np.arange(10.0)[:, None], [1.0] + [0.0] * 9)
    >>> round(init_score(fg.SigmoidFocalLoss(alpha=None, gamma=0.0), train), 6)
    -2.197225
    >>> train.init_score[:2]
    array([-2.19722458, -2.19722458])
    """
    check_data(lightgbm.Dataset, train, *others)
    given = [labels_and_weights(data) for data in (train, *others)]
    score = constant_score(loss, *given[0])
    for data, (label, _) in zip((train, *others), given, strict=True):
        data.set_init_score(np.full((len(label), *np.shape(score)), score, order="F"))
    return score


def is_constructed(data: Any) -> bool:
    """Whether LightGBM has read a data set; until then it has what was given to it, and no more."""
    try:
        data.num_data()
    except lightgbm.basic.LightGBMError:
        return False
    return True


def field_of(data: Any, name: str) -> Any:
    """Labels or weights of a data set, without constructing it; None where there are none."""
    given = getattr(data, name)
    return data.get_field(name) if given is None and is_constructed(data) else given


def labels_and_weights(data: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Labels of a data set as one column, and weights if there are any, without constructing it."""
    if not isinstance(data, lightgbm.Dataset):
        return fields_of(data)
    label, weight = field_of(data, "label"), field_of(data, "weight")
    if label is None:
        raise ValueError(
            "every Dataset must have labels; got one without: give it label=, or call construct() if they "
            "are in its file, or in the Dataset that it is a subset of"
        )
    return (
        read_array("label", label).reshape(-1),
        None if weight is None else read_array("weight", weight).reshape(-1),
    )


def add_init_score(model: Any, score: ArrayLike) -> Any:
    """Write the score that training started from into a trained model.

    It is added to the leaves of the first tree of every class. From then on predictions, saved and pickled
    models and sums of SHAP values have it, and so does training that is continued from the model.

    The Booster remembers it, and so do pickled copies: a second call changes nothing. A model that was read
    from text, or continued from one that has the score, does not know that it has it: do not call this then.

    Parameters
    ----------
    model : lightgbm.Booster or lightgbm.LGBMModel
        Trained on data sets that start from `score`. It is changed.
    score : float or array_like of shape (C,)
        As `init_score` returned it.

    Returns
    -------
    Booster or LGBMModel
        The model itself.

    Raises
    ------
    TypeError
        If `model` is none of LightGBM's.
    ValueError
        If the score has not one finite number for each class, if the model has another one by now, if it has
        no trees, or if its leaves are linear models (``linear_tree``), which LightGBM gives no way to change.

    Examples
    --------
    >>> import lightgbm as lgb
    >>> import numpy as np
    >>> import focalgrad as fg
    >>> X, y = np.arange(100.0)[:, None], np.repeat([0.0, 1.0], 50)
    >>> loss, train = fg.SigmoidFocalLoss(), lgb.Dataset(X, y)
    >>> score = init_score(loss, train)
    >>> booster = lgb.train({"objective": Objective(loss), "verbosity": -1}, train, 10)
    >>> before = booster.predict(X)
    >>> bool(np.allclose(add_init_score(booster, score).predict(X), before + score))
    True
    """
    check_model(model, lightgbm.Booster, lightgbm.LGBMModel)
    booster = model if isinstance(model, lightgbm.Booster) else model.booster_
    trees = booster.dump_model(num_iteration=1)["tree_info"]
    if not trees:
        raise ValueError("model must have trees; got one without")
    if "is_linear=1" in booster.model_to_string(num_iteration=1):
        raise ValueError("model must have constant leaves; got one that was trained with linear_tree")
    values = one_for_each_class(score, len(trees))
    leaves = [
        [booster.get_leaf_output(tree, leaf) for leaf in range(found["num_leaves"])]
        for tree, found in enumerate(trees)
    ]
    known, given = vars(booster).get(REMEMBERED, (None, None))
    if known == leaves:
        if given != values:
            raise ValueError(f"score must be {given}, which the model has by now; got {values}")
        return model
    for tree, value in enumerate(values):
        for leaf, output in enumerate(leaves[tree]):
            leaves[tree][leaf] = output + value
            booster.set_leaf_output(tree, leaf, output + value)
    setattr(booster, REMEMBERED, (leaves, values))
    return model
