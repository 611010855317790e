"""What one loss adds up to over all data."""

from __future__ import annotations

import math
from typing import Any

import focalgrad as fg
from focalgrad._core import ExactSum, exact_sums
from focalgrad._evaluate.bins import Sums
from focalgrad._evaluate.pieces import Piece
from focalgrad._evaluate.units import Loss


class Total:
    """The value of a loss over all data, exactly, and the norm of its gradient.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        With any reduction.

    Notes
    -----
    The sum is that of `FocalLossMeter`. Where the mean divides by anything but a count or a number, a meter
    keeps both; else the exact sum of the losses that were computed anyway is enough.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self._sum = ExactSum()
        summed = loss if loss.reduction in ("sum", "mean") else loss.replace(reduction="sum")
        if summed.class_axis is not None:
            summed = summed.replace(class_axis=1, normalizer=summed.normalizer)
        self._summed = summed
        self._meter = fg.FocalLossMeter(summed) if isinstance(loss.normalizer, str) else None
        self._counted = 0
        self._squares = Sums(())
        self.low, self.high, self.infinite = math.nan, math.nan, 0

    def add(self, piece: Piece, found: tuple[Any, ...], squares: float | None, counted: int) -> None:
        """Add a piece: what the core found of it, and how many units are not ignored."""
        total, own_squares, low, high, infinite = found
        if self._meter is not None:
            self._meter.update(piece.logits, piece.targets, sample_weight=piece.weight)
        elif piece.logits.dtype.itemsize < 4 and piece.logits.dtype.kind in "fV":
            # Losses of half types have been rounded; their sum is that of what they were before.
            self._sum += exact_sums(self._summed, piece.logits, piece.targets, piece.weight)[0]
        else:
            self._sum += total
        self._counted += counted
        self._squares.add(own_squares if squares is None else squares)
        if low <= high:
            self._widen(low, high)
        self.infinite += infinite

    def _widen(self, low: float, high: float) -> None:
        self.low = low if math.isnan(self.low) else min(self.low, low)
        self.high = high if math.isnan(self.high) else max(self.high, high)

    def merge(self, other: Total) -> None:
        """Add what another one has seen."""
        self._sum += other._sum
        if self._meter is not None and other._meter is not None:
            self._meter.merge(other._meter)
        self._counted += other._counted
        self._squares.merge(other._squares)
        if not math.isnan(other.low):
            self._widen(other.low, other.high)
        self.infinite += other.infinite

    def denominator(self) -> float:
        """Divide the sum by this; NaN if the gradient is not that of the sum divided by a number."""
        if self.loss.reduction != "mean":
            return 1.0
        normalizer = self.loss.normalizer
        if isinstance(normalizer, float):
            return normalizer
        if self._meter is None:
            return float(self._counted)
        return math.nan if normalizer == "focal_weights" else float(self._meter._denominator)

    def value(self) -> float | None:
        """Compute the loss; None if its reduction gives no single one."""
        if self.loss.reduction not in ("sum", "mean"):
            return None
        if self._meter is not None:
            return self._meter.compute()
        denominator = self.denominator()
        return float(self._sum) / denominator if denominator else 0.0

    def norm(self) -> float:
        """Euclidean norm of the gradient of the loss; NaN if it is not known."""
        denominator = self.denominator()
        return math.sqrt(float(self._squares.values())) / abs(denominator) if denominator else 0.0
