//! What rows of elements have in common, laid out for every element.

use crate::kernel::labels::{Ignored, label};
use crate::real::Real;
use crate::simd::{Isa, Kernel};

/// What becomes of elements.
pub trait Each: Copy {
    /// What the elements of a row have in common.
    type Row: Copy;

    /// Number of rows.
    fn rows(self) -> usize;

    /// What those of a row have in common.
    fn row(self, row: usize) -> Self::Row;

    /// Writes the elements from `at` on, as if they were all of this row.
    ///
    /// # Safety
    /// There must be so many elements.
    unsafe fn write<const N: usize>(self, row: Self::Row, at: usize);
}

/// Each element becomes the number of its row.
#[derive(Clone, Copy)]
pub struct Same<'a, R> {
    /// The numbers of the rows.
    pub numbers: &'a [R],
    /// Where the elements go.
    pub elements: *mut R,
}

impl<R: Real> Each for Same<'_, R> {
    type Row = R;

    #[inline(always)]
    fn rows(self) -> usize {
        self.numbers.len()
    }

    #[inline(always)]
    fn row(self, row: usize) -> R {
        self.numbers[row]
    }

    #[inline(always)]
    unsafe fn write<const N: usize>(self, number: R, at: usize) {
        // SAFETY: the caller vouches for the elements.
        unsafe { self.elements.add(at).cast::<[R; N]>().write_unaligned([number; N]) };
    }
}

/// A label for each element: 1 where the target of its row is its class, else 0; [`Ignored::marked`] where it is ignored.
#[derive(Clone, Copy)]
pub struct IsClass<'a, R> {
    /// The target of each row.
    pub targets: &'a [f64],
    /// The class of each element.
    pub classes: &'a [f64],
    /// Targets that do not count.
    pub ignored: Option<Ignored<f64>>,
    /// Where the labels go.
    pub labels: *mut R,
}

impl<R: Real> Each for IsClass<'_, R> {
    type Row = f64;

    #[inline(always)]
    fn rows(self) -> usize {
        self.targets.len()
    }

    #[inline(always)]
    fn row(self, row: usize) -> f64 {
        self.targets[row]
    }

    #[inline(always)]
    unsafe fn write<const N: usize>(self, target: f64, at: usize) {
        let classes = &self.classes[at..at + N];
        let mut labels = [R::ZERO; N];
        for i in 0..N {
            labels[i] = label(target, classes[i], self.ignored);
        }
        // SAFETY: the caller vouches for the elements.
        unsafe { self.labels.add(at).cast::<[R; N]>().write_unaligned(labels) };
    }
}

/// Writes the elements of the first row but those left out, then those of every other, until there are `len`.
pub struct Repeat<E> {
    each: E,
    cols: usize,
    skip: usize,
    len: usize,
}

impl<E: Each> Repeat<E> {
    /// For `len` elements of rows of `cols`, but for `skip` that are left out of the first.
    ///
    /// # Safety
    /// There must be memory for as many elements, and no fewer rows than they need.
    pub unsafe fn new(each: E, [cols, skip, len]: [usize; 3]) -> Self {
        Self { each, cols, skip, len }
    }

    /// `N` elements are written at once: they may reach into rows that are written later.
    #[inline(always)]
    fn by_chunks<const N: usize>(self) {
        let Self { each, cols, skip, len } = self;
        // Rows behind which there is room for a chunk, then those at the end.
        let whole = ((len + skip).saturating_sub(N) / cols).min(each.rows());
        let (mut start, mut end) = (0, cols - skip);
        for row in 0..whole {
            let row = each.row(row);
            while start < end {
                // SAFETY: `start < end <= len - N`, and the maker vouches for `len` elements.
                unsafe { each.write::<N>(row, start) };
                start += N;
            }
            start = end;
            end += cols;
        }
        for row in whole..each.rows() {
            let row = each.row(row);
            for at in start..end.min(len) {
                // SAFETY: `at < len`.
                unsafe { each.write::<1>(row, at) };
            }
            start = end;
            end += cols;
        }
    }
}

impl<E: Each> Kernel for Repeat<E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        match self.cols {
            0..=4 => self.by_chunks::<4>(),
            5..=8 => self.by_chunks::<8>(),
            9..=12 => self.by_chunks::<12>(),
            _ => self.by_chunks::<16>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::AnyIsa;

    /// Calls `check` with rows of many lengths: columns, elements left out, elements, rows.
    fn over_shapes(mut check: impl FnMut(AnyIsa, ([usize; 3], usize))) {
        for isa in AnyIsa::available() {
            for cols in [1, 2, 3, 5, 8, 10, 12, 15, 16, 17, 80, 500] {
                for skip in [0, 1, cols / 2, cols - 1].map(|skip| skip.min(cols - 1)) {
                    for len in [0, 1, 9, 16, 31, 200, 512] {
                        check(isa, ([cols, skip, len], (skip + len).div_ceil(cols)));
                    }
                }
            }
        }
    }

    #[test]
    fn every_element_has_the_number_of_its_row() {
        let numbers: Vec<f32> = (0..1100).map(|row| row as f32).collect();
        over_shapes(|isa, (shape, rows)| {
            let [cols, skip, len] = shape;
            let mut found = vec![-1.0_f32; len];
            let each = Same { numbers: &numbers[..rows], elements: found.as_mut_ptr() };
            // SAFETY: there are `len` elements.
            isa.vectorize(unsafe { Repeat::new(each, shape) });
            for (i, number) in found.into_iter().enumerate() {
                assert_eq!(number, ((i + skip) / cols) as f32, "{shape:?} {i}");
            }
        });
    }

    #[test]
    fn labels_are_1_for_the_class_of_their_row() {
        let targets: Vec<f64> = (0..1100).map(|row| f64::from(row * 5 % 13)).collect();
        over_shapes(|isa, (shape, rows)| {
            let [cols, skip, len] = shape;
            let class = |i: usize| ((i + skip) % cols) as f64;
            let classes: Vec<f64> =
                (0..len).map(|i| if class(i) == 3.0 { f64::NAN } else { class(i) }).collect();
            let mut labels = vec![-1.0_f32; len];
            let ignored = Some(Ignored::new(7.0));
            let each = IsClass {
                targets: &targets[..rows],
                classes: &classes,
                ignored,
                labels: labels.as_mut_ptr(),
            };
            // SAFETY: there are `len` labels.
            isa.vectorize(unsafe { Repeat::new(each, shape) });
            for (i, label) in labels.into_iter().enumerate() {
                let target = targets[(i + skip) / cols];
                let is_class = class(i) == target && target != 3.0;
                let want = if target == 7.0 { 2 } else { u8::from(is_class) };
                assert_eq!(label, f32::from(want), "{shape:?} {i}");
            }
        });
    }
}
