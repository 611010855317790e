//! The losses: one file for each formula, one for each set of parameters.

pub mod focal;
mod sigmoid;
pub mod softmax;
pub mod softmax_dense;
pub mod softmax_probability;
pub mod softmax_sigmoid;

pub use sigmoid::{Hessian, Normalizer, Reduction, SigmoidFocalLoss};
