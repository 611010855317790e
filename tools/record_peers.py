"""Record what other libraries answer, in float64: tests/helpers/peers.json, for tests/test_peers.py.

Run it in an environment with torch, torchvision, kornia and keras, none of which the tests need:

    python tools/record_peers.py

Inputs are seeded and written along with the answers, so the tests know nothing of random generators.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import kornia
import numpy as np
import torch
import torchvision
from torch.nn import functional as F

OUTPUT = Path(__file__).parent.parent / "tests" / "helpers" / "peers.json"
Arrays = dict[str, np.ndarray]
rng = np.random.default_rng(20170807)

elements: Arrays = {
    "logits": rng.normal(0, 3, 24),
    "hard": (rng.random(24) < 0.3) * 1.0,
    "soft": rng.random(24).round(3),
}
elements["p"] = 1 / (1 + np.exp(-elements["logits"]))
rows: Arrays = {
    "logits": rng.normal(0, 3, (6, 4)),
    "labels": np.array([0, 3, 1, 2, 2, 0]),
    "ignoring": np.array([0, -100, 1, 2, -100, 0]),
    "dense": rng.dirichlet(np.ones(4), 6).round(4),
}
rows["one_hot"] = np.eye(4)[rows["labels"]]
rows["p"] = np.exp(rows["logits"]) / np.exp(rows["logits"]).sum(axis=1, keepdims=True)
images: Arrays = {"logits": rng.normal(0, 3, (2, 4, 3, 2)), "labels": rng.integers(0, 4, (2, 3, 2))}
WEIGHT = [0.5, 2.0, 1.0, 0.25]


def per_class() -> torch.Tensor:
    """Class weights as torch takes them."""
    return torch.tensor(WEIGHT, dtype=torch.float64)


def focal(alpha: float, reduction: str) -> Callable[..., Any]:
    """The focal loss of torchvision (and fvcore, whose it is)."""
    return lambda x, y: torchvision.ops.sigmoid_focal_loss(x, y, alpha, 2.0, reduction)


def entropy(**options: Any) -> Callable[..., Any]:
    """Cross entropy of torch."""
    return lambda x, y: F.cross_entropy(x, y, **options)


def binary_keras(**options: Any) -> Callable[..., Any]:
    """The mean of a loss of keras, which takes the targets first. (Its own means round to float32.)"""
    return lambda x, y: keras.losses.binary_focal_crossentropy(y, x, **options).mean()


def categorical_keras(**options: Any) -> Callable[..., Any]:
    """The same for several classes."""
    return lambda x, y: keras.losses.categorical_focal_crossentropy(y, x, **options).mean()


# Name: inputs, the array to differentiate by, the targets, and the call.
CASES: dict[str, tuple[Arrays, str, str, Callable[..., Any]]] = {
    "torchvision none": (elements, "logits", "hard", focal(0.25, "none")),
    "torchvision mean": (elements, "logits", "hard", focal(0.25, "mean")),
    "torchvision soft": (elements, "logits", "soft", focal(0.25, "sum")),
    "torchvision without alpha": (elements, "logits", "hard", focal(-1, "mean")),
    "torch binary": (elements, "logits", "soft", F.binary_cross_entropy_with_logits),
    "torch cross entropy": (rows, "logits", "labels", entropy()),
    "torch none": (rows, "logits", "labels", entropy(reduction="none")),
    "torch images": (images, "logits", "labels", entropy()),
    "torch weight": (rows, "logits", "labels", entropy(weight=per_class())),
    "torch ignore_index": (rows, "logits", "ignoring", entropy(weight=per_class())),
    "torch label_smoothing": (rows, "logits", "ignoring", entropy(label_smoothing=0.1)),
    "torch weight and smoothing": (
        rows,
        "logits",
        "ignoring",
        entropy(weight=per_class(), label_smoothing=0.1),
    ),
    "torch soft targets": (rows, "logits", "dense", entropy(weight=per_class(), label_smoothing=0.1)),
    "kornia sum": (
        images,
        "logits",
        "labels",
        lambda x, y: kornia.losses.focal_loss(x, y, alpha=0.3, gamma=2.0, reduction="sum"),
    ),
    "kornia mean": (
        images,
        "logits",
        "labels",
        lambda x, y: kornia.losses.focal_loss(x, y, alpha=0.3, gamma=2.0, reduction="mean"),
    ),
    "kornia ignore_index": (
        rows,
        "logits",
        "ignoring",
        lambda x, y: kornia.losses.focal_loss(
            x, y, alpha=0.3, gamma=0.5, reduction="sum", weight=per_class()
        ),
    ),
    "kornia binary": (
        elements,
        "logits",
        "soft",
        lambda x, y: kornia.losses.binary_focal_loss_with_logits(
            x[None], y[None], alpha=0.3, gamma=2.0, reduction="mean"
        ),
    ),
    "keras binary": (elements, "p", "hard", binary_keras()),
    "keras binary balanced": (elements, "p", "soft", binary_keras(apply_class_balancing=True, alpha=0.3)),
    "keras binary logits": (elements, "logits", "hard", binary_keras(from_logits=True, label_smoothing=0.2)),
    "keras categorical": (rows, "logits", "one_hot", categorical_keras(from_logits=True)),
    "keras categorical smoothed": (
        rows,
        "logits",
        "one_hot",
        categorical_keras(from_logits=True, alpha=0.5, label_smoothing=0.1),
    ),
}


def answer(arrays: Arrays, by: str, targets: str, call: Callable[..., Any]) -> dict[str, Any]:
    """One peer's value and gradient."""
    x = torch.tensor(arrays[by], requires_grad=True)
    value = call(x, torch.tensor(arrays[targets]))
    value.sum().backward()
    assert value.dtype == x.grad.dtype == torch.float64
    return {
        "inputs": arrays[by].tolist(),
        "targets": arrays[targets].tolist(),
        "value": value.detach().numpy().tolist(),
        "gradient": x.grad.numpy().tolist(),
    }


def main() -> None:
    keras.config.set_floatx("float64")
    packages = {name: version(name) for name in ("torch", "torchvision", "kornia", "keras")}
    packages["python"] = sys.version.split()[0]
    recorded = {"packages": packages, "cases": {name: answer(*case) for name, case in CASES.items()}}
    OUTPUT.write_text(json.dumps(recorded, indent=1) + "\n")
    print(f"{len(CASES)} answers in {OUTPUT}")


if __name__ == "__main__":
    main()
