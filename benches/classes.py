"""Speed of losses with classes: against C, against a copy of the logits, and what options cost.

    python benches/classes.py                      everything, some twenty minutes on two quiet cores
    python benches/classes.py --only 'against C'   rows whose name matches a regular expression
    python benches/classes.py --only 'against C.*cache' --rounds 3     the quickest look at the kernels

Gamma is 2, logits are float32, class indices int64, outputs reused. See README.md in this folder for how the
tables are made and read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import focalgrad as fg
import single
from context import IN_CACHE, OURS
from measure import Contender, Local
from rows import OVER_CACHE, SETTINGS, Bar, Row
from work import IN_CACHE_BYTES, Arena

COPY, COMPILED, PLAIN = "copy", "torch.compile", "plain"


class Threaded(Local):
    """A statement timed with a number of threads of its own."""

    def __init__(self, threads: int, statement: str, namespace: dict[str, Any]):
        super().__init__(statement, namespace)
        self._threads = threads

    def seconds(self, number: int) -> float:
        """As of `Local`."""
        with fg.num_threads(self._threads):
            return super().seconds(number)


class Arrays:
    """Logits, class indices, one-hot and soft labels of one shape, and an output.

    Parameters
    ----------
    shape : tuple of int
        Of the logits.
    axis : int
        The class axis.
    dtype : str, optional
        Of the logits.
    """

    def __init__(self, shape: tuple[int, ...], axis: int, dtype: str = "float32"):
        random, arena = np.random.default_rng(20170807), Arena()
        size, rest = math.prod(shape), shape[:axis] + shape[axis + 1 :] if axis >= 0 else shape[:-1]
        self.axis, self.classes = axis, shape[axis]
        logits = (3 * random.standard_normal(size, dtype=np.float32)).astype(dtype)
        self.x = arena.copy(logits).reshape(shape)
        self.indices = arena.copy(random.integers(0, self.classes, math.prod(rest))).reshape(rest)
        self.out = arena.empty(size, dtype).reshape(shape)

    def one_hot(self) -> np.ndarray:
        """The labels of the class indices."""
        shape = [1] * self.x.ndim
        shape[self.axis] = -1
        own = np.arange(self.classes).reshape(shape)
        return (np.expand_dims(self.indices, self.axis) == own).astype(self.x.dtype)

    def soft(self) -> np.ndarray:
        """Labels between 0 and 1 that add up to 1 over the classes."""
        return np.float32(0.9) * self.one_hot() + np.float32(0.1 / self.classes)


def in_cache(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """The shape with so few positions that logits and gradient stay in the second-level cache."""
    elements = max(1, IN_CACHE_BYTES // 4 // shape[axis])
    return (elements, shape[-1]) if axis < 0 else (1, shape[1], elements)


def ours(
    arrays: Arrays, loss: Any, y: np.ndarray, threads: int, name: str = OURS, **options: Any
) -> Contender:
    """Mean and gradient with these options."""
    call = Threaded(
        threads,
        "f(x, y, grad_out=out, **options)",
        {"f": loss.value_and_grad, "x": arrays.x, "y": y, "out": arrays.out, "options": options},
    )
    return Contender(name, call, arrays.x.size)


def per_thread(contender: Contender, threads: int) -> Contender:
    """A contender of one thread as if each of several did as much."""
    return Contender(IN_CACHE, contender.stopwatch, contender.units * threads)


def compiled(arrays: Arrays, threads: int) -> list[Contender]:
    """Forward and backward of the softmax focal loss through `torch.compile`, where torch is installed."""
    try:
        import torch
    except ImportError:
        return []
    torch.set_num_threads(threads)
    x, y = torch.from_numpy(arrays.x), torch.from_numpy(arrays.indices)

    @torch.compile
    def loss(x: Any, y: Any) -> Any:
        nll = torch.nn.functional.cross_entropy(x, y, reduction="none")
        return ((1 - torch.exp(-nll)) ** 2 * nll).mean()

    def call() -> None:
        leaf = x.detach().requires_grad_()
        loss(leaf, y).backward()

    return [Contender(COMPILED, Local("call()", {"call": call}), arrays.x.size)]


def memory_row(
    name: str, loss: Any, shape: tuple[int, ...], axis: int, limit: float, threads: int, peer: bool
) -> Row:
    """Class indices, from memory: against a copy of the logits and the same in cache."""

    def build(programs: Any) -> list[Contender]:
        arrays, small = Arrays(shape, axis), Arrays(in_cache(shape, axis), axis)
        found = [ours(arrays, loss, arrays.indices, threads)]
        found += [per_thread(ours(small, loss, small.indices, 1), threads)]
        if programs is not None:
            flat = (array.reshape(-1) for array in (arrays.x, arrays.out, arrays.indices))
            found += [Contender(COPY, programs.copy_and_read(threads, *flat), arrays.x.size)]
        return found + (compiled(arrays, threads) if peer else [])

    checks: tuple[tuple[Bar, ...], ...] = ((Bar((COPY,), limit), Bar((IN_CACHE,), OVER_CACHE)),)
    checks += ((Bar((COMPILED,), 3, faster=True),),) if peer else ()
    return Row(name, SETTINGS, build, checks)


@dataclass(frozen=True)
class AgainstC:
    """A softmax loss against the better of the two C programs of `softmax.c`.

    Parameters
    ----------
    classes : int
        Number of classes.
    limit : float
        How many times as fast it must be.
    size : int, optional
        Logits in all, so few by default that they stay in cache.
    threads : int, optional
        Of both.
    axis : int, optional
        The class axis: the last (-1) or the first of two (0).
    dtype : str, optional
        Of the logits.
    dense : bool, optional
        Whether the targets are one-hot, else class indices.
    mean : bool, optional
        Whether the mean is all that is computed.
    """

    classes: int
    limit: float
    size: int = 60_000
    threads: int = 1
    axis: int = -1
    dtype: str = "float32"
    dense: bool = False
    mean: bool = False

    def row(self) -> Row:
        """As a row of the table."""
        place = "in cache" if self.size <= 60_000 else f"{self.size:,} logits"
        parts = [f"softmax against C, {self.classes} classes", place, f"{self.threads} thread(s)"]
        parts += ["class axis first"] if self.axis == 0 else []
        parts += [self.dtype] if self.dtype != "float32" else []
        parts += ["one-hot"] if self.dense else []
        parts += ["mean alone"] if self.mean else []
        checks = ((Bar(("C by rows", "C by blocks"), self.limit, faster=True),),)
        return Row(", ".join(parts), SETTINGS, self._build, checks)

    def _build(self, programs: Any) -> list[Contender]:
        rows = max(1, self.size // self.classes)
        shape = (rows, self.classes) if self.axis else (self.classes, rows)
        arrays = Arrays(shape, self.axis, self.dtype)
        targets = arrays.one_hot() if self.dense else arrays.indices
        loss = fg.SoftmaxFocalLoss(class_axis=self.axis)
        if self.mean:
            call = Threaded(self.threads, "f(x, y)", {"f": loss, "x": arrays.x, "y": targets})
            found = [Contender(OURS, call, arrays.x.size)]
        else:
            found = [ours(arrays, loss, targets, self.threads)]
        if programs is not None:
            grad = None if self.mean else np.zeros_like(arrays.x)
            against = programs.softmax(self.threads, arrays.x, targets, grad, self.axis)
            found += [Contender(name, call, arrays.x.size) for name, call in against.items()]
        return found


def against_c(size: int, threads: int) -> list[AgainstC]:
    """What is compared with C: bars by number of classes."""
    found = []
    for classes in (2, 3, 5, 10, 16, 21, 32, 64, 100, 1000, 32_000):
        limit = 2 if classes <= 32 else {64: 1.6, 100: 1.3}.get(classes, 1.1)
        found.append(AgainstC(classes, 2 if classes <= 64 else 1.3))
        found += [AgainstC(classes, limit, size, count) for count in sorted({1, threads})]
    for classes in (2, 10, 100, 1000):
        found += [
            AgainstC(classes, 1.2, mean=True),
            AgainstC(classes, 1.2, dense=True),
            AgainstC(classes, 1.2, dtype="float64"),
        ]
    found += [AgainstC(classes, 1.2, axis=0) for classes in (2, 21, 80, 150)]
    return found


@dataclass(frozen=True)
class Option:
    """A call with an option, and the plain call that it is compared with.

    Parameters
    ----------
    name : str
        The option.
    limit : float
        How many times as long it may take.
    loss, plain : SigmoidFocalLoss or SoftmaxFocalLoss
        With it and without.
    labels, plain_labels : callable
        The targets of both.
    weighted : bool, optional
        Whether each row has a weight.
    """

    name: str
    limit: float
    loss: Any
    plain: Any
    labels: Callable[[Arrays], np.ndarray]
    plain_labels: Callable[[Arrays], np.ndarray]
    weighted: bool = False

    def row(self, shape: tuple[int, int], threads: int) -> Row:
        """The option on rows of classes."""

        def build(_: Any) -> list[Contender]:
            arrays = Arrays(shape, -1)
            weights = np.linspace(0.5, 2, shape[0], dtype=np.float32)
            given = {"sample_weight": weights} if self.weighted else {}
            return [
                ours(arrays, self.loss, self.labels(arrays), threads, **given),
                ours(arrays, self.plain, self.plain_labels(arrays), threads, PLAIN),
            ]

        return Row(f"{self.name}, {shape[1]} classes", SETTINGS, build, ((Bar((PLAIN,), self.limit),),))


def options(classes: int) -> list[Option]:
    """What is compared with a plain call."""
    random = np.random.default_rng(1)
    alpha, gamma, weight = (random.uniform(*ends, classes) for ends in ((0.1, 0.9), (1, 3), (0.5, 2)))
    softmax, sigmoid = fg.SoftmaxFocalLoss(), fg.SigmoidFocalLoss(class_axis=-1)
    indices, one_hot, soft = (lambda arrays: arrays.indices), Arrays.one_hot, Arrays.soft
    found = []
    for title, loss in (("softmax", softmax), ("sigmoid", sigmoid)):
        for name, changed, plain in (
            ("alpha by class", loss.replace(alpha=alpha), loss),
            ("gamma by class (against 1.7)", loss.replace(gamma=gamma), loss.replace(gamma=1.7)),
            ("label_smoothing", loss.replace(label_smoothing=0.1), loss),
        ):
            limit = 3 if name == "label_smoothing" else 1.3
            found.append(Option(f"{title}, {name}", limit, changed, plain, indices, indices))
    weighted = sigmoid.replace(class_weight=weight)
    found.append(Option("sigmoid, class_weight", 1.3, weighted, sigmoid, indices, indices))
    for title, loss in (("softmax", softmax), ("sigmoid", sigmoid)):
        found.append(Option(f"{title}, a weight for each row", 1.3, loss, loss, indices, indices, True))
    found += [
        Option("softmax, one-hot labels", 3, softmax, softmax, one_hot, indices),
        Option("softmax, soft labels", 3, softmax, softmax, soft, indices),
    ]
    for meaning in ("mixture", "expected", "quality"):
        loss = fg.SigmoidFocalLoss(soft_targets=meaning)
        found.append(Option(f"sigmoid, soft labels, {meaning}", 3, loss, loss, soft, one_hot))
    return found


def all_rows(size: int, threads: int) -> list[Row]:
    """Every row."""
    rows = [compared.row() for compared in against_c(size // 4, threads)]
    for classes in (2, 10, 100, 1000, 32_000):
        shape, name = (size // classes, classes), f"softmax, {classes} classes, last axis"
        rows.append(memory_row(name, fg.SoftmaxFocalLoss(), shape, -1, 1.9, threads, True))
    for classes in (21, 80):
        shape = (2, classes, size // classes // 2)
        name, loss = f"softmax, {classes} classes, axis 1", fg.SoftmaxFocalLoss(class_axis=1)
        rows.append(memory_row(name, loss, shape, 1, 1.9, threads, True))
        name, loss = f"sigmoid, {classes} classes, axis 1", fg.SigmoidFocalLoss(class_axis=1)
        rows.append(memory_row(name, loss, shape, 1, 1.6, threads, False))
    for classes in (10, 80):
        rows += [option.row((size // classes, classes), threads) for option in options(classes)]
    return rows


if __name__ == "__main__":
    single.main("mean and gradient", ("size", 16_000_000, "logits of the arrays in memory"), all_rows)
