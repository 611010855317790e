"""What is focal loss worth in boosting? Cross entropy, class weights and focal loss on rare events.

Every model is LightGBM with the same parameters; the number of trees is found by early stopping on rows kept
apart, by each model's own loss. Scores are read in two ways: as if they were log-odds (``sigmoid``), and as
the posterior that the loss stands for (``loss.posterior``).

Run ``pip install -r requirements.txt`` and ``python compare.py``: it writes a table between two marks of
docs/boosting.md, and two plots beside it. Five seeds draw the rows that are trained on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm as lgb
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from data import Data, Part, caravan, flights
from scipy.special import expit
from scipy.stats import t as student
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_recall_curve,
)

import focalgrad as fg
from focalgrad.lightgbm import Metric, Objective, init_score

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
BEGIN, END = "<!-- comparison: begin -->", "<!-- comparison: end -->"
SEEDS = range(5)
ROUNDS, PATIENCE = 400, 25
PARAMS = {"learning_rate": 0.1, "num_leaves": 15, "min_data_in_leaf": 20, "verbosity": -1}
BINS = 20  # of the calibration error, with equally many rows each
FOCAL = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0)
ENTROPY = fg.SigmoidFocalLoss(alpha=None, gamma=0.0)


class Model(NamedTuple):
    """A trained model: raw scores of the tested rows, the loss they stand for, and how many trees it took."""

    scores: np.ndarray
    loss: fg.SigmoidFocalLoss
    trees: int


class Result(NamedTuple):
    """One row of the table for one seed: the probabilities, and what they are worth."""

    proba: np.ndarray
    figures: dict[str, float]


class Plan(NamedTuple):
    """How a model is trained."""

    params: dict[str, Any]
    loss: fg.SigmoidFocalLoss  # that its scores stand for
    metric: Metric | None = None
    start: bool = False  # from the best constant score
    ratio: float = 1.0  # weight of positives


def booster(train: Part, stop: Part, plan: Plan, seed: int) -> tuple[lgb.Booster, float]:
    """Train with early stopping; give the model, and the score that its predictions lack."""
    weights = [np.where(part.y == 1, plan.ratio, 1.0) for part in (train, stop)]
    train_set = lgb.Dataset(train.x, train.y, weight=weights[0])
    stop_set = lgb.Dataset(stop.x, stop.y, weight=weights[1], reference=train_set)
    score = init_score(plan.loss, train_set, stop_set) if plan.start else 0.0
    params = PARAMS | plan.params | {"seed": seed}
    stopping = lgb.early_stopping(PATIENCE, verbose=False)
    model = lgb.train(
        params, train_set, ROUNDS, valid_sets=[stop_set], feval=plan.metric, callbacks=[stopping]
    )
    return model, score


def models(train: Part, stop: Part, test: Part, seed: int) -> dict[str, Model]:
    """Train all of them on the same rows."""
    ratio = float((1 - train.y.mean()) / train.y.mean())
    own = {"objective": "binary", "metric": "binary_logloss"}
    custom = {"objective": Objective(FOCAL), "metric": "None"}
    # Positives weighted `ratio` times: the posterior of such a model is that of this loss.
    weighted = ENTROPY.replace(alpha=ratio / (1 + ratio))
    plans = {
        "cross entropy": Plan(own, ENTROPY),
        "class weights": Plan(own, weighted, ratio=ratio),
        "focal loss, from 0": Plan(custom, FOCAL, Metric(FOCAL)),
        "focal loss": Plan(custom, FOCAL, Metric(FOCAL), start=True),
    }
    found = {}
    for name, plan in plans.items():
        model, score = booster(train, stop, plan, seed)
        scores = model.predict(test.x, raw_score=True) + score
        found[name] = Model(scores, plan.loss, model.best_iteration)
    return found


def calibration(y: np.ndarray, proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability and share of positives, in bins of equally many rows."""
    order = np.argsort(proba, kind="stable")
    means = [(proba[rows].mean(), y[rows].mean()) for rows in np.array_split(order, BINS)]
    predicted, observed = np.transpose(means)
    return predicted, observed


def figures(y: np.ndarray, proba: np.ndarray) -> dict[str, float]:
    """The four columns of the table."""
    predicted, observed = calibration(y, proba)
    return {
        "average precision": average_precision_score(y, proba),
        "log loss": log_loss(y, proba),
        "Brier score": brier_score_loss(y, proba),
        "calibration error": float(np.abs(predicted - observed).mean()),
    }


def results(data: Data) -> tuple[dict[str, list[Result]], dict[str, list[int]], np.ndarray]:
    """Train and measure with every seed: results by row of the table, trees by model, first test labels."""
    rows: dict[str, list[Result]] = {}
    trees: dict[str, list[int]] = {}
    first = None
    for seed in SEEDS:
        train, stop, test = data.cut(seed)
        first = test.y if first is None else first
        for name, model in models(train, stop, test, seed).items():
            trees.setdefault(name, []).append(model.trees)
            readings = {f"{name}, sigmoid": expit(model.scores)}
            if model.loss != ENTROPY:
                readings[f"{name}, posterior"] = model.loss.posterior(model.scores)
            for reading, proba in readings.items():
                rows.setdefault(reading, []).append(Result(proba, figures(test.y, proba)))
    return rows, trees, first


def interval(values: list[float], digits: int) -> str:
    """Mean, and half the width of its 95 % interval over the seeds."""
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.{digits}f} ± {half:.{digits}f}"


def table(data: Data, rows: dict[str, list[Result]], trees: dict[str, list[int]]) -> str:
    """One set as a table of the document."""
    names = list(next(iter(rows.values()))[0].figures)
    lines = [
        f"**{data.name}**: {len(data.y):,} rows, {data.x.shape[1]} columns, {data.y.mean():.2%} positive.",
        "",
        f"| model, reading of its scores | {' | '.join(names)} | trees |",
        f"|---|{'---:|' * len(names)}---:|",
    ]
    for reading, found in rows.items():
        cells = [interval([result.figures[name] for result in found], 4) for name in names]
        count = np.mean(trees[reading.rsplit(", ", 1)[0]])
        lines.append(f"| {reading} | {' | '.join(cells)} | {count:.0f} |")
    return "\n".join(lines)


CURVES = (
    "cross entropy, sigmoid",
    "class weights, sigmoid",
    "focal loss, from 0, sigmoid",
    "focal loss, sigmoid",
)
RELIABLE = (
    "cross entropy, sigmoid",
    "class weights, sigmoid",
    "class weights, posterior",
    "focal loss, sigmoid",
    "focal loss, posterior",
)


def plots(sets: list[tuple[Data, dict[str, list[Result]], np.ndarray]], folder: Path) -> None:
    """Draw precision-recall and reliability of the first seed, a panel for each set."""
    plt.rcParams.update({"font.size": 9, "figure.constrained_layout.use": True})
    for file, draw in (
        ("boosting-precision-recall.png", draw_curves),
        ("boosting-reliability.png", draw_bins),
    ):
        figure, panels = plt.subplots(1, len(sets), figsize=(9, 4))
        for panel, (data, rows, y) in zip(panels, sets, strict=True):
            draw(panel, rows, y)
            panel.set_title(data.name)
        # Below the panels: within them curves may be anywhere.
        names = panels[0].get_legend_handles_labels()
        figure.legend(*names, loc="outside lower center", ncols=3, frameon=False)
        figure.savefig(folder / file, dpi=110, metadata={"Software": None})
        plt.close(figure)


def draw_curves(panel: Any, rows: dict[str, list[Result]], y: np.ndarray) -> None:
    """Precision by recall; posteriors rank as scores do, so that one curve a model is enough."""
    for name in CURVES:
        precision, recall, _ = precision_recall_curve(y, rows[name][0].proba)
        panel.plot(recall, precision, label=name.removesuffix(", sigmoid"), linewidth=1)
    panel.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))


def draw_bins(panel: Any, rows: dict[str, list[Result]], y: np.ndarray) -> None:
    """Share of positives by mean probability."""
    for name in RELIABLE:
        predicted, observed = calibration(y, rows[name][0].proba)
        shown = observed > 0
        panel.loglog(predicted[shown], observed[shown], marker=".", linewidth=1, label=name)
    panel.axline((0.01, 0.01), (0.1, 0.1), color="grey", linestyle=":", linewidth=1)
    panel.set(xlabel="mean probability of a bin", ylabel="share of positives in it")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare losses, and write the table and the plots.")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of boosting.md (default: docs)")
    folder = parser.parse_args().out
    mpl.use("agg")
    begin, sets, tables = time.perf_counter(), [], []
    for load in (flights, caravan):
        data = load()
        rows, trees, y = results(data)
        sets.append((data, rows, y))
        tables.append(table(data, rows, trees))
        print(f"{tables[-1]}\n({time.perf_counter() - begin:.0f} s)\n", flush=True)
    plots(sets, folder)
    page = folder / "boosting.md"
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(tables) + f"\n\n{END}{after}")


if __name__ == "__main__":
    main()
