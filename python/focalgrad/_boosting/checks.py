"""Which losses boosters can train, and which scores and labels go with a loss."""

from __future__ import annotations

import warnings
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from focalgrad._core import SigmoidFocalLoss, SoftmaxFocalLoss

Loss: TypeAlias = SigmoidFocalLoss | SoftmaxFocalLoss

#: Rows that are looked at to see whether scores are probabilities of classes.
HEAD = 64


def check_loss(loss: object) -> None:
    """Refuse what is no loss of rows of scores."""
    if not isinstance(loss, SigmoidFocalLoss | SoftmaxFocalLoss):
        raise TypeError(f"loss must be a SigmoidFocalLoss or SoftmaxFocalLoss; got {type(loss).__name__}")
    if loss.class_axis not in (None, -1, 1):
        raise ValueError(
            "loss must have class_axis=-1, since boosters have a row for each sample and a column for each "
            f"class; got class_axis={loss.class_axis}"
        )


def check_data(kind: type, *given: object) -> None:
    """Refuse what is no data set of the booster."""
    for data in given:
        if not isinstance(data, kind):
            library = kind.__module__.partition(".")[0]
            raise TypeError(f"data must be {library}.{kind.__name__}; got {type(data).__name__}")


def check_model(model: object, *kinds: type) -> None:
    """Refuse what is no model of the booster."""
    if not isinstance(model, kinds):
        library = kinds[0].__module__.partition(".")[0]
        taken = " or ".join(f"{library}.{kind.__name__}" for kind in kinds)
        raise TypeError(f"model must be {taken}; got {type(model).__name__}")


def check_logits(loss: Loss, taker: str) -> None:
    """Refuse a loss of probabilities where there are none."""
    if not loss.from_logits:
        raise ValueError(
            f"loss must have from_logits=True, since {taker} gets raw scores; got from_logits=False"
        )


def check_hessian(loss: Loss, hessian: object) -> None:
    """Refuse a Hessian that the loss does not have."""
    if hessian not in ("exact", "gauss_newton", "upper"):
        raise ValueError(f"hessian must be 'exact', 'gauss_newton' or 'upper'; got {hessian!r}")
    if hessian != "exact" and getattr(loss, "modulator", "softmax") == "sigmoid":
        raise ValueError(f"hessian must be 'exact' for a loss with modulator='sigmoid'; got {hessian!r}")


def check_scores(loss: Loss, scores: NDArray[Any]) -> None:
    """Refuse scores that have classes where the loss has none, or the other way round."""
    if loss.class_axis is None and scores.ndim != 1:
        raise ValueError(
            f"scores must have shape (n,) for a loss without a class axis; got shape {scores.shape}: take "
            "a SoftmaxFocalLoss, or SigmoidFocalLoss(class_axis=-1) for one class against the rest"
        )
    if loss.class_axis is not None and scores.ndim != 2:
        raise ValueError(
            f"scores must have shape (n, C) for a loss with a class axis; got shape {scores.shape}: set the "
            "number of classes (num_class; CatBoost: class_names), or take a SigmoidFocalLoss for two"
        )


def check_labels(loss: Loss, labels: NDArray[Any], rows: int) -> None:
    """Refuse labels that do not fit. Of class indices the core names the first that does not."""
    if labels.dtype.kind not in "biuf":
        raise TypeError(f"labels must be numbers: 0 and 1, or 0 to C-1 for C classes; got {labels.dtype}")
    if labels.shape[:1] != (rows,):
        raise ValueError(f"the data must have one label for each of {rows} rows; got shape {labels.shape}")
    if loss.class_axis is None or labels.ndim == 2:
        check_range(loss, labels)


def check_range(loss: Loss, labels: NDArray[Any]) -> None:
    """Refuse dense labels outside [0, 1] unless they are ignored; names the first."""
    if labels.size == 0 or (labels.min() >= 0 and labels.max() <= 1):
        return
    bad = np.argwhere(~((labels >= 0) & (labels <= 1) | is_ignored(loss, labels)))
    if bad.size:
        place = ", ".join(map(str, bad[0]))
        raise ValueError(
            "labels must be 0 or 1, or between them where they are soft, for this loss; "
            f"got labels[{place}] = {labels[tuple(bad[0])]}"
        )


def is_ignored(loss: Loss, labels: NDArray[Any]) -> Any:
    """Where labels are those that the loss ignores."""
    if loss.ignore_index is None:
        return False
    return np.isnan(labels) if np.isnan(loss.ignore_index) else labels == loss.ignore_index


def check_meaning(loss: Loss, scores: NDArray[Any], labels: NDArray[Any]) -> None:
    """Refuse logits for a loss of probabilities; tell of probabilities where the loss takes logits.

    Beside a built-in objective boosters give metrics probabilities. With three classes or more nothing else
    has rows that sum to 1. With two classes it is a guess, so it only warns: where positives are rare, their
    share is the mean of probabilities, while logits are mostly negative.
    """
    if scores.size == 0:
        return
    if not loss.from_logits:
        low, high = scores.min(), scores.max()
        if low < 0 or high > 1:
            raise ValueError(
                "scores must be probabilities for a loss with from_logits=False; got some from "
                f"{low:.6g} to {high:.6g}: beside a custom objective take a loss of logits"
            )
    elif scores.ndim == 2 and scores.shape[1] > 2:
        head = scores[:HEAD]
        if head.min() >= 0 and np.allclose(head.sum(axis=1), 1, rtol=0, atol=1e-5):
            raise ValueError(
                "scores must be logits; got rows that sum to 1, as probabilities do: beside a built-in "
                "objective take a loss with from_logits=False"
            )
    elif scores.ndim == 1 and scores.min() > 0 and scores.max() < 1:
        share = float(labels.mean())
        if share < 0.4 and abs(float(scores.mean()) - share) < 0.1 * share:
            warnings.warn(
                f"the loss takes logits, but scores look like probabilities (mean {scores.mean():.3g}, share "
                f"of positives {share:.3g}): beside a built-in objective take a loss with from_logits=False",
                stacklevel=4,
            )
