"""Labels of any kind as class indices, and the weights of their rows."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets


def label_array(name: str, given: ArrayLike) -> NDArray[Any]:
    """Give one-dimensional labels of classes, or raise what scikit-learn does."""
    array = check_array(given, ensure_2d=False, dtype=None, input_name=name)
    array = np.asarray(column_or_1d(array, warn=True))
    try:
        check_classification_targets(array)
    except TypeError:  # they cannot be sorted
        kinds = sorted({type(label).__name__ for label in array.tolist()})
        raise ValueError(f"{name} must hold labels of one kind; got {' and '.join(kinds)}") from None
    return array


def encoded(
    name: str, given: ArrayLike, labels: ArrayLike | None = None
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Give the classes, and the class index of every label.

    Parameters
    ----------
    name : str
        Argument to be named by errors.
    given : array_like
        Labels, of any kind that can be sorted.
    labels : array_like, optional
        The classes; otherwise the labels found, sorted.

    Raises
    ------
    ValueError
        If there are fewer than two classes, if one is named twice, or if a label is no class.
    """
    found, index = np.unique(label_array(name, given), return_inverse=True)
    if labels is None:
        if len(found) < 2:
            raise ValueError(f"{name} must hold two classes or more; got one class: {shown(found)}")
        return found, index
    classes = named_classes(labels)
    place = {label: i for i, label in enumerate(classes.tolist())}
    strangers = [label for label in found.tolist() if label not in place]
    if strangers:
        raise ValueError(f"{name} must hold the classes {shown(classes)}; got {strangers[0]!r} too")
    places = np.array([place[label] for label in found.tolist()], np.intp)
    return classes, places[index]


def named_classes(labels: ArrayLike) -> NDArray[Any]:
    """Give the classes that ``labels`` names, in its order."""
    classes = column_or_1d(np.asarray(labels))
    if len(set(classes.tolist())) != len(classes) or len(classes) < 2:
        raise ValueError(f"labels must be two or more classes, each named once; got {shown(classes)}")
    return np.asarray(classes)


def shown(classes: NDArray[Any], most: int = 10) -> str:
    """List classes in an error, the first ones of many."""
    rest = len(classes) - most
    listed = ", ".join(repr(label) for label in classes[:most].tolist())
    return f"{listed} and {rest} more" if rest > 0 else listed


def row_weights(sample_weight: ArrayLike | None, rows: int) -> NDArray[np.float64] | None:
    """Give one weight a row, or None; or raise.

    Raises
    ------
    ValueError
        If they are not a number or one number a row, or not finite.
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(rows, sample_weight)
    weights = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (rows,):
        raise ValueError(f"sample_weight must be a number or have shape ({rows},); got shape {weights.shape}")
    return np.asarray(weights)
