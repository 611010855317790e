"""How often predicted probabilities come true, before and after `posterior`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import focalgrad as fg
from focalgrad._evaluate.bins import Floats, Sums
from focalgrad._evaluate.units import Loss, Units, largest, per_element

#: Bins of the predicted probability.
BINS = 10


class Confidence:
    """For softmax losses: how often the most probable class is the right one, by its probability."""

    def __init__(self) -> None:
        #: Before and after, for each bin: rows, rows that are right.
        self.counts = np.zeros((2, BINS, 2), np.int64)
        self.predicted = Sums((2, BINS))

    def add(self, loss: Loss, units: Units, entropy: NDArray[Any]) -> None:
        """Add a piece; `loss` is the one that was trained with, `entropy` cross entropy beside it."""
        if units.guessed is None or units.piece.logits.size == 0:
            return
        keep = ~units.ignored if units.ignored is not None else slice(None)
        part = np.zeros((2, BINS))
        for i, (best, classes) in enumerate((_before(units, entropy), _after(loss, units))):
            best, right = best[keep], classes[keep] == units.rows_classes
            with np.errstate(invalid="ignore"):
                place = np.minimum((best * BINS).astype(np.intp), BINS - 1)
            unknown = np.isnan(best)
            if unknown.any():
                place, best, right = place[~unknown], best[~unknown], right[~unknown]
            # Those that are right in the second half of the bins.
            counts = np.bincount(place + BINS * right, minlength=2 * BINS)
            self.counts[i, :, 0] += counts[:BINS] + counts[BINS:]
            self.counts[i, :, 1] += counts[BINS:]
            part[i] = np.bincount(place, best, BINS)
        self.predicted.add(part)

    def merge(self, other: Confidence) -> None:
        """Add what another one has seen."""
        self.counts += other.counts
        self.predicted.merge(other.predicted)

    def summary(self) -> dict[str, Any]:
        """Bins before and after, as `to_dict` has them."""
        predicted = self.predicted.values()
        return _summary([(self.counts[i, :, 0], predicted[i], self.counts[i, :, 1]) for i in range(2)])


def _before(units: Units, entropy: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the largest probability of each row, and its class."""
    x, classes, guessed = units.piece.logits, units.classes, units.guessed
    assert guessed is not None and classes is not None
    gradient = units.entropic_gradient()
    if gradient is None:
        plain = fg.SoftmaxFocalLoss(gamma=0.0, reduction="none", class_axis=1)
        shape = x.shape[:1] + x.shape[2:]
        entropy = np.asarray(plain(x, guessed.reshape(shape)), np.float64).reshape(-1)
        return np.exp(-entropy), guessed
    # The gradient of cross entropy is p, less 1 for the row's class.
    other = gradient.reshape(-1)[np.arange(0, x.size, x.shape[1]) + guessed]
    return np.where(guessed == classes, np.exp(-entropy), other), guessed


def _after(loss: Loss, units: Units) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the same of the posterior."""
    x = units.piece.logits
    dtype = x.dtype if x.dtype.kind in "fV" else np.dtype(np.float64)
    out = units.scratch.get("posterior", x.shape, dtype)
    classes, best = largest(units.scratch, "posterior", per_element(loss).posterior(x, out=out))
    return best, classes


def of_margins(loss: Loss, counts: NDArray[np.int64], stands_for: Floats) -> dict[str, Any] | None:
    """Reliability of sigmoid losses, from counts by margin; None if it depends on the class.

    Parameters
    ----------
    loss : SigmoidFocalLoss
        The one that was trained with.
    counts, stands_for : ndarray, shape (2, MARGINS)
        Units of each bin, and a margin that stands for it.
    """
    if not loss.from_logits or isinstance(loss.alpha, tuple) or isinstance(loss.gamma, tuple):
        return None
    if getattr(loss, "class_weight", None) is not None:
        return None
    flat = loss.replace(class_axis=None, background_index=None, reduction="none")
    # The logit of a positive is its margin with the other sign. Both labels of a logit go to the same bin.
    rows, hits = counts[0] + counts[1][::-1], counts[1][::-1]
    whole = counts[0] * stands_for[0] - hits * stands_for[1][::-1]
    logits = np.where(rows > 0, whole / np.maximum(rows, 1), stands_for[0])
    result = []
    for each in (flat.replace(alpha=None, gamma=0.0, label_smoothing=0.0), flat):
        p = np.asarray(each.posterior(logits))
        place = np.minimum((p * BINS).astype(np.intp), BINS - 1)
        result.append(
            (
                np.bincount(place, rows, BINS).astype(np.int64),
                np.bincount(place, rows * p, BINS),
                np.bincount(place, hits, BINS).astype(np.int64),
            )
        )
    return _summary(result)


def _summary(found: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name, (rows, predicted, hits) in zip(("before", "after"), found, strict=True):
        bins = []
        error, whole = 0.0, max(int(rows.sum()), 1)
        for i in range(BINS):
            count = int(rows[i])
            mean, share = (predicted[i] / count, hits[i] / count) if count else (None, None)
            bins.append(
                {
                    "from": i / BINS,
                    "to": (i + 1) / BINS,
                    "count": count,
                    "predicted": None if mean is None else float(mean),
                    "observed": None if share is None else float(share),
                }
            )
            if mean is not None and share is not None:
                error += abs(float(mean) - float(share)) * count / whole
        said[name] = bins
        said[f"error_{name}"] = error
    return said
