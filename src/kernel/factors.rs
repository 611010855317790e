//! What multiplies each element of a tile: the weight of its label times that of its sample, in float64, rounded once.

use crate::real::Real;
use crate::simd::{Isa, Kernel};

/// Numbers for the elements of a tile.
pub trait Numbers: Copy {
    /// Those of the first `len` elements.
    fn first(self, len: usize) -> Self;

    /// That of an element.
    fn at(self, i: usize) -> f64;
}

/// One number for all.
impl Numbers for f64 {
    #[inline(always)]
    fn first(self, _: usize) -> Self {
        self
    }

    #[inline(always)]
    fn at(self, _: usize) -> f64 {
        self
    }
}

/// A number for each.
impl Numbers for &[f64] {
    #[inline(always)]
    fn first(self, len: usize) -> Self {
        &self[..len]
    }

    #[inline(always)]
    fn at(self, i: usize) -> f64 {
        self[i]
    }
}

/// Fills a tile with the products of sample weights and the weights of labels.
pub struct Factors<'a, R, S, C> {
    /// The labels.
    pub targets: &'a [R],
    /// The sample weights.
    pub samples: S,
    /// The weights of negatives and of positives.
    pub classes: [C; 2],
    /// What the weights of positives are multiplied with.
    pub sign: f64,
    /// Where the products go, as many as labels.
    pub factors: *mut R,
}

impl<R: Real, S: Numbers, C: Numbers> Kernel for Factors<'_, R, S, C> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { targets, samples, classes: [negative, positive], sign, factors } = self;
        let len = targets.len();
        let (samples, negative, positive) = (samples.first(len), negative.first(len), positive.first(len));
        let factors = Rounded { start: factors, len };
        // SAFETY: there are as many factors as targets.
        unsafe {
            factors.fill(
                #[inline(always)]
                |i| {
                    // Both are read, so that the compiler may lay out lanes.
                    let (positive, negative) = (sign * positive.at(i), negative.at(i));
                    samples.at(i) * if targets[i] == R::ONE { positive } else { negative }
                },
            );
        }
    }
}

/// Fills a tile with the products of sample weights and other weights.
pub struct Product<S, W, R> {
    /// The sample weights.
    pub samples: S,
    /// The other weights.
    pub weights: W,
    /// How many.
    pub len: usize,
    /// Where the products go.
    pub products: *mut R,
}

impl<S: Numbers, W: Numbers, R: Real> Kernel for Product<S, W, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { samples, weights, len, products } = self;
        let (samples, weights) = (samples.first(len), weights.first(len));
        let products = Rounded { start: products, len };
        // SAFETY: there are `len` products.
        unsafe {
            products.fill(
                #[inline(always)]
                |i| samples.at(i) * weights.at(i),
            );
        }
    }
}

/// Where weights go once they are rounded.
struct Rounded<R> {
    start: *mut R,
    len: usize,
}

impl<R: Real> Rounded<R> {
    /// Rounds a number for each element. The nearest is the right one but for a few, for which all are looked at
    /// again.
    ///
    /// # Safety
    /// The memory must be valid for writing `len` elements.
    #[inline(always)]
    unsafe fn fill(&self, number: impl Fn(usize) -> f64) {
        let mut right = true;
        for i in 0..self.len {
            // The sum makes -0.0 a +0.0.
            let nearest = R::from_f64(number(i) + 0.0);
            right &= nearest.is_any_weight();
            // SAFETY: handed through from the caller.
            unsafe { self.start.add(i).write(nearest) }
        }
        if right {
            return;
        }
        for i in 0..self.len {
            // SAFETY: handed through from the caller.
            unsafe { self.start.add(i).write(R::from_weight(number(i) + 0.0)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::AnyIsa;

    #[test]
    fn factors_are_rounded_once_and_stay_what_they_are() {
        let samples = [1.0, 0.0, 1e-200, f64::INFINITY, 3.0, 1e300, -0.0, 2.0];
        let targets = [1.0_f32, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0];
        let classes = [[0.1; 8], [0.7; 8]];
        let lists = classes.each_ref().map(|list| &list[..]);
        for isa in AnyIsa::available() {
            for len in [5, 8] {
                let (targets, samples) = (&targets[..len], &samples[..len]);
                let (mut all, mut each) = ([9.0_f32; 8], [9.0_f32; 8]);
                let factors = all.as_mut_ptr();
                isa.vectorize(Factors { targets, samples, classes: [0.1, 0.7], sign: -1.0, factors });
                let factors = each.as_mut_ptr();
                isa.vectorize(Factors { targets, samples, classes: lists, sign: -1.0, factors });
                for i in 0..8 {
                    let class = if targets.get(i) == Some(&1.0) { -0.7 } else { 0.1 };
                    let want = samples.get(i).map_or(9.0, |sample| f32::from_weight(sample * class + 0.0));
                    assert_eq!(all[i].to_bits(), want.to_bits(), "{i}");
                    assert_eq!(each[i].to_bits(), want.to_bits(), "{i}");
                }
            }
        }
    }

    #[test]
    fn numbers_that_any_weight_may_round_to() {
        for ordinary in [1.0, -2.5, f32::from_bits(1), f32::MAX, f32::MIN] {
            assert!(ordinary.is_any_weight());
        }
        for special in [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!special.is_any_weight());
        }
    }
}
