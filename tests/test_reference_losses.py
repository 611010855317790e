"""Is the reference right about whole losses? The witness is mpmath, which differentiates the definition."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import definition
import options as grid
from focalgrad import _reference as reference

# Relative to the sizes that the reference states: a few rounding errors, times gamma.
LIMIT = 5e-15
SETS = [(kind, o) for kind in ("sigmoid", "softmax") for o in grid.covering(kind)]


def sigmoid(**options: Any) -> SimpleNamespace:
    """A sigmoid loss for the reference."""
    return SimpleNamespace(**reference.SIGMOID | options)


def softmax(**options: Any) -> SimpleNamespace:
    """A softmax loss for the reference."""
    return SimpleNamespace(**reference.SOFTMAX | options)


def assert_is_defined(loss: Any, logits: Any, targets: Any, sample_weight: Any = None) -> None:
    """Value, gradient and Hessian are those of the definition."""
    got, sizes = reference.evaluate_with_sizes(loss, logits, targets, sample_weight=sample_weight)
    value, first, second = definition.differentiated(loss, logits, targets, sample_weight)
    assert abs(np.sum(got.value) - value) <= LIMIT * np.sum(sizes.value)
    assert (np.abs(got.gradient - first) <= LIMIT * sizes.gradient).all()
    assert (np.abs(got.hessian - second) <= LIMIT * sizes.hessian).all()


@pytest.mark.parametrize(("kind", "options"), SETS, ids=lambda part: str(part)[:7])
def test_every_pair_of_options(kind: str, options: dict[str, Any]) -> None:
    """With weights, ignored targets and background where the options have them."""
    shape = {0: (4, 3), 1: (2, 4, 2), -1: (3, 4), None: (3, 4)}[options["class_axis"]]
    call = grid.arrays(kind, options, shape, np.float64)
    assert_is_defined(grid.plain(options), **call)


@pytest.mark.parametrize("alpha", [None, 0.3])
@pytest.mark.parametrize("meaning", ["mixture", "expected", "quality"])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 1.5, 2.0, 3.0, 5.0])
def test_soft_targets(gamma: float, meaning: str, alpha: float | None) -> None:
    """Far out, near p = y, and near hard labels."""
    logits = (-40.0, -8.0, -2.3, -0.7, 1e-3, 0.4, 1.1, 5.0, 36.7, 90.0)
    for y in (1e-9, 0.1, 0.5, 0.62, 0.999, 1 - 2.0**-40):
        loss = sigmoid(alpha=alpha, gamma=gamma, soft_targets=meaning, reduction="sum")
        for logit in logits:
            assert_is_defined(loss, [logit], [y])


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_rows_of_large_margins(gamma: float, shift: float) -> None:
    """Margins from -80 to 80 with a common shift; also float64 logits whose differences are inexact."""
    rng = np.random.default_rng(4)
    for logits in (rng.uniform(-40, 40, (5, 3)) + shift, rng.normal(0, 1e-3, (5, 3)) - shift):
        for row, target in zip(logits, [0, 1, 2, 0, 1], strict=True):
            assert_is_defined(softmax(gamma=gamma, reduction="sum"), [row], [target])


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0, 5.0])
def test_probabilities_at_the_edges(gamma: float) -> None:
    """Close to 0 and 1, hard and soft."""
    given = np.array([1e-60, 1e-20, 1e-7, 0.1, 0.5, 0.9, 1 - 1e-7, 1 - 2.0**-50])
    for target in (0.0, 1.0, 0.3):
        for meaning in ("mixture", "expected", "quality"):
            loss = sigmoid(gamma=gamma, from_logits=False, soft_targets=meaning, reduction="sum")
            got, sizes = reference.evaluate_with_sizes(loss, given, np.full(given.shape, target))
            # Steps of numerical differentiation must stay within (0, 1): one by one, with digits to match.
            for i, p in enumerate(given):
                first, second = (definition.derivative(loss, p, target, order) for order in (1, 2))
                assert abs(got.gradient[i] - first) <= LIMIT * sizes.gradient[i]
                assert abs(got.hessian[i] - second) <= LIMIT * sizes.hessian[i]


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("from_logits", [True, False])
def test_quality_at_its_minimum(gamma: float, from_logits: bool) -> None:
    """Where p = y: no gradient, and no Hessian below gamma 2; the true one from there on."""
    at = 0.0 if from_logits else 0.5
    loss = sigmoid(alpha=None, gamma=gamma, soft_targets="quality", reduction="none", from_logits=from_logits)
    value, gradient, hessian = reference.evaluate(loss, [at], [0.5])
    assert value == 0 and gradient == 0
    slope = 1 / 4 if from_logits else 1.0
    expected = 2 * slope**2 * np.log(2) if gamma == 2 else 0.0
    assert hessian == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, (0.0, 2.0, 0.5, 1.0)])
class TestLimits:
    """Infinite logits, and rows that have no softmax."""

    def test_softmax(self, gamma: Any) -> None:
        inf, nan = np.inf, np.nan
        rows = [[inf, 0, 1, -inf], [0, inf, 1, 2], [-inf, 0, 0, 0], [1.0, -inf, -inf, -inf]]
        value, gradient, hessian = reference.evaluate(
            softmax(gamma=gamma, reduction="none"), rows, [0, 0, 0, 0]
        )
        assert value.tolist() == [0, inf, inf, 0]
        assert gradient[:2].tolist() == [[0, 0, 0, 0], [-1, 1, 0, 0]]
        np.testing.assert_allclose(gradient[2:], [[-1, 1 / 3, 1 / 3, 1 / 3], [0, 0, 0, 0]], rtol=1e-15)
        assert not hessian[[0, 1, 3]].any()
        np.testing.assert_allclose(hessian[2], [0, 2 / 9, 2 / 9, 2 / 9], rtol=1e-15)

        bad = [[nan, 0, 0, 0], [inf, inf, 0, 0], [-inf] * 4]
        for part in reference.evaluate(softmax(gamma=gamma, reduction="none"), bad, [1, 2, 3]):
            assert np.isnan(part).all()

    def test_softmax_dense(self, gamma: Any) -> None:
        """A class without a target contributes nothing, whatever its logit."""
        rows, y = [[-np.inf, 0.0, 0.0, 0.0], [0.0, np.inf, 0.0, 0.0]], [[0, 0.5, 0.5, 0], [0, 1, 0, 0]]
        loss = softmax(gamma=gamma, reduction="none")
        three = softmax(gamma=gamma if np.ndim(gamma) == 0 else gamma[1:], reduction="none")
        whole, part = reference.evaluate(loss, rows, y), reference.evaluate(three, [rows[0][1:]], [y[0][1:]])
        np.testing.assert_allclose(whole.value[:1], part.value, rtol=1e-15)
        np.testing.assert_allclose(whole.gradient[0, 1:], part.gradient[0], rtol=1e-14)
        assert whole.value[1] == 0 and not whole.gradient[1].any() and not whole.hessian[:, 0].any()

    def test_one_class(self, gamma: Any) -> None:
        gamma = gamma if np.ndim(gamma) == 0 else gamma[:1]
        loss = softmax(gamma=gamma, reduction="none")
        for part in reference.evaluate(loss, [[3.0], [np.inf]], [0, 0]):
            assert not part.any()
        for part in reference.evaluate(loss, [[np.nan], [-np.inf]], [0, 0]):
            assert np.isnan(part).all()

    @pytest.mark.parametrize("meaning", ["mixture", "expected", "quality"])
    def test_sigmoid_soft(self, gamma: Any, meaning: str) -> None:
        gamma = gamma if np.ndim(gamma) == 0 else gamma[1]
        loss = sigmoid(alpha=None, gamma=gamma, soft_targets=meaning, reduction="none")
        value, gradient, hessian = reference.evaluate(loss, [np.inf, -np.inf, np.nan], [0.25] * 3)
        assert (value[:2] == np.inf).all()
        power = 1.0 if meaning == "expected" else gamma + 1
        first = [0.75, -0.25] if meaning == "expected" else [0.75**power, -(0.25**power)]
        np.testing.assert_allclose(gradient[:2], first, rtol=1e-15)
        assert not hessian[:2].any()
        assert np.isnan([value[2], gradient[2], hessian[2]]).all()


class TestSmallPrint:
    """Ignored targets, zero weights, empty denominators, NaN targets."""

    @pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
    def test_ignored(self, special: float) -> None:
        for loss, logits, targets in (
            (sigmoid(reduction="none", ignore_index=-1), [special, 1.0], [-1, 1]),
            (softmax(reduction="none", ignore_index=9), [[special, 0.0], [0.0, 1.0]], [9, 1]),
            (sigmoid(reduction="none", ignore_index=9, class_axis=1), [[special, 0], [0, 1.0]], [9, 1]),
        ):
            for part in reference.evaluate(loss, logits, targets):
                assert not part[0].any() and not np.signbit(part[0]).any()
                assert part[1].any()

    def test_zero_weight(self) -> None:
        for alpha, weight in ((0.0, 1.0), (None, 0.0)):
            loss = softmax(alpha=alpha, reduction="none")
            value = reference.evaluate(
                loss, [[np.inf, 0], [np.nan, 0]], [1, 1], sample_weight=[weight, weight]
            ).value
            assert value[0] == 0 and np.isnan(value[1])
        loss = sigmoid(class_axis=1, class_weight=(0.0, 1.0), reduction="none")
        assert reference.evaluate(loss, [[-np.inf, 0.0]], [[1, 1]]).value[0, 0] == 0

    @pytest.mark.parametrize("normalizer", [None, "weights", "focal_weights"])
    def test_nothing_to_average(self, normalizer: str | None) -> None:
        """All ignored, or no rows at all."""
        for logits, targets in (([[1.0, 2.0]], [-1]), (np.zeros((0, 2)), np.zeros(0, int))):
            value, gradient, hessian = reference.evaluate(
                softmax(normalizer=normalizer, ignore_index=-1), logits, targets
            )
            assert value == 0 and not gradient.any() and not hessian.any()

    def test_no_classes(self) -> None:
        assert reference.evaluate(softmax(), np.zeros((0, 0)), np.zeros(0, int)).value == 0
        with pytest.raises(ValueError, match="class"):
            reference.evaluate(softmax(), np.zeros((2, 0)), np.zeros(2, int))

    def test_infinite_loss_over_factors(self) -> None:
        """Gamma 0 is cross entropy, also where that is infinite; other factors move an infinite mean."""
        for gamma, other in ((0.0, 1 / 4), (2.0, np.inf)):
            loss = sigmoid(alpha=None, gamma=gamma, normalizer="focal_weights")
            value, gradient, _ = reference.evaluate(loss, [-np.inf, 0.0], [1, 0])
            assert value == np.inf
            assert gradient[0] == -1 / (1 + 0.5**gamma)
            assert (gradient[1] == other) if gamma == 0 else np.isinf(gradient[1])

    def test_nan_targets(self) -> None:
        for loss, logits, targets in (
            (sigmoid(reduction="none"), [1.0], [np.nan]),
            (softmax(reduction="none"), [[1.0, 2.0]], [[np.nan, 0.0]]),
        ):
            assert all(np.isnan(part).all() for part in reference.evaluate(loss, logits, targets))

    def test_clipping_in_the_logits_type(self) -> None:
        """1 - 1e-7 is another number in float32; a probability at the bound is not clipped."""
        loss = sigmoid(from_logits=False, eps=1e-7, gamma=0.0, alpha=None, reduction="none")
        for dtype in (np.float32, np.float64):
            bounds = np.array([1e-7, 1 - 1e-7]).astype(dtype)
            beyond = np.nextafter(bounds, [0, 1], dtype=dtype)
            for given, gradient_there in ((bounds, True), (beyond, False)):
                value, gradient, hessian = reference.evaluate(loss, given, [1, 0])
                np.testing.assert_allclose(
                    value, [-np.log(float(bounds[0])), -np.log1p(-float(bounds[1]))], rtol=1e-15
                )
                assert gradient.all() == hessian.all() == gradient_there


class TestErrors:
    """The reference refuses what has no meaning."""

    @pytest.mark.parametrize("bad", [4, -2, 1.5, np.nan])
    def test_class_indices(self, bad: float) -> None:
        targets = np.zeros((2, 3))
        targets[1, 2] = bad
        for loss in (softmax(class_axis=1), sigmoid(class_axis=1)):
            with pytest.raises(ValueError, match=r"targets\[1, 2\] = "):
                reference.evaluate(loss, np.zeros((2, 4, 3)), targets)

    def test_shapes(self) -> None:
        with pytest.raises(ValueError, match=r"\(2, 4, 3\) or \(2, 3\)"):
            reference.evaluate(softmax(class_axis=1), np.zeros((2, 4, 3)), np.zeros((2, 4)))
        with pytest.raises(ValueError, match=r"\(2,\)"):
            reference.evaluate(sigmoid(), np.zeros(2), np.zeros(3))

    def test_dense_targets(self) -> None:
        for options in ({"ignore_index": 0}, {"modulator": "sigmoid"}):
            with pytest.raises(ValueError, match=next(iter(options))):
                reference.evaluate(softmax(**options), np.zeros((2, 2)), np.eye(2))

    def test_options(self) -> None:
        with pytest.raises(ValueError, match="hessian"):
            reference.evaluate(sigmoid(), [0.0], [1], hessian="upper bound")
        with pytest.raises(ValueError, match="hessian"):
            reference.evaluate(sigmoid(from_logits=False), [0.5], [1], hessian="upper")


def test_class_indices_as_numbers() -> None:
    """Bools, floats and small integers; an unsigned label is never a negative ignore_index."""
    logits = np.random.default_rng(1).normal(size=(4, 2))
    whole = reference.evaluate(softmax(), logits, [0, 1, 1, 0])
    for dtype in (bool, np.uint8, np.int16, np.float32):
        other = reference.evaluate(softmax(ignore_index=-255), logits, np.array([0, 1, 1, 0], dtype))
        assert whole.value == other.value
    with pytest.raises(ValueError, match=r"targets\[1\] = 255"):
        reference.evaluate(softmax(ignore_index=-1), logits, np.array([0, 255, 1, 0], np.uint8))
