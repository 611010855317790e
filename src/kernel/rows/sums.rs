//! From a tile of logits to each row's largest logit and sum of exponentials, which take the logits'
//! place in the tile.

use super::tile::{Ahead, Form, Matrix, Tile};
use super::tree::{Terms, TermsOfRows, total};
use super::{MOST_PARTIAL_SUMS, ROWS, RowReal, Summary};
use crate::loss::softmax::{Sum, scaled_exp};
use crate::simd::{Isa, Kernel, Vector};

/// The sums of a tile. With `N` = 2 also those that leave out the largest logits.
pub struct Sums<'a, R, const N: usize> {
    /// The logits, the targets' own taken out.
    pub tile: Tile<R>,
    /// Whether the largest logits are known.
    pub known: bool,
    /// What will be needed next, each as large as the tile: inputs, and where results go; null ones are none.
    pub ahead: [Matrix<*const R>; 2],
    /// Where the sums go.
    pub summary: &'a mut Summary<R>,
}

impl<R: RowReal, const N: usize> Kernel for Sums<'_, R, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { tile, known, ahead, summary } = self;
        if known {
            for r in 0..tile.rows {
                if summary.infinite[r] {
                    tame(&tile, r, NONE);
                }
            }
        } else {
            Largest { tile, max: &mut summary.max }.run(isa);
            for r in 0..tile.rows {
                summary.infinite[r] = summary.max[r] == R::INFINITY;
                if summary.infinite[r] {
                    summary.max[r] = tame(&tile, r, NONE);
                }
            }
        }
        let Summary { max, sum_head, sum_tail, rest_head, rest_tail, .. } = summary;
        let mut sums = [[sum_head, sum_tail], [rest_head, rest_tail]];
        let [next, own] = ahead;
        let lanes = <R::RowLanes<I>>::LANES;
        let ahead = [Ahead::new(&next, &tile, lanes), Ahead::new(&own, &tile, lanes)];
        let terms = Exponentials { tile, max, ahead };
        // SAFETY: the tile is padded as its form wants it.
        unsafe { total::<R, I, _, N>(isa, &tile, &terms, &mut sums) };
    }
}

/// Finds the largest logit of every row. Where it is a NaN it may be lost here: sums find it.
pub struct Largest<'a, R> {
    /// The logits.
    pub tile: Tile<R>,
    /// Where the largest ones go; the lowest finite number if they are lower.
    pub max: &'a mut [R; ROWS],
}

impl<R: RowReal> Kernel for Largest<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        match self.tile.form {
            Form::Columns => largest_in_columns(isa, &self.tile, self.max),
            Form::Lines => largest_in_lines(isa, &self.tile, self.max),
        }
    }
}

/// No class.
const NONE: usize = usize::MAX;

/// Makes a row with infinities one without: the only one becomes the largest finite number and what is
/// finite a class of probability 0; the class to `skip` does not count. Returns the new largest logit, NaN if there is
/// more than one.
pub fn tame<R: RowReal>(tile: &Tile<R>, row: usize, skip: usize) -> R {
    let mut infinities = 0;
    for k in (0..tile.classes).filter(|&k| k != skip) {
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

/// As [`Largest`].
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

/// As [`Largest`].
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
        while width >= <R::One<I>>::LANES {
            for lane in (0..width).step_by(<R::One<I>>::LANES) {
                // SAFETY: `width` and as many lanes from there on are no more than a group has.
                unsafe {
                    let upper = <R::One<I>>::load(isa, lanes.as_ptr().add(lane + width));
                    let lower = <R::One<I>>::load(isa, lanes.as_ptr().add(lane));
                    lower.max_or(upper).store(lanes.as_mut_ptr().add(lane));
                }
            }
            width /= 2;
        }
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

/// The exponentials of a tile, which go where the logits were, and their sum. With `N` = 2 also the sum of
/// those that are smaller than the largest.
struct Exponentials<'a, R> {
    tile: Tile<R>,
    max: &'a [R; ROWS],
    ahead: [Ahead<R>; 2],
}

impl<V: Vector, const N: usize> Terms<V, N> for Exponentials<'_, V::Real>
where
    V::Real: RowReal,
{
    /// The largest logit.
    type Row = V;

    #[inline(always)]
    unsafe fn add(&self, max: &V, row: usize, class: usize, sums: &mut [Sum<V>; N]) {
        let logit = self.tile.at(row, class);
        self.ahead[0].ask(row, class, V::LANES);
        self.ahead[1].ask(row, class, V::LANES);
        // SAFETY: handed through from the caller.
        let z = unsafe { V::load(max.isa(), logit) };
        let head = add_exponential(z, *max, sums);
        // SAFETY: handed through from the caller.
        unsafe { head.store(logit) };
    }
}

impl<V: Vector, const N: usize> TermsOfRows<V, N> for Exponentials<'_, V::Real>
where
    V::Real: RowReal,
{
    #[inline(always)]
    fn rows(&self, isa: V::Isa, row: usize) -> V {
        // SAFETY: the slice is as long as a group of lanes.
        unsafe { V::load(isa, self.max[row..row + V::LANES].as_ptr()) }
    }

    #[inline(always)]
    fn row(&self, isa: V::Isa, row: usize) -> V {
        V::splat(isa, self.max[row])
    }
}

/// Adds the exponential of a logit to the sums and returns it. With `N` = 2 also to the sum of those that are smaller
/// than the largest.
#[inline(always)]
pub fn add_exponential<V: Vector, const N: usize>(z: V, max: V, sums: &mut [Sum<V>; N]) -> V
where
    V::Real: RowReal,
{
    let (head, tail) = scaled_exp(z, max);
    sums[0] = sums[0].add(head, tail);
    if N == 2 {
        let smaller = Sum { head, tail }.unless(z.equals(max));
        sums[1] = sums[1].add(smaller.head, smaller.tail);
    }
    head
}
