"""Evaluations of files and arrays: one pass over the data."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from focalgrad._evaluate.arrays import pieces_of
from focalgrad._evaluate.columns import Tables
from focalgrad._evaluate.errors import BadData, shown
from focalgrad._evaluate.evaluation import REPEATS, TIMED_OFTEN, Evaluation
from focalgrad._evaluate.pieces import CHUNK, NpyParts, Piece
from focalgrad._evaluate.sources import is_path, open_arrays, open_data
from focalgrad._evaluate.units import Loss, per_element

Source = NpyParts | Tables


def evaluate(
    logits: Any = None,
    targets: Any = None,
    *,
    loss: Loss | None = None,
    gamma: float | Sequence[float] | None = None,
    data: Any = None,
    sample_weight: Any = None,
    by: Any = None,
    label_map: Mapping[Any, float] | None = None,
) -> Evaluation:
    """Evaluate focal loss on arrays or files, and tell which examples it comes from.

    Parameters
    ----------
    logits, targets : array_like, path or str
        Arrays; or paths of .npy files, or patterns such as ``"logits-*.npy"`` or lists of either, whose files
        follow each other; or, with `data`, names of columns. Logits of C classes are one column of lists or a
        list of C names.
    loss : SigmoidFocalLoss or SoftmaxFocalLoss, default SigmoidFocalLoss()
        The loss.
    gamma : float or sequence of float, optional
        Several values of gamma to evaluate in the same pass.
    data : path or sequence of paths, optional
        Parquet, Arrow, Feather, CSV or .npz files, or patterns; logits and targets are then the names of
        their columns or members, "logits" and "targets" unless given.
    sample_weight, by : array_like, path or str, optional
        Weights, and names of groups for which losses are told, of the same kind as logits. Groups need arrays
        or tables.
    label_map : mapping, optional
        The number of each label of a table.

    Returns
    -------
    Evaluation
        With `value`, `to_dict()`, `to_html(path)`, and a picture in notebooks.

    Raises
    ------
    TypeError, ValueError
        For arrays, what a call of the loss raises. For files `ValueError` with one line that says what is
        wrong where: a missing column, nulls, labels outside the classes, a file cut short.

    Notes
    -----
    Files are read in pieces, and may be larger than memory. Tables need pyarrow, which
    ``pip install 'focalgrad[cli]'`` brings.

    Examples
    --------
    >>> import numpy as np
    >>> import focalgrad as fg
    >>> logits, targets = np.array([2.0, -1.0, 0.5, -3.0]), np.array([1, 0, 0, 1])
    >>> found = fg.evaluate(logits, targets, gamma=[2, 0])
    >>> round(found.value, 6)
    0.248018
    >>> [round(each["loss"], 4) for each in found.to_dict()["gammas"]]
    [0.248, 0.4398]
    """
    found = Evaluation(loss, gamma=gamma)
    if data is not None:
        run(found, open_data(found.loss, data, logits, targets, sample_weight, by, label_map))
        found.by = by
        return found
    if is_path(logits) and is_path(targets):
        if by is not None or label_map is not None:
            raise ValueError("by and label_map must be left out for .npy files; got one of them")
        run(found, open_arrays(found.loss, logits, targets, sample_weight))
        return found
    if logits is None or targets is None:
        raise TypeError("logits and targets must be arrays or paths, or data must be given; got None")
    begin = time.perf_counter()
    _arrays(found, logits, targets, sample_weight, by)
    found.source |= {"total_seconds": time.perf_counter() - begin, "chunk": CHUNK}
    return found


def _arrays(found: Evaluation, logits: Any, targets: Any, sample_weight: Any, by: Any) -> None:
    def about(array: Any) -> dict[str, Any] | None:
        if array is None:
            return None
        array = array if hasattr(array, "shape") else np.asarray(array)
        return {"path": None, "dtype": str(getattr(array, "dtype", None)), "shape": list(array.shape)}

    small = int(np.size(logits) if not hasattr(logits, "size") else logits.size) <= TIMED_OFTEN
    for piece in pieces_of(found.loss, logits, targets, sample_weight, by):
        piece.first = found.rows
        found._add(piece, REPEATS if small else 1)
    rows = np.shape(logits)[0] if np.ndim(logits) else 1
    found.source |= {
        "rows": rows,
        "logits": about(logits),
        "targets": about(targets),
        "weight": about(sample_weight),
    }


def run(
    found: Evaluation, source: Source, advance: Any = None, out: Any = None, what: str = "losses"
) -> None:
    """Add all data of a source.

    Parameters
    ----------
    found : Evaluation
        What to add to.
    source : NpyParts or Tables
        The data.
    advance : callable, optional
        Told the number of rows after each piece.
    out : NpyWriter or TableWriter, optional
        What losses, gradients or posteriors are written to.
    what : str
        Which of these.
    """
    begin = time.perf_counter()
    _admit(found, source)
    often = source.elements is not None and source.elements <= TIMED_OFTEN
    for piece in source:
        try:
            found._add(piece, REPEATS if often else 1)
            if out is not None:
                out.write(_written(found, piece, what))
        except (TypeError, ValueError) as error:
            raise _blamed(found, piece, error) from None
        if advance is not None:
            advance(len(piece.logits))
    describe(found, source, begin)


def describe(found: Evaluation, source: Source, begin: float) -> None:
    """Note what was read, and how long everything took."""
    described = source.describe()
    for about in (described.logits, described.targets, described.weight):
        if about is not None and isinstance(source, Tables):
            about["shape"][0] = found.rows
    found.source |= {
        "rows": found.rows if source.rows is None else source.rows,
        "logits": described.logits,
        "targets": described.targets,
        "weight": described.weight,
        "total_seconds": time.perf_counter() - begin,
        "chunk": source.chunk,
    }


def _admit(found: Evaluation, source: Source) -> None:
    """Ask the loss itself which types it takes, before anything is read."""
    if not isinstance(source, NpyParts):
        return
    logits, targets, _ = source.parts[0]
    classes = found.loss.class_axis is not None
    dense = logits.shape == targets.shape
    x = np.empty((0, 1) if classes else 0, logits.dtype)
    y = np.empty(x.shape if dense else 0, targets.dtype)
    try:
        per_element(found.loss).grad(x, y)
    except (TypeError, ValueError) as error:
        raise BadData(f"{shown(logits.path)} and {shown(targets.path)}: {shown(error)}") from None


def _blamed(found: Evaluation, piece: Piece, error: Exception) -> BadData:
    """Name the file, and the row where a class index is wrong."""
    if isinstance(error, BadData):
        return error
    y = piece.targets
    if y.ndim < piece.logits.ndim and "targets" in str(error):
        with np.errstate(invalid="ignore"):
            bad = ~((y >= 0) & (y < piece.logits.shape[1]) & (y == np.floor(y)))
        for index in (found.loss.ignore_index, getattr(found.loss, "background_index", None)):
            if index is not None:
                bad &= ~((y == index) | (np.isnan(index) & np.isnan(y)))
        if bad.any():
            row = int(np.argmax(bad))
            return BadData(
                f"{shown(piece.file)}: targets must be classes from 0 to {piece.logits.shape[1] - 1}, but "
                f"{piece.called} {piece.first_in_file + row:,} of the file is {y.reshape(-1)[row]}"
            )
    return BadData(f"{shown(piece.file)}: {shown(error)}")


def _written(found: Evaluation, piece: Piece, what: str) -> Any:
    """Compute what of a piece goes to the file."""
    loss = per_element(found.loss)
    if what == "posteriors":
        return loss.posterior(piece.logits)
    if what == "gradients":
        return loss.grad(piece.logits, piece.targets, sample_weight=piece.weight)
    return loss(piece.logits, piece.targets, sample_weight=piece.weight)
