//! Losses, gradients and their sums by bin in one walk, for several losses that differ in gamma and weights.
//!
//! A tile of logits and labels is read once. What the formulas have in common for every gamma is computed once, each
//! loss takes its power and its weights, and everything is added up while it is in the first-level cache: no loss is
//! ever written to memory.

use super::sort::{Sort, Sorted};
use super::tally::{Each, Tables, Total, over_blocks};
use super::{BLOCK, Column, MAIN, Row, Sortable, range_of};
use crate::error::Error;
use crate::kernel::exact_tile::Summable;
use crate::kernel::folds::{Folds, ROOM};
use crate::kernel::tile::TILE;
use crate::loss::focal::{Fold, Gamma, Middle, Scales, power};
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel, MAX_LANES, Vector};

const _: () = assert!(ROOM >= TILE + MAX_LANES);

/// Numbers of a tile and of the groups of lanes around it.
type Room<R> = [R; ROOM];

/// One of the losses.
#[derive(Clone, Copy, Debug)]
pub struct Weighed {
    /// The focusing parameter.
    pub gamma: f64,
    /// What multiplies losses of negatives and of positives.
    pub weights: [f64; 2],
}

/// What a walk finds beside the rows of the bins.
#[derive(Clone, Debug)]
pub struct Walked {
    /// Each loss in all.
    pub totals: Vec<Total>,
    /// Of the logits and labels.
    pub sorted: Sorted,
}

/// Adds losses and gradients to the rows of the elements' bins, and the elements to their counts, as
/// [`super::tally`] does. None, and nothing is added, if there is a label other than 0 and 1.
///
/// # Errors
/// If the threads cannot be started.
///
/// # Safety
/// Both columns must be valid for reading `len` numbers.
pub unsafe fn walk<R: Sortable + Scales + Summable>(
    isa: AnyIsa,
    (logits, targets, len): (Column, Column, usize),
    losses: &[Weighed],
    counts: &mut [i64],
    rows: &mut [Row],
) -> Result<Option<Walked>, Error> {
    let mut sorted = Sorted::default();
    let losses: Vec<_> = losses.iter().map(Constants::<R>::new).collect();
    let totals = over_blocks(len.div_ceil(BLOCK), losses.len(), counts, rows, |block, tables| {
        let range = range_of(block, len);
        let mut work = Work::new(isa, &losses);
        let mut found = Sorted::default();
        for at in range.clone().step_by(TILE) {
            // SAFETY: the tile is within the columns.
            let tile =
                unsafe { work.tile((logits, targets), at, TILE.min(range.end - at), &mut found, tables) };
            tile?;
        }
        Some(found)
    })?;
    let Some((totals, found)) = totals else { return Ok(None) };
    found.into_iter().for_each(|found| sorted.merge(found));
    Ok(Some(Walked { totals, sorted }))
}

/// One of the losses, in the type that is computed with.
struct Constants<R> {
    gamma: Gamma<R>,
    is_general: bool,
    weights: [R; 2],
    /// Whether a weight is 0, which makes 0 of an infinite loss.
    has_zero: bool,
}

impl<R: Real> Constants<R> {
    fn new(loss: &Weighed) -> Self {
        let weights = loss.weights.map(|weight| R::from_weight(weight + 0.0));
        Self {
            gamma: Gamma::new(loss.gamma),
            is_general: power::of(loss.gamma) == power::GENERAL,
            weights,
            has_zero: weights.contains(&R::ZERO),
        }
    }
}

/// A thread's memory: a tile of everything.
struct Work<'a, R> {
    isa: AnyIsa,
    losses: &'a [Constants<R>],
    x: Box<Room<R>>,
    y: Box<Room<R>>,
    folds: Box<Folds<R>>,
    /// Of each loss: losses, and absolute gradients.
    results: Vec<[Room<R>; 2]>,
    bins: [u16; TILE],
}

impl<'a, R: Sortable + Scales + Summable> Work<'a, R> {
    fn new(isa: AnyIsa, losses: &'a [Constants<R>]) -> Self {
        let room = || Box::new([R::ZERO; ROOM]);
        let results = vec![[[R::ZERO; ROOM]; 2]; losses.len()];
        Self { isa, losses, x: room(), y: room(), folds: Box::new(Folds::new()), results, bins: [0; TILE] }
    }

    /// Adds a tile to the tables. None if there is a label other than 0 and 1.
    ///
    /// # Safety
    /// The columns must be valid for reading `len` numbers from `at` on, at most [`TILE`].
    unsafe fn tile(
        &mut self,
        (logits, targets): (Column, Column),
        at: usize,
        len: usize,
        sorted: &mut Sorted,
        tables: &mut Tables,
    ) -> Option<()> {
        let Self { isa, losses, ref mut x, ref mut y, ref mut folds, ref mut results, ref mut bins } = *self;
        // SAFETY: handed through from the caller; a tile fits.
        unsafe {
            logits.widen(isa, at, &mut x[..len]);
            targets.widen(isa, at, &mut y[..len]);
        }
        // What fills the last group up must not be a label that there is not.
        x[len..].fill(R::ZERO);
        y[len..].fill(R::ZERO);
        if !isa.vectorize(Losses { x, y, len, folds, losses, results }) {
            return None;
        }
        let bins = &mut bins[..len];
        let losses = &results[MAIN.min(results.len() - 1)][0][..len];
        sorted.add(isa.vectorize(Sort { x: &x[..len], y: &y[..len], losses, bins }));
        let each =
            results.iter().map(|[values, slopes]| Each { values: &values[..len], slopes: &slopes[..len] });
        tables.add(isa, bins, each);
        Some(())
    }
}

/// Losses and absolute gradients of a tile.
struct Losses<'a, R> {
    x: &'a Room<R>,
    y: &'a Room<R>,
    len: usize,
    folds: &'a mut Folds<R>,
    losses: &'a [Constants<R>],
    results: &'a mut [[Room<R>; 2]],
}

impl<R: Real + Scales> Kernel for Losses<'_, R> {
    /// Whether all labels are 0 or 1.
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> bool {
        let Self { x, y, len, folds, losses, results } = self;
        let lanes = <R::Lanes<I>>::LANES;
        let zero = <R::Lanes<I>>::splat(isa, R::ZERO);
        // |y^2 - y|, which is 0 for 0 and 1 alone, rounded once or twice.
        let mut others = zero;
        let mut at = 0;
        while at < len {
            // SAFETY: there is room for a tile and a group.
            unsafe {
                let y = <R::Lanes<I>>::load(isa, y.as_ptr().add(at));
                others = others + y.mul_add(y, -y).abs();
                folds.put(at, Fold::new(<R::Lanes<I>>::load(isa, x.as_ptr().add(at))));
            }
            at += lanes;
        }
        let mut found = [R::ZERO; MAX_LANES];
        // SAFETY: no group has more lanes.
        unsafe { others.store(found.as_mut_ptr()) };
        if !found.iter().all(|&lane| lane == R::ZERO) {
            return false;
        }
        at = 0;
        while at < len {
            // SAFETY: as above; the folds have been put down.
            unsafe {
                // The sign bit of -y says which label it is.
                let sign = zero - <R::Lanes<I>>::load(isa, y.as_ptr().add(at));
                let z = -<R::Lanes<I>>::load(isa, x.as_ptr().add(at)).flip(sign);
                let middle = Middle::of(z, folds.get(isa, at));
                let mut i = 0;
                while i < losses.len() {
                    let (value, slope) = losses[i].at(isa, sign.is_negative(), middle);
                    let [values, slopes] = &mut results[i];
                    value.store(values.as_mut_ptr().add(at));
                    slope.store(slopes.as_mut_ptr().add(at));
                    i += 1;
                }
            }
            at += lanes;
        }
        true
    }
}

impl<R: Real + Scales> Constants<R> {
    /// Loss and absolute gradient of a group of lanes.
    #[inline(always)]
    fn at<V: Vector<Real = R>>(&self, isa: V::Isa, positive: V::Mask, middle: Middle<V>) -> (V, V) {
        let [negatives, positives] = self.weights;
        let weight = V::select(positive, V::splat(isa, positives), V::splat(isa, negatives));
        let gamma = self.gamma.splat(isa);
        if self.is_general {
            let margin = middle.margin::<{ power::GENERAL }>(&gamma);
            let value = if self.has_zero { margin.value_or_zero(weight) } else { margin.value(weight) };
            (value, margin.descent(weight).abs())
        } else {
            let margin = middle.margin::<{ power::WHOLE }>(&gamma);
            let value = if self.has_zero { margin.value_or_zero(weight) } else { margin.value(weight) };
            (value, margin.descent(weight).abs())
        }
    }
}
