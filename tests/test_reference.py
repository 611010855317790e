"""Is the reference, the oracle of the other tests, right by itself?"""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import oracle
from focalgrad import _reference as reference
from support import GAMMAS, REFERENCE_ULPS, assert_within

MARGINS = np.array(oracle.switches())
NORMAL = np.abs(MARGINS) <= 700


@pytest.mark.parametrize("gamma", [*GAMMAS, 0.3])
def test_agrees_with_mpmath(gamma: float) -> None:
    """As close as the other tests rely on, subnormal results included."""
    terms, exact = reference.margin_terms(MARGINS, gamma), oracle.table(oracle.switches(), gamma)
    curvature = np.fmax(np.abs(exact.exact.near), exact.upper.near / 2)
    for name in terms._fields:
        scale = curvature if name == "exact" else None
        got, want = getattr(terms, name), getattr(exact, name)
        limit = REFERENCE_ULPS[np.dtype(np.float64)]
        assert_within(got, want.near, limit, residue=want.residue, scale=scale, where=MARGINS, what=name)


@pytest.mark.parametrize("gamma", [*GAMMAS, 0.3])
def test_relative_error(gamma: float) -> None:
    """The error that its documentation states."""
    terms, exact = reference.margin_terms(MARGINS, gamma), oracle.table(oracle.switches(), gamma)
    curvature = np.fmax(np.abs(exact.exact.near), exact.upper.near / 2)
    for name in terms._fields:
        want = getattr(exact, name).near
        size = curvature if name == "exact" else np.abs(want)
        where = NORMAL & (size >= np.finfo(np.float64).tiny)
        assert np.max(np.abs(getattr(terms, name) - want)[where] / size[where]) < 2e-15, name


@pytest.mark.parametrize("gamma", GAMMAS)
def test_limits(gamma: float) -> None:
    """At infinite margins and NaN."""
    terms = reference.margin_terms([np.inf, -np.inf, np.nan], gamma)
    for name in terms._fields:
        right, wrong, nan = getattr(terms, name)
        assert right == 0
        assert wrong == {"value": np.inf, "gradient": -1}.get(name, 0)
        assert np.isnan(nan)


def test_weights_and_infinity() -> None:
    """A zero weight takes an infinite loss out, and leaves NaN."""
    terms = reference.sigmoid_focal(
        [-np.inf, np.nan, 1.0], [1, 1, 1], reduction="none", sample_weight=[0, 0, np.nan]
    )
    assert terms.value[0] == 0 and not np.signbit(terms.value[0])
    assert np.isnan(terms.value[1:]).all()


@pytest.mark.parametrize("normalizer", ["positives", "weights", None])
def test_nothing_to_average(normalizer: str | None) -> None:
    """A denominator of zero gives zeros."""
    empty = [] if normalizer is None else [np.inf]
    terms = reference.sigmoid_focal(empty, np.zeros(len(empty)), alpha=1.0, normalizer=normalizer)
    assert terms.value == 0.0 and not terms.gradient.any() and not terms.exact.any()


def test_exact_sum() -> None:
    """Rounded once, and no exception where fsum has one."""
    assert reference.exact_sum([1e100, 1.0, -1e100]) == 1.0
    assert reference.exact_sum([1.7e308, 1.7e308]) == np.inf
    assert np.isnan(reference.exact_sum([np.inf, np.nan]))
    assert reference.exact_sum([]) == 0.0


def test_unknown_reduction() -> None:
    """The reference refuses what it does not know, too."""
    with pytest.raises(ValueError, match="reduction"):
        reference.sigmoid_focal([0.0], [1], reduction="average")


def test_examples() -> None:
    """The examples in its docstrings run."""
    attempted = 0
    for module in pkgutil.iter_modules(reference.__path__, reference.__name__ + "."):
        results = doctest.testmod(importlib.import_module(module.name))
        assert results.failed == 0
        attempted += results.attempted
    assert attempted > 0
