//! The focal loss over rows of probabilities with a target for every class: the sum over the classes of
//! y a times that of [`crate::loss::softmax_probability`], whose derivatives stand in one class each.

use std::ptr::copy_nonoverlapping;

use super::mix::sum_of;
use super::terms::{Smooth, join, lanes, pick};
use super::{Operands, State, sum};
use crate::kernel::output;
use crate::kernel::rows::spread::put;
use crate::kernel::rows::tile::{Form, Tile, emit, fetch};
use crate::kernel::rows::tree::{Terms, TermsOfRows, total};
use crate::kernel::rows::{self, Constants, Plan, ROWS, RowReal, Scratch};
use crate::loss::focal::Gamma;
use crate::loss::product::times;
use crate::loss::softmax::Sum;
use crate::loss::softmax_probability::Chance;
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel, Vector};

/// Computes a set of outputs ([`output`], but no Gauss-Newton Hessian) for a run of rows of probabilities,
/// which are taken to the nearer of the `bounds` first. The modulator must be the softmax.
///
/// # Safety
/// As [`super::run`].
pub unsafe fn run<R: RowReal>(
    isa: AnyIsa,
    constants: &Constants<R>,
    operands: &Operands<R>,
    bounds: [R; 2],
    outputs: u8,
    form: Option<Form>,
    scratch: &mut Scratch<R>,
) {
    if operands.rows == 0 || operands.classes == 0 {
        return;
    }
    let plan = Plan::new::<R>(operands.rows, operands.classes, operands.logits.class == 1, form);
    let line = plan.classes.next_multiple_of(rows::GROUP);
    let (memory, lists) = scratch.tiles(3, plan.len(), 3 * line);
    let tile = |i: usize| Tile {
        data: memory.wrapping_add(i * plan.len()),
        pitch: plan.pitch,
        form: plan.form,
        rows: 0,
        classes: plan.classes,
    };
    let mut batch = Batch {
        isa,
        constants,
        operands,
        bounds,
        outputs,
        tiles: [tile(0), tile(1), tile(2)],
        lists,
        line,
        state: scratch.state.get_or_insert_with(|| Box::new(super::super::State::new())),
        dense: scratch.dense.get_or_insert_with(|| Box::new(State::new())),
    };
    let mut row = 0;
    while row < operands.rows {
        let rows = plan.rows.min(operands.rows - row);
        batch.tiles.iter_mut().for_each(|tile| tile.rows = rows);
        // SAFETY: the rows are among those that the caller vouches for.
        unsafe { batch.run(row, rows) };
        row += rows;
    }
}

/// A batch of rows.
struct Batch<'a, R> {
    isa: AnyIsa,
    constants: &'a Constants<R>,
    operands: &'a Operands<R>,
    bounds: [R; 2],
    outputs: u8,
    /// Probabilities and gradient, targets, Hessian.
    tiles: [Tile<R>; 3],
    /// Room for three numbers of each class in the tiles, `line` apart.
    lists: *mut R,
    line: usize,
    state: &'a mut rows::State<R>,
    dense: &'a mut State<R>,
}

impl<R: RowReal> Batch<'_, R> {
    /// # Safety
    /// As [`run`], for these rows.
    unsafe fn run(&mut self, row: usize, rows: usize) {
        let Self { constants, operands, .. } = *self;
        for (i, constant) in constants.weights().into_iter().enumerate() {
            // SAFETY: handed through from the caller.
            unsafe { rows::lay_out(operands.weights[i], row, rows, constant, &mut self.state.weights[i]) };
        }
        let total = operands.classes;
        for class in (0..total).step_by(R::CHUNK.min(total)) {
            // SAFETY: handed through from the caller.
            unsafe { self.chunk(row, class) };
            if class > 0 {
                join(rows, &mut self.dense.totals, &self.dense.part);
            } else {
                self.dense.totals = self.dense.part;
            }
        }
        self.isa.vectorize(Finish { rows, state: self.state, dense: self.dense });
        for (results, wanted, to) in [
            (&self.state.value, self.outputs & output::VALUE != 0, operands.value),
            (&self.state.factor, !operands.factor.is_null(), operands.factor),
        ] {
            if wanted {
                // SAFETY: handed through from the caller.
                unsafe { copy_nonoverlapping(results.as_ptr(), to.add(row), rows) };
            }
        }
    }

    /// Sums up the classes of a chunk and writes their results.
    ///
    /// # Safety
    /// As [`run`], for the rows and classes from these on.
    unsafe fn chunk(&mut self, row: usize, class: usize) {
        let Self { isa, constants, operands, bounds, outputs, lists, line, .. } = *self;
        let len = R::CHUNK.min(operands.classes - class);
        self.tiles.iter_mut().for_each(|tile| tile.classes = len);
        let tiles = self.tiles;
        // SAFETY: handed through from the caller; `run` made room for the lists.
        let classes = unsafe { operands.of_classes(constants, class, len, lists, line) };
        // SAFETY: handed through from the caller.
        unsafe {
            // Padding has a probability of which nothing is infinite.
            fetch(isa, &operands.logits, row, class, &tiles[0], R::ONE);
            fetch(isa, &operands.targets, row, class, &tiles[1], R::ZERO);
        }
        isa.vectorize(Smooth { tile: tiles[1], smoothing: operands.smoothing });
        let quotient = constants.quotient.unwrap_or([R::ZERO; 2]);
        let weights = &self.state.weights;
        let totals = &mut self.dense.part;
        isa.vectorize(Collect { terms: Each { tiles, classes, bounds, quotient, weights, outputs }, totals });
        // SAFETY: handed through from the caller.
        unsafe {
            if outputs & output::GRAD != 0 {
                emit(isa, &tiles[0], &operands.grad, row, class, operands.streamed);
            }
            if outputs & output::CURVATURE != 0 {
                emit(isa, &tiles[2], &operands.hess, row, class, operands.streamed);
            }
        }
    }
}

/// Sums up the terms of a tile and leaves their derivatives in the tiles.
struct Collect<'a, R> {
    terms: Each<'a, R>,
    totals: &'a mut super::Totals<R>,
}

impl<R: RowReal> Kernel for Collect<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { terms, totals } = self;
        let [value, _, _, factor, _] = totals.each_mut().map(|parts| parts.each_mut());
        // SAFETY: the tiles are padded as their form wants it.
        unsafe { total::<R, I, _, 2>(isa, &terms.tiles[0], &terms, &mut [value, factor]) };
    }
}

struct Each<'a, R> {
    tiles: [Tile<R>; 3],
    /// As [`super::terms::Collect`] has them.
    classes: [&'a [R]; 3],
    bounds: [R; 2],
    quotient: [R; 2],
    weights: &'a [[R; ROWS]; 3],
    outputs: u8,
}

impl<V: Vector> Terms<V, 2> for Each<'_, V::Real>
where
    V::Real: RowReal,
{
    /// The weights of gradient and Hessian, and whether lanes lie across classes.
    type Row = ([V; 2], bool);

    #[inline(always)]
    unsafe fn add(&self, of_row: &Self::Row, row: usize, class: usize, sums: &mut [Sum<V>; 2]) {
        let ([grad, hess], across) = *of_row;
        let isa = grad.isa();
        let [alpha, hi, lo] = self.classes;
        let alpha = pick(isa, alpha, class, !across);
        let gamma = Gamma::from_parts(pick(isa, hi, class, !across), pick(isa, lo, class, !across));
        let [probabilities, targets, bend] = &self.tiles;
        let (probabilities, targets, bend) =
            (probabilities.at(row, class), targets.at(row, class), bend.at(row, class));
        let bounds = [V::splat(isa, self.bounds[0]), V::splat(isa, self.bounds[1])];
        let (mean, inverse) = (V::splat(isa, self.quotient[0]), V::splat(isa, self.quotient[1]));
        // SAFETY: the group is within the tiles, says the caller.
        unsafe {
            let chance = Chance::new(V::load(isa, probabilities), bounds, &gamma);
            let (target, zero) = (V::load(isa, targets), V::splat(isa, V::Real::ZERO));
            sums[0] = sums[0].add_any(chance.value(target * alpha));
            sums[1] = sums[1].add_any(chance.factor(target));
            if self.outputs & output::CURVATURE != 0 {
                // The slope of the factors has the target twice in a product with that of the losses.
                let curvature = chance.curvature(hess * alpha, mean, inverse * target);
                (times(target, curvature) + zero).store(bend);
            }
            if self.outputs & output::GRAD != 0 {
                times(target, zero - chance.descent(grad * alpha, mean)).store(probabilities);
            }
        }
    }
}

impl<V: Vector> TermsOfRows<V, 2> for Each<'_, V::Real>
where
    V::Real: RowReal,
{
    #[inline(always)]
    fn rows(&self, isa: V::Isa, row: usize) -> Self::Row {
        ([pick(isa, &self.weights[1], row, false), pick(isa, &self.weights[2], row, false)], false)
    }

    #[inline(always)]
    fn row(&self, isa: V::Isa, row: usize) -> Self::Row {
        ([pick(isa, &self.weights[1], row, true), pick(isa, &self.weights[2], row, true)], true)
    }
}

/// The losses and modulating factors of rows, from the sums.
struct Finish<'a, R> {
    rows: usize,
    state: &'a mut rows::State<R>,
    dense: &'a State<R>,
}

impl<R: RowReal> Kernel for Finish<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { rows, state, dense } = self;
        let mut row = 0;
        while row < rows {
            let value = sum_of::<R::RowLanes<I>>(isa, &dense.totals[sum::VALUE], row);
            let factor = sum_of::<R::RowLanes<I>>(isa, &dense.totals[sum::FACTOR], row);
            let zero = <R::RowLanes<I>>::splat(isa, R::ZERO);
            let weight = lanes::<R::RowLanes<I>>(isa, &state.weights[0], row) + zero;
            put(times(weight, value), &mut state.value, row);
            put(factor, &mut state.factor, row);
            row += <R::RowLanes<I>>::LANES;
        }
    }
}
