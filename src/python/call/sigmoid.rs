//! A call of the sigmoid focal loss.

use pyo3::prelude::*;
use pyo3::types::PyEllipsis;

use super::admit::{Admitted, Found, Outputs, Rules, check_surrogate};
use super::run::{Filled, Shared, check_indices, detached, kernel_outputs, leading, lengths, scale_of};
use super::{Arguments, Results, Wanted, single};
use crate::element::DType;
use crate::error::Error;
use crate::exec::columns::{self, Steps};
use crate::exec::elements::{self, Inputs, Job, Labels, Soft};
use crate::exec::measure::{self, Measure};
use crate::exec::weights::Weights;
use crate::exec::{JobPlan, Keeping, Sum, Sums, operand, streams};
use crate::kernel::elementwise::{kernel, kernel_of_gammas};
use crate::kernel::exact::ExactSum;
use crate::kernel::rows::RowReal;
use crate::kernel::soft::{self, SoftConstants};
use crate::kernel::tile::{Source, TILE, Target, repeating};
use crate::layout::Plan;
use crate::loss::focal::Gamma;
use crate::params::{Hessian, Label, Normalizer, Reduction, SigmoidFocalLoss};
use crate::python::array::Array;
use crate::python::runtime::isa;
use crate::real::Real;

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
    if let Some(results) = single::evaluate(py, loss, wanted, arguments)? {
        return Ok(results);
    }
    let found = Found::new(arguments)?;
    let call = Call::new(loss, wanted, arguments, &found)?;
    let outputs = call.admitted.outputs(wanted, arguments, &call.rules)?;
    call.check_indices(py)?;
    match call.admitted.logits.dtype.of_results() {
        DType::Float64 => call.run::<f64>(py, &outputs),
        _ => call.run::<f32>(py, &outputs),
    }
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
    let call = Call::new(loss, wanted, arguments, &found)?;
    call.check_indices(py)?;
    match call.admitted.logits.dtype.of_results() {
        DType::Float64 => call.exact_sums::<f64>(py),
        _ => call.exact_sums::<f32>(py),
    }
}

/// How calls keep their sums.
const ROUNDED: Keeping = Keeping::Rounded;

/// A call whose arguments have been admitted.
struct Call<'b, 'py> {
    loss: &'b SigmoidFocalLoss,
    wanted: Wanted,
    rules: Rules,
    admitted: Admitted<'b, 'py>,
}

/// [`repeating`] lists that sources point to: numbers by class, but for `ready`. Empty if there are none of the kind.
#[derive(Default)]
struct Lists<R> {
    /// The classes themselves; NaN for background.
    classes: Vec<f64>,
    /// What multiplies losses, gradient and Hessian of negatives and of positives, beside sample weights.
    weights: [[Vec<f64>; 2]; 3],
    /// The same with sample weights in it, by class or along the one axis that these vary along.
    ready: [[Vec<R>; 2]; 3],
    /// Gamma, in two parts.
    gammas: [Vec<R>; 2],
}

/// Sample weights along one axis are multiplied beforehand if they are at most so many,
const MOST_LISTED: usize = 1 << 14;

/// and each stands for at least so many elements.
const LEAST_REPEATED: usize = 16;

/// What losses, gradient and Hessian are multiplied with beside weights.
#[derive(Clone, Copy)]
pub struct Scaling {
    /// What the derivatives are divided by.
    pub denominator: f64,
    /// What the losses are divided by before they are added up: a power of two.
    pub scale: f64,
}

impl Scaling {
    const NONE: Self = Self { denominator: 1.0, scale: 1.0 };
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
        let common = &self.loss.common;
        let plan = self.plan::<R>(&[const { None }; 3]);
        let measure = match (common.reduction, common.normalizer) {
            (Reduction::Mean, Normalizer::Count) => Some(Measure::Count),
            (Reduction::Mean, Normalizer::Weights) => Some(Measure::Weights),
            (Reduction::Mean, Normalizer::Positives) => Some(Measure::Positives),
            _ => None,
        };
        let measured = measure.map(|what| self.measure(py, &plan, what, Keeping::Exact)).transpose()?;
        let lists = self.lists::<R>(Scaling::NONE);
        let mut job = self.job::<R>(plan, &[const { None }; 3], &lists, Scaling::NONE, self.wanted);
        job.keeping = Keeping::Exact;
        job.sum_factors = common.normalizer == Normalizer::FocalWeights;
        let Sums { value, factor } = run(py, &job)?;
        Ok([value.exact(), measured.unwrap_or(factor).exact()])
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
        let derivatives = Wanted { value: false, ..wanted };
        let alone = derivatives.arrays(rules.reduction) == [false; 3];
        // What is computed first must not be written to an input of what is computed next.
        let value_given = given[0].clone().filter(|_| alone);
        let values = Wanted { grad: false, hess: None, ..wanted };
        let made = [value_given, None, None];
        let filled = Filled::new(admitted, values, rules, &made)?;
        self.fill_sums::<R>(py, &filled, values)?;
        let mut results = filled.results(py, values, 0.0)?;
        if !alone {
            let filled = Filled::new(admitted, derivatives, rules, given)?;
            let outputs = filled.arrays()?;
            let lists = self.lists::<R>(Scaling::NONE);
            run(py, &self.job::<R>(self.plan::<R>(&outputs), &outputs, &lists, Scaling::NONE, derivatives))?;
            let Results { grad, hess, .. } = filled.results(py, derivatives, 0.0)?;
            (results.grad, results.hess) = (grad, hess);
            if let (Some(out), Some(value)) = (&given[0], &results.value) {
                out.object.set_item(PyEllipsis::get(py), value)?;
                results.value = Some(out.object.clone());
            }
        }
        Ok(results)
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
        let plan = Plan::new(&shape, strides, TILE, leading(self.rules.reduction));
        let len = plan.len().saturating_mul(classes);
        let mut job = self.job::<R>(plan, &[const { None }; 3], &lists, Scaling::NONE, wanted);
        job.value = Some(Target::new(value.data, value.dtype, false));
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
        Plan::new(&lengths(logits.shape), strides, TILE, leading(self.rules.reduction))
    }

    /// The axis of the lists in a kernel's own type, if there are any: that of the classes, or the one axis along which
    /// sample weights vary.
    fn listed_axis(&self) -> Option<usize> {
        let Admitted { logits, axis, .. } = &self.admitted;
        let of_classes = axis.filter(|_| self.loss.differs_by_class());
        let of_samples = self.axis_of_samples().filter(|_| self.rules.reduction != Reduction::SumClasses);
        let of_samples = of_samples.filter(|&axis| {
            let len = logits.shape[axis] as usize;
            len <= MOST_LISTED && logits.len() / LEAST_REPEATED >= len
        });
        of_classes.or(of_samples)
    }

    /// The axis along which sample weights vary, if it is one alone.
    fn axis_of_samples(&self) -> Option<usize> {
        let mut axes = self.admitted.weight_strides().iter().enumerate().filter(|&(_, &stride)| stride != 0);
        axes.next().map(|(axis, _)| axis).filter(|_| axes.next().is_none())
    }

    /// Sample weights for every entry of a list: a number as it is, an array in one of its own. None where they are to
    /// be multiplied with each element.
    fn listed_samples(&self) -> Option<Vec<f64>> {
        let axis = self.listed_axis();
        let len = axis.map_or(1, |axis| self.admitted.logits.shape[axis] as usize);
        match self.admitted.samples() {
            None => Some(vec![1.0; len]),
            Some(Source::Constant(number)) => Some(vec![number; len]),
            Some(samples) if axis.is_some() && axis == self.axis_of_samples() => {
                let stride = self.admitted.weight_strides()[axis?];
                // SAFETY: the array was admitted: its strides are those with which it broadcasts to the logits.
                Some(unsafe { samples.along(isa(), len, stride) })
            }
            Some(_) => None,
        }
    }

    /// What differs by class, in lists.
    fn lists<R: Real>(&self, scaling: Scaling) -> Lists<R> {
        let &Self { loss, ref admitted, .. } = self;
        let mut lists = Lists { classes: self.numbers_of_classes(), ..Lists::default() };
        if loss.differs_by_class() {
            for class in 0..admitted.classes() {
                let weights = weights_of(loss, self.wanted, class, scaling);
                for (list, weight) in lists.weights.iter_mut().flatten().zip(weights.into_iter().flatten()) {
                    list.push(weight);
                }
            }
        }
        if let (Some(_), Some(samples)) = (self.listed_axis(), self.listed_samples()) {
            let numbers = weights_of(loss, self.wanted, 0, scaling);
            let lists = lists.ready.iter_mut().flatten().zip(lists.weights.iter().flatten());
            for ((ready, weights), number) in lists.zip(numbers.into_iter().flatten()) {
                let weight = |i: usize| weights.get(i).copied().unwrap_or(number);
                let products = samples.iter().enumerate().map(|(i, &sample)| product(sample, weight(i)));
                *ready = repeating(products.collect());
            }
        }
        if loss.common.gamma.per_class().is_some() {
            for class in 0..admitted.classes() {
                let parts = Gamma::<R>::new(loss.common.gamma.of(class)).parts();
                for (list, part) in lists.gammas.iter_mut().zip(parts) {
                    list.push(part);
                }
            }
        }
        let Lists { classes, weights, ready, gammas } = lists;
        let weights = weights.map(|pair| pair.map(repeating));
        Lists { classes: repeating(classes), weights, ready, gammas: gammas.map(repeating) }
    }

    /// The classes that targets are compared with; NaN for the background.
    fn numbers_of_classes(&self) -> Vec<f64> {
        let background = self.loss.background_index.and_then(|index| usize::try_from(index).ok());
        let number = |class| if Some(class) == background { f64::NAN } else { class as f64 };
        if self.admitted.indices { (0..self.admitted.classes()).map(number).collect() } else { Vec::new() }
    }

    /// What goes in.
    fn inputs<R: Real>(&self, lists: &Lists<R>, scaling: Scaling) -> Inputs<R> {
        let Admitted { logits, targets, indices, .. } = &self.admitted;
        let numbers = Source::numbers(targets.data, targets.dtype);
        Inputs {
            logits: Source::numbers(logits.data, logits.dtype),
            labels: if *indices {
                Labels::Indices { targets: numbers, classes: Source::list(&lists.classes) }
            } else {
                Labels::Dense(Source::numbers(targets.data, targets.dtype))
            },
            ignored: self.loss.common.ignore_index.map(|label| (numbers, label.to_f64())),
            weights: self.weights(lists, scaling),
            gammas: (!lists.gammas[0].is_empty())
                .then(|| lists.gammas.each_ref().map(|part| Source::list(part))),
        }
    }

    /// What multiplies results, as far as possible in the form that kernels take.
    fn weights<R: Real>(&self, lists: &Lists<R>, scaling: Scaling) -> Weights<R> {
        let Some(samples) = self.listed_samples() else { return self.sampled(lists, scaling) };
        if self.listed_axis().is_some() {
            return Weights::Lists(
                lists.ready.each_ref().map(|pair| pair.each_ref().map(|list| Source::list(list))),
            );
        }
        let numbers = weights_of(self.loss, self.wanted, 0, scaling);
        Weights::All(numbers.map(|pair| pair.map(|weight| product(samples[0], weight))))
    }

    /// Sample weights, and what they are to be multiplied with.
    fn sampled<R: Real>(&self, lists: &Lists<R>, scaling: Scaling) -> Weights<R> {
        let numbers = weights_of(self.loss, self.wanted, 0, scaling);
        let mut sources = numbers.map(|pair| pair.map(Source::Constant));
        if self.loss.differs_by_class() {
            sources = lists.weights.each_ref().map(|pair| pair.each_ref().map(|list| Source::list(list)));
        }
        Weights::Sampled(self.admitted.samples().unwrap_or(Source::Constant(1.0)), sources)
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
        let streams = streams(bytes.saturating_mul(plan.len()));
        let target = |output: usize| {
            let array = outputs[output].as_ref()?;
            let streamed = streams && plan.is_run(operand::VALUE + output, array.dtype.size());
            Some(Target::new(array.data, array.dtype, streamed))
        };
        let inputs = self.inputs(lists, scaling);
        let (gamma, computed) = (loss.common.gamma.of(0), kernel_outputs(wanted));
        let [plain, weighted] = [false, true].map(|weighted| kernel(gamma, computed, weighted));
        let own_gammas = inputs.gammas.is_some();
        Job {
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

/// What multiplies losses, gradient and Hessian of a class' negatives and positives. Derivatives are divided at
/// once; losses after they are added up, but for a power of two that keeps their products in range.
pub fn weights_of(loss: &SigmoidFocalLoss, wanted: Wanted, class: usize, scaling: Scaling) -> [[f64; 2]; 3] {
    let Scaling { denominator, scale } = scaling;
    let weights = loss.weights_of(class);
    let upper = wanted.hess == Some(Hessian::Upper);
    let bound = if upper { 1.0 + loss.common.gamma.of(class) } else { 1.0 };
    [
        weights.map(|weight| weight / scale),
        weights.map(|weight| weight / denominator),
        weights.map(|weight| weight / denominator * bound),
    ]
}

/// A sample weight times another, rounded once.
pub fn product<R: Real>(sample: f64, weight: f64) -> R {
    // The sum makes -0.0 a +0.0.
    R::from_weight(sample * weight + 0.0)
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
