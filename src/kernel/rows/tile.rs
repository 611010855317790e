//! Bringing rows of logits from any layout into a tile and results from there into any layout.

use std::ptr::copy_nonoverlapping;

use super::RowReal;
use crate::cache::prefetch_run;
use crate::simd::{AnyIsa, Isa, Kernel, stream, transpose};

/// How the lanes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Across rows: a class of all rows is contiguous.
    Columns,
    /// Across classes: a row is contiguous, and padded to whole groups of lanes.
    Lines,
}

/// Rows in private memory.
#[derive(Clone, Copy, Debug)]
pub struct Tile<R> {
    /// The first element.
    pub data: *mut R,
    /// Elements from one class (in columns) or row (in lines) to the next.
    pub pitch: usize,
    /// How the lanes lie.
    pub form: Form,
    /// Number of rows.
    pub rows: usize,
    /// Number of classes.
    pub classes: usize,
}

impl<R> Tile<R> {
    /// Where an element is. It must be inside.
    #[inline(always)]
    pub fn at(&self, row: usize, class: usize) -> *mut R {
        self.data.wrapping_add(match self.form {
            Form::Columns => class * self.pitch + row,
            Form::Lines => row * self.pitch + class,
        })
    }

    /// The runs of elements that the tile consists of, without their padding: its columns, or its lines.
    ///
    /// # Safety
    /// The tile must be valid, and nothing else refer to it while a run is in use.
    #[inline(always)]
    pub unsafe fn runs<'a>(self) -> impl Iterator<Item = &'a mut [R]>
    where
        R: 'a,
    {
        let (count, len) = match self.form {
            Form::Columns => (self.classes, self.rows),
            Form::Lines => (self.rows, self.classes),
        };
        // SAFETY: runs lie `pitch` apart, which is not less than their length.
        (0..count)
            .map(move |run| unsafe { std::slice::from_raw_parts_mut(self.data.add(run * self.pitch), len) })
    }
}

/// An array of rows in the caller's memory, strides in elements.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<P> {
    /// The first element.
    pub data: P,
    /// From one row to the next.
    pub row: isize,
    /// From one class to the next.
    pub class: isize,
}

impl<R> Matrix<*const R> {
    /// Where an element is.
    #[inline(always)]
    pub(super) fn from(&self, row: usize, class: usize) -> *const R {
        self.data.wrapping_offset(row as isize * self.row + class as isize * self.class)
    }

    /// What comes after a tile that has the rows from `row` and the classes from `class` on, of `classes` in all:
    /// their next classes, or the next rows; also those behind the run, where mostly the next run begins.
    pub(super) fn after(&self, row: usize, class: usize, tile: &Tile<R>, classes: usize) -> Self {
        let end = class + tile.classes;
        let (row, class) = if end < classes { (row, end) } else { (row + tile.rows, 0) };
        Self { data: self.from(row, class), ..*self }
    }
}

impl<R> Matrix<*mut R> {
    /// Where an element is.
    #[inline(always)]
    pub(super) fn from(&self, row: usize, class: usize) -> *mut R {
        self.data.wrapping_offset(row as isize * self.row + class as isize * self.class)
    }
}

/// Memory of an array that a tile is to be brought from or written to next. Groups of lanes ask for it while they work
/// on another tile: what is far from what went before, the processor does not foresee.
#[derive(Clone, Copy)]
pub struct Ahead<R> {
    data: *const R,
    row: isize,
    class: isize,
}

impl<R> Ahead<R> {
    /// The part of an array, a null one for none, that is as large as `tile` is, for groups of so many lanes of it.
    #[inline(always)]
    pub fn new(array: &Matrix<*const R>, tile: &Tile<R>, lanes: usize) -> Self {
        let Matrix { data, row, class } = *array;
        match tile.form {
            _ if data.is_null() => Self { data: tile.data, row: 0, class: 0 },
            Form::Columns if row == 1 => Self { data, row, class },
            Form::Lines if class == 1 => Self { data, row, class },
            // Rows of few classes, end to end or nearly so: as many rows as there are lanes are one run.
            Form::Columns if class == 1 => Self { data, row, class: lanes as isize },
            _ => Self { data: tile.data, row: 0, class: 0 },
        }
    }

    /// Asks for what belongs to a group of lanes.
    #[inline(always)]
    pub fn ask(&self, row: usize, class: usize, lanes: usize) {
        let start = self.data.wrapping_offset(row as isize * self.row + class as isize * self.class);
        prefetch_run::<true>(start.cast(), lanes * size_of::<R>());
    }
}

/// Fills a tile with the rows from `row` and the classes from `class` on, and the padding of lines with
/// `padding`.
///
/// # Safety
/// The rows and classes of the tile must lie within the array.
pub unsafe fn fetch<R: RowReal>(
    isa: AnyIsa,
    array: &Matrix<*const R>,
    row: usize,
    class: usize,
    tile: &Tile<R>,
    padding: R,
) {
    let Matrix { row: row_stride, class: class_stride, .. } = *array;
    let (source, data, pitch) = (array.from(row, class), tile.data, tile.pitch);
    // SAFETY: handed through from the caller; the tile holds its own rows and classes.
    unsafe {
        match tile.form {
            Form::Columns if row_stride == 1 => {
                for k in 0..tile.classes {
                    copy_nonoverlapping(array.from(row, class + k), data.add(k * pitch), tile.rows);
                }
            }
            Form::Lines if class_stride == 1 => {
                for r in 0..tile.rows {
                    copy_nonoverlapping(array.from(row + r, class), data.add(r * pitch), tile.classes);
                }
            }
            Form::Columns if class_stride == 1 => {
                isa.vectorize(Turn(source, row_stride, data, pitch as isize, tile.rows, tile.classes));
            }
            Form::Lines if row_stride == 1 => {
                isa.vectorize(Turn(source, class_stride, data, pitch as isize, tile.classes, tile.rows));
            }
            _ => {
                for r in 0..tile.rows {
                    for k in 0..tile.classes {
                        tile.at(r, k).write(array.from(row + r, class + k).read());
                    }
                }
            }
        }
    }
    pad(tile, padding);
}

/// Fills what lies between the last class of a line and the next line.
fn pad<R: RowReal>(tile: &Tile<R>, padding: R) {
    if tile.form == Form::Lines {
        for r in 0..tile.rows {
            for k in tile.classes..tile.pitch {
                // SAFETY: a line is as long as the pitch.
                unsafe { tile.at(r, k).write(padding) };
            }
        }
    }
}

/// Takes the numbers of the targets that are among the classes from `class` on out of a tile, and leaves
/// others in their place.
///
/// # Safety
/// `targets` must be valid for the rows of the tile.
pub unsafe fn take_targets<R: RowReal>(
    tile: &Tile<R>,
    class: usize,
    targets: *const i64,
    left: R,
    taken: &mut [R; super::ROWS],
) {
    for (r, taken) in taken.iter_mut().enumerate().take(tile.rows) {
        // SAFETY: the caller vouches for the targets; the class is inside the tile.
        unsafe {
            if let Some(k) = inside(targets.add(r).read(), class, tile.classes) {
                *taken = tile.at(r, k).replace(left);
            }
        }
    }
}

/// Puts the targets' results, for targets among the classes from `class` on, into a tile.
///
/// # Safety
/// `targets` must be valid for the rows of the tile.
pub unsafe fn put_targets<R: RowReal>(
    tile: &Tile<R>,
    class: usize,
    targets: *const i64,
    results: &[R; super::ROWS],
) {
    for (r, result) in results.iter().enumerate().take(tile.rows) {
        // SAFETY: the caller vouches for the targets; the class is inside the tile.
        unsafe {
            if let Some(k) = inside(targets.add(r).read(), class, tile.classes) {
                tile.at(r, k).write(*result);
            }
        }
    }
}

/// Where a target is among `classes` classes from `class` on. An ignored one is nowhere.
#[inline(always)]
fn inside(target: i64, class: usize, classes: usize) -> Option<usize> {
    let k = (target as usize).wrapping_sub(class);
    (target >= 0 && k < classes).then_some(k)
}

/// Writes a tile to the rows from `row` and the classes from `class` on, past the caches if `streamed`.
///
/// # Safety
/// The rows and classes of the tile must lie within the array.
pub unsafe fn emit<R: RowReal>(
    isa: AnyIsa,
    tile: &Tile<R>,
    array: &Matrix<*mut R>,
    row: usize,
    class: usize,
    streamed: bool,
) {
    let Matrix { row: row_stride, class: class_stride, .. } = *array;
    let (target, data, pitch) = (array.from(row, class), tile.data.cast_const(), tile.pitch);
    // SAFETY: handed through from the caller; the tile holds its own rows and classes.
    unsafe {
        match tile.form {
            Form::Columns if row_stride == 1 => {
                for k in 0..tile.classes {
                    write(data.add(k * pitch), array.from(row, class + k), tile.rows, streamed);
                }
            }
            Form::Lines if class_stride == 1 => {
                for r in 0..tile.rows {
                    write(data.add(r * pitch), array.from(row + r, class), tile.classes, streamed);
                }
            }
            Form::Columns if class_stride == 1 => {
                isa.vectorize(Turn(data, pitch as isize, target, row_stride, tile.classes, tile.rows));
            }
            Form::Lines if row_stride == 1 => {
                isa.vectorize(Turn(data, pitch as isize, target, class_stride, tile.rows, tile.classes));
            }
            _ => {
                for r in 0..tile.rows {
                    for k in 0..tile.classes {
                        array.from(row + r, class + k).write(tile.at(r, k).read());
                    }
                }
            }
        }
    }
}

/// # Safety
/// As [`stream`].
#[inline]
unsafe fn write<R: Copy>(source: *const R, target: *mut R, len: usize, streamed: bool) {
    // SAFETY: handed through from the caller.
    unsafe {
        if streamed {
            stream(source, target, len);
        } else {
            copy_nonoverlapping(source, target, len);
        }
    }
}

/// A transposition, its operands as [`transpose`] takes them.
struct Turn<R>(*const R, isize, *mut R, isize, usize, usize);

impl<R: RowReal> Kernel for Turn<R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self(source, source_pitch, target, target_pitch, rows, columns) = self;
        // SAFETY: `fetch` and `emit` make turns of what their callers vouch for.
        unsafe { transpose(source, source_pitch, target, target_pitch, rows, columns) }
    }
}
