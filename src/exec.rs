//! From whole arrays to tiles and back: blocks of a fixed size, cut by element number.

use crate::error::Error;
use crate::kernel::elementwise::{Constants, Operands, TileKernel};
use crate::kernel::reduce::{TileSum, TileWeights, Total};
use crate::kernel::tile::{Buffer, Source, TILE};
use crate::pool;
use crate::real::Real;
use crate::simd::{AnyIsa, stream};

/// Elements in a block, the unit of work of a thread. Up to one block runs on the calling thread: to
/// wake another would take longer.
pub const BLOCK: usize = 32 * TILE;

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

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Target<R> {
    /// The first element.
    pub array: *mut R,
    /// Whether the array is too large for the caches, so that it is written past them.
    pub streamed: bool,
}

/// An elementwise call in plain numbers and pointers.
#[derive(Clone, Copy, Debug)]
pub struct Job<R> {
    /// Number of elements.
    pub len: usize,
    /// Logits.
    pub logits: Source<R>,
    /// Targets.
    pub targets: Source<R>,
    /// Sample weights.
    pub weights: Option<Source<R>>,
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

// SAFETY: the pointers are only followed by `run` and `sum_weights`, whose callers vouch for the
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
/// All arrays must be valid for `len` elements and aligned to their types. An output must either be
/// exactly an input (same memory, same type) or share no memory with any other array. No other thread
/// may write to the inputs, or touch the outputs, meanwhile.
pub unsafe fn run<R: Real>(isa: AnyIsa, job: &Job<R>, go_on: impl FnMut() -> bool) -> Result<f64, Stop> {
    // SAFETY: handed through from the caller.
    over_blocks(job.len, go_on, |start, end| unsafe { run_block(isa, job, start, end) })
}

/// The sum of the weights that targets and samples give all elements, `classes` being those of
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
    go_on: impl FnMut() -> bool,
) -> Result<f64, Stop> {
    over_blocks(job.len, go_on, |start, end| {
        let (mut targets, mut samples) = (Buffer::new(), Buffer::new());
        let mut total = Total::default();
        for (at, len) in tiles(start, end) {
            // SAFETY: the tile lies within the arrays, for which the caller vouches.
            let kernel = unsafe {
                let targets = job.targets.tile(isa, at, len, &mut targets);
                let samples = job.weights.map(|weights| weights.tile(isa, at, len, &mut samples));
                TileWeights {
                    targets: std::slice::from_raw_parts(targets, len),
                    samples: samples.map(|samples| std::slice::from_raw_parts(samples, len)),
                    classes,
                }
            };
            total.add(isa.vectorize(kernel));
        }
        total
    })
}

/// Blocks in order, their totals added in order.
fn over_blocks(
    len: usize,
    mut go_on: impl FnMut() -> bool,
    work: impl Fn(usize, usize) -> Total + Sync,
) -> Result<f64, Stop> {
    let blocks = len.div_ceil(BLOCK);
    let mut total = Total::default();
    let mut first = 0;
    while first < blocks {
        if first > 0 && !go_on() {
            return Err(Stop::Interrupted);
        }
        let last = blocks.min(first + BLOCKS_BETWEEN_LOOKS);
        let block = |i: usize| work(i * BLOCK, len.min((i + 1) * BLOCK));
        for part in pool::map(first..last, block).map_err(Stop::Failed)? {
            total.merge(part);
        }
        first = last;
    }
    Ok(total.value())
}

/// The tiles of a block as (start, length).
fn tiles(start: usize, end: usize) -> impl Iterator<Item = (usize, usize)> {
    (start..end).step_by(TILE).map(move |at| (at, TILE.min(end - at)))
}

/// # Safety
/// As [`run`], for the elements from `start` to `end`.
unsafe fn run_block<R: Real>(isa: AnyIsa, job: &Job<R>, start: usize, end: usize) -> Total {
    let mut inputs = [const { Buffer::new() }; 3];
    let mut outputs = [const { Buffer::new() }; 3];
    let [logits, targets, weights] = &mut inputs;
    let [value, grad, hess] = &mut outputs;
    let mut total = Total::default();
    for (at, len) in tiles(start, end) {
        // SAFETY: the tile lies within the arrays, for which the caller vouches; buffers are private.
        unsafe {
            let operands = Operands {
                len,
                logits: job.logits.tile(isa, at, len, logits),
                targets: job.targets.tile(isa, at, len, targets),
                weights: job.weights.map_or(std::ptr::null(), |source| source.tile(isa, at, len, weights)),
                value: destination(job.value, at, value),
                grad: destination(job.grad, at, grad),
                hess: destination(job.hess, at, hess),
            };
            (job.kernel)(isa, &job.constants, &operands);
            if job.sum {
                total.add(isa.vectorize(TileSum(std::slice::from_raw_parts(operands.value, len))));
            }
            let written = [(job.value, operands.value), (job.grad, operands.grad), (job.hess, operands.hess)];
            for (target, tile) in written {
                if let Some(target) = target.filter(|target| target.streamed) {
                    stream(tile, target.array.add(at), len);
                }
            }
        }
    }
    total
}

/// Where the kernel writes the tile from `at` on: the array, or the buffer if there is no array or it
/// is to be streamed.
fn destination<R>(target: Option<Target<R>>, at: usize, buffer: &mut Buffer<R>) -> *mut R {
    match target {
        Some(Target { array, streamed: false }) => array.wrapping_add(at),
        _ => buffer.as_mut_ptr(),
    }
}
