"""The objective of a linear model, in coordinates that are easy to search."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from focalgrad._core import SoftmaxFocalLoss
from focalgrad.sklearn._losses import Loss

Floats = NDArray[np.float64]


def linear_scores(x: Any, coef: Floats, intercept: Floats) -> Floats:
    """Give scores (n, K) of rows, dense or sparse."""
    scores: Floats = np.asarray(x @ coef.T)
    scores += intercept
    return scores


class Problem(NamedTuple):
    """``|w|^2 / (2 C) + sum_i w_i loss_i``, divided by its value at the start.

    A point has K rows (one for two classes, else one a class): the weights of centred columns and, last, the
    intercept, each times its ``scale``, the root of the curvature there at the start. So columns of any size
    and offset give L-BFGS directions of about the same length, hardly tied to each other. The minimum
    stays where it is: centring moves nothing but the intercept, which is free, and the penalty is on the
    weights of the columns as given.
    """

    loss: Loss  # with reduction="sum"
    x: Any  # (n, d), dense or sparse
    targets: NDArray[np.intp]
    weights: Floats | None
    penalty: float  # 1 / C
    centre: Floats  # (d,)
    scale: Floats  # (K, d + 1); infinite for an intercept that stays 0
    unit: float

    def unpack(self, point: Floats) -> tuple[Floats, Floats]:
        """Give coefficients (K, d) and intercepts (K,)."""
        given = point.reshape(self.scale.shape) / self.scale
        coef = given[:, :-1]
        return coef, given[:, -1] - coef @ self.centre

    def level(self) -> Floats:
        """Give the direction, of length 1, in which the objective is constant: zeros if there is none.

        Softmax does not see what all intercepts have in common.
        """
        direction = np.zeros(self.scale.shape)
        if isinstance(self.loss, SoftmaxFocalLoss) and np.isfinite(self.scale[:, -1]).all():
            direction[:, -1] = self.scale[:, -1] / np.linalg.norm(self.scale[:, -1])
        return direction.ravel()

    def __call__(self, point: Floats) -> tuple[float, Floats]:
        """Give value and gradient."""
        coef, intercept = self.unpack(point)
        slopes = linear_scores(self.x, coef, intercept)
        scores = slopes if len(coef) > 1 else slopes[:, 0]
        # The gradient takes the place of the scores.
        value, _ = self.loss.value_and_grad(scores, self.targets, sample_weight=self.weights, grad_out=scores)
        total = slopes.sum(axis=0)
        grad = np.empty(self.scale.shape)
        grad[:, :-1] = (self.x.T @ slopes).T - np.outer(total, self.centre) + self.penalty * coef
        grad[:, -1] = total
        value += 0.5 * self.penalty * float(np.sum(coef * coef))
        return float(value) / self.unit, (grad / self.scale).ravel() / self.unit


def moments(x: Any, weights: Floats) -> tuple[Floats, Floats]:
    """Give mean and mean square of every column, without a copy of dense ones."""
    if issparse(x):
        mean, variance = mean_variance_axis(x, axis=0, weights=weights)
        return np.asarray(mean), np.asarray(variance + mean * mean)
    total = weights.sum()
    return weights @ x / total, np.einsum("i,ij,ij->j", weights, x, x) / total


def problem_at(
    loss: Loss,
    x: Any,
    targets: NDArray[np.intp],
    weights: Floats | None,
    start: Floats,
    *,
    penalty: float,
    fit_intercept: bool,
) -> tuple[Problem, Floats]:
    """Give the problem and the point to start from: no weights, and the intercepts `start`.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        Of logits; its reduction does not matter.
    x : {ndarray, sparse matrix} of shape (n, d)
        Of float64.
    targets : ndarray of shape (n,)
        Class indices.
    weights : ndarray of shape (n,) or None
        Weights of rows.
    start : ndarray of shape (K,)
        One score for two classes, else one a class.
    penalty : float
        1 / C.
    fit_intercept : bool
        Without it, intercepts stay 0.
    """
    loss = loss.replace(reduction="sum")
    start = start if fit_intercept else np.zeros_like(start)
    rows, columns = x.shape
    scores = np.tile(start, (rows, 1)) if len(start) > 1 else np.full(rows, start[0])
    value = float(loss(scores, targets, sample_weight=weights))
    _, hess = loss.grad_and_hess(scores, targets, sample_weight=weights, hessian="upper")
    curvature = np.abs(hess.reshape(rows, len(start)).sum(axis=0))
    mean, square = moments(x, np.ones(rows) if weights is None else np.abs(weights))
    spread = square
    if fit_intercept:
        # A constant column, of which rounding leaves anything, is scaled by the penalty, or not at all.
        spread = np.maximum(square - mean * mean, 0.0)
        spread[spread < 1e-14 * square] = 0.0
    else:
        mean = np.zeros_like(mean)
    scale = np.full((len(start), columns + 1), np.inf)
    scale[:, :-1] = np.sqrt(np.outer(curvature, spread) + penalty)
    if fit_intercept:
        scale[:, -1] = np.sqrt(curvature)
    scale[scale == 0] = 1.0
    unit = value if 0 < value < np.inf else 1.0
    # The objective is divided by its unit, and so is its curvature.
    problem = Problem(loss, x, targets, weights, penalty, mean, scale / np.sqrt(unit), unit)
    point = np.zeros(scale.shape)
    if fit_intercept:
        point[:, -1] = start * problem.scale[:, -1]
    return problem, point.ravel()
