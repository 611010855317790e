"""Both losses in mpmath, as the documentation words them: an oracle that owes the reference nothing.

Only values are defined here. Derivatives are taken of them numerically. Nothing is written with rounding in
mind: precision is bought with digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
from mpmath import mp

DIGITS = 50


def per_class(parameter: Any, c: int | None, absent: Any = 1) -> Any:
    """A parameter's number for class c."""
    if parameter is None:
        return absent
    return mp.mpf(parameter[c] if np.ndim(parameter) else parameter)


def power(base: Any, exponent: Any) -> Any:
    """x^g, where 0^0 is 1."""
    return mp.mpf(1) if exponent == 0 else mp.mpf(base) ** exponent


def modulated(p: Any, y: Any, gamma: Any, meaning: str) -> tuple[Any, Any]:
    """Modulating factor and cross entropy of a probability, for the two meanings that are a product."""
    entropy = -(y * mp.log(p) if y else 0) - ((1 - y) * mp.log(1 - p) if y != 1 else 0)
    base = y * (1 - p) + (1 - y) * p if meaning == "mixture" else abs(y - p)
    return power(base, gamma), entropy


def binary(p: Any, y: Any, alpha: Any, gamma: Any, meaning: str) -> tuple[Any, Any]:
    """Loss and modulating factor of one probability of class 1."""
    if meaning == "expected":
        heads = power(1 - p, gamma) * -mp.log(p) * (1 if alpha is None else alpha)
        tails = power(p, gamma) * -mp.log(1 - p) * (1 if alpha is None else 1 - alpha)
        return y * heads + (1 - y) * tails, power(1 - p if y else p, gamma)
    factor, entropy = modulated(p, y, gamma, meaning)
    weight = 1 if alpha is None else y * alpha + (1 - y) * (1 - alpha)
    return weight * factor * entropy, factor


def clip(p: Any, eps: float) -> Any:
    """To [eps, 1 - eps], if at all."""
    low, high = mp.mpf(eps), mp.mpf(1 - eps)
    return min(max(p, low), high) if eps else p


Piece = tuple[tuple[int, ...], Any, Any, Any, Any, Any]


def sigmoid_pieces(loss: Any, x: Any, targets: Any, weights: Any) -> Iterator[Piece]:
    """Where, weight, loss, factor, weight for "weights", and target of every logit that is not ignored."""
    axis = loss.class_axis
    dense = targets.shape == x.shape
    for place in np.ndindex(x.shape):
        c = None if axis is None else place[axis]
        position = place if dense else tuple(np.delete(place, axis).tolist())
        target = targets[position]
        if loss.ignore_index is not None and target == loss.ignore_index:
            continue
        hit = target if dense else (target == c and target != loss.background_index)
        y = mp.mpf(float(hit))
        s = mp.mpf(loss.label_smoothing)
        smooth = y * (1 - s) + s / 2
        alpha, gamma = per_class(loss.alpha, c, None), per_class(loss.gamma, c)
        p = 1 / (1 + mp.exp(-x[place])) if loss.from_logits else clip(x[place], loss.eps)
        value, factor = binary(p, smooth, alpha, gamma, loss.soft_targets)
        weight = mp.mpf(float(weights[position])) * per_class(loss.class_weight, c)
        balance = 1 if alpha is None else y * alpha + (1 - y) * (1 - alpha)
        yield place, weight, value, factor, weight * balance, y


def softmax_pieces(loss: Any, x: Any, targets: Any, weights: Any) -> Iterator[Piece]:
    """The same for every row that is not ignored."""
    axis, classes = loss.class_axis, x.shape[loss.class_axis]
    dense = targets.shape == x.shape
    rows, given = np.moveaxis(x, axis, -1), np.moveaxis(targets, axis, -1) if dense else targets
    for place in np.ndindex(rows.shape[:-1]):
        if not dense and loss.ignore_index is not None and given[place] == loss.ignore_index:
            continue
        z = rows[place]
        y = [mp.mpf(float(given[place][c] if dense else given[place] == c)) for c in range(classes)]
        s = mp.mpf(loss.label_smoothing)
        smooth = [yc * (1 - s) + s / classes for yc in y]
        if loss.from_logits:
            total = mp.fsum(mp.exp(zc) for zc in z)
            p = [mp.exp(zc) / total for zc in z]
        else:
            p = [clip(zc, loss.eps) for zc in z]
        missed = [
            1 / (1 + mp.exp(zc)) if loss.modulator == "sigmoid" else 1 - pc
            for zc, pc in zip(z, p, strict=True)
        ]
        alpha = [per_class(loss.alpha, c) for c in range(classes)]
        factors = [power(missed[c], per_class(loss.gamma, c)) for c in range(classes)]
        present = [c for c in range(classes) if smooth[c]]
        value = mp.fsum(smooth[c] * alpha[c] * factors[c] * -mp.log(p[c]) for c in present)
        factor = mp.fsum(smooth[c] * factors[c] for c in present)
        weight = mp.mpf(float(weights[place]))
        balance = mp.fsum(y[c] * alpha[c] for c in range(classes))
        yield place, weight, value, factor, weight * balance, 1


def reduced_value(loss: Any, x: Any, targets: Any, sample_weight: Any = None) -> Any:
    """The value of a loss as one number; what is not reduced is added up."""
    targets = np.asarray(targets)
    softmax = hasattr(loss, "modulator")
    shape = targets.shape
    if softmax and targets.shape == x.shape:
        shape = tuple(np.delete(shape, loss.class_axis).tolist())
    weights = np.broadcast_to(1.0 if sample_weight is None else sample_weight, shape)
    pieces = list((softmax_pieces if softmax else sigmoid_pieces)(loss, x, targets, weights))
    total = mp.fsum(weight * value for _, weight, value, *_ in pieces)
    if loss.reduction != "mean":
        return total
    named = {
        None: len(pieces),
        "focal_weights": mp.fsum(factor for *_, factor, _, _ in pieces),
        "weights": mp.fsum(weight for *_, weight, _ in pieces),
        "positives": mp.fsum(y for *_, y in pieces),
    }
    divisor = named[loss.normalizer] if loss.normalizer in named else mp.mpf(loss.normalizer)
    return total / divisor if divisor else mp.mpf(0)


def differentiated(loss: Any, logits: Any, targets: Any, sample_weight: Any = None) -> tuple[float, Any, Any]:
    """Value, numerical gradient and numerical diagonal Hessian, rounded to float64 at the end."""
    logits = np.asarray(logits, np.float64)
    # Far out the loss is linear up to an exponential, and the second derivative that of the exponential.
    with mpmath.workdps(DIGITS + int(min(np.max(np.abs(logits)), 200.0))):
        point = np.array([mp.mpf(z) for z in logits.ravel().tolist()], object).reshape(logits.shape)

        def along(place: tuple[int, ...]) -> Callable[[Any], Any]:
            def moved(z: Any) -> Any:
                there = point.copy()
                there[place] = z
                return reduced_value(loss, there, targets, sample_weight)

            return moved

        value = float(reduced_value(loss, point, targets, sample_weight))
        first, second = np.zeros(logits.shape), np.zeros(logits.shape)
        for place in np.ndindex(logits.shape):
            first[place] = float(mp.diff(along(place), point[place]))
            second[place] = float(mp.diff(along(place), point[place], 2))
        return value, first, second


def derivative(loss: Any, logit: float, target: float, order: int) -> float:
    """A derivative of the loss of one number, which may be very close to the end of its range."""
    room = min(abs(logit), abs(1 - logit))
    with mpmath.workdps(DIGITS + int(-3 * np.log10(room)) if 0 < room < 1 else DIGITS):
        one = np.array([mp.mpf(0)], object)

        def moved(z: Any) -> Any:
            one[0] = z
            return reduced_value(loss, one, np.array([target]))

        return float(mp.diff(moved, mp.mpf(float(logit)), order))
