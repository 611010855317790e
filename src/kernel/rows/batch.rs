//! A run of rows, batch by batch: what happens in which order.

use super::chunks::Join;
use super::columns::{Columns, beside_infinity};
use super::group::Call;
use super::lines::Stage;
use super::spread::Spread;
use super::sums::Sums;
use super::tile::{Matrix, Tile, emit, fetch, put_targets, take_targets};
use super::{Constants, Form, HESS, Operands, Plan, RowReal, Scratch, State};
use crate::kernel::output;
use crate::loss::focal::power;
use crate::params::Modulator;
use crate::simd::AnyIsa;

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
    let call = Call::new(constants, operands, outputs);
    // Columns hold whole rows.
    let form = if operands.classes > R::CHUNK { Some(Form::Lines) } else { form };
    let plan = Plan::new::<R>(operands.rows, operands.classes, operands.logits.class == 1, form);
    let tiles = if call.wanted.has(output::GRAD) && call.wanted.has(HESS) { 2 } else { 1 };
    let (data, _) = scratch.tiles(tiles, plan.len(), 0);
    let tile = Tile { data, pitch: plan.pitch, form: plan.form, rows: 0, classes: plan.classes };
    let hess = if tiles == 2 { Tile { data: data.wrapping_add(plan.len()), ..tile } } else { tile };
    let mut batch =
        Batch { isa, call, tile, hess, state: scratch.state.get_or_insert_with(|| Box::new(State::new())) };
    let mut row = 0;
    while row < operands.rows {
        batch.tile.rows = plan.rows.min(operands.rows - row);
        batch.hess.rows = batch.tile.rows;
        // SAFETY: the rows are among those that the caller vouches for.
        unsafe {
            match plan.form {
                Form::Columns => batch.columns(row),
                Form::Lines => batch.lines(row),
            }
        }
        row += batch.tile.rows;
    }
}

/// Calls a function with the class of gammas and the modulator of a call as constants.
macro_rules! for_kind {
    ($call:expr, $function:ident::<$R:ident $(, $n:literal)?>($($argument:expr),+)) => {
        match ($call.constants.modulator, if $call.wanted.gammas { power::GENERAL } else { $call.constants.power }) {
            (Modulator::Sigmoid, _) => $function::<$R, 0, true $(, $n)?>($($argument),+),
            (Modulator::Softmax, 0) => $function::<$R, 0, false $(, $n)?>($($argument),+),
            (Modulator::Softmax, 1) => $function::<$R, 1, false $(, $n)?>($($argument),+),
            (Modulator::Softmax, 2) => $function::<$R, 2, false $(, $n)?>($($argument),+),
            (Modulator::Softmax, 3) => $function::<$R, 3, false $(, $n)?>($($argument),+),
            (Modulator::Softmax, _) => $function::<$R, { power::GENERAL }, false $(, $n)?>($($argument),+),
        }
    };
}

fn run_columns<R: RowReal, const POWER: u8, const SIGMOID: bool, const N: usize>(
    batch: &mut Batch<R>,
    row: usize,
    ahead: [Matrix<*const R>; 2],
) {
    let Batch { isa, call, tile, hess, .. } = *batch;
    isa.vectorize(Columns::<R, POWER, SIGMOID, N> { call, row, tile, hess, ahead });
}

fn run_stage<R: RowReal, const POWER: u8, const SIGMOID: bool>(batch: &mut Batch<R>, row: usize) {
    let Batch { isa, call, ref tile, ref mut state, .. } = *batch;
    isa.vectorize(Stage::<R, POWER, SIGMOID> { call, row, rows: tile.rows, state });
}

/// A batch of rows.
struct Batch<'a, R> {
    isa: AnyIsa,
    call: Call<'a, R>,
    tile: Tile<R>,
    hess: Tile<R>,
    state: &'a mut State<R>,
}

impl<R: RowReal> Batch<'_, R> {
    /// The rows from `row` on, as many as the tile has, whose lanes lie across rows.
    ///
    /// # Safety
    /// As [`run`], for these rows.
    unsafe fn columns(&mut self, row: usize) {
        let ahead = self.ahead(row, 0, false);
        // SAFETY: handed through from the caller. Columns are padded with what is there.
        unsafe {
            fetch(self.isa, &self.call.operands.logits, row, 0, &self.tile, R::NEG_INFINITY);
            if self.call.wanted.has(HESS) {
                for_kind!(self.call, run_columns::<R, 2>(self, row, ahead));
            } else {
                for_kind!(self.call, run_columns::<R, 1>(self, row, ahead));
            }
            self.emit(row, 0);
        }
    }

    /// The rows from `row` on, as many as the tile has, whose lanes lie across classes.
    ///
    /// # Safety
    /// As [`run`], for these rows.
    unsafe fn lines(&mut self, row: usize) {
        let (classes, rows) = (self.call.operands.classes, self.tile.rows);
        let chunk = R::CHUNK.min(classes);
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
        unsafe { self.limit(row) };
        for_kind!(self.call, run_stage::<R>(self, row));
        if !self.call.wanted.has(output::GRAD | HESS) {
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
                self.spread(row, class);
                self.emit(row, class);
            }
            class += chunk;
        }
    }

    /// Brings in a chunk and leaves its exponentials in the tile.
    ///
    /// # Safety
    /// As [`run`], for the rows and classes from these on.
    unsafe fn exponentials(&mut self, row: usize, class: usize, known: bool) {
        let Self { isa, call: Call { operands, wanted, .. }, tile, .. } = *self;
        // SAFETY: handed through from the caller.
        unsafe {
            fetch(isa, &operands.logits, row, class, &tile, R::NEG_INFINITY);
            let targets = operands.targets.add(row);
            take_targets(&tile, class, targets, R::NEG_INFINITY, &mut self.state.target);
        }
        let ahead = self.ahead(row, class, known);
        let summary = &mut self.state.summary;
        if wanted.has(HESS) {
            isa.vectorize(Sums::<R, 2> { tile, known, ahead, summary });
        } else {
            isa.vectorize(Sums::<R, 1> { tile, known, ahead, summary });
        }
    }

    /// What will be needed after a chunk: the logits that come next, and the memory of the chunk's results, if they go
    /// through the caches.
    fn ahead(&self, row: usize, class: usize, known: bool) -> [Matrix<*const R>; 2] {
        let Self { call: Call { operands, .. }, tile, .. } = self;
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

    /// Takes rows with infinities to their limits, and ignored ones to something finite.
    ///
    /// # Safety
    /// As [`run`], for the rows from this on.
    unsafe fn limit(&mut self, row: usize) {
        let Self { call: Call { operands, .. }, tile, ref mut state, .. } = *self;
        state.own = state.target;
        for r in 0..tile.rows {
            if state.summary.infinite[r] {
                state.target[r] = beside_infinity(state.target[r]);
            }
            // SAFETY: handed through from the caller.
            if unsafe { operands.targets.add(row + r).read() } < 0 {
                state.forget(r);
            }
        }
    }

    /// From the exponentials in the tile to the results in the tiles.
    ///
    /// # Safety
    /// As [`run`], for the rows and classes from these on.
    unsafe fn spread(&mut self, row: usize, class: usize) {
        let Self { isa, call: Call { operands, wanted, .. }, tile, hess, .. } = *self;
        let state = &*self.state;
        for r in 0..tile.rows {
            // SAFETY: the caller vouches for the targets; a line is as long as the pitch.
            unsafe {
                if operands.targets.add(row + r).read() < 0 {
                    std::slice::from_raw_parts_mut(tile.at(r, 0), tile.pitch).fill(R::ZERO);
                }
            }
        }
        match (wanted.has(output::GRAD), wanted.has(HESS)) {
            (true, true) => isa.vectorize(Spread::<R, true, true> { tile, hess, state }),
            (false, true) => isa.vectorize(Spread::<R, false, true> { tile, hess, state }),
            _ => isa.vectorize(Spread::<R, true, false> { tile, hess, state }),
        }
        // SAFETY: handed through from the caller.
        unsafe {
            let targets = operands.targets.add(row);
            if wanted.has(output::GRAD) {
                put_targets(&tile, class, targets, &state.grad);
            }
            if wanted.has(HESS) {
                put_targets(&hess, class, targets, &state.hess);
            }
        }
    }

    /// Writes the results in the tiles.
    ///
    /// # Safety
    /// As [`run`], for the rows and classes from these on.
    unsafe fn emit(&self, row: usize, class: usize) {
        let Self { isa, call: Call { operands, wanted, .. }, tile, hess, .. } = self;
        // SAFETY: handed through from the caller.
        unsafe {
            if wanted.has(output::GRAD) {
                emit(*isa, tile, &operands.grad, row, class, operands.streamed);
            }
            if wanted.has(HESS) {
                emit(*isa, hess, &operands.hess, row, class, operands.streamed);
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
