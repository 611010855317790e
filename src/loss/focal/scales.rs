//! Powers of two that keep small numbers normal on their way to a result.

use crate::math::ExpConstants;
use crate::real::Real;
use crate::simd::Vector;

/// Scale factors by which small numbers are kept normal.
pub trait Scales: Real {
    /// exp(-|z|) and p are held times this power of two.
    const P_SCALE: Self;
    /// Its inverse.
    const P_UNSCALE: Self;
    /// Its square root.
    const P_ROOT: Self;
    /// Its exponent as [`exp_neg`] takes it.
    const P_SHIFT: Self;
    /// Its exponent as a number.
    const P_BITS: Self;
    /// Below this logit p is exp(z) to the last digit, and may be too small for a normal number.
    const P_SMALL: Self;
    /// One over the power of two times which q^g is held.
    const Q_UNSCALE: Self;
    /// The exponent of that power as [`exp_neg`] takes it.
    const Q_SHIFT: Self;
    /// From here on exp(-x) rounds to 0.
    const UNDERFLOW: Self;
    /// exp(-x) times the power of two of `Q_SHIFT` is finite from here on.
    const OVERFLOW: Self;
}

/// 2^n.
const fn power_of_two_f32(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// 2^n.
const fn power_of_two_f64(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

impl Scales for f32 {
    const P_SCALE: f32 = power_of_two_f32(64);
    const P_UNSCALE: f32 = power_of_two_f32(-64);
    const P_ROOT: f32 = power_of_two_f32(32);
    const P_SHIFT: f32 = 64.0 + f32::TO_INTEGER;
    const P_BITS: f32 = 64.0;
    const P_SMALL: f32 = -80.0;
    const Q_UNSCALE: f32 = power_of_two_f32(-32);
    const Q_SHIFT: f32 = 32.0 + f32::TO_INTEGER;
    const UNDERFLOW: f32 = 105.0;
    const OVERFLOW: f32 = -60.0;
}

impl Scales for f64 {
    const P_SCALE: f64 = power_of_two_f64(256);
    const P_UNSCALE: f64 = power_of_two_f64(-256);
    const P_ROOT: f64 = power_of_two_f64(128);
    const P_SHIFT: f64 = 256.0 + f64::TO_INTEGER;
    const P_BITS: f64 = 256.0;
    const P_SMALL: f64 = -700.0;
    const Q_UNSCALE: f64 = power_of_two_f64(-64);
    const Q_SHIFT: f64 = 64.0 + f64::TO_INTEGER;
    const UNDERFLOW: f64 = 746.0;
    const OVERFLOW: f64 = -600.0;
}

/// [`Scales::P_UNSCALE`] as two powers of two, one of them 1: what a factor of at least `large` is scaled with at once,
/// and what the product of a smaller one with scaled numbers is scaled with.
#[inline(always)]
pub fn split_scale<V: Vector>(factor: V, large: V::Real) -> (V, V)
where
    V::Real: Scales,
{
    let one = factor.constant(V::Real::ONE);
    let unscale = factor.constant(V::Real::P_UNSCALE);
    let small = factor.abs().lt(factor.constant(large));
    (V::select(small, one, unscale), V::select(small, unscale, one))
}
