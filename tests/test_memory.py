"""Is nothing the size of the input ever copied? Measured in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MB = 1 << 20

PEAK = """
import sys
import numpy as np
import focalgrad as fg
dtype, targets, layout, call = sys.argv[1:]
item = np.dtype(dtype).itemsize
side = int((400e6 / item) ** 0.5)
x = np.zeros((side, side), dtype)
y = np.zeros((side, side), targets)
if layout == "fortran":
    x, y = x.T, y.T
elif layout == "mixed":
    y = y.T
elif layout == "strided":
    x, y = x[::-1, ::2], y[::-1, ::2]
elif layout == "broadcast":
    y = np.broadcast_to(y[:1], y.shape)
weight = np.ones(x.shape[1:], np.float32)
x.max(), y.max()
loss = fg.SigmoidFocalLoss()
small = np.zeros((300, 300), dtype)
loss.value_and_grad(small, small.astype(targets).T)
def status(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024

open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
before = status("VmRSS")
if call == "mean":
    loss(x, y, sample_weight=weight)
    owed = 0
else:
    owed = loss.grad(x, y, sample_weight=weight).nbytes
print(status("VmHWM") - before - owed)
"""

MAPPED = """
import resource, sys
import numpy as np
import focalgrad as fg
x = np.memmap(sys.argv[1], np.float32, "r")
y = np.broadcast_to(np.uint8(1), x.shape)
fg.SigmoidFocalLoss()(np.zeros(200000), np.zeros(200000))
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + (32 << 20), resource.RLIM_INFINITY))
print(fg.SigmoidFocalLoss(reduction="sum")(x, y))
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("dtype", "targets", "layout"),
    [
        ("float32", "float32", "plain"),
        ("float32", "uint8", "fortran"),
        ("float32", "int64", "strided"),
        ("float64", "float16", "mixed"),
        ("float16", "bool", "broadcast"),
        ("int16", "float64", "strided"),
    ],
)
@pytest.mark.parametrize("call", ["mean", "gradient"])
def test_peak(dtype: str, targets: str, layout: str, call: str) -> None:
    """A mean takes next to nothing, a gradient its one output."""
    extra = int(run(PEAK, dtype, targets, layout, call))
    assert extra < 16 * MB
    if call == "gradient":
        assert extra > -16 * MB, "the measurement is blind"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts mappings on Linux")
def test_a_mapped_file_larger_than_the_data_segment_may_grow(tmp_path: Path) -> None:
    path = tmp_path / "logits"
    with path.open("wb") as file:
        file.truncate(256 * MB)
    value = float(run(MAPPED, str(path)))
    assert value == pytest.approx(0.25 * 0.25 * 0.6931471805599453 * 64 * MB, rel=1e-6)
