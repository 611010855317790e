//! The short way of small calls: one tile of plain arrays, straight from the arguments to the kernel.
//!
//! A plan, lists and scratch memory cost more than the arithmetic of a few elements. What is not as simple as this goes
//! the long way, inputs that are refused among it. No rule and no message is written twice.

use super::Wanted;
use super::denominator::{Denominator, Scaling};
use super::weights::weights_of;
use crate::array::View;
use crate::element::DType;
use crate::kernel::elementwise::kernel;
use crate::kernel::labels::{Kinds, kinds};
use crate::kernel::operands::{Constants, Operands};
use crate::kernel::reduce::{TileSum, Total};
use crate::kernel::tile::{Buffer, TILE};
use crate::loss::focal::{Gamma, Scales};
use crate::params::SigmoidFocalLoss;
use crate::real::Real;
use crate::simd::AnyIsa;

/// A call of at most a tile of elements that differ in nothing but logit and label.
pub struct Small<'a, R> {
    isa: AnyIsa,
    loss: &'a SigmoidFocalLoss,
    wanted: Wanted,
    len: usize,
    logits: *const R,
    labels: *const R,
    weights: [[R; 2]; 3],
    scaling: Scaling,
}

/// Whether elements differ in nothing but logit and label. (What the mean divides by is looked at later.)
#[inline]
pub fn is_simple(loss: &SigmoidFocalLoss) -> bool {
    let common = &loss.common;
    loss.class_axis.is_none()
        && common.ignore_index.is_none()
        && common.from_logits
        && common.label_smoothing == 0.0
}

/// Whether arrays are of one shape and at most a tile.
#[inline]
pub fn fits(logits: &View<'_>, targets: &View<'_>) -> bool {
    targets.shape == logits.shape && (1..=TILE).contains(&logits.len())
}

/// Looks at a call of C-ordered arrays that [fit](fits); `labels` holds them if they are to be converted. None if it
/// goes the long way.
#[inline]
pub fn prepare<'a, R: Real + Scales>(
    isa: AnyIsa,
    loss: &'a SigmoidFocalLoss,
    wanted: Wanted,
    [logits, targets]: [&View<'a>; 2],
    labels: &'a mut Buffer<R>,
) -> Option<Small<'a, R>> {
    let len = logits.len();
    let scaling = Scaling::new(Denominator::of(&loss.common).known(len)?, len);
    let weights = weights_of(loss, wanted, 0, scaling);
    let labels = if targets.dtype == DType::of::<R>() {
        targets.data.cast_const().cast::<R>()
    } else {
        let buffer = labels.as_mut_ptr();
        // SAFETY: the view is readable, a buffer holds a tile, and `len` elements are at most that.
        unsafe { targets.dtype.widen::<R>()(isa, targets.data, buffer, len) };
        buffer
    };
    let logits = logits.data.cast_const().cast::<R>();
    if !logits.is_aligned() || !labels.is_aligned() {
        return None;
    }
    // SAFETY: `len` elements, valid and aligned; nothing writes to them before the slice is gone.
    if kinds(isa, unsafe { std::slice::from_raw_parts(labels, len) }, None) != Kinds::Hard {
        return None;
    }
    Some(Small { isa, loss, wanted, len, logits, labels, weights, scaling })
}

impl<R: Real + Scales> Small<'_, R> {
    /// Fills losses, gradient and Hessian (null for what is no array), and returns the sum or mean of the losses.
    ///
    /// # Safety
    /// Outputs must be valid for as many elements, aligned, and either exactly an input's memory or share none with any
    /// other array. No other thread may write to the inputs, or touch the outputs, meanwhile.
    #[inline]
    pub unsafe fn run(&self, [value, grad, hess]: [*mut R; 3]) -> f64 {
        let &Self { isa, loss, wanted, len, logits, labels, weights, scaling } = self;
        let mut losses = Buffer::<R>::new();
        let sums = wanted.sums(loss.common.reduction);
        let value = if sums { losses.as_mut_ptr() } else { value };
        let operands = Operands { len, logits, targets: labels, value, grad, hess, ..Operands::NONE };
        let gamma = loss.common.gamma.of(0);
        let constants = Constants { gamma: Gamma::new(gamma), weights, ignored: None };
        let kernel = kernel::<R>(gamma, wanted.set());
        let mut total = Total::default();
        // SAFETY: handed through from the caller.
        unsafe {
            kernel(isa, &constants, &operands);
            if sums {
                total.add(isa.vectorize(TileSum(std::slice::from_raw_parts(value, len))));
            }
        }
        scaling.mean(total.value())
    }
}
