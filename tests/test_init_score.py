"""Does the initial score minimise the loss among all constants?"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp

import focalgrad as fg
import oracle
from focalgrad import _reference as reference
from support import refused

GAMMAS = (0.0, 0.3, 1.0, 2.0, 5.0)
MEANINGS = ("mixture", "expected", "quality")


def slope_at(loss: Any, scores: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
    """Derivatives of the sum by the constant scores, and the sums of the magnitudes of their terms."""
    targets = np.asarray(targets)
    axis = loss.class_axis
    shape = targets.shape if axis is None or targets.ndim > 1 else (*targets.shape, len(scores))
    flat = np.broadcast_to(scores if axis is None else np.asarray(scores), shape)
    (_, gradient, _), (_, size, _) = reference.evaluate_with_sizes(loss, flat, targets, sample_weight=weights)
    along = None if axis is None else tuple(range(gradient.ndim - 1))
    return gradient.sum(axis=along), size.sum(axis=along)


@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize(("ones", "zeros"), [(1, 1), (10, 90), (3, 10**8), (10**12, 1)])
def test_hard_labels(ones: int, zeros: int, gamma: float, alpha: float | None) -> None:
    """Against the root that mpmath finds, to the last digits."""
    loss = fg.SigmoidFocalLoss(alpha, gamma)
    got = loss.init_score([1, 0], sample_weight=[ones, zeros])
    assert type(got) is float
    with mpmath.workdps(40):
        heads, tails = (1, 1) if alpha is None else (mp.mpf(alpha), 1 - mp.mpf(alpha))

        def slope(z: Any) -> Any:
            return ones * heads * oracle.closed(z, gamma)[1] - zeros * tails * oracle.closed(-z, gamma)[1]

        want = mp.findroot(slope, got)
    assert got == pytest.approx(float(want), rel=4e-15, abs=1e-15)


def test_cross_entropy_is_the_log_odds() -> None:
    """Gamma 0, in closed form; all kinds of arrays."""
    loss = fg.SigmoidFocalLoss(None, 0.0, reduction="none")
    for targets in ([1, 0, 0, 0], np.array([True, False, False, False]), np.array([[1.0, 0], [0, 0]])):
        assert loss.init_score(targets) == pytest.approx(-np.log(3), rel=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("meaning", MEANINGS)
@pytest.mark.parametrize("gamma", GAMMAS)
def test_soft_targets(gamma: float, meaning: str, smoothing: float) -> None:
    """Distinct ones, opposite ones, some hard."""
    rng = np.random.default_rng(1)
    for targets in (rng.beta(0.5, 2, 40), np.array([0.1, 0.9]), np.array([0, 1, 1, 0.3])):
        weights = rng.uniform(0.5, 2, targets.shape)
        loss = fg.SigmoidFocalLoss(
            0.4, gamma, reduction="sum", soft_targets=meaning, label_smoothing=smoothing
        )
        assert_is_deepest(loss, loss.init_score(targets, weights), targets, weights)


def assert_is_deepest(loss: Any, best: float, targets: Any, weights: Any) -> None:
    """No other constant is better, and the sum of the slopes is rounding error (or turns at a kink)."""

    def value(z: float) -> float:
        return reference.evaluate(loss, np.full(targets.shape, z), targets, sample_weight=weights).value

    others = np.concatenate([np.linspace(-8, 8, 161), best + np.array([-1e-3, 1e-3, -1e-6, 1e-6])])
    assert value(best) <= min(map(value, others)) * (1 + 1e-15)
    slope, size = slope_at(loss, best, targets, weights)
    kinked = loss.soft_targets == "quality" and loss.gamma <= 1
    assert abs(slope) <= 4e-15 * size or (
        kinked and value(best) < min(value(best - 1e-9), value(best + 1e-9))
    )


def soft_total(z: Any, targets: Any, weights: Any, loss: Any) -> Any:
    """Sum of the losses of soft targets at a logit, in mpmath."""
    p, q, total = 1 / (1 + mp.exp(-z)), 1 / (1 + mp.exp(z)), mp.mpf(0)
    for y, weight in zip(map(mp.mpf, targets), weights, strict=True):
        base = y * q + (1 - y) * p if loss.soft_targets == "mixture" else abs(y - p)
        alpha = 1 if loss.alpha is None else y * mp.mpf(loss.alpha) + (1 - y) * (1 - mp.mpf(loss.alpha))
        total += weight * alpha * base ** mp.mpf(loss.gamma) * -(y * mp.log(p) + (1 - y) * mp.log(q))
    return total


@pytest.mark.parametrize("alpha", [None, 0.0, 1.0])
@pytest.mark.parametrize("gamma", [2.0, 700.0, 1100.0, 1e8])
@pytest.mark.parametrize("meaning", ["mixture", "quality"])
def test_extreme_soft_targets(meaning: str, gamma: float, alpha: float | None) -> None:
    """Where all losses are 0 in float64, a minimum is far out, or alpha takes away all of one kind."""
    loss = fg.SigmoidFocalLoss(alpha, gamma, soft_targets=meaning)
    for targets, weights in (
        ([0.3, 0.8, 0.9], [1.0, 2.0, 1e3]),
        ([0.125, 0.25, 0.5], [1e300, 1e-300, 1.0]),
        ([0.5, 1.0, 0.0, 0.75], [1e-300, 1.0, 1e-300, 1e300]),
        ([0.0, 0.75], [1e300, 1e-300]),
    ):
        best = loss.init_score(targets, weights)
        assert np.isfinite(best)
        with mpmath.workdps(450):
            least = soft_total(mp.mpf(best), targets, weights, loss)
            for other in (best - 1e-6, best + 1e-6, best - 0.1, best + 0.1, -900, -40, -1, 0, 1, 40, 900):
                assert least < soft_total(mp.mpf(other), targets, weights, loss)


@pytest.mark.parametrize("gamma", [0.3, 0.5, 1.0])
def test_clefts(gamma: float) -> None:
    """`quality` of a small gamma has a local minimum at every target: none is lower than the one found."""
    loss = fg.SigmoidFocalLoss(0.25, gamma, reduction="sum", soft_targets="quality")
    rng = np.random.default_rng(4)
    for targets in (rng.random(n) for n in (3, 17, 300)):

        def value(z: float, targets: Any = targets) -> float:
            return reference.evaluate(loss, np.full(targets.shape, z), targets).value

        least = min(map(value, np.log(targets) - np.log1p(-targets)))
        assert value(loss.init_score(targets)) <= least * (1 + 1e-15)


@pytest.mark.parametrize("meaning", MEANINGS)
def test_many_distinct_targets(meaning: str) -> None:
    """More of them than are kept apart."""
    targets = np.random.default_rng(2).random((70, 300))
    loss = fg.SigmoidFocalLoss(None, 2.0, reduction="sum", soft_targets=meaning)
    slope, size = slope_at(loss, loss.init_score(targets), targets, None)
    assert abs(slope) <= 1e-15 * size


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.5, 1e-6, 1e6]), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.5, 2.0, (0.0, 0.5, 1.0, 2.0, 3.0, 5.0)]),
    st.sampled_from([0.0, 0.1]),
)
def test_softmax(weights: list[float], gamma: Any, smoothing: float) -> None:
    """Stationary; the finite ones have sum 0; classes without weight are at -inf."""
    classes = len(weights)
    gamma = gamma if np.ndim(gamma) == 0 else gamma[:classes]
    alpha = tuple(np.linspace(0.5, 2, classes))
    loss = fg.SoftmaxFocalLoss(alpha, gamma, reduction="sum", label_smoothing=smoothing)
    targets = np.arange(classes)
    scores = loss.init_score(targets, weights)
    assert scores.shape == (classes,)
    if not any(weights):
        assert not scores.any()
        return
    present = np.array(weights) > 0 if not smoothing else np.ones(classes, bool)
    assert (scores[~present] == -np.inf).all() and np.isfinite(scores[present]).all()
    assert abs(scores[present].sum()) <= 1e-15 * classes * np.max(np.abs(scores[present]), initial=1e-30)
    if classes > 1:
        kept = np.where(weights, weights, 0.0)
        slope, size = slope_at(loss, scores, targets, kept)
        assert (np.abs(slope) <= 1e-14 * size).all()


def test_softmax_of_two_is_sigmoid() -> None:
    """The difference of the two scores is the sigmoid's."""
    weights = [3.0, 17.0]
    two = fg.SoftmaxFocalLoss(None, 2.0).init_score([0, 1], weights)
    one = fg.SigmoidFocalLoss(None, 2.0).init_score([0, 1], weights)
    assert two[1] - two[0] == pytest.approx(one, rel=4e-15)


class TestColumns:
    """Sigmoid with a class axis: every column on its own."""

    targets = np.array([0, 0, 1, 3, -1, 0])

    def test_indices(self) -> None:
        loss = fg.SigmoidFocalLoss(class_axis=1, ignore_index=-1, background_index=3)
        scores = loss.init_score(self.targets)
        single = fg.SigmoidFocalLoss()
        assert scores.tolist() == [single.init_score([1, 0], [n, 5 - n]) for n in (3, 1)]

    def test_length_of_a_parameter(self) -> None:
        loss = fg.SigmoidFocalLoss(class_axis=1, gamma=(2.0,) * 5, ignore_index=-1)
        scores = loss.init_score(self.targets)
        assert scores.shape == (5,)
        assert scores[2] == scores[4] == -np.inf
        refused(
            ValueError,
            ["targets", r"targets\[3\] = 3"],
            fg.SigmoidFocalLoss(class_axis=1, gamma=(2.0,) * 3, ignore_index=-1).init_score,
            self.targets,
        )

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32])
    def test_dense(self, dtype: type) -> None:
        """Multi-label columns, along any axis, with weights of their own."""
        targets = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]], dtype)
        weights = np.arange(1.0, 13).reshape(4, 3)
        loss = fg.SigmoidFocalLoss(class_axis=-1, class_weight=(1, 2, 0))
        scores = loss.init_score(targets, weights, dense=True)
        assert scores.tolist() == [fg.SigmoidFocalLoss().init_score([1, 0], [8, 14]), -np.inf, 0.0]
        first = fg.SigmoidFocalLoss(class_axis=0, class_weight=(1, 2, 0))
        assert first.init_score(targets.T, weights.T, dense=True).tolist() == scores.tolist()

    def test_rare_classes_do_not_cancel(self) -> None:
        loss = fg.SigmoidFocalLoss(None, 0.0, class_axis=1)
        scores = loss.init_score([0, 1], [1e20, 1.0])
        np.testing.assert_allclose(scores, [np.log(1e20), -np.log(1e20)], rtol=1e-15)


def test_images_of_indices() -> None:
    """Softmax: integers of more dimensions are what they are said to be; floats are dense."""
    indices = np.array([[[0, 1], [2, 1]], [[1, 1], [0, 1]]])
    loss = fg.SoftmaxFocalLoss(class_axis=1)
    scores = loss.init_score(indices, dense=False)
    np.testing.assert_array_equal(scores, loss.init_score(indices.ravel()))
    dense = np.moveaxis(np.eye(3)[indices], -1, 1)
    for dtype in (np.float64, np.float16, np.uint8, bool):
        given = loss.init_score(dense.astype(dtype), dense=True)
        np.testing.assert_allclose(given, scores, rtol=1e-15)
    np.testing.assert_array_equal(loss.init_score(dense), loss.init_score(dense, dense=True))
    np.testing.assert_array_equal(loss.init_score(indices.astype(float), dense=False), scores)
    weights = np.random.default_rng(0).random(indices.shape)
    np.testing.assert_allclose(
        loss.init_score(dense, weights), loss.init_score(indices, weights, dense=False), rtol=1e-14
    )


class TestNoData:
    """One label only, nothing at all, nothing that counts."""

    def test_one_label(self) -> None:
        loss = fg.SigmoidFocalLoss()
        assert loss.init_score([1, 1]) == np.inf and loss.init_score([0]) == -np.inf
        assert fg.SigmoidFocalLoss(alpha=0.0).init_score([1, 0]) == -np.inf

    @pytest.mark.parametrize("targets", [[], [-1, -1]])
    def test_nothing(self, targets: list[int]) -> None:
        assert fg.SigmoidFocalLoss(ignore_index=-1).init_score(targets) == 0.0
        for make in (fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss):
            known = make(class_axis=-1, gamma=(1.0, 2.0), ignore_index=-1)
            assert known.init_score(targets).tolist() == [0.0, 0.0]
            assert make(class_axis=-1, ignore_index=-1).init_score(targets) == 0.0

    def test_nan_weights(self) -> None:
        assert np.isnan(fg.SigmoidFocalLoss().init_score([1, 0], [np.nan, 1]))
        assert np.isnan(fg.SoftmaxFocalLoss().init_score([1, 0], [np.nan, 1])).all()


def test_errors() -> None:
    """What has no minimum, and what are no targets."""
    given = fg.SigmoidFocalLoss(from_logits=False)
    refused(ValueError, ["init_score", "from_logits"], given.init_score, [1, 0])
    modulated = fg.SoftmaxFocalLoss(modulator="sigmoid")
    refused(ValueError, ["init_score", "modulator"], modulated.init_score, [1, 0])
    refused(ValueError, ["sample_weight"], fg.SigmoidFocalLoss().init_score, [1, 0], [-1, 1])
    refused(
        ValueError,
        ["sample_weight", r"\(2,\)", r"\(3,\)"],
        fg.SigmoidFocalLoss().init_score,
        [1, 0],
        [1, 1, 1],
    )
    refused(TypeError, ["targets", "str|<U1"], fg.SigmoidFocalLoss().init_score, ["a"])
    refused(TypeError, ["sample_weight", "complex"], fg.SigmoidFocalLoss().init_score, [1], [1j])
    two = fg.SoftmaxFocalLoss(class_axis=3, gamma=(1.0, 2.0))
    refused(ValueError, ["targets", "class axis 3", r"\(5, 2\)"], two.init_score, np.zeros((5, 2)))
    two = fg.SoftmaxFocalLoss(class_axis=0, gamma=(1.0, 2.0))
    refused(ValueError, ["targets", "2 classes", r"\(5, 2\)"], two.init_score, np.zeros((5, 2)))
    refused(ValueError, ["sample_weight"], fg.SoftmaxFocalLoss().init_score, [1, 0], [-1, 1])
    refused(ValueError, [r"targets\[0, 1\] = -3"], fg.SoftmaxFocalLoss().init_score, [[0, -3]], dense=False)
    refused(ValueError, [r"targets\[1\] = 0.5"], fg.SoftmaxFocalLoss().init_score, [0, 0.5])


class TestNothingIsGuessed:
    """Neither dtype nor values say what integers of more dimensions are."""

    @pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
    @pytest.mark.parametrize("make", [fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss])
    def test_one_hot(self, make: Any, dtype: type) -> None:
        loss, targets = make(class_axis=-1), np.eye(3, dtype=dtype)
        words = [
            "^dense must be True or False",
            "one-hot|class along axis -1",
            "class indices",
            r"\(3, 3\)",
            "got None$",
        ]
        refused(ValueError, words, loss.init_score, targets)
        refused(ValueError, ["^dense", r"\(3, 3, 1\)"], loss.init_score, targets[:, :, None])
        np.testing.assert_allclose(loss.init_score(targets, dense=True), loss.init_score(targets * 1.0))
        np.testing.assert_array_equal(
            loss.init_score(targets, dense=False), loss.init_score(targets.ravel().astype(int))
        )

    def test_softmax_of_one_hot(self) -> None:
        assert fg.SoftmaxFocalLoss().init_score(np.eye(3, dtype=int), dense=True).tolist() == [0, 0, 0]

    def test_one_dimension(self) -> None:
        """Class indices, unless it is said that it is one sample."""
        loss = fg.SigmoidFocalLoss(class_axis=0)
        assert loss.init_score([0, 1, 1]).shape == (2,)
        assert loss.init_score([0.0, 1.0, 1.0]).shape == (2,)
        assert loss.init_score([0, 1, 1], dense=True).tolist() == [-np.inf, np.inf, np.inf]

    def test_what_goes_together(self) -> None:
        refused(
            ValueError,
            ["^dense", "class_axis", "False"],
            fg.SigmoidFocalLoss().init_score,
            [0, 1],
            dense=False,
        )
        assert fg.SigmoidFocalLoss().init_score([0, 1], dense=True) == fg.SigmoidFocalLoss().init_score(
            [0, 1]
        )
        refused(TypeError, ["^dense", "int"], fg.SoftmaxFocalLoss().init_score, [0, 1], dense=1)
        for loss, option in (
            (fg.SoftmaxFocalLoss(ignore_index=7), "ignore_index"),
            (fg.SigmoidFocalLoss(class_axis=-1, background_index=7), "background_index"),
        ):
            refused(ValueError, ["^targets", option], loss.init_score, np.eye(2))
            refused(ValueError, ["^targets", option], loss.init_score, np.eye(2, dtype=int), dense=True)
            refused(ValueError, ["^dense"], loss.init_score, np.eye(2, dtype=int))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_targets_outside_the_domain(dtype: type) -> None:
    """The first one is named, and nothing else is blamed."""
    for loss, place in (
        (fg.SigmoidFocalLoss(), r"targets\[1, 2\]"),
        (fg.SoftmaxFocalLoss(), r"targets\[1, 2\]"),
    ):
        targets = np.zeros((2, 3), dtype)
        targets[1, 2] = 2
        with pytest.raises(ValueError, match=rf"^targets must be .* got {place} = 2(\.0)?$") as caught:
            loss.init_score(targets, dense=True)
        assert "sample_weight" not in str(caught.value)
    with pytest.raises(ValueError, match=r"^targets .* got targets\[0\] = -1$"):
        fg.SigmoidFocalLoss().init_score([-1, 1])
    assert fg.SigmoidFocalLoss(ignore_index=-1).init_score([-1, 1, 0]) == fg.SigmoidFocalLoss().init_score(
        [1, 0]
    )


def test_missing_labels() -> None:
    """NaN as the target that is ignored; else it gives NaN."""
    nan = float("nan")
    known = fg.SigmoidFocalLoss(ignore_index=nan)
    assert known.init_score([nan, 1, 0, nan]) == fg.SigmoidFocalLoss().init_score([1, 0])
    assert np.isnan(fg.SigmoidFocalLoss().init_score([nan, 1, 0]))
    columns = fg.SigmoidFocalLoss(class_axis=1, ignore_index=nan)
    np.testing.assert_array_equal(
        columns.init_score([[nan, 1.0], [0, 1], [1, 0]]),
        [fg.SigmoidFocalLoss().init_score([0, 1]), fg.SigmoidFocalLoss().init_score([1, 1, 0])],
    )
    rows = fg.SoftmaxFocalLoss(ignore_index=nan)
    np.testing.assert_array_equal(
        rows.init_score([nan, 0.0, 1.0, 1.0]), fg.SoftmaxFocalLoss().init_score([0, 1, 1])
    )
