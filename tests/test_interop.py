"""Everything that hands over an array, with the real libraries: the right numbers, none copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from foreign import MAKERS, Negated, Tensor, Unreadable, memory, torch_tensor
from layouts import labels, numbers
from support import refused, same_bits

X, Y = numbers((50,), np.float32, 1), labels((50,), np.uint8, 2)
LOSS = fg.SigmoidFocalLoss(reduction="none")
WANT = LOSS(X, Y)


OPERANDS = ("logits", "targets", "sample_weight")


@pytest.mark.parametrize("maker", MAKERS)
def test_numbers(maker: str) -> None:
    make = MAKERS[maker]
    got = LOSS(make(X), make(Y), sample_weight=make(np.ones(50, np.float32)))
    assert type(got) is np.ndarray
    assert same_bits(got, WANT)


@pytest.mark.parametrize("make", [list, tuple])
def test_sequences(make: Any) -> None:
    got = LOSS(make(X.tolist()), make(Y.tolist()), sample_weight=make([1.0] * 50))
    assert same_bits(got, LOSS(X.astype(np.float64), Y))


@pytest.mark.parametrize("maker", MAKERS)
def test_no_copy(maker: str) -> None:
    """What stands at the address that the library states is what is read, in every place of an operand."""
    for operand in OPERANDS:
        given = {"logits": X, "targets": Y.astype(np.float32), "sample_weight": np.ones(50, np.float32)}
        source = given[operand].copy()
        given[operand] = MAKERS[maker](source)
        alias = memory(maker, given[operand], source)
        refused(ValueError, [f"out overlaps {operand}"], LOSS, **given, out=alias[::-1])
        assert same_bits(LOSS(**given), WANT)
        # Exactly the operand's memory may be the output, which the next call finds in the operand.
        assert LOSS(**given, out=alias) is alias and same_bits(alias, WANT)
        assert same_bits(LOSS(**given), LOSS(**{**given, operand: WANT}))


def test_no_copy_of_frames_and_columns() -> None:
    frame_of = pytest.importorskip("pandas").DataFrame
    home = np.stack([X, X], 1)
    frame, targets = frame_of(home, copy=False), np.stack([Y, Y], 1)
    for logits, y, out in ((frame, targets, home[::-1]), (frame[1], Y, home[::-1, 1])):
        assert same_bits(LOSS(logits, y), LOSS(np.array(logits), y))
        refused(ValueError, ["out overlaps logits"], LOSS, logits, y, out=out)


def test_read_only_dlpack() -> None:
    x = X.copy()
    x.flags.writeable = False
    assert same_bits(LOSS(Tensor(x), Y), WANT)


def test_what_dlpack_cannot_express() -> None:
    """bfloat16 has no number that NumPy's reader knows: the object's own way is taken, and copies nothing."""
    jnp = pytest.importorskip("jax.numpy")
    x = jnp.asarray(X).astype(jnp.bfloat16)
    plain = np.asarray(x)
    assert plain.ctypes.data == x.unsafe_buffer_pointer()
    assert same_bits(LOSS(x, Y), LOSS(plain.copy(), Y))


def test_bytes() -> None:
    for make in (bytes, bytearray):
        assert same_bits(LOSS(X, make(Y.tobytes())), WANT)


def test_python_numbers() -> None:
    assert LOSS(0.5, 1).shape == ()
    assert same_bits(LOSS(0.5, True), LOSS(np.float64(0.5), np.uint8(1)))
    assert LOSS([[1, 2], [3, 4]], [[0, 1], [1, 0]]).dtype == np.float64


def test_subclasses() -> None:
    assert type(LOSS(X.reshape(5, 10).view(np.matrix), Y.reshape(5, 10))) is np.ndarray


class Raises:
    """An object that cannot even be looked at."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise ZeroDivisionError("mine")


def test_an_object_s_own_exception_comes_through() -> None:
    with pytest.raises(ZeroDivisionError, match="mine"):
        LOSS(Raises(), Y)


def pandas() -> Any:
    return pytest.importorskip("pandas")


def polars() -> Any:
    return pytest.importorskip("polars")


def pyarrow() -> Any:
    return pytest.importorskip("pyarrow")


def nullable(dtype: str = "Float32") -> Any:
    return pandas().array([1.0, None] * 25, dtype=dtype)


class Masked:
    """An object whose array is a masked one, as netCDF's variables are."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.ma.array(X, mask=X > 0)


REFUSED = {
    "masked": (lambda: np.ma.array(X, mask=X > 0), "masked.*filled"),
    "none": (lambda: None, "NoneType"),
    "string": (lambda: "text", "str"),
    "set": (lambda: {1.0}, "set"),
    "dict": (lambda: {"a": 1}, "dict"),
    "scipy sparse": (lambda: pytest.importorskip("scipy.sparse").csr_matrix(X), "sparse.*dense"),
    "tensor, requires grad": (lambda: Tensor(X.copy(), True), r"requires grad.*detach\(\)"),
    "tensor, negated": (lambda: Negated(X.copy()), r"negative view.*resolve_neg\(\)"),
    "tensor, unreadable": (lambda: Unreadable(X.copy()), "no NumPy array: no such scalar type"),
    "torch, requires grad": (lambda: torch_tensor(X.copy()).requires_grad_(), r"requires grad.*detach\(\)"),
    "masked, in a list": (lambda: [np.ma.array(X, mask=X > 0)], "masked.*filled"),
    "masked, in lists": (lambda: ((1.0, (np.ma.masked,)),), "masked.*filled"),
    "masked, behind __array__": (Masked, "masked.*filled"),
    "sparse column": (lambda: pandas().Series(pandas().arrays.SparseArray(X)), "sparse.*dense"),
    "sparse array": (lambda: pandas().arrays.SparseArray(X), "sparse.*dense"),
    "pandas nullable": (lambda: pandas().Series(nullable()), "missing.*fillna"),
    "pandas array": (nullable, "missing.*fillna"),
    "pandas array of arrow": (lambda: nullable("float64[pyarrow]"), "missing.*fillna"),
    "pandas index": (lambda: pandas().Index(nullable()), "missing.*fillna"),
    "pandas numeric category": (
        lambda: pandas().Series([1.0, None] * 25, dtype="category"),
        "missing.*fillna",
    ),
    "in a list": (lambda: [pandas().Series(nullable())], "missing.*fillna"),
    "pandas category": (
        lambda: pandas().Series(list("ab") * 25, dtype="category"),
        "object",
    ),
    "pandas frame": (
        lambda: pandas().DataFrame({"a": nullable()}),
        "Float32.*to_numpy",
    ),
    "polars nulls": (lambda: polars().Series([1.0, None] * 25), "missing.*fill_null"),
    "polars frame": (lambda: polars().DataFrame({"a": [1.0, None], "b": [1.0, 2.0]}), "missing.*fill_null"),
    "polars arrays": (
        lambda: polars().Series([[1.0, None]] * 25, dtype=polars().Array(polars().Float64, 2)),
        "missing.*fill_null",
    ),
    "pyarrow nulls": (lambda: pyarrow().array([1.0, None] * 25), "missing.*fill_null"),
    "pyarrow chunks": (lambda: pyarrow().chunked_array([[1.0], [2.0, None]]), "missing.*fill_null"),
    "pyarrow table": (lambda: pyarrow().table({"a": [1.0, 2.0], "b": [1.0, None]}), "missing.*drop_null"),
    "pyarrow batch": (lambda: pyarrow().record_batch({"a": [1.0, None]}), "missing.*drop_null"),
    "pyarrow dictionary": (
        lambda: pyarrow().DictionaryArray.from_arrays([0, 1] * 25, pyarrow().array([1.0, None])),
        "missing.*fill_null",
    ),
    "pyarrow runs": (
        lambda: pyarrow().RunEndEncodedArray.from_arrays([25, 50], [1.0, None]),
        "missing.*fill_null",
    ),
    "list of None": (lambda: [None] * 50, "list, for NumPy an array of dtype object"),
}


@pytest.mark.parametrize("operand", ["logits", "targets", "sample_weight"])
@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str, operand: str) -> None:
    make, words = REFUSED[what]
    given = {"logits": X, "targets": Y, "sample_weight": np.ones(50)}
    given[operand] = make()
    if operand == "sample_weight" and what == "none":
        pytest.skip("no weights")
    out = np.full(50, 77, np.float32)
    error = ValueError if words.startswith("missing") else TypeError
    refused(error, [f"(?s)^{operand} must be .*{words}"], LOSS, **given, out=out)


def test_nullable_without_missing_values() -> None:
    series, frame_of = pandas().Series, pandas().DataFrame
    for dtype in ("Float32", "float32"):
        assert same_bits(LOSS(series(X, dtype=dtype), series(Y, dtype="UInt8")), WANT)
        assert same_bits(LOSS(pandas().array(X, dtype=dtype), pandas().Index(series(Y, dtype="UInt8"))), WANT)
    assert same_bits(LOSS(series(X, dtype="category"), Y), WANT)
    frame = frame_of({"x": X, "w": np.ones(50, np.float32)})
    assert same_bits(LOSS(frame["x"], Y, sample_weight=frame["w"]), WANT)
    both = frame[["x", "w"]]
    assert LOSS(both, np.stack([Y, Y], 1)).shape == (50, 2)


def test_labels_say_nothing_about_what_an_object_is() -> None:
    names = ["requires_grad", "is_sparse", "nnz", "toarray", "null_count", "isna", "dtype"]
    assert LOSS(pandas().DataFrame(dict.fromkeys(names, X)), np.stack([Y] * 7, 1)).shape == (50, 7)
    assert same_bits(LOSS(pandas().Series(X, index=[*names, *range(43)]), Y), WANT)


def test_tables() -> None:
    """Those of polars and pyarrow are as the array of their columns."""
    both, want = {"a": X, "b": X[::-1].copy()}, LOSS(np.stack([X, X[::-1]], 1), np.stack([Y, Y], 1))
    nested = polars().Series(np.stack([X, X[::-1]], 1))
    for table in (polars().DataFrame(both), pyarrow().table(both), pyarrow().record_batch(both), nested):
        assert same_bits(LOSS(table, np.stack([Y, Y], 1)), want)


@pytest.mark.parametrize("device", [[1, 0], "cpu", (1,), (1.0, 0), None, (2**70, 0)], ids=repr)
def test_dlpack_without_a_device(device: Any) -> None:
    tensor = Tensor(X)
    tensor.__dlpack_device__ = lambda: device  # type: ignore[method-assign]
    with pytest.raises(TypeError, match=r"^logits .*; got a .*Tensor whose __dlpack_device__\(\) is "):
        LOSS(tensor, Y)


@pytest.mark.parametrize("operand", OPERANDS)
def test_what_numpy_makes_no_array_of(operand: str) -> None:
    """Its own message comes after the argument's name."""
    deep: Any = 1.0
    for _ in range(70):
        deep = [deep]
    for spoiled in ([[1.0, 2.0], [3.0]], deep, memoryview(bytes(48)).cast("P")):
        given = {"logits": X, "targets": Y, "sample_weight": np.ones(50), operand: spoiled}
        refused(ValueError, [f"^{operand} must be .*which gives no NumPy array: "], LOSS, **given)


def test_dlpack_from_another_device() -> None:
    class Elsewhere:
        def __dlpack__(self, **_: Any) -> Any:
            raise AssertionError("must not be asked")

        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

    with pytest.raises(TypeError, match=r"logits must be .*device.*CPU"):
        LOSS(Elsewhere(), Y)


@pytest.mark.parametrize("error", [TypeError, ValueError, RuntimeError])
def test_exceptions_like_numpys_come_through_too(error: type[Exception]) -> None:
    """Alone, and as an item of a list."""

    class Mine:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise error("mine")

    for given in (Mine(), [Mine()]):
        with pytest.raises(error, match=r"^mine$"):
            LOSS(given, Y)
