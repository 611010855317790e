"""Class indices: which are taken, and does a wrong one change nothing?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from layouts import as_they_come
from support import evaluated, refused

LOSSES = [
    fg.SigmoidFocalLoss(reduction="none", class_axis=1),
    fg.SoftmaxFocalLoss(reduction="none", class_axis=1),
]
DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(loss: Any, dtype: str) -> None:
    """Whole numbers of any type are the same indices."""
    logits = np.linspace(-2, 2, 4 * 3 * 5).reshape(4, 3, 5)
    targets = (np.arange(20) % 2).reshape(4, 5)
    for method in ("__call__", "grad"):
        want = getattr(loss, method)(logits, targets)
        got = evaluated(loss, method, *as_they_come(logits, targets.astype(dtype)))
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize(
    ("target", "dtype"),
    [
        (3, "i8"),
        (-1, "i4"),
        (255, "u1"),
        (2**63, "u8"),
        (0.5, "f4"),
        (np.nan, "f8"),
        (-np.inf, "f4"),
        (1e30, "f8"),
    ],
)
def test_the_first_offender_in_c_order(loss: Any, target: float, dtype: str) -> None:
    """It is named; outputs stay as they were, also if it is the last of many."""
    logits = np.zeros((300, 3, 70), np.float32)
    targets = np.asfortranarray(np.zeros((300, 70), dtype))
    targets[299, 69] = target
    grad = np.full(logits.shape, 7, np.float32)
    refused(ValueError, [r"targets\[299, 69\] = ", "from 0 to 2"], loss.grad, logits, targets, out=grad)
    targets[3, 5] = targets[299, 69]
    targets[4, 2] = targets[299, 69]
    value = np.full(loss(logits, np.zeros((300, 70), int)).shape, 7, np.float32)
    refused(
        ValueError, [r"targets\[3, 5\] = "], loss.value_and_grad, logits, targets, out=value, grad_out=grad
    )
    assert (grad == 7).all() and (value == 7).all()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_any_offender_is_found(loss: Any) -> None:
    """Wherever they are, the first is named, whatever the order of the array."""
    shape, rng = (7, 3, 11), np.random.default_rng(3)
    logits = np.zeros((7, 3, 3, 11), np.float32)
    for _ in range(50):
        targets = rng.integers(0, 3, shape)[:: rng.choice([-1, 1])].transpose(rng.permutation(3))
        targets = np.moveaxis(targets, np.argsort(targets.shape), np.argsort(shape))
        bad = rng.integers(0, targets.size, rng.integers(1, 4))
        targets[np.unravel_index(bad, shape)] = 3
        place = ", ".join(map(str, np.unravel_index(bad.min(), shape)))
        refused(ValueError, [rf"targets\[{place}\] = 3"], loss, logits, targets)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_repeated_index_is_looked_at_once(loss: Any) -> None:
    """A billion billion times the same is no more work, whether it is an index or not."""
    logits = np.broadcast_to(np.float32(0), (2**58, 3))
    refused(ValueError, [r"targets\[0\] = 3;?"], loss.grad, logits, np.broadcast_to(np.uint8(3), (2**58,)))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize(
    ("target", "dtype", "text"),
    [
        (2**64 - 1, "u8", "18446744073709551615"),
        (-(2**63), "i8", "-9223372036854775808"),
        (1e300, "f8", "1e300"),
    ],
)
def test_an_offender_is_written_out(loss: Any, target: Any, dtype: str, text: str) -> None:
    targets = np.array([0, target], dtype)
    refused(ValueError, [rf"targets\[1\] = {text}$"], loss, np.zeros((2, 3)), targets)


def test_one_target() -> None:
    """It has no place."""
    refused(ValueError, ["targets = 2"], fg.SoftmaxFocalLoss(class_axis=0), [1.0, 2.0], 2)


def test_indices_of_no_classes() -> None:
    loss = fg.SigmoidFocalLoss(class_axis=0)
    refused(ValueError, ["none without classes", r"targets\[0\] = 1"], loss, np.zeros((0, 3)), [1, 0, 0])


@pytest.mark.parametrize("integer", [2**53 + 1, np.int64(2**53 + 1), -(2**63) + 1])
def test_labels_that_float64_has_not(integer: Any) -> None:
    """They would stand for their neighbour."""
    refused(ValueError, ["ignore_index", str(integer)], fg.SoftmaxFocalLoss, ignore_index=integer)
    refused(ValueError, ["background_index"], fg.SigmoidFocalLoss, class_axis=1, background_index=integer)
    assert fg.SoftmaxFocalLoss(ignore_index=-(2**63)).ignore_index == -(2**63)


MAX = {"i8": 2**63 - 1, "u8": 2**64 - 1}
# A label, a type of targets, and a target of it that is the same number in float64 but another integer.
NEIGHBOURS = [
    (2**53, "i8", 2**53 + 1),
    (-(2**53), "i8", -(2**53) - 1),
    (2**60, "i8", 2**60 - 1),
    (-(2**63), "i8", -(2**63) + 1),
    (2**53, "u8", 2**53 + 1),
    (2**63, "u8", 2**63 - 1),
    (2.0**64, "u8", MAX["u8"]),
    (MAX["i8"], "i8", MAX["i8"] - 1),
    (MAX["i8"], "u8", 2**63),
    (MAX["u8"], "u8", MAX["u8"] - 1),
    (-1, "u8", MAX["u8"]),
    (2.0**63, "i8", MAX["i8"]),
]


@pytest.mark.parametrize(("label", "dtype", "other"), NEIGHBOURS)
@pytest.mark.parametrize("step", [1, 2])
def test_integers_are_told_apart_as_integers(label: float, dtype: str, other: int, step: int) -> None:
    """Float64 has every second integer beyond 2^53, and fewer further out."""
    logits = np.linspace(-2, 2, 600 * 3).reshape(600, 3)
    memory = np.zeros((600, 3 * step), dtype)
    dense = memory[:, ::step]
    dense[7, 1] = other
    for reduction in ("none", "mean"):
        loss = fg.SigmoidFocalLoss(reduction=reduction, ignore_index=label, class_axis=1)
        value = loss(logits, dense)
        if reduction == "none":
            assert np.argwhere(np.isnan(value)).tolist() == [[7, 1]]
        else:
            assert np.isnan(value)
        refused(ValueError, [str(other)], loss.init_score, dense, dense=True)
    indices = memory[:, 0]
    indices[5] = other
    for loss in (fg.SigmoidFocalLoss(class_axis=1), fg.SoftmaxFocalLoss(class_axis=1)):
        strict = loss.replace(ignore_index=label)
        for method in ("__call__", "grad"):
            refused(ValueError, [r"targets\[5\]", str(other)], getattr(strict, method), logits, indices)
        refused(ValueError, [r"targets\[5\]", str(other)], strict.init_score, indices)


@pytest.mark.parametrize(
    ("label", "dtype"),
    [
        (label, dtype)
        for label, dtype, _ in NEIGHBOURS
        if label in (2**53, -(2**53), 2**60, -(2**63), *MAX.values())
        and np.iinfo(dtype).min <= label <= np.iinfo(dtype).max
    ],
)
@pytest.mark.parametrize("step", [1, 2])
def test_large_labels_are_ignored(label: int, dtype: str, step: int) -> None:
    """The ends of a type mark what is unknown: so do other large numbers."""
    logits = np.linspace(-2, 2, 600 * 3).reshape(600, 3)
    memory = np.zeros((600, 3 * step), dtype)
    dense, indices = memory[:, ::step], memory[:, 0]
    small = fg.SigmoidFocalLoss(reduction="mean", ignore_index=7, class_axis=1)
    dense[7:50, 1:] = 7
    known = [small(logits, dense), small.init_score(dense, dense=True)]
    large = small.replace(ignore_index=label)
    dense[7:50, 1:] = label
    assert large(logits, dense) == known[0]
    np.testing.assert_array_equal(large.init_score(dense, dense=True), known[1])
    assert large.ignore_index == label and eval(repr(large), vars(fg)) == large
    for loss in (small, fg.SoftmaxFocalLoss(class_axis=1, ignore_index=7)):
        indices[:] = np.arange(600) % 3
        indices[9:30] = 7
        known = [loss(logits, indices), loss.init_score(indices)]
        indices[9:30] = label
        marked = loss.replace(ignore_index=label)
        assert marked(logits, indices) == known[0]
        np.testing.assert_array_equal(marked.init_score(indices), known[1])


def test_a_large_background() -> None:
    """A neighbour of the background is no background."""
    loss = fg.SigmoidFocalLoss(class_axis=1, background_index=2**53)
    logits, targets = np.zeros((2, 3)), np.array([2**53, 1])
    assert loss(logits, targets) == fg.SigmoidFocalLoss(class_axis=1, background_index=3)(logits, [3, 1])
    targets[0] += 1
    refused(ValueError, [r"targets\[0\]", str(2**53 + 1)], loss, logits, targets)
    refused(
        ValueError,
        ["background_index", str(2**53 + 1)],
        fg.SigmoidFocalLoss,
        class_axis=1,
        background_index=2**53 + 1,
    )


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_shapes_that_would_do(loss: Any) -> None:
    """Both are shown."""
    logits = np.zeros((2, 3, 4))
    for shape in [(2, 3), (2, 4, 1), (4, 2), (2,), (), (2, 3, 4, 1)]:
        refused(ValueError, ["targets", r"\(2, 3, 4\)", r"\(2, 4\)"], loss, logits, np.zeros(shape, int))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_axes(loss: Any) -> None:
    """Out of range is refused, negative counts from the end."""
    logits, targets = np.random.default_rng(0).normal(size=(2, 3, 4)), np.ones((2, 4), int)
    for axis in (3, -4, 2**62, -(2**62)):
        refused(ValueError, ["class_axis", str(axis)], loss.replace(class_axis=axis), logits, targets)
    refused(ValueError, ["class_axis"], loss.replace(class_axis=0), 1.0, 0)
    np.testing.assert_array_equal(loss.replace(class_axis=-2)(logits, targets), loss(logits, targets))


@pytest.mark.parametrize(
    "options", [{"alpha": [0.1, 0.2]}, {"gamma": [1.0, 2.0, 3.0, 4.0]}, {"class_weight": [1.0]}], ids=str
)
def test_lists_by_class_of_another_length(options: dict[str, Any]) -> None:
    """The logits have three classes."""
    logits, targets = np.zeros((2, 3)), np.zeros(2, int)
    refused(ValueError, ["logits", "class"], fg.SigmoidFocalLoss(class_axis=1, **options), logits, targets)
    if "class_weight" not in options:
        refused(ValueError, ["logits", "class"], fg.SoftmaxFocalLoss(**options), logits, targets)


@pytest.mark.parametrize("kind", [fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss])
@pytest.mark.parametrize("ignored", [-100, 1, 255, 2**40, 0.5])
def test_ignored(kind: Any, ignored: float) -> None:
    """+0.0 whatever the logits, and not counted."""
    loss = kind(class_axis=1, ignore_index=ignored)
    logits = np.random.default_rng(1).normal(size=(6, 3))
    targets = np.array([0, ignored, 2, ignored, 0, 2], np.float64)
    logits[1], logits[3] = np.nan, np.inf
    logits, targets = as_they_come(logits, targets)
    grad, hess = loss.grad_and_hess(logits, targets)
    for result in (grad[[1, 3]], hess[[1, 3]], loss.replace(reduction="none")(logits, targets)[[1, 3]]):
        assert (result == 0).all() and not np.signbit(result).any()
    kept = [0, 2, 4, 5]
    assert loss(logits, targets) == pytest.approx(loss(logits[kept], targets[kept]), rel=1e-15)
    np.testing.assert_allclose(grad[kept], loss.grad(logits[kept], targets[kept]), rtol=1e-15)


def test_background() -> None:
    """No class is positive; with dense targets it has no meaning."""
    loss = fg.SigmoidFocalLoss(reduction="none", class_axis=1, background_index=3)
    logits = np.random.default_rng(2).normal(size=(4, 3))
    dense = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]])
    want = fg.SigmoidFocalLoss(reduction="none")(logits, dense)
    np.testing.assert_array_equal(loss(logits, [0, 3, 2, 3]), want)
    refused(ValueError, ["targets", "background_index=3"], loss, logits, dense)
    inside = loss.replace(background_index=1)
    np.testing.assert_array_equal(inside(logits, [0, 1, 2, 1]), want)


@pytest.mark.parametrize("option", [{"ignore_index": 1}, {"modulator": "sigmoid"}], ids=str)
def test_dense_softmax_targets_refuse(option: dict[str, Any]) -> None:
    """What has a meaning for indices alone."""
    refused(
        ValueError,
        ["targets", next(iter(option))],
        fg.SoftmaxFocalLoss(**option),
        np.zeros((2, 3)),
        np.eye(2, 3),
    )


def test_no_classes() -> None:
    """Refused if there are rows."""
    loss = fg.SoftmaxFocalLoss()
    refused(ValueError, ["logits", "class"], loss, np.zeros((2, 0)), np.zeros(2, int))
    assert loss(np.zeros((0, 0)), np.zeros(0, int)) == 0.0
    assert loss(np.zeros((0, 5)), np.zeros(0, int)) == 0.0
    assert fg.SigmoidFocalLoss(class_axis=1)(np.zeros((2, 0)), np.zeros((2, 0))) == 0.0


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_classes_beyond_memory(loss: Any) -> None:
    """An array without memory of its own may have any number of classes."""
    logits = np.broadcast_to(np.float32(0), (2, 2**40))
    refused(ValueError, ["logits", "classes", str(2**40)], loss, logits, [0, 1])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_layouts_have_the_same_bits(loss: Any, dtype: Any, order: str) -> None:
    """Any strides, any axis, in place or not."""
    rng = np.random.default_rng(3)
    logits = rng.normal(scale=3, size=(7, 5, 40)).astype(dtype)
    targets = rng.integers(0, 5, (7, 40))
    value, grad = loss.value_and_grad(logits, targets)
    strided = np.zeros((14, 5, 120), dtype, order=order)[::2, ::-1, 1::3]
    strided[...] = logits
    got = loss.value_and_grad(strided, np.repeat(targets, 2, axis=1)[:, ::2])
    np.testing.assert_array_equal(got[0], value)
    np.testing.assert_array_equal(got[1], grad)
    moved = loss.replace(class_axis=2)
    got = moved.value_and_grad(np.moveaxis(logits, 1, 2), targets)
    rows = value.shape == targets.shape
    np.testing.assert_array_equal(got[0], value if rows else np.moveaxis(value, 1, 2))
    np.testing.assert_array_equal(np.moveaxis(got[1], 2, 1), grad)
    packed = np.ascontiguousarray(np.moveaxis(logits, 1, 2))
    np.testing.assert_array_equal(np.moveaxis(moved.grad(packed, targets, out=packed), 2, 1), grad)
    assert np.shares_memory(packed, moved.grad(packed.copy(), targets, out=packed))


BY_CLASS = {
    "plain": lambda _: {},
    "background": lambda classes: {"background_index": classes // 2},
    "alpha": lambda classes: {"alpha": np.linspace(0.1, 0.9, classes)},
    "gamma": lambda classes: {"gamma": np.linspace(0, 3, classes)},
    "no weight": lambda classes: {"class_weight": np.arange(classes) % 3.0},
}


@pytest.mark.parametrize("options", BY_CLASS.values(), ids=BY_CLASS)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("classes", [1, 2, 4, 7, 12, 33, 600])
def test_sigmoid_labels_of_indices(classes: int, axis: int, options: Any) -> None:
    """They have the bits of one-hot labels: over several blocks, with weights, from targets of any kind."""
    rng = np.random.default_rng(classes)
    rows = 20_000 // classes // 9 + 3
    logits = rng.normal(0, 3, (rows, 9, classes)).astype(np.float32)
    logits = np.ascontiguousarray(np.moveaxis(logits, 2, axis))
    loss = fg.SigmoidFocalLoss(class_axis=axis, reduction="none", **options(classes))
    dense, mean = loss.replace(background_index=None), loss.replace(reduction="mean")
    indices = rng.integers(0, classes, (rows, 9))
    for targets, weight in (
        (indices, None),
        (indices.astype(np.uint64)[:, ::-1], rng.uniform(0.1, 3, (rows, 9))),
        (np.broadcast_to(indices[:, :1], (rows, 9)), rng.uniform(0.1, 3, (rows, 1)).astype(np.float32)),
    ):
        labels = np.arange(classes) == targets[..., None]
        if loss.background_index is not None:
            labels[..., loss.background_index] = False
        labels = np.moveaxis(labels, 2, axis)
        spread = None if weight is None else np.expand_dims(weight, axis)
        for some, all_ in zip(
            (
                *loss.value_and_grad(logits, targets, sample_weight=weight),
                *loss.grad_and_hess(logits, targets, sample_weight=weight),
                mean(logits, targets, sample_weight=weight),
            ),
            (
                *dense.value_and_grad(logits, labels, sample_weight=spread),
                *dense.grad_and_hess(logits, labels, sample_weight=spread),
                dense.replace(reduction="mean")(logits, labels, sample_weight=spread),
            ),
            strict=True,
        ):
            np.testing.assert_allclose(some, all_, rtol=1e-14 if np.ndim(some) == 0 else 0, atol=0)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_threads_change_nothing(threads: int) -> None:
    """Values, gradients and sums."""
    rng = np.random.default_rng(4)
    logits, targets = rng.normal(size=(30_000, 7)).astype(np.float32), rng.integers(0, 7, 30_000)
    for loss in (
        fg.SoftmaxFocalLoss(),
        fg.SigmoidFocalLoss(class_axis=1),
        fg.SoftmaxFocalLoss(label_smoothing=0.1),
    ):
        with fg.num_threads(1):
            value, grad = loss.value_and_grad(logits, targets)
        with fg.num_threads(threads):
            got = loss.value_and_grad(logits, targets)
        assert got[0] == value
        np.testing.assert_array_equal(got[1], grad)
