"""Does what a refusal advises work, when it is followed to the letter?"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from foreign import Negated, Tensor

X = np.array([0.5, -1.0, 2.0], np.float32)
Y = np.array([1, 0, 1], np.uint8)
LOSS = fg.SigmoidFocalLoss(reduction="none")
WORDS = np.array(["yes", "no", "yes"])


class Recorded(Tensor):
    """As torch's tensors that require grad."""

    def detach(self) -> Tensor:
        return Tensor(self.a)


class Noted(Negated):
    """As torch's tensors whose signs are only noted."""

    def resolve_neg(self) -> Tensor:
        return Tensor(self.a)


def module(name: str) -> Any:
    return pytest.importorskip(name)


def donated() -> Any:
    """A jax array whose memory is gone, and the copy that was made before."""
    jnp = module("jax.numpy")
    array, kept = jnp.asarray(X), jnp.asarray(X)
    array.delete()
    return array, kept


def lazy() -> Any:
    return module("polars").LazyFrame({"a": X})


def with_missing(make: Callable[[Any], Any]) -> Any:
    return make([0.5, None, 2.0])


#: The argument, what is refused for it, what the message advises, and what following that makes of it.
ADVICE: dict[str, tuple[str, Callable[[], Any], str, Callable[[Any], Any]]] = {
    "byte-swapped": (
        "logits",
        lambda: X.astype(">f4"),
        ".astype(dtype.newbyteorder('='))",
        lambda it: it.astype(it.dtype.newbyteorder("=")),
    ),
    "byte-swapped column": (
        "logits",
        lambda: module("pandas").Series(X.astype(">f4")),
        ".astype(dtype.newbyteorder('='))",
        lambda it: it.astype(it.dtype.newbyteorder("=")),
    ),
    "complex": ("logits", lambda: X.astype(np.complex64), "take its .real", lambda it: it.real),
    "swapped complex": (
        "logits",
        lambda: X.astype(">c8"),
        "convert its .real with .astype(numpy.float64)",
        lambda it: it.real.astype(np.float64),
    ),
    "object": (
        "logits",
        lambda: X.astype(object),
        "convert it with .astype(numpy.float64)",
        lambda it: it.astype(np.float64),
    ),
    "long double": (
        "logits",
        lambda: X.astype(np.longdouble),
        "convert it with .astype(numpy.float64)",
        lambda it: it.astype(np.float64),
    ),
    "printed numbers": (
        "logits",
        lambda: np.array(["0.5", "-1", "2"]),
        "convert it with .astype(numpy.float64)",
        lambda it: it.astype(np.float64),
    ),
    "decimals": (
        "logits",
        lambda: [Decimal("0.5"), Decimal(-1), Decimal(2)],
        "convert it with numpy.asarray(it).astype(numpy.float64)",
        lambda it: np.asarray(it).astype(np.float64),
    ),
    "decimals of polars": (
        "logits",
        lambda: module("polars").Series([Decimal("0.5"), Decimal(-1), Decimal(2)]),
        "convert it with numpy.asarray(it).astype(numpy.float64)",
        lambda it: np.asarray(it).astype(np.float64),
    ),
    "words": ("targets", lambda: WORDS, "numpy.asarray(it) == label", lambda it: np.asarray(it) == "yes"),
    "words in a list": (
        "targets",
        WORDS.tolist,
        "numpy.asarray(it) == label",
        lambda it: np.asarray(it) == "yes",
    ),
    "words of pandas": (
        "targets",
        lambda: module("pandas").Series(WORDS.tolist()),
        "numpy.asarray(it) == label",
        lambda it: np.asarray(it) == "yes",
    ),
    "words of polars": (
        "targets",
        lambda: module("polars").Series(WORDS.tolist()),
        "numpy.asarray(it) == label",
        lambda it: np.asarray(it) == "yes",
    ),
    "words of pyarrow": (
        "targets",
        lambda: module("pyarrow").array(WORDS.tolist()),
        "numpy.asarray(it) == label",
        lambda it: np.asarray(it) == "yes",
    ),
    "datetime": (
        "logits",
        lambda: np.array([1, 2, 3], "M8[s]"),
        ".astype(numpy.int64)",
        lambda it: it.astype(np.int64),
    ),
    "structured": (
        "logits",
        lambda: np.array([(x,) for x in X], [("a", "<f4")]),
        "pick one of its fields",
        lambda it: it["a"],
    ),
    "swapped arguments": ("logits", lambda: Y == 1, "were logits and targets swapped?", lambda it: X),
    "masked": (
        "logits",
        lambda: np.ma.array(X, mask=[0, 1, 0]),
        "pass .filled(value)",
        lambda it: it.filled(0.0),
    ),
    "requires grad": (
        "logits",
        lambda: Recorded(X, requires_grad=True),
        "pass its .detach()",
        lambda it: it.detach(),
    ),
    "negated": ("logits", lambda: Noted(X), "pass its .resolve_neg()", lambda it: it.resolve_neg()),
    "donated": (
        "logits",
        lambda: donated()[0],
        "pass a copy that was made before",
        lambda it: donated()[1],
    ),
    "sparse": (
        "logits",
        lambda: module("scipy.sparse").csr_array(X),
        "make it dense first",
        lambda it: it.toarray(),
    ),
    "sparse column": (
        "logits",
        lambda: module("pandas").Series(module("pandas").arrays.SparseArray(X)),
        "make it dense first",
        lambda it: it.sparse.to_dense(),
    ),
    "missing in pandas": (
        "logits",
        lambda: with_missing(lambda v: module("pandas").Series(module("pandas").array(v, dtype="Float64"))),
        "pass its .fillna(value)",
        lambda it: it.fillna(0.0),
    ),
    "missing in polars": (
        "logits",
        lambda: with_missing(module("polars").Series),
        "pass its .fill_null(value)",
        lambda it: it.fill_null(0.0),
    ),
    "missing in pyarrow": (
        "logits",
        lambda: with_missing(module("pyarrow").array),
        "pass its .fill_null(value)",
        lambda it: it.fill_null(0.0),
    ),
    "lazy column": (
        "logits",
        lambda: module("polars").col("a"),
        "frame.select(expression).to_series()",
        lambda it: module("polars").DataFrame({"a": X}).select(it).to_series(),
    ),
}


@pytest.mark.parametrize("what", ADVICE)
def test_it_works(what: str) -> None:
    name, make, advice, follow = ADVICE[what]
    given, it = {"logits": X, "targets": Y}, make()
    with pytest.raises((TypeError, ValueError), match=rf"^{name} must be ") as caught:
        LOSS(**{**given, name: it})
    assert advice in str(caught.value)
    followed = follow(it)
    shape = getattr(followed, "a", followed).shape if isinstance(followed, Tensor) else np.shape(followed)
    others = {other: np.broadcast_to(array, shape) for other, array in given.items()}
    assert LOSS(**{**others, name: followed}).shape == shape


DROPPED = {
    "pandas": (
        "dropna()",
        lambda: with_missing(lambda v: module("pandas").Series(v, dtype="Float64")),
        "dropna",
    ),
    "polars": ("drop_nulls()", lambda: with_missing(module("polars").Series), "drop_nulls"),
    "pyarrow": ("drop_null()", lambda: with_missing(module("pyarrow").array), "drop_null"),
    "frame": ("drop_nulls()", lambda: module("polars").DataFrame({"a": [0.5, None, 2.0]}), "drop_nulls"),
    "table": ("drop_null()", lambda: module("pyarrow").table({"a": [0.5, None, 2.0]}), "drop_null"),
}


@pytest.mark.parametrize("what", DROPPED)
def test_dropping(what: str) -> None:
    """What lacks values offers to drop them, by its own method."""
    advice, make, method = DROPPED[what]
    it = make()
    with pytest.raises(ValueError, match=r"^logits must be ") as caught:
        LOSS(it, Y)
    assert f"its .{advice}" in str(caught.value)
    dropped = getattr(it, method)()
    assert LOSS(dropped, np.zeros(np.shape(dropped))).size == 2


def test_a_lazy_frame() -> None:
    """Its numbers are those of the frame that it gives."""
    with pytest.raises(TypeError, match=r"^logits must be .*LazyFrame, .*pass its \.collect\(\)$"):
        LOSS(lazy(), Y)
    assert LOSS(lazy().collect(), Y[:, None]).shape == (3, 1)


def test_a_frame_of_nullable_columns() -> None:
    pandas = module("pandas")
    frame = pandas.DataFrame({"a": pandas.array(X, dtype="Float32")})
    with pytest.raises(TypeError, match=r"pass its \.to_numpy\(dtype\)$"):
        LOSS(frame, Y[:, None])
    assert LOSS(frame.to_numpy(np.float32), Y[:, None]).shape == (3, 1)


def test_what_has_no_numbers_at_all() -> None:
    """Nothing is advised that cannot work."""
    for nothing in ({1, 2}, {"a": 1}, [[object()]], np.array([b"a"])):
        with pytest.raises(TypeError, match="whose elements are no numbers") as caught:
            LOSS(nothing, Y)
        assert "astype" not in str(caught.value)


def test_the_choice_of_dense() -> None:
    """Both readings of integers can be had as the message says."""
    loss = fg.SoftmaxFocalLoss()
    with pytest.raises(ValueError, match=r"^dense must be True or False"):
        loss.init_score(np.eye(2, dtype=int))
    assert loss.init_score(np.eye(2, dtype=int), dense=True).tolist() == [0, 0]
    assert loss.init_score(np.eye(2, dtype=int), dense=False).tolist() == [0, 0]
