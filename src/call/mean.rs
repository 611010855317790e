//! From walks over the elements to results: the same for both losses.
//!
//! Most calls take one walk, whose weights have the denominator in them. A denominator that is a sum of its own takes a
//! walk before it. Divided by the sum of the modulating factors, loss and factors are added up in a first walk, and the
//! derivatives of the quotient are the second.

use super::denominator::{Denominator, Scaling};
use super::{Call, Filled, GoOn, Wanted};
use crate::element::DType;
use crate::error::Error;
use crate::exec::measure::Measure;
use crate::exec::rows::PerThread;
use crate::exec::{JobPlan, Keeping, Stop, Sums, operand};
use crate::kernel::exact::ExactSum;
use crate::params::{Common, Label, Reduction};

/// What the calls of a loss say about their targets.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Where the classes are, if they are somewhere.
    pub class_axis: Option<i64>,
    /// Whether a target has one loss for all classes.
    pub rows: bool,
    /// How losses become the result.
    pub reduction: Reduction,
}

/// What one walk over the elements does.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'o> {
    /// What is computed.
    pub wanted: Wanted,
    /// The arrays that are filled.
    pub outputs: Filled<'o>,
    /// What results are divided by.
    pub scaling: Scaling,
    /// The value and the sum of the modulating factors, if derivatives are those of the quotient.
    pub quotient: Option<Quotient>,
    /// Whether losses are added up.
    pub sum: bool,
    /// Whether modulating factors are added up.
    pub sum_factors: bool,
    /// How sums are kept.
    pub keeping: Keeping,
}

/// A mean over modulating factors.
#[derive(Clone, Copy, Debug)]
pub struct Quotient {
    /// The quotient of the two sums.
    pub value: f64,
    /// The sum of the factors.
    pub denominator: f64,
}

impl<'o> Walk<'o> {
    /// A walk that fills these outputs and adds nothing up.
    pub fn filling(wanted: Wanted, outputs: Filled<'o>, scaling: Scaling) -> Self {
        let keeping = Keeping::Rounded;
        Self { wanted, outputs, scaling, quotient: None, sum: false, sum_factors: false, keeping }
    }

    /// A walk that adds losses up, and modulating factors or not.
    fn adding(sum_factors: bool, keeping: Keeping) -> Self {
        let walk = Self::filling(Wanted::Value, [None; 3], Scaling::NONE);
        Self { sum: true, sum_factors, keeping, ..walk }
    }
}

/// A loss that calls can be made of.
///
/// # Safety
/// The unsafe functions ask of their callers what [`Call::run`] asks, and hand it through to the jobs that they make:
/// these may follow the call's arrays wherever the shapes and strides say that there are elements, and nothing else.
pub unsafe trait Loss: Sync + Sized {
    /// The parameters that all losses have.
    fn common(&self) -> &Common;

    /// What its calls say about their targets.
    fn rules(&self) -> Rules;

    /// The number of classes that its lists of numbers by class are made for.
    ///
    /// # Errors
    /// If they differ.
    fn listed_classes(&self) -> Result<Option<usize>, Error>;

    /// Targets that are class indices without being classes.
    fn special_indices(&self) -> [Option<Label>; 2];

    /// Refuses what it cannot compute.
    ///
    /// # Errors
    /// For a Hessian that it has not.
    fn check_wanted(&self, wanted: Wanted) -> Result<(), Error>;

    /// Refuses targets and numbers of classes that it has no use for.
    ///
    /// # Errors
    /// Naming the argument.
    fn check_call(call: &Call<'_, Self>) -> Result<(), Error>;

    /// The order of the elements, or rows, from the strides of all arrays.
    fn plan<R: PerThread>(call: &Call<'_, Self>, outputs: &Filled<'_>) -> JobPlan;

    /// Adds up what a mean divides by.
    ///
    /// # Errors
    /// If it was stopped, or the threads could not be started.
    ///
    /// # Safety
    /// See above.
    unsafe fn measure(
        call: &Call<'_, Self>,
        what: Measure<'static>,
        go_on: GoOn<'_>,
    ) -> Result<ExactSum, Stop>;

    /// Walks over the elements.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    ///
    /// # Safety
    /// See above.
    unsafe fn walk<R: PerThread>(
        call: &Call<'_, Self>,
        plan: &JobPlan,
        walk: &Walk<'_>,
        go_on: GoOn<'_>,
    ) -> Result<Sums, Stop>;

    /// Fills the outputs with zeros.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    ///
    /// # Safety
    /// See above.
    unsafe fn zero<R: PerThread>(
        call: &Call<'_, Self>,
        plan: &JobPlan,
        outputs: &Filled<'_>,
        go_on: GoOn<'_>,
    ) -> Result<(), Stop>;

    /// Fills the losses added up over the classes, and the derivatives. A loss of rows never does.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    ///
    /// # Safety
    /// See above.
    unsafe fn sum_classes<R: PerThread>(
        call: &Call<'_, Self>,
        outputs: Filled<'_>,
        go_on: GoOn<'_>,
    ) -> Result<(), Stop>;
}

/// How many operands choose the order of the elements: the inputs where losses are added up, so that the sum does not
/// depend on where results go, else all. Denominators are exact sums, whatever the order.
pub fn leading(common: &Common, wanted: Wanted) -> usize {
    let adds = common.reduction != Reduction::None && wanted.value();
    if adds { operand::VALUE } else { operand::COUNT }
}

/// Fills the outputs, and returns the sum or mean of the losses.
///
/// # Safety
/// As [`Call::run`].
pub unsafe fn run<L: Loss, R: PerThread>(
    call: &Call<'_, L>,
    outputs: Filled<'_>,
    go_on: GoOn<'_>,
) -> Result<f64, Stop> {
    let (common, wanted) = (call.loss.common(), call.wanted);
    // SAFETY: handed through from the caller, here and below.
    unsafe {
        if common.reduction == Reduction::SumClasses && wanted.value() {
            return L::sum_classes::<R>(call, outputs, go_on).map(|()| 0.0);
        }
        let plan = L::plan::<R>(call, &outputs);
        let denominator = match Denominator::of(common) {
            Denominator::Sum(what) => L::measure(call, what, go_on)?.value(),
            Denominator::FocalWeights => return quotient::<L, R>(call, &plan, outputs, go_on),
            known => known.known(plan.len()).unwrap_or(f64::NAN),
        };
        if denominator == 0.0 {
            return nothing::<L, R>(call, &plan, &outputs, go_on);
        }
        let scaling = Scaling::new(denominator, plan.len());
        let sum = wanted.sums(common.reduction);
        let walk = Walk { sum, ..Walk::filling(wanted, outputs, scaling) };
        Ok(scaling.mean(L::walk::<R>(call, &plan, &walk, go_on)?.value.value()))
    }
}

/// The quotient of the losses' sum and that of the modulating factors, and its derivatives.
unsafe fn quotient<L: Loss, R: PerThread>(
    call: &Call<'_, L>,
    plan: &JobPlan,
    outputs: Filled<'_>,
    go_on: GoOn<'_>,
) -> Result<f64, Stop> {
    // SAFETY: handed through from the caller.
    unsafe {
        // The derivatives depend on the value: it must not depend on the order either.
        let sums = add_factors::<L, R>(call, plan, go_on)?;
        let denominator = sums.factor.value();
        if denominator == 0.0 {
            return nothing::<L, R>(call, plan, &outputs, go_on);
        }
        let value = sums.value.value() / denominator;
        derivatives::<L, R>(call, plan, outputs, Quotient { value, denominator }, go_on)?;
        Ok(value)
    }
}

/// A sum of modulating factors below this leaves no room in float32: many of them have few digits or none, and what is
/// divided by it is infinite, or all but. Then the work is done in float64, and results are rounded.
const LEAST: f64 = 1.0 / (1_u128 << 64) as f64;

/// The sums of losses and modulating factors, kept exactly.
unsafe fn add_factors<L: Loss, R: PerThread>(
    call: &Call<'_, L>,
    plan: &JobPlan,
    go_on: GoOn<'_>,
) -> Result<Sums, Stop> {
    let walk = Walk::adding(true, Keeping::Exact);
    // SAFETY: handed through from the caller.
    unsafe {
        let sums = L::walk::<R>(call, plan, &walk, go_on)?;
        if DType::of::<R>() == DType::Float32 && sums.factor.value() < LEAST {
            return L::walk::<f64>(call, &L::plan::<f64>(call, &[None; 3]), &walk, go_on);
        }
        Ok(sums)
    }
}

/// Fills the derivatives of the quotient of two sums.
unsafe fn derivatives<L: Loss, R: PerThread>(
    call: &Call<'_, L>,
    plan: &JobPlan,
    outputs: Filled<'_>,
    quotient: Quotient,
    go_on: GoOn<'_>,
) -> Result<(), Stop> {
    let Some(wanted) = call.wanted.derivatives() else { return Ok(()) };
    let outputs = [None, outputs[1], outputs[2]];
    // A subnormal number has few digits, and too large an inverse. NaN stays.
    let quotient = match quotient.denominator {
        small if small < f64::MIN_POSITIVE => Quotient { denominator: f64::MIN_POSITIVE, ..quotient },
        _ => quotient,
    };
    let walk = Walk { quotient: Some(quotient), ..Walk::filling(wanted, outputs, Scaling::NONE) };
    // SAFETY: handed through from the caller.
    unsafe {
        if DType::of::<R>() == DType::Float32 && quotient.denominator < LEAST {
            L::walk::<f64>(call, &L::plan::<f64>(call, &outputs), &walk, go_on)?;
        } else {
            L::walk::<R>(call, plan, &walk, go_on)?;
        }
    }
    Ok(())
}

/// There is nothing to average: all results are 0, also where a logit is NaN.
unsafe fn nothing<L: Loss, R: PerThread>(
    call: &Call<'_, L>,
    plan: &JobPlan,
    outputs: &Filled<'_>,
    go_on: GoOn<'_>,
) -> Result<f64, Stop> {
    // SAFETY: handed through from the caller.
    unsafe { L::zero::<R>(call, plan, outputs, go_on).map(|()| 0.0) }
}

/// The exact sum of the losses, and that of what their mean divides by (0 where that is no sum).
///
/// # Safety
/// As [`Call::run`].
pub unsafe fn exact_sums<L: Loss, R: PerThread>(
    call: &Call<'_, L>,
    go_on: GoOn<'_>,
) -> Result<[ExactSum; 2], Stop> {
    // SAFETY: handed through from the caller.
    unsafe {
        let measured = exact_denominator(call, go_on)?;
        let plan = L::plan::<R>(call, &[None; 3]);
        let Sums { value, factor } = if Denominator::of(call.loss.common()).adds_factors() {
            add_factors::<L, R>(call, &plan, go_on)?
        } else {
            L::walk::<R>(call, &plan, &Walk::adding(false, Keeping::Exact), go_on)?
        };
        Ok([value.exact(), measured.unwrap_or_else(|| factor.exact())])
    }
}

/// What the mean divides by, exactly, if that is a count or a sum that does not depend on the logits.
///
/// # Safety
/// As [`Call::run`].
pub unsafe fn exact_denominator<L: Loss>(
    call: &Call<'_, L>,
    go_on: GoOn<'_>,
) -> Result<Option<ExactSum>, Stop> {
    Ok(match Denominator::of(call.loss.common()) {
        Denominator::All => Some(ExactSum::of(L::plan::<f64>(call, &[None; 3]).len() as f64)),
        // SAFETY: handed through from the caller.
        Denominator::Sum(what) => Some(unsafe { L::measure(call, what, go_on)? }),
        Denominator::One | Denominator::Number(_) | Denominator::FocalWeights => None,
    })
}

/// The whole that a call's arrays are a piece of.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// Its loss; looked at where the denominator depends on the logits.
    pub value: f64,
    /// What its loss divides by.
    pub denominator: f64,
}

/// The exact sum of the losses of a piece, if wanted, and the derivatives of the whole's loss.
///
/// # Safety
/// As [`Call::run`].
pub unsafe fn piece<L: Loss, R: PerThread>(
    call: &Call<'_, L>,
    outputs: Filled<'_>,
    Whole { value, denominator }: Whole,
    go_on: GoOn<'_>,
) -> Result<ExactSum, Stop> {
    let (common, wanted) = (call.loss.common(), call.wanted);
    let plan = L::plan::<R>(call, &outputs);
    // SAFETY: handed through from the caller.
    unsafe {
        if denominator == 0.0 {
            nothing::<L, R>(call, &plan, &outputs, go_on)?;
            return Ok(ExactSum::default());
        }
        let sum = wanted.sums(common.reduction);
        let walk = if Denominator::of(common).adds_factors() {
            derivatives::<L, R>(call, &plan, outputs, Quotient { value, denominator }, go_on)?;
            if !sum {
                return Ok(ExactSum::default());
            }
            Walk::adding(false, Keeping::Exact)
        } else {
            let scaling = Scaling { denominator, scale: 1.0 };
            Walk { sum, keeping: Keeping::Exact, ..Walk::filling(wanted, outputs, scaling) }
        };
        Ok(L::walk::<R>(call, &plan, &walk, go_on)?.value.exact())
    }
}
