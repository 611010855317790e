//! Tiles that are rectangles of two axes: when are they worth it, and where do they lie?
//!
//! Where one operand is in C order and another in Fortran order, a run of elements along either axis takes one number
//! of each cache line of the other. A rectangle takes whole lines of both.

use super::{Axis, Lay, Piece, end_to_end};
use crate::cache::LINE;

/// Tiles that rectangles are grouped by, along the innermost axis and across: elements of a group share pages of
/// memory, and groups are as large as what one thread works on.
const GROUP: [usize; 2] = [4, 8];

/// Elements of a rectangular tile along the innermost axis; along the other, a tile's worth over this.
const RECTANGLE: usize = 32;

/// Tiles that are rectangles of two axes. The axes are those of the leading operands; to another operand, one of them
/// may be several that do not lie end to end.
#[derive(Clone, Debug)]
pub(super) struct Rectangles<const N: usize> {
    /// Length of the axis that runs along a row of the tile, and the elements that a tile has of it.
    inner: (usize, usize),
    /// Length of the axis that runs from row to row, and the elements that a tile has of it.
    across: (usize, usize),
    /// Number of elements of the other axes together.
    sheets: usize,
    /// How each operand lies along the inner axis, along that across, and along the others.
    lays: [[Lay; 3]; N],
}

impl<const N: usize> Rectangles<N> {
    /// Rectangles, if there is a leading operand whose cache lines a run along the innermost axis would waste, and
    /// a second axis along which it would not. Operands that follow have no say in it.
    pub(super) fn worth_it(axes: &[Axis<N>], tile: usize, leading: usize) -> Option<Self> {
        let mut axes: Vec<&[Axis<N>]> = end_to_end(axes, leading).collect();
        let (inner, rest) = axes.split_first()?;
        let better = |axis: &Axis<N>| {
            let pairs = inner[0].strides.iter().zip(&axis.strides).take(leading);
            let gains = pairs.filter(|&(along, across)| {
                *across != 0 && along.unsigned_abs() >= LINE / 2 && across.abs() < along.abs()
            });
            gains.map(|(_, across)| across.unsigned_abs()).min().filter(|&across| across < LINE)
        };
        let candidates =
            rest.iter().enumerate().filter_map(|(i, axes)| better(&axes[0]).map(|gain| (gain, i)));
        let (_, chosen) = candidates.min()?;
        let across = axes.remove(1 + chosen);
        let inner = axes.remove(0);
        let outer = axes.concat();
        let len = |axes: &[Axis<N>]| axes.iter().map(|axis| axis.len).product::<usize>();
        let lays = std::array::from_fn(|operand| [inner, across, &outer].map(|axes| Lay::new(axes, operand)));
        let (inner, across, along) = (len(inner), len(across), RECTANGLE.min(tile));
        let (cols, rows) = if across < tile / along {
            (even(inner, tile / across), across)
        } else {
            let cols = even(inner, along);
            (cols, even(across, tile / cols))
        };
        Some(Self { inner: (inner, cols), across: (across, rows), sheets: len(&outer), lays })
    }

    /// Number of tiles.
    pub(super) fn count(&self) -> usize {
        let [inner, across] = self.blocks();
        self.sheets * inner * across
    }

    /// Number of tiles along the two axes.
    #[inline]
    fn blocks(&self) -> [usize; 2] {
        [self.inner, self.across].map(|(axis, len)| axis.div_ceil(len))
    }

    /// First element and length of a tile along the two axes, and the number of its sheet.
    #[inline]
    fn place(&self, number: usize) -> ([(usize, usize); 2], usize) {
        let [inner, across] = self.blocks();
        let (sheet, rest) = (number / (inner * across), number % (inner * across));
        // Groups follow each other along the innermost axis; those at the ends may be smaller.
        let (above, rest) = (rest / (GROUP[1] * inner) * GROUP[1], rest % (GROUP[1] * inner));
        let height = GROUP[1].min(across - above);
        let (before, rest) = (rest / (GROUP[0] * height) * GROUP[0], rest % (GROUP[0] * height));
        let width = GROUP[0].min(inner - before);
        let (i, j) = (before + rest % width, above + rest / width);
        let cut = |(axis, len): (usize, usize), block: usize| (block * len, len.min(axis - block * len));
        ([cut(self.inner, i), cut(self.across, j)], sheet)
    }

    /// Elements of a tile.
    #[inline]
    pub(super) fn len(&self, number: usize) -> usize {
        let ([(_, cols), (_, rows)], _) = self.place(number);
        cols * rows
    }

    /// The one piece that a tile is, if its two axes have one stride each in the operand.
    #[inline]
    pub(super) fn piece(&self, operand: usize, number: usize, first: isize) -> Option<Piece> {
        let [inner, across, outer] = &self.lays[operand];
        if !(inner.outer.is_empty() && across.outer.is_empty()) {
            return None;
        }
        let ([(col, cols), (row, rows)], sheet) = self.place(number);
        let offset = first + inner.offset(col) + across.offset(row) + outer.offset(sheet);
        let (col_stride, row_stride) = (inner.inner.1, across.inner.1);
        Some(Piece { offset, at: 0, rows, cols, row_stride, col_stride }.flat())
    }

    /// The pieces of a tile, row by row.
    pub(super) fn pieces(&self, operand: usize, number: usize, first: isize, mut visit: impl FnMut(Piece)) {
        let [inner, across, outer] = &self.lays[operand];
        let ([(col, cols), (row, rows)], sheet) = self.place(number);
        let first = first + outer.offset(sheet);
        for i in 0..rows {
            let first = first + across.offset(row + i);
            inner.pieces(first, col, cols, |piece| visit(Piece { at: i * cols + piece.at, ..piece }));
        }
    }
}

/// A length of at most `most` that cuts `len` into parts of nearly the same length.
fn even(len: usize, most: usize) -> usize {
    len.div_ceil(len.div_ceil(most.max(1)))
}
