"""Readers of Parquet, Arrow and CSV with one face: a schema, how many rows if known, and batches of rows."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from focalgrad._evaluate.errors import BadData, needed, shown

#: Bytes of text that are parsed at a time.
CSV_BLOCK = 1 << 22


@dataclass(frozen=True)
class Reader:
    """An open file."""

    schema: Any
    rows: int | None
    #: Batches of at most so many rows.
    batches: Callable[[int], Iterator[Any]]


@contextlib.contextmanager
def _reading(path: str) -> Iterator[Any]:
    """Say in one line what pyarrow finds wrong with a file."""
    arrow = needed("pyarrow", path)
    try:
        yield arrow
    except BadData:
        raise
    except (OSError, arrow.ArrowException, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise BadData(f"{shown(path)}: cannot be read: {shown(reason)}") from None


def _sliced(batches: Iterator[Any], rows: int) -> Iterator[Any]:
    """Cut batches that are larger."""
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


@contextlib.contextmanager
def parquet(path: str, columns: Sequence[str]) -> Iterator[Reader]:
    """Open a Parquet file. Pages are read as they are needed: a group of rows may be larger than memory."""
    with _reading(path):
        module = needed("pyarrow.parquet", path)
        with module.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:

            def batches(rows: int) -> Iterator[Any]:
                yield from file.iter_batches(rows, columns=list(columns), use_threads=True)

            yield Reader(file.schema_arrow, file.metadata.num_rows, batches)


@contextlib.contextmanager
def arrow(path: str, columns: Sequence[str]) -> Iterator[Reader]:
    """Open a file of Arrow's, which Feather's are too."""
    with _reading(path) as module, module.OSFile(path) as source:
        needed("pyarrow.ipc", path)
        schema = module.ipc.open_file(source).schema
        wanted = [i for i, name in enumerate(schema.names) if name in columns]
        options = module.ipc.IpcReadOptions(included_fields=wanted)
        file = module.ipc.open_file(source, options=options)

        def batches(rows: int) -> Iterator[Any]:
            yield from _sliced((file.get_batch(i) for i in range(file.num_record_batches)), rows)

        yield Reader(schema, None, batches)


@contextlib.contextmanager
def csv(path: str, types: Mapping[str, Any]) -> Iterator[Reader]:
    """Open a CSV file, or standard input if the path is "-"; these columns are read as these types."""
    with _reading(path):
        module = needed("pyarrow.csv", path)
        read = module.ReadOptions(block_size=CSV_BLOCK)
        convert = module.ConvertOptions(column_types=dict(types))
        source = sys.stdin.buffer if path == "-" else path
        file = module.open_csv(source, read_options=read, convert_options=convert)

        def batches(rows: int) -> Iterator[Any]:
            yield from _sliced(file, rows)

        yield Reader(file.schema, None, batches)
