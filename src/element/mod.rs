//! The types that arrays may hold, and how they become the types that kernels compute in.
//!
//! One list, at the end of this file, names them. A new type is one [`Element`] and one line there.

#[cfg(test)]
mod tests;

pub use crate::half::{BFloat16, Float16};
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel};

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

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Element for $type {
            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )+};
}
numbers!(i8, i16, i32, u8, u16, u32, f32, f64);

/// 2^52 and 2^84: their last places are 1 and 2^32, so that a 32-bit number put into their fraction is added to them,
/// or 2^32 times that.
const ONES: u64 = (1023 + 52) << 52;
const UPPER: u64 = (1023 + 84) << 52;

/// The nearest float64 to `sign` + the 64-bit number of these bits, where `sign` is 0 or -2^63. Both halves are exact,
/// so their sum rounds once. Vectors have these operations, but few have the conversion.
#[inline(always)]
fn from_halves(bits: u64, sign: f64) -> f64 {
    let upper = f64::from_bits(UPPER | (bits >> 32)) - (f64::from_bits(UPPER) + f64::from_bits(ONES) - sign);
    upper + f64::from_bits(ONES | (bits & 0xFFFF_FFFF))
}

/// 64-bit integers become float32 by way of float64: beyond 2^53 they are rounded twice.
impl Element for u64 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self.to_f64() as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        from_halves(self, 0.0)
    }
}

/// As unsigned ones.
impl Element for i64 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self.to_f64() as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        // Turned round, the sign counts 2^63 upwards instead of downwards.
        from_halves(self.cast_unsigned() ^ (1 << 63), -f64::from_bits((1023 + 63) << 52))
    }
}

/// One byte, true unless 0.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Truth(u8);

impl Element for Truth {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(u8::from(self.0 != 0))
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self.0 != 0))
    }
}

impl Element for Float16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }
    #[inline(always)]
    unsafe fn widen<I: Isa, R: Real>(isa: I, source: *const Self, target: *mut R, len: usize) {
        let mut at = 0;
        // SAFETY: the caller vouches for `len` elements.
        unsafe {
            if DType::of::<R>() == DType::Float32 {
                while at + I::HALVES <= len {
                    isa.widen_halves(source.add(at), target.add(at).cast());
                    at += I::HALVES;
                }
            }
            widen_each(source.add(at), target.add(at), len - at);
        }
    }
}

impl Half for Float16 {
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
    #[inline(always)]
    unsafe fn narrow<I: Isa, R: Real>(isa: I, source: *const R, target: *mut Self, len: usize) {
        let mut at = 0;
        // SAFETY: the caller vouches for `len` elements.
        unsafe {
            if DType::of::<R>() == DType::Float32 {
                while at + I::HALVES <= len {
                    isa.narrow_halves(source.add(at).cast(), target.add(at));
                    at += I::HALVES;
                }
            }
            narrow_each(source.add(at), target.add(at), len - at);
        }
    }
}

impl Element for BFloat16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }
}

impl Half for BFloat16 {
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
}

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
