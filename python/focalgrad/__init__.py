"""Focal loss, its gradient and its diagonal Hessian over NumPy arrays, from a Rust core.

A loss is a small immutable object:

>>> import numpy as np
>>> import focalgrad as fg
>>> loss = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0, reduction="mean")
>>> value, grad = loss.value_and_grad(np.zeros(4), np.array([1.0, 0.0, 0.0, 0.0]))
>>> round(value, 6)
0.108304

Adapters for other libraries are found as attributes, ``focalgrad.lightgbm`` for example, and import their
library when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from focalgrad import _adapters
from focalgrad._class_weights import class_weights
from focalgrad._core import (
    SigmoidFocalLoss,
    SoftmaxFocalLoss,
    __version__,
    get_num_threads,
    set_num_threads,
    sigmoid_focal_loss,
    softmax_focal_loss,
)
from focalgrad._meter import FocalLossMeter
from focalgrad._runtime import num_threads, show_config
from focalgrad._signature import CallSignature

if TYPE_CHECKING:
    from focalgrad._evaluate.evaluation import Evaluation
    from focalgrad._evaluate.run import evaluate

__all__ = [
    "Evaluation",
    "FocalLossMeter",
    "SigmoidFocalLoss",
    "SoftmaxFocalLoss",
    "__version__",
    "class_weights",
    "evaluate",
    "get_num_threads",
    "num_threads",
    "set_num_threads",
    "show_config",
    "sigmoid_focal_loss",
    "softmax_focal_loss",
]

# What the package shows is the package's, wherever it is made.
FocalLossMeter.__module__ = __name__
for _function in (
    class_weights,
    get_num_threads,
    num_threads,
    set_num_threads,
    show_config,
    sigmoid_focal_loss,
    softmax_focal_loss,
):
    _function.__module__ = __name__
del _function

for _loss in (SigmoidFocalLoss, SoftmaxFocalLoss):
    _loss.__signature__ = CallSignature()
del _loss


def __getattr__(name: str) -> Any:
    """Import what is not always needed when it is first used; from then on it is an attribute like others."""
    if name in _adapters.LIBRARIES:
        return import_module(f"{__name__}.{name}")
    if name not in ("Evaluation", "evaluate"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    thing = globals()[name] = getattr(import_module(f"{__name__}._evaluate"), name)
    thing.__module__ = __name__
    return thing


def __dir__() -> list[str]:
    """List what is public, and the adapters that can be imported here."""
    special = [name for name in globals() if name.startswith("__") and name.endswith("__")]
    return sorted({*special, *__all__, *_adapters.available()})
