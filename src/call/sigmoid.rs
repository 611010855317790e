//! A call of the sigmoid focal loss: a loss whose elements stand for themselves.

use super::admit::{Admitted, check_memory, check_surrogate};
use super::denominator::{Denominator, Scaling, over};
use super::mean::{Loss, Quotient, Rules, Walk, leading};
use super::weights::{Lists, along};
use super::{Call, Filled, GoOn, Wanted, sum_classes};
use crate::array::{View, lengths};
use crate::element::DType;
use crate::error::Error;
use crate::exec;
use crate::exec::elements::{self, Inputs, Job, Soft};
use crate::exec::labels::{Indices, Labels, number_of};
use crate::exec::measure::{self, Measure};
use crate::exec::outputs::{Outputs, zero};
use crate::exec::per_row::PerRow;
use crate::exec::rows::PerThread;
use crate::exec::weights::Weights;
use crate::exec::{JobPlan, Stop, Sums, operand, stores};
use crate::kernel::elementwise::{kernel, kernel_of_gammas};
use crate::kernel::exact::ExactSum;
use crate::kernel::labels::Ignored;
use crate::kernel::soft::{self, Options};
use crate::kernel::tile::{Source, Stores, TILE, Target};
use crate::layout::Plan;
use crate::loss::focal::Gamma;
use crate::params::{Common, Hessian, Label, SigmoidFocalLoss};
use crate::real::Real;

// SAFETY: jobs follow the call's arrays by plans that are made of their shapes and strides.
unsafe impl Loss for SigmoidFocalLoss {
    fn common(&self) -> &Common {
        &self.common
    }

    fn rules(&self) -> Rules {
        Rules { class_axis: self.class_axis, rows: false, reduction: self.common.reduction }
    }

    fn listed_classes(&self) -> Result<Option<usize>, Error> {
        self.classes()
    }

    fn special_indices(&self) -> [Option<Label>; 2] {
        [self.common.ignore_index, self.background_index.map(|index| Label::Whole(index.into()))]
    }

    fn check_wanted(&self, wanted: Wanted) -> Result<(), Error> {
        check_surrogate(wanted, &self.common, None)
    }

    fn check_call(call: &Call<'_, Self>) -> Result<(), Error> {
        let &Call { loss, ref admitted, .. } = call;
        let lists = usize::from(admitted.indices)
            + if loss.differs_by_class() { 9 } else { 0 }
            + if loss.common.gamma.per_class().is_some() { 2 } else { 0 };
        // Twice while a list grows.
        check_memory(admitted.classes(), 2 * lists * size_of::<f64>())?;
        if let (Some(index), false) = (loss.background_index, admitted.indices) {
            let got = format!("targets of the logits' shape with background_index={index}");
            return Err(Error::value("targets", got, "class indices with background_index"));
        }
        Ok(())
    }

    fn plan<R: PerThread>(call: &Call<'_, Self>, outputs: &Filled<'_>) -> JobPlan {
        call.plan::<R>(outputs)
    }

    unsafe fn measure(
        call: &Call<'_, Self>,
        what: Measure<'static>,
        go_on: GoOn<'_>,
    ) -> Result<ExactSum, Stop> {
        let plan = call.plan::<f64>(&[None; 3]);
        let lists = call.lists::<f64>(Wanted::Value, Scaling::NONE);
        let Weights { labels: weights, samples } = call.weights(&lists, Wanted::Value, Scaling::NONE);
        let (labels, ignored) = call.labels(&lists);
        let samples = samples.unwrap_or(Source::Constant(1.0));
        let inputs = measure::Inputs { labels, ignored, samples, weights };
        // SAFETY: handed through from the caller.
        unsafe { measure::run(call.isa, &plan, &inputs, what, go_on) }
    }

    unsafe fn walk<R: PerThread>(
        call: &Call<'_, Self>,
        plan: &JobPlan,
        walk: &Walk<'_>,
        go_on: GoOn<'_>,
    ) -> Result<Sums, Stop> {
        let lists = call.lists::<R>(walk.wanted, walk.scaling);
        let job = call.job::<R>(plan.clone(), &lists, walk);
        // SAFETY: handed through from the caller; lists live as long as the job.
        unsafe { elements::run(call.isa, &job, go_on) }
    }

    unsafe fn zero<R: PerThread>(
        call: &Call<'_, Self>,
        plan: &JobPlan,
        outputs: &Filled<'_>,
        go_on: GoOn<'_>,
    ) -> Result<(), Stop> {
        let target = |array: View<'_>| Target::<R>::new(array.data, array.dtype, Stores::Ordinary);
        // SAFETY: handed through from the caller.
        unsafe { zero(call.isa, plan, &Outputs(outputs.map(|array| array.map(target))), go_on) }
    }

    unsafe fn sum_classes<R: PerThread>(
        call: &Call<'_, Self>,
        outputs: Filled<'_>,
        go_on: GoOn<'_>,
    ) -> Result<(), Stop> {
        // SAFETY: handed through from the caller.
        unsafe { sum_classes::run::<R>(call, outputs, go_on) }
    }
}

impl Call<'_, SigmoidFocalLoss> {
    /// The order of the elements, from the strides of all arrays.
    fn plan<R: Real>(&self, outputs: &Filled<'_>) -> JobPlan {
        let &Admitted { logits, targets, .. } = &self.admitted;
        let weight = self.admitted.weight_array();
        let [value, grad, hess] = *outputs;
        let arrays = [Some(logits), Some(targets), weight, None, None, value, grad, hess];
        let full = arrays.iter().flatten().all(|array| array.shape == logits.shape);
        let by_class = self.admitted.indices || self.loss.differs_by_class();
        let every = full && !by_class;
        let all = |holds: fn(&View<'_>) -> bool| every && arrays.iter().flatten().all(holds);
        if all(|array| array.c_order) || all(|array| array.fortran_order) {
            let sizes = arrays.map(|array| array.map_or(0, |array| array.dtype.size() as isize));
            return Plan::contiguous(logits.len(), sizes, TILE);
        }
        let mut strides = arrays.map(|array| array.map_or(&[][..], |array| array.strides));
        strides[operand::TARGETS] = self.admitted.target_strides();
        let (samples, axes) = (self.sample_strides::<R>(), logits.shape.len());
        strides[operand::SAMPLES] = &samples;
        let by_class = self.admitted.axis.filter(|_| by_class);
        let list = |size| by_class.map_or(Vec::new(), |axis| along(axes, axis, size));
        let (classes, lists) = (list(size_of::<f64>()), list(size_of::<R>()));
        (strides[operand::CLASSES], strides[operand::LISTS]) = (&classes, &lists);
        Plan::new(&lengths(logits.shape), strides, TILE, leading(&self.loss.common, self.wanted))
    }

    /// Labels, and which of them do not count.
    fn labels<R: Real>(&self, lists: &Lists<R>) -> (Labels<R>, Option<Ignored<R>>) {
        let Admitted { targets, indices, .. } = &self.admitted;
        let index = self.loss.common.ignore_index.and_then(|label| number_of(label, targets.dtype));
        let numbers = exec::labels::targets(targets.data, targets.dtype, self.loss.special_indices());
        let ignored = index.map(Ignored::new);
        let marked = ignored.map(|_| Ignored::marked());
        if *indices {
            let classes = Source::list(&lists.classes);
            return (Labels::Indices(Indices { targets: numbers, classes, ignored }), marked);
        }
        let dense = Labels::Dense(Source::numbers(targets.data, targets.dtype));
        match (index, ignored) {
            // The type that kernels compute in has all targets: they are told apart there.
            (Some(index), Some(_)) if targets.dtype.fits::<R>() => {
                let rounded = R::from_f64(index);
                let is_there = rounded.to_f64() == index || index.is_nan();
                (dense, is_there.then(|| Ignored::new(rounded)))
            }
            (Some(_), Some(ignored)) => (Labels::Marked(numbers, ignored), marked),
            _ => (dense, None),
        }
    }

    /// The job that fills these outputs, or adds losses up.
    pub(super) fn job<R: PerThread>(&self, plan: JobPlan, lists: &Lists<R>, walk: &Walk<'_>) -> Job<R> {
        let &Self { loss, ref admitted, .. } = self;
        let arrays = admitted.inputs().into_iter().chain(walk.outputs);
        let bytes: usize = arrays.flatten().map(|array| array.dtype.size()).sum();
        let stores = stores(bytes.saturating_mul(plan.len()));
        let target = |output: usize| {
            let array = walk.outputs[output]?;
            let is_run = plan.is_run(operand::VALUE + output, array.dtype.size());
            Some(Target::new(array.data, array.dtype, if is_run { stores } else { Stores::Ordinary }))
        };
        let (labels, ignored) = self.labels(lists);
        let gammas = lists.gammas.each_ref().map(|part| Source::list(part));
        let gammas = Some(gammas).filter(|_| !lists.gammas[0].is_empty());
        let weights = self.weights(lists, walk.wanted, walk.scaling);
        let (gamma, computed) = (loss.common.gamma.of(0), walk.wanted.set());
        let listed = self.axis_of_samples().is_some();
        Job {
            samples_per_row: Some(&plan).filter(|_| !listed).and_then(PerRow::samples),
            targets_per_row: Some(&plan).filter(|_| admitted.indices).and_then(PerRow::targets),
            kernel: if gammas.is_some() { kernel_of_gammas(computed) } else { kernel(gamma, computed) },
            inputs: Inputs {
                logits: Source::numbers(admitted.logits.data, admitted.logits.dtype),
                labels,
                weights,
                gammas,
            },
            ignored,
            gamma: Gamma::new(gamma),
            soft: self.soft(walk),
            outputs: Outputs([target(0), target(1), target(2)]),
            sum: walk.sum,
            keeping: walk.keeping,
            sum_factors: walk.sum_factors,
            plan,
        }
    }

    /// The kernel for labels other than 0 and 1 and for probabilities, if there may be any.
    fn soft<R: PerThread>(&self, walk: &Walk<'_>) -> Option<Soft<R>> {
        let common = &self.loss.common;
        let always =
            !common.from_logits || common.label_smoothing != 0.0 || Denominator::of(common).adds_factors();
        let may_differ = !self.admitted.indices
            && matches!(
                self.admitted.targets.dtype,
                DType::Float16 | DType::BFloat16 | DType::Float32 | DType::Float64
            );
        if !always && !may_differ {
            return None;
        }
        let mut options = Options::new(self.loss.soft_targets);
        options.gauss_newton = walk.wanted.hess().is_some_and(|hessian| hessian != Hessian::Exact);
        options = options.smoothed(common.label_smoothing);
        if common.eps > 0.0 {
            options = options.clipped(common.eps);
        }
        let of_walk = |Quotient { value, denominator }| [value, over(1.0, denominator)].map(R::from_weight);
        options.quotient = walk.quotient.map(of_walk);
        Some(Soft { kernel: soft::kernel(self.loss.soft_targets, !common.from_logits), options, always })
    }
}
