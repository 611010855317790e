//! A loss whose elements stand for themselves: one logit, one target, one set of results an element.
//!
//! A block goes through the kernels in strips: a few tiles that follow each other, or one where tiles are rectangles.
//! What lies in an array as kernels take it is used where it is, everything else is laid out beforehand
//! ([`super::strip`]): so there is one way for all dtypes, layouts and options.

use super::labels::Labels;
use super::outputs::Outputs;
use super::per_row::PerRow;
use super::strip::Strips;
use super::weights::{Found, Weights};
use super::{BLOCKS, Block, JobPlan, Keeping, Stop, Sums, operand, over_blocks};
use crate::cache::{Ahead, last_level};
use crate::error::Error;
use crate::kernel::elementwise::TileKernel;
use crate::kernel::labels::{Ignored, Kinds, kinds};
use crate::kernel::mixed::Mixed;
use crate::kernel::operands::{Constants, Operands};
use crate::kernel::rows::RowReal;
use crate::kernel::soft::{Options, SoftKernel};
use crate::kernel::tile::{Place, STRIP, Source, TILE};
use crate::layout::Tile;
use crate::loss::focal::Gamma;
use crate::simd::{AnyIsa, fence};

/// The kernel for labels that may be other than 0 and 1, and for probabilities.
#[derive(Clone, Copy, Debug)]
pub struct Soft<R> {
    /// What to do with a tile.
    pub kernel: SoftKernel<R>,
    /// What it needs to know.
    pub options: Options<R>,
    /// Whether labels of 0 and 1 go the same way; else they go through the kernel for such labels.
    pub always: bool,
}

/// What the elements of a job are made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<R> {
    /// Logits.
    pub logits: Source<R>,
    /// Labels.
    pub labels: Labels<R>,
    /// What multiplies the results.
    pub weights: Weights<R>,
    /// A gamma for each class, in two parts: lists as the plan's [`operand::LISTS`].
    pub gammas: Option<[Source<R>; 2]>,
}

/// An elementwise call in plain numbers and pointers.
#[derive(Clone, Debug)]
pub struct Job<R> {
    /// Where everything lies, cut into tiles of [`TILE`] elements.
    pub plan: JobPlan,
    /// What goes in.
    pub inputs: Inputs<R>,
    /// Where sample weights lie that rows of elements have in common.
    pub samples_per_row: Option<PerRow>,
    /// Where class indices lie that they have in common.
    pub targets_per_row: Option<PerRow>,
    /// Which labels do not count.
    pub ignored: Option<Ignored<R>>,
    /// What to do with labels that are 0 or 1.
    pub kernel: TileKernel<R>,
    /// The focusing parameter, where elements have none of their own.
    pub gamma: Gamma<R>,
    /// What to do with other labels; none makes them NaN.
    pub soft: Option<Soft<R>>,
    /// Where the results go.
    pub outputs: Outputs<R>,
    /// Whether the losses are added up.
    pub sum: bool,
    /// How their sum is kept.
    pub keeping: Keeping,
    /// Whether the modulating factors are added up. Takes a soft kernel for all labels.
    pub sum_factors: bool,
}

// SAFETY: the pointers are only followed by functions whose callers vouch for the memory behind them; blocks
// write disjoint parts of it.
unsafe impl<R: Send> Send for Job<R> {}
// SAFETY: as above.
unsafe impl<R: Sync> Sync for Job<R> {}

/// Runs a job and returns its sums (0 unless asked for).
///
/// # Errors
/// If it was stopped, or the threads could not be started.
///
/// # Safety
/// All arrays must be valid wherever the plan says that they have elements. An output must either be exactly an
/// input (same memory, type and strides) or share no memory with any other array, and its elements must not meet
/// each other. No other thread may write to the inputs, or touch the outputs, meanwhile.
pub unsafe fn run<R: RowReal>(isa: AnyIsa, job: &Job<R>, go_on: impl FnMut() -> bool) -> Result<Sums, Stop> {
    // SAFETY: handed through from the caller.
    over_blocks(&job.plan, BLOCKS, job.keeping, go_on, |block| unsafe { run_block(isa, job, block) })
}

/// # Safety
/// As [`run`], for the elements of the block.
unsafe fn run_block<R: RowReal>(isa: AnyIsa, job: &Job<R>, block: Block) -> Result<Sums, Error> {
    let mut sums = Sums::new(job.keeping);
    Strips::with(|strips| {
        let mut work = Work::new(isa, job, strips);
        let mut next = block.first;
        while next < block.last {
            // SAFETY: handed through from the caller.
            next += unsafe { work.strip(Block { first: next, ..block }, &mut sums) };
        }
    })?;
    fence();
    Ok(sums)
}

/// A thread's work on a job.
pub(super) struct Work<'a, R> {
    isa: AnyIsa,
    job: &'a Job<R>,
    strips: &'a Strips<R>,
    /// Whether there was a label that kernels for labels of 0 and 1 are not for: there may be more.
    has_soft: bool,
}

impl<'a, R: RowReal> Work<'a, R> {
    /// Nothing is done yet.
    pub(super) fn new(isa: AnyIsa, job: &'a Job<R>, strips: &'a Strips<R>) -> Self {
        Self { isa, job, strips, has_soft: false }
    }

    /// Whether all labels so far went through kernels for labels of 0 and 1.
    #[inline]
    fn is_hard(&self) -> bool {
        !self.has_soft && !self.job.soft.is_some_and(|soft| soft.always)
    }

    /// Runs the first tiles of a block, as many as can be taken together, and says how many those were.
    ///
    /// # Safety
    /// As [`run`], for the elements of the block.
    #[inline]
    unsafe fn strip(&mut self, block: Block, sums: &mut Sums) -> usize {
        let Self { isa, job, strips, .. } = *self;
        let plan = &job.plan;
        let mut tiles = STRIP.min(block.last - block.first);
        loop {
            let (tile, count) = match plan.tiles_as_one(block.first, block.first + tiles) {
                Some(tile) => (tile, tiles),
                None => (plan.tile(block.first), 1),
            };
            let mut written = job.outputs.find(plan, tile, job.computed(), strips);
            // SAFETY: the caller vouches for the arrays wherever the plan has elements; strips are private and hold as
            // many. An output that is an input is so element by element, and then nothing streams.
            unsafe {
                let inputs = &job.inputs;
                let streams = self.is_hard() && job.outputs.stream(plan, tile, inputs, &mut written);
                if !self.inputs(inputs, (tile, count), written.start, streams, sums) {
                    // No tile alone is refused.
                    tiles /= 2;
                    continue;
                }
                if job.sum {
                    let losses = std::slice::from_raw_parts(written.start[0], tile.len);
                    sums.value.add_tiles(isa, losses);
                }
                job.outputs.put(isa, plan, tile, &written, strips.raw);
            }
            return count;
        }
    }

    /// Runs a strip of so many tiles, whose results are written there: false, and nothing is done, if they are too many.
    ///
    /// # Safety
    /// As [`run`], for the elements of the strip and these inputs. The results that are computed must be valid for
    /// writing.
    pub(super) unsafe fn inputs(
        &mut self,
        inputs: &Inputs<R>,
        (tile, tiles): (Tile, usize),
        [value, grad, hess]: [*mut R; 3],
        streams: bool,
        sums: &mut Sums,
    ) -> bool {
        let Self { isa, job, strips, .. } = *self;
        let (plan, raw) = (&job.plan, strips.raw);
        let place = |operand| Place { plan, operand, tile };
        // SAFETY: handed through from the caller; strips are long enough.
        unsafe {
            let per_row = job.samples_per_row.as_ref();
            let weights = inputs.weights.find(isa, (plan, tile), per_row, job.computed(), strips);
            let Some(Found { numbers, lists, samples }) = weights else { return false };
            let mut ahead = Ahead::default();
            job.ask(tile.number + tiles, tiles, inputs, &mut ahead);
            let logits = inputs.logits.strip(isa, place(operand::LOGITS), strips.logits, raw);
            let per_row = job.targets_per_row.as_ref();
            let labels = inputs.labels.strip(isa, (plan, tile), per_row, strips.labels, raw);
            let mut gammas = [std::ptr::null(); 2];
            for (i, list) in inputs.gammas.iter().flatten().enumerate() {
                gammas[i] = list.strip(isa, place(operand::LISTS), strips.gammas[i], raw);
            }
            let operands = Operands {
                len: tile.len,
                logits,
                targets: labels,
                weights: lists,
                samples,
                gammas,
                value,
                grad,
                hess,
                factor: if job.sum_factors { strips.factor } else { std::ptr::null_mut() },
                ahead: if ahead.is_empty() { std::ptr::null() } else { &raw const ahead },
                stops: job.soft.is_some(),
                streams,
            };
            self.compute(&Constants { gamma: job.gamma, weights: numbers, ignored: job.ignored }, &operands);
            if job.sum_factors {
                sums.factor.add_tiles(isa, std::slice::from_raw_parts(strips.factor, tile.len));
            }
        }
        true
    }

    /// Computes the results of a strip: up to the first tile with other labels than 0 and 1 at once, from there on tile
    /// by tile.
    ///
    /// # Safety
    /// As [`TileKernel`] and, for each tile, [`SoftKernel`].
    #[inline]
    unsafe fn compute(&mut self, constants: &Constants<R>, operands: &Operands<R>) {
        let Self { isa, job, .. } = *self;
        let hard = job.kernel;
        let mut done = 0;
        if self.is_hard() {
            // SAFETY: handed through from the caller.
            done = unsafe { hard(isa, constants, operands) };
            if done == operands.len {
                return;
            }
            // What streams is cut at cache lines: some of the tile with another label may be done.
            done -= done % TILE;
            self.has_soft = true;
        }
        for at in (done..operands.len).step_by(TILE) {
            let len = TILE.min(operands.len - at);
            let part = operands.part(at, len);
            let part = Operands { stops: false, streams: false, ahead: std::ptr::null(), ..part };
            // SAFETY: handed through from the caller; a part has no more elements than a tile.
            unsafe {
                let Some(Soft { kernel: soft, options, always }) = &job.soft else { return };
                let labels = std::slice::from_raw_parts(part.targets, len);
                match if *always { Kinds::Soft } else { kinds(isa, labels, job.ignored) } {
                    Kinds::Hard => {
                        hard(isa, constants, &part);
                    }
                    Kinds::Soft => soft(isa, constants, options, &part),
                    Kinds::Both => Mixed { hard, soft: *soft, options, constants }.run(isa, &part),
                }
            }
        }
    }
}

impl<R: RowReal> Job<R> {
    /// Which of losses, gradient and Hessian are computed.
    #[inline]
    fn computed(&self) -> [bool; 3] {
        let [value, grad, hess] = self.outputs.given();
        [value || self.sum, grad, hess]
    }

    /// Adds what to ask for of so many tiles from `next` on, while those before them are worked on.
    #[inline]
    fn ask(&self, next: usize, tiles: usize, inputs: &Inputs<R>, ahead: &mut Ahead) {
        let plan = &self.plan;
        let end = plan.tiles().min(next + tiles);
        let next = match plan.tiles_as_one(next, end) {
            Some(next) if next.len > 0 => next,
            None if next < end => return self.prefetch_rectangle(plan.tile(next), inputs),
            _ => return,
        };
        let place = |operand| Place { plan, operand, tile: next };
        let beyond = plan.len() > last_level() / size_of::<R>();
        let samples = inputs.weights.samples.as_ref();
        // No kernel asks for anything while weights are laid out: what comes from memory is asked for before.
        let early = beyond
            && samples.is_some_and(|samples| {
                self.samples_per_row.is_some() || samples.own::<R, _>(place(operand::SAMPLES)).is_none()
            });
        let (labels, targets) = inputs.labels.targets();
        if beyond {
            // What rows have in common is too little at a time for the processor to foresee.
            if let (Some(samples), Some(per_row)) = (samples, &self.samples_per_row) {
                samples.prefetch_run(per_row.place(plan, next).0);
            }
            if let (Some(targets), Some(per_row)) = (targets, &self.targets_per_row) {
                targets.prefetch_run(per_row.place(plan, next).0);
            }
        }
        inputs.logits.ask(place(operand::LOGITS), early, ahead);
        if let Some(labels) = labels {
            labels.ask(place(operand::TARGETS), early, ahead);
        }
        if let Some(targets) = targets {
            targets.ask(place(operand::TARGETS), early, ahead);
        }
        if let Some(samples) = samples {
            samples.ask(place(operand::SAMPLES), early, ahead);
        }
        self.outputs.ask(plan, next, ahead);
    }

    /// Asks for the memory of a rectangular tile that comes next.
    fn prefetch_rectangle(&self, tile: Tile, inputs: &Inputs<R>) {
        let place = |operand| Place { plan: &self.plan, operand, tile };
        inputs.logits.prefetch(place(operand::LOGITS));
        let (labels, targets) = inputs.labels.targets();
        if let Some(labels) = labels {
            labels.prefetch(place(operand::TARGETS));
        }
        if let Some(targets) = targets {
            targets.prefetch(place(operand::TARGETS));
        }
        if let Some(samples) = &inputs.weights.samples {
            samples.prefetch(place(operand::SAMPLES));
        }
        self.outputs.prefetch(&self.plan, tile);
    }
}
