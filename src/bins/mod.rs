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
//!
//! Losses that were computed before are [sorted](sort) and [added up](tally). Those of plain labels are computed on the
//! way, tile by tile, all of them in one [`walk`].

mod rows;
mod sort;
mod survey;
mod tally;
#[cfg(test)]
mod tests;
mod walk;

use std::ops::Range;

pub use rows::{Rows, largest, margins, sizes};
pub use sort::{Column, Sortable, Sorted, sort};
pub use tally::{Each, Row, Total, tally};
pub use walk::{Walked, Weighed, walk};

/// Bins of one label.
pub const MARGINS: u16 = 256;
/// Bins in a margin of 1.
const PER_UNIT: f64 = 8.0;
/// The bin of elements whose loss is NaN, after those of negatives and of positives.
pub const NAN: u16 = 2 * MARGINS;
/// The loss, of several in a walk, whose NaN say which elements belong to no bin.
const MAIN: usize = 1;
/// Elements that one thread takes at a time. Sums of blocks are added in the order of the blocks, so that they do not
/// depend on the number of threads.
const BLOCK: usize = 1 << 15;

/// The elements of a block.
fn range_of(block: usize, len: usize) -> Range<usize> {
    block * BLOCK..len.min((block + 1) * BLOCK)
}
