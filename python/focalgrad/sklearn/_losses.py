"""Which loss goes with how many classes, and what it says of rows of scores."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from focalgrad._core import SigmoidFocalLoss, SoftmaxFocalLoss

Loss: TypeAlias = SigmoidFocalLoss | SoftmaxFocalLoss

PER_CLASS = ("alpha", "gamma", "class_weight")


def checked_loss(loss: object) -> Loss | None:
    """Give what a parameter ``loss`` holds, a loss or None, or raise.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if loss is None or isinstance(loss, SigmoidFocalLoss | SoftmaxFocalLoss):
        return loss
    raise TypeError(f"loss must be a SigmoidFocalLoss, a SoftmaxFocalLoss or None; got {loss!r}")


def loss_for(loss: object, classes: int, **probabilities: Any) -> Loss:
    """Give the loss of so many classes, or raise.

    Parameters
    ----------
    loss : SigmoidFocalLoss, SoftmaxFocalLoss or None
        None is gamma 2 without alpha: sigmoid for two classes, softmax for more.
    classes : int
        Two or more.
    **probabilities
        ``from_logits`` and ``eps`` of the loss that stands for None.

    Raises
    ------
    TypeError
        If `loss` is no loss.
    ValueError
        If it is a loss of another number of classes.
    """
    given = checked_loss(loss)
    if given is None:
        kind = SigmoidFocalLoss if classes == 2 else SoftmaxFocalLoss
        return kind(None, 2.0, **probabilities)
    if classes == 2 and not (isinstance(given, SigmoidFocalLoss) and given.class_axis is None):
        raise ValueError(
            f"loss must be a SigmoidFocalLoss without class_axis where there are two classes; got {given!r}"
        )
    if classes > 2 and given.class_axis not in (-1, 1):
        raise ValueError(
            "loss must be a SoftmaxFocalLoss, or a SigmoidFocalLoss with class_axis=-1 for one-vs-rest, "
            f"where there are {classes} classes; got {given!r}"
        )
    for name in PER_CLASS:
        entries = getattr(given, name, None)
        if isinstance(entries, tuple) and len(entries) != classes:
            raise ValueError(
                f"loss must have a number or {classes} entries as {name} where there are {classes} classes; "
                f"got {len(entries)} entries"
            )
    return given


def trainable(loss: object, classes: int) -> Loss:
    """Give the loss that a model of so many classes is trained with, or raise what `loss_for` does.

    Raises
    ------
    ValueError
        If it is a loss of probabilities.
    """
    given = loss_for(loss, classes)
    if not given.from_logits:
        raise ValueError(f"loss must be one of logits to train with; got {given!r}")
    return given


def start_of(
    loss: Loss, classes: NDArray[Any], index: NDArray[np.intp], weights: NDArray[np.float64] | None
) -> float | NDArray[np.float64]:
    """Give the best constant score, or raise.

    Raises
    ------
    ValueError
        If it is infinite for a class; names the class.
    """
    labels = classes.tolist()
    mass = np.bincount(index, weights, len(labels))
    poorest = int(np.argmin(mass))
    if mass[poorest] <= 0:
        what = "zero" if mass[poorest] == 0 else format(mass[poorest], "g")
        raise ValueError(
            f"sample_weight must leave every class some weight; got {what} for class {labels[poorest]!r}"
        )
    score: float | NDArray[np.float64] = loss.init_score(index, weights)
    scores = np.atleast_1d(score)
    wrong = np.flatnonzero(~np.isfinite(scores))
    if wrong.size:
        # A loss without a class axis has one score, that of the second class.
        label = labels[wrong[0]] if len(scores) > 1 else labels[-1]
        raise ValueError(
            f"loss must give every class some weight; got the start {scores[wrong[0]]} for class {label!r} "
            f"from {loss!r}"
        )
    return score


def class_posteriors(loss: Loss, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the probability of every class, in rows that sum to 1.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        The loss that trained the scores.
    scores : ndarray
        (n,) for two classes, (n, C) for more.
    """
    eta = np.asarray(loss.posterior(scores))
    if scores.ndim == 1:
        return np.column_stack([1 - eta, eta])
    # One-vs-rest answers each class for itself, and label smoothing undone may cut some off at 0, or all:
    # then no class is more likely than another.
    total = eta.sum(axis=1, keepdims=True)
    eta = np.where(total == 0, 1.0, eta)
    return np.asarray(eta / np.where(total == 0, eta.shape[1], total))
