//! The losses: one file for each formula, one for each set of parameters.

pub mod factor;
pub mod focal;
pub mod probability;
mod sigmoid;
pub mod soft;
pub mod softmax;

pub use sigmoid::{Hessian, Normalizer, Reduction, SigmoidFocalLoss};
