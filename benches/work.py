"""The data of the bench and the calls of focalgrad on them, shared by the driver and its worker processes."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

import focalgrad as fg

ALPHA = 0.25
#: Size of the arrays that are timed in cache: 64 Ki elements of float32, so that two inputs and an output
#: stay in a second-level cache of 1 MiB. Wider types get fewer elements.
IN_CACHE_BYTES = 4 * 64 * 1024

VALUE, MEAN, MEAN_GRAD, GRAD_HESS = "value", "mean", "mean_grad", "grad_hess"


@dataclass(frozen=True)
class Work:
    """One thing to compute.

    Parameters
    ----------
    operation : str
        `VALUE` (an array of losses), `MEAN`, `MEAN_GRAD` (mean and gradient array) or `GRAD_HESS`.
    gamma : float
        The focusing parameter.
    size : int
        Number of logits.
    dtype : str
        Type of the logits.
    targets : str, optional
        Type of the targets, that of the logits if left out.
    """

    operation: str
    gamma: float
    size: int
    dtype: str = "float32"
    targets: str | None = None

    def in_cache(self) -> Work:
        """The same on arrays that stay in the second-level cache."""
        size = IN_CACHE_BYTES // np.dtype(self.dtype).itemsize
        return Work(self.operation, self.gamma, size, self.dtype, self.targets)


class Arena:
    """Arrays on 64-byte boundaries, cut from blocks large enough that NumPy asks for huge pages.

    Small arrays of their own would sit on scattered 4 KiB pages, whose physical addresses collide in the
    second-level cache differently in every process.
    """

    BLOCK = 8 << 20

    def __init__(self):
        self._block = np.empty(0, np.uint8)
        self._used = 0

    def empty(self, size: int, dtype: str) -> np.ndarray:
        """An array of zeros (so its pages are there), aligned to 64 bytes."""
        wanted = size * np.dtype(dtype).itemsize
        if self._used + wanted > self._block.size:
            self._block = np.empty(max(self.BLOCK, wanted) + 64, np.uint8)
            self._block[:] = 0  # the first touch, which np.zeros would leave to the kernel that is timed
            self._used = -self._block.ctypes.data % 64
        array = self._block[self._used : self._used + wanted].view(dtype)
        self._used += -(-wanted // 64) * 64
        return array

    def copy(self, values: np.ndarray) -> np.ndarray:
        """`values` in an array of this arena."""
        array = self.empty(values.size, values.dtype)
        array[...] = values
        return array


def make_data(size: int, dtype: str, targets: str | None = None) -> SimpleNamespace:
    """Logits `x` from N(0, 3), 10 % positive targets `y`, and two outputs `a` and `b`, already touched."""
    random = np.random.default_rng(20170807)
    arena = Arena()
    x = arena.copy((3 * random.standard_normal(size, dtype=np.float32)).astype(dtype))
    y = arena.copy((random.random(size, dtype=np.float32) < 0.1).astype(targets or dtype))
    return SimpleNamespace(x=x, y=y, a=arena.empty(size, dtype), b=arena.empty(size, dtype))


def numpy_like(data: SimpleNamespace) -> SimpleNamespace:
    """The same data in arrays as NumPy allocates them: large ones start 16 bytes behind a page."""
    return SimpleNamespace(x=data.x.copy(), y=data.y.copy(), a=np.zeros_like(data.x), b=data.b)


_CALLS = {
    VALUE: ("none", "loss(x, y, out=a)"),
    MEAN: ("mean", "loss(x, y)"),
    MEAN_GRAD: ("mean", "value_and_grad(x, y, grad_out=a)"),
    GRAD_HESS: ("sum", "grad_and_hess(x, y, grad_out=a, hess_out=b)"),
}


def our_call(operation: str, gamma: float, data: SimpleNamespace) -> tuple[str, dict[str, Any]]:
    """The call of focalgrad for an operation: a statement and the names that it uses."""
    reduction, statement = _CALLS[operation]
    loss = fg.SigmoidFocalLoss(alpha=ALPHA, gamma=gamma, reduction=reduction)
    names = {"loss": loss, "value_and_grad": loss.value_and_grad, "grad_and_hess": loss.grad_and_hess}
    return statement, {**names, **vars(data)}
