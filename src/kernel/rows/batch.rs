//! A run of rows, batch by batch: what happens in which order.

use std::ptr::copy_nonoverlapping;

use super::chunks::Join;
use super::margins::{Wanted, stage};
use super::spread::Spread;
use super::sums::Sums;
use super::tile::{Matrix, Tile, emit, fetch, put_targets, take_targets};
use super::{Constants, Form, Operands, Plan, RowReal, Scratch, State, lay_out};
use crate::kernel::output;
use crate::simd::AnyIsa;

const HESS: u8 = output::CURVATURE | output::GAUSS_NEWTON;

/// Computes a set of outputs ([`output`]) for a run of rows.
///
/// `form` is for tests: left to itself the kernel takes the faster one, and the results are the same.
///
/// # Safety
/// The operands that are used must be valid for `rows` rows and `classes` classes and aligned to their
/// type; targets must be less than `classes`. A result must either be exactly the memory of the logits or share none with it, and share none with another.
pub unsafe fn run<R: RowReal>(
    isa: AnyIsa,
    constants: &Constants<R>,
    operands: &Operands<R>,
    outputs: u8,
    form: Option<Form>,
    scratch: &mut Scratch<R>,
) {
    if operands.rows == 0 || operands.classes == 0 {
        return;
    }
    let plan = Plan::new::<R>(operands.rows, operands.classes, operands.logits.class == 1, form);
    let tiles = if outputs & output::GRAD != 0 && outputs & HESS != 0 { 2 } else { 1 };
    let (data, _) = scratch.tiles(tiles, plan.len(), 0);
    let tile = Tile { data, pitch: plan.pitch, form: plan.form, rows: 0, classes: plan.classes };
    let hess = if tiles == 2 { Tile { data: data.wrapping_add(plan.len()), ..tile } } else { tile };
    let mut batch = Batch { isa, constants, operands, outputs, tile, hess, state: &mut scratch.state };
    let mut row = 0;
    while row < operands.rows {
        batch.tile.rows = plan.rows.min(operands.rows - row);
        batch.hess.rows = batch.tile.rows;
        // SAFETY: the rows are among those that the caller vouches for.
        unsafe { batch.run(row) };
        row += batch.tile.rows;
    }
}

/// A batch of rows.
struct Batch<'a, R> {
    isa: AnyIsa,
    constants: &'a Constants<R>,
    operands: &'a Operands<R>,
    outputs: u8,
    tile: Tile<R>,
    hess: Tile<R>,
    state: &'a mut State<R>,
}

impl<R: RowReal> Batch<'_, R> {
    /// The rows from `row` on, as many as the tile has.
    ///
    /// # Safety
    /// As [`run`], for these rows.
    unsafe fn run(&mut self, row: usize) {
        let (classes, chunk) = (self.operands.classes, R::CHUNK.min(self.operands.classes));
        let rows = self.tile.rows;
        let mut class = 0;
        while class < classes {
            self.tile.classes = chunk.min(classes - class);
            // SAFETY: handed through from the caller.
            unsafe { self.exponentials(row, class, false) };
            if class > 0 {
                self.isa.vectorize(Join { rows, state: self.state });
            }
            if class + chunk < classes {
                std::mem::swap(&mut self.state.summary, &mut self.state.before);
            }
            class += chunk;
        }
        // SAFETY: handed through from the caller.
        unsafe { self.weigh(row) };
        let wanted = Wanted {
            outputs: self.outputs,
            factor: !self.operands.factor.is_null(),
            gammas: !self.operands.gammas[0].is_null(),
        };
        stage(self.constants, wanted)(self.isa, self.constants, rows, wanted, self.state);
        for (results, wanted, to) in [
            (&self.state.value, self.outputs & output::VALUE != 0, self.operands.value),
            (&self.state.factor, wanted.factor, self.operands.factor),
        ] {
            if wanted {
                // SAFETY: handed through from the caller.
                unsafe { copy_nonoverlapping(results.as_ptr(), to.add(row), rows) };
            }
        }
        if self.outputs & !output::VALUE == 0 {
            return;
        }
        let mut class = 0;
        while class < classes {
            self.tile.classes = chunk.min(classes - class);
            self.hess.classes = self.tile.classes;
            // SAFETY: handed through from the caller.
            unsafe {
                if chunk < classes {
                    self.exponentials(row, class, true);
                }
                self.results(row, class);
            }
            class += chunk;
        }
    }

    /// Brings in a chunk and leaves its exponentials in the tile.
    ///
    /// # Safety
    /// As [`run`], for the rows and classes from these on.
    unsafe fn exponentials(&mut self, row: usize, class: usize, known: bool) {
        let Self { isa, operands, tile, .. } = *self;
        // SAFETY: handed through from the caller.
        unsafe {
            fetch(isa, &operands.logits, row, class, &tile, R::NEG_INFINITY);
            let targets = operands.targets.add(row);
            take_targets(&tile, class, targets, R::NEG_INFINITY, &mut self.state.target);
        }
        let ahead = self.ahead(row, class, known);
        let summary = &mut self.state.summary;
        if self.outputs & HESS != 0 {
            isa.vectorize(Sums::<R, 2> { tile, known, ahead, summary });
        } else {
            isa.vectorize(Sums::<R, 1> { tile, known, ahead, summary });
        }
    }

    /// What will be needed after a chunk: the logits that come next, and the memory of the chunk's results, if they go through the caches.
    fn ahead(&self, row: usize, class: usize, known: bool) -> [Matrix<*const R>; 2] {
        let Self { operands, tile, .. } = self;
        let results = if operands.grad.data.is_null() { &operands.hess } else { &operands.grad };
        // Of rows in several chunks, results are written by the second visit.
        let written =
            !results.data.is_null() && !operands.streamed && (known || tile.classes == operands.classes);
        let data = if written { results.from(row, class).cast_const() } else { std::ptr::null() };
        [
            operands.logits.after(row, class, tile, operands.classes),
            Matrix { data, row: results.row, class: results.class },
        ]
    }

    /// Lays out what each row's target and sample bring.
    ///
    /// # Safety
    /// As [`run`], for the rows from this on.
    unsafe fn weigh(&mut self, row: usize) {
        let Self { constants, operands, tile, ref mut state, .. } = *self;
        for (i, constant) in constants.weights().into_iter().enumerate() {
            // SAFETY: handed through from the caller.
            unsafe { lay_out(operands.weights[i], row, tile.rows, constant, &mut state.weights[i]) };
        }
        for (i, constant) in constants.gamma.parts().into_iter().enumerate() {
            // SAFETY: handed through from the caller.
            unsafe { lay_out(operands.gammas[i], row, tile.rows, constant, &mut state.gamma[i]) };
        }
        state.counted.fill(R::ONE);
        for (of_row, constant) in state.quotient.iter_mut().zip(constants.quotient.unwrap_or([R::ZERO; 2])) {
            of_row.fill(constant);
        }
        state.own = state.target;
        for r in 0..tile.rows {
            if state.summary.infinite[r] {
                // The limit, unless the target's logit is infinite too.
                let finite = state.target[r] <= R::HIGHEST;
                state.target[r] = if finite { R::NEG_INFINITY } else { R::NAN };
            }
            // SAFETY: handed through from the caller.
            if unsafe { operands.targets.add(row + r).read() } < 0 {
                state.forget(r);
            }
        }
    }

    /// Computes the results of the exponentials in the tile and writes them.
    ///
    /// # Safety
    /// As [`run`], for the rows and classes from these on.
    unsafe fn results(&mut self, row: usize, class: usize) {
        let Self { isa, operands, outputs, tile, hess, .. } = *self;
        let state = &*self.state;
        let both = outputs & output::GRAD != 0 && outputs & HESS != 0;
        if both {
            isa.vectorize(Spread::<R, true, true> { tile, hess, state });
        } else if outputs & HESS != 0 {
            isa.vectorize(Spread::<R, false, true> { tile, hess, state });
        } else {
            isa.vectorize(Spread::<R, true, false> { tile, hess, state });
        }
        // SAFETY: handed through from the caller.
        unsafe {
            let targets = operands.targets.add(row);
            if outputs & output::GRAD != 0 {
                put_targets(&tile, class, targets, &state.grad);
                emit(isa, &tile, &operands.grad, row, class, operands.streamed);
            }
            if outputs & HESS != 0 {
                put_targets(&hess, class, targets, &state.hess);
                emit(isa, &hess, &operands.hess, row, class, operands.streamed);
            }
        }
    }
}

impl<R: RowReal> State<R> {
    /// Makes a row one without weight whose results are all +0.0.
    pub(super) fn forget(&mut self, row: usize) {
        for of_row in self.weights.iter_mut().chain(&mut self.gamma).chain(&mut self.quotient) {
            of_row[row] = R::ZERO;
        }
        self.counted[row] = R::ZERO;
        self.target[row] = R::ZERO;
        self.own[row] = R::ZERO;
        self.summary.max[row] = R::ZERO;
        self.summary.sum_head[row] = R::P_SCALE;
        self.summary.sum_tail[row] = R::ZERO;
        self.summary.rest_head[row] = R::ZERO;
        self.summary.rest_tail[row] = R::ZERO;
    }
}
