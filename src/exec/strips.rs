//! Tiles that follow each other, taken together: one call of the kernel costs less than one for each.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use super::elements::{Hard, Inputs, Job, Labels};
use super::heads::Room;
use super::weights::Weights;
use super::{Block, Sums, operand};
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

/// Strips that any job needs: logits, targets, outputs, and elements before they are converted.
const ALWAYS: usize = 6;

/// Strips that sample weights need beside: they, before and after they are converted, their products, and those laid
/// out.
const OF_SAMPLES: usize = 9;

/// The way of a job through strips of tiles.
pub(super) struct Strips<R> {
    /// Whether the job can be done this way; it cannot any more once there was a label other than 0 and 1.
    possible: bool,
    logits: *mut R,
    targets: *mut R,
    /// Where outputs go that have no other memory, and elements before they are converted.
    pub(super) outputs: [*mut R; 3],
    pub(super) raw: *mut u64,
    /// Where what multiplies the elements is laid out, if there are sample weights.
    room: Option<Room<R>>,
}

impl<R: RowReal> Strips<R> {
    /// Does work with strips for a job. They are for elements that have labels of their own, none of them ignored, but
    /// no gammas of their own.
    pub(super) fn with<T>(job: &Job<R>, work: impl FnOnce(&mut Self) -> T) -> T {
        let Inputs { labels, weights, ignored, gammas, .. } = &job.inputs;
        let sampled = matches!(weights, Weights::Sampled(..));
        let plain = matches!(labels, Labels::Dense(_)) && ignored.is_none() && gammas.is_none();
        let possible = plain && !job.plan.has_rectangles() && job.soft.is_none_or(|soft| !soft.always);
        MEMORY.with_borrow_mut(|memory| {
            let count = ALWAYS + if sampled { OF_SAMPLES } else { 0 };
            memory.reserve_exact(count.saturating_sub(memory.len()));
            // SAFETY: there is room for as many, and they need not be initialised.
            unsafe { memory.set_len(count.max(memory.len())) };
            let start = memory.as_mut_ptr();
            let strip = |i: usize| start.wrapping_add(i).cast::<R>();
            let room = sampled.then(|| Room {
                samples: strip(6).cast(),
                products: strip(7),
                raw: strip(8).cast(),
                elements: [[strip(9), strip(10)], [strip(11), strip(12)], [strip(13), strip(14)]],
            });
            work(&mut Self {
                possible,
                logits: strip(0),
                targets: strip(1),
                outputs: [strip(2), strip(3), strip(4)],
                raw: strip(5).cast(),
                room,
            })
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
            if let Some(hard) = unsafe { shared(isa, job, tile, self.room.as_ref()) } {
                // SAFETY: as above.
                let done = unsafe { self.strip(isa, job, &hard, tile, tiles, sums) };
                self.possible = done == tile.len;
                // A kernel stops at tiles.
                return done.div_ceil(TILE);
            }
            tiles /= 2;
        }
        0
    }

    /// Runs a strip of so many tiles up to the first that has labels other than 0 and 1. How many elements it has done.
    ///
    /// # Safety
    /// As [`Strips::run`].
    unsafe fn strip(
        &mut self,
        isa: AnyIsa,
        job: &Job<R>,
        hard: &Hard<R>,
        tile: Tile,
        tiles: usize,
        sums: &mut Sums,
    ) -> usize {
        let Labels::Dense(targets) = &job.inputs.labels else { return 0 };
        let place = |operand| Place { plan: &job.plan, operand, tile };
        let (mut written, raw) = (job.written(tile, self.outputs), self.raw);
        let ahead = job.ahead(tile.number + tiles, tiles, &job.inputs);
        // SAFETY: the caller vouches for the arrays wherever the plan has elements; buffers are private and hold a
        // strip. An output that is an input is so element by element.
        unsafe {
            let logits = job.inputs.logits.strip(isa, place(operand::LOGITS), self.logits, raw);
            let targets = targets.strip(isa, place(operand::TARGETS), self.targets, raw);
            let streams = job.stream(tile, &mut written, [logits, targets]);
            let [value, grad, hess] = written.start;
            let operands = Operands {
                len: tile.len,
                logits,
                targets,
                weights: hard.weights,
                gammas: [std::ptr::null(); 2],
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
            done
        }
    }
}

/// How the kernel is called for tiles that follow each other, if nothing need be put down for each but in `room`.
///
/// # Safety
/// As [`Strips::run`].
#[inline]
unsafe fn shared<R: RowReal>(
    isa: AnyIsa,
    job: &Job<R>,
    tile: Tile,
    room: Option<&Room<R>>,
) -> Option<Hard<R>> {
    // SAFETY: handed through from the caller.
    let weights = unsafe { job.inputs.weights.at_hand(isa, job.weigh(tile, None), room)? };
    job.as_is(weights)
}
