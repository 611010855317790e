//! Where do losses and gradients come from? Sums of them by the difficulty of the elements.
//!
//! A reader of data in pieces computes the losses of a piece, and then wants to know how much of them comes from
//! positives and negatives, easy and hard ones. Each element is sorted into a bin by its label and its margin, the
//! logit against its label:
//!
//! ```text
//! margin    .. -1/4     -1/8      0       1/8      1/4 ..      (above 0: more wrong than right)
//! bin        125  |  126  |  127  |  128  |  129  |  130
//! ```
//!
//! and its losses and gradients are added to the row of the bin. A scatter of this kind does not become faster with
//! longer vectors; four sums that stand side by side and are added at once do.

use std::ops::Range;

use crate::element::DType;
use crate::error::Error;
use crate::kernel::exact::ExactSum;
use crate::kernel::exact_tile::{ExactTileSum, Summable};
use crate::kernel::tile::TILE;
use crate::pool;
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel};

/// Bins of one label.
pub const MARGINS: u16 = 256;
/// Bins in a margin of 1.
const PER_UNIT: f64 = 8.0;
/// The bin of elements whose loss is NaN, after those of negatives and of positives.
pub const NAN: u16 = 2 * MARGINS;
/// Elements that one thread takes at a time. Sums of blocks are added in the order of the blocks, so that they do not
/// depend on the number of threads.
const BLOCK: usize = 1 << 15;

/// Sums of one bin: loss and absolute gradient of two losses.
pub type Row = [f64; 4];

/// Logits or targets of some type, one after the other.
#[derive(Clone, Copy)]
pub struct Column {
    /// The first number.
    pub data: *const u8,
    /// The type of the numbers.
    pub dtype: DType,
}

// SAFETY: it is only followed by `sort`, whose caller vouches for the memory behind it.
unsafe impl Send for Column {}
// SAFETY: as above; the memory is only read.
unsafe impl Sync for Column {}

/// What sorting finds beside the bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorted {
    /// Logits that are NaN.
    pub nan_logits: usize,
    /// The first target that is below 0 or above 1.
    pub outside: Option<usize>,
}

/// The bin of each element, for logits that are computed with as `R`.
///
/// # Errors
/// If the threads cannot be started.
///
/// # Safety
/// Both columns must be valid for reading as many numbers as there are losses.
pub unsafe fn sort<R: Real>(
    isa: AnyIsa,
    logits: Column,
    targets: Column,
    losses: &[R],
    bins: &mut [u16],
) -> Result<Sorted, Error> {
    let len = losses.len().min(bins.len());
    let target = Target(bins.as_mut_ptr());
    let blocks = pool::map(0..len.div_ceil(BLOCK), 1, |block| {
        let range = range_of(block, len);
        // SAFETY: the ranges are disjoint and within the bins, which outlive the call; the columns are as long.
        let bins = unsafe { std::slice::from_raw_parts_mut(target.at(range.start), range.len()) };
        // SAFETY: as above.
        unsafe { Ok(sort_block(isa, logits, targets, &losses[range.clone()], range.start, bins)) }
    })?;
    Ok(Sorted {
        nan_logits: blocks.iter().map(|block| block.nan_logits).sum(),
        outside: blocks.iter().find_map(|block| block.outside),
    })
}

/// A pointer that threads share.
struct Target(*mut u16);

// SAFETY: each thread writes a range of its own.
unsafe impl Sync for Target {}

impl Target {
    /// # Safety
    /// The place must be within the memory.
    unsafe fn at(&self, place: usize) -> *mut u16 {
        // SAFETY: handed through from the caller.
        unsafe { self.0.add(place) }
    }
}

/// The elements of a block.
fn range_of(block: usize, len: usize) -> Range<usize> {
    block * BLOCK..len.min((block + 1) * BLOCK)
}

/// # Safety
/// As [`sort`]; `first` is the place of the first loss among all.
unsafe fn sort_block<R: Real>(
    isa: AnyIsa,
    logits: Column,
    targets: Column,
    losses: &[R],
    first: usize,
    bins: &mut [u16],
) -> Sorted {
    let mut sorted = Sorted { nan_logits: 0, outside: None };
    let (mut x, mut y) = ([R::ZERO; TILE], [R::ZERO; TILE]);
    let (widen_x, widen_y) = (logits.dtype.widen::<R>(), targets.dtype.widen::<R>());
    for (at, (losses, bins)) in (first..).step_by(TILE).zip(losses.chunks(TILE).zip(bins.chunks_mut(TILE))) {
        let len = losses.len();
        // SAFETY: the tile is within the columns, and no longer than x and y.
        unsafe {
            widen_x(isa, logits.data.add(at * logits.dtype.size()), x.as_mut_ptr(), len);
            widen_y(isa, targets.data.add(at * targets.dtype.size()), y.as_mut_ptr(), len);
        }
        let (nan_logits, outside) = isa.vectorize(Sort { x: &x[..len], y: &y[..len], losses, bins });
        sorted.nan_logits += nan_logits;
        if outside && sorted.outside.is_none() {
            let beyond = |&y: &R| y < R::ZERO || y > R::ONE;
            sorted.outside = y[..len].iter().position(beyond).map(|place| at + place);
        }
    }
    sorted
}

/// Sorts a tile.
struct Sort<'a, R> {
    x: &'a [R],
    y: &'a [R],
    losses: &'a [R],
    bins: &'a mut [u16],
}

impl<R: Real> Kernel for Sort<'_, R> {
    /// How many logits are NaN, and whether there are targets outside 0 to 1.
    type Output = (usize, bool);

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> (usize, bool) {
        let (mut nan_logits, mut outside) = (0_u32, false);
        for (((&x, &y), &loss), bin) in self.x.iter().zip(self.y).zip(self.losses).zip(self.bins) {
            let (x, y, loss) = (x.to_f64(), y.to_f64(), loss.to_f64());
            nan_logits += u32::from(x.is_nan());
            outside |= !((0.0..=1.0).contains(&y) | y.is_nan());
            let positive = y >= 0.5;
            let margin = if positive { -x } else { x };
            let steps = ((margin.abs() * PER_UNIT) as u32).min(u32::from(MARGINS) / 2 - 1);
            let middle = u32::from(MARGINS) / 2;
            // A margin of 0 is hard, whatever its sign.
            let place = if margin < 0.0 { middle - 1 - steps } else { middle + steps };
            let place = place + if positive { u32::from(MARGINS) } else { 0 };
            *bin = if loss.is_nan() { NAN } else { place as u16 };
        }
        (nan_logits as usize, outside)
    }
}

/// The losses of the elements, and their gradient.
#[derive(Clone, Copy)]
pub struct Each<'a, R> {
    /// A loss each.
    pub values: &'a [R],
    /// A gradient each.
    pub slopes: &'a [R],
}

impl<R: Real + Summable> Each<'_, R> {
    /// Those of a range.
    fn cut(&self, range: &Range<usize>) -> Self {
        Self { values: &self.values[range.clone()], slopes: &self.slopes[range.clone()] }
    }

    /// What they add up to.
    fn total(&self, isa: AnyIsa) -> Total {
        let mut total = Total::default();
        for (values, slopes) in self.values.chunks(TILE).zip(self.slopes.chunks(TILE)) {
            total.sum.add(isa.vectorize(ExactTileSum(values)));
            let (squares, low, high) = isa.vectorize(Survey { values, slopes });
            total.squares += squares;
            total.low = total.low.min(low);
            total.high = total.high.max(high);
            if low == f64::NEG_INFINITY || high == f64::INFINITY {
                let infinite = values.iter().filter(|value| value.to_f64().is_infinite()).count();
                total.infinite += infinite as u64;
            }
        }
        total
    }
}

/// What one loss adds up to.
#[derive(Clone, Copy, Debug)]
pub struct Total {
    /// The sum of the losses.
    pub sum: ExactSum,
    /// The sum of the squares of the gradient.
    pub squares: f64,
    /// The smallest loss that is not NaN; infinity if there is none.
    pub low: f64,
    /// The largest one; minus infinity if there is none.
    pub high: f64,
    /// Infinite losses.
    pub infinite: u64,
}

impl Default for Total {
    fn default() -> Self {
        let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { sum: ExactSum::default(), squares: 0.0, low, high, infinite: 0 }
    }
}

impl Total {
    fn merge(&mut self, other: &Self) {
        self.sum.merge(other.sum);
        self.squares += other.squares;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.infinite += other.infinite;
    }
}

/// Adds losses and gradients to the rows of the elements' bins, and the elements to their counts. Two losses share a
/// table of rows, one for each bin; tables follow each other. If the number of losses is odd, the last one is added
/// twice. Elements of bins that there are not are left out of the rows.
///
/// # Errors
/// If the threads cannot be started.
pub fn tally<R: Real + Summable>(
    isa: AnyIsa,
    bins: &[u16],
    losses: &[Each<'_, R>],
    counts: &mut [i64],
    rows: &mut [Row],
) -> Result<Vec<Total>, Error> {
    let mut totals: Vec<_> = losses.iter().map(|_| Total::default()).collect();
    let (count_len, row_len) = (counts.len(), rows.len());
    let blocks = pool::map(0..bins.len().div_ceil(BLOCK), 1, |block| {
        let range = range_of(block, bins.len());
        let (mut counts, mut rows) = (vec![0_i64; count_len], vec![[0.0; 4]; row_len]);
        let bins = &bins[range.clone()];
        for &bin in bins {
            if let Some(count) = counts.get_mut(usize::from(bin)) {
                *count += 1;
            }
        }
        let losses: Vec<_> = losses.iter().map(|each| each.cut(&range)).collect();
        for (pair, table) in losses.chunks(2).zip(rows.chunks_mut(count_len)) {
            isa.vectorize(Scatter { bins, pair: [pair[0], pair[pair.len() - 1]], table });
        }
        let block_totals: Vec<_> = losses.iter().map(|each| each.total(isa)).collect();
        Ok((counts, rows, block_totals))
    })?;
    for (block_counts, block_rows, block_totals) in &blocks {
        for (count, more) in counts.iter_mut().zip(block_counts) {
            *count += more;
        }
        for (row, more) in rows.as_flattened_mut().iter_mut().zip(block_rows.as_flattened()) {
            *row += more;
        }
        for (total, more) in totals.iter_mut().zip(block_totals) {
            total.merge(more);
        }
    }
    Ok(totals)
}

/// Adds a block to one table.
struct Scatter<'a, R> {
    bins: &'a [u16],
    pair: [Each<'a, R>; 2],
    table: &'a mut [Row],
}

impl<R: Real> Kernel for Scatter<'_, R> {
    type Output = ();

    /// Number by number: rows that were made first and then added at once would be written in parts and read as
    /// a whole, which processors do slowly.
    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { bins, pair: [one, two], table } = self;
        let len = bins.len();
        let (values, slopes) = (&one.values[..len], &one.slopes[..len]);
        let (values_two, slopes_two) = (&two.values[..len], &two.slopes[..len]);
        let mut i = 0;
        while i < len {
            if let Some(sums) = table.get_mut(usize::from(bins[i])) {
                sums[0] += values[i].to_f64();
                sums[1] += slopes[i].to_f64().abs();
                sums[2] += values_two[i].to_f64();
                sums[3] += slopes_two[i].to_f64().abs();
            }
            i += 1;
        }
    }
}

/// Lanes in which squares are added up, whatever the instruction set: their order decides the last bits.
const LANES: usize = 16;

/// The sum of squares, and the extremes, of a tile.
struct Survey<'a, R> {
    values: &'a [R],
    slopes: &'a [R],
}

impl<R: Real> Kernel for Survey<'_, R> {
    /// The sum of the squares of the slopes; the smallest and the largest value.
    type Output = (f64, f64, f64);

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> (f64, f64, f64) {
        let mut squares = [0.0; LANES];
        let (slopes, rest) = self.slopes.as_chunks::<LANES>();
        for slopes in slopes {
            add_squares(&mut squares, slopes);
        }
        let mut last = [R::ZERO; LANES];
        last[..rest.len()].copy_from_slice(rest);
        add_squares(&mut squares, &last);
        let (mut low, mut high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        let (values, rest) = self.values.as_chunks::<LANES>();
        for values in values {
            widen_range(&mut low, &mut high, values);
        }
        last = [R::NAN; LANES];
        last[..rest.len()].copy_from_slice(rest);
        widen_range(&mut low, &mut high, &last);
        let mut all = (0.0, f64::INFINITY, f64::NEG_INFINITY);
        for ((&square, &low), &high) in squares.iter().zip(&low).zip(&high) {
            all = (all.0 + square, all.1.min(low), all.2.max(high));
        }
        all
    }
}

#[inline(always)]
fn add_squares<R: Real>(squares: &mut [f64; LANES], slopes: &[R; LANES]) {
    for (square, slope) in squares.iter_mut().zip(slopes) {
        let slope = slope.to_f64();
        *square += slope * slope;
    }
}

/// NaN is neither smaller nor larger than a number.
#[inline(always)]
fn widen_range<R: Real>(low: &mut [f64; LANES], high: &mut [f64; LANES], values: &[R; LANES]) {
    for ((low, high), value) in low.iter_mut().zip(high).zip(values) {
        let value = value.to_f64();
        *low = if value < *low { value } else { *low };
        *high = if value > *high { value } else { *high };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits of all magnitudes, NaN and infinities among them, and targets; as many as fill several blocks.
    fn data() -> (Vec<f32>, Vec<u8>) {
        let x = |i: usize| match i % 1009 {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::NEG_INFINITY,
            3 => -0.0,
            n => (n as f32 - 500.0) * 0.037,
        };
        ((0..3 * BLOCK + 77).map(x).collect(), (0..3 * BLOCK + 77).map(|i| u8::from(i % 7 == 0)).collect())
    }

    fn column<T>(data: &[T], dtype: DType) -> Column {
        Column { data: data.as_ptr().cast(), dtype }
    }

    fn bins_of(isa: AnyIsa, x: &[f32], y: &[u8], losses: &[f32]) -> (Vec<u16>, Sorted) {
        let mut bins = vec![0; losses.len()];
        // SAFETY: the slices are as long as each other.
        let sorted = unsafe {
            sort(isa, column(x, DType::Float32), column(y, DType::UInt8), losses, &mut bins).unwrap()
        };
        (bins, sorted)
    }

    #[test]
    fn bins_follow_label_and_margin() {
        let x = [0.0, -0.0, 0.124, 0.125, -0.01, -0.125, 1e9, -1e9, f32::NAN, 1.0];
        let losses = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, f32::NAN, f32::NAN];
        for isa in AnyIsa::available() {
            let (bins, sorted) = bins_of(isa, &x, &[0; 10], &losses);
            assert_eq!(bins, [128, 128, 128, 129, 127, 126, 255, 0, NAN, NAN]);
            assert_eq!(sorted, Sorted { nan_logits: 1, outside: None });
            let (bins, sorted) = bins_of(isa, &x, &[1, 1, 1, 1, 1, 1, 1, 1, 2, 3], &losses);
            assert_eq!(bins, [384, 384, 383, 382, 384, 385, 256, 511, NAN, NAN]);
            assert_eq!(sorted, Sorted { nan_logits: 1, outside: Some(8) });
        }
    }

    #[test]
    fn sums_are_those_of_plain_loops() {
        let (x, y) = data();
        let slopes: Vec<f32> = x.iter().map(|x| if x.is_finite() { x * 0.5 } else { 1.0 }).collect();
        let values: Vec<f32> = x.iter().map(|x| x * x).collect();
        for isa in AnyIsa::available() {
            let (bins, _) = bins_of(isa, &x, &y, &values);
            let each = [
                Each { values: &values, slopes: &slopes },
                Each { values: &slopes, slopes: &values },
                Each { values: &values, slopes: &slopes },
            ];
            let size = usize::from(NAN);
            let (mut counts, mut rows) = (vec![0; size + 1], vec![[0.0; 4]; 2 * (size + 1)]);
            let totals = tally(isa, &bins, &each, &mut counts, &mut rows).unwrap();
            assert_eq!(counts.iter().sum::<i64>(), x.len() as i64);
            assert_eq!(counts[size], x.iter().filter(|x| x.is_nan()).count() as i64);
            for bin in 0..size {
                let mut row = [0.0; 4];
                for (i, _) in bins.iter().enumerate().filter(|&(_, &b)| usize::from(b) == bin) {
                    let (value, slope) = (f64::from(values[i]), f64::from(slopes[i]));
                    for (sum, more) in row.iter_mut().zip([value, slope.abs(), slope, value.abs()]) {
                        *sum += more;
                    }
                }
                for (got, want) in rows[bin].iter().zip(row) {
                    assert!(*got == want || (got - want).abs() <= 1e-12 * want.abs(), "{got} {want}");
                }
                assert_eq!(rows[size + 1 + bin][..2], rows[bin][..2]);
            }
            let infinite = x.iter().filter(|x| x.is_infinite()).count() as u64;
            assert_eq!((totals[0].infinite, totals[0].low, totals[0].high), (infinite, 0.0, f64::INFINITY));
            assert_eq!(
                (totals[1].infinite, totals[1].sum.value()),
                (0, {
                    let mut sum = ExactSum::default();
                    slopes.iter().for_each(|&x| sum.add_number(f64::from(x)));
                    sum.value()
                })
            );
            let squares: f64 = slopes.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((totals[0].squares - squares).abs() < 1e-12 * squares);
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let (x, y) = data();
        let isa = AnyIsa::available()[0];
        let values: Vec<f32> = x.iter().map(|x| if x.is_finite() { x * 0.3 } else { 0.0 }).collect();
        let (bins, _) = bins_of(isa, &x, &y, &values);
        let mut results = Vec::new();
        for threads in [1, 2, 5] {
            pool::set_threads(threads).unwrap();
            let (mut counts, mut rows) = (vec![0; 513], vec![[0.0; 4]; 513]);
            let each = [Each { values: &values, slopes: &values }];
            let totals = tally(isa, &bins, &each, &mut counts, &mut rows).unwrap();
            results.push((counts, rows, totals[0].squares, totals[0].sum));
        }
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
