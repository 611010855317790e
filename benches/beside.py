"""Speed of what stands beside the losses: posteriors, initial scores and meters.

    python benches/beside.py                       everything, some three minutes on two quiet cores
    python benches/beside.py --only 'posterior'    rows whose name matches a regular expression

Scores are float32, outputs reused. See README.md in this folder for how the tables are made and read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import focalgrad as fg
import single
from classes import Threaded
from context import OURS
from measure import Contender
from rows import SETTINGS, Bar, Row

THE_LOSS, A_READ, NUMPY = "the loss", "a read", "numpy.bincount"


def calls(
    threads: int, size: int, *named: tuple[str, str, dict[str, Any]]
) -> Callable[[Any], list[Contender]]:
    """Contenders from statements."""

    def build(_: Any) -> list[Contender]:
        return [Contender(name, Threaded(threads, code, names), size) for name, code, names in named]

    return build


def posterior_rows(size: int, threads: int) -> list[Row]:
    """Sigmoid against the array of losses, softmax against mean and gradient."""
    random, rows = np.random.default_rng(1), []
    x = 3 * random.standard_normal(size, dtype=np.float32)
    y, out = (random.random(size) < 0.1).astype(np.float32), np.zeros_like(x)
    for gamma in (2.0, 1.7):
        loss = fg.SigmoidFocalLoss(gamma=gamma, reduction="none")
        names = {"loss": loss, "x": x, "y": y, "out": out}
        made = calls(
            threads,
            size,
            (OURS, "loss.posterior(x, out=out)", names),
            (THE_LOSS, "loss(x, y, out=out)", names),
        )
        rows.append(Row(f"posterior, sigmoid, gamma {gamma:g}", SETTINGS, made, ((Bar((THE_LOSS,), 1.5),),)))
    for classes in (10, 100):
        shape, loss = (size // classes, classes), fg.SoftmaxFocalLoss()
        z, place = x[: shape[0] * classes].reshape(shape), out[: shape[0] * classes].reshape(shape)
        names = {"loss": loss, "x": z, "y": random.integers(0, classes, shape[0]), "out": place}
        made = calls(
            threads,
            z.size,
            (OURS, "loss.posterior(x, out=out)", names),
            (THE_LOSS, "loss.value_and_grad(x, y, grad_out=out)", names),
        )
        rows.append(
            Row(f"posterior, softmax, {classes} classes", SETTINGS, made, ((Bar((THE_LOSS,), 1.3),),))
        )
    return rows


def score_rows(size: int, threads: int) -> list[Row]:
    """Dense targets against a read of them, class indices against NumPy's count."""
    random, rows = np.random.default_rng(2), []
    drawn, loss = random.random(size) < 0.1, fg.SigmoidFocalLoss()
    for dtype in (np.bool_, np.uint8, np.float32):
        names = {"loss": loss, "y": drawn.astype(dtype), "read": np.max}
        code = "read(y)" if dtype != np.bool_ else "read(y.view('u1'))"
        made = calls(threads, size, (OURS, "loss.init_score(y)", names), (A_READ, code, names))
        name = f"init_score, {np.dtype(dtype).name} (and 2 ms)"
        rows.append(Row(name, SETTINGS, made, ((Bar((A_READ,), 2),),)))
    names = {"loss": fg.SoftmaxFocalLoss(), "y": random.integers(0, 10, size), "count": np.bincount}
    made = calls(threads, size, (OURS, "loss.init_score(y)", names), (NUMPY, "count(y)", names))
    rows.append(Row("init_score, class indices (and 2 ms)", SETTINGS, made, ((Bar((NUMPY,), 1.5),),)))
    return rows


def meter_rows(size: int, threads: int) -> list[Row]:
    """A piece of data against one call."""
    random, loss = np.random.default_rng(3), fg.SigmoidFocalLoss()
    x = 3 * random.standard_normal(size, dtype=np.float32)
    names = {"loss": loss, "meter": fg.FocalLossMeter(loss), "x": x, "y": (random.random(size) < 0.1)}
    made = calls(threads, size, (OURS, "meter.update(x, y)", names), (THE_LOSS, "loss(x, y)", names))
    rows = [Row("FocalLossMeter.update, sigmoid", SETTINGS, made, ((Bar((THE_LOSS,), 1.25),),))]
    shape, loss = (size // 10, 10), fg.SoftmaxFocalLoss()
    names = {"loss": loss, "meter": fg.FocalLossMeter(loss), "x": x[: shape[0] * 10].reshape(shape)}
    names["y"] = random.integers(0, 10, shape[0])
    made = calls(threads, size, (OURS, "meter.update(x, y)", names), (THE_LOSS, "loss(x, y)", names))
    rows.append(Row("FocalLossMeter.update, softmax", SETTINGS, made, ((Bar((THE_LOSS,), 1.25),),)))
    return rows


def all_rows(size: int, threads: int) -> list[Row]:
    """Every row."""
    return [*posterior_rows(size, threads), *score_rows(size, threads), *meter_rows(size, threads)]


if __name__ == "__main__":
    single.main("beside the losses", ("size", 10_000_000, "elements of the arrays"), all_rows)
