"""Targets counted: how much weight each value has, in each class. Nothing the size of the targets is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._reference.targets import invalid_indices, same_number
from focalgrad._reference.terms import Floats

CHUNK = 1 << 16  # targets at a time
# Distinct targets of a column that are kept apart. Beyond it neighbours are put together with their mean,
# which moves the minimum by the square of their distance.
DISTINCT = 1 << 12


class Groups(NamedTuple):
    """Distinct targets and the sum of the weights of each."""

    y: Floats
    weight: Floats
    merged: bool = False  # neighbours were put together


class Column(NamedTuple):
    """Targets of one class: grouped, and to walk through once more where groups are not exact."""

    groups: Groups
    targets: NDArray[Any]
    weights: NDArray[Any]
    ignore_index: float | None = None

    def walk(self) -> Iterator[tuple[Floats, Floats]]:
        """Give those that count, with their weights, in chunks."""
        for some, weight in chunks(self.targets, self.weights):
            keep = ~same_number(some, self.ignore_index)
            yield some[keep].astype(np.float64), weight[keep]


class Tally(NamedTuple):
    """Columns (one without a class axis), their number, and the weight of all targets that count."""

    columns: list[Column]
    classes: int
    total: float


def real_array(name: str, given: ArrayLike) -> NDArray[Any]:
    """Give an array of real numbers (those that other packages register are taken for such), or raise."""
    array = np.asarray(given)
    if array.dtype.kind in "cOSUMm" or array.dtype.names:
        raise TypeError(f"{name} must be real numbers; got an array of dtype {array.dtype}")
    return array


def spread(weight: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Broadcast weights."""
    try:
        return np.broadcast_to(weight, shape)
    except ValueError:
        raise ValueError(f"sample_weight must broadcast to shape {shape}; got {weight.shape}") from None


def positive_axis(name: str, axis: int, array: NDArray[Any]) -> int:
    """Give the class axis counted from the front, or raise."""
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"{name} must have the class axis {axis}; got shape {array.shape}")
    return axis % array.ndim


def chunks(targets: NDArray[Any], weights: NDArray[Any]) -> Iterator[tuple[NDArray[Any], Floats]]:
    """Walk through targets and weights together, in C order."""
    flags: Any = ["external_loop", "buffered", "zerosize_ok"]
    with np.nditer([targets, weights], flags=flags, order="C", buffersize=CHUNK) as walk:
        for some, weight in walk:
            yield some, weight.astype(np.float64)


def totals(place: NDArray[np.intp], weight: Floats, length: int) -> Floats:
    """Sum of the weights at each place."""
    summed: Floats = np.bincount(place, weight, length).astype(np.float64)
    return summed


def joined(groups: Groups, y: Floats, weight: Floats) -> Groups:
    """Put equal targets together, and neighbours where there are too many."""
    one = y == 1
    if np.all(one | (y == 0)):  # no need to sort
        y, weight = np.array([0.0, 1.0]), np.array([np.sum(weight[~one]), np.sum(weight[one])])
    y, weight = np.concatenate([groups.y, y]), np.concatenate([groups.weight, weight])
    distinct, place = np.unique(y, return_inverse=True)
    total = totals(place, weight, len(distinct))
    if len(distinct) <= DISTINCT or np.isnan(distinct[-1]):
        return Groups(distinct, total, groups.merged)
    bins = np.clip(distinct * DISTINCT, 0, DISTINCT - 1).astype(np.intp)
    bins = np.where(distinct == 0, DISTINCT, np.where(distinct == 1, DISTINCT + 1, bins))
    amount, moment = (totals(bins, part, DISTINCT + 2) for part in (total, total * distinct))
    kept = amount != 0
    return Groups(moment[kept] / amount[kept], amount[kept], True)


def grouped(targets: NDArray[Any], weights: NDArray[Any], ignore_index: float | None) -> Column:
    """Group one column of dense targets."""
    column = Column(Groups(np.zeros(0), np.zeros(0)), targets, weights, ignore_index)
    groups = column.groups
    for some, weight in column.walk():
        groups = joined(groups, some, weight)
    return column._replace(groups=groups)


def per_class_length(loss: Any) -> int | None:
    """Length of a per-class parameter, if the loss has one."""
    names = ("alpha", "gamma", "class_weight")
    lengths = [len(p) for name in names if isinstance(p := getattr(loss, name, None), tuple)]
    return lengths[0] if lengths else None


def are_dense(loss: Any, targets: NDArray[Any]) -> bool:
    """Whether targets have a class axis; see `init_score`."""
    if loss.class_axis is None:
        return True
    if targets.ndim <= 1 or getattr(loss, "background_index", None) is not None:
        return False
    if targets.dtype.kind not in "biu":
        return True
    if hasattr(loss, "modulator"):
        return False
    pieces = chunks(targets, np.broadcast_to(1.0, targets.shape))
    return all(
        bool(np.all((some == 0) | (some == 1) | same_number(some, loss.ignore_index))) for some, _ in pieces
    )


def index_weights(loss: Any, targets: NDArray[Any], weights: NDArray[Any]) -> tuple[Floats, float]:
    """Weight of every class among class indices, and that of background.

    Raises
    ------
    ValueError
        If a target is no class index; names the first in C order.
    """
    classes = per_class_length(loss)
    background = getattr(loss, "background_index", None)
    limit = np.iinfo(np.intp).max if classes is None else classes
    found, apart, start = np.zeros(classes or 0), 0.0, 0
    for some, weight in chunks(targets, weights):
        ignored, empty = same_number(some, loss.ignore_index), same_number(some, background)
        counted = ~(ignored | empty)
        bad = np.flatnonzero(invalid_indices(some, limit, ~counted))
        if bad.size:
            where = ", ".join(str(i) for i in np.unravel_index(start + bad[0], targets.shape))
            taken = "not negative" if classes is None else f"below {classes}"
            raise ValueError(
                f"targets must be class indices, whole and {taken}; got targets[{where}] = {some[bad[0]]}"
            )
        more = totals(some[counted].astype(np.intp), weight[counted], len(found))
        more[: len(found)] += found
        found, apart, start = more, apart + float(np.sum(weight[empty & ~ignored])), start + some.size
    return found, apart


def index_tally(loss: Any, targets: NDArray[Any], weights: NDArray[Any]) -> Tally:
    """Count class indices. Every column has the targets 0 and 1."""
    found, apart = index_weights(loss, targets, weights)
    # What the other classes weigh, added up rather than taken off the total: rare ones do not cancel.
    before, after = np.cumsum(np.append(0.0, found)), np.cumsum(np.append(0.0, found[::-1]))[::-1]
    others, hot = before[:-1] + after[1:] + apart, np.array([0.0, 1.0])
    columns = []
    for other, own in zip(others, found, strict=True):
        weight = np.array([other, own])
        columns.append(Column(Groups(hot, weight), hot, weight))
    return Tally(columns, len(found), float(before[-1]) + apart)


def tally(loss: Any, targets: ArrayLike, sample_weight: ArrayLike | None) -> Tally:
    """Count targets; parameters as for `init_score`."""
    targets = real_array("targets", targets)
    weight = real_array("sample_weight", 1.0 if sample_weight is None else sample_weight)
    if not are_dense(loss, targets):
        return index_tally(loss, targets, spread(weight, targets.shape))
    axis, softmax = loss.class_axis, hasattr(loss, "modulator")
    if axis is None:
        column = grouped(targets, spread(weight, targets.shape), loss.ignore_index)
        return Tally([column], 1, float(np.sum(column.groups.weight)))
    if softmax and loss.ignore_index is not None:
        raise ValueError("targets must be class indices with ignore_index; got dense ones")
    axis = positive_axis("targets", axis, targets)
    classes, known = targets.shape[axis], per_class_length(loss)
    if known not in (None, classes):
        raise ValueError(f"targets must have {known} classes along axis {axis}; got shape {targets.shape}")
    by_class = np.moveaxis(targets, axis, 0)
    if softmax:
        weights = np.broadcast_to(spread(weight, by_class.shape[1:]), by_class.shape)
    else:
        weights = np.moveaxis(spread(weight, targets.shape), axis, 0)
    columns = [grouped(by_class[c], weights[c], loss.ignore_index) for c in range(classes)]
    total = float(np.sum(columns[0].groups.weight)) if classes else 0.0
    return Tally(columns, classes, total)
