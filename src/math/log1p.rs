//! log(1 + e) for 0 < e <= 1, in two parts.

use crate::simd::Vector;
use crate::simd::real::Log1pConstants;

impl Log1pConstants for f32 {
    // Degree 8, relative error of log(1 + e) 2^-27.49.
    const LOG1P: &'static [f32] = &[
        -0.499_999_3,
        0.333_304_64,
        -0.249_580_19,
        0.196_921_02,
        -0.153_448_8,
        0.106_611_274,
        -0.057_457_205,
        0.020_086_212,
        -0.003_290_457_4,
    ];
}

impl Log1pConstants for f64 {
    // Degree 19, relative error of log(1 + e) 2^-56.54.
    const LOG1P: &'static [f64] = &[
        -0.499_999_999_999_994_6,
        0.333_333_333_332_352_54,
        -0.249_999_999_936_859_78,
        0.199_999_997_915_509_18,
        -0.166_666_625_019_601_28,
        0.142_856_589_327_406_6,
        -0.124_994_798_734_161_83,
        0.111_075_074_123_777_08,
        -0.099_810_207_681_363_92,
        0.090_131_723_004_395_69,
        -0.080_812_580_103_988_05,
        0.070_356_333_192_866_33,
        -0.057_503_418_131_167_924,
        0.042_301_793_420_063_73,
        -0.026_745_500_932_766_397,
        0.013_839_648_663_345_718,
        -0.005_543_639_620_374_992,
        0.001_595_923_932_477_554,
        -0.000_291_799_927_607_081_13,
        2.533_373_563_675_845_8e-5,
    ];
}

/// log(1 + e + e_lo) as a sum of two parts.
///
/// `e` is in (0, 1] and `e_lo` no more than its rounding error; `inverse` is 1 / (1 + e), the slope
/// that carries `e_lo` over. As e never exceeds 1 no exponent needs to be taken out: the polynomial
/// does it all, and the sum e + e^2 S(e) keeps what its rounding loses.
#[inline(always)]
pub fn log1p<V: Vector>(e: V, e_lo: V, inverse: V) -> (V, V) {
    let correction = (e * e) * e.horner(V::Real::LOG1P);
    let hi = e + correction;
    let lo = e_lo.mul_add(inverse, (e - hi) + correction);
    (hi, lo)
}
