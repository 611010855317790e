//! The sigmoid focal loss for labels between 0 and 1, by logits.
//!
//! With p = sigmoid(x), q = 1 - p, y the label and CE = -y log p - (1 - y) log q, two of the three
//! meanings of a soft label have the form m^g CE, where the factor m is linear in p:
//!
//! ```text
//! mixture:  m = y q + (1 - y) p,  k = dm/dp = 1 - 2y        (torchvision, Keras, optax)
//! quality:  m = |p - y|,          k = sign(p - y)           (Li et al., "Generalized Focal Loss", 2020)
//!
//! loss = m^g CE,   T = p - y,   r = p q / m,   t = g r
//! d/dx = m^g [ T + t k CE ]
//! d2/dx2 = m^g [ p q + t (2 k T + CE (k (q - p) + (t - r) k^2)) ]
//! ```
//!
//! They follow from dp/dx = p q, CE' = T and dm/dx = k p q. The third, `expected`, is
//! y f(x) + (1 - y) f(-x) with the f of [`super::focal`]; nothing of it stands here.
//!
//! # Folding
//!
//! Exchanging the classes changes x to -x and y to 1 - y. So the formulas are evaluated for the class
//! that is the less likely of the two, whose probability `small` is at most 1/2 and known to its last
//! digit however small it is; gradients change their sign where that class is the negative one.
//!
//! # Where the digits go
//!
//! m^g is exp(g log m), which multiplies a relative error of m by g: m comes in two parts, and so does
//! its logarithm; for g = 1, 2, 3 products of both parts do. For `quality` nothing more can be had than
//! p - y for a p that is rounded. The factor is held times [`Scales::P_SCALE`], and so are p q and r where p
//! is tiny: all of them may be subnormal where neither a small power of m nor its product with a logit is.

use crate::loss::factor::{Factor, Labels, Modulated};
use crate::loss::focal::{Fold, Gamma, Margin, Scales};
use crate::real::Real;
use crate::simd::Vector;

/// An element, folded: the intermediate values from which the loss, its derivatives and those of the
/// modulating factor are read.
#[derive(Clone, Copy)]
pub struct Soft<V> {
    magnitude: V,
    small: V,
    large: V,
    /// Loss of the more likely class.
    softplus: V,
    cross_entropy: V,
    /// T, the derivative of CE.
    slope: V,
    labels: Labels<V>,
    k: V,
    r: V,
    /// p q and r times a power of two that keeps them normal.
    variance: V,
    r_scaled: V,
    /// One over that power.
    unscale: V,
    /// 2 where m is 0 and gamma 2, else 0: there the exact Hessian of `quality` is 2 CE (p q)^2.
    singular: V,
    gamma: V,
    /// m^g over [`Scales::Q_UNSCALE`].
    power: V,
}

impl<V: Vector> Soft<V>
where
    V::Real: Scales,
{
    /// The values at a logit, from its fold, under the targets of the less and the more likely class. A NaN comes
    /// through to every result.
    #[inline(always)]
    pub fn new(x: V, fold: Fold<V>, labels: Labels<V>, quality: bool, gamma: &Gamma<V>) -> Self {
        let zero = x.constant(V::Real::ZERO);
        let one = x.constant(V::Real::ONE);
        let p_scale = x.constant(V::Real::P_SCALE);
        let magnitude = x.abs();
        let margin = Margin::<V, 0>::of(-magnitude, fold, gamma);
        let (small, large) = margin.probabilities();
        let (scaled, scaled_lo) = margin.p_scaled();
        let factor = if quality {
            Factor::quality(&labels, (scaled, scaled_lo), p_scale)
        } else {
            Factor::mixture(&labels, (scaled, scaled_lo), (large, (one - large) - small), p_scale)
        };
        // A factor of 0 is that of a saturated logit beside a hard label, exp(-|x|), or the singular point.
        let highest = -x.constant(V::Real::LOWEST);
        let limit = x.constant(V::Real::SATURATED);
        let ordinary = magnitude.lt(limit);
        let log_of_zero = V::select(ordinary, highest, highest.min_or(magnitude));
        let power = factor.power(gamma, log_of_zero);

        let tiny = (-magnitude).lt(x.constant(V::Real::P_SMALL));
        let scale = V::select(tiny, p_scale, one);
        let unscale = V::select(tiny, x.constant(V::Real::P_UNSCALE), one);
        let variance = V::select(tiny, scaled, small) * large;
        let is_zero = factor.given.equals(zero);
        let r_scaled = V::select(is_zero, V::select(ordinary, zero, scale), (variance * p_scale) / factor.m);
        // Where nothing is left of the factor, what it is multiplied with must be finite.
        let r_scaled = V::select(power.equals(zero), zero, r_scaled);
        let softplus = margin.softplus();
        let (gamma, _) = gamma.hi_lo();
        let two = one + one;
        Self {
            magnitude,
            small,
            large,
            softplus,
            cross_entropy: labels.small.mul_add(limit.min_or(magnitude) + softplus, labels.large * softplus),
            slope: (small - labels.small) - labels.small_lo,
            labels,
            k: factor.k,
            r: r_scaled * unscale,
            variance,
            r_scaled,
            unscale,
            singular: V::select(is_zero, V::select(gamma.equals(two), two, zero), zero),
            gamma,
            power,
        }
    }

    /// k (q - p) + (g - 1) k^2 r.
    #[inline(always)]
    fn bend(&self) -> V {
        let excess = self.gamma.mul_add(self.r, -self.r);
        self.k * self.k.mul_add(excess, self.large - self.small)
    }

    /// p q without its scale.
    #[inline(always)]
    fn variance(&self) -> V {
        self.variance * self.unscale
    }
}

impl<V: Vector> Modulated<V> for Soft<V>
where
    V::Real: Scales,
{
    #[inline(always)]
    fn factor(&self, weight: V) -> V {
        (weight * weight.constant(V::Real::Q_UNSCALE)) * self.power
    }

    #[inline(always)]
    fn value(&self, weight: V) -> V {
        let zero = weight.constant(V::Real::ZERO);
        let infinity = -weight.constant(V::Real::NEG_INFINITY);
        let idle = V::either(weight.equals(zero), self.labels.small.equals(zero));
        let highest = V::select(idle, -weight.constant(V::Real::LOWEST), infinity);
        let loss = highest.min_or(self.magnitude) + self.softplus;
        // At the limit only the sign of the factor counts, and it may have vanished.
        let modulated = V::select(self.magnitude.equals(infinity), weight, self.factor(weight));
        modulated * self.labels.small.mul_add(loss, self.labels.large * self.softplus)
    }

    #[inline(always)]
    fn gradient(&self, weight: V) -> V {
        let turn = (self.gamma * self.k) * self.r;
        self.factor(weight) * turn.mul_add(self.cross_entropy, self.slope)
    }

    #[inline(always)]
    fn curvature(&self, weight: V) -> V {
        let slope = self.k * self.slope;
        let bracket = self.cross_entropy.mul_add(self.bend(), slope + slope);
        let sum = (self.gamma * self.r_scaled).mul_add(bracket, self.variance);
        let variance = self.variance();
        let kept = ((self.singular * self.cross_entropy) * variance) * variance;
        weight.mul_add(kept, (self.factor(weight) * sum) * self.unscale)
    }

    #[inline(always)]
    fn factor_gradient(&self, weight: V) -> V {
        self.factor(weight) * ((self.gamma * self.k) * self.r)
    }

    #[inline(always)]
    fn factor_curvature(&self, weight: V) -> V {
        let variance = self.variance();
        let kept = (self.singular * variance) * variance;
        weight.mul_add(kept, self.factor(weight) * ((self.gamma * self.r) * self.bend()))
    }
}
