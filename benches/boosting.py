"""What an objective costs in training: its share of an iteration, against NumPy, against doing nothing.

    python benches/boosting.py                      # everything: 1e6 rows, 20 columns, 31 leaves, two threads
    python benches/boosting.py --only lightgbm      # rows of the table whose name matches
    python benches/boosting.py --rows 100000

Nothing here asserts on time: the table says "met" or "not met".
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import focalgrad as fg
from machine import cores

Array = NDArray[Any]
COLUMNS, LEAVES, CLASSES = 20, 31, 5
BINARY, SOFTMAX = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0), fg.SoftmaxFocalLoss(gamma=2.0)
SHARE, SHARE_OF_CLASSES, FASTER, OVER_NOTHING = 0.05, 0.10, 15.0, 1.3


@dataclass
class Sizes:
    """How much is trained."""

    rows: int
    rounds: int
    threads: int


@dataclass
class Data:
    """Features and labels: a tenth positive, or classes of falling frequency."""

    X: Array
    y: Array


def data(rows: int, classes: int) -> Data:
    """Make features, five of which tell something."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, COLUMNS)).astype(np.float32)
    signal = X[:, :5].sum(axis=1) + rng.normal(0, 2, rows)
    shares = [0.9] if classes == 2 else [0.4, 0.7, 0.85, 0.95]
    return Data(X, np.digitize(signal, np.quantile(signal, shares)).astype(np.float32))


@dataclass
class Clocked:
    """An objective whose calls are timed; copies are the object itself."""

    objective: Callable[..., Any]
    begins: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    no_jit = True

    def __deepcopy__(self, memo: Any) -> Clocked:
        return self

    def __call__(self, *arguments: Any) -> Any:
        begin = time.perf_counter()
        result = self.objective(*arguments)
        self.begins.append(begin)
        self.inside.append(time.perf_counter() - begin)
        return result

    calc_ders_range = calc_ders_multi = __call__

    def iteration(self) -> tuple[float, float]:
        """Median seconds from one call to the next, and in a call."""
        gaps = [after - before for before, after in zip(self.begins, self.begins[1:], strict=False)]
        return statistics.median(gaps), statistics.median(self.inside[:-1])

    def whole(self) -> float:
        """Seconds from the first call to the last."""
        return self.begins[-1] - self.begins[0]


def usual_binary(scores: Array, dataset: Any) -> tuple[Array, Array]:
    """The objective that circulates, with gamma 2 and alpha 0.25, and the right numbers."""
    y, alpha = dataset.get_label(), 0.25
    p = 1 / (1 + np.exp(-scores))
    a, q = np.where(y == 1, alpha, 1 - alpha), np.where(y == 1, p, 1 - p)
    sign = np.where(y == 1, 1.0, -1.0)
    inner = 2 * q * np.log(q) + q - 1
    grad = a * sign * (1 - q) ** 2 * inner
    hess = a * q * (1 - q) * ((1 - q) ** 2 * (2 * np.log(q) + 3) - 2 * (1 - q) * inner)
    return grad.astype(scores.dtype), np.maximum(hess, 1e-16).astype(scores.dtype)


def usual_classes(scores: Array, dataset: Any) -> tuple[Array, Array]:
    """The same for classes: softmax, one-hot labels, the factor of every row."""
    y = dataset.get_label().astype(int)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    one_hot = np.eye(scores.shape[1])[y]
    t = np.take_along_axis(p, y[:, None], axis=1)
    factor = (1 - t) ** 2 - 2 * t * (1 - t) * np.log(t)
    return (factor * (p - one_hot)).astype(scores.dtype), (factor * p * (1 - p)).astype(scores.dtype)


def by_lightgbm(found: Data, objective: Any, sizes: Sizes) -> None:
    """Train LightGBM."""
    import lightgbm as lgb

    params = {"objective": objective, "num_leaves": LEAVES, "num_threads": sizes.threads, "verbosity": -1}
    params |= {"num_class": CLASSES} if found.y.max() > 1 else {}
    lgb.train(params, lgb.Dataset(found.X, found.y), sizes.rounds)


def by_xgboost(found: Data, objective: Any, sizes: Sizes) -> None:
    """Train XGBoost, leaf by leaf as LightGBM does."""
    import xgboost as xgb

    params = {"nthread": sizes.threads, "tree_method": "hist", "grow_policy": "lossguide", "max_depth": 0}
    params |= {"max_leaves": LEAVES, "min_child_weight": 1e-3}
    params |= {"num_class": CLASSES} if found.y.max() > 1 else {}
    xgb.train(params, xgb.QuantileDMatrix(found.X, found.y), sizes.rounds, obj=objective)


def by_catboost(found: Data, objective: Any, sizes: Sizes) -> None:
    """Train CatBoost, with trees of depth 5."""
    import catboost as cb

    two = found.y.max() == 1
    cb.CatBoostClassifier(
        loss_function=objective,
        eval_metric="Logloss" if two else "MultiClass",
        class_names=list(range(2 if two else CLASSES)),
        iterations=sizes.rounds,
        depth=5,
        learning_rate=0.1,
        thread_count=sizes.threads,
        metric_period=sizes.rounds,
        verbose=False,
        allow_writing_files=False,
    ).fit(cb.Pool(found.X, found.y))


TRAIN = {"lightgbm": by_lightgbm, "xgboost": by_xgboost, "catboost": by_catboost}


def verdict(met: bool) -> str:
    """What the table says of a bar."""
    return "met" if met else "not met"


def share_row(booster: str, classes: int, sizes: Sizes) -> str:
    """Share of an iteration that the objective takes, and that NumPy's takes; and how much faster it is."""
    loss, usual = (BINARY, usual_binary) if classes == 2 else (SOFTMAX, usual_classes)
    ours = Clocked(getattr(fg, booster).Objective(loss))
    numpys, found = Clocked(usual), data(sizes.rows, classes)
    TRAIN[booster](found, ours, sizes)
    TRAIN[booster](found, numpys, Sizes(sizes.rows, max(4, sizes.rounds // 4), sizes.threads))
    (whole, inside), (slow, slow_inside) = ours.iteration(), numpys.iteration()
    bar, faster = SHARE if classes == 2 else SHARE_OF_CLASSES, slow_inside / inside
    return (
        f"iteration {1e3 * whole:.1f} ms, objective {1e3 * inside:.2f} ms: {inside / whole:.1%} "
        f"(bar {bar:.0%}: {verdict(inside / whole <= bar)}); "
        f"NumPy's {1e3 * slow_inside:.1f} ms: {slow_inside / slow:.0%}, {faster:.1f} times as long "
        f"(bar {FASTER:.0f}: {verdict(faster >= FASTER)})"
    )


class Nothing:
    """The cheapest objective in Python: it gives back arrays that it made before."""

    def __init__(self, classes: int) -> None:
        self.grad, self.hess = np.linspace(-0.5, 0.5, classes), -np.eye(classes)
        self.ranges: dict[int, Array] = {}

    def of_range(self, approxes: Array, targets: Array, weights: Any) -> Array:
        """Derivatives of as many rows as came."""
        if len(targets) not in self.ranges:
            rng = np.random.default_rng(0)
            self.ranges[len(targets)] = np.stack(
                [rng.normal(size=len(targets)), np.full(len(targets), -0.2)], axis=1
            )
        return self.ranges[len(targets)]

    def of_row(self, approxes: Array, target: float, weight: float) -> tuple[Array, Array]:
        """Derivatives of one row."""
        return self.grad, self.hess


def nothing_row(classes: int, sizes: Sizes) -> str:
    """CatBoost with the objective, against one that does nothing: medians of three runs in turns."""
    if classes > 2:  # Python is called for every row
        sizes = Sizes(sizes.rows // 50, max(3, sizes.rounds // 4), sizes.threads)
    found, nothing = data(sizes.rows, classes), Nothing(classes)
    ours = fg.catboost.Objective(BINARY if classes == 2 else SOFTMAX)
    pair = (
        (ours.calc_ders_range, nothing.of_range) if classes == 2 else (ours.calc_ders_multi, nothing.of_row)
    )
    times: list[list[float]] = [[], []]
    for turn in range(3):
        for which in (turn % 2, 1 - turn % 2):
            clocked = Clocked(pair[which])
            TRAIN["catboost"](found, clocked, sizes)
            times[which].append(clocked.whole() / (sizes.rounds - 1))
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    ms = [1e3 * statistics.median(each) for each in times]
    return (
        f"{sizes.rows:,} rows: iteration {ms[0]:.0f} ms, of an objective that does nothing {ms[1]:.0f} ms: "
        f"{ratio:.2f} times (bar {OVER_NOTHING}: {verdict(ratio <= OVER_NOTHING)})"
    )


class Labelled:
    """A data set to call an objective with."""

    def __init__(self, labels: Array) -> None:
        self.labels = labels

    def get_label(self) -> Array:
        """Labels, as float32."""
        return self.labels

    def get_weight(self) -> None:
        """No weights."""


def memory_row(booster: str, classes: int, sizes: Sizes) -> str:
    """Peak of memory in a call, in units of one of the two results."""
    rng, loss = np.random.default_rng(0), BINARY if classes == 2 else SOFTMAX
    shape = (sizes.rows,) if classes == 2 else (sizes.rows, classes)
    scores = rng.normal(size=shape)
    scores = scores.astype(np.float32) if booster == "xgboost" else np.asfortranarray(scores)
    labels = rng.integers(0, classes, sizes.rows).astype(np.float32)
    objective = getattr(fg, booster).Objective(loss)
    if booster == "catboost":
        call = lambda: objective.calc_ders_range(scores, labels, None)  # noqa: E731
    else:
        dataset = Labelled(labels)
        call = lambda: objective(scores, dataset)  # noqa: E731
    call()
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1] / scores.nbytes
    tracemalloc.stop()
    return f"{peak:.3f} arrays in all, of which 2 are results (bar 2: {verdict(peak < 2.01)})"


def table(sizes: Sizes) -> dict[str, Callable[[], str]]:
    """Rows of the table."""
    rows: dict[str, Callable[[], str]] = {}
    for booster in ("lightgbm", "xgboost"):
        for classes in (2, CLASSES):
            name = f"{booster}, {classes} classes"
            rows[f"{name}, share"] = lambda b=booster, c=classes: share_row(b, c, sizes)
            rows[f"{name}, memory"] = lambda b=booster, c=classes: memory_row(b, c, sizes)
    for classes in (2, CLASSES):
        rows[f"catboost, {classes} classes, time"] = lambda c=classes: nothing_row(c, sizes)
    rows["catboost, 2 classes, memory"] = lambda: memory_row("catboost", 2, sizes)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20, help="iterations of a run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="a regular expression")
    given = parser.parse_args()
    sizes = Sizes(given.rows, given.rounds, given.threads)
    fg.set_num_threads(given.threads)
    versions = {name: importlib.metadata.version(name) for name in ("lightgbm", "catboost", "numpy")} | {
        "xgboost": fg.xgboost.xgboost.__version__
    }
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(
        f"{sizes.rows:,} rows, {COLUMNS} columns, {LEAVES} leaves, {sizes.rounds} iterations, "
        f"{sizes.threads} threads of {cores()} cores, {fg.show_config(mode='dicts')['isa']}\n"
    )
    for name, row in table(sizes).items():
        if re.search(given.only, name):
            print(f"{name:30} {row()}", flush=True)


if __name__ == "__main__":
    main()
