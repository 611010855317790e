//! The focal loss over rows of probabilities with one target class a row:
//! [`crate::loss::softmax_probability`].
//!
//! Of each row only the target's probability is looked at, and only its derivatives are not 0.

use std::ptr::copy_nonoverlapping;

use super::{Constants, Matrix, Operands, ROWS, RowReal, Scratch, State, lay_out};
use crate::kernel::output;
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
    scratch: &mut Scratch<R>,
) {
    if operands.classes == 0 {
        return;
    }
    let state = &mut **scratch.state.get_or_insert_with(|| Box::new(State::new()));
    let mut row = 0;
    while row < operands.rows {
        let rows = ROWS.min(operands.rows - row);
        // SAFETY: the rows are among those that the caller vouches for.
        unsafe { gather(constants, operands, row, rows, state) };
        isa.vectorize(Chances { rows, bounds, outputs, state });
        let targets = [
            (&state.value, outputs & output::VALUE != 0, operands.value),
            (&state.factor, !operands.factor.is_null(), operands.factor),
        ];
        for (results, wanted, to) in targets {
            if wanted {
                // SAFETY: handed through from the caller.
                unsafe { copy_nonoverlapping(results.as_ptr(), to.add(row), rows) };
            }
        }
        let targets = [
            (&state.grad, outputs & output::GRAD != 0, &operands.grad),
            (&state.hess, outputs & output::CURVATURE != 0, &operands.hess),
        ];
        for (results, wanted, to) in targets {
            if wanted {
                // SAFETY: handed through from the caller.
                unsafe { put(&results[..rows], operands, to, row) };
            }
        }
        row += rows;
    }
}

/// Lays out what each row brings.
///
/// # Safety
/// As [`run`], for these rows.
unsafe fn gather<R: RowReal>(
    constants: &Constants<R>,
    operands: &Operands<R>,
    row: usize,
    rows: usize,
    state: &mut State<R>,
) {
    for (i, constant) in constants.weights().into_iter().enumerate() {
        // SAFETY: handed through from the caller.
        unsafe { lay_out(operands.weights[i], row, rows, constant, &mut state.weights[i]) };
    }
    for (i, constant) in constants.gamma.parts().into_iter().enumerate() {
        // SAFETY: handed through from the caller.
        unsafe { lay_out(operands.gammas[i], row, rows, constant, &mut state.gamma[i]) };
    }
    for (of_row, constant) in state.quotient.iter_mut().zip(constants.quotient.unwrap_or([R::ZERO; 2])) {
        of_row.fill(constant);
    }
    state.counted.fill(R::ONE);
    for r in 0..rows {
        // SAFETY: handed through from the caller.
        let target = unsafe { operands.targets.add(row + r).read() };
        if target < 0 {
            // Any probability will do.
            state.forget(r);
        } else {
            // SAFETY: the target is a class, says the caller.
            state.target[r] = unsafe { operands.logits.from(row + r, target as usize).read() };
        }
    }
}

/// Writes the targets' results, and 0 beside them.
///
/// # Safety
/// As [`run`], for as many rows from `row` on as there are results.
unsafe fn put<R: RowReal>(results: &[R], operands: &Operands<R>, to: &Matrix<*mut R>, row: usize) {
    let (outer, inner) = (results.len(), operands.classes);
    // SAFETY: handed through from the caller.
    unsafe {
        if to.row.abs() < to.class.abs() {
            for k in 0..inner {
                (0..outer).for_each(|r| to.from(row + r, k).write(R::ZERO));
            }
        } else {
            for r in 0..outer {
                (0..inner).for_each(|k| to.from(row + r, k).write(R::ZERO));
            }
        }
        for (r, result) in results.iter().enumerate() {
            let target = operands.targets.add(row + r).read();
            if target >= 0 {
                to.from(row + r, target as usize).write(*result);
            }
        }
    }
}

/// Computes the results of the targets.
struct Chances<'a, R> {
    rows: usize,
    bounds: [R; 2],
    outputs: u8,
    state: &'a mut State<R>,
}

impl<R: RowReal> Kernel for Chances<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { rows, bounds, outputs, state } = self;
        let mut row = 0;
        while row < rows {
            group::<R::RowLanes<I>>(isa, row, bounds, outputs, state);
            row += <R::RowLanes<I>>::LANES;
        }
    }
}

#[inline(always)]
fn group<V: Vector>(isa: V::Isa, row: usize, bounds: [V::Real; 2], outputs: u8, state: &mut State<V::Real>)
where
    V::Real: RowReal,
{
    macro_rules! load {
        ($list:expr) => {
            // SAFETY: the slice is as long as a group of lanes.
            unsafe { V::load(isa, $list[row..row + V::LANES].as_ptr()) }
        };
    }
    macro_rules! store {
        ($lanes:expr, $list:expr) => {
            let lanes: V = $lanes;
            // SAFETY: as above.
            unsafe { lanes.store($list[row..row + V::LANES].as_mut_ptr()) }
        };
    }
    let zero = V::splat(isa, V::Real::ZERO);
    let bounds = [V::splat(isa, bounds[0]), V::splat(isa, bounds[1])];
    let chance = Chance::new(load!(state.target), bounds, &state.gammas(isa, row));
    let (mean, inverse) = (load!(state.quotient[0]), load!(state.quotient[1]));
    store!(chance.factor(load!(state.counted)), state.factor);
    if outputs & output::VALUE != 0 {
        // The sum makes a -0.0 a +0.0.
        store!(chance.value(load!(state.weights[0]) + zero), state.value);
    }
    if outputs & output::GRAD != 0 {
        store!(zero - chance.descent(load!(state.weights[1]) + zero, mean), state.grad);
    }
    if outputs & output::CURVATURE != 0 {
        store!(chance.curvature(load!(state.weights[2]) + zero, mean, inverse), state.hess);
    }
}
