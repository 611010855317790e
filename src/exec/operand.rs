//! The arrays and lists of a job, by their numbers in its plan.

/// Logits.
pub const LOGITS: usize = 0;
/// Targets.
pub const TARGETS: usize = 1;
/// Sample weights.
pub const SAMPLES: usize = 2;
/// Lists of float64 by class.
pub const CLASSES: usize = 3;
/// Lists of the kernel's type, by class or along the one axis that sample weights vary along.
pub const LISTS: usize = 4;
/// The losses.
pub const VALUE: usize = 5;
/// The gradient.
pub const GRAD: usize = 6;
/// The Hessian.
pub const HESS: usize = 7;
/// How many there are.
pub const COUNT: usize = 8;
