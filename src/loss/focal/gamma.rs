//! Gamma as the formulas take it, and q^g for any gamma.
//!
//! A whole gamma up to 3 is a class of its own: its powers are products. All others go through one exponential, whose
//! argument -g log q must be exact to more digits than a number has, for which gamma is kept in two parts.

use super::Scales;
use crate::math::exp_neg;
use crate::real::Real;
use crate::simd::Vector;

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
    pub(super) hi: R,
    pub(super) lo: R,
    pub(super) one_plus_twice: R,
    /// Its class ([`power::of`]); [`power::GENERAL`] also where lanes differ.
    pub(super) class: u8,
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
        // A NaN does not vanish.
        let vanishes = product.constant(V::Real::UNDERFLOW).lt(product);
        V::select(vanishes, product.constant(V::Real::ZERO), power)
    }
}
