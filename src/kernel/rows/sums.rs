//! From a tile of logits to each row's largest logit and sum of exponentials, which take the logits'
//! place in the tile.
//!
//! Class k goes to partial sum k mod [`RowReal::PARTIAL_SUMS`], and the partial sums are added as a tree
//! that halves their number at every level. So the sums do not depend on how the lanes lie, nor on how
//! many there are.

use super::tile::{Form, Tile};
use super::{MOST_PARTIAL_SUMS, ROWS, RowReal, Summary};
use crate::loss::softmax::{Sum, scaled_exp};
use crate::real::Real;
use crate::simd::{Isa, Kernel, Vector};

/// The sums of a tile. `REST`: also those that leave out the largest logits.
pub struct Sums<'a, R, const REST: bool> {
    /// The logits, the targets' own taken out.
    pub tile: Tile<R>,
    /// Whether the largest logits are known.
    pub known: bool,
    /// Where the sums go.
    pub summary: &'a mut Summary<R>,
}

impl<R: RowReal, const REST: bool> Kernel for Sums<'_, R, REST> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { tile, known, summary } = self;
        if known {
            for r in 0..tile.rows {
                if summary.infinite[r] {
                    tame(&tile, r);
                }
            }
        } else {
            match tile.form {
                Form::Columns => largest_in_columns(isa, &tile, &mut summary.max),
                Form::Lines => largest_in_lines(isa, &tile, &mut summary.max),
            }
            for r in 0..tile.rows {
                summary.infinite[r] = summary.max[r] == R::INFINITY;
                if summary.infinite[r] {
                    summary.max[r] = tame(&tile, r);
                }
            }
        }
        match tile.form {
            Form::Columns => sums_of_columns::<R, I, REST>(isa, &tile, summary),
            Form::Lines => sums_of_lines::<R, I, REST>(isa, &tile, summary),
        }
    }
}

/// Makes a row with infinities one without: the only one becomes the largest finite number and what is
/// finite a class of probability 0. Returns the new largest logit, NaN if there is more than one.
fn tame<R: RowReal>(tile: &Tile<R>, row: usize) -> R {
    let mut infinities = 0;
    for k in 0..tile.classes {
        // SAFETY: inside the tile.
        unsafe {
            let logit = tile.at(row, k);
            if *logit == R::INFINITY {
                infinities += 1;
                *logit = R::HIGHEST;
            } else if *logit <= R::HIGHEST {
                *logit = R::NEG_INFINITY;
            }
        }
    }
    if infinities == 1 { R::HIGHEST } else { R::NAN }
}

/// The largest logit of every row. Where it is a NaN it may be lost here: sums find it.
#[inline(always)]
fn largest_in_columns<R: RowReal, I: Isa>(isa: I, tile: &Tile<R>, max: &mut [R; ROWS]) {
    let mut row = 0;
    while row < tile.rows {
        let mut largest = <R::RowLanes<I>>::splat(isa, R::LOWEST);
        for k in 0..tile.classes {
            // SAFETY: a column is padded to whole groups of lanes.
            largest = largest.max_or(unsafe { <R::RowLanes<I>>::load(isa, tile.at(row, k)) });
        }
        // SAFETY: there are ROWS of them, whole groups of lanes.
        unsafe { largest.store(max.as_mut_ptr().add(row)) };
        row += <R::RowLanes<I>>::LANES;
    }
}

/// As [`largest_in_columns`].
#[inline(always)]
fn largest_in_lines<R: RowReal, I: Isa>(isa: I, tile: &Tile<R>, max: &mut [R; ROWS]) {
    for (row, max) in max.iter_mut().enumerate().take(tile.rows) {
        let lowest = <R::RowLanes<I>>::splat(isa, R::LOWEST);
        let mut largest = [lowest; 2];
        let mut k = 0;
        while k < tile.pitch {
            for largest in &mut largest {
                // SAFETY: a line is padded to two of the longest groups of lanes.
                *largest = largest.max_or(unsafe { <R::RowLanes<I>>::load(isa, tile.at(row, k)) });
                k += <R::RowLanes<I>>::LANES;
            }
        }
        let mut lanes = [R::LOWEST; MOST_PARTIAL_SUMS];
        // SAFETY: no group of lanes is longer.
        unsafe { largest[0].max_or(largest[1]).store(lanes.as_mut_ptr()) };
        let mut width = <R::RowLanes<I>>::LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] =
                    if lanes[lane] > lanes[lane + width] { lanes[lane] } else { lanes[lane + width] };
            }
            width /= 2;
        }
        *max = lanes[0];
    }
}

/// One term: its exponential goes where the logit was, and is added.
///
/// # Safety
/// `logit` must be valid for a group of lanes.
#[inline(always)]
unsafe fn term<V: Vector, const REST: bool>(logit: *mut V::Real, max: V, sums: &mut [Sum<V>; 2])
where
    V::Real: RowReal,
{
    let zero = max.constant(V::Real::ZERO);
    // SAFETY: handed through from the caller.
    let z = unsafe { V::load(max.isa(), logit) };
    let (head, tail) = scaled_exp(z, max);
    sums[0] = sums[0].add(head, tail);
    if REST {
        let largest = z.equals(max);
        sums[1] = sums[1].add(V::select(largest, zero, head), V::select(largest, zero, tail));
    }
    // SAFETY: handed through from the caller.
    unsafe { head.store(logit) };
}

/// No more levels than this has the tree of partial sums.
const LEVELS: usize = MOST_PARTIAL_SUMS.ilog2() as usize;

#[inline(always)]
fn sums_of_columns<R: RowReal, I: Isa, const REST: bool>(isa: I, tile: &Tile<R>, summary: &mut Summary<R>) {
    let zero = <R::RowLanes<I>>::splat(isa, R::ZERO);
    let nothing = [Sum { head: zero, tail: zero }; 2];
    let levels = R::PARTIAL_SUMS.ilog2();
    let mut row = 0;
    while row < tile.rows {
        // SAFETY: there are ROWS of them, whole groups of lanes.
        let max = unsafe { <R::RowLanes<I>>::load(isa, summary.max.as_ptr().add(row)) };
        // Leaves in the order in which the tree completes its branches; one waits at every level.
        let mut waiting = [nothing; LEVELS + 1];
        let mut present = 0_u32;
        for leaf in 0..R::PARTIAL_SUMS {
            let first = leaf.reverse_bits() >> (usize::BITS - levels);
            let mut node = nothing;
            let mut empty = first >= tile.classes;
            let mut k = first;
            while k < tile.classes {
                // SAFETY: a column is padded to whole groups of lanes.
                unsafe { term::<_, REST>(tile.at(row, k), max, &mut node) };
                k += R::PARTIAL_SUMS;
            }
            let mut level = 0;
            while leaf >> level & 1 == 1 {
                if present >> level & 1 == 1 {
                    let left = waiting[level];
                    if empty {
                        node = left;
                    } else {
                        node[0] = left[0].merge(node[0]);
                        if REST {
                            node[1] = left[1].merge(node[1]);
                        }
                    }
                    empty = false;
                    present ^= 1 << level;
                }
                level += 1;
            }
            if !empty {
                waiting[level] = node;
                present |= 1 << level;
            }
        }
        let [sum, rest] = waiting[levels as usize];
        // SAFETY: there are ROWS of each, whole groups of lanes.
        unsafe {
            sum.head.store(summary.sum_head.as_mut_ptr().add(row));
            sum.tail.store(summary.sum_tail.as_mut_ptr().add(row));
            if REST {
                rest.head.store(summary.rest_head.as_mut_ptr().add(row));
                rest.tail.store(summary.rest_tail.as_mut_ptr().add(row));
            }
        }
        row += <R::RowLanes<I>>::LANES;
    }
}

/// No more groups of lanes than this hold the partial sums.
const PARTS: usize = 8;

#[inline(always)]
fn sums_of_lines<R: RowReal, I: Isa, const REST: bool>(isa: I, tile: &Tile<R>, summary: &mut Summary<R>) {
    let parts = R::PARTIAL_SUMS / <R::RowLanes<I>>::LANES;
    let zero = <R::RowLanes<I>>::splat(isa, R::ZERO);
    let nothing = Sum { head: zero, tail: zero };
    for row in 0..tile.rows {
        let max = <R::RowLanes<I>>::splat(isa, summary.max[row]);
        let mut sums = [[nothing; 2]; PARTS];
        let mut k = 0;
        while k < tile.classes {
            for sums in sums.iter_mut().take(parts) {
                // SAFETY: a line is padded to whole blocks of partial sums.
                unsafe { term::<_, REST>(tile.at(row, k), max, sums) };
                k += <R::RowLanes<I>>::LANES;
            }
        }
        let mut lanes = [[[R::ZERO; MOST_PARTIAL_SUMS]; 2]; 2];
        for (part, sums) in sums.iter().enumerate().take(parts) {
            for (lanes, sum) in lanes.iter_mut().zip(sums) {
                // SAFETY: the parts together have as many lanes as there are partial sums.
                unsafe {
                    sum.head.store(lanes[0].as_mut_ptr().add(part * <R::RowLanes<I>>::LANES));
                    sum.tail.store(lanes[1].as_mut_ptr().add(part * <R::RowLanes<I>>::LANES));
                }
            }
        }
        [summary.sum_head[row], summary.sum_tail[row]] = tree(&mut lanes[0]);
        if REST {
            [summary.rest_head[row], summary.rest_tail[row]] = tree(&mut lanes[1]);
        }
    }
}

/// The tree of partial sums, each level as [`Sum::merge`] adds.
#[inline(always)]
fn tree<R: RowReal>([heads, tails]: &mut [[R; MOST_PARTIAL_SUMS]; 2]) -> [R; 2] {
    let mut width = R::PARTIAL_SUMS / 2;
    while width > 0 {
        for lane in 0..width {
            let (a, b) = (heads[lane], heads[lane + width]);
            let larger = if a > b { a } else { b };
            let smaller = if a < b { a } else { b };
            let sum = a + b;
            heads[lane] = sum;
            tails[lane] = (tails[lane] + tails[lane + width]) + (smaller - (sum - larger));
        }
        width /= 2;
    }
    [heads[0], tails[0]]
}
