"""The constant logit that minimises a sum of binary losses of soft targets, which may have several valleys.

A loss is ``a W^g C``, W being ``y q + (1 - y) p`` or ``|p - y|`` and C the
cross entropy. For a large gamma, or far from 0, it leaves the range of numbers where its minimum is. So all
that is computed are logarithms, and sums relative to the largest of their terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from focalgrad._init_score.margins import Floats, probabilities, softplus

# How far groups of neighbouring targets can move a minimum.
NEAR = 1e-3
# Losses at a time, where there are many targets and many logits.
SLICE = 1 << 18


# Gives all targets with their weights, piece by piece.
Walk = Callable[[], Iterable[tuple[Floats, Floats]]]


class Meaning(NamedTuple):
    """What a soft target means."""

    alpha: float | None
    gamma: float
    soft_targets: str  # "mixture" or "quality"
    smoothing: float

    def smooth(self, y: Floats) -> tuple[Floats, Floats]:
        """Smoothed targets, and 1 less them."""
        keep, half = 1 - self.smoothing, self.smoothing / 2
        return y * keep + half, (1 - y) * keep + half

    def alpha_t(self, y: Floats) -> Floats:
        """Weights by smoothed target."""
        if self.alpha is None:
            return np.where(np.isnan(y), np.nan, 1.0)
        return y * self.alpha + (1 - y) * (1 - self.alpha)


class Labels(NamedTuple):
    """Targets, with the logarithms and the signs of their weights."""

    y: Floats
    rest: Floats
    log_weight: Floats
    sign: Floats


class Sums(NamedTuple):
    """Of the losses and of their slopes at several logits, both divided by the exponential of `log_scale`."""

    value: Floats
    slope: Floats
    log_scale: Floats


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


def log_softplus(z: Floats) -> Floats:
    """log(log(1 + exp(z))), which is z where the exponential is all that counts."""
    return np.where(z < -40, z, np.log(softplus(z)))


def log_losses(z: Floats, y: Floats, rest: Floats, meaning: Meaning) -> tuple[Floats, Floats]:
    """Logarithms of the losses, alpha left out, and their derivatives by the logit."""
    p, q = probabilities(z)
    log_p, log_q = -softplus(-z), -softplus(z)
    log_y, log_rest = np.log(y), np.log(rest)
    log_entropy = np.logaddexp(log_y + log_softplus(-z), log_rest + log_softplus(z))
    difference = np.where(z > 0, rest - q, p - y)
    pull = np.where(rest == 0, -np.exp(log_q - log_entropy), difference * np.exp(-log_entropy))
    pull = np.where(y == 0, np.exp(log_p - log_entropy), pull)
    log_base = np.logaddexp(log_y + log_q, log_rest + log_p)
    push = (rest - y) * np.exp(log_p + log_q - log_base)
    if meaning.soft_targets == "quality":
        soft = (y != 0) & (rest != 0)
        log_base = np.where(soft, np.log(np.abs(difference)), log_base)
        push = np.where(soft, p * q / difference, push)
    return meaning.gamma * log_base + log_entropy, meaning.gamma * push + pull


def sums(z: Floats, labels: Labels, meaning: Meaning, log_scale: Floats | None = None) -> Sums:
    """Add losses and slopes up, relative to the largest loss unless there is a scale."""
    at, y, rest = np.broadcast_arrays(z[:, None], labels.y, labels.rest)
    logs, slopes = log_losses(at, y, rest, meaning)
    logs = logs + labels.log_weight
    if log_scale is None:
        top = np.max(logs, axis=1)
        log_scale = np.where(np.isneginf(top), 0.0, top)
    share = labels.sign * np.exp(logs - log_scale[:, None])
    # Where |p - y| is 0 so is the loss, and the slope is taken for 0.
    slope = np.sum(np.where(share == 0, 0.0, share * slopes), axis=1)
    return Sums(np.sum(share, axis=1), slope, log_scale)


def labels_of(y: Floats, weight: Floats, meaning: Meaning, shift: int) -> Labels:
    """Prepare targets; weights are divided by ``2^shift`` so that their logarithms are small numbers."""
    y, rest = meaning.smooth(y)
    mantissa, exponent = np.frexp(weight)
    log_weight = np.log(np.abs(mantissa)) + (exponent - shift) * np.log(2.0)
    return Labels(y, rest, log_weight + np.log(meaning.alpha_t(y)), np.sign(weight))


def reach(labels: Labels, gamma: float) -> float:
    """Logit beyond which the slope has one sign, whatever the targets are.

    There the losses of targets on the other side have fallen below the others', by an exponential at least;
    10 is more than the logarithm of four times any such logit.
    """
    logs = labels.log_weight[np.isfinite(labels.log_weight)]
    shares = np.concatenate([labels.y, labels.rest])
    ratios = np.ptp(logs) - np.log(np.min(shares[shares > 0])) + np.log(len(labels.y))
    return float(ratios + np.log1p(gamma) + 10)


def deepest(labels: Labels, meaning: Meaning) -> float:
    """Lowest minimum; a scan finds the valleys, closer near 0 than far out."""
    end = np.arcsinh(2 * reach(labels, meaning.gamma))
    scan = np.sinh(np.linspace(-end, end, 2 * int(np.ceil(10 * end)) + 1)) / 2
    slope = sums(scan, labels, meaning).slope
    valleys = np.flatnonzero((slope[:-1] < 0) & (slope[1:] > 0))
    bottoms = [
        root(lambda z: float(sums(np.array([z]), labels, meaning).slope[0]), scan[i], scan[i + 1])
        for i in valleys
    ]
    bottoms += scan[slope == 0].tolist()
    if meaning.soft_targets == "quality" and meaning.gamma <= 1:
        # Each soft target is the bottom of a cleft of its own, too narrow for a scan.
        soft = (labels.y != 0) & (labels.rest != 0)
        bottoms += (np.log(labels.y) - np.log(labels.rest))[soft].tolist()
    points = np.array(bottoms or scan.tolist())
    count = -(-points.size * labels.y.size // SLICE)
    there = [sums(some, labels, meaning) for some in np.array_split(points, count)]
    value, scale = (np.concatenate(part) for part in ([t.value for t in there], [t.log_scale for t in there]))
    sign, height = np.sign(value), scale + np.log(np.abs(value))
    return float(points[int(np.lexsort((np.where(sign == 0, 0.0, sign * height), sign))[0])])


def best_logit(y: Floats, weight: Floats, meaning: Meaning, walk: Walk | None) -> float:
    """Best constant logit for groups of targets; `walk` is for groups that are not exact."""
    kept = (weight != 0) & (meaning.alpha_t(meaning.smooth(y)[0]) != 0)
    shift = int(np.max(np.frexp(weight[kept])[1]))
    labels = labels_of(y[kept], weight[kept], meaning, shift)
    best = deepest(labels, meaning)
    if walk is None:
        return best
    log_scale = sums(np.array([best]), labels, meaning).log_scale

    def exact_slope(z: float) -> float:
        pieces = (labels_of(*piece, meaning, shift) for piece in walk())
        return float(sum(sums(np.array([z]), piece, meaning, log_scale).slope[0] for piece in pieces))

    low, high = best - NEAR, best + NEAR
    return root(exact_slope, low, high) if exact_slope(low) < 0 < exact_slope(high) else best
