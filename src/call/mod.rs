//! One call: a loss, arrays and what is wanted become jobs for the processor, and sums come back.
//!
//! [`evaluate`] is all that a program needs:
//!
//! ```
//! use focalgrad::array::{Output, Shape, View};
//! use focalgrad::call::{Inputs, Outputs, SampleWeight, Wanted, evaluate};
//! use focalgrad::params::SigmoidFocalLoss;
//!
//! let loss = SigmoidFocalLoss::default().check()?;
//! let shape = Shape::new(&[3], size_of::<f64>());
//! let inputs = Inputs {
//!     logits: View::of("logits", &[2.0_f64, -1.0, 0.5], &shape),
//!     targets: View::of("targets", &[1.0_f64, 0.0, 0.0], &shape),
//!     sample_weight: SampleWeight::None,
//! };
//! let mut grad = [0.0_f64; 3];
//! let outputs = Outputs { grad: Some(Output::of("grad", &mut grad, &shape)), ..Outputs::default() };
//! let value = evaluate(&loss, Wanted::ValueAndGrad, inputs, outputs)?;
//! assert!((value - 0.100168).abs() < 1e-6 && (grad[2] - 0.131538).abs() < 1e-6);
//! # Ok::<(), focalgrad::error::Error>(())
//! ```
//!
//! What wants to allocate results between the checks and the work, or to be asked now and then whether to go on,
//! takes the same steps one by one: [`Call::new`] checks the inputs, [`Call::check_outputs`] the outputs,
//! [`Call::check_indices`] looks at class indices, [`Call::run`] computes. Everything is checked before anything is written.
//!
//! | file | question it answers |
//! |---|---|
//! | `admit` | which arrays belong together? |
//! | `indices` | which class index is none? |
//! | `denominator` | what does a mean divide by, and what is it where that is 0? |
//! | `mean` | which walks over the elements make a result? |
//! | `sigmoid`, `softmax` | how does a walk of that loss look? |
//! | `sum_classes` | how are losses added up over the classes? |
//! | [`posterior`] | which posteriors do scores stand for? |
//! | `weights` | what multiplies the results of the sigmoid focal loss? |
//! | `small` | the short way of a few elements |

mod admit;
mod denominator;
pub(crate) mod indices;
mod mean;
pub mod posterior;
mod sigmoid;
pub mod small;
mod softmax;
mod sum_classes;
mod weights;

use crate::array::{Output, View};
use crate::error::Error;
use crate::exec::Stop;
use crate::kernel::exact::ExactSum;
use crate::kernel::output::Set;
use crate::params::{Hessian, Reduction};
use crate::simd::{AnyIsa, in_default_mode};

use admit::Admitted;
pub(crate) use admit::check_overlaps;
pub use mean::{Loss, Whole};

/// The most classes: lists by class must fit the memory also where the logits are one number, broadcast.
pub const MOST_CLASSES: usize = 1 << 27;

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The loss alone.
    Value,
    /// Its gradient alone.
    Grad,
    /// Both.
    ValueAndGrad,
    /// Gradient and Hessian.
    GradAndHess(Hessian),
}

impl Wanted {
    /// Whether the loss is wanted.
    pub fn value(self) -> bool {
        matches!(self, Self::Value | Self::ValueAndGrad)
    }

    /// Which Hessian is wanted.
    pub fn hess(self) -> Option<Hessian> {
        match self {
            Self::GradAndHess(hessian) => Some(hessian),
            Self::Value | Self::Grad | Self::ValueAndGrad => None,
        }
    }

    /// What is wanted but for the loss, if that is anything.
    pub(crate) fn derivatives(self) -> Option<Self> {
        match self {
            Self::Value => None,
            Self::Grad | Self::ValueAndGrad => Some(Self::Grad),
            Self::GradAndHess(_) => Some(self),
        }
    }

    /// Which arrays the call fills: losses, gradient, Hessian.
    pub fn arrays(self, reduction: Reduction) -> [bool; 3] {
        [self.value() && !reduction.is_number(), self != Self::Value, self.hess().is_some()]
    }

    /// Whether the losses are added up.
    pub(crate) fn sums(self, reduction: Reduction) -> bool {
        self.value() && reduction.is_number()
    }

    /// The results as kernels know them.
    pub(crate) fn set(self) -> Set {
        match self {
            Self::Value => Set::Value,
            Self::Grad => Set::Grad,
            Self::ValueAndGrad => Set::ValueAndGrad,
            Self::GradAndHess(Hessian::Exact) => Set::GradAndCurvature,
            Self::GradAndHess(Hessian::GaussNewton | Hessian::Upper) => Set::GradAndGaussNewton,
        }
    }
}

/// What multiplies the losses of samples.
#[derive(Clone, Copy, Debug, Default)]
pub enum SampleWeight<'a> {
    /// Nothing.
    #[default]
    None,
    /// The same number for all.
    Number(f64),
    /// An array that broadcasts to the logits, or to the targets where these are classes or rows.
    Array(View<'a>),
}

/// What a call reads.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Logits, or probabilities.
    pub logits: View<'a>,
    /// A target for each logit, or class indices.
    pub targets: View<'a>,
    /// Weights of samples.
    pub sample_weight: SampleWeight<'a>,
}

/// What a call fills: results that are wanted but have no array are not computed.
#[derive(Debug, Default)]
pub struct Outputs<'a> {
    /// The losses, where they are not added up.
    pub value: Option<Output<'a>>,
    /// The gradient.
    pub grad: Option<Output<'a>>,
    /// The Hessian.
    pub hess: Option<Output<'a>>,
}

/// The arrays of losses, gradient and Hessian.
pub(crate) type Filled<'a> = [Option<View<'a>>; 3];

/// Evaluates a loss on the best instruction set of this processor: fills the outputs, and returns the sum or mean of
/// the losses (0 where they are an array, or not wanted).
///
/// # Errors
/// Everything that is refused: shapes, types, class indices and outputs that do not fit.
pub fn evaluate<L: Loss>(
    loss: &L,
    wanted: Wanted,
    inputs: Inputs<'_>,
    outputs: Outputs<'_>,
) -> Result<f64, Error> {
    evaluate_on(AnyIsa::available()[0], loss, wanted, inputs, outputs)
}

/// As [`evaluate`], on an instruction set of the caller's choice.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_on<L: Loss>(
    isa: AnyIsa,
    loss: &L,
    wanted: Wanted,
    inputs: Inputs<'_>,
    outputs: Outputs<'_>,
) -> Result<f64, Error> {
    let call = Call::new(isa, loss, wanted, inputs)?;
    let outputs = [outputs.value, outputs.grad, outputs.hess].map(|output| output.map(|Output(view)| view));
    call.check_outputs(&outputs)?;
    let is_array = wanted.arrays(loss.common().reduction);
    if let Some(missing) = (0..3).find(|&i| is_array[i] && outputs[i].is_none()) {
        let name = ["outputs.value", "outputs.grad", "outputs.hess"][missing];
        return Err(Error::value(name, "None", "an array, since it is wanted"));
    }
    // SAFETY: views are made of slices, or by somebody who vouches for them as if they were; they fit together, and
    // the outputs are borrowed for this call alone.
    let value = unsafe { call.check_indices(&mut || true).and_then(|()| call.run(outputs, &mut || true)) };
    match value {
        Ok(value) => Ok(value),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Interrupted) => Ok(f64::NAN),
    }
}

/// A call whose inputs belong together.
pub struct Call<'a, L> {
    isa: AnyIsa,
    loss: &'a L,
    wanted: Wanted,
    admitted: Admitted<'a>,
}

/// Asked now and then, on the calling thread, whether to go on.
pub(crate) type GoOn<'g> = &'g mut dyn FnMut() -> bool;

impl<'a, L: Loss> Call<'a, L> {
    /// Checks the inputs, but for the numbers in them.
    ///
    /// # Errors
    /// For what is refused.
    pub fn new(isa: AnyIsa, loss: &'a L, wanted: Wanted, inputs: Inputs<'a>) -> Result<Self, Error> {
        loss.check_wanted(wanted)?;
        let admitted = Admitted::new(inputs, loss.rules())?;
        admitted.check_classes(loss.listed_classes()?)?;
        let call = Self { isa, loss, wanted, admitted };
        L::check_call(&call)?;
        Ok(call)
    }

    /// Number of logits.
    pub fn len(&self) -> usize {
        self.admitted.logits.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The axis that losses have not, but logits have.
    pub fn value_axis(&self) -> Option<usize> {
        self.admitted.value_axis()
    }

    /// Which arrays the call fills: losses, gradient, Hessian.
    pub fn arrays(&self) -> [bool; 3] {
        self.wanted.arrays(self.loss.common().reduction)
    }

    /// Refuses an output of that name where the result is no array.
    ///
    /// # Errors
    /// If it is none.
    pub fn check_use(&self, output: usize, name: &'static str) -> Result<(), Error> {
        if self.arrays()[output] {
            return Ok(());
        }
        self.admitted.refuse_use(name)
    }

    /// Refuses an output (0 losses, 1 gradient, 2 Hessian) that is not as the result is.
    ///
    /// # Errors
    /// For one of another type or shape, and one that cannot be written.
    pub fn check_output(&self, output: usize, array: &View<'_>) -> Result<(), Error> {
        self.check_use(output, array.name)?;
        self.admitted.check_output(output, array)
    }

    /// Refuses outputs that are not as the results are, or share memory with what they must not.
    ///
    /// # Errors
    /// As [`check_output`](Self::check_output), and for two arrays that share memory.
    pub fn check_outputs(&self, outputs: &[Option<View<'_>>; 3]) -> Result<(), Error> {
        for (i, output) in outputs.iter().enumerate() {
            if let Some(output) = output {
                self.check_output(i, output)?;
            }
        }
        self.check_overlaps(outputs)
    }

    /// Refuses outputs that share memory with each other, or with an input that they are not exactly.
    ///
    /// # Errors
    /// Naming two.
    pub fn check_overlaps(&self, outputs: &[Option<View<'_>>; 3]) -> Result<(), Error> {
        check_overlaps(outputs, &self.admitted.inputs())
    }

    /// Refuses class indices that are none.
    ///
    /// # Errors
    /// Naming the first in C order; if it was stopped, or the threads could not be started.
    ///
    /// # Safety
    /// As [`run`](Self::run).
    pub unsafe fn check_indices(&self, go_on: GoOn<'_>) -> Result<(), Stop> {
        if !self.admitted.indices {
            return Ok(());
        }
        let Self { isa, loss, ref admitted, .. } = *self;
        // SAFETY: handed through from the caller.
        in_default_mode(|| unsafe {
            indices::check(isa, &admitted.targets, admitted.classes(), loss.special_indices(), go_on)
        })
    }

    /// Fills the outputs, and returns the sum or mean of the losses (0 where they are an array, or not wanted).
    ///
    /// # Errors
    /// If it was stopped, or the threads could not be started.
    ///
    /// # Safety
    /// All arrays must be valid wherever they have elements; class indices and outputs must have been checked. No other
    /// thread may write to the inputs, or touch the outputs, meanwhile.
    pub unsafe fn run(&self, outputs: [Option<View<'_>>; 3], go_on: GoOn<'_>) -> Result<f64, Stop> {
        // SAFETY: handed through from the caller.
        in_default_mode(|| unsafe {
            if self.admitted.computes_in_f64() {
                mean::run::<L, f64>(self, outputs, go_on)
            } else {
                mean::run::<L, f32>(self, outputs, go_on)
            }
        })
    }

    /// The exact sum of the losses, and that of what their mean divides by, where that is a sum.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Safety
    /// As [`run`](Self::run).
    pub unsafe fn exact_sums(&self, go_on: GoOn<'_>) -> Result<[ExactSum; 2], Stop> {
        // SAFETY: handed through from the caller.
        in_default_mode(|| unsafe {
            if self.admitted.computes_in_f64() {
                mean::exact_sums::<L, f64>(self, go_on)
            } else {
                mean::exact_sums::<L, f32>(self, go_on)
            }
        })
    }

    /// What the mean divides by, exactly, where that does not depend on the logits; else 0.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Safety
    /// As [`run`](Self::run).
    pub unsafe fn exact_denominator(&self, go_on: GoOn<'_>) -> Result<ExactSum, Stop> {
        // SAFETY: handed through from the caller.
        in_default_mode(|| unsafe { Ok(mean::exact_denominator(self, go_on)?.unwrap_or_default()) })
    }

    /// Fills the outputs, those of a whole's loss of which the arrays are a piece, and returns the exact sum of the
    /// piece's losses (0 where they are an array, or not wanted).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Safety
    /// As [`run`](Self::run).
    pub unsafe fn piece(
        &self,
        outputs: [Option<View<'_>>; 3],
        whole: Whole,
        go_on: GoOn<'_>,
    ) -> Result<ExactSum, Stop> {
        // SAFETY: handed through from the caller.
        in_default_mode(|| unsafe {
            if self.admitted.computes_in_f64() {
                mean::piece::<L, f64>(self, outputs, whole, go_on)
            } else {
                mean::piece::<L, f32>(self, outputs, whole, go_on)
            }
        })
    }
}
