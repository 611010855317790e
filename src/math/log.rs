//! log(x) for x >= 1, in two parts.

use super::{ExpConstants, log1p};
use crate::real::Real;
use crate::simd::Vector;

/// log(x + `x_lo`) as a sum of two parts, for x >= 1 and `x_lo` no more than its rounding error.
///
/// x = 2^n (1 + e) with 0 <= e < 1, so log(x) = n ln(2) + log(1 + e), where the product of n with the
/// first part of ln(2) is exact.
#[inline(always)]
pub fn log<V: Vector>(x: V, x_lo: V) -> (V, V) {
    let one = x.constant(V::Real::ONE);
    let n = x.biased_exponent() - x.constant(V::Real::EXPONENT_OF_ONE);
    let scale = one.add_exponent(x.constant(V::Real::TO_INTEGER) - n);
    let mantissa = x * scale;
    let (hi, lo) = log1p(mantissa - one, x_lo * scale, one / mantissa);
    let whole = n * x.constant(V::Real::LN2_HI);
    // Either n is 0 or the first summand is the larger one.
    let sum = whole + hi;
    let lost = hi - (sum - whole);
    (sum, lost + n.mul_add(x.constant(V::Real::LN2_LO), lo))
}
