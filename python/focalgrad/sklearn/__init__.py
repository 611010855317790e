"""Focal loss in scikit-learn: a metric, a scorer, and two classifiers.

>>> import focalgrad as fg
>>> from focalgrad.sklearn import focal_loss
>>> round(focal_loss(["no", "yes", "no"], [0.1, 0.7, 0.2]), 6)
0.014027
"""

from focalgrad._adapters import library

library("sklearn")

from focalgrad.sklearn._classifier import FocalClassifier  # noqa: E402
from focalgrad.sklearn._logistic import FocalLogisticRegression  # noqa: E402
from focalgrad.sklearn._metrics import focal_loss, focal_scorer  # noqa: E402

__all__ = ["FocalClassifier", "FocalLogisticRegression", "focal_loss", "focal_scorer"]

# What the package shows is the package's, wherever it is made.
for _shown in (FocalClassifier, FocalLogisticRegression, focal_loss, focal_scorer):
    _shown.__module__ = __name__
del _shown
