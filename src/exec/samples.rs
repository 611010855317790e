//! Sample weights of tiles, one for each element: where they stand, or laid out where they do not stand so.

use super::per_row::{PerRow, parts};
use super::{JobPlan, operand};
use crate::kernel::by_row::{BEHIND, ByRow, are_short};
use crate::kernel::repeat::{Repeat, Same};
use crate::kernel::tile::{Buffer, Place, Raw, Source};
use crate::layout::Tile;
use crate::real::Real;
use crate::simd::AnyIsa;

/// Finds the sample weights of tiles that follow each other where they stand, or lays them out in `memory`. `per_row` is
/// there if rows of elements have one in common.
///
/// # Safety
/// The weights must be readable wherever the plan says that they are, `memory` be valid for writing as many as there are
/// elements, and `raw` as many of the largest type.
#[inline]
pub(super) unsafe fn strip<R: Real>(
    isa: AnyIsa,
    samples: &Source<R>,
    per_row: Option<&PerRow>,
    (plan, tiles): (&JobPlan, Tile),
    memory: *mut R,
    raw: *mut u64,
) -> *const R {
    let Some(per_row) = per_row else {
        // SAFETY: handed through from the caller.
        return unsafe {
            samples.strip(isa, Place { plan, operand: operand::SAMPLES, tile: tiles }, memory, raw)
        };
    };
    for (start, tile) in parts(Some(per_row), tiles) {
        // SAFETY: handed through from the caller; a part is inside of the tiles.
        unsafe { of_rows(isa, samples, per_row, (plan, tile), memory.add(start)) };
    }
    memory
}

/// Writes the weights of elements of which rows have one in common.
///
/// # Safety
/// As [`strip`], for elements that need at most a tile of rows.
#[inline(never)]
unsafe fn of_rows<R: Real>(
    isa: AnyIsa,
    samples: &Source<R>,
    per_row: &PerRow,
    (plan, tile): (&JobPlan, Tile),
    elements: *mut R,
) {
    let (place, skip) = per_row.place(plan, tile);
    let (rows, shape) = (place.tile.len, [per_row.cols(), skip, tile.len]);
    let (mut buffer, mut raw) = (Buffer::<R>::new(), Raw::new());
    let numbers = buffer.as_mut_ptr();
    // SAFETY: handed through from the caller; a buffer holds a tile, and rows with those behind them are no more: see
    // `PerRow::reach`.
    unsafe {
        let found = samples.strip(isa, place, numbers, raw.as_mut_ptr());
        if !are_short(per_row.cols()) {
            let numbers = std::slice::from_raw_parts(found, rows);
            return isa.vectorize(Repeat::new(Same { numbers, elements }, shape));
        }
        // Some behind them are read.
        if found != numbers.cast_const() {
            std::ptr::copy_nonoverlapping(found, numbers, rows);
        }
        numbers.add(rows).cast::<[R; BEHIND]>().write([R::ZERO; BEHIND]);
        let numbers = std::slice::from_raw_parts(numbers.cast_const(), rows + BEHIND);
        isa.vectorize(ByRow::new(numbers, elements, shape));
    }
}
