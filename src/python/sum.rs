//! Exact sums and what else is needed where data comes in pieces.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::call::{self, arguments, missing};
use super::parameters::Given;
use super::sigmoid::SigmoidFocalLoss;
use super::softmax::SoftmaxFocalLoss;
use crate::call::{Wanted, Whole};
use crate::error::Error;
use crate::kernel::exact;
use crate::params::Hessian;

/// A sum of floats that is kept exactly, so that it depends on no order. Immutable.
#[pyclass(frozen, eq, module = "focalgrad._core")]
#[derive(Clone, PartialEq, Eq)]
pub struct ExactSum(pub(super) exact::ExactSum);

#[pymethods]
impl ExactSum {
    #[new]
    #[pyo3(signature = (data=None))]
    fn new(data: Option<&[u8]>) -> PyResult<Self> {
        match data {
            None => Ok(Self(exact::ExactSum::default())),
            Some(data) => exact::ExactSum::from_bytes(data)
                .map(Self)
                .ok_or_else(|| PyValueError::new_err("data must be the bytes of an exact sum")),
        }
    }

    fn __add__(&self, other: &Self) -> Self {
        let mut sum = self.0;
        sum.merge(other.0);
        Self(sum)
    }

    fn __float__(&self) -> f64 {
        self.0.value()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let bytes = PyBytes::new(slf.py(), &slf.get().0.to_bytes());
        Ok((slf.get_type().into_any(), PyTuple::new(slf.py(), [bytes])?))
    }
}

/// The exact sum of the losses of a call, and that of what their mean divides by.
#[pyfunction]
pub fn exact_sums(
    py: Python<'_>,
    loss: &Bound<'_, PyAny>,
    logits: &Bound<'_, PyAny>,
    targets: &Bound<'_, PyAny>,
    sample_weight: &Bound<'_, PyAny>,
) -> PyResult<(ExactSum, ExactSum)> {
    let arguments = arguments(logits, targets, (!sample_weight.is_none()).then_some(sample_weight));
    let [numerator, denominator] = if let Ok(loss) = loss.cast::<SigmoidFocalLoss>() {
        call::exact_sums(py, loss.get().parameters(), &arguments)?
    } else {
        call::exact_sums(py, loss.cast::<SoftmaxFocalLoss>()?.get().parameters(), &arguments)?
    };
    Ok((ExactSum(numerator), ExactSum(denominator)))
}

/// What the mean of a call divides by, exactly; 0 if that depends on the logits. Of the logits, shape and dtype count.
#[pyfunction]
pub fn exact_denominator(
    py: Python<'_>,
    loss: &Bound<'_, PyAny>,
    logits: &Bound<'_, PyAny>,
    targets: &Bound<'_, PyAny>,
    sample_weight: &Bound<'_, PyAny>,
) -> PyResult<ExactSum> {
    let arguments = arguments(logits, targets, (!sample_weight.is_none()).then_some(sample_weight));
    Ok(ExactSum(if let Ok(loss) = loss.cast::<SigmoidFocalLoss>() {
        call::exact_denominator(py, loss.get().parameters(), &arguments)?
    } else {
        call::exact_denominator(py, loss.cast::<SoftmaxFocalLoss>()?.get().parameters(), &arguments)?
    }))
}

/// The derivatives of a whole's loss by the logits of a piece: gradient, and Hessian if there is a `hessian`; before
/// them, with `value`, the exact sum of the piece's losses. `whole` is the whole's loss and what it divides by; the
/// former counts for `normalizer="focal_weights"` alone, which takes no `value`. A call takes `value` or `hessian`.
#[pyfunction]
#[pyo3(signature = (loss, logits, targets, sample_weight, whole, *, value=false, hessian=None))]
#[expect(clippy::too_many_arguments, reason = "they are a call's, and the whole's")]
pub fn piece<'py>(
    py: Python<'py>,
    loss: &Bound<'py, PyAny>,
    logits: &Bound<'py, PyAny>,
    targets: &Bound<'py, PyAny>,
    sample_weight: &Bound<'py, PyAny>,
    whole: (f64, f64),
    value: bool,
    hessian: Option<Given<'_, 'py>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let arguments = arguments(logits, targets, (!sample_weight.is_none()).then_some(sample_weight));
    let hess = hessian.map(|hessian| hessian.option(Hessian::Exact)).transpose()?;
    let wanted = match (value, hess) {
        (true, None) => Wanted::ValueAndGrad,
        (false, None) => Wanted::Grad,
        (false, Some(hessian)) => Wanted::GradAndHess(hessian),
        (true, Some(_)) => {
            return Err(Error::value("hessian", "a Hessian and value=True", "None with value=True").into());
        }
    };
    let whole = Whole { value: whole.0, denominator: whole.1 };
    let (sum, results) = if let Ok(loss) = loss.cast::<SigmoidFocalLoss>() {
        call::piece(py, loss.get().parameters(), wanted, &arguments, whole)?
    } else {
        call::piece(py, loss.cast::<SoftmaxFocalLoss>()?.get().parameters(), wanted, &arguments, whole)?
    };
    let sum = value.then(|| ExactSum(sum).into_pyobject(py)).transpose()?.map(Bound::into_any);
    let grad = Some(results.grad.ok_or_else(missing)?);
    PyTuple::new(py, [sum, grad, results.hess].into_iter().flatten().collect::<Vec<_>>())
}
