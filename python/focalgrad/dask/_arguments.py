"""The arguments of a call, checked and cut as the logits are."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import dask.array as da
import numpy as np
from dask.base import is_dask_collection
from numpy.typing import NDArray

from focalgrad._core import SigmoidFocalLoss, SoftmaxFocalLoss, read_array
from focalgrad.dask._rereading import reread
from focalgrad.dask._tasks import Loss

Chunks: TypeAlias = tuple[tuple[float, ...], ...]


class Operand(NamedTuple):
    """An array with the axes of the logits that it has; sizes of 1 stand for any."""

    array: da.Array
    axes: tuple[int, ...]

    def reread(self) -> Operand:
        """Read the same data once more: for a pass over them that another one waits for."""
        return self._replace(array=reread(self.array))


class Arguments(NamedTuple):
    """Arguments that belong together. Blocks of the same place meet in one call."""

    logits: Operand
    targets: Operand
    weight: Operand | None
    axis: int | None  # of the classes
    indices: bool  # targets are class indices

    def operands(self) -> tuple[Operand, Operand, Operand | None]:
        """Give what the tasks of a block take."""
        return self.logits, self.targets, self.weight

    def reread(self) -> Arguments:
        """Read the same data once more."""
        weight = None if self.weight is None else self.weight.reread()
        return self._replace(logits=self.logits.reread(), targets=self.targets.reread(), weight=weight)


def check_loss(loss: Any) -> None:
    """Refuse what is no loss."""
    if not isinstance(loss, SigmoidFocalLoss | SoftmaxFocalLoss):
        raise TypeError(f"loss must be a SigmoidFocalLoss or SoftmaxFocalLoss; got {type(loss).__name__}")


def check_dask(name: str, given: Any) -> None:
    """Refuse what is no dask array."""
    if not isinstance(given, da.Array):
        raise TypeError(
            f"{name} must be a dask array (dask.array.from_array makes one of an array, to_dask_array() of a "
            f"data frame); got {type(given).__name__}"
        )


def dask_or_numpy(name: str, given: Any) -> da.Array | NDArray[Any]:
    """Give a dask array as it is, and NumPy's array of anything else that calls read."""
    if isinstance(given, da.Array):
        return given
    if is_dask_collection(given):
        raise TypeError(
            f"{name} must be a dask array (to_dask_array() makes one of a series or data frame) or an array; "
            f"got {type(given).__name__}"
        )
    return np.asarray(read_array(name, given))


def class_axis(name: str, loss: Loss, array: da.Array) -> int | None:
    """Give the axis of the classes, counted from the front; all classes must be in one chunk."""
    if loss.class_axis is None:
        return None
    if not -array.ndim <= loss.class_axis < array.ndim:
        raise ValueError(
            f"class_axis must be an axis of the {name}; "
            f"got {loss.class_axis} with {name} of shape {array.shape}"
        )
    axis: int = loss.class_axis % array.ndim
    if array.numblocks[axis] > 1:
        raise ValueError(
            f"{name} must have all classes in one chunk, {name}.rechunk({{{axis}: -1}}); "
            f"got {array.numblocks[axis]} chunks along axis {axis}"
        )
    return axis


def without(sizes: tuple[Any, ...], axis: int | None) -> tuple[Any, ...]:
    """Leave out what belongs to an axis."""
    return sizes if axis is None else (*sizes[:axis], *sizes[axis + 1 :])


def is_known(sizes: tuple[float, ...]) -> bool:
    """Say whether no size is nan, as after a computation that drops rows."""
    return not any(math.isnan(size) for size in sizes)


def own_chunks(array: da.Array | NDArray[Any]) -> Chunks:
    """Give the chunks of an array, one an axis for NumPy's."""
    return array.chunks if isinstance(array, da.Array) else tuple((size,) for size in array.shape)


def cut(name: str, array: da.Array | NDArray[Any], chunks: Chunks) -> da.Array:
    """Cut an array like another one of its shape. Chunks of unknown sizes are matched by number."""
    own = own_chunks(array)
    change = {}
    for axis, (mine, theirs) in enumerate(zip(own, chunks, strict=True)):
        if not is_known(mine + theirs):
            if len(mine) != len(theirs):
                raise ValueError(
                    f"{name} must have as many chunks as the logits where sizes are unknown, or all sizes be "
                    f"known (compute_chunk_sizes()); got {len(mine)} along axis {axis} for {len(theirs)}"
                )
        elif mine != theirs:
            change[axis] = theirs
    if isinstance(array, da.Array):
        cut_alike: da.Array = array.rechunk(change) if change else array
    else:
        cut_alike = da.from_array(array, tuple(change.get(axis, mine) for axis, mine in enumerate(own)))
    return cut_alike


def same_shape(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Compare shapes as far as they are known."""
    return len(one) == len(other) and all(
        a == b or math.isnan(a) or math.isnan(b) for a, b in zip(one, other, strict=True)
    )


def read_targets(given: Any, logits: da.Array, axis: int | None) -> tuple[Operand, bool]:
    """Cut targets like the logits, and say whether they are class indices."""
    targets = dask_or_numpy("targets", given)
    indices = axis is not None and targets.ndim == logits.ndim - 1
    left_out = axis if indices else None
    if not same_shape(targets.shape, without(logits.shape, left_out)):
        takes = f"of the shape of logits, {logits.shape}"
        if axis is not None:
            takes += f", or class indices of shape {without(logits.shape, axis)}"
        raise ValueError(f"targets must be {takes}; got shape {targets.shape}")
    array = cut("targets", targets, without(logits.chunks, left_out))
    axes = without(tuple(range(logits.ndim)), left_out)
    return Operand(array, axes), indices


def read_weight(given: Any, like: da.Array, left_out: int | None, what: str) -> Operand | None:
    """Cut weights like the array, with an axis left out, that they broadcast to; sizes of 1 stay."""
    if given is None:
        return None
    weight = dask_or_numpy("sample_weight", given)
    pairs = zip(reversed(weight.shape), reversed(without(like.chunks, left_out)), strict=False)
    chunks = tuple((1,) if size == 1 else wanted for size, wanted in pairs)[::-1]
    if not same_shape(weight.shape, tuple(map(sum, chunks))):
        raise ValueError(
            f"sample_weight must be a number or an array that broadcasts to the shape of {what}, "
            f"{without(like.shape, left_out)}; got shape {weight.shape}"
        )
    axes = without(tuple(range(like.ndim)), left_out)[-weight.ndim or like.ndim :]
    return Operand(cut("sample_weight", weight, chunks), axes)


def read(loss: Any, logits: Any, targets: Any, sample_weight: Any) -> Arguments:
    """Check the arguments of a call as far as that is possible without their numbers."""
    check_loss(loss)
    check_dask("logits", logits)
    axis = class_axis("logits", loss, logits)
    aligned, indices = read_targets(targets, logits, axis)
    rows = indices or isinstance(loss, SoftmaxFocalLoss)
    what = "targets" if indices else "the targets without their class axis" if rows else "logits"
    weight = read_weight(sample_weight, logits, axis if rows else None, what)
    return Arguments(Operand(logits, tuple(range(logits.ndim))), aligned, weight, axis, indices)


def empty_shape(loss: Loss, shape: tuple[float, ...], axis: int | None) -> tuple[int, ...]:
    """Give a shape without elements, but with the classes of another one, if they are known."""
    sizes = [0] * len(shape)
    if axis is not None:
        sizes[axis] = (class_count(loss) or 1) if math.isnan(shape[axis]) else int(shape[axis])
    return tuple(sizes)


def class_count(loss: Loss) -> int | None:
    """Give the number of classes that parameters by class tell."""
    names = ("alpha", "gamma", "class_weight")
    return next((len(p) for name in names if isinstance(p := getattr(loss, name, None), tuple)), None)


def probe(loss: Loss, arguments: Arguments) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Make empty arrays of the same types, with which a call raises what it would raise for any numbers."""
    logits, targets, weight, axis, indices = arguments
    shape = empty_shape(loss, logits.array.shape, axis)
    return (
        np.zeros(shape, logits.array.dtype),
        np.zeros(without(shape, axis if indices else None), targets.array.dtype),
        None if weight is None else np.zeros((), weight.array.dtype),
    )
