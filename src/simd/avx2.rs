//! AVX2 with fused multiply-add: 8 lanes of float32, 4 of float64.

use core::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::real::ExpConstants;
use super::x86::x86_vector;
use super::{Isa, Kernel, Pair, Pick, Vector};
use crate::half::Float16;

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub struct Avx2(());

impl Isa for Avx2 {
    // More than sixteen registers hold. What is put down in memory and taken up again costs less than waiting does.
    type F32 = Pair<Pair<F32x8>>;
    type F64 = Pair<Pair<F64x4>>;
    type RowF32 = Pair<F32x8>;
    type RowF64 = Pair<F64x4>;
    type OneF32 = F32x8;
    type OneF64 = F64x4;

    const NAME: &'static str = "avx2";
    const HALVES: usize = 8;

    fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }

    #[inline]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn inner<K: Kernel>(isa: Avx2, kernel: K) -> K::Output {
            kernel.run(isa)
        }
        // SAFETY: `self` proves that the processor has these features.
        unsafe { inner(self, kernel) }
    }

    #[inline(always)]
    unsafe fn widen_halves(self, source: *const Float16, target: *mut f32) {
        // SAFETY: `self` proves the instruction set, the caller vouches for the memory.
        unsafe { _mm256_storeu_ps(target, _mm256_cvtph_ps(_mm_loadu_si128(source.cast()))) }
    }

    #[inline(always)]
    unsafe fn narrow_halves(self, source: *const f32, target: *mut Float16) {
        // SAFETY: as above.
        unsafe {
            _mm_storeu_si128(
                target.cast(),
                _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(source)),
            )
        }
    }
}

x86_vector! {
    /// 8 lanes of float32.
    F32x8 of Avx2: f32 x 8 in __m256, mask __m256,
    _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_stream_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_div_ps
    _mm256_fmadd_ps _mm256_fnmadd_ps _mm256_fmsub_ps _mm256_max_ps _mm256_min_ps abs_f32 _mm256_xor_ps _mm256_and_ps
    _mm256_castps_si256 _mm256_castsi256_ps _mm256_add_epi32 _mm256_slli_epi32 _mm256_srli_epi32 by 23 _mm256_or_si256
    _mm256_cmp_ps is_negative_f32 _mm256_or_ps select_f32
}

x86_vector! {
    /// 4 lanes of float64.
    F64x4 of Avx2: f64 x 4 in __m256d, mask __m256d,
    _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_stream_pd _mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_div_pd
    _mm256_fmadd_pd _mm256_fnmadd_pd _mm256_fmsub_pd _mm256_max_pd _mm256_min_pd abs_f64 _mm256_xor_pd _mm256_and_pd
    _mm256_castpd_si256 _mm256_castsi256_pd _mm256_add_epi64 _mm256_slli_epi64 _mm256_srli_epi64 by 52 _mm256_or_si256
    _mm256_cmp_pd is_negative_f64 _mm256_or_pd select_f64
}

/// The magnitude.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn abs_f32(x: __m256) -> __m256 {
    // SAFETY: handed through from the caller.
    unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), x) }
}

/// The magnitude.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn abs_f64(x: __m256d) -> __m256d {
    // SAFETY: handed through from the caller.
    unsafe { _mm256_andnot_pd(_mm256_set1_pd(-0.0), x) }
}

/// Where the sign bit is set: masks are read by their sign bits alone.
///
/// # Safety
/// None: the signature is that of the intrinsics.
#[inline(always)]
unsafe fn is_negative_f32(x: __m256) -> __m256 {
    x
}

/// As [`is_negative_f32`].
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn is_negative_f64(x: __m256d) -> __m256d {
    x
}

/// `yes` where the mask holds.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn select_f32(mask: __m256, yes: __m256, no: __m256) -> __m256 {
    // SAFETY: handed through from the caller.
    unsafe { _mm256_blendv_ps(no, yes, mask) }
}

/// `yes` where the mask holds.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn select_f64(mask: __m256d, yes: __m256d, no: __m256d) -> __m256d {
    // SAFETY: handed through from the caller.
    unsafe { _mm256_blendv_pd(no, yes, mask) }
}

impl Pick for F32x8 {
    #[inline(always)]
    unsafe fn pick(_: Avx2, window: *const f32, places: *const u8) -> Self {
        // SAFETY: the token proves the instruction set, the caller vouches for the memory. A broadcast window stands
        // in each half of the lanes, which pick within their own.
        unsafe {
            let places = _mm256_cvtepu8_epi32(_mm_loadl_epi64(places.cast()));
            let window = _mm_loadu_ps(window);
            Self(_mm256_permutevar_ps(_mm256_set_m128(window, window), places))
        }
    }
}

impl Pick for F64x4 {
    #[inline(always)]
    unsafe fn pick(_: Avx2, window: *const f64, places: *const u8) -> Self {
        // SAFETY: as above. Lanes pick by the second bit of their place.
        unsafe {
            let places = _mm_cvtsi32_si128(places.cast::<i32>().read_unaligned());
            let (places, window) = (_mm256_cvtepu8_epi64(places), _mm_loadu_pd(window));
            Self(_mm256_permutevar_pd(_mm256_set_m128d(window, window), _mm256_slli_epi64::<1>(places)))
        }
    }
}
