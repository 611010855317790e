"""Losses of data in pieces, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from focalgrad._core import SigmoidFocalLoss, SoftmaxFocalLoss
from focalgrad._evaluate.adding import add
from focalgrad._evaluate.arrays import pieces_of
from focalgrad._evaluate.bins import BINS, Sums
from focalgrad._evaluate.classes import ClassTable
from focalgrad._evaluate.groups import Groups
from focalgrad._evaluate.hardest import Hardest
from focalgrad._evaluate.pieces import Piece
from focalgrad._evaluate.reliability import Confidence
from focalgrad._evaluate.totals import Total
from focalgrad._evaluate.units import Loss, Scratch, cross_entropy, per_element

#: Data of at most so many elements are timed as the best of several runs.
TIMED_OFTEN = 1 << 20
REPEATS = 3


class Evaluation:
    """What focal loss sees in data: values, gradients, and which examples they come from.

    Data come in pieces, from arrays or by :func:`focalgrad.evaluate` from files. Nothing the size of the data
    is kept. Evaluations of parts can be merged, in another process too: they pickle.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss, default SigmoidFocalLoss()
        The loss. It is set beside cross entropy: the same loss without alpha, gamma and weights of classes.
    gamma : float or sequence of float, optional
        Several values of gamma to evaluate in the same pass, in place of the loss's own; the first one is
        that of the loss.
    detailed : bool, default True
        Whether softmax losses count how reliable their probabilities are, which takes about as long again.

    Raises
    ------
    TypeError
        If `loss` is no loss of this package.
    ValueError
        If `gamma` is empty or one that the loss refuses.

    Notes
    -----
    An example is easy where p_t > 0.5, the probability of the true class, and hard otherwise. Values are
    those of :class:`FocalLossMeter`, so that neither cuts nor the order of pieces change them.

    References
    ----------
    T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár: Focal loss for dense object detection, ICCV 2017.
    Figure 4 there is the picture of :meth:`to_html`.

    Examples
    --------
    >>> import numpy as np
    >>> import focalgrad as fg
    >>> logits, targets = np.linspace(-3, 3, 1000), np.arange(1000) % 10 == 0
    >>> evaluation = fg.Evaluation(fg.SigmoidFocalLoss(gamma=2.0))
    >>> evaluation.update(logits[:600], targets[:600])
    >>> rest = fg.Evaluation(fg.SigmoidFocalLoss(gamma=2.0))
    >>> rest.update(logits[600:], targets[600:])
    >>> evaluation.merge(rest)
    >>> evaluation.value == fg.evaluate(logits, targets).value
    True
    >>> round(evaluation.to_dict()["groups"]["easy"]["gradient_share"], 3)
    0.063
    """

    def __init__(
        self, loss: Loss | None = None, *, gamma: float | Sequence[float] | None = None, detailed: bool = True
    ) -> None:
        loss = SigmoidFocalLoss() if loss is None else loss
        if not isinstance(loss, SigmoidFocalLoss | SoftmaxFocalLoss):
            raise TypeError(f"loss must be a SigmoidFocalLoss or SoftmaxFocalLoss; got {type(loss).__name__}")
        if gamma is None:
            self._losses = [loss]
        else:
            gammas = list(gamma) if isinstance(gamma, Sequence | np.ndarray) else [gamma]
            if not gammas:
                raise ValueError("gamma must be a number, or one or more numbers; got none")
            self._losses = [_with_gamma(loss, each) for each in gammas]
        self._detailed = bool(detailed)
        self._all: list[Loss] = [cross_entropy(self._losses[0]), *self._losses]
        self._each = [per_element(each) for each in self._all]
        self._clear()

    def _clear(self) -> None:
        self.totals = [Total(each) for each in self._all]
        self.counts = np.zeros(BINS, np.int64)
        self.table = Sums(((len(self._all) + 1) // 2, BINS, 4))
        self.hardest = Hardest()
        self.classes: ClassTable | None = None
        self.groups: Groups | None = None
        self.by: str | None = None
        self.confidence: Confidence | None = None
        self.rows = self.units = self.elements = 0
        self.positives = self.nan_logits = 0
        #: Of value and gradient of the loss, for so many elements as were timed.
        self.seconds, self.timed = 0.0, 0
        self.bytes = 0
        self.repeats = 1
        self.source: dict[str, Any] = {}
        #: Whether all pieces so far could go the way of plain data.
        self._plain = isinstance(self.loss, SigmoidFocalLoss)
        self._scratch = Scratch()

    @property
    def loss(self) -> Loss:
        """The loss."""
        return self._losses[0]

    @property
    def losses(self) -> list[Loss]:
        """The loss with each gamma."""
        return list(self._losses)

    @property
    def value(self) -> float | None:
        """The loss of all data so far; None if its reduction gives no single number."""
        return self.totals[1].value()

    def update(
        self,
        logits: ArrayLike | Any,
        targets: ArrayLike | Any,
        *,
        sample_weight: ArrayLike | Any = None,
        by: ArrayLike | Any = None,
    ) -> None:
        """Add a piece of data.

        Parameters
        ----------
        logits, targets, sample_weight : array_like
            As for a call of the loss.
        by : array_like, optional
            A name for each row: losses are told for each name.

        Raises
        ------
        TypeError, ValueError
            What a call of the loss raises; `ValueError` too for targets outside 0 to 1.

        Returns
        -------
        None

        Examples
        --------
        >>> import focalgrad as fg
        >>> evaluation = fg.Evaluation()
        >>> evaluation.update([2.0, -1.0], [1, 1], by=["a", "b"])
        >>> [(group["value"], group["rows"]) for group in evaluation.to_dict()["by"]["groups"]]
        [('a', 1), ('b', 1)]
        """
        part = self._empty()
        for piece in pieces_of(self.loss, logits, targets, sample_weight, by):
            piece.first = part.rows
            part._add(piece)
        self.merge(part)

    def _empty(self) -> Evaluation:
        """Make an evaluation of the same losses that has seen nothing."""
        fresh = Evaluation(self.loss, detailed=self._detailed)
        fresh._losses, fresh._all, fresh._each = self._losses, self._all, self._each
        fresh._clear()
        return fresh

    def _add(self, piece: Piece, repeats: int = 1) -> None:
        """Add a piece as the readers of files make it."""
        add(self, piece, repeats)

    def merge(self, other: Evaluation) -> None:
        """Add what another evaluation has seen, as if its data came after this one's.

        Parameters
        ----------
        other : Evaluation
            Of the same losses. It stays as it is.

        Raises
        ------
        TypeError
            If it is no evaluation.
        ValueError
            If its losses are others, or their number of classes.

        Returns
        -------
        None

        Examples
        --------
        >>> import focalgrad as fg
        >>> one, two = fg.Evaluation(), fg.Evaluation()
        >>> two.update([0.5], [1])
        >>> one.merge(two)
        >>> one.value == two.value
        True
        """
        if not isinstance(other, Evaluation):
            raise TypeError(f"other must be an Evaluation; got {type(other).__name__}")
        if other._all != self._all:
            raise ValueError(f"other must be an evaluation of {self._losses!r}; got one of {other._losses!r}")
        if self.classes is not None and other.classes is not None:
            mine, theirs = len(self.classes.count), len(other.classes.count)
            if mine != theirs:
                raise ValueError(f"other must be of {mine} classes; got {theirs}")
        for total, more in zip(self.totals, other.totals, strict=True):
            total.merge(more)
        self.counts += other.counts
        self.table.merge(other.table)
        self.hardest.merge(other.hardest, self.rows)
        for name in ("rows", "units", "elements", "positives", "nan_logits", "seconds", "timed", "bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.repeats = max(self.repeats, other.repeats)
        self._merge_tables(other)

    def _merge_tables(self, other: Evaluation) -> None:
        if other.classes is not None:
            if self.classes is None:
                self.classes = ClassTable(len(self._all), len(other.classes.count))
            self.classes.merge(other.classes)
        if other.groups is not None:
            if self.groups is None:
                self.groups = Groups(self._all)
            self.groups.merge(other.groups)
        if other.confidence is not None:
            if self.confidence is None:
                self.confidence = Confidence()
            self.confidence.merge(other.confidence)

    def to_dict(self) -> dict[str, Any]:
        """Everything that was found, as ``focalgrad evaluate --json`` prints it.

        Returns
        -------
        dict
            Its keys are explained in docs/evaluate.md. Numbers that are not known are NaN or None.

        Examples
        --------
        >>> import focalgrad as fg
        >>> fg.evaluate([0.5, -0.5], [1, 0]).to_dict()["elements"]
        2
        """
        from focalgrad._evaluate.numbers import summary

        return summary(self)

    def to_html(self, path: str | Path) -> None:
        """Write a report with pictures: one file that needs no other.

        Parameters
        ----------
        path : str or path-like
            The file, which is replaced if there is one.

        Raises
        ------
        ImportError
            Without matplotlib; ``pip install 'focalgrad[cli]'`` brings it.

        Returns
        -------
        None

        Examples
        --------
        >>> import focalgrad as fg, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "report.html"
        >>> fg.evaluate([0.5, -0.5], [1, 0]).to_html(path)
        >>> path.read_text().startswith("<!doctype html>")
        True
        """
        from focalgrad._evaluate.output import replacing
        from focalgrad._evaluate.report import page

        text = page(self)
        with replacing(str(path)) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")

    def _repr_html_(self) -> str:
        """Show the tables and pictures in a notebook."""
        from focalgrad._evaluate.report import fragment

        return fragment(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: all but scratch memory."""
        return {name: value for name, value in vars(self).items() if name != "_scratch"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what a pickle holds."""
        vars(self).update(state)
        self._scratch = Scratch()

    def __repr__(self) -> str:
        """Say what is evaluated, and what came of it."""
        value = "" if self.value is None else f", value={self.value:.7g}"
        return f"<Evaluation of {self.loss!r}: {self.rows:,} rows{value}>"


def _with_gamma(loss: Loss, gamma: Any) -> Loss:
    return loss.replace(gamma=gamma, normalizer=loss.normalizer)
