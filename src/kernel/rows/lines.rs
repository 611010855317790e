//! The row stage where lanes lie across classes: what belongs to a row as a whole, for many rows at a time.

use super::group::{Call, Rows, class_numbers, put_some};
use super::spread::put;
use super::{ROWS, RowReal, State, Summary};
use crate::kernel::output;
use crate::loss::softmax::{Row, Sum};
use crate::real::Real;
use crate::simd::{Isa, Kernel, Vector};

/// From the sums of rows to their losses, which are written, and to what their exponentials are multiplied with.
/// `POWER`, `SIGMOID`: as for [`Columns`](super::columns::Columns).
pub struct Stage<'a, R, const POWER: u8, const SIGMOID: bool> {
    pub call: Call<'a, R>,
    /// The first row and how many there are.
    pub row: usize,
    pub rows: usize,
    pub state: &'a mut State<R>,
}

impl<R: RowReal, const POWER: u8, const SIGMOID: bool> Kernel for Stage<'_, R, POWER, SIGMOID> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { call, row, rows, state } = self;
        let mut at = 0;
        while at < rows {
            // SAFETY: the rows are among those of the call.
            unsafe {
                group::<R::RowLanes<I>, POWER, SIGMOID>(isa, call, [row + at, rows - at], at, state);
            }
            at += <R::RowLanes<I>>::LANES;
        }
    }
}

/// # Safety
/// The rows must be among those of the call.
#[inline(always)]
unsafe fn group<V: Vector, const POWER: u8, const SIGMOID: bool>(
    isa: V::Isa,
    call: Call<V::Real>,
    [row, len]: [usize; 2],
    at: usize,
    state: &mut State<V::Real>,
) where
    V::Real: RowReal,
{
    let Call { operands, wanted, .. } = call;
    let Summary { max, sum_head, sum_tail, rest_head, rest_tail, .. } = &state.summary;
    let sum = Sum::<V> { head: load(isa, sum_head, at), tail: load(isa, sum_tail, at) };
    let smaller = Sum::<V> { head: load(isa, rest_head, at), tail: load(isa, rest_tail, at) };
    let summary = Row::new(load(isa, &state.target, at), load(isa, max, at), sum);
    // SAFETY: handed through from the caller.
    unsafe {
        let targets = class_numbers::<V>(isa, operands.targets.wrapping_add(row), len);
        let ignored = targets.lt(V::splat(isa, <V::Real>::ZERO));
        let classes = (summary, smaller, load(isa, &state.own, at));
        let outcome = Rows::new(&call, [row, len], Some(ignored), classes).outcome::<POWER, SIGMOID>(wanted);
        if wanted.has(output::VALUE) {
            put_some(outcome.value, operands.value.wrapping_add(row), len);
        }
        if wanted.factor {
            put_some(outcome.factor, operands.factor.wrapping_add(row), len);
        }
        put(outcome.grad, &mut state.grad, at);
        put(outcome.hess, &mut state.hess, at);
        outcome.others.store(state, at);
    }
}

#[inline(always)]
fn load<V: Vector>(isa: V::Isa, of_row: &[V::Real; ROWS], row: usize) -> V {
    // SAFETY: the slice is as long as a group of lanes.
    unsafe { V::load(isa, of_row[row..row + V::LANES].as_ptr()) }
}
