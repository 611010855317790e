//! What do the elements of each bin add up to?

use std::ops::Range;

use super::survey::Survey;
use super::{BLOCK, range_of};
use crate::error::Error;
use crate::kernel::exact::ExactSum;
use crate::kernel::exact_tile::{ExactTileSum, Summable};
use crate::kernel::tile::TILE;
use crate::pool;
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel};

/// Sums of one bin: loss and absolute gradient of two losses.
pub type Row = [f64; 4];

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
