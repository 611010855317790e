"""Losses and their derivatives: what each graph is made of."""

from __future__ import annotations

import math
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import Delayed

from focalgrad._core import SoftmaxFocalLoss
from focalgrad._meter import FocalLossMeter
from focalgrad.dask import _tasks as tasks
from focalgrad.dask._arguments import Arguments, Operand, is_known, probe, read, without
from focalgrad.dask._graph import blockwise, delayed, each, merged, scalar
from focalgrad.dask._tasks import Loss, Whole


def is_number(loss: Loss) -> bool:
    """Say whether the loss of the whole is one number, to which all blocks contribute."""
    return loss.reduction in ("sum", "mean")


def checked(loss: Loss, method: str, arguments: Arguments, **options: Any) -> Any:
    """Call a method without any numbers: it raises what it would raise on a worker, and shows the dtype."""
    logits, targets, weight = probe(loss, arguments)
    return getattr(loss, method)(logits, targets, sample_weight=weight, **options)


def metered(loss: Loss, arguments: Arguments) -> da.Array:
    """Meter every block, and merge the meters."""
    blocks = blockwise(tasks.update_meter, arguments.logits.axes, *arguments.operands(), loss=loss)
    return merged(blocks, tasks.merge_meters)


def called(loss: Loss, method: str, arguments: Arguments, axes: tuple[int, ...], **keywords: Any) -> da.Array:
    """Call a method on every block, for results that depend on no other one."""
    options = keywords.pop("options", {})
    return blockwise(
        tasks.call, axes, *arguments.operands(), loss=loss, method=method, options=options, **keywords
    )


def value_axes(loss: Loss, arguments: Arguments) -> tuple[int, ...]:
    """Axes of the losses where they are an array."""
    rows = isinstance(loss, SoftmaxFocalLoss) or loss.reduction == "sum_classes"
    return without(arguments.logits.axes, arguments.axis if rows else None)


def static_denominator(loss: Loss, arguments: Arguments) -> float | None:
    """Give what the loss divides by, if that is known before any target is."""
    if loss.reduction == "sum":
        return 1.0
    if isinstance(loss.normalizer, float):
        return loss.normalizer
    rows = isinstance(loss, SoftmaxFocalLoss)
    sizes = without(arguments.logits.array.shape, arguments.axis if rows else None)
    if loss.normalizer is None and loss.ignore_index is None and is_known(sizes):
        return float(math.prod(sizes))
    return None


def whole(loss: Loss, arguments: Arguments) -> Operand | Whole:
    """Give what the derivatives of each block need to know of all of them."""
    static = static_denominator(loss, arguments)
    if static is not None:
        return 0.0, static
    if loss.normalizer == "focal_weights":
        return scalar(each(tasks.whole_of_meter, metered(loss, arguments.reread())))
    return scalar(each(tasks.whole_of_denominator, merged(denominators(loss, arguments), tasks.add_up)))


def denominators(loss: Loss, arguments: Arguments) -> da.Array:
    """Sum what each block adds to the denominator. Logits are read only if nothing else tells their shape."""
    logits, _, _, axis, indices = arguments
    targets = arguments.targets.reread()
    weight = None if arguments.weight is None else arguments.weight.reread()
    if not indices:
        return blockwise(tasks.denominator, targets.axes, targets, weight, loss=loss, axis=None, classes=None)
    classes = logits.array.shape[axis]
    if is_known((classes,)):
        return blockwise(
            tasks.denominator, targets.axes, targets, weight, loss=loss, axis=axis, classes=classes
        )
    return blockwise(tasks.denominator_of, logits.axes, logits.reread(), targets, weight, loss=loss)


def derivatives(loss: Loss, arguments: Arguments, known: Operand | Whole, **options: Any) -> da.Array:
    """Evaluate every block of a loss that is a number; blocks hold what `_core.piece` gives."""
    return blockwise(
        tasks.derivatives, arguments.logits.axes, *arguments.operands(), known, loss=loss, options=options
    )


def meter(loss: Loss, logits: Any, targets: Any, sample_weight: Any) -> Delayed:
    """See `focalgrad.dask.meter`."""
    arguments = read(loss, logits, targets, sample_weight)
    FocalLossMeter(loss)
    checked(loss, "__call__", arguments)
    return delayed(metered(loss, arguments))


def value(loss: Loss, logits: Any, targets: Any, sample_weight: Any) -> da.Array:
    """See `focalgrad.dask.value`."""
    arguments = read(loss, logits, targets, sample_weight)
    empty = checked(loss, "__call__", arguments)
    if is_number(loss):
        return each(tasks.compute_meter, metered(loss, arguments), dtype=np.float64)
    return called(loss, "__call__", arguments, value_axes(loss, arguments), dtype=empty.dtype)


def grad(loss: Loss, logits: Any, targets: Any, sample_weight: Any) -> da.Array:
    """See `focalgrad.dask.grad`."""
    arguments = read(loss, logits, targets, sample_weight)
    dtype = checked(loss, "grad", arguments).dtype
    axes = arguments.logits.axes
    if is_number(loss):
        return each(tasks.first, derivatives(loss, arguments, whole(loss, arguments)), dtype=dtype)
    return called(loss, "grad", arguments, axes, dtype=dtype)


def value_and_grad(loss: Loss, logits: Any, targets: Any, sample_weight: Any) -> tuple[da.Array, da.Array]:
    """See `focalgrad.dask.value_and_grad`."""
    arguments = read(loss, logits, targets, sample_weight)
    value, grad = checked(loss, "value_and_grad", arguments)
    if not is_number(loss):
        both = called(loss, "value_and_grad", arguments, arguments.logits.axes)
        axes = value_axes(loss, arguments)
        pair = Operand(both, arguments.logits.axes)
        return blockwise(tasks.first, axes, pair, dtype=value.dtype), each(
            tasks.second, both, dtype=grad.dtype
        )
    known = whole(loss, arguments)
    if isinstance(known, Operand) and loss.normalizer == "focal_weights":
        gradient = each(tasks.first, derivatives(loss, arguments, known), dtype=grad.dtype)
        return each(tasks.value_of_whole, known.array, dtype=np.float64), gradient
    both = derivatives(loss, arguments, known, value=True)
    total = merged(each(tasks.first, both), tasks.add_up)
    return (
        each(tasks.reduce_sums, total, known, dtype=np.float64, loss=loss),
        each(tasks.second, both, dtype=grad.dtype),
    )


def grad_and_hess(
    loss: Loss, logits: Any, targets: Any, sample_weight: Any, hessian: str
) -> tuple[da.Array, da.Array]:
    """See `focalgrad.dask.grad_and_hess`."""
    arguments = read(loss, logits, targets, sample_weight)
    grad, hess = checked(loss, "grad_and_hess", arguments, hessian=hessian)
    if is_number(loss):
        both = derivatives(loss, arguments, whole(loss, arguments), hessian=hessian)
    else:
        options = {"hessian": hessian}
        both = called(loss, "grad_and_hess", arguments, arguments.logits.axes, options=options)
    return each(tasks.first, both, dtype=grad.dtype), each(tasks.second, both, dtype=hess.dtype)
