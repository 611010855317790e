//! What a tile of losses and gradients adds up to, and how large its losses are.

use crate::real::Real;
use crate::simd::{Isa, Kernel};

/// Lanes in which squares are added up, whatever the instruction set: their order decides the last bits.
const LANES: usize = 16;

/// The sum of squares, and the extremes, of a tile.
pub struct Survey<'a, R> {
    /// A loss each.
    pub values: &'a [R],
    /// A gradient each.
    pub slopes: &'a [R],
}

impl<R: Real> Kernel for Survey<'_, R> {
    /// The sum of the squares of the slopes; the smallest and the largest value.
    type Output = (f64, f64, f64);

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> (f64, f64, f64) {
        let mut squares = [0.0; LANES];
        let (slopes, rest) = self.slopes.as_chunks::<LANES>();
        for slopes in slopes {
            add_squares(&mut squares, slopes);
        }
        let mut last = [R::ZERO; LANES];
        last[..rest.len()].copy_from_slice(rest);
        add_squares(&mut squares, &last);
        let (mut low, mut high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        let (values, rest) = self.values.as_chunks::<LANES>();
        for values in values {
            widen_range(&mut low, &mut high, values);
        }
        last = [R::NAN; LANES];
        last[..rest.len()].copy_from_slice(rest);
        widen_range(&mut low, &mut high, &last);
        let mut all = (0.0, f64::INFINITY, f64::NEG_INFINITY);
        for ((&square, &low), &high) in squares.iter().zip(&low).zip(&high) {
            all = (all.0 + square, all.1.min(low), all.2.max(high));
        }
        all
    }
}

#[inline(always)]
fn add_squares<R: Real>(squares: &mut [f64; LANES], slopes: &[R; LANES]) {
    for (square, slope) in squares.iter_mut().zip(slopes) {
        let slope = slope.to_f64();
        *square += slope * slope;
    }
}

/// NaN is neither smaller nor larger than a number.
#[inline(always)]
fn widen_range<R: Real>(low: &mut [f64; LANES], high: &mut [f64; LANES], values: &[R; LANES]) {
    for ((low, high), value) in low.iter_mut().zip(high).zip(values) {
        let value = value.to_f64();
        *low = if value < *low { value } else { *low };
        *high = if value > *high { value } else { *high };
    }
}
