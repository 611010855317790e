"""Class weights from counts."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import focalgrad as fg
from support import refused

counts_with_zeros = st.lists(st.sampled_from([0, 1, 7]) | st.integers(0, 10**12), max_size=8)


@given(counts_with_zeros)
def test_inverse(counts: list[int]) -> None:
    """Proportional to 1 / n, with sum 1; classes without labels weigh nothing."""
    weights = fg.class_weights(counts)
    assert weights.dtype == np.float64 and weights.shape == (len(counts),)
    total = sum(1 / mpmath.mpf(n) for n in counts if n)
    for n, weight in zip(counts, weights, strict=True):
        assert weight == (pytest.approx(float(1 / n / total), rel=1e-15) if n else 0)


@given(
    counts_with_zeros, st.sampled_from([0.0, 0.9, 0.999, 1 - 2.0**-50]) | st.floats(0, 1, exclude_max=True)
)
def test_effective(counts: list[int], beta: float) -> None:
    """Proportional to (1 - beta) / (1 - beta^n), with sum C; no cancellation where beta is close to 1."""
    weights = fg.class_weights(counts, "effective", beta=beta)
    with mpmath.workdps(60):
        shares = [1 / (1 - mpmath.mpf(beta) ** n) if n else mpmath.mpf(0) for n in counts]
        total = sum(shares)
        for share, weight in zip(shares, weights, strict=True):
            want = float(share * len(counts) / total) if total else 0.0
            assert weight == pytest.approx(want, rel=1e-12, abs=0)


@pytest.mark.parametrize("counts", [[3, 0, 5], (3, 0, 5), np.array([3, 0, 5], np.uint8), [3.0, 0.0, 5.0]])
def test_forms(counts: Any) -> None:
    """Lists and arrays of any real dtype."""
    np.testing.assert_allclose(fg.class_weights(counts), [0.625, 0, 0.375], rtol=1e-15)


def test_nothing_counted() -> None:
    """All zeros, and no classes."""
    for method in ("inverse", "effective"):
        assert fg.class_weights([0, 0], method).tolist() == [0, 0]
        assert fg.class_weights([], method).shape == (0,)


def test_extremes() -> None:
    """Counts whose inverses are no numbers."""
    assert fg.class_weights([5e-324, 1.0]).tolist() == [1, 5e-324]
    assert fg.class_weights([1e308, 1e308]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("counts", "beta"),
    [
        ([5e-324, 1.0], 0.999),
        ([1e-320, 3e-318, 1e-16, 2e7], 0.9),
        ([2.98014963e-318, 9.90582981e-16, 1.82404385e-287], 0.9999999999),
        ([1e-300, 1e308], 5e-324),
        ([0.25, 1e308], 1 - 2.0**-53),
    ],
)
def test_counts_that_share_hardly_anything(counts: list[float], beta: float) -> None:
    """Counts may be weights of any size: 1 - beta^n may be too small for a number."""
    with mpmath.workdps(60):
        shares = [1 / -mpmath.expm1(mpmath.mpf(n) * mpmath.log(mpmath.mpf(beta))) for n in counts]
        want = [float(share * len(counts) / sum(shares)) for share in shares]
    np.testing.assert_allclose(fg.class_weights(counts, "effective", beta), want, rtol=1e-14, atol=1e-323)


@pytest.mark.parametrize("beta", [np.float32(0.999), np.float16(0.75), np.array(0.5), np.int8(0)])
def test_beta_is_its_exact_number(beta: Any) -> None:
    """A narrow float is no reason to compute narrowly."""
    counts = [3, 1000, 2 * 10**6]
    weights = fg.class_weights(counts, "effective", beta)
    np.testing.assert_array_equal(weights, fg.class_weights(counts, "effective", float(beta)))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([1, -1],), ValueError, ["counts", r"counts\[1\] = -1"]),
        (([1, np.nan],), ValueError, ["counts", "nan"]),
        (([1, np.inf],), ValueError, ["counts", "inf"]),
        (([[1, 2]],), ValueError, ["counts", "dimension", r"\(1, 2\)"]),
        ((["a"],), TypeError, ["counts"]),
        (([1j],), TypeError, ["counts", "complex"]),
        (([1], "median"), ValueError, ["method", "inverse", "effective", "median"]),
        (([1], "effective", 1.0), ValueError, ["beta", "1.0"]),
        (([1], "effective", -0.1), ValueError, ["beta", "-0.1"]),
        (([1], "effective", np.nan), ValueError, ["beta", "nan"]),
        (([1], "effective", "0.9"), TypeError, ["beta", "str"]),
        (([1], "effective", True), TypeError, ["beta", "bool"]),
        (([1], "effective", 0.5j), TypeError, ["beta", "complex"]),
        (([1], "effective", np.complex128(0.5)), TypeError, ["beta", "complex128"]),
        (([1], "effective", np.array([0.5])), TypeError, ["beta", "ndarray"]),
        (([1], "effective", np.longdouble(1) - np.longdouble(2) ** -60), ValueError, ["beta", "0.99999"]),
        (([1], "effective", 10**400), ValueError, ["beta", "1000"]),
        (([1], np.array(["inverse", "effective"])), TypeError, ["method", "ndarray"]),
    ],
)
def test_errors(arguments: Any, error: type[Exception], words: list[str]) -> None:
    """The message names the argument and what came."""
    refused(error, words, fg.class_weights, *arguments)
