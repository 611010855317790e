//! Where the results of a job go: losses, gradient and Hessian.

use super::elements::Inputs;
use super::strip::Strips;
use super::{BLOCKS, JobPlan, Keeping, Stop, Sums, operand, over_blocks};
use crate::cache::{Ahead, LINE};
use crate::kernel::tile::{Place, Raw, TILE, Target};
use crate::layout::Tile;
use crate::real::Real;
use crate::simd::{AnyIsa, fence};

/// The arrays of losses, gradient and Hessian, as far as they are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<R>(pub [Option<Target<R>>; 3]);

// SAFETY: the pointers are only followed by functions whose callers vouch for the memory behind them; blocks write
// disjoint parts of it.
unsafe impl<R: Sync> Sync for Outputs<R> {}

/// Their numbers in a job's plan.
const OPERANDS: [usize; 3] = [operand::VALUE, operand::GRAD, operand::HESS];

/// Where kernels write the results of a tile.
pub(super) struct Written<R> {
    /// Where each starts; null for what is not computed.
    pub start: [*mut R; 3],
    /// Whether that is an array's own memory.
    direct: [bool; 3],
}

impl<R: Real> Outputs<R> {
    /// Which there are.
    #[inline]
    pub(super) fn given(&self) -> [bool; 3] {
        let [value, grad, hess] = &self.0;
        [value.is_some(), grad.is_some(), hess.is_some()]
    }

    /// The arrays that there are, each with its place in the order of losses, gradient and Hessian, and in the plan.
    #[inline]
    fn places<'a>(
        &'a self,
        plan: &'a JobPlan,
        tile: Tile,
    ) -> impl Iterator<Item = (usize, &'a Target<R>, Place<'a, { operand::COUNT }>)> {
        let targets = self.0.iter().enumerate();
        targets.filter_map(move |(i, target)| {
            Some((i, target.as_ref()?, Place { plan, operand: OPERANDS[i], tile }))
        })
    }

    /// Where kernels write what is computed of tiles that follow each other: the arrays' own memory, or strips where
    /// there is no array or it takes results in another form.
    #[inline]
    pub(super) fn find(
        &self,
        plan: &JobPlan,
        tile: Tile,
        computed: [bool; 3],
        strips: &Strips<R>,
    ) -> Written<R> {
        let mut written = Written { start: strips.outputs, direct: [false; 3] };
        for (start, _) in written.start.iter_mut().zip(computed).filter(|&(_, computed)| !computed) {
            *start = std::ptr::null_mut();
        }
        for (i, target, place) in self.places(plan, tile) {
            if let Some(run) = target.direct(place) {
                (written.start[i], written.direct[i]) = (run, true);
            }
        }
        written
    }

    /// Lets kernels write tiles past the caches, if all results that are wanted for themselves can go that way, and
    /// says whether they do. No result must be an input: where a kernel stops, some may be computed once more.
    #[inline]
    pub(super) fn stream(
        &self,
        plan: &JobPlan,
        tile: Tile,
        inputs: &Inputs<R>,
        written: &mut Written<R>,
    ) -> bool {
        let [_, grad, hess] = self.given();
        let first = usize::from(grad || hess);
        let mut start = written.start;
        let mut line = None;
        for (i, target, place) in self.places(plan, tile).filter(|&(i, ..)| i >= first) {
            let Some(run) = target.streaming(place) else { return false };
            let beyond = run.addr() % LINE;
            if *line.get_or_insert(beyond) != beyond {
                return false;
            }
            start[i] = run;
        }
        let streams = line.is_some() && !self.0.iter().flatten().any(|target| inputs.are(target));
        if streams {
            written.start = start;
            written.direct[first..].fill(true);
        }
        streams
    }

    /// Brings what was written to strips to where it belongs.
    ///
    /// # Safety
    /// The tiles must have been written, `raw` have room for their elements of the largest type, and the arrays be
    /// writeable wherever the plan says that they have elements.
    #[inline]
    pub(super) unsafe fn put(
        &self,
        isa: AnyIsa,
        plan: &JobPlan,
        tile: Tile,
        written: &Written<R>,
        raw: *mut u64,
    ) {
        for (i, target, place) in self.places(plan, tile).filter(|&(i, ..)| !written.direct[i]) {
            // SAFETY: handed through from the caller.
            unsafe { target.put_strip(isa, place, written.start[i], raw) };
        }
    }

    /// Adds the memory of tiles that come next, where kernels do not write it.
    #[inline]
    pub(super) fn ask(&self, plan: &JobPlan, next: Tile, ahead: &mut Ahead) {
        for (_, target, place) in self.places(plan, next) {
            target.ask(place, ahead);
        }
    }

    /// Asks for the memory of a rectangular tile.
    pub(super) fn prefetch(&self, plan: &JobPlan, tile: Tile) {
        for (_, target, place) in self.places(plan, tile) {
            target.prefetch(place);
        }
    }
}

impl<R: Real> Inputs<R> {
    /// Whether an output is one of these.
    fn are(&self, target: &Target<R>) -> bool {
        let (labels, targets) = self.labels.targets();
        target.is(&self.logits)
            || labels.is_some_and(|labels| target.is(labels))
            || targets.is_some_and(|targets| target.is(targets))
            || self.weights.samples.as_ref().is_some_and(|samples| target.is(samples))
    }
}

/// Fills outputs with zeros, wherever the plan says that they have elements.
///
/// # Errors
/// If it was stopped, or the threads could not be started.
///
/// # Safety
/// As [`super::elements::run`].
pub unsafe fn zero<R: Real>(
    isa: AnyIsa,
    plan: &JobPlan,
    outputs: &Outputs<R>,
    go_on: impl FnMut() -> bool,
) -> Result<(), Stop> {
    let zeros = [R::ZERO; TILE];
    let outputs = &outputs;
    over_blocks(plan, BLOCKS, Keeping::Rounded, go_on, |block| {
        let mut raw = Raw::new();
        for tile in block.tiles(plan) {
            for (_, target, place) in outputs.places(plan, tile) {
                // SAFETY: the caller vouches for the arrays; a tile has at most as many elements as `zeros`.
                unsafe { target.put(isa, place, zeros.as_ptr(), &mut raw) };
            }
        }
        fence();
        Ok(Sums::new(Keeping::Rounded))
    })?;
    Ok(())
}
