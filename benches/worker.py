"""Another process that times focalgrad on request: with another instruction set or another number of threads.

Both are chosen when focalgrad is imported, so comparing them takes processes. They stay up during the whole
run and take turns with everything else: the driver asks over a pipe, one JSON object a line, and waits for
the answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure import Local
from work import Work, make_data, our_call


class Worker:
    """The driver's end of the pipe.

    Parameters
    ----------
    isa : str
        Instruction set, as `FOCALGRAD_ISA` takes it.
    threads : int
        Number of threads, as `FOCALGRAD_NUM_THREADS` takes it.
    """

    def __init__(self, isa: str, threads: int):
        environment = {**os.environ, "FOCALGRAD_ISA": isa, "FOCALGRAD_NUM_THREADS": str(threads)}
        command = [sys.executable, str(Path(__file__).resolve())]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def process(self) -> int:
        """The id of the process."""
        return self._process.pid

    def ask(self, **request: Any) -> Any:
        """Send one request and wait for its answer."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker process ended with status {self._process.wait()}")
        return json.loads(line)

    def prepare(self, work: Work) -> Remote:
        """A stopwatch for `work` in that process."""
        return Remote(self, self.ask(prepare=asdict(work)))

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


class Remote:
    """A stopwatch whose calls happen in a worker process; the pipe is not part of the time."""

    def __init__(self, worker: Worker, key: int):
        self._worker, self._key = worker, key

    def seconds(self, number: int) -> float:
        """Wall-clock seconds of `number` calls in a row."""
        return self._worker.ask(time=self._key, number=number)


def serve() -> None:
    """Answer requests until the driver closes the pipe."""
    data, jobs = {}, []
    for line in sys.stdin:
        request = json.loads(line)
        if "prepare" in request:
            work = Work(**request["prepare"])
            shape = (work.size, work.dtype, work.targets)
            if shape not in data:
                data[shape] = make_data(*shape)
            jobs.append(Local(*our_call(work.operation, work.gamma, data[shape])))
            answer = len(jobs) - 1
        else:
            answer = jobs[request["time"]].seconds(request["number"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
