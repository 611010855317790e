"""Focal loss over Dask arrays: data larger than memory, on one machine or many.

The functions take a loss and build graphs: nothing is computed before ``compute()``, ``persist()`` or
whatever else asks for numbers. A block of the logits is one task with one call of the core, on one thread;
the scheduler runs as many of them side by side as it has threads.

- Logits are never rechunked. Targets and weights, of Dask or NumPy, are cut as the logits are.
- What a mean divides by is that of the whole, never a mean of means.
- Losses are added up exactly: any chunks, scheduler and number of workers give the same bits.
- Where derivatives need something of all data first, what that depends on is read in a first pass and again
  in the second, so that nothing has to stay in memory in between: targets and weights for a mean with
  ``ignore_index``, ``normalizer="positives"`` or ``"weights"``; the logits too for ``"focal_weights"``. What
  was persisted is not computed again.

>>> import dask.array as da
>>> import numpy as np
>>> import focalgrad as fg
>>> loss = fg.SigmoidFocalLoss()
>>> logits = da.linspace(-3, 3, 1_000_000, chunks=100_000)
>>> targets = (da.arange(1_000_000, chunks=100_000) % 2).astype(np.uint8)
>>> value, grad = fg.dask.value_and_grad(loss, logits, targets)
>>> round(float(value.compute()), 6)
0.319909
>>> grad
dask.array<focal-second, shape=(1000000,), dtype=float64, chunksize=(100000,), chunktype=numpy.ndarray>
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from focalgrad._adapters import library

library("dask")

from focalgrad.dask import _losses, _scores  # noqa: E402, what they import is there now

if TYPE_CHECKING:
    from dask.array import Array
    from dask.delayed import Delayed

    from focalgrad._core import SigmoidFocalLoss, SoftmaxFocalLoss

__all__ = ["grad", "grad_and_hess", "init_score", "meter", "posterior", "value", "value_and_grad"]


def value(
    loss: SigmoidFocalLoss | SoftmaxFocalLoss, logits: Array, targets: Any, *, sample_weight: Any = None
) -> Array:
    """Loss of a Dask array.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
    logits : dask.array.Array
        As for a call of the loss. The class axis, if there is one, must be in one chunk.
    targets : dask.array.Array or array_like
        As for a call. Sizes of chunks may be unknown where targets have as many chunks as the logits.
    sample_weight : dask.array.Array, array_like or float, optional
        Broadcasts as in a call.

    Returns
    -------
    dask.array.Array
        With ``reduction="sum"`` or ``"mean"`` a float64 without dimensions, as a `focalgrad.FocalLossMeter`
        of all data computes it: within 1e-14 of a call on all data, and with the same bits for any chunks.
        Else what a call gives, block by block, to the bit.

    Raises
    ------
    TypeError
        If the logits are no Dask array, or for other types that a call refuses.
    ValueError
        If the class axis is in several chunks, shapes differ, or unknown chunks differ in number. What
        depends on the numbers is raised when they are computed.

    Examples
    --------
    >>> import dask.array as da
    >>> import focalgrad as fg
    >>> logits = da.from_array([[2.0, 0.5, -1.0], [0.0, 1.0, 0.0]], chunks=(1, 3))
    >>> value = fg.dask.value(fg.SoftmaxFocalLoss(), logits, [0, 1])
    >>> round(float(value.compute()), 6)
    0.055087
    """
    return _losses.value(loss, logits, targets, sample_weight)


def grad(
    loss: SigmoidFocalLoss | SoftmaxFocalLoss, logits: Array, targets: Any, *, sample_weight: Any = None
) -> Array:
    """Gradient of the loss of a Dask array.

    Parameters
    ----------
    loss, logits, targets, sample_weight
        As for `value`.

    Returns
    -------
    dask.array.Array
        Of the logits' shape and chunks, and of the dtype that a call gives. A mean is the mean of the whole.
        The bits are those of one call on all data where its denominator is a whole number, or given; else
        the denominators may differ in their last bit.

    Raises
    ------
    TypeError, ValueError
        As `value`.

    Examples
    --------
    >>> import dask.array as da
    >>> import focalgrad as fg
    >>> logits = da.from_array([2.0, -1.0, 0.5, -3.0], chunks=2)
    >>> fg.dask.grad(fg.SigmoidFocalLoss(), logits, [1, 0, 0, 1]).compute()
    array([-0.00030443,  0.00985896,  0.09865347, -0.07042187])
    """
    return _losses.grad(loss, logits, targets, sample_weight)


def value_and_grad(
    loss: SigmoidFocalLoss | SoftmaxFocalLoss, logits: Array, targets: Any, *, sample_weight: Any = None
) -> tuple[Array, Array]:
    """Loss and gradient of a Dask array. Computed together, they take one pass over the logits.

    Parameters
    ----------
    loss, logits, targets, sample_weight
        As for `value`.

    Returns
    -------
    tuple of dask.array.Array
        Those of `value` and `grad`, to the bit.

    Raises
    ------
    TypeError, ValueError
        As `value`.

    Examples
    --------
    >>> import dask
    >>> import dask.array as da
    >>> import focalgrad as fg
    >>> logits = da.from_array([2.0, -1.0, 0.5, -3.0], chunks=2)
    >>> both = fg.dask.value_and_grad(fg.SigmoidFocalLoss(reduction="sum"), logits, [1, 0, 0, 1])
    >>> value, grad = dask.compute(*both)
    >>> round(float(value), 6)
    0.992073
    """
    return _losses.value_and_grad(loss, logits, targets, sample_weight)


def grad_and_hess(
    loss: SigmoidFocalLoss | SoftmaxFocalLoss,
    logits: Array,
    targets: Any,
    *,
    sample_weight: Any = None,
    hessian: Literal["exact", "gauss_newton", "upper"] = "exact",
) -> tuple[Array, Array]:
    """Gradient and diagonal Hessian of the loss of a Dask array. Computed together, they take one pass.

    Parameters
    ----------
    loss, logits, targets, sample_weight
        As for `value`.
    hessian : {"exact", "gauss_newton", "upper"}, default "exact"
        As for a call.

    Returns
    -------
    tuple of dask.array.Array
        Like the result of `grad`.

    Raises
    ------
    TypeError, ValueError
        As `value`, and if there is no such Hessian.

    Examples
    --------
    >>> import dask
    >>> import dask.array as da
    >>> import focalgrad as fg
    >>> logits = da.from_array([2.0, -1.0, 0.5, -3.0], chunks=2)
    >>> both = fg.dask.grad_and_hess(fg.SigmoidFocalLoss(), logits, [1, 0, 0, 1], hessian="upper")
    >>> bool((both[1].min() >= 0).compute())
    True
    """
    return _losses.grad_and_hess(loss, logits, targets, sample_weight, hessian)


def meter(
    loss: SigmoidFocalLoss | SoftmaxFocalLoss, logits: Array, targets: Any, *, sample_weight: Any = None
) -> Delayed:
    """Meter of the loss of a Dask array.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        With ``reduction="sum"`` or ``"mean"``.
    logits, targets, sample_weight
        As for `value`.

    Returns
    -------
    dask.delayed.Delayed
        Computes a `focalgrad.FocalLossMeter` that has seen all data, and can be merged with others.

    Raises
    ------
    TypeError, ValueError
        As `value`, and if the loss is no number.

    Examples
    --------
    >>> import dask.array as da
    >>> import focalgrad as fg
    >>> loss = fg.SigmoidFocalLoss(reduction="sum")
    >>> logits = da.from_array([2.0, -1.0, 0.5, -3.0], chunks=2)
    >>> meter = fg.dask.meter(loss, logits, [1, 0, 0, 1]).compute()
    >>> meter.update([0.0], [1])
    >>> round(meter.compute(), 6)
    1.035395
    """
    return _losses.meter(loss, logits, targets, sample_weight)


def init_score(
    loss: SigmoidFocalLoss | SoftmaxFocalLoss,
    targets: Any,
    sample_weight: Any = None,
    *,
    dense: bool | None = None,
) -> Array:
    """Constant logit that minimises the loss of Dask targets: where boosting starts.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
    targets : dask.array.Array or array_like
        As for ``loss.init_score``. The class axis of dense targets must be in one chunk.
    sample_weight : dask.array.Array, array_like or float, optional
        Broadcasts as in a call.
    dense : bool, optional
        Whether targets have a class axis, as for ``loss.init_score``.

    Returns
    -------
    dask.array.Array
        A float64 without dimensions, or of shape (C,) if the loss has a class axis: what ``loss.init_score``
        gives for one target of each class (or each distinct target) with the weight of all of them. Counts
        are exact, so chunks do not matter. Where only class indices say how many classes there are, the
        length is unknown before it is computed, and 0 if none counts.

    Raises
    ------
    TypeError, ValueError
        What ``loss.init_score`` raises; class indices that are none when they are counted.

    Notes
    -----
    Soft targets of a sigmoid loss are counted by distinct value. Of more than 16,384 values in a class,
    neighbours within 2**-14 are counted together, which moves the score by less than 1e-8 (with
    ``soft_targets="quality"`` and gamma below 1, whose loss has a cleft at each target: 1e-3).

    Examples
    --------
    >>> import dask.array as da
    >>> import focalgrad as fg
    >>> targets = da.from_array([1] * 10 + [0] * 90, chunks=25)
    >>> score = fg.dask.init_score(fg.SigmoidFocalLoss(alpha=None, gamma=0.0), targets)
    >>> round(float(score.compute()), 6)
    -2.197225
    """
    return _scores.init_score(loss, targets, sample_weight, dense)


def posterior(loss: SigmoidFocalLoss | SoftmaxFocalLoss, scores: Array) -> Array:
    """Class probabilities that focal training distorted, recovered block by block.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
    scores : dask.array.Array
        As for ``loss.posterior``. The class axis, if there is one, must be in one chunk.

    Returns
    -------
    dask.array.Array
        Of the scores' shape and chunks.

    Raises
    ------
    TypeError, ValueError
        As `value`, and what ``loss.posterior`` raises.

    Examples
    --------
    >>> import dask.array as da
    >>> import focalgrad as fg
    >>> scores = da.from_array([-1.0, 0.0, 2.0], chunks=2)
    >>> fg.dask.posterior(fg.SigmoidFocalLoss(alpha=None), scores).compute().round(6)
    array([0.06406 , 0.5     , 0.995496])
    """
    return _scores.posterior(loss, scores)
