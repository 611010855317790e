"""Focal loss of data that comes in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat

from focalgrad._core import ExactSum, SigmoidFocalLoss, SoftmaxFocalLoss, exact_sums

if TYPE_CHECKING:  # what only annotations need: importing it takes a millisecond
    from focalgrad._types import Array


def reduced(
    loss: SigmoidFocalLoss | SoftmaxFocalLoss, numerator: SupportsFloat, denominator: SupportsFloat
) -> float:
    """Give the number that a sum of losses, and what its mean divides by, are reduced to."""
    if loss.reduction == "sum":
        return float(numerator)
    divisor = loss.normalizer if isinstance(loss.normalizer, float) else float(denominator)
    return float(numerator) / divisor if divisor != 0 else 0.0


class FocalLossMeter:
    """Focal loss of data that comes in pieces, as if it had come at once.

    The losses and what their mean divides by are added up exactly, as numbers of more than 2,000 bits that
    are rounded once in the end. So nothing depends on how the data is cut, nor on the order in which pieces
    come or meters are merged.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss
        With ``reduction="sum"`` or ``"mean"``, and any normaliser.

    Raises
    ------
    TypeError
        If `loss` is no loss.
    ValueError
        If its calls do not return a number.

    Notes
    -----
    :meth:`compute` is within 1e-14 of one call on all data. Meters can be pickled, and travel between
    processes.

    Examples
    --------
    >>> import numpy as np
    >>> import focalgrad as fg
    >>> loss = fg.SigmoidFocalLoss()
    >>> logits, targets = np.linspace(-3, 3, 1000), np.arange(1000) % 2
    >>> meter = fg.FocalLossMeter(loss)
    >>> for start in range(0, 1000, 300):
    ...     meter.update(logits[start : start + 300], targets[start : start + 300])
    >>> bool(abs(meter.compute() - loss(logits, targets)) < 1e-14)
    True
    """

    __slots__ = ("_denominator", "_loss", "_numerator")

    def __init__(self, loss: SigmoidFocalLoss | SoftmaxFocalLoss) -> None:
        if not isinstance(loss, SigmoidFocalLoss | SoftmaxFocalLoss):
            raise TypeError(f"loss must be a SigmoidFocalLoss or SoftmaxFocalLoss; got {type(loss).__name__}")
        if loss.reduction not in ("sum", "mean"):
            raise ValueError(
                f'loss must have reduction="sum" or "mean", so that it is a number; got {loss.reduction!r}'
            )
        self._loss = loss
        self._numerator = ExactSum()
        self._denominator = ExactSum()

    @property
    def loss(self) -> SigmoidFocalLoss | SoftmaxFocalLoss:
        """The loss."""
        return self._loss

    def update(self, logits: Array, targets: Array, *, sample_weight: Array | None = None) -> None:
        """Add a piece of data.

        Parameters
        ----------
        logits, targets, sample_weight : array_like
            As for a call of the loss.

        Raises
        ------
        TypeError, ValueError
            What a call of the loss raises. The meter is unchanged then.

        Returns
        -------
        None

        Examples
        --------
        >>> meter = fg.FocalLossMeter(fg.SoftmaxFocalLoss(gamma=0.0))
        >>> meter.update(np.zeros((5, 2)), np.array([0, 1, 1, 0, 1]))
        >>> round(meter.compute(), 6)
        0.693147
        """
        numerator, denominator = exact_sums(self._loss, logits, targets, sample_weight)
        self._numerator, self._denominator = self._numerator + numerator, self._denominator + denominator

    def merge(self, other: FocalLossMeter) -> None:
        """Add what another meter of the same loss has seen.

        Parameters
        ----------
        other : FocalLossMeter
            Stays as it is.

        Raises
        ------
        TypeError
            If it is no meter.
        ValueError
            If its loss is another one.

        Returns
        -------
        None

        Examples
        --------
        >>> loss = fg.SigmoidFocalLoss(reduction="sum")
        >>> one, two = fg.FocalLossMeter(loss), fg.FocalLossMeter(loss)
        >>> one.update([1.5], [0])
        >>> two.update([-0.5], [1])
        >>> one.merge(two)
        >>> one.compute() == loss([1.5, -0.5], [0, 1])
        True
        """
        if not isinstance(other, FocalLossMeter):
            raise TypeError(f"other must be a FocalLossMeter; got {type(other).__name__}")
        if other._loss != self._loss:
            raise ValueError(f"other must be a meter of {self._loss!r}; got one of {other._loss!r}")
        self._numerator, self._denominator = (
            self._numerator + other._numerator,
            self._denominator + other._denominator,
        )

    def compute(self) -> float:
        """Compute the loss of all data so far.

        Returns
        -------
        float
            0.0 before any data, and where the mean divides by 0.

        Examples
        --------
        >>> fg.FocalLossMeter(fg.SigmoidFocalLoss()).compute()
        0.0
        """
        return reduced(self._loss, self._numerator, self._denominator)

    def reset(self) -> None:
        """Forget all data.

        Returns
        -------
        None

        Examples
        --------
        >>> meter = fg.FocalLossMeter(fg.SigmoidFocalLoss())
        >>> meter.update([1.0], [0])
        >>> meter.reset()
        >>> meter.compute()
        0.0
        """
        self._numerator = ExactSum()
        self._denominator = ExactSum()

    def __getstate__(self) -> tuple[Any, ...]:
        """Return what a pickle holds."""
        return (self._loss, self._numerator, self._denominator)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take what a pickle holds."""
        self._loss, self._numerator, self._denominator = state

    def __repr__(self) -> str:
        """Return the call that makes an empty meter."""
        return f"FocalLossMeter({self._loss!r})"
