"""What the adapters of all boosters share.

`objects` has the immutable objects that boosters call, `calls` tells their two call forms apart, `checks`
says which losses, scores and labels go together, and `start` finds the score that training starts from.
"""

from focalgrad._boosting.calls import Given, read_call
from focalgrad._boosting.objects import BaseMetric, BaseObjective
from focalgrad._boosting.start import check_score, constant_score

__all__ = ["BaseMetric", "BaseObjective", "Given", "check_score", "constant_score", "read_call"]
