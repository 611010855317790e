//! The sigmoid focal loss by probabilities, for labels of 0, 1 and between.
//!
//! The losses of [`super::soft`] with p given instead of computed, and derivatives by p. With the factor
//! m and its slope k as there, q = 1 - p and CE = -y log p - (1 - y) log q:
//!
//! ```text
//! loss = m^g CE,   D = (1 - y) / q - y / p,   lambda = CE / m
//! d/dp = m^g [ D + g k lambda ]
//! d2/dp2 = m^(g-1) [ (1-y)/q (m/q + 2 g k) + y/p (m/p - 2 g k) + g (g-1) k^2 lambda ]
//! ```
//!
//! A hard label is the case y = 1 or y = 0 of `mixture`, and `expected` is a sum of the two.
//!
//! Folded as there: `small` is the probability of the less likely class, so that only it, and m where no
//! label weighs it, can come near 0. What is divided by them is weighted before: 0 stays 0, and nothing
//! overflows that the result does not. At `small` = 0 everything is the limit, which may be infinite.
//! The power is held times one over [`Scales::Q_UNSCALE`]; where it vanishes even so, so do the results.

use crate::loss::factor::{Factor, Labels, Modulated};
use crate::loss::focal::{Gamma, Scales};
use crate::math::log_scaled;
use crate::real::Real;
use crate::simd::{Isa, Kernel, Vector};

/// -log(x + lo) for x in (0, 1], also subnormal.
#[inline(always)]
fn neg_log<V: Vector>(x: V, lo: V) -> V
where
    V::Real: Scales,
{
    let scale = x.constant(V::Real::P_SCALE);
    let (hi, lo) = log_scaled(x * scale, lo * scale, x.constant(V::Real::P_BITS));
    -(hi + lo)
}

/// A probability, folded, with its logarithms.
#[derive(Clone, Copy)]
pub struct Point<V> {
    small: V,
    large: V,
    large_lo: V,
    /// -log small, and infinite at 0.
    loss_small: V,
    /// -log large.
    loss_large: V,
}

impl<V: Vector> Point<V>
where
    V::Real: Scales,
{
    /// The values at p, and whether the positive class is the likelier one.
    #[inline(always)]
    pub fn new(p: V) -> (Self, V::Mask) {
        let zero = p.constant(V::Real::ZERO);
        let one = p.constant(V::Real::ONE);
        let likely = p.constant(V::Real::HALF).lt(p);
        let rest = one - p;
        let rest_lo = (one - rest) - p;
        let small = V::select(likely, rest, p);
        let large = V::select(likely, p, rest);
        let large_lo = V::select(likely, zero, rest_lo);
        let infinity = -one.constant(V::Real::NEG_INFINITY);
        let loss_small = V::select(small.equals(zero), infinity, neg_log(small, zero));
        let loss_large = neg_log(large, large_lo);
        (Self { small, large, large_lo, loss_small, loss_large }, likely)
    }
}

/// The loss at a point for one pair of targets.
#[derive(Clone, Copy)]
pub struct Given<V> {
    point: Point<V>,
    labels: Labels<V>,
    /// m, times [`Scales::P_SCALE`].
    factor: Factor<V>,
    gamma: (V, V),
    /// CE, finite.
    cross_entropy: V,
    /// m^g over [`Scales::Q_UNSCALE`].
    power: V,
}

impl<V: Vector> Given<V>
where
    V::Real: Scales,
{
    /// The values for targets in one of the meanings that have a factor.
    #[inline(always)]
    pub fn new(point: Point<V>, labels: Labels<V>, quality: bool, gamma: &Gamma<V>) -> Self {
        point.small.isa().vectorize(New { point, labels, quality, gamma: *gamma })
    }

    #[inline(always)]
    fn compute(point: Point<V>, labels: Labels<V>, quality: bool, gamma: &Gamma<V>) -> Self {
        let scale = point.small.constant(V::Real::P_SCALE);
        // The probability of the less likely class is exact.
        let small = (point.small * scale, scale.constant(V::Real::ZERO));
        let factor = if quality {
            Factor::quality(&labels, small, scale)
        } else {
            Factor::mixture(&labels, small, (point.large, point.large_lo), scale)
        };
        let power = factor.power(gamma, -scale.constant(V::Real::LOWEST));
        let gamma = gamma.hi_lo();
        let highest = scale.constant(V::Real::SATURATED);
        let loss = highest.min_or(point.loss_small);
        let cross_entropy = labels.small.mul_add(loss, labels.large * point.loss_large);
        Self { point, labels, factor, gamma, cross_entropy, power }
    }

    /// lambda = CE / m; 1 where both are 0, and 0 where nothing is left of the `power` that it meets: it
    /// must be finite there.
    #[inline(always)]
    fn ratio(&self, power: V) -> V {
        let zero = power.constant(V::Real::ZERO);
        let one = power.constant(V::Real::ONE);
        let ratio = (self.cross_entropy * one.constant(V::Real::P_SCALE)) / self.factor.m;
        let ratio = V::select(self.factor.given.equals(zero), one, ratio);
        V::select(power.equals(zero), zero, ratio)
    }

    /// y / p of the less likely class over [`Scales::P_SCALE`], 0 for a label of 0.
    #[inline(always)]
    fn steepness(&self) -> V {
        let target = self.labels.small;
        let one = target.constant(V::Real::ONE);
        let divisor = self.point.small * target.constant(V::Real::P_SCALE);
        target / V::select(target.equals(target.constant(V::Real::ZERO)), one, divisor)
    }

    /// A modulated weight that is times 1 / [`Scales::Q_UNSCALE`], times y / p: small numbers meet large ones
    /// before either leaves the range.
    #[inline(always)]
    fn steep(&self, scaled: V) -> V {
        let zero = scaled.constant(V::Real::ZERO);
        let one = scaled.constant(V::Real::ONE);
        let scale = scaled.constant(V::Real::P_SCALE) * scaled.constant(V::Real::Q_UNSCALE);
        let small = scaled.abs().lt(one);
        let before = V::select(small, scale, one);
        let after = V::select(small, one, scale);
        V::select(scaled.equals(zero), zero, ((scaled * before) * self.steepness()) * after)
    }

    /// A weight, modulated. Where the loss is infinite only the sign of the factor counts, and it may have
    /// vanished.
    #[inline(always)]
    fn at_limit(&self, weight: V, modulated: V) -> V {
        let zero = weight.constant(V::Real::ZERO);
        let settled = V::select(self.labels.small.equals(zero), modulated, weight);
        V::select(self.point.small.equals(zero), settled, modulated)
    }

    /// The second derivative where m is 0: the limit for hard labels; for `quality`, singular there, 2 CE at
    /// gamma 2, the curvature of CE at gamma 0 and else 0.
    #[inline(always)]
    fn curvature_at_zero(&self, weight: V) -> V {
        let zero = weight.constant(V::Real::ZERO);
        let one = weight.constant(V::Real::ONE);
        let two = one + one;
        let gamma = self.gamma.0;
        let Point { small, large, .. } = self.point;
        let steep = self.steepness() * gamma.constant(V::Real::P_SCALE);
        let unmodulated = steep / small + (self.labels.large / large) / large;
        let at_two = V::select(gamma.equals(two), two * self.cross_entropy, zero);
        let soft = V::select(gamma.equals(zero), unmodulated, at_two);
        let at_one = V::select(gamma.equals(one), two, zero);
        let unbounded = V::select(gamma.lt(one), -gamma.constant(V::Real::NEG_INFINITY), at_one);
        let hard = V::select(gamma.equals(zero), one, unbounded);
        let limit = V::select(small.equals(zero), hard, soft);
        V::select(weight.equals(zero), zero, weight * limit)
    }
}

impl<V: Vector> Modulated<V> for Given<V>
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
        let idle = V::either(weight.equals(zero), self.labels.small.equals(zero));
        let loss = V::select(idle, self.point.small, self.point.loss_small);
        let modulated = self.at_limit(weight, self.factor(weight));
        modulated * self.labels.small.mul_add(loss, self.labels.large * self.point.loss_large)
    }

    #[inline(always)]
    fn gradient(&self, weight: V) -> V {
        let scaled = self.at_limit(weight, weight * self.power);
        let rest = self.labels.large / self.point.large;
        let regular = (self.gamma.0 * self.factor.k).mul_add(self.ratio(self.power), rest);
        (scaled * regular) * scaled.constant(V::Real::Q_UNSCALE) - self.steep(scaled)
    }

    #[inline(always)]
    fn curvature(&self, weight: V) -> V {
        weight.isa().vectorize(Curvature { given: self, weight })
    }

    #[inline(always)]
    fn factor_gradient(&self, weight: V) -> V {
        self.factor(weight) * self.turn() + weight * self.factor_slope_at_zero()
    }

    #[inline(always)]
    fn factor_curvature(&self, weight: V) -> V {
        let zero = weight.constant(V::Real::ZERO);
        let one = weight.constant(V::Real::ONE);
        let two = one + one;
        let (gamma, k) = (self.gamma.0, self.factor.k);
        let less = gamma - one;
        let again = (less * k) * (weight.constant(V::Real::P_SCALE) / self.factor.m);
        let turned = self.factor(weight) * self.turn();
        let regular = V::select(turned.equals(zero), zero, turned * again);
        // g (g - 1) k^2 m^(g-2) at m = 0: infinite or nothing on either side of 2.
        let at_two = V::select(gamma.equals(two), two, zero);
        let unbounded = less * -gamma.constant(V::Real::NEG_INFINITY);
        let whole = V::either(V::either(gamma.equals(zero), gamma.equals(one)), k.equals(zero));
        let below = V::select(whole, zero, unbounded);
        let limit = V::select(gamma.lt(two), below, at_two);
        regular + weight * V::select(self.factor.given.equals(zero), limit, zero)
    }
}

impl<V: Vector> Given<V>
where
    V::Real: Scales,
{
    /// The second derivative of the loss.
    #[inline(always)]
    fn computed_curvature(&self, weight: V) -> V {
        let zero = weight.constant(V::Real::ZERO);
        let one = weight.constant(V::Real::ONE);
        let scale = weight.constant(V::Real::P_SCALE);
        let m = self.factor.m * weight.constant(V::Real::P_UNSCALE);
        // m^(g-1), as a power of its own from g = 1 on: m^g may be 0 where it is not. Below, m^g / m, which
        // may be infinite where its product with m is not.
        let (gamma, gamma_lo) = self.gamma;
        let less = gamma - one;
        let less_lo = ((gamma - less) - one) + gamma_lo;
        let fractional = gamma.lt(one);
        let exponent = (V::select(fractional, gamma, less), V::select(fractional, gamma_lo, less_lo));
        let power = self.factor.power_by_logarithm(exponent, -zero.constant(V::Real::LOWEST));
        let tiny = self.factor.m.lt(one);
        let divisor = V::select(fractional, V::select(tiny, self.factor.m, m), one);
        let multiplier = V::select(fractional, V::select(tiny, scale, one), one);
        let scaled = self.at_limit(weight, (weight * power) / divisor);
        let unscale = weight.constant(V::Real::Q_UNSCALE);

        let Point { small, large, .. } = self.point;
        let turn = gamma * self.factor.k;
        let turns = turn + turn;
        let bend = (turn * (self.factor.k * less)) * self.ratio(power);
        let rest = self.labels.large / large;
        let regular = rest.mul_add(m / large + turns, bend);
        let steep = self.steep(scaled);
        let slope = V::select(steep.equals(zero), zero, self.factor.m / (small * scale) - turns);
        let sum = (scaled * regular).mul_add(unscale, steep * slope) * multiplier;
        let sum = V::select(scaled.equals(zero), zero, sum);
        V::select(self.factor.given.equals(zero), self.curvature_at_zero(weight), sum)
    }

    /// g k / m, 0 where m is 0 or nothing is left of its power.
    #[inline(always)]
    fn turn(&self) -> V {
        let zero = self.power.constant(V::Real::ZERO);
        let turn = (self.gamma.0 * self.factor.k) * self.power.constant(V::Real::P_SCALE);
        let none = V::either(self.power.equals(zero), self.factor.given.equals(zero));
        V::select(none, zero, turn / self.factor.m)
    }

    /// g k m^(g-1) where m is 0, and 0 elsewhere.
    #[inline(always)]
    fn factor_slope_at_zero(&self) -> V {
        let (gamma, k) = (self.gamma.0, self.factor.k);
        let zero = gamma.constant(V::Real::ZERO);
        let one = gamma.constant(V::Real::ONE);
        let infinite = k * -gamma.constant(V::Real::NEG_INFINITY);
        let flat = V::either(gamma.equals(zero), k.equals(zero));
        let below = V::select(flat, zero, infinite);
        let limit = V::select(gamma.lt(one), below, V::select(gamma.equals(one), k, zero));
        V::select(self.factor.given.equals(zero), limit, zero)
    }
}

/// [`Given::new`], compiled by itself: the whole of a group in one piece takes the compiler minutes where
/// vectors are plain arrays.
struct New<V> {
    point: Point<V>,
    labels: Labels<V>,
    quality: bool,
    gamma: Gamma<V>,
}

impl<V: Vector> Kernel for New<V>
where
    V::Real: Scales,
{
    type Output = Given<V>;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> Given<V> {
        Given::compute(self.point, self.labels, self.quality, &self.gamma)
    }
}

/// [`Modulated::curvature`], compiled by itself.
struct Curvature<'a, V> {
    given: &'a Given<V>,
    weight: V,
}

impl<V: Vector> Kernel for Curvature<'_, V>
where
    V::Real: Scales,
{
    type Output = V;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> V {
        self.given.computed_curvature(self.weight)
    }
}
