"""Do calls get by with the threads and the memory that a process can have?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import focalgrad as fg
from support import output_from

# Everything that is needed later is imported and made first: it must be there when the limit is set.
PREPARE = """
import os, resource
import numpy as np
import focalgrad as fg

def numbered(name):
    return sum(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

rng = np.random.default_rng(1)
logits, targets = rng.normal(0, 2, 400_003).astype(np.float32), (rng.random(400_003) < 0.3)
rows, labels = rng.normal(0, 2, (40_001, 10)).astype(np.float32), rng.integers(0, 10, 40_001)
halves, weights = rows.astype(np.float16), rng.random(400_003)
space = [np.empty_like(logits) for _ in range(2)]
sigmoid, softmax = fg.SigmoidFocalLoss(), fg.SoftmaxFocalLoss()
strided = np.repeat(logits, 2)[::2]

CALLS = (
    lambda: sigmoid(logits, targets),
    lambda: sigmoid.value_and_grad(logits, targets, grad_out=space[0])[0] + float(space[0].sum()),
    lambda: sigmoid(strided, targets, sample_weight=weights),
    lambda: sigmoid.replace(label_smoothing=0.1)(logits, targets),
    lambda: softmax(rows, labels),
    lambda: softmax(halves, labels),
    lambda: softmax.replace(label_smoothing=0.1)(rows, labels),
    lambda: float(sigmoid.posterior(logits, out=space[1]).sum()),
    lambda: float(softmax.posterior(rows[:40_000], out=space[1][:400_000].reshape(40_000, 10)).sum()),
    lambda: sigmoid.init_score(targets),
    lambda: float(softmax.init_score(labels).sum()),
)
"""

# The same bits as with one thread.
THREADS = (
    PREPARE
    + """
fg.set_num_threads(1)
want = [call() for call in CALLS]
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)  # no limit holds for the superuser
tasks = 0
for process in filter(str.isdigit, os.listdir("/proc")):
    try:
        if os.stat(f"/proc/{process}").st_uid == os.getuid():
            tasks += len(os.listdir(f"/proc/{process}/task"))
    except OSError:
        pass  # it has ended
resource.setrlimit(resource.RLIMIT_NPROC, (tasks + MORE, tasks + MORE))
fg.set_num_threads(7)
assert [call() for call in CALLS] == want
assert fg.get_num_threads() == 7
print(fg.show_config(mode="dicts")["threads"])
fg.show_config()
"""
)

MEMORY = (
    PREPARE
    + """
want = [call() for call in CALLS] if WARM else None
spare = SPARE
limit = numbered("VmData:") * 1024 + spare
most = resource.getrlimit(resource.RLIMIT_DATA)[1]
resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
got = []
for call in CALLS:
    try:
        got.append(call())
    except MemoryError:
        got.append(None)
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
fg.set_num_threads(1)
want = want or [call() for call in CALLS]
assert all(a is None or a == b for a, b in zip(got, want)), (got, want)
print(sum(a is not None for a in got))
"""
)


@pytest.mark.parametrize("more", [0, 1, 3])
def test_threads_that_cannot_be_started(more: int) -> None:
    """Some start and the next does not: those that there are do the work, and the configuration says so."""
    lines = output_from(THREADS.replace("MORE", str(more))).splitlines()
    assert lines[0] == str(more + 1)
    assert any(line.startswith("threads") and f"{more + 1} of 7" in line for line in lines[1:])


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("kilobytes", [0, 64, 256, 512, 1024, 1536, 2048, 3072, 4096, 8192, 65536])
def test_memory_that_cannot_be_had(kilobytes: int, warm: bool) -> None:
    """A right result or MemoryError, in the first call or after others; the process goes on."""
    code = MEMORY.replace("SPARE", str(kilobytes << 10)).replace("WARM", str(warm))
    done = int(output_from(code, FOCALGRAD_NUM_THREADS="7"))
    if kilobytes >= 65536:
        assert done == 11


def workers() -> int:
    """Threads of the pool."""
    names = Path("/proc/self/task").glob("*/comm")
    return sum(name.read_text().startswith("focalgrad-") for name in names)


def test_workers_end_at_once() -> None:
    """When fewer threads are asked for, and those that are needed come back."""
    logits, targets = np.zeros(400_000, np.float32), np.zeros(400_000, bool)
    fg.set_num_threads(7)
    fg.SigmoidFocalLoss()(logits, targets)
    assert workers() == 6
    fg.set_num_threads(1)
    assert workers() == 0
    fg.set_num_threads(3)
    fg.SigmoidFocalLoss()(logits, targets)
    assert workers() == 2
    with fg.num_threads(1):
        assert workers() == 0


SWEEP = (
    PREPARE
    + """
import signal
fg.set_num_threads(1)
CALLS = (*CALLS, lambda: float(softmax.posterior(rows).sum()))
want = [call() for call in CALLS]
fg.set_num_threads(4)
odd = []
for i, call in enumerate(CALLS):
    for spare in range(START << 10, 2400 << 10, 48 << 10):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            limit = numbered("VmData:") * 1024 + spare
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
            try:
                os._exit(0 if call() == want[i] else 3)
            except MemoryError:
                os._exit(0)
            except BaseException:
                os._exit(4)
        status = os.waitpid(child, 0)[1]
        if status != 0:
            odd.append((i, spare >> 10, status))
print(odd)
"""
)


@pytest.mark.parametrize("start", [960, 984])
def test_first_calls_where_the_next_thread_finds_no_memory(start: int) -> None:
    """With memory for a stack, but none for what a thread needs to begin, no worker is started."""
    assert output_from(SWEEP.replace("START", str(start))).strip() == "[]"
