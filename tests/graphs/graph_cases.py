"""Losses and data that the tests of Dask graphs share."""

from __future__ import annotations

from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np

import focalgrad as fg
from support import Array, same_bits

ROWS = 500


class Case(NamedTuple):
    """A loss and the data that it takes, of `ROWS` rows."""

    loss: Any
    logits: Array
    targets: Array
    weight: Array | None = None
    rows: int = 0  # the axis of the rows

    def cut(self, size: int) -> tuple[da.Array, da.Array, dict[str, Any]]:
        """Dask arrays of so many rows a block."""
        rest = dict.fromkeys(range(self.logits.ndim), -1)
        logits = da.from_array(self.logits, rest | {self.rows: size})
        targets = da.from_array(self.targets, -1)
        return logits, targets, {} if self.weight is None else {"sample_weight": self.weight}

    def keywords(self) -> dict[str, Any]:
        """Weights as a call takes them."""
        return {} if self.weight is None else {"sample_weight": self.weight}


def rng(seed: int = 0) -> np.random.Generator:
    """Random numbers, always the same."""
    return np.random.default_rng(seed)


LOGITS = rng(1).normal(0, 3, ROWS).astype(np.float32)
COLUMNS = rng(2).normal(0, 3, (ROWS, 4)).astype(np.float32)
BINARY = rng(3).integers(0, 2, ROWS).astype(np.uint8)
SOME = rng(4).integers(-1, 2, ROWS).astype(np.int8)  # -1: ignored
CLASSES = rng(5).integers(0, 4, ROWS)
SOFT = rng(6).uniform(0, 1, (ROWS, 4)).astype(np.float32)
WEIGHTS = rng(7).uniform(0.1, 3, ROWS)

#: Every reduction and normaliser of both losses, hard and soft targets, class axes, weights that broadcast.
CASES = [
    Case(fg.SigmoidFocalLoss(), LOGITS, BINARY),
    Case(fg.SigmoidFocalLoss(reduction="sum", gamma=1.7), LOGITS.astype(np.float64), BINARY, WEIGHTS),
    Case(fg.SigmoidFocalLoss(reduction="none"), LOGITS.astype(np.float16), SOME),
    Case(fg.SigmoidFocalLoss(ignore_index=-1), LOGITS, SOME),
    Case(fg.SigmoidFocalLoss(normalizer="positives", ignore_index=-1), LOGITS, SOME, WEIGHTS),
    Case(fg.SigmoidFocalLoss(normalizer=7.5), COLUMNS, SOFT, WEIGHTS[:, None]),
    Case(fg.SigmoidFocalLoss(normalizer="positives"), COLUMNS, SOFT, WEIGHTS[:4]),
    Case(
        fg.SigmoidFocalLoss(normalizer="weights", class_axis=-1, class_weight=[1, 2, 3, 4]), COLUMNS, CLASSES
    ),
    Case(fg.SigmoidFocalLoss(normalizer="focal_weights", class_axis=1), COLUMNS, CLASSES, WEIGHTS),
    Case(fg.SigmoidFocalLoss(reduction="sum_classes", class_axis=0), COLUMNS.T, CLASSES, None, 1),
    Case(fg.SigmoidFocalLoss(reduction="sum_classes", class_axis=-1), COLUMNS, SOFT, WEIGHTS[:, None]),
    Case(fg.SigmoidFocalLoss(class_axis=1, background_index=3), COLUMNS, CLASSES),
    Case(fg.SoftmaxFocalLoss(), COLUMNS, CLASSES, WEIGHTS),
    Case(fg.SoftmaxFocalLoss(reduction="none", class_axis=0), COLUMNS.T, CLASSES, WEIGHTS, 1),
    Case(fg.SoftmaxFocalLoss(reduction="none"), COLUMNS, SOFT / 4, WEIGHTS),
    Case(fg.SoftmaxFocalLoss(alpha=[1, 2, 3, 4], normalizer="weights", ignore_index=2), COLUMNS, CLASSES),
    Case(fg.SoftmaxFocalLoss(normalizer="focal_weights", label_smoothing=0.1), COLUMNS, SOFT / 4, WEIGHTS),
    Case(fg.SoftmaxFocalLoss(normalizer="focal_weights", ignore_index=0), COLUMNS, CLASSES, WEIGHTS),
    Case(fg.SoftmaxFocalLoss(reduction="sum", modulator="sigmoid"), COLUMNS.astype(np.float64), CLASSES),
]
NUMBERS = [case for case in CASES if case.loss.reduction in ("sum", "mean")]


def named(case: Case) -> str:
    """What a case is called."""
    return f"{case.loss!r}-{case.targets.dtype}"


def everything(loss: Any, *arrays: Any, **keywords: Any) -> tuple[Any, ...]:
    """The graphs of all that is computed from a loss: value, gradient, both, gradient and Hessian."""
    dasked = fg.dask
    return (
        dasked.value(loss, *arrays, **keywords),
        dasked.grad(loss, *arrays, **keywords),
        *dasked.value_and_grad(loss, *arrays, **keywords),
        *dasked.grad_and_hess(loss, *arrays, **keywords),
    )


def computed(graphs: Any, **options: Any) -> list[Array]:
    """What graphs give, as arrays."""
    return [np.asarray(result) for result in dask.compute(*graphs, **options)]


def all_same(some: list[Array], others: list[Array]) -> bool:
    """The same bits in every result."""
    return len(some) == len(others) and all(map(same_bits, some, others))
