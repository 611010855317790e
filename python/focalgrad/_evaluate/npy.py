"""Files of NumPy: .npy, and members of .npz archives."""

from __future__ import annotations

import contextlib
import math
import os
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from focalgrad._evaluate.errors import BadData, shown


@dataclass(frozen=True)
class NpyFile:
    """An open array in a file, whose header was read and whose size was checked.

    `numpy.load` maps a file as a whole, and every page that was touched stays resident; it also opens
    pickles. Here each piece is a map of its own, which goes when the piece does.
    """

    path: str
    handle: IO[bytes]
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int
    mapped: bool = True  # else decompressed as it is read
    member: str | None = None

    def again(self) -> contextlib.AbstractContextManager[NpyFile]:
        """Open a file that was closed: of a thousand parts one at a time is open."""
        return NpyFile.open(self.path, self.member)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str, member: str | None = None) -> Iterator[NpyFile]:
        """Open and check a file; whatever may be wrong with it is a `BadData`."""
        with contextlib.ExitStack() as stack:
            try:
                handle = stack.enter_context(open(path, "rb"))
                status = os.fstat(handle.fileno())
            except (OSError, ValueError) as error:  # ValueError: a null character in the name
                raise BadData(f"{shown(path)}: {getattr(error, 'strerror', None) or error}") from None
            if not stat.S_ISREG(status.st_mode):
                raise BadData(f"{shown(path)}: not a regular file; a pipe cannot be memory-mapped")
            if member is None:
                yield cls._read(path, handle, status.st_size)
                return
            info = _find_member(handle, path, member)
            if info.compress_type == zipfile.ZIP_STORED:
                yield cls._read(path, handle, _seek_member(handle, path, info), member=member)
                return
            archive = stack.enter_context(zipfile.ZipFile(handle))
            stream = stack.enter_context(archive.open(info))
            yield cls._read(path, stream, info.file_size, mapped=False, member=member)

    @classmethod
    def _read(
        cls, path: str, handle: IO[bytes], end: int, *, mapped: bool = True, member: str | None = None
    ) -> NpyFile:
        file = cls(path, handle, *cls._header(path, handle), handle.tell(), mapped, member)
        needs = file.offset + file.size * file.dtype.itemsize
        if end < needs:
            raise BadData(f"{shown(path)}: truncated: {end:,} bytes, its header speaks of {needs:,}")
        return file

    @staticmethod
    def _header(name: str, handle: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        reading = np.lib.format
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a header written by Python 2
                version = reading.read_magic(handle)
                read = {(1, 0): reading.read_array_header_1_0, (2, 0): reading.read_array_header_2_0}[version]
                shape, fortran, dtype = read(handle)
        except OSError as error:
            raise BadData(f"{shown(name)}: {error.strerror or error}") from None
        except Exception:  # the header is Python text from a stranger; its parser raises half a dozen types
            raise BadData(f"{shown(name)}: not a .npy file, or its header is damaged") from None
        if dtype.hasobject:
            raise BadData(f"{shown(name)}: holds Python objects, which are never loaded; takes plain numbers")
        if min(shape, default=0) < 0 or dtype.itemsize == 0 or dtype.subdtype is not None:
            raise BadData(f"{shown(name)}: its header is damaged: shape {shape}, dtype {shown(dtype)}")
        return shape, fortran, dtype

    def describe(self) -> dict[str, Any]:
        """Path, dtype and shape, as the report has them."""
        return {"path": self.path, "dtype": str(self.dtype), "shape": list(self.shape)}

    def piece(self, start: int, stop: int) -> NDArray[Any]:
        """Elements from start to stop, in the order of the file."""
        offset = self.offset + start * self.dtype.itemsize
        try:
            if not self.mapped:
                self.handle.seek(offset)
                return np.frombuffer(self.handle.read((stop - start) * self.dtype.itemsize), self.dtype)
            mapped = np.memmap(self.handle, self.dtype, "r", offset, shape=(stop - start,))
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:  # cut short since, for one
            raise BadData(f"{shown(self.path)}: cannot be read: {error}") from None
        # Another program's header may leave the numbers unaligned; only then this copies the piece.
        return np.asarray(np.require(mapped, requirements="A"))


def _find_member(handle: IO[bytes], path: str, member: str) -> zipfile.ZipInfo:
    """Look a member up in the directory of an archive."""
    try:
        with zipfile.ZipFile(handle) as archive:
            names = {name.removesuffix(".npy"): name for name in archive.namelist()}
            if member not in names:
                known = ", ".join(map(shown, names)) or "none"
                raise BadData(f"{shown(path)}: no member {shown(member)!r}; it has {known}")
            return archive.getinfo(names[member])
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise BadData(f"{shown(path)}: not a .npz file, or damaged: {shown(error)}") from None


def _seek_member(handle: IO[bytes], path: str, info: zipfile.ZipInfo) -> int:
    """Go to the start of a member that is not compressed, and tell where it ends."""
    handle.seek(info.header_offset)
    header = handle.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise BadData(f"{shown(path)}: damaged: {shown(info.filename)} is not where its directory says")
    # The header at this place has a name and extra fields of lengths that the directory does not tell.
    start = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
    handle.seek(start)
    return int(start + info.file_size)
