"""The search for a minimum: L-BFGS, and a few Newton steps where it cannot see any further."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from scipy.sparse.linalg import LinearOperator, cg

from focalgrad.sklearn._problem import Problem

Floats = NDArray[np.float64]

EVALUATIONS = 50  # in one line search, at most
NEWTON_STEPS = 4
PRODUCTS = 100  # of the Hessian and a vector, in one Newton step, at most
APART = 1e-5  # of two gradients whose difference is such a product: coordinates are scaled to curvature 1
FAR = 1e-3  # what no Newton step of a search that has almost arrived exceeds


def minimum(problem: Problem, point: Floats, *, max_iter: int, tol: float) -> OptimizeResult:
    """Search from a point until no component of the gradient exceeds `tol`, for `max_iter` steps at most."""
    options = {
        "maxiter": max_iter,
        "maxfun": max_iter * EVALUATIONS,
        "maxls": EVALUATIONS,
        "gtol": tol,
        "ftol": 0.0,  # as long as there is anything to gain
    }
    found = minimize(problem, point, jac=True, method="L-BFGS-B", options=options)
    # Near the minimum the objective changes by less than its rounding, while its gradient still leads there.
    if found.nit < max_iter and np.max(np.abs(found.jac), initial=0.0) > tol:
        found.x, found.jac = polished(problem, found.x, found.jac)
    return found


def polished(problem: Problem, point: Floats, grad: Floats) -> tuple[Floats, Floats]:
    """Give a point near by with a smaller gradient, and the gradient, by Newton's method on the gradient."""
    level = problem.level()
    for _ in range(NEWTON_STEPS):

        def times_hessian(direction: Floats, point: Floats = point) -> Floats:
            part = APART / max(float(np.linalg.norm(direction)), np.finfo(float).tiny) * direction
            rise: Floats = problem(point + part)[1] - problem(point - part)[1]
            return rise * (np.linalg.norm(direction) / (2 * APART))

        size = len(point)
        hessian = LinearOperator((size, size), matvec=times_hessian, dtype=np.float64)
        step, _ = cg(hessian, -grad, rtol=1e-3, maxiter=min(size, PRODUCTS))
        step -= (step @ level) * level
        if not np.linalg.norm(step) < FAR * (1 + np.linalg.norm(point)):
            break
        _, there = problem(point + step)
        if not np.linalg.norm(there) < 0.5 * np.linalg.norm(grad):
            break
        point, grad = point + step, there
    return point, grad
