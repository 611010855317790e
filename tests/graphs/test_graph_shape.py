"""What the graphs are: lazy, one call of the core for each block, keys that depend on the arguments alone."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from dask.base import tokenize
from dask.core import get_dependencies, toposort
from graph_cases import CASES, COLUMNS, LOGITS, ROWS, Case, everything, named

import focalgrad as fg
from focalgrad import _core, _meter
from support import Array, output_from

POSITIVES = fg.SigmoidFocalLoss(normalizer="positives")
FACTORS = fg.SigmoidFocalLoss(normalizer="focal_weights")


def refuse(block: Array) -> Array:
    """A block that nobody may ask for."""
    raise AssertionError("a block was computed")


def test_building_computes_nothing() -> None:
    """No block of logits, targets or weights is asked for."""
    x, y, w = (da.from_array(LOGITS, 50).map_blocks(refuse, dtype=np.float32) for _ in range(3))
    for loss in (fg.SigmoidFocalLoss(), POSITIVES, FACTORS, fg.SigmoidFocalLoss(reduction="none")):
        everything(loss, x, y, sample_weight=w)
        fg.dask.init_score(loss, y, w)
        fg.dask.posterior(loss, x)
    graph = fg.dask.meter(POSITIVES, x, y, sample_weight=w)
    with pytest.raises(AssertionError, match="a block was computed"):
        graph.compute(scheduler="synchronous")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each function of the core is called by tasks."""
    counted: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any, **keywords: Any) -> Any:
            counted[name] += 1
            return function(*arguments, **keywords)

        return count

    for module, name in ((_core, "piece"), (_core, "exact_denominator"), (_meter, "exact_sums")):
        monkeypatch.setattr(module, name, counting(name, getattr(module, name)))
    return counted


#: Calls of the core for each block: of a loss's value, and of its gradient with anything else.
BLOCKS = 10
CALLS = [
    (fg.SigmoidFocalLoss(), {}),
    (fg.SigmoidFocalLoss(reduction="sum"), {}),
    (POSITIVES, {"exact_denominator": BLOCKS}),
    (FACTORS, {"exact_sums": BLOCKS}),
]


@pytest.mark.parametrize("loss, first", CALLS, ids=[repr(case[0]) for case in CALLS])
def test_one_call_for_each_block(loss: Any, first: Counter[str], calls: Counter[str]) -> None:
    """Logits are read once, but for the two passes of focal weights; denominators take the targets alone."""
    read: Counter[str] = Counter()

    def reading(block: Array, name: str) -> Array:
        read[name] += 1
        return block

    x, y = (
        da.from_array(LOGITS, ROWS // BLOCKS, name=name).map_blocks(reading, name, dtype=np.float32)
        for name in ("logits", "targets")
    )
    x, y = da.abs(x), y > 0

    def counted(*graphs: Any) -> tuple[Counter[str], Counter[str]]:
        calls.clear()
        read.clear()
        dask.compute(*graphs, scheduler="synchronous")
        return calls.copy(), read.copy()

    value = fg.dask.value(loss, x, y)
    assert counted(value) == ({"exact_sums": BLOCKS}, {"logits": BLOCKS, "targets": BLOCKS})
    assert counted(fg.dask.meter(loss, x, y)) == (
        {"exact_sums": BLOCKS},
        {"logits": BLOCKS, "targets": BLOCKS},
    )
    passes = 2 if first else 1
    expected = {"logits": BLOCKS * (2 if loss is FACTORS else 1), "targets": BLOCKS * passes}
    for graphs in (
        [fg.dask.grad(loss, x, y)],
        fg.dask.value_and_grad(loss, x, y),
        fg.dask.grad_and_hess(loss, x, y, hessian="exact"),
    ):
        assert counted(*graphs) == ({"piece": BLOCKS, **first}, expected)


def test_persisted_data_is_not_computed_again() -> None:
    """Two passes over it read the same blocks."""
    persisted = da.from_array(LOGITS, 50).map_blocks(np.negative, dtype=np.float32).persist()
    layers = fg.dask.grad(FACTORS, persisted, persisted).dask.to_dict()
    keys = [key for key in layers if isinstance(key, tuple) and key[0].startswith(persisted.name)]
    assert sorted(keys) == sorted(da.core.flatten(persisted.__dask_keys__()))


@pytest.mark.parametrize("case", CASES, ids=named)
def test_no_block_of_logits_is_cut(case: Case) -> None:
    """The logits' own blocks go into tasks as they are; only targets and weights are cut."""
    logits, targets, weights = case.cut(77)
    graph = fg.dask.value(case.loss, logits, targets, **weights)
    assert {name: graph.dask.layers[name] for name in logits.dask.layers} == dict(logits.dask.layers)
    names = [name for name in graph.dask.layers if name.startswith("rechunk")]
    for name in names:
        assert logits.name not in graph.dask.dependencies[name]


def test_merging_is_a_tree() -> None:
    """No task merges more than 8 results, and depth grows with the logarithm of their number."""
    x = da.from_array(np.zeros(1000), 1)
    graph = fg.dask.value(fg.SigmoidFocalLoss(), x, x).dask.to_dict()
    merges = [key for key in graph if isinstance(key, tuple) and key[0].startswith("focal-merge")]
    assert max(len(get_dependencies(graph, key)) for key in merges) == 8
    depth: dict[Any, int] = {}
    for key in toposort(graph):
        own = key in set(merges)
        depth[key] = own + max((depth[d] for d in get_dependencies(graph, key)), default=0)
    assert max(depth.values()) == 4


class Alive:
    """Counts arrays that are alive, and keeps the most that there were."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = threading.Lock()

    def made(self, array: Array) -> Array:
        """Count one, until it is gone."""
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        weakref.finalize(array, self.gone)
        return array

    def gone(self) -> None:
        """Count one less."""
        with self.lock:
            self.now -= 1


def from_tasks(alive: Alive, blocks: int) -> da.Array:
    """An array of blocks of 100, each made by a task of its own."""
    lazy = [dask.delayed(lambda i=i: alive.made(np.full(100, i % 7 - 3.0)))() for i in range(blocks)]
    return da.concatenate([da.from_delayed(block, (100,), np.float64) for block in lazy])


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("loss", [fg.SigmoidFocalLoss(), POSITIVES, FACTORS], ids=repr)
def test_few_blocks_are_in_memory(loss: Any, scheduler: str) -> None:
    """However many there are, value and gradient keep a few at a time, in the second pass as in the first."""
    alive = Alive()
    x, y = from_tasks(alive, 60), from_tasks(alive, 60) > 0
    graphs = [fg.dask.value(loss, x, y), abs(fg.dask.grad(loss, x, y)).sum()]
    for graph in graphs:
        alive.most = 0
        dask.compute(graph, scheduler=scheduler, num_workers=2)
        assert 0 < alive.most <= 12


KEYS = """
import dask.array as da, numpy as np, focalgrad as fg
from dask.base import tokenize
x = da.from_array(np.arange(100.0), 10)
for loss in (fg.SigmoidFocalLoss([0.5, 0.25], 2.0, class_axis=0), fg.SoftmaxFocalLoss(normalizer="weights")):
    print(tokenize(loss))
loss = fg.SigmoidFocalLoss(normalizer="positives")
y = np.arange(100) % 2
graphs = [fg.dask.value(loss, x, y), *fg.dask.value_and_grad(loss, x, y, sample_weight=y)]
graphs += [fg.dask.meter(loss, x, y), fg.dask.init_score(loss, y), fg.dask.posterior(loss, x)]
print(sorted(map(str, {key for graph in graphs for key in graph.__dask_graph__()})))
"""


def test_equal_calls_have_equal_keys() -> None:
    """In another process, too."""
    with dask.config.set({"tokenize.ensure-deterministic": True}):
        one = fg.SigmoidFocalLoss(alpha=[0.5, 0.25], class_axis=0)
        other = fg.SigmoidFocalLoss(np.array([0.5, 0.25]), 2, class_axis=0)
        assert tokenize(one) == tokenize(other) != tokenize(one.replace(gamma=1.0))
    outputs = {output_from(KEYS, PYTHONHASHSEED=seed) for seed in ("1", "2")}
    assert len(outputs) == 1


def test_other_calls_have_other_keys() -> None:
    """The loss, the targets, the weights and what is computed are part of the names."""
    x = da.from_array(LOGITS, 100)
    y = LOGITS > 0
    losses = (fg.SigmoidFocalLoss(), fg.SigmoidFocalLoss(gamma=1.0), POSITIVES)
    names = [graph.name for loss in losses for graph in everything(loss, x, y)[:2]]
    names += [fg.dask.grad(losses[0], x, ~y).name, fg.dask.grad(losses[0], x, y, sample_weight=2.0).name]
    assert len(set(names)) == len(names)


ONE_THREAD = """
import threading, numpy as np, dask, dask.array as da, focalgrad as fg
from pathlib import Path
fg.set_num_threads(2)
def workers():
    return sum(p.read_text().startswith("focalgrad") for p in Path("/proc/self/task").glob("*/comm"))
x = np.zeros(1 << 20, np.float32)
loss = fg.SigmoidFocalLoss(normalizer="positives")
blocks = da.from_array(x, 1 << 19)
graphs = [*fg.dask.value_and_grad(loss, blocks, blocks), fg.dask.meter(loss, blocks, blocks)]
dask.compute(*graphs, scheduler="threads")
assert workers() == 0, workers()
assert fg.get_num_threads() == 2
loss(x, x)
assert workers() == 1, workers()
print("one thread")
"""


def test_a_task_runs_on_one_thread() -> None:
    """The core starts none of its own there; calls outside go on using as many as were set."""
    assert output_from(ONE_THREAD, FOCALGRAD_NUM_THREADS="") == "one thread"


def test_the_limit_is_one_of_the_calling_thread() -> None:
    """It ends with the task, also where that fails."""
    x = da.from_array(COLUMNS, (100, 4))
    with pytest.raises(ValueError, match="targets must be class indices"):
        fg.dask.value(fg.SoftmaxFocalLoss(), x, np.full(ROWS, 4)).compute(scheduler="synchronous")
    assert _core.limit_this_thread(1024) == 1024


@pytest.fixture(autouse=True)
def _no_cluster() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"):
        yield
