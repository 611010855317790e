//! Posteriors of rows of scores: [`crate::loss::row_posterior`].
//!
//! Rows go through private memory, batch by batch, in passes: the largest score, the sum of the exponentials, the shares of
//! the classes and their sum, and the posteriors. As in the kernels of the loss, lanes lie across rows where the classes are
//! few or their axis is strided, and across classes elsewhere; sums are in a tree that is the same for both.

mod passes;
mod walk;

use std::collections::TryReserveError;

use super::tile::{Form, Matrix, Tile, emit, fetch};
use super::{LINES_FROM, MOST_PARTIAL_SUMS, ROWS, RowReal, fill, longest_tile};
use crate::loss::posterior::{Unsmooth, bounded};
use crate::loss::row_posterior::ROW;
use crate::real::Real;
use crate::simd::AnyIsa;
use passes::{Batch, Work};

/// What differs by class, in lists that are empty where nothing does.
#[derive(Clone, Debug)]
pub struct ByClass<R> {
    /// Gamma, in two parts.
    gammas: [Vec<R>; 2],
    /// The smallest alpha over each; where some are 0, 1 for those and 0 for the others.
    weights: Vec<R>,
}

/// Numbers behind the end of lists that groups of lanes may read.
const BEHIND: usize = 2 * MOST_PARTIAL_SUMS;

/// Bytes that tiles aim at.
const TILE_BYTES: usize = 32 << 10;

impl<R: RowReal> ByClass<R> {
    /// From lists of numbers by class, each empty if there is one for all.
    pub fn new(gammas: &[f64], alphas: &[f64]) -> Self {
        let least = alphas.iter().copied().fold(f64::INFINITY, f64::min);
        let weight = |alpha: &f64| match (least == 0.0, *alpha == 0.0) {
            (true, is_none) => R::from_f64(f64::from(is_none)),
            (false, _) => R::from_weight(least / alpha),
        };
        let padded = |numbers: Vec<R>, empty: bool| {
            let behind = if empty { 0 } else { BEHIND };
            numbers.into_iter().chain(std::iter::repeat_n(R::ZERO, behind)).collect::<Vec<R>>()
        };
        let part = |i: usize| {
            let parts = gammas.iter().map(|gamma| in_parts::<R>(*gamma)[i]);
            padded(parts.collect(), gammas.is_empty())
        };
        let weights = padded(alphas.iter().map(weight).collect(), alphas.is_empty());
        Self { gammas: [part(0), part(1)], weights }
    }
}

/// A gamma in two parts.
fn in_parts<R: RowReal>(gamma: f64) -> [R; 2] {
    let gamma = bounded::<R>(gamma);
    let hi = R::from_f64(gamma);
    [hi, R::from_f64(gamma - hi.to_f64())]
}

/// What is the same for all rows of a call.
#[derive(Clone, Debug)]
pub struct RowConstants<R> {
    /// Gamma, where there is none by class.
    pub gamma: f64,
    /// Whether the sigmoid of the target's logit modulates the loss.
    pub sigmoid: bool,
    /// What labels were smoothed by.
    pub smoothing: Option<Unsmooth<R>>,
    /// What differs by class.
    pub by_class: ByClass<R>,
}

/// The operands of a run of rows.
#[derive(Clone, Copy, Debug)]
pub struct RowOperands<R> {
    /// Number of rows.
    pub rows: usize,
    /// Number of classes.
    pub classes: usize,
    /// Scores.
    pub scores: Matrix<*const R>,
    /// Where the posteriors go: the very memory of the scores, or none that they have.
    pub posteriors: Matrix<*mut R>,
}

/// How shares are computed.
mod kind {
    /// As products.
    pub const SQUARE: u8 = 0;
    /// By the sigmoid of the score.
    pub const SIGMOID: u8 = 1;
    /// By exponents.
    pub const ANY: u8 = 2;
}

/// Numbers that belong to a row, for a batch of rows.
struct State<R> {
    /// The head and the tail of a sum, and what a pass finds beside it.
    found: [[R; ROWS]; 3],
    /// The largest score; later the largest exponent.
    largest: [R; ROWS],
    /// [`Row::numbers`].
    row: [[R; ROWS]; ROW],
}

impl<R: Real> State<R> {
    fn new() -> Self {
        let zeros = [R::ZERO; ROWS];
        Self { found: [zeros; 3], largest: zeros, row: [zeros; ROW] }
    }
}

/// Memory that a thread lends to one run after another.
pub struct RowScratch<R> {
    tiles: Vec<R>,
    state: Option<Box<State<R>>>,
}

impl<R> RowScratch<R> {
    /// Memory that grows as it is needed.
    pub const fn new() -> Self {
        Self { tiles: Vec::new(), state: None }
    }

    /// Elements that it has room for.
    pub fn capacity(&self) -> usize {
        self.tiles.capacity()
    }
}

impl<R: RowReal> RowScratch<R> {
    /// Takes all that rows of so many classes may need.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn reserve(&mut self, classes: usize) -> Result<(), TryReserveError> {
        fill(&mut self.state, State::new)?;
        let (classes, align) = (classes.next_multiple_of(BEHIND), 64 / size_of::<R>());
        let needed = 3 * longest_tile::<R>(TILE_BYTES, classes) + align;
        self.tiles.try_reserve_exact(needed.saturating_sub(self.tiles.len()))
    }
}

impl<R> Default for RowScratch<R> {
    fn default() -> Self {
        Self::new()
    }
}

/// Computes posteriors. `form` is for tests: left to itself the kernel takes the faster one, and the results are the same.
///
/// # Safety
/// The operands must be valid for their rows and classes, and aligned to their type.
pub unsafe fn run<R: RowReal>(
    isa: AnyIsa,
    constants: &RowConstants<R>,
    operands: &RowOperands<R>,
    form: Option<Form>,
    scratch: &mut RowScratch<R>,
) {
    let RowOperands { rows, classes, scores, posteriors } = operands;
    if *rows == 0 || *classes == 0 {
        return;
    }
    let (tile, most) = shape::<R>(*rows, *classes, scores.class == 1, form);
    let len = match tile.form {
        Form::Columns => tile.pitch * classes,
        Form::Lines => tile.pitch * most,
    };
    let align = 64 / size_of::<R>();
    scratch.tiles.resize(scratch.tiles.len().max(3 * len + align), R::ZERO);
    let memory = scratch.tiles.as_mut_ptr();
    let first = memory.wrapping_add(memory.align_offset(64).min(align));
    let state = scratch.state.get_or_insert_with(|| Box::new(State::new()));
    let mut at = 0;
    while at < *rows {
        let count = most.min(rows - at);
        let tiles = [0, 1, 2].map(|i| Tile { data: first.wrapping_add(i * len), rows: count, ..tile });
        // SAFETY: the caller vouches for the rows; the tiles are the batch's own.
        unsafe {
            fetch(isa, scores, at, 0, &tiles[0], R::NEG_INFINITY);
            let batch = Batch { constants, tiles, state };
            let square = constants.gamma == 2.0 && constants.by_class.gammas[0].is_empty();
            match (constants.sigmoid, square) {
                (true, _) => isa.vectorize(Work::<R, { kind::SIGMOID }>(batch)),
                (false, true) => isa.vectorize(Work::<R, { kind::SQUARE }>(batch)),
                (false, false) => isa.vectorize(Work::<R, { kind::ANY }>(batch)),
            }
            emit(isa, &tiles[1], posteriors, at, 0, false);
        }
        at += count;
    }
}

/// How rows lie in memory, and how many of them at a time.
fn shape<R: RowReal>(rows: usize, classes: usize, contiguous: bool, form: Option<Form>) -> (Tile<R>, usize) {
    const MOST_BYTES: usize = 256 << 10;
    let elements = TILE_BYTES / size_of::<R>();
    let fits = classes * MOST_PARTIAL_SUMS * size_of::<R>() <= MOST_BYTES;
    let columns = classes < LINES_FROM || (!contiguous && fits);
    let form = form.unwrap_or(if columns { Form::Columns } else { Form::Lines });
    let tile = |pitch| Tile { data: std::ptr::null_mut(), pitch, form, rows: 0, classes };
    if form == Form::Columns {
        let most =
            (elements / classes / MOST_PARTIAL_SUMS * MOST_PARTIAL_SUMS).clamp(MOST_PARTIAL_SUMS, ROWS);
        let most = most.min(rows);
        let pitch = most.next_multiple_of(MOST_PARTIAL_SUMS);
        // Columns a power of two apart would share few sets of the caches.
        let apart = if pitch.is_multiple_of(ROWS / 2) { MOST_PARTIAL_SUMS } else { 0 };
        return (tile(pitch + apart), most);
    }
    let pitch = classes.next_multiple_of(BEHIND);
    // A strided axis is read by whole cache lines of neighbouring rows.
    let fewest = if contiguous { 1 } else { 64 / size_of::<R>() };
    (tile(pitch), (elements / pitch).clamp(fewest, ROWS).min(rows))
}

#[cfg(test)]
mod tests {
    use super::super::{GROUP, LINES_BYTES, Plan};
    use super::*;

    fn no_tile_is_longer<R: RowReal>() {
        for classes in 1..=2100_usize {
            let (few, many) = (classes.next_multiple_of(BEHIND), classes.next_multiple_of(GROUP));
            for (rows, contiguous) in
                [1, 31, 100, 128, ROWS].into_iter().flat_map(|rows| [(rows, true), (rows, false)])
            {
                let (tile, most) = shape::<R>(rows, classes, contiguous, None);
                let len = tile.pitch * if tile.form == Form::Columns { classes } else { most };
                assert!(len <= longest_tile::<R>(TILE_BYTES, few), "{classes} {rows}");
                let plan = Plan::new::<R>(rows, classes, contiguous, None);
                assert!(plan.len() <= longest_tile::<R>(LINES_BYTES, many), "{classes} {rows}");
            }
        }
    }

    #[test]
    fn no_tile_is_longer_than_what_is_reserved() {
        no_tile_is_longer::<f32>();
        no_tile_is_longer::<f64>();
    }

    fn posteriors(
        isa: AnyIsa,
        constants: &RowConstants<f64>,
        scores: &[f64],
        classes: usize,
        form: Form,
    ) -> Vec<f64> {
        let mut posteriors = vec![0.0; scores.len()];
        let (row, rows) = (classes as isize, scores.len() / classes);
        let operands = RowOperands {
            rows,
            classes,
            scores: Matrix { data: scores.as_ptr(), row, class: 1 },
            posteriors: Matrix { data: posteriors.as_mut_ptr(), row, class: 1 },
        };
        // SAFETY: both have as many rows and classes.
        unsafe { run(isa, constants, &operands, Some(form), &mut RowScratch::new()) };
        posteriors
    }

    fn run_as(
        isa: AnyIsa,
        constants: &RowConstants<f64>,
        scores: &[f64],
        classes: usize,
        form: Form,
    ) -> Vec<u64> {
        let posteriors = posteriors(isa, constants, scores, classes, form);
        for row in posteriors.chunks(classes) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-14, "{row:?}");
        }
        posteriors.into_iter().map(f64::to_bits).collect()
    }

    #[test]
    fn rows_without_a_softmax_are_nan() {
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        for row in [&[low][..], &[f64::NAN], &[low; 3], &[high; 2], &[0.0, f64::NAN], &[f64::NAN, low]] {
            for gamma in [0.0, 1.7, 2.0] {
                let constants =
                    RowConstants { gamma, sigmoid: false, smoothing: None, by_class: ByClass::new(&[], &[]) };
                for (isa, form) in
                    AnyIsa::available().into_iter().flat_map(|isa| [(isa, Form::Columns), (isa, Form::Lines)])
                {
                    let posteriors = posteriors(isa, &constants, row, row.len(), form);
                    assert!(posteriors.iter().all(|x| x.is_nan()), "{} {gamma} {row:?}", isa.name());
                }
            }
        }
    }

    #[test]
    fn results_do_not_depend_on_the_form() {
        for classes in [1, 2, 7, 40, 130] {
            let scores: Vec<f64> =
                (0..37 * classes).map(|i| f64::from((i * 7919 % 1013) as u32) / 100.0).collect();
            for (gamma, sigmoid) in [(2.0, false), (1.7, false), (0.0, false), (2.0, true)] {
                let constants =
                    RowConstants { gamma, sigmoid, smoothing: None, by_class: ByClass::new(&[], &[]) };
                for isa in AnyIsa::available() {
                    let columns = run_as(isa, &constants, &scores, classes, Form::Columns);
                    let lines = run_as(isa, &constants, &scores, classes, Form::Lines);
                    assert_eq!(columns, lines, "{} {classes} {gamma}", isa.name());
                }
            }
        }
    }
}
