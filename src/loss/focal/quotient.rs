//! What becomes of the scalar loss when the sum of the modulating factors is the denominator.
//!
//! With s = q^g, s' = -g q^g p and s'' = g q^g p (g p - q), the derivatives of V = sum(w f) / S, S = sum(s),
//! by one margin are
//!
//! ```text
//! V'  = (w f' - V s') / S            = -q^g [w q + g p (w L - V)] / S
//! V'' = (w f'' - V s'' - 2 V' s') / S
//!     = p q^g [(1 + 2g) w q + g (w L - V) (g p - q) + 2g V'] / S
//! ```
//!
//! In the code w and V are over S from the start.

use super::{Gamma, Margin, Scales};
use crate::loss::product::unless_zero;
use crate::real::Real;
use crate::simd::Vector;

impl<V: Vector, const POWER: u8> Margin<V, POWER>
where
    V::Real: Scales,
{
    /// weight * s.
    #[inline(always)]
    pub fn factor(&self, weight: V) -> V {
        self.modulated(weight)
    }

    /// x * s for a gamma of the general class and an x of any magnitude: nothing on the way is smaller than
    /// the product.
    #[inline(always)]
    pub fn scaled_factor(&self, x: V) -> V {
        let one = x.constant(V::Real::ONE);
        let unscale = x.constant(V::Real::Q_UNSCALE);
        let small = x.abs().lt(one);
        ((x * V::select(small, one, unscale)) * self.modulation) * V::select(small, unscale, one)
    }

    /// -weight * s'.
    #[inline(always)]
    pub fn factor_descent(&self, weight: V) -> V {
        self.modulated(weight) * (self.gamma.hi * self.p)
    }

    /// -V', given V / S as `mean`.
    #[inline(always)]
    pub fn quotient_descent(&self, weight: V, mean: V) -> V {
        let excess = unless_zero(unless_zero(self.excess(weight, mean), self.gamma.hi), self.p);
        let slope = (self.gamma.hi * excess).mul_add(self.p, weight * self.q);
        let factor = self.modulated(weight.constant(V::Real::ONE));
        factor * unless_zero(slope, factor)
    }

    /// V'', given 1 / S as `inverse` and -V' as `descent`.
    #[inline(always)]
    pub fn quotient_curvature(&self, weight: V, mean: V, inverse: V, descent: V) -> V {
        let Gamma { hi, one_plus_twice, .. } = self.gamma;
        let bend = hi.mul_add(self.p, -self.q) * self.excess(weight, mean);
        let own = (descent + descent).neg_mul_add(inverse, bend);
        let own = unless_zero(unless_zero(own, hi), self.p_scaled().0);
        let bracket = hi.mul_add(own, (one_plus_twice * weight) * self.q);
        let one = weight.constant(V::Real::ONE);
        let bracket = unless_zero(bracket, self.modulated(one));
        self.with_p(one, bracket) + weight.constant(V::Real::ZERO)
    }

    /// weight * L - mean.
    #[inline(always)]
    fn excess(&self, weight: V, mean: V) -> V {
        weight.mul_add(self.cross_entropy, -mean)
    }
}
