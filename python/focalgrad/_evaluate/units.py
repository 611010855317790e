"""What is counted: for sigmoid losses each logit with its label, for softmax losses each row with its class.

A piece of data becomes flat arrays here: a logit and a label for the margin of each unit, its class, its loss
and the size of its gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import focalgrad as fg
from focalgrad._core import (
    SigmoidFocalLoss,
    SoftmaxFocalLoss,
    largest_of_rows,
    margins_of_rows,
    sizes_of_rows,
)
from focalgrad._evaluate.errors import BadData, shown
from focalgrad._evaluate.pieces import Piece
from focalgrad._init_score.tally import same_number

Array = NDArray[Any]
Loss = SigmoidFocalLoss | SoftmaxFocalLoss


def per_element(loss: Loss) -> Loss:
    """Give the loss of each unit alone, for pieces whose class axis is 1."""
    changes: dict[str, Any] = {"reduction": "none"}
    if loss.class_axis is not None:
        changes["class_axis"] = 1
    return loss.replace(**changes)


def cross_entropy(loss: Loss) -> Loss:
    """Give what a loss is without alpha, gamma and weights of classes."""
    changes: dict[str, Any] = {"alpha": None, "gamma": 0.0}
    if isinstance(loss, SigmoidFocalLoss):
        changes["class_weight"] = None
    return loss.replace(**changes)


class Scratch:
    """Arrays that are used again for piece after piece."""

    def __init__(self) -> None:
        self._arrays: dict[Any, Array] = {}

    def get(self, name: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        """Give an array whose contents are of no use."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape))
        found = self._arrays.get((name, dtype))
        if found is None or found.size < size:
            found = self._arrays[name, dtype] = np.empty(size, dtype)
        return found[:size].reshape(shape)


def largest(scratch: Scratch, name: str, entries: Array) -> tuple[Array, Array]:
    """Give the class of each row's largest entry, flat, and that entry; classes are the second axis."""
    if entries.dtype not in (np.float32, np.float64):
        entries = entries.astype(np.float32 if entries.dtype.itemsize < 4 else np.float64)
    entries = np.require(entries, requirements=["C", "ALIGNED"])
    rows = entries.size // max(entries.shape[1], 1)
    classes = scratch.get((name, "classes"), (rows,), np.int64)
    most = scratch.get((name, "largest"), (rows,), entries.dtype)
    largest_of_rows(entries, classes, most)
    return classes, most


class Units:
    """A piece of data as units.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        What `per_element` gives.
    piece : Piece
        The data.
    scratch : Scratch
        Where results of losses are kept.

    Attributes
    ----------
    logits, labels : ndarray
        Flat: what the margin of each unit is made of; those of softmax losses are there after `place`.
    classes : ndarray or None
        Flat: the class of each unit, its column for sigmoid losses and its target for softmax ones.
    guessed : ndarray or None
        For each row the class with the largest logit, where every row has one class.
    predicted : ndarray or None
        The same for the rows that count.
    rows_classes : ndarray or None
        For each of them its class.
    ignored : ndarray or None
        Flat: the units whose target is `ignore_index`.
    """

    def __init__(self, loss: Loss, piece: Piece, scratch: Scratch) -> None:
        self.loss, self.piece, self.scratch = loss, piece, scratch
        self.softmax = isinstance(loss, SoftmaxFocalLoss)
        self.classes: Array | None = None
        self.guessed: Array | None = None
        self.predicted: Array | None = None
        self.rows_classes: Array | None = None
        self.ignored: Array | None = None
        x, y = piece.logits, piece.targets
        self.count_classes = None if loss.class_axis is None else x.shape[1]
        self.dense = y.shape == x.shape
        if not self.dense and (self.count_classes is None or y.shape != x.shape[:1] + x.shape[2:]):
            raise BadData(
                f"targets must have the shape of the logits, {x.shape}, or lack its class axis; got {y.shape}"
            )
        ignored = self._ignored(y, loss.ignore_index)
        if self.softmax:
            self._rows(x, y, ignored)
        else:
            self._elements(x, y, ignored)

    @staticmethod
    def _ignored(y: Array, index: float | None) -> Array | None:
        if index is None:
            return None
        return same_number(y, index)

    @property
    def size(self) -> int:
        """Number of units."""
        return self.labels.size

    def row_of(self, unit: int) -> tuple[int, int | None]:
        """Row of a unit within the piece, and its class."""
        if self.softmax:
            return unit, None if self.classes is None else int(self.classes[unit])
        if self.count_classes is None:
            return unit, None
        inner = int(np.prod(self.piece.logits.shape[2:]))
        block, rest = divmod(unit, self.count_classes * inner)
        column, place = divmod(rest, inner)
        return block * inner + place, column

    def _elements(self, x: Array, y: Array, ignored: Array | None) -> None:
        """Sigmoid: every logit is a unit."""
        loss = self.loss
        if not self.dense:
            assert self.count_classes is not None
            self._classes_of_rows(x, y, ignored)
            columns = np.arange(self.count_classes).reshape(1, -1, *[1] * (x.ndim - 2))
            y = np.expand_dims(y, 1)
            background = getattr(loss, "background_index", None)
            labels = y == columns
            if background is not None:
                labels &= y != background
            if ignored is not None:
                ignored = np.broadcast_to(np.expand_dims(ignored, 1), x.shape)
            y = labels
        if ignored is not None:
            self.ignored = ignored.reshape(-1)
            y = np.where(ignored, 0, y)
        self.labels = np.ascontiguousarray(y).reshape(-1)
        flat = np.ascontiguousarray(x).reshape(-1)
        self.logits = flat if loss.from_logits else _logit(flat)
        if self.count_classes is not None:
            shape = (1, -1, *[1] * (x.ndim - 2))
            self.classes = np.broadcast_to(np.arange(x.shape[1]).reshape(shape), x.shape).reshape(-1)

    def _rows(self, x: Array, y: Array, ignored: Array | None) -> None:
        """Softmax: every row is a unit. The margin is that of its class against all others together."""
        target = y.argmax(1) if self.dense else y
        self._classes_of_rows(x, target, ignored)
        self._target = target
        target = target.reshape(-1)
        self.classes = (
            target.astype(np.intp)
            if self.ignored is None
            else np.where(self.ignored, 0, target).astype(np.intp)
        )
        self.labels = (self.classes == 1) if x.shape[1] == 2 else np.zeros(target.shape, bool)

    @property
    def entropic(self) -> bool:
        """Whether cross entropy as it is computed beside softmax losses is -log p of each row's class."""
        loss = self.loss
        return (
            isinstance(loss, SoftmaxFocalLoss)
            and not self.dense
            and loss.label_smoothing == 0
            and loss.modulator == "softmax"
            and self.piece.weight is None
        )

    def place(self, entropy: Array) -> None:
        """Find the logits of softmax losses, from cross entropy as it is computed beside them."""
        piece, loss = self.piece, self.loss
        if not self.entropic:
            plain = fg.SoftmaxFocalLoss(
                None,
                0.0,
                reduction="none",
                class_axis=1,
                ignore_index=None if self.dense else loss.ignore_index,
                from_logits=loss.from_logits,
                eps=loss.eps,
            )
            entropy = np.asarray(plain(piece.logits, self._target)).reshape(-1)
            if entropy.dtype.itemsize < 4:
                entropy = entropy.astype(np.float32)
        self.logits = self.scratch.get("margins", (self.size,), np.float64)
        margins_of_rows(entropy, self.logits)
        if self.count_classes == 2:  # margins are against the class, logits for class 1
            np.negative(self.logits, out=self.logits, where=self.labels)

    def _classes_of_rows(self, x: Array, target: Array, ignored: Array | None) -> None:
        keep: Any = slice(None)
        if ignored is not None:
            flat = ignored.reshape(-1)
            if self.softmax:
                self.ignored = flat
            keep = ~flat
        background = getattr(self.loss, "background_index", None)
        self.guessed, _ = largest(self.scratch, "logits", x)
        predicted = self.guessed[keep]
        known = target.reshape(-1)[keep]
        if background is not None:
            inside = known != background
            predicted, known = predicted[inside], known[inside]
        self.predicted, self.rows_classes = predicted, known.astype(np.intp)

    def compute(self, loss: Loss, name: Any) -> tuple[Array, Array, float | None]:
        """Losses and absolute gradients of the units, flat, for a variant of the loss.

        Returns
        -------
        values, slopes : ndarray
            Of softmax losses the slopes are sums over the row, and those of sigmoid ones have signs.
        squares : float or None
            The sum of the squares of the gradient, where it is not that of the slopes.
        """
        piece = self.piece
        dtype = piece.logits.dtype if piece.logits.dtype.kind in "fV" else np.dtype(np.float64)
        shape = piece.logits.shape[:1] + piece.logits.shape[2:] if self.softmax else piece.logits.shape
        values = self.scratch.get((name, "values"), shape, dtype)
        grad = self.scratch.get((name, "grad"), piece.logits.shape, dtype)
        loss.value_and_grad(
            piece.logits, piece.targets, sample_weight=piece.weight, out=values, grad_out=grad
        )
        if dtype.itemsize < 4:
            values, grad = values.astype(np.float32), grad.astype(np.float32)
        if not self.softmax:
            return values.reshape(-1), grad.reshape(-1), None
        slopes = self.scratch.get((name, "slopes"), (self.size,), grad.dtype)
        return values.reshape(-1), slopes, sizes_of_rows(grad, slopes)

    def entropic_gradient(self) -> Array | None:
        """Give the gradient of cross entropy as it has been computed, where it is p less 1 for the class."""
        x = self.piece.logits
        if not self.entropic or x.ndim > 2 or x.dtype not in (np.float32, np.float64):
            return None
        return self.scratch.get((0, "grad"), x.shape, x.dtype)

    def refusal(self, unit: int) -> str:
        """Say which target is outside 0 to 1."""
        piece, (row, column) = self.piece, self.row_of(unit)
        place = piece.first_in_file + row
        if column is not None and piece.called == "element":
            place = place * (self.count_classes or 1) + column
        found = f"{piece.called} {place:,}" + (
            f" of the file is {self.labels[unit]}" if piece.file else f" is {self.labels[unit]}"
        )
        return (f"{shown(piece.file)}: " if piece.file else "") + f"targets must be from 0 to 1, but {found}"


def _logit(p: Array) -> Array:
    """Logits of probabilities."""
    wide = p.astype(np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(np.log(wide) - np.log1p(-wide))
