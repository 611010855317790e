//! The numbers that arrays hold, one [`Element`] each.

use super::{BFloat16, DType, Element, Float16, Half, narrow_each, widen_each};
use crate::real::Real;
use crate::simd::Isa;

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
