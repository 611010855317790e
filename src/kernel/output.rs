//! The results that a kernel is asked for, as bits of a set: `VALUE | GRAD` asks for both.

/// The loss.
pub const VALUE: u8 = 1;
/// Its gradient.
pub const GRAD: u8 = 2;
/// The exact Hessian.
pub const CURVATURE: u8 = 4;
/// The Gauss-Newton Hessian.
pub const GAUSS_NEWTON: u8 = 8;
