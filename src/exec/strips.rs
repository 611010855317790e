//! Tiles that follow each other, taken together: one call of the kernel costs less than one for each.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use super::elements::Job;
use super::room::Room;
use super::{Block, Sums, operand};
use crate::cache::Ahead;
use crate::error::Error;
use crate::kernel::elementwise::Operands;
use crate::kernel::rows::RowReal;
use crate::kernel::tile::{Place, STRIP, TILE};
use crate::layout::Tile;
use crate::simd::AnyIsa;

/// Memory for a strip of any type.
#[repr(align(64))]
struct Memory(
    #[expect(dead_code, reason = "only its address is of interest")] MaybeUninit<[u64; STRIP * TILE]>,
);

thread_local! {
    /// What a thread keeps for strips: too much for a small stack.
    static MEMORY: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

/// Strips that a job may need: logits, targets, outputs, elements before they are converted, what multiplies losses,
/// gradient and Hessian of negatives and of positives, sample weights, and gammas in two parts.
const STRIPS: usize = 15;

/// The way of a job through strips of tiles.
pub(super) struct Strips<R> {
    /// Whether the job can be done this way; it cannot any more once there was a label other than 0 and 1.
    possible: bool,
    logits: *mut R,
    targets: *mut R,
    /// Where outputs go that have no other memory, and elements before they are converted.
    pub(super) outputs: [*mut R; 3],
    pub(super) raw: *mut u64,
    /// Where what multiplies the elements is laid out.
    room: Room<R>,
    gammas: [*mut R; 2],
}

impl<R: RowReal> Strips<R> {
    /// Does work with strips for a job. They are for elements none of which is ignored.
    ///
    /// # Errors
    /// [`Error::Memory`] if a thread cannot have its strips.
    pub(super) fn with<T>(job: &Job<R>, work: impl FnOnce(&mut Self) -> T) -> Result<T, Error> {
        let always_soft = job.soft.is_some_and(|soft| soft.always);
        let possible = job.inputs.ignored.is_none() && !job.plan.has_rectangles() && !always_soft;
        MEMORY.with_borrow_mut(|memory| {
            memory.try_reserve_exact(STRIPS).map_err(|_| Error::Memory)?;
            let start = memory.as_mut_ptr();
            let strip = |i: usize| start.wrapping_add(i).cast::<R>();
            Ok(work(&mut Self {
                possible,
                logits: strip(0),
                targets: strip(1),
                outputs: [strip(2), strip(3), strip(4)],
                raw: strip(5).cast(),
                room: Room { labels: [6, 8, 10].map(|i| [strip(i), strip(i + 1)]), samples: strip(12) },
                gammas: [strip(13), strip(14)],
            }))
        })
    }

    /// Runs the first tiles of a block, as many as can be taken together. How many those are: none if the first cannot
    /// be done this way.
    ///
    /// # Safety
    /// As [`super::elements::run`], for the elements of the block.
    #[inline]
    pub(super) unsafe fn run(&mut self, isa: AnyIsa, job: &Job<R>, block: Block, sums: &mut Sums) -> usize {
        let mut tiles = if self.possible { STRIP.min(block.last - block.first) } else { 0 };
        while tiles > 0 {
            let Some(tile) = job.plan.tiles_as_one(block.first, block.first + tiles) else { return 0 };
            // SAFETY: handed through from the caller.
            if let Some(done) = unsafe { self.strip(isa, job, tile, tiles, sums) } {
                self.possible = done == tile.len;
                // A kernel stops at tiles.
                return done.div_ceil(TILE);
            }
            tiles /= 2;
        }
        0
    }

    /// Runs a strip of so many tiles up to the first that has labels other than 0 and 1, if they can be taken together.
    /// How many elements it has done.
    ///
    /// # Safety
    /// As [`Strips::run`].
    unsafe fn strip(
        &mut self,
        isa: AnyIsa,
        job: &Job<R>,
        tile: Tile,
        tiles: usize,
        sums: &mut Sums,
    ) -> Option<usize> {
        let (mut written, raw) = (job.written(tile, self.outputs), self.raw);
        // SAFETY: handed through from the caller; strips are long enough.
        let factors = unsafe { job.inputs.weights.of(isa, job.weigh(tile, true), self.room, raw)? };
        let place = |operand| Place { plan: &job.plan, operand, tile };
        let mut ahead = Ahead::default();
        job.ask(tile.number + tiles, tiles, &job.inputs, &mut ahead);
        // SAFETY: the caller vouches for the arrays wherever the plan has elements; buffers are private and hold a
        // strip. An output that is an input is so element by element, and then nothing streams.
        unsafe {
            let logits = job.inputs.logits.strip(isa, place(operand::LOGITS), self.logits, raw);
            let heads = job.heads_of_targets.as_ref();
            let targets = job.inputs.labels.strip(isa, (&job.plan, tile), heads, self.targets, raw);
            let hard = job.hard(factors);
            let mut gammas = [std::ptr::null(); 2];
            for (i, list) in job.inputs.gammas.iter().flatten().enumerate() {
                gammas[i] = list.strip(isa, place(operand::LISTS), self.gammas[i], raw);
            }
            let streams = job.stream(tile, &mut written);
            let [value, grad, hess] = written.start;
            let operands = Operands {
                len: tile.len,
                logits,
                targets,
                weights: hard.weights,
                samples: hard.samples,
                gammas,
                value,
                grad,
                hess,
                ahead: if ahead.is_empty() { std::ptr::null() } else { &raw const ahead },
                stops: job.soft.is_some(),
                streams,
            };
            let done = (hard.kernel)(isa, &hard.constants, &operands);
            // What streams is cut at cache lines: some of the tile with another label may be done.
            let done = if done < tile.len { done - done % TILE } else { done };
            if job.sum {
                sums.value.add_tiles(isa, std::slice::from_raw_parts(value, done));
            }
            job.put(isa, Tile { len: done, ..tile }, &written, raw);
            Some(done)
        }
    }
}
