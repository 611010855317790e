//! What multiplies each element of a tile: the weight of its label times that of its sample, in float64, rounded once.

use crate::real::Real;
use crate::simd::{Isa, Kernel};

/// Fills a tile with weights.
pub struct Factors<'a, R> {
    /// The labels.
    pub targets: &'a [R],
    /// The sample weights, as many.
    pub samples: &'a [f64],
    /// The weights of negatives and of positives.
    pub classes: [f64; 2],
    /// Where the products go, as many.
    pub factors: *mut R,
}

impl<R: Real> Kernel for Factors<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { targets, samples, classes: [negative, positive], factors } = self;
        for (i, (&y, &sample)) in targets.iter().zip(samples).enumerate() {
            let class = if y == R::ONE { positive } else { negative };
            // SAFETY: `factors` has as many elements as `targets`. The sum makes -0.0 a +0.0.
            unsafe { factors.add(i).write(R::from_weight(sample * class + 0.0)) }
        }
    }
}

/// As [`Factors`], with weights of labels that differ from element to element.
pub struct ClassFactors<'a, R> {
    /// The labels.
    pub targets: &'a [R],
    /// The sample weights, as many.
    pub samples: &'a [f64],
    /// The weights of negatives and of positives, as many.
    pub classes: [&'a [f64]; 2],
    /// What the weights of positives are multiplied with.
    pub sign: f64,
    /// Where the products go, as many.
    pub factors: *mut R,
}

impl<R: Real> Kernel for ClassFactors<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { targets, samples, classes: [negative, positive], sign, factors } = self;
        let weights = negative.iter().zip(positive).zip(samples);
        for (i, (&y, ((&negative, &positive), &sample))) in targets.iter().zip(weights).enumerate() {
            let class = if y == R::ONE { sign * positive } else { negative };
            // SAFETY: `factors` has as many elements as `targets`. The sum makes -0.0 a +0.0.
            unsafe { factors.add(i).write(R::from_weight(sample * class + 0.0)) }
        }
    }
}

/// Fills a tile with the products of sample weights and other weights.
pub struct Product<'a, R> {
    /// The sample weights.
    pub samples: &'a [f64],
    /// The other weights, as many.
    pub weights: &'a [f64],
    /// Where the products go, as many.
    pub products: *mut R,
}

impl<R: Real> Kernel for Product<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        for (i, (sample, weight)) in self.samples.iter().zip(self.weights).enumerate() {
            // SAFETY: `products` has as many elements as `samples`. The sum makes -0.0 a +0.0.
            unsafe { self.products.add(i).write(R::from_weight(sample * weight + 0.0)) }
        }
    }
}
