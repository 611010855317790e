//! What short rows of elements have in common, laid out for every element: a vector at a time, which has elements of
//! several rows.

use crate::real::Real;
use crate::simd::{Isa, Kernel, MOST_LANES, Pick, Vector};

/// The fewest elements that rows may have: a vector has elements of no more rows than it can pick numbers from.
const LEAST: usize = 5;

/// The most. In longer rows there is little to pick.
const MOST: usize = 2 * MOST_LANES;

/// Whether rows of so many elements are laid out this way.
pub fn are_short(cols: usize) -> bool {
    (LEAST..=MOST).contains(&cols)
}

/// How many numbers behind that of the last row are read, but not used.
pub const BEHIND: usize = 3;

/// For rows of so many elements, the number of the row of each element.
static ROW_OF: [[u8; 2 * MOST_LANES]; MOST_LANES + 1] = {
    let mut row_of = [[0; 2 * MOST_LANES]; MOST_LANES + 1];
    let mut cols = 1;
    while cols <= MOST_LANES {
        let mut i = 0;
        while i < 2 * MOST_LANES {
            row_of[cols][i] = (i / cols) as u8;
            i += 1;
        }
        cols += 1;
    }
    row_of
};

/// Where a vector begins: the number of a row, and where in [`ROW_OF`] stand the rows of its elements less that.
type Start = [u8; 2];

/// Where a vector begins, so many elements behind the beginning of a row. Rows longer than [`ROW_OF`] has are as if they
/// began later: a vector has elements of no more than two.
const fn start(cols: usize, at: usize) -> Start {
    let (row, col) = (at / cols, at % cols);
    let before = cols.saturating_sub(MOST_LANES);
    [row as u8, col.saturating_sub(before) as u8]
}

/// For rows of so many elements, where the vectors begin of as many rows as a vector has lanes: one for each column.
const fn starts(lanes: usize) -> [[Start; MOST]; MOST + 1] {
    let mut starts = [[[0; 2]; MOST]; MOST + 1];
    let mut cols = LEAST;
    while cols <= MOST {
        let mut vector = 0;
        while vector < cols {
            starts[cols][vector] = start(cols, vector * lanes);
            vector += 1;
        }
        cols += 1;
    }
    starts
}

/// Makes each element the number of its row.
pub struct ByRow<'a, R> {
    numbers: &'a [R],
    elements: *mut R,
    cols: usize,
    skip: usize,
    len: usize,
}

impl<'a, R: Real> ByRow<'a, R> {
    /// For `len` elements of rows of `cols`, but for `skip` that are left out of the first: the numbers of the rows, and
    /// where the elements go.
    ///
    /// # Safety
    /// There must be as many elements, and numbers for as many rows as they need and [`BEHIND`] more. Rows must be
    /// [short](are_short), and the first have elements that are not left out.
    pub unsafe fn new(numbers: &'a [R], elements: *mut R, [cols, skip, len]: [usize; 3]) -> Self {
        Self { numbers, elements, cols, skip, len }
    }

    /// Writes the elements of a vector from `at` on, which begins in this row and so on.
    ///
    /// # Safety
    /// There must be so many elements.
    #[inline(always)]
    unsafe fn vector<V: Pick<Real = R>>(&self, isa: V::Isa, at: usize, row: usize, [on, place]: Start) {
        let row = row + usize::from(on);
        // SAFETY: the maker vouches for the elements and the numbers. The vector begins in the first row that `ROW_OF`
        // has for as many columns, which is a vector longer.
        unsafe {
            let rows = ROW_OF[self.cols.min(MOST_LANES)].as_ptr().add(usize::from(place));
            V::pick(isa, self.numbers.as_ptr().add(row), rows).store(self.elements.add(at));
        }
    }

    /// Writes the elements one by one.
    #[inline(always)]
    fn by_elements(&self) {
        for at in 0..self.len {
            // SAFETY: the maker vouches for the elements.
            unsafe { self.elements.add(at).write(self.numbers[(self.skip + at) / self.cols]) };
        }
    }
}

impl<R: Real> Kernel for ByRow<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let starts = const { &starts(<R::One<I>>::LANES) };
        const { assert!((<R::One<I>>::LANES - 1).div_ceil(LEAST) < <R::One<I>>::WINDOW) };
        let (lanes, &Self { cols, skip, len, .. }) = (<R::One<I>>::LANES, &self);
        if len < lanes {
            return self.by_elements();
        }
        // What is left of the first row, then as many rows at a time as a vector has lanes, then the end. Between these,
        // vectors may have elements that others have, too.
        let (mut at, mut row) = (0, 1);
        // SAFETY: the maker vouches for `len` elements, beyond which no vector goes.
        unsafe {
            while at < cols - skip && at + lanes <= len {
                self.vector::<R::One<I>>(isa, at, 0, start(cols, skip + at));
                at += lanes;
            }
            at = cols - skip;
            'rows: loop {
                for start in &starts[cols][..cols] {
                    if at + lanes > len {
                        break 'rows;
                    }
                    self.vector::<R::One<I>>(isa, at, row, *start);
                    at += lanes;
                }
                row += lanes;
            }
            let last = skip + len - lanes;
            self.vector::<R::One<I>>(isa, len - lanes, last / cols, start(cols, last % cols));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::AnyIsa;

    fn check<R: Real>(isa: AnyIsa, cols: usize, skip: usize, len: usize) {
        let numbers: Vec<R> = (1..1100).map(|row| R::from_f64(f64::from(row))).collect();
        let mut found = vec![R::ZERO; len + 1];
        // SAFETY: there are `len` elements, and numbers for more rows.
        isa.vectorize(unsafe { ByRow::new(&numbers, found.as_mut_ptr(), [cols, skip, len]) });
        for (i, number) in found[..len].iter().enumerate() {
            let want = ((i + skip) / cols + 1) as f64;
            assert_eq!(number.to_f64(), want, "{} {cols} {skip} {len} {i}", isa.name());
        }
        assert!(found[len].to_f64() == 0.0, "{} {cols} {skip} {len}", isa.name());
    }

    #[test]
    fn every_element_has_the_number_of_its_row() {
        for isa in AnyIsa::available() {
            for cols in (0..100).filter(|&cols| are_short(cols)) {
                for skip in [0, 1, cols / 2, cols - 1] {
                    for len in [0, 1, 3, 4, 9, 15, 16, 31, 200, 512, 2048] {
                        check::<f32>(isa, cols, skip, len);
                        check::<f64>(isa, cols, skip, len);
                    }
                }
            }
        }
    }
}
