"""Targets counted: how much weight each value has, in each class. Nothing the size of the targets is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._core import read_array
from focalgrad._reference.targets import invalid_indices, same_number
from focalgrad._reference.terms import Floats

CHUNK = 1 << 16  # targets at a time
# Distinct targets of a column that are kept apart. Beyond it neighbours are put together with their mean,
# which moves the minimum by the square of their distance.
DISTINCT = 1 << 12
# Where only the targets say how many classes there are; a call takes no more either.
MOST_CLASSES = 1 << 27


class Scaled(NamedTuple):
    """Numbers ``value * 2^exponent``: sums and products that may be no float64 numbers themselves."""

    value: Floats
    exponent: Any  # one for each value, or for all

    def times(self, factor: ArrayLike) -> Scaled:
        """Multiply."""
        value, exponent = np.frexp(self.value)
        mantissa, power = np.frexp(factor)
        return Scaled(value * mantissa, self.exponent + exponent + power)

    def at(self, where: NDArray[Any]) -> Scaled:
        """Pick some."""
        return Scaled(self.value[where], np.broadcast_to(self.exponent, self.value.shape)[where])

    def log_ratio(self, other: Scaled) -> Floats:
        """Logarithm of the quotient."""
        mantissa, exponent = np.frexp(self.value)
        divisor, power = np.frexp(other.value)
        powers = (exponent - power) + (self.exponent - other.exponent)
        # Of nearly equal numbers, the difference is exact and their quotient is not.
        near = np.abs(powers) <= 1
        aligned = np.ldexp(mantissa, np.where(near, powers, 0))
        apart = np.log(mantissa / divisor) + powers * np.log(2.0)
        return np.where(near, np.log1p((aligned - divisor) / divisor), apart)


class Weights(NamedTuple):
    """Weights as given, to be multiplied by ``2^shift``: then no sum of them leaves the range of float64."""

    array: NDArray[Any]
    shift: int

    def spread(self, shape: tuple[int, ...]) -> Weights:
        """Broadcast."""
        try:
            return self._replace(array=np.broadcast_to(self.array, shape))
        except ValueError:
            raise ValueError(
                f"sample_weight must broadcast to shape {shape}; got {self.array.shape}"
            ) from None


class Groups(NamedTuple):
    """Distinct targets and the sum of the weights of each."""

    y: Floats
    weight: Floats
    merged: bool = False  # neighbours were put together


class Column(NamedTuple):
    """Targets of one class: grouped, and to walk through once more where groups are not exact."""

    groups: Groups
    targets: NDArray[Any]
    weights: Weights
    ignore_index: float | None = None

    def walk(self) -> Iterator[tuple[Floats, Floats]]:
        """Give those that count, with their weights, in chunks."""
        for some, weight in chunks(self.targets, self.weights):
            keep = ~same_number(some, self.ignore_index)
            yield some[keep].astype(np.float64), weight[keep]


class Tally(NamedTuple):
    """Weight of every class (one without a class axis), and of the targets that belong to none.

    ``columns`` has the targets of every class if they are dense. Class indices are 0 or 1 in every class.
    """

    own: Scaled  # sum of y times weight
    apart: float
    columns: list[Column] | None

    def rest(self) -> Scaled:
        """Sum of 1 - y times weight; for class indices added up, not taken off the total: rare ones stay."""
        if self.columns is not None:
            return joint([scaled_sum(column.groups.weight, 1 - column.groups.y) for column in self.columns])
        own = self.own.value
        others = np.full(len(own), self.apart)
        others[1:] += np.cumsum(own[:-1])
        others[:-1] += np.cumsum(own[:0:-1])[::-1]
        return Scaled(others, self.own.exponent)

    def total(self) -> float:
        """Weight of all targets; of one class where they are dense."""
        if self.columns is not None:
            return float(np.sum(self.columns[0].groups.weight))
        return float(np.sum(self.own.value)) + self.apart


def real_array(name: str, given: ArrayLike) -> NDArray[Any]:
    """Give the array of real numbers that calls would read, or raise what they would."""
    return np.asarray(read_array(name, given))


def read_weights(sample_weight: ArrayLike | None, count: int) -> Weights:
    """Read weights, of which `count` or fewer are going to be added up."""
    array = real_array("sample_weight", 1.0 if sample_weight is None else sample_weight)
    largest = 0.0
    for some in pieces(array):
        size = np.abs(some.astype(np.float64))
        largest = max(largest, float(np.max(size, where=np.isfinite(size), initial=0.0)))
    room = np.finfo(np.float64).maxexp - 1 - count.bit_length()
    return Weights(array, room - int(np.frexp(largest)[1]))


def positive_axis(name: str, axis: int, array: NDArray[Any]) -> int:
    """Give the class axis counted from the front, or raise."""
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"{name} must have the class axis {axis}; got shape {array.shape}")
    return axis % array.ndim


def chunks(targets: NDArray[Any], weights: Weights) -> Iterator[tuple[NDArray[Any], Floats]]:
    """Walk through targets and weights together, in C order."""
    flags: Any = ["external_loop", "buffered", "zerosize_ok"]
    with np.nditer([targets, weights.array], flags=flags, order="C", buffersize=CHUNK) as walk:
        for some, weight in walk:
            yield some, np.ldexp(weight.astype(np.float64), weights.shift)


def pieces(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Walk through one array."""
    for some, _ in chunks(array, Weights(np.broadcast_to(1.0, array.shape), 0)):
        yield some


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


def grouped(targets: NDArray[Any], weights: Weights, ignore_index: float | None) -> Column:
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


def are_dense(loss: Any, targets: NDArray[Any], dense: bool | None) -> bool:
    """Whether targets have a class axis; see `init_score`."""
    if dense is not None and not isinstance(dense, (bool, np.bool_)):
        raise TypeError(f"dense must be None, True or False; got {type(dense).__name__}")
    if loss.class_axis is None:
        if dense is not None and not dense:
            raise ValueError("dense must be None or True for a loss without class_axis; got False")
        return True
    if dense is None:
        if targets.ndim > 1 and targets.dtype.kind in "biu":
            raise ValueError(
                f"dense must be True or False for targets of dtype {targets.dtype} and shape "
                f"{targets.shape}: True if they are 0 or 1 for every class along axis {loss.class_axis}, "
                "False if they are class indices; got None"
            )
        dense = targets.ndim > 1
    only = "background_index" if getattr(loss, "background_index", None) is not None else None
    if hasattr(loss, "modulator") and loss.ignore_index is not None:
        only = "ignore_index"
    if dense and only is not None:
        raise ValueError(f"targets must be class indices with {only}; got dense ones")
    return bool(dense)


def index_weights(loss: Any, targets: NDArray[Any], weights: Weights) -> tuple[Floats, float]:
    """Weight of every class among class indices, and that of background.

    Raises
    ------
    ValueError
        If a target is no class index; names the first in C order.
    """
    classes = per_class_length(loss)
    background = getattr(loss, "background_index", None)
    limit = MOST_CLASSES if classes is None else classes
    found, apart, start = np.zeros(classes or 0), 0.0, 0
    for some, weight in chunks(targets, weights):
        ignored, empty = same_number(some, loss.ignore_index), same_number(some, background)
        counted = ~(ignored | empty)
        bad = np.flatnonzero(invalid_indices(some, limit, ~counted))
        if bad.size:
            where = ", ".join(str(i) for i in np.unravel_index(start + bad[0], targets.shape))
            raise ValueError(
                f"targets must be class indices, whole, not negative and below {limit}; "
                f"got targets[{where}] = {some[bad[0]]}"
            )
        place = some[counted].astype(np.intp)
        missing = int(np.max(place, initial=-1)) + 1 - len(found)
        if missing > 0:
            found = np.concatenate([found, np.zeros(missing)])
        np.add.at(found, place, weight[counted])
        apart, start = apart + float(np.sum(weight[empty & ~ignored])), start + some.size
    return found, apart


def refuse_outside(targets: NDArray[Any], ignore_index: float | None) -> None:
    """Refuse dense targets outside [0, 1], which have no loss to be minimised."""
    start = 0
    for some in pieces(targets):
        bad = np.flatnonzero(((some < 0) | (some > 1)) & ~same_number(some, ignore_index))
        if bad.size:
            where = ", ".join(str(i) for i in np.unravel_index(start + bad[0], targets.shape))
            place = f"targets[{where}]" if targets.ndim else "targets"
            raise ValueError(
                f"targets must be from 0 to 1 where they are dense; got {place} = {some[bad[0]]}"
            )
        start += some.size


def scaled_sum(*factors: Floats) -> Scaled:
    """Sum of products, none of which is lost to the range of float64."""
    product = Scaled(np.ones(len(factors[0])), 0)
    for factor in factors:
        product = product.times(factor)
    exponent = np.max(product.exponent, where=product.value != 0, initial=-(1 << 20))
    return Scaled(np.ldexp(product.value, product.exponent - exponent).sum(keepdims=True), exponent)


def joint(parts: list[Scaled]) -> Scaled:
    """Make one array of sums."""
    values = [part.value for part in parts] or [np.zeros(0)]
    return Scaled(np.concatenate(values), np.array([part.exponent for part in parts], np.int64))


def tally(loss: Any, targets: ArrayLike, sample_weight: ArrayLike | None, dense: bool | None) -> Tally:
    """Count targets; parameters as for `init_score`."""
    targets = real_array("targets", targets)
    weights = read_weights(sample_weight, targets.size)
    if not are_dense(loss, targets, dense):
        found, apart = index_weights(loss, targets, weights.spread(targets.shape))
        return Tally(Scaled(found, 0), apart, None)
    refuse_outside(targets, loss.ignore_index)
    columns = [
        grouped(column, weight, loss.ignore_index) for column, weight in by_class(loss, targets, weights)
    ]
    return Tally(joint([scaled_sum(c.groups.weight, c.groups.y) for c in columns]), 0.0, columns)


def by_class(loss: Any, targets: NDArray[Any], weights: Weights) -> list[tuple[NDArray[Any], Weights]]:
    """Dense targets of every class, with their weights."""
    axis, softmax = loss.class_axis, hasattr(loss, "modulator")
    if axis is None:
        return [(targets, weights.spread(targets.shape))]
    axis = positive_axis("targets", axis, targets)
    classes, known = targets.shape[axis], per_class_length(loss)
    if known not in (None, classes):
        raise ValueError(f"targets must have {known} classes along axis {axis}; got shape {targets.shape}")
    columns = np.moveaxis(targets, axis, 0)
    if softmax:
        spread = weights.spread(columns.shape[1:])
        return [(column, spread) for column in columns]
    array = np.moveaxis(weights.spread(targets.shape).array, axis, 0)
    return [(column, weights._replace(array=array[c])) for c, column in enumerate(columns)]
