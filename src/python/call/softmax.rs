//! A call of the softmax focal loss.

use pyo3::prelude::*;

use super::admit::{Admitted, Found, Outputs, Rules, check_memory, check_surrogate};
use super::indices::check_indices;
use super::run::{Filled, Shared, detached, kernel_outputs, leading, lengths, scale_of};
use super::weights::Scaling;
use super::{Arguments, Piece, Results, Wanted, Whole};
use crate::element::DType;
use crate::error::Error;
use crate::exec::elements::Inputs;
use crate::exec::labels::Labels;
use crate::exec::measure::{self, Measure};
use crate::exec::rows::{
    self, ByClass, DenseClasses, Formula, Job, PerThread, RowArray, RowTargets, tile_rows,
};
use crate::exec::weights::{LabelWeights, Weights};
use crate::exec::{JobPlan, Keeping, Sum, Sums, operand, stores};
use crate::kernel::elementwise::output;
use crate::kernel::exact::ExactSum;
use crate::kernel::rows::Constants;
use crate::kernel::tile::{Source, Stores, TILE, Target};
use crate::layout::Plan;
use crate::loss::focal::Gamma;
use crate::params::{Hessian, Label, Modulator, Normalizer, Reduction, SoftmaxFocalLoss};
use crate::pool;
use crate::python::array::{Array, shape_text};
use crate::python::runtime::isa;
use crate::simd::in_default_mode;

/// Evaluates a loss.
///
/// # Errors
/// `TypeError` and `ValueError` for what is refused, `KeyboardInterrupt` and its like from handlers of
/// signals, `MemoryError`.
pub fn evaluate<'py>(
    py: Python<'py>,
    loss: &SoftmaxFocalLoss,
    wanted: Wanted,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Results<'py>> {
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
    loss: &SoftmaxFocalLoss,
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
    loss: &SoftmaxFocalLoss,
    arguments: &Arguments<'_, '_>,
) -> PyResult<ExactSum> {
    let wanted = Wanted { value: true, grad: false, hess: None };
    let found = Found::new(arguments)?;
    in_default_mode(|| {
        let call = Call::new(loss, wanted, arguments, &found)?;
        call.check_indices(py)?;
        let plan = call.plan(&[const { None }; 3]);
        Ok(call.denominator(py, &plan)?.map_or_else(ExactSum::default, Sum::exact))
    })
}

/// The exact sum of the losses of a piece, if wanted, and the derivatives of the whole's loss by its logits.
///
/// # Errors
/// As [`evaluate`].
pub fn piece<'py>(
    py: Python<'py>,
    loss: &SoftmaxFocalLoss,
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

/// Refuses dense targets where they have no meaning, and rows without classes.
fn check_targets(loss: &SoftmaxFocalLoss, admitted: &Admitted<'_, '_>) -> PyResult<()> {
    let refuse = |with: &str| {
        let got = format!("targets of the logits' shape with {with}");
        Err(Error::value("targets", got, format!("class indices with {with}")).into())
    };
    if !admitted.indices && loss.common.ignore_index.is_some() {
        return refuse("ignore_index");
    }
    if !admitted.indices && loss.modulator == Modulator::Sigmoid {
        return refuse("modulator=\"sigmoid\"");
    }
    let logits = &admitted.logits;
    let rows: Vec<_> = lengths(logits.shape)
        .into_iter()
        .enumerate()
        .filter_map(|(axis, len)| (Some(axis) != admitted.axis).then_some(len))
        .collect();
    if admitted.classes() == 0 && rows.iter().all(|&len| len > 0) {
        let got = format!("shape {}", shape_text(logits.shape));
        return Err(Error::value(logits.name, got, "of at least one class, or without rows").into());
    }
    Ok(())
}

/// How calls keep their sums.
const ROUNDED: Keeping = Keeping::Rounded;

/// A call whose arguments have been admitted.
struct Call<'b, 'py> {
    loss: &'b SoftmaxFocalLoss,
    wanted: Wanted,
    rules: Rules,
    admitted: Admitted<'b, 'py>,
}

impl<'b, 'py> Call<'b, 'py> {
    /// Admits the arguments. Whatever runs code of their own has been run when they were found; what is read after
    /// it stays as it is.
    fn new(
        loss: &'b SoftmaxFocalLoss,
        wanted: Wanted,
        arguments: &Arguments<'_, 'py>,
        found: &'b Found<'_, 'py>,
    ) -> PyResult<Self> {
        let common = &loss.common;
        let exact = wanted.hess.is_none_or(|hessian| hessian == Hessian::Exact);
        let softmax = loss.modulator == Modulator::Softmax;
        check_surrogate(exact, common.from_logits, common.normalizer, softmax)?;
        let rules = Rules { class_axis: Some(loss.class_axis), rows: true, reduction: common.reduction };
        let admitted = Admitted::new(arguments.logits_name, found, &rules)?;
        admitted.check_classes(loss.classes()?)?;
        check_targets(loss, &admitted)?;
        let call = Self { loss, wanted, rules, admitted };
        check_memory(call.admitted.classes(), call.bytes_by_class())?;
        Ok(call)
    }

    /// Bytes that a class may take: of rows that are converted, in each thread, of what they are converted from, and of
    /// lists.
    fn bytes_by_class(&self) -> usize {
        let Admitted { logits, targets, indices, .. } = &self.admitted;
        let dtype = if logits.dtype.of_results() == DType::Float64 { DType::Float64 } else { DType::Float32 };
        // Logits with gradient and Hessian, and dense targets.
        let converted = if logits.dtype == dtype { 0 } else { 3 }
            + usize::from(self.is_dense() && (*indices || targets.dtype != dtype));
        let threads = pool::threads().min(logits.len() / self.admitted.classes().max(1));
        let listed = self.loss.classes().is_ok_and(|classes| classes.is_some());
        let lists = if listed { 6 } else { 0 };
        (converted * dtype.size() + if converted > 0 { 8 } else { 0 }) * threads + lists * size_of::<f64>()
    }

    /// Refuses class indices that are none.
    fn check_indices(&self, py: Python<'py>) -> PyResult<()> {
        if !self.admitted.indices {
            return Ok(());
        }
        let ignored = self.loss.common.ignore_index.map(Label::to_f64);
        check_indices(py, &self.admitted.targets, self.admitted.classes(), [ignored, None])
    }

    /// The exact sum of the losses, and that of what their mean divides by.
    fn exact_sums<R: PerThread>(&self, py: Python<'py>) -> PyResult<[ExactSum; 2]> {
        let plan = self.plan(&[const { None }; 3]);
        let measured = self.denominator(py, &plan)?;
        let mut job = self.job::<R>(plan, &[const { None }; 3], Scaling::NONE);
        job.keeping = Keeping::Exact;
        job.sum_factors = self.loss.common.normalizer == Normalizer::FocalWeights;
        let Sums { value, factor } = run(py, &job)?;
        Ok([value.exact(), measured.unwrap_or(factor).exact()])
    }

    /// What the mean divides by, kept exactly, if it is to be measured and does not depend on the logits.
    fn denominator(&self, py: Python<'py>, plan: &JobPlan) -> PyResult<Option<Sum>> {
        let common = &self.loss.common;
        match (common.reduction, common.normalizer) {
            (Reduction::Mean, Normalizer::Weights) => self.weights(py, plan, Keeping::Exact).map(Some),
            (Reduction::Mean, Normalizer::Count) => self.count(py, plan, Keeping::Exact).map(Some),
            _ => Ok(None),
        }
    }

    /// The exact sum of the losses, if wanted, and the derivatives of the whole's loss.
    fn piece<R: PerThread>(&self, py: Python<'py>, whole: Whole) -> PyResult<Piece<'py>> {
        let &Self { loss, wanted, ref rules, ref admitted } = self;
        let filled = Filled::new(admitted, wanted, rules, &[const { None }; 3])?;
        let outputs = filled.arrays()?;
        let Whole { value, denominator } = whole;
        let mut job = self.job::<R>(self.plan(&outputs), &outputs, Scaling { denominator, scale: 1.0 });
        job.keeping = Keeping::Exact;
        if loss.common.normalizer == Normalizer::FocalWeights {
            let quotient = [value / denominator, 1.0 / denominator];
            job.formula.constants.quotient = Some(quotient.map(R::from_f64));
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
    fn run<R: PerThread>(&self, py: Python<'py>, given: &Outputs<'_, 'py>) -> PyResult<Results<'py>> {
        let &Self { loss, wanted, ref rules, ref admitted } = self;
        let common = &loss.common;
        let filled = Filled::new(admitted, wanted, rules, given)?;
        let outputs = filled.arrays()?;
        let plan = self.plan(&outputs);
        let rows = plan.len();
        let denominator = match (common.reduction, common.normalizer) {
            (Reduction::Mean, Normalizer::Constant(number)) => number,
            (Reduction::Mean, Normalizer::FocalWeights) => return self.quotient::<R>(py, plan, filled),
            (Reduction::Mean, Normalizer::Weights) => self.weights(py, &plan, ROUNDED)?.value(),
            (Reduction::Mean, _) if common.ignore_index.is_none() => rows as f64,
            (Reduction::Mean, _) => self.count(py, &plan, ROUNDED)?.value(),
            _ => 1.0,
        };
        let scaling = Scaling { denominator, scale: scale_of(denominator / rows as f64) };
        let job = self.job::<R>(plan, &outputs, scaling);
        let sum = if denominator == 0.0 {
            zero(py, &job)?
        } else {
            run(py, &job)?.value.value() / (denominator / scaling.scale)
        };
        filled.results(py, wanted, sum)
    }

    /// The quotient of the losses' sum and that of the modulating factors.
    fn quotient<R: PerThread>(
        &self,
        py: Python<'py>,
        plan: JobPlan,
        filled: Filled<'py>,
    ) -> PyResult<Results<'py>> {
        let outputs = filled.arrays()?;
        let sums = {
            let mut job = self.job::<R>(plan.clone(), &[const { None }; 3], Scaling::NONE);
            (job.sum, job.sum_factors, job.formula.outputs) = (true, true, output::VALUE);
            run(py, &job)?
        };
        let (numerator, denominator) = (sums.value.value(), sums.factor.value());
        let mut job = self.job::<R>(plan, &outputs, Scaling { denominator, scale: 1.0 });
        (job.sum, job.sum_factors, job.formula.outputs) =
            (false, false, job.formula.outputs & !output::VALUE);
        let value = if denominator == 0.0 {
            zero(py, &job)?
        } else {
            let value = numerator / denominator;
            if job.formula.outputs != 0 {
                let quotient = [value / denominator, 1.0 / denominator];
                job.formula.constants.quotient = Some(quotient.map(R::from_f64));
                run(py, &job)?;
            }
            value
        };
        filled.results(py, self.wanted, value)
    }

    /// The sum of the weights that samples and targets' classes give.
    fn weights(&self, py: Python<'py>, plan: &JobPlan, keeping: Keeping) -> PyResult<Sum> {
        let alphas: Vec<f64> = (0..self.admitted.classes()).map(|class| self.loss.weight_of(class)).collect();
        if self.admitted.indices {
            let ones = [Source::Constant(1.0); 2];
            return self.measure(py, plan, Measure::ByTarget(&alphas), ones, keeping);
        }
        // sum_i s_i sum_c y_ic a_c, over all logits.
        let Admitted { logits, targets, axis, .. } = &self.admitted;
        let mut strides = [&[][..]; operand::COUNT];
        let mut classes = vec![0; logits.shape.len()];
        if let Some(axis) = axis {
            classes[*axis] = size_of::<f64>() as isize;
        }
        strides[operand::LOGITS] = logits.strides;
        strides[operand::TARGETS] = targets.strides;
        strides[operand::SAMPLES] = self.admitted.weight_strides();
        strides[operand::CLASSES] = &classes;
        let plan = Plan::new(&lengths(logits.shape), strides, TILE, operand::VALUE);
        let positive = Source::numbers(alphas.as_ptr().cast_mut().cast(), DType::Float64);
        let pair = [Source::Constant(0.0), positive];
        self.measure(py, &plan, Measure::Weights, pair, keeping)
    }

    /// The number of rows that are not ignored.
    fn count(&self, py: Python<'py>, plan: &JobPlan, keeping: Keeping) -> PyResult<Sum> {
        self.measure(py, plan, Measure::Count, [Source::Constant(1.0); 2], keeping)
    }

    /// A sum over what is not ignored.
    fn measure(
        &self,
        py: Python<'py>,
        plan: &JobPlan,
        what: Measure<'_>,
        weights: [Source<f64>; 2],
        keeping: Keeping,
    ) -> PyResult<Sum> {
        let targets = &self.admitted.targets;
        let numbers = Source::numbers(targets.data, targets.dtype);
        let inputs = Shared::new(Inputs {
            logits: Source::Constant(0.0),
            labels: Labels::Dense(numbers),
            ignored: self.loss.common.ignore_index.map(|label| (numbers, label.to_f64())),
            weights: Weights::Sampled(
                self.admitted.samples().unwrap_or(Source::Constant(1.0)),
                LabelWeights { rounded: [weights; 3], exact: [weights; 3] },
            ),
            gammas: None,
        });
        // SAFETY: as in `run`.
        detached(py, plan.len(), |go_on| unsafe {
            measure::run(isa(), plan, inputs.get(), what, keeping, go_on)
        })
    }

    /// The order of the rows, from the strides of all arrays along the axes other than that of the classes.
    fn plan(&self, outputs: &Outputs<'_, 'py>) -> JobPlan {
        let Admitted { logits, axis, .. } = &self.admitted;
        let [value, grad, hess] = outputs.each_ref().map(Option::as_ref);
        let without = |strides: &[isize]| {
            let mut strides = strides.to_vec();
            if let Some(axis) = axis.filter(|&axis| axis < strides.len()) {
                strides.remove(axis);
            }
            strides
        };
        let of = |array: Option<&Array<'_, '_>>| without(array.map_or(&[], |array| array.strides));
        let mut shape = lengths(logits.shape);
        if let Some(axis) = *axis {
            shape.remove(axis);
        }
        let strides = [
            of(Some(logits)),
            without(self.admitted.target_strides()),
            without(self.admitted.weight_strides()),
            Vec::new(),
            Vec::new(),
            value.map_or(Vec::new(), |value| value.strides.to_vec()),
            of(grad),
            of(hess),
        ];
        let tile = tile_rows(self.admitted.classes());
        let leading = leading(&self.loss.common, self.wanted);
        Plan::of_runs(&shape, strides.each_ref().map(Vec::as_slice), tile, leading)
    }

    /// What multiplies losses, gradient and Hessian of rows whose target is that class.
    fn weights_of(&self, class: usize, weight: f64, Scaling { denominator, scale }: Scaling) -> [f64; 3] {
        let upper = self.wanted.hess == Some(Hessian::Upper) && !self.is_dense();
        let bound = if upper { 1.0 + self.loss.common.gamma.of(class) } else { 1.0 };
        [weight / scale, weight / denominator, weight / denominator * bound]
    }

    /// Whether every class of a row has a target of its own: given so, or smoothed.
    fn is_dense(&self) -> bool {
        !self.admitted.indices || self.loss.common.label_smoothing != 0.0
    }

    /// What differs by the target's class.
    fn by_class<R: PerThread>(&self, scaling: Scaling) -> Option<ByClass<R>> {
        let loss = self.loss;
        if self.is_dense() || matches!(loss.classes(), Ok(None)) {
            return None;
        }
        let mut by_class = ByClass { weights: [const { Vec::new() }; 3], gammas: Vec::new() };
        for class in 0..self.admitted.classes() {
            let weights = self.weights_of(class, loss.weight_of(class), scaling);
            for (list, weight) in by_class.weights.iter_mut().zip(weights) {
                list.push(weight);
            }
            if loss.common.gamma.per_class().is_some() {
                by_class.gammas.push(Gamma::new(loss.common.gamma.of(class)));
            }
        }
        Some(by_class)
    }

    /// The job that fills these outputs, or adds losses up.
    fn job<R: PerThread>(&self, plan: JobPlan, outputs: &Outputs<'_, 'py>, scaling: Scaling) -> Job<R> {
        let &Self { loss, wanted, ref admitted, .. } = self;
        let classes = admitted.classes();
        let row_array = |array: &Array<'_, '_>| {
            let class_stride = admitted.axis.map_or(0, |axis| array.strides[axis]);
            RowArray { data: array.data, dtype: array.dtype, class_stride }
        };
        let arrays = [Some(&admitted.logits), outputs[1].as_ref(), outputs[2].as_ref()];
        let bytes: usize = arrays.into_iter().flatten().map(|array| array.dtype.size()).sum();
        let targets = &admitted.targets;
        // Weights by class are among those by class, or the formula's.
        let alpha = if self.is_dense() || loss.classes().is_ok_and(|classes| classes.is_some()) {
            1.0
        } else {
            loss.weight_of(0)
        };
        Job {
            classes,
            formula: self.formula(scaling, alpha),
            logits: row_array(&admitted.logits),
            targets: if admitted.indices {
                let ignored = loss.common.ignore_index.map(Label::to_f64);
                RowTargets::Indices(Source::numbers(targets.data, targets.dtype), ignored)
            } else {
                RowTargets::Dense(row_array(targets))
            },
            samples: admitted.samples(),
            weights: self.weights_of(0, alpha, scaling),
            by_class: self.by_class(scaling),
            value: outputs[0].as_ref().map(|value| Target::new(value.data, value.dtype, Stores::Ordinary)),
            grad: outputs[1].as_ref().map(row_array),
            hess: outputs[2].as_ref().map(row_array),
            streamed: stores(bytes.saturating_mul(plan.len().saturating_mul(classes)))
                == Stores::AlwaysStreaming,
            sum: wanted.sums(loss.common.reduction),
            keeping: ROUNDED,
            sum_factors: false,
            plan,
        }
    }

    /// What to do with rows.
    fn formula<R: PerThread>(&self, scaling: Scaling, alpha: f64) -> Formula<R> {
        let common = &self.loss.common;
        let [value, grad, hess] = self.weights_of(0, alpha, scaling).map(R::from_weight);
        let constants = Constants::new(common.gamma.of(0));
        let clip = if common.eps > 0.0 {
            [common.eps, 1.0 - common.eps]
        } else {
            [f64::NEG_INFINITY, f64::INFINITY]
        };
        Formula {
            outputs: kernel_outputs(self.wanted),
            constants: Constants { modulator: self.loss.modulator, value, grad, hess, ..constants },
            bounds: (!common.from_logits).then_some(clip.map(R::from_f64)),
            dense: self.is_dense().then(|| self.dense_classes()),
        }
    }

    /// What differs by class where every class has a target.
    fn dense_classes<R: PerThread>(&self) -> DenseClasses<R> {
        let loss = self.loss;
        let classes = self.admitted.classes();
        let smoothing = loss.common.label_smoothing;
        let alphas = match &loss.alpha {
            None => Vec::new(),
            Some(alpha) => (0..classes).map(|class| R::from_weight(alpha.of(class))).collect(),
        };
        let mut gammas = [const { Vec::new() }; 3];
        if let Some(list) = loss.common.gamma.per_class() {
            for gamma in list {
                for (list, part) in gammas.iter_mut().zip(Gamma::<R>::new(*gamma).parts()) {
                    list.push(part);
                }
            }
        }
        DenseClasses {
            smoothing: [1.0 - smoothing, smoothing / classes.max(1) as f64].map(R::from_f64),
            alphas,
            gammas,
            upper: self.wanted.hess == Some(Hessian::Upper),
        }
    }
}

fn run<R: PerThread>(py: Python<'_>, job: &Job<R>) -> PyResult<Sums> {
    let len = job.plan.len().saturating_mul(job.classes);
    // SAFETY: all arrays were admitted or made, live as long as the call's references to them, are valid wherever the
    // plan, made of their shapes and strides, has rows, for every class, and overlap only where they are the same.
    // Other threads must not write to them meanwhile: the documentation asks that of callers.
    detached(py, len, |go_on| unsafe { rows::run(isa(), job, go_on) })
}

/// Nothing to average: 0, also where a logit is NaN.
fn zero<R: PerThread>(py: Python<'_>, job: &Job<R>) -> PyResult<f64> {
    let len = job.plan.len().saturating_mul(job.classes);
    // SAFETY: as in `run`.
    detached(py, len, |go_on| unsafe { rows::zero(isa(), job, go_on) })?;
    Ok(0.0)
}
