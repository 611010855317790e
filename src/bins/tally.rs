//! What do the elements of each bin add up to?

use std::ops::Range;

use super::survey::Survey;
use super::{BLOCK, Sortable, range_of};
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

impl<R: Sortable + Summable> Each<'_, R> {
    /// Those of a range.
    fn cut(&self, range: &Range<usize>) -> Self {
        Self { values: &self.values[range.clone()], slopes: &self.slopes[range.clone()] }
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
    /// Adds a tile.
    fn add<R: Sortable + Summable>(&mut self, isa: AnyIsa, Each { values, slopes }: Each<'_, R>) {
        self.sum.add(isa.vectorize(ExactTileSum(values)));
        let (squares, low, high) = isa.vectorize(Survey { values, slopes });
        self.squares += squares;
        self.low = self.low.min(low);
        self.high = self.high.max(high);
        if low == f64::NEG_INFINITY || high == f64::INFINITY {
            let infinite = values.iter().filter(|value| value.to_f64().is_infinite()).count();
            self.infinite += infinite as u64;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.sum.merge(other.sum);
        self.squares += other.squares;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.infinite += other.infinite;
    }
}

/// What blocks of elements add up to: counts of the bins, a table of rows for each two losses, and the losses in all.
pub(super) struct Tables {
    counts: Vec<i64>,
    rows: Vec<Row>,
    totals: Vec<Total>,
}

impl Tables {
    /// Adds a tile: its elements' bins, and losses and gradients of each loss.
    pub(super) fn add<'a, R: Sortable + Summable>(
        &mut self,
        isa: AnyIsa,
        bins: &[u16],
        each: impl Iterator<Item = Each<'a, R>> + Clone,
    ) {
        for &bin in bins {
            if let Some(count) = self.counts.get_mut(usize::from(bin)) {
                *count += 1;
            }
        }
        for (total, each) in self.totals.iter_mut().zip(each.clone()) {
            total.add(isa, each);
        }
        let mut quads = [[R::ZERO; 4]; TILE];
        let (mut each, mut tables) = (each, self.rows.chunks_mut(self.counts.len()));
        while let (Some(one), Some(table)) = (each.next(), tables.next()) {
            let two = each.next().unwrap_or(one);
            isa.vectorize(Quads { one, two, quads: &mut quads[..bins.len()] });
            isa.vectorize(Scatter { bins, quads: &quads[..bins.len()], table });
        }
    }
}

/// The losses in all, and what the work on each block gave; none if one was refused.
type Done<T> = Option<(Vec<Total>, Vec<T>)>;

/// Does some work on each block, with tables of its own, and adds those up in the order of the blocks. None, and nothing
/// is added, if one of the blocks is refused.
pub(super) fn over_blocks<T: Send + Sync>(
    blocks: usize,
    losses: usize,
    counts: &mut [i64],
    rows: &mut [Row],
    work: impl Fn(usize, &mut Tables) -> Option<T> + Sync,
) -> Result<Done<T>, Error> {
    let (count_len, row_len) = (counts.len(), rows.len());
    let found = pool::map(0..blocks, 1, |block| {
        let totals = vec![Total::default(); losses];
        let mut tables = Tables { counts: vec![0; count_len], rows: vec![[0.0; 4]; row_len], totals };
        let result = work(block, &mut tables);
        Ok(result.map(|result| (tables, result)))
    })?;
    let Some(found) = found.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
    let mut totals = vec![Total::default(); losses];
    let mut results = Vec::with_capacity(blocks);
    for (tables, result) in found {
        for (count, more) in counts.iter_mut().zip(&tables.counts) {
            *count += more;
        }
        for (row, more) in rows.as_flattened_mut().iter_mut().zip(tables.rows.as_flattened()) {
            *row += more;
        }
        for (total, more) in totals.iter_mut().zip(&tables.totals) {
            total.merge(more);
        }
        results.push(result);
    }
    Ok(Some((totals, results)))
}

/// Adds losses and gradients to the rows of the elements' bins, and the elements to their counts. Two losses share a
/// table of rows, one for each bin; tables follow each other. If the number of losses is odd, the last one is added
/// twice. Elements of bins that there are not are left out of the rows.
///
/// # Errors
/// If the threads cannot be started.
pub fn tally<R: Sortable + Summable>(
    isa: AnyIsa,
    bins: &[u16],
    losses: &[Each<'_, R>],
    counts: &mut [i64],
    rows: &mut [Row],
) -> Result<Vec<Total>, Error> {
    let blocks = bins.len().div_ceil(BLOCK);
    let found = over_blocks(blocks, losses.len(), counts, rows, |block, tables| {
        let range = range_of(block, bins.len());
        for at in range.clone().step_by(TILE) {
            let tile = at..range.end.min(at + TILE);
            tables.add(isa, &bins[tile.clone()], losses.iter().map(|each| each.cut(&tile)));
        }
        Some(())
    })?;
    Ok(found.map_or_else(Vec::new, |(totals, _)| totals))
}

/// Puts losses and absolute gradients of two losses side by side, element by element.
struct Quads<'a, R> {
    one: Each<'a, R>,
    two: Each<'a, R>,
    quads: &'a mut [[R; 4]],
}

impl<R: Sortable> Kernel for Quads<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { one, two, quads } = self;
        let len = quads.len();
        let (values, slopes) = (&one.values[..len], &one.slopes[..len]);
        let (values_two, slopes_two) = (&two.values[..len], &two.slopes[..len]);
        let mut i = 0;
        while i < len {
            quads[i] = [values[i], slopes[i].magnitude(), values_two[i], slopes_two[i].magnitude()];
            i += 1;
        }
    }
}

/// Adds the numbers of a tile to one table, the third and fourth beside the first two.
///
/// Four numbers that were written one by one just before would be read as a whole slowly: a tile's time passes between.
struct Scatter<'a, R> {
    bins: &'a [u16],
    quads: &'a [[R; 4]],
    table: &'a mut [Row],
}

impl<R: Real> Kernel for Scatter<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { bins, quads, table } = self;
        let quads = &quads[..bins.len()];
        let mut i = 0;
        while i < bins.len() {
            if let Some(sums) = table.get_mut(usize::from(bins[i])) {
                let mut place = 0;
                while place < 4 {
                    sums[place] += quads[i][place].to_f64();
                    place += 1;
                }
            }
            i += 1;
        }
    }
}
