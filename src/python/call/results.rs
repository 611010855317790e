//! The results of a call: arrays that are filled, made where they were not given, and numbers.

use pyo3::prelude::*;

use crate::array::View;
use crate::call::Wanted;
use crate::element::DType;
use crate::python::array::Array;

/// Arrays to fill: losses, gradient, Hessian.
pub type Outputs<'b, 'py> = [Option<Array<'b, 'py>>; 3];

/// The results of a call, those that were wanted.
pub struct Results<'py> {
    /// A float, or the array of losses.
    pub value: Option<Bound<'py, PyAny>>,
    /// The gradient.
    pub grad: Option<Bound<'py, PyAny>>,
    /// The Hessian.
    pub hess: Option<Bound<'py, PyAny>>,
}

/// The arrays that a call fills, made where they were not given.
pub struct Filled<'py> {
    results: [Option<Bound<'py, PyAny>>; 3],
    /// The type of their elements.
    dtype: DType,
}

impl<'py> Filled<'py> {
    /// Takes the outputs that were given and makes the others: which of losses, gradient and Hessian are arrays like the
    /// logits, the losses without an axis if there is one that they have not.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn new(
        logits: &Array<'_, 'py>,
        is_array: [bool; 3],
        value_axis: Option<usize>,
        given: &Outputs<'_, 'py>,
    ) -> PyResult<Self> {
        let mut results = [const { None }; 3];
        for (i, (slot, is_array)) in results.iter_mut().zip(is_array).enumerate() {
            if is_array {
                *slot = Some(match &given[i] {
                    Some(array) => array.object.clone(),
                    None => logits.allocate_like(value_axis.filter(|_| i == 0))?,
                });
            }
        }
        Ok(Self { results, dtype: logits.view.dtype.of_results() })
    }

    /// What the core sees of them.
    ///
    /// # Errors
    /// If they are no arrays; that would be a defect.
    pub fn views(&self) -> PyResult<[Option<View<'_>>; 3]> {
        let mut views = [None; 3];
        for (slot, result) in views.iter_mut().zip(&self.results) {
            if let Some(result) = result {
                *slot = Some(Array::made("a result", result, self.dtype)?.view);
            }
        }
        Ok(views)
    }

    /// The results, the value being `number` if it is not an array.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn results(self, py: Python<'py>, wanted: Wanted, number: f64) -> PyResult<Results<'py>> {
        let [value, grad, hess] = self.results;
        let value = match value {
            None if wanted.value() => Some(number.into_pyobject(py)?.into_any()),
            value => value,
        };
        Ok(Results { value, grad, hess })
    }
}
