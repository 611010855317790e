"""The units with the largest losses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalgrad._evaluate.units import Units

#: How many are kept.
KEPT = 20


class Hardest:
    """The largest losses so far; of equal ones those that come first."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, int, int, dict[str, Any]]] = []

    @property
    def least(self) -> float:
        """A loss must be larger than this to be kept."""
        return self._kept[-1][0] if len(self._kept) == KEPT else -np.inf

    def add(self, units: Units, values: NDArray[Any], high: float) -> None:
        """Add a piece whose largest loss is `high`."""
        if not high > self.least:
            return
        found = np.flatnonzero(values > self.least)
        if len(found) > KEPT:
            # All above the last place, and of those that share it the first ones.
            large = values[found]
            last = np.partition(large, -KEPT)[-KEPT]
            above, equal = found[large > last], found[large == last]
            found = np.concatenate([above, equal[: KEPT - len(above)]])
        for unit in found.tolist():
            row, column = units.row_of(unit)
            about = self._about(units, unit, row, column)
            self._keep(float(values[unit]), units.piece.first + row, -1 if column is None else column, about)

    @staticmethod
    def _about(units: Units, unit: int, row: int, column: int | None) -> dict[str, Any]:
        logit, label = float(units.logits[unit]), float(units.labels[unit])
        with np.errstate(over="ignore"):
            p_true = float(1 / (1 + np.exp(logit if label < 0.5 else -logit)))
        about: dict[str, Any] = {"row": units.piece.first + row, "class": column, "p_true": p_true}
        if not units.softmax:
            about |= {"target": label, "logit": logit}
        elif units.dense:
            about |= {"target": column, "logit": None}
        else:
            about |= {"target": int(units.piece.targets.reshape(-1)[unit]), "logit": None}
        if units.piece.file:
            about |= {"file": units.piece.file, "row_in_file": units.piece.first_in_file + row}
        return about

    def _keep(self, value: float, row: int, column: int, about: dict[str, Any]) -> None:
        self._kept.append((value, row, column, {**about, "loss": value}))
        self._kept.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
        del self._kept[KEPT:]

    def merge(self, other: Hardest, rows: int) -> None:
        """Add those of another one, whose first row comes after so many rows."""
        for value, row, column, about in other._kept:
            self._keep(value, rows + row, column, {**about, "row": rows + row})

    def summary(self) -> list[dict[str, Any]]:
        """List them, the largest first."""
        return [about for *_, about in self._kept]
