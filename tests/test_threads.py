"""Do threads behave: their number, the interpreter's lock, forks, and calls from many sides at once?"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import focalgrad as fg
from support import coin, core_terms, output_from, refused, run_python, same_bits, sample

LARGE = 400_003


def entered(number: object) -> None:
    """Enter and leave the context."""
    with fg.num_threads(number):
        pass


class TestNumber:
    """set_num_threads, get_num_threads, num_threads, FOCALGRAD_NUM_THREADS."""

    def test_set_and_get(self) -> None:
        for number in (1, 2, 3, 8, 1024, np.int64(4)):
            assert fg.set_num_threads(number) is None
            assert fg.get_num_threads() == number
            assert type(fg.get_num_threads()) is int
            assert fg.show_config(mode="dicts")["threads"] == number

    @pytest.mark.parametrize("number", [0, -1, 1025, 2**31, 2**70, -(2**70)])
    def test_out_of_range(self, number: int) -> None:
        fg.set_num_threads(3)
        for call in (fg.set_num_threads, entered):
            refused(ValueError, [str(number), "1", "1024"], call, number)
        assert fg.get_num_threads() == 3

    @pytest.mark.parametrize("number", ["2", None, 2.0, 2.5, [2], 1j])
    def test_no_integer(self, number: object) -> None:
        fg.set_num_threads(3)
        for call in (fg.set_num_threads, entered):
            refused(TypeError, [type(number).__name__], call, number)
        assert fg.get_num_threads() == 3

    def test_context(self) -> None:
        fg.set_num_threads(3)
        with fg.num_threads(2):
            assert fg.get_num_threads() == 2
            with fg.num_threads(5):
                assert fg.get_num_threads() == 5
            assert fg.get_num_threads() == 2
        assert fg.get_num_threads() == 3

    def test_context_after_an_exception(self) -> None:
        fg.set_num_threads(3)
        with pytest.raises(KeyError), fg.num_threads(2):
            raise KeyError
        assert fg.get_num_threads() == 3

    def test_default(self) -> None:
        code = "import focalgrad; print(focalgrad.get_num_threads())"
        assert 1 <= int(output_from(code, FOCALGRAD_NUM_THREADS=None)) <= (os.cpu_count() or 1)
        assert output_from(code, FOCALGRAD_NUM_THREADS="") == output_from(code, FOCALGRAD_NUM_THREADS=None)

    @pytest.mark.parametrize("number", ["1", "3", "1024"])
    def test_environment(self, number: str) -> None:
        code = "import focalgrad; print(focalgrad.get_num_threads())"
        assert output_from(code, FOCALGRAD_NUM_THREADS=number) == number

    @pytest.mark.parametrize("number", ["0", "-1", "1025", "two", "2.5", "1e2", "99999999999999999999"])
    def test_bad_environment(self, number: str) -> None:
        done = run_python("import focalgrad", FOCALGRAD_NUM_THREADS=number)
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("ImportError: ")
        for word in ("FOCALGRAD_NUM_THREADS", number, "1", "1024"):
            assert word in last


def test_the_interpreter_is_released() -> None:
    """Another Python thread moves on during a large call.

    The switch interval is set so long that the other thread can only run where this one lets go of the lock.
    """
    fg.set_num_threads(1)  # leaves the other thread a core, and takes its time
    logits, targets = np.zeros(10_000_000, np.float32), np.zeros(10_000_000, np.bool_)
    loss, out = fg.SigmoidFocalLoss(gamma=1.7, reduction="none"), np.empty_like(logits)
    steps, stop = [0], threading.Event()

    def step() -> None:
        while not stop.is_set():
            steps[0] += 1
            time.sleep(0)  # lets go of the lock

    before = sys.getswitchinterval()
    other = threading.Thread(target=step, daemon=True)
    progress = []
    try:
        sys.setswitchinterval(1000)
        other.start()
        for _ in range(200):
            start = steps[0]
            loss(logits, targets, out=out)
            progress.append(steps[0] - start)
            if progress[-1]:
                break
    finally:
        stop.set()
        sys.setswitchinterval(before)
        other.join()
    assert progress[-1] > 0, "no step of the other thread in 200 calls"


def test_calls_from_many_threads() -> None:
    """Each gets its own right result, small and large arrays mixed, while the number of threads changes."""
    loss = fg.SigmoidFocalLoss(gamma=1.7, reduction="none")
    cases = [(sample(size, dtype, seed), coin(size, seed=seed)) for seed, (size, dtype) in enumerate(
        [(1, np.float32), (37, np.float64), (5_003, np.float32), (LARGE, np.float32), (LARGE, np.float64)]
    )]  # fmt: skip
    want = [core_terms(loss, *case) for case in cases]

    def work(index: int) -> bool:
        which = index % len(cases)
        if index % 7 == 0:
            fg.set_num_threads(1 + index % 4)
        return all(same_bits(a, b) for a, b in zip(core_terms(loss, *cases[which]), want[which], strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(80)))


def test_one_loss_from_many_threads() -> None:
    """Sums too, from one object over one array."""
    logits, targets = sample(LARGE, np.float32), coin(LARGE)
    logits[np.isnan(logits)] = 0
    logits[np.isinf(logits)] = 1
    loss = fg.SigmoidFocalLoss(normalizer="positives")
    want = loss(logits, targets)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: loss(logits, targets), range(40))) == {want}


FORK = """
import os, signal, sys, warnings
import numpy as np
import focalgrad as fg

warnings.simplefilter("ignore")
fg.set_num_threads(2)
logits = np.linspace(-5, 5, 400_003, dtype=np.float32)
targets = (logits > 0).astype(np.uint8)
loss = fg.SigmoidFocalLoss(gamma=1.7)
want = loss.value_and_grad(logits, targets)

def same(a, b):
    return a[0] == b[0] and np.array_equal(a[1], b[1])

def child(deep):
    signal.alarm(60)  # a hang ends the child by a signal
    got = loss.value_and_grad(logits, targets)
    if deep and fork_and_wait(False) != 0:
        os._exit(3)
    fg.set_num_threads(3)
    os._exit(0 if same(got, loss.value_and_grad(logits, targets)) and same(got, want) else 1)

def fork_and_wait(deep):
    pid = os.fork()
    if pid == 0:
        child(deep)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

for _ in range(3):
    code = fork_and_wait(True)
    if code:
        sys.exit(f"the child ended with {code}")
    assert same(loss.value_and_grad(logits, targets), want)  # the parent's pool lives on
print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_after_the_pool_was_used() -> None:
    """Children and their children compute, and the parent goes on."""
    assert output_from(FORK) == "ok"


MULTIPROCESSING = """
import multiprocessing, warnings
import numpy as np
import focalgrad as fg

warnings.simplefilter("ignore")
loss = fg.SigmoidFocalLoss()
logits = np.linspace(-5, 5, 400_003)
targets = logits > 0

def work(loss):
    return loss(logits, targets)

if __name__ == "__main__":
    want = work(loss)
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        assert pool.map_async(work, [loss] * 6).get(60) == [want] * 6
    print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_multiprocessing() -> None:
    """Losses travel to forked workers, which compute."""
    assert output_from(MULTIPROCESSING) == "ok"


INTERRUPT = """
import signal
import numpy as np
import focalgrad as fg

class Stop(Exception):
    pass

def stop(*_):
    raise Stop

signal.signal(signal.SIGALRM, stop)
logits, targets = np.zeros(50_000_000, np.float32), np.zeros(50_000_000, np.bool_)
loss, out = fg.SigmoidFocalLoss(gamma=1.7, reduction="none"), np.empty(50_000_000, np.float32)
for delay in np.geomspace(1e-3, 2, 60):
    out[...] = 777
    try:
        signal.setitimer(signal.ITIMER_REAL, delay)
        loss(logits, targets, out=out)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Stop:
        pass
    if out[0] != 777 and out[-1] == 777:  # begun, and not come to its end
        small = loss(logits[:100_000], targets[:100_000])
        assert (small == small[0]).all() and small[0] == out[0]  # the pool is as good as before
        print("ok")
        break
"""


def test_a_long_call_can_be_interrupted() -> None:
    """What a signal's handler raises, as Ctrl-C's does, ends a call before it has come to its end."""
    assert output_from(INTERRUPT, FOCALGRAD_NUM_THREADS="1") == "ok"


FIRST_CALL = """
import numpy as np
import focalgrad as fg

del np.lib.NumpyVersion  # what looking for NumPy's C interface would run
assert fg.SigmoidFocalLoss().grad(np.zeros(3), np.zeros(3)).shape == (3,)
print("ok")
"""


def test_the_first_call_runs_no_python_code() -> None:
    """What calls need of NumPy is there after the import: no signal can raise while they look for it."""
    assert output_from(FIRST_CALL) == "ok"


def test_exit_while_threads_compute() -> None:
    """The interpreter ends although daemon threads are inside calls."""
    code = """
import threading
import numpy as np
import focalgrad as fg

logits, targets = np.zeros(1_000_000, np.float32), np.zeros(1_000_000, np.uint8)
loss, started = fg.SigmoidFocalLoss(), threading.Barrier(4)

def work():
    started.wait()
    while True:
        loss.grad(logits, targets)

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
started.wait()
loss.grad(logits, targets)
print("ok")
"""
    assert output_from(code) == "ok"
