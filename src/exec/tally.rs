//! Dense targets counted: the weight that is positive and the weight that is negative, in every class.

use super::rows::{Memory, PerThread, RowArray, View, cut};
use super::{BLOCKS, Block, JobPlan, Stop, in_blocks, operand};
use crate::element::DType;
use crate::error::Error;
use crate::kernel::prepare::mark;
use crate::kernel::reduce::Total;
use crate::kernel::rows::Matrix;
use crate::kernel::tally::{Counts, count_bytes, count_labels, sum_labels};
use crate::kernel::tile::{Buffer, Place, Raw, Source, TILE};
use crate::simd::AnyIsa;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub struct Targets {
    /// The first target.
    pub data: *const u8,
    /// Their type.
    pub dtype: DType,
    /// The targets as numbers.
    pub numbers: Source<f64>,
    /// Those of them that do not count.
    pub ignored: Option<f64>,
    /// What each is multiplied with: 1 for all if there is none.
    pub samples: Option<Source<f64>>,
    /// A power of two that all of these are multiplied with first.
    pub scale: f64,
}

// SAFETY: the pointers are only followed by functions whose callers vouch for the memory behind them.
unsafe impl Send for Targets {}
// SAFETY: as above; blocks only read.
unsafe impl Sync for Targets {}

/// The weights of labels.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    /// Of each class, the sums of y times the weight, and of 1 - y times it.
    pub sums: Vec<[Total; 2]>,
    /// Whether some labels are neither 0 nor 1.
    pub soft: bool,
    /// Whether some are outside [0, 1].
    pub outside: bool,
}

impl Weights {
    fn of(classes: usize) -> Result<Self, Error> {
        let mut sums = Vec::new();
        sums.try_reserve_exact(classes).map_err(|_| Error::NO_MEMORY)?;
        sums.resize(classes, Default::default());
        Ok(Self { sums, ..Self::default() })
    }

    fn merge(&mut self, other: Self) {
        for (sums, others) in self.sums.iter_mut().zip(other.sums) {
            for (sum, other) in sums.iter_mut().zip(others) {
                sum.merge(other);
            }
        }
        self.soft |= other.soft;
        self.outside |= other.outside;
    }
}

/// The weights of dense labels, in one class.
///
/// # Errors
/// If it was stopped.
///
/// # Safety
/// Targets and samples must be readable wherever the plan says that they have elements. No other thread may write to them
/// meanwhile.
pub unsafe fn labels(
    isa: AnyIsa,
    plan: &JobPlan,
    targets: &Targets,
    go_on: impl FnMut() -> bool,
) -> Result<Weights, Stop> {
    let mut all = Weights::of(1).map_err(Stop::Failed)?;
    let work = |block: Block| {
        let mut own = Weights::of(1)?;
        for tile in block.tiles(plan) {
            let place = |operand| Place { plan, operand, tile };
            // SAFETY: the caller vouches for the arrays; a tile has `len` elements.
            let counts = unsafe {
                match simple(isa, targets, place(operand::TARGETS)) {
                    Some(counts) => counts,
                    None => weighed(isa, targets, place),
                }
            };
            own.sums[0][0].add(counts.ones);
            own.sums[0][1].add(counts.zeros);
            own.soft |= counts.soft;
            own.outside |= counts.outside;
        }
        Ok(own)
    };
    in_blocks(plan, BLOCKS, go_on, work, |own| all.merge(own))?;
    Ok(all)
}

/// The counts of a tile, if its labels are 0 and 1 alone and weigh 1.
///
/// # Safety
/// As [`labels`].
unsafe fn simple(isa: AnyIsa, targets: &Targets, place: Place<'_, { operand::COUNT }>) -> Option<Counts> {
    if targets.samples.is_some() || targets.ignored.is_some() {
        return None;
    }
    let source = Source::<f32>::numbers(targets.data, targets.dtype);
    if let Some(bytes) = source.own_bytes(place) {
        // SAFETY: handed through from the caller.
        let [ones, zeros] =
            isa.vectorize(count_bytes(unsafe { std::slice::from_raw_parts(bytes, place.tile.len) }));
        let counts = Counts { ones: ones as f64, zeros: zeros as f64, soft: false, outside: false };
        return (ones + zeros == place.tile.len).then_some(counts);
    }
    let (mut buffer, mut raw) = (Buffer::<f32>::new(), Raw::new());
    // SAFETY: handed through from the caller.
    let numbers =
        unsafe { std::slice::from_raw_parts(source.tile(isa, place, &mut buffer, &mut raw), place.tile.len) };
    let [ones, zeros] = isa.vectorize(count_labels(numbers));
    let counts = Counts { ones: ones as f64, zeros: zeros as f64, soft: false, outside: false };
    (ones + zeros == numbers.len()).then_some(counts)
}

/// The weights of a tile.
///
/// # Safety
/// As [`labels`].
unsafe fn weighed<'a>(
    isa: AnyIsa,
    targets: &Targets,
    place: impl Fn(usize) -> Place<'a, { operand::COUNT }>,
) -> Counts {
    let (mut numbers, mut weights, mut raw) = (Buffer::new(), Buffer::new(), Raw::new());
    let mut ignored = [false; TILE];
    // SAFETY: handed through from the caller; a tile has `len` elements.
    unsafe {
        let at = place(operand::TARGETS);
        let numbers =
            std::slice::from_raw_parts(targets.numbers.tile(isa, at, &mut numbers, &mut raw), at.tile.len);
        let samples = targets.samples.unwrap_or(Source::Constant(1.0));
        let weights = samples.tile(isa, place(operand::SAMPLES), &mut weights, &mut raw);
        let weights = std::slice::from_raw_parts(weights, at.tile.len);
        if let Some(index) = targets.ignored {
            mark(isa, numbers, index, &mut ignored[..numbers.len()]);
        }
        isa.vectorize(sum_labels(numbers, weights, &ignored, targets.scale))
    }
}

/// The weights of dense labels in each class. The plan is one of positions.
///
/// # Errors
/// If it was stopped, or there is no memory.
///
/// # Safety
/// As [`labels`], for every class.
pub unsafe fn columns(
    isa: AnyIsa,
    plan: &JobPlan,
    targets: &Targets,
    [class_stride, sample_stride]: [isize; 2],
    classes: usize,
    go_on: impl FnMut() -> bool,
) -> Result<Weights, Stop> {
    let mut all = Weights::of(classes).map_err(Stop::Failed)?;
    let array = RowArray { data: targets.data.cast_mut(), dtype: targets.dtype, class_stride };
    /// What blocks may share.
    struct Shared(RowArray);
    // SAFETY: blocks only read.
    unsafe impl Sync for Shared {}
    impl Shared {
        fn array(&self) -> &RowArray {
            &self.0
        }
    }
    let shared = Shared(array);
    let work = |block: Block| {
        let mut own = Weights::of(classes)?;
        <f64 as PerThread>::memory().with_borrow_mut(|memory| {
            memory.prepare(classes)?;
            for tile in block.tiles(plan) {
                plan.runs(tile, |run| {
                    let view = View { isa, classes, run: &run };
                    let Memory { matrices: [numbers, ..], raw, .. } = memory;
                    // SAFETY: handed through from the caller.
                    unsafe {
                        let matrix = view.input(shared.array(), operand::TARGETS, numbers, raw);
                        let samples =
                            [run.offsets[operand::SAMPLES], run.strides[operand::SAMPLES], sample_stride];
                        add_rows(isa, targets, &matrix, run.len, samples, &mut own);
                    }
                });
            }
            memory.shrink();
            Ok(own)
        })
    };
    in_blocks(plan, cut(classes), go_on, work, |own| all.merge(own))?;
    Ok(all)
}

/// Adds the labels of a run of rows. `samples`: where in bytes those of the rows begin, and from a row and from a class
/// to the next.
///
/// # Safety
/// As [`columns`].
unsafe fn add_rows(
    isa: AnyIsa,
    targets: &Targets,
    matrix: &Matrix<*const f64>,
    rows: usize,
    [offset, row_stride, class_stride]: [isize; 3],
    own: &mut Weights,
) {
    let nan_is_ignored = targets.ignored.is_some_and(f64::is_nan);
    for (class, sums) in own.sums.iter_mut().enumerate() {
        let (mut ones, mut zeros) = (0.0, 0.0);
        for row in 0..rows {
            let at = row as isize * matrix.row + class as isize * matrix.class;
            // SAFETY: handed through from the caller.
            let y = unsafe { matrix.data.offset(at).read() };
            if targets.ignored == Some(y) || nan_is_ignored && y.is_nan() {
                continue;
            }
            let weight = match &targets.samples {
                None => targets.scale,
                Some(samples) => {
                    let at = offset + row as isize * row_stride + class as isize * class_stride;
                    // SAFETY: as above.
                    targets.scale * unsafe { samples.number(isa, at) }
                }
            };
            own.soft |= y != 0.0 && y != 1.0;
            own.outside |= !(0.0..=1.0).contains(&y) && !y.is_nan();
            ones += weight * y;
            zeros += weight * (1.0 - y);
        }
        sums[0].add(ones);
        sums[1].add(zeros);
    }
}

/// The largest magnitude of finite weights.
///
/// # Errors
/// If it was stopped.
///
/// # Safety
/// As [`labels`].
pub unsafe fn largest_weight(
    isa: AnyIsa,
    plan: &JobPlan,
    samples: &Source<f64>,
    go_on: impl FnMut() -> bool,
) -> Result<f64, Stop> {
    /// What blocks may share.
    struct Shared<'a>(&'a Source<f64>);
    // SAFETY: blocks only read.
    unsafe impl Sync for Shared<'_> {}
    impl Shared<'_> {
        fn source(&self) -> &Source<f64> {
            self.0
        }
    }
    let (shared, mut largest) = (Shared(samples), 0.0_f64);
    let work = |block: Block| {
        let (mut buffer, mut raw, mut own) = (Buffer::new(), Raw::new(), 0.0_f64);
        for tile in block.tiles(plan) {
            let place = Place { plan, operand: operand::SAMPLES, tile };
            // SAFETY: handed through from the caller; a tile has `len` elements.
            let weights = unsafe {
                let start = shared.source().tile(isa, place, &mut buffer, &mut raw);
                std::slice::from_raw_parts(start, tile.len)
            };
            for weight in weights.iter().filter(|weight| weight.is_finite()) {
                own = own.max(weight.abs());
            }
        }
        Ok(own)
    };
    in_blocks(plan, BLOCKS, go_on, work, |own| largest = largest.max(own))?;
    Ok(largest)
}
