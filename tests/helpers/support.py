"""What the tests share: the promise, ulps, samples of logits, the ways to call a loss, subprocesses."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import ArrayLike, DTypeLike, NDArray

import focalgrad as fg
from focalgrad import _reference as reference
from layouts import as_they_come

Array = NDArray[Any]

GAMMAS = (0.0, 0.5, 1.0, 1.7, 2.0, 3.0, 5.0)
FLOAT_DTYPES = (np.float32, np.float64)
TARGET_DTYPES = (np.bool_, np.uint8, np.float32, np.float64)
HESSIANS = ("exact", "gauss_newton", "upper")

# The promise for gamma <= 5, in ulps. The Hessian's are those of max(|f''|, A / 2), A being the upper bound.
VALUE_ULPS, GRADIENT_ULPS, HESSIAN_ULPS = 8, 10, 12
ALPHA_ULPS = 1  # on top, for alpha alone
WEIGHT_ULPS = 2  # on top, for all weights and the division by a denominator together
# The reference's own error in float64 ulps (test_reference.py). As an oracle for float32 it is exact.
REFERENCE_ULPS = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 16.0}


def ulp(magnitude: ArrayLike, dtype: DTypeLike) -> Array:
    """Distance of neighbours of `dtype` around the real number `magnitude`; never below a subnormal's."""
    info = np.finfo(dtype)
    _, exponent = np.frexp(np.abs(np.asarray(magnitude, np.float64)))
    return np.ldexp(1.0, np.maximum(exponent - info.nmant - 1, info.minexp - info.nmant))


def ulps_off(
    got: Array, exact: ArrayLike, *, scale: ArrayLike | None = None, residue: ArrayLike = 0.0
) -> Array:
    """How far `got` is from `exact` (plus `residue` ulps), in ulps of `scale` (default: of `exact`).

    NaN must meet NaN and infinity the same infinity, anything else is infinitely far. An exact number beyond
    the range of got's dtype stands for the infinity that it rounds to.
    """
    dtype = got.dtype
    exact = np.asarray(exact, np.float64)
    with np.errstate(all="ignore"):
        unit = ulp(exact if scale is None else scale, dtype)
        distance = np.abs((got.astype(np.float64) - exact) / unit - residue * (ulp(exact, dtype) / unit))
        rounded = exact.astype(dtype)
        same = (np.isnan(got) & np.isnan(exact)) | (got == rounded)
        special = ~np.isfinite(rounded) | ~np.isfinite(got)
    return np.where(special, np.where(same, 0.0, np.inf), distance)


def assert_within(
    got: Array,
    exact: ArrayLike,
    limit: float,
    *,
    scale: ArrayLike | None = None,
    residue: ArrayLike = 0.0,
    where: Array | None = None,
    what: str = "",
) -> None:
    """Fail where `got` is more than `limit` ulps off, showing the worst place and its input (`where`)."""
    assert got.shape == np.shape(exact), f"{what}: shape {got.shape}, expected {np.shape(exact)}"
    if got.size == 0:
        return
    off = np.asarray(ulps_off(got, exact, scale=scale, residue=residue)).ravel()
    worst = int(np.argmax(off))
    if off[worst] <= limit:
        return
    place = "" if where is None else f" at {np.ravel(where)[worst]!r}"
    bad = int(np.count_nonzero(off > limit))
    raise AssertionError(
        f"{what}{place}: got {got.ravel()[worst]!r}, expected {np.ravel(exact)[worst]!r}: "
        f"{off[worst]:.2f} ulp, allowed {limit} ({bad} of {off.size} elements are worse)"
    )


def same_bits(a: Array, b: Array) -> bool:
    """The same dtype, shape and bits, all NaNs being one."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    integer = np.dtype(f"u{a.dtype.itemsize}")
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    return bool(np.all((a.view(integer) == b.view(integer)) | (np.isnan(a) & np.isnan(b))))


def evaluated(loss: Any, method: str, logits: Array, targets: Array, **keywords: Any) -> Any:
    """What a method returns, after a look whether contiguous copies of the arrays give the same.

    Every element has the same bits; sums, and what is divided by a sum, agree to 1e-14 and a last rounding.
    """
    result = getattr(loss, method)(logits, targets, **keywords)
    arrays = {"logits": logits, "targets": targets, "sample_weight": keywords.get("sample_weight")}
    arrays = {name: a for name, a in arrays.items() if isinstance(a, np.ndarray)}
    if all(a.flags.c_contiguous and a.flags.aligned for a in arrays.values()):
        return result
    copies = {name: np.array(a, order="C") for name, a in arrays.items()}
    plain = getattr(loss, method)(**{"logits": logits, "targets": targets, **keywords, **copies})
    divided = isinstance(loss.normalizer, str)
    for got, want in zip(outputs_of(method, result), outputs_of(method, plain), strict=True):
        if not isinstance(got, np.ndarray):
            same = math.isclose(got, want, rel_tol=1e-14) or (math.isnan(got) and math.isnan(want))
        elif divided or got.shape != logits.shape:
            # Elements that are differences inherit what is rounded elsewhere: hence the largest one.
            info = np.finfo(got.dtype)
            atol = 1e-14 * float(np.fmax.reduce(np.abs(want), axis=None, initial=0))
            np.testing.assert_allclose(
                got, want, rtol=1e-14 + float(info.eps), atol=atol + float(info.smallest_subnormal)
            )
            same = got.dtype == want.dtype
        else:
            same = same_bits(got, want)
        assert same, f"{loss!r}.{method}: {got!r} is {want!r} for contiguous copies"
    return result


class Core(NamedTuple):
    """The core's answers, laid out as the reference's `Terms`."""

    value: Any
    gradient: Array
    exact: Array
    gauss_newton: Array
    upper: Array


def core_terms(loss: fg.SigmoidFocalLoss, logits: Array, targets: Array, **keywords: Any) -> Core:
    """Everything a loss says about these arrays."""
    arrays = (logits, targets)
    hessians = [evaluated(loss, "grad_and_hess", *arrays, hessian=kind, **keywords)[1] for kind in HESSIANS]
    value, gradient = (evaluated(loss, method, *arrays, **keywords) for method in ("__call__", "grad"))
    return Core(value, gradient, *hessians)


def assert_terms(
    core: Core,
    exact: reference.Terms,
    *,
    extra: float = 0.0,
    weights: ArrayLike = 1.0,
    where: Array | None = None,
) -> None:
    """Per-element terms within the promise plus `extra` ulps plus the reference's own error.

    An unweighted term below the smallest normal number is a subnormal, right to some smallest subnormals.
    Weights that lift it back up lift this unit with it: hence `weights`, all factors together.
    """
    dtype = core.gradient.dtype
    slack = extra + REFERENCE_ULPS[dtype]
    floor = np.nan_to_num(np.abs(np.asarray(weights, np.float64)) * np.finfo(dtype).tiny)
    half_upper = np.abs(exact.upper) / 2
    checks = [
        ("gradient", GRADIENT_ULPS, np.abs(exact.gradient)),
        ("exact", HESSIAN_ULPS, np.fmax(np.abs(exact.exact), half_upper)),
        ("gauss_newton", HESSIAN_ULPS, np.abs(exact.gauss_newton)),
        ("upper", HESSIAN_ULPS, np.abs(exact.upper)),
    ]
    if isinstance(core.value, np.ndarray):
        checks.append(("value", VALUE_ULPS, np.abs(exact.value)))
    for name, limit, scale in checks:
        got, want = getattr(core, name), getattr(exact, name)
        assert_within(got, want, limit + slack, scale=np.fmax(scale, floor), where=where, what=name)


# Every output of every call, as (method, output keyword).
OUTPUTS = (
    ("__call__", "out"),
    ("grad", "out"),
    ("value_and_grad", "out"),
    ("value_and_grad", "grad_out"),
    ("grad_and_hess", "grad_out"),
    ("grad_and_hess", "hess_out"),
)
METHODS = ("__call__", "grad", "value_and_grad", "grad_and_hess")


def outputs_of(method: str, result: Any) -> tuple[Any, ...]:
    """The results of a method as a tuple, also where it is one."""
    return result if isinstance(result, tuple) else (result,)


def output_of(method: str, keyword: str, result: Any) -> Array:
    """The one among the results of `method` that `keyword` would have filled."""
    if method in ("__call__", "grad"):
        return result
    return result[0 if keyword == "out" or (method == "grad_and_hess" and keyword == "grad_out") else 1]


SIZE = 37  # of `operands`: whole vectors and a tail


def operands() -> dict[str, Array]:
    """Float32 arrays that any method takes."""
    arrays = as_they_come(sample(SIZE, np.float32), coin(SIZE), np.ones(SIZE, np.float32))
    return dict(zip(("logits", "targets", "sample_weight"), arrays, strict=True))


SENTINEL = 777


def sentinels(method: str) -> dict[str, Array]:
    """Outputs for every result of a method, filled with what no loss gives."""
    return {keyword: np.full(SIZE, SENTINEL, np.float32) for name, keyword in OUTPUTS if name == method}


def _whole(array: Array) -> Array:
    """The array whose memory a view looks at."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def refused(
    error: type[Exception], words: list[str], call: Callable[..., Any], *args: Any, **keywords: Any
) -> None:
    """The call raises exactly this error, and its message holds every word (a regular expression).

    Nothing is written: outputs, and what lies between their elements, stay as they are.
    """
    names = {keyword for _, keyword in OUTPUTS} & {
        n for n, a in keywords.items() if isinstance(a, np.ndarray)
    }
    before = {name: _whole(keywords[name]).tobytes() for name in names}
    with pytest.raises(error) as caught:
        call(*args, **keywords)
    assert type(caught.value) is error
    for name, held in before.items():
        assert _whole(keywords[name]).tobytes() == held, f"{name} was written to"
    message = str(caught.value)
    missing = [word for word in words if not re.search(word, message)]
    assert not missing, f"{message!r} lacks {missing}"


def sample(count: int, dtype: DTypeLike, seed: int = 0) -> Array:
    """Seeded logits of all magnitudes that matter, some of those that do not, infinities and NaN."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 20, count)
    everyday = rng.normal(0, 4, count)
    wide = rng.uniform(-800, 800, count) if np.dtype(dtype) == np.float64 else rng.uniform(-120, 120, count)
    tiny = rng.normal(0, 1, count) * np.exp2(rng.uniform(-148, 0, count))
    special = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4, 1e30, -1e30, 1e-40, -1e-40], count)
    return np.select([kind < 12, kind < 16, kind < 19], [everyday, wide, tiny], special).astype(dtype)


def coin(count: int, dtype: DTypeLike = np.float32, seed: int = 1, share: float = 0.4) -> Array:
    """Seeded targets, `share` of them positive."""
    return (np.random.default_rng(seed).random(count) < share).astype(dtype)


def float32_walk(step: int = 4099) -> Array:
    """Every `step`-th float32 bit pattern that is finite, and more of them where the loss bends."""
    patterns = np.arange(0, 2**32, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
    bend = np.random.default_rng(3).uniform(-112, 112, 300_000).astype(np.float32)
    walk = np.concatenate([patterns, bend])
    return walk[np.isfinite(walk)]


def run_python(
    code: str, *, timeout: float = 120, **environment: str | None
) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter. The environment is this one's, changed; None takes a variable out."""
    env = dict(os.environ)
    for name, value in environment.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=timeout, check=False
    )


def output_from(code: str, **environment: str | None) -> str:
    """What code prints in a fresh interpreter, which must succeed."""
    done = run_python(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def public_callables() -> list[tuple[str, Callable[..., Any]]]:
    """Every public callable with its dotted name: functions, classes, and the methods of classes."""
    found = []
    for name in fg.__all__:
        thing = getattr(fg, name)
        if callable(thing):
            found.append((name, thing))
        if isinstance(thing, type):
            methods = [method for method in sorted(vars(thing)) if not method.startswith("_")]
            found += [(f"{name}.{m}", getattr(thing, m)) for m in methods if callable(getattr(thing, m))]
    return found
