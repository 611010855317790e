//! What the two public classes share: getters, methods, pickling, comparison, and all text that is true of both.
//!
//! [`loss_class`] writes the `#[pymethods]` of a class. A class gives what is its own: its constructor, the getters that
//! the other class has not, and the pieces of text, by name, that are true of it alone.

/// Writes the methods of a class.
macro_rules! loss_class {
    (
        class: $class:ident, loss: $loss:path, names: $names:expr, evaluate: $evaluate:ident;
        alpha { $(#[doc = $alpha:tt])+ }
        gamma { $(#[doc = $gamma:tt])+ }
        reduction { $(#[doc = $reduction:tt])+ }
        label_smoothing { $(#[doc = $label_smoothing:tt])+ }
        ignore_index { $(#[doc = $ignore_index:tt])+ }
        targets { $(#[doc = $targets:tt])+ }
        sample_weight { $(#[doc = $sample_weight:tt])+ }
        value_out { $(#[doc = $value_out:tt])+ }
        returns { $(#[doc = $returns:tt])+ }
        call_example { $(#[doc = $call_example:tt])+ }
        gradient { $(#[doc = $gradient:tt])+ }
        grad_example { $(#[doc = $grad_example:tt])+ }
        both_example { $(#[doc = $both_example:tt])+ }
        hessians { $(#[doc = $hessians:tt])+ }
        hess_example { $(#[doc = $hess_example:tt])+ }
        init_example { $(#[doc = $init_example:tt])+ }
        posterior_example { $(#[doc = $posterior_example:tt])+ }
        replace_example { $(#[doc = $replace_example:tt])+ }
        init_raises { $(#[doc = $init_raises:tt])+ }
        own { $($own:tt)* }
    ) => {
        #[pymethods]
        impl $class {
            $($own)*

            $(#[doc = $alpha])+
            #[getter]
            fn alpha<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
                self.0.alpha.as_ref().map(|alpha| parameter_to_python(py, alpha)).transpose()
            }

            $(#[doc = $gamma])+
            #[getter]
            fn gamma<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                parameter_to_python(py, &self.0.common.gamma)
            }

            $(#[doc = $reduction])+
            #[getter]
            fn reduction(&self) -> &'static str {
                self.0.common.reduction.name()
            }

            /// What the mean divides by.
            #[getter]
            fn normalizer<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
                normalizer_to_python(py, self.0.common.normalizer)
            }

            $(#[doc = $label_smoothing])+
            #[getter]
            fn label_smoothing(&self) -> f64 {
                self.0.common.label_smoothing
            }

            $(#[doc = $ignore_index])+
            #[getter]
            fn ignore_index<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
                label_to_python(py, self.0.common.ignore_index)
            }

            /// Whether inputs are logits; else they are probabilities.
            #[getter(from_logits)]
            fn takes_logits(&self) -> bool {
                self.0.common.from_logits
            }

            /// Probabilities are clipped to [eps, 1 - eps].
            #[getter]
            fn eps(&self) -> f64 {
                self.0.common.eps
            }

            /// The loss.
            ///
            /// Parameters
            /// ----------
            /// logits : array_like of real numbers
            ///     Raw scores, of any shape and memory layout. Integers count as float64.
            /// targets : array_like of real numbers or bools
            $(#[doc = $targets])+
            /// sample_weight : float or array_like, optional
            $(#[doc = $sample_weight])+
            /// out : ndarray, optional
            $(#[doc = $value_out])+
            ///
            /// Returns
            /// -------
            /// float or ndarray
            $(#[doc = $returns])+
            ///
            /// Raises
            /// ------
            /// TypeError
            ///     If an argument is of a type or dtype that is not taken.
            /// ValueError
            ///     If shapes do not fit, a class index is out of range, values are missing, or an output is read-only,
            ///     overlaps another array, or has no use.
            ///
            /// Examples
            /// --------
            /// >>> import numpy as np
            /// >>> import focalgrad as fg
            $(#[doc = $call_example])+
            #[pyo3(signature = (logits, targets, *, sample_weight=None, out=None))]
            fn __call__<'py>(
                &self,
                py: Python<'py>,
                logits: &Bound<'py, PyAny>,
                targets: &Bound<'py, PyAny>,
                sample_weight: Object<'_, 'py>,
                out: Object<'_, 'py>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let wanted = Wanted::Value;
                let arguments = Arguments { value_out: ("out", out), ..arguments(logits, targets, sample_weight) };
                $evaluate(py, &self.0, wanted, &arguments)?.value.ok_or_else(missing)
            }

            /// The gradient of the loss with respect to the logits.
            ///
            $(#[doc = $gradient])+
            ///
            /// times the weights; with ``reduction="mean"`` over the normaliser. With ``reduction="none"`` it is the
            /// gradient of the sum.
            ///
            /// Parameters
            /// ----------
            /// logits : array_like of real numbers
            ///     Raw scores, of any shape and memory layout. Integers count as float64.
            /// targets : array_like of real numbers or bools
            $(#[doc = $targets])+
            /// sample_weight : float or array_like, optional
            $(#[doc = $sample_weight])+
            /// out : ndarray, optional
            ///     An array of the logits' shape and dtype to fill and return. It may be the very same array as an
            ///     input.
            ///
            /// Returns
            /// -------
            /// ndarray
            ///     Of the logits' shape and dtype.
            ///
            /// Raises
            /// ------
            /// TypeError
            ///     If an argument is of a type or dtype that is not taken.
            /// ValueError
            ///     If shapes do not fit, a class index is out of range, values are missing, or an output is read-only or
            ///     overlaps another array.
            ///
            /// Examples
            /// --------
            /// >>> import numpy as np
            /// >>> import focalgrad as fg
            $(#[doc = $grad_example])+
            #[pyo3(signature = (logits, targets, *, sample_weight=None, out=None))]
            fn grad<'py>(
                &self,
                py: Python<'py>,
                logits: &Bound<'py, PyAny>,
                targets: &Bound<'py, PyAny>,
                sample_weight: Object<'_, 'py>,
                out: Object<'_, 'py>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let wanted = Wanted::Grad;
                let arguments = Arguments { grad_out: ("out", out), ..arguments(logits, targets, sample_weight) };
                $evaluate(py, &self.0, wanted, &arguments)?.grad.ok_or_else(missing)
            }

            /// The loss and its gradient in one pass.
            ///
            /// Both have the bits that the separate calls give.
            ///
            /// Parameters
            /// ----------
            /// logits : array_like of real numbers
            ///     Raw scores, of any shape and memory layout. Integers count as float64.
            /// targets : array_like of real numbers or bools
            $(#[doc = $targets])+
            /// sample_weight : float or array_like, optional
            $(#[doc = $sample_weight])+
            /// out : ndarray, optional
            $(#[doc = $value_out])+
            /// grad_out : ndarray, optional
            ///     An array of the logits' shape and dtype to fill with the gradient. Either may be the very same
            ///     array as an input.
            ///
            /// Returns
            /// -------
            /// value : float or ndarray
            ///     The loss.
            /// grad : ndarray
            ///     Its gradient, of the logits' shape and dtype.
            ///
            /// Raises
            /// ------
            /// TypeError
            ///     If an argument is of a type or dtype that is not taken.
            /// ValueError
            ///     If shapes do not fit, a class index is out of range, values are missing, or an output is read-only,
            ///     overlaps another array, or has no use.
            ///
            /// Examples
            /// --------
            /// >>> import numpy as np
            /// >>> import focalgrad as fg
            $(#[doc = $both_example])+
            #[pyo3(signature = (logits, targets, *, sample_weight=None, out=None, grad_out=None))]
            fn value_and_grad<'py>(
                &self,
                py: Python<'py>,
                logits: &Bound<'py, PyAny>,
                targets: &Bound<'py, PyAny>,
                sample_weight: Object<'_, 'py>,
                out: Object<'_, 'py>,
                grad_out: Object<'_, 'py>,
            ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
                let wanted = Wanted::ValueAndGrad;
                let arguments = Arguments {
                    value_out: ("out", out),
                    grad_out: ("grad_out", grad_out),
                    ..arguments(logits, targets, sample_weight)
                };
                let Results { value, grad, .. } = $evaluate(py, &self.0, wanted, &arguments)?;
                value.zip(grad).ok_or_else(missing)
            }

            /// The gradient and the diagonal of the Hessian in one pass.
            ///
            $(#[doc = $hessians])+
            ///
            /// Parameters
            /// ----------
            /// logits : array_like of real numbers
            ///     Raw scores, of any shape and memory layout. Integers count as float64.
            /// targets : array_like of real numbers or bools
            $(#[doc = $targets])+
            /// sample_weight : float or array_like, optional
            $(#[doc = $sample_weight])+
            /// hessian : {"exact", "gauss_newton", "upper"}, default "exact"
            ///     Which Hessian.
            /// grad_out, hess_out : ndarray, optional
            ///     Arrays of the logits' shape and dtype to fill and return. Either may be the very same array as an
            ///     input.
            ///
            /// Returns
            /// -------
            /// grad, hess : ndarray
            ///     Of the logits' shape and dtype.
            ///
            /// Raises
            /// ------
            /// TypeError
            ///     If an argument is of a type or dtype that is not taken.
            /// ValueError
            ///     If `hessian` is unknown or a surrogate that the loss has not, shapes do not fit, a class index is out
            ///     of range, values are missing, or an output is read-only or overlaps another array.
            ///
            /// Examples
            /// --------
            /// >>> import numpy as np
            /// >>> import focalgrad as fg
            $(#[doc = $hess_example])+
            #[pyo3(
                signature = (logits, targets, *, sample_weight=None, hessian=Given::NOT, grad_out=None, hess_out=None),
                text_signature = "($self, logits, targets, *, sample_weight=None, hessian='exact', grad_out=None, hess_out=None)"
            )]
            #[expect(clippy::too_many_arguments, reason = "they are the call's")]
            fn grad_and_hess<'py>(
                &self,
                py: Python<'py>,
                logits: &Bound<'py, PyAny>,
                targets: &Bound<'py, PyAny>,
                sample_weight: Object<'_, 'py>,
                hessian: Given<'_, 'py>,
                grad_out: Object<'_, 'py>,
                hess_out: Object<'_, 'py>,
            ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
                let hessian = hessian.option(Hessian::Exact)?;
                let wanted = Wanted::GradAndHess(hessian);
                let arguments = Arguments {
                    grad_out: ("grad_out", grad_out),
                    hess_out: ("hess_out", hess_out),
                    ..arguments(logits, targets, sample_weight)
                };
                let Results { grad, hess, .. } = $evaluate(py, &self.0, wanted, &arguments)?;
                grad.zip(hess).ok_or_else(missing)
            }

            /// The constant score that minimises the loss: the base score of boosting.
            ///
            /// Reduction and normaliser do not matter: the sum is minimised, of soft and smoothed targets that of their
            /// own loss.
            ///
            /// Parameters
            /// ----------
            /// targets : array_like
            ///     As for a call. With a class axis, one-dimensional targets are class indices, and floats of more
            ///     dimensions are dense: they have a class axis.
            /// sample_weight : array_like, optional
            ///     Broadcasts as in a call.
            /// dense : bool, optional
            ///     Whether targets have a class axis. It must be given for integers and bools of more dimensions, which
            ///     may be class indices or one-hot.
            ///
            /// Returns
            /// -------
            /// float or ndarray of shape (C,)
            ///     An array if the loss has a class axis. A class without weight gives an infinite entry; 0.0 without any
            ///     data.
            ///
            /// Raises
            /// ------
            /// ValueError
            $(#[doc = $init_raises])+
            ///
            /// Examples
            /// --------
            /// >>> import numpy as np
            /// >>> import focalgrad as fg
            $(#[doc = $init_example])+
            #[pyo3(signature = (targets, sample_weight=None, *, dense=None))]
            fn init_score<'py>(
                slf: &Bound<'py, Self>,
                targets: &Bound<'py, PyAny>,
                sample_weight: Object<'_, 'py>,
                dense: Object<'_, 'py>,
            ) -> PyResult<Bound<'py, PyAny>> {
                init_score(slf, targets, sample_weight, dense)
            }

            /// The class posteriors that scores stand for, if a model minimised this loss.
            ///
            /// Focal loss is not proper: its minimiser is not the log-odds. The distortion is undone in closed form
            /// (Charoenphakdee et al., "On Focal Loss for Class-Posterior Probability Estimation", CVPR 2021).
            ///
            /// Parameters
            /// ----------
            /// scores : array_like
            ///     Logits, of any shape; the classes are along the class axis.
            /// out : ndarray, optional
            ///     An array of the scores' shape and the result's dtype to fill and return. It may be the very same array
            ///     as the scores.
            ///
            /// Returns
            /// -------
            /// ndarray
            ///     Probabilities of the scores' shape and dtype (integers: float64). Label smoothing is undone affinely
            ///     and clipped to [0, 1].
            ///
            /// Raises
            /// ------
            /// TypeError
            ///     If an argument is of a type or dtype that is not taken.
            /// ValueError
            ///     For a loss of probabilities, and if shapes do not fit or `out` cannot be filled.
            ///
            /// Examples
            /// --------
            /// >>> import numpy as np
            /// >>> import focalgrad as fg
            $(#[doc = $posterior_example])+
            #[pyo3(signature = (scores, *, out=None))]
            fn posterior<'py>(
                &self,
                py: Python<'py>,
                scores: &Bound<'py, PyAny>,
                out: Object<'_, 'py>,
            ) -> PyResult<Bound<'py, PyAny>> {
                posterior(py, &self.0, scores, out)
            }

            /// A copy with some parameters changed.
            ///
            /// Leaving ``reduction="mean"`` drops a normaliser that the call does not name.
            ///
            /// Parameters
            /// ----------
            /// **changes
            ///     Parameters of the constructor.
            ///
            /// Returns
            /// -------
            #[doc = stringify!($class)]
            ///     The changed copy.
            ///
            /// Raises
            /// ------
            /// TypeError
            ///     If the constructor has no such parameter.
            /// ValueError
            ///     If the constructor refuses the parameters.
            ///
            /// Examples
            /// --------
            /// >>> import focalgrad as fg
            $(#[doc = $replace_example])+
            #[pyo3(signature = (**changes))]
            fn replace<'py>(
                slf: &Bound<'py, Self>,
                changes: Option<&Bound<'py, PyDict>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                replaced(slf.as_any(), $names, changes)
            }

            #[pyo3(signature = (**changes))]
            fn __replace__<'py>(
                slf: &Bound<'py, Self>,
                changes: Option<&Bound<'py, PyDict>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                replaced(slf.as_any(), $names, changes)
            }

            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
                pickled(slf.as_any(), $names)
            }

            fn __repr__(&self) -> String {
                self.0.to_string()
            }
        }

        impl $class {
            /// The parameters.
            pub fn parameters(&self) -> &$loss {
                &self.0
            }
        }
    };
}
pub(super) use loss_class;
