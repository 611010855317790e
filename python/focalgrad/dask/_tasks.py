"""What runs on the workers: one function for each kind of task.

Each that calls the core makes one call, on one thread: the scheduler runs as many tasks side by side as it
has threads, and calls that brought theirs would only fight for the processors.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from focalgrad import _core
from focalgrad._meter import FocalLossMeter, reduced
from focalgrad._runtime import one_thread

Loss: TypeAlias = _core.SigmoidFocalLoss | _core.SoftmaxFocalLoss
#: The loss of the whole and what it divides by, as `_core.piece` takes them.
Whole: TypeAlias = tuple[float, float]
Array: TypeAlias = NDArray[Any]


def block(nested: Any) -> Any:
    """Take a block out of the lists in which Dask hands it over where the result lacks one of its axes."""
    while isinstance(nested, list):
        (nested,) = nested
    return nested


@one_thread()
def update_meter(logits: Array, targets: Array, weight: Array | None, *, loss: Loss) -> FocalLossMeter:
    """Meter a block."""
    meter = FocalLossMeter(loss)
    meter.update(logits, targets, sample_weight=weight)
    return meter


def merge_meters(meters: list[FocalLossMeter]) -> FocalLossMeter:
    """Merge meters of the same loss into a new one."""
    merged = FocalLossMeter(meters[0].loss)
    for meter in meters:
        merged.merge(meter)
    return merged


def compute_meter(meter: FocalLossMeter) -> np.float64:
    """Compute the loss of what a meter has seen."""
    return np.float64(meter.compute())


def add_up(sums: list[Any]) -> Any:
    """Add exact sums up."""
    return reduce(add, sums)


@one_thread()
def call(logits: Any, targets: Any, weight: Any, *, loss: Loss, method: str, options: dict[str, Any]) -> Any:
    """Call a method of a loss whose results do not depend on other blocks."""
    return getattr(loss, method)(block(logits), block(targets), sample_weight=block(weight), **options)


@one_thread()
def denominator(
    targets: Array, weight: Array | None, *, loss: Loss, axis: int | None, classes: int | None
) -> _core.ExactSum:
    """Sum what the mean divides by. It depends on the logits' shape, which the targets tell, on no logit."""
    shape = targets.shape
    if axis is not None and classes is not None:
        shape = (*shape[:axis], classes, *shape[axis:])
    logits = np.broadcast_to(np.float32(0), shape)
    return _core.exact_denominator(loss, logits, targets, weight)


@one_thread()
def denominator_of(logits: Array, targets: Array, weight: Array | None, *, loss: Loss) -> _core.ExactSum:
    """Sum what the mean divides by, where the number of classes is known from the logits alone."""
    return _core.exact_denominator(loss, logits, targets, weight)


def whole_of_denominator(denominator: _core.ExactSum) -> Whole:
    """Give what derivatives of blocks need to know, where that is the denominator alone."""
    return 0.0, float(denominator)


def whole_of_meter(meter: FocalLossMeter) -> Whole:
    """Give what derivatives of blocks need to know, where that is the loss too."""
    return meter.compute(), float(meter._denominator)


def value_of_whole(whole: Whole) -> np.float64:
    """Give the loss of the whole, where derivatives need it."""
    return np.float64(whole[0])


@one_thread()
def derivatives(
    logits: Array, targets: Array, weight: Array | None, whole: Whole, *, loss: Loss, options: dict[str, Any]
) -> tuple[Any, ...]:
    """Evaluate a block of a loss that is a number: the gradient, with what else is asked for."""
    return _core.piece(loss, logits, targets, weight, whole, **options)


def first(results: Any) -> Any:
    """Take the first of a block's results."""
    return block(results)[0]


def second(results: Any) -> Any:
    """Take the second of a block's results."""
    return block(results)[1]


def reduce_sums(numerator: _core.ExactSum, whole: Whole, *, loss: Loss) -> np.float64:
    """Give the loss of the whole."""
    return np.float64(reduced(loss, numerator, whole[1]))


@one_thread()
def posterior(scores: Array, *, loss: Loss) -> Array:
    """Recover the class probabilities of a block."""
    return loss.posterior(scores)
