"""Objects of other libraries that hand over an array, and where each has its memory."""

from __future__ import annotations

import array
import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]


class Interface:
    """An array behind `__array_interface__`."""

    def __init__(self, a: Array) -> None:
        self.a = a
        self.__array_interface__ = a.__array_interface__


class Convertible:
    """An array behind `__array__`."""

    def __init__(self, a: Array) -> None:
        self.a = a

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return self.a


class Tensor:
    """An array behind DLPack, and nothing else."""

    def __init__(self, a: Array, requires_grad: bool = False) -> None:
        self.a, self.requires_grad = a, requires_grad

    def __dlpack__(self, **keywords: Any) -> Any:
        return self.a.__dlpack__(**keywords)

    def __dlpack_device__(self) -> Any:
        return self.a.__dlpack_device__()


class Negated(Tensor):
    """As torch's tensors whose signs are only noted."""

    def is_neg(self) -> bool:
        return True


class Donated(Tensor):
    """As jax's arrays whose memory a function has taken over."""

    def is_deleted(self) -> bool:
        return True


class Unreadable(Tensor):
    """As torch's tensors of bfloat16: neither DLPack nor their own library can say what they are."""

    def __dlpack__(self, **keywords: Any) -> Any:
        raise BufferError("no such type")

    def __array__(self, *arguments: Any, **keywords: Any) -> Any:
        raise TypeError("no such scalar type")


def array_array(a: Array) -> Any:
    return array.array({"f": "f", "u": "B"}[a.dtype.kind], a.tobytes())


def pandas_series(a: Array) -> Any:
    return pytest.importorskip("pandas").Series(a, copy=False)


def pandas_nullable(a: Array) -> Any:
    """Without missing values."""
    arrays = pytest.importorskip("pandas").arrays
    make = arrays.FloatingArray if a.dtype.kind == "f" else arrays.IntegerArray
    return pandas_series(make(a, np.zeros(a.shape, np.bool_)))


def pandas_arrow(a: Array) -> Any:
    return pandas_series(pytest.importorskip("pandas").arrays.ArrowExtensionArray(pyarrow_array(a)))


def polars_series(a: Array) -> Any:
    return pytest.importorskip("polars").Series(a)


def pyarrow_array(a: Array) -> Any:
    return pytest.importorskip("pyarrow").array(a)


def torch_tensor(a: Array) -> Any:
    return pytest.importorskip("torch", reason="torch is too large for the test environment").from_numpy(a)


def jax_array(a: Array) -> Any:
    return pytest.importorskip("jax.numpy").asarray(a).block_until_ready()


MAKERS: dict[str, Callable[[Array], Any]] = {
    "masked, nothing masked": lambda a: np.ma.array(a, copy=False),
    "memoryview": memoryview,
    "array.array": array_array,
    "interface": Interface,
    "convertible": Convertible,
    "dlpack": Tensor,
    "pandas": pandas_series,
    "pandas nullable": pandas_nullable,
    "pandas arrow": pandas_arrow,
    "polars": polars_series,
    "pyarrow": pyarrow_array,
    "torch": torch_tensor,
    "jax": jax_array,
}

#: Where the memory is, as the library itself says; the others see that of the array that they were made of.
ADDRESSES: dict[str, Callable[[Any], int]] = {
    "array.array": lambda made: made.buffer_info()[0],
    "polars": lambda made: made.to_arrow().buffers()[1].address,
    "pyarrow": lambda made: made.buffers()[1].address,
    "torch": lambda made: made.data_ptr(),
    "jax": lambda made: made.unsafe_buffer_pointer(),
}


def memory(name: str, made: Any, source: Array) -> Array:
    """An object's memory as an array that knows nothing of the object, and may be written to."""
    address = ADDRESSES[name](made) if name in ADDRESSES else source.ctypes.data
    block = (ctypes.c_uint8 * source.nbytes).from_address(address)
    return np.ctypeslib.as_array(block).view(source.dtype).reshape(source.shape)
