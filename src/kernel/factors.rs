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
