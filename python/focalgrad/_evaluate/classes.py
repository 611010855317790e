"""Sums by class: how many, how much of loss and gradient, and what is taken for what."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalgrad._evaluate.bins import HARD, MARGINS, NAN_BIN, Sums
from focalgrad._evaluate.units import Units

#: With more classes, what is taken for what is not counted: the table would be too large.
MOST_CONFUSIONS = 1024

Array = NDArray[Any]


class ClassTable:
    """Counts and sums by class.

    Parameters
    ----------
    losses : int
        How many losses are added up.
    classes : int
        How many classes there are.
    """

    def __init__(self, losses: int, classes: int) -> None:
        self.count = np.zeros(classes, np.int64)
        self.easy = np.zeros(classes, np.int64)
        #: For each loss and class: loss and absolute gradient.
        self.sums = Sums((losses, classes, 2))
        small = classes <= MOST_CONFUSIONS
        #: Rows of class i that look most like class j; None if not counted.
        self.confusion = np.zeros((classes, classes), np.int64) if small else None
        self.rows = 0
        self.right = 0

    def add(self, units: Units, bins: Array, pairs: list[tuple[Array, Array]]) -> None:
        """Add a piece: bins of the units, and losses and gradients of each loss."""
        classes, size = units.classes, len(self.count)
        assert classes is not None
        known = bins < NAN_BIN
        place = np.where(known, classes, size)
        # Of a column its positives.
        mine = place if units.softmax else np.where(bins >= MARGINS, place, size)
        self.count += np.bincount(mine, minlength=size + 1)[:size]
        easy = known & (bins % MARGINS < HARD)
        self.easy += np.bincount(np.where(easy, mine, size), minlength=size + 1)[:size]
        part = np.zeros((len(pairs), size, 2))
        for i, (values, slopes) in enumerate(pairs):
            part[i, :, 0] = np.bincount(place, values, size + 1)[:size]
            part[i, :, 1] = np.bincount(place, np.abs(slopes), size + 1)[:size]
        self.sums.add(part)
        if units.predicted is not None and units.rows_classes is not None:
            right, guessed = units.rows_classes, units.predicted
            self.rows += right.size
            self.right += int(np.count_nonzero(right == guessed))
            if self.confusion is not None:
                cells = np.bincount(right * size + guessed, minlength=size * size)
                self.confusion += cells.reshape(size, size)

    def merge(self, other: ClassTable) -> None:
        """Add another table."""
        self.count += other.count
        self.easy += other.easy
        self.sums.merge(other.sums)
        self.rows += other.rows
        self.right += other.right
        if self.confusion is not None and other.confusion is not None:
            self.confusion += other.confusion
