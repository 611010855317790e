//! Blocks whose operands all lie as the kernel takes them: it goes over many tiles at once.

use super::elements::{Inputs, Job, Labels};
use super::weights::Weights;
use super::{Block, Sums, operand};
use crate::kernel::elementwise::{Constants, Operands, TileKernel};
use crate::kernel::reduce::SIDE_BY_SIDE;
use crate::kernel::rows::RowReal;
use crate::kernel::tile::{Buffer, Place, TILE, Target};
use crate::simd::AnyIsa;

/// Losses that are added up as soon as they are there: few enough for the first-level cache.
const STRIP: usize = SIDE_BY_SIDE * TILE;

/// Runs the first tiles of a block as long as their operands lie so and labels are 0 and 1, or all are to be taken for
/// that. How many it has done.
///
/// # Safety
/// As [`super::elements::run`], for the elements of the block.
pub(super) unsafe fn run<R: RowReal>(isa: AnyIsa, job: &Job<R>, block: Block, sums: &mut Sums) -> usize {
    let Some((kernel, constants, operands)) = prepare(job, block) else { return 0 };
    let mut done = 0;
    // SAFETY: the caller vouches for the arrays wherever the plan has elements. What is added up was written before.
    unsafe {
        if !job.sum {
            done = kernel(isa, &constants, &operands);
        }
        let mut losses = [const { Buffer::<R>::new() }; SIDE_BY_SIDE];
        while job.sum && done < operands.len {
            let mut strip = operands.from(done);
            strip.len = STRIP.min(operands.len - done);
            if operands.value.is_null() {
                strip.value = losses.as_mut_ptr().cast();
            }
            let new = kernel(isa, &constants, &strip);
            sums.value.add_tiles(isa, std::slice::from_raw_parts(strip.value, new));
            done += new;
            if new < strip.len {
                break;
            }
        }
    }
    // Parts at which a kernel stops are tiles.
    done.div_ceil(TILE)
}

/// The kernel for a block, its constants and its operands, if they lie so.
fn prepare<R: RowReal>(job: &Job<R>, block: Block) -> Option<(TileKernel<R>, Constants<R>, Operands<R>)> {
    let Inputs {
        logits,
        labels: Labels::Dense(targets),
        weights: Weights::All(numbers),
        ignored: None,
        gammas: None,
    } = &job.inputs
    else {
        return None;
    };
    if job.soft.is_some_and(|soft| soft.always) {
        return None;
    }
    let (kernel, constants) = job.plain(numbers)?;
    let tile = job.plan.tiles_as_one(block.first, block.last)?;
    let place = |operand| Place { plan: &job.plan, operand, tile };
    let output = |target: Option<Target<R>>, operand| match target {
        Some(target) => target.direct(place(operand)),
        None => Some(std::ptr::null_mut()),
    };
    let operands = Operands {
        len: tile.len,
        logits: logits.direct(place(operand::LOGITS))?,
        targets: targets.direct(place(operand::TARGETS))?,
        weights: [[std::ptr::null(); 2]; 3],
        gammas: [std::ptr::null(); 2],
        value: output(job.value, operand::VALUE)?,
        grad: output(job.grad, operand::GRAD)?,
        hess: output(job.hess, operand::HESS)?,
        ahead: std::ptr::null(),
        stops: job.soft.is_some(),
    };
    Some((kernel, constants, operands))
}
