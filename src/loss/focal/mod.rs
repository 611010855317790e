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

use crate::real::Real;
use crate::simd::Vector;

mod fold;
mod gamma;
mod middle;
mod quotient;
mod scales;

pub use fold::{FOLD, Fold};
pub use gamma::{Gamma, power};
pub use middle::Middle;
pub use scales::{Scales, split_scale};

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
        Middle::unfold::<LOW>(z, z_lo, fold).margin_at::<POWER, LOW>(gamma)
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
    ///
    /// Near its root the sign is one of rounding. Where the product vanishes it must not be seen: instruction sets that
    /// round otherwise would have another zero.
    #[inline(always)]
    pub fn curvature(&self, weight: V) -> V {
        let bracket = if POWER == 0 {
            self.q
        } else {
            let scaled_loss = self.gamma.hi * self.cross_entropy;
            self.q.mul_add(self.gamma.one_plus_twice - scaled_loss, (self.gamma.hi * self.p) * scaled_loss)
        };
        self.with_p(weight, bracket) + weight.constant(V::Real::ZERO)
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
