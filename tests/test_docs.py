"""Does docs/arrays.md say what calls really say of what they refuse?"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import focalgrad as fg
from foreign import Donated, Negated, Tensor, Unreadable
from support import refused

DOCS = Path(__file__).parent.parent / "docs" / "arrays.md"
X = np.zeros((4, 6), np.float32)
LOSS = fg.SigmoidFocalLoss(reduction="none")
ROWS = fg.SoftmaxFocalLoss()


class Elsewhere:
    """A tensor on a GPU."""

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("must not be asked")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


class Nowhere(Tensor):
    """A tensor that says no device."""

    def __dlpack_device__(self) -> Any:
        return None


def pandas(make: Callable[[Any], Any]) -> Any:
    return make(pytest.importorskip("pandas"))


#: For each row of the table: arguments that it speaks of.
EXAMPLES: dict[str, list[Callable[[], dict[str, Any]]]] = {
    "byte-swapped dtype": [lambda: {"logits": X.astype(">f4")}, lambda: {"targets": X.astype(">i8")}],
    "complex": [lambda: {"logits": X.astype(np.complex64)}, lambda: {"logits": X.astype(">c8")}],
    "object, string, long double, other registered dtypes": [
        lambda: {"logits": X.astype(object)},
        lambda: {"logits": X.astype(np.longdouble)},
        lambda: {"logits": np.full((4, 6), "abc")},
        lambda: {"targets": np.full((4, 6), "1.0")},
        lambda: {"logits": X.astype(ml_dtypes.float8_e4m3fn)},
    ],
    "datetime, timedelta": [
        lambda: {"logits": X.astype("M8[s]")},
        lambda: {"logits": X.astype("m8[s]")},
    ],
    "bool logits": [lambda: {"logits": X == 0}],
    "structured": [lambda: {"logits": np.zeros((4, 6), [("a", "<f4")])}],
    "`None`, strings": [lambda: {"logits": None}, lambda: {"targets": "text"}],
    "sets, dicts, sequences of objects": [
        lambda: {"targets": {1}},
        lambda: {"targets": {1: 2}},
        lambda: {"logits": [None]},
    ],
    "masked array with masked elements, also in a list or behind `__array__`": [
        lambda: {"logits": np.ma.array(X, mask=True)},
        lambda: {"logits": [np.ma.array(X, mask=True)]},
    ],
    "lists of unequal lengths, buffers that NumPy cannot read": [
        lambda: {"logits": [[1.0, 2.0], [3.0]]},
        lambda: {"logits": memoryview(bytes(8)).cast("P")},
    ],
    "tensor that says no device": [lambda: {"logits": Nowhere(X)}],
    "tensor whose signs are only noted (`x.is_neg()`; DLPack loses them)": [lambda: {"logits": Negated(X)}],
    "tensor that its own library cannot hand over": [lambda: {"logits": Unreadable(X)}],
    "tensor that requires grad": [lambda: {"logits": Tensor(X, requires_grad=True)}],
    "tensor on another device": [lambda: {"logits": Elsewhere()}],
    "sparse matrices, tensors and columns": [
        lambda: {"logits": pytest.importorskip("scipy.sparse").csr_matrix(X)},
        lambda: {"logits": pandas(lambda p: p.Series(p.arrays.SparseArray([0.0, 1.0])))},
    ],
    "missing values in a column or a table": [
        lambda: {"logits": pandas(lambda p: p.Series(p.array([1.0, None], dtype="Float32")))},
        lambda: {"logits": pytest.importorskip("polars").Series([1.0, None])},
        lambda: {"logits": pytest.importorskip("polars").DataFrame({"a": [1.0, None]})},
        lambda: {"logits": pytest.importorskip("pyarrow").array([1.0, None])},
        lambda: {"logits": pytest.importorskip("pyarrow").table({"a": [1.0, None]})},
    ],
    "tensor whose memory is gone (donated to a jax function)": [lambda: {"logits": Donated(X)}],
    "what polars has yet to compute": [
        lambda: {"logits": pytest.importorskip("polars").LazyFrame({"a": [1.0]})},
        lambda: {"targets": pytest.importorskip("polars").col("a")},
    ],
    "frame with a column of a nullable dtype": [
        lambda: {"logits": pandas(lambda p: p.DataFrame({"a": p.array([1.0], dtype="Float32")}))}
    ],
    "other shapes": [lambda: {"targets": np.zeros(3)}, lambda: {"sample_weight": np.zeros((2, 4, 6))}],
    "output that is no NumPy array, or of another dtype": [
        lambda: {"out": X.tolist()},
        lambda: {"out": X.astype(np.float64)},
    ],
    "output that is read-only": [lambda: {"out": np.broadcast_to(np.float32(1), (4, 6))}],
    "output whose elements share memory": [
        lambda: {"out": np.lib.stride_tricks.as_strided(X.copy(), (4, 6), (0, 4))}
    ],
    "output for a result that is a float": [lambda: {"loss": fg.SigmoidFocalLoss(), "out": X.copy()}],
    "class index out of range, or a fraction": [
        lambda: {"loss": ROWS, "targets": np.full(4, 6)},
        lambda: {"loss": ROWS, "targets": np.full(4, 0.5)},
    ],
}


def rows() -> dict[str, tuple[str, str]]:
    """The table: what is refused, the error, and alternatives for the end of its message."""
    lines = DOCS.read_text().partition("## What is refused")[2].splitlines()
    found = (re.fullmatch(r"\| (.+) \| `(\w+Error)`: (.+) \|", line) for line in lines)
    return {match[1]: (match[2], match[3]) for match in found if match}


def pattern(message: str) -> str:
    """As a regular expression."""
    return ".+".join(map(re.escape, message.split("..."))) + "$"


def message_of(example: Callable[[], dict[str, Any]], error: str) -> str:
    """What a call with these arguments says."""
    given = {"loss": LOSS, "logits": X, "targets": np.zeros((4, 6)), **example()}
    call = given.pop("loss")
    with pytest.raises((TypeError, ValueError)) as caught:
        call(**given)
    assert type(caught.value).__name__ == error
    takes, _, got = str(caught.value).partition("; got ")
    assert re.match(r"(logits|targets|sample_weight|out) must be ", takes)
    return got


@pytest.mark.parametrize("what", rows())
def test_what_is_refused(what: str) -> None:
    """Every row, with every message that it names, and no other."""
    error, messages = rows()[what]
    said = [message_of(example, error) for example in EXAMPLES[what]]
    alternatives = [pattern(message) for message in messages.split(" / ")]
    assert all(any(re.match(one, message) for one in alternatives) for message in said), said
    assert all(any(re.match(one, message) for message in said) for one in alternatives), said


def test_every_example_has_a_row() -> None:
    assert set(rows()) == set(EXAMPLES)


def test_overlap() -> None:
    sentence = re.search(r"a `ValueError`: `([^`]+)`", DOCS.read_text())[1].replace("\n", " ")
    home = X.copy()
    refused(ValueError, [f"^{re.escape(sentence)}$"], LOSS, home, X, out=home[::-1])
