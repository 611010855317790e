"""Class weights from label counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from focalgrad._core import read_array

if TYPE_CHECKING:  # what only annotations need, importing it takes a millisecond
    from numpy.typing import ArrayLike, NDArray


def unit_number(name: str, given: object) -> float:
    """Give a number in [0, 1) as it is, or raise."""
    scalar = given[()] if isinstance(given, np.ndarray) and given.ndim == 0 else given
    if isinstance(scalar, (bool, np.bool_)) or not isinstance(scalar, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number in [0, 1); got {type(given).__name__}")
    # A long double just below 1 may be no float64 below 1, an integer no float64 at all.
    number = float(scalar) if 0 <= scalar < 1 else 1.0
    if not number < 1:
        raise ValueError(f"{name} must be a number in [0, 1); got {given!r}")
    return number


def balanced(counts: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Give ``1 / (1 - exp(-n rate))`` over the largest of them, for positive counts n."""
    with np.errstate(over="ignore", under="ignore"):
        x = counts * rate
        share, least = -np.expm1(-x), np.min(counts)
        # There 1 - exp(-x) is x to the last digit, which may be too small for a number.
        small = x < 2.0**-60
        if not small.any():
            return np.asarray(np.min(share) / share)
        return np.where(small, least / counts, least / np.where(small, 1.0, share) * rate)


def class_weights(counts: ArrayLike, method: str = "inverse", beta: float = 0.999) -> NDArray[np.float64]:
    """Weights that balance classes of different sizes.

    Parameters
    ----------
    counts : array_like of shape (C,)
        How many labels (or how much weight) each class has. 0 is legal and gives weight 0.
    method : {"inverse", "effective"}, default "inverse"
        ``"inverse"``: proportional to ``1 / n_c``, with sum 1. ``"effective"``: proportional to
        ``(1 - beta) / (1 - beta**n_c)``, the inverse of the effective number of samples, with sum C.
    beta : float, default 0.999
        In [0, 1), for ``"effective"``: 0 weights all classes alike, and the limit 1 is ``"inverse"``.

    Returns
    -------
    ndarray of shape (C,), float64
        For ``class_weight`` of `SigmoidFocalLoss`, or ``alpha`` of `SoftmaxFocalLoss`. All zeros if all
        counts are.

    Raises
    ------
    TypeError
        If counts or `beta` are no real numbers.
    ValueError
        If a count is negative, NaN or infinite, counts are not one-dimensional, `beta` is out of range or
        `method` unknown.

    References
    ----------
    Cui, Jia, Lin, Song and Belongie, "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019,
    equations 2 to 4.

    Examples
    --------
    >>> import focalgrad as fg
    >>> fg.class_weights([100, 200, 50, 10])
    array([0.07407407, 0.03703704, 0.14814815, 0.74074074])
    >>> fg.class_weights([1000, 10, 0], "effective", beta=0.99).round(6)
    array([0.261829, 2.738171, 0.      ])
    """
    if not isinstance(method, str):
        raise TypeError(f"method must be 'inverse' or 'effective'; got {type(method).__name__}")
    if method not in ("inverse", "effective"):
        raise ValueError(f"method must be 'inverse' or 'effective'; got {method!r}")
    kept = unit_number("beta", beta)
    n = np.asarray(read_array("counts", counts))
    if n.ndim != 1:
        raise ValueError(f"counts must have one dimension; got shape {n.shape}")
    n = n.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(n) & (n >= 0)))
    if bad.size:
        raise ValueError(f"counts must be finite and not negative; got counts[{bad[0]}] = {n[bad[0]]}")

    weights = np.zeros(n.shape)
    present = n > 0
    if not present.any():
        return weights
    if method == "inverse":
        weights[present] = np.min(n[present]) / n[present]
        weights /= weights.sum()
        return weights
    counted = n[present]
    weights[present] = balanced(counted, -float(np.log(kept))) if kept > 0 else 1.0
    weights *= n.size / weights.sum()
    return weights
