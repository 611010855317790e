"""Tables in files, batch by batch: Parquet, Arrow, Feather and CSV, read by pyarrow."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalgrad._evaluate import formats
from focalgrad._evaluate.errors import BadData, needed, shown
from focalgrad._evaluate.formats import Reader
from focalgrad._evaluate.pieces import CHUNK, Described, Piece

#: How files are read, by the end of their names.
FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
    ".csv": "csv",
    ".csv.gz": "csv",
}
#: Types that NumPy calls by another name.
NUMPY_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}
#: Standard input.
STDIN = "-"


def format_of(path: str) -> str | None:
    """Tell the format of a file by its name; None if it is none of those that are read here."""
    if path == STDIN:
        return "csv"
    return next((kind for end, kind in FORMATS.items() if path.lower().endswith(end)), None)


@dataclass(frozen=True)
class Names:
    """Which columns are what.

    Parameters
    ----------
    logits : tuple of str
        One column of numbers or of lists, or one for each class.
    targets : str
        Labels.
    weight, by : str, optional
        Sample weights; names of groups.
    """

    logits: tuple[str, ...]
    targets: str
    weight: str | None = None
    by: str | None = None

    def all(self) -> list[str]:
        """Every column, once."""
        names = [*self.logits, self.targets, self.weight, self.by]
        return list(dict.fromkeys(name for name in names if name is not None))


class Tables:
    """The rows of one or more files with the same columns, in the order of the files.

    Parameters
    ----------
    paths : sequence of str
        Files; "-" is CSV from standard input.
    names : Names
        Columns to read; no others are.
    label_map : mapping, optional
        The number of each label. Without it labels are numbers.
    chunk : int
        Logits in a batch.
    """

    def __init__(
        self,
        paths: Sequence[str],
        names: Names,
        label_map: Mapping[Any, float] | None = None,
        chunk: int = CHUNK,
    ) -> None:
        self.paths, self.names, self.chunk = list(paths), names, chunk
        self.label_map = None if label_map is None else {str(key): value for key, value in label_map.items()}
        arrow = needed("pyarrow", f"{paths[0]}")
        # pyarrow would take Ctrl-C for itself while it reads CSV.
        arrow.enable_signal_handlers(False)
        self._stack = contextlib.ExitStack()
        self._stdin: Reader | None = None
        self._counts: list[int | None] = []
        self._types: dict[str, Any] = {}
        self._dtype = np.dtype(np.float64)
        self._classes = 0
        for path in self.paths:
            self._look(path)
        known = [count for count in self._counts if count is not None]
        self.rows = sum(known) if len(known) == len(self.paths) else None
        self.elements = None if self.rows is None else self.rows * (self._classes or 1)

    def _look(self, path: str) -> None:
        """Check that a file has the columns, of the types that the first one has; count its rows."""
        with self._opened(path) as reader:
            fields = {field.name: field.type for field in reader.schema}
            missing = [name for name in self.names.all() if name not in fields]
            if missing:
                known = ", ".join(map(shown, list(fields)[:20])) + (", ..." if len(fields) > 20 else "")
                raise BadData(f"{shown(path)}: no column {shown(missing[0])!r}; it has {known}")
            types = {name: fields[name] for name in self.names.all()}
            first = self._types or types
            for name, kind in types.items():
                if kind != first[name]:
                    raise BadData(
                        f"{shown(path)}: column {shown(name)!r} is {kind}, but {first[name]} in "
                        f"{shown(self.paths[0])}"
                    )
            if not self._types:
                self._types = types
                self._check_types(path, types)
            self._counts.append(reader.rows)

    def _check_types(self, path: str, types: Mapping[str, Any]) -> None:
        """Refuse columns that are no numbers where numbers must be."""
        arrow = needed("pyarrow", path)
        kinds = arrow.types
        self._classes = len(self.names.logits) if len(self.names.logits) > 1 else 0
        for name in self.names.logits:
            kind = types[name]
            if self.is_list(kind) and len(self.names.logits) == 1:
                self._classes = getattr(kind, "list_size", 0) or 1
                kind = kind.value_type
            if not (kinds.is_floating(kind) or kinds.is_integer(kind)):
                raise BadData(
                    f"{shown(path)}: column {shown(name)!r} must be numbers or, alone, lists of numbers; "
                    f"got {types[name]}"
                )
            self._dtype = np.dtype(NUMPY_NAMES.get(str(kind), str(kind)))
        target = types[self.names.targets]
        if self.label_map is None and (
            kinds.is_string(target) or kinds.is_large_string(target) or kinds.is_dictionary(target)
        ):
            raise BadData(
                f"{shown(path)}: column {shown(self.names.targets)!r} has labels of type {target}; "
                "a label map says which number each one is"
            )
        others = [] if self.label_map is not None else [self.names.targets]
        others += [] if self.names.weight is None else [self.names.weight]
        for name in others:
            kind = types[name]
            if not (kinds.is_floating(kind) or kinds.is_integer(kind) or kinds.is_boolean(kind)):
                raise BadData(f"{shown(path)}: column {shown(name)!r} must be numbers; got {kind}")

    @staticmethod
    def is_list(kind: Any) -> bool:
        """Whether a type is one of the lists."""
        return str(kind).startswith(("list<", "large_list<", "fixed_size_list<"))

    def describe(self) -> Described:
        """Path, dtype and shape, and the name of the column, of each kind."""
        where = self.paths[0] if len(self.paths) == 1 else f"{self.paths[0]} and {len(self.paths) - 1:,} more"
        classes = [self._classes] if self._classes > 1 else []

        def about(column: str, dtype: Any, more: list[int]) -> dict[str, Any]:
            return {"path": where, "dtype": str(dtype), "shape": [self.rows, *more], "column": column}

        names = self.names
        return Described(
            about(",".join(names.logits), self._dtype, classes),
            about(names.targets, self._types[names.targets], []),
            None if names.weight is None else about(names.weight, self._types[names.weight], []),
        )

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[Reader]:
        """Open a file; standard input is opened once and stays open, since it cannot be read again."""
        if path != STDIN:
            with self._open(path) as reader:
                yield reader
            return
        if self._stdin is None:
            self._stdin = self._stack.enter_context(self._open(path))
        yield self._stdin

    def _open(self, path: str) -> contextlib.AbstractContextManager[Reader]:
        if format_of(path) == "csv":
            return formats.csv(path, self._csv_types())
        return {"parquet": formats.parquet, "arrow": formats.arrow}[format_of(path) or "arrow"](
            path, self.names.all()
        )

    def _csv_types(self) -> dict[str, Any]:
        """Say what text is read as: a first block of whole numbers must not decide for all others."""
        arrow, names = needed("pyarrow", self.paths[0]), self.names
        numbers = [*names.logits, names.weight, *([] if self.label_map is not None else [names.targets])]
        texts = [names.by, *([names.targets] if self.label_map is not None else [])]
        types = {name: arrow.string() for name in texts if name is not None}
        return types | {name: arrow.float64() for name in numbers if name is not None}

    def __iter__(self) -> Iterator[Piece]:
        """Read batch after batch, the next one while the last one is used."""
        first = 0
        rows = max(1, self.chunk // max(self._classes, 1))
        with contextlib.closing(ahead(self._batches(rows))) as batches:
            for path, start, batch in batches:
                piece = self._piece(path, start, batch)
                piece.first = first
                first += batch.num_rows
                yield piece

    def _batches(self, rows: int) -> Iterator[tuple[str, int, Any]]:
        for path in self.paths:
            start = 0
            with self._opened(path) as reader:
                for batch in reader.batches(rows):
                    yield path, start, batch
                    start += batch.num_rows

    def _piece(self, path: str, start: int, batch: Any) -> Piece:
        names = self.names
        read = _Batch(path, start, batch)
        logits = read.logits(names.logits)
        if self.label_map is not None:
            targets = read.labels(names.targets, self.label_map)
        else:
            targets = read.numbers(names.targets)
        weight = None if names.weight is None else read.numbers(names.weight)
        by = None if names.by is None else read.groups(names.by)
        return Piece(logits, targets, weight, by, 0, path, start)


@dataclass(frozen=True)
class _Batch:
    """Columns of some rows of a file as arrays."""

    path: str
    start: int
    batch: Any

    def _column(self, name: str) -> Any:
        column = self.batch.column(name)
        self._refuse_nulls(name, column)
        return column

    def _refuse_nulls(self, name: str, column: Any) -> None:
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise BadData(f"{shown(self.path)}: row {self.start + row:,} has no {shown(name)!r} (null)")

    def numbers(self, name: str) -> NDArray[Any]:
        """Read a column of numbers."""
        return _array(self._column(name))

    def logits(self, names: Sequence[str]) -> NDArray[Any]:
        """Read one column, the lists of one column, or several columns side by side."""
        if len(names) > 1:
            return np.stack([self.numbers(name) for name in names], axis=1)
        column = self._column(names[0])
        if not Tables.is_list(column.type):
            return _array(column)
        flat = column.flatten()
        if flat.null_count:
            self._refuse_nulls(names[0], flat)
        rows = len(column)
        lengths = _array(column.value_lengths())
        if rows and not np.all(lengths == lengths[0]):
            row = int(np.argmax(lengths != lengths[0]))
            raise BadData(
                f"{shown(self.path)}: row {self.start + row:,}: {shown(names[0])!r} has "
                f"{lengths[row]} numbers, "
                f"the first row {lengths[0]}"
            )
        return _array(flat).reshape(rows, -1)

    def labels(self, name: str, numbers: Mapping[str, float]) -> NDArray[Any]:
        """Give labels by their numbers."""
        coded = self._column(name)
        if not str(coded.type).startswith("dictionary"):
            coded = coded.dictionary_encode()
        known = [str(label) for label in coded.dictionary.to_pylist()]
        whole = all(float(number).is_integer() for number in numbers.values())
        table = np.array(
            [numbers.get(label, -1 if whole else np.nan) for label in known], np.int64 if whole else float
        )
        codes = _array(coded.indices)
        strange = np.array([label not in numbers for label in known], bool)
        if strange.any() and strange[codes].any():
            row = int(np.argmax(strange[codes]))
            taken = ", ".join(map(shown, numbers))
            raise BadData(
                f"{shown(self.path)}: row {self.start + row:,} has the label {shown(known[codes[row]])!r}; "
                f"the label map has {taken}"
            )
        return table[codes] if len(table) else np.zeros(0, table.dtype)

    def groups(self, name: str) -> tuple[NDArray[Any], list[Any]]:
        """Give a code for each row, and what the codes stand for; a missing name is a group of its own."""
        coded = self.batch.column(name)
        if not str(coded.type).startswith("dictionary"):
            coded = coded.dictionary_encode(null_encoding="encode")
        codes = _array(coded.indices.fill_null(-1))
        names = coded.dictionary.to_pylist()
        return np.where(codes < 0, len(names), codes), [*names, None]


def _array(column: Any) -> NDArray[Any]:
    """Give the numbers of a column without nulls, in its own memory. `to_numpy` would import pandas."""
    if str(column.type) == "bool":
        column = column.cast("uint8")
    return np.from_dlpack(column)


def ahead(items: Iterator[Any]) -> Generator[Any, None, None]:
    """Take items from an iterator that runs in a thread of its own, one item ahead."""
    waiting: queue.Queue[Any] = queue.Queue(maxsize=2)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((None, None))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=work, name="focalgrad-reader", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stopped.set()
        if sys.exc_info()[0] is None:
            thread.join(timeout=1)
