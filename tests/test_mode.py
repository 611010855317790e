"""Results do not depend on the floating-point mode of the calling thread.

A library that was compiled with -ffast-math switches subnormal numbers off in the thread that loads it.
"""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from support import same_bits

SOURCE = """
#include <xmmintrin.h>
unsigned get(void) { return _mm_getcsr() & ~0x3f; }
void set(unsigned mode) { _mm_setcsr(mode); }
"""
FLUSHING, UPWARDS, DOWNWARDS = 0x9FC0, 0x5F80, 0x3F80

MODES = {"flushing": FLUSHING, "upwards": UPWARDS, "downwards": DOWNWARDS}


@pytest.fixture(scope="module")
def mode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ctypes.CDLL]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if platform.machine() not in ("x86_64", "AMD64") or compiler is None:
        pytest.skip("needs a C compiler and an x86-64 processor to change the mode")
    folder: Path = tmp_path_factory.mktemp("mode")
    (folder / "mode.c").write_text(SOURCE)
    library = folder / "mode.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "mode.c"], check=True)
    loaded = ctypes.CDLL(str(library))
    before = loaded.get()
    yield loaded
    loaded.set(before)


@pytest.mark.parametrize("wanted", MODES.values(), ids=MODES)
@pytest.mark.parametrize("size", [1, 400, 300_000])
@pytest.mark.parametrize("softmax", [False, True])
def test_bits_do_not_depend_on_the_mode(mode: ctypes.CDLL, wanted: int, size: int, softmax: bool) -> None:
    logits = np.random.default_rng(size).normal(-90, 2, size).astype(np.float32)
    logits[0] = -89.0
    if softmax:
        loss = fg.SoftmaxFocalLoss(gamma=0.0, reduction="none")
        operands = np.stack([logits, np.zeros_like(logits)], axis=-1), np.ones(size, np.int64)
    else:
        loss = fg.SigmoidFocalLoss(gamma=0.0, reduction="none")
        operands = logits, np.zeros_like(logits)
    want = loss(*operands), loss.grad(*operands)
    assert 0 < want[0][0] < np.finfo(np.float32).tiny
    got = in_mode(mode, wanted, lambda: (loss(*operands), loss.grad(*operands)))
    for some, other in zip(got, want, strict=True):
        assert same_bits(some, other)


def in_mode(mode: ctypes.CDLL, wanted: int, call: Callable[[], Any]) -> Any:
    """What a call returns in a mode, in which it leaves the thread."""
    before = mode.get()
    mode.set(wanted)
    try:
        got = call()
        after = mode.get()
    finally:
        mode.set(before)
    assert after == wanted
    return got


@pytest.mark.parametrize("wanted", MODES.values(), ids=MODES)
@pytest.mark.parametrize("kind", [fg.SigmoidFocalLoss, fg.SoftmaxFocalLoss])
def test_weights_do_not_depend_on_the_mode(mode: ctypes.CDLL, wanted: int, kind: Any) -> None:
    """What is computed before the elements are: alpha, lists by class, weights of rows, denominators."""
    random = np.random.default_rng(5)
    logits, targets = random.normal(0, 3, (300, 5)).astype(np.float32), random.integers(0, 5, 300)
    weights = random.integers(0, 3, 300), random.uniform(0.1, 3, 300), 0.3
    lists: Any = {"alpha": random.uniform(0.1, 0.9, 5), "gamma": random.uniform(0, 3, 5)}
    for reduction, alpha in (("none", 0.3), ("mean", 0.7), ("mean", None), ("none", lists["alpha"])):
        for weight in weights:
            loss = kind(alpha=alpha, gamma=lists["gamma"], reduction=reduction, class_axis=-1)

            def call(loss: Any = loss, weight: Any = weight) -> Any:
                return loss.value_and_grad(logits, targets, sample_weight=weight)

            for some, other in zip(in_mode(mode, wanted, call), call(), strict=True):
                assert same_bits(np.asarray(some), np.asarray(other))
