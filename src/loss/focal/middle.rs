//! What the intermediate values at a margin have in common for every gamma.

use super::{Fold, Gamma, Margin, Scales, power};
use crate::math::log1p;
use crate::real::Real;
use crate::simd::Vector;

/// What is the same for every gamma of the intermediate values at a margin z.
///
/// What is not read is not computed: after inlining the compiler drops it.
#[derive(Clone, Copy)]
pub struct Middle<V> {
    z: V,
    p: V,
    q: V,
    p_scaled: V,
    p_scaled_lo: V,
    softplus: V,
    softplus_lo: V,
    /// What the low part of z adds to max(z, 0) and to max(-z, 0).
    likely_lo: V,
    unlikely_lo: V,
}

impl<V: Vector> Middle<V>
where
    V::Real: Scales,
{
    /// From the fold of z or of -z.
    #[inline(always)]
    pub fn of(z: V, fold: Fold<V>) -> Self {
        Self::unfold::<false>(z, z.constant(V::Real::ZERO), fold)
    }

    /// At z + `z_lo`, as [`Margin::at`]; the fold is that of z + `z_lo`.
    #[inline(always)]
    pub(super) fn unfold<const LOW: bool>(z: V, z_lo: V, fold: Fold<V>) -> Self {
        let Fold { exponential } = fold;
        let zero = z.constant(V::Real::ZERO);
        let one = z.constant(V::Real::ONE);
        let limit = z.constant(V::Real::SATURATED);

        // At 0, where both sides are the same, either will do: the sign bit alone tells them apart.
        let likely = (-z).is_negative();
        let (likely_lo, unlikely_lo) =
            if LOW { (V::select(likely, z_lo, zero), V::select(likely, zero, -z_lo)) } else { (zero, zero) };
        let (e, e_lo) = exponential.scaled_by(V::Real::P_UNSCALE);
        let sum = one + e;
        let sum_lo = e - (sum - one);
        let inverse = one / sum;
        let quotient = e * inverse;
        let remainder = sum_lo.neg_mul_add(quotient, quotient.neg_mul_add(sum, e)) + e_lo;
        let small = remainder.mul_add(inverse, quotient);
        let large = one - small;
        let (softplus, softplus_lo) = log1p(e, e_lo, inverse);

        let p = V::select(likely, large, small);
        let q = V::select(likely, small, large);

        let scale = z.constant(V::Real::P_SCALE);
        let tiny = z.lt(z.constant(V::Real::P_SMALL));
        let (e_scaled, e_scaled_lo) = exponential.parts();
        let is_within = (-limit).lt(z);
        let vanishing = V::select(is_within, e_scaled, zero);
        let p_scaled = V::select(tiny, vanishing, p * scale);
        let small_lo = remainder.mul_add(inverse, quotient - small);
        let vanishing_lo = V::select(is_within, e_scaled_lo, zero);
        let p_scaled_lo = V::select(tiny, vanishing_lo, small_lo * scale);
        Self { z, p, q, p_scaled, p_scaled_lo, softplus, softplus_lo, likely_lo, unlikely_lo }
    }

    /// The intermediate values for a gamma.
    #[inline(always)]
    pub fn margin<const POWER: u8>(self, gamma: &Gamma<V>) -> Margin<V, POWER> {
        self.margin_at::<POWER, false>(gamma)
    }

    #[inline(always)]
    pub(super) fn margin_at<const POWER: u8, const LOW: bool>(self, gamma: &Gamma<V>) -> Margin<V, POWER> {
        let Self { z, p, q, p_scaled, p_scaled_lo, softplus, softplus_lo, likely_lo, unlikely_lo } = self;
        let zero = z.constant(V::Real::ZERO);
        let modulation = if POWER == power::GENERAL {
            let lo = if LOW { softplus_lo + likely_lo } else { softplus_lo };
            // Not the saturated magnitude: for a small gamma q^g is far from 0 where q is not.
            let reach = (-z.constant(V::Real::LOWEST)).min_or(zero.max_or(z));
            gamma.power_of_q(reach, softplus, lo)
        } else {
            q
        };
        // Where the power costs an ulp or two less, this one need not be spent on.
        let class = if POWER == power::WHOLE { gamma.class } else { POWER };
        let softplus = if LOW {
            softplus + (softplus_lo + unlikely_lo)
        } else if class <= 2 {
            softplus
        } else {
            softplus + softplus_lo
        };
        let limit = z.constant(V::Real::SATURATED);
        let cross_entropy = limit.min_or(zero.max_or(-z)) + softplus;
        Margin { z, p, q, p_scaled, p_scaled_lo, softplus, cross_entropy, modulation, gamma: *gamma }
    }
}
