//! A call of the sigmoid focal loss.

use pyo3::prelude::*;

use super::admit::{Admitted, Found, Outputs, Rules, check_memory, check_surrogate};
use super::indices::check_indices;
use super::run::{Filled, Shared, detached, kernel_outputs, leading, lengths, scale_of};
use super::weights::{Lists, Scaling};
use super::{Arguments, Piece, Results, Wanted, Whole, single};
use crate::element::DType;
use crate::error::Error;
use crate::exec::columns::{self, Steps};
use crate::exec::elements::{self, Inputs, Job, Soft};
use crate::exec::heads::Heads;
use crate::exec::labels::{Indices, Labels};
use crate::exec::measure::{self, Measure};
use crate::exec::weights::Weights;
use crate::exec::{JobPlan, Keeping, Sum, Sums, operand, stores};
use crate::kernel::elementwise::{kernel, kernel_of_gammas};
use crate::kernel::exact::ExactSum;
use crate::kernel::rows::RowReal;
use crate::kernel::soft::{self, SoftConstants};
use crate::kernel::tile::{Source, Stores, TILE, Target};
use crate::layout::Plan;
use crate::loss::focal::Gamma;
use crate::params::{Hessian, Label, Normalizer, Reduction, SigmoidFocalLoss};
use crate::python::array::Array;
use crate::python::runtime::isa;
use crate::real::Real;
use crate::simd::in_default_mode;

/// Evaluates a loss.
///
/// # Errors
/// `TypeError` and `ValueError` for what is refused, `KeyboardInterrupt` and its like from handlers of
/// signals, `MemoryError`.
pub fn evaluate<'py>(
    py: Python<'py>,
    loss: &SigmoidFocalLoss,
    wanted: Wanted,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Results<'py>> {
    if let Some(results) = in_default_mode(|| single::evaluate(py, loss, wanted, arguments))? {
        return Ok(results);
    }
    let found = Found::new(arguments)?;
    in_default_mode(|| {
        let call = Call::new(loss, wanted, arguments, &found)?;
        let outputs = call.admitted.outputs(wanted, arguments, &found, &call.rules)?;
        call.check_indices(py)?;
        match call.admitted.logits.dtype.of_results() {
            DType::Float64 => call.run::<f64>(py, &outputs),
            _ => call.run::<f32>(py, &outputs),
        }
    })
}

/// The exact sum of the losses, and that of what their mean divides by.
///
/// # Errors
/// As [`evaluate`].
pub fn exact_sums(
    py: Python<'_>,
    loss: &SigmoidFocalLoss,
    arguments: &Arguments<'_, '_>,
) -> PyResult<[ExactSum; 2]> {
    let wanted = Wanted { value: true, grad: false, hess: None };
    let found = Found::new(arguments)?;
    in_default_mode(|| {
        let call = Call::new(loss, wanted, arguments, &found)?;
        call.check_indices(py)?;
        match call.admitted.logits.dtype.of_results() {
            DType::Float64 => call.exact_sums::<f64>(py),
            _ => call.exact_sums::<f32>(py),
        }
    })
}

/// What the mean divides by, exactly, where that does not depend on the logits; else 0.
///
/// # Errors
/// As [`evaluate`].
pub fn exact_denominator(
    py: Python<'_>,
    loss: &SigmoidFocalLoss,
    arguments: &Arguments<'_, '_>,
) -> PyResult<ExactSum> {
    let wanted = Wanted { value: true, grad: false, hess: None };
    let found = Found::new(arguments)?;
    in_default_mode(|| {
        let call = Call::new(loss, wanted, arguments, &found)?;
        call.check_indices(py)?;
        let plan = call.plan::<f64>(&[const { None }; 3]);
        Ok(call.denominator(py, &plan)?.map_or_else(ExactSum::default, Sum::exact))
    })
}

/// The exact sum of the losses of a piece, if wanted, and the derivatives of the whole's loss by its logits.
///
/// # Errors
/// As [`evaluate`].
pub fn piece<'py>(
    py: Python<'py>,
    loss: &SigmoidFocalLoss,
    wanted: Wanted,
    arguments: &Arguments<'_, 'py>,
    whole: Whole,
) -> PyResult<Piece<'py>> {
    let found = Found::new(arguments)?;
    in_default_mode(|| {
        let call = Call::new(loss, wanted, arguments, &found)?;
        call.check_indices(py)?;
        match call.admitted.logits.dtype.of_results() {
            DType::Float64 => call.piece::<f64>(py, whole),
            _ => call.piece::<f32>(py, whole),
        }
    })
}

/// How calls keep their sums.
const ROUNDED: Keeping = Keeping::Rounded;

/// A call whose arguments have been admitted.
pub(super) struct Call<'b, 'py> {
    pub(super) loss: &'b SigmoidFocalLoss,
    pub(super) wanted: Wanted,
    pub(super) rules: Rules,
    pub(super) admitted: Admitted<'b, 'py>,
}

impl<'b, 'py> Call<'b, 'py> {
    /// Admits the arguments. Whatever runs code of their own has been run when they were found; what is read after
    /// it stays as it is.
    fn new(
        loss: &'b SigmoidFocalLoss,
        wanted: Wanted,
        arguments: &Arguments<'_, 'py>,
        found: &'b Found<'_, 'py>,
    ) -> PyResult<Self> {
        let common = &loss.common;
        let exact = wanted.hess.is_none_or(|hessian| hessian == Hessian::Exact);
        check_surrogate(exact, common.from_logits, common.normalizer, true)?;
        let rules = Rules { class_axis: loss.class_axis, rows: false, reduction: common.reduction };
        let admitted = Admitted::new(arguments.logits_name, found, &rules)?;
        admitted.check_classes(loss.classes()?)?;
        let lists = usize::from(admitted.indices)
            + if loss.differs_by_class() { 9 } else { 0 }
            + if common.gamma.per_class().is_some() { 2 } else { 0 };
        // Twice while a list grows.
        check_memory(admitted.classes(), 2 * lists * size_of::<f64>())?;
        if let (Some(index), false) = (loss.background_index, admitted.indices) {
            let got = format!("targets of the logits' shape with background_index={index}");
            return Err(Error::value("targets", got, "class indices with background_index").into());
        }
        Ok(Self { loss, wanted, rules, admitted })
    }

    /// Refuses class indices that are none.
    fn check_indices(&self, py: Python<'py>) -> PyResult<()> {
        if !self.admitted.indices {
            return Ok(());
        }
        let ignored = self.loss.common.ignore_index.map(Label::to_f64);
        let background = self.loss.background_index.map(|index| index as f64);
        check_indices(py, &self.admitted.targets, self.admitted.classes(), [ignored, background])
    }

    /// The exact sum of the losses, and that of what their mean divides by.
    fn exact_sums<R: RowReal>(&self, py: Python<'py>) -> PyResult<[ExactSum; 2]> {
        let plan = self.plan::<R>(&[const { None }; 3]);
        let measured = self.denominator(py, &plan)?;
        let lists = self.lists::<R>(Scaling::NONE);
        let mut job = self.job::<R>(plan, &[const { None }; 3], &lists, Scaling::NONE, self.wanted);
        job.keeping = Keeping::Exact;
        job.sum_factors = self.loss.common.normalizer == Normalizer::FocalWeights;
        let Sums { value, factor } = run(py, &job)?;
        Ok([value.exact(), measured.unwrap_or(factor).exact()])
    }

    /// What the mean divides by, kept exactly, if it is to be measured and does not depend on the logits.
    fn denominator(&self, py: Python<'py>, plan: &JobPlan) -> PyResult<Option<Sum>> {
        let common = &self.loss.common;
        let measure = match (common.reduction, common.normalizer) {
            (Reduction::Mean, Normalizer::Count) => Some(Measure::Count),
            (Reduction::Mean, Normalizer::Weights) => Some(Measure::Weights),
            (Reduction::Mean, Normalizer::Positives) => Some(Measure::Positives),
            _ => None,
        };
        measure.map(|what| self.measure(py, plan, what, Keeping::Exact)).transpose()
    }

    /// The exact sum of the losses, if wanted, and the derivatives of the whole's loss.
    fn piece<R: RowReal>(&self, py: Python<'py>, whole: Whole) -> PyResult<Piece<'py>> {
        let &Self { loss, wanted, ref rules, ref admitted } = self;
        let filled = Filled::new(admitted, wanted, rules, &[const { None }; 3])?;
        let outputs = filled.arrays()?;
        let Whole { value, denominator } = whole;
        let is_quotient = loss.common.normalizer == Normalizer::FocalWeights;
        let scaling = if is_quotient { Scaling::NONE } else { Scaling { denominator, scale: 1.0 } };
        let lists = self.lists::<R>(scaling);
        let mut job = self.job::<R>(self.plan::<R>(&outputs), &outputs, &lists, scaling, wanted);
        job.keeping = Keeping::Exact;
        if let Some(soft) = job.soft.as_mut().filter(|_| is_quotient) {
            soft.constants.quotient = Some([R::from_f64(value), R::from_f64(1.0 / denominator)]);
        }
        let sum = if denominator == 0.0 {
            zero(py, &job)?;
            ExactSum::default()
        } else {
            run(py, &job)?.value.exact()
        };
        Ok((sum, filled.results(py, wanted, 0.0)?))
    }

    /// Computes in `R`.
    fn run<R: RowReal>(&self, py: Python<'py>, given: &Outputs<'_, 'py>) -> PyResult<Results<'py>> {
        let &Self { loss, wanted, ref rules, ref admitted } = self;
        let common = &loss.common;
        if common.reduction == Reduction::SumClasses && wanted.value {
            return self.sum_classes::<R>(py, given);
        }
        let filled = Filled::new(admitted, wanted, rules, given)?;
        let outputs = filled.arrays()?;
        let plan = self.plan::<R>(&outputs);
        let len = plan.len();
        let denominator = match (common.reduction, common.normalizer) {
            (Reduction::None | Reduction::Sum | Reduction::SumClasses, _) => 1.0,
            (Reduction::Mean, Normalizer::Constant(number)) => number,
            (Reduction::Mean, Normalizer::FocalWeights) => {
                return self.quotient::<R>(py, plan, filled);
            }
            (Reduction::Mean, Normalizer::Count) if common.ignore_index.is_none() => len as f64,
            (Reduction::Mean, Normalizer::Count) => self.measure(py, &plan, Measure::Count, ROUNDED)?.value(),
            (Reduction::Mean, Normalizer::Weights) => {
                self.measure(py, &plan, Measure::Weights, ROUNDED)?.value()
            }
            (Reduction::Mean, Normalizer::Positives) => {
                self.measure(py, &plan, Measure::Positives, ROUNDED)?.value()
            }
        };
        let scaling = Scaling { denominator, scale: scale_of(denominator / len as f64) };
        let lists = self.lists::<R>(scaling);
        let job = self.job::<R>(plan, &outputs, &lists, scaling, wanted);
        let sum = if denominator == 0.0 {
            zero(py, &job)?
        } else {
            run(py, &job)?.value.value() / (denominator / scaling.scale)
        };
        filled.results(py, wanted, sum)
    }

    /// The quotient of the losses' sum and that of the modulating factors.
    fn quotient<R: RowReal>(
        &self,
        py: Python<'py>,
        plan: JobPlan,
        filled: Filled<'py>,
    ) -> PyResult<Results<'py>> {
        let outputs = filled.arrays()?;
        let lists = self.lists::<R>(Scaling::NONE);
        let mut job = self.job::<R>(plan, &outputs, &lists, Scaling::NONE, self.wanted);
        let arrays = (job.value.take(), job.grad.take(), job.hess.take());
        (job.sum, job.sum_factors) = (true, true);
        let sums = run(py, &job)?;
        (job.value, job.grad, job.hess) = arrays;
        (job.sum, job.sum_factors) = (false, false);
        let (numerator, denominator) = (sums.value.value(), sums.factor.value());
        let value = if denominator == 0.0 {
            zero(py, &job)?
        } else {
            let value = numerator / denominator;
            if let Some(soft) = job.soft.as_mut().filter(|_| job.grad.is_some() || job.hess.is_some()) {
                soft.constants.quotient = Some([R::from_f64(value), R::from_f64(1.0 / denominator)]);
                run(py, &job)?;
            }
            value
        };
        filled.results(py, self.wanted, value)
    }

    /// Losses added up over the class axis, and the derivatives.
    fn sum_classes<R: RowReal>(&self, py: Python<'py>, given: &Outputs<'_, 'py>) -> PyResult<Results<'py>> {
        let &Self { wanted, ref rules, ref admitted, .. } = self;
        let values = Wanted { grad: false, hess: None, ..wanted };
        let derivatives = Wanted { value: false, ..wanted };
        let alone = derivatives.arrays(rules.reduction) == [false; 3];
        // What is computed first must not be written to an input of what is computed next.
        let is_input =
            |out: &Array<'_, '_>| admitted.inputs().into_iter().flatten().any(|input| out.is(input));
        let (later, now) = match given[0].clone() {
            Some(out) if !alone && is_input(&out) => (Some(out), None),
            out => (None, out),
        };
        let sums = Filled::new(admitted, values, rules, &[now, None, None])?;
        let others = Filled::new(admitted, derivatives, rules, given)?;
        self.fill_sums::<R>(py, &sums, values)?;
        if !alone {
            let outputs = others.arrays()?;
            let lists = self.lists::<R>(Scaling::NONE);
            run(py, &self.job::<R>(self.plan::<R>(&outputs), &outputs, &lists, Scaling::NONE, derivatives))?;
        }
        let Results { grad, hess, .. } = others.results(py, derivatives, 0.0)?;
        let Results { value, .. } = sums.results(py, values, 0.0)?;
        let value = match (later, value) {
            (Some(out), Some(value)) => Some(out.filled_with(&value)?),
            (_, value) => value,
        };
        Ok(Results { value, grad, hess })
    }

    /// Fills the array of losses added up over the class axis.
    fn fill_sums<R: RowReal>(&self, py: Python<'py>, filled: &Filled<'py>, wanted: Wanted) -> PyResult<()> {
        let admitted = &self.admitted;
        let (Some(axis), [Some(value), ..]) = (admitted.axis, &filled.arrays()?) else { return Ok(()) };
        let without = |strides: &[isize]| {
            let mut strides = strides.to_vec();
            let step = if axis < strides.len() { strides.remove(axis) } else { 0 };
            (strides, step)
        };
        let (logits, logits_step) = without(admitted.logits.strides);
        let (targets, targets_step) = without(admitted.target_strides());
        let (samples, samples_step) = without(admitted.weight_strides());
        let mut shape = lengths(admitted.logits.shape);
        let classes = shape.remove(axis);
        let strides = [&logits[..], &targets, &samples, &[], &[], value.strides, &[], &[]];
        let lists = self.lists::<R>(Scaling::NONE);
        let plan = Plan::new(&shape, strides, TILE, operand::VALUE);
        let len = plan.len().saturating_mul(classes);
        let mut job = self.job::<R>(plan, &[const { None }; 3], &lists, Scaling::NONE, wanted);
        job.value = Some(Target::new(value.data, value.dtype, Stores::Ordinary));
        let steps = Steps { logits: logits_step, targets: targets_step, samples: samples_step };
        // SAFETY: as in `run`; the plan and the steps are made of the same shape and strides.
        detached(py, len, |go_on| unsafe { columns::run(isa(), &job, classes, steps, go_on) })
    }

    /// A sum over the elements that are not ignored.
    fn measure(&self, py: Python<'py>, plan: &JobPlan, what: Measure<'_>, keeping: Keeping) -> PyResult<Sum> {
        let lists = self.lists::<f64>(Scaling::NONE);
        let mut inputs = self.inputs(&lists, Scaling::NONE);
        inputs.weights = self.sampled(&lists, Scaling::NONE);
        let inputs = Shared::new(inputs);
        // SAFETY: as in `run`.
        detached(py, plan.len(), |go_on| unsafe {
            measure::run(isa(), plan, inputs.get(), what, keeping, go_on)
        })
    }

    /// The order of the elements, from the strides of all arrays.
    fn plan<R: Real>(&self, outputs: &Outputs<'_, 'py>) -> JobPlan {
        let Admitted { logits, targets, .. } = &self.admitted;
        let weight = self.admitted.weight_array();
        let [value, grad, hess] = outputs.each_ref().map(Option::as_ref);
        let arrays = [Some(logits), Some(targets), weight, None, None, value, grad, hess];
        let full = arrays.iter().flatten().all(|array| array.shape == logits.shape);
        let by_class = self.admitted.indices || self.loss.differs_by_class();
        let every = full && !by_class;
        let all =
            |holds: fn(&Array<'_, '_>) -> bool| every && arrays.iter().flatten().all(|array| holds(array));
        if all(|array| array.is_c()) || all(|array| array.is_fortran()) {
            let sizes = arrays.map(|array| array.map_or(0, |array| array.dtype.size() as isize));
            return Plan::contiguous(logits.len(), sizes, TILE);
        }
        let mut strides = arrays.map(|array| array.map_or(&[][..], |array| array.strides));
        strides[operand::TARGETS] = self.admitted.target_strides();
        strides[operand::SAMPLES] = self.admitted.weight_strides();
        let along = |axis: Option<usize>, size: usize| {
            let axes = 0..axis.map_or(0, |_| logits.shape.len());
            axes.map(|each| if Some(each) == axis { size as isize } else { 0 }).collect::<Vec<_>>()
        };
        let classes = along(self.admitted.axis.filter(|_| by_class), size_of::<f64>());
        let lists = along(self.listed_axis(), size_of::<R>());
        (strides[operand::CLASSES], strides[operand::LISTS]) = (&classes, &lists);
        Plan::new(&lengths(logits.shape), strides, TILE, leading(&self.loss.common, self.wanted))
    }

    /// What goes in.
    fn inputs<R: Real>(&self, lists: &Lists<R>, scaling: Scaling) -> Inputs<R> {
        let Admitted { logits, targets, indices, .. } = &self.admitted;
        let numbers = Source::numbers(targets.data, targets.dtype);
        Inputs {
            logits: Source::numbers(logits.data, logits.dtype),
            labels: if *indices {
                Labels::Indices(Indices { targets: numbers, classes: Source::list(&lists.classes) })
            } else {
                Labels::Dense(Source::numbers(targets.data, targets.dtype))
            },
            ignored: self.loss.common.ignore_index.map(|label| (numbers, label.to_f64())),
            weights: self.weights(lists, scaling),
            gammas: (!lists.gammas[0].is_empty())
                .then(|| lists.gammas.each_ref().map(|part| Source::list(part))),
        }
    }

    /// The job that fills these outputs, or adds losses up.
    fn job<R: RowReal>(
        &self,
        plan: JobPlan,
        outputs: &Outputs<'_, 'py>,
        lists: &Lists<R>,
        scaling: Scaling,
        wanted: Wanted,
    ) -> Job<R> {
        let &Self { loss, ref admitted, .. } = self;
        let arrays = [Some(&admitted.logits), Some(&admitted.targets), admitted.weight_array()]
            .into_iter()
            .chain(outputs.each_ref().map(Option::as_ref));
        let bytes: usize = arrays.flatten().map(|array| array.dtype.size()).sum();
        let stores = stores(bytes.saturating_mul(plan.len()));
        let target = |output: usize| {
            let array = outputs[output].as_ref()?;
            let is_run = plan.is_run(operand::VALUE + output, array.dtype.size());
            Some(Target::new(array.data, array.dtype, if is_run { stores } else { Stores::Ordinary }))
        };
        let inputs = self.inputs(lists, scaling);
        let (gamma, computed) = (loss.common.gamma.of(0), kernel_outputs(wanted));
        let [plain, weighted] = [false, true].map(|weighted| kernel(gamma, computed, weighted));
        let own_gammas = inputs.gammas.is_some();
        Job {
            heads_of_samples: Some(&plan)
                .filter(|_| matches!(inputs.weights, Weights::Sampled(..)))
                .and_then(Heads::of_samples),
            heads_of_targets: Some(&plan).filter(|_| admitted.indices).and_then(Heads::of_targets),
            inputs,
            kernel: Some(plain).filter(|_| !own_gammas),
            weighted: if own_gammas { kernel_of_gammas(computed) } else { weighted },
            gamma: Gamma::new(gamma),
            soft: self.soft(),
            value: target(0),
            grad: target(1),
            hess: target(2),
            sum: wanted.sums(loss.common.reduction),
            keeping: ROUNDED,
            sum_factors: false,
            plan,
        }
    }

    /// The kernel for labels other than 0 and 1 and for probabilities, if there may be any.
    fn soft<R: RowReal>(&self) -> Option<Soft<R>> {
        let common = &self.loss.common;
        let always = !common.from_logits
            || common.label_smoothing != 0.0
            || common.normalizer == Normalizer::FocalWeights;
        let may_differ = !self.admitted.indices
            && matches!(
                self.admitted.targets.dtype,
                DType::Float16 | DType::BFloat16 | DType::Float32 | DType::Float64
            );
        if !always && !may_differ {
            return None;
        }
        let mut constants = SoftConstants::new(common.gamma.of(0), self.loss.soft_targets);
        constants.gauss_newton = self.wanted.hess.is_some_and(|hessian| hessian != Hessian::Exact);
        constants = constants.smoothed(common.label_smoothing);
        if common.eps > 0.0 {
            constants = constants.clipped(common.eps);
        }
        Some(Soft { kernel: soft::kernel(self.loss.soft_targets, !common.from_logits), constants, always })
    }
}

fn run<R: RowReal>(py: Python<'_>, job: &Job<R>) -> PyResult<Sums> {
    // SAFETY: all arrays were admitted or made. They are valid wherever the plan, made of their shapes and
    // strides, has elements, and overlap only where they are the same. They live as long as the references that
    // the call holds. Other threads must not write to them meanwhile: the documentation asks that of callers.
    detached(py, job.plan.len(), |go_on| unsafe { elements::run(isa(), job, go_on) })
}

/// Nothing to average: 0, also where a logit is NaN.
fn zero<R: RowReal>(py: Python<'_>, job: &Job<R>) -> PyResult<f64> {
    // SAFETY: as in `run`.
    detached(py, job.plan.len(), |go_on| unsafe { elements::zero(isa(), job, go_on) })?;
    Ok(0.0)
}
