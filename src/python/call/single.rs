//! The short way of small calls: one tile of plain arrays, straight from the arguments to the kernel.
//!
//! A plan, lists and scratch memory cost more than the arithmetic of a few elements. What is not as simple as this
//! goes the long way, inputs that are refused among it; outputs are refused by the functions that both ways call. No
//! rule and no message is written twice.

use pyo3::prelude::*;

use super::admit::{Outputs, check_overlaps};
use super::run::{Filled, kernel_outputs, scale_of};
use super::weights::{Scaling, weights_of};
use super::{Arguments, Results, Wanted};
use crate::element::DType;
use crate::kernel::elementwise::{Constants, Operands, kernel};
use crate::kernel::factors::product;
use crate::kernel::prepare::{Kinds, kinds};
use crate::kernel::reduce::{TileSum, Total};
use crate::kernel::tile::{Buffer, TILE};
use crate::loss::focal::{Gamma, Scales};
use crate::params::{Normalizer, Reduction, SigmoidFocalLoss};
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
    let len = logits.len();
    if targets.shape != logits.shape || !(1..=TILE).contains(&len) {
        return Ok(None);
    }
    match logits.dtype {
        DType::Float32 => run::<f32>(py, loss, wanted, arguments, &logits, &targets, len),
        DType::Float64 => run::<f64>(py, loss, wanted, arguments, &logits, &targets, len),
        _ => Ok(None),
    }
}

/// Whether elements differ in nothing but logit and label, and what the mean divides by is known beforehand.
fn is_simple(loss: &SigmoidFocalLoss) -> bool {
    let common = &loss.common;
    loss.class_axis.is_none()
        && common.ignore_index.is_none()
        && common.from_logits
        && common.label_smoothing == 0.0
        && matches!(common.normalizer, Normalizer::Count | Normalizer::Constant(_))
}

/// Computes in `R`.
fn run<'py, R: Real + Scales>(
    py: Python<'py>,
    loss: &SigmoidFocalLoss,
    wanted: Wanted,
    arguments: &Arguments<'_, 'py>,
    logits: &Array<'_, 'py>,
    targets: &Array<'_, 'py>,
    len: usize,
) -> PyResult<Option<Results<'py>>> {
    let reduction = loss.common.reduction;
    let denominator = match (reduction, loss.common.normalizer) {
        (Reduction::Mean, Normalizer::Constant(number)) => number,
        (Reduction::Mean, _) => len as f64,
        _ => 1.0,
    };
    let scaling = Scaling { denominator, scale: scale_of(denominator / len as f64) };
    let weights_of_labels = weights_of(loss, wanted, 0, scaling);
    if weights_of_labels[0].contains(&0.0) {
        return Ok(None);
    }

    let mut labels = Buffer::<R>::new();
    let labels = if targets.dtype == R::DTYPE {
        targets.data.cast_const().cast::<R>()
    } else {
        let buffer = labels.as_mut_ptr();
        // SAFETY: the array was read, a buffer holds a tile, and `len` elements are at most that.
        unsafe { targets.dtype.widen::<R>()(isa(), targets.data, buffer, len) };
        buffer
    };
    let x = logits.data.cast_const().cast::<R>();
    if !x.is_aligned() || !labels.is_aligned() {
        return Ok(None);
    }
    // SAFETY: `len` elements, valid and aligned; nothing writes to them before the slice is gone.
    if kinds(isa(), unsafe { std::slice::from_raw_parts(labels, len) }) != Kinds::Hard {
        return Ok(None);
    }

    let mut outputs: Outputs<'_, 'py> = [const { None }; 3];
    let is_array = wanted.arrays(reduction);
    for ((slot, (name, out)), is_array) in outputs.iter_mut().zip(arguments.outputs()).zip(is_array) {
        let Some(out) = out else { continue };
        let Some(array) = Array::plain(name, out).filter(|array| array.data.cast::<R>().is_aligned()) else {
            return Ok(None);
        };
        if !is_array {
            return Ok(None);
        }
        array.check_output(logits.dtype, logits.shape)?;
        *slot = Some(array);
    }
    check_overlaps(&outputs, [Some(logits), Some(targets), None])?;

    let filled = Filled::of(logits, is_array, None, &outputs)?;
    let made = filled.arrays()?;
    let mut losses = Buffer::<R>::new();
    let [value, grad, hess] =
        made.each_ref().map(|array| array.as_ref().map_or(std::ptr::null_mut(), |array| array.data.cast()));
    let sums = wanted.sums(reduction);
    let value = if sums { losses.as_mut_ptr() } else { value };
    let (weights, gammas) = ([[std::ptr::null(); 2]; 3], [std::ptr::null(); 2]);
    let ahead = std::ptr::null();
    let operands = Operands {
        len,
        logits: x,
        targets: labels,
        weights,
        samples: std::ptr::null(),
        gammas,
        value,
        grad,
        hess,
        ahead,
        stops: false,
        streams: false,
    };
    let gamma = loss.common.gamma.of(0);
    let constants = Constants {
        gamma: Gamma::new(gamma),
        weights: weights_of_labels.map(|pair| pair.map(|weight| product(1.0, weight))),
    };
    let kernel = kernel::<R>(gamma, kernel_outputs(wanted), false);
    let mut total = Total::default();
    // SAFETY: all arrays were read or made, have `len <= TILE` elements one after the other, aligned; outputs are the
    // very memory of an input or share none. Other threads must not write to them meanwhile: the documentation asks
    // that of callers.
    unsafe {
        kernel(isa(), &constants, &operands);
        if sums {
            total.add(isa().vectorize(TileSum(std::slice::from_raw_parts(value, len))));
        }
    }
    filled.results(py, wanted, total.value() / (denominator / scaling.scale)).map(Some)
}
