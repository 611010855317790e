"""What targets mean: dense values or class indices, ignored ones, background, and smoothing.

Smoothing (Szegedy and others, "Rethinking the Inception Architecture", 2016, section 7) moves a share s of
each target to the uniform distribution: ``y (1 - s) + s / 2`` for a binary target, ``y (1 - s) + s / C`` for
one of C classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._reference.terms import Floats

Mask = NDArray[np.bool_]


class Labels(NamedTuple):
    """Targets of every logit, 0 where ignored."""

    y: Floats  # of the logits' shape, before smoothing
    counted: Mask  # not ignored; of the targets' shape
    dense: bool


def same_number(targets: NDArray[Any], number: float | None) -> Mask:
    """Where targets equal a number, as numbers: no rounding to the targets' dtype, no wrapping around.

    NaN equals NaN here.
    """
    if number is None:
        return np.zeros(targets.shape, bool)
    nowhere = np.zeros(targets.shape, bool)
    if targets.dtype.kind in "iub":
        if number != number or abs(number) > 2**64 or int(number) != number:
            return nowhere
        # Python's integers: no type of NumPy has both all of int64 and all of uint64.
        return np.asarray(targets.astype(object) == int(number), bool)
    if float(number) != number == number:
        return nowhere
    numbers = targets.astype(np.float64)
    same: Mask = np.isnan(numbers) if number != number else numbers == float(number)
    return same


def in_unit_interval(numbers: NDArray[Any]) -> Floats:
    """Targets and probabilities as float64: outside [0, 1] they have no meaning and are NaN; -0.0 is 0."""
    return np.where((numbers < 0) | (numbers > 1), np.nan, numbers.astype(np.float64) + 0.0)


def invalid_indices(targets: NDArray[Any], classes: int, skipped: Mask) -> Mask:
    """Where targets are no class indices: not whole, or out of range."""
    bad: Mask = ~((targets >= 0) & (targets < classes) & (targets == np.floor(targets))) & ~skipped
    return bad


def class_indices(targets: NDArray[Any], classes: int, skipped: Mask) -> NDArray[np.intp]:
    """Give targets as class indices, 0 where skipped.

    Raises
    ------
    ValueError
        If one that is not skipped is no whole number or out of range. Names the first in C order.
    """
    bad = invalid_indices(targets, classes, skipped)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"targets must be class indices from 0 to {classes - 1}; "
            f"got targets[{', '.join(map(str, where))}] = {targets[where]}"
        )
    return np.where(skipped, 0, targets).astype(np.intp)


def read_labels(
    shape: tuple[int, ...],
    targets: ArrayLike,
    *,
    class_axis: int | None,
    ignore_index: float | None,
    background_index: int | None = None,
) -> Labels:
    """Read targets of either form; class indices become one-hot.

    Parameters
    ----------
    shape : tuple of int
        Of the logits.
    targets : array_like
        Of that shape, or of that shape without the class axis.
    class_axis : int or None
        Where the classes are.
    ignore_index, background_index : number or None
        Targets to leave out; the index that stands for no class at all.

    Returns
    -------
    Labels
        One-hot vectors of background and of ignored targets are zero; dense targets outside [0, 1] are NaN.

    Raises
    ------
    ValueError
        For targets of another shape, and for indices out of range.
    """
    targets = np.asarray(targets)
    ignored = same_number(targets, ignore_index)
    if targets.shape == shape:
        return Labels(np.where(ignored, 0.0, in_unit_interval(targets)), ~ignored, True)
    if class_axis is None:
        raise ValueError(f"targets must have the logits' shape {shape}; got {targets.shape}")
    without = tuple(np.delete(shape, class_axis).tolist())
    if targets.shape != without:
        raise ValueError(f"targets must have shape {shape} or {without}; got {targets.shape}")
    nowhere = ignored | same_number(targets, background_index)
    classes = shape[class_axis]
    indices = np.expand_dims(class_indices(targets, classes, nowhere), class_axis)
    columns = np.arange(classes).reshape(
        [-1 if axis == class_axis % len(shape) else 1 for axis in range(len(shape))]
    )
    return Labels(1.0 * ((columns == indices) & ~np.expand_dims(nowhere, class_axis)), ~ignored, False)


def smoothed(y: Floats, smoothing: float, classes: int) -> Floats:
    """Move a share of the targets to the uniform distribution."""
    return y if smoothing == 0 else y * (1 - smoothing) + smoothing / classes
