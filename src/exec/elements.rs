//! A loss whose elements stand for themselves: one logit, one target, one set of results an element.

use super::weights::{self, Fetched};
use super::{BLOCK, Block, JobPlan, Keeping, Stop, Sums, general, operand, over_blocks};
use crate::kernel::elementwise::{Constants, Operands, TileKernel};
use crate::kernel::prepare::are_hard;
use crate::kernel::rows::RowReal;
use crate::kernel::soft::{SoftConstants, SoftKernel};
use crate::kernel::tile::{Buffer, Place, Raw, Source, TILE, Target};
use crate::layout::Tile;
use crate::simd::{AnyIsa, fence};

/// Where the labels of elements come from.
#[derive(Clone, Copy, Debug)]
pub enum Labels<R> {
    /// Each element has its own.
    Dense(Source<R>),
    /// They are 1 where the target is the element's class, else 0.
    Indices {
        /// The class of each target.
        targets: Source<f64>,
        /// The class of each element; NaN if no target can be it.
        classes: Source<f64>,
    },
}

/// What the weights of positives are multiplied with in losses, gradient and Hessian: the margin of a positive grows
/// with its logit, that of a negative falls.
pub(super) const SIGNS: [f64; 3] = [1.0, -1.0, 1.0];

/// Kernels for labels that may be other than 0 and 1, and for probabilities.
#[derive(Clone, Copy, Debug)]
pub struct Soft<R> {
    /// What to do with a tile.
    pub kernel: SoftKernel<R>,
    /// Its constants.
    pub constants: SoftConstants<R>,
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
    /// Targets, and the one whose elements do not count.
    pub ignored: Option<(Source<f64>, f64)>,
    /// Sample weights.
    pub samples: Option<Source<f64>>,
    /// What multiplies losses, gradient and Hessian of negatives and of positives: numbers, or lists by class.
    pub weights: [[Source<f64>; 2]; 3],
    /// A gamma for each class, in two parts.
    pub gammas: Option<[Source<R>; 2]>,
}

/// An elementwise call in plain numbers and pointers.
#[derive(Clone, Debug)]
pub struct Job<R> {
    /// Where everything lies, cut into tiles of [`TILE`] elements.
    pub plan: JobPlan,
    /// What goes in.
    pub inputs: Inputs<R>,
    /// What to do with a tile of labels that are 0 or 1.
    pub kernel: TileKernel<R>,
    /// Its constants.
    pub constants: Constants<R>,
    /// Whether that kernel takes a weight for each element.
    pub weighted: bool,
    /// What to do with other tiles; none makes other labels NaN.
    pub soft: Option<Soft<R>>,
    /// Where the losses go.
    pub value: Option<Target<R>>,
    /// Where the gradient goes.
    pub grad: Option<Target<R>>,
    /// Where the Hessian goes.
    pub hess: Option<Target<R>>,
    /// Whether the losses are added up.
    pub sum: bool,
    /// How sums are kept.
    pub keeping: Keeping,
    /// Whether the modulating factors are added up. Takes a soft kernel for all tiles.
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
    over_blocks(&job.plan, BLOCK, job.keeping, go_on, |block| unsafe { run_block(isa, job, block) })
}

/// Fills the outputs of a job with zeros.
///
/// # Errors
/// As [`run`].
///
/// # Safety
/// As [`run`].
pub unsafe fn zero<R: RowReal>(isa: AnyIsa, job: &Job<R>, go_on: impl FnMut() -> bool) -> Result<(), Stop> {
    let outputs = [(job.value, operand::VALUE), (job.grad, operand::GRAD), (job.hess, operand::HESS)];
    // SAFETY: handed through from the caller.
    unsafe { zero_outputs(isa, &job.plan, &outputs, go_on) }
}

/// Fills outputs with zeros, wherever the plan says that those operands have elements.
///
/// # Errors
/// As [`run`].
///
/// # Safety
/// As [`run`].
pub unsafe fn zero_outputs<R: RowReal>(
    isa: AnyIsa,
    plan: &JobPlan,
    outputs: &[(Option<Target<R>>, usize)],
    go_on: impl FnMut() -> bool,
) -> Result<(), Stop> {
    /// Pointers that blocks may share.
    struct Outputs<'a, R>(&'a [(Option<Target<R>>, usize)]);
    // SAFETY: blocks write disjoint parts of the memory.
    unsafe impl<R: Sync> Sync for Outputs<'_, R> {}
    impl<R> Outputs<'_, R> {
        fn all(&self) -> &[(Option<Target<R>>, usize)] {
            self.0
        }
    }
    let zeros = [R::ZERO; TILE];
    let outputs = Outputs(outputs);
    over_blocks(plan, BLOCK, Keeping::Rounded, go_on, |block| {
        let mut raw = Raw::new();
        for tile in block.tiles(plan) {
            for &(target, operand) in outputs.all() {
                let Some(target) = target else { continue };
                // SAFETY: the caller vouches for the arrays; a tile has at most as many elements as `zeros`.
                unsafe { target.put(isa, Place { plan, operand, tile }, zeros.as_ptr(), &mut raw) };
            }
        }
        fence();
        Sums::new(Keeping::Rounded)
    })?;
    Ok(())
}

impl<R: RowReal> Inputs<R> {
    /// The labels and the weights of both, if elements differ in nothing else.
    #[inline]
    fn plain(&self) -> Option<(&Source<R>, [[f64; 2]; 3])> {
        let Self { ref labels, ignored: None, gammas: None, ref weights, .. } = *self else {
            return None;
        };
        let Labels::Dense(targets) = labels else { return None };
        let mut numbers = [[0.0; 2]; 3];
        for (pair, sources) in numbers.iter_mut().zip(weights) {
            let [Source::Constant(negative), Source::Constant(positive)] = *sources else { return None };
            *pair = [negative, positive];
        }
        Some((targets, numbers))
    }
}

impl<R: RowReal> Job<R> {
    /// Which of losses, gradient and Hessian are computed.
    #[inline]
    pub(super) fn computed(&self) -> [bool; 3] {
        [self.value.is_some() || self.sum, self.grad.is_some(), self.hess.is_some()]
    }

    /// Asks for the memory of a tile that comes next.
    fn prefetch(&self, tile: Tile) {
        let place = |operand| Place { plan: &self.plan, operand, tile };
        self.inputs.logits.prefetch(place(operand::LOGITS));
        match &self.inputs.labels {
            Labels::Dense(targets) => targets.prefetch(place(operand::TARGETS)),
            Labels::Indices { targets, .. } => targets.prefetch(place(operand::TARGETS)),
        }
        if let Some(samples) = &self.inputs.samples {
            samples.prefetch(place(operand::SAMPLES));
        }
    }

    /// Where the outputs go, in the order of losses, gradient and Hessian, with their numbers.
    fn outputs(&self) -> [(&Option<Target<R>>, usize); 3] {
        [(&self.value, operand::VALUE), (&self.grad, operand::GRAD), (&self.hess, operand::HESS)]
    }
}

/// Memory for the inputs of a tile of hard labels.
struct Scratch<R> {
    logits: Buffer<R>,
    targets: Buffer<R>,
    weights: [Buffer<R>; 3],
    samples: [Buffer<f64>; 1],
    raw: Raw,
}

impl<R> Scratch<R> {
    #[inline]
    const fn new() -> Self {
        Self {
            logits: Buffer::new(),
            targets: Buffer::new(),
            weights: [const { Buffer::new() }; 3],
            samples: [Buffer::new()],
            raw: Raw::new(),
        }
    }
}

/// # Safety
/// As [`run`], for the elements of the block.
unsafe fn run_block<R: RowReal>(isa: AnyIsa, job: &Job<R>, block: Block) -> Sums {
    let mut outputs = [const { Buffer::new() }; 3];
    let mut raw = Raw::new();
    let plan = &job.plan;
    let mut sums = Sums::new(job.keeping);
    for tile in block.tiles(plan) {
        let place = |operand| Place { plan, operand, tile };
        // The array's own memory, or a buffer if there is no array or it takes results in another form.
        let mut written = [std::ptr::null_mut(); 3];
        for ((pointer, buffer), (target, operand)) in written.iter_mut().zip(&mut outputs).zip(job.outputs())
        {
            let direct = target.and_then(|target| target.direct(place(operand)));
            *pointer = direct.unwrap_or(buffer.as_mut_ptr());
        }
        if plan.has_rectangles() && tile.number + 1 < block.last {
            job.prefetch(plan.tile(tile.number + 1));
        }
        // SAFETY: the caller vouches for the arrays wherever the plan has elements; buffers are private.
        unsafe {
            run_tile(isa, job, &job.inputs, tile, written, &mut sums);
            if job.sum {
                sums.value.add(isa, std::slice::from_raw_parts(written[0], tile.len));
            }
            for ((target, operand), buffer) in job.outputs().into_iter().zip(&mut outputs) {
                if let Some(target) = target
                    && target.direct(place(operand)).is_none()
                {
                    target.put(isa, place(operand), buffer.as_mut_ptr(), &mut raw);
                }
            }
        }
    }
    fence();
    sums
}

/// Runs a tile; `written` is where losses, gradient and Hessian go, each a tile long.
///
/// # Safety
/// As [`run`], for the elements of the tile and these inputs.
#[inline]
pub(super) unsafe fn run_tile<R: RowReal>(
    isa: AnyIsa,
    job: &Job<R>,
    inputs: &Inputs<R>,
    tile: Tile,
    written: [*mut R; 3],
    sums: &mut Sums,
) {
    let mut scratch = Scratch::<R>::new();
    let place = |operand| Place { plan: &job.plan, operand, tile };
    // SAFETY: handed through from the caller. All inputs are read before an output is written.
    unsafe {
        if let Some((source, numbers)) = inputs.plain() {
            let Scratch { logits, targets, weights: tiles, samples, raw } = &mut scratch;
            let labels = source.tile(isa, place(operand::TARGETS), targets, raw);
            let labels = std::slice::from_raw_parts(labels, tile.len);
            if job.soft.is_none_or(|soft| !soft.always && are_hard(isa, labels)) {
                let mut factors = [std::ptr::null(); 3];
                if let Some(source) = inputs.samples.filter(|_| job.weighted) {
                    let samples = weights::fetch(isa, &[source], place(operand::SAMPLES), samples, raw);
                    for (i, tile) in tiles.iter_mut().enumerate().filter(|&(i, _)| job.computed()[i]) {
                        let classes = Fetched::All(numbers[i]);
                        factors[i] = weights::of_labels(isa, labels, samples, classes, SIGNS[i], tile);
                    }
                }
                let [value, grad, hess] = written;
                let operands = Operands {
                    len: tile.len,
                    logits: inputs.logits.tile(isa, place(operand::LOGITS), logits, raw),
                    targets: labels.as_ptr(),
                    weights: factors,
                    gammas: [std::ptr::null(); 2],
                    value,
                    grad,
                    hess,
                };
                return (job.kernel)(isa, &job.constants, &operands);
            }
        }
        general::run(isa, job, inputs, tile, written, sums);
    }
}
