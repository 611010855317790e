"""Arrays in files, piece by piece: which elements make a piece, and where the classes are in it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalgrad._evaluate.errors import BadData, shown
from focalgrad._evaluate.npy import NpyFile

#: Elements in a piece: enough work for every thread, and what is computed beside it stays in the cache.
CHUNK = 1 << 18

Array = NDArray[Any]


@dataclass
class Piece:
    """Some of the data: logits and what belongs to them.

    Without classes all arrays are one-dimensional. With classes the logits have the shape (k, C), or
    (k, C, m) where the class axis is not the last one.
    """

    logits: Array
    targets: Array
    weight: Array | None = None
    #: For each row a code of its group, and the names that the codes stand for.
    by: tuple[Array, Sequence[Any]] | None = None
    #: The first row among all: a row is a target, or a target of every class.
    first: int = 0
    #: Where its targets come from, and what they are called there, for messages.
    file: str = ""
    first_in_file: int = 0
    called: str = "row"


@dataclass
class Described:
    """What a source says of itself, as `to_dict` has it."""

    logits: dict[str, Any] = field(default_factory=dict)
    targets: dict[str, Any] = field(default_factory=dict)
    weight: dict[str, Any] | None = None


@dataclass(frozen=True)
class Shape:
    """The shape of logits as (outer, classes, inner); outer elements alone where there are no classes."""

    outer: int
    classes: int | None = None
    inner: int = 1

    @classmethod
    def of(cls, shape: Sequence[int], class_axis: int | None, fortran: bool = False) -> Shape:
        """Split a shape at the class axis; numbers in Fortran order are those of the reversed shape."""
        if class_axis is None:
            return cls(math.prod(shape))
        if not -len(shape) <= class_axis < len(shape):
            raise BadData(f"class_axis must be an axis of the logits' shape {tuple(shape)}; got {class_axis}")
        axis = class_axis % len(shape)
        if fortran:
            shape, axis = tuple(shape)[::-1], len(shape) - 1 - axis
        return cls(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))

    @property
    def rows(self) -> int:
        """Number of targets, if they are class indices."""
        return self.outer * self.inner

    def view(self, array: Array) -> Array:
        """Arrange flat logits of whole rows."""
        if self.classes is None:
            return array
        shape = (-1, self.classes) if self.inner == 1 else (-1, self.classes, self.inner)
        return array.reshape(shape)


class NpyParts:
    """Pairs of .npy files, or members of .npz archives, one after the other.

    Parameters
    ----------
    parts : list of (logits, targets, weight) of `NpyFile`
        Their headers; the files are opened again, one part after the other.
    class_axis : int or None
        The loss's.
    chunk : int
        Elements in a piece.
    """

    def __init__(
        self,
        parts: list[tuple[NpyFile, NpyFile, NpyFile | None]],
        class_axis: int | None,
        chunk: int = CHUNK,
    ) -> None:
        self.parts, self.chunk = parts, chunk
        self.shapes = [self._shape(logits, targets, weight, class_axis) for logits, targets, weight in parts]
        first = parts[0]
        for logits, targets, _ in parts:
            for file, other in ((logits, first[0]), (targets, first[1])):
                if file.dtype != other.dtype or file.shape[1:] != other.shape[1:]:
                    raise BadData(
                        f"{shown(file.path)}: parts differ: {file.dtype}, {file.shape}, but "
                        f"{shown(other.path)} "
                        f"has {other.dtype}, {other.shape}"
                    )
        self.elements = sum(logits.size for logits, _, _ in parts)
        self.rows: int | None = sum(logits.shape[0] if logits.shape else 1 for logits, _, _ in parts)

    @staticmethod
    def _shape(logits: NpyFile, targets: NpyFile, weight: NpyFile | None, class_axis: int | None) -> Shape:
        """Check that the files go together."""
        names = f"{shown(logits.path)} and {shown(targets.path)}"
        shape = Shape.of(logits.shape, class_axis, logits.fortran)
        taken = [logits.shape]
        if class_axis is not None:
            axis = class_axis % len(logits.shape)
            taken.append(logits.shape[:axis] + logits.shape[axis + 1 :])
        if targets.shape not in taken:
            raise BadData(f"{names}: shapes differ: logits {logits.shape}, targets {targets.shape}")
        for file in (targets, weight):
            if file is None:
                continue
            if file.fortran != logits.fortran and sum(n != 1 for n in file.shape) > 1:
                raise BadData(
                    f"{shown(logits.path)} and {shown(file.path)}: one is in C order, one in Fortran order; "
                    "save both in the same"
                )
        if weight is not None and weight.shape != targets.shape:
            raise BadData(
                f"{shown(weight.path)}: weights must have the shape of the targets, {targets.shape}; "
                f"got {weight.shape}"
            )
        return shape

    def describe(self) -> Described:
        """Paths, dtypes and shapes: of several files the first path, and all rows."""
        said: list[dict[str, Any] | None] = []
        for files in zip(*self.parts, strict=True):
            one = files[0]
            if one is None:
                said.append(None)
                continue
            about = one.describe()
            if len(files) > 1:
                rows = sum(file.shape[0] if file.shape else 1 for file in files)
                about |= {"shape": [rows, *one.shape[1:]], "files": len(files)}
            said.append(about)
        return Described(said[0] or {}, said[1] or {}, said[2])

    def __iter__(self) -> Iterator[Piece]:
        """Read piece after piece."""
        first = 0
        for files, shape in zip(self.parts, self.shapes, strict=True):
            logits, targets, _ = files
            dense = targets.shape == logits.shape
            with contextlib.ExitStack() as stack:
                again = [None if file is None else stack.enter_context(file.again()) for file in files]
                for file, now in zip(files, again, strict=True):
                    if file is not None and now is not None and file.describe() != now.describe():
                        raise BadData(f"{shown(file.path)}: changed while it was read")
                x, y, w = again
                assert x is not None and y is not None
                for piece in self._pieces(x, y, w, shape, dense):
                    piece.first = first + piece.first_in_file
                    yield piece
            first += shape.rows

    def _pieces(
        self, logits: NpyFile, targets: NpyFile, weight: NpyFile | None, shape: Shape, dense: bool
    ) -> Iterator[Piece]:
        width = (shape.classes or 1) * shape.inner
        if width > self.chunk and shape.inner > 1:
            yield from self._strips(logits, targets, weight, shape, dense)
            return
        step = max(1, self.chunk // max(width, 1))
        per_row = width if dense else shape.inner
        for start in range(0, shape.outer if width else 0, step):
            stop = min(start + step, shape.outer)
            begin, end = start * per_row, stop * per_row
            block = shape if dense else Shape(shape.outer, None if shape.inner == 1 else shape.inner)
            y = block.view(targets.piece(begin, end))
            w = None if weight is None else block.view(weight.piece(begin, end))
            x = shape.view(logits.piece(start * width, stop * width))
            yield Piece(x, y, w, None, 0, targets.path, start * shape.inner, "element")

    def _strips(
        self, logits: NpyFile, targets: NpyFile, weight: NpyFile | None, shape: Shape, dense: bool
    ) -> Iterator[Piece]:
        """Cut along the axes behind the class axis, where one block would be too much."""
        classes, inner = shape.classes or 1, shape.inner
        step = max(1, self.chunk // classes)
        for block in range(shape.outer):
            for start in range(0, inner, step):
                stop = min(start + step, inner)

                def strip(
                    file: NpyFile | None, whole: bool, block: int = block, a: int = start, b: int = stop
                ) -> Any:
                    if file is None:
                        return None
                    if not whole:
                        return file.piece(block * inner + a, block * inner + b)[np.newaxis]
                    rows = [file.piece(base + a, base + b) for base in self._bases(block, classes, inner)]
                    return np.stack(rows)[np.newaxis]

                x = strip(logits, True)
                given = strip(targets, dense), strip(weight, dense)
                yield Piece(x, *given, None, 0, targets.path, block * inner + start, "element")

    @staticmethod
    def _bases(block: int, classes: int, inner: int) -> list[int]:
        return [(block * classes + c) * inner for c in range(classes)]


def open_npy(
    logits: Sequence[str],
    targets: Sequence[str],
    weight: Sequence[str] | None = None,
    members: tuple[str | None, str | None, str | None] = (None, None, None),
    class_axis: int | None = None,
    chunk: int = CHUNK,
) -> NpyParts:
    """Look at files that belong together.

    Parameters
    ----------
    logits, targets, weight : sequence of str
        Paths, as many of each.
    members : tuple of str or None
        Their names in archives.
    class_axis, chunk
        As for `NpyParts`.
    """
    lists = [logits, targets] if weight is None else [logits, targets, weight]
    if len({len(paths) for paths in lists}) > 1:
        counts = ", ".join(str(len(paths)) for paths in lists)
        raise BadData(f"logits, targets and weights must come in as many files each; got {counts}")
    parts = []
    for paths in zip(*lists, strict=True):
        looked = []
        for path, member in zip(paths, members, strict=False):
            with NpyFile.open(path, member) as file:
                looked.append(file)
        parts.append((looked[0], looked[1], looked[2] if weight is not None else None))
    return NpyParts(parts, class_axis, chunk)
