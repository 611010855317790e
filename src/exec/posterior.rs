//! Posteriors of a whole array of scores, each of which stands for itself.

use super::{BLOCKS, JobPlan, Keeping, Stop, Sums, operand, over_blocks};
use crate::kernel::posterior::{Constants, Operands, run as run_tile};
use crate::kernel::rows::RowReal;
use crate::kernel::tile::{Buffer, Place, Raw, STRIP, Source, Target};
use crate::layout::Tile;
use crate::loss::posterior::SKEW;
use crate::simd::{AnyIsa, fence};

/// A call in plain numbers and pointers.
#[derive(Clone, Debug)]
pub struct Job<R> {
    /// Where scores and posteriors lie, as [`operand::LOGITS`] and [`operand::VALUE`], and lists by class.
    pub plan: JobPlan,
    /// What is the same for all scores.
    pub constants: Constants<R>,
    /// Scores.
    pub scores: Source<R>,
    /// What they are skewed by, by class: lists as the plan's [`operand::LISTS`].
    pub skews: Option<[Source<R>; SKEW]>,
    /// Where the posteriors go.
    pub posteriors: Target<R>,
}

// SAFETY: the pointers are only followed by functions whose callers vouch for the memory behind them; blocks
// write disjoint parts of it.
unsafe impl<R: Send> Send for Job<R> {}
// SAFETY: as above.
unsafe impl<R: Sync> Sync for Job<R> {}

/// Runs a job.
///
/// # Errors
/// If it was stopped.
///
/// # Safety
/// The arrays must be valid wherever the plan says that they have elements. Posteriors must be exactly the scores (same
/// memory, type and strides) or share no memory with them, and their elements must not meet each other. No other thread
/// may write to the scores, or touch the posteriors, meanwhile.
pub unsafe fn run<R: RowReal>(isa: AnyIsa, job: &Job<R>, go_on: impl FnMut() -> bool) -> Result<(), Stop> {
    let plan = &job.plan;
    over_blocks(plan, BLOCKS, Keeping::Rounded, go_on, |block| {
        let mut next = block.first;
        while next < block.last {
            let last = block.last.min(next + STRIP);
            let strip = plan.tiles_as_one(next, last).filter(|strip| job.is_direct(*strip));
            let (tile, end) = match strip {
                Some(strip) => (strip, last),
                None => (plan.tile(next), next + 1),
            };
            // SAFETY: handed through from the caller.
            unsafe { job.tile(isa, tile) };
            next = end;
        }
        fence();
        Ok(Sums::new(Keeping::Rounded))
    })?;
    Ok(())
}

impl<R: RowReal> Job<R> {
    /// Whether tiles that follow each other need no memory of their own.
    fn is_direct(&self, tile: Tile) -> bool {
        let place = |operand| Place { plan: &self.plan, operand, tile };
        self.skews.is_none()
            && self.scores.own::<R, _>(place(operand::LOGITS)).is_some()
            && self.posteriors.direct(place(operand::VALUE)).is_some()
    }

    /// Computes a tile, or several as one if they are direct.
    ///
    /// # Safety
    /// As [`run`], for its elements.
    unsafe fn tile(&self, isa: AnyIsa, tile: Tile) {
        let place = |operand| Place { plan: &self.plan, operand, tile };
        let (mut scores, mut results, mut raw) = (Buffer::new(), Buffer::new(), Raw::new());
        let mut lists = [const { Buffer::<R>::new() }; SKEW];
        let mut skews = [std::ptr::null(); SKEW];
        let own = self.posteriors.direct(place(operand::VALUE));
        // SAFETY: the caller vouches for the arrays; a buffer holds a tile, and what is longer needs none.
        unsafe {
            for ((skew, source), list) in skews.iter_mut().zip(self.skews.iter().flatten()).zip(&mut lists) {
                *skew = source.tile(isa, place(operand::LISTS), list, &mut raw);
            }
            let operands = Operands {
                len: tile.len,
                scores: self.scores.tile(isa, place(operand::LOGITS), &mut scores, &mut raw),
                skews,
                posteriors: own.unwrap_or(results.as_mut_ptr()),
            };
            run_tile(isa, &self.constants, &operands);
            if own.is_none() {
                self.posteriors.put(isa, place(operand::VALUE), results.as_mut_ptr(), &mut raw);
            }
        }
    }
}
