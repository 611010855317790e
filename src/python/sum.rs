//! Exact sums, for what adds losses up in pieces.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::call::{arguments, exact_sums_sigmoid, exact_sums_softmax};
use super::sigmoid::SigmoidFocalLoss;
use super::softmax::SoftmaxFocalLoss;
use crate::kernel::exact;

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
        exact_sums_sigmoid(py, loss.get().parameters(), &arguments)?
    } else {
        exact_sums_softmax(py, loss.cast::<SoftmaxFocalLoss>()?.get().parameters(), &arguments)?
    };
    Ok((ExactSum(numerator), ExactSum(denominator)))
}
