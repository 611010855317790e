"""The two losses with all their options: targets, weights, denominators, reductions.

Everything is a sum of weighted losses ``w_i l_i(x)`` over elements (sigmoid) or rows (softmax), for
``"mean"`` divided by a number or by the sum of the bare modulating factors ``S(x) = sum_i m_i(x)``. That
denominator depends on the logits, so with N the numerator and ``V = N / S``::

    V_j  = (N_j - V S_j) / S
    V_jj = (N_jj - V S_jj - 2 V_j S_j) / S

from differentiating ``N = V S`` once and twice.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalgrad._reference.binary import alpha_weights, binary_elements
from focalgrad._reference.given import clipped, given_elements, given_rows
from focalgrad._reference.rows import dense_rows, index_rows, sigmoid_modulated_rows, undefined_rows
from focalgrad._reference.targets import read_labels, smoothed
from focalgrad._reference.terms import Floats, Jet, Measured, Terms, exact_sum, weighted

HESSIANS = ("exact", "gauss_newton", "upper")


class Evaluation(NamedTuple):
    """A value, its gradient and its diagonal Hessian (or the sizes of all three)."""

    value: Floats | float
    gradient: Floats
    hessian: Floats


class Parts(NamedTuple):
    """Weighted losses before they are reduced, and what they may be divided by."""

    measured: Measured
    factor: Jet  # bare modulating factors
    counted: int
    positives: float
    weights: float


def computing_type(logits: NDArray[Any]) -> type[Any]:
    """Half floats and float32 are computed in float32, all others in float64."""
    narrow = logits.dtype.itemsize <= 4 and logits.dtype.kind not in "iub"
    return np.float32 if narrow else np.float64


def along(values: Any, axis: Any, ndim: int) -> Any:
    """Lay a parameter with one number a class along the class axis; leave single numbers as they are."""
    if values is None or np.ndim(values) == 0:
        return values
    return np.reshape(values, [-1 if i == axis % ndim else 1 for i in range(ndim)])


def dropped(measured: Measured, keep: Any, keep_rows: Any) -> Measured:
    """Make everything +0.0 where it is not to be kept."""
    return Measured(*(dropped_parts(part, keep, keep_rows) for part in measured))


def dropped_parts(parts: Any, keep: Any, keep_rows: Any) -> Any:
    """Do the same for one tuple of value and derivatives."""
    value, *derivatives = parts
    return type(parts)(np.where(keep_rows, value, 0.0), *(np.where(keep, part, 0.0) for part in derivatives))


def sigmoid_parts(
    loss: Any, logits: NDArray[Any], targets: ArrayLike, sample_weight: ArrayLike | None
) -> Parts:
    """Every logit on its own."""
    axis = loss.class_axis
    labels = read_labels(
        logits.shape,
        targets,
        class_axis=axis,
        ignore_index=loss.ignore_index,
        background_index=loss.background_index,
    )
    if labels.dense and loss.background_index is not None:
        raise ValueError(
            "targets must be class indices with background_index; got an array of the logits' shape"
        )
    weight = np.broadcast_to(1.0 if sample_weight is None else sample_weight, labels.counted.shape)
    counted = labels.counted
    if not labels.dense:
        weight, counted = np.expand_dims(weight, axis), np.expand_dims(counted, axis)
    counted = np.broadcast_to(counted, logits.shape)
    alpha, gamma, per_class = (
        along(parameter, axis, logits.ndim) for parameter in (loss.alpha, loss.gamma, loss.class_weight)
    )
    weight = np.broadcast_to(np.asarray(weight, np.float64), logits.shape) * (
        1.0 if per_class is None else per_class
    )

    x, y = logits.astype(np.float64), smoothed(labels.y, loss.label_smoothing, 2)
    if loss.from_logits:
        rest = smoothed(1 - labels.y, loss.label_smoothing, 2)
        measured, factor = binary_elements(x, y, rest, alpha, gamma, loss.soft_targets)
    else:
        x, outside = clipped(x, loss.eps, computing_type(logits))
        measured, factor = given_elements(x, y, alpha, gamma, loss.soft_targets)
        flat = outside & ~np.isnan(y)
        measured, factor = dropped(measured, ~flat, True), dropped_parts(factor, ~flat, True)
    measured = dropped(weighted(measured, weight), counted, counted)
    return Parts(
        measured,
        dropped_parts(factor, counted, counted),
        counted=int(np.count_nonzero(counted)),
        positives=exact_sum(labels.y),
        weights=exact_sum(np.where(counted, weight * alpha_weights(labels.y, alpha), 0.0)),
    )


def softmax_rows(loss: Any, x: Floats, y: Floats, dense: bool, dtype: type[Any]) -> tuple[Measured, Jet]:
    """Unweighted rows; alpha is in them."""
    classes = x.shape[1]
    alpha = np.broadcast_to(1.0 if loss.alpha is None else loss.alpha, classes)
    gamma = np.broadcast_to(np.asarray(loss.gamma, np.float64), classes)
    y = smoothed(y, loss.label_smoothing, classes)
    if not loss.from_logits:
        v, outside = clipped(x, loss.eps, dtype)
        measured, factor = given_rows(v, y, alpha, gamma)
        return dropped(measured, ~outside, True), dropped_parts(factor, ~outside, True)
    if dense or loss.label_smoothing:
        return dense_rows(x, y, alpha, gamma)
    t = np.argmax(y, axis=1)
    if loss.modulator == "sigmoid":
        measured, factor = sigmoid_modulated_rows(x, t, gamma[t])
    else:
        measured, factor = index_rows(x, t, gamma[t])
    return weighted(measured, alpha[t][:, None], alpha[t]), factor


def softmax_parts(
    loss: Any, logits: NDArray[Any], targets: ArrayLike, sample_weight: ArrayLike | None
) -> Parts:
    """Every row of logits along the class axis."""
    axis, classes = loss.class_axis, logits.shape[loss.class_axis]
    labels = read_labels(logits.shape, targets, class_axis=axis, ignore_index=loss.ignore_index)
    if labels.dense and (loss.ignore_index is not None or loss.modulator == "sigmoid"):
        option = "modulator='sigmoid'" if loss.ignore_index is None else "ignore_index"
        raise ValueError(f"targets must be class indices with {option}; got an array of the logits' shape")
    if classes == 0 and np.delete(logits.shape, axis).prod() > 0:
        raise ValueError(f"logits must have at least one class; got shape {logits.shape}")

    def flat(array: Floats) -> Floats:
        return np.moveaxis(array, axis, -1).reshape(-1, max(classes, 1))

    shape = tuple(np.delete(logits.shape, axis).tolist())
    x, y = flat(logits.astype(np.float64)), flat(labels.y)
    weight = (
        np.broadcast_to(1.0 if sample_weight is None else sample_weight, shape).astype(np.float64).ravel()
    )
    counted = np.ones(len(x), bool) if labels.dense else labels.counted.ravel()
    measured, factor = softmax_rows(loss, x, y, labels.dense, computing_type(logits))
    alpha = np.broadcast_to(1.0 if loss.alpha is None else loss.alpha, x.shape[1])

    nan = undefined_rows(x) if loss.from_logits else np.isnan(clipped(x, loss.eps, float)[0]).any(axis=1)
    unknown = np.where(nan | np.isnan(y).any(axis=1), np.nan, 1.0)
    measured = weighted(weighted(measured, weight[:, None], weight), unknown[:, None], unknown)
    factor = Jet(unknown * factor.value, *(unknown[:, None] * part for part in factor[1:]))
    measured = dropped(measured, counted[:, None], counted)
    factor = dropped_parts(factor, counted[:, None], counted)

    def unfolded(parts: Any) -> Any:
        value, *derivatives = parts
        moved = (*shape, classes)
        return type(parts)(
            value.reshape(shape), *(np.moveaxis(part.reshape(moved), -1, axis) for part in derivatives)
        )

    return Parts(
        Measured(*map(unfolded, measured)),
        unfolded(factor),
        counted=int(np.count_nonzero(counted)),
        positives=float("nan"),
        weights=exact_sum(np.where(counted, weight * (y * alpha).sum(axis=1), 0.0)),
    )


def over_factors(parts: Parts) -> Measured:
    """Divide by the sum of the modulating factors, and let the derivatives go through it."""
    terms, sizes = parts.measured
    total, divisor = exact_sum(terms.value), exact_sum(parts.factor.value)
    value = total / divisor
    _, first, second = parts.factor
    # A slope of exactly 0 contributes nothing, also to an infinite value.
    drift = np.where(first == 0, 0.0, value * first)
    gradient = (terms.gradient - drift) / divisor
    bend = np.where(second == 0, 0.0, value * second)
    turn = np.where(first == 0, 0.0, 2 * gradient * first)
    exact = (terms.exact - bend - turn) / divisor
    undefined = np.full_like(gradient, np.nan)
    first_size = (sizes.first + abs(drift)) / abs(divisor)
    second_size = (sizes.second + abs(bend) + 2 * first_size * abs(first)) / abs(divisor)
    return Measured(
        Terms(value, gradient, exact, undefined, undefined),
        Jet(exact_sum(sizes.value) / abs(divisor), first_size, second_size),
    )


@np.errstate(all="ignore")
def reduced(loss: Any, parts: Parts) -> Measured:
    """Reduce the value; the derivatives become those of the reduced value.

    ``"none"`` keeps the values apart, ``"sum_classes"`` adds them up over the class axis, and the derivatives
    of both are those of their sum, as for ``"sum"``. What ``"mean"`` divides by:

    None
        The number of elements (sigmoid) or rows (softmax) that are not ignored.
    ``"positives"``
        The sum of the targets, before smoothing and weights.
    ``"weights"``
        The sum of the weights that multiply the losses, for the targets as given, before smoothing.
    ``"focal_weights"``
        The sum of the bare modulating factors, see `over_factors`.
    a number
        Itself.

    A denominator of 0 makes everything 0.0: nothing was there to be averaged.
    """
    terms, sizes = parts.measured
    if loss.reduction == "none":
        return parts.measured
    if loss.reduction == "sum_classes":
        value, size = (part.sum(axis=loss.class_axis) for part in (terms.value, sizes.value))
        return Measured(terms._replace(value=value), sizes._replace(value=size))
    total = Measured(
        terms._replace(value=exact_sum(terms.value)), sizes._replace(value=exact_sum(sizes.value))
    )
    if loss.reduction == "sum":
        return total
    if loss.reduction != "mean":
        raise ValueError(f"reduction must be 'none', 'sum', 'mean' or 'sum_classes'; got {loss.reduction!r}")
    named = {
        None: parts.counted,
        "positives": parts.positives,
        "weights": parts.weights,
        "focal_weights": exact_sum(parts.factor.value),
    }
    divisor = named[loss.normalizer] if loss.normalizer in named else float(loss.normalizer)
    if divisor == 0:
        return Measured(
            Terms(0.0, *(np.zeros_like(term) for term in terms[1:])),
            Jet(0.0, *(np.zeros_like(size) for size in sizes[1:])),
        )
    if loss.normalizer == "focal_weights":
        return over_factors(parts)
    return Measured(
        Terms(*(term / divisor for term in total.terms)), Jet(*(size / abs(divisor) for size in total.sizes))
    )


@np.errstate(all="ignore")
def measure(
    loss: Any, logits: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None = None
) -> Measured:
    """Everything about a loss of these arrays; see `evaluate`."""
    logits = np.asarray(logits)
    by_kind = softmax_parts if hasattr(loss, "modulator") else sigmoid_parts
    return reduced(loss, by_kind(loss, logits, targets, sample_weight))


def evaluate(
    loss: Any,
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    hessian: str = "exact",
) -> Evaluation:
    """Value, gradient and diagonal Hessian of a loss, in float64.

    Parameters
    ----------
    loss : object
        Anything with the constructor's parameters as attributes. It is a softmax loss if it has a
        ``modulator``, and a sigmoid loss otherwise.
    logits : array_like
        Any shape; the classes are along ``loss.class_axis``.
    targets : array_like
        Of the logits' shape, or class indices: of that shape without the class axis.
    sample_weight : array_like, optional
        Broadcasts to the targets' shape where these are class indices, else to the logits' shape, for
        softmax without the class axis.
    hessian : {"exact", "gauss_newton", "upper"}
        Which Hessian.

    Returns
    -------
    Evaluation
        float64, whatever came in. Relative errors are a few 1e-15, where a difference does not cancel.

    Raises
    ------
    ValueError
        For targets or options that the loss does not take.

    Examples
    --------
    A softmax over two classes that favours neither:

    >>> from focalgrad._reference import SOFTMAX, evaluate
    >>> from types import SimpleNamespace
    >>> loss = SimpleNamespace(**SOFTMAX)
    >>> value, grad, hess = evaluate(loss, [[0.0, 0.0]], [1])
    >>> bool(np.isclose(value, 0.25 * np.log(2))), bool(np.isclose(grad.sum(), 0))
    (True, True)
    """
    return evaluate_with_sizes(loss, logits, targets, sample_weight=sample_weight, hessian=hessian)[0]


def evaluate_with_sizes(
    loss: Any,
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    hessian: str = "exact",
) -> tuple[Evaluation, Evaluation]:
    """Evaluate, with the magnitudes that errors of the results are measured by (see `Measured`)."""
    if hessian not in HESSIANS:
        raise ValueError(f"hessian must be one of {HESSIANS}; got {hessian!r}")
    softmax_of_logits = loss.from_logits and getattr(loss, "modulator", "softmax") == "softmax"
    if hessian != "exact" and not (softmax_of_logits and loss.normalizer != "focal_weights"):
        raise ValueError(
            f"hessian must be 'exact' for probabilities, modulator='sigmoid' and "
            f"normalizer='focal_weights'; got {hessian!r}"
        )
    terms, sizes = measure(loss, logits, targets, sample_weight)
    chosen = getattr(terms, hessian)
    curvature = sizes.second if hessian == "exact" else abs(chosen)
    return (
        Evaluation(terms.value, terms.gradient, chosen),
        Evaluation(sizes.value, sizes.first, curvature),
    )


# The constructors' defaults.
SIGMOID: dict[str, Any] = {
    "alpha": 0.25,
    "gamma": 2.0,
    "reduction": "mean",
    "normalizer": None,
    "class_axis": None,
    "class_weight": None,
    "label_smoothing": 0.0,
    "ignore_index": None,
    "background_index": None,
    "from_logits": True,
    "eps": 0.0,
    "soft_targets": "mixture",
}
SOFTMAX: dict[str, Any] = {
    "alpha": None,
    "gamma": 2.0,
    "reduction": "mean",
    "normalizer": None,
    "class_axis": -1,
    "label_smoothing": 0.0,
    "ignore_index": None,
    "from_logits": True,
    "eps": 0.0,
    "modulator": "softmax",
}


def sigmoid_focal(
    logits: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None, **options: Any
) -> Terms:
    """Sigmoid focal loss with the constructor's options as keywords: all terms at once.

    Examples
    --------
    An undecided logit costs log 2, weighted by alpha and by (1 - 1/2)^gamma:

    >>> terms = sigmoid_focal([0.0, 0.0], [1, 0], alpha=0.25, gamma=2.0, reduction="none")
    >>> bool(np.allclose(terms.value, [0.25 * 0.5**2 * np.log(2), 0.75 * 0.5**2 * np.log(2)], rtol=1e-15))
    True
    """
    return measure(SimpleNamespace(**SIGMOID | options), logits, targets, sample_weight).terms


def softmax_focal(
    logits: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None, **options: Any
) -> Terms:
    """Softmax focal loss with the constructor's options as keywords: all terms at once."""
    return measure(SimpleNamespace(**SOFTMAX | options), logits, targets, sample_weight).terms
