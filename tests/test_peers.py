"""Does every line of docs/migration.md hold? Values and gradients in float64.

Each table's last column names the check: an answer that tools/record_peers.py recorded, a live call of a
library, or the formula of one that cannot be installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import focalgrad as fg

Array = np.ndarray[Any, Any]
RECORDED = json.loads((Path(__file__).parent / "peers" / "recorded.json").read_text())["cases"]
WEIGHT = [0.5, 2.0, 1.0, 0.25]
CLASSES = len(WEIGHT)


class Answer(NamedTuple):
    """What a peer says about these arrays."""

    inputs: Array
    targets: Array
    value: Any
    gradient: Array


def lines() -> list[tuple[str, str]]:
    """The calls of ours and the checks in the documentation."""
    path = Path(__file__).parent.parent / "docs" / "migration.md"
    if not path.exists():  # the tests of an installed package may run without the documentation
        return []
    return re.findall(r"\| `(fg\.[^`]+)` \| ([^|]+) \|$", path.read_text(), re.MULTILINE)


def close(got: Any, want: Any, rtol: float = 1e-9) -> None:
    """Their rounding errors, not ours, need the room: their 1 - p cancels."""
    want = np.asarray(want)
    largest = float(np.max(np.abs(want), initial=1e-300))
    np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-12 * largest)


# Some libraries, for arrays of their kind.
rng = np.random.default_rng(11)
ELEMENTS = rng.normal(0, 3, 40)
HARD = (rng.random(40) < 0.3) * 1.0
SOFT = rng.random(40)
ROWS = rng.normal(0, 3, (8, CLASSES))
LABELS = rng.integers(0, CLASSES, 8)
BACKGROUND = np.array([0, 4, 2, 4, 4, 1, 3, 4])


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def difference(value: Callable[[Array], Any], x: Array) -> Array:
    """Gradient of the sum by central differences with complex steps: exact to the last digits."""
    gradient = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[place] += 1e-200j
        gradient[place] = np.sum(value(moved)).imag / 1e-200
    return gradient


def formula(value: Callable[[Array], Any], x: Array, targets: Array) -> Answer:
    """An answer from a published formula."""
    return Answer(x, targets, np.real(value(x.astype(complex))), difference(value, x))


def binary(x: Array, y: Array, alpha: float | None, gamma: float) -> Array:
    """The formula that torchvision, fvcore, TFA, KerasCV, GluonCV and Paddle share."""
    p = sigmoid(x)
    p_t = p * y + (1 - p) * (1 - y)
    entropy = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    weight = 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
    return weight * (1 - p_t) ** gamma * entropy


def one_hot(labels: Array) -> Array:
    """Rows for classes, none for background."""
    return np.eye(CLASSES + 1)[labels][:, :CLASSES]


def softmax(x: Array) -> Array:
    """Probabilities of rows."""
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def quality(x: Array) -> Array:
    """Li and others, "Generalized Focal Loss", equation 3, with beta 2."""
    p = sigmoid(x)
    return (SOFT - p) ** 2 * -(SOFT * np.log(p) + (1 - SOFT) * np.log(1 - p))


COUNTS = [100, 20, 1000, 3]
BALANCED = np.array([(1 - 0.99) / (1 - 0.99**n) for n in COUNTS])
BALANCED = BALANCED / BALANCED.sum() * CLASSES
FORMULAS: dict[str, Callable[[], Answer]] = {
    "paddle": lambda: formula(lambda x: np.sum(binary(x, HARD, 0.25, 2.0) / 7.0), ELEMENTS, HARD),
    "tfa": lambda: formula(lambda x: binary(x, HARD, 0.25, 2.0), ELEMENTS, HARD),
    "retinanet": lambda: formula(
        lambda x: np.sum(binary(x, one_hot(BACKGROUND), 0.25, 2.0)) / 4, ROWS, BACKGROUND
    ),
    "mmcv sigmoid": lambda: formula(
        lambda x: np.sum(np.array(WEIGHT) * binary(x, one_hot(BACKGROUND), 0.25, 2.0)) / 7.0, ROWS, BACKGROUND
    ),
    "quality": lambda: formula(quality, ELEMENTS, SOFT),
    "mmcv softmax": lambda: formula(
        lambda x: np.mean(
            [
                -0.25 * WEIGHT[t] * (1 - p[t]) ** 2 * np.log(p[t])
                for p, t in zip(softmax(x), LABELS, strict=True)
            ]
        ),
        ROWS,
        LABELS,
    ),
    "class-balanced": lambda: formula(
        lambda x: np.sum(BALANCED * binary(x, one_hot(LABELS), None, 2.0)), ROWS, LABELS
    ),
}


def optax_answer(name: str) -> Answer:
    """A live call of optax, in float64 on the CPU."""
    optax = pytest.importorskip("optax", reason="optax is not installed: its lines are not checked")
    jax = pytest.importorskip("jax")
    calls = {
        "optax": (lambda x: optax.losses.sigmoid_focal_loss(x, SOFT, alpha=None, gamma=2.0), ELEMENTS, SOFT),
        "optax alpha": (
            lambda x: optax.losses.sigmoid_focal_loss(x, HARD, alpha=0.25, gamma=2.0),
            ELEMENTS,
            HARD,
        ),
        "optax binary": (lambda x: optax.losses.sigmoid_binary_cross_entropy(x, SOFT), ELEMENTS, SOFT),
        "optax integer labels": (
            lambda x: optax.losses.softmax_cross_entropy_with_integer_labels(x, LABELS),
            ROWS,
            LABELS,
        ),
        "optax dense": (
            lambda x: optax.losses.softmax_cross_entropy(x, softmax(ROWS[::-1])),
            ROWS,
            softmax(ROWS[::-1]),
        ),
    }
    call, x, targets = calls[name]
    with jax.enable_x64(True):
        gradient = jax.grad(lambda logits: call(logits).sum())(jax.numpy.asarray(x))
        return Answer(x, targets, np.asarray(call(jax.numpy.asarray(x))), np.asarray(gradient))


def answer(name: str) -> Answer:
    """The peer's answer that a line names."""
    if name in RECORDED:
        case = RECORDED[name]
        return Answer(*(np.array(case[field]) for field in ("inputs", "targets", "value", "gradient")))
    return FORMULAS[name]() if name in FORMULAS else optax_answer(name)


# What the letters in the documentation stand for.
LETTERS = {"a": 0.25, "g": 2.0, "s": 0.1, "w": WEIGHT, "C": CLASSES, "N": 7.0, "n": COUNTS}
OTHERWISE = {
    "kornia binary": {"a": 0.3},
    "kornia sum": {"a": 0.3},
    "kornia mean": {"a": 0.3, "N": 2.0 * 4 * 3 * 2},
    "kornia ignore_index": {"a": 0.3, "g": 0.5},
    "keras binary balanced": {"a": 0.3},
    "keras binary logits": {"s": 0.2},
    "keras categorical smoothed": {"a": 0.5},
}


@pytest.mark.parametrize(
    ("call", "name"), lines(), ids=lambda text: text if not text.startswith("fg") else ""
)
def test_line(call: str, name: str) -> None:
    """Value and gradient."""
    peer = answer(name)
    loss = eval(call, {"fg": fg} | LETTERS | OTHERWISE.get(name, {}))
    value, gradient = loss.value_and_grad(peer.inputs, peer.targets)
    rtol = 3e-7 if name.startswith("keras binary") else 1e-9  # it averages in float32
    close(value, peer.value, rtol)
    close(gradient, peer.gradient, rtol)


def test_every_answer_has_a_line() -> None:
    """Nothing is recorded in vain."""
    if lines():
        assert {name for _, name in lines()} >= set(RECORDED) | set(FORMULAS)


def test_torchvisions_order() -> None:
    """The one-call functions take the first five parameters in torchvision's order."""
    case = answer("torchvision none")
    close(fg.sigmoid_focal_loss(case.inputs, case.targets, 0.25, 2.0, "none"), case.value)
    case = answer("torchvision without alpha")
    close(fg.sigmoid_focal_loss(case.inputs, case.targets, -1, 2.0, "mean"), case.value)


def test_detectron_without_positives() -> None:
    """They divide by 1, ours gives 0.0; with the number itself the two agree."""
    logits, nothing = ROWS, np.full(8, CLASSES)
    options = {"class_axis": 1, "background_index": CLASSES}
    assert fg.SigmoidFocalLoss(normalizer="positives", **options)(logits, nothing) == 0.0
    got = fg.SigmoidFocalLoss(normalizer=1, **options)(logits, nothing)
    close(got, np.sum(binary(logits, np.zeros_like(logits), 0.25, 2.0)))
