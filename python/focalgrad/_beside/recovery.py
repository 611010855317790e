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
from numpy.typing import ArrayLike, NDArray

from focalgrad._beside.tally import per_class_length, positive_axis, real_array
from focalgrad._reference.losses import along
from focalgrad._reference.margin import probabilities
from focalgrad._reference.rows import lead, undefined_rows
from focalgrad._reference.terms import Floats

CHUNK = 1 << 16  # elements at a time: a few arrays of float64 beside them fit the cache


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
def posterior(loss: Any, scores: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Class posteriors that scores stand for, if a model minimised this loss.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        The loss that trained the model.
    scores : array_like
        Logits of any shape; the classes are along ``loss.class_axis``.
    out : ndarray, optional
        To fill and return: of the scores' shape and the result's dtype.

    Returns
    -------
    ndarray
        Probabilities of the scores' shape and dtype (integers: float64). Label smoothing is undone:
        ``(eta - s/2) / (1 - s)``, for softmax ``(eta - s/C) / (1 - s)``, clipped to [0, 1]. NaN for NaN
        scores, and for softmax rows without a softmax.

    Raises
    ------
    ValueError
        If the loss is one of probabilities, or a per-class parameter is not as long as the class axis.
    TypeError
        If the scores are no real numbers.

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
    if not loss.from_logits:
        raise ValueError("posterior takes a loss of logits; got one with from_logits=False")
    scores = real_array("scores", scores)
    if scores.dtype.kind == "b":
        raise TypeError("scores must be an array of numbers; got an array of dtype bool")
    dtype = np.dtype(np.float64) if scores.dtype.kind in "biu" else scores.dtype
    softmax = hasattr(loss, "modulator")
    axis: Any = None if loss.class_axis is None else positive_axis("scores", loss.class_axis, scores)
    known = per_class_length(loss)
    if known not in (None, axis if axis is None else scores.shape[axis]):
        raise ValueError(f"scores must have {known} classes along axis {axis}; got shape {scores.shape}")
    if out is None:
        out = np.empty_like(scores, dtype=dtype, subok=False)
    elif not isinstance(out, np.ndarray) or out.dtype != dtype:
        raise TypeError(
            f"out must be an array of the result's dtype {dtype}; "
            f"got {getattr(out, 'dtype', type(out).__name__)}"
        )
    elif out.shape != scores.shape:
        raise ValueError(f"out must be of the result's shape {scores.shape}; got shape {out.shape}")
    for part in slices(scores.shape, axis):
        z = scores[part].astype(np.float64)
        if softmax:
            rows = np.moveaxis(z, axis, -1)
            eta = row_posterior(
                rows.reshape(-1, max(rows.shape[-1], 1)), loss.alpha, loss.gamma, loss.modulator
            )
            eta = np.moveaxis(eta.reshape(rows.shape), -1, axis)
        else:
            eta = binary_posterior(z, *(along(p, axis, z.ndim) for p in (loss.alpha, loss.gamma)))
        s = loss.label_smoothing
        if s:
            eta = np.clip((eta - s / (z.shape[axis] if softmax else 2)) / (1 - s), 0.0, 1.0)
        out[part] = eta
    return out


def slices(shape: tuple[int, ...], axis: int | None) -> list[tuple[slice, ...]]:
    """Cut an array into pieces of some `CHUNK` elements along its longest axis that is not the class axis."""
    lengths = [0 if i == axis else length for i, length in enumerate(shape)]
    whole = (slice(None),) * len(shape)
    if not lengths or max(lengths) == 0:
        return [whole] if 0 not in shape else []
    longest = int(np.argmax(lengths))
    step = max(1, CHUNK * shape[longest] // max(int(np.prod(shape)), 1))
    return [
        (*whole[:longest], slice(start, start + step), *whole[longest + 1 :])
        for start in range(0, shape[longest], step)
    ]
