//! Copying grids of elements: from any strides to any strides, by the size of an element alone.

use crate::cache::{LINE, prefetch};
use crate::simd::{AnyIsa, Isa, Kernel, transpose};

/// Rows shorter than this are copied column by column, if the columns are longer.
const SHORT: usize = 8;

/// Runs longer than this are foreseen.
const FAR: usize = 4096;

/// Where a grid lies: strides in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Grid<P> {
    /// The first element.
    pub start: P,
    /// Bytes from a row to the next.
    pub row: isize,
    /// Bytes from an element of a row to the next.
    pub col: isize,
}

/// Copies `rows` times `cols` elements of `size` bytes.
///
/// # Safety
/// All elements of `source` must be valid for reading, those of `target` for writing; they need not be aligned,
/// but must not overlap.
pub unsafe fn copy(
    isa: AnyIsa,
    size: usize,
    [rows, cols]: [usize; 2],
    source: Grid<*const u8>,
    target: Grid<*mut u8>,
) {
    let unit = size as isize;
    let packed = rows > 1 && target.col == unit && target.row == (cols * size) as isize;
    let (way, [rows, cols], source, target) = if packed && source.row == 0 {
        (Way::Repeat, [rows, cols], source, target)
    } else if packed && source.col == 0 {
        (Way::Spread, [rows, cols], source, target)
    } else if is_transposed([rows, cols], size, &source, &target) {
        (Way::Transpose, [rows, cols], source, target)
    } else if is_transposed([cols, rows], size, &source.turned(), &target.turned()) {
        (Way::Transpose, [cols, rows], source.turned(), target.turned())
    } else if is_better_turned([rows, cols], &source, &target) {
        (Way::Rows, [cols, rows], source.turned(), target.turned())
    } else {
        (Way::Rows, [rows, cols], source, target)
    };
    match size {
        1 => isa.vectorize(Copy { way, shape: [rows, cols], source, target, element: 0_u8 }),
        2 => isa.vectorize(Copy { way, shape: [rows, cols], source, target, element: 0_u16 }),
        4 => isa.vectorize(Copy { way, shape: [rows, cols], source, target, element: 0_u32 }),
        _ => isa.vectorize(Copy { way, shape: [rows, cols], source, target, element: 0_u64 }),
    }
}

/// Whether to copy columns instead of rows: along the smaller strides, so that neighbours in memory are touched one
/// after the other, but not in rows too short to be worth a loop.
fn is_better_turned([rows, cols]: [usize; 2], source: &Grid<*const u8>, target: &Grid<*mut u8>) -> bool {
    let reach = |row: isize, col: isize| row.unsigned_abs().max(col.unsigned_abs());
    let short = cols < SHORT && cols < rows;
    rows > 1 && (short || reach(source.row, target.row) < reach(source.col, target.col))
}

/// Whether rows lie in one piece in the source, columns in the target, and all elements are aligned.
fn is_transposed(
    [rows, cols]: [usize; 2],
    size: usize,
    source: &Grid<*const u8>,
    target: &Grid<*mut u8>,
) -> bool {
    let unit = size as isize;
    let whole = || [source.row, target.col].iter().all(|pitch| pitch % unit == 0);
    let aligned =
        || [source.start.addr(), target.start.addr()].iter().all(|start| start.is_multiple_of(size));
    rows > 1 && cols > 1 && source.col == unit && target.row == unit && whole() && aligned()
}

/// How a grid is copied.
#[derive(Clone, Copy)]
enum Way {
    /// Row by row.
    Rows,
    /// All rows are the same, and lie end to end in the target.
    Repeat,
    /// All elements of a row are the same, and rows lie end to end in the target.
    Spread,
    /// Rows lie in one piece in the source, columns in the target; all elements are aligned.
    Transpose,
}

impl<P> Grid<P> {
    /// Rows as columns.
    #[inline]
    fn turned(self) -> Self {
        Self { start: self.start, row: self.col, col: self.row }
    }
}

/// The loop over rows, for elements as large as `T`.
struct Copy<T> {
    way: Way,
    shape: [usize; 2],
    source: Grid<*const u8>,
    target: Grid<*mut u8>,
    #[expect(dead_code, reason = "names the type")]
    element: T,
}

impl<T: std::marker::Copy> Kernel for Copy<T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { way, shape: [rows, cols], source, target, .. } = self;
        // SAFETY: all rows are the grid's, for which the caller of `copy` vouches.
        unsafe {
            match way {
                Way::Rows => {
                    for row in 0..rows as isize {
                        let from = source.start.offset(row * source.row);
                        let to = target.start.offset(row * target.row);
                        strip::<T>(from, source.col, to, target.col, cols);
                    }
                }
                Way::Repeat => {
                    strip::<T>(source.start, source.col, target.start, target.col, cols);
                    repeat(target.start, cols * size_of::<T>(), rows * cols * size_of::<T>());
                }
                Way::Spread => spread::<T>(source, target.start.cast(), [rows, cols]),
                Way::Transpose => {
                    let pitch = |bytes: isize| bytes / size_of::<T>() as isize;
                    let (from, to) = (source.start.cast::<T>(), target.start.cast::<T>());
                    transpose(from, pitch(source.row), to, pitch(target.col), rows, cols);
                }
            }
        }
    }
}

/// Fills `len` bytes with copies of the first `done`.
///
/// # Safety
/// The memory must be valid for `len` bytes.
#[inline(always)]
unsafe fn repeat(start: *mut u8, mut done: usize, len: usize) {
    while done < len {
        let more = done.min(len - done);
        // SAFETY: `done + more` does not exceed `len`, and the copy starts behind what is copied.
        unsafe { start.copy_to_nonoverlapping(start.add(done), more) };
        done += more;
    }
}

/// Fills rows with their first element each.
///
/// # Safety
/// As [`copy`], the target being contiguous.
#[inline(always)]
unsafe fn spread<T: std::marker::Copy>(source: Grid<*const u8>, to: *mut T, [rows, cols]: [usize; 2]) {
    /// Elements written at once.
    const AT_ONCE: usize = 16;
    let len = rows * cols;
    for row in 0..rows {
        // SAFETY: the caller vouches for `rows` elements of the source and `len` of the target.
        unsafe {
            let x = source.start.offset(row as isize * source.row).cast::<T>().read_unaligned();
            let (mut at, end) = (row * cols, (row + 1) * cols);
            // What goes beyond the row belongs to rows that are still to be written.
            while at < end && at + AT_ONCE <= len {
                to.add(at).cast::<[T; AT_ONCE]>().write_unaligned([x; AT_ONCE]);
                at += AT_ONCE;
            }
            while at < end {
                to.add(at).write_unaligned(x);
                at += 1;
            }
        }
    }
}

/// Copies one row. The strides that matter most have loops of their own, which become vectors.
///
/// # Safety
/// As [`copy`].
#[inline(always)]
unsafe fn strip<T: std::marker::Copy>(from: *const u8, step: isize, to: *mut u8, to_step: isize, len: usize) {
    let size = size_of::<T>() as isize;
    // SAFETY: all offsets below are those of elements of the row.
    unsafe {
        let read = |i: usize, step: isize| from.offset(i as isize * step).cast::<T>().read_unaligned();
        let write = |i: usize, step: isize, x: T| to.offset(i as isize * step).cast::<T>().write_unaligned(x);
        match (step, to_step) {
            (a, b) if a == size && b == size => from.copy_to_nonoverlapping(to, len * size_of::<T>()),
            (0, b) if b == size => {
                let x = read(0, 0);
                (0..len).for_each(|i| write(i, size, x));
            }
            (a, b) if a == size && b == -size => {
                // From the other end.
                let last = (len as isize - 1) * size;
                strip::<T>(from.offset(last), -size, to.offset(-last), size, len);
            }
            (a, b) if a == -size && b == size => (0..len).for_each(|i| write(i, size, read(i, -size))),
            (a, b) if a == 2 * size && b == size => (0..len).for_each(|i| write(i, size, read(i, 2 * size))),
            (a, b) if a == size => (0..len).for_each(|i| write(i, b, read(i, size))),
            (a, b) if b == size => (0..len).for_each(|i| write(i, size, read(i, a))),
            (a, b) => (0..len).for_each(|i| write(i, b, read(i, a))),
        }
    }
}

/// Asks for the cache lines of a grid ahead of its copy. Short runs far apart are what the processor does not
/// foresee by itself.
pub fn prefetch_grid(size: usize, [rows, cols]: [usize; 2], grid: Grid<*const u8>) {
    let ((runs, far), (len, near)) = if grid.row.unsigned_abs() < grid.col.unsigned_abs() {
        ((cols, grid.col), (rows, grid.row))
    } else {
        ((rows, grid.row), (cols, grid.col))
    };
    let bytes = (len - 1) * near.unsigned_abs() + size;
    let back = if near < 0 { (len - 1) as isize * near } else { 0 };
    if bytes > FAR {
        return;
    }
    for run in 0..runs as isize {
        let start = grid.start.wrapping_offset(run * far + back);
        for at in (0..bytes - 1).step_by(LINE).chain([bytes - 1]) {
            prefetch::<false>(start.wrapping_add(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies grids with these strides out of packed ones or into them, and looks where the elements have gone.
    fn check(isa: AnyIsa, size: usize, [rows, cols]: [usize; 2], [row, col]: [isize; 2], start: usize) {
        let (unit, packed) = (size as isize, rows * cols * size);
        let source: Vec<u8> = (0..100_000_u32).map(|i| (i * 7 + i / 256) as u8).collect();
        let (mut found, mut back) = (vec![0_u8; packed], vec![0_u8; source.len()]);
        let start = source.as_ptr().align_offset(8) + start;
        let pack = |start: *mut u8| Grid { start, row: cols as isize * unit, col: unit };
        let strided = |start: *mut u8| Grid { start, row: row * unit, col: col * unit };
        let read =
            |grid: Grid<*mut u8>| Grid { start: grid.start.cast_const(), row: grid.row, col: grid.col };
        let at = |i: usize| {
            let offset = (i / cols) as isize * row + (i % cols) as isize * col;
            (start as isize + offset * unit) as usize
        };
        // SAFETY: offsets reach at most 40 * 64 * 8 / 2 bytes from the middle of the arrays.
        unsafe {
            let from = source.as_ptr().add(start).cast_mut();
            copy(isa, size, [rows, cols], read(strided(from)), pack(found.as_mut_ptr()));
            let to = back.as_mut_ptr().add(start);
            copy(isa, size, [rows, cols], read(pack(found.as_mut_ptr())), strided(to));
        }
        for (i, element) in found.chunks(size).enumerate() {
            let at = at(i)..at(i) + size;
            let case = format!("{} {size} {rows} {cols} {row} {col} {i}", isa.name());
            assert_eq!(element, &source[at.clone()], "{case}");
            assert_eq!(element, &back[at.clone()], "{case}");
            back[at].fill(0);
        }
        assert!(back.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn every_element_arrives_from_any_strides_and_goes_back() {
        for isa in AnyIsa::available() {
            for size in [1, 2, 4, 8] {
                for shape @ [rows, cols] in [[1, 1], [1, 37], [5, 3], [3, 5], [16, 32], [40, 2]] {
                    let unit = [cols as isize, rows as isize];
                    for strides in
                        [[unit[0], 1], [1, unit[1]], [1, 41], [50, 1], [41, -1], [-64, 2], [1, -40]]
                    {
                        for start in [50_000, 50_001] {
                            check(isa, size, shape, strides, start);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn elements_that_are_the_same_are_repeated() {
        for isa in AnyIsa::available() {
            for size in [1_usize, 2, 4, 8] {
                for (rows, cols) in [(1, 1), (5, 3), (16, 32), (40, 2)] {
                    for (row, col) in [(0, 1), (1, 0)] {
                        let source: Vec<u8> = (0..400_u32).map(|i| i as u8).collect();
                        let (unit, mut found) = (size as isize, vec![0_u8; rows * cols * size]);
                        let from = Grid { start: source[1..].as_ptr(), row: row * unit, col: col * unit };
                        let to = Grid { start: found.as_mut_ptr(), row: cols as isize * unit, col: unit };
                        // SAFETY: there are as many elements.
                        unsafe { copy(isa, size, [rows, cols], from, to) };
                        for (i, element) in found.chunks(size).enumerate() {
                            let at = 1 + size * if row == 0 { i % cols } else { i / cols };
                            assert_eq!(element, &source[at..at + size], "{size} {rows} {cols} {row}");
                        }
                    }
                }
            }
        }
    }
}
