//! From whole arrays to tiles and back: blocks of a fixed number of tiles, cut by tile number.

use crate::error::Error;
use crate::kernel::elementwise::{Constants, Operands, TileKernel};
use crate::kernel::factors::Factors;
use crate::kernel::reduce::{TileSum, TileWeights, Total};
use crate::kernel::tile::{Buffer, Place, Raw, Source, TILE, Target};
use crate::layout::{Plan, Tile};
use crate::pool;
use crate::real::Real;
use crate::simd::{AnyIsa, fence};

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
    pub const WEIGHTS: usize = 2;
    /// The losses.
    pub const VALUE: usize = 3;
    /// The gradient.
    pub const GRAD: usize = 4;
    /// The Hessian.
    pub const HESS: usize = 5;
    /// How many there are.
    pub const COUNT: usize = 6;
}

/// The plan of a job: which elements it visits in which order, and where its operands keep them.
pub type JobPlan = Plan<{ operand::COUNT }>;

/// An elementwise call in plain numbers and pointers.
#[derive(Clone, Debug)]
pub struct Job<R> {
    /// Where everything lies, cut into tiles of [`TILE`] elements.
    pub plan: JobPlan,
    /// Logits.
    pub logits: Source<R>,
    /// Targets.
    pub targets: Source<R>,
    /// Sample weights. They go with a kernel that takes weights of each element's own.
    pub weights: Option<Source<f64>>,
    /// What multiplies losses, gradient and Hessian of negatives and of positives.
    pub classes: [[f64; 2]; 3],
    /// What to do with a tile.
    pub kernel: TileKernel<R>,
    /// Its constants.
    pub constants: Constants<R>,
    /// Where the losses go.
    pub value: Option<Target<R>>,
    /// Where the gradient goes.
    pub grad: Option<Target<R>>,
    /// Where the Hessian goes.
    pub hess: Option<Target<R>>,
    /// Whether the losses are added up.
    pub sum: bool,
}

// SAFETY: the pointers are only followed by `run`, `zero` and `sum_weights`, whose callers vouch for the
// memory behind them; blocks write disjoint parts of it.
unsafe impl<R: Send> Send for Job<R> {}
// SAFETY: as above.
unsafe impl<R: Sync> Sync for Job<R> {}

/// Runs a job and returns the sum of the losses (0 unless asked for).
///
/// `go_on` is asked now and then, on the calling thread, whether to continue.
///
/// # Errors
/// If it was stopped, or the threads could not be started.
///
/// # Safety
/// All arrays must be valid wherever the plan says that they have elements. An output must either be exactly an
/// input (same memory, type and strides) or share no memory with any other array, and its elements must not meet
/// each other. No other thread may write to the inputs, or touch the outputs, meanwhile.
pub unsafe fn run<R: Real>(isa: AnyIsa, job: &Job<R>, go_on: impl FnMut() -> bool) -> Result<f64, Stop> {
    // SAFETY: handed through from the caller.
    over_blocks(&job.plan, go_on, |block| unsafe { run_block(isa, job, block) })
}

/// Fills the outputs of a job with zeros.
///
/// # Errors
/// As [`run`].
///
/// # Safety
/// As [`run`].
pub unsafe fn zero<R: Real>(isa: AnyIsa, job: &Job<R>, go_on: impl FnMut() -> bool) -> Result<(), Stop> {
    let zeros = [R::ZERO; TILE];
    over_blocks(&job.plan, go_on, |block| {
        let mut raw = Raw::new();
        for tile in block.tiles(&job.plan) {
            for (target, operand) in job.targets_to_fill() {
                let place = Place { plan: &job.plan, operand, tile };
                // SAFETY: the caller vouches for the arrays; a tile has at most as many elements as `zeros`.
                unsafe { target.put(isa, place, zeros.as_ptr(), &mut raw) };
            }
        }
        fence();
        Total::default()
    })?;
    Ok(())
}

/// The sum of the weights that targets and (if wanted) samples give all elements, `classes` being those of
/// negatives and positives.
///
/// # Errors
/// As [`run`].
///
/// # Safety
/// As [`run`].
pub unsafe fn sum_weights<R: Real>(
    isa: AnyIsa,
    job: &Job<R>,
    classes: [f64; 2],
    with_samples: bool,
    go_on: impl FnMut() -> bool,
) -> Result<f64, Stop> {
    let plan = &job.plan;
    over_blocks(plan, go_on, |block| {
        let weights = job.weights.filter(|_| with_samples);
        let (mut target_tile, mut sample_tile, mut raw) = (Buffer::new(), Buffer::new(), Raw::new());
        let mut total = Total::default();
        for tile in block.tiles(plan) {
            let place = |operand| Place { plan, operand, tile };
            // SAFETY: the caller vouches for the arrays; a tile has `tile.len` elements.
            let kernel = unsafe {
                let targets = job.targets.tile(isa, place(operand::TARGETS), &mut target_tile, &mut raw);
                let samples = weights
                    .map(|samples| samples.tile(isa, place(operand::WEIGHTS), &mut sample_tile, &mut raw));
                TileWeights {
                    targets: std::slice::from_raw_parts(targets, tile.len),
                    samples: samples.map(|samples| std::slice::from_raw_parts(samples, tile.len)),
                    classes,
                }
            };
            total.add(isa.vectorize(kernel));
        }
        total
    })
}

/// A range of tiles.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    last: usize,
}

impl Block {
    fn tiles(self, plan: &JobPlan) -> impl Iterator<Item = Tile> {
        (self.first..self.last).map(|number| plan.tile(number))
    }
}

/// Blocks in order, their totals added in order.
fn over_blocks(
    plan: &JobPlan,
    mut go_on: impl FnMut() -> bool,
    work: impl Fn(Block) -> Total + Sync,
) -> Result<f64, Stop> {
    let blocks = plan.tiles().div_ceil(BLOCK);
    let mut total = Total::default();
    let mut first = 0;
    while first < blocks {
        if first > 0 && !go_on() {
            return Err(Stop::Interrupted);
        }
        let last = blocks.min(first + BLOCKS_BETWEEN_LOOKS);
        let block = |i: usize| work(Block { first: i * BLOCK, last: plan.tiles().min((i + 1) * BLOCK) });
        for part in pool::map(first..last, block).map_err(Stop::Failed)? {
            total.merge(part);
        }
        first = last;
    }
    Ok(total.value())
}

impl<R: Real> Job<R> {
    /// What multiplies each element of a tile in those of losses, gradient and Hessian that are computed.
    #[inline]
    fn factors(
        &self,
        isa: AnyIsa,
        targets: &[R],
        samples: &[f64],
        tiles: &mut [Buffer<R>; 3],
    ) -> [*const R; 3] {
        let computed = [self.value.is_some() || self.sum, self.grad.is_some(), self.hess.is_some()];
        let mut pointers = [std::ptr::null(); 3];
        for (i, tile) in tiles.iter_mut().enumerate().filter(|&(i, _)| computed[i]) {
            let factors = tile.as_mut_ptr();
            isa.vectorize(Factors { targets, samples, classes: self.classes[i], factors });
            pointers[i] = factors.cast_const();
        }
        pointers
    }

    /// Asks for the memory of a tile that comes next.
    fn prefetch(&self, tile: Tile) {
        let place = |operand| Place { plan: &self.plan, operand, tile };
        self.logits.prefetch(place(operand::LOGITS));
        self.targets.prefetch(place(operand::TARGETS));
        if let Some(weights) = &self.weights {
            weights.prefetch(place(operand::WEIGHTS));
        }
    }

    /// The outputs that there are, with their numbers.
    fn targets_to_fill(&self) -> impl Iterator<Item = (&Target<R>, usize)> {
        let all = [(&self.value, operand::VALUE), (&self.grad, operand::GRAD), (&self.hess, operand::HESS)];
        all.into_iter().filter_map(|(target, operand)| target.as_ref().map(|target| (target, operand)))
    }
}

/// # Safety
/// As [`run`], for the elements of the block.
unsafe fn run_block<R: Real>(isa: AnyIsa, job: &Job<R>, block: Block) -> Total {
    let mut inputs = [const { Buffer::new() }; 2];
    let mut factors = [const { Buffer::new() }; 3];
    let mut outputs = [const { Buffer::new() }; 3];
    let (mut samples, mut raw) = (Buffer::new(), Raw::new());
    let [logits, targets] = &mut inputs;
    let plan = &job.plan;
    let mut total = Total::default();
    for tile in block.tiles(plan) {
        let place = |operand| Place { plan, operand, tile };
        let [value, grad, hess] = &mut outputs;
        // The array's own memory, or a buffer if there is no array or it takes results in another form.
        let written = |target: &Option<Target<R>>, operand, buffer: &mut Buffer<R>| {
            let direct = target.and_then(|target| target.direct(place(operand)));
            direct.unwrap_or(buffer.as_mut_ptr())
        };
        // SAFETY: the caller vouches for the arrays wherever the plan has elements; buffers are private. All
        // inputs of a tile are read before an output is written.
        unsafe {
            let targets = job.targets.tile(isa, place(operand::TARGETS), targets, &mut raw);
            let weights = job.weights.map_or([std::ptr::null(); 3], |source| {
                let samples = source.tile(isa, place(operand::WEIGHTS), &mut samples, &mut raw);
                let samples = std::slice::from_raw_parts(samples, tile.len);
                job.factors(isa, std::slice::from_raw_parts(targets, tile.len), samples, &mut factors)
            });
            let operands = Operands {
                len: tile.len,
                logits: job.logits.tile(isa, place(operand::LOGITS), logits, &mut raw),
                targets,
                weights,
                gammas: [std::ptr::null(); 2],
                value: written(&job.value, operand::VALUE, value),
                grad: written(&job.grad, operand::GRAD, grad),
                hess: written(&job.hess, operand::HESS, hess),
            };
            if plan.has_rectangles() && tile.number + 1 < block.last {
                job.prefetch(plan.tile(tile.number + 1));
            }
            (job.kernel)(isa, &job.constants, &operands);
            if job.sum {
                total.add(isa.vectorize(TileSum(std::slice::from_raw_parts(operands.value, tile.len))));
            }
            let buffers = [value.as_mut_ptr(), grad.as_mut_ptr(), hess.as_mut_ptr()];
            for (target, operand) in job.targets_to_fill() {
                let buffer = buffers[operand - operand::VALUE];
                if target.direct(place(operand)).is_none() {
                    target.put(isa, place(operand), buffer, &mut raw);
                }
            }
        }
    }
    fence();
    total
}
