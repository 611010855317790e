"""What the adapters of all boosters share.

`objects` has the immutable objects that boosters call, `calls` tells their two call forms apart, `checks`
says which losses, scores and labels go together, and `start` finds the score that training starts from.
"""

from focalgrad._boosting.calls import Given, fields_of, read_call
from focalgrad._boosting.checks import Loss, check_data, check_logits, check_model, check_scores
from focalgrad._boosting.objects import BaseMetric, BaseObjective, ratio
from focalgrad._boosting.start import constant_score, one_for_each_class

__all__ = [
    "BaseMetric",
    "BaseObjective",
    "Given",
    "Loss",
    "check_data",
    "check_logits",
    "check_model",
    "check_scores",
    "constant_score",
    "fields_of",
    "one_for_each_class",
    "ratio",
    "read_call",
]
