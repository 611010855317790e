//! Where elements of a tile lie: in rectangles, or along runs.

/// Elements of one operand, on a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes from the operand's first element to the piece's.
    pub offset: isize,
    /// Where in the tile the piece starts.
    pub at: usize,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row; they follow each other in the tile.
    pub cols: usize,
    /// Bytes from a row to the next.
    pub row_stride: isize,
    /// Bytes from an element of a row to the next.
    pub col_stride: isize,
}

impl Piece {
    /// A grid whose rows lie end to end is one row.
    #[inline]
    pub(super) fn flat(self) -> Self {
        if self.rows == 1 || self.row_stride != self.col_stride * self.cols as isize {
            return self;
        }
        Self { rows: 1, cols: self.rows * self.cols, ..self }
    }

    /// Whether the elements, of that many bytes each, follow each other in memory.
    #[inline]
    pub fn is_run(&self, size: usize) -> bool {
        self.rows == 1 && (self.col_stride == size as isize || self.cols == 1)
    }
}

/// A tile of a plan: its number, its place in the order of the elements, and how many it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its number.
    pub number: usize,
    /// Number of elements.
    pub len: usize,
}

/// Elements along which every operand has one stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<const N: usize> {
    /// Where in the tile the run starts.
    pub at: usize,
    /// Number of elements.
    pub len: usize,
    /// Bytes from each operand's first element to the run's.
    pub offsets: [isize; N],
    /// Bytes from an element to the next, for each operand.
    pub strides: [isize; N],
}
