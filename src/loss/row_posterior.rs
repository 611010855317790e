//! The posteriors of a row of scores, if a model minimised the softmax focal loss.
//!
//! Source: Charoenphakdee et al., "On Focal Loss for Class-Posterior Probability Estimation" (2021), theorem 11: the
//! expected loss of posteriors eta has its minimum where `p_j sum_c eta_c a_c F_c = eta_j a_j F_j` for every class j, with
//! F = -dl/dlog p, so that eta_j is proportional to `p_j / (a_j F_j)`. Without any alpha:
//!
//! ```text
//! F = q^g (1 + g p L / q),     p the softmax, q = 1 - p, L = -log p
//! ```
//!
//! The sigmoid modulator has no such minimum; there eta_j is by definition proportional to
//! `p_j / (a_j (1 + g sigmoid(z_j) L_j))`.
//!
//! # Where the digits go
//!
//! With m the largest score, e_j = exp(z_j - m) and T their sum, p_j is e_j / T. A class below the largest has
//! q_j >= 1/2. Of the largest, q is S / T with S the sum of all e but one that is 1: nothing is taken from 1 there. Where
//! gamma is 2 all are products, relative to F of the largest class. Else q^-g is exp(g Q), Q = -log q, and the exponents
//! g Q - (m - z) are held in two parts, relative to the largest of them.

use crate::loss::focal::{Fold, Gamma, Margin, Scales};
use crate::loss::softmax::Sum;
use crate::math::{exp_neg, log, log_scaled, log1p};
use crate::real::Real;
use crate::simd::Vector;

/// What a row's scores come to.
#[derive(Clone, Copy)]
pub struct Row<V> {
    /// The largest score.
    pub max: V,
    /// T in two parts, and one over it.
    pub total: V,
    /// What `total` is short of.
    pub total_lo: V,
    /// 1 / T.
    pub inverse: V,
    /// L of the largest class.
    pub loss: V,
    /// F of the largest class at gamma 2.
    pub steepness: V,
    /// Q of the largest class, in two parts.
    pub certainty: V,
    /// What `certainty` is short of.
    pub certainty_lo: V,
    /// p L / q of the largest class.
    pub ratio: V,
}

/// How many numbers these are.
pub const ROW: usize = 9;

impl<V: Copy> Row<V> {
    /// The numbers in one order.
    #[inline(always)]
    pub fn numbers(self) -> [V; ROW] {
        let Self { max, total, total_lo, inverse, loss, steepness, certainty, certainty_lo, ratio } = self;
        [max, total, total_lo, inverse, loss, steepness, certainty, certainty_lo, ratio]
    }

    /// From the numbers in that order.
    #[inline(always)]
    pub fn from_numbers(numbers: [V; ROW]) -> Self {
        let [max, total, total_lo, inverse, loss, steepness, certainty, certainty_lo, ratio] = numbers;
        Self { max, total, total_lo, inverse, loss, steepness, certainty, certainty_lo, ratio }
    }
}

impl<V: Vector> Row<V>
where
    V::Real: Scales,
{
    /// From the largest score, how many there are of it, and the sum of the other scaled exponentials. Rows that have no
    /// softmax are NaN.
    #[inline(always)]
    pub fn new(max: V, count: V, others: Sum<V>) -> Self {
        let zero = max.constant(V::Real::ZERO);
        let one = max.constant(V::Real::ONE);
        let two = one + one;
        let nan = max.constant(V::Real::NAN);
        let lowest = max.constant(V::Real::NEG_INFINITY);
        let scale = max.constant(V::Real::P_SCALE);
        let unscale = max.constant(V::Real::P_UNSCALE);

        let (equal, lost) = two_sum((count - one) * scale, others.head);
        let (scaled, scaled_lo) = (equal, lost + others.tail);
        let (sum, sum_lo) = (scaled * unscale, scaled_lo * unscale);
        let (total, lost) = two_sum(one, sum);
        let total_lo = lost + sum_lo;
        // Two infinite scores, or none above minus infinity.
        let infinite = V::select(one.lt(count), max, zero).equals(-lowest);
        let undefined = V::either(infinite, max.equals(lowest));
        let total = V::select(undefined, nan, total);
        let inverse = one / total;
        let (log_total, log_total_lo) = log(total, total_lo);
        let loss = log_total + log_total_lo;

        let certain = scaled.equals(zero);
        let safe = V::select(certain, scale, scaled);
        let (log_sum, log_sum_lo) =
            log_scaled(safe, V::select(certain, zero, scaled_lo), max.constant(V::Real::P_BITS));
        let (certainty, lost) = two_sum(log_total, -log_sum);
        let certainty_lo = lost + (log_total_lo - log_sum_lo);
        // The one class of a row may have no softmax either.
        let limit = V::select(undefined, nan, max.constant(V::Real::SATURATED));
        let ratio = (loss * scale) / safe;
        let rest = (sum + sum_lo) * inverse;
        Self {
            max,
            total,
            total_lo,
            inverse,
            loss,
            steepness: rest * (two * inverse).mul_add(loss, rest),
            certainty: V::select(certain, limit + limit, certainty),
            certainty_lo: V::select(certain, zero, certainty_lo),
            ratio: V::select(certain, one, ratio),
        }
    }
}

/// The sum and its rounding error (Knuth 1969).
#[inline(always)]
fn two_sum<V: Vector>(a: V, b: V) -> (V, V) {
    let sum = a + b;
    let seen = sum - a;
    (sum, (a - (sum - seen)) + (b - seen))
}

/// A class' share of a row at gamma 2, from its score and its scaled exponential. That of the largest class is
/// [`Scales::P_SCALE`]: until they are divided by their sum, small shares are normal numbers.
#[inline(always)]
pub fn share_of_square<V: Vector>(row: &Row<V>, z: V, exp: V) -> V
where
    V::Real: Scales,
{
    let one = z.constant(V::Real::ONE);
    let unscale = z.constant(V::Real::P_UNSCALE);
    let p = (exp * unscale) * row.inverse;
    let q = one - p;
    let loss = (row.max - z) + row.loss;
    let two = one + one;
    let steepness = q * (two * p).mul_add(finite(loss), q);
    let share = exp * (row.steepness / steepness);
    // The product with 0 is NaN in a row that has no softmax.
    let nothing = row.inverse * row.inverse.constant(V::Real::ZERO);
    V::select(z.equals(row.max), z.constant(V::Real::P_SCALE) + nothing, share)
}

/// The same for the sigmoid modulator.
#[inline(always)]
pub fn share_by_sigmoid<V: Vector>(row: &Row<V>, z: V, exp: V, gamma: V) -> V
where
    V::Real: Scales,
{
    let one = z.constant(V::Real::ONE);
    let zero = z.constant(V::Real::ZERO);
    let cross_entropy = Gamma::from_parts(zero, zero);
    let sigmoid = Margin::<V, 0>::of(z, Fold::new(z), &cross_entropy).p();
    let top = z.equals(row.max);
    let loss = finite(V::select(top, zero, row.max - z) + row.loss);
    let exp = V::select(top, z.constant(V::Real::P_SCALE), exp);
    exp / (gamma * sigmoid).mul_add(loss, one) + row.inverse * row.inverse.constant(V::Real::ZERO)
}

/// The exponent of a class' share, in two parts, and what else it is divided by.
#[inline(always)]
pub fn exponent<V: Vector>(row: &Row<V>, z: V, exp: V, [gamma, gamma_lo]: [V; 2]) -> ([V; 2], V)
where
    V::Real: Scales,
{
    let zero = z.constant(V::Real::ZERO);
    let one = z.constant(V::Real::ONE);
    let highest = -z.constant(V::Real::LOWEST);
    let top = z.equals(row.max);
    let e = V::select(top, zero, exp * z.constant(V::Real::P_UNSCALE));
    // p / q = e / (T - e).
    let rest = row.total - e;
    let rest_lo = ((row.total - rest) - e) + row.total_lo;
    let odds = e / rest;
    let odds_lo = odds.neg_mul_add(rest_lo, odds.neg_mul_add(rest, e)) / rest;
    let (near, near_lo) = log1p(odds, odds_lo, rest * row.inverse);
    let q = V::select(top, row.certainty, near);
    let q_lo = V::select(top, row.certainty_lo, near_lo);
    let (distance, distance_lo) = distance(row.max, z);
    let ratio = V::select(top, row.ratio, odds * finite(distance + row.loss));

    let product = gamma * q;
    let product_lo = gamma_lo.mul_add(q, gamma.mul_add(q_lo, gamma.product_error(q, product)));
    let (sum, lost) = two_sum(highest.min_or(product), -distance);
    // What is beyond all exponents has no low part, and the difference of infinite numbers is none.
    let low = V::select(sum.abs().lt(highest), lost + (product_lo - distance_lo), zero);
    let low = V::select(product.lt(highest), low, zero);
    ([sum, low], gamma.mul_add(ratio, one))
}

/// max - z in two parts, 0 for the largest score.
#[inline(always)]
fn distance<V: Vector>(max: V, z: V) -> (V, V) {
    let zero = z.constant(V::Real::ZERO);
    let (distance, lost) = two_sum(max, -z);
    let infinity = -z.constant(V::Real::NEG_INFINITY);
    let ordinary = distance.abs().lt(infinity);
    let top = z.equals(max);
    (V::select(top, zero, distance), V::select(ordinary, V::select(top, zero, lost), zero))
}

/// A loss that may be multiplied by 0.
#[inline(always)]
fn finite<V: Vector>(loss: V) -> V {
    (-loss.constant(V::Real::LOWEST)).min_or(loss)
}

/// exp of an exponent less the largest of its row, times [`Scales::P_SCALE`].
#[inline(always)]
pub fn power<V: Vector>([exponent, low]: [V; 2], largest: V) -> V
where
    V::Real: Scales,
{
    let zero = exponent.constant(V::Real::ZERO);
    let limit = exponent.constant(V::Real::SATURATED);
    let (below, lost) = two_sum(largest, -exponent);
    let beyond = limit.lt(below);
    let low = V::select(beyond, zero, lost - low);
    let power = exp_neg(limit.min_or(below), low, V::Real::P_SHIFT).scaled();
    V::select(beyond, zero, power)
}
