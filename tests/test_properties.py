"""What must hold for softmax, and for both losses, whatever the numbers are."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import focalgrad as fg
from focalgrad import _reference as reference
from strategies import anywhere
from support import FLOAT_DTYPES, HESSIANS, Array, assert_within, evaluated

shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5)
gammas = st.sampled_from([0.0, 0.5, 1.0, 1.7, 2.0, 5.0]) | st.floats(0, 5)

# The widest promise, in ulps: that of a Hessian. Two numbers that keep it may differ by twice as much.
PROMISE = 12


@st.composite
def calls(draw: st.DrawFn, *, classes: int | None = None) -> tuple[Array, Array, int]:
    """Logits with classes along some axis, class indices, and the axis."""
    shape = list(draw(shapes))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    shape[axis] = classes or shape[axis]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.1, 3.0, 30.0]))
    logits = rng.normal(0, spread, shape).astype(draw(st.sampled_from(FLOAT_DTYPES)))
    targets = rng.integers(0, shape[axis], np.delete(shape, axis))
    return draw(anywhere(st.just(logits))), draw(anywhere(st.just(targets))), axis


def terms(loss: Any, logits: Array, targets: Array) -> dict[str, Array]:
    """Value, gradient and all Hessians."""
    found = {kind: evaluated(loss, "grad_and_hess", logits, targets, hessian=kind)[1] for kind in HESSIANS}
    value, gradient = (evaluated(loss, method, logits, targets) for method in ("__call__", "grad"))
    return found | {"value": value, "gradient": gradient}


@given(calls(), gammas)
def test_gradients_sum_to_zero(call: tuple[Array, Array, int], gamma: float) -> None:
    """Pushing all logits of a row up together changes nothing."""
    logits, targets, axis = call
    gradient = fg.SoftmaxFocalLoss(gamma=gamma, class_axis=axis, reduction="sum").grad(logits, targets)
    gradient = gradient.astype(np.float64)
    size = np.abs(gradient).sum(axis=axis)
    eps = float(np.finfo(logits.dtype).eps)
    assert (np.abs(gradient.sum(axis=axis)) <= 12 * eps * size + np.finfo(logits.dtype).tiny).all()


@given(calls(), gammas, st.integers(-(2**10), 2**10))
def test_shift(call: tuple[Array, Array, int], gamma: float, shift: int) -> None:
    """Logits on a grid that a shift leaves exact: the same answers to the promise."""
    logits, targets, axis = call
    logits = np.round(logits * 64) / 64
    loss = fg.SoftmaxFocalLoss(gamma=gamma, class_axis=axis, reduction="none")
    here, there = terms(loss, logits, targets), terms(loss, logits + logits.dtype.type(shift), targets)
    assert_same(here, there, loss, logits, targets)


@given(calls(), gammas, st.randoms(use_true_random=False))
def test_permutation(call: tuple[Array, Array, int], gamma: float, random: Any) -> None:
    """Classes in another order."""
    logits, targets, axis = call
    order = np.array(random.sample(range(logits.shape[axis]), logits.shape[axis]), int)
    place = np.argsort(order)
    loss = fg.SoftmaxFocalLoss(gamma=gamma, class_axis=axis, reduction="none")
    here = terms(loss, logits, targets)
    there = terms(loss, np.take(logits, order, axis), place[targets])
    back = {name: t if name == "value" else np.take(t, place, axis) for name, t in there.items()}
    assert_same(here, back, loss, logits, targets)


@given(calls(), gammas)
def test_one_hot(call: tuple[Array, Array, int], gamma: float) -> None:
    """Dense targets that are one-hot are class indices."""
    logits, targets, axis = call
    dense = np.moveaxis(np.eye(logits.shape[axis])[targets], -1, axis)
    loss = fg.SoftmaxFocalLoss(gamma=gamma, class_axis=axis, reduction="none")
    sizes = reference.evaluate_with_sizes(loss, logits, dense)[1]
    # Dense targets have twice the allowance.
    limit = 3 * PROMISE
    assert_same(
        terms(loss, logits, targets), terms(loss, logits, dense), loss, logits, dense, sizes, limit=limit
    )


@given(calls(classes=2), gammas)
def test_two_classes(call: tuple[Array, Array, int], gamma: float) -> None:
    """The sigmoid loss of the difference, where float64 holds it exactly."""
    logits, targets, axis = call
    logits = np.round(logits * 64) / 64
    margin = np.take(logits, 1, axis) - np.take(logits, 0, axis)
    softmax = fg.SoftmaxFocalLoss(gamma=gamma, class_axis=axis, reduction="none")
    sigmoid = fg.SigmoidFocalLoss(None, gamma, reduction="none")
    both, one = terms(softmax, logits, targets), terms(sigmoid, margin, targets)
    expanded = {
        name: t if name == "value" else np.stack([-t if name == "gradient" else t, t], axis)
        for name, t in one.items()
    }
    assert_same(both, expanded, softmax, logits, targets)


def assert_same(
    a: dict[str, Array],
    b: dict[str, Array],
    loss: Any,
    logits: Array,
    targets: Array,
    sizes: Any = None,
    *,
    limit: float = 2 * PROMISE,
) -> None:
    """Two ways to the same numbers, both within the promise."""
    dtype = logits.dtype
    tiny = np.finfo(dtype).tiny
    sizes = sizes or reference.evaluate_with_sizes(loss, logits, targets)[1]
    for name in a:
        if name == "value":
            scale = sizes.value
        elif name in ("gradient", "exact"):
            scale = sizes.gradient if name == "gradient" else sizes.hessian
        else:
            scale = np.abs(a[name]).astype(np.float64)
        wide = np.asarray(b[name], np.float64)
        assert_within(np.asarray(a[name]), wide, limit, scale=scale + tiny, what=name)


@given(calls())
def test_gamma_zero_is_cross_entropy(call: tuple[Array, Array, int]) -> None:
    """-log softmax, and its gradient p - y."""
    logits, targets, axis = call
    wide = logits.astype(np.float64)
    hot = np.moveaxis(np.eye(logits.shape[axis])[targets], -1, axis)
    top = wide - wide.max(axis=axis, keepdims=True)
    p = np.exp(top) / np.exp(top).sum(axis=axis, keepdims=True)
    value, gradient = fg.SoftmaxFocalLoss(gamma=0.0, class_axis=axis, reduction="sum").value_and_grad(
        logits, targets
    )
    eps = float(np.finfo(logits.dtype).eps)
    entropy = np.log(np.exp(top).sum(axis=axis)) - (top * hot).sum(axis=axis)
    np.testing.assert_allclose(value, entropy.sum(), rtol=20 * eps, atol=20 * eps * entropy.size)
    np.testing.assert_allclose(gradient, p - hot, rtol=20 * eps, atol=4 * np.finfo(np.float64).eps)


@given(calls(), gammas, st.sampled_from([0.0, 0.1]), st.sampled_from(["softmax", "sigmoid"]))
def test_surrogates(call: tuple[Array, Array, int], gamma: float, smoothing: float, kind: str) -> None:
    """Gauss-Newton is never negative and the exact Hessian at gamma 0; "upper" bounds the exact one."""
    logits, targets, axis = call
    if kind == "softmax":
        loss: Any = fg.SoftmaxFocalLoss(gamma=gamma, class_axis=axis, label_smoothing=smoothing)
    else:
        loss = fg.SigmoidFocalLoss(
            gamma=gamma, class_axis=axis, label_smoothing=smoothing, soft_targets="expected"
        )
    found = terms(loss, logits, targets)
    eps, tiny = float(np.finfo(logits.dtype).eps), float(np.finfo(logits.dtype).tiny)
    upper = found["upper"].astype(np.float64)
    assert (found["gauss_newton"] >= 0).all() and (upper >= 0).all()
    assert (found["exact"] <= upper * (1 + 50 * eps) + tiny).all()
    np.testing.assert_allclose(upper, (1 + gamma) * found["gauss_newton"], rtol=50 * eps, atol=8 * tiny)
    if gamma == 0:
        np.testing.assert_allclose(found["exact"], upper, rtol=50 * eps, atol=8 * tiny)
