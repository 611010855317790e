"""The class posterior, recovered from the scores of a model that focal loss has trained.

Focal loss is no proper loss: its minimiser is not the posterior but flatter (Charoenphakdee and others, "On
Focal Loss for Class-Posterior Probability Estimation", CVPR 2021, theorem 11). Because the expected loss is
linear in the posterior eta, setting its gradient to zero gives eta back from the score.

Binary, where f is the loss of a margin: ``eta alpha f'(z) = (1 - eta) (1 - alpha) f'(-z)``, so::

    eta / (1 - eta) = (1 - alpha) |f'(-z)| / (alpha |f'(z)|)

Softmax: ``p_j sum_c eta_c alpha_c F_c = eta_j alpha_j F_j`` for every j, with ``F = -dl/dlog p``, so eta_j is
proportional to ``p_j / (alpha_j F_j)``.

The sigmoid modulator ``W(z_t) = (1 - sigmoid(z_t))^g`` has no such point: pushing all logits up together
takes the loss to 0. There eta_j is by definition proportional to
``p_j / (alpha_j (1 + g sigmoid(z_j) L_j))``: the slope that the modulator adds to that of L takes the place
of F, and gamma 0 is softmax as it should be.

All of it in logarithms, because both sides leave the range of numbers long before their ratio does:
``log |f'| = g log q + log(q + g p L)`` and ``log F = g log q + log(1 + g p L / q)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from focalgrad._reference.losses import along
from focalgrad._reference.margin import probabilities
from focalgrad._reference.rows import lead, undefined_rows
from focalgrad._reference.terms import Floats


def softplus(z: Floats) -> Floats:
    """log(1 + exp(z))."""
    result: Floats = np.logaddexp(0.0, z)
    return result


def entropy_ratio(z: Floats) -> Floats:
    """``p L / q`` at a margin: rises from 0 to 1."""
    small = np.exp(-np.abs(z))
    ahead = np.where(small > 0, np.log1p(small) / small, 1.0)
    behind = np.where(small > 0, small * (np.log1p(small) - z), 0.0)
    ratio: Floats = np.where(np.isnan(z), np.nan, np.where(z >= 0, ahead, behind))
    return ratio


def log_steepness(z: Floats, gamma: ArrayLike) -> Floats:
    """Give log F at a margin: ``g log q + log(1 + g p L / q)``."""
    gamma = np.asarray(gamma, np.float64)
    return np.where(
        (gamma == 0) & ~np.isnan(z), 0.0, np.log1p(gamma * entropy_ratio(z)) - gamma * softplus(z)
    )


def log_odds(z: Floats, gamma: ArrayLike) -> Floats:
    """Give ``log |f'(-z) / f'(z)|``: the log-odds of the posterior of class 1, were alpha 1/2.

    ``log q(z) - log q(-z) = -z``, so that no large gamma leaves a difference of equal numbers.
    """
    gamma = np.asarray(gamma, np.float64)
    bend = np.log((1 + gamma * entropy_ratio(-z)) / (1 + gamma * entropy_ratio(z)))
    odds: Floats = z + gamma * z + bend
    return np.where((gamma == 0) & ~np.isnan(z), z, odds)


def binary_posterior(z: Floats, alpha: Any, gamma: Any) -> Floats:
    """Posterior of class 1; alpha 0 or 1 decides against any finite or infinite score."""
    most = np.finfo(np.float64).max
    odds = np.clip(log_odds(z, gamma), -most, most)
    if alpha is not None:
        odds = odds + np.log1p(-np.asarray(alpha)) - np.log(alpha)
    return probabilities(odds).p


def log_softmax(z: Floats) -> Floats:
    """Logarithm of softmax along the last axis, also where one logit is infinite."""
    top = np.max(z, axis=-1, keepdims=True)
    shifted = np.where(z == top, 0.0, z - top)
    logs: Floats = shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
    return logs


def row_posterior(z: Floats, alpha: Any, gamma: Any, modulator: str) -> Floats:
    """Posteriors of rows of scores."""
    classes = z.shape[1]
    gamma = np.broadcast_to(np.asarray(gamma, np.float64), classes)
    margins = np.empty_like(z)
    for c in range(classes):
        leads = lead(z, np.full(len(z), c))
        margins[:, c] = leads.margin + leads.low
    log_p = -softplus(-margins)
    if modulator == "softmax":
        steepness = log_steepness(margins, gamma)
    else:
        sigmoid = probabilities(z).p
        slope = np.where(sigmoid == 0, 0.0, gamma * sigmoid * -log_p)
        steepness = np.log1p(slope)
    balance = 0.0 if alpha is None else np.log(np.broadcast_to(np.asarray(alpha, np.float64), classes))
    eta = np.exp(log_softmax(log_p - balance - steepness))
    eta[undefined_rows(z)] = np.nan
    return eta


@np.errstate(all="ignore")
def posterior(loss: Any, scores: ArrayLike) -> Floats:
    """Class posteriors that scores stand for, if a model minimised this loss.

    Parameters
    ----------
    loss : object
        Anything with the constructor's parameters as attributes.
    scores : array_like
        Logits of any shape; the classes are along ``loss.class_axis``.

    Returns
    -------
    ndarray
        Probabilities. Label smoothing is undone: ``(eta - s/2) / (1 - s)``, for softmax
        ``(eta - s/C) / (1 - s)``, clipped to [0, 1]. NaN for NaN scores, and for rows without a softmax.

    Examples
    --------
    A balanced focal loss pulls scores towards 0; twice as sure is what a score of 1 meant:

    >>> from types import SimpleNamespace
    >>> from focalgrad._reference import SIGMOID
    >>> loss = SimpleNamespace(**SIGMOID | {"alpha": None, "gamma": 2.0})
    >>> eta = posterior(loss, np.array([0.0, 1.0]))
    >>> bool(eta[0] == 0.5 and eta[1] > 0.88)
    True
    """
    z, axis, s = np.asarray(scores).astype(np.float64), loss.class_axis, loss.label_smoothing
    if hasattr(loss, "modulator"):
        rows = np.moveaxis(z, axis, -1)
        flat = rows.reshape(-1, max(rows.shape[-1], 1))
        eta = row_posterior(flat, loss.alpha, loss.gamma, loss.modulator)
        eta = np.moveaxis(eta.reshape(rows.shape), -1, axis)
    else:
        eta = binary_posterior(z, *(along(p, axis, z.ndim) for p in (loss.alpha, loss.gamma)))
    classes = z.shape[axis] if hasattr(loss, "modulator") else 2
    return np.clip((eta - s / classes) / (1 - s), 0.0, 1.0) if s else eta
