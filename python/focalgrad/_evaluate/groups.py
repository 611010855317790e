"""Sums by the values of a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import focalgrad as fg
from focalgrad._evaluate.bins import Sums
from focalgrad._evaluate.errors import BadData
from focalgrad._evaluate.units import Loss, Units

#: A column with more values than this is not one of groups.
MOST_GROUPS = 10_000


@dataclass
class Cell:
    """One group."""

    #: The value of each loss, as in `Groups`.
    meters: list[fg.FocalLossMeter]
    rows: int = 0
    units: int = 0
    positives: int = 0
    #: For each loss: loss and absolute gradient.
    sums: Sums = field(default_factory=lambda: Sums((1, 2)))


class Groups:
    """Losses of each group, exactly as a meter gives them.

    Parameters
    ----------
    losses : list of losses
        Those whose value is wanted; a reduction to no single number counts as "sum".
    """

    def __init__(self, losses: Sequence[Loss]) -> None:
        reduced = [
            loss if loss.reduction in ("sum", "mean") else loss.replace(reduction="sum") for loss in losses
        ]
        self._losses = [
            loss if loss.class_axis is None else loss.replace(class_axis=1, normalizer=loss.normalizer)
            for loss in reduced
        ]
        self.cells: dict[Any, Cell] = {}

    def add(self, units: Units, by: tuple[Any, Sequence[Any]], pairs: list[tuple[Any, Any]]) -> None:
        """Add a piece whose rows have the codes and names `by`."""
        codes, names = np.asarray(by[0]), by[1]
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(codes[order]) != 0]) if len(order) else np.empty(0, int)
        for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
            rows = order[start:stop]
            self._add_group(names[codes[rows[0]]], units, rows, pairs)

    def _add_group(self, name: Any, units: Units, rows: NDArray[Any], pairs: list[tuple[Any, Any]]) -> None:
        cell = self.cells.get(name)
        if cell is None:
            if len(self.cells) >= MOST_GROUPS:
                raise BadData(
                    f"there are more than {MOST_GROUPS:,} groups; a column of groups has few values"
                )
            meters = [fg.FocalLossMeter(loss) for loss in self._losses]
            cell = self.cells[name] = Cell(meters, sums=Sums((len(self._losses), 2)))
        piece = units.piece
        if piece.logits.ndim > 2:
            raise BadData("groups need logits of one or two dimensions")
        x, y = piece.logits[rows], piece.targets[rows]
        weight = None if piece.weight is None else piece.weight[rows]
        for meter in cell.meters:
            meter.update(x, y, sample_weight=weight)
        per_row = units.size // max(len(piece.logits), 1)
        labels = units.labels.reshape(-1, per_row)[rows]
        cell.rows += len(rows)
        cell.units += labels.size
        cell.positives += int(np.count_nonzero(labels >= 0.5))
        part = np.zeros((len(pairs), 2))
        for i, pair in enumerate(pairs):
            chosen = [np.asarray(each.reshape(-1, per_row)[rows], np.float64) for each in pair]
            part[i] = [np.nansum(np.abs(each)) if j else np.nansum(each) for j, each in enumerate(chosen)]
        cell.sums.add(part)

    def merge(self, other: Groups) -> None:
        """Add other groups."""
        for name, cell in other.cells.items():
            mine = self.cells.get(name)
            if mine is None:
                mine = self.cells[name] = Cell(
                    [fg.FocalLossMeter(loss) for loss in self._losses], sums=Sums((len(self._losses), 2))
                )
            for meter, more in zip(mine.meters, cell.meters, strict=True):
                meter.merge(more)
            mine.rows += cell.rows
            mine.units += cell.units
            mine.positives += cell.positives
            mine.sums.merge(cell.sums)
