//! A walk over a tile: groups of lanes, across rows or across classes, and what is added up, counted or compared on it.

use std::mem::MaybeUninit;

use super::super::tile::{Form, Tile};
use super::super::{MOST_PARTIAL_SUMS, ROWS, RowReal};
use crate::loss::softmax::Sum;
use crate::simd::{Isa, MAX_LANES, Vector};

/// What a pass does with a group of lanes, in a tile whose lanes lie across rows or across classes.
pub trait Pass<V: Vector> {
    /// Whether the first two results are added up.
    const ADDS: bool;

    /// Whether the third of the results is added up; else the largest is found.
    const COUNTS: bool;

    /// What it needs to know of a row.
    type Row;

    /// That of the rows from `row` on, or of the `same` row in all lanes.
    fn row(&self, isa: V::Isa, row: usize, same: bool) -> Self::Row;

    /// Two parts of what is added to the row's sum, and what is counted or compared.
    ///
    /// # Safety
    /// The group must be within the tiles.
    unsafe fn work(&self, of_row: &Self::Row, row: usize, class: usize, across: bool) -> [V; 3];
}

/// Goes over a tile; of each row the sum and the count, or the largest, go to `found`.
#[inline(always)]
pub fn pass<R: RowReal, I: Isa, P: Pass<R::RowLanes<I>>>(
    isa: I,
    tile: &Tile<R>,
    what: &P,
    found: &mut [[R; ROWS]; 3],
) {
    let lanes = <R::RowLanes<I>>::LANES;
    let start = if P::COUNTS { R::ZERO } else { R::NEG_INFINITY };
    let across = tile.form == Form::Lines;
    let (step, partial) = if across { (lanes, R::PARTIAL_SUMS / lanes) } else { (1, R::PARTIAL_SUMS) };
    let mut row = 0;
    while row < tile.rows {
        let of_row = what.row(isa, row, across);
        let mut beside = <R::RowLanes<I>>::splat(isa, start);
        let mut sums = [const { MaybeUninit::<Sum<R::RowLanes<I>>>::uninit() }; MOST_PARTIAL_SUMS];
        let (mut class, mut at, mut used) = (0, 0, 0);
        while class < tile.classes {
            // SAFETY: rows and classes are padded to whole groups. The sums below `used` have been written.
            unsafe {
                let [head, tail, other] = what.work(&of_row, row, class, across);
                if P::ADDS && used < partial {
                    // What a sum of nothing and this would be.
                    sums[at].write(Sum { head, tail });
                    used += 1;
                } else if P::ADDS {
                    let sum = sums[at].assume_init();
                    sums[at].write(sum.add(head, tail));
                }
                beside = if P::COUNTS { beside + other } else { other.max_or(beside) };
            }
            class += step;
            at = if at + 1 == partial { 0 } else { at + 1 };
        }
        // SAFETY: there are ROWS of everything, whole groups of lanes; the sums below `used` have been written.
        unsafe {
            if across {
                if P::ADDS {
                    [found[0][row], found[1][row]] = along::<R, I>(isa, &sums, used);
                }
                found[2][row] = together::<R, I>(beside, P::COUNTS);
            } else {
                if P::ADDS {
                    let sum = tree(&mut sums, used);
                    sum.head.store(found[0].as_mut_ptr().add(row));
                    sum.tail.store(found[1].as_mut_ptr().add(row));
                }
                beside.store(found[2].as_mut_ptr().add(row));
            }
        }
        row += if across { 1 } else { lanes };
    }
}

/// Partial sums, of which the first have been written.
type Partial<V> = [MaybeUninit<Sum<V>>; MOST_PARTIAL_SUMS];

/// Adds up partial sums; the others are 0.
///
/// # Safety
/// The first `used` must have been written, one at least.
#[inline(always)]
unsafe fn tree<V: Vector>(sums: &mut Partial<V>, used: usize) -> Sum<V> {
    let (mut width, mut used) = (MOST_PARTIAL_SUMS / 2, used);
    // SAFETY: handed through from the caller.
    unsafe {
        while width > 0 {
            let mut at = 0;
            while at + width < used {
                let sum = sums[at].assume_init().merge(sums[at + width].assume_init());
                sums[at].write(sum);
                at += 1;
            }
            used = used.min(width);
            width /= 2;
        }
        sums[0].assume_init()
    }
}

/// Adds up the lanes of partial sums, as [`tree`] does: head and tail.
///
/// # Safety
/// As [`tree`].
#[inline(always)]
unsafe fn along<R: RowReal, I: Isa>(isa: I, sums: &Partial<R::RowLanes<I>>, used: usize) -> [R; 2] {
    let lanes = <R::RowLanes<I>>::LANES;
    let mut parts = [[R::ZERO; MOST_PARTIAL_SUMS]; 2];
    let nothing = Sum::<R::RowLanes<I>>::nothing(isa);
    let mut at = 0;
    while at < R::PARTIAL_SUMS / lanes {
        // SAFETY: the lanes of all partial sums are as many as there are places; the caller vouches for those used.
        unsafe {
            let sum = if at < used { sums[at].assume_init() } else { nothing };
            sum.head.store(parts[0].as_mut_ptr().add(at * lanes));
            sum.tail.store(parts[1].as_mut_ptr().add(at * lanes));
        }
        at += 1;
    }
    let [heads, tails] = &mut parts;
    let mut width = R::PARTIAL_SUMS / 2;
    while width > 0 {
        for at in 0..width {
            let (a, b) = (heads[at], heads[at + width]);
            let sum = a + b;
            let seen = sum - a;
            tails[at] = (tails[at] + tails[at + width]) + ((a - (sum - seen)) + (b - seen));
            heads[at] = sum;
        }
        width /= 2;
    }
    [heads[0], tails[0]]
}

/// The sum of whole numbers in lanes, or the largest number.
#[inline(always)]
fn together<R: RowReal, I: Isa>(lanes: R::RowLanes<I>, counts: bool) -> R {
    let mut numbers = [R::ZERO; MAX_LANES];
    // SAFETY: no group has more lanes.
    unsafe { lanes.store(numbers.as_mut_ptr()) };
    let (first, rest) = numbers.split_at(1);
    let mut found = first[0];
    for next in &rest[..<R::RowLanes<I>>::LANES - 1] {
        found = if counts {
            found + *next
        } else if *next > found {
            *next
        } else {
            found
        };
    }
    found
}
