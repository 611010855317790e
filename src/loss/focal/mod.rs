//! The scalar focal loss: f(z) = q^g L and its two derivatives, from one set of intermediate values.
//!
//! Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 4, in terms of the
//! signed logit z of the true class. With p = sigmoid(z), q = 1 - p, L = -log p = softplus(-z) and
//! g = gamma:
//!
//! ```text
//! f   = q^g L
//! f'  = -q^g (q + g p L)
//! f'' = p q^g [ q ((1 + 2g) - g L) + g^2 p L ]
//! ```
//!
//! The derivatives follow from q' = -p q, p' = p q, L' = -q. No power is negative, so 0 < g < 1 is as
//! safe as any other gamma.
//!
//! # Where the digits go
//!
//! Everything comes from e = exp(-|z|), kept in two parts. The smaller of p and q is e / (1 + e),
//! corrected by its own remainder; the larger is 1 minus that. L = max(-z, 0) + log1p(e). A power q^g
//! is exp(g log q), where -log q = max(z, 0) + log1p(e) and g are kept in two parts, because the
//! exponential multiplies an error of its argument by |g log q|. For g = 1, 2, 3 products do.
//!
//! p falls below the normal numbers long before p g L does, so the Hessian holds it scaled.

use crate::math::{ExpConstants, exp_neg, log1p};
use crate::real::Real;
use crate::simd::Vector;

mod fold;
mod quotient;

pub use fold::{FOLD, Fold};

/// A class of gammas that has a form of its own.
pub mod power {
    /// Any gamma.
    pub const GENERAL: u8 = u8::MAX;
    /// A whole number up to [`LARGEST_PRODUCT`] that is known while the program runs.
    pub const WHOLE: u8 = u8::MAX - 1;
    /// The largest whole gamma that is computed by products.
    pub const LARGEST_PRODUCT: u8 = 3;

    /// The class of a gamma: itself for 0, 1, 2, 3, else [`GENERAL`].
    pub fn of(gamma: f64) -> u8 {
        (0..=LARGEST_PRODUCT).find(|&whole| f64::from(whole) == gamma).unwrap_or(GENERAL)
    }
}

/// Gamma and what the formulas need of it, each rounded once from the exact number.
#[derive(Clone, Copy, Debug)]
pub struct Gamma<R> {
    hi: R,
    lo: R,
    one_plus_twice: R,
    /// Its class ([`power::of`]); [`power::GENERAL`] also where lanes differ.
    class: u8,
}

impl<R: Real> Gamma<R> {
    /// The constants of a gamma.
    pub fn new(gamma: f64) -> Self {
        let gamma = gamma.min(R::GAMMA_MAX);
        let hi = R::from_f64(gamma);
        let lo = R::from_f64(gamma - hi.to_f64());
        Self { hi, lo, one_plus_twice: R::from_f64(1.0 + 2.0 * gamma), class: power::of(gamma) }
    }
}

impl<R: Real> Gamma<R> {
    /// The constants in vectors.
    #[inline(always)]
    pub fn splat<V: Vector<Real = R>>(self, isa: V::Isa) -> Gamma<V> {
        let Self { hi, lo, one_plus_twice, class } = self;
        let one_plus_twice = V::splat(isa, one_plus_twice);
        Gamma { hi: V::splat(isa, hi), lo: V::splat(isa, lo), one_plus_twice, class }
    }

    /// The constants one by one, as [`Gamma::of_parts`] takes them.
    #[inline(always)]
    pub fn parts(self) -> [R; 3] {
        [self.hi, self.lo, self.one_plus_twice]
    }
}

impl<V: Vector> Gamma<V> {
    /// Gammas that differ from lane to lane, each the sum of two parts.
    #[inline(always)]
    pub fn of_lanes(hi: V, lo: V) -> Self {
        let one = hi.constant(V::Real::ONE);
        let two = one + one;
        Self { hi, lo, one_plus_twice: two.mul_add(lo, two.mul_add(hi, one)), class: power::GENERAL }
    }

    /// Its class: known while the program runs, the same for all lanes.
    #[inline(always)]
    pub fn class(&self) -> u8 {
        self.class
    }

    /// Gamma as the sum of two parts.
    #[inline(always)]
    pub fn hi_lo(&self) -> (V, V) {
        (self.hi, self.lo)
    }

    /// A gamma for each lane, from the lanes of the [`Gamma::parts`].
    #[inline(always)]
    pub fn of_parts([hi, lo, one_plus_twice]: [V; 3]) -> Self {
        Self { hi, lo, one_plus_twice, class: power::GENERAL }
    }
}

impl<V: Vector> Gamma<V>
where
    V::Real: Scales,
{
    /// A gamma of which only [`Gamma::number`] and [`Gamma::power_of_q`] are asked, from its first two parts.
    #[inline(always)]
    pub fn from_parts(hi: V, lo: V) -> Self {
        let one = hi.constant(V::Real::ONE);
        Self { hi, lo, one_plus_twice: one + (hi + hi), class: power::GENERAL }
    }

    /// Gamma, rounded.
    #[inline(always)]
    pub fn number(&self) -> V {
        self.hi
    }

    /// q^g over [`Scales::Q_UNSCALE`], where -log q is the sum of a large and a small number, the latter
    /// in two parts.
    #[inline(always)]
    pub fn power_of_q(self, positive_part: V, softplus: V, softplus_lo: V) -> V {
        let larger = positive_part.max_or(softplus);
        let smaller = positive_part.min_or(softplus);
        let hi = larger + smaller;
        let lo = ((larger - hi) + smaller) + softplus_lo;
        let product = self.hi * hi;
        let error = self.hi.product_error(hi, product);
        let product_lo = self.lo.mul_add(hi, self.hi.mul_add(lo, error));
        let power = exp_neg(product, product_lo, V::Real::Q_SHIFT).scaled();
        let in_range = product.lt(product.constant(V::Real::UNDERFLOW));
        V::select(in_range, power, product.constant(V::Real::ZERO))
    }
}

/// The intermediate values at a margin z, from which the loss and its derivatives are read.
///
/// What is not read is not computed: after inlining the compiler drops it.
#[derive(Clone, Copy)]
pub struct Margin<V, const POWER: u8> {
    /// z as it came.
    z: V,
    p: V,
    q: V,
    /// p * [`Scales::P_SCALE`], 0 where z is saturated.
    p_scaled: V,
    /// What `p_scaled` is short of, for z <= 0.
    p_scaled_lo: V,
    /// log1p(exp(-|z|)).
    softplus: V,
    /// L, for finite logits: the formulas multiply it by p, which is 0 where L would be infinite.
    cross_entropy: V,
    /// What weights are multiplied with to modulate them: q, or for a gamma of no class of its own over [`Scales::Q_UNSCALE`].
    modulation: V,
    gamma: Gamma<V>,
}

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

impl<V: Vector, const POWER: u8> Margin<V, POWER>
where
    V::Real: Scales,
{
    /// The intermediate values at z. A NaN comes through to every result.
    #[inline(always)]
    pub fn new(z: V, gamma: &Gamma<V>) -> Self {
        Self::of(z, Fold::new(z), gamma)
    }

    /// The second half of [`Margin::new`], from the fold of z or of -z.
    #[inline(always)]
    pub fn of(z: V, fold: Fold<V>, gamma: &Gamma<V>) -> Self {
        Self::unfold::<false>(z, z.constant(V::Real::ZERO), fold, gamma)
    }

    /// The intermediate values at z + `z_lo`, where `z_lo` is no more than the rounding error of z.
    /// Without `LOW` it is not looked at.
    #[inline(always)]
    pub fn at<const LOW: bool>(z: V, z_lo: V, gamma: &Gamma<V>) -> Self {
        Self::unfold::<LOW>(z, z_lo, Fold::at::<LOW>(z, z_lo), gamma)
    }

    #[inline(always)]
    fn unfold<const LOW: bool>(z: V, z_lo: V, fold: Fold<V>, gamma: &Gamma<V>) -> Self {
        let Fold { exponential } = fold;
        let zero = z.constant(V::Real::ZERO);
        let one = z.constant(V::Real::ONE);
        let limit = z.constant(V::Real::SATURATED);

        // At 0, where both sides are the same, either will do: the sign bit alone tells them apart.
        let likely = (-z).is_negative();
        // What z_lo adds to max(z, 0) and to max(-z, 0).
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

        let scale = z.constant(V::Real::P_SCALE);
        let tiny = z.lt(z.constant(V::Real::P_SMALL));
        let (e_scaled, e_scaled_lo) = exponential.parts();
        let is_within = (-limit).lt(z);
        let vanishing = V::select(is_within, e_scaled, zero);
        let p_scaled = V::select(tiny, vanishing, p * scale);
        let small_lo = remainder.mul_add(inverse, quotient - small);
        let vanishing_lo = V::select(is_within, e_scaled_lo, zero);
        let p_scaled_lo = V::select(tiny, vanishing_lo, small_lo * scale);
        Self {
            z,
            p,
            q,
            p_scaled,
            p_scaled_lo,
            softplus,
            cross_entropy: limit.min_or(zero.max_or(-z)) + softplus,
            modulation,
            gamma: *gamma,
        }
    }

    /// Gamma.
    #[inline(always)]
    pub fn gamma(&self) -> Gamma<V> {
        self.gamma
    }

    /// p.
    #[inline(always)]
    pub fn p(&self) -> V {
        self.p
    }

    /// p and q.
    #[inline(always)]
    pub fn probabilities(&self) -> (V, V) {
        (self.p, self.q)
    }

    /// p times [`Scales::P_SCALE`], as the sum of two parts for z <= 0; 0 where z is saturated.
    #[inline(always)]
    pub fn p_scaled(&self) -> (V, V) {
        (self.p_scaled, self.p_scaled_lo)
    }

    /// 1 - p.
    #[inline(always)]
    pub fn q(&self) -> V {
        self.q
    }

    /// log1p(exp(-|z|)): the loss of the likelier class.
    #[inline(always)]
    pub fn softplus(&self) -> V {
        self.softplus
    }

    /// weight * q^g.
    #[inline(always)]
    fn modulated(&self, weight: V) -> V {
        if POWER == power::GENERAL {
            return (weight * weight.constant(V::Real::Q_UNSCALE)) * self.modulation;
        }
        // The weight first: no product on the way is smaller than the last.
        let class = if POWER == power::WHOLE { self.gamma.class } else { POWER };
        let mut product = weight;
        // No loop: known or not, the number of products is the same for all elements.
        if class >= 1 {
            product = product * self.modulation;
        }
        if class >= 2 {
            product = product * self.modulation;
        }
        if class >= power::LARGEST_PRODUCT {
            product = product * self.modulation;
        }
        product
    }

    /// q + g p L, the part of f' that is not the modulating factor.
    #[inline(always)]
    fn slope(&self) -> V {
        if POWER == 0 { self.q } else { (self.gamma.hi * self.cross_entropy).mul_add(self.p, self.q) }
    }

    /// weight * f(z) for a weight other than 0: the loss at z = -inf is inf.
    #[inline(always)]
    pub fn value(&self, weight: V) -> V {
        let zero = weight.constant(V::Real::ZERO);
        self.modulated(weight) * (zero.max_or(-self.z) + self.softplus)
    }

    /// weight * f(z), 0 for a weight of 0 even where the loss is infinite.
    #[inline(always)]
    pub fn value_or_zero(&self, weight: V) -> V {
        let infinite = weight.constant(V::Real::NEG_INFINITY);
        let lowest = V::select(
            weight.equals(weight.constant(V::Real::ZERO)),
            weight.constant(V::Real::LOWEST),
            infinite,
        );
        Self { z: lowest.max_or(self.z), ..*self }.value(weight)
    }

    /// -weight * f'(z).
    #[inline(always)]
    pub fn descent(&self, weight: V) -> V {
        self.modulated(weight) * self.slope()
    }

    /// weight * f''(z).
    #[inline(always)]
    pub fn curvature(&self, weight: V) -> V {
        let bracket = if POWER == 0 {
            self.q
        } else {
            let scaled_loss = self.gamma.hi * self.cross_entropy;
            self.q.mul_add(self.gamma.one_plus_twice - scaled_loss, (self.gamma.hi * self.p) * scaled_loss)
        };
        self.with_p(weight, bracket)
    }

    /// -weight * p * f'(z): the Gauss-Newton Hessian.
    #[inline(always)]
    pub fn gauss_newton(&self, weight: V) -> V {
        self.with_p(weight, self.slope())
    }

    /// weight * q^g * p * factor, rounded into the subnormal numbers only once, and infinite only if that is.
    #[inline(always)]
    fn with_p(&self, weight: V, factor: V) -> V {
        let modulated = self.modulated(weight);
        let (before, after) = split_scale(modulated, V::Real::P_ROOT);
        (((modulated * before) * self.p_scaled) * factor) * after
    }
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
