"""The compiled part of focalgrad. Documentation is with the objects themselves."""

from typing import Any, ClassVar, Final, Literal, TypeAlias, final

from numpy.typing import ArrayLike, NDArray

# Whatever hands over an array: NumPy's, lists, buffers, columns of data frames, tensors by DLPack.
_Array: TypeAlias = ArrayLike | Any
# float16, float32, float64, or ml_dtypes' bfloat16.
_Result: TypeAlias = NDArray[Any]
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
    __signature__: ClassVar[Any]
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
        logits: _Array,
        targets: _Array,
        *,
        sample_weight: _Array | None = None,
        out: _Result | None = None,
    ) -> Any: ...
    def grad(
        self,
        logits: _Array,
        targets: _Array,
        *,
        sample_weight: _Array | None = None,
        out: _Result | None = None,
    ) -> _Result: ...
    def value_and_grad(
        self,
        logits: _Array,
        targets: _Array,
        *,
        sample_weight: _Array | None = None,
        out: _Result | None = None,
        grad_out: _Result | None = None,
    ) -> tuple[Any, _Result]: ...
    def grad_and_hess(
        self,
        logits: _Array,
        targets: _Array,
        *,
        sample_weight: _Array | None = None,
        hessian: _Hessian = "exact",
        grad_out: _Result | None = None,
        hess_out: _Result | None = None,
    ) -> tuple[_Result, _Result]: ...
    def replace(self, **changes: Any) -> SigmoidFocalLoss: ...
    def __replace__(self, **changes: Any) -> SigmoidFocalLoss: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

def sigmoid_focal_loss(
    inputs: _Array,
    targets: _Array,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: _Reduction = "none",
    *,
    normalizer: _Normalizer = None,
    sample_weight: _Array | None = None,
    out: _Result | None = None,
) -> Any: ...
def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...
