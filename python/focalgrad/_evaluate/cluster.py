"""Evaluation of parts on a Dask cluster: a task for each part, merged in the order of the parts."""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from typing import Any

from focalgrad._evaluate import run
from focalgrad._evaluate.errors import INTERRUPTED, BadData, needed, shown
from focalgrad._evaluate.evaluation import Evaluation
from focalgrad._runtime import one_thread

#: Opens one part; travels to a worker.
Opener = Callable[[], run.Source]


def workers_of(scheduler: str) -> int | None:
    """How many workers "local" or "local:N" asks for; 0 for one a processor, None for an address.

    Raises
    ------
    ValueError
        If N is no number.
    """
    kind, _, count = scheduler.partition(":")
    if kind != "local":
        return None
    if not count:
        return 0
    if not count.isdecimal() or int(count) == 0:
        raise ValueError(f"--scheduler must be an address, local or local:N; got {scheduler}")
    return int(count)


@contextlib.contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """Connect to a cluster, or make one on this machine."""
    distributed = needed("distributed", "--scheduler")
    workers = workers_of(scheduler)
    if workers is None:
        options: dict[str, Any] = {"address": scheduler, "timeout": "10s"}
    else:
        # A reader of one line does not want the cluster's diary.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        # Nor, after Ctrl-C, to hear that the system takes back what the cluster had.
        quiet = "ignore::UserWarning:multiprocessing.resource_tracker"
        os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), quiet]))
        count = workers or len(os.sched_getaffinity(0))
        options = {"n_workers": count, "threads_per_worker": 1, "dashboard_address": ":0"}
    client: Any = None
    try:
        client = _apart(lambda: distributed.Client(**options))
        yield client
    except (OSError, TimeoutError, ValueError) as error:
        if client is not None:
            raise
        raise BadData(f"{shown(scheduler)}: no cluster can be reached: {shown(error)}") from None
    except KeyboardInterrupt:
        # To take leave of a cluster takes seconds, and its workers would write about it. Those of another
        # machine drop what nobody waits for any more.
        for worker in multiprocessing.active_children():
            worker.kill()
        atexit.register(os._exit, INTERRUPTED)
        client = None
        raise
    finally:
        if client is not None:
            client.close()


def _apart(make: Callable[[], Any]) -> Any:
    """Make something in a thread that Ctrl-C does not reach, nor what comes of it."""
    made: list[Any] = []

    def work() -> None:
        if sys.platform != "win32":
            # It lets Ctrl-C through again in the thread that starts it.
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            made.append(make())
        except BaseException as error:
            made.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    if isinstance(made[0], BaseException):
        raise made[0]
    return made[0]


@one_thread()
def part(empty: Evaluation, opener: Opener) -> Evaluation | BadData:
    """Evaluate one part, on one thread: the cluster runs others beside it.

    Bad data are an answer here: workers would write pages about an error.
    """
    found = empty._empty()  # the worker keeps what it was sent, for the next part
    try:
        run.run(found, opener())
    except BadData as error:
        return error
    return found


def evaluate(
    found: Evaluation, openers: list[Opener], scheduler: str, advance: Callable[[int], None]
) -> None:
    """Add all parts, each evaluated somewhere on the cluster."""
    with connected(scheduler) as client:
        empty = client.scatter(found._empty(), broadcast=True)
        futures = client.map(part, [empty] * len(openers), openers, pure=False)
        for future in futures:
            done = future.result()
            if isinstance(done, BadData):
                raise done
            found.merge(done)
            advance(done.rows)
            future.release()
