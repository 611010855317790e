"""Targets counted: how much weight is positive and negative in each class. Nothing their size is made.

The core counts. Only soft targets whose loss is not linear in them are walked through here once more, to be
put into groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._core import largest_weight, read_array, tally_indices, tally_labels
from focalgrad._init_score.margins import Floats

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
    """Weights as given, to be multiplied by `scale`: then no sum of them leaves the range of float64."""

    array: NDArray[Any] | None  # None: all are 1
    scale: float

    def spread(self, shape: tuple[int, ...]) -> Weights:
        """Broadcast."""
        if self.array is None:
            return self
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
    """Weight of every class (one without a class axis); of class indices, all others are 0 there."""

    own: Scaled  # sum of y times weight
    rest: Scaled  # sum of 1 - y times weight
    total: float  # weight of all targets; of one class where they are dense
    dense: bool
    soft: bool  # some targets are neither 0 nor 1
    targets: NDArray[Any]
    weights: Weights
    axis: int | None
    ignore_index: float | None

    def column(self, c: int) -> Column:
        """Group the dense targets of a class."""
        targets, array = self.targets, self.weights.array
        if self.axis is not None:
            targets = np.moveaxis(targets, self.axis, 0)[c]
            array = None if array is None else np.moveaxis(array, self.axis, 0)[c]
        return grouped(targets, self.weights._replace(array=array), self.ignore_index)


def same_number(targets: NDArray[Any], number: float | None) -> NDArray[np.bool_]:
    """Where targets are that number, compared as numbers: integers as integers; NaN is every NaN."""
    nowhere = np.zeros(targets.shape, bool)
    if number is None:
        return nowhere
    if targets.dtype.kind in "iu":
        ends = np.iinfo(targets.dtype)
        if number != number or not ends.min <= number <= ends.max or int(number) != number:
            return nowhere
        return np.asarray(targets == targets.dtype.type(int(number)))
    if float(number) != number == number:
        return nowhere
    numbers = targets.astype(np.float64)
    same: NDArray[np.bool_] = np.isnan(numbers) if number != number else numbers == float(number)
    return same


def may_be_rounded(dtype: np.dtype[Any], number: float | None) -> bool:
    """Whether targets that are not that number may become it as float64."""
    return dtype.kind in "iu" and dtype.itemsize == 8 and number is not None and abs(number) >= 2**53


def real_array(name: str, given: ArrayLike) -> NDArray[Any]:
    """Give the array of real numbers that calls would read, or raise what they would."""
    return np.asarray(read_array(name, given))


def read_weights(sample_weight: ArrayLike | None, count: int) -> Weights:
    """Read weights, of which `count` or fewer are going to be added up."""
    if sample_weight is None:
        return Weights(None, 1.0)
    array = real_array("sample_weight", sample_weight)
    room = np.finfo(np.float64).maxexp - 1 - count.bit_length()
    shift = room - int(np.frexp(largest_weight(array))[1])
    # What all are multiplied with does not matter: a power of two that is a number.
    return Weights(array, float(np.ldexp(1.0, min(max(shift, -1000), 1000))))


def positive_axis(name: str, axis: int, array: NDArray[Any]) -> int:
    """Give the class axis counted from the front, or raise."""
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"{name} must have the class axis {axis}; got shape {array.shape}")
    return axis % array.ndim


def chunks(targets: NDArray[Any], weights: Weights) -> Iterator[tuple[NDArray[Any], Floats]]:
    """Walk through targets and weights together, in C order."""
    flags: Any = ["external_loop", "buffered", "zerosize_ok"]
    array = np.broadcast_to(1.0, targets.shape) if weights.array is None else weights.array
    with np.nditer([targets, array], flags=flags, order="C", buffersize=CHUNK) as walk:
        for some, weight in walk:
            yield some, weight.astype(np.float64) * weights.scale


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


def refuse_outside(targets: NDArray[Any], ignore_index: float | None) -> None:
    """Name the first dense target outside [0, 1]: it has no loss to be minimised."""
    start = 0
    for some, _ in chunks(targets, Weights(None, 1.0)):
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


def others(own: Floats, apart: float) -> Floats:
    """Weight of all targets that are not a class, added up, not taken off the total: rare ones stay."""
    rest = np.full(len(own), apart)
    rest[1:] += np.cumsum(own[:-1])
    rest[:-1] += np.cumsum(own[:0:-1])[::-1]
    return rest


def tally(loss: Any, targets: ArrayLike, sample_weight: ArrayLike | None, dense: bool | None) -> Tally:
    """Count targets; parameters as for `init_score`."""
    targets = real_array("targets", targets)
    weights = read_weights(sample_weight, targets.size)
    ignored, known = loss.ignore_index, per_class_length(loss)
    if not are_dense(loss, targets, dense):
        weights = weights.spread(targets.shape)
        background = getattr(loss, "background_index", None)
        own, apart = tally_indices(
            targets, weights.array, weights.scale, known, MOST_CLASSES, ignored, background
        )
        rest, total = others(own, apart), float(np.sum(own)) + apart
        return Tally(Scaled(own, 0), Scaled(rest, 0), total, False, False, targets, weights, None, ignored)
    axis: int | None = loss.class_axis
    if axis is None:
        weights = weights.spread(targets.shape)
    else:
        axis = positive_axis("targets", axis, targets)
        classes = targets.shape[axis]
        if classes > MOST_CLASSES:
            raise ValueError(
                f"targets must have at most {MOST_CLASSES} classes along axis {axis}; "
                f"got shape {targets.shape}"
            )
        if known not in (None, classes):
            raise ValueError(
                f"targets must have {known} classes along axis {axis}; got shape {targets.shape}"
            )
        weights = of_classes(loss, targets, weights, axis)
    rounded = may_be_rounded(targets.dtype, ignored)
    if rounded:
        refuse_outside(targets, ignored)
    own, rest, soft, outside = tally_labels(targets, weights.array, weights.scale, axis, ignored)
    if outside and not rounded:
        refuse_outside(targets, ignored)
    total = float(own[0] + rest[0]) if len(own) else 0.0
    return Tally(Scaled(own, 0), Scaled(rest, 0), total, True, soft, targets, weights, axis, ignored)


def of_classes(loss: Any, targets: NDArray[Any], weights: Weights, axis: int) -> Weights:
    """Weights of dense targets with a class axis: softmax has one for all classes of a row."""
    if weights.array is None or not hasattr(loss, "modulator"):
        return weights.spread(targets.shape)
    rows = weights.spread(targets.shape[:axis] + targets.shape[axis + 1 :]).array
    return weights._replace(array=np.expand_dims(rows, axis)).spread(targets.shape)  # type: ignore[arg-type]
