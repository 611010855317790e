"""The constant logits that minimise a softmax loss: a stationary point on the simplex.

Only the weights ``B_c = alpha_c sum_i s_i y_ic`` matter, because the loss is linear in the targets. On the
simplex ``sum_c B_c l(p_c)`` is convex (l'' > 0 for every gamma, because L <= q / p), and at its minimum all
``-B_c l'(p_c)`` are one number. With u the margin of p and ``r = p L / q``::

    log(-l'(p)) = log(1 + g r) - g log(1 + exp(u)) + log(1 + exp(-u))

which falls steadily with u. So the margin of one class, the leader, tells those of all others, and is itself
told by ``sum_{c != leader} p_c = 1 - p_leader``. Equal numbers of any size would cancel in the difference of
two such logarithms; what is computed is the difference d of two margins, of which they are smooth functions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from focalgrad._init_score.margins import Floats, entropy_ratio, probabilities, softplus
from focalgrad._init_score.tally import Scaled

# Newton's method squares its error: after a step this small, relative, nothing is left to correct.
SMALL = 1e-9
# Far more steps than are ever taken: every one at least halves a bracket or the step before.
STEPS = 300


class Classes(NamedTuple):
    """Classes as the leader sees them. Equal ones stand together; the leader's own place is among them."""

    log_weight: Floats  # of the ratio to the leader's weight
    gamma: Floats
    alike: Floats  # how many each stands for, without the leader itself
    leader_gamma: float
    depth: float  # bounds what `following` and `balanced` have to search


class Offsets(NamedTuple):
    """How far the margins are above the leader's, and how fast they follow it."""

    d: Floats
    rate: Floats


def steepness_slope(u: Floats, gamma: Floats, ratio: Floats) -> Floats:
    """Give ``-d log(-l') / du = q / (1 + g r) + g p (2 - r + g r) / (1 + g r)``; every term is positive."""
    p, q = probabilities(u)
    bent = 1 + gamma * ratio
    slope: Floats = q / bent + gamma * p * ((1 - ratio + bent) / bent)
    return slope


def excess(d: Floats, u: float, classes: Classes) -> tuple[Floats, Floats]:
    """``log(-B_c l'(p_c))`` of margins ``u + d`` less the leader's, of margin u; and how fast it falls.

    Near the leader every logarithm's difference is computed as one: with a large gamma it is all there is.
    """
    gamma, leader = classes.gamma, classes.leader_gamma
    there, (p, q) = u + d, probabilities(u)
    near = np.abs(d) < 1
    short = np.where(near, d, 0.0)
    above, below = softplus(np.array(u)), softplus(np.array(-u))
    focus = np.where(
        near,
        gamma * np.log1p(p * np.expm1(short)) + (gamma - leader) * above,
        gamma * softplus(there) - leader * above,
    )
    entropy = np.where(near, np.log1p(q * np.expm1(-short)), softplus(-there) - below)
    ratio = entropy_ratio(there)
    bend = np.log((1 + gamma * ratio) / (1 + leader * entropy_ratio(np.array(u))))
    return classes.log_weight + bend - focus + entropy, steepness_slope(there, gamma, ratio)


def following(u: float, start: Floats, classes: Classes) -> Offsets:
    """Where all other margins are if the leader's is u: Newton's steps, and bisection where they are slow.

    From below they are bounded because ``-l'`` is at most (1 + g) / p, and at least 1 / (e p) where
    p <= 1 / (1 + g). From above they are cut off a little beyond what leaves the leader its share.
    """
    low = np.full(len(start), -classes.depth - float(softplus(np.array(-u))) - u)
    high = np.full(len(start), 1 - max(u, 0.0) - u)
    d = np.clip(start, low, high)
    last, moving = high - low, np.ones(len(d), bool)
    for _ in range(STEPS):
        surplus, slope = excess(d, u, classes)
        low, high = np.where(surplus > 0, d, low), np.where(surplus > 0, high, d)
        step = surplus / slope
        newton = (d + step >= low) & (d + step <= high) & (np.abs(step) <= last / 2)
        step = np.where(newton, step, (low + high) / 2 - d)
        d, last = np.where(moving, d + step, d), np.abs(step)
        moving &= last > np.where(newton, SMALL * np.minimum(np.abs(d), 1), 1e-16 * np.abs(d))
        if not moving.any():
            break
    own = steepness_slope(np.array(u), np.array(classes.leader_gamma), entropy_ratio(np.array(u)))
    return Offsets(d, own / steepness_slope(u + d, classes.gamma, entropy_ratio(u + d)))


def balanced(classes: Classes) -> tuple[float, Floats]:
    """Margin of the leader at which all probabilities sum to 1, and the offsets of the others there.

    The bounds of `following` hold for the leader too, seen from the largest of the others.
    """
    high = classes.depth + 1 + float(np.log(2 * np.sum(classes.alike)))
    low, u, last = -high, 0.0, 2 * high
    offsets = Offsets(np.zeros(len(classes.gamma)), np.zeros(0))
    for _ in range(STEPS):
        offsets = following(u, offsets.d, classes)
        log_p = np.where(classes.alike > 0, -softplus(-u - offsets.d), -np.inf)
        top = np.max(log_p)
        part = classes.alike * np.exp(log_p - top)
        others = float(top + np.log(np.sum(part)))
        share = part / np.sum(part)
        surplus = -float(softplus(np.array(u))) - others
        low, high = (u, high) if surplus > 0 else (low, u)
        rise = share * probabilities(u + offsets.d)[1] * offsets.rate
        step = surplus / float(probabilities(u)[0] + np.sum(rise))
        newton = low <= u + step <= high and abs(step) <= last / 2
        step = step if newton else (low + high) / 2 - u
        u, last = u + step, abs(step)
        if last <= (SMALL / 10 if newton else 1e-16 * abs(u)):
            break
    return u, following(u, offsets.d, classes).d


def stationary_logits(weight: Scaled, gamma: Floats) -> Floats:
    """Logits of sum 0 for two or more classes with positive weights.

    The leader is the class that would have the highest level at p = 1/2. No other can have more than half of
    the probability, so that nothing cancels in the sum over the others, however small they are.
    """
    relative, log_2 = weight.log_ratio(weight.at(np.array([0]))), np.log(2.0)
    keys = np.empty(len(relative), complex)
    keys.real, keys.imag = relative, gamma
    _, first, place, times = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    gamma, alike = gamma[first], times.astype(np.float64)
    leader = int(np.argmax(relative[first] + np.log1p(gamma * log_2) - gamma * log_2))
    alike[leader] -= 1
    distinct = weight.at(first)
    log_weight = distinct.log_ratio(distinct.at(np.array([leader])))
    depth = float(np.ptp(log_weight) + np.log1p(np.max(gamma)) + 1)
    u, d = balanced(Classes(log_weight, gamma, alike, float(gamma[leader]), depth))
    d[leader] = 0.0
    near = np.abs(d) < 1
    close = -np.log1p(probabilities(u)[1] * np.expm1(-np.where(near, d, 0.0)))
    gap = np.where(near, close, softplus(np.array(-u)) - softplus(-u - d))[place]
    centred = gap - np.mean(gap)
    logits: Floats = centred - np.mean(centred)
    return logits
