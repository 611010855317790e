//! From shapes and strides to runs of memory: in which order are the elements visited, and where does each
//! operand keep them?
//!
//! A [`Plan`] looks at the strides of all operands together, or of the inputs alone where something is added up: the
//! sum must not depend on where results go. Axes that every operand walks backwards are turned
//! round, the one with the smallest strides becomes the innermost, and axes that lie end to end in all operands
//! become one. What comes out is an order of the elements and its cut into tiles; both follow from the shape and
//! the strides alone. For every tile the plan tells where each operand's elements are, as a few rectangles
//! ([`Piece`]): an axis along which an operand does not vary, because it is broadcast or not there at all, has a
//! stride of 0.
//!
//! Where the axis that is good for one operand is bad for another (C against Fortran order), a tile is a rectangle
//! of two axes instead of a run, so that both use whole cache lines.

mod overlap;
mod piece;
mod rectangles;
#[cfg(test)]
mod tests;

pub use overlap::{Extent, meet, meets_itself};
pub use piece::{Piece, Run, Tile};
use rectangles::Rectangles;

/// The most dimensions that an array may have: NumPy's limit.
pub const MAX_DIMS: usize = 64;

/// One axis of all operands.
#[derive(Clone, Copy, Debug)]
struct Axis<const N: usize> {
    len: usize,
    strides: [isize; N],
}

/// How one operand lies in the order of the plan: its own axes, merged as far as they go.
#[derive(Clone, Debug)]
struct Lay {
    /// Length and stride of the innermost axis.
    inner: (usize, isize),
    /// The others, from the inside out.
    outer: Vec<(usize, isize)>,
}

/// The order in which `N` operands of a common shape are visited, cut into tiles.
#[derive(Clone, Debug)]
pub struct Plan<const N: usize> {
    len: usize,
    tile: usize,
    tiles: usize,
    /// Bytes from each operand's first element to the one that is visited first.
    starts: [isize; N],
    lays: [Lay; N],
    /// Length of the innermost axis, and each operand's stride along it.
    run: (usize, [isize; N]),
    rectangles: Option<Box<Rectangles<N>>>,
}

impl<const N: usize> Plan<N> {
    /// A plan for operands without gaps, all in the same order: `strides` is the size of an element, or 0.
    pub fn contiguous(len: usize, strides: [isize; N], tile: usize) -> Self {
        let lays = strides.map(|stride| Lay { inner: (len, stride), outer: Vec::new() });
        let run = (len.max(1), strides);
        Self { len, tile, tiles: len.div_ceil(tile), starts: [0; N], lays, run, rectangles: None }
    }

    /// A plan for operands with these strides, in bytes. An operand whose list of strides ends early does not vary
    /// along the axes that are left. Tiles have at most `tile` elements. The first `leading` operands alone choose
    /// the order of the elements: the others follow.
    pub fn new(shape: &[usize], strides: [&[isize]; N], tile: usize, leading: usize) -> Self {
        Self::with_rectangles(shape, strides, tile, leading, true)
    }

    /// As [`Plan::new`], but every tile is a number of runs: for elements that are large themselves, as rows of
    /// classes are, and use whole cache lines in any order.
    pub fn of_runs(shape: &[usize], strides: [&[isize]; N], tile: usize, leading: usize) -> Self {
        Self::with_rectangles(shape, strides, tile, leading, false)
    }

    fn with_rectangles(
        shape: &[usize],
        strides: [&[isize]; N],
        tile: usize,
        leading: usize,
        allowed: bool,
    ) -> Self {
        let len: usize = shape.iter().product();
        let mut starts = [0; N];
        // From the inside out.
        let mut axes: Vec<Axis<N>> = Vec::with_capacity(shape.len());
        for (i, &len) in shape.iter().enumerate().rev().filter(|&(_, &len)| len != 1) {
            let strides = strides.map(|strides| strides.get(i).copied().unwrap_or(0));
            let mut axis = Axis { len, strides };
            axis.turn(&mut starts, leading);
            let place = axes.iter().rposition(|inner| !axis.goes_inside(inner, leading));
            let place = place.map_or(0, |last| last + 1);
            axes.insert(place, axis);
        }
        if len == 0 {
            return Self::contiguous(0, [0; N], tile);
        }
        let rectangles = allowed.then(|| Rectangles::worth_it(&axes, tile, leading)).flatten().map(Box::new);
        let tiles = rectangles.as_ref().map_or(len.div_ceil(tile), |rectangles| rectangles.count());
        let axes = merge(&axes);
        let lays = std::array::from_fn(|operand| Lay::new(&axes, operand));
        let run = axes.first().map_or((1, [0; N]), |inner| (inner.len, inner.strides));
        Self { len, tile, tiles, starts, lays, run, rectangles }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of tiles.
    pub fn tiles(&self) -> usize {
        self.tiles
    }

    /// Whether an operand, whose elements have that many bytes, is one run of memory in the order of the plan.
    pub fn is_run(&self, operand: usize, size: usize) -> bool {
        let lay = &self.lays[operand];
        self.rectangles.is_none() && lay.outer.is_empty() && lay.inner.1 == size as isize
    }

    /// Where a tile starts in an operand that is one run of memory, of elements of that many bytes, again and
    /// again: bytes from its first element.
    #[inline]
    pub fn repeats_at(&self, operand: usize, tile: Tile, size: usize) -> Option<isize> {
        let lay = &self.lays[operand];
        let (len, stride) = lay.inner;
        let again = self.rectangles.is_none() && stride == size as isize;
        let all = again && lay.outer.iter().all(|&(_, stride)| stride == 0);
        all.then(|| self.starts[operand] + (tile.number * self.tile % len) as isize * stride)
    }

    /// Whether tiles are rectangles: short runs of memory, far apart.
    #[inline]
    pub fn has_rectangles(&self) -> bool {
        self.rectangles.is_some()
    }

    /// The number of a tile's first element, where tiles are runs of elements.
    #[inline]
    pub fn start(&self, tile: Tile) -> usize {
        tile.number * self.tile
    }

    /// The tile of that number, which must be below [`Plan::tiles`].
    #[inline]
    pub fn tile(&self, number: usize) -> Tile {
        let len = match &self.rectangles {
            None => self.tile.min(self.len - number * self.tile),
            Some(rectangles) => rectangles.len(number),
        };
        Tile { number, len }
    }

    /// The elements of an operand that rows of elements have in common, and how long those rows are; none if elements
    /// next to each other have elements of their own.
    pub fn heads(&self, operand: usize) -> Option<(usize, Plan<1>)> {
        let lay = &self.lays[operand];
        let ((cols, stride), &inner) = (lay.inner, lay.outer.first()?);
        if stride != 0 || self.rectangles.is_some() {
            return None;
        }
        let (len, outer) = (self.len / cols, lay.outer[1..].to_vec());
        let (starts, run) = ([self.starts[operand]], (inner.0, [inner.1]));
        let lays = [Lay { inner, outer }];
        Some((cols, Plan { len, tile: 1, tiles: len, starts, lays, run, rectangles: None }))
    }

    /// Tiles that follow each other as one, the last not among them, where tiles are runs of elements.
    pub fn tiles_as_one(&self, first: usize, last: usize) -> Option<Tile> {
        let len = (last * self.tile).min(self.len).saturating_sub(first * self.tile);
        self.rectangles.is_none().then_some(Tile { number: first, len })
    }

    /// The runs that a tile of a plan [`of_runs`](Self::of_runs) consists of, in order.
    pub fn runs(&self, tile: Tile, mut visit: impl FnMut(Run<N>)) {
        let (inner, strides) = self.run;
        let (start, end) = (tile.number * self.tile, tile.number * self.tile + tile.len);
        let mut at = start;
        while at < end {
            let len = (inner - at % inner).min(end - at);
            let offsets = std::array::from_fn(|operand| self.starts[operand] + self.lays[operand].offset(at));
            visit(Run { at: at - start, len, offsets, strides });
            at += len;
        }
    }

    /// The one piece that holds all of an operand's elements of a tile, if there is such a piece.
    #[inline]
    pub fn piece(&self, operand: usize, tile: Tile) -> Option<Piece> {
        let first = self.starts[operand];
        if let Some(rectangles) = &self.rectangles {
            return rectangles.piece(operand, tile.number, first);
        }
        let lay = &self.lays[operand];
        let (start, (cols, stride)) = (tile.number * self.tile, lay.inner);
        let offset = if lay.outer.is_empty() {
            first + start as isize * stride
        } else if start % cols + tile.len <= cols {
            first + lay.offset(start)
        } else {
            return None;
        };
        Some(Piece { offset, at: 0, rows: 1, cols: tile.len, row_stride: 0, col_stride: stride })
    }

    /// Visits the pieces that an operand's elements of a tile consist of, in order.
    #[inline]
    pub fn pieces(&self, operand: usize, tile: Tile, mut visit: impl FnMut(Piece)) {
        let first = self.starts[operand];
        match (self.piece(operand, tile), &self.rectangles) {
            (Some(piece), _) => visit(piece),
            (None, Some(rectangles)) => rectangles.pieces(operand, tile.number, first, visit),
            (None, None) => self.lays[operand].pieces(first, tile.number * self.tile, tile.len, visit),
        }
    }
}

impl<const N: usize> Axis<N> {
    /// Turns the axis round if the leading operands walk it backwards.
    fn turn(&mut self, starts: &mut [isize; N], leading: usize) {
        let leaders = &self.strides[..leading];
        let backwards = leaders.iter().all(|&stride| stride <= 0) && leaders.iter().any(|&stride| stride < 0);
        if !backwards || self.len == 0 {
            return;
        }
        for (start, stride) in starts.iter_mut().zip(&mut self.strides) {
            *start += *stride * (self.len as isize - 1);
            *stride = -*stride;
        }
    }

    /// Whether the axis has smaller strides than another: the first leading operand for which they differ decides.
    fn goes_inside(&self, other: &Self, leading: usize) -> bool {
        let mut strides = self.strides.iter().zip(&other.strides).take(leading);
        let differ = |&(&a, &b): &(&isize, &isize)| a != 0 && b != 0 && a.abs() != b.abs();
        strides.find(differ).is_some_and(|(a, b)| a.abs() < b.abs())
    }
}

/// Axes from the inside out, those that lie end to end in all operands made one.
fn merge<const N: usize>(axes: &[Axis<N>]) -> Vec<Axis<N>> {
    let mut merged: Vec<Axis<N>> = Vec::with_capacity(axes.len());
    for axes in end_to_end(axes, N) {
        let len = axes.iter().map(|axis| axis.len).product();
        merged.push(Axis { len, strides: axes[0].strides });
    }
    merged
}

/// Axes from the inside out, cut where one does not begin where those before it end in the leading operands.
fn end_to_end<const N: usize>(axes: &[Axis<N>], leading: usize) -> impl Iterator<Item = &[Axis<N>]> {
    axes.chunk_by(move |inner, outer| {
        let mut strides = inner.strides.iter().zip(&outer.strides).take(leading);
        strides.all(|(inner_stride, outer_stride)| inner_stride * inner.len as isize == *outer_stride)
    })
}

impl Lay {
    fn new<const N: usize>(axes: &[Axis<N>], operand: usize) -> Self {
        let own: Vec<Axis<1>> =
            axes.iter().map(|axis| Axis { len: axis.len, strides: [axis.strides[operand]] }).collect();
        let mut own = merge(&own).into_iter().map(|axis| (axis.len, axis.strides[0]));
        Self { inner: own.next().unwrap_or((1, 0)), outer: own.collect() }
    }

    /// Bytes from the first element to that of number `at`.
    #[inline]
    fn offset(&self, at: usize) -> isize {
        let (cols, stride) = self.inner;
        let mut offset = (at % cols) as isize * stride;
        let mut row = at / cols;
        for &(len, stride) in &self.outer {
            offset += (row % len) as isize * stride;
            row /= len;
        }
        offset
    }

    /// The pieces of `len` elements from element `at` on: full rows together, what is left of a row alone.
    fn pieces(&self, first: isize, mut at: usize, len: usize, mut visit: impl FnMut(Piece)) {
        let (cols, col_stride) = self.inner;
        let &(rows, row_stride) = self.outer.first().unwrap_or(&(1, 0));
        let (start, end) = (at, at + len);
        while at < end {
            let (row, col) = (at / cols % rows, at % cols);
            let offset = first + self.offset(at);
            let left = end - at;
            let (rows, cols) = if col == 0 && left >= cols {
                ((left / cols).min(rows - row), cols)
            } else {
                (1, left.min(cols - col))
            };
            visit(Piece { offset, at: at - start, rows, cols, row_stride, col_stride });
            at += rows * cols;
        }
    }
}
