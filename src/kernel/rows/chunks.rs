//! Putting together what the chunks of long rows come to.

use super::{RowReal, State, Summary};
use crate::loss::softmax::{Part, Sum};
use crate::simd::{Isa, Kernel, Vector};

/// Adds the summary of a chunk to that of the chunks before it.
pub struct Join<'a, R> {
    /// Number of rows.
    pub rows: usize,
    /// Both summaries; the first takes the result.
    pub state: &'a mut State<R>,
}

impl<R: RowReal> Kernel for Join<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { rows, state: State { summary, before, .. } } = self;
        for row in 0..rows {
            meet(summary, before, row);
        }
        let mut row = 0;
        while row < rows {
            // SAFETY: there are ROWS of everything, whole groups of lanes.
            unsafe {
                let whole = load::<R::RowLanes<I>>(isa, before, row).merge(load(isa, summary, row));
                whole.max.store(summary.max.as_mut_ptr().add(row));
                whole.sum.head.store(summary.sum_head.as_mut_ptr().add(row));
                whole.sum.tail.store(summary.sum_tail.as_mut_ptr().add(row));
                whole.rest.head.store(summary.rest_head.as_mut_ptr().add(row));
                whole.rest.tail.store(summary.rest_tail.as_mut_ptr().add(row));
            }
            row += <R::RowLanes<I>>::LANES;
        }
    }
}

/// An infinite logit beside finite ones leaves them no probability; two make the row NaN.
fn meet<R: RowReal>(a: &mut Summary<R>, b: &mut Summary<R>, row: usize) {
    match (a.infinite[row], b.infinite[row]) {
        (false, false) => {}
        (true, false) => b.max[row] = R::ZERO,
        (false, true) => {
            a.max[row] = R::ZERO;
            a.infinite[row] = true;
        }
        (true, true) => a.sum_head[row] = R::NAN,
    }
}

/// # Safety
/// A group of lanes from `row` on must be within the summary.
#[inline(always)]
unsafe fn load<V: Vector>(isa: V::Isa, from: &Summary<V::Real>, row: usize) -> Part<V> {
    // SAFETY: handed through from the caller.
    unsafe {
        Part {
            max: V::load(isa, from.max.as_ptr().add(row)),
            sum: Sum {
                head: V::load(isa, from.sum_head.as_ptr().add(row)),
                tail: V::load(isa, from.sum_tail.as_ptr().add(row)),
            },
            rest: Sum {
                head: V::load(isa, from.rest_head.as_ptr().add(row)),
                tail: V::load(isa, from.rest_tail.as_ptr().add(row)),
            },
        }
    }
}
