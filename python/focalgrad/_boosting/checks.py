"""Which losses boosters can train, and which scores and labels go with a loss."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from focalgrad._core import SigmoidFocalLoss, SoftmaxFocalLoss

Loss: TypeAlias = SigmoidFocalLoss | SoftmaxFocalLoss


def check_loss(loss: object) -> None:
    """Refuse what is no loss of rows of scores."""
    if not isinstance(loss, SigmoidFocalLoss | SoftmaxFocalLoss):
        raise TypeError(f"loss must be a SigmoidFocalLoss or SoftmaxFocalLoss; got {type(loss).__name__}")
    if loss.class_axis not in (None, -1, 1):
        raise ValueError(
            "loss must have class_axis=-1, since boosters have a row for each sample and a column for each "
            f"class; got class_axis={loss.class_axis}"
        )


def check_logits(loss: Loss, taker: str) -> None:
    """Refuse a loss of probabilities where there are none."""
    if not loss.from_logits:
        raise ValueError(
            f"loss must have from_logits=True, since {taker} gets raw scores; got from_logits=False"
        )


def check_hessian(loss: Loss, hessian: object) -> None:
    """Refuse a Hessian that the loss has not."""
    if hessian not in ("exact", "gauss_newton", "upper"):
        raise ValueError(f"hessian must be 'exact', 'gauss_newton' or 'upper'; got {hessian!r}")
    if hessian != "exact" and getattr(loss, "modulator", "softmax") == "sigmoid":
        raise ValueError(f"hessian must be 'exact' for a loss with modulator='sigmoid'; got {hessian!r}")


def check_scores(loss: Loss, scores: NDArray[Any]) -> None:
    """Refuse scores of another number of classes than the loss has: one column, or one for each class."""
    if loss.class_axis is None and scores.ndim != 1:
        raise ValueError(
            f"scores must have shape (n,) for a loss without a class axis; got {scores.shape}: "
            "take a SoftmaxFocalLoss, or SigmoidFocalLoss(class_axis=-1) for one-vs-rest"
        )
    if loss.class_axis is not None and scores.ndim != 2:
        raise ValueError(
            f"scores must have shape (n, C) for a loss with a class axis; got {scores.shape}: "
            "set num_class to the number of classes, or take a SigmoidFocalLoss for two"
        )


def check_labels(loss: Loss, labels: NDArray[Any], rows: int) -> None:
    """Refuse labels that do not fit.

    Class indices are read by the core, which names the first that does not fit.
    """
    if labels.dtype.kind not in "biuf":
        raise TypeError(
            f"labels must be numbers: 0 or 1, or 0 to C-1 for C classes; got dtype {labels.dtype}"
        )
    if labels.shape[:1] != (rows,):
        raise ValueError(f"the data must have a label for each of its {rows} rows; got shape {labels.shape}")
    if loss.class_axis is None or labels.ndim == 2:
        check_range(loss, labels)


def check_range(loss: Loss, labels: NDArray[Any]) -> None:
    """Refuse dense labels outside [0, 1] that are not ignored; names the first."""
    if not labels.size or labels.dtype.kind == "b" or (labels.min() >= 0 and labels.max() <= 1):
        return
    fits = (labels >= 0) & (labels <= 1)
    if loss.ignore_index is not None:
        fits |= np.isnan(labels) if np.isnan(loss.ignore_index) else labels == loss.ignore_index
    bad = np.argwhere(~fits)
    if bad.size:
        place = ", ".join(map(str, bad[0]))
        raise ValueError(
            "labels must be 0 or 1, or between them for soft labels, with a loss without a class axis; "
            f"got labels[{place}] = {labels[tuple(bad[0])]}"
        )
