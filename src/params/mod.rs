//! The parameters of the losses: what they may be, checked once, and how a loss with them is written.

mod common;
pub mod options;
mod sigmoid;
mod softmax;
mod values;

pub use common::Common;
pub use options::{Hessian, Modulator, Normalizer, Reduction, SoftTargets};
pub use sigmoid::SigmoidFocalLoss;
pub use softmax::SoftmaxFocalLoss;
pub use values::{Label, Parameter};
