"""Files that are there as a whole or not at all: losses, gradients or posteriors, row by row."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalgrad._evaluate.columns import format_of
from focalgrad._evaluate.errors import BadData, needed, shown

KINDS = ("losses", "gradients", "posteriors")
#: Bytes that are kept for the header of a .npy file, which is written last.
HEADER = 128

Array = NDArray[Any]


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Give a name to write to; the file gets its own when all is written, and goes if something fails."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise BadData(f"{shown(path)}: cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


class NpyWriter:
    """A .npy file of unknown length."""

    def __init__(self, path: str, shape: tuple[int, ...] | None = None) -> None:
        self._shape = shape
        self._file = open(path, "wb")  # noqa: SIM115 (closed by close and abandon)
        self._file.write(bytes(HEADER))
        self._dtype: np.dtype[Any] | None = None
        self._row: tuple[int, ...] = ()
        self._size = 0

    def write(self, array: Array) -> None:
        """Add rows."""
        if self._dtype is None:
            self._dtype, self._row = array.dtype, array.shape[1:]
        self._size += array.size
        self._file.write(np.ascontiguousarray(array).data)

    def close(self) -> None:
        """Write the header, which says how many rows there are."""
        dtype = self._dtype or np.dtype(np.float64)
        per_row = int(np.prod(self._row)) or 1
        shape = self._shape if self._shape is not None else (self._size // per_row, *self._row)
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        text = repr(header).encode()
        start = b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little")
        self._file.seek(0)
        self._file.write(start + text.ljust(HEADER - 11) + b"\n")
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()


class TableWriter:
    """A Parquet, Arrow or CSV file."""

    def __init__(self, path: str, name: str, column: str) -> None:
        self._path, self._column = path, column
        self._arrow = needed("pyarrow", name)
        kind = format_of(name)
        self._module = needed(
            {"parquet": "pyarrow.parquet", "arrow": "pyarrow.ipc"}.get(str(kind), "pyarrow.csv"), name
        )
        self._kind = kind
        self._writer: Any = None

    def write(self, array: Array) -> None:
        """Add rows; of several columns each is one of a class."""
        columns = [array] if array.ndim == 1 else list(np.ascontiguousarray(array.T))
        names = [self._column] if array.ndim == 1 else [f"{self._column}_{i}" for i in range(len(columns))]
        batch = self._arrow.record_batch([self._arrow.array(each) for each in columns], names=names)
        if self._writer is None:
            make = {"parquet": "ParquetWriter", "arrow": "new_file", "csv": "CSVWriter"}[str(self._kind)]
            self._writer = getattr(self._module, make)(self._path, batch.schema)
        if self._kind == "parquet":
            self._writer.write_batch(batch)
        else:
            self._writer.write(batch)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is None:
            self.write(np.empty(0))
        self._writer.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        if self._writer is not None:
            with contextlib.suppress(Exception):
                self._writer.close()


@contextlib.contextmanager
def writing(path: str, what: str, shape: tuple[int, ...] | None = None) -> Iterator[NpyWriter | TableWriter]:
    """Open a writer for the format that the name of the file says.

    Parameters
    ----------
    path : str
        Ends in .npy, or as one of `columns.FORMATS`.
    what : str
        One of `KINDS`.
    shape : tuple of int, optional
        Of the array in a .npy file, where it is known.
    """
    with replacing(path) as temporary:
        if path.lower().endswith(".npy"):
            writer: NpyWriter | TableWriter = NpyWriter(temporary, shape)
        else:
            writer = TableWriter(temporary, path, {"losses": "loss"}.get(what, what[:-1]))
        try:
            yield writer
            writer.close()
        except BaseException:
            writer.abandon()
            raise


def takes(path: str) -> bool:
    """Whether a file of that name can be written."""
    return path.lower().endswith(".npy") or (
        format_of(path) is not None and path != "-" and not path.endswith(".gz")
    )
