"""How a piece of data is added to an evaluation.

Where the loss of an element depends on its logit and its label alone, one walk of the core computes and adds
up everything. For all other data losses and gradients are computed one after the other, and added up by bin.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from focalgrad._core import add_by_bin, sort_by_margin, walk_losses
from focalgrad._evaluate.bins import BINS, IGNORED_BIN
from focalgrad._evaluate.classes import ClassTable
from focalgrad._evaluate.errors import BadData
from focalgrad._evaluate.groups import Groups
from focalgrad._evaluate.pieces import Piece
from focalgrad._evaluate.reliability import Confidence
from focalgrad._evaluate.units import Units

if TYPE_CHECKING:
    from focalgrad._evaluate.evaluation import Evaluation

#: Of so many elements of plain data those of one piece are timed.
TIMED = 1 << 22

Array = NDArray[Any]
#: Losses and gradients.
Pair = tuple[Array, Array]
#: What the core says of one loss: sum, squares of the gradient, smallest and largest loss, infinite ones.
About = tuple[Any, ...]


def add(found: Evaluation, piece: Piece, repeats: int) -> None:
    """Add a piece, whose loss is timed as the best of so many runs."""
    units = Units(found._each[1], piece, found._scratch)
    if units.size == 0:
        return
    with np.errstate(all="ignore"):
        plain = found._plain and piece.weight is None and piece.by is None and piece.logits.ndim == 1
        if plain and not _walk(found, units, repeats):
            found._plain = plain = False
        if not plain:
            _compute(found, units, repeats)
    found.units += units.size
    found.elements += piece.logits.size
    found.rows += len(piece.logits) * math.prod(piece.logits.shape[2:])
    found.bytes += 2 * piece.logits.nbytes + piece.targets.nbytes + units.size * piece.logits.itemsize
    found.repeats = max(found.repeats, repeats)


def _walk(found: Evaluation, units: Units, repeats: int) -> bool:
    """Compute and add everything at once; False, and nothing is added, if the data are not plain."""
    piece, loss = units.piece, found._each[1]
    counts, rows = _nothing(len(found.totals))
    walked = walk_losses(found._each, piece.logits, piece.targets, counts, rows)
    if walked is None:
        return False
    abouts, nan_logits, positives = walked
    high = abouts[1][3]
    if high > found.hardest.least:
        found.hardest.add(units, np.asarray(loss(piece.logits, piece.targets)).reshape(-1), high)
    if repeats > 1 or found.units // TIMED != (found.units - units.size) // TIMED:
        _timed(found, units, 1, repeats)
    _sum_up(found, units, counts, rows, abouts, [None] * len(abouts))
    found.nan_logits += nan_logits
    found.positives += positives
    return True


def _nothing(losses: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Make empty counts, and rows of tables, for the core to add to."""
    return np.zeros(BINS, np.int64), np.zeros(((losses + 1) // 2, BINS, 4))


def _timed(found: Evaluation, units: Units, i: int, repeats: int) -> tuple[Array, Array, float | None]:
    """Compute loss i, and note how long it takes."""
    best = math.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        computed = units.compute(found._each[i], i)
        best = min(best, time.perf_counter() - begin)
    found.seconds += best
    found.timed += units.piece.logits.size
    return computed


def _sum_up(
    found: Evaluation,
    units: Units,
    counts: NDArray[np.int64],
    rows: NDArray[np.float64],
    abouts: list[About],
    squares: list[float | None],
) -> None:
    """Add what both ways have found."""
    counted = units.size - int(counts[IGNORED_BIN])
    for total, about, square in zip(found.totals, abouts, squares, strict=True):
        total.add(units.piece, about, square, counted)
    found.counts += counts
    found.table.add(rows)


def _compute(found: Evaluation, units: Units, repeats: int) -> None:
    """Compute losses and gradients, and add them up."""
    pairs: list[Pair] = []
    squares = []
    for i, loss in enumerate(found._each):
        values, slopes, square = _timed(found, units, i, repeats) if i == 1 else units.compute(loss, i)
        pairs.append((values, slopes))
        squares.append(square)
    if units.softmax:
        units.place(pairs[0][0])
    bins = found._scratch.get("bins", (units.size,), np.uint16)
    nan_logits, positives, outside = sort_by_margin(units.logits, units.labels, pairs[1][0], bins)
    if outside is not None and not units.softmax:
        raise BadData(units.refusal(outside))
    if units.ignored is not None:
        bins[units.ignored] = IGNORED_BIN
    counts, rows = _nothing(len(pairs))
    abouts = add_by_bin(bins, pairs, counts, rows)
    _sum_up(found, units, counts, rows, abouts, squares)
    found.hardest.add(units, pairs[1][0], abouts[1][3])
    found.nan_logits += nan_logits
    found.positives += positives
    _add_tables(found, units, bins, pairs)


def _add_tables(found: Evaluation, units: Units, bins: Array, pairs: list[Pair]) -> None:
    """Add to the tables of classes, groups and confidence."""
    if units.classes is not None and units.count_classes is not None:
        if found.classes is None:
            found.classes = ClassTable(len(pairs), units.count_classes)
        if len(found.classes.count) != units.count_classes:
            raise BadData(
                f"all pieces must have the same number of classes, {len(found.classes.count)}; "
                f"got {units.count_classes}"
            )
        found.classes.add(units, bins, pairs)
    if units.piece.by is not None:
        if found.groups is None:
            found.groups = Groups(found._all)
        found.groups.add(units, units.piece.by, pairs)
    plain = getattr(found.loss, "modulator", "softmax") == "softmax" and found.loss.from_logits
    if units.softmax and found._detailed and plain and not units.dense:
        if found.confidence is None:
            found.confidence = Confidence()
        found.confidence.add(found.loss, units, pairs[0][0])
