"""Everything that hands over an array, with the real libraries: the right numbers, none copied."""

from __future__ import annotations

import array
import ctypes
from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from layouts import labels, numbers, same

X, Y = numbers((50,), np.float32, 1), labels((50,), np.uint8, 2)
LOSS = fg.SigmoidFocalLoss(reduction="none")
WANT = LOSS(X, Y)


class Interface:
    """An array behind `__array_interface__`."""

    def __init__(self, a: Any) -> None:
        self.a = a
        self.__array_interface__ = a.__array_interface__


class Convertible:
    """An array behind `__array__`."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.a


class Tensor:
    """An array behind DLPack, and nothing else."""

    def __init__(self, a: Any, requires_grad: bool = False) -> None:
        self.a, self.requires_grad = a, requires_grad

    def __dlpack__(self, **keywords: Any) -> Any:
        return self.a.__dlpack__(**keywords)

    def __dlpack_device__(self) -> Any:
        return self.a.__dlpack_device__()


def pandas_series(a: Any) -> Any:
    return pytest.importorskip("pandas").Series(a, copy=False)


def polars_series(a: Any) -> Any:
    return pytest.importorskip("polars").Series(a)


def pyarrow_array(a: Any) -> Any:
    return pytest.importorskip("pyarrow").array(a)


def torch_tensor(a: Any) -> Any:
    return pytest.importorskip("torch").from_numpy(a)


def jax_array(a: Any) -> Any:
    return pytest.importorskip("jax.numpy").asarray(a)


MAKERS = {
    "masked, nothing masked": lambda a: np.ma.array(a, copy=False),
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(a.tolist()),
    "memoryview": memoryview,
    "array.array": lambda a: array.array({"f": "f", "u": "B"}[a.dtype.kind], a.tolist()),
    "interface": Interface,
    "convertible": Convertible,
    "dlpack": Tensor,
    "pandas": pandas_series,
    "polars": polars_series,
    "pyarrow": pyarrow_array,
    "torch": torch_tensor,
    "jax": jax_array,
}


@pytest.mark.parametrize("maker", MAKERS)
def test_numbers(maker: str) -> None:
    x, y = MAKERS[maker](X), MAKERS[maker](Y)
    got = LOSS(x, y, sample_weight=MAKERS[maker](np.ones(50, np.float32)))
    assert type(got) is np.ndarray
    assert same(got, WANT) if maker not in ("list", "tuple") else np.allclose(got, WANT, rtol=1e-5)


@pytest.mark.parametrize(
    "maker", ["masked, nothing masked", "memoryview", "interface", "convertible", "dlpack", "pandas", "torch"]
)
def test_no_copy(maker: str) -> None:
    """An output in the object's own memory is seen to be it; one that overlaps it is seen to overlap."""
    home = np.zeros(51, np.float32)
    home[:50] = X
    x = MAKERS[maker](home[:50])
    assert same(LOSS(x, Y, out=home[:50]), WANT)
    with pytest.raises(ValueError, match="out overlaps logits"):
        LOSS(x, Y, out=home[1:])


@pytest.mark.parametrize("maker", ["polars", "pyarrow"])
def test_no_copy_of_columns(maker: str) -> None:
    """Their memory is read-only: what NumPy sees of it is made an output, which is seen."""
    view = np.asarray(column := MAKERS[maker](X.copy()))
    out = np.lib.stride_tricks.as_strided(
        np.ctypeslib.as_array((ctypes.c_float * 50).from_address(view.ctypes.data))
    )
    with pytest.raises(ValueError, match="out overlaps logits"):
        LOSS(column, Y, out=out[::-1])
    assert same(LOSS(column, Y), WANT)


def test_bytes() -> None:
    for make in (bytes, bytearray):
        assert same(LOSS(X, make(Y.tobytes())), WANT)


def test_python_numbers() -> None:
    assert LOSS(0.5, 1).shape == ()
    assert same(LOSS(0.5, True), LOSS(np.float64(0.5), np.uint8(1)))
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


def nullable() -> Any:
    return pytest.importorskip("pandas").array([1.0, None] * 25, dtype="Float32")


REFUSED = {
    "masked": (lambda: np.ma.array(X, mask=X > 0), "masked.*filled"),
    "none": (lambda: None, "NoneType"),
    "string": (lambda: "text", "str"),
    "set": (lambda: {1.0}, "set"),
    "dict": (lambda: {"a": 1}, "dict"),
    "scipy sparse": (lambda: pytest.importorskip("scipy.sparse").csr_matrix(X), "sparse.*dense"),
    "tensor, requires grad": (lambda: Tensor(X.copy(), True), r"requires grad.*detach\(\)"),
    "torch, requires grad": (lambda: torch_tensor(X.copy()).requires_grad_(), r"requires grad.*detach\(\)"),
    "pandas nullable": (lambda: pytest.importorskip("pandas").Series(nullable()), "missing.*fillna"),
    "pandas category": (
        lambda: pytest.importorskip("pandas").Series(list("ab") * 25, dtype="category"),
        "object",
    ),
    "pandas frame": (
        lambda: pytest.importorskip("pandas").DataFrame({"a": nullable()}),
        "Float32.*to_numpy",
    ),
    "polars nulls": (lambda: pytest.importorskip("polars").Series([1.0, None] * 25), "missing.*fill_null"),
    "pyarrow nulls": (lambda: pytest.importorskip("pyarrow").array([1.0, None] * 25), "missing.*fill_null"),
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
    with pytest.raises((TypeError, ValueError), match=f"(?s)^{operand} must be .*{words}"):
        LOSS(**given, out=out)
    assert (out == 77).all()


def test_nullable_without_missing_values() -> None:
    pandas = pytest.importorskip("pandas")
    for dtype in ("Float32", "float32"):
        assert same(LOSS(pandas.Series(X, dtype=dtype), pandas.Series(Y, dtype="UInt8")), WANT)
    frame = pandas.DataFrame({"x": X, "w": np.ones(50, np.float32)})
    assert same(LOSS(frame["x"], Y, sample_weight=frame["w"]), WANT)
    both = frame[["x", "w"]]
    assert LOSS(both, np.stack([Y, Y], 1)).shape == (50, 2)


def test_dlpack_from_another_device() -> None:
    class Elsewhere:
        def __dlpack__(self, **_: Any) -> Any:
            raise AssertionError("must not be asked")

        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

    with pytest.raises(TypeError, match=r"logits must be .*device.*CPU"):
        LOSS(Elsewhere(), Y)
