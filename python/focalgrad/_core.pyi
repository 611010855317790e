"""The compiled part of focalgrad. Documentation is with the objects themselves."""

from typing import Any, Final, Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

_Float: TypeAlias = np.float32 | np.float64
_Logits: TypeAlias = NDArray[_Float]
_Targets: TypeAlias = NDArray[np.bool_] | NDArray[np.uint8] | NDArray[_Float]
_Weight: TypeAlias = float | NDArray[_Float] | None
_Reduction: TypeAlias = Literal["none", "sum", "mean"]
_Normalizer: TypeAlias = Literal["weights", "positives"] | float | None
_Hessian: TypeAlias = Literal["exact", "gauss_newton", "upper"]

__all__ = [
    "ISA",
    "ISAS_AVAILABLE",
    "SigmoidFocalLoss",
    "__version__",
    "get_num_threads",
    "set_num_threads",
    "sigmoid_focal_loss",
]

__version__: Final[str]
ISA: Final[str]
ISAS_AVAILABLE: Final[list[str]]

@final
class SigmoidFocalLoss:
    def __new__(
        cls,
        alpha: float | None = 0.25,
        gamma: float = 2.0,
        *,
        reduction: _Reduction = "mean",
        normalizer: _Normalizer = None,
    ) -> SigmoidFocalLoss: ...
    @property
    def alpha(self) -> float | None: ...
    @property
    def gamma(self) -> float: ...
    @property
    def reduction(self) -> _Reduction: ...
    @property
    def normalizer(self) -> _Normalizer: ...
    def __call__(
        self,
        logits: _Logits,
        targets: _Targets,
        *,
        sample_weight: _Weight = None,
        out: _Logits | None = None,
    ) -> Any: ...
    def grad(
        self,
        logits: _Logits,
        targets: _Targets,
        *,
        sample_weight: _Weight = None,
        out: _Logits | None = None,
    ) -> _Logits: ...
    def value_and_grad(
        self,
        logits: _Logits,
        targets: _Targets,
        *,
        sample_weight: _Weight = None,
        out: _Logits | None = None,
        grad_out: _Logits | None = None,
    ) -> tuple[Any, _Logits]: ...
    def grad_and_hess(
        self,
        logits: _Logits,
        targets: _Targets,
        *,
        sample_weight: _Weight = None,
        hessian: _Hessian = "exact",
        grad_out: _Logits | None = None,
        hess_out: _Logits | None = None,
    ) -> tuple[_Logits, _Logits]: ...
    def replace(self, **changes: Any) -> SigmoidFocalLoss: ...
    def __replace__(self, **changes: Any) -> SigmoidFocalLoss: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

def sigmoid_focal_loss(
    inputs: _Logits,
    targets: _Targets,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: _Reduction = "none",
    *,
    normalizer: _Normalizer = None,
    sample_weight: _Weight = None,
    out: _Logits | None = None,
) -> Any: ...
def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...
