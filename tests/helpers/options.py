"""All combinations of options, which of them make sense, and arrays to evaluate them on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from focalgrad._reference import SIGMOID, SOFTMAX

Array = NDArray[Any]
Options = dict[str, Any]

CLASSES = 4
IGNORED = -1
BACKGROUND = CLASSES
PER_CLASS = (0.1, 0.25, 0.8, 1.0)
GAMMAS = (0.5, 2.0, 0.0, 1.7)

REDUCTIONS = [
    {"reduction": "none"},
    {"reduction": "sum"},
    {"reduction": "sum_classes"},
    *({"reduction": "mean", "normalizer": n} for n in (None, "weights", "positives", "focal_weights", 3.7)),
]
INPUTS = [{}, {"from_logits": False}, {"from_logits": False, "eps": 0.1}]
TARGETS = ("indices", "one-hot", "soft")

# What differs from the default, and the form of the targets (for the call alone).
AXES: dict[str, list[list[Options]]] = {
    "sigmoid": [
        [{"alpha": a} for a in (None, 0.25, PER_CLASS)],
        [{"gamma": g} for g in (2.0, 0.0, GAMMAS)],
        REDUCTIONS,
        [{"class_axis": axis} for axis in (None, 1, -1)],
        [{}, {"class_weight": (1.0, 2.0, 0.5, 3.0)}],
        [{}, {"label_smoothing": 0.1}],
        [{}, {"ignore_index": IGNORED}],
        [{}, {"background_index": BACKGROUND}],
        INPUTS,
        [{"soft_targets": meaning} for meaning in ("mixture", "expected", "quality")],
        [{"targets": form} for form in TARGETS],
    ],
    "softmax": [
        [{"alpha": a} for a in (None, 0.25, PER_CLASS)],
        [{"gamma": g} for g in (2.0, 0.0, 0.5, GAMMAS)],
        [r for r in REDUCTIONS if r["reduction"] != "sum_classes"],
        [{"class_axis": axis} for axis in (0, 1, -1)],
        [{}, {"label_smoothing": 0.1}],
        [{}, {"ignore_index": IGNORED}],
        INPUTS,
        [{}, {"modulator": "sigmoid"}],
        [{"targets": form} for form in TARGETS],
    ],
}
DEFAULTS = {"sigmoid": SIGMOID, "softmax": SOFTMAX}


def grid(kind: str) -> Iterator[Options]:
    """Every combination of the values above, of the constructor's options and ``targets``."""
    for chosen in itertools.product(*AXES[kind]):
        yield DEFAULTS[kind] | {name: value for part in chosen for name, value in part.items()}


def refusal(kind: str, options: Options) -> str | None:
    """Why the constructor refuses these options: the argument that it names; None if it takes them."""
    if kind == "sigmoid":
        if options["class_axis"] is None:
            for name in ("alpha", "gamma", "class_weight"):
                if np.ndim(options[name] if options[name] is not None else 0):
                    return name
            if options["reduction"] == "sum_classes":
                return "reduction"
            if options["background_index"] is not None:
                return "background_index"
        if options["normalizer"] == "focal_weights" and options["soft_targets"] == "expected":
            return "normalizer"
    else:
        if options["normalizer"] == "positives":
            return "normalizer"
        if options["modulator"] == "sigmoid" and (options["label_smoothing"] or not options["from_logits"]):
            return "modulator"
    return None


def refusal_at_call(kind: str, options: Options) -> str | None:
    """Why these targets are refused: the option that does not go with them; None if they are taken."""
    dense = options["targets"] != "indices"
    if kind == "sigmoid":
        if dense:
            return "background_index" if options["background_index"] is not None else None
        return "targets" if options["class_axis"] is None else None
    if dense and options["ignore_index"] is not None:
        return "ignore_index"
    return "modulator" if dense and options["modulator"] == "sigmoid" else None


@cache
def accepted(kind: str) -> tuple[Options, ...]:
    """The combinations that are taken, shuffled: any part of them has something of everything."""
    taken = [o for o in grid(kind) if refusal(kind, o) is None and refusal_at_call(kind, o) is None]
    return tuple(taken[i] for i in np.random.default_rng(0).permutation(len(taken)))


def surrogates(options: Options) -> bool:
    """Whether there are surrogates of the Hessian."""
    softmax = options.get("modulator", "softmax") == "softmax"
    return options["from_logits"] and softmax and options["normalizer"] != "focal_weights"


def constructor(options: Options) -> Options:
    """The options without the form of the targets."""
    return {name: value for name, value in options.items() if name != "targets"}


def plain(options: Options) -> SimpleNamespace:
    """A loss object as the reference takes it."""
    return SimpleNamespace(**constructor(options))


def pairs(options: Options) -> set[tuple[Any, ...]]:
    """Every pair of options with their values."""
    return set(itertools.combinations(sorted(options.items(), key=lambda item: item[0]), 2))


@cache
def covering(kind: str) -> tuple[Options, ...]:
    """Few of the accepted combinations, such that every pair of values that occurs in any occurs in them."""
    seen: set[tuple[Any, ...]] = set()
    chosen = []
    for options in accepted(kind):
        new = pairs(options) - seen
        if new:
            seen |= new
            chosen.append(options)
    return tuple(chosen)


def arrays(kind: str, options: Options, shape: tuple[int, ...], dtype: DTypeLike, seed: int = 0) -> Options:
    """Logits (or probabilities), targets and weights for a call with these options."""
    rng = np.random.default_rng(seed)
    axis = options["class_axis"]
    logits = rng.normal(0, 3, shape)
    if not options["from_logits"]:
        logits = 1 / (1 + np.exp(-logits))
        logits = logits / logits.sum(axis=axis, keepdims=True) if kind == "softmax" else logits
    without = shape if axis is None else tuple(np.delete(shape, axis).tolist())
    targets: Array = rng.integers(0, CLASSES, without)
    rows = without
    if options["targets"] == "indices":
        if options.get("background_index") is not None:
            targets = np.where(rng.random(without) < 0.3, options["background_index"], targets)
    else:
        rows = without if kind == "softmax" else shape
        # Numbers of the logits' type: how soft targets of a wider one are rounded is another question.
        targets = dense_targets(rng, kind, options, shape).astype(dtype)
    if options["ignore_index"] is not None:
        targets = np.where(rng.random(targets.shape) < 0.25, options["ignore_index"], targets)
    return {
        "logits": logits.astype(dtype),
        "targets": targets,
        "sample_weight": rng.uniform(0.1, 2, rows),
    }


def dense_targets(rng: np.random.Generator, kind: str, options: Options, shape: tuple[int, ...]) -> Array:
    """Targets of the logits' shape; among soft ones of the sigmoid loss there are hard ones."""
    axis, soft = options["class_axis"], rng.random(shape)
    if kind == "sigmoid":
        rounded = rng.random(shape) < (0.2 if options["targets"] == "soft" else 1)
        return np.where(rounded, np.round(soft), soft)
    if options["targets"] == "soft":
        return soft / soft.sum(axis=axis, keepdims=True)
    hot = np.eye(CLASSES)[rng.integers(0, CLASSES, tuple(np.delete(shape, axis)))]
    return np.moveaxis(hot, -1, axis)


def described(options: Options) -> str:
    """Options that differ from the defaults, for the name of a test."""
    kind = "softmax" if "modulator" in options else "sigmoid"
    return ",".join(f"{k}={v}" for k, v in options.items() if DEFAULTS[kind].get(k, ...) != v)
