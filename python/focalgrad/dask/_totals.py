"""Exact sums of weights, many at a time: they do not depend on how data is cut or in which order it comes.

A float64 number is a whole number of units of ``2^-1074``, so a sum of any of them is one too. Here it is a
Python integer, which never overflows and is rounded once, in the end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Exponent of the unit.
UNIT = -1074
#: Weights that are added up at a time.
PIECE = 1 << 20
#: Bits of a weight that are added up at a time: with these, sums of a piece are exact in float64.
BITS = 53 - 20


class Totals(NamedTuple):
    """Sums: finite weights in units (or counts, as int64), and what is infinite or NaN."""

    finite: NDArray[Any]
    others: NDArray[np.float64]

    def __add__(self, other: Any) -> Totals:
        """Add, the shorter one filled up with zeros."""
        finite, others = (padded_sum(mine, theirs) for mine, theirs in zip(self, other, strict=True))
        return Totals(finite, others)

    def to_float(self) -> NDArray[np.float64]:
        """Round the sums, all divided by a power of two where they would overflow: only ratios count."""
        if self.finite.dtype != object:
            return self.finite + self.others
        longest = max((abs(total).bit_length() for total in self.finite), default=0)
        unit = 1 << max(-UNIT, longest - 1000)
        return np.array([total / unit for total in self.finite], np.float64) + self.others


def padded_sum(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Add arrays that begin alike."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total


def totals(place: NDArray[np.intp], weight: NDArray[Any] | None, length: int) -> Totals:
    """Sum of the weights at each place, or how often each occurs."""
    if weight is None:
        return Totals(np.bincount(place, minlength=length).astype(np.int64), np.zeros(length))
    result = Totals(np.zeros(length, object), np.zeros(length))
    for start in range(0, len(place), PIECE):
        piece = slice(start, start + PIECE)
        result += piece_totals(place[piece], weight[piece].astype(np.float64), length)
    return result


def piece_totals(place: NDArray[np.intp], weight: NDArray[np.float64], length: int) -> Totals:
    """Sum a piece: first the leading bits of all weights, then those below them, until nothing is left."""
    finite = np.zeros(length, object)
    is_finite = np.isfinite(weight)
    others = np.bincount(place[~is_finite], weight[~is_finite], length).astype(np.float64)
    rest = np.where(is_finite, weight, 0.0)
    while rest.any():
        unit = max(int(np.frexp(np.max(np.abs(rest)))[1]) - BITS, UNIT)
        leading = np.trunc(np.ldexp(rest, -unit))
        rest -= np.ldexp(leading, unit)
        sums = np.bincount(place, leading, length)
        found = np.flatnonzero(sums)
        finite[found] += np.array([int(total) << (unit - UNIT) for total in sums[found]], object)
    return Totals(finite, others)
