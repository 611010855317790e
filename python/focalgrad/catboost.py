"""Focal loss in CatBoost: objective, metric, and the score that training starts from.

>>> import numpy as np
>>> from catboost import CatBoostClassifier, Pool
>>> import focalgrad as fg
>>> rng = np.random.default_rng(0)
>>> X = rng.normal(size=(2000, 4))
>>> y = (X[:, 0] + rng.normal(size=2000) > 2.5).astype(int)
>>> train, valid = Pool(X[:1500], y[:1500]), Pool(X[1500:], y[1500:])

Five lines train, and give probabilities:

>>> loss = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0)
>>> score = init_score(loss, train, valid)
>>> params = {"loss_function": Objective(loss), "eval_metric": Metric(loss), "class_names": [0, 1]}
>>> model = CatBoostClassifier(iterations=50, verbose=False, allow_writing_files=False, **params)
>>> model = model.fit(train, eval_set=valid)
>>> proba = loss.posterior(add_init_score(model, score).predict(X, prediction_type="RawFormulaVal"))
>>> bool(abs(proba.mean() - y.mean()) < 0.02)
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._adapters import library
from focalgrad._boosting import (
    BaseMetric,
    BaseObjective,
    Given,
    Loss,
    check_data,
    check_logits,
    check_model,
    check_scores,
    constant_score,
    one_for_each_class,
    ratio,
)
from focalgrad._core import read_array

catboost = library("catboost")

__all__ = ["Metric", "Objective", "add_init_score", "init_score"]


@dataclass(frozen=True, slots=True)
class Objective(BaseObjective):
    """Objective of CatBoost: gradient and Hessian of a focal loss, summed over rows.

    Immutable, hashable, comparable and picklable; a copy is the object itself.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Of logits. Its reduction does not matter. Two classes take a `SigmoidFocalLoss`; C classes a
        `SoftmaxFocalLoss`, or ``SigmoidFocalLoss(class_axis=-1)`` for every class against the rest.
    hessian : {"upper", "gauss_newton", "exact"}, default "upper"
        ``"upper"`` and ``"gauss_newton"`` are never negative, ``"upper"`` is 1 + gamma times the other and
        so takes smaller steps. ``"exact"`` is negative for hard rows.

    Raises
    ------
    TypeError
        If `loss` is no loss.
    ValueError
        If it is one of probabilities, has its classes along another axis than the last, or has no such
        Hessian.

    See Also
    --------
    init_score : Where to start; CatBoost starts custom objectives at 0.

    Notes
    -----
    ``CatBoostClassifier(loss_function=Objective(loss), ...)``. Two classes need ``class_names=[0, 1]``:
    without it ``classes_`` is empty and ``predict`` raises. Predictions with
    ``prediction_type="RawFormulaVal"`` are raw scores: ``loss.posterior`` makes probabilities of them.

    ``l2_leaf_reg`` (3) is in units of the Hessian, and a focal Hessian is several times smaller than a
    logistic one: with rare positives take less.

    C classes work only beside ``eval_metric="MultiClass"``. CatBoost calls Python twice for every row and
    iteration then, which takes some twenty times as long as its own objective: for more than a few thousand
    rows take another booster.

    Examples
    --------
    >>> import focalgrad as fg
    >>> Objective(fg.SoftmaxFocalLoss(gamma=1.0))
    Objective(loss=SoftmaxFocalLoss(alpha=None, gamma=1.0, reduction='mean'), hessian='upper')
    """

    no_jit: ClassVar[bool] = True  # else CatBoost compiles the methods with numba, and sets attributes

    def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> NDArray[np.float64]:
        """Compute derivatives for some rows of two classes.

        Parameters
        ----------
        approxes : ndarray of shape (n,)
            Raw scores.
        targets : ndarray of shape (n,)
            Labels 0 and 1, or between them.
        weights : ndarray of shape (n,) or None
            Weights of rows.

        Returns
        -------
        ndarray of shape (n, 2), float64
            Of minus the loss, as CatBoost wants it: first and second derivative of every row.

        Raises
        ------
        ValueError
            If the loss has a class axis, or labels do not fit it.

        Examples
        --------
        >>> import numpy as np
        >>> import focalgrad as fg
        >>> objective = Objective(fg.SigmoidFocalLoss())
        >>> objective.calc_ders_range(np.array([0.5, -0.5]), np.array([0.0, 1.0]), None)
        array([[-0.39461387, -0.44694835],
               [ 0.13153796, -0.14898278]])
        """
        derivatives = np.empty((len(targets), 2))
        given = Given(np.asarray(approxes), np.asarray(targets), weights)
        self._grad_and_hess(given, grad_out=derivatives[:, 0], hess_out=derivatives[:, 1])
        return np.negative(derivatives, out=derivatives)

    def calc_ders_multi(
        self, approxes: Any, targets: Any, weights: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute derivatives for one row of C classes.

        Parameters
        ----------
        approxes : ndarray of shape (C,)
            Raw scores.
        targets : float
            Class, 0 to C-1.
        weights : float
            Weight of the row.

        Returns
        -------
        grad : ndarray of shape (C,), float64
            First derivatives of minus the loss.
        hess : ndarray of shape (C, C), float64
            Second ones on the diagonal; the others are 0.

        Raises
        ------
        ValueError
            If the loss has no class axis, or the label is no class.

        Examples
        --------
        >>> import numpy as np
        >>> import focalgrad as fg
        >>> grad, hess = Objective(fg.SoftmaxFocalLoss(gamma=0.0)).calc_ders_multi(np.zeros(2), 1.0, 1.0)
        >>> grad, hess
        (array([-0.5,  0.5]), array([[-0.25,  0.  ],
               [ 0.  , -0.25]]))
        """
        if self.loss.class_axis is None:
            check_scores(self.loss, np.atleast_2d(approxes))
        classes = len(approxes)
        hess = np.zeros((classes, classes))
        # Arrays, since numbers take longer to read; minus the weight gives derivatives of minus the loss.
        grad, _ = self._sum.grad_and_hess(
            approxes,
            np.asarray(targets),
            sample_weight=np.asarray(-weights),
            hessian=self.hessian,
            hess_out=hess.reshape(-1)[:: classes + 1],
        )
        return grad, hess


@dataclass(frozen=True, slots=True)
class Metric(BaseMetric):
    """Metric of CatBoost: mean of a focal loss over rows, ``sum(w_i loss_i) / sum(w_i)``.

    A weight of 2 counts as a row given twice; ignored labels do not count. Lower is better. Immutable,
    hashable, comparable and picklable; a copy is the object itself.

    Parameters
    ----------
    loss : SigmoidFocalLoss
        Of logits, which CatBoost always gives to metrics, and without a class axis. Its reduction does not
        matter.
    name : str, default "focal_loss"
        Taken as in the modules for other boosters. CatBoost reports a metric under the name of its class,
        ``"Metric"``.

    Raises
    ------
    TypeError
        If `loss` is no loss or `name` no string.
    ValueError
        If it is one of probabilities, or has a class axis: beside an objective for C classes CatBoost works
        with metrics of its own only.

    Examples
    --------
    >>> import focalgrad as fg
    >>> Metric(fg.SigmoidFocalLoss())
    Metric(loss=SigmoidFocalLoss(alpha=0.25, gamma=2.0, reduction='mean'), name='focal_loss')
    """

    no_jit: ClassVar[bool] = True  # as for Objective

    def __post_init__(self) -> None:
        """Check the parameters."""
        super(Metric, self).__post_init__()
        check_logits(self.loss, "a metric of CatBoost")
        if self.loss.class_axis is not None:
            raise ValueError(
                "loss must be a SigmoidFocalLoss without a class axis, since for C classes CatBoost takes "
                f'only metrics of its own: set eval_metric="MultiClass"; got {self.loss!r}'
            )

    def evaluate(self, approxes: Any, targets: Any, weights: Any) -> tuple[float, float]:
        """Compute the sums that the mean is made of.

        Parameters
        ----------
        approxes : sequence of one ndarray of shape (n,)
            Raw scores.
        targets : ndarray of shape (n,)
            Labels 0 and 1, or between them.
        weights : ndarray of shape (n,) or None
            Weights of rows.

        Returns
        -------
        error : float
            Sum of the weighted losses.
        weight : float
            Sum of the weights.

        Raises
        ------
        ValueError
            If labels do not fit the loss.

        Examples
        --------
        >>> import numpy as np
        >>> import focalgrad as fg
        >>> metric = Metric(fg.SigmoidFocalLoss(alpha=None, gamma=0.0))
        >>> error, weight = metric.evaluate([np.zeros(2)], np.array([0.0, 1.0]), np.array([1.0, 3.0]))
        >>> round(error, 6), weight
        (2.772589, 4.0)
        """
        return self._sums(Given(np.asarray(approxes[0]), np.asarray(targets), weights))

    def get_final_error(self, error: float, weight: float) -> float:
        """Compute the mean.

        Parameters
        ----------
        error, weight : float
            As `evaluate` gives them, or sums of such.

        Returns
        -------
        float
            0.0 if no row has weight.

        Examples
        --------
        >>> import focalgrad as fg
        >>> Metric(fg.SigmoidFocalLoss()).get_final_error(3.0, 4.0)
        0.75
        """
        return ratio(error, weight)

    def is_max_optimal(self) -> bool:
        """Tell whether higher is better.

        Returns
        -------
        bool
            False.

        Examples
        --------
        >>> import focalgrad as fg
        >>> Metric(fg.SigmoidFocalLoss()).is_max_optimal()
        False
        """
        return False


def init_score(loss: Loss, train: Any, *others: Any) -> float | NDArray[np.float64]:
    """Compute the best constant score for data to train on, and set it on pools as their baseline.

    CatBoost starts a custom objective at 0, so that its first trees do nothing but find the prior. It does
    not keep the baseline in the model: see `add_init_score`.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Of logits.
    train : catboost.Pool
        Its labels and weights decide.
    *others : catboost.Pool
        For validation: they get the same baseline.

    Returns
    -------
    float or ndarray of shape (C,)
        ``loss.init_score`` of the labels and weights of `train`.

    Raises
    ------
    TypeError
        If the data are no `Pool`, or labels no numbers.
    ValueError
        If there are no labels or they do not fit the loss; if the score is infinite, because a class has no
        weight. Nothing is set then.

    Examples
    --------
    >>> import numpy as np
    >>> from catboost import Pool
    >>> import focalgrad as fg
    >>> train = Pool(np.arange(10.0)[:, None], [1.0] + [0.0] * 9)
    >>> round(init_score(fg.SigmoidFocalLoss(alpha=None, gamma=0.0), train), 6)
    -2.197225
    >>> train.get_baseline()[0]
    array([-2.1972246], dtype=float32)
    """
    check_data(catboost.Pool, train, *others)
    labels = train.get_label()
    if labels is None or not len(labels):
        raise ValueError("train must have labels; got a Pool without")
    score = constant_score(loss, np.asarray(labels), read_array("weight", train.get_weight()))
    for pool in (train, *others):
        pool.set_baseline(np.full((pool.num_row(), *np.shape(score)), score))
    return score


def add_init_score(model: Any, score: ArrayLike) -> Any:
    """Write the score that training started from into a trained model.

    It becomes the bias of the model (``set_scale_and_bias``). From then on predictions, saved and pickled
    models and sums of SHAP values have it. A second call changes nothing.

    Parameters
    ----------
    model : catboost.CatBoost
        Trained on pools that start from `score`. It is changed.
    score : float or array_like of shape (C,)
        As `init_score` returned it.

    Returns
    -------
    CatBoost
        The model itself.

    Raises
    ------
    TypeError
        If `model` is none of CatBoost's.
    ValueError
        If the score has not one finite number for each class.

    Notes
    -----
    Predict from arrays or from a new Pool then: a Pool with a baseline adds it again. Training may be
    continued from the model (``init_model``, on a Pool without baseline), but the new model may lack the
    start, so call this for it, too.

    Examples
    --------
    >>> import numpy as np
    >>> from catboost import CatBoostClassifier, Pool
    >>> import focalgrad as fg
    >>> X, y = np.arange(100.0)[:, None], np.repeat([0, 1], [70, 30])
    >>> loss, train = fg.SigmoidFocalLoss(), Pool(X, y)
    >>> score = init_score(loss, train)
    >>> params = {"loss_function": Objective(loss), "eval_metric": Metric(loss), "class_names": [0, 1]}
    >>> model = CatBoostClassifier(iterations=10, verbose=False, allow_writing_files=False, **params)
    >>> before = model.fit(train).predict(X, prediction_type="RawFormulaVal")
    >>> after = add_init_score(model, score).predict(X, prediction_type="RawFormulaVal")
    >>> bool(np.allclose(after, before + score))
    True
    """
    check_model(model, catboost.CatBoost)
    scale, bias = model.get_scale_and_bias()
    values = one_for_each_class(score, np.size(bias))
    model.set_scale_and_bias(scale, values if len(values) > 1 else values[0])
    return model
