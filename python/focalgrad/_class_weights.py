"""Class weights from label counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from focalgrad._core import read_array

if TYPE_CHECKING:  # what only annotations need, importing it takes a millisecond
    from numpy.typing import ArrayLike, NDArray


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
    if method not in ("inverse", "effective"):
        raise ValueError(f"method must be 'inverse' or 'effective'; got {method!r}")
    if isinstance(beta, (bool, np.bool_)) or not isinstance(beta, (int, float, np.number)):
        raise TypeError(f"beta must be a number in [0, 1); got {type(beta).__name__}")
    if not 0 <= beta < 1:
        raise ValueError(f"beta must be a number in [0, 1); got {beta!r}")
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
    # 1 - beta^n without cancellation; the constant 1 - beta goes with the normalisation.
    logarithm = np.log(beta) if beta > 0 else -np.inf
    with np.errstate(over="ignore"):
        share = -np.expm1(n[present] * logarithm)
    weights[present] = np.min(share) / share
    weights *= n.size / weights.sum()
    return weights
