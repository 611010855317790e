"""An evaluation in words and numbers: what ``--json`` prints."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import focalgrad as fg
from focalgrad._core import SoftmaxFocalLoss
from focalgrad._evaluate import reliability
from focalgrad._evaluate.bins import EDGES, HARD, MARGINS, NAN_BIN, Spectrum, margins
from focalgrad._evaluate.totals import Total

if TYPE_CHECKING:
    from focalgrad._evaluate.evaluation import Evaluation

#: Groups of labels and of sides of the margin: negatives 0, positives 1; easy 0, hard 1.
GROUPS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "positives": ((1,), (0, 1)),
    "easy_positives": ((1,), (0,)),
    "hard_positives": ((1,), (1,)),
    "negatives": ((0,), (0, 1)),
    "easy_negatives": ((0,), (0,)),
    "hard_negatives": ((0,), (1,)),
    "easy": ((0, 1), (0,)),
    "hard": ((0, 1), (1,)),
}
#: The table of difficulty is cut at these margins.
STEPS = (-6.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
#: So many classes that a class is taken for are named.
CONFUSIONS = 3

Array = NDArray[Any]


def share(part: float, whole: float) -> float:
    """Part of a whole; NaN if there is no whole."""
    return float(part) / float(whole) if 0 < whole < math.inf else math.nan


class View:
    """The bins of an evaluation, arranged for reading.

    Parameters
    ----------
    evaluation : Evaluation
        What to read.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        table = evaluation.table.values()
        #: Cross entropy, and the loss with each gamma.
        self.spectra = [Spectrum.of(table, i) for i in range(len(evaluation.totals))]
        #: Units by label and margin, shape (2, MARGINS).
        self.counts = evaluation.counts[:NAN_BIN].reshape(2, MARGINS)
        #: A margin that stands for each bin.
        self.margins = margins(self.counts, self.spectra[0])
        classes = evaluation.classes
        #: Whether labels are negative and positive.
        self.binary = not isinstance(evaluation.loss, SoftmaxFocalLoss) or (
            classes is not None and len(classes.count) == 2
        )

    def shares(self, labels: tuple[int, ...], first: int, last: int, place: int = 1) -> dict[str, float]:
        """Count units with these labels and bins, and say what share they have of everything."""

        def of(array: Array) -> float:
            return share(float(array[list(labels), first:last].sum()), float(array.sum()))

        focal, entropy = self.spectra[place], self.spectra[0]
        return {
            "count": int(self.counts[list(labels), first:last].sum()),
            "share": of(self.counts),
            "loss_share": of(focal.losses),
            "gradient_share": of(focal.slopes),
            "cross_entropy_loss_share": of(entropy.losses),
            "cross_entropy_gradient_share": of(entropy.slopes),
        }

    def group(self, name: str, place: int = 1) -> dict[str, Any]:
        """One of `GROUPS`."""
        labels, sides = GROUPS[name]
        first, last = (HARD if 0 not in sides else 0), (MARGINS if 1 in sides else HARD)
        found = self.shares(labels, first, last, place)
        if not self.binary and len(labels) == 1:
            return dict.fromkeys(found)
        return found


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Everything, as `Evaluation.to_dict` gives it."""
    view = View(evaluation)
    loss, units = evaluation.loss, evaluation.units
    described = evaluation.source
    nothing = {"path": None, "dtype": None, "shape": None}
    focal, entropy = evaluation.totals[1], evaluation.totals[0]
    return {
        "version": fg.__version__,
        "call": repr(loss),
        "kind": "softmax" if isinstance(loss, SoftmaxFocalLoss) else "sigmoid",
        "alpha": loss.alpha,
        "gamma": loss.gamma,
        "reduction": loss.reduction,
        "normalizer": loss.normalizer,
        "logits": described.get("logits") or nothing,
        "targets": described.get("targets") or nothing,
        "sample_weight": described.get("weight"),
        "rows": described.get("rows", evaluation.rows),
        "elements": evaluation.elements,
        "examples": units,
        "ignored": int(evaluation.counts[NAN_BIN + 1]),
        "positives": evaluation.positives if view.binary else None,
        "positive_share": (evaluation.positives / units if units else math.nan) if view.binary else None,
        "nan_logits": evaluation.nan_logits,
        "nan_losses": int(evaluation.counts[NAN_BIN]),
        "infinite_losses": focal.infinite,
        "focal": total_of(focal),
        "cross_entropy": total_of(entropy),
        "gammas": [_gamma(view, i) for i in range(1, len(evaluation.totals))],
        "groups": {name: view.group(name) for name in GROUPS},
        "difficulty": _difficulty(view),
        "accuracy": _accuracy(evaluation),
        "classes": _classes(evaluation),
        "reliability": _reliability(view),
        "by": _by(evaluation),
        "hardest": evaluation.hardest.summary(),
        "timing": _timing(evaluation),
    }


def total_of(total: Total) -> dict[str, float | None]:
    """Loss, gradient norm, extremes."""
    return {
        "loss": total.value(),
        "gradient_norm": total.norm(),
        "loss_min": total.low,
        "loss_max": total.high,
    }


def _gamma(view: View, place: int) -> dict[str, Any]:
    total = view.evaluation.totals[place]
    found: dict[str, Any] = {"gamma": total.loss.gamma, "call": repr(total.loss), **total_of(total)}
    for name in ("positives", "easy"):
        group = view.group(name, place)
        found[f"{name}_loss_share"] = group["loss_share"]
        found[f"{name}_gradient_share"] = group["gradient_share"]
    return found


def _difficulty(view: View) -> list[dict[str, Any]]:
    """Shares between steps of the margin, the easiest first."""
    steps = [-math.inf, *STEPS, math.inf]
    found = []
    for low, high in itertools.pairwise(steps):
        first, last = np.searchsorted(EDGES, [low, high])
        about = {"p_from": 1 / (1 + math.exp(min(high, 700))), "p_to": 1 / (1 + math.exp(max(low, -700)))}
        if math.isinf(high):
            about["p_from"] = 0.0
        found.append(about | view.shares((0, 1), int(first), int(last)))
    return found


def _accuracy(evaluation: Evaluation) -> float | None:
    """How often the largest logit is that of the class; of two sides how often p_t is above 1/2."""
    table = evaluation.classes
    if table is not None and table.rows:
        return table.right / table.rows
    if table is not None:
        return None
    counts = evaluation.counts[:NAN_BIN].reshape(2, MARGINS)
    whole = int(counts.sum())
    return int(counts[:, :HARD].sum()) / whole if whole else math.nan


def _classes(evaluation: Evaluation) -> list[dict[str, Any]] | None:
    table = evaluation.classes
    if table is None:
        return None
    sums = table.sums.values()
    whole = sums.sum(axis=1)
    examples = int(table.count.sum())
    found = []
    for c in range(len(table.count)):
        count = int(table.count[c])
        found.append(
            {
                "class": c,
                "count": count,
                "share": share(count, examples),
                "easy_share": share(int(table.easy[c]), count),
                "loss_share": share(sums[1, c, 0], whole[1, 0]),
                "gradient_share": share(sums[1, c, 1], whole[1, 1]),
                "cross_entropy_loss_share": share(sums[0, c, 0], whole[0, 0]),
                "cross_entropy_gradient_share": share(sums[0, c, 1], whole[0, 1]),
                "confusions": _confusions(table.confusion, c),
            }
        )
    return found


def _confusions(confusion: Array | None, c: int) -> list[dict[str, Any]] | None:
    """Say which other classes rows of class c look most like."""
    if confusion is None or not confusion.any():
        return None
    row = confusion[c].copy()
    whole, row[c] = int(row.sum()), 0
    most = np.argsort(-row, kind="stable")[:CONFUSIONS]
    return [{"class": int(j), "count": int(row[j]), "share": int(row[j]) / whole} for j in most if row[j] > 0]


def _reliability(view: View) -> dict[str, Any] | None:
    evaluation = view.evaluation
    if isinstance(evaluation.loss, SoftmaxFocalLoss):
        return None if evaluation.confidence is None else evaluation.confidence.summary()
    return reliability.of_margins(evaluation.loss, view.counts, view.margins)


def _by(evaluation: Evaluation) -> dict[str, Any] | None:
    if evaluation.groups is None:
        return None
    cells = evaluation.groups.cells
    whole = sum((cell.sums.values() for cell in cells.values()), np.zeros((len(evaluation.totals), 2)))
    binary = View(evaluation).binary
    found = []
    for name in sorted(cells, key=lambda name: (name is None, isinstance(name, str), name)):
        cell = cells[name]
        sums = cell.sums.values()
        values = [meter.compute() for meter in cell.meters]
        found.append(
            {
                "value": name,
                "rows": cell.rows,
                "positives": cell.positives if binary else None,
                "loss": values[1],
                "cross_entropy_loss": values[0],
                "losses": values[1:],
                "share": share(cell.units, evaluation.units),
                "loss_share": share(sums[1, 0], whole[1, 0]),
                "gradient_share": share(sums[1, 1], whole[1, 1]),
            }
        )
    return {"column": evaluation.by, "groups": found}


def _timing(evaluation: Evaluation) -> dict[str, Any]:
    config = fg.show_config(mode="dicts") or {}
    elements = evaluation.elements
    seconds = evaluation.seconds * elements / evaluation.timed if evaluation.timed else 0.0
    return {
        "seconds": seconds,
        "total_seconds": evaluation.source.get("total_seconds", math.nan),
        "elements_per_second": elements / seconds if seconds else math.nan,
        "gigabytes_per_second": evaluation.bytes / seconds / 1e9 if seconds else math.nan,
        "repeats": evaluation.repeats,
        "chunk": evaluation.source.get("chunk"),
        "threads": config.get("threads"),
        "isa": config.get("isa"),
    }


def plain(value: Any) -> Any:
    """Put None for the numbers that JSON does not have, and text for what is no JSON at all: dates."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
