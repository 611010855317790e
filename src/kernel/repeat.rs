//! Numbers that rows of elements have in common, laid out for every element.

use std::mem::MaybeUninit;

use crate::real::Real;
use crate::simd::{Isa, Kernel};

/// Elements that are written at once. They may reach into rows that are written later.
const CHUNK: usize = 16;

/// Writes the first number for the rest of the first row, every other for a row.
pub struct Repeat<'a, R> {
    /// The number of each row.
    pub numbers: &'a [R],
    /// Elements of a row.
    pub cols: usize,
    /// Elements of the first row that are left out.
    pub skip: usize,
    /// Where they go.
    pub elements: &'a mut [MaybeUninit<R>],
}

impl<R: Real> Kernel for Repeat<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { numbers, cols, skip, elements } = self;
        // Rows behind which there is room for a chunk, then those at the end.
        let whole = (elements.len() + skip).saturating_sub(CHUNK) / cols;
        let (whole, rest) = numbers.split_at(whole.min(numbers.len()));
        let (mut start, mut end) = (0, cols - skip);
        for &number in whole {
            while start < end {
                // SAFETY: `start < end <= len - CHUNK`.
                let chunk =
                    unsafe { &mut *elements.as_mut_ptr().add(start).cast::<[MaybeUninit<R>; CHUNK]>() };
                *chunk = [MaybeUninit::new(number); CHUNK];
                start += CHUNK;
            }
            start = end;
            end += cols;
        }
        for &number in rest {
            end = end.min(elements.len());
            elements[start..end].fill(MaybeUninit::new(number));
            start = end;
            end += cols;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MaybeUninit, Repeat};
    use crate::simd::AnyIsa;

    #[test]
    fn every_element_has_the_number_of_its_row() {
        let numbers: Vec<f32> = (0..300).map(|row| row as f32).collect();
        for isa in AnyIsa::available() {
            for cols in [1, 2, 3, 10, 15, 16, 17, 80, 500] {
                for skip in [0, 1, cols / 2, cols - 1].map(|skip| skip.min(cols - 1)) {
                    for len in [0, 1, 9, 16, 31, 200, 512] {
                        let mut elements = vec![MaybeUninit::new(-1.0); len];
                        let numbers = &numbers[..(skip + len).div_ceil(cols).min(300)];
                        isa.vectorize(Repeat { numbers, cols, skip, elements: &mut elements });
                        for (i, element) in elements.iter().enumerate().take(300 * cols - skip) {
                            // SAFETY: all were written when they were made.
                            let element = unsafe { element.assume_init() };
                            assert_eq!(element, ((i + skip) / cols) as f32, "{cols} {skip} {len} {i}");
                        }
                    }
                }
            }
        }
    }
}
