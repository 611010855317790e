//! One call: arguments are found and admitted, results allocated, the core is called, and what comes back is wrapped.
//!
//! Everything is checked before anything is written. Long jobs run without the interpreter.

mod found;
mod posterior;
mod results;
mod single;

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;

use super::array::Array;
use super::runtime::isa;
use crate::array::View;
use crate::call::{Call, Loss, Wanted, Whole};
use crate::exec::Stop;
use crate::kernel::exact::ExactSum;
use crate::params::SigmoidFocalLoss;
use crate::simd::in_default_mode;
use found::Found;
pub use posterior::posterior;
pub use results::Results;
use results::{Filled, Outputs};

/// From this many elements on the interpreter is released: less takes no longer than the release.
const RELEASE: usize = 4096;

/// The arguments of a call, not looked at yet.
pub struct Arguments<'a, 'py> {
    /// What the logits are called in this call.
    pub logits_name: &'static str,
    /// Logits.
    pub logits: &'a Bound<'py, PyAny>,
    /// Targets.
    pub targets: &'a Bound<'py, PyAny>,
    /// Sample weights.
    pub sample_weight: Option<&'a Bound<'py, PyAny>>,
    /// Name and array for the losses.
    pub value_out: (&'static str, Option<&'a Bound<'py, PyAny>>),
    /// Name and array for the gradient.
    pub grad_out: (&'static str, Option<&'a Bound<'py, PyAny>>),
    /// Name and array for the Hessian.
    pub hess_out: (&'static str, Option<&'a Bound<'py, PyAny>>),
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// Names and arrays for losses, gradient and Hessian.
    fn outputs(&self) -> [(&'static str, Option<&'a Bound<'py, PyAny>>); 3] {
        [self.value_out, self.grad_out, self.hess_out]
    }
}

/// The arguments that every call has.
pub fn arguments<'a, 'py>(
    logits: &'a Bound<'py, PyAny>,
    targets: &'a Bound<'py, PyAny>,
    sample_weight: Option<&'a Bound<'py, PyAny>>,
) -> Arguments<'a, 'py> {
    Arguments {
        logits_name: "logits",
        logits,
        targets,
        sample_weight,
        value_out: ("out", None),
        grad_out: ("grad_out", None),
        hess_out: ("hess_out", None),
    }
}

/// A result that was asked for is not there.
pub fn missing() -> PyErr {
    PyRuntimeError::new_err("a result is missing; this is a defect of focalgrad")
}

/// Evaluates the sigmoid focal loss, a small call the short way.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_sigmoid<'py>(
    py: Python<'py>,
    loss: &SigmoidFocalLoss,
    wanted: Wanted,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Results<'py>> {
    match in_default_mode(|| single::evaluate(py, loss, wanted, arguments))? {
        Some(results) => Ok(results),
        None => evaluate(py, loss, wanted, arguments),
    }
}

/// Evaluates a loss.
///
/// # Errors
/// `TypeError` and `ValueError` for what is refused, `KeyboardInterrupt` and its like from handlers of
/// signals, `MemoryError`.
pub fn evaluate<'py, L: Loss>(
    py: Python<'py>,
    loss: &L,
    wanted: Wanted,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Results<'py>> {
    let found = Found::new(arguments)?;
    let read = found.read(arguments.logits_name)?;
    let call = Call::new(isa(), loss, wanted, read.inputs)?;
    let given = outputs(&call, arguments, &found, &read.logits)?;
    // SAFETY: the arrays were read and live as long as what was found, which nobody changes meanwhile. Other threads
    // must not write to them: the documentation asks that of callers.
    detached(py, call.len(), |go_on| unsafe { call.check_indices(go_on) })?;
    let filled = Filled::new(&read.logits, call.arrays(), call.value_axis(), &given)?;
    let views = filled.views()?;
    // SAFETY: as above; outputs were checked, or were just made.
    let value = detached(py, call.len(), |go_on| unsafe { call.run(views, go_on) })?;
    filled.results(py, wanted, value)
}

/// The exact sum of the losses, and that of what their mean divides by.
///
/// # Errors
/// As [`evaluate`].
pub fn exact_sums<L: Loss>(
    py: Python<'_>,
    loss: &L,
    arguments: &Arguments<'_, '_>,
) -> PyResult<[ExactSum; 2]> {
    let found = Found::new(arguments)?;
    let call = Call::new(isa(), loss, Wanted::Value, found.read(arguments.logits_name)?.inputs)?;
    // SAFETY: as in `evaluate`.
    detached(py, call.len(), |go_on| unsafe {
        call.check_indices(go_on)?;
        call.exact_sums(go_on)
    })
}

/// What the mean divides by, exactly, where that does not depend on the logits; else 0.
///
/// # Errors
/// As [`evaluate`].
pub fn exact_denominator<L: Loss>(
    py: Python<'_>,
    loss: &L,
    arguments: &Arguments<'_, '_>,
) -> PyResult<ExactSum> {
    let found = Found::new(arguments)?;
    let call = Call::new(isa(), loss, Wanted::Value, found.read(arguments.logits_name)?.inputs)?;
    // SAFETY: as in `evaluate`.
    detached(py, call.len(), |go_on| unsafe {
        call.check_indices(go_on)?;
        call.exact_denominator(go_on)
    })
}

/// The exact sum of the losses of a piece, if wanted, and the derivatives of the whole's loss by its logits.
///
/// # Errors
/// As [`evaluate`].
pub fn piece<'py, L: Loss>(
    py: Python<'py>,
    loss: &L,
    wanted: Wanted,
    arguments: &Arguments<'_, 'py>,
    whole: Whole,
) -> PyResult<(ExactSum, Results<'py>)> {
    let found = Found::new(arguments)?;
    let read = found.read(arguments.logits_name)?;
    let call = Call::new(isa(), loss, wanted, read.inputs)?;
    // SAFETY: as in `evaluate`.
    detached(py, call.len(), |go_on| unsafe { call.check_indices(go_on) })?;
    let filled = Filled::new(&read.logits, call.arrays(), call.value_axis(), &[None; 3])?;
    let views = filled.views()?;
    // SAFETY: as in `evaluate`.
    let sum = detached(py, call.len(), |go_on| unsafe { call.piece(views, whole, go_on) })?;
    Ok((sum, filled.results(py, wanted, 0.0)?))
}

/// The outputs that were given, checked against the results, all inputs and each other.
fn outputs<'b, 'py, L: Loss>(
    call: &Call<'_, L>,
    arguments: &Arguments<'_, 'py>,
    found: &'b Found<'_, 'py>,
    logits: &Array<'_, 'py>,
) -> PyResult<Outputs<'b, 'py>> {
    let mut outputs: Outputs<'b, 'py> = [None; 3];
    let given = arguments.outputs().map(|(name, _)| name).into_iter().zip(&found.outputs);
    for (i, (slot, (name, out))) in outputs.iter_mut().zip(given).enumerate() {
        let Some(out) = out else { continue };
        call.check_use(i, name)?;
        let array = Array::output(name, logits.view.dtype.of_results(), out)?;
        call.check_output(i, &array.view)?;
        *slot = Some(array);
    }
    call.check_overlaps(&views(&outputs))?;
    Ok(outputs)
}

/// What the core sees of outputs.
fn views<'b>(outputs: &Outputs<'b, '_>) -> [Option<View<'b>>; 3] {
    outputs.map(|array| array.map(|array| array.view))
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
        (Err(Stop::Interrupted), None) => Err(PyKeyboardInterrupt::new_err(())),
    }
}
