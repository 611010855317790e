"""The compiled part of focalgrad. Documentation is with the objects themselves."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal, SupportsIndex, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from focalgrad._types import Array as _Array

# float16, float32, float64, or ml_dtypes' bfloat16.
_Result: TypeAlias = NDArray[Any]
_Reduction: TypeAlias = Literal["none", "sum", "mean"]
_ClassReduction: TypeAlias = Literal["none", "sum", "mean", "sum_classes"]
# A number, or the losses of elements, rows or positions.
_Value: TypeAlias = float | _Result
# A number of Python's or NumPy's.
_Number: TypeAlias = float | np.floating[Any] | np.integer[Any]
_NamedNormalizer: TypeAlias = Literal["weights", "focal_weights"]
_NamedElementNormalizer: TypeAlias = Literal["weights", "positives", "focal_weights"]
_Hessian: TypeAlias = Literal["exact", "gauss_newton", "upper"]
_SoftTargets: TypeAlias = Literal["mixture", "expected", "quality"]
_Modulator: TypeAlias = Literal["softmax", "sigmoid"]
# A number, or one for each class.
_Parameter: TypeAlias = _Number | Sequence[_Number] | NDArray[Any]
_ShownParameter: TypeAlias = float | tuple[float, ...]

__all__ = [
    "ISA",
    "ISAS_AVAILABLE",
    "ExactSum",
    "SigmoidFocalLoss",
    "SoftmaxFocalLoss",
    "__version__",
    "add_by_bin",
    "exact_denominator",
    "exact_sums",
    "get_num_threads",
    "largest_of_rows",
    "largest_weight",
    "limit_this_thread",
    "margins_of_rows",
    "num_threads_in_use",
    "piece",
    "read_array",
    "set_num_threads",
    "sigmoid_focal_loss",
    "sizes_of_rows",
    "softmax_focal_loss",
    "sort_by_margin",
    "tally_indices",
    "tally_labels",
    "walk_losses",
]

__version__: Final[str]
ISA: Final[str]
ISAS_AVAILABLE: Final[list[str]]

@final
class SigmoidFocalLoss:
    __signature__: ClassVar[Any]
    def __new__(
        cls,
        alpha: _Parameter | None = 0.25,
        gamma: _Parameter = 2.0,
        *,
        reduction: _ClassReduction = "mean",
        normalizer: _NamedElementNormalizer | _Number | None = None,
        class_axis: SupportsIndex | None = None,
        class_weight: Sequence[_Number] | NDArray[Any] | None = None,
        label_smoothing: _Number = 0.0,
        ignore_index: _Number | None = None,
        background_index: SupportsIndex | None = None,
        from_logits: bool = True,
        eps: _Number = 0.0,
        soft_targets: _SoftTargets = "mixture",
    ) -> SigmoidFocalLoss: ...
    @property
    def alpha(self) -> _ShownParameter | None: ...
    @property
    def gamma(self) -> _ShownParameter: ...
    @property
    def reduction(self) -> _ClassReduction: ...
    @property
    def normalizer(self) -> _NamedElementNormalizer | float | None: ...
    @property
    def class_axis(self) -> int | None: ...
    @property
    def class_weight(self) -> tuple[float, ...] | None: ...
    @property
    def label_smoothing(self) -> float: ...
    @property
    def ignore_index(self) -> float | None: ...
    @property
    def background_index(self) -> int | None: ...
    @property
    def from_logits(self) -> bool: ...
    @property
    def eps(self) -> float: ...
    @property
    def soft_targets(self) -> _SoftTargets: ...
    def __call__(
        self,
        logits: _Array,
        targets: _Array,
        *,
        sample_weight: _Array | None = None,
        out: _Result | None = None,
    ) -> _Value: ...
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
    ) -> tuple[_Value, _Result]: ...
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
    def init_score(
        self, targets: _Array, sample_weight: _Array | None = None, *, dense: bool | None = None
    ) -> _Value: ...
    def posterior(self, scores: _Array, *, out: _Result | None = None) -> _Result: ...
    def replace(self, **changes: Any) -> SigmoidFocalLoss: ...
    def __replace__(self, **changes: Any) -> SigmoidFocalLoss: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

@final
class SoftmaxFocalLoss:
    __signature__: ClassVar[Any]
    def __new__(
        cls,
        alpha: _Parameter | None = None,
        gamma: _Parameter = 2.0,
        *,
        reduction: _Reduction = "mean",
        normalizer: _NamedNormalizer | _Number | None = None,
        class_axis: SupportsIndex = -1,
        label_smoothing: _Number = 0.0,
        ignore_index: _Number | None = None,
        from_logits: bool = True,
        eps: _Number = 0.0,
        modulator: _Modulator = "softmax",
    ) -> SoftmaxFocalLoss: ...
    @property
    def alpha(self) -> _ShownParameter | None: ...
    @property
    def gamma(self) -> _ShownParameter: ...
    @property
    def reduction(self) -> _Reduction: ...
    @property
    def normalizer(self) -> _NamedNormalizer | float | None: ...
    @property
    def class_axis(self) -> int: ...
    @property
    def label_smoothing(self) -> float: ...
    @property
    def ignore_index(self) -> float | None: ...
    @property
    def from_logits(self) -> bool: ...
    @property
    def eps(self) -> float: ...
    @property
    def modulator(self) -> _Modulator: ...
    def __call__(
        self,
        logits: _Array,
        targets: _Array,
        *,
        sample_weight: _Array | None = None,
        out: _Result | None = None,
    ) -> _Value: ...
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
    ) -> tuple[_Value, _Result]: ...
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
    def init_score(
        self, targets: _Array, sample_weight: _Array | None = None, *, dense: bool | None = None
    ) -> _Value: ...
    def posterior(self, scores: _Array, *, out: _Result | None = None) -> _Result: ...
    def replace(self, **changes: Any) -> SoftmaxFocalLoss: ...
    def __replace__(self, **changes: Any) -> SoftmaxFocalLoss: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

@final
class ExactSum:
    def __new__(cls, data: bytes | None = None) -> ExactSum: ...
    def __add__(self, other: ExactSum, /) -> ExactSum: ...
    def __radd__(self, other: ExactSum, /) -> ExactSum: ...
    def __float__(self) -> float: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

def read_array(name: str, object: _Array) -> NDArray[Any]: ...
def largest_weight(sample_weight: _Array) -> float: ...
def tally_labels(
    targets: _Array, sample_weight: _Array | None, scale: float, axis: int | None, ignored: float | None
) -> tuple[NDArray[Any], NDArray[Any], bool, bool]: ...
def tally_indices(
    targets: _Array,
    sample_weight: _Array | None,
    scale: float,
    classes: int | None,
    most: int,
    ignored: float | None,
    background: int | None,
) -> tuple[NDArray[Any], float]: ...
def sort_by_margin(
    logits: _Array, targets: _Array, losses: NDArray[Any], bins: NDArray[Any]
) -> tuple[int, int, int | None]: ...
def walk_losses(
    losses: Sequence[SigmoidFocalLoss | SoftmaxFocalLoss],
    logits: _Array,
    targets: _Array,
    counts: NDArray[Any],
    rows: NDArray[Any],
) -> tuple[list[tuple[ExactSum, float, float, float, int]], int, int] | None: ...
def largest_of_rows(entries: NDArray[Any], classes: NDArray[Any], largest: NDArray[Any]) -> None: ...
def sizes_of_rows(entries: NDArray[Any], sums: NDArray[Any]) -> float: ...
def margins_of_rows(entropies: NDArray[Any], margins: NDArray[Any]) -> None: ...
def add_by_bin(
    bins: NDArray[Any],
    losses: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    counts: NDArray[Any],
    rows: NDArray[Any],
) -> list[tuple[ExactSum, float, float, float, int]]: ...
def exact_sums(
    loss: SigmoidFocalLoss | SoftmaxFocalLoss, logits: _Array, targets: _Array, sample_weight: _Array | None
) -> tuple[ExactSum, ExactSum]: ...
def exact_denominator(
    loss: SigmoidFocalLoss | SoftmaxFocalLoss, logits: _Array, targets: _Array, sample_weight: _Array | None
) -> ExactSum: ...
def piece(
    loss: SigmoidFocalLoss | SoftmaxFocalLoss,
    logits: _Array,
    targets: _Array,
    sample_weight: _Array | None,
    whole: tuple[float, float],
    *,
    value: bool = False,
    hessian: _Hessian | None = None,
) -> tuple[Any, ...]: ...
def sigmoid_focal_loss(
    inputs: _Array,
    targets: _Array,
    alpha: _Parameter | None = 0.25,
    gamma: _Parameter = 2.0,
    reduction: _ClassReduction = "none",
    *,
    sample_weight: _Array | None = None,
    out: _Result | None = None,
    **options: Any,
) -> _Value: ...
def softmax_focal_loss(
    inputs: _Array,
    targets: _Array,
    alpha: _Parameter | None = None,
    gamma: _Parameter = 2.0,
    reduction: _Reduction = "none",
    *,
    sample_weight: _Array | None = None,
    out: _Result | None = None,
    **options: Any,
) -> _Value: ...
def set_num_threads(n: SupportsIndex) -> None: ...
def get_num_threads() -> int: ...
def num_threads_in_use() -> int: ...
def limit_this_thread(n: int) -> int: ...
