//! From whole arrays to tiles and back: blocks of a fixed number of tiles, cut by tile number.
//!
//! [`elements`] runs a loss whose elements stand for themselves, [`columns`] adds such losses up over the class
//! axis, [`rows`] runs one whose elements are rows of classes, [`weights`] knows what results are multiplied with.
//! [`measure`] finds denominators that do not depend on the logits, [`indices`] looks for class indices that are none.
//! Beside the losses, [`posterior`] and [`row_posterior`] recover posteriors, and [`tally`] counts targets.

pub mod columns;
pub mod elements;
pub mod histogram;
pub mod indices;
pub mod labels;
pub mod measure;
pub mod operand;
pub mod outputs;
pub mod per_row;
pub mod posterior;
pub mod row_posterior;
pub mod rows;
mod samples;
mod strip;
pub mod tally;
pub mod weights;

use crate::cache;
use crate::error::Error;
use crate::kernel::exact::ExactSum;
use crate::kernel::exact_tile::{ExactTileSum, Summable};
use crate::kernel::reduce::{SIDE_BY_SIDE, TileSum, TileSums, Total};
use crate::kernel::tile::{Stores, TILE};
use crate::layout::{Plan, Tile};
use crate::pool;
use crate::real::Real;
use crate::simd::{AnyIsa, in_default_mode};

/// How work is cut.
#[derive(Clone, Copy)]
struct Cut {
    /// Tiles in a block, the unit of work of a thread.
    tiles: usize,
    /// Blocks for each thread that are worth waking it.
    each: usize,
    /// Blocks between two looks at whether to go on: some milliseconds of work. There are as many at least as threads.
    between_looks: usize,
}

/// Blocks of elements: a few are done in the time that it takes to wake a thread.
const BLOCKS: Cut = Cut { tiles: 32, each: 4, between_looks: 512 };

/// From so many threads on, kernels are faster than memory. Fewer gain nothing from stores that go past the caches if a
/// buffer must be written and read first: that costs more than the traffic that they save.
const CROWD: usize = 4;

/// How outputs are written in a job that reads and writes so many bytes in all.
pub fn stores(bytes: usize) -> Stores {
    if bytes <= cache::last_level() {
        Stores::Ordinary
    } else if pool::threads() < CROWD {
        Stores::Streaming
    } else {
        Stores::AlwaysStreaming
    }
}

/// Why a job ended before its end.
#[derive(Debug)]
pub enum Stop {
    /// It was asked to.
    Interrupted,
    /// It could not be done.
    Failed(Error),
}

/// The plan of a job: which elements it visits in which order, and where its operands keep them.
pub type JobPlan = Plan<{ operand::COUNT }>;

/// How sums are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// In a tree of fixed shape, rounded: the faster way.
    Rounded,
    /// Exactly, whatever the order.
    Exact,
}

/// A running sum of tiles.
#[derive(Clone, Debug)]
pub enum Sum {
    /// Rounded.
    Rounded(Total),
    /// Exact.
    Exact(Box<ExactSum>),
}

impl Sum {
    fn new(keeping: Keeping) -> Self {
        match keeping {
            Keeping::Rounded => Self::Rounded(Total::default()),
            Keeping::Exact => Self::Exact(Box::default()),
        }
    }

    /// Adds a tile.
    #[inline]
    fn add<R: Real + Summable>(&mut self, isa: AnyIsa, tile: &[R]) {
        match self {
            Self::Rounded(total) => total.add(isa.vectorize(TileSum(tile))),
            Self::Exact(sum) => sum.add(isa.vectorize(ExactTileSum(tile))),
        }
    }

    /// Adds a number so many times, at most [`TILE`], to an exact sum.
    fn add_times(&mut self, number: f64, times: u64) {
        match self {
            Self::Exact(sum) => sum.add_times(number, times),
            Self::Rounded(total) => total.add(number * times as f64),
        }
    }

    /// Adds tiles that follow each other, all but the last of them full.
    fn add_tiles<R: Real + Summable>(&mut self, isa: AnyIsa, values: &[R]) {
        let (tiles, rest) = values.as_chunks::<TILE>();
        let (groups, others) = tiles.as_chunks::<SIDE_BY_SIDE>();
        for group in groups {
            match self {
                Self::Rounded(total) => {
                    isa.vectorize(TileSums(group)).into_iter().for_each(|sum| total.add(sum))
                }
                Self::Exact(_) => group.iter().for_each(|tile| self.add(isa, tile)),
            }
        }
        others.iter().map(<[R; TILE]>::as_slice).chain(Some(rest)).for_each(|tile| self.add(isa, tile));
    }

    fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Rounded(total), Self::Rounded(other)) => total.merge(other),
            (Self::Exact(sum), Self::Exact(other)) => sum.merge(*other),
            // Parts of one job are kept in one way.
            (Self::Rounded(total), Self::Exact(other)) => total.add(other.value()),
            (Self::Exact(sum), Self::Rounded(other)) => sum.add_number(other.value()),
        }
    }

    /// The sum, rounded.
    pub fn value(&self) -> f64 {
        match self {
            Self::Rounded(total) => total.value(),
            Self::Exact(sum) => sum.value(),
        }
    }

    /// The sum as an exact one.
    pub fn exact(self) -> ExactSum {
        match self {
            Self::Exact(sum) => *sum,
            Self::Rounded(total) => {
                let mut sum = ExactSum::default();
                sum.add_number(total.value());
                sum
            }
        }
    }
}

/// What a job adds up.
#[derive(Clone, Debug)]
pub struct Sums {
    /// The losses.
    pub value: Sum,
    /// The modulating factors, exactly: derivatives are divided by this sum, which must not depend on the order.
    pub factor: Sum,
}

impl Sums {
    fn new(keeping: Keeping) -> Self {
        Self { value: Sum::new(keeping), factor: Sum::new(Keeping::Exact) }
    }

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

/// Blocks in order, their sums added in order.
///
/// `go_on` is asked now and then, on the calling thread, whether to continue.
fn over_blocks<const N: usize>(
    plan: &Plan<N>,
    cut: Cut,
    keeping: Keeping,
    go_on: impl FnMut() -> bool,
    work: impl Fn(Block) -> Result<Sums, Error> + Sync,
) -> Result<Sums, Stop> {
    let mut total = Sums::new(keeping);
    in_blocks(plan, cut, go_on, work, |part| total.merge(part))?;
    Ok(total)
}

/// Blocks in order, of which `take` takes the results in order.
fn in_blocks<const N: usize, T: Send + Sync>(
    plan: &Plan<N>,
    Cut { tiles, each, between_looks }: Cut,
    mut go_on: impl FnMut() -> bool,
    work: impl Fn(Block) -> Result<T, Error> + Sync,
    mut take: impl FnMut(T),
) -> Result<(), Stop> {
    let blocks = plan.tiles().div_ceil(tiles);
    let between_looks = between_looks.max(pool::threads());
    let mut first = 0;
    while first < blocks {
        if first > 0 && !go_on() {
            return Err(Stop::Interrupted);
        }
        let last = blocks.min(first + between_looks);
        let block = |i: usize| {
            let block = Block { first: i * tiles, last: plan.tiles().min((i + 1) * tiles) };
            in_default_mode(|| work(block))
        };
        pool::map(first..last, each, block).map_err(Stop::Failed)?.into_iter().for_each(&mut take);
        first = last;
    }
    Ok(())
}
