//! Rows with numbers that are outside of their domain: they have no loss, so all their results are NaN.
//!
//! Nearly always there are none, which one pass over the numbers finds out before anything is written. The kernels
//! themselves need not know of such rows: what they have computed for them is overwritten.

use super::tile::Matrix;
use super::{DenseOperands, Operands, RowReal};
use crate::kernel::output;
use crate::simd::{AnyIsa, Isa, Kernel};

/// Which numbers a matrix may hold: those between two bounds, the bounds among them.
pub type Domain<R> = [R; 2];

/// Targets of every class, and probabilities that are taken as they are.
pub fn unit<R: RowReal>() -> Domain<R> {
    [R::ZERO, R::ONE]
}

/// What is clipped may be any number.
pub fn any_number<R: RowReal>() -> Domain<R> {
    [R::NEG_INFINITY, R::INFINITY]
}

/// The rows of a matrix that hold a NaN, or a number outside of the domain.
///
/// # Safety
/// The matrix must be readable for so many rows and classes.
pub unsafe fn outside<R: RowReal>(
    isa: AnyIsa,
    matrix: &Matrix<*const R>,
    [rows, classes]: [usize; 2],
    domain: Domain<R>,
) -> Vec<usize> {
    if isa.vectorize(AllInside { matrix, rows, classes, domain }) {
        return Vec::new();
    }
    let has_other = |&row: &usize| {
        // SAFETY: handed through from the caller.
        (0..classes).any(|class| !is_inside(unsafe { matrix.from(row, class).read() }, domain))
    };
    (0..rows).filter(has_other).collect()
}

/// Whether a number is in the domain; a NaN is not.
#[inline(always)]
fn is_inside<R: RowReal>(x: R, [least, most]: Domain<R>) -> bool {
    (x >= least) & (x <= most)
}

/// Whether all numbers of a matrix are in the domain.
struct AllInside<'a, R> {
    matrix: &'a Matrix<*const R>,
    rows: usize,
    classes: usize,
    domain: Domain<R>,
}

impl<R: RowReal> Kernel for AllInside<'_, R> {
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> bool {
        let Self { matrix, rows, classes, domain } = self;
        let Matrix { row, class, .. } = *matrix;
        let packed = class == 1 && (row == classes as isize || rows == 1);
        // Runs of numbers that lie one after the other, as long as there are any.
        let (runs, len) = match (packed, class, row) {
            (true, ..) => (1, rows * classes),
            (_, 1, _) => (rows, classes),
            (_, _, 1) => (classes, rows),
            _ => (rows * classes, 1),
        };
        let mut all = true;
        for run in 0..runs {
            let start = match (packed, class, row) {
                (true, ..) => matrix.data,
                (_, 1, _) => matrix.from(run, 0),
                (_, _, 1) => matrix.from(0, run),
                _ => matrix.from(run / classes, run % classes),
            };
            // SAFETY: the caller vouches for the rows and classes, of which the runs consist.
            let numbers = unsafe { std::slice::from_raw_parts(start, len) };
            let mut inside = true;
            for x in numbers {
                inside &= is_inside(*x, domain);
            }
            all &= inside;
        }
        all
    }
}

/// Makes the results of rows with one target class NaN, but for ignored rows.
///
/// # Safety
/// As [`super::Compiled::run_probabilities`], for these rows.
pub unsafe fn spoil<R: RowReal>(operands: &Operands<R>, outputs: u8, rows: &[usize]) {
    let Operands { classes, value, factor, grad, hess, targets, .. } = *operands;
    for &row in rows {
        // SAFETY: handed through from the caller.
        unsafe {
            if targets.add(row).read() >= 0 {
                spoil_row(row, classes, outputs, [value, factor], [&grad, &hess]);
            }
        }
    }
}

/// Makes the results of rows with a target for every class NaN.
///
/// # Safety
/// As [`super::Compiled::run_dense`], for these rows.
pub unsafe fn spoil_dense<R: RowReal>(operands: &DenseOperands<R>, outputs: u8, rows: &[usize]) {
    let DenseOperands { classes, value, factor, grad, hess, .. } = *operands;
    for &row in rows {
        // SAFETY: handed through from the caller.
        unsafe { spoil_row(row, classes, outputs, [value, factor], [&grad, &hess]) };
    }
}

/// # Safety
/// The results that are computed must be writeable for the row.
unsafe fn spoil_row<R: RowReal>(
    row: usize,
    classes: usize,
    outputs: u8,
    [value, factor]: [*mut R; 2],
    [grad, hess]: [&Matrix<*mut R>; 2],
) {
    const HESS: u8 = output::CURVATURE | output::GAUSS_NEWTON;
    // SAFETY: handed through from the caller.
    unsafe {
        for (of_row, computed) in [(value, outputs & output::VALUE != 0), (factor, !factor.is_null())] {
            if computed {
                of_row.add(row).write(R::NAN);
            }
        }
        for (matrix, computed) in [(grad, outputs & output::GRAD != 0), (hess, outputs & HESS != 0)] {
            if computed {
                (0..classes).for_each(|class| matrix.from(row, class).write(R::NAN));
            }
        }
    }
}
