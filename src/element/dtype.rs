//! The type of an array, known while the program runs: its name, its size, its conversions.
//!
//! One list, in this file, names all types. A new one is an [`Element`] and a line there.

use super::numbers::Truth;
use super::{BFloat16, Element, Float16, Half, Stored};
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel};

/// Converts a run of elements, which need not be aligned, to what a kernel computes in.
///
/// # Safety
/// The first pointer must be valid for reading, the second for writing that many elements.
pub type Widen<R> = unsafe fn(AnyIsa, *const u8, *mut R, usize);

/// Converts a run of results to a half type.
///
/// # Safety
/// The first pointer must be valid for reading, the second for writing that many elements.
pub type Narrow<R> = unsafe fn(AnyIsa, *const R, *mut u8, usize);

/// # Safety
/// As [`Widen`].
unsafe fn widen<E: Element, R: Real>(isa: AnyIsa, source: *const u8, target: *mut R, len: usize) {
    struct Loop<E, R>(*const E, *mut R, usize);
    impl<E: Element, R: Real> Kernel for Loop<E, R> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            // SAFETY: handed through from the caller.
            unsafe { E::widen(isa, self.0, self.1, self.2) }
        }
    }
    isa.vectorize(Loop(source.cast::<E>(), target, len));
}

/// # Safety
/// As [`Widen`], of float64 numbers.
unsafe fn widen_weights<R: Real>(isa: AnyIsa, source: *const u8, target: *mut R, len: usize) {
    struct Loop<R>(*const f64, *mut R, usize);
    impl<R: Real> Kernel for Loop<R> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, _: I) {
            for i in 0..self.2 {
                // SAFETY: the caller vouches for as many elements.
                unsafe { self.1.add(i).write(R::from_weight(self.0.add(i).read_unaligned())) }
            }
        }
    }
    isa.vectorize(Loop(source.cast::<f64>(), target, len));
}

/// # Safety
/// As [`Widen`], of the type that the function is for.
unsafe fn widen_targets<T: Copy>(source: *const u8, target: *mut f64, len: usize, number: impl Fn(T) -> f64) {
    for i in 0..len {
        // SAFETY: the caller vouches for as many elements.
        unsafe { target.add(i).write(number(source.cast::<T>().add(i).read_unaligned())) }
    }
}

/// # Safety
/// As [`Widen`], of int64 numbers.
unsafe fn widen_int64_targets(_: AnyIsa, source: *const u8, target: *mut f64, len: usize) {
    // The largest becomes 2^63, and is what 2^63 is taken back to.
    let number = |x: i64| if x as f64 as i64 == x { x as f64 } else { f64::INFINITY };
    // SAFETY: handed through from the caller.
    unsafe { widen_targets(source, target, len, number) }
}

/// # Safety
/// As [`Widen`], of uint64 numbers.
unsafe fn widen_uint64_targets(_: AnyIsa, source: *const u8, target: *mut f64, len: usize) {
    let number = |x: u64| match x as f64 {
        _ if x == i64::MAX as u64 => DType::INT64_MAX_IN_UINT64,
        near if near as u64 == x => near,
        _ => f64::INFINITY,
    };
    // SAFETY: handed through from the caller.
    unsafe { widen_targets(source, target, len, number) }
}

/// # Safety
/// As [`Narrow`].
unsafe fn narrow<H: Half, R: Real>(isa: AnyIsa, source: *const R, target: *mut u8, len: usize) {
    struct Loop<H, R>(*const R, *mut H, usize);
    impl<H: Half, R: Real> Kernel for Loop<H, R> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            // SAFETY: handed through from the caller.
            unsafe { H::narrow(isa, self.0, self.1, self.2) }
        }
    }
    isa.vectorize(Loop(source, target.cast::<H>(), len));
}

/// Expands the list of types.
macro_rules! dtypes {
    ($( $(#[$doc:meta])* $variant:ident: $type:ty, $name:literal $(, $half:ident)?; )+) => {
        /// The types that arrays may hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DType {
            $( $(#[$doc])* $variant, )+
        }

        impl DType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Whether a kernel's type has all numbers of this one.
            pub fn fits<R: Real>(self) -> bool {
                let bits = match self {
                    Self::Bool => 1,
                    Self::Int8 | Self::UInt8 | Self::Float16 | Self::BFloat16 => 11,
                    Self::Int16 | Self::UInt16 => 16,
                    Self::Float32 => 24,
                    Self::Int32 | Self::UInt32 => 32,
                    Self::Float64 => 53,
                    Self::Int64 | Self::UInt64 => 64,
                };
                bits <= if DType::of::<R>() == Self::Float32 { 24 } else { 53 }
            }

            /// NumPy's name.
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $name, )+
                }
            }

            /// Bytes of an element.
            #[inline]
            pub fn size(self) -> usize {
                match self {
                    $( Self::$variant => size_of::<$type>(), )+
                }
            }

            /// The conversion to the type that a kernel computes in.
            pub fn widen<R: Real>(self) -> Widen<R> {
                match self {
                    $( Self::$variant => widen::<$type, R>, )+
                }
            }

            /// As [`DType::widen`], of weights: as [`Real::from_weight`] has it where the kernel's type has a smaller
            /// range.
            pub fn widen_weights<R: Real>(self) -> Widen<R> {
                if self == Self::Float64 { widen_weights::<R> } else { self.widen() }
            }

            /// The conversion of results, for half types, and for float32 where a kernel computes in float64.
            pub fn narrow<R: Real>(self) -> Option<Narrow<R>> {
                match self {
                    Self::Float32 if Self::of::<R>() == Self::Float64 => Some(narrow::<f32, R>),
                    $( Self::$variant => dtypes!(@narrow $type $(, $half)?), )+
                }
            }
        }

        $(
            impl Stored for $type {
                const DTYPE: DType = DType::$variant;
            }
        )+
    };
    (@narrow $type:ty) => { None };
    (@narrow $type:ty, half) => { Some(narrow::<$type, R>) };
}

// The list. A new type is one `Element` and one line here; half types say so.
dtypes! {
    /// One byte, true unless 0.
    Bool: Truth, "bool";
    /// Signed 8-bit integer.
    Int8: i8, "int8";
    /// Signed 16-bit integer.
    Int16: i16, "int16";
    /// Signed 32-bit integer.
    Int32: i32, "int32";
    /// Signed 64-bit integer.
    Int64: i64, "int64";
    /// Unsigned 8-bit integer.
    UInt8: u8, "uint8";
    /// Unsigned 16-bit integer.
    UInt16: u16, "uint16";
    /// Unsigned 32-bit integer.
    UInt32: u32, "uint32";
    /// Unsigned 64-bit integer.
    UInt64: u64, "uint64";
    /// IEEE half precision.
    Float16: Float16, "float16", half;
    /// The upper half of a float32.
    BFloat16: BFloat16, "bfloat16", half;
    /// IEEE single precision.
    Float32: f32, "float32";
    /// IEEE double precision.
    Float64: f64, "float64";
}

impl DType {
    /// What [`DType::widen_targets`] makes of the largest int64 where it is a uint64.
    pub const INT64_MAX_IN_UINT64: f64 = -1.0;

    /// The conversion of targets of which some are told apart: 64-bit integers that float64 has not become infinite,
    /// instead of one that it has. But the largest int64 and uint64 become numbers that no other becomes.
    pub fn widen_targets(self) -> Widen<f64> {
        match self {
            Self::Int64 => widen_int64_targets,
            Self::UInt64 => widen_uint64_targets,
            _ => self.widen(),
        }
    }

    /// The type, as arrays hold it, that a kernel computes in: there are two.
    #[inline(always)]
    pub const fn of<R: Real>() -> Self {
        if size_of::<R>() == size_of::<f32>() { Self::Float32 } else { Self::Float64 }
    }

    /// The type that results have whose logits have this one.
    #[inline]
    pub fn of_results(self) -> Self {
        match self {
            Self::Float16 | Self::BFloat16 | Self::Float32 => self,
            _ => Self::Float64,
        }
    }
}
