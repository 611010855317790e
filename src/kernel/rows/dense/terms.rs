//! The terms of a row's classes: their sums, and for the results what stays in the tiles.

use super::{Needs, Totals, sum};
use crate::kernel::output;
use crate::kernel::rows::tile::{Form, Tile};
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

/// Sums up the terms and leaves them in the tiles: the first `N` sums. `POWER`: as for
/// [`Margin`](crate::loss::focal::Margin).
pub struct Collect<'a, R, const POWER: u8, const N: usize> {
    pub tiles: Tiles<R>,
    /// Alpha and both parts of gamma of each class in the tiles, padded as lines are.
    pub classes: [&'a [R]; 3],
    /// As [`super::State`] has them.
    pub shares: &'a [[R; ROWS]; 6],
    pub needs: Needs,
    pub totals: &'a mut Totals<R>,
}

impl<R: RowReal, const POWER: u8, const N: usize> Kernel for Collect<'_, R, POWER, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { tiles, classes, shares, needs, totals } = self;
        let terms = Each::<R, POWER> { tiles, classes, shares, needs };
        let mut sums = totals.each_mut().map(|parts| parts.each_mut());
        // SAFETY: the tiles are padded as their form wants it.
        unsafe { total::<R, I, _, N>(isa, &tiles.exp, &terms, &mut sums) };
    }
}

struct Each<'a, R, const POWER: u8> {
    tiles: Tiles<R>,
    classes: [&'a [R]; 3],
    shares: &'a [[R; ROWS]; 6],
    needs: Needs,
}

impl<V: Vector, const POWER: u8, const N: usize> Terms<V, N> for Each<'_, V::Real, POWER>
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
    unsafe fn add(&self, of_row: &Self::Row, row: usize, class: usize, sums: &mut [Sum<V>; N]) {
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
                add(sums, sum::VALUE, term.value(target * alpha));
            }
            if needs.factor {
                add(sums, sum::FACTOR, term.factor(target));
            }
            if needs.outputs & !output::VALUE == 0 {
                return;
            }
            let slope = target * term.slope(shares, alpha);
            slope.store(tiles.logits.at(row, class));
            add(sums, sum::SLOPE, slope);
            if needs.outputs & output::CURVATURE != 0 {
                let bend = target * term.bend(shares, alpha);
                bend.store(tiles.hess.at(row, class));
                add(sums, sum::BEND, bend);
            } else if needs.upper {
                add(sums, sum::BEND, gamma.mul_add(slope, slope));
            }
            if needs.quotient {
                let descent = target * term.descent();
                descent.store(tiles.targets.at(row, class));
                add(sums, sum::FACTOR_SLOPE, descent);
            }
        }
    }
}

/// Adds a term to a sum, if it is among those that are added up.
#[inline(always)]
fn add<V: Vector, const N: usize>(sums: &mut [Sum<V>; N], which: usize, term: V) {
    if let Some(sum) = sums.get_mut(which) {
        *sum = sum.add_any(term);
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
pub struct Smooth<R> {
    /// The targets.
    pub tile: Tile<R>,
    /// Both numbers.
    pub smoothing: [R; 2],
}

impl<R: RowReal> Kernel for Smooth<R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let [keep, add] = self.smoothing;
        if keep == R::ONE && add == R::ZERO {
            return;
        }
        // SAFETY: the tile is the batch's own.
        for run in unsafe { self.tile.runs() } {
            for target in run {
                *target = *target * keep + add;
            }
        }
    }
}

/// Looks for each row's largest logit, the first of several: its class, or -1 if there is none in the tile.
pub struct Find<'a, R> {
    /// The logits.
    pub tile: Tile<R>,
    /// The largest ones.
    pub max: &'a [R; ROWS],
    /// Where the classes go.
    pub place: &'a mut [i32; ROWS],
}

impl<R: RowReal> Kernel for Find<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { tile, max, place } = self;
        place[..tile.rows].fill(i32::MAX);
        // SAFETY: the tile is the batch's own.
        for (i, run) in unsafe { tile.runs() }.enumerate() {
            match tile.form {
                Form::Columns => {
                    for ((place, max), z) in place.iter_mut().zip(max).zip(run) {
                        let class = if *z == *max { i as i32 } else { i32::MAX };
                        *place = class.min(*place);
                    }
                }
                Form::Lines => {
                    let (max, mut first) = (max[i], i32::MAX);
                    for (k, z) in run.iter().enumerate() {
                        first = first.min(if *z == max { k as i32 } else { i32::MAX });
                    }
                    place[i] = first;
                }
            }
        }
        for place in &mut place[..tile.rows] {
            *place = if *place == i32::MAX { -1 } else { *place };
        }
    }
}
