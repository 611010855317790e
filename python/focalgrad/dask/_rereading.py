"""A second reading of an array in the same graph, so that blocks need not stay in memory between two passes.

A scheduler keeps a block until every task that needs it has run. Where a second pass over the data waits for
the end of a first one, that would be all of them. Here the tasks behind an array get other keys, so that each
pass has blocks of its own. What is no task but data, from NumPy or persisted, is the same for both.

(`dask.graph_manipulation.clone` is made for this, but leaves the keys in tasks of the newer kind as they
were: dask/dask#12455.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask.array as da
from dask._task_spec import Alias, GraphNode, Task, convert_legacy_graph
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer


def again(key: Any) -> Any:
    """Give the key of the second reading."""
    if isinstance(key, tuple) and key and isinstance(key[0], str):
        return (again(key[0]), *key[1:])
    return f"{key}-again" if isinstance(key, str) else ("again", key)


def has_tasks(layer: Mapping[Any, Any], nodes: Mapping[Any, GraphNode]) -> bool:
    """Say whether something is computed in a layer. A future, which stands for what is persisted, is not."""
    return any(isinstance(nodes.get(key), Task | Alias) for key in layer)


def reread(array: da.Array) -> da.Array:
    """Give the same array with its tasks under other keys."""
    graph: Any = array.__dask_graph__()
    every = {key for layer in graph.layers.values() for key in layer}
    nodes = {name: convert_legacy_graph(layer, every) for name, layer in graph.layers.items()}
    computed = {name for name, layer in graph.layers.items() if has_tasks(layer, nodes[name])}
    if array.name not in computed:
        return array
    keys = {key: again(key) for name in computed for key in graph.layers[name]}
    layers, dependencies = {}, {}
    for name, layer in graph.layers.items():
        others = graph.dependencies[name]
        if name in computed:
            tasks = {keys[key]: node.substitute(keys, key=keys[key]) for key, node in nodes[name].items()}
            layer = MaterializedLayer(tasks, annotations=layer.annotations)
            name, others = again(name), {again(other) if other in computed else other for other in others}
        layers[name], dependencies[name] = layer, others
    return da.Array(HighLevelGraph(layers, dependencies), again(array.name), array.chunks, meta=array._meta)
