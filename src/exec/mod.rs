//! From whole arrays to tiles and back: blocks of a fixed number of tiles, cut by tile number.
//!
//! [`elements`] runs a loss whose elements stand for themselves, [`columns`] adds such losses up over the class
//! axis, [`rows`] runs one whose elements are rows of classes. [`measure`] finds denominators that do not depend
//! on the logits, [`indices`] looks for class indices that are none.

pub mod columns;
pub mod elements;
mod general;
pub mod indices;
pub mod measure;
pub mod rows;

use crate::error::Error;
use crate::kernel::reduce::Total;
use crate::layout::{Plan, Tile};
use crate::pool;

/// Tiles in a block, the unit of work of a thread. Up to one block runs on the calling thread: to wake another
/// would take longer.
const BLOCK: usize = 32;

/// Blocks between two looks at whether to go on: some milliseconds of work.
const BLOCKS_BETWEEN_LOOKS: usize = 512;

/// Why a job ended before its end.
#[derive(Debug)]
pub enum Stop {
    /// It was asked to.
    Interrupted,
    /// It could not be done.
    Failed(Error),
}

/// The operands of a job by their numbers in its plan.
pub mod operand {
    /// Logits.
    pub const LOGITS: usize = 0;
    /// Targets.
    pub const TARGETS: usize = 1;
    /// Sample weights.
    pub const SAMPLES: usize = 2;
    /// Lists of float64 by class.
    pub const CLASSES: usize = 3;
    /// The losses.
    pub const VALUE: usize = 4;
    /// The gradient.
    pub const GRAD: usize = 5;
    /// The Hessian.
    pub const HESS: usize = 6;
    /// How many there are.
    pub const COUNT: usize = 7;
}

/// The plan of a job: which elements it visits in which order, and where its operands keep them.
pub type JobPlan = Plan<{ operand::COUNT }>;

/// What a job adds up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    /// The losses.
    pub value: Total,
    /// The modulating factors.
    pub factor: Total,
}

impl Sums {
    fn merge(&mut self, other: Self) {
        self.value.merge(other.value);
        self.factor.merge(other.factor);
    }
}

/// A range of tiles.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    last: usize,
}

impl Block {
    fn tiles<const N: usize>(self, plan: &Plan<N>) -> impl Iterator<Item = Tile> {
        (self.first..self.last).map(|number| plan.tile(number))
    }
}

/// Blocks of so many tiles in order, their sums added in order.
///
/// `go_on` is asked now and then, on the calling thread, whether to continue.
fn over_blocks<const N: usize>(
    plan: &Plan<N>,
    block_tiles: usize,
    mut go_on: impl FnMut() -> bool,
    work: impl Fn(Block) -> Sums + Sync,
) -> Result<Sums, Stop> {
    let blocks = plan.tiles().div_ceil(block_tiles);
    let mut total = Sums::default();
    let mut first = 0;
    while first < blocks {
        if first > 0 && !go_on() {
            return Err(Stop::Interrupted);
        }
        let last = blocks.min(first + BLOCKS_BETWEEN_LOOKS);
        let block =
            |i: usize| work(Block { first: i * block_tiles, last: plan.tiles().min((i + 1) * block_tiles) });
        for part in pool::map(first..last, block).map_err(Stop::Failed)? {
            total.merge(part);
        }
        first = last;
    }
    Ok(total)
}
