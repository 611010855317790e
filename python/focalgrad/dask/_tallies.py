"""Targets counted block by block, and the best constant score of what was counted.

`init_score` depends on the targets through the weight of each class, or, where soft targets do not enter the
loss linearly, of each distinct target. Blocks are counted, counts are merged, and in the end a few targets
that stand for all of them are given to the loss, with the counts as their weights.
"""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from focalgrad._reference.targets import invalid_indices, same_number
from focalgrad.dask._arguments import class_count
from focalgrad.dask._tasks import Array, Loss
from focalgrad.dask._totals import Totals, totals

#: Distinct targets of a class that are kept apart. If there are more, those in the same one of so many equal
#: parts of [0, 1] count as so many times their mean, which moves the score by less than 1e-8.
DISTINCT = 1 << 14
#: Targets that are looked at together.
PIECE = 1 << 14
#: Class indices must be smaller where only they say how many classes there are.
MOST_CLASSES = 1 << 27


def is_ignored(loss: Loss, targets: Array) -> NDArray[np.bool_]:
    """Tell which targets do not count."""
    index = loss.ignore_index
    return np.isnan(targets) if index is not None and math.isnan(index) else same_number(targets, index)


def spread(weight: Array | None, shape: tuple[int, ...]) -> Array | None:
    """Broadcast weights, if there are any."""
    return None if weight is None else np.broadcast_to(weight, shape)


def at(array: Array | None, where: Any) -> Any:
    """Pick from an array, if there is one."""
    return None if array is None else array[where]


def refuse(targets: Array, bad: NDArray[np.bool_], takes: str) -> None:
    """Refuse bad targets, naming the first one's place in its block."""
    if bad.any():
        where = tuple(np.argwhere(bad)[0].tolist())
        place = f"targets[{', '.join(map(str, where))}]" if where else "targets"
        raise ValueError(
            f"targets must be {takes}; got {place} = {targets[where]} in a block of shape {targets.shape}"
        )


def check_dense(loss: Loss, targets: Array) -> None:
    """Refuse dense targets that have no loss."""
    bad = ((targets < 0) | (targets > 1)) & ~is_ignored(loss, targets)
    refuse(targets, np.asarray(bad), "from 0 to 1 where they are dense")


# --- class indices ---


def count_indices(targets: Array, weight: Array | None, *, loss: Loss) -> Totals:
    """Sum the weight of each class; background comes first."""
    ignored = is_ignored(loss, targets)
    background = same_number(targets, getattr(loss, "background_index", None)) & ~ignored
    classes = class_count(loss)
    limit = MOST_CLASSES if classes is None else classes
    bad = invalid_indices(targets, limit, ignored | background)
    refuse(targets, bad, f"class indices, whole, not negative and below {limit}")
    counted = ~ignored
    place = np.where(background, 0, targets)[counted].astype(np.intp) + ~background[counted]
    length = 1 + (int(place.max(initial=0)) if classes is None else classes)
    return totals(place, at(spread(weight, targets.shape), counted), length)


def score_of_indices(counts: Totals, *, loss: Loss) -> Array:
    """Give the score for one target of each class, as heavy as all of it."""
    weights = counts.to_float()
    targets = np.arange(len(weights) - 1, dtype=np.int64)
    background = getattr(loss, "background_index", None)
    if background is None:
        weights = weights[1:]
    else:
        targets = np.append(background, targets)
    return np.asarray(loss.init_score(targets, weights)) if len(counts.finite) > 1 else np.zeros(0)


# --- a target for each class of a softmax loss, which is linear in them ---


def count_rows(targets: Array, weight: Array | None, *, loss: Loss, axis: int) -> Totals:
    """Sum the weight of each class, and that of all targets."""
    check_dense(loss, targets)
    columns = np.moveaxis(targets, axis, 0)
    weights = np.ones(columns.shape[1:]) if weight is None else np.broadcast_to(weight, columns.shape[1:])
    one = np.zeros(weights.size, np.intp)
    parts = [totals(one, (column * weights.astype(np.float64)).ravel(), 1) for column in columns]
    parts.append(totals(one, weights.ravel(), 1))
    return Totals(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def score_of_rows(counts: Totals, *, loss: Loss) -> Array:
    """Give the score for one sure target of each class, as heavy as all of it.

    What targets lack to a sum of 1, or have beyond it, is the weight of a row without any target: it counts
    where labels are smoothed.
    """
    rest = Totals(*(np.append(part[:-1], part[-1] - part[:-1].sum()) for part in counts))
    classes = len(rest.finite) - 1
    rows = classes + 1 if loss.label_smoothing else classes
    targets = np.eye(rows, classes)
    return np.asarray(loss.replace(class_axis=-1).init_score(targets, rest.to_float()[:rows]))


# --- a target for each element of a sigmoid loss ---


class Column(NamedTuple):
    """Distinct targets of a class with their weights, or the weight and the moment of each part of [0, 1]."""

    targets: NDArray[np.float64]
    weights: Totals
    parts: NDArray[np.float64] | None = None

    def __add__(self, other: Any) -> Column:
        """Join what was counted."""
        if self.parts is None and other.parts is None:
            return joined(self, other)
        return of_parts(parts_of(self) + parts_of(other))

    def representatives(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give targets that stand for all, and their weights."""
        if self.parts is None:
            return self.targets, self.weights.to_float()
        weight, moment = self.parts[:, self.parts[0] != 0]
        return moment / weight, weight


def joined(one: Column, other: Column) -> Column:
    """Join distinct targets, as long as they are not too many."""
    targets = np.union1d(one.targets, other.targets)
    finite = np.zeros(len(targets), one.weights.finite.dtype)
    others = np.zeros(len(targets))
    for column in (one, other):
        place = np.searchsorted(targets, column.targets)
        finite[place] += column.weights.finite
        others[place] += column.weights.others
    both = Column(targets, Totals(finite, others))
    return both if len(targets) <= DISTINCT else of_parts(parts_of(both))


def of_parts(parts: NDArray[np.float64]) -> Column:
    """Make a column of which only the parts are known."""
    return Column(np.zeros(0), Totals(np.zeros(0, object), np.zeros(0)), parts)


def parts_of(column: Column) -> NDArray[np.float64]:
    """Give the weight and the moment of each part; 0, 1 and NaN are parts of their own."""
    return column.parts if column.parts is not None else divided(column.targets, column.weights.to_float())


def divided(y: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the weight and the moment of targets in each part."""
    inside = (y > 0) & (y < 1)
    ends = np.select([y == 0, y == 1], [DISTINCT, DISTINCT + 1], DISTINCT + 2)
    place = np.where(inside, np.where(inside, y, 0.0) * DISTINCT, ends).astype(np.intp)
    return np.array([np.bincount(place, part, DISTINCT + 3) for part in (weight, weight * y)])


def count_column(y: Array, weight: Array | None) -> Column:
    """Count targets of one class, all of which count."""
    empty = Column(np.zeros(0), totals(np.zeros(0, np.intp), at(weight, slice(0)), 0))
    column = empty
    for start in range(0, y.size, PIECE):
        some = y[start : start + PIECE].astype(np.float64)
        some_weight = at(weight, slice(start, start + PIECE))
        if column.parts is not None:
            ones = np.ones(some.size) if some_weight is None else some_weight.astype(np.float64)
            column = column._replace(parts=column.parts + divided(some, ones))
            continue
        positive = some == 1
        if np.all(positive | (some == 0)):  # nothing to sort
            distinct, place = np.array([0.0, 1.0]), positive.astype(np.intp)
        else:
            distinct, place = np.unique(some, return_inverse=True)
        column += Column(distinct, totals(place, some_weight, len(distinct)))
    return column


def count_elements(targets: Array, weight: Array | None, *, loss: Loss, axis: int | None) -> list[Column]:
    """Count the targets of each class, of the only one if there is no axis."""
    check_dense(loss, targets)
    weights = spread(weight, targets.shape)
    columns = []
    for c in range(1 if axis is None else targets.shape[axis]):
        where: Any = ... if axis is None else (slice(None),) * axis + (c,)
        column = np.asarray(targets[where])
        counted = ~is_ignored(loss, column)
        columns.append(count_column(column[counted], at(at(weights, where), counted)))
    return columns


def add_columns(blocks: list[list[Column]]) -> list[Column]:
    """Join what was counted in several blocks."""
    return [reduce(add, columns) for columns in zip(*blocks, strict=True)]


def score_of_elements(columns: list[Column], *, loss: Loss) -> Any:
    """Give the score for the targets that stand for all; classes with fewer get some without weight."""
    found = [column.representatives() for column in columns]
    if loss.class_axis is None:
        return np.float64(loss.init_score(*found[0]))
    shape = (max((len(y) for y, _ in found), default=0), len(found))
    targets, weights = np.zeros(shape), np.zeros(shape)
    for c, (y, weight) in enumerate(found):
        targets[: len(y), c], weights[: len(y), c] = y, weight
    return np.asarray(loss.replace(class_axis=-1).init_score(targets, weights))
