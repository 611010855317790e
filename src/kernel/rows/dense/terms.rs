//! The terms of a row's classes: their sums, and for the results what stays in the tiles.

use super::{Needs, SUMS, Totals, sum};
use crate::kernel::elementwise::output;
use crate::kernel::rows::tile::Tile;
use crate::kernel::rows::tree::{self, Terms, total};
use crate::kernel::rows::{ROWS, RowReal};
use crate::loss::softmax::Sum;
use crate::loss::softmax_dense::{Class, Shares};
use crate::simd::{Isa, Kernel, Vector};

/// The tiles of a batch, all of the same form.
#[derive(Clone, Copy)]
pub struct Tiles<R> {
    /// The exponentials; the gradient in the end.
    pub exp: Tile<R>,
    /// The logits; their slopes in the end.
    pub logits: Tile<R>,
    /// The targets; in a quotient the slopes of the modulating factor in the end.
    pub targets: Tile<R>,
    /// The second derivatives; the Hessian in the end.
    pub hess: Tile<R>,
}

/// Sums up the terms and leaves them in the tiles. `POWER`: as for
/// [`Margin`](crate::loss::focal::Margin).
pub struct Collect<'a, R, const POWER: u8> {
    pub tiles: Tiles<R>,
    /// Alpha and both parts of gamma of each class in the tiles, padded as lines are.
    pub classes: [&'a [R]; 3],
    /// As [`super::State`] has them.
    pub shares: &'a [[R; ROWS]; 6],
    pub needs: Needs,
    pub totals: &'a mut Totals<R>,
}

impl<R: RowReal, const POWER: u8> Kernel for Collect<'_, R, POWER> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { tiles, classes, shares, needs, totals } = self;
        let terms = Each::<R, POWER> { tiles, classes, shares, needs };
        let mut sums = totals.each_mut().map(|parts| parts.each_mut());
        // SAFETY: the tiles are padded as their form wants it.
        unsafe { total::<R, I, _, SUMS>(isa, &tiles.exp, &terms, &mut sums) };
    }
}

struct Each<'a, R, const POWER: u8> {
    tiles: Tiles<R>,
    classes: [&'a [R]; 3],
    shares: &'a [[R; ROWS]; 6],
    needs: Needs,
}

impl<V: Vector, const POWER: u8> Terms<V, SUMS> for Each<'_, V::Real, POWER>
where
    V::Real: RowReal,
{
    /// And whether lanes lie across classes.
    type Row = (Shares<V>, bool);

    #[inline(always)]
    fn rows(&self, isa: V::Isa, row: usize) -> Self::Row {
        (shares(isa, self.shares, row, false), false)
    }

    #[inline(always)]
    fn row(&self, isa: V::Isa, row: usize) -> Self::Row {
        (shares(isa, self.shares, row, true), true)
    }

    #[inline(always)]
    unsafe fn add(&self, of_row: &Self::Row, row: usize, class: usize, sums: &mut [Sum<V>; SUMS]) {
        let Self { tiles, needs, .. } = self;
        let (shares, across) = of_row;
        let isa = shares.max.isa();
        let [alpha, gamma, gamma_lo] = self.classes;
        let alpha = pick(isa, alpha, class, !across);
        let gamma = pick(isa, gamma, class, !across);
        let gamma_lo = pick(isa, gamma_lo, class, !across);
        // SAFETY: the group is within the tiles, says the caller.
        unsafe {
            let exp = V::load(isa, tiles.exp.at(row, class));
            let logit = V::load(isa, tiles.logits.at(row, class));
            let target = V::load(isa, tiles.targets.at(row, class));
            let term = Class::new::<POWER>(shares, exp, logit, [gamma, gamma_lo]);
            if needs.outputs & output::VALUE != 0 {
                sums[sum::VALUE] = sums[sum::VALUE].add_any(term.value(target * alpha));
            }
            if needs.factor {
                sums[sum::FACTOR] = sums[sum::FACTOR].add_any(term.factor(target));
            }
            if needs.outputs & !output::VALUE == 0 {
                return;
            }
            let slope = target * term.slope(shares, alpha);
            slope.store(tiles.logits.at(row, class));
            sums[sum::SLOPE] = sums[sum::SLOPE].add_any(slope);
            if needs.outputs & output::CURVATURE != 0 {
                let bend = target * term.bend(shares, alpha);
                bend.store(tiles.hess.at(row, class));
                sums[sum::BEND] = sums[sum::BEND].add_any(bend);
            } else if needs.upper {
                sums[sum::BEND] = sums[sum::BEND].add_any(gamma.mul_add(slope, slope));
            }
            if needs.quotient {
                let descent = target * term.descent();
                descent.store(tiles.targets.at(row, class));
                sums[sum::FACTOR_SLOPE] = sums[sum::FACTOR_SLOPE].add_any(descent);
            }
        }
    }
}

/// The numbers of a group of rows, or of the `same` row in all lanes.
#[inline(always)]
pub fn shares<V: Vector>(isa: V::Isa, of_rows: &[[V::Real; ROWS]; 6], row: usize, same: bool) -> Shares<V> {
    let [first, second, max, base, weight, mean] = of_rows;
    Shares {
        first: pick(isa, first, row, same),
        second: pick(isa, second, row, same),
        max: pick(isa, max, row, same),
        base: pick(isa, base, row, same),
        weight: pick(isa, weight, row, same),
        mean: pick(isa, mean, row, same),
    }
}

/// A group of lanes out of a list, or the `same` number in all lanes.
#[inline(always)]
pub fn pick<V: Vector>(isa: V::Isa, list: &[V::Real], at: usize, same: bool) -> V {
    if same { V::splat(isa, list[at]) } else { lanes(isa, list, at) }
}

/// A group of lanes out of a list.
#[inline(always)]
pub fn lanes<V: Vector>(isa: V::Isa, list: &[V::Real], from: usize) -> V {
    // SAFETY: the slice is as long as a group of lanes.
    unsafe { V::load(isa, list[from..from + V::LANES].as_ptr()) }
}

/// Adds the sums of a chunk to those of the chunks before it.
pub fn join<R: RowReal>(rows: usize, totals: &mut Totals<R>, part: &Totals<R>) {
    for ([heads, tails], [part_heads, part_tails]) in totals.iter_mut().zip(part) {
        for row in 0..rows {
            [heads[row], tails[row]] =
                tree::merge([heads[row], tails[row]], [part_heads[row], part_tails[row]]);
        }
    }
}

/// Takes y to keep * y + add.
pub fn smooth<R: RowReal>(tile: &Tile<R>, [keep, add]: [R; 2]) {
    if keep == R::ONE && add == R::ZERO {
        return;
    }
    for row in 0..tile.rows {
        for class in 0..tile.classes {
            // SAFETY: inside the tile.
            unsafe {
                let target = tile.at(row, class);
                *target = *target * keep + add;
            }
        }
    }
}
