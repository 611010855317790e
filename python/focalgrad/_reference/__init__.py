"""Focal loss written to be read: every definition in plain NumPy and float64.

This package is the oracle of the tests and the documentation of what the compiled core computes. It is slow,
allocates freely and shares no code with the core. Each formula is given in words, with its source or its
derivation:

`margin`
    the loss of one margin, f, f' and f'', on which all losses with hard labels rest
`binary`
    sigmoid losses: hard labels and the three meanings of soft ones
`rows`
    softmax losses: class indices, dense targets, the sigmoid modulator
`given`
    both, of probabilities
`targets`
    class indices, ignored targets, background, smoothing
`posterior`
    class posteriors, recovered from scores
`losses`
    weights, denominators and reductions, and `evaluate`, which takes any loss object
`terms`
    what these hand to each other
"""

from focalgrad._reference.binary import alpha_weights
from focalgrad._reference.losses import (
    SIGMOID,
    SOFTMAX,
    Evaluation,
    evaluate,
    evaluate_with_sizes,
    sigmoid_focal,
    softmax_focal,
)
from focalgrad._reference.margin import margin_terms
from focalgrad._reference.posterior import posterior
from focalgrad._reference.terms import Terms, exact_sum

__all__ = [
    "SIGMOID",
    "SOFTMAX",
    "Evaluation",
    "Terms",
    "alpha_weights",
    "evaluate",
    "evaluate_with_sizes",
    "exact_sum",
    "margin_terms",
    "posterior",
    "sigmoid_focal",
    "softmax_focal",
]
