//! A call of the sigmoid focal loss: a loss whose elements stand for themselves.

use super::admit::{Admitted, check_memory, check_surrogate};
use super::denominator::{Denominator, Scaling};
use super::mean::{Loss, Quotient, Rules, Walk, leading};
use super::weights::Lists;
use super::{Call, Filled, GoOn, Wanted, sum_classes};
use crate::array::{View, lengths};
use crate::element::DType;
use crate::error::Error;
use crate::exec::elements::{self, Inputs, Job, Soft};
use crate::exec::heads::Heads;
use crate::exec::labels::{Indices, Labels};
use crate::exec::measure::{self, Measure};
use crate::exec::rows::PerThread;
use crate::exec::weights::Weights;
use crate::exec::{JobPlan, Keeping, Stop, Sum, Sums, operand, stores};
use crate::kernel::elementwise::{kernel, kernel_of_gammas};
use crate::kernel::soft::{self, SoftConstants};
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

    fn special_indices(&self) -> [Option<f64>; 2] {
        [self.common.ignore_index.map(Label::to_f64), self.background_index.map(|index| index as f64)]
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
        plan: &JobPlan,
        what: Measure<'static>,
        keeping: Keeping,
        go_on: GoOn<'_>,
    ) -> Result<Sum, Stop> {
        let lists = call.lists::<f64>(Wanted::VALUE, Scaling::NONE);
        let mut inputs = call.inputs(&lists, Wanted::VALUE, Scaling::NONE);
        inputs.weights = call.sampled(&lists, Wanted::VALUE, Scaling::NONE);
        // SAFETY: handed through from the caller.
        unsafe { measure::run(call.isa, plan, &inputs, what, keeping, go_on) }
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
        let numbers = [operand::VALUE, operand::GRAD, operand::HESS];
        let target = |array: View<'_>| Target::<R>::new(array.data, array.dtype, Stores::Ordinary);
        let targets = [0, 1, 2].map(|i| (outputs[i].map(target), numbers[i]));
        // SAFETY: handed through from the caller.
        unsafe { elements::zero_outputs(call.isa, plan, &targets, go_on) }
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
    pub(super) fn inputs<R: Real>(&self, lists: &Lists<R>, wanted: Wanted, scaling: Scaling) -> Inputs<R> {
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
            weights: self.weights(lists, wanted, scaling),
            gammas: (!lists.gammas[0].is_empty())
                .then(|| lists.gammas.each_ref().map(|part| Source::list(part))),
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
        let inputs = self.inputs(lists, walk.wanted, walk.scaling);
        let (gamma, computed) = (loss.common.gamma.of(0), walk.wanted.bits());
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
            soft: self.soft(walk),
            value: target(0),
            grad: target(1),
            hess: target(2),
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
        let mut constants = SoftConstants::new(common.gamma.of(0), self.loss.soft_targets);
        constants.gauss_newton = walk.wanted.hess.is_some_and(|hessian| hessian != Hessian::Exact);
        constants = constants.smoothed(common.label_smoothing);
        if common.eps > 0.0 {
            constants = constants.clipped(common.eps);
        }
        let of_walk = |Quotient { value, denominator }| [value, 1.0 / denominator].map(R::from_f64);
        constants.quotient = walk.quotient.map(of_walk);
        Some(Soft { kernel: soft::kernel(self.loss.soft_targets, !common.from_logits), constants, always })
    }
}
