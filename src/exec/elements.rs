//! A loss whose elements stand for themselves: one logit, one target, one set of results an element.

use super::heads::Heads;
use super::labels::Labels;
use super::strips::Strips;
use super::weights::{self, Factors, OfLabels, Weights, Where};
use super::{BLOCKS, Block, JobPlan, Keeping, Stop, Sums, general, operand, over_blocks};
use crate::cache::{Ahead, LINE, last_level};
use crate::error::Error;
use crate::kernel::elementwise::{Constants, Operands, TileKernel};
use crate::kernel::prepare::{Kinds, kinds};
use crate::kernel::rows::RowReal;
use crate::kernel::soft::{SoftConstants, SoftKernel};
use crate::kernel::tile::{Buffer, Place, Raw, Source, TILE, Target};
use crate::layout::Tile;
use crate::loss::focal::Gamma;
use crate::simd::{AnyIsa, fence};

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
    pub heads_of_samples: Option<Heads>,
    /// Where class indices lie that they have in common.
    pub heads_of_targets: Option<Heads>,
    /// What to do with a tile of labels that are 0 or 1, whose elements differ in nothing else. None if each has a
    /// gamma of its own.
    pub kernel: Option<TileKernel<R>>,
    /// The same for elements with weights of their own, and gammas if there are any.
    pub weighted: TileKernel<R>,
    /// The focusing parameter, where elements have none of their own.
    pub gamma: Gamma<R>,
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
    over_blocks(&job.plan, BLOCKS, job.keeping, go_on, |block| unsafe { run_block(isa, job, block) })
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
    over_blocks(plan, BLOCKS, Keeping::Rounded, go_on, |block| {
        let mut raw = Raw::new();
        for tile in block.tiles(plan) {
            for &(target, operand) in outputs.all() {
                let Some(target) = target else { continue };
                // SAFETY: the caller vouches for the arrays; a tile has at most as many elements as `zeros`.
                unsafe { target.put(isa, Place { plan, operand, tile }, zeros.as_ptr(), &mut raw) };
            }
        }
        fence();
        Ok(Sums::new(Keeping::Rounded))
    })?;
    Ok(())
}

/// How the kernel for labels of 0 and 1 is called for a tile.
pub(super) struct Hard<R> {
    /// The kernel.
    pub kernel: TileKernel<R>,
    /// Its constants.
    pub constants: Constants<R>,
    /// Weights of labels of each element's own; null if there are none.
    pub weights: [[*const R; 2]; 3],
    /// Sample weights; null if there are none.
    pub samples: *const R,
}

/// Where losses, gradient and Hessian of tiles are written.
pub(super) struct Written<R> {
    /// Where each starts.
    pub start: [*mut R; 3],
    /// Whether that is an array's own memory.
    direct: [bool; 3],
}

impl<R: RowReal> Job<R> {
    /// Which of losses, gradient and Hessian are computed.
    #[inline]
    pub(super) fn computed(&self) -> [bool; 3] {
        [self.value.is_some() || self.sum, self.grad.is_some(), self.hess.is_some()]
    }

    /// Adds what to ask for of so many tiles from `next` on, while those before them are worked on.
    #[inline]
    pub(super) fn ask(&self, next: usize, tiles: usize, inputs: &Inputs<R>, ahead: &mut Ahead) {
        let end = self.plan.tiles().min(next + tiles);
        let Some(next) = self.plan.tiles_as_one(next, end).filter(|next| next.len > 0) else { return };
        let place = |operand| Place { plan: &self.plan, operand, tile: next };
        let beyond = self.plan.len() > last_level() / size_of::<R>();
        // No kernel asks for anything while weights are laid out: what comes from memory is asked for before.
        let early = beyond
            && match &inputs.weights {
                Weights::Sampled(samples, _) => {
                    self.heads_of_samples.is_some() || samples.own::<R, _>(place(operand::SAMPLES)).is_none()
                }
                Weights::All(_) | Weights::Lists(_) => false,
            };
        if beyond {
            self.prefetch_heads(next, inputs);
        }
        inputs.logits.ask(place(operand::LOGITS), early, ahead);
        match &inputs.labels {
            Labels::Dense(targets) => targets.ask(place(operand::TARGETS), early, ahead),
            Labels::Indices(indices) => indices.targets.ask(place(operand::TARGETS), early, ahead),
        }
        if let Weights::Sampled(samples, _) = &inputs.weights {
            samples.ask(place(operand::SAMPLES), early, ahead);
        }
        for (target, operand) in self.outputs() {
            if let Some(target) = target {
                target.ask(place(operand), ahead);
            }
        }
    }

    /// Asks for what rows of tiles that come next have in common: too few for the processor to foresee.
    #[inline]
    fn prefetch_heads(&self, next: Tile, inputs: &Inputs<R>) {
        if let (Weights::Sampled(samples, _), Some(heads)) = (&inputs.weights, &self.heads_of_samples) {
            samples.prefetch_run(heads.of(&self.plan, next).0);
        }
        if let (Labels::Indices(indices), Some(heads)) = (&inputs.labels, &self.heads_of_targets) {
            indices.targets.prefetch_run(heads.of(&self.plan, next).0);
        }
    }

    /// Asks for the memory of a tile that comes next.
    fn prefetch(&self, tile: Tile) {
        let place = |operand| Place { plan: &self.plan, operand, tile };
        self.inputs.logits.prefetch(place(operand::LOGITS));
        match &self.inputs.labels {
            Labels::Dense(targets) => targets.prefetch(place(operand::TARGETS)),
            Labels::Indices(indices) => indices.targets.prefetch(place(operand::TARGETS)),
        }
        if let Weights::Sampled(samples, _) = &self.inputs.weights {
            samples.prefetch(place(operand::SAMPLES));
        }
        for (target, operand) in self.outputs() {
            if let Some(target) = target {
                target.prefetch(place(operand));
            }
        }
    }

    /// Which kernels the labels of a tile need: those for other labels than 0 and 1 if it takes them for all.
    #[inline]
    pub(super) fn kinds(&self, isa: AnyIsa, labels: &[R]) -> Kinds {
        match self.soft {
            None => Kinds::Hard,
            Some(soft) if soft.always => Kinds::Soft,
            Some(_) => kinds(isa, labels),
        }
    }

    /// Where weights of tiles are needed, those of samples apart from those of labels or not.
    #[inline]
    pub(super) fn weigh(&self, tile: Tile, apart: bool) -> Where<'_> {
        let heads = self.heads_of_samples.as_ref();
        Where { plan: &self.plan, tile, computed: self.computed(), heads, apart }
    }

    /// How the kernel for labels of 0 and 1 is called with these weights: a class without weight needs the kernel that
    /// knows what 0 times an infinite loss is, and so do weights of each element's own.
    #[inline]
    pub(super) fn hard(&self, Factors { labels, samples }: Factors<R>) -> Hard<R> {
        let (numbers, weights) = match labels {
            OfLabels::All(numbers) => (numbers, [[std::ptr::null(); 2]; 3]),
            OfLabels::Each(lists) => ([[R::ZERO; 2]; 3], lists),
        };
        let plain = samples.is_null()
            && matches!(labels, OfLabels::All([of_losses, ..]) if !of_losses.contains(&R::ZERO));
        let kernel = self.kernel.filter(|_| plain).unwrap_or(self.weighted);
        let constants = Constants { gamma: self.gamma, weights: numbers };
        Hard { kernel, constants, weights, samples }
    }

    /// Where the kernel writes tiles: the arrays' own memory, or a buffer each where there is no array or it takes
    /// results in another form.
    #[inline]
    pub(super) fn written(&self, tile: Tile, buffers: [*mut R; 3]) -> Written<R> {
        let mut written = Written { start: buffers, direct: [false; 3] };
        for (i, (target, operand)) in self.outputs().into_iter().enumerate() {
            let place = Place { plan: &self.plan, operand, tile };
            if let Some(run) = target.and_then(|target| target.direct(place)) {
                (written.start[i], written.direct[i]) = (run, true);
            }
        }
        written
    }

    /// Lets the kernel write tiles past the caches, if all results that are wanted for themselves can go that way, and
    /// says whether it does. No result must be an input: where the kernel stops, some may be computed once more.
    #[inline]
    pub(super) fn stream(&self, tile: Tile, written: &mut Written<R>) -> bool {
        let (first, last) = if self.grad.is_some() || self.hess.is_some() { (1, 2) } else { (0, 0) };
        let mut start = written.start;
        let mut line = None;
        for (i, (target, operand)) in self.outputs().into_iter().enumerate().take(last + 1).skip(first) {
            let Some(target) = target else { continue };
            let Some(run) = target.streaming(Place { plan: &self.plan, operand, tile }) else { return false };
            let beyond = run.addr() % LINE;
            if *line.get_or_insert(beyond) != beyond {
                return false;
            }
            start[i] = run;
        }
        let streams = line.is_some() && !self.outputs().iter().any(|(target, _)| self.reads(target));
        if streams {
            written.start = start;
            written.direct[first..=last].fill(true);
        }
        streams
    }

    /// Whether an output is an input.
    fn reads(&self, target: &Option<Target<R>>) -> bool {
        let Inputs { logits, labels, weights, .. } = &self.inputs;
        target.is_some_and(|target| {
            target.is(logits)
                || matches!(labels, Labels::Dense(labels) if target.is(labels))
                || matches!(weights, Weights::Sampled(samples, _) if target.is(samples))
        })
    }

    /// Brings what was written to buffers to where it belongs.
    ///
    /// # Safety
    /// The tiles must have been written, `raw` have room for their elements of the largest type, and the arrays be
    /// writeable wherever the plan says that they have elements.
    #[inline]
    pub(super) unsafe fn put(&self, isa: AnyIsa, tile: Tile, written: &Written<R>, raw: *mut u64) {
        for (i, (target, operand)) in self.outputs().into_iter().enumerate() {
            if let Some(target) = target.filter(|_| !written.direct[i] && tile.len > 0) {
                let place = Place { plan: &self.plan, operand, tile };
                // SAFETY: handed through from the caller.
                unsafe { target.put_strip(isa, place, written.start[i], raw) };
            }
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
    weights: weights::Memory<R>,
    raw: Raw,
}

impl<R> Scratch<R> {
    #[inline]
    const fn new() -> Self {
        Self {
            logits: Buffer::new(),
            targets: Buffer::new(),
            weights: weights::Memory::new(),
            raw: Raw::new(),
        }
    }
}

/// # Safety
/// As [`run`], for the elements of the block.
unsafe fn run_block<R: RowReal>(isa: AnyIsa, job: &Job<R>, block: Block) -> Result<Sums, Error> {
    // SAFETY: handed through from the caller.
    Strips::with(job, |strips| unsafe { run_tiles(isa, job, block, strips) })
}

/// # Safety
/// As [`run_block`].
unsafe fn run_tiles<R: RowReal>(isa: AnyIsa, job: &Job<R>, block: Block, strips: &mut Strips<R>) -> Sums {
    let plan = &job.plan;
    let mut sums = Sums::new(job.keeping);
    let mut next = block.first;
    while next < block.last {
        // SAFETY: handed through from the caller.
        let done = unsafe { strips.run(isa, job, Block { first: next, ..block }, &mut sums) };
        if done > 0 {
            next += done;
            continue;
        }
        let tile = plan.tile(next);
        next += 1;
        let written = job.written(tile, strips.outputs);
        if plan.has_rectangles() && next < block.last {
            job.prefetch(plan.tile(next));
        }
        // SAFETY: the caller vouches for the arrays wherever the plan has elements; the strips' memory is private.
        unsafe {
            run_tile(isa, job, &job.inputs, tile, written.start, &mut sums);
            if job.sum {
                sums.value.add(isa, std::slice::from_raw_parts(written.start[0], tile.len));
            }
            job.put(isa, tile, &written, strips.raw);
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
    let mut known = None;
    let place = |operand| Place { plan: &job.plan, operand, tile };
    // SAFETY: handed through from the caller. An output that is an input is so element by element.
    unsafe {
        if let Inputs { labels: Labels::Dense(source), ignored: None, gammas: None, .. } = inputs {
            let Scratch { logits, targets, weights: memory, raw } = &mut scratch;
            let labels = source.tile(isa, place(operand::TARGETS), targets, raw);
            let labels = std::slice::from_raw_parts(labels, tile.len);
            let kinds = job.kinds(isa, labels);
            if kinds == Kinds::Hard {
                let at = job.weigh(tile, true);
                let Hard { kernel, constants, weights, samples } =
                    job.hard(inputs.weights.of_tile(isa, at, memory.room(), raw));
                let mut ahead = Ahead::default();
                job.ask(tile.number + 1, 1, inputs, &mut ahead);
                let [value, grad, hess] = written;
                let operands = Operands {
                    len: tile.len,
                    logits: inputs.logits.tile(isa, place(operand::LOGITS), logits, raw),
                    targets: labels.as_ptr(),
                    weights,
                    samples,
                    gammas: [std::ptr::null(); 2],
                    value,
                    grad,
                    hess,
                    ahead: if ahead.is_empty() { std::ptr::null() } else { &raw const ahead },
                    stops: false,
                    streams: false,
                };
                kernel(isa, &constants, &operands);
                return;
            }
            known = Some((labels, kinds));
        }
        general::run(isa, job, inputs, tile, known, written, sums);
    }
}
