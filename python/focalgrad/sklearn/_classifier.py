"""A boosted classifier that is trained with focal loss, from the right start, and gives probabilities."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from focalgrad.sklearn._base import ScoreClassifier
from focalgrad.sklearn._boosters import Hessian, Rows, Training, check_left_alone, recipe_for
from focalgrad.sklearn._labels import encoded, row_weights
from focalgrad.sklearn._losses import Loss, start_of, trainable


class FocalClassifier(ScoreClassifier):
    """Train LightGBM, XGBoost or CatBoost with focal loss, right from the first tree.

    It gives a copy of the booster objective, metric and start (``loss.init_score`` of the labels), trains it
    on class indices, writes the start into the trained model, and gives back probabilities
    (``loss.posterior`` of its scores) and the labels as they came.

    Parameters
    ----------
    estimator : LGBMClassifier, XGBClassifier or CatBoostClassifier
        Stays as it is. Its objective, metric and start are replaced; weights of classes are refused, because
        the start would not know of them.
    loss : SigmoidFocalLoss or SoftmaxFocalLoss, optional
        Of logits. Two classes take a sigmoid loss without a class axis; more take a softmax loss, or a
        sigmoid one with ``class_axis=-1`` for one-vs-rest. Its reduction and normaliser do not matter. By
        default gamma 2 without alpha, sigmoid for two classes and softmax for more.
    hessian : {"upper", "gauss_newton", "exact"}, default "upper"
        As in the objective of the booster.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        The labels, sorted.
    estimator_ : LGBMClassifier, XGBClassifier or CatBoostClassifier
        The trained copy. It knows class indices, not labels; its raw scores have the start.
    init_score_ : float or ndarray of shape (C,)
        The score that training started from.
    loss_ : SigmoidFocalLoss or SoftmaxFocalLoss
        The loss that was trained with.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (d,)
        Names of the columns, if all are strings.

    Raises
    ------
    TypeError
        From ``fit``: if `estimator` is no such booster or `loss` no loss.
    ValueError
        From ``fit``: if the loss is one of probabilities or of another number of classes, a class has no
        weight, or an argument is unsuitable.

    Notes
    -----
    XGBoost's ``min_child_weight`` and ``reg_lambda`` are in units of the Hessian, and a focal one is several
    times smaller than a logistic one: with their defaults of 1, trees on rare classes stop early. Where they
    are lowered, ``max_delta_step=1`` keeps leaves from leaping, as with XGBoost's own objectives. CatBoost
    with three classes or more calls Python for every row: take it for small data only.

    Examples
    --------
    >>> from lightgbm import LGBMClassifier
    >>> from sklearn.datasets import load_breast_cancer
    >>> import focalgrad as fg
    >>> from focalgrad.sklearn import FocalClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = FocalClassifier(LGBMClassifier(n_estimators=20, verbosity=-1), fg.SigmoidFocalLoss(gamma=2.0))
    >>> model.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.9
    True
    >>> bool(abs(model.predict_proba(X)[:, 1].mean() - y.mean()) < 0.05)
    True
    """

    estimator_: Any
    init_score_: float | NDArray[np.float64]

    def __init__(self, estimator: Any, loss: Loss | None = None, *, hessian: Hessian = "upper") -> None:
        self.estimator = estimator
        self.loss = loss
        self.hessian = hessian

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        eval_set: Iterable[tuple[Any, ArrayLike]] | None = None,
        eval_sample_weight: Iterable[ArrayLike | None] | None = None,
        **fit_params: Any,
    ) -> FocalClassifier:
        """Train the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n, d)
            Passed on as it is: categories, missing values and all that the booster takes.
        y : array_like of shape (n,)
            Labels of any kind.
        sample_weight : array_like of shape (n,), optional
            A weight of 2 is a row given twice.
        eval_set : list of (X, y), optional
            Data to evaluate on, with labels as in `y`. They start from the same score; the metric is the
            weighted mean of the loss (CatBoost, three classes or more: its own ``"MultiClass"``).
        eval_sample_weight : list of array_like, optional
            Weights for each of them, or None.
        **fit_params
            For ``estimator.fit``. ``early_stopping_rounds`` is taken for all three boosters, and set as each
            wants it.

        Returns
        -------
        FocalClassifier
            Itself.

        Raises
        ------
        TypeError
            If `estimator` is no such booster or `loss` no loss.
        ValueError
            If the loss is one of probabilities or of another number of classes, a class has no weight, an
            evaluation set has other labels, or the estimator or `fit_params` set what the recipe does.

        Examples
        --------
        >>> import numpy as np
        >>> from lightgbm import LGBMClassifier
        >>> from focalgrad.sklearn import FocalClassifier
        >>> X, y = np.arange(200.0)[:, None], np.repeat(["no", "yes"], 100)
        >>> model = FocalClassifier(LGBMClassifier(n_estimators=100, verbosity=-1))
        >>> model = model.fit(X[::2], y[::2], eval_set=[(X[1::2], y[1::2])], early_stopping_rounds=3)
        >>> model.score(X, y) > 0.95
        True
        """
        recipe = recipe_for(self.estimator)
        check_left_alone(recipe, self.estimator, fit_params)
        check_rows(X)
        validate_data(self, X, y, skip_check_array=True)  # notes number and names of columns, no more
        classes, index = encoded("y", y)
        check_consistent_length(X, index)
        loss = trainable(self.loss, len(classes))
        weights = row_weights(sample_weight, len(index))
        start = start_of(loss, classes, index, weights)
        job = Training(
            recipe.copy(self.estimator),
            loss,
            self.hessian,
            start,
            Rows(X, index, weights),
            evaluations(eval_set, eval_sample_weight, classes),
            fit_params,
        )
        self.estimator_ = recipe.train(job)
        self.classes_, self.loss_, self.init_score_ = classes, loss, start
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Raw scores of the trained booster, with the start.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n, d)
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n,) or (n, C)
            Logits: of the second class for two, else one a class.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If `X` has other columns than in ``fit``.

        Examples
        --------
        >>> import numpy as np
        >>> from lightgbm import LGBMClassifier
        >>> from focalgrad.sklearn import FocalClassifier
        >>> X, y = np.arange(200.0)[:, None], np.repeat([0, 1], 100)
        >>> model = FocalClassifier(LGBMClassifier(n_estimators=10, verbosity=-1)).fit(X, y)
        >>> bool(model.decision_function([[0.0]])[0] < 0)
        True
        """
        check_is_fitted(self)
        check_rows(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        scores = recipe_for(self.estimator_).raw_scores(self.estimator_, X)
        return np.asarray(scores, np.float64)

    def __sklearn_clone__(self) -> FocalClassifier:
        """Copy the parameters as `clone` does, but for the estimator that `clone` may refuse."""
        params = {name: clone(value, safe=False) for name, value in self._others().items()}
        fresh = type(self)(estimator=recipe_copy(self.estimator), **params)
        for name in ("_metadata_request", "_sklearn_output_config"):
            if hasattr(self, name):
                setattr(fresh, name, copy.deepcopy(getattr(self, name)))
        return fresh

    def _others(self) -> dict[str, Any]:
        return {name: value for name, value in self.get_params(deep=False).items() if name != "estimator"}

    def __sklearn_tags__(self) -> Any:
        """Say what the boosters take."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags


def check_rows(x: Any) -> None:
    """Refuse a single row, or rows without columns; the rest is for the booster to judge.

    Raises
    ------
    ValueError
        Saying what to do.
    """
    shape: tuple[int, ...] = getattr(x, "shape", ())
    if len(shape) == 1:
        raise ValueError(
            f"X must have two dimensions; got shape {shape}. Reshape your data: X.reshape(1, -1) is one row"
        )
    if len(shape) == 2 and shape[1] == 0:
        raise ValueError(
            f"X must have columns; got 0 feature(s) (shape={shape}) while a minimum of 1 is required."
        )


def recipe_copy(estimator: Any) -> Any:
    """Copy an estimator untrained; what is none of the boosters as `clone` does."""
    try:
        recipe = recipe_for(estimator)
    except TypeError:
        return clone(estimator, safe=False)
    return recipe.copy(estimator)


def evaluations(
    eval_set: Iterable[tuple[Any, ArrayLike]] | None,
    eval_sample_weight: Iterable[ArrayLike | None] | None,
    classes: NDArray[Any],
) -> list[Rows]:
    """Read what is to be evaluated on, or raise.

    Raises
    ------
    ValueError
        If a label is no class of the training data, or there are not as many weights as sets.
    """
    if eval_set is None:
        if eval_sample_weight is not None:
            raise ValueError("eval_sample_weight must come with an eval_set; got it alone")
        return []
    pairs: list[Any] = [eval_set] if isinstance(eval_set, tuple) else list(eval_set)
    given = [None] * len(pairs) if eval_sample_weight is None else list(eval_sample_weight)
    if len(given) != len(pairs):
        raise ValueError(
            f"eval_sample_weight must have one entry for each of the {len(pairs)} sets of eval_set; "
            f"got {len(given)}"
        )
    found = []
    for number, (pair, weights) in enumerate(zip(pairs, given, strict=True)):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(
                f"eval_set must be a list of (X, y); got {type(pair).__name__} as entry {number}"
            )
        x, y = pair
        _, index = encoded(f"y of eval_set[{number}]", y, classes)
        check_consistent_length(x, index)
        found.append(Rows(x, index, row_weights(weights, len(index))))
    return found
