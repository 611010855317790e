//! The posteriors that scores stand for.

use super::admit::{check_axis, check_classes};
use super::weights::along;
use super::{GoOn, Loss};
use crate::array::{View, lengths, without};
use crate::element::DType;
use crate::error::Error;
use crate::exec::posterior::{self as elements, Job};
use crate::exec::row_posterior::{self as rows, RowJob};
use crate::exec::rows::{PerThread, RowArray, tile_rows};
use crate::exec::{Stop, operand, stores};
use crate::kernel::posterior::Constants;
use crate::kernel::rows::posterior::{ByClass, RowConstants};
use crate::kernel::tile::{Source, Stores, TILE, Target, repeating};
use crate::layout::Plan;
use crate::loss::focal::power;
use crate::loss::posterior::{SKEW, Skew, Unsmooth};
use crate::params::{Modulator, SigmoidFocalLoss, SoftmaxFocalLoss};
use crate::simd::{AnyIsa, in_default_mode};

/// A loss whose scores stand for posteriors.
pub trait Posterior: Loss {
    /// Computes in `R`, the classes being along that axis.
    ///
    /// # Errors
    /// If it was stopped, or there is no memory.
    ///
    /// # Safety
    /// As [`fill`].
    unsafe fn fill_in<R: PerThread>(
        &self,
        isa: AnyIsa,
        arrays: Arrays<'_>,
        axis: Option<usize>,
        go_on: GoOn<'_>,
    ) -> Result<(), Stop>;
}

/// Scores, and where their posteriors go.
#[derive(Clone, Copy, Debug)]
pub struct Arrays<'a> {
    /// Logits.
    pub scores: View<'a>,
    /// An array of their shape.
    pub posteriors: View<'a>,
}

/// Refuses scores that a loss has no posteriors for.
///
/// # Errors
/// Naming what does not fit.
pub fn check<L: Posterior>(loss: &L, scores: &View<'_>) -> Result<Option<usize>, Error> {
    if scores.dtype == DType::Bool {
        return Err(Error::wrong_type(scores.name, "an array of dtype bool", "an array of numbers"));
    }
    let axis = loss.rules().class_axis.map(|axis| check_axis(scores, axis)).transpose()?;
    check_classes(scores, axis, loss.listed_classes()?)?;
    Ok(axis)
}

/// Refuses a loss that has no posteriors.
///
/// # Errors
/// For one of probabilities.
pub fn check_loss<L: Posterior>(loss: &L) -> Result<(), Error> {
    if loss.common().from_logits {
        return Ok(());
    }
    Err(Error::value("from_logits", "False, of whose probabilities none is recovered", "True for posterior"))
}

/// Fills the posteriors of scores that were [checked](check).
///
/// # Errors
/// If it was stopped, or there is no memory.
///
/// # Safety
/// Both arrays must be valid wherever they have elements, of one shape, the posteriors of the results' type, and exactly
/// the scores or without memory in common. No other thread may write to the scores, or touch the posteriors, meanwhile.
pub unsafe fn fill<L: Posterior>(
    isa: AnyIsa,
    loss: &L,
    arrays: Arrays<'_>,
    axis: Option<usize>,
    go_on: GoOn<'_>,
) -> Result<(), Stop> {
    // SAFETY: handed through from the caller.
    in_default_mode(|| unsafe {
        match arrays.posteriors.dtype {
            DType::Float64 => loss.fill_in::<f64>(isa, arrays, axis, go_on),
            _ => loss.fill_in::<f32>(isa, arrays, axis, go_on),
        }
    })
}

impl Posterior for SigmoidFocalLoss {
    unsafe fn fill_in<R: PerThread>(
        &self,
        isa: AnyIsa,
        Arrays { scores, posteriors }: Arrays<'_>,
        axis: Option<usize>,
        go_on: GoOn<'_>,
    ) -> Result<(), Stop> {
        let lists = skews::<R>(self, axis.map_or(1, |axis| scores.shape[axis] as usize));
        let lists = lists.map(|list| repeating(list, scores.len()));
        let by_class = !lists[0].is_empty();
        let listed = axis.filter(|_| by_class);
        let listed = listed.map_or(Vec::new(), |axis| along(scores.shape.len(), axis, size_of::<R>()));
        let mut strides = [&[][..]; operand::COUNT];
        strides[operand::LOGITS] = scores.strides;
        strides[operand::VALUE] = posteriors.strides;
        strides[operand::LISTS] = &listed;
        let plan = Plan::new(&lengths(scores.shape), strides, TILE, operand::COUNT);
        let bytes = (scores.dtype.size() + posteriors.dtype.size()).saturating_mul(plan.len());
        let is_run = plan.is_run(operand::VALUE, posteriors.dtype.size());
        let stores = if is_run { stores(bytes) } else { Stores::Ordinary };
        let job = Job {
            plan,
            constants: constants(self),
            scores: Source::numbers(scores.data, scores.dtype),
            skews: by_class.then(|| lists.each_ref().map(|list| Source::list(list))),
            posteriors: Target::new(posteriors.data, posteriors.dtype, stores),
        };
        // SAFETY: handed through from the caller; the plan is made of the arrays' shape and strides.
        unsafe { elements::run(isa, &job, go_on) }
    }
}

/// What is the same for all scores.
fn constants<R: PerThread>(loss: &SigmoidFocalLoss) -> Constants<R> {
    let (gamma, alpha) = (loss.common.gamma.of(0), loss.alpha.as_ref().map(|alpha| alpha.of(0)));
    let smoothing = loss.common.label_smoothing;
    let smoothing = (smoothing != 0.0).then(|| Unsmooth::new(smoothing, 2));
    match (Skew::of_products(gamma, alpha), power::of(gamma)) {
        (Some(skew), power) if power != power::GENERAL => Constants { power, skew, smoothing },
        _ => Constants { power: power::GENERAL, skew: Skew::new(gamma, alpha), smoothing },
    }
}

/// What scores are skewed by, by class if that differs.
fn skews<R: PerThread>(loss: &SigmoidFocalLoss, classes: usize) -> [Vec<R>; SKEW] {
    let (gamma, alpha) = (&loss.common.gamma, loss.alpha.as_ref());
    let mut lists = [const { Vec::new() }; SKEW];
    if gamma.per_class().is_some() || alpha.is_some_and(|alpha| alpha.per_class().is_some()) {
        for class in 0..classes {
            let skew = Skew::<R>::new(gamma.of(class), alpha.map(|alpha| alpha.of(class)));
            lists.iter_mut().zip(skew.numbers()).for_each(|(list, number)| list.push(number));
        }
    }
    lists
}

impl Posterior for SoftmaxFocalLoss {
    unsafe fn fill_in<R: PerThread>(
        &self,
        isa: AnyIsa,
        Arrays { scores, posteriors }: Arrays<'_>,
        axis: Option<usize>,
        go_on: GoOn<'_>,
    ) -> Result<(), Stop> {
        let Some(axis) = axis else { return Ok(()) };
        let classes = scores.shape[axis] as usize;
        let list = |numbers: Option<&[f64]>| numbers.map_or(Vec::new(), <[f64]>::to_vec);
        let gammas = list(self.common.gamma.per_class());
        let alphas = list(self.alpha.as_ref().and_then(|alpha| alpha.per_class()));
        let smoothing = self.common.label_smoothing;
        let constants = RowConstants::<R> {
            gamma: self.common.gamma.of(0),
            sigmoid: self.modulator == Modulator::Sigmoid,
            smoothing: (smoothing != 0.0).then(|| Unsmooth::new(smoothing, classes)),
            by_class: ByClass::new(&gammas, &alphas),
        };
        let mut shape = lengths(scores.shape);
        shape.remove(axis);
        let [of_scores, of_posteriors] = [scores, posteriors].map(|array| without(array.strides, axis));
        let mut strides = [&[][..]; operand::COUNT];
        strides[operand::LOGITS] = &of_scores;
        strides[operand::GRAD] = &of_posteriors;
        let row_array = |array: View<'_>| RowArray {
            data: array.data,
            dtype: array.dtype,
            class_stride: array.strides[axis],
        };
        let job = RowJob {
            plan: Plan::of_runs(&shape, strides, tile_rows(classes), operand::COUNT),
            classes,
            constants,
            scores: row_array(scores),
            posteriors: row_array(posteriors),
        };
        // SAFETY: handed through from the caller, for every class of the plan's rows.
        unsafe { rows::run(isa, &job, go_on) }
    }
}
