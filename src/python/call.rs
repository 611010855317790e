//! One call: from admitted arrays to a job for the core, and back to results.
//!
//! Everything is checked before anything is written. Long jobs run without the interpreter.

use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use super::array::{Array, Held, is_scalar};
use super::number::number;
use super::runtime::isa;
use crate::cache;
use crate::element::DType;
use crate::error::Error;
use crate::exec::{self, Job, JobPlan, Stop, operand};
use crate::kernel::elementwise::{Constants, Weights, kernel, output};
use crate::kernel::tile::{Source, TILE, Target};
use crate::layout::Plan;
use crate::loss::focal::{Gamma, Scales};
use crate::loss::{Hessian, Normalizer, Reduction, SigmoidFocalLoss};
use crate::real::Real;

const WEIGHT: &str = "sample_weight";

/// From this many elements on the interpreter is released: less takes no longer than the release.
const RELEASE: usize = 4096;

/// What a call asks for.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// The loss.
    pub value: bool,
    /// Its gradient.
    pub grad: bool,
    /// Its Hessian.
    pub hess: Option<Hessian>,
}

/// The arguments of a call, not looked at yet.
pub struct Arguments<'a, 'py> {
    /// What the logits are called in this call.
    pub logits_name: &'static str,
    /// Logits.
    pub logits: &'a Bound<'py, PyAny>,
    /// Targets.
    pub targets: &'a Bound<'py, PyAny>,
    /// Sample weights.
    pub sample_weight: Option<&'a Bound<'py, PyAny>>,
    /// Name and array for the losses.
    pub value_out: (&'static str, Option<&'a Bound<'py, PyAny>>),
    /// Name and array for the gradient.
    pub grad_out: (&'static str, Option<&'a Bound<'py, PyAny>>),
    /// Name and array for the Hessian.
    pub hess_out: (&'static str, Option<&'a Bound<'py, PyAny>>),
}

/// The results of a call, those that were wanted.
pub struct Results<'py> {
    /// A float, or the array of losses.
    pub value: Option<Bound<'py, PyAny>>,
    /// The gradient.
    pub grad: Option<Bound<'py, PyAny>>,
    /// The Hessian.
    pub hess: Option<Bound<'py, PyAny>>,
}

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
    // Whatever runs code of the arguments' own comes first; what is read after it stays as it is.
    let logits = Held::new(arguments.logits_name, arguments.logits)?;
    let targets = Held::new("targets", arguments.targets)?;
    let weight = HeldWeight::new(arguments.sample_weight)?;
    let logits = Array::read(arguments.logits_name, &logits)?;
    let targets = Array::read("targets", &targets)?;
    targets.check_shape(&logits)?;
    let weight = SampleWeight::read(&weight, &logits)?;
    let outputs = admit_outputs(loss, wanted, arguments, &logits)?;
    check_overlaps(&outputs, &[Some(&logits), Some(&targets), weight.array()])?;
    let call = Call { loss, wanted, logits, targets, weight };
    match call.logits.dtype.of_results() {
        DType::Float64 => call.run::<f64>(py, &outputs),
        _ => call.run::<f32>(py, &outputs),
    }
}

/// Sample weights whose array has been found.
enum HeldWeight<'a, 'py> {
    None,
    Number(f64),
    Array(Held<'a, 'py>),
}

impl<'a, 'py> HeldWeight<'a, 'py> {
    fn new(weight: Option<&'a Bound<'py, PyAny>>) -> PyResult<Self> {
        let Some(weight) = weight else { return Ok(Self::None) };
        if weight.is_instance_of::<PyFloat>() || weight.is_instance_of::<PyInt>() || is_scalar(weight) {
            return Ok(Self::Number(number(WEIGHT, "a number or an array", weight)?));
        }
        Ok(Self::Array(Held::new(WEIGHT, weight)?))
    }
}

/// Sample weights as they were admitted: a number, or an array and the strides with which it broadcasts.
enum SampleWeight<'b, 'py> {
    None,
    Number(f64),
    Array(Array<'b, 'py>, Vec<isize>),
}

impl<'b, 'py> SampleWeight<'b, 'py> {
    fn read(held: &'b HeldWeight<'_, 'py>, logits: &Array<'_, '_>) -> PyResult<Self> {
        Ok(match held {
            HeldWeight::None => Self::None,
            HeldWeight::Number(number) => Self::Number(*number),
            HeldWeight::Array(held) => {
                let array = Array::read(WEIGHT, held)?;
                let strides = array.broadcast_to(logits)?;
                Self::Array(array, strides)
            }
        })
    }

    fn array(&self) -> Option<&Array<'b, 'py>> {
        match self {
            Self::Array(array, _) => Some(array),
            Self::None | Self::Number(_) => None,
        }
    }

    fn source(&self) -> Option<Source<f64>> {
        match self {
            Self::None => None,
            Self::Number(number) => Some(Source::Constant(*number)),
            Self::Array(array, _) => Some(Source::numbers(array.data, array.dtype)),
        }
    }
}

/// A call whose arguments have been admitted.
struct Call<'b, 'py> {
    loss: &'b SigmoidFocalLoss,
    wanted: Wanted,
    logits: Array<'b, 'py>,
    targets: Array<'b, 'py>,
    weight: SampleWeight<'b, 'py>,
}

/// Arrays to fill: losses, gradient, Hessian.
type Outputs<'b, 'py> = [Option<Array<'b, 'py>>; 3];

impl<'py> Call<'_, 'py> {
    /// Computes in `R`.
    fn run<R: Real + Scales>(&self, py: Python<'py>, given: &Outputs<'_, 'py>) -> PyResult<Results<'py>> {
        let &Self { loss, wanted, .. } = self;
        let len = self.logits.len();
        // What there is to fill, made where it was not given.
        let mut results: [Option<Bound<'py, PyAny>>; 3] = [const { None }; 3];
        for ((slot, wanted), given) in results.iter_mut().zip(wanted.arrays(loss.reduction())).zip(given) {
            if wanted {
                let array = given.as_ref().map(|array| Ok(array.object.clone()));
                *slot = Some(array.unwrap_or_else(|| self.logits.allocate_like())?);
            }
        }
        let mut outputs: Outputs<'_, 'py> = [const { None }; 3];
        for (slot, result) in outputs.iter_mut().zip(&results) {
            *slot = result.as_ref().map(|result| Array::made("a result", result)).transpose()?;
        }
        let mut job = self.job::<R>(&outputs);
        let denominator = match (loss.reduction(), loss.normalizer()) {
            (Reduction::None | Reduction::Sum, _) => 1.0,
            (Reduction::Mean, Normalizer::Count) => len as f64,
            (Reduction::Mean, Normalizer::Constant(number)) => number,
            (Reduction::Mean, Normalizer::Weights) => weights_of(py, &job, loss.class_weights(), true)?,
            (Reduction::Mean, Normalizer::Positives) => weights_of(py, &job, [0.0, 1.0], false)?,
        };
        let sum = if denominator == 0.0 {
            // Nothing to average: 0, also where a logit is NaN.
            // SAFETY: as below.
            detached(py, len, |go_on| unsafe { exec::zero(isa(), &job, go_on) })?;
            0.0
        } else {
            let scale = scale_of(denominator / len as f64);
            job.classes = classes(loss, wanted, denominator, scale);
            job.constants = constants(loss, &job.classes);
            // SAFETY: all arrays were admitted or made. They are valid wherever the plan, made of their
            // shapes and strides, has elements, and overlap only where they are the same. They live as long
            // as the references that this call holds. Other threads must not write to them meanwhile: the
            // documentation asks that of callers.
            detached(py, len, |go_on| unsafe { exec::run(isa(), &job, go_on) })? / (denominator / scale)
        };
        let [value, grad, hess] = results;
        let float = || sum.into_pyobject(py).map(Bound::into_any);
        let value = match value {
            None if wanted.value => Some(float()?),
            value => value,
        };
        Ok(Results { value, grad, hess })
    }

    fn job<R: Real + Scales>(&self, outputs: &Outputs<'_, 'py>) -> Job<R> {
        let &Self { loss, wanted, ref logits, ref targets, ref weight } = self;
        let plan = self.plan(outputs);
        let arrays = [Some(logits), Some(targets), weight.array()]
            .into_iter()
            .chain(outputs.each_ref().map(Option::as_ref));
        let bytes: usize = arrays.flatten().map(|array| array.dtype.size()).sum();
        let large = bytes.saturating_mul(plan.len()) > cache::last_level();
        let target = |output: usize| {
            let array = outputs[output].as_ref()?;
            let streamed = large && plan.is_run(operand::VALUE + output, array.dtype.size());
            Some(Target::new(array.data, array.dtype, streamed))
        };
        // A class without weight needs the kernel that knows what 0 times an infinite loss is.
        let weightless = loss.class_weights().contains(&0.0).then_some(Source::Constant(1.0));
        let weights = weight.source().or(weightless);
        let classes = classes(loss, wanted, 1.0, 1.0);
        Job {
            logits: Source::numbers(logits.data, logits.dtype),
            targets: Source::labels(targets.data, targets.dtype),
            weights,
            kernel: kernel(loss.gamma(), wanted.outputs(), weights.is_some()),
            constants: constants(loss, &classes),
            classes,
            value: target(0),
            grad: target(1),
            hess: target(2),
            sum: wanted.value && loss.reduction() != Reduction::None,
            plan,
        }
    }

    /// The order of the elements, from the strides of all arrays.
    fn plan(&self, outputs: &Outputs<'_, 'py>) -> JobPlan {
        let Self { logits, targets, weight, .. } = self;
        let [value, grad, hess] = outputs.each_ref().map(Option::as_ref);
        let arrays = [Some(logits), Some(targets), weight.array(), value, grad, hess];
        let full = weight.array().is_none_or(|weight| weight.shape == logits.shape);
        let every =
            |holds: fn(&Array<'_, '_>) -> bool| full && arrays.iter().flatten().all(|array| holds(array));
        if every(|array| array.is_c()) || every(|array| array.is_fortran()) {
            let sizes = arrays.map(|array| array.map_or(0, |array| array.dtype.size() as isize));
            return Plan::contiguous(logits.len(), sizes, TILE);
        }
        let shape: Vec<usize> = logits.shape.iter().map(|&len| len as usize).collect();
        let mut strides = arrays.map(|array| array.map_or(&[][..], |array| array.strides));
        if let SampleWeight::Array(_, broadcast) = weight {
            strides[operand::WEIGHTS] = broadcast;
        }
        Plan::new(&shape, strides, TILE)
    }
}

/// The outputs that were given, checked against the result.
fn admit_outputs<'a, 'py>(
    loss: &SigmoidFocalLoss,
    wanted: Wanted,
    arguments: &Arguments<'a, 'py>,
    logits: &Array<'_, '_>,
) -> PyResult<Outputs<'a, 'py>> {
    let given = [arguments.value_out, arguments.grad_out, arguments.hess_out];
    let mut admitted = [const { None }; 3];
    for ((slot, (name, out)), is_array) in admitted.iter_mut().zip(given).zip(wanted.arrays(loss.reduction()))
    {
        let Some(out) = out else { continue };
        if !is_array {
            let got =
                format!("an array where reduction={:?} makes the value a float", loss.reduction().name());
            return Err(Error::value(name, got, "None unless the result is an array").into());
        }
        *slot = Some(Array::output(name, logits, out)?);
    }
    Ok(admitted)
}

impl Wanted {
    /// The kernel's outputs.
    fn outputs(self) -> u8 {
        let value = if self.value { output::VALUE } else { 0 };
        let grad = if self.grad { output::GRAD } else { 0 };
        let hess = match self.hess {
            None => 0,
            Some(Hessian::Exact) => output::CURVATURE,
            Some(Hessian::GaussNewton | Hessian::Upper) => output::GAUSS_NEWTON,
        };
        value | grad | hess
    }

    /// Which arrays the call fills: losses, gradient, Hessian.
    fn arrays(self, reduction: Reduction) -> [bool; 3] {
        [self.value && reduction == Reduction::None, self.grad, self.hess.is_some()]
    }
}

/// What multiplies losses, gradient and Hessian of negatives and of positives. Derivatives are divided at once; losses
/// after they are added up, but for `scale`, a power of two that keeps what the losses are multiplied with in range.
fn classes(loss: &SigmoidFocalLoss, wanted: Wanted, denominator: f64, scale: f64) -> [[f64; 2]; 3] {
    let classes = loss.class_weights();
    let [negative, positive] = classes.map(|weight| weight / denominator);
    let bound = if wanted.hess == Some(Hessian::Upper) { 1.0 + loss.gamma() } else { 1.0 };
    // The margin of a positive grows with its logit, that of a negative falls.
    [classes.map(|weight| weight / scale), [negative, 0.0 - positive], [negative * bound, positive * bound]]
}

fn constants<R: Real>(loss: &SigmoidFocalLoss, classes: &[[f64; 2]; 3]) -> Constants<R> {
    let [value, grad, hess] = classes.map(Weights::new);
    Constants { gamma: Gamma::new(loss.gamma()), value, grad, hess }
}

/// A power of two near the size of typical weights, if that is far from 1; else 1.
fn scale_of(weight: f64) -> f64 {
    // 2^-40 to 2^40
    const ORDINARY: std::ops::Range<f64> = 1.0 / (1_u64 << 40) as f64..(1_u64 << 40) as f64;
    let power = f64::from_bits(weight.to_bits() & f64::INFINITY.to_bits());
    if power.is_normal() && !ORDINARY.contains(&power) { power } else { 1.0 }
}

/// Every output against every input and against the other outputs.
fn check_overlaps(outputs: &Outputs<'_, '_>, inputs: &[Option<&Array<'_, '_>>]) -> PyResult<()> {
    for (i, output) in outputs.iter().enumerate() {
        let Some(output) = output else { continue };
        for input in inputs.iter().flatten() {
            output.check_overlap(input)?;
        }
        for other in outputs[..i].iter().flatten() {
            output.check_disjoint(other)?;
        }
    }
    Ok(())
}

/// The sum of the weights that targets and (if wanted) samples give.
fn weights_of<R: Real>(py: Python<'_>, job: &Job<R>, classes: [f64; 2], samples: bool) -> PyResult<f64> {
    // SAFETY: as where the job is run.
    detached(py, job.plan.len(), |go_on| unsafe { exec::sum_weights(isa(), job, classes, samples, go_on) })
}

/// Runs work without the interpreter if it is long, looking up for signals now and then.
fn detached<T: Send>(
    py: Python<'_>,
    len: usize,
    work: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, Stop> + Send,
) -> PyResult<T> {
    let mut raised = None;
    let result = if len < RELEASE {
        work(&mut || true)
    } else {
        let raised = &mut raised;
        py.detach(|| {
            work(&mut || match Python::attach(|py| py.check_signals()) {
                Ok(()) => true,
                Err(error) => {
                    *raised = Some(error);
                    false
                }
            })
        })
    };
    match (result, raised) {
        (_, Some(error)) => Err(error),
        (Ok(result), None) => Ok(result),
        (Err(Stop::Failed(error)), None) => Err(error.into()),
        (Err(Stop::Interrupted), None) => Err(pyo3::exceptions::PyKeyboardInterrupt::new_err(())),
    }
}
