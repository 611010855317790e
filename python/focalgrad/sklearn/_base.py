"""From raw scores to probabilities and classes: what both classifiers share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from focalgrad.sklearn._losses import Loss, class_posteriors


class ScoreClassifier(ClassifierMixin, BaseEstimator):
    """A classifier whose raw scores were trained with `loss_`."""

    classes_: NDArray[Any]
    loss_: Loss

    @abstractmethod
    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Give raw scores, (n,) for two classes and (n, C) for more."""

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of every class.

        Focal loss distorts scores; these are the posteriors that ``loss.posterior`` recovers from them.
        Those of a one-vs-rest loss are divided by their sum.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n, d)
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n, C)
            Rows sum to 1. The columns are those of ``classes_``.
        """
        scores = self.decision_function(X)
        return class_posteriors(self.loss_, scores)

    def predict(self, X: Any) -> NDArray[Any]:
        """Class of the largest probability.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n, d)
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n,)
        """
        winners = np.argmax(self.predict_proba(X), axis=1)
        return np.asarray(self.classes_[winners])
