//! What the calls of both losses do: results to fill, work without the interpreter, checks of class indices.

use numpy::npyffi::npy_intp;
use pyo3::prelude::*;

use super::admit::{Admitted, Outputs, Rules};
use super::{Results, Wanted};
use crate::element::DType;
use crate::exec::{Stop, operand};
use crate::kernel::output;
use crate::params::{Common, Hessian, Normalizer, Reduction};
use crate::python::array::Array;

/// From this many elements on the interpreter is released: less takes no longer than the release.
const RELEASE: usize = 4096;

/// The arrays that a call fills, made where they were not given.
pub struct Filled<'py> {
    results: [Option<Bound<'py, PyAny>>; 3],
    /// The type of their elements.
    dtype: DType,
}

impl<'py> Filled<'py> {
    /// Takes the outputs that were given and makes the others.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn new(
        admitted: &Admitted<'_, 'py>,
        wanted: Wanted,
        rules: &Rules,
        given: &Outputs<'_, 'py>,
    ) -> PyResult<Self> {
        Self::of(&admitted.logits, wanted.arrays(rules.reduction), admitted.value_axis(rules), given)
    }

    /// As [`new`](Self::new): which of losses, gradient and Hessian are arrays like the logits, the losses without
    /// an axis if there is one that they have not.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn of(
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
        Ok(Self { results, dtype: logits.dtype.of_results() })
    }

    /// The arrays.
    ///
    /// # Errors
    /// If they are none; that would be a defect.
    pub fn arrays(&self) -> PyResult<Outputs<'_, 'py>> {
        let mut outputs: Outputs<'_, 'py> = [const { None }; 3];
        for (slot, result) in outputs.iter_mut().zip(&self.results) {
            let made = result.as_ref().map(|result| Array::made("a result", result, self.dtype));
            *slot = made.transpose()?;
        }
        Ok(outputs)
    }

    /// The results, the value being `number` if it is not an array.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn results(self, py: Python<'py>, wanted: Wanted, number: f64) -> PyResult<Results<'py>> {
        let [value, grad, hess] = self.results;
        let value = match value {
            None if wanted.value => Some(number.into_pyobject(py)?.into_any()),
            value => value,
        };
        Ok(Results { value, grad, hess })
    }
}

/// The outputs of the kernels for hard labels and for rows.
pub fn kernel_outputs(wanted: Wanted) -> u8 {
    let value = if wanted.value { output::VALUE } else { 0 };
    let grad = if wanted.grad { output::GRAD } else { 0 };
    let hess = match wanted.hess {
        None => 0,
        Some(Hessian::Exact) => output::CURVATURE,
        Some(Hessian::GaussNewton | Hessian::Upper) => output::GAUSS_NEWTON,
    };
    value | grad | hess
}

/// How many operands choose the order of the elements: the inputs where numbers are added up that may be rounded, so that
/// the sum does not depend on where results go, else all.
pub fn leading(common: &Common, wanted: Wanted) -> usize {
    let counted = matches!(common.normalizer, Normalizer::Count | Normalizer::Constant(_));
    let adds = match common.reduction {
        Reduction::None => false,
        Reduction::Sum | Reduction::SumClasses => wanted.value,
        Reduction::Mean => wanted.value || !counted,
    };
    if adds { operand::VALUE } else { operand::COUNT }
}

/// A shape as the core takes it.
pub fn lengths(shape: &[npy_intp]) -> Vec<usize> {
    shape.iter().map(|&len| len as usize).collect()
}

/// Pointers that a call hands to the core.
pub struct Shared<T>(T);

// SAFETY: they are only followed by functions whose callers vouch for the memory behind them.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Wraps them.
    pub fn new(pointers: T) -> Self {
        Self(pointers)
    }

    /// The pointers.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// Runs work without the interpreter if it is long, looking up for signals now and then.
///
/// # Errors
/// What handlers of signals raise, and `RuntimeError` if threads cannot be started.
pub fn detached<T: Send>(
    py: Python<'_>,
    len: usize,
    work: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, Stop> + Send,
) -> PyResult<T> {
    let mut raised = None;
    let result = if len < RELEASE {
        work(&mut || true)
    } else {
        let raised = &mut raised;
        py.detach(|| {
            work(&mut || match Python::attach(|py| py.check_signals()) {
                Ok(()) => true,
                Err(error) => {
                    *raised = Some(error);
                    false
                }
            })
        })
    };
    match (result, raised) {
        (_, Some(error)) => Err(error),
        (Ok(result), None) => Ok(result),
        (Err(Stop::Failed(error)), None) => Err(error.into()),
        (Err(Stop::Interrupted), None) => Err(pyo3::exceptions::PyKeyboardInterrupt::new_err(())),
    }
}

/// A power of two near the size of typical weights, if that is far from 1; else 1.
pub fn scale_of(weight: f64) -> f64 {
    // 2^-40 to 2^40
    const ORDINARY: std::ops::Range<f64> = 1.0 / (1_u64 << 40) as f64..(1_u64 << 40) as f64;
    let power = f64::from_bits(weight.to_bits() & f64::INFINITY.to_bits());
    if power.is_normal() && !ORDINARY.contains(&power) { power } else { 1.0 }
}
