//! Sample weights as kernels take them, laid out where they do not stand so: of tiles that follow each other, one for each
//! element, also where rows of elements have one in common.

use super::heads::{Heads, parts};
use super::{JobPlan, operand};
use crate::kernel::by_row::{BEHIND, ByRow, are_short};
use crate::kernel::factors::{Samples, are_ordinary};
use crate::kernel::repeat::{Repeat, Same};
use crate::kernel::tile::{Buffer, Place, Raw, Source};
use crate::layout::Tile;
use crate::real::Real;
use crate::simd::AnyIsa;

/// Memory for what multiplies the elements of tiles.
#[derive(Clone, Copy)]
pub(super) struct Room<R> {
    /// For losses, gradient and Hessian of the elements as negatives and as positives.
    pub labels: [[*mut R; 2]; 3],
    /// For sample weights.
    pub samples: *mut R,
}

/// Where sample weights of tiles stand, and whether they are all ordinary.
pub(super) struct OfSamples<R> {
    /// The first of them.
    pub start: *const R,
    /// As [`are_ordinary`] has it.
    pub ordinary: bool,
}

/// Finds sample weights where they stand, or lays them out.
///
/// # Safety
/// The weights must be readable wherever the plan says that they are; there must be room for as many as there are
/// elements.
pub(super) unsafe fn lay_out<R: Real>(
    isa: AnyIsa,
    samples: &Source<f64>,
    heads: Option<&Heads>,
    (plan, tiles): (&JobPlan, Tile),
    room: *mut R,
) -> OfSamples<R> {
    // SAFETY: handed through from the caller; what is laid out is no longer than the tiles.
    unsafe {
        if heads.is_none()
            && let Some(start) = samples.own::<R, _>(Place { plan, operand: operand::SAMPLES, tile: tiles })
        {
            let ordinary = are_ordinary(isa, std::slice::from_raw_parts(start, tiles.len));
            return OfSamples { start, ordinary };
        }
        let mut ordinary = true;
        for (start, tile) in parts(heads, tiles) {
            let elements = room.add(start);
            ordinary &= match heads {
                Some(heads) => of_rows(isa, samples, heads, (plan, tile), elements),
                None => take(isa, samples, Place { plan, operand: operand::SAMPLES, tile }, elements),
            };
        }
        OfSamples { start: room, ordinary }
    }
}

/// Writes the weights of a tile, and says whether they are all ordinary.
///
/// # Safety
/// The weights must be readable in that place, and there must be room for as many.
unsafe fn take<R: Real, const N: usize>(
    isa: AnyIsa,
    samples: &Source<f64>,
    place: Place<'_, N>,
    weights: *mut R,
) -> bool {
    let len = place.tile.len;
    // SAFETY: handed through from the caller; a buffer holds a tile.
    unsafe {
        if let Some(run) = samples.own::<R, _>(place) {
            return Samples(std::slice::from_raw_parts(run, len)).times(isa, 1.0, weights);
        }
        let (mut buffer, mut raw) = (Buffer::new(), Raw::new());
        let samples = samples.tile(isa, place, &mut buffer, &mut raw);
        Samples(std::slice::from_raw_parts(samples, len)).times(isa, 1.0, weights)
    }
}

/// Writes the weights of elements of which rows have one in common, and says whether they are all ordinary.
///
/// # Safety
/// As [`lay_out`], for elements that need at most a tile of rows.
#[inline(never)]
unsafe fn of_rows<R: Real>(
    isa: AnyIsa,
    samples: &Source<f64>,
    heads: &Heads,
    (plan, tile): (&JobPlan, Tile),
    elements: *mut R,
) -> bool {
    let (place, skip) = heads.of(plan, tile);
    let (rows, shape) = (place.tile.len, [heads.cols(), skip, tile.len]);
    let mut numbers = Buffer::<R>::new();
    let numbers = numbers.as_mut_ptr();
    // SAFETY: handed through from the caller; a buffer holds a tile, and rows with those behind them are no more: see
    // `Heads::reach`.
    unsafe {
        let ordinary = take(isa, samples, place, numbers);
        numbers.add(rows).cast::<[R; BEHIND]>().write([R::ZERO; BEHIND]);
        let of = |rows| std::slice::from_raw_parts(numbers.cast_const(), rows);
        if are_short(heads.cols()) {
            isa.vectorize(ByRow::new(of(rows + BEHIND), elements, shape));
        } else {
            isa.vectorize(Repeat::new(Same { numbers: of(rows), elements }, shape));
        }
        ordinary
    }
}
