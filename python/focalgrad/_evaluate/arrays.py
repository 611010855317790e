"""Arrays, piece by piece: as the pieces of files are, whatever their axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalgrad._core import SoftmaxFocalLoss, read_array
from focalgrad._evaluate.pieces import CHUNK, Piece, Shape
from focalgrad._evaluate.units import Loss


def pieces_of(loss: Loss, logits: Any, targets: Any, weight: Any, by: Any) -> Iterator[Piece]:
    """Cut arrays into pieces."""
    x, y = _plain(logits), _plain(targets)
    if x.ndim == 0:
        x, y = x.reshape(1), y.reshape(1) if y.ndim == 0 else y
    axis = None
    if loss.class_axis is not None:
        if not -x.ndim <= loss.class_axis < x.ndim:
            raise ValueError(f"logits must have an axis {loss.class_axis}, class_axis; got shape {x.shape}")
        axis = loss.class_axis % x.ndim
    dense = y.shape == x.shape
    without = x.shape if axis is None else x.shape[:axis] + x.shape[axis + 1 :]
    if not dense and (axis is None or y.shape != without):
        raise ValueError(
            f"targets must have the logits' shape {x.shape} or, as class indices, {without}; got {y.shape}"
        )
    w = None
    if weight is not None:
        softmax_dense = dense and isinstance(loss, SoftmaxFocalLoss)
        w = np.broadcast_to(_plain(weight), without if softmax_dense else y.shape)
    shape = Shape.of(x.shape, axis)
    flat = [x.reshape(_three(shape)), y.reshape(_three(shape) if dense else (shape.outer, shape.inner))]
    if w is not None:
        whole = w.shape == x.shape and dense
        flat.append(w.reshape(_three(shape) if whole else (shape.outer, shape.inner)))
    names = None
    if by is not None:
        names, codes = np.unique(np.asarray(by), return_inverse=True)
        if codes.shape != (shape.rows,):
            raise ValueError(f"by must have a name for each of {shape.rows:,} rows; got shape {codes.shape}")
    step = max(1, CHUNK // max((shape.classes or 1) * shape.inner, 1))
    for start in range(0, shape.outer, step):
        part = [_squeezed(each[start : start + step], shape) for each in flat]
        groups = None
        if names is not None:
            groups = (codes[start * shape.inner : (start + step) * shape.inner], names.tolist())
        yield Piece(part[0], part[1], part[2] if len(part) > 2 else None, groups)


def _plain(array: Any) -> NDArray[Any]:
    """Give a NumPy array of what a loss takes."""
    return read_array("scores", array)


def _three(shape: Shape) -> tuple[int, ...]:
    return (shape.outer, shape.inner) if shape.classes is None else (shape.outer, shape.classes, shape.inner)


def _squeezed(array: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Without the last axis where it has one element."""
    if shape.classes is None:
        return array.reshape(-1)
    return array[..., 0] if shape.inner == 1 else array
