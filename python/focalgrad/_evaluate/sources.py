"""What the arguments of `evaluate` mean: which files are read, and as what."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from typing import Any

from focalgrad._evaluate.columns import FORMATS, Names, Tables, format_of
from focalgrad._evaluate.errors import BadData, shown
from focalgrad._evaluate.pieces import CHUNK, NpyParts, open_npy
from focalgrad._evaluate.units import Loss

ARRAYS = (".npy", ".npz")
ENDINGS = ", ".join([*ARRAYS, *FORMATS])


def is_path(what: Any) -> bool:
    """Whether an argument names a file, or several."""
    return isinstance(what, str | os.PathLike) or (
        isinstance(what, list | tuple)
        and bool(what)
        and all(isinstance(each, str | os.PathLike) for each in what)
    )


def expanded(paths: Any) -> list[str]:
    """Every file that a path, a pattern or a list of them stands for; those of a pattern by name."""
    found: list[str] = []
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        text = os.fspath(path)
        if not os.path.lexists(text) and glob.has_magic(text):
            matched = sorted(glob.glob(text, recursive=True))
            if not matched:
                raise BadData(f"{shown(text)}: no file has a name like this")
            found += matched
        else:
            found.append(text)
    return found


def kind_of(path: str) -> str | None:
    """Tell whether a file holds an array, an archive of arrays or a table; None if its name does not say."""
    for ending in ARRAYS:
        if path.lower().endswith(ending):
            return ending[1:]
    return "table" if format_of(path) else None


def open_data(
    loss: Loss,
    data: Any,
    logits: str | Sequence[str] | None,
    targets: str | None,
    weight: str | None,
    by: str | None,
    label_map: Mapping[Any, float] | None,
    chunk: int = CHUNK,
) -> NpyParts | Tables:
    """Open files that hold logits and targets under names: tables or .npz archives."""
    paths = expanded(data)
    kinds = {kind_of(path) for path in paths}
    if len(kinds) > 1:
        raise BadData(f"{shown(paths[0])} and others: files of one format are taken at a time")
    names = [logits] if isinstance(logits, str) else list(logits or ["logits"])
    target = targets or "targets"
    if kinds == {"npz"}:
        if by is not None or label_map is not None:
            raise BadData(f"{shown(paths[0])}: by and label_map are for tables; got an archive of arrays")
        if len(names) > 1:
            raise BadData(f"{shown(paths[0])}: logits must be one member of the archive; got {len(names)}")
        members = (names[0], target, weight)
        return open_npy(paths, paths, paths if weight else None, members, loss.class_axis, chunk)
    if kinds != {"table"}:
        raise BadData(f"{shown(paths[0])}: data must be in files that end in .npz, {', '.join(FORMATS)}")
    if len(names) > 1 and loss.class_axis is None:
        raise BadData(
            f"{shown(paths[0])}: one column of logits is taken by a loss without classes; got {len(names)}"
        )
    return Tables(paths, Names(tuple(names), target, weight, by), label_map, chunk)


def open_arrays(loss: Loss, logits: Any, targets: Any, weight: Any, chunk: int = CHUNK) -> NpyParts:
    """Open .npy files of logits, targets and weights."""
    return open_npy(
        expanded(logits),
        expanded(targets),
        None if weight is None else expanded(weight),
        class_axis=loss.class_axis,
        chunk=chunk,
    )
