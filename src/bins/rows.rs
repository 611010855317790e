//! What an evaluation needs of rows of classes: the largest entry, the size of a gradient, the margin of a class.

use std::ops::Range;
use std::sync::Mutex;

use super::{BLOCK, Sortable, range_of};
use crate::error::Error;
use crate::pool;

/// Entries of all classes for each row: the entry of class c is `inner` behind that of class c - 1, and rows fill blocks
/// of `classes * inner` entries.
#[derive(Clone, Copy)]
pub struct Rows<'a, R> {
    /// All entries.
    pub entries: &'a [R],
    /// Entries of a row.
    pub classes: usize,
    /// Rows of a block.
    pub inner: usize,
}

impl<R: Sortable> Rows<'_, R> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.entries.len().checked_div(self.classes).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries of a row, class by class.
    #[inline(always)]
    fn row(&self, row: usize) -> impl Iterator<Item = R> {
        let (block, place) = (row / self.inner, row % self.inner);
        let first = block * self.classes * self.inner + place;
        let end = first + (self.classes - 1) * self.inner + 1;
        self.entries[first..end].iter().step_by(self.inner).copied()
    }
}

/// Writes numbers for each row, some rows a thread at a time; returns what else was found of the rows of each part.
fn fill<T: Send, U: Send, F: Send + Sync>(
    mut first: &mut [T],
    mut second: &mut [U],
    work: impl Fn(Range<usize>, &mut [T], &mut [U]) -> F + Sync,
) -> Result<Vec<F>, Error> {
    let len = first.len().min(second.len());
    let mut parts = Vec::new();
    for block in 0..len.div_ceil(BLOCK) {
        let range = range_of(block, len);
        let (a, rest_a) = first.split_at_mut(range.len());
        let (b, rest_b) = second.split_at_mut(range.len());
        parts.push(Mutex::new(Some((range, a, b))));
        (first, second) = (rest_a, rest_b);
    }
    let found = pool::map(0..parts.len(), 1, |part| {
        // Each part is taken once, by the thread that works on it.
        let taken = parts[part].lock().ok().and_then(|mut part| part.take());
        Ok(taken.map(|(range, a, b)| work(range, a, b)))
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// The class of each row's largest entry, the first of several, and that entry. A NaN is larger than a number.
///
/// # Errors
/// If the threads cannot be started.
pub fn largest<R: Sortable>(rows: Rows<'_, R>, classes: &mut [i64], entries: &mut [R]) -> Result<(), Error> {
    let len = rows.len();
    fill(&mut classes[..len], &mut entries[..len], |range, classes, entries| {
        for ((row, class), entry) in range.zip(classes).zip(entries) {
            let (mut place, mut most) = (0, R::NEG_INFINITY);
            for (c, x) in rows.row(row).enumerate() {
                let above = !most.is_no_number() && (x > most || x.is_no_number());
                (place, most) = if above { (c, x) } else { (place, most) };
            }
            (*class, *entry) = (place as i64, most);
        }
    })?;
    Ok(())
}

/// The sum of each row's magnitudes. Returns the sum of all squares.
///
/// # Errors
/// If the threads cannot be started.
pub fn sizes<R: Sortable>(rows: Rows<'_, R>, sums: &mut [R]) -> Result<f64, Error> {
    let len = rows.len();
    let squares = fill(&mut sums[..len], &mut vec![(); len], |range, sums, _| {
        let mut squares = 0.0;
        for (row, sum) in range.zip(sums) {
            let mut whole = 0.0;
            for x in rows.row(row) {
                let x = x.to_f64();
                whole += x.abs();
                squares += x * x;
            }
            *sum = R::from_f64(whole);
        }
        squares
    })?;
    Ok(squares.iter().sum())
}

/// The margin of each row's class against all others together: log((1 - p) / p), where the cross entropy is -log p.
///
/// # Errors
/// If the threads cannot be started.
pub fn margins<R: Sortable>(entropies: &[R], margins: &mut [f64]) -> Result<(), Error> {
    fill(margins, &mut vec![(); entropies.len()], |range, margins, _| {
        for (entropy, margin) in entropies[range].iter().zip(margins) {
            let entropy = entropy.to_f64();
            *margin = entropy + (-(-entropy).exp_m1()).ln();
        }
    })?;
    Ok(())
}
