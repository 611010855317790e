"""Are results the same to the bit, however they are asked for?

For any number of threads, position in the array, length of the tail, alignment, targets' dtype, in place or
not, from the fused call or the single one, and on every instruction set but the portable one.
"""

from __future__ import annotations

import hashlib
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from support import (
    FLOAT_DTYPES,
    HESSIANS,
    OUTPUTS,
    TARGET_DTYPES,
    Array,
    coin,
    core_terms,
    output_from,
    output_of,
    same_bits,
    sample,
)

REDUCTIONS = [
    ("none", None),
    ("sum", None),
    ("mean", None),
    ("mean", "positives"),
    ("mean", "weights"),
    ("mean", 3.7),
]


def assert_same(core: Any, want: Any, where: Any = np.s_[...]) -> None:
    """All terms to the bit; of the expected ones, those at `where`."""
    for name, a, b in zip(core._fields, core, want, strict=True):
        same = same_bits(a, b[where]) if isinstance(a, np.ndarray) else same_bits(np.array(a), np.array(b))
        assert same, name


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gamma", [1.7, 2.0])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_threads(dtype: type, gamma: float, weighted: bool) -> None:
    """1, 2, 3 or 8 threads: arrays and sums."""
    size = 300_001
    logits, targets = sample(size, dtype), coin(size)
    logits[~np.isfinite(logits)] = 0.5
    weights = np.random.default_rng(2).uniform(0, 2, size).astype(dtype) if weighted else None
    for reduction, normalizer in REDUCTIONS:
        loss = fg.SigmoidFocalLoss(0.3, gamma, reduction=reduction, normalizer=normalizer)
        fg.set_num_threads(1)
        one = core_terms(loss, logits, targets, sample_weight=weights)
        for threads in (2, 3, 8):
            with fg.num_threads(threads):
                assert_same(core_terms(loss, logits, targets, sample_weight=weights), one)


@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_beyond_the_caches(dtype: type, threads: int) -> None:
    """An array larger than any cache, against its pieces; also in place. Four threads go past them."""
    size = 100_000_000 // np.dtype(dtype).itemsize + 7
    piece = 65_521  # prime: no period of vectors, blocks or pages
    logits = np.resize(sample(piece, dtype), size)
    targets = np.resize(coin(piece, np.uint8), size)
    loss = fg.SigmoidFocalLoss(reduction="none", gamma=1.7)
    out = np.empty_like(logits)
    fg.set_num_threads(threads)
    for method in ("__call__", "grad"):
        want = getattr(loss, method)(logits[:piece], targets[:piece])
        own = logits.copy()
        call = getattr(loss, method)
        for result in (call(logits, targets), call(logits, targets, out=out), call(own, targets, out=own)):
            for start in range(0, size, piece):
                part = result[start : start + piece]
                assert same_bits(part, want[: len(part)])


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("size", [1, 37, 5_003, 200_003])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_fused_and_single_calls(dtype: type, size: int, reduction: str) -> None:
    """One gradient from three methods and three Hessians, one value from two, also through `out`."""
    logits, targets = sample(size, dtype), coin(size)
    for gamma in (0, 0.5, 1, 1.7, 2, 3, 5):
        loss = fg.SigmoidFocalLoss(gamma=gamma, reduction=reduction)
        value, gradient = loss.value_and_grad(logits, targets)
        alone = loss(logits, targets)
        assert type(value) is type(alone) and same_bits(np.asarray(value), np.asarray(alone))
        assert same_bits(loss.grad(logits, targets), gradient)
        for kind in HESSIANS:
            fused, hessian = loss.grad_and_hess(logits, targets, hessian=kind)
            assert same_bits(fused, gradient)
            outs = np.empty_like(logits), np.empty_like(logits)
            loss.grad_and_hess(logits, targets, hessian=kind, grad_out=outs[0], hess_out=outs[1])
            assert same_bits(outs[0], gradient) and same_bits(outs[1], hessian)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_sums_do_not_know_outputs(order: tuple[int, ...], backwards: bool) -> None:
    """The value of the fused call; arrays lie in orders of their own, and weights make the order visible."""
    rng = np.random.default_rng(5)
    shape = (6, 7, 2, 4)
    logits = rng.normal(0, 3, shape)[:: -1 if backwards else 1]
    # Two axes that are inside in the one array are outside in the others.
    targets, weights, own = (
        np.empty([shape[axis] for axis in axes]).transpose(np.argsort(axes))
        for axes in ((2, 3, 0, 1), (2, 3, 0, 1), order)
    )
    targets[...] = coin(logits.size).reshape(shape)
    weights[...] = 10 ** rng.uniform(-20, 20, shape) * rng.choice([-1, 1], shape)
    for reduction in ("sum", "mean"):
        loss = fg.SigmoidFocalLoss(reduction=reduction)
        alone = loss(logits, targets, sample_weight=weights)
        assert loss.value_and_grad(logits, targets, sample_weight=weights)[0] == alone
        value, gradient = loss.value_and_grad(logits, targets, sample_weight=weights, grad_out=own)
        assert value == alone
        assert same_bits(gradient, loss.grad(logits, targets, sample_weight=weights))


@pytest.mark.parametrize("target_dtype", TARGET_DTYPES)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_tails_and_positions(dtype: type, target_dtype: type) -> None:
    """Every length from 0 to 300, cut out of a longer array at changing places; sums of them too."""
    logits, targets = sample(700, dtype), coin(700, target_dtype)
    loss = fg.SigmoidFocalLoss(gamma=1.7, reduction="none")
    want = core_terms(loss, logits, targets)
    total = loss.replace(reduction="sum")
    for length in range(301):
        start = (length * 7) % 390
        part = slice(start, start + length)
        assert_same(core_terms(loss, logits[part], targets[part]), want, part)
        # The sum knows nothing of where the array came from.
        copies = logits[part].copy(), targets[part].copy()
        assert same_bits(np.array(total(logits[part], targets[part])), np.array(total(*copies)))


@pytest.mark.parametrize("target_dtype", TARGET_DTYPES)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_alignment(dtype: type, target_dtype: type) -> None:
    """Operands and outputs at every offset against a cache line; nothing beside the output changes."""
    size = 333
    logits, targets = sample(size, dtype), coin(size, target_dtype)
    weights = np.random.default_rng(2).uniform(0, 2, size).astype(dtype)
    loss = fg.SigmoidFocalLoss(gamma=1.7, reduction="none")
    want = core_terms(loss, logits, targets, sample_weight=weights)

    def moved(array: Array, offset: int) -> Array:
        home = np.zeros(size + 64, array.dtype)[offset : offset + size]
        home[...] = array
        return home

    rng = np.random.default_rng(11)
    for offset in range(17):
        x, y, s = (
            moved(a, o) for a, o in zip((logits, targets, weights), rng.integers(0, 17, 3), strict=True)
        )
        assert_same(core_terms(loss, moved(logits, offset), y, sample_weight=s), want)
        value, gradient, hessian = (np.full(size + 64, 777, dtype) for _ in range(3))
        cut = slice(offset, offset + size)
        loss(x, y, sample_weight=s, out=value[cut])
        loss.grad_and_hess(x, y, sample_weight=s, grad_out=gradient[cut], hess_out=hessian[cut])
        for whole, expected in zip((value, gradient, hessian), want[:3], strict=True):
            assert same_bits(whole[cut], expected)
            assert (np.delete(whole, cut) == 777).all()


@pytest.mark.parametrize("size", [0, 1, 5, 37, 300, 50_001, 600_001])
@pytest.mark.parametrize("operand", ["logits", "targets", "sample_weight"])
@pytest.mark.parametrize(("method", "keyword"), OUTPUTS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_in_place(dtype: type, method: str, keyword: str, operand: str, size: int) -> None:
    """An output may be the very array of an operand."""
    arrays = {
        "logits": sample(size, dtype),
        "targets": coin(size, dtype),
        "sample_weight": np.random.default_rng(2).uniform(0, 2, size).astype(dtype),
    }
    loss = fg.SigmoidFocalLoss(gamma=1.7, reduction="none")
    want = output_of(method, keyword, getattr(loss, method)(**arrays)).copy()
    result = getattr(loss, method)(**arrays, **{keyword: arrays[operand]})
    assert output_of(method, keyword, result) is arrays[operand]
    assert same_bits(arrays[operand], want)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_two_outputs_in_two_operands(dtype: type) -> None:
    """Both results in place at once."""
    logits, targets = sample(50_001, dtype), coin(50_001, dtype)
    loss = fg.SigmoidFocalLoss(reduction="none")
    for method, keywords in (
        ("value_and_grad", ("out", "grad_out")),
        ("grad_and_hess", ("grad_out", "hess_out")),
    ):
        want = getattr(loss, method)(logits, targets)
        x, y = logits.copy(), targets.copy()
        first, second = getattr(loss, method)(x, y, **dict(zip(keywords, (y, x), strict=True)))
        assert first is y and second is x
        assert same_bits(first, want[0]) and same_bits(second, want[1])


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_dtype_of_targets(dtype: type) -> None:
    """A target is 0 or 1, whatever holds it."""
    logits = sample(10_007, dtype)
    loss = fg.SigmoidFocalLoss(gamma=1.7, reduction="none")
    want = core_terms(loss, logits, coin(10_007, np.bool_))
    for target_dtype in TARGET_DTYPES[1:]:
        assert_same(core_terms(loss, logits, coin(10_007, target_dtype)), want)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_shape(dtype: type) -> None:
    """Dimensions do not matter, for sums neither."""
    logits, targets = sample(30_030, dtype), coin(30_030)
    logits[np.isnan(logits)] = 0
    for reduction in ("none", "mean"):
        loss = fg.SigmoidFocalLoss(reduction=reduction)
        want = core_terms(loss, logits, targets)
        for shape in ((30_030, 1), (2, 3, 5, 7, 11, 13), (1, 30_030), (1001, 30)):
            core = core_terms(loss, logits.reshape(shape), targets.reshape(shape))
            flat = core._replace(
                **{n: t.ravel() for n, t in core._asdict().items() if isinstance(t, np.ndarray)}
            )
            assert_same(flat, want)


def digest() -> str:
    """A hash of all sorts of results, NaN being NaN."""
    state = hashlib.sha256()

    def add(result: Any) -> None:
        array = np.array(result)
        state.update(np.where(np.isnan(array), array.dtype.type(np.nan), array).tobytes())

    for dtype in FLOAT_DTYPES:
        for size in (0, 1, 15, 16, 17, 301, 100_003):
            logits, targets = sample(size, dtype), coin(size)
            for gamma in (0, 0.5, 1, 1.7, 2, 3, 5):
                loss = fg.SigmoidFocalLoss(0.3, gamma, reduction="none")
                for term in core_terms(loss, logits, targets, sample_weight=0.9):
                    add(term)
                finite = np.where(np.isfinite(logits), logits, 1).astype(dtype)
                add(loss.replace(reduction="mean", normalizer="weights")(finite, targets))
    return state.hexdigest()


def test_instruction_sets() -> None:
    """All instruction sets but the portable one give the same bits."""
    others = [name for name in fg.show_config(mode="dicts")["isas_available"] if name != "portable"]
    if len(others) < 2:
        pytest.skip(f"only one instruction set to compare on this machine: {others}")
    folder = Path(__file__).parent
    folders = [str(folder), str(folder / "helpers")]
    code = f"import sys; sys.path[:0] = {folders!r}; import test_bits; print(test_bits.digest())"
    digests = {name: output_from(code, FOCALGRAD_ISA=name) for name in others}
    assert len(set(digests.values())) == 1, digests
