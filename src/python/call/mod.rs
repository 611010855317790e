//! One call: from arguments to a job for the core, and back to results.
//!
//! Everything is checked before anything is written. Long jobs run without the interpreter.

mod admit;
mod indices;
mod run;
mod sigmoid;
mod single;
mod softmax;
mod weights;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::kernel::exact::ExactSum;
use crate::params::{Hessian, Reduction};
pub use sigmoid::{
    evaluate as evaluate_sigmoid, exact_denominator as exact_denominator_sigmoid,
    exact_sums as exact_sums_sigmoid, piece as piece_sigmoid,
};
pub use softmax::{
    evaluate as evaluate_softmax, exact_denominator as exact_denominator_softmax,
    exact_sums as exact_sums_softmax, piece as piece_softmax,
};

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

impl Wanted {
    /// Which arrays the call fills: losses, gradient, Hessian.
    fn arrays(self, reduction: Reduction) -> [bool; 3] {
        [self.value && !reduction.is_number(), self.grad, self.hess.is_some()]
    }

    /// Whether the losses are added up.
    fn sums(self, reduction: Reduction) -> bool {
        self.value && reduction.is_number()
    }
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

impl<'a, 'py> Arguments<'a, 'py> {
    /// Names and arrays for losses, gradient and Hessian.
    fn outputs(&self) -> [(&'static str, Option<&'a Bound<'py, PyAny>>); 3] {
        [self.value_out, self.grad_out, self.hess_out]
    }
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

/// The whole that a call's arrays are a piece of.
#[derive(Clone, Copy)]
pub struct Whole {
    /// Its loss; looked at where the denominator depends on the logits.
    pub value: f64,
    /// What its loss divides by.
    pub denominator: f64,
}

/// The results of a piece: the exact sum of its losses, where it was wanted, and derivatives of the whole's loss.
pub type Piece<'py> = (ExactSum, Results<'py>);

/// The arguments that every call has.
pub fn arguments<'a, 'py>(
    logits: &'a Bound<'py, PyAny>,
    targets: &'a Bound<'py, PyAny>,
    sample_weight: Option<&'a Bound<'py, PyAny>>,
) -> Arguments<'a, 'py> {
    Arguments {
        logits_name: "logits",
        logits,
        targets,
        sample_weight,
        value_out: ("out", None),
        grad_out: ("grad_out", None),
        hess_out: ("hess_out", None),
    }
}

/// A result that was asked for is not there.
pub fn missing() -> PyErr {
    PyRuntimeError::new_err("a result is missing; this is a defect of focalgrad")
}
