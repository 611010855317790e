"""Are results that no cache holds the same to the bit, wherever they begin, and is nothing else written?

Such results go past the caches: which instructions write them depends on how they lie in cache lines, on
labels and on the number of threads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import focalgrad as fg
from support import Array, coin, same_bits

#: Elements of a cache line, and what stands around an output.
LINE, GUARD = 16, np.float32(-7)


def last_level() -> int:
    """Bytes of the last-level cache, or what is assumed where the system does not say."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    files = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    sizes = [file.read_text().strip() for file in files]
    return max((int(size[:-1]) * units[size[-1]] for size in sizes), default=32 * 2**20)


@pytest.fixture(scope="module")
def arrays() -> tuple[Array, Array]:
    """Logits and labels that do not fit, with an output, into the last-level cache."""
    size = last_level() * 9 // 8 // 12 + 333
    random = np.random.default_rng(11)
    return 4 * random.standard_normal(size, dtype=np.float32), coin(size).astype(np.float32)


def output(size: int, beyond: int) -> tuple[Array, Array]:
    """Memory, and the part of it that begins so many elements behind the start of a line."""
    memory = np.full(size + 3 * LINE, GUARD)
    start = -memory.ctypes.data % 64 // 4 + beyond
    return memory, memory[start : start + size]


def untouched(memory: Array, part: Array) -> bool:
    """Whether nothing around the part was written."""
    start = (part.ctypes.data - memory.ctypes.data) // 4
    return bool(np.all(memory[:start] == GUARD) and np.all(memory[start + part.size :] == GUARD))


def by_pieces(loss: fg.SigmoidFocalLoss, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Value, gradient and Hessian, a sixteenth at a time: that fits into the cache."""
    pieces = list(zip(np.array_split(x, 16), np.array_split(y, 16), strict=True))
    value = np.concatenate([loss(a, b) for a, b in pieces])
    grad, hess = (
        np.concatenate(part) for part in zip(*(loss.grad_and_hess(a, b) for a, b in pieces), strict=True)
    )
    return value, grad, hess


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("gamma", [2.0, 1.7])
def test_large_results(arrays: tuple[Array, Array], gamma: float, threads: int) -> None:
    """Outputs at the start of a line and behind it, alike and not; in place; labels other than 0 and 1."""
    x, y = arrays
    soft = y.copy()
    soft[x.size // 3], soft[-5] = 0.25, 0.75
    loss = fg.SigmoidFocalLoss(0.3, gamma, reduction="none")
    fg.set_num_threads(threads)
    for labels in (y, soft):
        value, grad, hess = by_pieces(loss, x, labels)
        for first, second in [(0, 0), (4, 4), (15, 15), (4, 0)]:
            (memory, one), (more, two) = output(x.size, first), output(x.size, second)
            loss(x, labels, out=one)
            assert same_bits(one, value)
            loss.grad_and_hess(x, labels, grad_out=one, hess_out=two)
            assert same_bits(one, grad)
            assert same_bits(two, hess)
            loss.value_and_grad(x, labels, out=two, grad_out=one)
            assert same_bits(one, grad)
            assert same_bits(two, value)
            assert untouched(memory, one)
            assert untouched(more, two)
        place = x.copy()
        loss.grad(place, labels, out=place)
        assert same_bits(place, grad)
    mean = loss.replace(reduction="mean")
    _, one = output(x.size, 4)
    total, _ = mean.value_and_grad(x, y, grad_out=one)
    assert total == pytest.approx(np.mean(by_pieces(loss, x, y)[0], dtype=np.float64), rel=1e-12)
    assert same_bits(one, mean.grad(x, y, out=np.empty(2 * x.size, x.dtype)[::2]))


@pytest.mark.parametrize("threads", [1, 2])
def test_large_results_in_place(arrays: tuple[Array, Array], threads: int) -> None:
    """Over logits, labels or weights, whichever result it is, with a soft label soon behind a line."""
    x, soft = (array.copy() for array in arrays)
    soft[3604] = 0.5
    weights = np.random.default_rng(12).uniform(0.5, 2, x.size).astype(np.float32)
    loss = fg.SigmoidFocalLoss(reduction="none")
    fg.set_num_threads(threads)
    pieces = zip(*(np.array_split(array, 16) for array in (x, soft, weights)), strict=True)
    value, grad, hess = (
        np.concatenate(part)
        for part in zip(
            *(
                (loss(a, b, sample_weight=c), *loss.grad_and_hess(a, b, sample_weight=c))
                for a, b, c in pieces
            ),
            strict=True,
        )
    )
    for place in range(3):
        for call, outputs, want in (
            (loss.value_and_grad, ("out", "grad_out"), (value, grad)),
            (loss.grad_and_hess, ("grad_out", "hess_out"), (grad, hess)),
        ):
            for output in outputs:
                operands = [x.copy(), soft.copy(), weights.copy()]
                got = call(*operands[:2], sample_weight=operands[2], **{output: operands[place]})
                for some, all_ in zip(got, want, strict=True):
                    assert same_bits(some, all_)
