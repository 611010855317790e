"""What a user would write or install instead, for each operation that it has.

A peer is a function `(operation, gamma, data, threads)` that returns a call without arguments, or None for an
operation that it does not do. NumPy is always there; the others take part where they can be imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from work import ALPHA, GRAD_HESS, MEAN, MEAN_GRAD, VALUE

Call = Callable[[], Any]


def _numpy_terms(x: np.ndarray, y: np.ndarray, gamma: float):
    one = x.dtype.type(1)
    sign = 2 * y - one
    z = sign * x
    e = np.exp(-np.abs(z))
    d = one / (one + e)
    p = np.where(z >= 0, d, e * d)
    q = np.where(z >= 0, e * d, d)
    nll = np.maximum(-z, 0) + np.log1p(e)
    weight = np.where(y > 0, x.dtype.type(ALPHA), x.dtype.type(1 - ALPHA))
    return sign, weight, p, q, q**gamma, nll


def numpy_formula(operation: str, gamma: float, data: SimpleNamespace, threads: int) -> Call | None:
    """The stable formula in NumPy, as one writes it: temporaries and all, on one thread."""
    x, y, size = data.x, data.y, data.x.size

    def value() -> np.ndarray:
        z = np.where(y > 0, x, -x)
        e = np.exp(-np.abs(z))
        q = np.where(z >= 0, e, x.dtype.type(1)) / (1 + e)
        nll = np.maximum(-z, 0) + np.log1p(e)
        weight = np.where(y > 0, x.dtype.type(ALPHA), x.dtype.type(1 - ALPHA))
        return weight * q**gamma * nll

    def mean_grad() -> tuple[float, np.ndarray]:
        sign, weight, p, q, factor, nll = _numpy_terms(x, y, gamma)
        grad = -sign * weight * factor * (q + gamma * p * nll) / size
        return float((weight * factor * nll).mean(dtype=np.float64)), grad

    def grad_hess() -> tuple[np.ndarray, np.ndarray]:
        sign, weight, p, q, factor, nll = _numpy_terms(x, y, gamma)
        grad = -sign * weight * factor * (q + gamma * p * nll)
        return grad, weight * factor * p * ((1 + 2 * gamma) * q + gamma * (gamma * p - q) * nll)

    return {
        VALUE: value,
        MEAN: lambda: float(value().mean(dtype=np.float64)),
        MEAN_GRAD: mean_grad,
        GRAD_HESS: grad_hess,
    }[operation]


def numba_loop(operation: str, gamma: float, data: SimpleNamespace, threads: int) -> Call | None:
    """One parallel loop with fast maths, compiled by numba."""
    if operation != VALUE:
        return None
    import numba

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    square, alpha, power = gamma == 2, data.x.dtype.type(ALPHA), data.x.dtype.type(gamma)

    @numba.njit(parallel=True, fastmath=True)
    def value(x, y, out):
        one = x.dtype.type(1)
        for i in numba.prange(x.size):
            z = (2 * y[i] - one) * x[i]
            e = np.exp(-abs(z))
            q = (e if z >= 0 else one) / (one + e)
            factor = q * q if square else q**power
            out[i] = (one - alpha + y[i] * (2 * alpha - one)) * factor * (max(-z, 0 * one) + np.log1p(e))

    def call() -> np.ndarray:
        value(data.x, data.y, data.a)
        return data.a

    return call


def numexpr_formula(operation: str, gamma: float, data: SimpleNamespace, threads: int) -> Call | None:
    """The stable formula as one numexpr expression."""
    if operation != VALUE:
        return None
    import numexpr

    numexpr.set_num_threads(threads)
    real = data.x.dtype.type
    z, e = "((two * y - one) * x)", "exp(-abs((two * y - one) * x))"
    nll = f"(where({z} < zero, -{z}, zero) + log1p({e}))"
    power = f"(where({z} >= zero, {e}, one) / (one + {e}))"
    expression = f"where(y > zero, alpha, beta) * {power}**gamma * {nll}"
    names = {"zero": 0, "one": 1, "two": 2, "alpha": ALPHA, "beta": 1 - ALPHA, "gamma": gamma}
    local = {**{key: real(number) for key, number in names.items()}, "x": data.x, "y": data.y}
    return lambda: numexpr.evaluate(expression, local_dict=local, out=data.a)


def _torch_loss(gamma: float, reduce: bool):
    """torchvision's formula."""
    import torch.nn.functional as functional

    def loss(x, y):
        p = x.sigmoid()
        ce = functional.binary_cross_entropy_with_logits(x, y, reduction="none")
        p_t = p * y + (1 - p) * (1 - y)
        value = (ALPHA * y + (1 - ALPHA) * (1 - y)) * ce * (1 - p_t) ** gamma
        return value.mean() if reduce else value

    return loss


def _torch(operation: str, gamma: float, data: SimpleNamespace, threads: int, compiled: bool) -> Call | None:
    if operation == GRAD_HESS:
        return None
    import torch

    torch.set_num_threads(threads)
    loss = _torch_loss(gamma, reduce=operation != VALUE)
    loss = torch.compile(loss) if compiled else loss
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)

    def forward() -> Any:
        with torch.no_grad():
            result = loss(x, y)
        return result.numpy() if operation == VALUE else float(result)

    def backward() -> tuple[float, np.ndarray]:
        leaf = x.detach().requires_grad_()
        result = loss(leaf, y)
        result.backward()
        return float(result), leaf.grad.numpy()

    return backward if operation == MEAN_GRAD else forward


def torch_eager(operation: str, gamma: float, data: SimpleNamespace, threads: int) -> Call | None:
    """torchvision's formula in torch."""
    return _torch(operation, gamma, data, threads, compiled=False)


def torch_compile(operation: str, gamma: float, data: SimpleNamespace, threads: int) -> Call | None:
    """The same through `torch.compile`."""
    return _torch(operation, gamma, data, threads, compiled=True)


def jax_jit(operation: str, gamma: float, data: SimpleNamespace, threads: int) -> Call | None:
    """optax's formula through `jax.jit` (float32; jax chooses its threads itself)."""
    if operation == GRAD_HESS or data.x.dtype != np.float32:
        return None
    import jax

    x, y = jax.numpy.asarray(data.x), jax.numpy.asarray(data.y)

    def value(x, y):
        p = jax.nn.sigmoid(x)
        ce = -y * jax.nn.log_sigmoid(x) - (1 - y) * jax.nn.log_sigmoid(-x)
        p_t = p * y + (1 - p) * (1 - y)
        return (ALPHA * y + (1 - ALPHA) * (1 - y)) * ce * (1 - p_t) ** gamma

    def mean(x, y):
        return value(x, y).mean()

    function = jax.jit({VALUE: value, MEAN: mean, MEAN_GRAD: jax.value_and_grad(mean)}[operation])
    return lambda: jax.block_until_ready(function(x, y))


#: Name in the table, module that must be importable, the peer.
PEERS = {
    "NumPy": ("numpy", numpy_formula),
    "numexpr": ("numexpr", numexpr_formula),
    "numba": ("numba", numba_loop),
    "torch": ("torch", torch_eager),
    "torch.compile": ("torch", torch_compile),
    "jax.jit": ("jax", jax_jit),
}


def importable() -> list[str]:
    """The peers that this environment has."""
    return [name for name, (module, _) in PEERS.items() if importlib.util.find_spec(module)]
