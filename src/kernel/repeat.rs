//! What rows of elements have in common, laid out for every element.

use std::mem::MaybeUninit;

use crate::real::Real;
use crate::simd::{Isa, Kernel};

/// Elements that are written at once. They may reach into rows that are written later.
const CHUNK: usize = 16;

/// What an element becomes.
pub trait Each<R>: Copy {
    /// What the elements of a row have in common.
    type Row: Copy;

    /// Number of rows.
    fn rows(self) -> usize;

    /// What those of a row have in common.
    fn row(self, row: usize) -> Self::Row;

    /// Writes the elements from `at` on, as if they were all of this row.
    fn write<const N: usize>(self, row: Self::Row, at: usize, elements: &mut [MaybeUninit<R>; N]);
}

/// The number of its row.
#[derive(Clone, Copy)]
pub struct Same<'a, R>(pub &'a [R]);

impl<R: Real> Each<R> for Same<'_, R> {
    type Row = R;

    #[inline(always)]
    fn rows(self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn row(self, row: usize) -> R {
        self.0[row]
    }

    #[inline(always)]
    fn write<const N: usize>(self, row: R, _: usize, elements: &mut [MaybeUninit<R>; N]) {
        *elements = [MaybeUninit::new(row); N];
    }
}

/// A label: 1 where the target of its row is its class, else 0.
#[derive(Clone, Copy)]
pub struct IsClass<'a> {
    /// The target of each row.
    pub targets: &'a [f64],
    /// The class of each element.
    pub classes: &'a [f64],
}

impl<R: Real> Each<R> for IsClass<'_> {
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
    fn write<const N: usize>(self, target: f64, at: usize, labels: &mut [MaybeUninit<R>; N]) {
        let classes = &self.classes[at..at + N];
        for i in 0..N {
            labels[i].write(if classes[i] == target { R::ONE } else { R::ZERO });
        }
    }
}

/// Writes the elements of the first row but those left out, then those of every other.
pub struct Repeat<'a, E, R> {
    /// What they become.
    pub each: E,
    /// Elements of a row.
    pub cols: usize,
    /// Elements of the first row that are left out.
    pub skip: usize,
    /// Where they go.
    pub elements: &'a mut [MaybeUninit<R>],
}

impl<R: Real, E: Each<R>> Kernel for Repeat<'_, E, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { each, cols, skip, elements } = self;
        // Rows behind which there is room for a chunk, then those at the end.
        let whole = (elements.len() + skip).saturating_sub(CHUNK) / cols;
        let whole = whole.min(each.rows());
        let (mut start, mut end) = (0, cols - skip);
        for row in 0..whole {
            let row = each.row(row);
            while start < end {
                // SAFETY: `start < end <= len - CHUNK`.
                let chunk = unsafe { &mut *elements.as_mut_ptr().add(start).cast() };
                each.write::<CHUNK>(row, start, chunk);
                start += CHUNK;
            }
            start = end;
            end += cols;
        }
        for row in whole..each.rows() {
            let row = each.row(row);
            for at in start..end.min(elements.len()) {
                each.write(row, at, std::array::from_mut(&mut elements[at]));
            }
            start = end;
            end += cols;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::AnyIsa;

    /// Calls `check` with rows of many lengths: columns, elements left out, elements, rows.
    fn over_shapes(mut check: impl FnMut(AnyIsa, [usize; 4])) {
        for isa in AnyIsa::available() {
            for cols in [1, 2, 3, 10, 15, 16, 17, 80, 500] {
                for skip in [0, 1, cols / 2, cols - 1].map(|skip| skip.min(cols - 1)) {
                    for len in [0, 1, 9, 16, 31, 200, 512] {
                        check(isa, [cols, skip, len, (skip + len).div_ceil(cols)]);
                    }
                }
            }
        }
    }

    fn written<E: Each<f32>>(isa: AnyIsa, each: E, [cols, skip, len, _]: [usize; 4]) -> Vec<f32> {
        let mut elements = vec![MaybeUninit::new(-1.0); len];
        isa.vectorize(Repeat { each, cols, skip, elements: &mut elements });
        // SAFETY: all were written when they were made.
        elements.into_iter().map(|element| unsafe { element.assume_init() }).collect()
    }

    #[test]
    fn every_element_has_the_number_of_its_row() {
        let numbers: Vec<f32> = (0..1100).map(|row| row as f32).collect();
        over_shapes(|isa, shape| {
            let [cols, skip, _, rows] = shape;
            for (i, element) in written(isa, Same(&numbers[..rows]), shape).into_iter().enumerate() {
                assert_eq!(element, ((i + skip) / cols) as f32, "{shape:?} {i}");
            }
        });
    }

    #[test]
    fn labels_are_1_for_the_class_of_their_row() {
        let targets: Vec<f64> = (0..1100).map(|row| f64::from(row * 5 % 13)).collect();
        over_shapes(|isa, shape| {
            let [cols, skip, len, rows] = shape;
            let class = |i: usize| ((i + skip) % cols) as f64;
            let classes: Vec<f64> =
                (0..len).map(|i| if class(i) == 3.0 { f64::NAN } else { class(i) }).collect();
            let each = IsClass { targets: &targets[..rows], classes: &classes };
            for (i, label) in written(isa, each, shape).into_iter().enumerate() {
                let target = targets[(i + skip) / cols];
                let want = class(i) == target && target != 3.0;
                assert_eq!(label, f32::from(u8::from(want)), "{shape:?} {i}");
            }
        });
    }
}
