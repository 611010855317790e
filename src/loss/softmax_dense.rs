//! The softmax focal loss of a row of logits with a target for every class.
//!
//! With p_c the probabilities, q_c = 1 - p_c, L_c = -log p_c, targets y_c, weights a_c and exponents g_c,
//!
//! ```text
//! loss = sum_c y_c a_c q_c^g L_c
//! F'_c = q^g + g q^{g-1} p L                         -p dF/dp of q^g L
//! F''_c = p q^{g-2} [2 g q + g L (g p - 1)]          -p dF'/dp
//! grad_j = p_j M - y_j a_j F'_j,                     M = sum_c y_c a_c F'_c
//! H_jj = M p_j (1 - p_j) + sum_c y_c a_c F''_c (p_j - [c = j])^2
//! ```
//!
//! by the chain rule (dp_c/dz_j = p_c ([c = j] - p_j)). With g constant and one y_c = 1 this is the loss of
//! [`crate::loss::softmax`].
//!
//! For the quotient V = sum(w loss) / S, where S is the sum of all y_c q_c^g, the same derivation with
//! w a q^g L - V q^g in the place of a q^g L gives
//!
//! ```text
//! K'_c  = q^{g-1} [w a q + g p (w a L - V)]              for a F'
//! K''_c = g p q^{g-2} [2 w a q + (g p - 1) (w a L - V)]  for a F''
//! V'_j  = (p_j M - y_j K'_j) / S                         with M = sum_c y_c K'_c
//! V''_j = (what H_jj becomes - 2 V'_j S'_j) / S
//! ```
//!
//! and S'_j is the gradient with g p q^{g-1} in the place of a F'. In the code w and V are over S from the
//! start.
//!
//! # Where the digits go
//!
//! Only the largest class t can have q near 0. It is described by its margin u, with q_t F'_t = -f'(u), and
//! the others by their shares pi_j = p_j / q_t, as in [`crate::loss::softmax`]. With D = -y_t a_t f'(u),
//! M and B the sums of y a F' and y a F'' over the others,
//!
//! ```text
//! grad_j = pi_j (D + q_t M) - y_j a_j F'_j           grad_t = p_t M - D
//! H_jj = pi_j [(D + q_t M) (1 - pi_j) + pi_j C] + y_j a_j F''_j (1 - 2 p_j)
//! H_tt = y_t a_t f''(u) + p_t q_t M + p_t^2 B
//! C    = y_t a_t f''(u) + p_t q_t M + q_t^2 B
//! ```
//!
//! so that the first term of either is what [`Factor`](crate::loss::softmax::Factor) and
//! [`Bend`](crate::loss::softmax::Bend) make of it. For the others q is at least 1/2, and
//! -log q = log1p(p / q).

use crate::loss::focal::{Gamma, Margin, Scales, power};
use crate::loss::product::unless_zero;
use crate::loss::softmax::{Factor, Row};
use crate::math::{exp_neg, log1p};
use crate::real::Real;
use crate::simd::Vector;

/// What the classes but the largest need of their row.
#[derive(Clone, Copy)]
pub struct Shares<V> {
    /// What the scaled exponentials are multiplied with, one after the other, for the scaled probabilities:
    /// the product with the first is a normal number unless the second product is none.
    pub first: V,
    /// The second.
    pub second: V,
    /// The largest logit but one.
    pub max: V,
    /// What its distance from a logit lacks of L.
    pub base: V,
    /// w, what multiplies the weights of classes.
    pub weight: V,
    /// V, or 0 if there is no quotient.
    pub mean: V,
}

impl<V: Vector> Shares<V>
where
    V::Real: Scales,
{
    /// From the row, the largest logit but one, w and V.
    #[inline(always)]
    pub fn new(row: &Row<V>, max: V, weight: V, mean: V, gamma: &Gamma<V>) -> Self {
        let one = max.constant(V::Real::ONE);
        let unscale = max.constant(V::Real::P_UNSCALE);
        let opposite = row.at_opposite(gamma);
        let far = opposite.p().lt(max.constant(V::Real::Q_UNSCALE));
        Self {
            first: row.inverse() * V::select(far, opposite.p_scaled().0, opposite.p()),
            second: V::select(far, unscale, one),
            max,
            base: row.log_total() + opposite.value(one),
            weight,
            mean,
        }
    }

    /// p times [`Scales::P_SCALE`], from the scaled exponential.
    #[inline(always)]
    pub fn p_scaled(&self, exp: V) -> V {
        (exp * self.first) * self.second
    }
}

/// What a class but the largest adds to its row.
#[derive(Clone, Copy)]
pub struct Class<V> {
    /// p times [`Scales::P_SCALE`].
    p_scaled: V,
    p: V,
    /// 1 / q.
    inverse: V,
    /// q^g.
    modulation: V,
    /// L.
    loss: V,
    gamma: V,
}

impl<V: Vector> Class<V>
where
    V::Real: Scales,
{
    /// From the scaled exponential and the logit, and gamma in two parts.
    #[inline(always)]
    pub fn new<const POWER: u8>(row: &Shares<V>, exp: V, logit: V, gamma: [V; 2]) -> Self {
        let one = exp.constant(V::Real::ONE);
        let zero = exp.constant(V::Real::ZERO);
        let p_scaled = row.p_scaled(exp);
        let p = p_scaled * exp.constant(V::Real::P_UNSCALE);
        let q = one - p;
        let inverse = one / q;
        let [g, g_lo] = gamma;
        let modulation = if POWER == power::GENERAL {
            let (minus_log, minus_log_lo) = log1p(p * inverse, zero, q);
            let product = g * minus_log;
            let power = exp_neg(product, g.mul_add(minus_log_lo, g_lo * minus_log), V::Real::P_SHIFT);
            let (head, _) = power.scaled_by(V::Real::P_UNSCALE);
            let vanishes = product.constant(V::Real::UNDERFLOW).lt(product);
            V::select(vanishes, zero, head)
        } else {
            let mut product = one;
            let mut i = 0;
            while i < POWER {
                product = product * q;
                i += 1;
            }
            product
        };
        let loss = (row.max - logit) + row.base;
        Self { p_scaled, p, inverse, modulation, loss, gamma: g }
    }

    /// p.
    #[inline(always)]
    pub fn p(&self) -> V {
        self.p
    }

    /// weight * q^g.
    #[inline(always)]
    pub fn factor(&self, weight: V) -> V {
        weight * self.modulation
    }

    /// weight * q^g * L, 0 for a weight of 0 even where the loss is infinite.
    #[inline(always)]
    pub fn value(&self, weight: V) -> V {
        let nothing = weight.equals(weight.constant(V::Real::ZERO));
        weight * (self.modulation * V::select(nothing, self.bounded(), self.loss))
    }

    /// w a F', in a quotient less V times the same of q^g.
    #[inline(always)]
    pub fn slope(&self, row: &Shares<V>, alpha: V) -> V {
        let weight = row.weight * alpha;
        let descent = self.descent();
        descent.mul_add(unless_zero(self.excess(row, weight), descent), weight * self.modulation)
    }

    /// g q^{g-1} p, what stands for F' in the derivative of q^g.
    #[inline(always)]
    pub fn descent(&self) -> V {
        (self.modulation * self.gamma) * (self.p * self.inverse)
    }

    /// w a F'', in a quotient less V times the same of q^g; times [`Scales::P_SCALE`].
    #[inline(always)]
    pub fn bend(&self, row: &Shares<V>, alpha: V) -> V {
        let one = alpha.constant(V::Real::ONE);
        let weight = row.weight * alpha;
        let rate = self.gamma.mul_add(self.p, -one) * self.inverse;
        let scaled = (self.modulation * self.gamma) * (self.p_scaled * self.inverse);
        scaled * unless_zero(rate.mul_add(self.excess(row, weight), weight + weight), scaled)
    }

    /// w a L - V, for an L that is only looked at where p is not 0.
    #[inline(always)]
    fn excess(&self, row: &Shares<V>, weight: V) -> V {
        weight.mul_add(self.bounded(), -row.mean)
    }

    /// L, bounded where p is 0.
    #[inline(always)]
    fn bounded(&self) -> V {
        let limit = self.loss.constant(V::Real::SATURATED);
        (limit + limit).min_or(self.loss)
    }
}

/// The sums over the classes but the largest.
#[derive(Clone, Copy)]
pub struct Others<V> {
    /// M.
    pub slope: V,
    /// B times [`Scales::P_SCALE`].
    pub bend: V,
}

/// What is left of a row's derivatives once its classes are summed up.
#[derive(Clone, Copy)]
pub struct Mixture<V> {
    /// Minus the largest class' gradient.
    pub own: V,
    /// D + q M.
    pub descent: V,
}

impl<V: Vector> Mixture<V>
where
    V::Real: Scales,
{
    /// The gradient, from D and M.
    #[inline(always)]
    pub fn new<const POWER: u8>(row: &Row<V>, margin: &Margin<V, POWER>, descent: V, slope: V) -> Self {
        let opposite = row.at_opposite(&margin.gamma());
        Self {
            own: margin.p().neg_mul_add(slope, descent),
            descent: descent + Factor::new(slope).of(opposite.p_scaled().0),
        }
    }
}

/// The largest class' Hessian, and C, from y_t a_t f''(u).
#[inline(always)]
pub fn curvatures<V: Vector, const POWER: u8>(
    row: &Row<V>,
    margin: &Margin<V, POWER>,
    own: V,
    others: Others<V>,
) -> [V; 2]
where
    V::Real: Scales,
{
    let unscale = own.constant(V::Real::P_UNSCALE);
    let opposite = row.at_opposite(&margin.gamma());
    let (p, q) = (margin.p(), opposite.p());
    let mixed = opposite.p_scaled().0 * (p * others.slope);
    [
        p.mul_add(p * others.bend, mixed).mul_add(unscale, own),
        q.mul_add(q * others.bend, mixed).mul_add(unscale, own),
    ]
}
