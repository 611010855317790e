//! The modulating factor of a label between 0 and 1, and both targets that such a label stands for.

use crate::loss::focal::{Gamma, Scales};
use crate::math::{exp_neg, log_scaled};
use crate::real::Real;
use crate::simd::Vector;

/// Targets of the less and of the more likely class, the first in two parts. They sum to 1.
#[derive(Clone, Copy)]
pub struct Labels<V> {
    /// The target of the less likely class.
    pub small: V,
    /// What rounding took from it.
    pub small_lo: V,
    /// The target of the more likely class.
    pub large: V,
    large_lo: V,
    /// The target of the more likely class less that of the other, to the last digit also near 0.
    pub difference: V,
}

impl<V: Vector> Labels<V> {
    /// The targets for a label y, `likely` being whether the positive class is the more likely one.
    /// Smoothing, by 1 - s and s/2, makes them y (1 - s) + s/2 and (1 - y) (1 - s) + s/2.
    #[inline(always)]
    pub fn new(y: V, likely: V::Mask, smoothing: Option<[V; 2]>) -> Self {
        let one = y.constant(V::Real::ONE);
        let zero = y.constant(V::Real::ZERO);
        let rest = one - y;
        let lost = (one - rest) - y;
        let (mut positive, mut negative, mut rest_lo, mut difference) = (y, rest, lost, (rest - y) + lost);
        if let Some([keep, half]) = smoothing {
            rest_lo = lost * keep;
            difference = difference * keep;
            positive = y.mul_add(keep, half);
            negative = rest.mul_add(keep, half);
        }
        Self {
            small: V::select(likely, negative, positive),
            small_lo: V::select(likely, rest_lo, zero),
            large: V::select(likely, positive, negative),
            large_lo: V::select(likely, zero, rest_lo),
            difference: V::select(likely, -difference, difference),
        }
    }

    /// All of one class: of the less likely one, or of the other.
    #[inline(always)]
    pub fn hard(like: V, small: bool) -> Self {
        let zero = like.constant(V::Real::ZERO);
        let one = like.constant(V::Real::ONE);
        let (small, large) = if small { (one, zero) } else { (zero, one) };
        Self { small, small_lo: zero, large, large_lo: zero, difference: large - small }
    }

    /// The mean of the weights of negatives and positives under these labels.
    #[inline(always)]
    pub fn weight(&self, likely: V::Mask, [negative, positive]: [V; 2]) -> V {
        let small = V::select(likely, negative, positive);
        let large = V::select(likely, positive, negative);
        small.mul_add(self.small, large * self.large)
    }
}

/// A factor m, times the power of two that its makers are given, and what follows from it.
#[derive(Clone, Copy)]
pub struct Factor<V> {
    /// m, as it came.
    pub given: V,
    /// m, or 1 where it is 0.
    pub m: V,
    /// dm/dp of the less likely class.
    pub k: V,
    /// What m is short of.
    lo: V,
}

impl<V: Vector> Factor<V>
where
    V::Real: Scales,
{
    /// m = y q + (1 - y) p. The probabilities of the less likely class and of the other are sums of two
    /// parts; the first one comes times `scale`, and so does m.
    #[inline(always)]
    pub fn mixture(
        labels: &Labels<V>,
        (small, small_lo): (V, V),
        (large, large_lo): (V, V),
        scale: V,
    ) -> Self {
        let target = labels.small * scale;
        let a = target * large;
        let a_lo = target.mul_add(large_lo, target.product_error(large, a));
        let a_lo = (labels.small_lo * scale).mul_add(large, a_lo);
        let b = labels.large * small;
        let b_lo = labels.large.mul_add(small_lo, labels.large.product_error(small, b));
        let b_lo = labels.large_lo.mul_add(small, b_lo);
        let sum = a + b;
        let lost = (a.max_or(b) - sum) + a.min_or(b);
        Self::new(sum, lost + (a_lo + b_lo), labels.difference)
    }

    /// m = |p - y|, with p, the sum of two parts, times `scale`, and so m.
    #[inline(always)]
    pub fn quality(labels: &Labels<V>, (small, small_lo): (V, V), scale: V) -> Self {
        let one = small.constant(V::Real::ONE);
        let zero = small.constant(V::Real::ZERO);
        let target = labels.small * scale;
        let difference = small - target;
        let subtracted = small - difference;
        let lost = (small - (difference + subtracted)) + (subtracted - target);
        let lo = labels.small_lo.neg_mul_add(scale, lost + small_lo);
        let d = difference + lo;
        let lo = (difference - d) + lo;
        let sign = V::select(zero.lt(d), one, V::select(d.lt(zero), -one, zero));
        Self::new(d.abs(), lo * sign, sign)
    }

    /// The factor m + lo with the slope k.
    #[inline(always)]
    fn new(given: V, lo: V, k: V) -> Self {
        let zero = given.constant(V::Real::ZERO);
        let is_zero = given.equals(zero);
        Self {
            given,
            m: V::select(is_zero, given.constant(V::Real::ONE), given),
            k,
            lo: V::select(is_zero, zero, lo),
        }
    }

    /// m^g over [`Scales::Q_UNSCALE`], where m is [`Scales::P_SCALE`] times too large, and -log m is
    /// `log_of_zero` where m is 0. For gammas with a class of their own products do; there m = 0 is 0.
    #[inline(always)]
    pub fn power(&self, gamma: &Gamma<V>, log_of_zero: V) -> V {
        let one = self.m.constant(V::Real::ONE);
        match gamma.class() {
            0 => one / one.constant(V::Real::Q_UNSCALE),
            1 => self.product::<1>(),
            2 => self.product::<2>(),
            3 => self.product::<3>(),
            _ => self.power_by_logarithm(gamma.hi_lo(), log_of_zero),
        }
    }

    /// As [`Factor::power`], of `N` factors m.
    #[inline(always)]
    fn product<const N: u8>(&self) -> V {
        let unscale = self.m.constant(V::Real::P_UNSCALE);
        let (m, m_lo) = (self.m * unscale, self.lo * unscale);
        // The first factor has the scale of the result, so that nothing on the way is smaller than that.
        let scale = unscale / unscale.constant(V::Real::Q_UNSCALE);
        let (mut power, mut lo) = (self.m * scale, self.lo * scale);
        let mut factors = 1;
        while factors < N {
            let product = power * m;
            lo = power.mul_add(m_lo, lo.mul_add(m, power.product_error(m, product)));
            power = product;
            factors += 1;
        }
        let zero = power.constant(V::Real::ZERO);
        V::select(self.given.equals(zero), zero, power + lo)
    }

    /// As [`Factor::power`], for any gamma, the sum of two parts.
    #[inline(always)]
    pub fn power_by_logarithm(&self, (gamma, gamma_lo): (V, V), log_of_zero: V) -> V {
        let zero = gamma.constant(V::Real::ZERO);
        let is_zero = self.given.equals(zero);
        let (log, log_lo) = log_scaled(self.m, self.lo, gamma.constant(V::Real::P_BITS));
        let (log, log_lo) = (V::select(is_zero, -log_of_zero, log), V::select(is_zero, zero, log_lo));
        let product = gamma * -log;
        let error = gamma.product_error(-log, product);
        let product_lo = gamma_lo.mul_add(-log, gamma.neg_mul_add(log_lo, error));
        // Smoothed labels may sum to a rounding error more than 1, and any gamma multiplies it.
        let product = gamma.constant(V::Real::OVERFLOW).max_or(product);
        let power = exp_neg(product, product_lo, V::Real::Q_SHIFT).scaled();
        // A NaN stays.
        V::select(gamma.constant(V::Real::UNDERFLOW).lt(product), zero, power)
    }
}

/// A loss of the form m^g CE at an element, folded: derivatives are those by the logit, or the probability,
/// of the less likely class. The weight is multiplied in at once.
pub trait Modulated<V> {
    /// weight * m^g.
    fn factor(&self, weight: V) -> V;

    /// The loss; a weight of 0 makes it 0 also where CE is infinite.
    fn value(&self, weight: V) -> V;

    /// The derivative of the loss.
    fn gradient(&self, weight: V) -> V;

    /// The second derivative of the loss.
    fn curvature(&self, weight: V) -> V;

    /// The derivative of the factor.
    fn factor_gradient(&self, weight: V) -> V;

    /// The second derivative of the factor.
    fn factor_curvature(&self, weight: V) -> V;
}
