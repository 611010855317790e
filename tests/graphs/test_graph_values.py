"""Do blocks give what one call gives on all data, whatever the chunks?"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import dask
import dask.array as da
import ml_dtypes
import numpy as np
import pytest
from graph_cases import CASES, COLUMNS, LOGITS, NUMBERS, ROWS, SOFT, Case, computed, everything, named, rng
from hypothesis import given, settings
from hypothesis import strategies as st

import focalgrad as fg
from support import Array, same_bits

pytestmark = pytest.mark.usefixtures("_synchronous")


@pytest.fixture
def _synchronous() -> Any:
    with dask.config.set(scheduler="synchronous"):
        yield


def assert_near(got: Array, want: Array) -> None:
    """The same to 1e-14 of the largest and a rounding: calls round the sum that a denominator is."""
    assert got.dtype == want.dtype
    atol = 1e-14 * float(np.max(np.abs(want), initial=0))
    np.testing.assert_allclose(got, want, rtol=1e-14 + float(np.finfo(want.dtype).eps), atol=atol)


@pytest.mark.parametrize("case", CASES, ids=named)
@pytest.mark.parametrize("size", [ROWS, 77])
def test_as_one_call(case: Case, size: int) -> None:
    """Per element to the bit, numbers to 1e-14; fused results are the single ones to the bit."""
    loss, keywords = case.loss, case.keywords()
    logits, targets, weights = case.cut(size)
    graphs = everything(loss, logits, targets, **weights)
    for graph in graphs[1:2] + graphs[3:]:
        assert (graph.shape, graph.chunks) == (logits.shape, logits.chunks)
    value, grad, value_too, grad_too, grad_three, hess = computed(graphs)
    assert graphs[0].dtype == graphs[2].dtype == value.dtype
    assert {graph.dtype for graph in (graphs[1], *graphs[3:])} == {grad.dtype}
    assert same_bits(value, value_too) and same_bits(grad, grad_too) and same_bits(grad, grad_three)
    whole = case.logits, case.targets
    if loss.reduction in ("sum", "mean"):
        call = loss(*whole, **keywords)
        assert value.dtype == np.float64 and value.shape == () and abs(value - call) <= 1e-14 * abs(call)
        meter = fg.FocalLossMeter(loss)
        meter.update(*whole, **keywords)
        assert value == meter.compute()
    else:
        assert graphs[0].shape == value.shape
        assert same_bits(value, loss(*whole, **keywords))
    same = (
        assert_near
        if loss.normalizer in ("weights", "focal_weights") or case.targets is SOFT
        else assert_same
    )
    same(grad, loss.grad(*whole, **keywords))
    same(hess, loss.grad_and_hess(*whole, **keywords)[1])


def assert_same(got: Array, want: Array) -> None:
    """The same bits."""
    assert same_bits(got, want)


@pytest.mark.parametrize("hessian", ["gauss_newton", "upper"])
def test_surrogates(hessian: str) -> None:
    """Every Hessian that a loss has."""
    loss = fg.SoftmaxFocalLoss()
    logits, targets, _ = Case(loss, COLUMNS, rng().integers(0, 4, ROWS)).cut(60)
    _, hess = fg.dask.grad_and_hess(loss, logits, targets, hessian=hessian)
    assert same_bits(hess.compute(), loss.grad_and_hess(COLUMNS, targets.compute(), hessian=hessian)[1])


@pytest.mark.parametrize("case", NUMBERS, ids=named)
@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, ROWS), max_size=6))
def test_chunks_do_not_matter(case: Case, cuts: list[int]) -> None:
    """The same bits for any chunks, empty ones too."""
    edges = [0, *sorted(cuts), ROWS]
    sizes = tuple(b - a for a, b in pairwise(edges))
    logits, targets, weights = case.cut(ROWS)
    cut = logits.rechunk({case.rows: sizes})
    one, other = (computed(everything(case.loss, x, targets, **weights)) for x in (logits, cut))
    assert all(map(same_bits, one, other))


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16, "float64", "int8"])
def test_dtypes(dtype: Any) -> None:
    """Results have the dtype that a call gives."""
    logits = LOGITS.astype(dtype)
    loss = fg.SigmoidFocalLoss(normalizer="positives")
    grad = fg.dask.grad(loss, da.from_array(logits, 100), LOGITS > 0)
    want = loss.grad(logits, LOGITS > 0)
    assert grad.dtype == want.dtype and same_bits(grad.compute(), want)


def test_targets_and_weights_of_any_chunks() -> None:
    """They are cut as the logits are: of Dask or NumPy, lists, numbers; weights of size 1 broadcast."""
    loss = fg.SigmoidFocalLoss()
    logits = da.from_array(COLUMNS, (120, 3))
    call = loss.grad(COLUMNS, SOFT)
    for targets in (SOFT, SOFT.tolist(), da.from_array(SOFT, (77, 1)), da.from_array(SOFT, (120, 3))):
        got = fg.dask.grad(loss, logits, targets)
        assert got.chunks == logits.chunks and np.array_equal(got.compute(), call)
    for weight in (2.5, np.float32(0.5), COLUMNS[:1], COLUMNS[:, :1], COLUMNS[0], COLUMNS):
        call = loss.grad(COLUMNS, SOFT, sample_weight=weight)
        lazy = [] if isinstance(weight, float) else [da.from_array(np.asarray(weight), 50)]
        for given_weight in (weight, *lazy):
            got = fg.dask.grad(loss, logits, SOFT, sample_weight=given_weight)
            assert got.chunks == logits.chunks and same_bits(got.compute(), call)


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (5, 0, 4)])
def test_small_shapes(shape: tuple[int, ...]) -> None:
    """No dimensions, no elements: 0.0, not NaN."""
    loss = fg.SigmoidFocalLoss(ignore_index=-1)
    logits, targets = np.full(shape, 0.5), np.ones(shape)
    got = computed(everything(loss, da.from_array(logits), da.from_array(targets)))
    assert got[0] == loss(logits, targets) and same_bits(got[1], loss.grad(logits, targets))


EMPTY = [
    (fg.SigmoidFocalLoss(normalizer="positives"), LOGITS, np.zeros(ROWS, int), None),
    (fg.SigmoidFocalLoss(ignore_index=1), LOGITS, np.ones(ROWS, int), None),
    (fg.SigmoidFocalLoss(normalizer="weights"), LOGITS, np.ones(ROWS, int), 0.0),
    (fg.SigmoidFocalLoss(normalizer="focal_weights", ignore_index=1), LOGITS, np.ones(ROWS, int), None),
    (fg.SoftmaxFocalLoss(ignore_index=1), COLUMNS, np.ones(ROWS, int), None),
    (fg.SoftmaxFocalLoss(normalizer="weights"), COLUMNS, np.ones(ROWS, int), np.zeros(ROWS)),
    (fg.SoftmaxFocalLoss(normalizer="focal_weights"), COLUMNS, np.zeros((ROWS, 4)), None),
]


@pytest.mark.parametrize("loss, logits, targets, weight", EMPTY, ids=[repr(case[0]) for case in EMPTY])
def test_nothing_to_divide_by(loss: Any, logits: Array, targets: Array, weight: Any) -> None:
    """Every denominator of the whole may be 0: then all is 0, also where a logit is NaN."""
    if loss.normalizer != "focal_weights":
        logits = logits.copy()
        logits[3] = np.nan
    keywords = {} if weight is None else {"sample_weight": weight}
    x = da.from_array(logits, (100, *logits.shape[1:]))
    for got in computed(everything(loss, x, targets, **keywords)):
        assert not got.any()
    assert loss(logits, targets, **keywords) == 0


@pytest.mark.parametrize("sign", [-1.0, np.nan, np.inf])
def test_odd_denominators(sign: float) -> None:
    """Negative, NaN and infinite ones are divided by, as in a call."""
    weight = np.full(ROWS, 0.25) * sign
    loss = fg.SigmoidFocalLoss(normalizer="weights")
    x = da.from_array(LOGITS, 100)
    got = computed(fg.dask.value_and_grad(loss, x, LOGITS > 0, sample_weight=weight))
    value, grad = loss.value_and_grad(LOGITS, LOGITS > 0, sample_weight=weight)
    np.testing.assert_allclose(got[0], value, rtol=1e-14)
    assert same_bits(got[1], grad)


def test_the_whole_mean_is_no_mean_of_means() -> None:
    """A block without positives adds to the sum and not to the denominator."""
    loss = fg.SigmoidFocalLoss(normalizer="positives")
    targets = np.arange(ROWS) == 3
    value = fg.dask.value(loss, da.from_array(LOGITS, 100), targets).compute()
    assert abs(value - loss(LOGITS, targets)) <= 1e-14 * value


def test_meters_are_merged() -> None:
    """A meter of the whole, which goes on from there."""
    loss = fg.SigmoidFocalLoss(normalizer="positives")
    lazy = fg.dask.meter(loss, da.from_array(LOGITS[:300], 7), LOGITS[:300] > 0)
    meter, whole = lazy.compute(), fg.FocalLossMeter(loss)
    assert type(meter) is fg.FocalLossMeter
    meter.update(LOGITS[300:], LOGITS[300:] > 0)
    whole.update(LOGITS, LOGITS > 0)
    assert meter.compute() == whole.compute()


@pytest.mark.parametrize(
    "loss, axes", [(fg.SigmoidFocalLoss(), (60, 3)), (fg.SoftmaxFocalLoss(alpha=[1, 2, 3, 4]), (60, 4))]
)
def test_posterior(loss: Any, axes: tuple[int, int]) -> None:
    """Block by block, to the bit."""
    scores = da.from_array(COLUMNS, axes)
    got = fg.dask.posterior(loss, scores)
    assert (got.chunks, got.dtype) == (scores.chunks, COLUMNS.dtype)
    assert same_bits(got.compute(), loss.posterior(COLUMNS))
    whole = fg.dask.posterior(loss, da.from_array(np.arange(4), 4))
    assert whole.dtype == np.float64 and same_bits(whole.compute(), loss.posterior(np.arange(4)))
