"""What the adapters of all boosters promise alike: objects, call forms, starts, bad use."""

from __future__ import annotations

import copy
import inspect
import pickle
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import focalgrad as fg
from cases import CASES, HESSIANS, defined, made, mean
from focalgrad import catboost, lightgbm, xgboost

modules = pytest.mark.parametrize(
    "module", [lightgbm, xgboost, catboost], ids=["lightgbm", "xgboost", "catboost"]
)
native = pytest.mark.parametrize("module", [lightgbm, xgboost], ids=["lightgbm", "xgboost"])
BINARY = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0)


@modules
class TestObjects:
    """Objectives and metrics are values."""

    def test_repr_is_the_call(self, module: Any) -> None:
        names = {
            "SigmoidFocalLoss": fg.SigmoidFocalLoss,
            "Objective": module.Objective,
            "Metric": module.Metric,
        }
        for thing in (module.Objective(BINARY, hessian="exact"), module.Metric(BINARY, name="fl")):
            assert eval(repr(thing), names) == thing

    def test_equal_hashable_picklable_frozen(self, module: Any) -> None:
        for make in (module.Objective, module.Metric):
            one, same, other = make(BINARY), make(BINARY), make(BINARY.replace(gamma=3.0))
            assert one == same
            assert hash(one) == hash(same)
            assert one != other
            assert pickle.loads(pickle.dumps(one)) == one
            assert copy.deepcopy(one) is one
            assert copy.copy(one) is one
            with pytest.raises(AttributeError):
                one.loss = BINARY

    def test_differ_by_hessian_and_name(self, module: Any) -> None:
        assert module.Objective(BINARY) != module.Objective(BINARY, hessian="exact")
        assert module.Objective(BINARY).hessian == "upper"
        assert module.Metric(BINARY) != module.Metric(BINARY, name="other")
        assert module.Metric(BINARY).name == "focal_loss"

    def test_refused_losses(self, module: Any) -> None:
        with pytest.raises(TypeError, match="loss must be a SigmoidFocalLoss or SoftmaxFocalLoss; got str"):
            module.Objective("focal")
        with pytest.raises(ValueError, match=r"raw scores; got from_logits=False"):
            module.Objective(fg.SigmoidFocalLoss(from_logits=False))
        with pytest.raises(ValueError, match=r"class_axis=-1.*got class_axis=0"):
            module.Objective(fg.SoftmaxFocalLoss(class_axis=0))
        with pytest.raises(ValueError, match=r"hessian must be .*got 'newton'"):
            module.Objective(BINARY, hessian="newton")

    def test_a_hessian_that_the_loss_does_not_have(self, module: Any) -> None:
        loss = fg.SoftmaxFocalLoss(modulator="sigmoid")
        with pytest.raises(ValueError, match="hessian must be 'exact' for a loss with modulator='sigmoid'"):
            module.Objective(loss)
        assert module.Objective(loss, hessian="exact").loss == loss

    def test_signatures(self, module: Any) -> None:
        assert str(inspect.signature(module.Objective)).startswith("(loss: 'Loss', *, hessian: ")
        assert list(inspect.signature(module.Metric).parameters) == ["loss", "name"]
        assert list(inspect.signature(module.init_score).parameters) == ["loss", "train", "others"]
        assert list(inspect.signature(module.add_init_score).parameters) == ["model", "score"]

    @pytest.mark.parametrize("model", [None, 3.0, fg.SigmoidFocalLoss(), np.zeros(3)])
    def test_what_is_no_model(self, module: Any, model: Any) -> None:
        with pytest.raises(TypeError, match=rf"model must be \w+\.\w+.*; got {type(model).__name__}$"):
            module.add_init_score(model, 0.5)


class Dataset:
    """What LightGBM's and XGBoost's data sets have in common."""

    def __init__(self, labels: Any, weights: Any) -> None:
        self.labels, self.weights = labels, weights

    def get_label(self) -> Any:
        return self.labels

    def get_weight(self) -> Any:
        return self.weights


@native
class TestCalls:
    """Both call forms are the same call."""

    @given(
        case=st.sampled_from(CASES),
        rows=st.integers(2, 40),
        weighted=st.booleans(),
        dtype=st.sampled_from([np.float32, np.float64]),
        order=st.sampled_from("CF"),
        hessian=st.sampled_from(HESSIANS),
        seed=st.integers(0, 1000),
    )
    def test_forms_agree_with_the_definition(
        self,
        module: Any,
        case: Any,
        rows: int,
        weighted: bool,
        dtype: Any,
        order: str,
        hessian: str,
        seed: int,
    ) -> None:
        kind, _, loss = case
        data, rng = made(kind, rows, seed), np.random.default_rng(seed)
        scores = rng.normal(0, 4, rows if loss.class_axis is None else (rows, 3)).astype(dtype, order=order)
        labels, weights = data.y.astype(np.float32), data.w if weighted else None
        absent = np.zeros(0, np.float32) if module is xgboost else None
        dataset = Dataset(labels, absent if weights is None else weights)

        objective = module.Objective(loss, hessian=hessian)
        one, other = objective(scores, dataset), objective(labels, scores, weights)
        expected = defined(loss, scores, labels, weights, hessian)
        for a, b, exact in zip(one, other, expected, strict=True):
            assert a.dtype == dtype
            assert a.strides == scores.strides
            np.testing.assert_array_equal(a, b)
            np.testing.assert_allclose(a, exact, rtol=2e-5 if dtype == np.float32 else 1e-12, atol=1e-6)

        metric = module.Metric(loss, name="m")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a few rows may well look like probabilities
            one, other = metric(scores, dataset), metric(labels, scores, weights)
        value = mean(loss, np.float64(scores), labels, weights) if (labels != -1).any() else 0.0
        assert one[0] == "m"
        assert one[1] == pytest.approx(value, rel=1e-5, abs=1e-7)
        assert other == (one[1] if module is xgboost else one)
        assert one == (("m", one[1]) if module is xgboost else ("m", one[1], False))

    def test_empty_weights_are_no_weights(self, module: Any) -> None:
        labels, scores = np.array([0.0, 1.0]), np.array([1.0, 2.0])
        for thing in (module.Objective(BINARY), module.Metric(BINARY)):
            results = [thing(labels, scores, w) for w in (None, np.zeros(0), np.ones(2), [1.0, 1.0])]
            for result in results[1:]:
                np.testing.assert_equal(result, results[0])

    def test_a_weight_of_two_is_a_row_given_twice(self, module: Any) -> None:
        labels, scores = np.array([0.0, 1.0, 1.0]), np.array([1.0, 2.0, -1.0])
        metric, rows = module.Metric(BINARY), [0, 1, 2, 2]
        once, twice = metric(labels, scores, np.array([1.0, 1, 2])), metric(labels[rows], scores[rows])
        assert (once if module is xgboost else once[1]) == pytest.approx(
            twice if module is xgboost else twice[1], rel=1e-15
        )

    def test_rows_without_weight(self, module: Any) -> None:
        value = module.Metric(BINARY)(np.array([0.0]), np.array([1.0]), np.array([0.0]))
        assert (value if module is xgboost else value[1]) == 0.0

    def test_nothing_but_the_results_is_allocated(self, module: Any) -> None:
        rows = 200_000
        rng = np.random.default_rng(0)
        for loss, scores in (
            (BINARY, rng.normal(size=rows)),
            (fg.SoftmaxFocalLoss(), rng.normal(size=(rows, 5)).astype(np.float32)),
            (fg.SigmoidFocalLoss(class_axis=-1), np.asfortranarray(rng.normal(size=(rows, 5)))),
        ):
            labels = rng.integers(0, 2, rows).astype(np.float32)
            dataset, weights = Dataset(labels, np.ones(rows, np.float32)), np.ones(rows, np.float32)
            objective, metric = module.Objective(loss), module.Metric(loss)
            assert peak(lambda: objective(scores, dataset)) < 2 * scores.nbytes + 10_000  # noqa: B023
            assert peak(lambda: objective(labels, scores, weights)) < 2 * scores.nbytes + 10_000  # noqa: B023
            assert peak(lambda: metric(scores, dataset)) < 100_000  # noqa: B023


def peak(call: Any) -> int:
    """Bytes of arrays and other objects that were there at once during a call, results included."""
    call()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_catboost_allocates_nothing_but_its_results() -> None:
    rows = 200_000
    scores, labels = np.linspace(-3, 3, rows), np.arange(rows, dtype=np.float32) % 2
    objective, metric = catboost.Objective(BINARY), catboost.Metric(BINARY)
    assert peak(lambda: objective.calc_ders_range(scores, labels, None)) < 2 * scores.nbytes + 10_000
    assert peak(lambda: metric.evaluate((scores,), labels, None)) < 10_000


@native
class TestMeaning:
    """Probabilities are not taken for logits, nor logits for probabilities."""

    def test_logits_are_never_suspected(self, module: Any) -> None:
        """Of rare positives, from the best constant and from XGBoost's own start, and of balanced classes."""
        y = (np.arange(1000) % 10 == 0).astype(np.float32)
        for labels, scores in (
            (y, np.full(1000, float(BINARY.init_score(y)))),
            (y, np.full(1000, 0.5)),
            (np.arange(1000) % 2, np.random.default_rng(0).normal(0.5, 0.1, 1000)),
        ):
            module.Metric(BINARY)(labels, scores)  # warnings are errors

    def test_two_columns_may_sum_to_one(self, module: Any) -> None:
        module.Metric(fg.SoftmaxFocalLoss())(np.zeros(10), np.full((10, 2), 0.5))

    def test_probabilities(self, module: Any) -> None:
        y = (np.arange(1000) % 10 == 0).astype(np.float32)
        with pytest.warns(UserWarning, match=r"look like probabilities \(mean 0.1, share of positives 0.1\)"):
            module.Metric(BINARY)(y, 0.1 + 0.05 * np.sin(np.arange(1000)))
        with pytest.raises(ValueError, match="rows that sum to 1"):
            module.Metric(fg.SoftmaxFocalLoss())(np.zeros(10), np.full((10, 4), 0.25))
        with pytest.raises(ValueError, match=r"must be probabilities .*; got some from -1 to 2: "):
            module.Metric(BINARY.replace(from_logits=False))(np.zeros(2), np.array([-1.0, 2.0]))


@native
def test_labels_that_are_no_numbers(module: Any) -> None:
    with pytest.raises(TypeError, match=r"labels must be numbers: 0 and 1, .*; got <U1"):
        module.Objective(BINARY)(np.array(["a", "b"]), np.zeros(2))
    with pytest.raises(ValueError, match="the data must have labels; got none"):
        module.Objective(BINARY)(np.zeros(2), Dataset(None, None))
    with pytest.raises(ValueError, match=r"one label for each of 2 rows; got shape \(3,\)"):
        module.Objective(BINARY)(np.zeros(3), np.zeros(2))
