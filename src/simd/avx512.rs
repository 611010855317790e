//! AVX-512 (F, DQ, VL, BW): 16 lanes of float32, 8 of float64.

use core::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::real::ExpConstants;
use super::x86::x86_vector;
use super::{Isa, Kernel, Pair, Pick, Vector};
use crate::half::Float16;

/// Proof that the processor has AVX-512 F, DQ, VL and BW.
#[derive(Clone, Copy)]
pub struct Avx512(());

impl Isa for Avx512 {
    type F32 = Pair<Pair<F32x16>>;
    type F64 = Pair<Pair<F64x8>>;
    type RowF32 = Pair<F32x16>;
    type RowF64 = Pair<F64x8>;
    type OneF32 = F32x16;
    type OneF64 = F64x8;

    const NAME: &'static str = "avx512";
    const HALVES: usize = 16;

    fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }

    #[inline]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,fma")]
        fn inner<K: Kernel>(isa: Avx512, kernel: K) -> K::Output {
            kernel.run(isa)
        }
        // SAFETY: `self` proves that the processor has these features.
        unsafe { inner(self, kernel) }
    }

    #[inline(always)]
    unsafe fn widen_halves(self, source: *const Float16, target: *mut f32) {
        // SAFETY: `self` proves the instruction set, the caller vouches for the memory.
        unsafe { _mm512_storeu_ps(target, _mm512_cvtph_ps(_mm256_loadu_si256(source.cast()))) }
    }

    #[inline(always)]
    unsafe fn narrow_halves(self, source: *const f32, target: *mut Float16) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(target.cast(), _mm512_cvtps_ph::<NEAREST>(_mm512_loadu_ps(source))) }
    }
}

x86_vector! {
    /// 16 lanes of float32.
    F32x16 of Avx512: f32 x 16 in __m512, mask __mmask16,
    _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_stream_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_div_ps
    _mm512_fmadd_ps _mm512_fnmadd_ps _mm512_fmsub_ps _mm512_max_ps _mm512_min_ps _mm512_abs_ps _mm512_xor_ps _mm512_and_ps
    _mm512_castps_si512 _mm512_castsi512_ps _mm512_add_epi32 _mm512_slli_epi32 _mm512_srli_epi32 by 23 _mm512_or_si512
    _mm512_cmp_ps_mask is_negative_f32 _kor_mask16 select_f32
}

x86_vector! {
    /// 8 lanes of float64.
    F64x8 of Avx512: f64 x 8 in __m512d, mask __mmask8,
    _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_stream_pd _mm512_add_pd _mm512_sub_pd _mm512_mul_pd _mm512_div_pd
    _mm512_fmadd_pd _mm512_fnmadd_pd _mm512_fmsub_pd _mm512_max_pd _mm512_min_pd _mm512_abs_pd _mm512_xor_pd _mm512_and_pd
    _mm512_castpd_si512 _mm512_castsi512_pd _mm512_add_epi64 _mm512_slli_epi64 _mm512_srli_epi64 by 52 _mm512_or_si512
    _mm512_cmp_pd_mask is_negative_f64 _kor_mask8 select_f64
}

impl Pick for F32x16 {
    #[inline(always)]
    unsafe fn pick(_: Avx512, window: *const f32, places: *const u8) -> Self {
        // SAFETY: the token proves the instruction set, the caller vouches for the memory. A broadcast window stands
        // in each quarter of the lanes, which pick within their own.
        unsafe {
            let places = _mm512_cvtepu8_epi32(_mm_loadu_si128(places.cast()));
            Self(_mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_loadu_ps(window)), places))
        }
    }
}

impl Pick for F64x8 {
    #[inline(always)]
    unsafe fn pick(_: Avx512, window: *const f64, places: *const u8) -> Self {
        // SAFETY: as above.
        unsafe {
            let places = _mm512_cvtepu8_epi64(_mm_loadl_epi64(places.cast()));
            Self(_mm512_permutexvar_pd(places, _mm512_broadcast_f64x4(_mm256_loadu_pd(window))))
        }
    }
}

/// Where the sign bit is set.
///
/// # Safety
/// The processor must have AVX-512.
#[inline(always)]
unsafe fn is_negative_f32(x: __m512) -> __mmask16 {
    // SAFETY: handed through from the caller.
    unsafe { _mm512_movepi32_mask(_mm512_castps_si512(x)) }
}

/// Where the sign bit is set.
///
/// # Safety
/// The processor must have AVX-512.
#[inline(always)]
unsafe fn is_negative_f64(x: __m512d) -> __mmask8 {
    // SAFETY: handed through from the caller.
    unsafe { _mm512_movepi64_mask(_mm512_castpd_si512(x)) }
}

/// `yes` where the mask holds.
///
/// # Safety
/// The processor must have AVX-512.
#[inline(always)]
unsafe fn select_f32(mask: __mmask16, yes: __m512, no: __m512) -> __m512 {
    // SAFETY: handed through from the caller.
    unsafe { _mm512_mask_blend_ps(mask, no, yes) }
}

/// `yes` where the mask holds.
///
/// # Safety
/// The processor must have AVX-512.
#[inline(always)]
unsafe fn select_f64(mask: __mmask8, yes: __m512d, no: __m512d) -> __m512d {
    // SAFETY: handed through from the caller.
    unsafe { _mm512_mask_blend_pd(mask, no, yes) }
}
