"""The two sets of rare events that compare.py trains on, cut into parts to train, to stop and to test."""

from __future__ import annotations

import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "flights"))
import prepare  # examples/flights/prepare.py, whose features and months are used

# Of the nine training months: enough for the rare event, and little enough for four models in seconds.
FLIGHTS_TO_TRAIN, FLIGHTS_TO_STOP = 60_000, 40_000


class Part(NamedTuple):
    """Rows and labels, 1 for the rare event."""

    x: np.ndarray
    y: np.ndarray


class Data(NamedTuple):
    """A set, and how to cut it with a seed."""

    name: str
    x: np.ndarray
    y: np.ndarray
    known: np.ndarray  # rows that may be trained on; none: the cut decides

    def cut(self, seed: int) -> tuple[Part, Part, Part]:
        """Give parts to train on, to stop by, and to test on."""
        rng = np.random.default_rng(seed)
        if self.known.all():
            order = rng.permutation(len(self.y))
            train, stop, test = np.split(order, [len(order) // 2, len(order) * 7 // 10])
        else:
            order = rng.permutation(np.flatnonzero(self.known))
            train, stop = np.split(order[: FLIGHTS_TO_TRAIN + FLIGHTS_TO_STOP], [FLIGHTS_TO_TRAIN])
            test = np.flatnonzero(~self.known)
        train, stop, test = (Part(self.x[rows], self.y[rows]) for rows in (train, stop, test))
        return train, stop, test


def flights() -> Data:
    """Flights from New York, cancelled or not: October to December are tested on, whatever the seed."""
    table = prepare.load_flights()
    known = (table["month"] <= prepare.LAST_TRAINING_MONTH).to_numpy()
    x = prepare.design(table, known).drop(columns="intercept").to_numpy(np.float32)
    return Data("Flights", x, table["cancelled"].to_numpy(np.uint8), known)


def caravan() -> Data:
    """Customers of an insurer, with or without a policy for a caravan (CoIL Challenge 2000)."""
    table = pd.read_csv(distribution("ISLP").locate_file("ISLP/data/Caravan.csv"))
    y = (table.pop("Purchase") == "Yes").to_numpy(np.uint8)
    return Data("Caravan", table.to_numpy(np.float32), y, np.ones(len(y), bool))
