//! A call of the softmax focal loss: a loss whose elements are rows of classes.

use super::admit::{Admitted, check_memory, check_surrogate};
use super::denominator::{Scaling, over};
use super::mean::{Loss, Quotient, Rules, Walk, leading};
use super::weights::along;
use super::{Call, Filled, GoOn, Wanted};
use crate::array::{View, lengths, shape_text, without};
use crate::element::DType;
use crate::error::Error;
use crate::exec::labels::{Labels, number_of};
use crate::exec::measure::{self, Inputs, Measure};
use crate::exec::rows::{
    self, ByClass, DenseClasses, Formula, Job, PerThread, RowArray, RowTargets, tile_rows,
};
use crate::exec::weights::LabelWeights;
use crate::exec::{self, JobPlan, Stop, Sums, operand, stores};
use crate::kernel::exact::ExactSum;
use crate::kernel::labels::Ignored;
use crate::kernel::rows::Constants;
use crate::kernel::tile::{Source, Stores, TILE, Target};
use crate::layout::Plan;
use crate::loss::focal::Gamma;
use crate::params::{Common, Hessian, Label, Modulator, SoftmaxFocalLoss};
use crate::pool;

// SAFETY: jobs follow the call's arrays by plans that are made of their shapes and strides.
unsafe impl Loss for SoftmaxFocalLoss {
    fn common(&self) -> &Common {
        &self.common
    }

    fn rules(&self) -> Rules {
        Rules { class_axis: Some(self.class_axis), rows: true, reduction: self.common.reduction }
    }

    fn listed_classes(&self) -> Result<Option<usize>, Error> {
        self.classes()
    }

    fn special_indices(&self) -> [Option<Label>; 2] {
        [self.common.ignore_index, None]
    }

    fn check_wanted(&self, wanted: Wanted) -> Result<(), Error> {
        let sigmoid = self.modulator == Modulator::Sigmoid;
        check_surrogate(wanted, &self.common, sigmoid.then_some("modulator=\"sigmoid\""))
    }

    fn check_call(call: &Call<'_, Self>) -> Result<(), Error> {
        check_targets(call.loss, &call.admitted)?;
        check_memory(call.admitted.classes(), call.bytes_by_class())
    }

    fn plan<R: PerThread>(call: &Call<'_, Self>, outputs: &Filled<'_>) -> JobPlan {
        call.plan(outputs)
    }

    unsafe fn measure(
        call: &Call<'_, Self>,
        what: Measure<'static>,
        go_on: GoOn<'_>,
    ) -> Result<ExactSum, Stop> {
        // SAFETY: handed through from the caller.
        unsafe {
            match what {
                Measure::Weights => call.weights(go_on),
                // Every target has a class: each is a positive.
                Measure::Positives => call.measure_rows(Measure::Count, go_on),
                other => call.measure_rows(other, go_on),
            }
        }
    }

    unsafe fn walk<R: PerThread>(
        call: &Call<'_, Self>,
        plan: &JobPlan,
        walk: &Walk<'_>,
        go_on: GoOn<'_>,
    ) -> Result<Sums, Stop> {
        let job = call.job::<R>(plan.clone(), walk);
        // SAFETY: handed through from the caller.
        unsafe { rows::run(call.isa, &job, go_on) }
    }

    unsafe fn zero<R: PerThread>(
        call: &Call<'_, Self>,
        plan: &JobPlan,
        outputs: &Filled<'_>,
        go_on: GoOn<'_>,
    ) -> Result<(), Stop> {
        let walk = Walk::filling(call.wanted, *outputs, Scaling::NONE);
        let job = call.job::<R>(plan.clone(), &walk);
        // SAFETY: handed through from the caller.
        unsafe { rows::zero(call.isa, &job, go_on) }
    }

    unsafe fn sum_classes<R: PerThread>(
        call: &Call<'_, Self>,
        outputs: Filled<'_>,
        go_on: GoOn<'_>,
    ) -> Result<(), Stop> {
        // The losses of this loss are sums over the classes already.
        let plan = call.plan(&outputs);
        let walk = Walk::filling(call.wanted, outputs, Scaling::NONE);
        // SAFETY: handed through from the caller.
        unsafe { Self::walk::<R>(call, &plan, &walk, go_on).map(|_| ()) }
    }
}

/// Refuses dense targets where they have no meaning, and rows without classes.
fn check_targets(loss: &SoftmaxFocalLoss, admitted: &Admitted<'_>) -> Result<(), Error> {
    let refuse = |with: &str| {
        let got = format!("targets of the logits' shape with {with}");
        Err(Error::value("targets", got, format!("class indices with {with}")))
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
        return Err(Error::value(logits.name, got, "of at least one class, or without rows"));
    }
    Ok(())
}

impl Call<'_, SoftmaxFocalLoss> {
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

    /// The sum of the weights that samples and targets' classes give.
    ///
    /// # Safety
    /// As [`Call::run`].
    unsafe fn weights(&self, go_on: GoOn<'_>) -> Result<ExactSum, Stop> {
        let alphas: Vec<f64> = (0..self.admitted.classes()).map(|class| self.loss.weight_of(class)).collect();
        if self.admitted.indices {
            // SAFETY: handed through from the caller.
            return unsafe { self.measure_rows(Measure::ByTarget(&alphas), go_on) };
        }
        // sum_i s_i sum_c y_ic a_c, over all logits.
        let Admitted { logits, targets, axis, .. } = &self.admitted;
        let mut strides = [&[][..]; operand::COUNT];
        let classes = axis.map_or(Vec::new(), |axis| along(logits.shape.len(), axis, size_of::<f64>()));
        strides[operand::LOGITS] = logits.strides;
        strides[operand::TARGETS] = targets.strides;
        strides[operand::SAMPLES] = self.admitted.weight_strides();
        strides[operand::LISTS] = &classes;
        let plan = Plan::new(&lengths(logits.shape), strides, TILE, operand::VALUE);
        let positive = Source::numbers(alphas.as_ptr().cast_mut().cast(), DType::Float64);
        let weights = LabelWeights::Lists([[Source::Constant(0.0), positive]; 3]);
        // SAFETY: handed through from the caller; the plan is made of the arrays' shape and strides.
        unsafe { measure::run(self.isa, &plan, &self.measured(weights), Measure::Weights, go_on) }
    }

    /// A sum over the rows that are not ignored.
    ///
    /// # Safety
    /// As [`Call::run`].
    unsafe fn measure_rows(&self, what: Measure<'_>, go_on: GoOn<'_>) -> Result<ExactSum, Stop> {
        let inputs = self.measured(LabelWeights::All([[1.0; 2]; 3]));
        // SAFETY: handed through from the caller.
        unsafe { measure::run(self.isa, &self.plan(&[None; 3]), &inputs, what, go_on) }
    }

    /// Class indices, or dense targets, as numbers.
    fn target_classes(&self) -> Source<f64> {
        let targets = &self.admitted.targets;
        exec::labels::targets(targets.data, targets.dtype, self.loss.special_indices())
    }

    /// The one of them that does not count.
    fn ignored_class(&self) -> Option<f64> {
        self.loss.common.ignore_index.and_then(|label| number_of(label, self.admitted.targets.dtype))
    }

    /// What denominators are made of.
    fn measured(&self, weights: LabelWeights<f64>) -> Inputs {
        Inputs {
            labels: Labels::Dense(self.target_classes()),
            ignored: self.ignored_class().map(Ignored::new),
            samples: self.admitted.samples().unwrap_or(Source::Constant(1.0)),
            weights,
        }
    }

    /// The order of the rows, from the strides of all arrays along the axes other than that of the classes.
    fn plan(&self, outputs: &Filled<'_>) -> JobPlan {
        let &Admitted { logits, axis, .. } = &self.admitted;
        let [value, grad, hess] = *outputs;
        let without = |strides: &[isize]| axis.map_or(strides.to_vec(), |axis| without(strides, axis));
        let of = |array: Option<View<'_>>| without(array.map_or(&[], |array| array.strides));
        let mut shape = lengths(logits.shape);
        if let Some(axis) = axis {
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
    fn weights_of(&self, class: usize, weight: f64, walk: &Walk<'_>) -> [f64; 3] {
        let scaling = match walk.quotient {
            Some(Quotient { denominator, .. }) => Scaling { denominator, scale: 1.0 },
            None => walk.scaling,
        };
        let upper = walk.wanted.hess() == Some(Hessian::Upper) && !self.is_dense();
        let bound = if upper { 1.0 + self.loss.common.gamma.of(class) } else { 1.0 };
        [weight / scaling.scale, scaling.of_derivatives(weight), scaling.bounded(weight, bound)]
    }

    /// Whether every class of a row has a target of its own: given so, or smoothed.
    fn is_dense(&self) -> bool {
        !self.admitted.indices || self.loss.common.label_smoothing != 0.0
    }

    /// What differs by the target's class.
    fn by_class<R: PerThread>(&self, walk: &Walk<'_>) -> Option<ByClass<R>> {
        let loss = self.loss;
        if self.is_dense() || matches!(loss.classes(), Ok(None)) {
            return None;
        }
        let mut by_class = ByClass { weights: [const { Vec::new() }; 3], gammas: Vec::new() };
        for class in 0..self.admitted.classes() {
            let weights = self.weights_of(class, loss.weight_of(class), walk);
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
    fn job<R: PerThread>(&self, plan: JobPlan, walk: &Walk<'_>) -> Job<R> {
        let &Self { loss, ref admitted, .. } = self;
        let [value, grad, hess] = walk.outputs;
        let classes = admitted.classes();
        let row_array = |array: View<'_>| {
            let class_stride = admitted.axis.map_or(0, |axis| array.strides[axis]);
            RowArray { data: array.data, dtype: array.dtype, class_stride }
        };
        let arrays = [Some(admitted.logits), grad, hess];
        let bytes: usize = arrays.into_iter().flatten().map(|array| array.dtype.size()).sum();
        let targets = admitted.targets;
        // Weights by class are among those by class, or the formula's.
        let alpha = if self.is_dense() || loss.classes().is_ok_and(|classes| classes.is_some()) {
            1.0
        } else {
            loss.weight_of(0)
        };
        Job {
            classes,
            formula: self.formula(walk, alpha),
            logits: row_array(admitted.logits),
            targets: if admitted.indices {
                RowTargets::Indices(self.target_classes(), self.ignored_class())
            } else {
                RowTargets::Dense(row_array(targets))
            },
            samples: admitted.samples(),
            weights: self.weights_of(0, alpha, walk),
            by_class: self.by_class(walk),
            value: value.map(|value| Target::new(value.data, value.dtype, Stores::Ordinary)),
            grad: grad.map(row_array),
            hess: hess.map(row_array),
            streamed: stores(bytes.saturating_mul(plan.len().saturating_mul(classes)))
                == Stores::AlwaysStreaming,
            sum: walk.sum,
            keeping: walk.keeping,
            sum_factors: walk.sum_factors,
            plan,
        }
    }

    /// What to do with rows.
    fn formula<R: PerThread>(&self, walk: &Walk<'_>, alpha: f64) -> Formula<R> {
        let common = &self.loss.common;
        let [value, grad, hess] = self.weights_of(0, alpha, walk).map(R::from_weight);
        let of_walk = |Quotient { value, denominator }| {
            [over(value, denominator), over(1.0, denominator)].map(R::from_weight)
        };
        let quotient = walk.quotient.map(of_walk);
        let constants = Constants::new(common.gamma.of(0));
        let clip = (common.eps > 0.0).then(|| [common.eps, 1.0 - common.eps].map(R::from_f64));
        Formula {
            outputs: walk.wanted.set().bits(),
            constants: Constants { modulator: self.loss.modulator, value, grad, hess, quotient, ..constants },
            probabilities: (!common.from_logits).then_some(clip),
            dense: self.is_dense().then(|| self.dense_classes(walk.wanted)),
        }
    }

    /// What differs by class where every class has a target.
    fn dense_classes<R: PerThread>(&self, wanted: Wanted) -> DenseClasses<R> {
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
            upper: wanted.hess() == Some(Hessian::Upper),
        }
    }
}
