//! The types that arrays may hold, and how they become the types that kernels compute in.
//!
//! One list, in `dtype.rs`, names them. A new type is one [`Element`] and one line there.

mod dtype;
mod numbers;
#[cfg(test)]
mod tests;

pub use crate::half::{BFloat16, Float16};
use crate::real::Real;
use crate::simd::Isa;
pub use dtype::{DType, Narrow, Widen};
pub use numbers::Truth;

/// A number as an array holds it.
pub trait Element: Copy + Send + Sync + 'static {
    /// The nearest float32.
    fn to_f32(self) -> f32;

    /// The nearest float64.
    fn to_f64(self) -> f64;

    /// Converts a run of elements, which need not be aligned, to what a kernel computes in.
    ///
    /// # Safety
    /// The first pointer must be valid for reading, the second for writing that many elements.
    #[inline(always)]
    unsafe fn widen<I: Isa, R: Real>(_: I, source: *const Self, target: *mut R, len: usize) {
        // SAFETY: handed through from the caller.
        unsafe { widen_each(source, target, len) }
    }
}

/// A type whose slices are arrays.
pub trait Stored: Copy + Send + Sync + 'static {
    /// What arrays of it call it.
    const DTYPE: DType;
}

impl Stored for bool {
    const DTYPE: DType = DType::Bool;
}

/// As [`Element::widen`], by arithmetic alone.
#[inline(always)]
unsafe fn widen_each<E: Element, R: Real>(source: *const E, target: *mut R, len: usize) {
    for i in 0..len {
        // SAFETY: `i` is below the length for which the caller vouches.
        unsafe { target.add(i).write(convert(source.add(i).read_unaligned())) }
    }
}

/// The nearest number that a kernel computes with.
#[inline(always)]
fn convert<E: Element, R: Real>(x: E) -> R {
    match DType::of::<R>() {
        DType::Float32 => R::from_f32(x.to_f32()),
        _ => R::from_f64(x.to_f64()),
    }
}

/// A half type: storage only, float32 everywhere else.
pub trait Half: Element {
    /// The nearest number of this type, ties to even.
    fn from_f32(x: f32) -> Self;

    /// Rounds a run of results, to a place that need not be aligned.
    ///
    /// # Safety
    /// The first pointer must be valid for reading, the second for writing that many elements.
    #[inline(always)]
    unsafe fn narrow<I: Isa, R: Real>(_: I, source: *const R, target: *mut Self, len: usize) {
        // SAFETY: handed through from the caller.
        unsafe { narrow_each(source, target, len) }
    }
}

/// Storage only where results are computed in float64.
impl Half for f32 {
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }
}

/// As [`Half::narrow`], by arithmetic alone.
#[inline(always)]
unsafe fn narrow_each<H: Half, R: Real>(source: *const R, target: *mut H, len: usize) {
    for i in 0..len {
        // SAFETY: `i` is below the length for which the caller vouches.
        unsafe { target.add(i).write_unaligned(H::from_f32(source.add(i).read().to_f64() as f32)) }
    }
}
