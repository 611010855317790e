//! What multiplies the elements of a tile: sample weights times the weights of labels.

use crate::kernel::factors::{Factors, Product};
use crate::kernel::tile::{Buffer, Place, Raw, Source};
use crate::real::Real;
use crate::simd::AnyIsa;

/// The numbers of a tile from some sources.
#[derive(Clone, Copy)]
pub enum Fetched<'a, const M: usize> {
    /// One for all elements.
    All([f64; M]),
    /// As many as there are elements.
    Each([&'a [f64]; M]),
}

/// The numbers of a tile.
///
/// # Safety
/// As [`Source::tile`]. They live no longer than the arrays.
#[inline]
pub unsafe fn fetch<'a, const M: usize, const N: usize>(
    isa: AnyIsa,
    sources: &[Source<f64>; M],
    place: Place<'_, N>,
    buffers: &'a mut [Buffer<f64>; M],
    raw: &mut Raw,
) -> Fetched<'a, M> {
    let (mut numbers, mut all) = ([0.0; M], true);
    for (number, source) in numbers.iter_mut().zip(sources) {
        // SAFETY: handed through from the caller.
        match unsafe { source.number(isa, place) } {
            Some(found) => *number = found,
            None => all = false,
        }
    }
    if all {
        return Fetched::All(numbers);
    }
    let mut tiles: [&[f64]; M] = [&[]; M];
    for ((tile, source), buffer) in tiles.iter_mut().zip(sources).zip(buffers) {
        // SAFETY: handed through from the caller; a tile has `len` elements.
        *tile = unsafe { std::slice::from_raw_parts(source.tile(isa, place, buffer, raw), place.tile.len) };
    }
    Fetched::Each(tiles)
}

/// Fills a tile with what multiplies hard labels: sample weights times the weights of negatives and of positives,
/// the latter with a `sign`.
#[inline]
pub fn of_labels<R: Real>(
    isa: AnyIsa,
    targets: &[R],
    samples: Fetched<'_, 1>,
    classes: Fetched<'_, 2>,
    sign: f64,
    tile: &mut Buffer<R>,
) -> *const R {
    use Fetched::{All, Each};
    let factors = tile.as_mut_ptr();
    match (samples, classes) {
        (All([samples]), All(classes)) => {
            isa.vectorize(Factors { targets, samples, classes, sign, factors });
        }
        (All([samples]), Each(classes)) => {
            isa.vectorize(Factors { targets, samples, classes, sign, factors });
        }
        (Each([samples]), All(classes)) => {
            isa.vectorize(Factors { targets, samples, classes, sign, factors });
        }
        (Each([samples]), Each(classes)) => {
            isa.vectorize(Factors { targets, samples, classes, sign, factors });
        }
    }
    factors.cast_const()
}

/// Fills a tile with the products of sample weights and other weights.
#[inline]
pub fn products<R: Real>(
    isa: AnyIsa,
    len: usize,
    samples: Fetched<'_, 1>,
    weights: Fetched<'_, 1>,
    tile: &mut Buffer<R>,
) -> *const R {
    use Fetched::{All, Each};
    let products = tile.as_mut_ptr();
    match (samples, weights) {
        (All([samples]), All([weights])) => isa.vectorize(Product { samples, weights, len, products }),
        (All([samples]), Each([weights])) => isa.vectorize(Product { samples, weights, len, products }),
        (Each([samples]), All([weights])) => isa.vectorize(Product { samples, weights, len, products }),
        (Each([samples]), Each([weights])) => isa.vectorize(Product { samples, weights, len, products }),
    }
    products.cast_const()
}
