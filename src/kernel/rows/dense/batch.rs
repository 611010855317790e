//! A run of rows, batch by batch: what happens in which order.

use std::ptr::copy_nonoverlapping;

use super::mix::{Describe, Mix};
use super::spread::Spread;
use super::terms::{Collect, Find, Smooth, Tiles, join};
use super::{FEW, Needs, Operands, SUMS, State};
use crate::kernel::output;
use crate::kernel::rows::chunks::Join;
use crate::kernel::rows::sums::{Largest, Sums};
use crate::kernel::rows::tile::{Form, Tile, emit, fetch, put_targets, take_targets};
use crate::kernel::rows::{self, Constants, Plan, RowReal, Scratch};
use crate::loss::focal::power;
use crate::simd::AnyIsa;

const HESS: u8 = output::CURVATURE | output::GAUSS_NEWTON;

/// Computes a set of outputs ([`output`]) for a run of rows. The modulator must be the softmax.
///
/// `form` is for tests: left to itself the kernel takes the faster one, and the results are the same.
///
/// # Safety
/// The operands that are used must be valid for `rows` rows and `classes` classes and aligned to their
/// type. A result must either be exactly the memory of the logits or of the targets or share none with
/// them, and share none with another.
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
    let line = plan.classes.next_multiple_of(rows::GROUP);
    let (memory, classes) = scratch.tiles(4, plan.len(), 3 * line);
    let tile = |i: usize| Tile {
        data: memory.wrapping_add(i * plan.len()),
        pitch: plan.pitch,
        form: plan.form,
        rows: 0,
        classes: plan.classes,
    };
    let needs = Needs {
        outputs,
        upper: operands.upper,
        factor: !operands.factor.is_null(),
        quotient: constants.quotient.is_some(),
    };
    let mut batch = Batch {
        isa,
        constants,
        operands,
        needs,
        len: plan.len(),
        tiles: Tiles { exp: tile(0), logits: tile(1), targets: tile(2), hess: tile(3) },
        classes,
        line,
        state: scratch.state.get_or_insert_with(|| Box::new(super::super::State::new())),
        dense: scratch.dense.get_or_insert_with(|| Box::new(State::new())),
    };
    let mut row = 0;
    while row < operands.rows {
        let rows = plan.rows.min(operands.rows - row);
        batch.each_tile(|tile| tile.rows = rows);
        // SAFETY: the rows are among those that the caller vouches for.
        unsafe { batch.run(row) };
        row += rows;
    }
}

/// A batch of rows.
struct Batch<'a, R> {
    isa: AnyIsa,
    constants: &'a Constants<R>,
    operands: &'a Operands<R>,
    needs: Needs,
    /// Elements of a tile.
    len: usize,
    tiles: Tiles<R>,
    /// Room for three numbers of each class in the tiles, `line` apart.
    classes: *mut R,
    line: usize,
    state: &'a mut rows::State<R>,
    dense: &'a mut State<R>,
}

impl<R: RowReal> Operands<R> {
    /// Alpha and both parts of gamma of `len` classes from `class` on, in lists of length `line`, padded
    /// with 0.
    ///
    /// # Safety
    /// As [`run`], for these classes; at `room` there must be room for three lists that nothing else refers
    /// to.
    pub(super) unsafe fn of_classes<'a>(
        &self,
        constants: &Constants<R>,
        class: usize,
        len: usize,
        room: *mut R,
        line: usize,
    ) -> [&'a [R]; 3] {
        let [hi, lo, _] = constants.gamma.parts();
        let sources = [(self.alphas, R::ONE), (self.gammas[0], hi), (self.gammas[1], lo)];
        let mut i = 0;
        sources.map(|(source, constant)| {
            // SAFETY: the caller made room for the lists and vouches for the sources.
            let list = unsafe { std::slice::from_raw_parts_mut(room.add(i * line), line) };
            i += 1;
            list[len..].fill(R::ZERO);
            if source.is_null() {
                list[..len].fill(constant);
            } else {
                // SAFETY: as above; the list is at least as long.
                unsafe { copy_nonoverlapping(source.add(class), list.as_mut_ptr(), len) };
            }
            &*list
        })
    }
}

impl<R: RowReal> Batch<'_, R> {
    fn each_tile(&mut self, change: impl Fn(&mut Tile<R>)) {
        let Tiles { exp, logits, targets, hess } = &mut self.tiles;
        [exp, logits, targets, hess].into_iter().for_each(change);
    }

    /// The rows from `row` on, as many as the tiles have.
    ///
    /// # Safety
    /// As [`run`], for these rows.
    unsafe fn run(&mut self, row: usize) {
        let (rows, total) = (self.tiles.exp.rows, self.operands.classes);
        let chunk = R::CHUNK.min(total);
        let chunks = || (0..total).step_by(chunk);
        // SAFETY: handed through from the caller.
        unsafe {
            self.dense.largest[..rows].fill(0);
            self.dense.logit[..rows].fill(R::NEG_INFINITY);
            for class in chunks() {
                self.bring(row, class);
                self.find_largest(class);
            }
            for class in chunks() {
                self.exponentials(row, class, class == 0 && chunk == total, false);
                if class > 0 {
                    self.isa.vectorize(Join { rows, state: self.state });
                }
                if class + chunk < total {
                    std::mem::swap(&mut self.state.summary, &mut self.state.before);
                }
            }
            self.weigh(row);
            for class in chunks() {
                if chunk < total {
                    self.exponentials(row, class, false, true);
                }
                self.terms(row, class);
                if class > 0 {
                    join(rows, &mut self.dense.totals, &self.dense.part);
                } else {
                    self.dense.totals = self.dense.part;
                }
            }
            self.put_together(row);
            if self.needs.outputs & !output::VALUE == 0 {
                return;
            }
            for class in chunks() {
                if chunk < total {
                    self.exponentials(row, class, false, true);
                    self.terms(row, class);
                }
                self.results(row, class);
            }
        }
    }

    /// Brings in a chunk of logits.
    ///
    /// # Safety
    /// As [`run`], for the rows and classes from these on.
    unsafe fn bring(&mut self, row: usize, class: usize) {
        let classes = R::CHUNK.min(self.operands.classes - class);
        self.each_tile(|tile| tile.classes = classes);
        let Self { isa, operands, tiles, .. } = *self;
        // SAFETY: handed through from the caller.
        unsafe { fetch(isa, &operands.logits, row, class, &tiles.logits, R::NEG_INFINITY) };
    }

    /// Looks for each row's largest logit in the tile, the first of several. What it makes of NaN does not
    /// matter.
    fn find_largest(&mut self, class: usize) {
        let (tile, State { largest, logit, place, .. }) = (self.tiles.logits, &mut *self.dense);
        let max = &mut self.state.summary.max;
        self.isa.vectorize(Largest { tile, max });
        self.isa.vectorize(Find { tile, max, place });
        for r in 0..tile.rows {
            // Minus infinities are not found.
            if place[r] >= 0 && max[r] > logit[r] {
                logit[r] = max[r];
                largest[r] = (class + place[r] as usize) as i64;
            }
        }
    }

    /// Leaves the exponentials of a chunk in their tile and the logits in theirs, both without the largest.
    ///
    /// # Safety
    /// As [`run`], for the rows and classes from these on.
    unsafe fn exponentials(&mut self, row: usize, class: usize, there: bool, known: bool) {
        if !there {
            // SAFETY: handed through from the caller.
            unsafe { self.bring(row, class) };
        }
        let Tiles { exp, logits, .. } = self.tiles;
        let largest = self.dense.largest.as_ptr();
        // SAFETY: there are ROWS of them, and both tiles are as long as this.
        unsafe {
            take_targets(&logits, class, largest, R::NEG_INFINITY, &mut self.state.target);
            copy_nonoverlapping(logits.data, exp.data, self.len);
        }
        let inputs = [&self.operands.logits, &self.operands.targets];
        let ahead = inputs.map(|input| input.after(row, class, &exp, self.operands.classes));
        let summary = &mut self.state.summary;
        if self.needs.outputs & HESS != 0 {
            self.isa.vectorize(Sums::<R, 2> { tile: exp, known, ahead, summary });
        } else {
            self.isa.vectorize(Sums::<R, 1> { tile: exp, known, ahead, summary });
        }
    }

    /// Lays out what each row and its largest class bring.
    ///
    /// # Safety
    /// As [`run`], for the rows from this on.
    unsafe fn weigh(&mut self, row: usize) {
        let Self { isa, constants, operands, needs, tiles, ref mut state, ref mut dense, .. } = *self;
        let rows = tiles.exp.rows;
        dense.summary.clone_from(&state.summary);
        for (i, constant) in constants.weights().into_iter().enumerate() {
            // SAFETY: handed through from the caller.
            unsafe { rows::lay_out(operands.weights[i], row, rows, constant, &mut state.weights[i]) };
        }
        for (of_row, constant) in state.quotient.iter_mut().zip(constants.quotient.unwrap_or([R::ZERO; 2])) {
            of_row.fill(constant);
        }
        for r in 0..rows {
            if state.summary.infinite[r] {
                // The largest is infinite too.
                state.target[r] = R::NAN;
            }
            let class = dense.largest[r] as usize;
            // SAFETY: the largest class is less than `classes`.
            unsafe {
                dense.alpha[r] =
                    if operands.alphas.is_null() { R::ONE } else { operands.alphas.add(class).read() };
                for (i, constant) in constants.gamma.parts().into_iter().enumerate() {
                    let gammas = operands.gammas[i];
                    state.gamma[i][r] = if gammas.is_null() { constant } else { gammas.add(class).read() };
                }
            }
        }
        isa.vectorize(Describe { rows, quotient: needs.quotient, state, dense });
    }

    /// Brings in the targets of a chunk, sums up its terms and leaves them in the tiles.
    ///
    /// # Safety
    /// As [`run`], for the rows and classes from these on.
    unsafe fn terms(&mut self, row: usize, class: usize) {
        let Self { isa, constants, operands, needs, tiles, classes, line, ref mut dense, .. } = *self;
        // SAFETY: handed through from the caller; `run` made room for three lines.
        let classes = unsafe { operands.of_classes(constants, class, tiles.targets.classes, classes, line) };
        // SAFETY: handed through from the caller; there are ROWS of the largest classes.
        unsafe {
            fetch(isa, &operands.targets, row, class, &tiles.targets, R::ZERO);
            isa.vectorize(Smooth { tile: tiles.targets, smoothing: operands.smoothing });
            take_targets(&tiles.targets, class, dense.largest.as_ptr(), R::ZERO, &mut dense.target);
        }
        let State { shares, part: totals, .. } = &mut **dense;
        let square = constants.power == 2 && operands.gammas[0].is_null();
        match (square, needs.sums() <= FEW) {
            (true, true) => isa.vectorize(Collect::<R, 2, FEW> { tiles, classes, shares, needs, totals }),
            (true, false) => isa.vectorize(Collect::<R, 2, SUMS> { tiles, classes, shares, needs, totals }),
            (false, true) => {
                isa.vectorize(Collect::<R, { power::GENERAL }, FEW> {
                    tiles,
                    classes,
                    shares,
                    needs,
                    totals,
                });
            }
            (false, false) => {
                isa.vectorize(Collect::<R, { power::GENERAL }, SUMS> {
                    tiles,
                    classes,
                    shares,
                    needs,
                    totals,
                });
            }
        }
    }

    /// Puts the rows together and writes their losses.
    ///
    /// # Safety
    /// As [`run`], for the rows from this on.
    unsafe fn put_together(&mut self, row: usize) {
        let Self { isa, constants, operands, needs, tiles, ref mut state, ref mut dense, .. } = *self;
        let rows = tiles.exp.rows;
        if constants.power == 2 && operands.gammas[0].is_null() {
            isa.vectorize(Mix::<R, 2> { constants, rows, needs, state, dense });
        } else {
            isa.vectorize(Mix::<R, { power::GENERAL }> { constants, rows, needs, state, dense });
        }
        for (results, wanted, to) in [
            (&state.value, needs.outputs & output::VALUE != 0, operands.value),
            (&state.factor, needs.factor, operands.factor),
        ] {
            if wanted {
                // SAFETY: handed through from the caller.
                unsafe { copy_nonoverlapping(results.as_ptr(), to.add(row), rows) };
            }
        }
    }

    /// Computes the results of the terms in the tiles and writes them.
    ///
    /// # Safety
    /// As [`run`], for the rows and classes from these on.
    unsafe fn results(&mut self, row: usize, class: usize) {
        let Self { isa, operands, needs, tiles, .. } = *self;
        let (state, dense) = (&*self.state, &*self.dense);
        isa.vectorize(Spread { tiles, needs, state, dense });
        let largest = dense.largest.as_ptr();
        // SAFETY: handed through from the caller; there are ROWS of the largest classes.
        unsafe {
            if needs.outputs & output::GRAD != 0 {
                put_targets(&tiles.exp, class, largest, &state.grad);
                emit(isa, &tiles.exp, &operands.grad, row, class, operands.streamed);
            }
            if needs.outputs & HESS != 0 {
                put_targets(&tiles.hess, class, largest, &state.hess);
                emit(isa, &tiles.hess, &operands.hess, row, class, operands.streamed);
            }
        }
    }
}
