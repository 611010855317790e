"""Every dtype of every operand: does it count as the numbers it stands for?"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import focalgrad as fg
from layouts import BFLOAT16, DTYPES, FLOATS, LAYOUTS, NUMBERS, labels, numbers
from support import refused, same_bits

SHAPE = (33, 40)
HALVES = (np.dtype(np.float16), BFLOAT16)


def computed(dtype: np.dtype[Any]) -> type:
    """What logits of that dtype are computed in."""
    return np.float32 if dtype in HALVES or dtype == np.float32 else np.float64


@pytest.mark.parametrize("layout", ["C", "turned and thinned", "unaligned"])
@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_logits(dtype: np.dtype[Any], layout: str) -> None:
    """Halves are computed in float32 and rounded once, integers count as float64."""
    loss, x, y = fg.SigmoidFocalLoss(reduction="none"), numbers(SHAPE, dtype, 1), labels(SHAPE, np.uint8, 2)
    wide = x.astype(computed(dtype))
    result = dtype if dtype in FLOATS else np.dtype(np.float64)
    x = LAYOUTS[layout](x)
    assert same_bits(loss(x, y), loss(wide, y).astype(result))
    for got, want in zip(loss.grad_and_hess(x, y), loss.grad_and_hess(wide, y), strict=True):
        assert same_bits(got, want.astype(result))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("logits", FLOATS, ids=str)
def test_targets_and_weights(logits: np.dtype[Any], dtype: np.dtype[Any]) -> None:
    loss, x = fg.SigmoidFocalLoss(reduction="none"), numbers(SHAPE, logits, 1)
    y, plain = labels(SHAPE, dtype, 2), labels(SHAPE, np.float32, 2)
    assert same_bits(loss(x, y), loss(x, plain))
    w = numbers(SHAPE, dtype, 3)
    assert same_bits(loss(x, plain, sample_weight=w), loss(x, plain, sample_weight=w.astype(np.float64)))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_every_half(dtype: np.dtype[Any]) -> None:
    """All 65,536 of them, subnormals, infinities and NaNs included, both labels."""
    x = np.arange(65536, dtype=np.uint16).view(dtype)
    loss = fg.SigmoidFocalLoss(reduction="none")
    for y in (np.zeros(x.shape, np.bool_), np.ones(x.shape, np.int8)):
        with np.errstate(all="ignore"):
            wide = x.astype(np.float32)
            assert same_bits(loss(x, y), loss(wide, y).astype(dtype))
            for scale in (1.0, 3e-7, 1e-30, 5e4):
                grad = loss.grad(wide, y, sample_weight=scale)
                assert same_bits(loss.grad(x, y, sample_weight=scale), grad.astype(dtype))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_sums_of_halves_add_what_was_not_rounded(dtype: np.dtype[Any]) -> None:
    x, y = numbers((5000,), dtype, 1), labels((5000,), np.bool_, 2)
    for reduction in ("sum", "mean"):
        loss = fg.SigmoidFocalLoss(reduction=reduction)
        assert loss(x, y) == loss(x.astype(np.float32), y)
        value, grad = loss.value_and_grad(x, y)
        assert value == loss(x, y)
        assert same_bits(grad, loss.grad(x.astype(np.float32), y).astype(dtype))


REFUSED = [
    (">f4", "newbyteorder"),
    (">i8", "newbyteorder"),
    (np.complex64, "real"),
    (object, "astype"),
    ("U3", "array of dtype <U3"),
    ("S3", "array of dtype"),
    ("M8[s]", "datetime64"),
    ("m8[s]", "timedelta64"),
    ([("a", "f4"), ("b", "f4")], "field"),
    (np.longdouble, "astype"),
    (ml_dtypes.float8_e4m3fn, "float8"),
]


@pytest.mark.parametrize("operand", ["logits", "targets", "sample_weight"])
@pytest.mark.parametrize(("dtype", "words"), REFUSED, ids=[str(row[0]) for row in REFUSED])
def test_refused(dtype: Any, words: str, operand: str) -> None:
    """With the dtype's name, those that are taken, and what to do."""
    given = {name: np.zeros(4, np.float32) for name in ("logits", "targets", "sample_weight")}
    given[operand] = np.zeros(4, dtype)
    out = np.full(4, 77, np.float32)
    message = f"^{operand} must be an array of dtype bool.*float64; got .*{words}"
    for loss in (fg.SigmoidFocalLoss(), fg.SoftmaxFocalLoss(class_axis=0)):
        refused(TypeError, [message], loss.grad, **given, out=out)
