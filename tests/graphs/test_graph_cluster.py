"""The same bits on every scheduler: one thread, several, worker processes, and when one of them dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from dask.distributed import Client, wait
from graph_cases import CASES, NUMBERS, all_same, computed, everything, named

import focalgrad as fg
from support import Array, same_bits


def graphs_of(case: Any) -> list[Any]:
    """All that there is, in blocks of 60 rows."""
    logits, targets, weights = case.cut(60)
    graphs = [*everything(case.loss, logits, targets, **weights)]
    told = case.targets.ndim == 1 or case.targets.dtype.kind == "f"  # whether targets are class indices
    valid = case.targets.min() >= 0 or case.loss.ignore_index is not None
    if told and valid and getattr(case.loss, "modulator", "") != "sigmoid" and case.rows == 0:
        graphs.append(fg.dask.init_score(case.loss, da.from_array(case.targets, {0: 60})))
    return graphs


@pytest.mark.parametrize("case", CASES[::2], ids=named)
def test_every_scheduler(case: Any, client: Client) -> None:
    """One thread, several, several processes."""
    graphs = graphs_of(case)
    here = computed(graphs, scheduler="synchronous")
    assert all_same(here, computed(graphs, scheduler="threads", num_workers=4))
    assert all_same(here, computed(graphs, scheduler=client))


@pytest.mark.parametrize("case", NUMBERS[::4], ids=named)
def test_persisted_on_the_cluster(case: Any, client: Client) -> None:
    """Data that the workers hold is read there, in the second pass as in the first."""
    logits, targets, weights = case.cut(60)
    held = client.persist(logits)
    wait(held)
    graphs = everything(case.loss, held, targets, **weights)
    assert all_same(
        computed(everything(case.loss, logits, targets, **weights), scheduler="sync"), computed(graphs)
    )
    meter = client.compute(fg.dask.meter(case.loss, held, targets, **weights)).result()
    assert meter.compute() == computed(graphs[:1])[0]


def die_once(block: Array, mark: str, block_id: tuple[int, ...] | None = None) -> Array:
    """A block; the worker that is to make the 14th of them is killed, the first time."""
    if block_id == (13,):
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return block
        os.kill(os.getpid(), signal.SIGKILL)
    return block


@pytest.mark.parametrize(
    "loss",
    [fg.SigmoidFocalLoss(normalizer="positives"), fg.SigmoidFocalLoss(normalizer="focal_weights")],
    ids=repr,
)
def test_a_lost_worker_changes_nothing(loss: Any, client: Client, tmp_path: Path) -> None:
    """Killed in the middle, with results in its memory: they are computed again."""
    logits = np.linspace(-5, 5, 2000)
    targets = da.from_array((np.arange(2000) % 3 == 0).astype(float), 100)
    want = computed(everything(loss, da.from_array(logits, 100), targets), scheduler="synchronous")
    mark = tmp_path / "died"
    before = set(client.run(os.getpid).values())
    dying = da.from_array(logits, 100).map_blocks(die_once, str(mark), dtype=np.float64)
    got = computed(everything(loss, dying, targets), scheduler=client)
    assert mark.exists() and all_same(want, got)
    client.wait_for_workers(2)
    assert before - set(client.run(os.getpid).values()), "no worker was lost"


def peak() -> int:
    """Bytes that this process has had in memory at most, since that was set back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def set_back() -> None:
    """Let the peak begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


BLOCK = 1 << 20


def generated(block: Array, block_info: Any = None) -> Array:
    """Logits that are made on the workers."""
    start = block_info[0]["array-location"][0][0]
    return np.sin(np.arange(start, start + len(block), dtype=np.float32))


@pytest.mark.parametrize(
    "loss", [fg.SigmoidFocalLoss(), fg.SigmoidFocalLoss(normalizer="focal_weights")], ids=repr
)
def test_memory_of_workers(loss: Any, client: Client) -> None:
    """A few blocks a worker, of the 40 that there are."""
    logits = da.zeros(40 * BLOCK, chunks=BLOCK, dtype=np.float32).map_blocks(generated, dtype=np.float32)
    client.run(set_back)
    before = client.run(peak)
    value, grad = fg.dask.value_and_grad(loss, logits, logits > 0.5)
    computed([value, abs(grad).max()], scheduler=client)
    after = client.run(peak)
    for worker, bytes_before in before.items():
        assert after[worker] - bytes_before < 8 * logits.blocks[0].nbytes


def test_objects_travel(client: Client) -> None:
    """Losses and meters go to workers and come back."""
    loss = fg.SoftmaxFocalLoss(alpha=[1.0, 2.0])
    assert client.submit(lambda loss: loss.replace(gamma=1.0), loss).result() == loss.replace(gamma=1.0)
    x = da.from_array(np.ones((50, 2)), (5, 2))
    meter = fg.dask.meter(loss, x, np.zeros(50, int)).compute(scheduler=client)
    assert same_bits(np.float64(meter.compute()), fg.dask.value(loss, x, np.zeros(50, int)).compute())
