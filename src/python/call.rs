//! One call: from admitted arrays to a job for the core, and back to results.
//!
//! Everything is checked before anything is written. Long jobs run without the interpreter.

use pyo3::prelude::*;

use super::array::{Array, allocate};
use super::number::number;
use super::runtime::isa;
use crate::cache;
use crate::error::Error;
use crate::exec::{self, Job, Stop, Target};
use crate::kernel::elementwise::{Constants, Weights, kernel, output};
use crate::kernel::tile::{DType, Source};
use crate::loss::focal::{Gamma, Scales};
use crate::loss::{Hessian, Normalizer, Reduction, SigmoidFocalLoss};
use crate::real::Real;

const LOGITS: [DType; 2] = [DType::Float32, DType::Float64];
const TARGETS: [DType; 4] = [DType::Bool, DType::UInt8, DType::Float32, DType::Float64];

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
    let logits = Array::admit(arguments.logits_name, &LOGITS, arguments.logits)?;
    match logits.dtype {
        DType::Float64 => Call::<f64>::admit(loss, wanted, arguments, logits)?.run(py),
        _ => Call::<f32>::admit(loss, wanted, arguments, logits)?.run(py),
    }
}

/// Sample weights as they were admitted.
enum SampleWeight<'a, 'py> {
    None,
    Number(f64),
    Array(Array<'a, 'py>),
}

/// A call whose arguments have been admitted, computed in `R`.
struct Call<'a, 'py, R> {
    loss: &'a SigmoidFocalLoss,
    wanted: Wanted,
    logits: Array<'a, 'py>,
    targets: Source<R>,
    sample_weight: Option<Source<R>>,
    /// Arrays to fill: losses, gradient, Hessian.
    outputs: [Option<Array<'a, 'py>>; 3],
    /// Bytes of an element of all arrays together.
    bytes: usize,
}

impl<'a, 'py, R: Real + Scales> Call<'a, 'py, R> {
    fn admit(
        loss: &'a SigmoidFocalLoss,
        wanted: Wanted,
        arguments: &Arguments<'a, 'py>,
        logits: Array<'a, 'py>,
    ) -> PyResult<Self> {
        let targets = Array::admit("targets", &TARGETS, arguments.targets)?;
        targets.check_shape(&logits)?;
        let weight = admit_weight(arguments.sample_weight, &logits)?;
        let returned = |out: (&'static str, _), is_array: bool| match out {
            (name, Some(_)) if !is_array => {
                let got =
                    format!("an array where reduction={:?} makes the value a float", loss.reduction().name());
                Err(Error::value(name, got, "None unless the result is an array"))
            }
            out => Ok(out),
        };
        let outputs = [
            returned(arguments.value_out, wanted.value && loss.reduction() == Reduction::None)?,
            arguments.grad_out,
            arguments.hess_out,
        ];
        let mut admitted = [const { None }; 3];
        for (slot, (name, out)) in admitted.iter_mut().zip(outputs) {
            if let Some(out) = out {
                *slot = Some(Array::admit_output(name, logits.dtype, logits.shape, out)?);
            }
        }
        check_overlaps(&admitted, &[Some(&logits), Some(&targets), weight.array()])?;
        let size = |weight: &Array<'_, '_>| weight.dtype.size();
        let bytes = logits.dtype.size() * (1 + wanted.arrays(loss.reduction()))
            + targets.dtype.size()
            + weight.array().map_or(0, size);
        Ok(Self {
            loss,
            wanted,
            targets: source(&targets, Source::Labels),
            sample_weight: weight.source(),
            outputs: admitted,
            logits,
            bytes,
        })
    }

    fn run(self, py: Python<'py>) -> PyResult<Results<'py>> {
        let Self { loss, wanted, logits, targets, sample_weight, outputs, bytes } = self;
        let len = logits.len();
        let arrays =
            [wanted.value && loss.reduction() == Reduction::None, wanted.grad, wanted.hess.is_some()];
        let mut made: [Option<(Bound<'py, PyAny>, *mut u8)>; 3] = [const { None }; 3];
        for ((slot, wanted), given) in made.iter_mut().zip(arrays).zip(outputs) {
            if wanted {
                *slot = Some(match given {
                    Some(array) => (array.object.clone(), array.data),
                    None => allocate(py, logits.dtype, logits.shape)?,
                });
            }
        }
        let streamed = bytes.saturating_mul(len) > cache::last_level();
        let target =
            |i: usize| made[i].as_ref().map(|&(_, data)| Target { array: data.cast::<R>(), streamed });
        let mut job = Job {
            len,
            logits: source(&logits, Source::Convert),
            targets,
            weights: sample_weight,
            kernel: kernel(loss.gamma(), wanted.outputs(), sample_weight.is_some()),
            constants: constants(loss, wanted, 1.0),
            value: target(0),
            grad: target(1),
            hess: target(2),
            sum: wanted.value && loss.reduction() != Reduction::None,
        };
        let denominator = match (loss.reduction(), loss.normalizer()) {
            (Reduction::None | Reduction::Sum, _) => 1.0,
            (Reduction::Mean, Normalizer::Count) => len as f64,
            (Reduction::Mean, Normalizer::Constant(number)) => number,
            (Reduction::Mean, Normalizer::Weights) => weights_of(py, &job, loss.class_weights())?,
            (Reduction::Mean, Normalizer::Positives) => {
                weights_of(py, &Job { weights: None, ..job }, [0.0, 1.0])?
            }
        };
        let sum = if denominator == 0.0 {
            // Nothing to average: 0, also where a logit is NaN.
            for (_, data) in made.iter().flatten() {
                // SAFETY: an output holds `len` elements, and all its bits zero are zeros.
                unsafe { data.write_bytes(0, len * size_of::<R>()) };
            }
            0.0
        } else {
            job.constants = constants(loss, wanted, denominator);
            // SAFETY: all arrays were admitted: they hold `len` elements, are aligned, and overlap only
            // where they are the same. They live as long as the references that this call holds.
            // Other threads must not write to them meanwhile: the documentation asks that of callers.
            detached(py, len, |go_on| unsafe { exec::run(isa(), &job, go_on) })? / denominator
        };
        let [value, grad, hess] = made.map(|slot| slot.map(|(array, _)| array));
        let float = || sum.into_pyobject(py).map(Bound::into_any);
        let value = match value {
            None if wanted.value => Some(float()?),
            value => value,
        };
        Ok(Results { value, grad, hess })
    }
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

    /// Number of arrays that the call fills.
    fn arrays(self, reduction: Reduction) -> usize {
        usize::from(self.value && reduction == Reduction::None)
            + usize::from(self.grad)
            + usize::from(self.hess.is_some())
    }
}

/// The kernel's constants. The losses are divided after they are added up, derivatives at once.
fn constants<R: Real>(loss: &SigmoidFocalLoss, wanted: Wanted, denominator: f64) -> Constants<R> {
    let classes = loss.class_weights();
    let [negative, positive] = classes.map(|weight| weight / denominator);
    let bound = if wanted.hess == Some(Hessian::Upper) { 1.0 + loss.gamma() } else { 1.0 };
    Constants {
        gamma: Gamma::new(loss.gamma()),
        value: Weights::new(classes),
        // The margin of a positive grows with its logit, that of a negative falls.
        grad: Weights::new([negative, 0.0 - positive]),
        hess: Weights::new([negative * bound, positive * bound]),
    }
}

impl<'a, 'py> SampleWeight<'a, 'py> {
    fn array(&self) -> Option<&Array<'a, 'py>> {
        match self {
            Self::Array(array) => Some(array),
            Self::None | Self::Number(_) => None,
        }
    }

    fn source<R: Real>(&self) -> Option<Source<R>> {
        match self {
            Self::None => None,
            Self::Number(number) => Some(Source::Constant(R::from_f64(*number))),
            Self::Array(array) => Some(source(array, Source::Convert)),
        }
    }
}

fn admit_weight<'a, 'py>(
    weight: Option<&'a Bound<'py, PyAny>>,
    logits: &Array<'_, '_>,
) -> PyResult<SampleWeight<'a, 'py>> {
    const NAME: &str = "sample_weight";
    let Some(weight) = weight else {
        return Ok(SampleWeight::None);
    };
    let dimensions = weight.getattr_opt("ndim")?.map(|ndim| ndim.extract::<usize>()).transpose()?;
    if dimensions.unwrap_or(0) == 0 {
        let takes = "a number or a C-contiguous NumPy array of dtype float32, float64 and the logits' shape";
        return Ok(SampleWeight::Number(number(NAME, takes, weight)?));
    }
    let array = Array::admit(NAME, &LOGITS, weight)?;
    array.check_shape(logits)?;
    Ok(SampleWeight::Array(array))
}

/// Every output against every input and against the other outputs.
fn check_overlaps(outputs: &[Option<Array<'_, '_>>; 3], inputs: &[Option<&Array<'_, '_>>]) -> PyResult<()> {
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

/// An array as a kernel's operand: as it is, or by `convert`.
fn source<R: Real>(array: &Array<'_, '_>, convert: fn(*const u8, DType) -> Source<R>) -> Source<R> {
    if array.dtype == R::DTYPE { Source::Direct(array.data.cast()) } else { convert(array.data, array.dtype) }
}

/// The sum of the weights that targets and samples give.
fn weights_of<R: Real>(py: Python<'_>, job: &Job<R>, classes: [f64; 2]) -> PyResult<f64> {
    // SAFETY: as where the job is run.
    detached(py, job.len, |go_on| unsafe { exec::sum_weights(isa(), job, classes, go_on) })
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
