//! The kernels of each element type, compiled with this crate.
//!
//! A generic function is compiled again in every program that calls it. There are hundreds of kernels,
//! so tests, benches and examples take them from here; a function that was inlined over there would bring
//! its kernels along.

use super::elementwise::{TileKernel, kernel, kernel_of_gammas};
use super::output::Set;
use super::soft::{self, SoftKernel};
use crate::loss::focal::Scales;
use crate::params::SoftTargets;
use crate::real::Real;

/// An element type with compiled kernels.
pub trait Compiled: Real + Scales {
    /// As [`kernel`].
    fn kernel(gamma: f64, outputs: Set) -> TileKernel<Self>;
    /// As [`kernel_of_gammas`].
    fn kernel_of_gammas(outputs: Set) -> TileKernel<Self>;
    /// As [`soft::kernel`].
    fn soft_kernel(meaning: SoftTargets, probabilities: bool) -> SoftKernel<Self>;
}

impl Compiled for f32 {
    fn kernel(gamma: f64, outputs: Set) -> TileKernel<f32> {
        kernel(gamma, outputs)
    }

    fn kernel_of_gammas(outputs: Set) -> TileKernel<f32> {
        kernel_of_gammas(outputs)
    }

    #[inline(never)]
    fn soft_kernel(meaning: SoftTargets, probabilities: bool) -> SoftKernel<f32> {
        soft::kernel(meaning, probabilities)
    }
}

impl Compiled for f64 {
    fn kernel(gamma: f64, outputs: Set) -> TileKernel<f64> {
        kernel(gamma, outputs)
    }

    fn kernel_of_gammas(outputs: Set) -> TileKernel<f64> {
        kernel_of_gammas(outputs)
    }

    #[inline(never)]
    fn soft_kernel(meaning: SoftTargets, probabilities: bool) -> SoftKernel<f64> {
        soft::kernel(meaning, probabilities)
    }
}
