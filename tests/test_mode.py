"""Results do not depend on the floating-point mode of the calling thread.

A library that was compiled with -ffast-math switches subnormal numbers off in the thread that loads it.
"""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import focalgrad as fg
from support import same_bits

SOURCE = """
#include <xmmintrin.h>
unsigned get(void) { return _mm_getcsr() & ~0x3f; }
void set(unsigned mode) { _mm_setcsr(mode); }
"""
FLUSHING, UPWARDS = 0x9FC0, 0x5F80


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


@pytest.mark.parametrize("wanted", [FLUSHING, UPWARDS], ids=["flushing", "upwards"])
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
    before = mode.get()
    mode.set(wanted)
    try:
        got = loss(*operands), loss.grad(*operands)
        after = mode.get()
    finally:
        mode.set(before)
    assert after == wanted
    for some, other in zip(got, want, strict=True):
        assert same_bits(some, other)
