//! Sums over the classes of a tile.
//!
//! Class k goes to partial sum k mod [`RowReal::PARTIAL_SUMS`], and the partial sums are added as a tree
//! that halves their number at every level. So the sums do not depend on how the lanes lie, nor on how
//! many there are.

use super::tile::{Form, Tile};
use super::{MOST_PARTIAL_SUMS, ROWS, RowReal};
use crate::loss::softmax::Sum;
use crate::simd::{Isa, Vector};

/// What is added up, `N` sums at a time.
pub trait Terms<V: Vector, const N: usize> {
    /// What the terms need of their rows.
    type Row;

    /// Adds the terms of the group of lanes that begins with this row and class.
    ///
    /// # Safety
    /// The group must be within the tile that the terms are made for, padding included.
    unsafe fn add(&self, of_row: &Self::Row, row: usize, class: usize, sums: &mut [Sum<V>; N]);
}

/// Terms that know of themselves what they need of their rows.
pub trait TermsOfRows<V: Vector, const N: usize>: Terms<V, N> {
    /// For a row in each lane, from `row` on.
    fn rows(&self, isa: V::Isa, row: usize) -> Self::Row;

    /// For the same row in all lanes.
    fn row(&self, isa: V::Isa, row: usize) -> Self::Row;
}

/// The sums of every row of a tile, in two parts each.
///
/// # Safety
/// The terms must be made for the tile, whose columns must be padded to whole groups of lanes and whose
/// lines to whole blocks of partial sums.
#[inline(always)]
pub unsafe fn total<R, I, T, const N: usize>(
    isa: I,
    tile: &Tile<R>,
    terms: &T,
    sums: &mut [[&mut [R; ROWS]; 2]],
) where
    R: RowReal,
    I: Isa,
    T: TermsOfRows<R::RowLanes<I>, N>,
{
    match tile.form {
        Form::Columns => {
            let mut row = 0;
            while row < tile.rows {
                // SAFETY: handed through from the caller.
                let totals = unsafe { by_tree(isa, tile, terms, &terms.rows(isa, row), row) };
                for ([heads, tails], total) in sums.iter_mut().zip(totals) {
                    // SAFETY: there are ROWS of each, whole groups of lanes.
                    unsafe {
                        total.head.store(heads.as_mut_ptr().add(row));
                        total.tail.store(tails.as_mut_ptr().add(row));
                    }
                }
                row += <R::RowLanes<I>>::LANES;
            }
        }
        Form::Lines => {
            for row in 0..tile.rows {
                // SAFETY: handed through from the caller.
                let totals = unsafe { line::<R, I, T, N>(isa, tile, terms, row) };
                for ([heads, tails], [head, tail]) in sums.iter_mut().zip(totals) {
                    heads[row] = head;
                    tails[row] = tail;
                }
            }
        }
    }
}

/// No more levels than this has the tree of partial sums.
const LEVELS: usize = MOST_PARTIAL_SUMS.ilog2() as usize;

/// The sums of a group of rows of a tile of columns, of which the terms need `of_rows`.
///
/// # Safety
/// As [`total`], for the group from `row` on.
#[inline(always)]
pub unsafe fn by_tree<V, T, const N: usize>(
    isa: V::Isa,
    tile: &Tile<V::Real>,
    terms: &T,
    of_rows: &T::Row,
    row: usize,
) -> [Sum<V>; N]
where
    V: Vector,
    V::Real: RowReal,
    T: Terms<V, N>,
{
    let nothing = [Sum::nothing(isa); N];
    let partial_sums = <V::Real>::PARTIAL_SUMS;
    let levels = partial_sums.ilog2();
    // Leaves in the order in which the tree completes its branches; one waits at every level.
    let mut waiting = [nothing; LEVELS + 1];
    let mut present = 0_u32;
    for leaf in 0..partial_sums {
        let first = leaf.reverse_bits() >> (usize::BITS - levels);
        let mut node = nothing;
        let mut empty = first >= tile.classes;
        let mut k = first;
        while k < tile.classes {
            // SAFETY: handed through from the caller.
            unsafe { terms.add(of_rows, row, k, &mut node) };
            k += partial_sums;
        }
        let mut level = 0;
        while leaf >> level & 1 == 1 {
            if present >> level & 1 == 1 {
                let left = waiting[level];
                if empty {
                    node = left;
                } else {
                    for n in 0..N {
                        node[n] = left[n].merge(node[n]);
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
    waiting[levels as usize]
}

/// No more groups of lanes than this hold the partial sums.
const PARTS: usize = 8;

/// # Safety
/// As [`total`], for a row.
#[inline(always)]
unsafe fn line<R, I, T, const N: usize>(isa: I, tile: &Tile<R>, terms: &T, row: usize) -> [[R; 2]; N]
where
    R: RowReal,
    I: Isa,
    T: TermsOfRows<R::RowLanes<I>, N>,
{
    let lanes = <R::RowLanes<I>>::LANES;
    let parts = R::PARTIAL_SUMS / lanes;
    let of_row = terms.row(isa, row);
    let mut sums = [[Sum::nothing(isa); N]; PARTS];
    let mut k = 0;
    while k < tile.classes {
        for sums in sums.iter_mut().take(parts) {
            // SAFETY: handed through from the caller.
            unsafe { terms.add(&of_row, row, k, sums) };
            k += lanes;
        }
    }
    let mut partial = [[[R::ZERO; MOST_PARTIAL_SUMS]; 2]; N];
    for (part, sums) in sums.iter().enumerate().take(parts) {
        for (partial, sum) in partial.iter_mut().zip(sums) {
            // SAFETY: the parts together have as many lanes as there are partial sums.
            unsafe {
                sum.head.store(partial[0].as_mut_ptr().add(part * lanes));
                sum.tail.store(partial[1].as_mut_ptr().add(part * lanes));
            }
        }
    }
    let mut totals = [[R::ZERO; 2]; N];
    for (total, partial) in totals.iter_mut().zip(&mut partial) {
        *total = halve(isa, partial);
    }
    totals
}

/// The tree of partial sums, each level as [`Sum::merge`] adds.
#[inline(always)]
fn halve<R: RowReal, I: Isa>(isa: I, partial: &mut [[R; MOST_PARTIAL_SUMS]; 2]) -> [R; 2] {
    let lanes = <R::One<I>>::LANES;
    let mut width = R::PARTIAL_SUMS / 2;
    while width >= lanes {
        for lane in (0..width).step_by(lanes) {
            // SAFETY: `lane + width + lanes` is no more than the number of partial sums.
            unsafe {
                let sum = load::<R::One<I>>(isa, partial, lane);
                let sum = sum.merge(load(isa, partial, lane + width));
                sum.head.store(partial[0].as_mut_ptr().add(lane));
                sum.tail.store(partial[1].as_mut_ptr().add(lane));
            }
        }
        width /= 2;
    }
    let [heads, tails] = partial;
    while width > 0 {
        for lane in 0..width {
            [heads[lane], tails[lane]] =
                merge([heads[lane], tails[lane]], [heads[lane + width], tails[lane + width]]);
        }
        width /= 2;
    }
    [heads[0], tails[0]]
}

/// # Safety
/// A group of lanes from `lane` on must be among the partial sums.
#[inline(always)]
unsafe fn load<V: Vector>(
    isa: V::Isa,
    [heads, tails]: &[[V::Real; MOST_PARTIAL_SUMS]; 2],
    lane: usize,
) -> Sum<V> {
    // SAFETY: handed through from the caller.
    unsafe {
        Sum { head: V::load(isa, heads.as_ptr().add(lane)), tail: V::load(isa, tails.as_ptr().add(lane)) }
    }
}

/// [`Sum::merge`] of single numbers.
#[inline(always)]
pub fn merge<R: RowReal>([a, a_tail]: [R; 2], [b, b_tail]: [R; 2]) -> [R; 2] {
    let sum = a + b;
    let b_seen = sum - a;
    let lost = (a - (sum - b_seen)) + (b - b_seen);
    [sum, (a_tail + b_tail) + lost]
}
