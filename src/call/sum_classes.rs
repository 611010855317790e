//! Losses added up over the class axis, and their derivatives.

use super::denominator::Scaling;
use super::mean::{Loss, Walk};
use super::{Call, Filled, GoOn, Wanted};
use crate::array::{Shape, View, lengths, without};
use crate::element::DType;
use crate::error::Error;
use crate::exec::columns::{self, Steps};
use crate::exec::rows::PerThread;
use crate::exec::{Stop, operand};
use crate::kernel::tile::{Buffer, Place, Raw, Source, Stores, TILE, Target};
use crate::layout::Plan;
use crate::params::SigmoidFocalLoss;
use crate::simd::AnyIsa;

/// Fills the sums and the derivatives.
///
/// # Safety
/// As [`Call::run`].
pub unsafe fn run<R: PerThread>(
    call: &Call<'_, SigmoidFocalLoss>,
    outputs: Filled<'_>,
    go_on: GoOn<'_>,
) -> Result<(), Stop> {
    let [Some(value), grad, hess] = outputs else { return Ok(()) };
    let derivatives = call.wanted.derivatives();
    // What is computed first must not be written to an input of what is computed next.
    let is_input = call.admitted.inputs().iter().flatten().any(|input| value.is(input));
    let mut aside = if derivatives.is_none() || !is_input { None } else { Some(Aside::<R>::new(&value)?) };
    let filled = aside.as_mut().map_or(value, Aside::view);
    // SAFETY: handed through from the caller; what is set aside lives as long as it is used.
    unsafe {
        call.fill_sums::<R>(&filled, go_on)?;
        if let Some(derivatives) = derivatives {
            let outputs = [None, grad, hess];
            let plan = SigmoidFocalLoss::plan::<R>(call, &outputs);
            let walk = Walk::filling(derivatives, outputs, Scaling::NONE);
            SigmoidFocalLoss::walk::<R>(call, &plan, &walk, go_on)?;
        }
        if let Some(aside) = &mut aside {
            aside.copy_to(call.isa, &value);
        }
    }
    Ok(())
}

/// Results that are set aside until all inputs have been read.
struct Aside<R> {
    numbers: Vec<R>,
    shape: Shape,
}

impl<R: PerThread> Aside<R> {
    /// Room for the results of an array.
    fn new(of: &View<'_>) -> Result<Self, Stop> {
        let (len, shape) = (of.len(), Shape::new(&lengths(of.shape), size_of::<R>()));
        let mut numbers = Vec::new();
        let cannot = |_| Stop::Failed(Error::Memory(format!("{} bytes", len * size_of::<R>()).into()));
        numbers.try_reserve_exact(len).map_err(cannot)?;
        numbers.resize(len, R::ZERO);
        Ok(Self { numbers, shape })
    }

    fn view(&mut self) -> View<'_> {
        let (data, len) = (self.numbers.as_mut_ptr().cast(), self.numbers.len());
        View::sliced("out", DType::of::<R>(), data, len, &self.shape, true)
    }

    /// Brings the results to their array.
    ///
    /// # Safety
    /// The array must have the shape that these were made for, and be writeable.
    unsafe fn copy_to(&mut self, isa: AnyIsa, array: &View<'_>) {
        let own = self.view();
        let plan = Plan::new(&lengths(array.shape), [own.strides, array.strides], TILE, 2);
        let source = Source::<R>::numbers(own.data, own.dtype);
        let target = Target::<R>::new(array.data, array.dtype, Stores::Ordinary);
        let (mut buffer, mut raw, mut raw_out) = (Buffer::new(), Raw::new(), Raw::new());
        for tile in (0..plan.tiles()).map(|number| plan.tile(number)) {
            let place = |operand| Place { plan: &plan, operand, tile };
            // SAFETY: both have elements wherever the plan says so.
            unsafe {
                let numbers = source.tile(isa, place(0), &mut buffer, &mut raw);
                target.put(isa, place(1), numbers, &mut raw_out);
            }
        }
    }
}

impl Call<'_, SigmoidFocalLoss> {
    /// Fills the losses added up over the class axis.
    ///
    /// # Safety
    /// As [`Call::run`].
    unsafe fn fill_sums<R: PerThread>(&self, value: &View<'_>, go_on: GoOn<'_>) -> Result<(), Stop> {
        let admitted = &self.admitted;
        let Some(axis) = admitted.axis else { return Ok(()) };
        let step = |strides: &[isize]| strides.get(axis).copied().unwrap_or(0);
        let inputs = [admitted.logits.strides, admitted.target_strides(), admitted.weight_strides()];
        let [logits, targets, samples] = inputs.map(|strides| without(strides, axis));
        let steps = Steps { logits: step(inputs[0]), targets: step(inputs[1]), samples: step(inputs[2]) };
        let mut shape = lengths(admitted.logits.shape);
        let classes = shape.remove(axis);
        let strides = [&logits[..], &targets, &samples, &[], &[], value.strides, &[], &[]];
        let plan = Plan::new(&shape, strides, TILE, operand::VALUE);
        let walk = Walk::filling(Wanted::Value, [None; 3], Scaling::NONE);
        let lists = self.lists::<R>(walk.wanted, walk.scaling);
        let mut job = self.job::<R>(plan, &lists, &walk);
        job.outputs.0[0] = Some(Target::new(value.data, value.dtype, Stores::Ordinary));
        // SAFETY: handed through from the caller; the plan and the steps are made of the same shape and strides.
        unsafe { columns::run(self.isa, &job, classes, steps, go_on) }
    }
}
