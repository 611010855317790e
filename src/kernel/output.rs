//! The results that a kernel is asked for: the [`Set`]s that there are, and bits for what is in one.

/// The loss.
pub const VALUE: u8 = 1;
/// Its gradient.
pub const GRAD: u8 = 2;
/// The exact Hessian.
pub const CURVATURE: u8 = 4;
/// The Gauss-Newton Hessian.
pub const GAUSS_NEWTON: u8 = 8;

/// A set of results that calls ask for together. Kernels are compiled for these, and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// The loss alone.
    Value,
    /// Its gradient alone.
    Grad,
    /// Both.
    ValueAndGrad,
    /// The gradient and the exact Hessian.
    GradAndCurvature,
    /// The gradient and the Gauss-Newton Hessian.
    GradAndGaussNewton,
}

impl Set {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Value, Self::Grad, Self::ValueAndGrad, Self::GradAndCurvature, Self::GradAndGaussNewton];

    /// A bit for each result: `VALUE | GRAD` for both.
    #[inline(always)]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Value => VALUE,
            Self::Grad => GRAD,
            Self::ValueAndGrad => VALUE | GRAD,
            Self::GradAndCurvature => GRAD | CURVATURE,
            Self::GradAndGaussNewton => GRAD | GAUSS_NEWTON,
        }
    }

    /// Whether one of these results is in the set.
    #[inline(always)]
    pub const fn has(self, results: u8) -> bool {
        self.bits() & results != 0
    }
}
