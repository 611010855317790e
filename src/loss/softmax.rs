//! The softmax focal loss of a row of logits with one target class, from the scalar loss.
//!
//! With t the target class, m the largest of the other logits, S = sum_{k != t} exp(z_k - m) and
//!
//! ```text
//! u    = (z_t - m) - log S                  the margin: p_t = sigmoid(u)
//! pi_j = exp(z_j - m) / S for j != t        the others' shares, which sum to 1
//! ```
//!
//! the loss is f(u), with f the scalar loss of [`crate::loss::focal`], and by the chain rule
//! (u_t = 1, u_j = -pi_j, pi_j' = pi_j (1 - pi_j))
//!
//! ```text
//! grad_t = f'(u)         grad_j = -f'(u) pi_j
//! H_tt   = f''(u)        H_jj   = pi_j [f''(u) pi_j - f'(u) (1 - pi_j)]
//! ```
//!
//! The Gauss-Newton diagonal is -p_t f'(u) and -f'(u) pi_j (1 - p_j). As p_j = (1 - p_t) pi_j, the
//! latter is H_jj with -p_t f'(u) in the place of f''(u), so that one formula serves both.
//!
//! # Where the digits go
//!
//! A common shift of the logits loses nothing: z_k - m is taken with its rounding error, and so is
//! every exponential and their sum. S lies between 1 and the number of classes, so that u is known to
//! more digits than its rounding keeps. The target's own exponential never enters a sum out of which
//! it would have to be taken again. 1 - pi_j of the largest class is S - 1 over S, and where that
//! cancels, a second sum that leaves out the largest class stands in for S - 1.

use crate::loss::focal::{Gamma, Margin, Scales, split_scale};
use crate::math::{exp_neg, log};
use crate::real::Real;
use crate::simd::Vector;

/// exp(z - `max`) for z <= `max`, times [`Scales::P_SCALE`], in two parts; 0 where it would vanish.
#[inline(always)]
pub fn scaled_exp<V: Vector>(z: V, max: V) -> (V, V)
where
    V::Real: Scales,
{
    let zero = z.constant(V::Real::ZERO);
    let distance = max - z;
    // Dekker's sum of z and -max: the difference is negative, so the lower one is the larger.
    let larger = z.min_or(-max);
    let smaller = z.max_or(-max);
    let distance_lo = -((distance + larger) + smaller);
    let (head, tail) = exp_neg(distance, distance_lo, V::Real::P_SHIFT).parts();
    // A NaN is not beyond.
    let beyond = z.constant(V::Real::SATURATED).lt(distance);
    (V::select(beyond, zero, head), V::select(beyond, zero, tail))
}

/// A sum in two parts.
#[derive(Clone, Copy)]
pub struct Sum<V> {
    /// The sum, rounded at every step.
    pub head: V,
    /// What the steps rounded away.
    pub tail: V,
}

impl<V: Vector> Sum<V> {
    /// No terms.
    #[inline(always)]
    pub fn nothing(isa: V::Isa) -> Self {
        let zero = V::splat(isa, V::Real::ZERO);
        Self { head: zero, tail: zero }
    }

    /// 0 where the mask holds.
    #[inline(always)]
    pub fn unless(self, mask: V::Mask) -> Self {
        let zero = self.head.constant(V::Real::ZERO);
        Self { head: V::select(mask, zero, self.head), tail: V::select(mask, zero, self.tail) }
    }

    /// Adds a number of any sign.
    #[inline(always)]
    pub fn add_any(self, number: V) -> Self {
        let (head, lost) = two_sum(self.head, number);
        Self { head, tail: self.tail + lost }
    }

    /// The sum, rounded. What an infinite one has lost is no number.
    #[inline(always)]
    pub fn rounded(self) -> V {
        let finite = self.head.abs().lt(-self.head.constant(V::Real::NEG_INFINITY));
        V::select(finite, self.head + self.tail, self.head)
    }

    /// Adds a number in two parts, where none is negative.
    ///
    /// Where the number is larger than the sum so far, a rounding error of that number may be lost: the
    /// sum has doubled then, so all such losses together are no more than a rounding error of the end.
    #[inline(always)]
    pub fn add(self, head: V, tail: V) -> Self {
        let sum = self.head + head;
        let lost = head - (sum - self.head);
        Self { head: sum, tail: self.tail + (lost + tail) }
    }

    /// Adds another sum; numbers of any sign.
    #[inline(always)]
    pub fn merge(self, other: Self) -> Self {
        let (head, lost) = two_sum(self.head, other.head);
        Self { head, tail: (self.tail + other.tail) + lost }
    }
}

/// What some of a row's classes come to.
#[derive(Clone, Copy)]
pub struct Part<V> {
    /// The largest logit.
    pub max: V,
    /// The sum of the scaled exponentials, which are relative to it.
    pub sum: Sum<V>,
    /// The sum of those that are smaller than the largest.
    pub rest: Sum<V>,
}

impl<V: Vector> Part<V>
where
    V::Real: Scales,
{
    /// What both parts come to.
    #[inline(always)]
    pub fn merge(self, other: Self) -> Self {
        let max = self.max.max_or(other.max);
        let (sum, rest) = self.relative_to(max);
        let (other_sum, other_rest) = other.relative_to(max);
        Self { max, sum: sum.merge(other_sum), rest: rest.merge(other_rest) }
    }

    /// The sums, relative to another largest logit.
    #[inline(always)]
    fn relative_to(self, max: V) -> (Sum<V>, Sum<V>) {
        let unscale = max.constant(V::Real::P_UNSCALE);
        let (scale, scale_lo) = scaled_exp(self.max, max);
        // The sum itself is at least 1, or 0.
        let (head, tail) = (self.sum.head * unscale, self.sum.tail * unscale);
        let product = head * scale;
        let lost = head.product_error(scale, product);
        let sum = Sum { head: product, tail: tail.mul_add(scale, head.mul_add(scale_lo, lost)) };
        let largest = self.max.equals(max);
        let rest = Sum {
            head: V::select(largest, self.rest.head, sum.head),
            tail: V::select(largest, self.rest.tail, sum.tail),
        };
        (sum, rest)
    }
}

/// A row, as the sums over its classes describe it.
#[derive(Clone, Copy)]
pub struct Row<V> {
    /// u, in two parts.
    margin: V,
    margin_lo: V,
    /// S, in two parts.
    total: V,
    total_lo: V,
    /// One over S.
    inverse: V,
    /// log S.
    log: V,
}

impl<V: Vector> Row<V>
where
    V::Real: Scales,
{
    /// From the target's logit, the largest other logit and the sum of the scaled exponentials.
    #[inline(always)]
    pub fn new(target: V, max: V, sum: Sum<V>) -> Self {
        let zero = max.constant(V::Real::ZERO);
        let one = max.constant(V::Real::ONE);
        let nan = max.constant(V::Real::NAN);
        let lowest = max.constant(V::Real::NEG_INFINITY);
        let unscale = max.constant(V::Real::P_UNSCALE);

        let (head, tail) = (sum.head * unscale, sum.tail * unscale);
        let total = head + tail;
        let total_lo = tail - (total - head);
        // No other class has a probability: a sum of 0 leaves the target all of it.
        let alone = total.equals(zero);
        let total = V::select(alone, one, total);
        let (log, log_lo) = log(total, total_lo);

        let (distance, distance_lo) = two_sum(target, -max);
        let (margin, lost) = two_sum(distance, -log);
        let (margin, margin_lo) = fast_two_sum(margin, lost + (distance_lo - log_lo));
        // Sums of infinities have no rounding error.
        let near = margin.abs().lt(-lowest);
        let margin = V::select(near, margin, distance - log);
        let margin = V::select(alone, V::select(lowest.lt(target), -lowest, nan), margin);
        let valid = V::either(total.lt(-lowest), alone);
        Self {
            margin: V::select(valid, margin, nan),
            margin_lo: V::select(near, margin_lo, zero),
            total,
            total_lo,
            inverse: one / total,
            log: log + log_lo,
        }
    }

    /// Of two classes, from their logits: S is 1, and the margin their difference.
    #[inline(always)]
    pub fn of_two(target: V, other: V) -> Self {
        let zero = other.constant(V::Real::ZERO);
        let one = other.constant(V::Real::ONE);
        let (margin, margin_lo) = two_sum(target, -other);
        // Sums of infinities have no rounding error.
        let finite = margin.abs().lt(-other.constant(V::Real::NEG_INFINITY));
        let margin_lo = V::select(finite, margin_lo, zero);
        Self { margin, margin_lo, total: one, total_lo: zero, inverse: one, log: zero }
    }

    /// The scalar loss at the margin.
    #[inline(always)]
    pub fn at_margin<const POWER: u8>(&self, gamma: &Gamma<V>) -> Margin<V, POWER> {
        Margin::at::<true>(self.margin, self.margin_lo, gamma)
    }

    /// The cross entropy at minus the margin, where p is 1 - p.
    #[inline(always)]
    pub fn at_opposite(&self, gamma: &Gamma<V>) -> Margin<V, 0> {
        Margin::at::<true>(-self.margin, -self.margin_lo, gamma)
    }

    /// S.
    #[inline(always)]
    pub fn total(&self) -> V {
        self.total
    }

    /// log S.
    #[inline(always)]
    pub fn log_total(&self) -> V {
        self.log
    }

    /// 1 / S.
    #[inline(always)]
    pub fn inverse(&self) -> V {
        self.inverse
    }

    /// S - 1, given the scaled sum of the exponentials that are smaller than the largest.
    #[inline(always)]
    pub fn rest(&self, smaller: Sum<V>) -> V {
        let one = self.total.constant(V::Real::ONE);
        let rest = (self.total - one) + self.total_lo;
        let cancelled = (rest + rest).lt(one);
        V::select(cancelled, (smaller.head + smaller.tail) * one.constant(V::Real::P_UNSCALE), rest)
    }

    /// What the scaled exponentials of the other classes are multiplied with for the gradient, given
    /// -weight * f'(u) of the target.
    #[inline(always)]
    pub fn share(&self, descent: V) -> Factor<V> {
        // The division by both parts of S, one Newton step for the second.
        let quotient = descent * self.inverse;
        let remainder = quotient.neg_mul_add(self.total, descent);
        let remainder = quotient.neg_mul_add(self.total_lo, remainder);
        let refined = remainder.mul_add(self.inverse, quotient);
        // What is infinite leaves no remainder.
        Factor::new(V::select(refined.equals(refined), refined, quotient))
    }
}

/// A factor of scaled exponentials, itself in two: neither product leaves the normal numbers unless the
/// result does.
#[derive(Clone, Copy)]
pub struct Factor<V> {
    /// The first to multiply with.
    pub first: V,
    /// The second, a power of two.
    pub second: V,
}

impl<V: Vector> Factor<V>
where
    V::Real: Scales,
{
    /// Over [`Scales::P_SCALE`]: a large factor is scaled at once, a small one after the product.
    #[inline(always)]
    pub fn new(factor: V) -> Self {
        let (before, second) = split_scale(factor, V::Real::ONE);
        Self { first: factor * before, second }
    }

    /// The gradient of a class other than the target.
    #[inline(always)]
    pub fn of(&self, exp: V) -> V {
        (exp * self.first) * self.second
    }
}

/// What the Hessian of the other classes is made of, the same for the whole row.
#[derive(Clone, Copy)]
pub struct Bend<V> {
    /// S.
    pub total: V,
    /// 1 / S.
    pub inverse: V,
    /// S - 1.
    pub rest: V,
    /// weight * f''(u), or the surrogate that stands for it.
    pub curvature: V,
    /// -weight * f'(u).
    pub descent: V,
}

impl<V: Vector> Bend<V>
where
    V::Real: Scales,
{
    /// From the row, S - 1 and the two derivatives at the margin.
    #[inline(always)]
    pub fn new(row: &Row<V>, rest: V, curvature: V, descent: V) -> Self {
        Self { total: row.total, inverse: row.inverse, rest, curvature, descent }
    }

    /// The Hessian of a class other than the target, from its scaled exponential.
    #[inline(always)]
    pub fn of(&self, exp: V) -> V {
        let one = exp.constant(V::Real::ONE);
        let unscale = exp.constant(V::Real::P_UNSCALE);
        let largest = exp.equals(exp.constant(V::Real::P_SCALE));
        let others = V::select(largest, self.rest, exp.neg_mul_add(unscale, self.total));
        let small = exp * unscale;
        let bracket = self.curvature.mul_add(small * self.inverse, self.descent * (others * self.inverse));
        // The bracket may be far smaller than what it is made of: it is the share that is scaled, and only
        // where it is too small for the normal numbers.
        let normal = one.lt(exp);
        let share = V::select(normal, small, exp) * self.inverse;
        // The sign of the bracket may be one of rounding: as in the scalar loss, no zero shows it.
        (share * bracket) * V::select(normal, one, unscale) + exp.constant(V::Real::ZERO)
    }
}

/// The exponential of a row that has a result. In a row without one, and in one that is ignored, it may be anything, NaN
/// as well: the factors, not it, say what becomes of such a row.
#[inline(always)]
pub fn in_range<V: Vector>(exp: V) -> V
where
    V::Real: Scales,
{
    exp.max_or(exp.constant(V::Real::ZERO)).min_or(exp.constant(V::Real::P_SCALE))
}

/// The sum and its rounding error (Knuth 1969).
#[inline(always)]
fn two_sum<V: Vector>(a: V, b: V) -> (V, V) {
    let sum = a + b;
    let b_seen = sum - a;
    (sum, (a - (sum - b_seen)) + (b - b_seen))
}

/// The sum and its rounding error where a is the larger (Dekker 1971).
#[inline(always)]
fn fast_two_sum<V: Vector>(a: V, b: V) -> (V, V) {
    let sum = a + b;
    (sum, b - (sum - a))
}
