//! NEON, which every 64-bit Arm processor has: 4 lanes of float32, 2 of float64 a vector.

use core::arch::aarch64::*;
use core::arch::asm;
use std::arch::is_aarch64_feature_detected;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Isa, Kernel, Pair, Pick, Vector};
use crate::half::Float16;

/// Proof that the processor has NEON.
#[derive(Clone, Copy)]
pub struct Neon(());

impl Isa for Neon {
    type F32 = Pair<Pair<F32x4>>;
    type F64 = Pair<Pair<F64x2>>;
    type RowF32 = Pair<Pair<F32x4>>;
    type RowF64 = Pair<Pair<F64x2>>;
    type OneF32 = F32x4;
    type OneF64 = F64x2;

    const NAME: &'static str = "neon";
    const HALVES: usize = 4;

    fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    #[inline]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn inner<K: Kernel>(isa: Neon, kernel: K) -> K::Output {
            kernel.run(isa)
        }
        // SAFETY: `self` proves that the processor has NEON.
        unsafe { inner(self, kernel) }
    }

    // The intrinsics for these two take a type that older compilers do not have.

    #[inline(always)]
    unsafe fn widen_halves(self, source: *const Float16, target: *mut f32) {
        let lanes: float32x4_t;
        // SAFETY: `self` proves the instruction set, the caller vouches for the memory.
        unsafe {
            asm!(
                "fcvtl {lanes:v}.4s, {halves:v}.4h",
                lanes = lateout(vreg) lanes,
                halves = in(vreg) vld1_u16(source.cast()),
                options(pure, nomem, nostack),
            );
            vst1q_f32(target, lanes);
        }
    }

    #[inline(always)]
    unsafe fn narrow_halves(self, source: *const f32, target: *mut Float16) {
        let halves: uint16x4_t;
        // SAFETY: as above. It rounds as arithmetic does: to nearest, ties to even.
        unsafe {
            asm!(
                "fcvtn {halves:v}.4h, {lanes:v}.4s",
                halves = lateout(vreg) halves,
                lanes = in(vreg) vld1q_f32(source),
                options(pure, nomem, nostack),
            );
            vst1_u16(target.cast(), halves);
        }
    }
}

macro_rules! operator {
    ($name:ident $trait:ident :: $method:ident $intrinsic:ident) => {
        impl $trait for $name {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: a vector exists only where NEON does.
                unsafe { Self($intrinsic(self.0, other.0)) }
            }
        }
    };
}

macro_rules! vector {
    (
        $(#[$doc:meta])* $name:ident: $real:ident x $lanes:literal in $register:ident, mask $mask:ident,
        $splat:ident $load:ident $store:ident $add:ident $sub:ident $mul:ident $div:ident $neg:ident $abs:ident
        $fma:ident $fms:ident $to_bits:ident $from_bits:ident $add_bits:ident $shift:ident $shift_right:ident by $mantissa:literal
        $to_float:ident $lt:ident $eq:ident $negative:ident $or:ident $select:ident
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name($register);

        operator!($name Add::add $add);
        operator!($name Sub::sub $sub);
        operator!($name Mul::mul $mul);
        operator!($name Div::div $div);

        impl Neg for $name {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                // SAFETY: a vector exists only where NEON does.
                unsafe { Self($neg(self.0)) }
            }
        }

        impl Vector for $name {
            type Isa = Neon;
            type Real = $real;
            type Mask = $mask;

            const LANES: usize = $lanes;

            #[inline(always)]
            fn isa(self) -> Neon {
                Neon(())
            }
            #[inline(always)]
            fn splat(_: Neon, x: $real) -> Self {
                // SAFETY: the token proves NEON.
                unsafe { Self($splat(x)) }
            }
            #[inline(always)]
            unsafe fn load(_: Neon, source: *const $real) -> Self {
                // SAFETY: the token proves NEON, the caller the memory.
                unsafe { Self($load(source)) }
            }
            #[inline(always)]
            unsafe fn store(self, target: *mut $real) {
                // SAFETY: the vector proves NEON, the caller the memory.
                unsafe { $store(target, self.0) }
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                // SAFETY: the vector proves NEON.
                unsafe { Self($fma(c.0, self.0, b.0)) }
            }
            #[inline(always)]
            fn neg_mul_add(self, b: Self, c: Self) -> Self {
                // SAFETY: the vector proves NEON.
                unsafe { Self($fms(c.0, self.0, b.0)) }
            }
            #[inline(always)]
            fn product_error(self, b: Self, product: Self) -> Self {
                // SAFETY: the vector proves NEON.
                unsafe { Self($fma($neg(product.0), self.0, b.0)) }
            }
            #[inline(always)]
            fn max_or(self, other: Self) -> Self {
                // By comparison: NEON's own maximum makes a NaN of a NaN on either side.
                // SAFETY: the vector proves NEON.
                unsafe { Self($select($lt(other.0, self.0), self.0, other.0)) }
            }
            #[inline(always)]
            fn min_or(self, other: Self) -> Self {
                // SAFETY: the vector proves NEON.
                unsafe { Self($select($lt(self.0, other.0), self.0, other.0)) }
            }
            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: the vector proves NEON.
                unsafe { Self($abs(self.0)) }
            }
            #[inline(always)]
            fn add_exponent(self, shifted: Self) -> Self {
                // SAFETY: the vector proves NEON.
                unsafe { Self($from_bits($add_bits($to_bits(self.0), $shift::<$mantissa>($to_bits(shifted.0))))) }
            }
            #[inline(always)]
            fn biased_exponent(self) -> Self {
                // SAFETY: the vector proves NEON.
                unsafe { Self($to_float($shift_right::<$mantissa>($to_bits(self.0)))) }
            }
            #[inline(always)]
            fn add_bits(self, other: Self) -> Self {
                // SAFETY: the vector proves NEON.
                unsafe { Self($from_bits($add_bits($to_bits(self.0), $to_bits(other.0)))) }
            }
            #[inline(always)]
            fn lt(self, other: Self) -> $mask {
                // SAFETY: the vector proves NEON.
                unsafe { $lt(self.0, other.0) }
            }
            #[inline(always)]
            fn equals(self, other: Self) -> $mask {
                // SAFETY: the vector proves NEON.
                unsafe { $eq(self.0, other.0) }
            }
            #[inline(always)]
            fn is_negative(self) -> $mask {
                // SAFETY: the vector proves NEON.
                unsafe { $negative($to_bits(self.0)) }
            }
            #[inline(always)]
            fn either(a: $mask, b: $mask) -> $mask {
                // SAFETY: only vectors make masks.
                unsafe { $or(a, b) }
            }
            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                // SAFETY: the vector proves NEON.
                unsafe { Self($select(mask, yes.0, no.0)) }
            }
        }
    };
}

vector! {
    /// 4 lanes of float32.
    F32x4: f32 x 4 in float32x4_t, mask uint32x4_t,
    vdupq_n_f32 vld1q_f32 vst1q_f32 vaddq_f32 vsubq_f32 vmulq_f32 vdivq_f32 vnegq_f32 vabsq_f32
    vfmaq_f32 vfmsq_f32 vreinterpretq_s32_f32 vreinterpretq_f32_s32 vaddq_s32 vshlq_n_s32 vshrq_n_s32 by 23
    vcvtq_f32_s32 vcltq_f32 vceqq_f32 vcltzq_s32 vorrq_u32 vbslq_f32
}

vector! {
    /// 2 lanes of float64.
    F64x2: f64 x 2 in float64x2_t, mask uint64x2_t,
    vdupq_n_f64 vld1q_f64 vst1q_f64 vaddq_f64 vsubq_f64 vmulq_f64 vdivq_f64 vnegq_f64 vabsq_f64
    vfmaq_f64 vfmsq_f64 vreinterpretq_s64_f64 vreinterpretq_f64_s64 vaddq_s64 vshlq_n_s64 vshrq_n_s64 by 52
    vcvtq_f64_s64 vcltq_f64 vceqq_f64 vcltzq_s64 vorrq_u64 vbslq_f64
}

impl Pick for F32x4 {}

impl Pick for F64x2 {}
