"""What ``focalgrad evaluate`` computes: focal loss and cross entropy of two .npy files, piece by piece.

Nothing the size of a file is ever held: memory is proportional to a piece. Losses and gradients come from
focalgrad; this module only adds them up.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

import focalgrad as fg

# Elements in a piece: enough work for every thread, and what NumPy allocates beside it stays in the cache.
CHUNK = 1 << 18
REPEATS = 3
# An element's group is 2 * positive + hard; one bin more takes the elements whose loss is NaN.
NAN_BIN = 4
GROUPS = {
    "positives": [2, 3],
    "easy_positives": [2],
    "hard_positives": [3],
    "negatives": [0, 1],
    "easy_negatives": [0],
    "hard_negatives": [1],
    "easy": [0, 2],
    "hard": [1, 3],
}


class BadData(Exception):
    """Input that cannot be evaluated; the message is the line that the user reads."""


def shown(text: object) -> str:
    """Text that stays on one line and can be printed: file names may hold anything."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


@dataclass(frozen=True)
class NpyFile:
    """An open .npy file whose header was read and whose size was checked.

    `numpy.load` maps a file as a whole, and every page that was touched stays resident; it also opens
    archives and pickles. Here each piece is a map of its own, which goes when the piece does.
    """

    path: str
    handle: IO[bytes]
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str) -> Iterator[NpyFile]:
        """Open and check a file; whatever may be wrong with it is a `BadData`."""
        with contextlib.ExitStack() as stack:
            try:
                handle = stack.enter_context(open(path, "rb"))
                status = os.fstat(handle.fileno())
            except (OSError, ValueError) as error:  # ValueError: a null character in the name
                raise BadData(f"{shown(path)}: {getattr(error, 'strerror', None) or error}") from None
            if not stat.S_ISREG(status.st_mode):
                raise BadData(f"{shown(path)}: not a regular file; a pipe cannot be memory-mapped")
            file = cls(path, handle, *cls._header(path, handle), handle.tell())
            has, needs = status.st_size, file.offset + file.size * file.dtype.itemsize
            if has < needs:
                raise BadData(f"{shown(path)}: truncated: {has:,} bytes, its header speaks of {needs:,}")
            yield file

    @staticmethod
    def _header(path: str, handle: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        try:
            with warnings.catch_warnings(action="ignore"):
                version = np.lib.format.read_magic(handle)
                readers = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }
                shape, fortran, dtype = readers[version](handle)
        except OSError as error:
            raise BadData(f"{shown(path)}: {error.strerror or error}") from None
        except Exception:  # the header is Python text from a stranger; its parser raises half a dozen types
            raise BadData(f"{shown(path)}: not a .npy file, or its header is damaged") from None
        if dtype.hasobject:
            raise BadData(f"{shown(path)}: holds Python objects, which are never loaded; takes plain numbers")
        if min(shape, default=0) < 0 or dtype.itemsize == 0 or dtype.subdtype is not None:
            raise BadData(f"{shown(path)}: its header is damaged: shape {shape}, dtype {shown(dtype)}")
        return shape, fortran, dtype

    def describe(self) -> dict[str, Any]:
        """Path, dtype and shape, as the report has them."""
        return {"path": self.path, "dtype": str(self.dtype), "shape": list(self.shape)}

    def piece(self, start: int, stop: int) -> NDArray[Any]:
        """Elements from start to stop, in the order of the file."""
        offset = self.offset + start * self.dtype.itemsize
        try:
            mapped = np.memmap(self.handle, self.dtype, "r", offset, shape=(stop - start,))
        except (OSError, ValueError) as error:  # for one: cut short since it was opened
            raise BadData(f"{shown(self.path)}: cannot be read: {error}") from None
        # Another program's header may leave the numbers unaligned; only then this copies the piece.
        return np.asarray(np.require(mapped, requirements="A"))


class Tally:
    """What one loss adds up to, over all pieces.

    Parameters
    ----------
    alpha, gamma
        Parameters of the loss.
    """

    def __init__(self, alpha: float | None, gamma: float) -> None:
        self.sum = fg.SigmoidFocalLoss(alpha, gamma, reduction="sum")
        self.each = fg.SigmoidFocalLoss(alpha, gamma, reduction="none")
        self.total = self.squares = self.seconds = 0.0
        self.low, self.high, self.infinite = math.nan, math.nan, 0
        self.losses, self.slopes = np.zeros(NAN_BIN + 1), np.zeros(NAN_BIN + 1)

    def values(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        """Loss of each element."""
        return np.asarray(self.each(x, y))

    def add(
        self,
        x: NDArray[Any],
        y: NDArray[Any],
        values: NDArray[Any],
        bins: NDArray[np.intp],
        grad: NDArray[Any],
        repeats: int = 1,
    ) -> None:
        """Add a piece: its sum, and each element's loss and gradient to its group; grad is scratch."""
        best = math.inf
        for _ in range(repeats):
            begin = time.perf_counter()
            total, _ = self.sum.value_and_grad(x, y, grad_out=grad)
            best = min(best, time.perf_counter() - begin)
        self.seconds += best
        self.total += float(total)
        slopes = grad.astype(np.float64)
        np.abs(slopes, out=slopes)
        self.squares += float(slopes @ slopes)
        # fmin and fmax pass over NaN as long as there is a number.
        self.low = float(np.fmin(self.low, np.fmin.reduce(values)))
        self.high = float(np.fmax(self.high, np.fmax.reduce(values)))
        self.infinite += int(np.count_nonzero(np.isinf(values)))
        self.losses += np.bincount(bins, values, NAN_BIN + 1)
        self.slopes += np.bincount(bins, slopes, NAN_BIN + 1)

    def summary(self, reduction: str, elements: int) -> dict[str, float | None]:
        """Loss and gradient norm under the reduction asked for."""
        scale = elements if reduction == "mean" and elements else 1
        return {
            "loss": None if reduction == "none" else self.total / scale,
            "gradient_norm": math.sqrt(self.squares) / scale,
            "loss_min": self.low,
            "loss_max": self.high,
        }


def _share(bins: NDArray[Any], chosen: list[int]) -> float:
    whole = float(bins[:NAN_BIN].sum())
    return float(bins[chosen].sum()) / whole if 0 < whole < math.inf else math.nan


@contextlib.contextmanager
def _blaming(logits: NpyFile, targets: NpyFile) -> Iterator[str]:
    """Turn what focalgrad refuses into a `BadData` that names the files."""
    names = f"{shown(logits.path)} and {shown(targets.path)}"
    try:
        yield names
    except (TypeError, ValueError) as error:
        raise BadData(f"{names}: {shown(error)}") from None


def _admit(logits: NpyFile, targets: NpyFile, loss: fg.SigmoidFocalLoss) -> np.dtype[Any]:
    """Check that the files go together and suit the loss; return the dtype of the gradient."""
    with _blaming(logits, targets) as names:
        if logits.shape != targets.shape:
            raise BadData(f"{names}: shapes differ: logits {logits.shape}, targets {targets.shape}")
        if logits.fortran != targets.fortran and sum(n != 1 for n in logits.shape) > 1:
            raise BadData(f"{names}: one is in C order, one in Fortran order; save both in the same")
        # An empty call: focalgrad itself says which dtypes it takes, before the files are read.
        _, grad = loss.value_and_grad(np.empty(0, logits.dtype), np.empty(0, targets.dtype))
        return np.asarray(grad).dtype


def _check_targets(targets: NDArray[Any], start: int, file: NpyFile) -> None:
    """Refuse targets outside [0, 1], which the library does not check; NaN passes, the loss shows it."""
    if np.fmin.reduce(targets) < 0 or np.fmax.reduce(targets) > 1:
        first = int(np.argmax((targets < 0) | (targets > 1)))
        found = f"element {start + first:,} of the file is {targets[first]}"
        raise BadData(f"{shown(file.path)}: targets are 0 or 1, but {found}")


class Found:
    """What kinds of elements the files hold."""

    def __init__(self) -> None:
        self.counts = np.zeros(NAN_BIN + 1, np.int64)
        self.positives = self.nan_logits = 0

    def add(self, x: NDArray[Any], y: NDArray[Any], focal: Tally, entropy: Tally, grad: NDArray[Any]) -> None:
        """Sort a piece into groups and add it to both tallies."""
        positive = y >= 0.5
        # The sign of the logit says whether p_t is above 0.5; a logit of 0 is hard for either label.
        bins = np.where(positive, x <= 0, x >= 0).astype(np.intp)  # intp: what bincount would convert to
        bins += 2 * positive
        values = focal.values(x, y)
        bins[np.isnan(values)] = NAN_BIN
        self.counts += np.bincount(bins, minlength=NAN_BIN + 1)
        self.positives += int(np.count_nonzero(positive))
        self.nan_logits += int(np.count_nonzero(np.isnan(x)))
        # By now all of the piece is in memory: the clock that runs in there does not see the disk.
        focal.add(x, y, values, bins, grad, REPEATS)
        entropy.add(x, y, entropy.values(x, y), bins, grad)

    def summary(self, elements: int) -> dict[str, float]:
        """Give the counts as the report has them."""
        return {
            "positives": self.positives,
            "positive_share": self.positives / elements if elements else math.nan,
            "nan_logits": self.nan_logits,
            "nan_losses": int(self.counts[NAN_BIN]),
        }


def evaluate(
    logits: NpyFile,
    targets: NpyFile,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
    chunk: int = CHUNK,
) -> dict[str, Any]:
    """Evaluate focal loss and cross entropy on two open files, piece by piece.

    Parameters
    ----------
    logits, targets : NpyFile
        Of the same shape.
    alpha, gamma : float
        Parameters of the focal loss; alpha may be None.
    reduction : {"mean", "sum", "none"}
        What the reported loss is; "none" reports no loss, and the gradient of the sum.
    chunk : int
        Number of elements in a piece.

    Returns
    -------
    dict
        What ``focalgrad evaluate --json`` prints (its help lists the keys), but NaN and infinities as such.

    Raises
    ------
    BadData
        If the shapes differ, focalgrad does not take a dtype, or a target is outside [0, 1].
    """
    begin = time.perf_counter()
    focal, entropy, found = Tally(alpha, gamma), Tally(None, 0.0), Found()
    grad = np.empty(min(chunk, logits.size), _admit(logits, targets, focal.sum))
    for start in range(0, logits.size, chunk):
        stop = min(start + chunk, logits.size)
        x, y = logits.piece(start, stop), targets.piece(start, stop)
        # NumPy warns of what the report says anyway: NaN (signalling ones when compared) and infinities.
        with _blaming(logits, targets), np.errstate(all="ignore"):
            _check_targets(y, start, targets)
            found.add(x, y, focal, entropy, grad[: stop - start])
    bytes_each = logits.dtype.itemsize + targets.dtype.itemsize + grad.dtype.itemsize
    return {
        "version": fg.__version__,
        "call": repr(fg.SigmoidFocalLoss(alpha, gamma, reduction=reduction)),
        "alpha": focal.sum.alpha,
        "gamma": focal.sum.gamma,
        "reduction": reduction,
        "logits": logits.describe(),
        "targets": targets.describe(),
        "rows": logits.shape[0] if logits.shape else 1,
        "elements": logits.size,
        **found.summary(logits.size),
        "infinite_losses": focal.infinite,
        "focal": focal.summary(reduction, logits.size),
        "cross_entropy": entropy.summary(reduction, logits.size),
        "groups": {name: _group(chosen, found.counts, focal, entropy) for name, chosen in GROUPS.items()},
        "timing": _timing(focal.seconds, begin, logits.size, bytes_each, chunk),
    }


def _group(chosen: list[int], counts: NDArray[np.int64], focal: Tally, entropy: Tally) -> dict[str, float]:
    return {
        "count": int(counts[chosen].sum()),
        "share": _share(counts, chosen),
        "loss_share": _share(focal.losses, chosen),
        "gradient_share": _share(focal.slopes, chosen),
        "cross_entropy_loss_share": _share(entropy.losses, chosen),
        "cross_entropy_gradient_share": _share(entropy.slopes, chosen),
    }


def _timing(seconds: float, begin: float, elements: int, bytes_each: int, chunk: int) -> dict[str, Any]:
    config = fg.show_config(mode="dicts") or {}
    return {
        "seconds": seconds,
        "total_seconds": time.perf_counter() - begin,
        "elements_per_second": elements / seconds if seconds else math.nan,
        "gigabytes_per_second": elements * bytes_each / seconds / 1e9 if seconds else math.nan,
        "repeats": REPEATS,
        "chunk": chunk,
        "threads": config.get("threads"),
        "isa": config.get("isa"),
    }
