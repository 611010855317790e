"""Do all combinations of options work together? The public classes against the reference.

Every `STRIDE`-th accepted combination runs (an environment variable: 1 for all of them), which meets every
pair of values; each in float32 and float64, with weights, ignored targets and background where they apply.
Errors count in ulps of the promise: value 8, gradient 10, Hessian 12 and two more for weights and a
denominator; softmax the same but for gradients 8 (no gamma here is above 2); twice that where targets are
soft or smoothed. Units are those of the sizes that the reference states.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import focalgrad as fg
import options as grid
from focalgrad import _reference as reference
from layouts import as_they_come, layouts
from support import (
    FLOAT_DTYPES,
    HESSIANS,
    REFERENCE_ULPS,
    WEIGHT_ULPS,
    Array,
    assert_within,
    evaluated,
    same_bits,
)

STRIDE = int(os.environ.get("STRIDE", "23"))
MAKERS: dict[str, Any] = {"sigmoid": fg.SigmoidFocalLoss, "softmax": fg.SoftmaxFocalLoss}
ULPS = {"sigmoid": (8, 10, 12), "softmax": (8, 8, 12)}
SHAPES = {0: [(4, 3), (4, 2, 3)], 1: [(3, 4), (2, 4, 3)], -1: [(3, 4), (2, 3, 4)], None: [(5,), (2, 3)]}


def allowed(kind: str, options: grid.Options, dtype: Any) -> tuple[float, float, float]:
    """Ulps for value, gradient and Hessian, the reference's own included."""
    soft = options["targets"] != "indices" if kind == "softmax" else options["targets"] == "soft"
    # Probabilities, quotients and the sigmoid modulator carry no promise of their own: that of soft targets.
    soft |= bool(options["label_smoothing"]) or not options["from_logits"]
    soft |= options["normalizer"] == "focal_weights" or options.get("modulator") == "sigmoid"
    extra = WEIGHT_ULPS + REFERENCE_ULPS[np.dtype(dtype)]
    logits = kind == "sigmoid" and options["from_logits"]
    if options["label_smoothing"] and np.dtype(dtype) == np.float64 and not logits:
        # The reference subtracts a smoothed label that it has rounded from 1, where little is left of it.
        extra += 4 / options["label_smoothing"]
    value, gradient, hessian = ((2 if soft else 1) * limit + extra for limit in ULPS[kind])
    return value, gradient, hessian


def check(kind: str, options: grid.Options, call: dict[str, Array]) -> None:
    """Value, gradient and all Hessians of one call against the reference."""
    loss = MAKERS[kind](**grid.constructor(options))
    dtype = call["logits"].dtype
    limits = allowed(kind, options, dtype)
    arrays = (call["logits"], call["targets"])
    weight = {"sample_weight": call["sample_weight"]}
    kinds = HESSIANS if grid.surrogates(options) else ("exact",)
    # A result below the smallest normal number is right to some smallest subnormals.
    floor = np.finfo(dtype).tiny * 10
    for hessian in kinds:
        exact, sizes = reference.evaluate_with_sizes(loss, *arrays, **weight, hessian=hessian)
        gradient, curvature = evaluated(loss, "grad_and_hess", *arrays, **weight, hessian=hessian)
        what = f"{grid.described(options)} {hessian}"
        assert_within(gradient, exact.gradient, limits[1], scale=sizes.gradient + floor, what=what)
        assert_within(curvature, exact.hessian, limits[2], scale=sizes.hessian + floor, what=what)
    value = evaluated(loss, "__call__", *arrays, **weight)
    gradient_too = evaluated(loss, "value_and_grad", *arrays, **weight)[1]
    assert same_bits(gradient_too, gradient) and same_bits(loss.grad(*arrays, **weight), gradient)
    assert same_bits(np.asarray(loss.value_and_grad(**call)[0]), np.asarray(loss(**call)))
    if options["reduction"] == "none":
        assert value.dtype == dtype
        assert_within(value, exact.value, limits[0], scale=sizes.value + floor, what=grid.described(options))
        return
    unit = limits[0] * float(np.finfo(dtype).eps) + 1e-14
    assert (type(value) is float) == (options["reduction"] != "sum_classes")
    assert np.shape(value) == np.shape(exact.value)
    assert (np.abs(np.asarray(value, np.float64) - exact.value) <= unit * (sizes.value + floor)).all(), (
        options
    )


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_accepted(kind: str, dtype: Any) -> None:
    """The public classes compute what the reference defines."""
    chosen = grid.accepted(kind)[::STRIDE]
    for number, options in enumerate(chosen):
        shapes = SHAPES[options["class_axis"]]
        call = grid.arrays(kind, options, shapes[number % 2], dtype, seed=number)
        check(kind, options, dict(zip(call, as_they_come(*call.values()), strict=True)))


@given(
    st.data(),
    st.sampled_from(["sigmoid", "softmax"]),
    st.sampled_from(FLOAT_DTYPES),
    st.integers(0, 2**32 - 1),
)
def test_any(data: st.DataObject, kind: str, dtype: Any, seed: int) -> None:
    """Any combination, for arrays of any shape and layout."""
    accepted = grid.accepted(kind)
    options = accepted[data.draw(st.integers(0, len(accepted) - 1))]
    shape = list(data.draw(hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4)))
    if options["class_axis"] is not None:
        shape[options["class_axis"]] = grid.CLASSES
    call = grid.arrays(kind, options, tuple(shape), dtype, seed)
    check(kind, options, {name: data.draw(layouts(a.ndim))(a) for name, a in call.items()})


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_coverage(kind: str) -> None:
    """What runs meets every pair of values that any accepted combination has."""
    every, met = (
        set().union(*map(grid.pairs, chosen))
        for chosen in (grid.covering(kind), grid.accepted(kind)[::STRIDE])
    )
    assert every == met


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_refused(kind: str) -> None:
    """The constructor refuses the others, naming the argument; and the call targets that do not fit."""
    seen = {}
    for options in grid.grid(kind):
        reason, at_call = grid.refusal(kind, options), grid.refusal_at_call(kind, options)
        key = (reason, at_call, options["reduction"], options["normalizer"], options["class_axis"])
        if key in seen or reason is at_call is None:
            continue
        seen[key] = options
        if reason is not None:
            with pytest.raises(ValueError, match=reason):
                MAKERS[kind](**grid.constructor(options))
            continue
        loss = MAKERS[kind](**grid.constructor(options))
        shape = SHAPES[options["class_axis"]][1]
        if options["class_axis"] is None:  # class indices without a class axis: just another shape
            call = {"logits": np.zeros((3, 4)), "targets": np.zeros(3, int)}
        else:
            call = grid.arrays(kind, options, shape, np.float64)
        with pytest.raises(ValueError, match=at_call):
            loss.grad(call["logits"], call["targets"])
    assert seen


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_no_surrogates(kind: str) -> None:
    """Surrogates of the Hessian are refused where there are none; the message says where there are."""
    for options in grid.covering(kind):
        if not grid.surrogates(options):
            call = grid.arrays(kind, options, SHAPES[options["class_axis"]][0], np.float64)
            for hessian in ("gauss_newton", "upper"):
                with pytest.raises(ValueError, match="hessian"):
                    MAKERS[kind](**grid.constructor(options)).grad_and_hess(**call, hessian=hessian)


@pytest.mark.parametrize(
    ("kind", "options", "word"),
    [
        ("sigmoid", {"background_index": 2, "ignore_index": 2, "class_axis": 1}, "background_index"),
        ("sigmoid", {"reduction": "sum", "normalizer": "weights"}, "normalizer"),
        ("softmax", {"reduction": "none", "normalizer": 2.0}, "normalizer"),
        ("sigmoid", {"eps": 1e-7}, "eps"),
        ("softmax", {"eps": 1e-7}, "eps"),
        ("softmax", {"alpha": -1.0}, "alpha"),
        ("softmax", {"alpha": [0.5, -1.0]}, "alpha"),
        ("sigmoid", {"alpha": [0.5, -1.0], "class_axis": 1}, "alpha"),
        ("softmax", {"reduction": "sum_classes"}, "reduction"),
        ("sigmoid", {"label_smoothing": 1.0}, "label_smoothing"),
        ("softmax", {"label_smoothing": -0.1}, "label_smoothing"),
        ("softmax", {"modulator": "tanh"}, "modulator"),
        ("sigmoid", {"soft_targets": "hard"}, "soft_targets"),
    ],
)
def test_refused_values(kind: str, options: grid.Options, word: str) -> None:
    """Refusals outside the grid."""
    with pytest.raises(ValueError, match=word):
        MAKERS[kind](**options)
