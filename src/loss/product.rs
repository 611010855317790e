//! Products in which 0 wins over infinity.

use crate::real::Real;
use crate::simd::Vector;

/// weight * x, 0 for a weight of 0 even where x is infinite; a NaN stays one.
#[inline(always)]
pub fn times<V: Vector>(weight: V, x: V) -> V {
    let lowest = weight.constant(V::Real::LOWEST);
    let bounded = lowest.max_or((-lowest).min_or(x));
    weight * V::select(weight.equals(weight.constant(V::Real::ZERO)), bounded, x)
}

/// x, or 0 where the factor is that it is to be multiplied with: a slope of 0 contributes nothing, also to an infinite
/// value.
#[inline(always)]
pub fn unless_zero<V: Vector>(x: V, factor: V) -> V {
    let zero = x.constant(V::Real::ZERO);
    V::select(factor.equals(zero), zero, x)
}
