"""How many ulps off is the core, over logits of every size?

Value at most 8 ulp, gradient 10, Hessian 12 in ulps of max(|f''|, A / 2) with A = (1 + gamma) p |f'|; one
more with alpha, two more with all weights and a denominator. Subnormal results count in smallest subnormals:
nothing is flushed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

import focalgrad as fg
import oracle
from focalgrad import _reference as reference
from support import (
    ALPHA_ULPS,
    GAMMAS,
    GRADIENT_ULPS,
    HESSIAN_ULPS,
    REFERENCE_ULPS,
    VALUE_ULPS,
    WEIGHT_ULPS,
    Array,
    Core,
    assert_within,
    core_terms,
    float32_walk,
)

WALK = float32_walk()
MARGINS = np.array(oracle.switches())
LIMITS = Core(VALUE_ULPS, GRADIENT_ULPS, HESSIAN_ULPS, HESSIAN_ULPS, HESSIAN_ULPS)


@lru_cache(maxsize=1)
def walk_terms(gamma: float) -> reference.Terms:
    """The reference over the float32 walk. As an oracle for float32 it is exact."""
    return reference.margin_terms(WALK, gamma)


def check(core: Core, exact: Any, residue: Any, sign: int, extra: float, where: Array) -> None:
    """Every term of the core against the same term of an oracle of margins."""
    curvature = np.fmax(np.abs(exact.exact), np.abs(exact.upper) / 2)
    for name in Core._fields:
        flip = sign if name == "gradient" else 1
        assert_within(
            getattr(core, name),
            flip * getattr(exact, name),
            getattr(LIMITS, name) + extra,
            scale=curvature if name == "exact" else None,
            residue=flip * getattr(residue, name),
            where=where,
            what=name,
        )


NO_RESIDUE = Core(0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("gamma", GAMMAS)
def test_float32(gamma: float, target: int) -> None:
    """Over a million float32 logits, of every exponent."""
    sign = 2 * target - 1
    logits, targets = np.float32(sign) * WALK, np.full(WALK.shape, target, np.uint8)
    core = core_terms(fg.SigmoidFocalLoss(None, gamma, reduction="none"), logits, targets)
    check(core, walk_terms(gamma), NO_RESIDUE, sign, REFERENCE_ULPS[np.dtype(np.float32)], logits)


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("gamma", GAMMAS)
def test_float64(gamma: float, target: int) -> None:
    """Against mpmath, dense at the switches."""
    sign = 2 * target - 1
    logits, targets = sign * MARGINS, np.full(MARGINS.shape, target, np.uint8)
    core = core_terms(fg.SigmoidFocalLoss(None, gamma, reduction="none"), logits, targets)
    table = oracle.table(oracle.switches(), gamma)
    near, residue = (Core(*(getattr(term, part) for term in table)) for part in ("near", "residue"))
    check(core, near, residue, sign, 0, logits)


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("alpha", [0.25, 0.3])
@pytest.mark.parametrize("gamma", [1.7, 2.0])
def test_alpha(gamma: float, alpha: float, target: int) -> None:
    """One ulp more, both dtypes."""
    sign, weight = 2 * target - 1, alpha if target else 1 - alpha
    loss = fg.SigmoidFocalLoss(alpha, gamma, reduction="none")

    logits = np.float32(sign) * WALK
    core = core_terms(loss, logits, np.full(WALK.shape, target, np.uint8))
    exact = Core(*(weight * term for term in walk_terms(gamma)))
    check(core, exact, NO_RESIDUE, sign, ALPHA_ULPS + REFERENCE_ULPS[np.dtype(np.float32)], logits)

    core = core_terms(loss, sign * MARGINS, np.full(MARGINS.shape, target, np.uint8))
    table = oracle.table(oracle.switches(), gamma, weight)
    near, residue = (Core(*(getattr(term, part) for term in table)) for part in ("near", "residue"))
    check(core, near, residue, sign, ALPHA_ULPS, sign * MARGINS)


@pytest.mark.parametrize("weight_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gamma", [1.7, 2.0])
def test_all_weights_and_a_denominator(gamma: float, weight_dtype: type) -> None:
    """Two ulps more for the gradient and Hessian of a weighted mean."""
    weight = weight_dtype(0.7)  # not a number of float32
    weights = np.full(WALK.shape, weight)
    loss = fg.SigmoidFocalLoss(0.3, gamma, normalizer=0.9)
    core = core_terms(loss, WALK, np.ones(WALK.shape, np.uint8), sample_weight=weights)
    exact = Core(*(0.3 * float(weight) / 0.9 * term for term in walk_terms(gamma)))
    core, exact = (
        core._replace(value=exact.value.astype(np.float32)),
        exact,
    )  # reduced: see test_reductions.py
    check(core, exact, NO_RESIDUE, 1, WEIGHT_ULPS + REFERENCE_ULPS[np.dtype(np.float32)], WALK)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gamma_is_not_rounded(dtype: type) -> None:
    """gamma is the float64 number that was given: 1.7 as a float32 would cost some 26 ulp."""
    rounded = float(np.float32(1.7))
    logits, ones = np.linspace(15, 30, 2_001).astype(dtype), np.ones(2_001, np.uint8)
    exact = [
        reference.sigmoid_focal(logits, ones, alpha=None, gamma=g, reduction="none").value
        for g in (1.7, rounded)
    ]
    assert (np.abs(exact[0] - exact[1]) > 20 * np.spacing(exact[0].astype(np.float32))).any()
    for gamma, want in zip((1.7, rounded), exact, strict=True):
        got = fg.sigmoid_focal_loss(logits, ones, None, gamma)
        assert_within(got, want, VALUE_ULPS + REFERENCE_ULPS[got.dtype], where=logits)


def test_subnormal_results_are_there() -> None:
    """The walk does contain results that flushing to zero would lose."""
    for gamma in (0.0, 2.0):
        for name, term in zip(Core._fields, walk_terms(gamma), strict=True):
            size = np.abs(term)
            lost = (size < np.finfo(np.float32).tiny) & (size > 2.0**-149)
            assert np.count_nonzero(lost) > 100, (gamma, name)
