"""Does every line of docs/migration.md hold? Values and gradients in float64.

Each table's last column names the check: an answer that tools/record_peers.py recorded, a live call of a
library, or the source of one that cannot be installed: its operations in its order, written for NumPy.
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
RECORDED = json.loads((Path(__file__).parent / "helpers" / "peers.json").read_text())["cases"]
WEIGHT = np.array([0.5, 2.0, 1.0, 0.25])
CLASSES = len(WEIGHT)


class Answer(NamedTuple):
    """What a peer says about these arrays."""

    inputs: Array
    targets: Array
    value: Any
    gradient: Array


def lines() -> list[tuple[str, str, str]]:
    """The calls of ours, their sample weights and the checks in the documentation."""
    path = Path(__file__).parent.parent / "docs" / "migration.md"
    if not path.exists():  # the tests of an installed package may run without the documentation
        return []
    text = path.read_text()
    line = r"\| `(fg\.[^`]+)`(?: with `sample_weight=([^`]+)`)? \| ([^|]+) \|$"
    found = re.findall(line, text, re.MULTILINE)
    assert len(found) == text.count("| `fg.")  # no line goes unread
    return found


LINES = lines()


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
ANCHORS = np.array([0, 4, -1, 4, 4, 1, 3, -1])
HARD_ROWS = (rng.random(ROWS.shape) < 0.3) * 1.0
MODERATE = 1 / (1 + np.exp(-ROWS / 3))


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
    """An answer from a peer's source."""
    return Answer(x, targets, np.real(value(x.astype(complex))), difference(value, x))


def cross_entropy(x: Array, y: Array) -> Array:
    """Of logits, in torch and TensorFlow: what they compute, before its guard against overflow."""
    return (1 - y) * x + np.log1p(np.exp(-x))


def fvcore(x: Array, y: Array) -> Array:
    """sigmoid_focal_loss, which torchvision copied."""
    p = sigmoid(x)
    ce_loss = cross_entropy(x, y)
    p_t = p * y + (1 - p) * (1 - y)
    loss = ce_loss * (1 - p_t) ** 2.0
    alpha_t = 0.25 * y + (1 - 0.25) * (1 - y)
    return alpha_t * loss


def torchvision_retinanet(x: Array, anchors: Array) -> Any:
    """RetinaNetClassificationHead.compute_loss for one image, with detectron2's labels."""
    foreground = (anchors >= 0) & (anchors != CLASSES)
    target = np.zeros(x.shape)
    target[foreground, anchors[foreground]] = 1.0
    valid = anchors != -1
    return np.sum(fvcore(x[valid], target[valid])) / max(1, foreground.sum())


def detectron2_normalizer(anchors: Array) -> float:
    """RetinaNet.loss_normalizer after its first step."""
    positive = (anchors >= 0) & (anchors != CLASSES)
    return 0.9 * 100 + (1 - 0.9) * max(positive.sum(), 1)


def detectron2_retinanet(x: Array) -> Any:
    """RetinaNet.losses, loss_cls."""
    valid = ANCHORS >= 0
    target = np.eye(CLASSES + 1)[ANCHORS[valid]][:, :-1]
    return np.sum(fvcore(x[valid], target)) / detectron2_normalizer(ANCHORS)


def paddle(x: Array) -> Any:
    """paddle.nn.functional.sigmoid_focal_loss, which sums."""
    loss = cross_entropy(x, HARD)
    p = sigmoid(x)
    p_t = p * HARD + (1 - p) * (1 - HARD)
    alpha_t = 0.25 * HARD + (1 - 0.25) * (1 - HARD)
    loss = alpha_t * loss
    gamma_t = (1 - p_t) ** 2.0
    loss = gamma_t * loss
    return np.sum(loss / 7.0)


def tfa(x: Array, from_logits: bool) -> Array:
    """tensorflow_addons.losses.sigmoid_focal_crossentropy over Keras 2 (nothing here is clipped)."""
    y = HARD_ROWS
    if from_logits:
        p = sigmoid(x)
        ce = cross_entropy(x, y)
    else:
        p = x
        ce = -(y * np.log(p + 1e-7) + (1 - y) * np.log(1 - p + 1e-7))
    p_t = y * p + (1 - y) * (1 - p)
    alpha_factor = y * 0.25 + (1 - y) * (1 - 0.25)
    modulating_factor = (1.0 - p_t) ** 2.0
    return np.sum(alpha_factor * modulating_factor * ce, axis=-1)


def kerascv(x: Array, from_logits: bool = False, label_smoothing: float = 0.0) -> Array:
    """keras_cv.losses.FocalLoss.call of 0.9 (nothing here is clipped)."""
    y = HARD_ROWS * (1.0 - label_smoothing) + 0.5 * label_smoothing
    p = sigmoid(x) if from_logits else x
    ce = -(y * np.log(p) + (1.0 - y) * np.log(1.0 - p))
    alpha = np.where(y == 1.0, 0.25, 1.0 - 0.25)
    p_t = y * p + (1.0 - y) * (1.0 - p)
    return np.sum(alpha * (1.0 - p_t) ** 2.0 * ce, axis=-1)


def mmcv_sigmoid(x: Array, target: Array, weight: Array | None = None) -> Any:
    """sigmoid_focal_loss_forward_cuda_kernel, a thread an element, and the mean of focal_loss.py."""
    output = np.zeros_like(x)
    for n, c in np.ndindex(x.shape):
        t = target[n]
        p = 1.0 / (1.0 + np.exp(-x[n, c]))
        term_p = (1.0 - p) ** 2.0 * np.log(p)
        term_n = p**2.0 * np.log(1.0 - p)
        output[n, c] = -0.25 * term_p if t == c else -(1.0 - 0.25) * term_n
        if weight is not None:
            output[n, c] *= weight[t]
    return output.sum() / len(x)


def mmcv_softmax(x: Array) -> Any:
    """softmax_focal_loss_forward_cuda_kernel, a thread a row, and the mean of focal_loss.py."""
    probabilities = softmax(x)
    output = np.zeros_like(x[:, 0])
    for n, label in enumerate(LABELS):
        p = probabilities[n, label]
        output[n] = -0.25 * (1.0 - p) ** 2.0 * np.log(p)
        output[n] *= WEIGHT[label]
    return output.sum() / len(x)


def class_balanced(x: Array) -> Any:
    """richardaecn/class-balanced-loss, cifar_main.py: the weights of main and _tower_fn, and focal_loss."""
    effective_num = 1.0 - np.power(0.99, COUNTS)
    weights = (1.0 - 0.99) / effective_num
    weights = weights / np.sum(weights) * CLASSES
    labels = np.eye(CLASSES)[LABELS]
    weights = np.tile(weights[None], (len(labels), 1)) * labels
    weights = np.tile(np.sum(weights, axis=1)[:, None], (1, CLASSES))
    modulator = np.exp(-2.0 * labels * x - 2.0 * np.log1p(np.exp(-1.0 * x)))
    loss = modulator * cross_entropy(x, labels)
    return np.sum(weights * loss) / np.sum(labels)


def softmax(x: Array) -> Array:
    """Probabilities of rows."""
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def quality(x: Array) -> Array:
    """Li and others, "Generalized Focal Loss", equation 3, with beta 2."""
    p = sigmoid(x)
    return (SOFT - p) ** 2 * -(SOFT * np.log(p) + (1 - SOFT) * np.log(1 - p))


COUNTS = [100, 20, 1000, 3]
FORMULAS: dict[str, Callable[[], Answer]] = {
    "paddle": lambda: formula(paddle, ELEMENTS, HARD),
    "tfa": lambda: formula(lambda p: tfa(p, False), MODERATE, HARD_ROWS),
    "tfa logits": lambda: formula(lambda x: tfa(x, True), ROWS, HARD_ROWS),
    "kerascv": lambda: formula(kerascv, MODERATE, HARD_ROWS),
    "kerascv mean": lambda: formula(lambda p: np.mean(kerascv(p)), MODERATE, HARD_ROWS),
    "kerascv logits": lambda: formula(lambda x: np.mean(kerascv(x, True)), ROWS, HARD_ROWS),
    "kerascv smoothed": lambda: formula(lambda x: np.mean(kerascv(x, True, 0.1)), ROWS, HARD_ROWS),
    "torchvision retinanet": lambda: formula(lambda x: torchvision_retinanet(x, ANCHORS), ROWS, ANCHORS),
    "detectron2 retinanet": lambda: formula(detectron2_retinanet, ROWS, ANCHORS),
    "mmcv sigmoid": lambda: formula(lambda x: mmcv_sigmoid(x, BACKGROUND), ROWS, BACKGROUND),
    "mmcv sigmoid weight": lambda: formula(lambda x: mmcv_sigmoid(x, LABELS, WEIGHT), ROWS, LABELS),
    "class-balanced": lambda: formula(class_balanced, ROWS, LABELS),
    "quality": lambda: formula(quality, ELEMENTS, SOFT),
    "mmcv softmax": lambda: formula(mmcv_softmax, ROWS, LABELS),
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
LETTERS = {"a": 0.25, "g": 2.0, "s": 0.1, "w": WEIGHT, "n": COUNTS, "b": 0.99, "C": CLASSES, "N": len(ROWS)}
OTHERWISE: dict[str, dict[str, float]] = {
    "paddle": {"N": 7.0},
    "detectron2 retinanet": {"N": detectron2_normalizer(ANCHORS)},
    "kornia binary": {"a": 0.3},
    "kornia sum": {"a": 0.3},
    "kornia mean": {"a": 0.3, "N": 2.0 * 4 * 3 * 2},
    "kornia ignore_index": {"a": 0.3, "g": 0.5},
    "keras binary balanced": {"a": 0.3},
    "keras binary logits": {"s": 0.2},
    "keras categorical smoothed": {"a": 0.5},
}


# How far a peer's own arithmetic takes it from its definition.
ROUGH = {
    **dict.fromkeys(("keras binary", "keras binary balanced", "keras binary logits"), 3e-7),  # a float32 mean
    "tfa": 1e-4,  # 1e-7 added to probabilities
}


@pytest.mark.parametrize(("call", "weight", "name"), LINES, ids=[name for *_, name in LINES])
def test_line(call: str, weight: str, name: str) -> None:
    """Value and gradient."""
    peer = answer(name)
    letters = {"fg": fg, "y": peer.targets} | LETTERS | OTHERWISE.get(name, {})
    loss = eval(call, letters)
    options = {"sample_weight": eval(weight, letters)} if weight else {}
    value, gradient = loss.value_and_grad(peer.inputs, peer.targets, **options)
    rtol = ROUGH.get(name, 1e-9)
    close(value, peer.value, rtol)
    close(gradient, peer.gradient, rtol)


def test_every_answer_has_a_line() -> None:
    """Nothing is recorded in vain."""
    if LINES:
        assert {name for *_, name in LINES} >= set(RECORDED) | set(FORMULAS)


def test_torchvisions_order() -> None:
    """The one-call functions take the first five parameters in torchvision's order."""
    case = answer("torchvision none")
    close(fg.sigmoid_focal_loss(case.inputs, case.targets, 0.25, 2.0, "none"), case.value)
    case = answer("torchvision without alpha")
    close(fg.sigmoid_focal_loss(case.inputs, case.targets, -1, 2.0, "mean"), case.value)


def test_retinanet_without_positives() -> None:
    """torchvision divides by 1, ours gives 0.0; with the number itself the two agree."""
    logits, nothing = ROWS, np.full(8, CLASSES)
    options = {"class_axis": 1, "background_index": CLASSES}
    assert fg.SigmoidFocalLoss(normalizer="positives", **options)(logits, nothing) == 0.0
    got = fg.SigmoidFocalLoss(normalizer=1, **options)(logits, nothing)
    close(got, torchvision_retinanet(logits, nothing))
