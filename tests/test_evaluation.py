"""`fg.evaluate` and `fg.Evaluation` on arrays: every loss and option, merges, groups, classes, bins."""

from __future__ import annotations

import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import focalgrad as fg
from focalgrad._evaluate import adding, run
from focalgrad._evaluate.bins import Sums

RNG = np.random.default_rng(11)
ROWS, CLASSES = 700, 5
X = RNG.normal(0, 2, (ROWS, CLASSES)).astype(np.float32)
T = RNG.integers(0, CLASSES, ROWS)
DENSE = np.eye(CLASSES, dtype=np.float32)[T]
FLAT, LABELS = X[:, 0].copy(), (T == 0).astype(np.uint8)
W = RNG.random(ROWS)
P = (1 / (1 + np.exp(-FLAT))).astype(np.float32)
SOFTMAX_P = (np.exp(X) / np.exp(X).sum(1, keepdims=True)).astype(np.float32)

Sigmoid, Softmax = fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss
CASES: dict[str, tuple[Any, Any, Any, Any]] = {
    "plain": (Sigmoid(), FLAT, LABELS, None),
    "sum": (Sigmoid(None, 1.7, reduction="sum"), FLAT, LABELS, None),
    "weights": (Sigmoid(0.9, 0.5), FLAT, LABELS, W),
    "normaliser: weights": (Sigmoid(normalizer="weights"), FLAT, LABELS, W),
    "normaliser: positives": (Sigmoid(normalizer="positives"), FLAT, LABELS, None),
    "normaliser: factors": (Sigmoid(normalizer="focal_weights"), FLAT, LABELS, None),
    "normaliser: number": (Sigmoid(normalizer=12.5), FLAT, LABELS, W),
    "smoothing": (Sigmoid(label_smoothing=0.1), FLAT, LABELS, None),
    "soft targets": (Sigmoid(soft_targets="quality"), FLAT, P[::-1].copy(), None),
    "expected": (Sigmoid(soft_targets="expected"), FLAT, P[::-1].copy(), None),
    "ignored": (Sigmoid(ignore_index=1), FLAT, LABELS, W),
    "ignored, counted out": (Sigmoid(ignore_index=255), FLAT, np.where(T == 3, 255, LABELS), None),
    "probabilities": (Sigmoid(from_logits=False, eps=1e-7), P, LABELS, None),
    "float16": (Sigmoid(), FLAT.astype(np.float16), LABELS, None),
    "bfloat16": (Sigmoid(reduction="sum"), FLAT.astype(ml_dtypes.bfloat16), LABELS, None),
    "float64": (Sigmoid(), FLAT.astype(np.float64), LABELS.astype(bool), None),
    "integers": (Sigmoid(), np.arange(ROWS) % 7 - 3, LABELS.astype(np.int64), None),
    "columns, indices": (Sigmoid(class_axis=-1), X, T, W),
    "columns, background": (Sigmoid(class_axis=-1, background_index=4), X, T, None),
    "columns, dense": (Sigmoid([0.2, 0.3, 0.4, 0.5, 0.6], class_axis=1), X, DENSE, None),
    "columns, everything": (
        Sigmoid(0.3, [0.0, 0.5, 1, 2, 5], class_axis=0, class_weight=[1, 2, 3, 4, 5], normalizer="weights"),
        np.ascontiguousarray(X.T),
        T,
        W,
    ),
    "softmax": (Softmax(), X, T, None),
    "softmax, weights": (Softmax([1, 2, 3, 4, 5], 0.5, normalizer="weights"), X, T, W),
    "softmax, sum": (Softmax(reduction="sum", label_smoothing=0.2), X, T.astype(np.int32), W),
    "softmax, ignored": (Softmax(ignore_index=2), X, T, W),
    "softmax, dense": (Softmax(gamma=[0, 1, 2, 3, 4]), X, DENSE, W),
    "softmax, axis 0": (Softmax(class_axis=0), np.ascontiguousarray(X.T), T, None),
    "softmax, strided": (Softmax(class_axis=0), X.T, T, None),
    "softmax, images": (
        Softmax(class_axis=1),
        X.reshape(7, 100, 5).transpose(0, 2, 1).copy(),
        T.reshape(7, 100),
        None,
    ),
    "softmax, modulator": (Softmax(modulator="sigmoid"), X, T, None),
    "softmax, probabilities": (Softmax(from_logits=False, eps=1e-7), SOFTMAX_P, T, None),
    "softmax, factors": (Softmax(normalizer="focal_weights"), X, T, None),
}


@pytest.mark.parametrize("alpha", [None, 0.25, 0.0])
@pytest.mark.parametrize("gammas", [[2.0], [0.5, 0, 1, 5, 2.5]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_walk_finds_what_arrays_of_losses_do(dtype, gammas, alpha, monkeypatch):
    """Plain labels go through one walk that writes no losses: every number is that of the other way."""
    rng = np.random.default_rng(3)
    x = rng.normal(-2, 3, 150_001).astype(dtype)
    x[::1001] = np.inf
    x[5::1003] = -np.inf
    x[7::2000] = np.nan
    x[9::2000] = -0.0
    y = rng.random(len(x)) < 0.1
    walks = []

    def counted(*given):
        walks.append(found := adding_walk(*given))
        return found

    def evaluated() -> dict[str, Any]:
        told = fg.evaluate(x, y, loss=Sigmoid(alpha), gamma=gammas).to_dict()
        told.pop("timing")
        return told

    adding_walk = adding.walk_losses
    monkeypatch.setattr(adding, "walk_losses", counted)
    walked = evaluated()
    assert walks and None not in walks
    monkeypatch.setattr(adding, "walk_losses", lambda *given: None)
    np.testing.assert_equal(walked, evaluated())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_classes_need_not_be_aligned(dtype):
    x = X.astype(dtype)
    home = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = home[1:].view(dtype).reshape(x.shape)
    unaligned[...] = x
    assert not unaligned.flags.aligned
    found, expected = (fg.evaluate(logits, T, loss=Softmax()).to_dict() for logits in (unaligned, x))
    for told in (found, expected):
        told.pop("timing")
    np.testing.assert_equal(found, expected)


@pytest.mark.parametrize("case", CASES)
def test_the_value_is_that_of_a_meter_and_of_a_call(case):
    loss, x, y, w = CASES[case]
    found = fg.evaluate(x, y, loss=loss, sample_weight=w)
    meter = fg.FocalLossMeter(loss)
    meter.update(x, y, sample_weight=w)
    assert found.value == meter.compute()
    assert found.value == pytest.approx(loss(x, y, sample_weight=w), rel=1e-12)
    said = found.to_dict()
    each, grad = loss.replace(reduction="none").value_and_grad(x, y, sample_weight=w)
    each, grad = np.asarray(each, float), np.asarray(grad, float)
    assert (said["focal"]["loss_min"], said["focal"]["loss_max"]) == (each.min(), each.max())
    if loss.normalizer == "focal_weights":
        assert np.isnan(said["focal"]["gradient_norm"])
    else:
        of_loss = np.asarray(loss.grad(x, y, sample_weight=w), float)
        assert said["focal"]["gradient_norm"] == pytest.approx(
            np.linalg.norm(of_loss), rel=5e-3 if x.itemsize < 4 else 1e-5
        )
    assert said["examples"] == each.size and said["elements"] == x.size
    assert eval(said["call"], vars(fg)) == loss
    if w is None or np.all(w >= 0):
        hardest = said["hardest"][0]
        assert hardest["loss"] == each.max()
    assert (
        sum(said["groups"][name]["count"] for name in ("easy", "hard")) == said["examples"] - said["ignored"]
    )
    total = sum(each["loss_share"] for each in said["difficulty"])
    assert total == pytest.approx(1)


@pytest.mark.parametrize("case", CASES)
def test_parts_merge_to_the_whole(case):
    loss, x, y, w = CASES[case]
    axis = None if loss.class_axis is None else loss.class_axis % x.ndim
    rows = 1 if axis == 0 else 0  # the axis that is cut

    def part(array: Any, start: int, stop: int, cut: int) -> Any:
        return (
            None
            if array is None
            else np.take(array, range(start, stop), axis=cut if array.ndim == x.ndim else 0)
        )

    whole = fg.Evaluation(loss, gamma=None)
    whole.update(x, y, sample_weight=w)
    merged = fg.Evaluation(loss)
    length = x.shape[rows]
    for start, stop in ((0, 0), (0, length // 3), (length // 3, length)):
        other = fg.Evaluation(loss)
        other.update(*(part(a, start, stop, rows) for a in (x, y)), sample_weight=part(w, start, stop, rows))
        merged.merge(pickle.loads(pickle.dumps(other)))
    assert merged.value == whole.value
    one, two = whole.to_dict(), merged.to_dict()
    assert np.array_equal(whole.counts, merged.counts)
    for group, numbers in one["groups"].items():
        assert two["groups"][group] == (
            numbers if None in numbers.values() else pytest.approx(numbers, rel=1e-11)
        )
    assert two["classes"] is None or [c["count"] for c in two["classes"]] == [
        c["count"] for c in one["classes"]
    ]
    assert [(h["row"], h["class"]) for h in two["hardest"]] == [
        (h["row"], h["class"]) for h in one["hardest"]
    ]


@pytest.mark.parametrize("case", ["plain", "weights", "softmax", "softmax, weights", "columns, indices"])
def test_several_gammas_in_one_pass(case):
    loss, x, y, w = CASES[case]
    gammas = [0, 0.5, 1, 2, 5]
    said = fg.evaluate(x, y, loss=loss, sample_weight=w, gamma=gammas).to_dict()
    for gamma, each in zip(gammas, said["gammas"], strict=True):
        alone = loss.replace(gamma=gamma, normalizer=loss.normalizer)
        assert each["loss"] == fg.evaluate(x, y, loss=alone, sample_weight=w).value
        assert each["gamma"] == gamma
    assert said["gamma"] == 0


def test_groups():
    names = np.array(["a", "b", "c"])[T % 3]
    for loss, x, y in ((Sigmoid(), FLAT, LABELS), (Softmax(), X, T), (Sigmoid(class_axis=-1), X, T)):
        said = fg.evaluate(x, y, loss=loss, sample_weight=W, by=names).to_dict()["by"]["groups"]
        assert [each["value"] for each in said] == ["a", "b", "c"]
        for each in said:
            mask = names == each["value"]
            assert each["loss"] == pytest.approx(loss(x[mask], y[mask], sample_weight=W[mask]), rel=1e-12)
            assert each["rows"] == mask.sum()
        assert sum(each["loss_share"] for each in said) == pytest.approx(1)
    with pytest.raises(ValueError, match="by must have a name"):
        fg.evaluate(FLAT, LABELS, by=names[:-1])


def test_classes_and_confusions():
    found = fg.evaluate(X, T, loss=Softmax()).to_dict()
    values, grad = Softmax(reduction="none").value_and_grad(X, T)
    slopes = np.abs(grad.astype(float)).sum(1)
    guessed = X.argmax(1)
    assert found["accuracy"] == np.mean(guessed == T)
    for each in found["classes"]:
        mask = each["class"] == T
        assert each["count"] == mask.sum()
        assert each["loss_share"] == pytest.approx(values[mask].sum(dtype=float) / values.sum(dtype=float))
        assert each["gradient_share"] == pytest.approx(slopes[mask].sum() / slopes.sum(), rel=1e-6)
        first = each["confusions"][0]
        assert first["count"] == max(
            np.sum(mask & (guessed == c)) for c in range(CLASSES) if c != each["class"]
        )


def test_reliability_after_posterior():
    """Scores whose posterior is the truth by construction."""
    rng = np.random.default_rng(5)
    loss = Sigmoid(0.25, 2.0)
    scores = rng.normal(0, 1.5, 400_000)
    truth = loss.posterior(scores)
    y = rng.random(scores.size) < truth
    said = fg.evaluate(scores, y, loss=loss).to_dict()["reliability"]
    assert said["error_after"] < 0.004 < 0.05 < said["error_before"]
    for each in said["after"]:
        inside = (truth >= each["from"]) & (truth < each["to"])
        assert each["count"] == pytest.approx(inside.sum(), abs=0.03 * scores.size)
        if inside.sum() > 5000:
            assert each["predicted"] == pytest.approx(each["observed"], abs=0.03)
    said = fg.evaluate(X, T, loss=Softmax()).to_dict()["reliability"]
    for name, each in (("before", Softmax(gamma=0.0)), ("after", Softmax())):
        p = each.posterior(X).astype(float)
        assert sum(b["count"] for b in said[name]) == ROWS
        assert sum(b["count"] * (b["observed"] or 0) for b in said[name]) == pytest.approx(
            np.sum(p.argmax(1) == T)
        )
        assert sum(b["count"] * (b["predicted"] or 0) for b in said[name]) == pytest.approx(p.max(1).sum())


def test_bad_data_changes_nothing():
    found = fg.Evaluation()
    found.update(FLAT, LABELS)
    before = found.to_dict()
    bad = LABELS.copy()
    bad[-1] = 3
    for x, y in ((FLAT, bad), (FLAT, LABELS[:-1]), (np.full(3, "a"), LABELS[:3])):
        with pytest.raises((TypeError, ValueError)):
            found.update(x, y)
    assert found.to_dict() == before
    with pytest.raises(ValueError, match=r"row 699"):
        found.update(FLAT, bad)
    with pytest.raises(ValueError):
        fg.evaluate(X, np.where(T == 4, 5, T), loss=Softmax())
    with pytest.raises(TypeError, match="other must be an Evaluation"):
        found.merge(3)
    with pytest.raises(ValueError, match="other must be an evaluation of"):
        found.merge(fg.Evaluation(Sigmoid(gamma=1.0)))
    with pytest.raises(TypeError, match="loss must be"):
        fg.Evaluation(3)
    with pytest.raises(ValueError, match="gamma must be"):
        fg.Evaluation(gamma=[])
    with pytest.raises(TypeError, match="logits and targets must be"):
        run.evaluate(FLAT)


def test_sums_keep_what_rounding_loses():
    sums = Sums((2,))
    for numbers in ([1e16, 1.0], [1.0, np.inf], [-1e16, 1.0]):
        sums.add(np.array(numbers))
    assert sums.values().tolist() == [1.0, np.inf]


def test_of_equal_losses_the_first_are_the_hardest():
    x = np.zeros(1000)
    x[[17, 500, 900]] = 5.0, 5.0, 7.0
    found = fg.evaluate(x, np.zeros(1000)).to_dict()["hardest"]
    rows = [900, 17, 500, *(row for row in range(20) if row != 17)]
    assert [each["row"] for each in found] == rows[:20]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bins_of_margins_at_and_beside_their_edges(dtype):
    edges = np.arange(-136, 137, dtype=dtype) / 8
    x = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), [np.inf, -np.inf]])
    for label in (0, 1):
        evaluation = fg.Evaluation(fg.SigmoidFocalLoss(gamma=1.0))
        evaluation.update(x.astype(dtype), np.full(x.shape, label))
        margins = np.where(label, -x, x).astype(np.float64)
        bins = np.clip(np.floor(margins * 8), -128, 127).astype(int)
        # What is between 0 and -1/8 is in the bin below 0, and an edge below 0 in the one further down.
        bins = np.where(margins < 0, -1 - np.minimum(np.floor(-margins * 8), 127), bins).astype(int)
        expected = np.bincount(bins + 128, minlength=256)
        assert np.array_equal(evaluation.counts[256 * label : 256 * (label + 1)], expected)
