"""What stands beside the losses: the best constant score of Dask targets, and posteriors."""

from __future__ import annotations

import math
from typing import Any

import dask.array as da
import numpy as np

from focalgrad._core import SoftmaxFocalLoss
from focalgrad.dask import _tallies as tallies
from focalgrad.dask import _tasks as tasks
from focalgrad.dask._arguments import (
    Operand,
    check_dask,
    check_loss,
    class_axis,
    class_count,
    dask_or_numpy,
    empty_shape,
    read_weight,
)
from focalgrad.dask._graph import blockwise, each, merged
from focalgrad.dask._tasks import Loss


def are_dense(loss: Loss, targets: Any, dense: bool | None) -> bool:
    """Say whether targets have a class axis, as `init_score` of a loss tells, and raise what it raises."""
    options = {} if dense is None else {"dense": dense}
    axis = loss.class_axis
    known = axis is not None and targets.ndim > 1 and -targets.ndim <= axis < targets.ndim
    shape = empty_shape(loss, targets.shape, axis if known else None)
    loss.init_score(np.zeros(shape, targets.dtype), **options)
    if axis is None:
        return True
    return targets.ndim > 1 and targets.dtype.kind not in "biu" if dense is None else dense


def init_score(loss: Loss, targets: Any, sample_weight: Any, dense: bool | None) -> da.Array:
    """See `focalgrad.dask.init_score`."""
    check_loss(loss)
    given = dask_or_numpy("targets", targets)
    array = given if isinstance(given, da.Array) else da.from_array(given, -1)
    operand = Operand(array, tuple(range(array.ndim)))
    if not are_dense(loss, array, dense):
        weight = read_weight(sample_weight, array, None, "targets")
        counts = blockwise(tallies.count_indices, operand.axes, operand, weight, loss=loss)
        classes = class_count(loss) or math.nan
        return by_class(tallies.score_of_indices, merged(counts, tasks.add_up), classes, loss)
    axis = class_axis("targets", loss, array)
    if isinstance(loss, SoftmaxFocalLoss):
        weight = read_weight(sample_weight, array, axis, "the targets without their class axis")
        counts = blockwise(tallies.count_rows, operand.axes, operand, weight, loss=loss, axis=axis)
        return by_class(tallies.score_of_rows, merged(counts, tasks.add_up), array.shape[axis], loss)
    weight = read_weight(sample_weight, array, None, "targets")
    counts = blockwise(tallies.count_elements, operand.axes, operand, weight, loss=loss, axis=axis)
    total = merged(counts, tallies.add_columns)
    if axis is None:
        return each(tallies.score_of_elements, total, dtype=np.float64, loss=loss)
    return by_class(tallies.score_of_elements, total, array.shape[axis], loss)


def by_class(task: Any, total: da.Array, classes: float, loss: Loss) -> da.Array:
    """Make an array of a score for each class."""
    scores = Operand(total, ())
    return blockwise(task, (0,), scores, dtype=np.float64, new_axes={0: classes}, loss=loss)


def posterior(loss: Loss, scores: Any) -> da.Array:
    """See `focalgrad.dask.posterior`."""
    check_loss(loss)
    check_dask("scores", scores)
    axis = class_axis("scores", loss, scores)
    dtype = loss.posterior(np.zeros(empty_shape(loss, scores.shape, axis), scores.dtype)).dtype
    return each(tasks.posterior, scores, dtype=dtype, loss=loss)
