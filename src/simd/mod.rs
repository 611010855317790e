//! The thin SIMD layer: what an instruction set has to offer the kernels, and nothing else.
//!
//! Three traits carry it:
//!
//! * [`Isa`]: a zero-size token. Holding one proves that the processor runs the instruction set, so
//!   everything made from it is safe to call.
//! * [`Vector`]: a group of lanes. Kernels and mathematics are written once, generic over it.
//! * [`Kernel`]: a piece of work that is compiled once for every instruction set.
//!
//! One list, at the end of this file, names the instruction sets. Dispatch, tests, benches and the
//! configuration report all expand from it.
//!
//! # Equal bits
//!
//! Every set but `portable` has a fused multiply-add and a true division, and no set uses an
//! approximate instruction. The same source therefore gives the same bits on all of them.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::error::Error;
use crate::half::Float16;

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
mod mode;
#[cfg(target_arch = "aarch64")]
pub mod neon;
mod pair;
pub mod portable;
pub mod real;
mod stream;
mod transpose;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use mode::in_default_mode;
pub use pair::Pair;
pub use real::Real;
pub use stream::{fence, stream};
pub use transpose::transpose;

/// A proof that the processor at hand runs an instruction set.
pub trait Isa: Copy + Send + Sync + 'static {
    /// The group of float32 lanes that kernels work on: as many vectors as hide the latency.
    type F32: Vector<Isa = Self, Real = f32>;
    /// The group of float64 lanes that kernels work on.
    type F64: Vector<Isa = Self, Real = f64>;
    /// A shorter group of float32 lanes, for work along rows: their number divides 32.
    type RowF32: Vector<Isa = Self, Real = f32>;
    /// A shorter group of float64 lanes, for work along rows: their number divides 16.
    type RowF64: Vector<Isa = Self, Real = f64>;
    /// One vector of float32 lanes, for work that moves numbers.
    type OneF32: Pick<Isa = Self, Real = f32>;
    /// One vector of float64 lanes.
    type OneF64: Pick<Isa = Self, Real = f64>;

    /// The name that users see and that `FOCALGRAD_ISA` takes.
    const NAME: &'static str;

    /// How many float16 numbers are converted at once: one where there is no instruction for more.
    const HALVES: usize = 1;

    /// The token, if the processor runs this instruction set.
    fn detect() -> Option<Self>;

    /// Runs a kernel compiled for this instruction set.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;

    /// Converts [`HALVES`](Self::HALVES) float16 numbers to float32.
    ///
    /// # Safety
    /// Both pointers must be valid for as many numbers; neither need be aligned.
    #[inline(always)]
    unsafe fn widen_halves(self, source: *const Float16, target: *mut f32) {
        // SAFETY: handed through from the caller.
        unsafe { target.write_unaligned(source.read_unaligned().to_f32()) }
    }

    /// Rounds [`HALVES`](Self::HALVES) float32 numbers to float16: to nearest, ties to even.
    ///
    /// # Safety
    /// As [`Self::widen_halves`].
    #[inline(always)]
    unsafe fn narrow_halves(self, source: *const f32, target: *mut Float16) {
        // SAFETY: handed through from the caller.
        unsafe { target.write_unaligned(Float16::from_f32(source.read_unaligned())) }
    }
}

/// Work that is compiled once for every instruction set.
///
/// `run` and all that it calls must be `#[inline(always)]`: only code that ends up inside
/// [`Isa::vectorize`] is compiled with the instructions of the set.
pub trait Kernel {
    /// What the work gives back.
    type Output;

    /// Does the work with the instructions that `isa` stands for.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// A group of lanes of one element type.
///
/// Arithmetic rounds to nearest, ties to even. Comparisons with NaN are false.
pub trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// The instruction set that the vector belongs to.
    type Isa: Isa;
    /// The type of one lane.
    type Real: Real;
    /// One truth value a lane.
    type Mask: Copy;

    /// Number of lanes.
    const LANES: usize;

    /// The token that this vector was made with.
    fn isa(self) -> Self::Isa;

    /// All lanes equal to `x`.
    fn splat(isa: Self::Isa, x: Self::Real) -> Self;

    /// Reads `LANES` elements.
    ///
    /// # Safety
    /// `source` must be valid for reading `LANES` elements. It need not be aligned beyond the element.
    unsafe fn load(isa: Self::Isa, source: *const Self::Real) -> Self;

    /// Writes `LANES` elements.
    ///
    /// # Safety
    /// `target` must be valid for writing `LANES` elements. It need not be aligned beyond the element.
    unsafe fn store(self, target: *mut Self::Real);

    /// Writes `LANES` elements past the caches, where there is an instruction for it: see [`stream`] and [`fence`].
    ///
    /// # Safety
    /// As [`Vector::store`], and `target` must be aligned to the vector, or to each of its parts.
    #[inline(always)]
    unsafe fn stream(self, target: *mut Self::Real) {
        // SAFETY: handed through from the caller.
        unsafe { self.store(target) }
    }

    /// `self * b + c`, rounded once (by `portable` in float64: twice).
    fn mul_add(self, b: Self, c: Self) -> Self;

    /// `c - self * b`, rounded once (by `portable` in float64: twice).
    fn neg_mul_add(self, b: Self, c: Self) -> Self;

    /// `self * b - product`, exact on every instruction set when `product` is the rounded
    /// `self * b` and nothing over- or underflows.
    fn product_error(self, b: Self, product: Self) -> Self;

    /// `self` where `self > other`, else `other`: a NaN in `other` comes through.
    fn max_or(self, other: Self) -> Self;

    /// `self` where `self < other`, else `other`: a NaN in `other` comes through.
    fn min_or(self, other: Self) -> Self;

    /// The magnitude.
    fn abs(self) -> Self;

    /// Adds an integer to the binary exponent, without a check: the result must be a normal number.
    /// The integer stands in the low bits of `shifted`, which is the integer plus 1.5 * 2^23
    /// (float32) or 1.5 * 2^52 (float64).
    fn add_exponent(self, shifted: Self) -> Self;

    /// The exponent field of positive numbers as a whole number: the binary exponent plus its bias,
    /// 0 for subnormals.
    fn biased_exponent(self) -> Self;

    /// The sum of the bits as integers, modulo 2^32 (float32) or 2^64 (float64).
    fn add_bits(self, other: Self) -> Self;

    /// Where `self < other`.
    fn lt(self, other: Self) -> Self::Mask;

    /// Where `self == other`.
    fn equals(self, other: Self) -> Self::Mask;

    /// Where the sign bit is set.
    fn is_negative(self) -> Self::Mask;

    /// Where either mask holds.
    fn either(a: Self::Mask, b: Self::Mask) -> Self::Mask;

    /// `yes` where the mask holds, else `no`.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    /// With the other sign where the sign bit of `sign` is set.
    #[inline(always)]
    fn flip(self, sign: Self) -> Self {
        Self::select(sign.is_negative(), -self, self)
    }

    /// A constant beside `self`.
    #[inline(always)]
    fn constant(self, x: Self::Real) -> Self {
        Self::splat(self.isa(), x)
    }

    /// Polynomial in `self`, coefficients from the constant term up, by Horner's rule: with several
    /// vectors in flight its latency is hidden, and it takes the fewest operations.
    #[inline(always)]
    fn horner(self, coefficients: &[Self::Real]) -> Self {
        let mut sum = self.constant(coefficients[coefficients.len() - 1]);
        let mut i = coefficients.len() - 1;
        while i > 0 {
            i -= 1;
            sum = sum.mul_add(self, self.constant(coefficients[i]));
        }
        sum
    }
}

/// A vector whose lanes are picked from a few numbers in memory.
pub trait Pick: Vector {
    /// How many numbers that are: as many as rows of five elements or more meet in a vector.
    const WINDOW: usize = if Self::LANES > 4 { 4 } else { 2 };

    /// The numbers in these places of a window, a lane each.
    ///
    /// # Safety
    /// `window` must be valid for reading [`WINDOW`](Self::WINDOW) numbers and `places`, all of them below that, for
    /// reading a place for each lane.
    #[inline(always)]
    unsafe fn pick(isa: Self::Isa, window: *const Self::Real, places: *const u8) -> Self {
        let mut lanes = [Self::Real::ZERO; MOST_LANES];
        for (i, lane) in lanes.iter_mut().enumerate().take(Self::LANES) {
            // SAFETY: handed through from the caller.
            *lane = unsafe { *window.add(usize::from(*places.add(i))) };
        }
        // SAFETY: no vector has more lanes.
        unsafe { Self::load(isa, lanes.as_ptr()) }
    }
}

/// Lanes of the longest vector.
pub const MOST_LANES: usize = 16;

/// Lanes of the largest group that kernels work on.
pub const MAX_LANES: usize = 64;

/// Expands the list of instruction sets into the type that holds the one in use.
macro_rules! instruction_sets {
    ($( $(#[$cfg:meta])* $variant:ident => $module:ident ),+ $(,)?) => {
        /// An instruction set that was found to be available.
        #[derive(Clone, Copy)]
        pub enum AnyIsa {
            $(
                $(#[$cfg])*
                #[doc = concat!("Proof of `", stringify!($module), "`.")]
                $variant($module::$variant),
            )+
        }

        impl AnyIsa {
            /// The instruction sets that this processor runs, the best one first.
            pub fn available() -> Vec<Self> {
                let mut list = Vec::new();
                $(
                    $(#[$cfg])*
                    if let Some(isa) = $module::$variant::detect() {
                        list.push(Self::$variant(isa));
                    }
                )+
                list
            }

            /// The name of the instruction set.
            pub fn name(self) -> &'static str {
                match self {
                    $( $(#[$cfg])* Self::$variant(_) => $module::$variant::NAME, )+
                }
            }

            /// Runs a kernel compiled for this instruction set.
            #[inline]
            pub fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
                match self {
                    $( $(#[$cfg])* Self::$variant(isa) => isa.vectorize(kernel), )+
                }
            }
        }
    };
}

// The list. A new instruction set is one file and one line here, the best one first.
instruction_sets! {
    #[cfg(target_arch = "x86_64")]
    Avx512 => avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2 => avx2,
    #[cfg(target_arch = "aarch64")]
    Neon => neon,
    Portable => portable,
}

impl AnyIsa {
    /// The instruction set called `name`; empty or absent: the best one.
    ///
    /// # Errors
    /// [`Error::Isa`] if there is none of that name here.
    pub fn choose(name: Option<&str>) -> Result<Self, Error> {
        let available = Self::available();
        let wanted = name.unwrap_or("");
        available.iter().copied().find(|isa| wanted.is_empty() || isa.name() == wanted).ok_or_else(|| {
            Error::Isa {
                got: wanted.to_owned(),
                available: available.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", "),
            }
        })
    }
}
