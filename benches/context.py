"""What the rows share in a run (arrays, compiled programs, worker processes), and contenders made of it."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

import focalgrad as fg
from measure import Contender, Local
from native import Native, outputs_of
from peers import PEERS
from work import Work, make_data, our_call
from worker import Worker

OURS, IN_CACHE, C = "focalgrad", "in cache", "C -Ofast"


class Context:
    """Makes contenders, and keeps what they need.

    Parameters
    ----------
    size : int
        Elements of the arrays that live in memory.
    threads : int
        Threads of everything that is not told otherwise.
    native : Native or None
        The C programs, where there is a compiler.
    peers : sequence of str
        Which of `PEERS` take part.
    """

    def __init__(self, size: int, threads: int, native: Native | None, peers: Sequence[str]):
        self.size, self.threads, self.native, self.peers = size, threads, native, peers
        config = fg.show_config(mode="dicts")
        self.isa, self.isas = config["isa"], list(config["isas_available"])
        self._data: dict[tuple, SimpleNamespace] = {}
        self._workers: dict[tuple[str, int], Worker] = {}
        fg.set_num_threads(threads)

    def close(self) -> None:
        """End the worker processes."""
        for worker in self._workers.values():
            worker.close()

    def processes(self) -> list[int]:
        """The ids of this process and of the workers."""
        return [os.getpid(), *(worker.process for worker in self._workers.values())]

    def data(self, work: Work) -> SimpleNamespace:
        """Arrays for `work`; large ones of another type are let go first."""
        key = (work.size, work.dtype, work.targets)
        if key not in self._data:
            self._data = {k: v for k, v in self._data.items() if k[1] == work.dtype or k[0] < self.size}
            self._data[key] = make_data(*key)
        return self._data[key]

    def ours(self, work: Work, name: str = OURS, data: SimpleNamespace | None = None) -> Contender:
        """Our call in this process."""
        data = data or self.data(work)
        stopwatch = Local(*our_call(work.operation, work.gamma, data))
        outputs = _outputs(work.operation, stopwatch.result, data)
        return Contender(name, stopwatch, work.size, outputs)

    def elsewhere(
        self, work: Work, name: str, isa: str | None = None, threads: int | None = None
    ) -> Contender:
        """Our call in a worker process with its own instruction set and number of threads."""
        key = (isa or self.isa, threads or self.threads)
        if key not in self._workers:
            self._workers[key] = Worker(*key)
        return Contender(name, self._workers[key].prepare(work), work.size)

    def in_cache(self, work: Work) -> Contender:
        """Our kernel in cache: one thread, its time divided by the number of threads that `work` has."""
        small = work.in_cache()
        contender = self.elsewhere(small, IN_CACHE, threads=1)
        return Contender(IN_CACHE, contender.stopwatch, small.size * self.threads)

    def floors(self, work: Work, threads: int | None = None) -> list[Contender]:
        """The kernels that only move the bytes of `work`."""
        if self.native is None:
            return []
        found = self.native.floors(work.operation, work.dtype, threads or self.threads, self.data(work))
        return [Contender(name, stopwatch, work.size) for name, stopwatch in found.items()]

    def c(self, work: Work, threads: int | None = None) -> list[Contender]:
        """The focal loss in C."""
        if self.native is None:
            return []
        data = self.data(work)
        stopwatch = self.native.focal(work.operation, work.gamma, threads or self.threads, data)
        return [Contender(C, stopwatch, work.size, _outputs(work.operation, stopwatch.result, data))]

    def others(self, work: Work, names: Sequence[str] | None = None) -> list[Contender]:
        """The chosen peers, as far as they do `work`."""
        found = []
        for name in self.peers if names is None else names:
            call = PEERS[name][1](work.operation, work.gamma, self.data(work), self.threads)
            if call is not None:
                found.append(Contender(name, Local("call()", {"call": call}), work.size, _listed(call)))
        return found


def _outputs(operation: str, result: Callable[[], Any], data: SimpleNamespace) -> Callable[[], list[Any]]:
    return lambda: outputs_of(operation, result(), data)


def _listed(call: Callable[[], Any]) -> Callable[[], list[Any]]:
    def outputs() -> list[Any]:
        result = call()
        return list(result) if isinstance(result, tuple) else [result]

    return outputs


def disagreements(contenders: Sequence[Contender]) -> list[str]:
    """Names of the contenders whose results are not those of the first: they would be compared in vain.

    The tolerance is that of a float32 formula without any care: this is no test of accuracy.
    """

    def sample(contender: Contender) -> list[np.ndarray]:
        return [np.array(np.asarray(output).reshape(-1)[::997], np.float64) for output in contender.outputs()]

    comparable = [contender for contender in contenders if contender.outputs]
    if len(comparable) < 2:
        return []
    expected, wrong = sample(comparable[0]), []
    for contender in comparable[1:]:
        pairs = zip(expected, sample(contender), strict=True)
        if not all(np.allclose(a, b, rtol=1e-3, atol=1e-5 * np.abs(a).max(initial=0)) for a, b in pairs):
            wrong.append(contender.name)
    return wrong


def warn_of_cache(size: int, last_level: int) -> None:
    """Say so where the "memory" rows would partly be served by the last-level cache."""
    times = 3 * 4 * size / last_level if last_level else math.inf
    if times < 2:
        print(f"note: three float32 arrays are {times:.1f} x the last-level cache", file=sys.stderr)
