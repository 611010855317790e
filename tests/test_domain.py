"""Does what is outside its domain give NaN for its element and nothing else, silently nowhere?"""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from focalgrad import _reference as reference
from support import Array, refused

INF, NAN = np.inf, np.nan
# Long enough for strips, tiles and tails.
COUNT = 5000
OUTSIDE = (2.0, -1.0, 255.0, 1 + 2.0**-10, -(2.0**-14), INF, -INF)
SIGMOID_OPTIONS = (
    {},
    {"label_smoothing": 0.1},
    {"gamma": 0.0},
    {"gamma": 1.7, "alpha": None},
    {"soft_targets": "expected"},
    {"soft_targets": "quality", "gamma": 0.5},
    {"from_logits": False},
    {"from_logits": False, "soft_targets": "quality"},
    {"from_logits": False, "soft_targets": "expected", "label_smoothing": 0.1},
    {"from_logits": False, "eps": 1e-3},
)
SOFTMAX_OPTIONS = (
    {},
    {"label_smoothing": 0.1},
    {"gamma": 0.0},
    {"gamma": 1.7},
    {"from_logits": False},
    {"from_logits": False, "eps": 1e-3},
    {"from_logits": False, "label_smoothing": 0.1, "gamma": 0.5},
)


def results(loss: Any, logits: Array, targets: Array, **keywords: Any) -> list[Array]:
    """Value, gradient and Hessian of every element, from the fused and the single calls."""
    value, grad = loss.value_and_grad(logits, targets, **keywords)
    again, hess = loss.grad_and_hess(logits, targets, **keywords)
    np.testing.assert_array_equal(grad, again)
    np.testing.assert_array_equal(grad, loss.grad(logits, targets, **keywords))
    np.testing.assert_array_equal(value, loss(logits, targets, **keywords))
    return [value, grad, hess]


def inputs(options: dict[str, Any], shape: Any, dtype: Any = np.float32) -> Array:
    """Logits, or probabilities."""
    rng = np.random.default_rng(1)
    numbers = rng.normal(0, 2, shape) if options.get("from_logits", True) else rng.uniform(0, 1, shape)
    return numbers.astype(dtype)


def spoiled(targets: Array, number: float) -> tuple[Array, Array]:
    """Targets with some that are this number, and where."""
    bad = np.random.default_rng(2).random(targets.shape) < 0.02
    bad.flat[[0, -1]] = True
    return np.where(bad, np.array(number, targets.dtype), targets), bad


@pytest.mark.parametrize("number", OUTSIDE)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("options", SIGMOID_OPTIONS, ids=str)
def test_sigmoid_targets(options: dict[str, Any], dtype: type, number: float) -> None:
    """The element is NaN; the others have the bits that they have without it."""
    loss = fg.SigmoidFocalLoss(**options, reduction="none")
    logits = inputs(options, COUNT)
    for soft in (False, True):
        drawn = np.random.default_rng(3).random(COUNT)
        clean = (drawn if soft else drawn < 0.4).astype(dtype)
        targets, bad = spoiled(clean, number)
        for got, want in zip(results(loss, logits, targets), results(loss, logits, clean), strict=True):
            assert np.isnan(got[bad]).all()
            np.testing.assert_array_equal(got[~bad], want[~bad])


@pytest.mark.parametrize(
    ("dtype", "number"),
    [(np.uint8, 255), (np.uint8, 2), (np.int8, -1), (np.int64, -1), (np.uint64, 2**64 - 1)],
)
@pytest.mark.parametrize("options", SIGMOID_OPTIONS, ids=str)
def test_integer_targets(options: dict[str, Any], dtype: type, number: int) -> None:
    """-1 and +1, 0 and 255 are no labels."""
    loss, logits = fg.SigmoidFocalLoss(**options, reduction="none"), inputs(options, COUNT)
    clean = (np.random.default_rng(3).random(COUNT) < 0.4).astype(dtype)
    targets, bad = spoiled(clean, number)
    for got, want in zip(results(loss, logits, targets), results(loss, logits, clean), strict=True):
        assert np.isnan(got[bad]).all()
        np.testing.assert_array_equal(got[~bad], want[~bad])
    assert np.isnan(loss.replace(reduction="mean")(logits, targets))


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("classes", [1, 2, 5, 130])
@pytest.mark.parametrize("options", SOFTMAX_OPTIONS, ids=str)
def test_softmax_targets(options: dict[str, Any], classes: int, axis: int) -> None:
    """The row is NaN, all of it."""
    loss = fg.SoftmaxFocalLoss(**options, class_axis=axis, reduction="none")
    logits = inputs(options, (300, classes))
    clean = np.random.default_rng(3).dirichlet(np.ones(classes), 300)
    for dtype, number in itertools.product((np.float32, np.float64), (*OUTSIDE, NAN)):
        targets, rows = clean.astype(dtype).clip(0, 1), [0, 7, 299]
        targets[rows, [0, classes // 2, -1]] = number
        at = [
            array if axis == -1 else array.T.copy()
            for array in (logits, targets, clean.clip(0, 1).astype(dtype))
        ]
        for got, want in zip(results(loss, at[0], at[1]), results(loss, at[0], at[2]), strict=True):
            got, want = (a if a.ndim == 1 or axis == -1 else a.T for a in (got, want))
            assert np.isnan(got[rows]).all()
            np.testing.assert_array_equal(np.delete(got, rows, 0), np.delete(want, rows, 0))


def test_softmax_integer_targets() -> None:
    loss = fg.SoftmaxFocalLoss(reduction="none")
    one_hot = np.eye(4, dtype=np.int64)
    one_hot[1, 2], one_hot[3, 0] = -1, 255
    for got in results(loss, np.zeros((4, 4)), one_hot):
        assert np.isnan(got[[1, 3]]).all() and np.isfinite(got[[0, 2]]).all()


@pytest.mark.parametrize("hessian", ["gauss_newton", "upper"])
def test_surrogates(hessian: str) -> None:
    for loss, targets in (
        (fg.SigmoidFocalLoss(), np.array([[2.0, 0.3], [1.0, -0.1]])),
        (fg.SoftmaxFocalLoss(), np.array([[2.0, 0.3], [1.0, 0.0]])),
    ):
        _, hess = loss.replace(reduction="none").grad_and_hess(np.zeros((2, 2)), targets, hessian=hessian)
        bad = (targets < 0) | (targets > 1)
        bad = bad.any(axis=1) if loss.class_axis == -1 else bad
        assert np.isnan(hess[bad]).all() and np.isfinite(hess[~bad]).all()


def test_swapped_arguments() -> None:
    """What looked like a plausible number."""
    assert np.isnan(fg.SigmoidFocalLoss()([1, 0], [2.0, -1.0]))
    for loss in (fg.SigmoidFocalLoss(), fg.SoftmaxFocalLoss()):
        for method in ("__call__", "grad", "value_and_grad", "grad_and_hess"):
            refused(
                TypeError,
                ["^logits must be", "bool", "swapped"],
                getattr(loss, method),
                np.array([[True, False]]),
                np.zeros((1, 2)),
            )
    refused(TypeError, ["^inputs must be", "swapped"], fg.sigmoid_focal_loss, [True], [0.5])
    refused(TypeError, ["^scores must be", "bool"], fg.SigmoidFocalLoss().posterior, [True])


class TestProbabilities:
    """Given ones, outside [0, 1] or at its ends."""

    OUTSIDE = (2.5, -1.0, -1e-9, 1 + 2.0**-52, -5e-324, INF, -INF, NAN)

    @pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
    @pytest.mark.parametrize("meaning", ["mixture", "expected", "quality"])
    def test_sigmoid(self, meaning: str, target: float) -> None:
        loss = fg.SigmoidFocalLoss(from_logits=False, soft_targets=meaning, reduction="none")
        for p in self.OUTSIDE:
            for got in results(loss, np.array([0.3, p]), np.full(2, target)):
                assert np.isnan(got[1]) and np.isfinite(got[0])

    @pytest.mark.parametrize("classes", [3, 60, 40_000])
    @pytest.mark.parametrize("dense", [False, True])
    def test_softmax(self, dense: bool, classes: int) -> None:
        """The row, whichever class it is of; ignored rows are 0."""
        loss = fg.SoftmaxFocalLoss(from_logits=False, reduction="none")
        p = np.full((4, classes), 0.25)
        targets = np.zeros((4, classes)) if dense else np.zeros(4, int)
        if dense:
            targets[:, 0] = 1
        want = results(loss, p, targets)
        for number, place in itertools.product(self.OUTSIDE, (0, 1, classes - 1)):
            broken = p.copy()
            broken[2, place] = number
            for got, clean in zip(results(loss, broken, targets), want, strict=True):
                assert np.isnan(got[2]).all()
                np.testing.assert_array_equal(np.delete(got, 2, 0), np.delete(clean, 2, 0))
        ignoring = loss.replace(ignore_index=-1)
        for got in results(ignoring, broken, np.array([0, 0, -1, 0])):
            assert (got[2] == 0).all()

    def test_raw_scores(self) -> None:
        """Logits that were taken for probabilities."""
        raw = np.array([[2.5, -1, 0.3]] * 3)
        assert np.isnan(fg.SoftmaxFocalLoss(from_logits=False, reduction="none")(raw, [0, 1, 2])).all()

    def test_clipping(self) -> None:
        """Takes what is outside, and rounding noise."""
        for eps in (1e-7, 1e-3, 1e-300):
            loss = fg.SigmoidFocalLoss(from_logits=False, eps=eps, reduction="none")
            value, grad, hess = results(
                loss, np.array([1 + 2.0**-52, -1e-9, 2.0, -INF]), np.array([0, 1, 0, 1])
            )
            edge, _, _ = results(loss, np.array([1 - eps, eps] * 2), np.array([0, 1, 0, 1]))
            np.testing.assert_array_equal(value, edge)
            assert not grad.any() and not hess.any()
            rows = fg.SoftmaxFocalLoss(from_logits=False, eps=eps, reduction="none")
            value, grad, hess = results(rows, np.array([[1 + 2.0**-52, -1e-9]]), np.array([1]))
            np.testing.assert_array_equal(value, results(rows, np.array([[1, eps]]), np.array([1]))[0])
            assert not grad.any() and not hess.any()

    def test_clipping_hides_no_nan(self) -> None:
        """A target that is none makes its element NaN also where derivatives are 0."""
        for options in ({}, {"soft_targets": "expected"}, {"soft_targets": "quality"}):
            loss = fg.SigmoidFocalLoss(from_logits=False, eps=0.01, reduction="none", **options)
            for got in results(loss, np.array([0.0, 1.0, 0.5]), np.array([NAN, 2.0, -1.0])):
                assert np.isnan(got).all()
        rows = fg.SoftmaxFocalLoss(from_logits=False, eps=0.01, reduction="none")
        for got in results(rows, np.array([[0.0, 1.0]]), np.array([[NAN, 1.0]])):
            assert np.isnan(got).all()

    @pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
    def test_negative_zero(self, gamma: float) -> None:
        """It is 0."""
        for dtype in (np.float16, np.float32, np.float64):
            rows = fg.SoftmaxFocalLoss(from_logits=False, gamma=gamma, reduction="none")
            row = np.array([[-0.0, 1.0]], dtype)
            for targets in (np.array([0]), np.array([[1.0, 0.0]]), np.array([[1.0, -0.0]])):
                value, grad, hess = results(rows, row, targets)
                assert value[0] == INF and grad[0, 0] == -INF and hess[0, 0] == INF
            loss = fg.SigmoidFocalLoss(from_logits=False, gamma=gamma, reduction="none")
            for target in (1.0, 0.0, -0.0):
                got = results(loss, np.array([-0.0], dtype), np.array([target]))
                for a, b in zip(got, results(loss, np.array([0.0], dtype), np.array([target])), strict=True):
                    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("options", SIGMOID_OPTIONS, ids=str)
def test_negative_zero_as_a_target(options: dict[str, Any]) -> None:
    loss, x = fg.SigmoidFocalLoss(**options, reduction="none"), inputs(options, 700)
    for got, want in zip(results(loss, x, np.full(700, -0.0)), results(loss, x, np.zeros(700)), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("normalizer", ["positives", "weights", "focal_weights"])
def test_denominators(normalizer: str) -> None:
    """A mean with such a target in it is no number, and neither are its derivatives."""
    loss = fg.SigmoidFocalLoss(normalizer=normalizer)
    for number in (2.0, -1.0, NAN):
        value, grad = loss.value_and_grad(np.array([0.5, -0.5, 1.0]), np.array([1.0, 0.0, number]))
        assert np.isnan(value) and np.isnan(grad).all()
        ignoring = loss.replace(ignore_index=number)
        want = loss.value_and_grad(np.array([0.5, -0.5]), np.array([1.0, 0.0]))
        got = ignoring.value_and_grad(np.array([0.5, -0.5, 1.0]), np.array([1.0, 0.0, number]))
        assert got[0] == want[0]
        np.testing.assert_array_equal(got[1], [*want[1], 0.0])


def test_the_reference_says_the_same() -> None:
    """Over targets and probabilities in and out of their domain."""
    edge = np.array([NAN, -INF, -1.0, -1e-9, -0.0, 0.0, 0.3, 1.0, 1 + 2.0**-52, 2.0, INF])
    x, y = (part.ravel() for part in np.meshgrid(edge, edge))
    for options in SIGMOID_OPTIONS:
        loss = fg.SigmoidFocalLoss(**options, reduction="none")
        want = reference.evaluate(loss, x, y)
        for got, exact in zip(results(loss, x, y), want, strict=True):
            np.testing.assert_allclose(got, exact, rtol=1e-12, atol=1e-15, err_msg=str(options))
    for options in SOFTMAX_OPTIONS:
        loss = fg.SoftmaxFocalLoss(**options, reduction="none")
        rows, targets = np.stack([x, 1 - x], 1), np.stack([y, 1 - y], 1)
        want = reference.evaluate(loss, rows, targets)
        for got, exact in zip(results(loss, rows, targets), want, strict=True):
            np.testing.assert_allclose(got, exact, rtol=1e-12, atol=1e-15, err_msg=str(options))


class TestMissingLabels:
    """NaN as the target that is ignored."""

    def test_objects(self) -> None:
        for make in (fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss):
            loss = make(ignore_index=NAN)
            others = [make(ignore_index=number) for number in (np.float32(NAN), -NAN, np.array(NAN))]
            assert all(other == loss and hash(other) == hash(loss) for other in others)
            assert loss != make() and loss != make(ignore_index=INF)
            assert repr(loss).endswith("ignore_index=float('nan'))")
            namespace = {"SigmoidFocalLoss": fg.SigmoidFocalLoss, "SoftmaxFocalLoss": fg.SoftmaxFocalLoss}
            assert eval(repr(loss), namespace) == loss
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                assert pickle.loads(pickle.dumps(loss, protocol)) == loss
            assert copy.deepcopy(loss) == loss and loss.replace(gamma=2.0) == loss
            assert type(loss.ignore_index) is float and np.isnan(loss.ignore_index)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    @pytest.mark.parametrize("options", SIGMOID_OPTIONS, ids=str)
    def test_dense(self, options: dict[str, Any], dtype: type) -> None:
        """As if they were not there, whatever the logit."""
        loss, x = fg.SigmoidFocalLoss(**options, reduction="none"), inputs(options, COUNT)
        clean = (np.random.default_rng(3).random(COUNT) < 0.4).astype(dtype)
        targets, unknown = spoiled(clean, NAN)
        broken = np.where(unknown & (np.arange(COUNT) % 2 == 0), np.float32(NAN), x)
        ignoring = loss.replace(ignore_index=NAN)
        for got, want in zip(results(ignoring, broken, targets), results(loss, x, clean), strict=True):
            assert (got[unknown] == 0).all() and not np.signbit(got[unknown]).any()
            np.testing.assert_array_equal(got[~unknown], want[~unknown])
        mean = ignoring.replace(reduction="mean")(broken, targets)
        assert mean == pytest.approx(loss.replace(reduction="mean")(x[~unknown], clean[~unknown]), rel=1e-13)

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_class_indices(self, smoothing: float) -> None:
        x = inputs({}, (50, 4), np.float64)
        indices = np.random.default_rng(4).integers(0, 4, 50).astype(np.float64)
        indices[[0, 7, 49]] = NAN
        known = np.flatnonzero(~np.isnan(indices))
        for make in (fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss):
            loss = make(class_axis=-1, reduction="none", label_smoothing=smoothing)
            want = results(loss, x[known], indices[known])
            for got, clean in zip(results(loss.replace(ignore_index=NAN), x, indices), want, strict=True):
                np.testing.assert_array_equal(got[known], clean)
                assert not np.delete(got, known, 0).any()
            refused(ValueError, [r"targets\[0\] = NaN"], loss, x, indices)
            bad = np.where(np.isnan(indices), 9, indices)
            refused(ValueError, [r"targets\[0\] = 9", "or NaN"], loss.replace(ignore_index=NAN), x, bad)

    def test_integers_are_never_missing(self) -> None:
        loss = fg.SigmoidFocalLoss(ignore_index=NAN)
        assert loss([0.5, 1.0], [0, 1]) == fg.SigmoidFocalLoss()([0.5, 1.0], [0, 1])

    def test_dense_rows(self) -> None:
        """No index is NaN in a row of numbers."""
        refused(
            ValueError, ["ignore_index"], fg.SoftmaxFocalLoss(ignore_index=NAN), np.zeros((2, 2)), np.eye(2)
        )

    def test_meter(self) -> None:
        meter = fg.FocalLossMeter(fg.SigmoidFocalLoss(ignore_index=NAN))
        meter.update([0.5, 3.0], [1.0, NAN])
        assert meter.compute() == fg.SigmoidFocalLoss()([0.5], [1])
