"""Three published implementations, and the numbers printed with them.

1. A gist on GluonCV's FocalLoss: sigmoid, alpha for positives and 1 - alpha for negatives, dense labels or
   class indices in images.
2. ``multi_category_focal_loss``, a Keras loss of probabilities with weights from label counts, and its table.
3. An article on class imbalance, from cross entropy to a focal loss with class weights and a modulator and a
   denominator of its own.
"""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import focalgrad as fg


class TestGist:
    """Element-wise sigmoid; the one-hot images that it wrestles with are never needed."""

    logits = np.random.default_rng(0).normal(0, 2, (2, 3, 4, 5))
    labels = np.random.default_rng(1).integers(0, 3, (2, 4, 5))

    @staticmethod
    def printed(pred: Any, one_hot: Any, alpha: float = 0.25, gamma: float = 2.0) -> Any:
        """Its lines: pt, then the weight, from a sigmoid."""
        pred = 1 / (1 + np.exp(-pred))
        pt = np.where(one_hot, pred, 1 - pred)
        t = np.ones_like(pred)
        alpha = np.where(one_hot, alpha * t, (1 - alpha) * t)
        return -alpha * (1 - pt) ** gamma * np.log(pt)

    def test_alpha_weighs_positives(self) -> None:
        """0.25 for positives, 0.75 for negatives."""
        loss = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0, reduction="none")
        unweighted = 0.25 * np.log(2)
        np.testing.assert_allclose(
            loss(np.zeros(2), [1, 0]), [0.25 * unweighted, 0.75 * unweighted], rtol=1e-15
        )

    def test_binary_images(self) -> None:
        """N x 1 x H x W or N x H x W against labels of that shape."""
        loss = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0, reduction="none")
        for logits in (self.logits[:, :1], self.logits[:, 0]):
            labels = (self.labels > 0).reshape(logits.shape)
            np.testing.assert_allclose(loss(logits, labels), self.printed(logits, labels), rtol=1e-12)

    def test_class_indices(self) -> None:
        """N x C x H x W against N x H x W: no one-hot array and no swapped axes."""
        loss = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0, reduction="none", class_axis=1)
        one_hot = np.moveaxis(np.eye(3, dtype=bool)[self.labels], -1, 1)
        want = self.printed(self.logits, one_hot)
        np.testing.assert_allclose(loss(self.logits, self.labels), want, rtol=1e-12)
        np.testing.assert_array_equal(loss(self.logits, one_hot), loss(self.logits, self.labels))

    def test_softmax_is_another_loss(self) -> None:
        """Two softmax outputs belong to SoftmaxFocalLoss: the sigmoid of each pairs the wrong classes."""
        two, labels = self.logits[:, :2], self.labels % 2
        margin = two[:, 1] - two[:, 0]
        softmax = fg.SoftmaxFocalLoss(gamma=2.0, reduction="none", class_axis=1)(two, labels)
        binary = fg.SigmoidFocalLoss(alpha=None, gamma=2.0, reduction="none")(margin, labels)
        np.testing.assert_allclose(softmax, binary, rtol=1e-13)


class TestKerasTable:
    """Probabilities against one-hot targets, clipped at 1e-7, weights from counts, added up over classes."""

    counts = (100, 200, 50, 10)
    targets = (0, 1, 0, 2, 2, 2, 0, 1)
    probabilities = np.array(
        [
            [0.37623284, 0.33230947, 0.0481559, 0.2433018],
            [0.29497108, 0.12360882, 0.20553146, 0.37588864],
            [0.58799838, 0.28331014, 0.07566421, 0.05302727],
            [0.4794889, 0.07500778, 0.41214537, 0.03335796],
            [0.28295068, 0.07871247, 0.16113049, 0.47720636],
            [0.03239087, 0.35946281, 0.28374307, 0.32440325],
            [0.08932401, 0.54083959, 0.23610655, 0.13372985],
            [0.19806993, 0.20598081, 0.29593526, 0.30001401],
        ]
    )
    losses = np.array(
        [
            0.04206767,
            0.11250415,
            0.00784752,
            0.05654315,
            0.30171221,
            0.12844518,
            0.16094631,
            0.06586922,
        ]
    )

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("form", ["one-hot", "indices"])
    def test_every_row(self, form: str, dtype: type) -> None:
        """All eight, to the printed digits: computed in float32, of probabilities with eight digits."""
        loss = fg.SigmoidFocalLoss(
            alpha=None,
            gamma=2,
            from_logits=False,
            eps=1e-7,
            class_axis=1,
            class_weight=fg.class_weights(self.counts),
            reduction="sum_classes",
        )
        targets = np.eye(4)[list(self.targets)] if form == "one-hot" else np.array(self.targets)
        got = loss(self.probabilities.astype(dtype), targets)
        assert got.shape == (8,)
        np.testing.assert_allclose(got, self.losses, rtol=0, atol=4e-8 if dtype == np.float32 else 2.5e-8)


class TestArticle:
    """From cross entropy to its focal loss."""

    logits = np.random.default_rng(5).normal(0, 2, (7, 5))
    targets = np.array([1, 3, 0, 4, 1, 2, 3])
    weights = np.array([0.5, 2.0, 1.0, 0.25, 3.0])

    def cross_entropy(self) -> Any:
        """Its code, with ``output`` and ``target``."""
        out_exp = np.exp(self.logits)
        out_cls = np.array([out_exp[i, t] for i, t in enumerate(self.targets)])
        return -np.log(out_cls / out_exp.sum(1))

    def test_cross_entropy(self) -> None:
        """Gamma 0: per sample, as a sum, and as a mean."""
        entropy = self.cross_entropy()
        got = fg.softmax_focal_loss(self.logits, self.targets, gamma=0.0)
        np.testing.assert_allclose(got, entropy, rtol=1e-13)
        for reduction, want in (("sum", entropy.sum()), ("mean", entropy.mean())):
            loss = fg.SoftmaxFocalLoss(gamma=0.0, reduction=reduction)
            assert loss(self.logits, self.targets) == pytest.approx(want, rel=1e-14)

    def test_weighted_cross_entropy(self) -> None:
        """Its mean divides by the sum of the weights."""
        weight = self.weights[self.targets]
        want = weight @ self.cross_entropy()
        total = fg.SoftmaxFocalLoss(alpha=self.weights, gamma=0.0, reduction="sum")
        mean = fg.SoftmaxFocalLoss(alpha=self.weights, gamma=0.0, normalizer="weights")
        assert total(self.logits, self.targets) == pytest.approx(want, rel=1e-14)
        assert mean(self.logits, self.targets) == pytest.approx(want / weight.sum(), rel=1e-14)

    def test_one_sample_has_no_weight(self) -> None:
        """With a single sample the weights cancel."""
        mean = fg.SoftmaxFocalLoss(alpha=self.weights, gamma=0.0, normalizer="weights")
        single = mean(self.logits[:1], self.targets[:1])
        assert single == pytest.approx(self.cross_entropy()[0], rel=1e-14)

    def test_binary_is_two_classes(self) -> None:
        """Two neurons and softmax, or one and sigmoid; class weights are alpha's two sides."""
        logits, labels = self.logits[:, :2], self.targets % 2
        two = fg.SoftmaxFocalLoss(alpha=[0.7, 0.3], gamma=0.0, reduction="none")
        one = fg.SigmoidFocalLoss(alpha=0.3, gamma=0.0, reduction="none")
        np.testing.assert_allclose(two(logits, labels), one(logits[:, 1] - logits[:, 0], labels), rtol=1e-13)

    def test_focal_loss(self) -> None:
        """The formula of its text: class weight, (1 - p_t)^gamma, cross entropy."""
        entropy = self.cross_entropy()
        want = self.weights[self.targets] * (1 - np.exp(-entropy)) ** 2 * entropy
        got = fg.softmax_focal_loss(self.logits, self.targets, alpha=self.weights, gamma=2.0)
        np.testing.assert_allclose(got, want, rtol=1e-12)

    @pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
    def test_its_code(self, reduction: str) -> None:
        """Modulated by the sigmoid of the target's logit, and divided by the sum of these factors."""
        target = np.stack([self.logits[i, t] for i, t in enumerate(self.targets)])
        focal_weight = (1 - 1 / (1 + np.exp(-target))) ** 2
        want: Any = focal_weight * self.weights[self.targets] * self.cross_entropy()
        if reduction == "mean":
            want = (want / focal_weight.sum()).sum()
        elif reduction == "sum":
            want = want.sum()
        loss = fg.SoftmaxFocalLoss(
            alpha=self.weights,
            gamma=2.0,
            modulator="sigmoid",
            reduction=reduction,
            normalizer="focal_weights" if reduction == "mean" else None,
        )
        np.testing.assert_allclose(loss(self.logits, self.targets), want, rtol=1e-12)


def test_the_page_about_them() -> None:
    """Its examples run."""
    path = Path(__file__).parent.parent / "docs" / "sources.md"
    if not path.exists():
        pytest.skip("the documentation is not here")
    results = doctest.testfile(str(path), module_relative=False)
    assert results.attempted > 0 and results.failed == 0
