//! Focal loss, its gradient and its diagonal Hessian over large arrays.
//!
//! The crate is the core of the Python package of the same name, and a library of its own: it knows arrays as pointers
//! with shapes and strides, and nothing of Python. [`call::evaluate`] computes everything that a loss has to offer:
//!
//! ```
//! use focalgrad::array::{Output, Shape, View};
//! use focalgrad::call::{Inputs, Outputs, SampleWeight, Wanted, evaluate};
//! use focalgrad::params::{Common, Parameter, Reduction, SoftmaxFocalLoss};
//!
//! // Two rows of three classes, their classes, and a weight for each row.
//! let logits = [2.0_f32, 0.5, -1.0, 0.0, 0.0, 0.0];
//! let classes = [0_i64, 2];
//! let weights = [1.0, 0.5];
//!
//! let common = Common { gamma: Parameter::Number(2.0), reduction: Reduction::Sum, ..Common::default() };
//! let loss = SoftmaxFocalLoss { common, ..SoftmaxFocalLoss::default() }.check()?;
//!
//! let table = Shape::new(&[2, 3], size_of::<f32>());
//! let rows = Shape::new(&[2], size_of::<i64>());
//! let inputs = Inputs {
//!     logits: View::of("logits", &logits, &table),
//!     targets: View::of("targets", &classes, &rows),
//!     sample_weight: SampleWeight::Array(View::of("weights", &weights, &rows)),
//! };
//! let mut grad = [0.0_f32; 6];
//! let outputs = Outputs { grad: Some(Output::of("grad", &mut grad, &table)), ..Outputs::default() };
//! let value = evaluate(&loss, Wanted::ValueAndGrad, inputs, outputs)?;
//!
//! assert!((value - 0.255229).abs() < 1e-6);
//! assert!((grad[0] + 0.027285).abs() < 1e-6 && (grad[5] + 0.310906).abs() < 1e-6);
//! # Ok::<(), focalgrad::error::Error>(())
//! ```
//!
//! Results have the same bits for any number of threads and on every instruction set with a fused multiply-add.
//!
//! The rooms of the house, from the inside out:
//!
//! | module | question it answers |
//! |---|---|
//! | [`element`] | which types do arrays hold, and how do they become those? |
//! | [`simd`] | what does an instruction set offer, and which one runs? ([`real`]: in which types?) |
//! | [`half`] | how do 16-bit floats become others? |
//! | [`math`] | how are exp, log1p and log computed? |
//! | [`params`] | which parameters has a loss, and what may they be? |
//! | [`loss`] | which formula? |
//! | [`array`] | what does the core see of an array? |
//! | [`kernel`] | how does a formula run over a tile of memory? |
//! | [`layout`] | in which order are elements visited, and where are they? |
//! | [`exec`] | how does a whole array become tiles, and where do sums meet? |
//! | [`call`] | what does a loss make of arrays: which walks over them, divided by what? |
//! | [`bins`] | from which elements do losses and gradients come? |
//! | [`cache`] | how much do the caches hold? |
//! | [`pool`] | where do threads come from? |
//! | [`error`] | what is refused, in which words? |
//!
//! The binding to Python is a folder of its own, compiled with the feature `python`.

pub mod array;
pub mod bins;
pub mod cache;
pub mod call;
pub mod element;
pub mod error;
pub mod exec;
pub mod half;
pub mod kernel;
pub mod layout;
pub mod loss;
pub mod math;
pub mod params;
pub mod pool;
pub mod simd;

pub use simd::real;

#[cfg(feature = "python")]
mod python;
