"""What stands beside the losses: class weights from counts, the best constant score, the recovered posterior.

None of it is the size of a loss, so it is Python. The formulas it needs are those of `focalgrad._reference`.
"""

from focalgrad._beside.best_constant import init_score
from focalgrad._beside.counts import class_weights
from focalgrad._beside.recovery import posterior

__all__ = ["class_weights", "init_score", "posterior"]
