"""Arguments that are refused, and chunks of unknown sizes."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from graph_cases import CLASSES, COLUMNS, LOGITS, ROWS, computed, everything

import focalgrad as fg
from support import output_from, refused, same_bits

pytestmark = pytest.mark.usefixtures("_synchronous")
FUNCTIONS = ("value", "grad", "value_and_grad", "grad_and_hess", "meter")


@pytest.fixture
def _synchronous() -> Any:
    with dask.config.set(scheduler="synchronous"):
        yield


def blocks(*chunks: int) -> da.Array:
    """Logits of four classes."""
    return da.from_array(COLUMNS, chunks)


SIGMOID, SOFTMAX = fg.SigmoidFocalLoss(), fg.SoftmaxFocalLoss()
FOUR = blocks(100, 4)
IGNORING, LISTED = fg.SoftmaxFocalLoss(ignore_index=1), fg.SoftmaxFocalLoss(alpha=[1, 2, 3])
ELSEWHERE = fg.SoftmaxFocalLoss(class_axis=2)
MASKED = np.ma.masked_equal(CLASSES, 1)
REFUSED = [
    ("a numpy array", TypeError, "logits dask.array ndarray", SIGMOID, COLUMNS, COLUMNS),
    ("no loss", TypeError, "loss str", "mean", FOUR, COLUMNS),
    (
        "classes in chunks",
        ValueError,
        r"logits rechunk\(\{1:.-1\}\) 2.chunks",
        SOFTMAX,
        blocks(100, 2),
        CLASSES,
    ),
    ("another shape", ValueError, r"targets \(500,.4\) \(500,\)", SIGMOID, FOUR, LOGITS),
    ("too few targets", ValueError, r"targets class.indices \(499,\)", SOFTMAX, FOUR, CLASSES[1:]),
    ("no such axis", ValueError, "class_axis 2", ELSEWHERE, FOUR, CLASSES),
    ("complex logits", TypeError, "logits complex64", SIGMOID, FOUR * np.complex64(1j), COLUMNS),
    ("bytes", TypeError, "targets", SIGMOID, FOUR, COLUMNS.astype("S4")),
    ("a masked array", TypeError, "targets mask", SOFTMAX, FOUR, MASKED),
    ("dense, ignored", ValueError, "targets ignore_index", IGNORING, FOUR, COLUMNS),
    ("another length", ValueError, "logits 3.classes", LISTED, FOUR, CLASSES),
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("case", REFUSED, ids=[case[0] for case in REFUSED])
def test_refused(function: str, case: Any) -> None:
    """When the graph is built, by every function."""
    _, error, words, *arguments = case
    refused(error, words.split(), getattr(fg.dask, function), *arguments)


@pytest.mark.parametrize("shape", [(4,), (1, 500, 4), (500, 3), (499,)])
def test_weights_that_do_not_broadcast(shape: tuple[int, ...]) -> None:
    """Both shapes are named."""
    weights = np.ones(shape)
    words = ["sample_weight", r"\(500,\)", str(shape).replace("(", r"\(").replace(")", r"\)")]
    for given in (weights, da.from_array(weights, 100)):
        refused(ValueError, words, fg.dask.grad, SOFTMAX, blocks(100, 4), CLASSES, sample_weight=given)


def test_other_refusals() -> None:
    """Of single functions."""
    logits = blocks(100, 4)
    refused(
        ValueError, ["hessian", "newton"], fg.dask.grad_and_hess, SIGMOID, logits, COLUMNS, hessian="newton"
    )
    none = fg.SigmoidFocalLoss(reduction="none")
    refused(ValueError, ["loss", "reduction", "none"], fg.dask.meter, none, logits, COLUMNS)
    refused(TypeError, ["scores", "dask array"], fg.dask.posterior, SIGMOID, COLUMNS)
    refused(ValueError, ["scores", r"rechunk\(\{1: -1\}\)"], fg.dask.posterior, SOFTMAX, blocks(100, 2))
    refused(TypeError, ["loss"], fg.dask.init_score, "mean", CLASSES)


def test_wrong_indices_are_named_when_they_are_computed() -> None:
    """The error of the core, of a gradient as of a value."""
    targets = np.where(np.arange(ROWS) == 321, 4, CLASSES)
    for loss in (SOFTMAX, fg.SoftmaxFocalLoss(ignore_index=-1)):
        for graph in everything(loss, blocks(100, 4), targets):
            with pytest.raises(ValueError, match=r"targets.*\[21\] = 4"):
                graph.compute()


# --- unknown sizes ---


def frame() -> Any:
    """A data frame in three parts, of which rows are dropped when it is computed."""
    names = ["a", "b", "c", "d"]
    table = pd.DataFrame(COLUMNS, columns=names).assign(target=CLASSES, weight=LOGITS**2)
    lazy = dd.from_pandas(table, npartitions=3)
    return table[table.weight > 1], lazy[lazy.weight > 1], names


@pytest.mark.parametrize(
    "loss",
    [
        SOFTMAX,
        fg.SoftmaxFocalLoss(normalizer="focal_weights"),
        fg.SigmoidFocalLoss(class_axis=1),
        fg.SigmoidFocalLoss(class_axis=1, normalizer="positives", background_index=3),
        fg.SoftmaxFocalLoss(reduction="none"),
    ],
    ids=repr,
)
def test_data_frames(loss: Any) -> None:
    """Their arrays have chunks of unknown sizes, matched by number."""
    table, lazy, names = frame()
    logits, targets, weight = (lazy[columns].to_dask_array() for columns in (names, "target", "weight"))
    assert np.isnan(logits.shape[0])
    got = computed(everything(loss, logits, targets, sample_weight=weight))
    whole = table[names].to_numpy(), table.target.to_numpy()
    keywords = {"sample_weight": table.weight.to_numpy()}
    np.testing.assert_allclose(got[0], loss(*whole, **keywords), rtol=1e-14)
    np.testing.assert_allclose(got[1], loss.grad(*whole, **keywords), rtol=1e-6)
    if loss.normalizer is None:
        assert same_bits(got[1], loss.grad(*whole, **keywords))
    score = fg.dask.init_score(loss, targets, weight).compute()
    np.testing.assert_allclose(score, loss.init_score(whole[1], keywords["sample_weight"]), rtol=1e-12)


def test_unknown_classes() -> None:
    """The number of classes is unknown, too: then denominators look at the logits."""
    logits = da.from_array(COLUMNS, (100, 4))[:, da.from_array(np.array([True, True, True, False]), 4)]
    logits = logits[da.from_array(LOGITS > 0, 100)]
    assert all(np.isnan(logits.shape))
    targets = da.from_array(CLASSES % 3, 100)[da.from_array(LOGITS > 0, 100)]
    rows = LOGITS > 0
    for loss in (fg.SigmoidFocalLoss(class_axis=1, ignore_index=1), SOFTMAX):
        got = computed(everything(loss, logits, targets))
        assert same_bits(got[1], loss.grad(COLUMNS[rows, :3], CLASSES[rows] % 3))


def test_unknown_sizes_that_cannot_be_matched() -> None:
    """Another number of blocks, or NumPy's one block for several."""
    x = da.from_array(LOGITS, 100)
    some = x[x > 0]
    words = ["targets", "as many chunks", r"compute_chunk_sizes\(\)"]
    refused(ValueError, words, fg.dask.value, SIGMOID, some, da.from_array(LOGITS, 250)[LOGITS > 0])
    refused(ValueError, words, fg.dask.value, SIGMOID, some, LOGITS[LOGITS > 0])
    words[0] = "sample_weight"
    refused(ValueError, words, fg.dask.value, SIGMOID, some, some > 0, sample_weight=LOGITS[LOGITS > 0])
    one = x.rechunk(-1)
    one = one[one > 0]
    positive = LOGITS[LOGITS > 0]
    got = fg.dask.grad(SIGMOID, one, positive > 1, sample_weight=positive)
    assert same_bits(got.compute(), SIGMOID.grad(positive, positive > 1, sample_weight=positive))
    weighted = fg.dask.value(SIGMOID, some, some > 1, sample_weight=[2.0])
    assert weighted.compute() == 2 * fg.dask.value(SIGMOID, some, some > 1).compute()


def test_without_dask() -> None:
    """One sentence says what to install."""
    code = """
import sys
sys.modules["dask"] = None
import focalgrad as fg
try:
    fg.dask
except ImportError as error:
    print(error)
"""
    assert "pip install 'focalgrad[dask]'" in output_from(code)


def test_series_are_refused() -> None:
    """They would be computed to be read."""
    _, lazy, names = frame()
    logits = lazy[names].to_dask_array()
    refused(
        TypeError, ["targets", r"to_dask_array\(\)", "Series"], fg.dask.value, SOFTMAX, logits, lazy.target
    )
    refused(
        TypeError, ["logits", r"to_dask_array\(\)", "DataFrame"], fg.dask.value, SOFTMAX, lazy[names], CLASSES
    )
