//! Tiles that follow each other, taken together: one call of the kernel costs less than one for each.

use super::elements::{Hard, Inputs, Job, Labels};
use super::heads::Room;
use super::weights::{OfTile, Weights};
use super::{Block, Sums, operand};
use crate::kernel::elementwise::{Constants, Operands};
use crate::kernel::rows::RowReal;
use crate::kernel::tile::{Buffer, Place, Raw, STRIP, TILE};
use crate::layout::Tile;
use crate::simd::AnyIsa;

/// Memory for the weights of a strip.
pub(super) struct Weighing<R> {
    raw: [Raw; STRIP],
    samples: [Buffer<f64>; STRIP],
    products: [Buffer<R>; STRIP],
    elements: [[[Buffer<R>; STRIP]; 2]; 3],
}

impl<R> Weighing<R> {
    /// Uninitialised.
    pub(super) const fn new() -> Self {
        Self {
            raw: [const { Raw::new() }; STRIP],
            samples: [const { Buffer::new() }; STRIP],
            products: [const { Buffer::new() }; STRIP],
            elements: [const { [const { [const { Buffer::new() }; STRIP] }; 2] }; 3],
        }
    }

    fn room(&mut self) -> Room<R> {
        let elements = self.elements.each_mut();
        Room {
            samples: self.samples.as_mut_ptr().cast(),
            products: self.products.as_mut_ptr().cast(),
            raw: self.raw.as_mut_ptr().cast(),
            elements: elements.map(|pair| pair.each_mut().map(|strip| strip.as_mut_ptr().cast())),
        }
    }
}

/// Memory for strips of tiles.
pub(super) struct Strips<R> {
    /// Whether the job can be done this way; it cannot any more once there was a label other than 0 and 1.
    possible: bool,
    logits: [Buffer<R>; STRIP],
    targets: [Buffer<R>; STRIP],
    outputs: [[Buffer<R>; STRIP]; 3],
    raw: [Raw; STRIP],
    /// Where the weights of rows are laid out, if there are any.
    room: Option<Room<R>>,
}

impl<R: RowReal> Strips<R> {
    /// For a job whose elements have labels of their own, none of them ignored, but no weights and gammas of their own;
    /// weights of rows if there is memory to lay them out.
    pub(super) fn new(job: &Job<R>, weighing: Option<&mut Weighing<R>>) -> Self {
        let Inputs { labels, weights, ignored, gammas, .. } = &job.inputs;
        let weighed = weighing.is_some() || !matches!(weights, Weights::Sampled(..));
        let own = matches!(labels, Labels::Dense(_)) && weighed;
        let plain = own && ignored.is_none() && gammas.is_none();
        Self {
            possible: plain && !job.plan.has_rectangles() && job.soft.is_none_or(|soft| !soft.always),
            logits: [const { Buffer::new() }; STRIP],
            targets: [const { Buffer::new() }; STRIP],
            outputs: [const { [const { Buffer::new() }; STRIP] }; 3],
            raw: [const { Raw::new() }; STRIP],
            room: weighing.map(|memory| memory.room()),
        }
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
        let raw = self.raw.as_mut_ptr().cast::<u64>();
        // The array's own memory, or a buffer if there is no array or it takes results in another form.
        let mut written = [std::ptr::null_mut(); 3];
        let mut direct = [false; 3];
        for (i, (target, operand)) in job.outputs().into_iter().enumerate() {
            let run = target.and_then(|target| target.direct(place(operand)));
            direct[i] = run.is_some();
            written[i] = run.unwrap_or(self.outputs[i].as_mut_ptr().cast());
        }
        let ahead = job.ahead(tile.number + tiles, tiles, &job.inputs);
        // SAFETY: the caller vouches for the arrays wherever the plan has elements; buffers are private and hold a
        // strip. All inputs are read before an output is written.
        unsafe {
            let [value, grad, hess] = written;
            let operands = Operands {
                len: tile.len,
                logits: job.inputs.logits.strip(
                    isa,
                    place(operand::LOGITS),
                    self.logits.as_mut_ptr().cast(),
                    raw,
                ),
                targets: targets.strip(isa, place(operand::TARGETS), self.targets.as_mut_ptr().cast(), raw),
                weights: hard.weights,
                gammas: [std::ptr::null(); 2],
                value,
                grad,
                hess,
                ahead: if ahead.is_empty() { std::ptr::null() } else { &raw const ahead },
                stops: job.soft.is_some(),
            };
            let done = (hard.kernel)(isa, &hard.constants, &operands);
            if job.sum {
                sums.value.add_tiles(isa, std::slice::from_raw_parts(value, done));
            }
            let tile = Tile { len: done, ..tile };
            for (i, (target, operand)) in job.outputs().into_iter().enumerate().filter(|&(i, _)| !direct[i]) {
                if let Some(target) = target.filter(|_| done > 0) {
                    target.put_strip(isa, Place { plan: &job.plan, operand, tile }, written[i], raw);
                }
            }
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
    match unsafe { job.inputs.weights.at_hand(isa, job.weigh(tile, None), room)? } {
        OfTile::All(numbers) => {
            let (kernel, constants) = job.plain(&numbers)?;
            Some(Hard { kernel, constants, weights: [[std::ptr::null(); 2]; 3] })
        }
        OfTile::Each(weights) => {
            let constants = Constants { gamma: job.gamma, weights: [[R::ZERO; 2]; 3] };
            Some(Hard { kernel: job.weighted, constants, weights })
        }
    }
}
