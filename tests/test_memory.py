"""Is nothing the size of the input ever copied? Measured in processes of their own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import focalgrad as fg
from foreign import MAKERS
from support import output_from

MB = 1 << 20
#: One in so many cases runs (all: `python tests/helpers/peak.py sigmoid`): no divisors of the numbers
#: of layouts and dtypes, so that all meet. What is copied does not depend on the loops; portable ones
#: take their time.
STEPS = {"sigmoid": 2, "classes": 4}
if fg.show_config(mode="dicts")["isa"] == "portable":
    STEPS = dict.fromkeys(STEPS, 11)

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def peaks(*arguments: str) -> dict[str, int]:
    """Bytes by which memory peaked, beyond arguments and results, for each call."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "helpers" / "peak.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@linux
@pytest.mark.parametrize("what", STEPS)
def test_peak(what: str) -> None:
    """Beside 400 MB a mean takes next to nothing, a gradient its one output."""
    found = peaks(what, str(STEPS[what]))
    assert {name.partition(":")[0] for name in found} == {"__call__", "grad"}
    assert not {name: extra for name, extra in found.items() if abs(extra) > 16 * MB}


@linux
@pytest.mark.parametrize("maker", MAKERS)
def test_peak_of_foreign_arrays(maker: str) -> None:
    """The same where another library holds them."""
    MAKERS[maker](np.zeros(1, np.float32))  # skips where it is not installed
    # To tell whether a value is missing, pandas makes a mask of a byte an element.
    allowed = 16 * MB + (100_000_000 if maker == "pandas nullable" else 0)
    assert all(abs(extra) < allowed for extra in peaks("foreign", maker).values())


@linux
def test_the_measurement_sees_a_copy() -> None:
    """Or it would prove nothing."""
    found = peaks("copies")
    assert found and all(extra > 300 * MB for extra in found.values())


MAPPED = """
import resource, sys
import numpy as np
import focalgrad as fg
def used():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData")) * 1024

x = np.memmap({path!r}, np.float32, "r", shape={shape})
y = np.broadcast_to(np.uint8(1), x.shape[:{dims}])
loss = fg.{loss}
loss(np.zeros((2000, 256)), np.zeros((2000, 256)))  # starts the threads
resource.setrlimit(resource.RLIMIT_DATA, (used() + (32 << 20), resource.RLIM_INFINITY))
try:
    x + 0
except MemoryError:
    print(loss(x, y))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts mappings on Linux")
@pytest.mark.parametrize(
    ("loss", "dims", "each"),
    [
        ("SigmoidFocalLoss(None, 2.0, reduction='sum')", 2, 0.5**2 * math.log(2)),
        ("SigmoidFocalLoss(None, 2.0, reduction='sum', class_axis=-1)", 1, 0.5**2 * math.log(2)),
        ("SoftmaxFocalLoss(reduction='sum')", 1, (255 / 256) ** 2 * math.log(256) / 256),
        ("SoftmaxFocalLoss(reduction='sum')", 2, (255 / 256) ** 2 * math.log(256)),
    ],
)
def test_a_mapped_file_larger_than_the_data_segment_may_grow(
    loss: str, dims: int, each: float, tmp_path: Path
) -> None:
    """Logits of 0, which cost `each`."""
    path, shape = tmp_path / "logits", (256 * 1024, 256)
    with path.open("wb") as file:
        file.truncate(256 * MB)
    code = MAPPED.format(path=str(path), shape=shape, loss=loss, dims=dims)
    assert float(output_from(code)) == pytest.approx(each * 64 * MB, rel=1e-6)
