//! A loss whose elements are rows of classes: one target, one loss a row, one gradient and one Hessian a logit.
//!
//! The plan is one of positions, the class axis left out. Rows whose logits and results lie as the kernel takes
//! them are used where they are; others go through scratch memory, a few thousand logits at a time.

use std::cell::RefCell;
use std::collections::TryReserveError;
use std::thread::LocalKey;

use super::{Block, Cut, JobPlan, Keeping, Stop, Sums, operand, over_blocks};
use crate::element::{DType, Narrow, Widen};
use crate::error::Error;
use crate::kernel::grid::{self, Grid};
use crate::kernel::prepare::{clear, mark};
use crate::kernel::row_weights::{Others, products};
use crate::kernel::rows::posterior::RowScratch;
use crate::kernel::rows::{Constants, DenseOperands, Matrix, Operands, RowReal, Scratch};
use crate::kernel::tile::{Buffer, Place, Raw, Source, TILE, Target};
use crate::layout::{Run, Tile};
use crate::loss::focal::Gamma;
use crate::pool;
use crate::real::Real;
use crate::simd::{AnyIsa, fence};

/// Logits in a tile, so long as a row has not more; rows in a tile at most.
const LOGITS: usize = 8192;
const ROWS: usize = 256;
const _: () = assert!(ROWS <= TILE);

/// Logits in a block, so long as a tile has not more.
const BLOCK_LOGITS: usize = 1 << 16;

/// Rows in a tile of a plan.
pub fn tile_rows(classes: usize) -> usize {
    (LOGITS / classes.max(1)).clamp(1, ROWS)
}

/// Logits between two looks at whether to go on.
const LOOK_LOGITS: usize = 1 << 25;

/// How tiles are cut into blocks.
pub(super) fn cut(classes: usize) -> Cut {
    let logits = tile_rows(classes) * classes.max(1);
    let tiles = (BLOCK_LOGITS / logits).max(1);
    Cut { tiles, each: 1, between_looks: LOOK_LOGITS / (tiles * logits) }
}

/// An array with a class axis, which the plan leaves out.
#[derive(Clone, Copy, Debug)]
pub struct RowArray {
    /// The first element.
    pub data: *mut u8,
    /// Its type.
    pub dtype: DType,
    /// Bytes from a class to the next.
    pub class_stride: isize,
}

/// What the targets of rows are.
#[derive(Clone, Copy, Debug)]
pub enum RowTargets {
    /// Class indices, and the one that does not count.
    Indices(Source<f64>, Option<f64>),
    /// A target for each class.
    Dense(RowArray),
}

/// What a target's class brings.
#[derive(Clone, Debug)]
pub struct ByClass<R> {
    /// What multiplies losses, gradient and Hessian of rows with that target.
    pub weights: [Vec<f64>; 3],
    /// Their gamma.
    pub gammas: Vec<Gamma<R>>,
}

/// What differs by class where every class of a row has a target of its own; empty lists if nothing does.
#[derive(Clone, Debug)]
pub struct DenseClasses<R> {
    /// What targets are multiplied with, and what is added to the product: label smoothing.
    pub smoothing: [R; 2],
    /// The weight of each class.
    pub alphas: Vec<R>,
    /// The parts of each class' gamma.
    pub gammas: [Vec<R>; 3],
    /// Whether the Hessian is the upper bound.
    pub upper: bool,
}

/// What to do with rows.
#[derive(Clone, Debug)]
pub struct Formula<R> {
    /// What it computes ([`output`](crate::kernel::output)).
    pub outputs: u8,
    /// What is the same for every row.
    pub constants: Constants<R>,
    /// For probabilities: the bounds that they are clipped to, if they are.
    pub probabilities: Option<Option<[R; 2]>>,
    /// For targets of every class, given so or made from class indices.
    pub dense: Option<DenseClasses<R>>,
}

/// A call on rows in plain numbers and pointers.
#[derive(Clone, Debug)]
pub struct Job<R> {
    /// Where everything lies, cut into tiles of [`tile_rows`] rows.
    pub plan: JobPlan,
    /// Number of classes.
    pub classes: usize,
    /// What to do with a run of rows.
    pub formula: Formula<R>,
    /// Logits.
    pub logits: RowArray,
    /// Targets.
    pub targets: RowTargets,
    /// Sample weights.
    pub samples: Option<Source<f64>>,
    /// What multiplies losses, gradient and Hessian of all rows.
    pub weights: [f64; 3],
    /// What differs by the target's class.
    pub by_class: Option<ByClass<R>>,
    /// Where the losses go.
    pub value: Option<Target<R>>,
    /// Where the gradient goes.
    pub grad: Option<RowArray>,
    /// Where the Hessian goes.
    pub hess: Option<RowArray>,
    /// Whether gradient and Hessian are too large for the caches.
    pub streamed: bool,
    /// Whether the losses are added up.
    pub sum: bool,
    /// How sums are kept.
    pub keeping: Keeping,
    /// Whether the modulating factors are added up.
    pub sum_factors: bool,
}

// SAFETY: the pointers are only followed by functions whose callers vouch for the memory behind them; blocks
// write disjoint parts of it.
unsafe impl<R: Send> Send for Job<R> {}
// SAFETY: as above.
unsafe impl<R: Sync> Sync for Job<R> {}

/// A type with kernels for rows, and with memory that each thread keeps for them.
pub trait PerThread: RowReal {
    /// The memory of the calling thread.
    fn memory() -> &'static LocalKey<RefCell<Memory<Self>>>;
}

macro_rules! per_thread {
    ($($real:ty),+) => {$(
        impl PerThread for $real {
            fn memory() -> &'static LocalKey<RefCell<Memory<Self>>> {
                thread_local! {
                    static MEMORY: RefCell<Memory<$real>> = RefCell::new(Memory::new());
                }
                &MEMORY
            }
        }
    )+};
}
per_thread!(f32, f64);

/// Runs a job and returns its sums (0 unless asked for).
///
/// # Errors
/// If it was stopped, or the threads could not be started.
///
/// # Safety
/// All arrays must be valid wherever the plan says that they have rows, for every class. An output must either be
/// exactly an input (same memory, type and strides) or share no memory with any other array, and its elements
/// must not meet each other. No other thread may write to the inputs, or touch the outputs, meanwhile.
pub unsafe fn run<R: PerThread>(
    isa: AnyIsa,
    job: &Job<R>,
    go_on: impl FnMut() -> bool,
) -> Result<Sums, Stop> {
    over_blocks(&job.plan, cut(job.classes), job.keeping, go_on, |block| {
        R::memory().with_borrow_mut(|memory| {
            memory.prepare(job.classes)?;
            // SAFETY: handed through from the caller.
            let sums = unsafe { run_block(isa, job, block, memory) };
            memory.shrink();
            Ok(sums)
        })
    })
}

/// Memory for rows that do not lie as the kernel takes them, and for what belongs to whole rows.
pub struct Memory<R> {
    scratch: Scratch<R>,
    /// Classes of rows for which everything has been taken.
    taken: usize,
    /// Bytes that there were when they were last looked for, for what may be asked for now.
    looked_for: usize,
    /// Logits, dense targets, gradient and Hessian.
    pub(super) matrices: [Vec<R>; 4],
    pub(super) raw: Vec<u64>,
    /// For posteriors.
    pub(super) posterior: RowScratch<R>,
}

impl<R: RowReal> Memory<R> {
    fn new() -> Self {
        let posterior = RowScratch::new();
        let matrices = [const { Vec::new() }; 4];
        Self { scratch: Scratch::new(), taken: 0, looked_for: 0, matrices, raw: Vec::new(), posterior }
    }

    /// Takes what rows of so many classes may need: what is asked for later, and cannot be had, would end the process. What
    /// long rows need is only looked for, for all threads, which may ask at the same time.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(super) fn prepare(&mut self, classes: usize) -> Result<(), Error> {
        /// Classes whose tiles are small enough to be kept, whatever is computed.
        const FEW: usize = 2048;
        /// Numbers that belong to a batch of rows, and small tiles.
        const FIXED: usize = 2 << 20;
        /// Rows in all tiles, where these are long.
        const IN_TILES: usize = 128;
        let few = classes.clamp(1, FEW);
        if few > self.taken {
            self.take(few).map_err(|_| Error::NO_MEMORY)?;
            self.taken = few;
        }
        let each = self.matrices.len() * size_of::<R>() + size_of::<u64>();
        let tiles = IN_TILES * size_of::<R>() * classes.min(R::CHUNK);
        let bytes = FIXED + tiles + each * classes;
        if classes > FEW && bytes > self.looked_for {
            if !pool::there_is(bytes.saturating_mul(pool::threads_in_use())) {
                return Err(Error::NO_MEMORY);
            }
            self.looked_for = bytes;
        }
        Ok(())
    }

    /// Makes room for all that tiles of so many classes may need, whatever is computed.
    fn take(&mut self, classes: usize) -> Result<(), TryReserveError> {
        self.scratch.reserve(classes)?;
        self.posterior.reserve(classes)?;
        let len = classes.max(LOGITS);
        for matrix in &mut self.matrices {
            matrix.try_reserve_exact(len.saturating_sub(matrix.len()))?;
        }
        self.raw.try_reserve_exact(len.saturating_sub(self.raw.len()))
    }

    /// Gives back what only very long rows need.
    pub(super) fn shrink(&mut self) {
        const KEPT: usize = 1 << 16;
        let has_more = self.matrices.iter().any(|matrix| matrix.capacity() > KEPT);
        if has_more || self.raw.capacity() > KEPT || self.posterior.capacity() > 4 * KEPT {
            (self.taken, self.looked_for) = (0, 0);
        }
        if self.posterior.capacity() > 4 * KEPT {
            self.posterior = RowScratch::new();
        }
        self.matrices
            .iter_mut()
            .filter(|matrix| matrix.capacity() > KEPT)
            .for_each(|matrix| *matrix = Vec::new());
        if self.raw.capacity() > KEPT {
            self.raw = Vec::new();
        }
    }
}

/// What belongs to the rows of a tile.
struct Rows<R> {
    /// Class indices as the kernel takes them: where they lie in the call's array, or else in `numbers`.
    targets: *const i64,
    numbers: [i64; ROWS],
    ignored: [bool; TILE],
    weights: [[R; ROWS]; 3],
    gammas: [[R; ROWS]; 3],
    value: [R; ROWS],
    factor: [R; ROWS],
}

/// # Safety
/// As [`run`], for the rows of the block.
unsafe fn run_block<R: RowReal>(isa: AnyIsa, job: &Job<R>, block: Block, memory: &mut Memory<R>) -> Sums {
    let (mut numbers, mut samples, mut raw) = (Buffer::new(), Buffer::new(), Raw::new());
    let mut rows = Rows {
        targets: std::ptr::null(),
        numbers: [0; ROWS],
        ignored: [false; TILE],
        weights: [[R::ZERO; ROWS]; 3],
        gammas: [[R::ZERO; ROWS]; 3],
        value: [R::ZERO; ROWS],
        factor: [R::ZERO; ROWS],
    };
    let mut sums = Sums::new(job.keeping);
    for tile in block.tiles(&job.plan) {
        let place = |operand| Place { plan: &job.plan, operand, tile };
        // SAFETY: the caller vouches for the arrays; a tile has `len` rows. All inputs of a row are read before
        // an output is written.
        unsafe {
            if let RowTargets::Indices(source, ignored) = &job.targets {
                rows.targets = match source.own_indices(place(operand::TARGETS)) {
                    Some(targets) if job.takes_indices(*ignored) => targets,
                    _ => {
                        let targets = source.tile(isa, place(operand::TARGETS), &mut numbers, &mut raw);
                        rows.take_targets(isa, std::slice::from_raw_parts(targets, tile.len), *ignored)
                    }
                };
            }
            let samples = job.samples.map(|source| {
                let samples = source.tile(isa, place(operand::SAMPLES), &mut samples, &mut raw);
                std::slice::from_raw_parts(samples, tile.len)
            });
            if job.weighs_rows() {
                rows.weigh(isa, job, samples, tile.len);
            }
            job.plan.runs(tile, |run| job.run_rows(isa, &run, &mut rows, memory));
            if let RowTargets::Indices(_, Some(_)) = job.targets
                && rows.targets == rows.numbers.as_ptr()
            {
                clear(isa, &mut rows.value[..tile.len], &rows.ignored);
                clear(isa, &mut rows.factor[..tile.len], &rows.ignored);
            }
            if job.sum {
                sums.value.add(isa, &rows.value[..tile.len]);
            }
            if job.sum_factors {
                sums.factor.add(isa, &rows.factor[..tile.len]);
            }
            if let Some(target) = &job.value {
                target.put(isa, place(operand::VALUE), rows.value.as_ptr(), &mut raw);
            }
        }
    }
    fence();
    sums
}

impl<R: RowReal> Rows<R> {
    /// Class indices as the kernel takes them: negative where they do not count.
    fn take_targets(&mut self, isa: AnyIsa, targets: &[f64], ignored: Option<f64>) -> *const i64 {
        for (target, &number) in self.numbers.iter_mut().zip(targets) {
            *target = number as i64;
        }
        if let Some(index) = ignored {
            mark(isa, targets, index, &mut self.ignored);
            for (target, ignored) in self.numbers.iter_mut().zip(&self.ignored[..targets.len()]) {
                *target = if *ignored { -1 } else { *target };
            }
        }
        self.numbers.as_ptr()
    }

    /// What multiplies the results of each row, and its gamma, if they are not the same for all. There must be as many
    /// samples as rows, at most [`ROWS`].
    fn weigh(&mut self, isa: AnyIsa, job: &Job<R>, samples: Option<&[f64]>, len: usize) {
        let Self { weights, gammas, .. } = self;
        let targets: &[i64] = if job.by_class.is_some() {
            // SAFETY: there are so many targets where classes bring something along.
            unsafe { std::slice::from_raw_parts(self.targets, len) }
        } else {
            &[]
        };
        let class_of = |target: i64| usize::try_from(target).unwrap_or(usize::MAX);
        let with_hess = job.hess.is_some();
        let computed = weights.iter_mut().enumerate().filter(|&(output, _)| output < 2 || with_hess);
        for (output, rounded) in computed {
            let rounded = rounded[..len].as_mut_ptr();
            let Some(by_class) = &job.by_class else {
                if let Some(samples) = samples {
                    // SAFETY: there is room for `len` weights.
                    unsafe { products(isa, &samples[..len], Others::One(job.weights[output]), rounded) };
                }
                continue;
            };
            let mut of_targets = [0.0; ROWS];
            for (weight, target) in of_targets[..len].iter_mut().zip(targets) {
                *weight = by_class.weights[output].get(class_of(*target)).copied().unwrap_or(0.0);
            }
            let of_targets = &of_targets[..len];
            // SAFETY: as above.
            unsafe {
                match samples {
                    Some(samples) => products(isa, &samples[..len], Others::Each(of_targets), rounded),
                    None => products(isa, of_targets, Others::One(1.0), rounded),
                }
            }
        }
        for gamma_of in job.by_class.iter().map(|by_class| &by_class.gammas) {
            for (row, target) in targets.iter().enumerate() {
                let Some(gamma) = gamma_of.get(class_of(*target)) else { continue };
                for (parts, part) in gammas.iter_mut().zip(gamma.parts()) {
                    parts[row] = part;
                }
            }
        }
    }
}

impl<R: RowReal> Job<R> {
    /// Whether the kernel takes class indices of which this one does not count as they come: ignored ones negative.
    fn takes_indices(&self, ignored: Option<f64>) -> bool {
        let Formula { dense, probabilities, .. } = &self.formula;
        dense.is_none() && probabilities.is_none() && ignored.is_none_or(|index| index < 0.0)
    }

    /// Whether rows have weights of their own.
    fn weighs_rows(&self) -> bool {
        self.samples.is_some() || self.by_class.is_some()
    }

    /// Runs the rows of a run.
    ///
    /// # Safety
    /// As [`run`], for these rows.
    unsafe fn run_rows(
        &self,
        isa: AnyIsa,
        run: &Run<{ operand::COUNT }>,
        rows: &mut Rows<R>,
        memory: &mut Memory<R>,
    ) {
        let Memory { scratch, matrices: [logits, targets, grad, hess], raw, .. } = memory;
        let view = View { isa, classes: self.classes, run };
        let Formula { outputs, ref constants, probabilities, ref dense } = self.formula;
        // SAFETY: handed through from the caller.
        unsafe {
            let operands = Operands {
                logits: view.input(&self.logits, operand::LOGITS, logits, raw),
                grad: view.output(self.grad.as_ref(), operand::GRAD, grad),
                hess: view.output(self.hess.as_ref(), operand::HESS, hess),
                ..self.operands(run, rows)
            };
            match (dense, probabilities) {
                (None, None) => R::run(isa, constants, &operands, outputs, None, scratch),
                (None, Some(bounds)) => {
                    R::run_probabilities(isa, constants, &operands, bounds, outputs, scratch);
                }
                (Some(classes), probabilities) => {
                    let targets = match &self.targets {
                        RowTargets::Dense(array) => view.input(array, operand::TARGETS, targets, raw),
                        RowTargets::Indices(..) => self.one_hot(run, rows, targets),
                    };
                    let operands = classes.operands(&operands, targets);
                    match probabilities {
                        None => R::run_dense(isa, constants, &operands, outputs, None, scratch),
                        Some(bounds) => {
                            R::run_dense_probabilities(
                                isa, constants, &operands, bounds, outputs, None, scratch,
                            );
                        }
                    }
                    self.clear_ignored(run, rows, [&operands.grad, &operands.hess]);
                }
            }
            view.put(self.grad.as_ref(), operand::GRAD, grad, raw);
            view.put(self.hess.as_ref(), operand::HESS, hess, raw);
        }
    }

    /// The operands of a run but for the arrays that have a class axis.
    fn operands(&self, run: &Run<{ operand::COUNT }>, rows: &mut Rows<R>) -> Operands<R> {
        let at = run.at;
        let of_row = |tile: &[R; ROWS]| tile.as_ptr().wrapping_add(at);
        let own_gamma = self.by_class.as_ref().is_some_and(|by_class| !by_class.gammas.is_empty());
        let null = [std::ptr::null(); 3];
        let nowhere = std::ptr::null_mut();
        Operands {
            rows: run.len,
            classes: self.classes,
            logits: Matrix { data: std::ptr::null(), row: 0, class: 0 },
            targets: rows.targets.wrapping_add(at),
            weights: if self.weighs_rows() { rows.weights.each_ref().map(of_row) } else { null },
            gammas: if own_gamma { rows.gammas.each_ref().map(of_row) } else { null },
            value: rows.value.as_mut_ptr().wrapping_add(at),
            factor: if self.sum_factors { rows.factor.as_mut_ptr().wrapping_add(at) } else { nowhere },
            grad: Matrix { data: nowhere, row: 0, class: 0 },
            hess: Matrix { data: nowhere, row: 0, class: 0 },
            streamed: self.streamed,
        }
    }

    /// Targets for every class from class indices; 0 for those that are ignored.
    fn one_hot(
        &self,
        run: &Run<{ operand::COUNT }>,
        rows: &Rows<R>,
        memory: &mut Vec<R>,
    ) -> Matrix<*const R> {
        memory.clear();
        memory.resize(run.len * self.classes, R::ZERO);
        for (row, target) in memory.chunks_mut(self.classes.max(1)).zip(&rows.numbers[run.at..]) {
            if let Some(y) = usize::try_from(*target).ok().and_then(|target| row.get_mut(target)) {
                *y = R::ONE;
            }
        }
        Matrix { data: memory.as_ptr(), row: self.classes as isize, class: 1 }
    }

    /// Writes +0.0 to the derivatives of ignored rows.
    ///
    /// # Safety
    /// The matrices must be writeable for the rows of the run and all classes, or null.
    unsafe fn clear_ignored(
        &self,
        run: &Run<{ operand::COUNT }>,
        rows: &Rows<R>,
        matrices: [&Matrix<*mut R>; 2],
    ) {
        if !matches!(self.targets, RowTargets::Indices(_, Some(_))) {
            return;
        }
        let ignored = rows.ignored[run.at..run.at + run.len].iter().enumerate();
        for (row, _) in ignored.filter(|&(_, &ignored)| ignored) {
            for matrix in matrices.into_iter().filter(|matrix| !matrix.data.is_null()) {
                for class in 0..self.classes {
                    let offset = row as isize * matrix.row + class as isize * matrix.class;
                    // SAFETY: handed through from the caller.
                    unsafe { matrix.data.offset(offset).write(R::ZERO) };
                }
            }
        }
    }
}

impl<R: RowReal> DenseClasses<R> {
    /// The operands of a run of rows whose targets are these.
    fn operands(&self, rows: &Operands<R>, targets: Matrix<*const R>) -> DenseOperands<R> {
        let list = |list: &Vec<R>| if list.is_empty() { std::ptr::null() } else { list.as_ptr() };
        DenseOperands {
            rows: rows.rows,
            classes: rows.classes,
            logits: rows.logits,
            targets,
            smoothing: self.smoothing,
            alphas: list(&self.alphas),
            gammas: self.gammas.each_ref().map(list),
            weights: rows.weights,
            upper: self.upper,
            value: rows.value,
            factor: rows.factor,
            grad: rows.grad,
            hess: rows.hess,
            streamed: rows.streamed,
        }
    }
}

/// The rows of a run, and how they lie.
pub(super) struct View<'a> {
    pub isa: AnyIsa,
    pub classes: usize,
    pub run: &'a Run<{ operand::COUNT }>,
}

impl View<'_> {
    /// The rows of an array where they lie, if that is as the kernel takes them.
    fn direct<R: Real>(&self, array: &RowArray, operand: usize) -> Option<Matrix<*mut R>> {
        let size = size_of::<R>() as isize;
        let data = array.data.wrapping_offset(self.run.offsets[operand]).cast::<R>();
        let (row, class) = (self.run.strides[operand], array.class_stride);
        let fits =
            array.dtype == DType::of::<R>() && data.is_aligned() && row % size == 0 && class % size == 0;
        fits.then_some(Matrix { data, row: row / size, class: class / size })
    }

    /// Whether the rows lie end to end, class by class, as they are packed.
    fn is_run(&self, array: &RowArray, operand: usize) -> bool {
        let (size, row) = (array.dtype.size() as isize, self.run.strides[operand]);
        array.class_stride == size && (self.run.len == 1 || row == self.classes as isize * size)
    }

    /// A matrix without gaps whose axis of the smaller stride is the inner one.
    fn packed<P>(&self, array: &RowArray, operand: usize, data: P) -> Matrix<P> {
        let across =
            self.run.len > 1 && self.run.strides[operand].unsigned_abs() < array.class_stride.unsigned_abs();
        if across {
            Matrix { data, row: 1, class: self.run.len as isize }
        } else {
            Matrix { data, row: self.classes as isize, class: 1 }
        }
    }

    /// An input as the kernel takes it: where it lies, or copied to `memory`.
    ///
    /// # Safety
    /// The array must be readable for all rows and classes.
    pub(super) unsafe fn input<R: Real>(
        &self,
        array: &RowArray,
        operand: usize,
        memory: &mut Vec<R>,
        raw: &mut Vec<u64>,
    ) -> Matrix<*const R> {
        if let Some(Matrix { data, row, class }) = self.direct::<R>(array, operand) {
            return Matrix { data: data.cast_const(), row, class };
        }
        let len = self.run.len * self.classes;
        memory.resize(memory.len().max(len), R::ZERO);
        let packed = self.packed(array, operand, memory.as_ptr());
        let size = array.dtype.size();
        let widen: Widen<R> = array.dtype.widen();
        if self.is_run(array, operand) {
            let data = array.data.wrapping_offset(self.run.offsets[operand]).cast_const();
            // SAFETY: the caller vouches for the array; the memory holds as many elements.
            unsafe { widen(self.isa, data, memory.as_mut_ptr(), len) };
            return packed;
        }
        make_room(raw, len, size);
        // SAFETY: the caller vouches for the array; both memories hold as many elements.
        unsafe {
            let (source, target) = self.grids(array, operand, &packed, raw.as_mut_ptr().cast());
            let source = Grid { start: source.start.cast_const(), row: source.row, col: source.col };
            grid::copy(self.isa, size, [self.run.len, self.classes], source, target);
            widen(self.isa, raw.as_ptr().cast(), memory.as_mut_ptr(), len);
        }
        packed
    }

    /// Where the kernel writes an output: where it lies, or to `memory`.
    pub(super) fn output<R: Real>(
        &self,
        array: Option<&RowArray>,
        operand: usize,
        memory: &mut Vec<R>,
    ) -> Matrix<*mut R> {
        let Some(array) = array else { return Matrix { data: std::ptr::null_mut(), row: 0, class: 0 } };
        self.direct(array, operand).unwrap_or_else(|| {
            memory.resize(memory.len().max(self.run.len * self.classes), R::ZERO);
            self.packed(array, operand, memory.as_mut_ptr())
        })
    }

    /// Brings an output to where it belongs, if it is not there.
    ///
    /// # Safety
    /// The array must be writeable for all rows and classes; `memory` is what [`Self::output`] was given.
    pub(super) unsafe fn put<R: Real>(
        &self,
        array: Option<&RowArray>,
        operand: usize,
        memory: &mut Vec<R>,
        raw: &mut Vec<u64>,
    ) {
        let Some(array) = array.filter(|array| self.direct::<R>(array, operand).is_none()) else { return };
        let len = self.run.len * self.classes;
        let packed = self.packed(array, operand, memory.as_ptr());
        let narrow: Option<Narrow<R>> = array.dtype.narrow();
        let mut from = memory.as_mut_ptr().cast::<u8>();
        // SAFETY: the caller vouches for the array; both memories hold as many elements.
        unsafe {
            if let Some(narrow) = narrow {
                make_room(raw, len, array.dtype.size());
                narrow(self.isa, memory.as_ptr(), raw.as_mut_ptr().cast(), len);
                from = raw.as_mut_ptr().cast();
            }
            let (target, source) = self.grids(array, operand, &packed, from);
            let source = Grid { start: source.start.cast_const(), row: source.row, col: source.col };
            grid::copy(self.isa, array.dtype.size(), [self.run.len, self.classes], source, target);
        }
    }

    /// The rows of an array and their packed copy at `packed_start`, as grids.
    fn grids<P>(
        &self,
        array: &RowArray,
        operand: usize,
        packed: &Matrix<P>,
        packed_start: *mut u8,
    ) -> (Grid<*mut u8>, Grid<*mut u8>) {
        let size = array.dtype.size() as isize;
        let start = array.data.wrapping_offset(self.run.offsets[operand]);
        (
            Grid { start, row: self.run.strides[operand], col: array.class_stride },
            Grid { start: packed_start, row: packed.row * size, col: packed.class * size },
        )
    }
}

/// Makes memory hold so many elements of a size.
fn make_room(memory: &mut Vec<u64>, elements: usize, size: usize) {
    memory.resize(memory.len().max((elements * size).div_ceil(size_of::<u64>())), 0);
}

/// Fills gradient and Hessian with zeros.
///
/// # Errors
/// As [`run`].
///
/// # Safety
/// As [`run`].
pub unsafe fn zero<R: PerThread>(isa: AnyIsa, job: &Job<R>, go_on: impl FnMut() -> bool) -> Result<(), Stop> {
    over_blocks(&job.plan, cut(job.classes), job.keeping, go_on, |block| {
        let mut raw = Raw::new();
        let zeros = [R::ZERO; TILE];
        for tile in block.tiles(&job.plan) {
            // SAFETY: handed through from the caller.
            unsafe { job.zero_tile(isa, tile, &zeros, &mut raw) };
        }
        Ok(Sums::new(Keeping::Rounded))
    })?;
    Ok(())
}

impl<R: RowReal> Job<R> {
    /// # Safety
    /// As [`run`], for the rows of the tile.
    unsafe fn zero_tile(&self, isa: AnyIsa, tile: Tile, zeros: &[R; TILE], raw: &mut Raw) {
        if let Some(target) = &self.value {
            let place = Place { plan: &self.plan, operand: operand::VALUE, tile };
            // SAFETY: handed through from the caller; a tile has no more rows than there are zeros.
            unsafe { target.put(isa, place, zeros.as_ptr(), raw) };
        }
        self.plan.runs(tile, |run| {
            for (array, operand) in [(&self.grad, operand::GRAD), (&self.hess, operand::HESS)] {
                let Some(array) = array else { continue };
                let start = array.data.wrapping_offset(run.offsets[operand]);
                let target = Grid { start, row: run.strides[operand], col: array.class_stride };
                // Zeros of every type are zero bytes.
                let source = Grid { start: zeros.as_ptr().cast::<u8>(), row: 0, col: 0 };
                // SAFETY: handed through from the caller.
                unsafe { grid::copy(isa, array.dtype.size(), [run.len, self.classes], source, target) };
            }
        });
    }
}
