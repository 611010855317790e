//! Posteriors of a whole array of rows of scores.

use super::rows::{Memory, PerThread, RowArray, View, cut};
use super::{JobPlan, Keeping, Stop, Sums, operand, over_blocks};
use crate::kernel::rows::posterior::{RowConstants, RowOperands, run as run_rows};
use crate::simd::{AnyIsa, fence};

/// A call in plain numbers and pointers.
#[derive(Clone, Debug)]
pub struct RowJob<R> {
    /// Where rows lie, scores as [`operand::LOGITS`] and posteriors as [`operand::GRAD`].
    pub plan: JobPlan,
    /// Number of classes.
    pub classes: usize,
    /// What is the same for all rows.
    pub constants: RowConstants<R>,
    /// Scores.
    pub scores: RowArray,
    /// Where the posteriors go.
    pub posteriors: RowArray,
}

// SAFETY: the pointers are only followed by functions whose callers vouch for the memory behind them; blocks
// write disjoint parts of it.
unsafe impl<R: Send> Send for RowJob<R> {}
// SAFETY: as above.
unsafe impl<R: Sync> Sync for RowJob<R> {}

/// Runs a job.
///
/// # Errors
/// If it was stopped, or a thread cannot have its memory.
///
/// # Safety
/// Both arrays must be valid wherever the plan says that they have rows, for every class. Posteriors must be exactly the
/// scores (same memory, type and strides) or share no memory with them, and their elements must not meet each other. No
/// other thread may write to the scores, or touch the posteriors, meanwhile.
pub unsafe fn run<R: PerThread>(
    isa: AnyIsa,
    job: &RowJob<R>,
    go_on: impl FnMut() -> bool,
) -> Result<(), Stop> {
    over_blocks(&job.plan, cut(job.classes), Keeping::Rounded, go_on, |block| {
        R::memory().with_borrow_mut(|memory| {
            memory.prepare(job.classes)?;
            for tile in block.tiles(&job.plan) {
                // SAFETY: handed through from the caller.
                job.plan.runs(tile, |run| unsafe {
                    let view = View { isa, classes: job.classes, run: &run };
                    let Memory { matrices: [scores, _, posteriors, _], raw, posterior, .. } = memory;
                    let operands = RowOperands {
                        rows: run.len,
                        classes: job.classes,
                        scores: view.input(&job.scores, operand::LOGITS, scores, raw),
                        posteriors: view.output(Some(&job.posteriors), operand::GRAD, posteriors),
                    };
                    run_rows(isa, &job.constants, &operands, None, posterior);
                    view.put(Some(&job.posteriors), operand::GRAD, posteriors, raw);
                });
            }
            memory.shrink();
            fence();
            Ok(Sums::new(Keeping::Rounded))
        })
    })?;
    Ok(())
}
