"""Sums by difficulty, which tell the elements that losses and gradients come from.

Elements are sorted by their label and by their margin, the logit against the label: a margin of m gives the
true class the probability 1 / (1 + exp(m)). There are 256 bins of width 1/8 for each label; those at both
ends take what lies beyond. Bins of two pieces of data are added, and nothing depends on the size of the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGINS = 256
PER_UNIT = 8
#: The bin of elements whose loss is NaN, and that of ignored ones; before them those of negatives, positives.
NAN_BIN = 2 * MARGINS
IGNORED_BIN = NAN_BIN + 1
BINS = IGNORED_BIN + 1
#: The first bin of a margin that is not below 0: from here on an element is hard.
HARD = MARGINS // 2

Floats = NDArray[np.float64]
#: Edges of the margins of one label.
EDGES: Floats = np.arange(-HARD, HARD + 1) / PER_UNIT
EDGES[0], EDGES[-1] = -np.inf, np.inf


class Sums:
    """Float64 sums of about 100 bits, so that the order of additions shows in none of the 53 that are read.

    Parameters
    ----------
    shape : tuple of int
        Of the sums.

    Notes
    -----
    What an addition rounds away is kept beside the sum (Knuth's TwoSum).
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._high, self._low = np.zeros(shape), np.zeros(shape)

    def add(self, numbers: Floats | float, rest: Floats | float = 0.0) -> None:
        """Add a number to each sum."""
        with np.errstate(all="ignore"):  # infinities: their remainder is NaN, and no remainder
            total = self._high + numbers
            shift = total - self._high
            error = (self._high - (total - shift)) + (numbers - shift)
        self._low += np.where(np.isfinite(error), error, 0.0) + rest
        self._high = total

    def merge(self, other: Sums) -> None:
        """Add other sums."""
        self.add(other._high, other._low)

    def values(self) -> Floats:
        """Round the sums."""
        with np.errstate(all="ignore"):
            return np.asarray(self._high + self._low)


@dataclass
class Spectrum:
    """What one loss adds up to in each bin: losses and absolute gradients, shape (2, MARGINS) each."""

    losses: Floats
    slopes: Floats

    @classmethod
    def of(cls, rows: Floats, place: int) -> Spectrum:
        """Take loss `place` out of the rows of `Sums`, two losses a table."""
        table, half = divmod(place, 2)
        part = rows[table, :NAN_BIN, 2 * half : 2 * half + 2]
        return cls(part[:, 0].reshape(2, MARGINS), part[:, 1].reshape(2, MARGINS))


def margins(counts: NDArray[Any], entropy: Spectrum) -> Floats:
    """Give a margin that stands for each bin: the one whose cross entropy is the bin's mean.

    Cross entropy of the margin m is log(1 + exp(m)). Where a bin is empty, or weights or smoothing took its
    mean out of the bin, its middle.
    """
    middle = (np.arange(MARGINS) - HARD + 0.5) / PER_UNIT
    with np.errstate(all="ignore"):
        mean = entropy.losses / counts
        # log(exp(l) - 1), in a form that neither overflows nor cancels.
        found = np.where(mean > 1, mean + np.log1p(-np.exp(-mean)), np.log(np.expm1(np.minimum(mean, 1))))
    low, high = EDGES[:-1], EDGES[1:]
    slack = 1 / PER_UNIT
    inside = (found >= low - slack) & (found <= high + slack)
    return np.where(inside, np.clip(found, low, high), middle)
