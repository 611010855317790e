"""Focal loss as a metric: of labels and scores, and as a scorer of estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import make_scorer
from sklearn.utils import check_array

from focalgrad.sklearn._labels import encoded, named_classes, row_weights
from focalgrad.sklearn._losses import Loss, checked_loss, loss_for

EPS = float(np.finfo(np.float64).eps)


def class_scores(y_score: ArrayLike, rows: int, classes: int, loss: Loss) -> NDArray[np.float64]:
    """Give scores as the loss reads them: (n,) for two classes, (n, C) for more."""
    array = check_array(
        y_score, ensure_2d=False, dtype=np.float64, ensure_all_finite=False, input_name="y_score"
    )
    scores: NDArray[np.float64] = np.asarray(array)
    shapes = [(rows,), (rows, 2)] if classes == 2 else [(rows, classes)]
    if scores.shape not in shapes:
        cure = "" if scores.ndim == 1 else "; labels= names classes that y_true lacks"
        raise ValueError(
            f"y_score must have shape {' or '.join(map(str, shapes))} for {rows} rows and {classes} classes; "
            f"got shape {scores.shape}{cure}"
        )
    wrong = np.isnan(scores)
    if not loss.from_logits:
        wrong |= (scores < 0) | (scores > 1)
    if np.any(wrong):
        row = int(np.argmax(wrong.reshape(rows, -1).any(axis=1)))
        takes = (
            "numbers" if loss.from_logits else "probabilities from 0 to 1, as the loss has from_logits=False"
        )
        raise ValueError(f"y_score must hold {takes}; got {scores[row]} in row {row}")
    if scores.shape == (rows, 2) and classes == 2:
        if not loss.from_logits:
            return scores[:, 1]
        # Two raw scores stand for the logit of their softmax; of equal infinite ones there is none.
        with np.errstate(invalid="ignore"):
            return np.asarray(scores[:, 1] - scores[:, 0])
    return scores


def focal_loss(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    loss: Loss | None = None,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Focal loss of labels and scores, as `sklearn.metrics.log_loss` is cross entropy.

    ``sum(w_i loss_i) / sum(w_i)``: a weight of 2 is a row given twice. With a loss whose reduction is
    ``"sum"`` it is ``sum(w_i loss_i)``; other reductions and the normaliser do not matter. A row's loss is
    that of its target class (sigmoid for two classes, softmax), or summed over the classes (one-vs-rest).

    Parameters
    ----------
    y_true : array_like of shape (n,)
        Labels of any kind: strings, numbers, bools, categories.
    y_score : array_like of shape (n,), (n, 2) or (n, C)
        Probabilities if ``loss.from_logits`` is False, raw scores otherwise, in float64. For two classes
        (n,) is about the second class; of two columns of probabilities the second one counts, of two
        columns of raw scores their difference.
    loss : SigmoidFocalLoss or SoftmaxFocalLoss, optional
        For two classes a sigmoid loss without a class axis; for more a softmax loss, or a sigmoid one with
        ``class_axis=-1``. By default gamma 2 without alpha on probabilities, clipped to
        [eps, 1 - eps] with eps that of float64: sigmoid for two classes, softmax for more.
    labels : array_like of shape (C,), optional
        The classes in the order of the columns, also those that `y_true` lacks. By default the distinct
        labels of `y_true`, sorted.
    sample_weight : array_like of shape (n,), optional
        Weights of rows. Where they sum to 0 the mean is 0.0. Rows that ``loss.ignore_index`` names, by
        class index, have no weight.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If `loss` is no loss.
    ValueError
        If shapes, classes or the loss do not fit each other, or a probability is outside [0, 1], or a score
        or weight is NaN.

    See Also
    --------
    focal_scorer : The same for `GridSearchCV` and its like.

    Notes
    -----
    Lin and others, "Focal Loss for Dense Object Detection", ICCV 2017, equation 5.

    Examples
    --------
    >>> import focalgrad as fg
    >>> from focalgrad.sklearn import focal_loss
    >>> y_true = ["ham", "spam", "ham", "ham"]
    >>> round(focal_loss(y_true, [0.1, 0.8, 0.4, 0.2]), 6)  # probabilities of spam
    0.025159
    >>> round(focal_loss(y_true, [-2.2, 1.4, -0.4, -1.4], loss=fg.SigmoidFocalLoss()), 6)  # raw scores
    0.017844
    """
    classes, index = encoded("y_true", y_true, labels)
    resolved = loss_for(loss, len(classes), from_logits=False, eps=EPS)
    scores = class_scores(y_score, len(index), len(classes), resolved)
    weights = row_weights(sample_weight, len(index))
    total = float(resolved.replace(reduction="sum")(scores, index, sample_weight=weights))
    if resolved.reduction == "sum":
        return total
    counted = index != resolved.ignore_index
    share = float(np.sum(counted if weights is None else weights[counted]))
    return total / share if share != 0 else 0.0


def focal_scorer(loss: Loss | None = None, *, labels: ArrayLike | None = None) -> Any:
    """Make a scorer of focal loss: what `GridSearchCV`, `cross_val_score` and their like call.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss, optional
        As in `focal_loss`. A loss of probabilities, or none, asks estimators for ``predict_proba``, a loss
        of logits for ``decision_function``.
    labels : array_like of shape (C,), optional
        The classes that estimators know; their columns are in sorted order, so the order here does not
        matter. Needed where some data to be scored may lack a class.

    Returns
    -------
    scorer
        ``scorer(estimator, X, y, sample_weight=None)`` is minus the loss: higher is better. Where metadata
        is routed, weights are asked for by ``scorer.set_score_request(sample_weight=True)``.

    Raises
    ------
    TypeError
        If `loss` is no loss.
    ValueError
        If `labels` are fewer than two classes or name one twice.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> import focalgrad as fg
    >>> from focalgrad.sklearn import focal_scorer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> round(focal_scorer()(GaussianNB().fit(X, y), X, y), 4)
    -0.5075
    >>> round(focal_scorer(fg.SigmoidFocalLoss())(RidgeClassifier().fit(X, y), X, y), 4)
    -0.0274
    """
    given = checked_loss(loss)
    method = "decision_function" if given is not None and given.from_logits else "predict_proba"
    classes = None if labels is None else np.sort(named_classes(labels))
    return make_scorer(
        focal_loss, response_method=method, greater_is_better=False, loss=given, labels=classes
    )
