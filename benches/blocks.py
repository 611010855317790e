"""What blocks, a scheduler and worker processes cost: focalgrad.dask against one call.

    python benches/blocks.py [--elements 1e9] [--block 4e6] [--workers 1,2,4] [--rounds 3] [--directory DIR]
    python benches/blocks.py --overhead

Logits (float32) and targets (uint8) lie in files, are mapped into memory, and every task reads its own block
of them; nothing goes through the scheduler but sums. A call runs on as many threads as there are workers, so
that both sides have the same processors. The table shows medians.

``--overhead`` measures blocks of a thousand elements, which take no time themselves: what is left is what a
task costs, on each scheduler.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster

import focalgrad as fg

LOSS = fg.SigmoidFocalLoss()
POSITIVES = fg.SigmoidFocalLoss(normalizer="positives")
FACTORS = fg.SigmoidFocalLoss(normalizer="focal_weights")
PIECE = 1 << 24  # elements that are written at a time


def write(directory: Path, elements: int) -> tuple[Path, Path]:
    """Write files of that many logits and targets, if they are not there."""
    paths = directory / f"logits-{elements}.npy", directory / f"targets-{elements}.npy"
    for path, dtype in zip(paths, (np.float32, np.uint8), strict=True):
        if path.exists():
            continue
        file = np.lib.format.open_memmap(path, "w+", dtype, (elements,))
        rng = np.random.default_rng(0)
        for start in range(0, elements, PIECE):
            size = min(PIECE, elements - start)
            some = rng.standard_normal(size, np.float32)
            file[start : start + size] = some * 3 - 3 if dtype == np.float32 else some > 1.6
        file.flush()
    return paths


def read(path: str, start: int, stop: int) -> Any:
    """Map a block of a file."""
    return np.load(path, mmap_mode="r")[start:stop]


def blocks(path: Path, elements: int, block: int) -> da.Array:
    """The file as an array of blocks that tasks map into memory."""
    file = np.load(path, mmap_mode="r")
    lazy = dask.delayed(read, pure=True)
    parts = [
        da.from_delayed(
            lazy(str(path), start, min(start + block, elements)), (min(block, elements - start),), file.dtype
        )
        for start in range(0, elements, block)
    ]
    return da.concatenate(parts)


@contextmanager
def cluster(workers: int) -> Iterator[Client]:
    """Worker processes of one thread each."""
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=None
        ) as started,
        Client(started) as client,
    ):
        client.wait_for_workers(workers)
        yield client


def own_memory() -> int:
    """Bytes that this process holds, without those of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def watch(dask_worker: Any) -> None:
    """Look at this worker's memory a hundred times a second, and keep the first and the largest size."""
    dask_worker.memory_seen = [own_memory()] * 2

    def look() -> None:
        while True:
            dask_worker.memory_seen[1] = max(dask_worker.memory_seen[1], own_memory())
            time.sleep(0.01)

    threading.Thread(target=look, daemon=True).start()


def growth(dask_worker: Any) -> int:
    """Bytes by which this worker's memory had grown at most."""
    first, largest = dask_worker.memory_seen
    return largest - first


def timed(work: Callable[[], Any], rounds: int) -> float:
    """Median of the seconds that work takes, once it has been done."""
    work()
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def by_piece(x: Any, y: Any, block: int, method: str) -> None:
    """One thread of control, as a user without a scheduler would write it: a call for each block."""
    meter = fg.FocalLossMeter(LOSS)
    for start in range(0, len(x), block):
        piece = x[start : start + block], y[start : start + block]
        if method == "value":
            meter.update(*piece)
        else:
            float(np.abs(LOSS.replace(normalizer=len(x)).grad(*piece)).max())


def by_block(x: Any, y: Any, block: int) -> Iterator[tuple[Any, Any]]:
    """The blocks, as somebody without a scheduler would go through them."""
    for start in range(0, len(x), block):
        yield x[start : start + block], y[start : start + block]


def metered(x: Any, y: Any, block: int) -> float:
    """The value, block by block."""
    meter = fg.FocalLossMeter(LOSS)
    for piece in by_block(x, y, block):
        meter.update(*piece)
    return meter.compute()


def largest(x: Any, y: Any, block: int) -> float:
    """The largest component of the gradient, block by block."""
    loss = LOSS.replace(normalizer=len(x))
    return max(float(np.abs(loss.grad(*piece)).max()) for piece in by_block(x, y, block))


def measure(options: argparse.Namespace, directory: Path) -> None:
    """Print the table."""
    elements, block = int(options.elements), int(options.block)
    paths = write(directory, elements)
    x, y = (np.load(path, mmap_mode="r") for path in paths)
    lazy = [blocks(path, elements, block) for path in paths]
    graphs = {
        "value": fg.dask.value(LOSS, *lazy),
        "largest gradient": abs(fg.dask.grad(LOSS, *lazy)).max(),
        "largest gradient, positives": abs(fg.dask.grad(POSITIVES, *lazy)).max(),
        "largest gradient, focal weights": abs(fg.dask.grad(FACTORS, *lazy)).max(),
    }
    calls = {
        "loss(logits, targets)": lambda: LOSS(x, y),
        "meter, block by block": lambda: metered(x, y, block),
        "largest gradient, block by block": lambda: largest(x, y, block),
    }
    print(f"{elements:,} elements, {lazy[0].npartitions} blocks; seconds, medians of {options.rounds}")
    for workers in map(int, options.workers.split(",")):
        with fg.num_threads(workers):
            for name, call in calls.items():
                print(f"{workers} threads {timed(call, options.rounds):8.2f}  {name}", flush=True)
        with cluster(workers) as client:
            client.run(watch)
            for name, graph in graphs.items():
                seconds = timed(lambda graph=graph: client.compute(graph).result(), options.rounds)
                print(f"{workers} workers {seconds:8.2f}  {name}", flush=True)
            grown = max(client.run(growth).values()) / 1e6
            print(f"{workers} workers {grown:8.0f}  MB more at most in a worker")


def overhead(options: argparse.Namespace) -> None:
    """Print what a block costs by itself."""
    count = 2000
    x = da.zeros(count * 1000, chunks=1000, dtype=np.float32)
    y = da.zeros(count * 1000, chunks=1000, dtype=np.uint8)
    graph = fg.dask.value(LOSS, x, y)
    build = timed(lambda: fg.dask.value(LOSS, x, y), options.rounds)
    block = np.zeros(1000, np.float32), np.zeros(1000, np.uint8)
    meter = fg.FocalLossMeter(LOSS)
    call = timed(lambda: [meter.update(*block) for _ in range(count)], options.rounds)
    print(f"microseconds a block of 1,000 elements, {count} blocks")
    print(f"{call / count * 1e6:8.0f} the call itself (FocalLossMeter.update)")
    print(f"{build / count * 1e6:8.0f} building the graph")
    for scheduler in ("synchronous", "threads"):
        seconds = timed(lambda s=scheduler: graph.compute(scheduler=s), options.rounds)
        print(f"{seconds / count * 1e6:8.0f} scheduler={scheduler!r}")
    with cluster(2) as client:
        seconds = timed(lambda: client.compute(fg.dask.value(LOSS, x, y)).result(), options.rounds)
        print(f"{seconds / count * 1e6:8.0f} distributed, 2 worker processes")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="Cost of blocks, a scheduler and worker processes.")
    parser.add_argument("--elements", type=float, default=1e9)
    parser.add_argument("--block", type=float, default=4e6)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where the files are, and stay")
    parser.add_argument("--overhead", action="store_true")
    options = parser.parse_args()
    if options.overhead:
        overhead(options)
    elif options.directory:
        measure(options, options.directory)
    else:
        with tempfile.TemporaryDirectory() as directory:
            measure(options, Path(directory))


if __name__ == "__main__":
    main()
