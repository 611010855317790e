//! The posterior of the positive class that a score stands for, if a model minimised the sigmoid focal loss.
//!
//! Source: Charoenphakdee et al., "On Focal Loss for Class-Posterior Probability Estimation" (2021), theorem 11: where the
//! expected loss of a posterior eta is smallest, its slope is 0, `eta a f'(z) = (1 - eta) (1 - a) f'(-z)`, with the f of
//! [`super::focal`], a alpha and g gamma. For |z| = m, e = exp(-m) and h = log(1 + e) this is
//!
//! ```text
//! t = c exp(-(1 + g) m) M        the odds of the less likely class against the other
//! M = (1 + g h / e) / (1 + g e (m + h))
//! ```
//!
//! where c is a / (1 - a) if z is positive, else its inverse. M lies between 1 and 1 + g and has no term that cancels.
//!
//! # Where the digits go
//!
//! Of eta and 1 - eta the smaller one is computed, as t / (1 + t) or 1 / (1 + t), and the other is 1 less it: so both
//! are right to some rounding errors of their own, however close eta is to 1. The exponent of t is held in two parts, to
//! which an alpha near 0 or 1 adds its binary exponent, so that c need be no number of the type; where it comes out
//! negative, 1 / t is computed instead.

use crate::loss::focal::{Scales, power};
use crate::math::{exp_neg, log1p};
use crate::real::Real;
use crate::simd::Vector;

/// What the posterior depends on beside the score, as numbers or a vector of each.
#[derive(Clone, Copy, Debug)]
pub struct Skew<T> {
    /// g.
    pub gamma: T,
    /// 1 + g, in two parts.
    pub rate: [T; 2],
    /// c for positive scores is the first number times a power of two, its inverse the second number over it.
    pub odds: [T; 2],
    /// Minus the logarithm of that power, in two parts; infinite for an alpha of 0 or 1.
    pub shift: [T; 2],
}

/// How many numbers these are.
pub const SKEW: usize = 7;

impl<R: Real> Skew<R> {
    /// For a gamma and an alpha; none weighs both classes alike.
    pub fn new(gamma: f64, alpha: Option<f64>) -> Self {
        let gamma = bounded::<R>(gamma);
        let (rate, rate_lo) = (1.0 + gamma, gamma - ((1.0 + gamma) - 1.0));
        let rate_hi = R::from_f64(rate);
        let alpha = alpha.unwrap_or(0.5);
        let (shift, odds) = match (alpha, 1.0 - alpha) {
            (0.0, _) => ([R::from_f64(f64::INFINITY), R::ZERO], [R::ONE; 2]),
            (_, 0.0) => ([R::NEG_INFINITY, R::ZERO], [R::ONE; 2]),
            (positive, negative) => {
                let ((a, n), (b, k)) = (split(positive), split(negative));
                (logarithm(k - n), [a / b, b / a].map(R::from_f64))
            }
        };
        Self {
            gamma: R::from_f64(gamma),
            rate: [rate_hi, R::from_f64((rate - rate_hi.to_f64()) + rate_lo)],
            odds,
            shift,
        }
    }

    /// As [`Skew::new`], with all of c in `odds`, if that is neither large nor small.
    pub fn of_products(gamma: f64, alpha: Option<f64>) -> Option<Self> {
        const LARGE: f64 = (1_u64 << 40) as f64;
        let alpha = alpha.unwrap_or(0.5);
        let odds = alpha / (1.0 - alpha);
        let ordinary = odds < LARGE && odds > 1.0 / LARGE;
        ordinary.then(|| Self { odds: [odds, 1.0 / odds].map(R::from_f64), ..Self::new(gamma, None) })
    }

    /// The numbers in one order, to be laid out in lists.
    pub fn numbers(self) -> [R; SKEW] {
        let Self { gamma, rate, odds, shift } = self;
        [gamma, rate[0], rate[1], odds[0], odds[1], shift[0], shift[1]]
    }
}

impl<T: Copy> Skew<T> {
    /// From the numbers in that order.
    #[inline(always)]
    pub fn from_numbers([gamma, rate, rate_lo, odds, inverse, shift, shift_lo]: [T; SKEW]) -> Self {
        Self { gamma, rate: [rate, rate_lo], odds: [odds, inverse], shift: [shift, shift_lo] }
    }
}

/// A gamma that the type has, and to which 1 can be added.
pub fn bounded<R: Real>(gamma: f64) -> f64 {
    gamma.min(-R::LOWEST.to_f64() / 4.0)
}

/// A positive number as a mantissa in [1, 2) and a binary exponent.
fn split(x: f64) -> (f64, i32) {
    const FIELD: u64 = 0x7ff;
    let scale = if x < f64::MIN_POSITIVE { 64 } else { 0 };
    let bits = (x * (scale as f64).exp2()).to_bits();
    let exponent = ((bits >> 52) & FIELD) as i32 - 1023;
    let mantissa = f64::from_bits(bits & !(FIELD << 52) | 1023 << 52);
    (mantissa, exponent - scale)
}

/// n log 2, in two parts.
fn logarithm<R: Real>(n: i32) -> [R; 2] {
    use crate::math::ExpConstants;
    // The first product is exact.
    let (hi, lo) = (f64::from(n) * f64::LN2_HI, f64::from(n) * f64::LN2_LO);
    let rounded = R::from_f64(hi + lo);
    [rounded, R::from_f64((hi - rounded.to_f64()) + lo)]
}

/// Label smoothing, undone: of the smaller probability, `(x - share) * stretch`, but not below 0.
#[derive(Clone, Copy, Debug)]
pub struct Unsmooth<T> {
    /// s / 2, or s / C, in two parts.
    pub share: [T; 2],
    /// 1 / (1 - s).
    pub stretch: T,
}

impl<R: Real> Unsmooth<R> {
    /// Of smoothing `s` over so many classes.
    pub fn new(s: f64, classes: usize) -> Self {
        let share = s / classes.max(1) as f64;
        let hi = R::from_f64(share);
        Self { share: [hi, R::from_f64(share - hi.to_f64())], stretch: R::from_f64(1.0 / (1.0 - s)) }
    }
}

impl<V: Vector> Unsmooth<V> {
    /// A probability before labels were smoothed. A NaN stays.
    #[inline(always)]
    pub fn of(&self, probability: V) -> V {
        let zero = probability.constant(V::Real::ZERO);
        zero.max_or(((probability - self.share[0]) - self.share[1]) * self.stretch)
    }
}

/// The posterior of the positive class. `POWER` is the [class](power) of gamma; other than the general one it is for an
/// alpha whose `odds` are all of c.
#[inline(always)]
pub fn posterior<V: Vector, const POWER: u8>(z: V, skew: &Skew<V>, smoothing: Option<&Unsmooth<V>>) -> V
where
    V::Real: Scales,
{
    let zero = z.constant(V::Real::ZERO);
    let one = z.constant(V::Real::ONE);
    let highest = -z.constant(V::Real::LOWEST);
    let limit = z.constant(V::Real::SATURATED);
    let unscale = z.constant(V::Real::P_UNSCALE);
    let negative = z.is_negative();

    let magnitude = highest.min_or(z.abs());
    let exponential = exp_neg(limit.min_or(magnitude), zero, V::Real::P_SHIFT);
    let (e, e_lo) = exponential.scaled_by(V::Real::P_UNSCALE);
    let inverse = one / (one + e);
    let (h, _) = log1p(e, e_lo, inverse);
    // h / e tends to 1.
    let ratio = V::select(e.equals(zero), one, h / e);
    let likely = skew.gamma.mul_add(ratio, one);
    let unlikely = skew.gamma.mul_add(e * (magnitude + h), one);

    let [odds, other_odds] = skew.odds;
    let (own, opposite) = (V::select(negative, other_odds, odds), V::select(negative, odds, other_odds));
    // Which of both classes the odds t are in favour of, by the sign.
    let mut side = one.flip(z);
    let odds = if POWER == power::GENERAL {
        let (exponent, low) = exponent(magnitude, negative, skew);
        let inverted = exponent.is_negative();
        side = side.flip(exponent);
        let size = exponent.abs();
        let beyond = limit.lt(size);
        let low = V::select(beyond, zero, low.flip(exponent));
        let power = exp_neg(limit.min_or(size), low, V::Real::P_SHIFT).scaled();
        let power = V::select(beyond, zero, power);
        let (top, bottom) = (V::select(inverted, unlikely, likely), V::select(inverted, likely, unlikely));
        ((power * V::select(inverted, opposite, own)) * (top / bottom)) * unscale
    } else {
        let mut power = exponential.scaled();
        let mut factors = 0;
        while factors < POWER {
            power = power * e;
            factors += 1;
        }
        ((power * own) * (likely / unlikely)) * unscale
    };

    side = side.flip(one - odds);
    let mut smaller = V::select(one.lt(odds), one, odds) / (one + odds);
    if let Some(smoothing) = smoothing {
        smaller = smoothing.of(smaller);
    }
    V::select(side.is_negative(), smaller, one - smaller)
}

/// (1 + g) m - log c, in two parts, but for what of c is in `odds`. A NaN stays.
#[inline(always)]
fn exponent<V: Vector>(magnitude: V, negative: V::Mask, skew: &Skew<V>) -> (V, V)
where
    V::Real: Scales,
{
    let highest = -magnitude.constant(V::Real::LOWEST);
    let zero = magnitude.constant(V::Real::ZERO);
    let [rate, rate_lo] = skew.rate;
    let product = rate * magnitude;
    let product_lo = rate_lo.mul_add(magnitude, rate.product_error(magnitude, product));
    let product = highest.min_or(product);
    let [shift, shift_lo] = skew.shift;
    let (shift, shift_lo) = (V::select(negative, -shift, shift), V::select(negative, -shift_lo, shift_lo));
    // Knuth's sum.
    let sum = product + shift;
    let seen = sum - product;
    let lost = (product - (sum - seen)) + (shift - seen);
    let low = lost + (product_lo + shift_lo);
    // What is far beyond the range of exp has no low part that counts, and may have none that is a number.
    let near = sum.abs().lt(magnitude.constant(V::Real::SATURATED) + magnitude.constant(V::Real::SATURATED));
    (sum, V::select(near, low, zero))
}
