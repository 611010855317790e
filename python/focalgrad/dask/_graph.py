"""Graphs: a task for each block, and a tree of tasks that merges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.core import flatten
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import DTypeLike

from focalgrad.dask._arguments import Operand

#: How many results one task merges.
SPLIT_EVERY = 8


def blockwise(
    task: Callable[..., Any],
    axes: tuple[int, ...],
    *operands: Operand | Any,
    dtype: DTypeLike = object,
    **keywords: Any,
) -> da.Array:
    """Make an array with one task for each block; what is no operand goes to each as it is.

    The operands were cut alike before, and sizes may be unknown: nothing is left to align.
    """
    pairs: list[Any] = []
    for operand in operands:
        pairs += operand if isinstance(operand, Operand) else (operand, None)
    meta = np.empty((0,) * len(axes), dtype)
    name = task.__name__.replace("_", "-")
    made: da.Array = da.blockwise(
        task, axes, *pairs, token=f"focal-{name}", dtype=dtype, meta=meta, align_arrays=False, **keywords
    )
    return made


def scalar(array: da.Array) -> Operand:
    """Give the one block of an array without axes to every task."""
    return Operand(array, ())


def each(
    task: Callable[..., Any], array: da.Array, *others: Any, dtype: DTypeLike = object, **keywords: Any
) -> da.Array:
    """Apply a task to every block of an array."""
    axes = tuple(range(array.ndim))
    return blockwise(task, axes, Operand(array, axes), *others, dtype=dtype, **keywords)


def merged(blocks: da.Array, merge: Callable[[list[Any]], Any]) -> da.Array:
    """Merge what is in the blocks, neighbours first, in a tree: into an array without axes."""
    name = f"focal-{merge.__name__.replace('_', '-')}-{tokenize(blocks.name, merge, SPLIT_EVERY)}"
    keys = list(flatten(blocks.__dask_keys__()))
    graph: dict[Any, Any] = {}
    level = 0
    while len(keys) > SPLIT_EVERY:
        groups = [keys[i : i + SPLIT_EVERY] for i in range(0, len(keys), SPLIT_EVERY)]
        keys = [(f"{name}-{level}", i) for i in range(len(groups))]
        graph |= {key: (merge, group) for key, group in zip(keys, groups, strict=True)}
        level += 1
    graph[(name,)] = (merge, keys)
    sources: list[Any] = [blocks]
    layers = HighLevelGraph.from_collections(name, graph, dependencies=sources)
    return da.Array(layers, name, (), meta=np.empty((), object))


def delayed(array: da.Array) -> Delayed:
    """Give what is in the one block of an array without axes."""
    only: Delayed = array.to_delayed().item()
    return only
