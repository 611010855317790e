"""The constant score that minimises a loss: where boosting starts.

Sigmoid, hard labels with weights A (positives times alpha) and B (negatives times 1 - alpha): the only root
of ``A f'(z) - B f'(-z)``, f being the loss of a margin. For gamma 0 that is ``log(A / B)``. Soft and smoothed
targets minimise the sum of their own losses, which for ``"mixture"`` and ``"quality"`` may have more than one
valley: the deepest counts.

Softmax is linear in the targets, so only the weights ``B_c = alpha_c sum_i s_i y_ic`` matter. On the simplex
``sum_c B_c l(p_c)`` is convex (l'' > 0 for every gamma, because L <= q / p), and at its minimum all
``-B_c l'(p_c)`` are one number lambda. ``log(-l'(p))`` falls steadily with the margin of p, so every p_c
follows from lambda, and lambda from ``sum_c p_c = 1``, for the largest class k written as
``sum_{c != k} p_c = 1 - p_k``: no class is too rare for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._beside.recovery import log_steepness, softplus
from focalgrad._beside.tally import Column, Groups, Tally, tally
from focalgrad._reference.binary import binary_elements
from focalgrad._reference.margin import margin_terms
from focalgrad._reference.targets import smoothed
from focalgrad._reference.terms import Floats

# Margins beyond which probabilities leave the range of float64.
REACH = 740.0
# How far groups of neighbouring targets can move a minimum.
NEAR = 1e-3


def root(slope: Callable[[float], float], low: float, high: float) -> float:
    """Where a function turns from negative (at `low`) to positive (at `high`), to the last bit.

    Bisection, with every other step from the chord (the Illinois variant of regula falsi).
    """
    at_low, at_high = slope(low), slope(high)
    for step in range(200):
        middle = (low + high) / 2
        if step % 2 and np.isfinite(at_low) and np.isfinite(at_high) and at_high > at_low:
            chord = high - at_high * (high - low) / (at_high - at_low)
            middle = chord if low < chord < high else middle
        if not low < middle < high:
            break
        there = slope(middle)
        if there == 0 or np.isnan(there):
            return middle
        if there < 0:
            low, at_low, at_high = middle, there, at_high / 2 if step % 2 else at_high
        else:
            high, at_high, at_low = middle, there, at_low / 2 if step % 2 else at_low
    return low if abs(slope(low)) <= abs(slope(high)) else high


def one_column(column: Column, alpha: float | None, gamma: float, meaning: str, smoothing: float) -> float:
    """Best constant logit of one column."""
    y, weight = smoothed(column.groups.y, smoothing, 2), column.groups.weight
    heads, tails = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    ahead, behind = heads * np.sum(weight * y), tails * np.sum(weight * (1 - y))
    if np.isnan(ahead + behind):
        return float("nan")
    if ahead < 0 or behind < 0:
        raise ValueError("sample_weight must have no negative sum over a class; got one that has")
    if ahead == 0 or behind == 0:
        return 0.0 if ahead == behind else float(np.inf if ahead > 0 else -np.inf)
    if gamma == 0 and (meaning == "expected" or heads == tails):
        return float(np.log(ahead) - np.log(behind))
    if meaning == "expected" or np.all((y == 0) | (y == 1)):
        size = max(ahead, behind)

        def hard_slope(z: float) -> float:
            up, down = margin_terms([z, -z], gamma).gradient
            return float(ahead / size * up - behind / size * down)

        return root(hard_slope, -REACH, REACH)

    def terms(z: Floats, labels: Floats, weight: Floats) -> tuple[Floats, Floats]:
        at = np.broadcast_to(z[:, None], (len(z), len(labels)))
        y, rest = (np.broadcast_to(smoothed(y, smoothing, 2), at.shape) for y in (labels, 1 - labels))
        measured, _ = binary_elements(at, y, rest, alpha, gamma, meaning)
        return measured.terms.value @ weight, measured.terms.gradient @ weight

    best = deepest(lambda z: terms(z, column.groups.y, weight))
    if not column.groups.merged:
        return best

    def exact_slope(z: float) -> float:
        walk = column.walk()
        return float(sum(terms(np.array([z]), labels, w)[1][0] for labels, w in walk))

    low, high = best - NEAR, best + NEAR
    return root(exact_slope, low, high) if exact_slope(low) < 0 < exact_slope(high) else best


def deepest(terms: Callable[[Floats], tuple[Floats, Floats]]) -> float:
    """Lowest minimum of a function that is given with its slope; a scan finds the valleys."""
    scan = np.sinh(np.linspace(-8.0, 8.0, 161)) / 2
    _, slope = terms(scan)
    valleys = np.flatnonzero((slope[:-1] < 0) & (slope[1:] > 0))
    bottoms = [root(lambda z: float(terms(np.array([z]))[1][0]), scan[i], scan[i + 1]) for i in valleys]
    bottoms += scan[np.flatnonzero(slope == 0)].tolist()
    return float(bottoms[int(np.argmin(terms(np.array(bottoms))[0]))])


def margins_at(level: float, weight: Floats, gamma: Floats) -> Floats:
    """Margins u at which ``log(-weight l'(p)) = level``, all classes at once by bisection and Newton's steps.

    With ``-l' = F / p`` and f the loss of the margin, ``d log(-l') / du = f''/f' + p - q``, below 0.
    """
    low, high = np.full(len(weight), -REACH), np.full(len(weight), REACH)
    u = np.zeros(len(weight))
    for _ in range(100):
        excess = np.log(weight) + log_steepness(u, gamma) + softplus(-u) - level
        low, high = np.where(excess > 0, u, low), np.where(excess > 0, high, u)
        terms, p = margin_terms(u, gamma), 1 / (1 + np.exp(-u))
        newton = u - excess / (terms.exact / terms.gradient + 2 * p - 1)
        inside = (newton > low) & (newton < high)
        following = np.where(inside, newton, (low + high) / 2)
        if np.all((np.abs(following - u) <= 1e-16 * np.abs(u)) | (following == u)):
            break
        u = following
    return u


@np.errstate(all="ignore")
def all_classes(weight: Floats, gamma: Floats) -> Floats:
    """Best constant logits of a softmax, the finite ones with sum 0."""
    if (weight < 0).any():
        raise ValueError("sample_weight must have no negative sum over a class; got one that has")
    if np.isnan(weight).any():
        return np.full(len(weight), np.nan)
    present = weight > 0
    if not present.any():
        return np.zeros(len(weight))
    scores = np.where(present, 0.0, -np.inf)
    if np.count_nonzero(present) == 1:
        return scores
    weight, gamma = weight[present] / np.max(weight), gamma[present]
    largest = int(np.argmax(weight))
    others = np.arange(len(weight)) != largest

    def surplus(level: float) -> float:
        u = margins_at(level, weight, gamma)
        return float(-softplus(u[largest]) - log_sum(-softplus(-u[others])))

    level = root(surplus, -REACH, REACH)
    log_p = -softplus(-margins_at(level, weight, gamma))
    centred = log_p - np.mean(log_p)
    scores[present] = centred - np.mean(centred)
    return scores


def log_sum(logs: Floats) -> float:
    """Logarithm of the sum of exponentials."""
    top = np.max(logs)
    return float(top + np.log(np.sum(np.exp(logs - top))))


def init_score(loss: Any, targets: ArrayLike, sample_weight: ArrayLike | None = None) -> float | NDArray[Any]:
    """Score that minimises the loss among all constant ones.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Its reduction and normaliser do not matter: the sum is minimised.
    targets : array_like
        As for a call. Without a class axis: any shape. With one, one-dimensional targets are class indices;
        of the others, those of a floating dtype are dense, and of integers and bools those are dense for the
        sigmoid loss that hold nothing but 0, 1 and ignored targets, unless there is a ``background_index``.
    sample_weight : array_like, optional
        Broadcasts as in a call.

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
        that are negative, no whole numbers or too large; if the weights of a class have a negative sum.

    Examples
    --------
    For cross entropy it is the log-odds; focal loss is content with a score closer to 0:

    >>> from types import SimpleNamespace
    >>> from focalgrad._reference import SIGMOID
    >>> targets = np.array([1] * 10 + [0] * 90)
    >>> cross_entropy = SimpleNamespace(**SIGMOID | {"alpha": None, "gamma": 0.0})
    >>> round(init_score(cross_entropy, targets), 6)
    -2.197225
    >>> round(init_score(SimpleNamespace(**SIGMOID | {"alpha": None, "gamma": 2.0}), targets), 6)
    -0.819889
    """
    if not loss.from_logits:
        raise ValueError("init_score takes a loss of logits; got one with from_logits=False")
    softmax = hasattr(loss, "modulator")
    if softmax and loss.modulator == "sigmoid":
        raise ValueError("init_score takes modulator='softmax'; got 'sigmoid', whose loss has no minimum")
    found = tally(loss, targets, sample_weight)
    if found.classes == 0:
        return 0.0
    return softmax_score(loss, found) if softmax else sigmoid_score(loss, found)


def softmax_score(loss: Any, found: Tally) -> Floats:
    """Weights of the classes, smoothed and multiplied by alpha."""
    weight = np.array([np.sum(column.groups.weight * column.groups.y) for column in found.columns])
    s = loss.label_smoothing
    weight = weight * (1 - s) + s / found.classes * found.total
    alpha = np.broadcast_to(1.0 if loss.alpha is None else np.asarray(loss.alpha), found.classes)
    gamma = np.broadcast_to(np.asarray(loss.gamma, np.float64), found.classes)
    return all_classes(weight * alpha, gamma)


def sigmoid_score(loss: Any, found: Tally) -> float | Floats:
    """Every column on its own. A class weight scales its column's loss, and takes it away if it is 0."""
    kept = np.broadcast_to(1.0 if loss.class_weight is None else np.asarray(loss.class_weight), found.classes)
    scores = []
    for c, column in enumerate(found.columns):
        alpha, gamma = (p[c] if isinstance(p, tuple) else p for p in (loss.alpha, loss.gamma))
        column = column if kept[c] else column._replace(groups=Groups(np.zeros(0), np.zeros(0)))
        scores.append(one_column(column, alpha, gamma, loss.soft_targets, loss.label_smoothing))
    return scores[0] if loss.class_axis is None else np.array(scores)
