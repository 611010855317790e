"""The constant score that minimises a loss: where boosting starts.

Sigmoid, hard labels with weights A (positives times alpha) and B (negatives times 1 - alpha): the only root
of ``A f'(z) - B f'(-z)``, f being the loss of a margin. Either side may be no float64 number where their
quotient is one, so what is solved is ``log |f'(-z) / f'(z)| = log(A / B)``. For gamma 0 the left side is z.
Soft and smoothed targets minimise the sum of their own losses: with ``"expected"`` that is linear in the
target; `valleys` is about ``"mixture"`` and ``"quality"``, and `softmax` about rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._init_score.margins import Floats, entropy_ratio, log_odds, probabilities
from focalgrad._init_score.softmax import stationary_logits
from focalgrad._init_score.tally import Groups, Scaled, Tally, per_class_length, scaled_sum, tally
from focalgrad._init_score.valleys import Meaning, Walk, best_logit

__all__ = ["init_score"]


def logit_at(odds: Floats, gamma: Floats) -> Floats:
    """Logit of given log-odds, by Newton's method.

    With ``r = p L / q``, whose slope is r - p, the slope of `log_odds` is::

        1 + g - g (r(z) - p) / (1 + g r(z)) - g (r(-z) - q) / (1 + g r(-z))

    r - p stays below 0.22, so that is between 1 + 0.56 g and 1 + g: every step takes more than a fifth off
    the error, and the last ones square it.
    """
    z = odds / (1 + gamma)
    for _ in range(100):
        (p, q), ahead, behind = probabilities(z), entropy_ratio(z), entropy_ratio(-z)
        bend = (ahead - p) / (1 + gamma * ahead) + (behind - q) / (1 + gamma * behind)
        step = (log_odds(z, gamma) - odds) / (1 + gamma * (1 - bend))
        z = z - step
        if np.all(np.abs(step) <= 1e-9 * np.minimum(np.abs(z), 1)):
            break
    return z


def refuse_negative(weight: Scaled) -> None:
    """Refuse weights with which a loss has no minimum."""
    if np.any(weight.value < 0):
        raise ValueError("sample_weight must have no negative sum over a class; got one that has")


def hard_logits(own: Scaled, rest: Scaled, gamma: Floats) -> Floats:
    """Best constant logits for hard labels of these weights, alpha included; infinite if one is 0."""
    refuse_negative(own)
    refuse_negative(rest)
    ahead, behind = own.value, rest.value
    scores = np.where(ahead > 0, np.inf, np.where(behind > 0, -np.inf, 0.0))
    scores[np.isnan(ahead) | np.isnan(behind)] = np.nan
    both = (ahead > 0) & (behind > 0)
    odds = own.at(both).log_ratio(rest.at(both))
    scores[both] = np.where(np.isfinite(odds), logit_at(odds, gamma[both]), odds)
    return scores


@np.errstate(all="ignore")
def init_score(
    loss: Any, targets: ArrayLike, sample_weight: ArrayLike | None = None, dense: bool | None = None
) -> float | NDArray[Any]:
    """Score that minimises the loss among all constant ones.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Its reduction and normaliser do not matter: the sum is minimised.
    targets : array_like
        As for a call. Without a class axis: any shape. With one, one-dimensional targets are class indices,
        and floats of more dimensions are dense: they have the class axis.
    sample_weight : array_like, optional
        Broadcasts as in a call.
    dense : bool, optional
        Whether targets have the class axis. Must be given for integers and bools of more dimensions, which
        may be class indices or one-hot.

    Returns
    -------
    float or ndarray of shape (C,)
        An array if the loss has a class axis; for softmax the finite entries have sum 0. A class without
        weight gives an infinite entry (sigmoid: +inf if all its weight is positive). 0.0 without any data.
        C is the length of a per-class parameter, or else that of dense targets' class axis, or else one more
        than the largest index.

    Raises
    ------
    ValueError
        For a loss of probabilities or with ``modulator="sigmoid"``, which has no minimum; for class indices
        that are negative, no whole numbers or too large (2**27 or more where no parameter gives C); for dense
        targets outside [0, 1]; if `dense` must be given and is not; if the weights of a class have a negative
        sum.

    Examples
    --------
    For cross entropy it is the log-odds; focal loss is content with a score closer to 0:

    >>> import focalgrad as fg
    >>> targets = np.array([1] * 10 + [0] * 90)
    >>> round(init_score(fg.SigmoidFocalLoss(None, 0.0), targets), 6)
    -2.197225
    >>> round(init_score(fg.SigmoidFocalLoss(None, 2.0), targets), 6)
    -0.819889
    """
    if not loss.from_logits:
        raise ValueError("init_score takes a loss of logits; got one with from_logits=False")
    softmax = hasattr(loss, "modulator")
    if softmax and loss.modulator == "sigmoid":
        raise ValueError("init_score takes modulator='softmax'; got 'sigmoid', whose loss has no minimum")
    found = tally(loss, targets, sample_weight, dense)
    if len(found.own.value) == 0:
        return 0.0
    return softmax_score(loss, found) if softmax else sigmoid_score(loss, found)


def softmax_score(loss: Any, found: Tally) -> Floats:
    """Weights of the classes, smoothed and multiplied by alpha."""
    own, s = found.own, loss.label_smoothing
    classes = len(own.value)
    if s:
        own = Scaled(np.ldexp(own.value, own.exponent) * (1 - s) + s / classes * found.total, 0)
    if loss.alpha is not None:
        own = own.times(loss.alpha)
    refuse_negative(own)
    if not np.isfinite(own.value).all():
        return np.full(classes, np.nan)
    present = own.value > 0
    if not present.any():
        return np.zeros(classes)
    scores = np.where(present, 0.0, -np.inf)
    if np.count_nonzero(present) > 1:
        gamma = np.broadcast_to(np.asarray(loss.gamma, np.float64), classes)
        scores[present] = stationary_logits(own.at(present), gamma[present])
    return scores


def sigmoid_score(loss: Any, found: Tally) -> float | Floats:
    """Every column on its own. A class weight scales its column's loss, and takes it away if it is 0."""
    own, rest = found.own, found.rest
    if loss.class_weight is not None:
        kept = np.asarray(loss.class_weight) != 0
        own, rest = own._replace(value=own.value * kept), rest._replace(value=rest.value * kept)
    if loss.soft_targets == "expected" or not (found.soft or loss.label_smoothing):
        scores = linear_scores(loss, own, rest)
    else:
        scores = soft_scores(loss, own, rest, found)
    return float(scores[0]) if loss.class_axis is None else scores


def linear_scores(loss: Any, own: Scaled, rest: Scaled) -> Floats:
    """Scores where the loss is linear in the targets, so that their sums say everything."""
    s = loss.label_smoothing
    if s:
        one, zero = (np.ldexp(part.value, part.exponent) for part in (own, rest))
        own, rest = (Scaled(part * (1 - s) + (one + zero) * (s / 2), 0) for part in (one, zero))
    if loss.alpha is not None:
        alpha = np.asarray(loss.alpha, np.float64)
        own, rest = own.times(alpha), rest.times(1 - alpha)
    return hard_logits(own, rest, np.broadcast_to(np.asarray(loss.gamma, np.float64), own.value.shape))


def soft_scores(loss: Any, own: Scaled, rest: Scaled, found: Tally) -> Floats:
    """Scores column by column; of class indices, those once that were found equally often."""
    classes = len(own.value)
    each = place = np.arange(classes)
    if not found.dense and per_class_length(loss) is None:
        _, each, place = np.unique(own.value, return_index=True, return_inverse=True)
    scores = np.zeros(len(each))
    for i, c in enumerate(each):
        if own.value[c] == 0 and rest.value[c] == 0:
            continue
        alpha, gamma = (p[c] if isinstance(p, tuple) else p for p in (loss.alpha, loss.gamma))
        meaning = Meaning(alpha, gamma, loss.soft_targets, loss.label_smoothing)
        groups, walk = Groups(np.array([0.0, 1.0]), np.array([rest.value[c], own.value[c]])), None
        if found.soft:
            column = found.column(int(c))
            groups, walk = column.groups, column.walk
        scores[i] = soft_score(groups, meaning, walk if groups.merged else None)
    return scores[place]


def soft_score(groups: Groups, meaning: Meaning, walk: Walk | None) -> float:
    """Score of one column; valleys are looked for only where there may be several."""
    y, rest = meaning.smooth(groups.y)
    alpha = meaning.alpha_t(y)
    one, zero = (scaled_sum(groups.weight, alpha, part) for part in (y, rest))
    two_sided = 0 < one.value[0] < np.inf and 0 < zero.value[0] < np.inf
    if meaning.gamma == 0 or not two_sided or np.all((y == 0) | (y == 1)):
        return float(hard_logits(one, zero, np.array([meaning.gamma]))[0])
    return best_logit(groups.y, groups.weight, meaning, walk)
