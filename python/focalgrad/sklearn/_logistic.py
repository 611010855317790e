"""A linear classifier that minimises focal loss."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from focalgrad.sklearn._base import ScoreClassifier
from focalgrad.sklearn._labels import encoded, row_weights
from focalgrad.sklearn._losses import Loss, start_of, trainable
from focalgrad.sklearn._minimum import minimum
from focalgrad.sklearn._problem import linear_scores, problem_at

# A search that ends otherwise than by `tol`, at its last step or where rounding hides any gain, has arrived
# if the gradient is as small as this: in the coordinates of `Problem` some 1e-12 of the objective is left.
FLAT = 1e-6


class FocalLogisticRegression(ScoreClassifier):
    """Logistic regression with focal loss in place of cross entropy.

    Minimises ``0.5 |w|^2 + C sum_i w_i loss_i``, the intercept unpenalised, by L-BFGS and, where that sees no
    further, a few Newton steps. It starts from zero coefficients and the intercept that minimises the loss
    alone (``loss.init_score``). With gamma 0 and no alpha it is `sklearn.linear_model.LogisticRegression`.

    Parameters
    ----------
    loss : SigmoidFocalLoss or SoftmaxFocalLoss, optional
        Of logits. Two classes take a sigmoid loss without a class axis; more take a softmax loss, or a
        sigmoid one with ``class_axis=-1`` for one-vs-rest. Its reduction and normaliser do not matter: the
        sum is minimised. By default gamma 2 without alpha, sigmoid for two classes and softmax for more.
    C : float, default 1.0
        Inverse of the strength of the penalty; infinite for none.
    fit_intercept : bool, default True
        Whether scores have an intercept.
    tol : float, default 1e-10
        The search ends when no component of the gradient exceeds this, the objective being 1 at the start
        and every coordinate scaled by its curvature there; or when rounding leaves nothing to gain, which
        with the default is what happens as a rule.
    max_iter : int, default 1000
        Steps of L-BFGS.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        The labels, sorted.
    coef_ : ndarray of shape (1, d) or (C, d)
        One row for two classes, that of the second one; else a row a class.
    intercept_ : ndarray of shape (1,) or (C,)
        Zeros without an intercept.
    init_score_ : float or ndarray of shape (C,)
        The score that is best of all constant ones; the intercept started there.
    loss_ : SigmoidFocalLoss or SoftmaxFocalLoss
        The loss that was minimised.
    n_iter_ : ndarray of shape (1,)
        Steps of L-BFGS.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (d,)
        Names of the columns, if all are strings.

    Raises
    ------
    TypeError
        If `loss` is no loss.
    ValueError
        From ``fit``: if a parameter, the data or the loss is unsuitable, or a class has no weight.

    Warns
    -----
    ConvergenceWarning
        If the search ended while there was more than some 1e-12 of the objective to gain.

    Notes
    -----
    Focal loss is not convex in the scores, so beyond gamma 0 there may be more than one minimum. The search
    is deterministic and always starts at the same point, but the minimum it finds need not be the lowest.

    X is read as float64; sparse matrices stay sparse. Columns need no scaling for speed, but the penalty
    depends on their units.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import focalgrad as fg
    >>> from focalgrad.sklearn import FocalLogisticRegression
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = FocalLogisticRegression(fg.SoftmaxFocalLoss(gamma=2.0)).fit(X, y)
    >>> round(model.score(X, y), 3)
    0.987
    >>> model.predict_proba(X[:1]).round(3)
    array([[0.993, 0.007, 0.   ]])
    """

    coef_: NDArray[np.float64]
    intercept_: NDArray[np.float64]
    init_score_: float | NDArray[np.float64]

    def __init__(
        self,
        loss: Loss | None = None,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        tol: float = 1e-10,
        max_iter: int = 1000,
    ) -> None:
        self.loss = loss
        self.C = C
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> FocalLogisticRegression:
        """Train the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n, d)
            Numbers.
        y : array_like of shape (n,)
            Labels of any kind.
        sample_weight : array_like of shape (n,), optional
            A weight of 2 is a row given twice.

        Returns
        -------
        FocalLogisticRegression
            Itself.

        Raises
        ------
        TypeError
            If `loss` is no loss.
        ValueError
            If a parameter or the data are unsuitable, the loss is one of probabilities or of another number
            of classes, or a class has no weight.

        Examples
        --------
        >>> from focalgrad.sklearn import FocalLogisticRegression
        >>> model = FocalLogisticRegression().fit([[0.0], [1.0], [2.0]], ["no", "no", "yes"])
        >>> model.classes_
        array(['no', 'yes'], dtype='<U3')
        """
        self._check_parameters()
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], dtype=np.float64)
        classes, index = encoded("y", y)
        loss = trainable(self.loss, len(classes))
        weights = row_weights(sample_weight, len(index))
        start = start_of(loss, classes, index, weights)
        problem, point = problem_at(
            loss,
            X,
            index,
            weights,
            np.atleast_1d(start),
            penalty=1 / self.C,
            fit_intercept=bool(self.fit_intercept),
        )
        found = minimum(problem, point, max_iter=self.max_iter, tol=self.tol)
        self._warn_unless_arrived(found)
        self.classes_, self.loss_, self.init_score_ = classes, loss, start
        self.coef_, self.intercept_ = problem.unpack(found.x)
        self.n_iter_ = np.array([found.nit])
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Raw scores ``X @ coef_.T + intercept_``.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n, d)
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n,) or (n, C)
            Logits: of the second class for two, else one a class.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If `X` has other columns than in ``fit``.

        Examples
        --------
        >>> from focalgrad.sklearn import FocalLogisticRegression
        >>> model = FocalLogisticRegression().fit([[0.0], [1.0], [2.0]], ["no", "no", "yes"])
        >>> bool(model.decision_function([[2.0]])[0] > 0)
        True
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=np.float64, reset=False)
        scores = linear_scores(X, self.coef_, self.intercept_)
        return scores if len(self.classes_) > 2 else scores[:, 0]

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator takes."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_parameters(self) -> None:
        kinds: list[tuple[str, Any, str]] = [
            ("C", Real, "a positive number"),
            ("tol", Real, "a positive number"),
            ("max_iter", Integral, "a positive integer"),
        ]
        for name, kind, takes in kinds:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kind) or not value > 0:
                raise ValueError(f"{name} must be {takes}; got {value!r}")

    def _warn_unless_arrived(self, found: OptimizeResult) -> None:
        slope = float(np.max(np.abs(found.jac), initial=0.0))
        if found.success or slope <= FLAT:
            return
        warnings.warn(
            f"L-BFGS ended after {found.nit} of max_iter={self.max_iter} steps, with a gradient of "
            f"{slope:.2g} ({found.message}); take a larger max_iter or tol, or stronger regularisation",
            ConvergenceWarning,
            stacklevel=3,
        )
