"""Types of arguments."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from numpy.typing import ArrayLike


class SupportsDLPack(Protocol):
    """Hands over its memory by DLPack, as tensors do."""

    def __dlpack__(self, *, stream: Any = None) -> Any: ...

    def __dlpack_device__(self) -> tuple[Any, Any]: ...


# Whatever hands over an array: NumPy's, lists, buffers, columns of data frames, tensors.
Array: TypeAlias = ArrayLike | SupportsDLPack
