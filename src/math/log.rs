//! log(x) for positive normal x, in two parts.

use crate::real::Real;
use crate::simd::Vector;
use crate::simd::real::{ExpConstants, LogConstants};

impl LogConstants for f32 {
    // Degree 10, relative error of log(1 + f) 2^-28.99.
    const LOG: &'static [f32] = &[
        -0.5,
        0.333_333_76,
        -0.250_000_86,
        0.199_964_09,
        -0.166_611_98,
        0.143_811_2,
        -0.126_213_63,
        0.100_333_71,
        -0.087_918_61,
        0.143_429_53,
        -0.136_770_81,
    ];
    const SQRT_2: f32 = core::f32::consts::SQRT_2;
}

impl LogConstants for f64 {
    // Degree 22, relative error of log(1 + f) 2^-56.52.
    const LOG: &'static [f64] = &[
        -0.499_999_999_999_999_94,
        0.333_333_333_333_343_14,
        -0.250_000_000_000_048_85,
        0.199_999_999_996_691_32,
        -0.166_666_666_656_827_3,
        0.142_857_143_243_129_23,
        -0.125_000_000_862_945_63,
        0.111_111_088_738_280_21,
        -0.099_999_958_733_075_52,
        0.090_909_841_564_066_04,
        -0.083_334_534_769_252_41,
        0.076_907_312_278_028_01,
        -0.071_405_978_024_679_96,
        0.066_882_171_767_554_79,
        -0.062_782_500_522_418_22,
        0.056_883_667_777_644_295,
        -0.053_194_283_187_476_14,
        0.063_947_003_019_760_95,
        -0.062_930_620_874_740_5,
        0.007_211_862_642_887_071,
        -0.001_767_664_342_795_67,
        0.119_376_962_850_614_58,
        -0.119_616_019_538_165_06,
    ];
    const SQRT_2: f64 = core::f64::consts::SQRT_2;
}

/// log(x + `x_lo`) as a sum of two parts, the second no more than a few rounding errors of the first.
///
/// `x` is a positive normal number up to 2^125 (float32) or 2^1020 (float64) and `x_lo` no more than its rounding
/// error.
///
/// Method (Muller, Elementary Functions, 2016, ch. 11): x = 2^k (1 + f) with 1 + f in
/// \[sqrt(1/2), sqrt(2)), where f is exact but for a remainder that goes through the slope 1 / (1 + f),
/// here 1 - f + f^2; log(x) = k ln(2) + f + f^2 S(f) with ln(2) in two parts. For k = 0, numbers near
/// 1, nothing cancels, and else k ln(2) is the largest of the terms: the sums keep what they lose.
#[inline(always)]
pub fn log<V: Vector>(x: V, x_lo: V) -> (V, V) {
    log_scaled(x, x_lo, x.constant(V::Real::ZERO))
}

/// As [`log`], of a number of which `x + x_lo` is 2^`bits` times: how subnormal numbers come in.
#[inline(always)]
pub fn log_scaled<V: Vector>(x: V, x_lo: V, bits: V) -> (V, V) {
    let one = x.constant(V::Real::ONE);
    let exponent = x.biased_exponent() - x.constant(V::Real::EXPONENT_OF_ONE);
    let scale = one.add_exponent(x.constant(V::Real::TO_INTEGER) - exponent);
    let upper = x.constant(V::Real::SQRT_2).lt(x * scale);
    let exponent = V::select(upper, exponent + one, exponent);
    let scale = V::select(upper, scale * x.constant(V::Real::HALF), scale);

    let distance = x * scale - one;
    let rest = x_lo * scale;
    let f = distance + rest;
    let f_lo = (distance - f) + rest;
    let correction = (f * f) * f.horner(V::Real::LOG);
    let slope = f.mul_add(f - one, one);

    let exponent = exponent - bits;
    let whole = exponent * x.constant(V::Real::LN2_HI);
    let head = whole + f;
    let head_lo = f_lo.mul_add(slope, (whole - head) + f);
    let tail = exponent.mul_add(x.constant(V::Real::LN2_LO), correction);
    let hi = head + tail;
    (hi, ((head - hi) + tail) + head_lo)
}
