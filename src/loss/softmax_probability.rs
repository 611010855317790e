//! The focal loss of a probability that is given, and its derivatives by it.
//!
//! With q = 1 - p and L = -log p,
//!
//! ```text
//! f   = q^g L
//! f'  = -[q^g / p + g q^{g-1} L]
//! f'' = g (g-1) q^{g-2} L + 2 g q^{g-1} / p + q^g / p^2
//! ```
//!
//! and for the quotient V = sum(w f) / S with S = sum(s), s = q^g,
//!
//! ```text
//! V'  = (w f' - V s') / S                    s'  = -g q^{g-1}
//! V'' = (w f'' - V s'' - 2 V' s') / S        s'' = g (g-1) q^{g-2}
//! ```
//!
//! In the code w and V are over S from the start. A probability outside the bounds is taken to the nearer
//! one, and the derivatives there are 0.
//!
//! # Where the digits go
//!
//! 1 - p is exact or nearly so, and what it lacks is known; logarithms are those of 1 / p and 1 / q with
//! the remainder of the division. L / q, which tends to 1 with p, takes the place of L where the power of q
//! is one less, so that only q^{g-1} may become infinite, and f'' with it: at p = 1 for 0 < g < 1.

use crate::loss::focal::{Gamma, Scales};
use crate::loss::product::{times, unless_zero};
use crate::math::{ExpConstants, log};
use crate::real::Real;
use crate::simd::Vector;

/// What a probability comes to.
#[derive(Clone, Copy)]
pub struct Chance<V: Vector> {
    clipped: V::Mask,
    q: V,
    /// 1 / p.
    inverse: V,
    /// L, and L / q for a bounded L.
    loss: V,
    ratio: V,
    /// q^g, g q^{g-1} and g (g-1) q^{g-2}.
    powers: [V; 3],
    gamma: V,
}

impl<V: Vector> Chance<V>
where
    V::Real: Scales,
{
    /// From the probability and its bounds.
    #[inline(always)]
    pub fn new(p: V, [least, most]: [V; 2], gamma: &Gamma<V>) -> Self {
        let zero = p.constant(V::Real::ZERO);
        let one = p.constant(V::Real::ONE);
        let highest = -p.constant(V::Real::LOWEST);
        let limit = p.constant(V::Real::SATURATED);
        let clipped = V::either(p.lt(least), most.lt(p));
        // A -0.0 becomes 0.0, whose inverse is positive.
        let p = most.min_or(least.max_or(p)) + zero;
        let q = one - p;
        let (loss, loss_lo) = minus_log(p, zero);
        let (other, other_lo) = minus_log(q, (one - q) - p);
        let power = gamma.power_of_q(zero, highest.min_or(other), other_lo) * p.constant(V::Real::Q_UNSCALE);
        let loss = loss + loss_lo;
        let certain = q.equals(zero);
        let over = one / V::select(certain, one, q);
        let ratio = V::select(certain, one, (limit + limit).min_or(loss) * over);
        let g = gamma.number();
        let first = V::select(certain, lost_power(g), (power * g) * over);
        let edge = V::select(g.equals(zero), zero, g * lost_power(g - one));
        let second = V::select(certain, edge, (first * over) * (g - one));
        Self { clipped, q, inverse: one / p, loss, ratio, powers: [power, first, second], gamma: g }
    }

    /// weight * q^g.
    #[inline(always)]
    pub fn factor(&self, weight: V) -> V {
        weight * self.powers[0]
    }

    /// weight * f.
    #[inline(always)]
    pub fn value(&self, weight: V) -> V {
        times(weight, self.powers[0] * self.loss)
    }

    /// -(weight * f' - mean * s').
    #[inline(always)]
    pub fn descent(&self, weight: V, mean: V) -> V {
        let [power, first, _] = self.powers;
        let slope = power.mul_add(self.inverse, (power * self.gamma) * self.ratio);
        self.unclipped(times(weight, slope) - both(mean, first))
    }

    /// weight * f'' - mean * s'' - 2 V' s' `inverse`, where `inverse` is 1 / S.
    #[inline(always)]
    pub fn curvature(&self, weight: V, mean: V, inverse: V) -> V {
        let [power, first, second] = self.powers;
        let one = weight.constant(V::Real::ONE);
        let bracket = (self.gamma - one).mul_add(self.ratio, self.inverse + self.inverse);
        let bend = first.mul_add(unless_zero(bracket, first), (power * self.inverse) * self.inverse);
        let turn = times(inverse, both(self.descent(weight, mean), first));
        let curvature = (times(weight, bend) - both(mean, second)) - (turn + turn);
        // Of no zero the sign is one of rounding.
        self.unclipped(curvature) + one.constant(V::Real::ZERO)
    }

    #[inline(always)]
    fn unclipped(&self, x: V) -> V {
        V::select(self.clipped, self.q.constant(V::Real::ZERO), x)
    }
}

/// x * y, 0 if one of them is 0, whatever the other.
#[inline(always)]
fn both<V: Vector>(x: V, y: V) -> V {
    times(unless_zero(x, y), y)
}

/// g q^{g-1} for q = 0: 0 for g = 0, infinite below 1 (of the sign of g), 1 at 1, 0 above.
#[inline(always)]
fn lost_power<V: Vector>(g: V) -> V {
    let zero = g.constant(V::Real::ZERO);
    let one = g.constant(V::Real::ONE);
    let infinite = -g.constant(V::Real::NEG_INFINITY);
    let below = V::select(g.lt(zero), -infinite, infinite);
    let below = V::select(g.equals(zero), zero, below);
    V::select(g.lt(one), below, V::select(g.equals(one), one, zero))
}

/// -log(x + `x_lo`) in two parts, for 0 <= x <= 1 and `x_lo` no more than its rounding error.
#[inline(always)]
fn minus_log<V: Vector>(x: V, x_lo: V) -> (V, V)
where
    V::Real: Scales,
{
    let zero = x.constant(V::Real::ZERO);
    let one = x.constant(V::Real::ONE);
    let unscale = x.constant(V::Real::P_UNSCALE);
    let infinite = -x.constant(V::Real::NEG_INFINITY);
    // The inverse of a subnormal number might overflow.
    let tiny = x.lt(unscale);
    let nothing = x.equals(zero);
    let scale = V::select(tiny, x.constant(V::Real::P_SCALE), one);
    let (x, x_lo) = (V::select(nothing, one, x * scale), x_lo * scale);
    let inverse = one / x;
    let product = inverse * x;
    let remainder = ((one - product) - inverse.product_error(x, product)) - inverse * x_lo;
    let (hi, lo) = log(inverse, remainder * inverse);
    let shift = x.constant(V::Real::P_SHIFT) - x.constant(V::Real::TO_INTEGER);
    let shift = V::select(tiny, shift, zero);
    let whole = shift * x.constant(V::Real::LN2_HI);
    // Either the shift is 0 or both are large.
    let sum = whole + hi;
    let lost = (hi - (sum - whole)) + shift * x.constant(V::Real::LN2_LO);
    (V::select(nothing, infinite, sum), V::select(nothing, zero, lo + lost))
}
