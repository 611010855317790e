//! The short way of small calls, seen from Python: plain arrays, straight from the arguments to the kernel.
//!
//! Inputs that are refused go the long way; outputs are refused by the functions that both ways call.

use pyo3::prelude::*;

use super::results::{Filled, Outputs, Results};
use super::{Arguments, views};
use crate::call::small::{fits, is_simple, prepare};
use crate::call::{Wanted, check_overlaps};
use crate::element::DType;
use crate::kernel::tile::Buffer;
use crate::loss::focal::Scales;
use crate::params::SigmoidFocalLoss;
use crate::python::array::Array;
use crate::python::runtime::isa;
use crate::real::Real;

/// Evaluates a loss if the call is a simple one.
///
/// # Errors
/// `TypeError` and `ValueError` for outputs that are refused, `MemoryError`.
pub fn evaluate<'py>(
    py: Python<'py>,
    loss: &SigmoidFocalLoss,
    wanted: Wanted,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Option<Results<'py>>> {
    if !is_simple(loss) || arguments.sample_weight.is_some() {
        return Ok(None);
    }
    let Some(logits) = Array::plain(arguments.logits_name, arguments.logits) else { return Ok(None) };
    let Some(targets) = Array::plain("targets", arguments.targets) else { return Ok(None) };
    if !fits(&logits.view, &targets.view) {
        return Ok(None);
    }
    match logits.view.dtype {
        DType::Float32 => run::<f32>(py, loss, wanted, arguments, &logits, &targets),
        DType::Float64 => run::<f64>(py, loss, wanted, arguments, &logits, &targets),
        _ => Ok(None),
    }
}

/// Computes in `R`.
fn run<'py, R: Real + Scales>(
    py: Python<'py>,
    loss: &SigmoidFocalLoss,
    wanted: Wanted,
    arguments: &Arguments<'_, 'py>,
    logits: &Array<'_, 'py>,
    targets: &Array<'_, 'py>,
) -> PyResult<Option<Results<'py>>> {
    let mut labels = Buffer::<R>::new();
    let inputs = [&logits.view, &targets.view];
    let Some(small) = prepare(isa(), loss, wanted, inputs, &mut labels) else { return Ok(None) };
    let mut outputs: Outputs<'_, 'py> = [None; 3];
    let is_array = wanted.arrays(loss.common.reduction);
    for ((slot, (name, out)), is_array) in outputs.iter_mut().zip(arguments.outputs()).zip(is_array) {
        let Some(out) = out else { continue };
        let Some(array) = Array::plain(name, out).filter(|array| array.view.data.cast::<R>().is_aligned())
        else {
            return Ok(None);
        };
        if !is_array {
            return Ok(None);
        }
        array.view.check_results(logits.view.dtype, logits.view.shape)?;
        *slot = Some(array);
    }
    check_overlaps(&views(&outputs), &[Some(logits.view), Some(targets.view), None])?;

    let filled = Filled::new(logits, is_array, None, &outputs)?;
    let starts = filled.views()?.map(|view| view.map_or(std::ptr::null_mut(), |view| view.data.cast()));
    // SAFETY: all arrays were read or made, have the elements of one shape one after the other, aligned; outputs are the
    // very memory of an input or share none. Other threads must not write to them meanwhile: the documentation asks
    // that of callers.
    let value = unsafe { small.run(starts) };
    filled.results(py, wanted, value).map(Some)
}
