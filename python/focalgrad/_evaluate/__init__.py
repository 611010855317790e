"""Evaluation of losses on data of any size, and where the losses come from.

=================  ====================================================================
`run`              one pass over the data
`sources`          which files are read, and as what
`npy`, `pieces`    arrays in files, and how they are cut; `arrays` in memory
`columns`          tables in files; `formats` has their readers
`units`            what is counted: elements or rows
`evaluation`       the state that is kept: sums of fixed size that can be merged
`adding`           how a piece is added to it, plain labels in one walk
`totals`, `bins`   of losses, and by difficulty
`classes`          by class; `groups` by a column; `hardest`, `reliability`
`numbers`          all of it as a dictionary; `text` as a table
`report`           as a page; `curves` and `plots` are its pictures
`output`           files of losses; `progress`; `errors`
=================  ====================================================================

Nothing is imported before it is needed, NumPy apart.
"""

from __future__ import annotations

from typing import Any

_HOMES = {
    "BadData": "errors",
    "shown": "errors",
    "NpyFile": "npy",
    "CHUNK": "pieces",
    "Evaluation": "evaluation",
    "evaluate": "run",
}


def __getattr__(name: str) -> Any:
    """Import a name from its module when it is first asked for."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
