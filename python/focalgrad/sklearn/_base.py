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

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If `X` has other columns than in ``fit``.

        Examples
        --------
        >>> from focalgrad.sklearn import FocalLogisticRegression
        >>> model = FocalLogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], ["a", "b", "a", "b"])
        >>> model.predict_proba([[1.5]]).round(3)
        array([[0.5, 0.5]])
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
            Labels as they came in ``fit``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If `X` has other columns than in ``fit``.

        Examples
        --------
        >>> from focalgrad.sklearn import FocalLogisticRegression
        >>> model = FocalLogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], ["a", "b", "a", "b"])
        >>> model.predict([[0.0], [3.0]])
        array(['a', 'b'], dtype='<U1')
        """
        winners = np.argmax(self.predict_proba(X), axis=1)
        return np.asarray(self.classes_[winners])
