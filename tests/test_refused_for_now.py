"""Are dtypes, layouts and options that are not taken yet refused, rather than converted or computed wrongly?

Each of these refusals can be lifted one day. Then its row leaves this file, and tests of what it does instead
arrive.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from support import METHODS, OUTPUTS, coin, refused, sample

SHAPE = (6, 5)
TAKEN = {
    "logits": ["float32", "float64"],
    "targets": ["bool", "uint8", "float32", "float64"],
    "sample_weight": ["float32", "float64"],
}
DTYPES = (
    *(("logits", dtype) for dtype in (np.float16, np.int8, np.int32, np.int64, np.uint8, np.bool_)),
    *(
        ("targets", dtype)
        for dtype in (np.float16, np.int8, np.int16, np.int32, np.int64, np.uint16, np.uint64)
    ),
    *(("sample_weight", dtype) for dtype in (np.float16, np.int64, np.uint8, np.bool_)),
)


def arrays() -> dict[str, Any]:
    """Operands that would do."""
    return {
        "logits": sample(30, np.float32).reshape(SHAPE),
        "targets": coin(30).reshape(SHAPE),
        "sample_weight": np.ones(SHAPE, np.float32),
    }


def sentinels(method: str) -> dict[str, Any]:
    """Every output of a method."""
    return {keyword: np.full(SHAPE, 777, np.float32) for name, keyword in OUTPUTS if name == method}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("operand", "dtype"), DTYPES, ids=[f"{name}-{np.dtype(dtype)}" for name, dtype in DTYPES]
)
def test_dtypes(operand: str, dtype: Any, method: str) -> None:
    """The error lists those that are taken."""
    loss, given, outputs = fg.SigmoidFocalLoss(reduction="none"), arrays(), sentinels(method)
    given[operand] = np.ones(SHAPE, dtype)
    words = [operand, np.dtype(dtype).name, *TAKEN[operand]]
    refused(TypeError, words, getattr(loss, method), **given, **outputs)
    assert all((output == 777).all() for output in outputs.values())


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "every second": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1],
    "cut": lambda a: np.pad(a, 1)[1:-1, 1:-1],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "unaligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), a.dtype, a.size, 1).reshape(a.shape),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("operand", TAKEN)
def test_layouts_of_operands(operand: str, layout: str, method: str) -> None:
    """The error says that C-contiguous arrays are taken."""
    loss, given, outputs = fg.SigmoidFocalLoss(reduction="none"), arrays(), sentinels(method)
    given[operand] = LAYOUTS[layout](given[operand])
    words = [operand, "aligned"] if layout == "unaligned" else [operand, "C-contiguous"]
    refused(ValueError, words, getattr(loss, method), **given, **outputs)
    assert all((output == 777).all() for output in outputs.values())


@pytest.mark.parametrize(("method", "keyword"), OUTPUTS)
@pytest.mark.parametrize("layout", ["Fortran", "every second", "reversed", "cut"])
def test_layouts_of_outputs(layout: str, method: str, keyword: str) -> None:
    """Outputs are C-contiguous, too."""
    loss, outputs = fg.SigmoidFocalLoss(reduction="none"), sentinels(method)
    outputs[keyword] = LAYOUTS[layout](np.full(SHAPE, 777, np.float32))
    refused(ValueError, [rf"\b{keyword}\b", "C-contiguous"], getattr(loss, method), **arrays(), **outputs)
    assert all((output == 777).all() for output in outputs.values())


@pytest.mark.parametrize("shape", [(1,), (5,), (1, 5), (6, 1), (1, 1)])
def test_weights_do_not_broadcast(shape: tuple[int, ...]) -> None:
    """Only a single number and the full shape."""
    given = {**arrays(), "sample_weight": np.ones(shape, np.float32)}
    words = ["sample_weight", str(shape).replace("(", r"\(").replace(")", r"\)"), r"\(6, 5\)"]
    refused(ValueError, words, fg.SigmoidFocalLoss(), **given)


@pytest.mark.parametrize(
    "option",
    [
        {"class_axis": 1},
        {"class_weight": [1.0, 2.0]},
        {"label_smoothing": 0.1},
        {"ignore_index": -1},
        {"background_index": 0},
        {"from_logits": False},
        {"eps": 1e-7},
        {"soft_targets": "quality"},
    ],
    ids=lambda option: next(iter(option)),
)
def test_options(option: dict[str, Any]) -> None:
    """Unknown keywords so far."""
    refused(TypeError, [next(iter(option))], fg.SigmoidFocalLoss, **option)


def test_values_of_options() -> None:
    """Unknown strings so far."""
    refused(ValueError, ["reduction", "sum_classes"], fg.SigmoidFocalLoss, reduction="sum_classes")
    refused(ValueError, ["normalizer", "focal_weights"], fg.SigmoidFocalLoss, normalizer="focal_weights")


@pytest.mark.parametrize("values", [[0.25, 0.5], (0.25,), [], np.array([0.25, 0.5])], ids=repr)
def test_numbers_per_class(values: Any) -> None:
    """Without a class axis there is no class to give a number to."""
    refused(ValueError, ["alpha", "number"], fg.SigmoidFocalLoss, alpha=values)
    refused(ValueError, ["gamma", "number"], fg.SigmoidFocalLoss, gamma=values)
