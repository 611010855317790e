//! Passes over a tile that turn class indices into labels and take out what is ignored. None needs to know an
//! instruction set: the compiler lays out the lanes.

use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel};

/// Notes which targets are the one that is ignored; NaN: every NaN is.
pub fn mark(isa: AnyIsa, targets: &[f64], index: f64, ignored: &mut [bool]) {
    struct Mark<'a>(&'a [f64], f64, &'a mut [bool]);
    impl Kernel for Mark<'_> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, _: I) {
            let nan = self.1.is_nan();
            for (target, ignored) in self.0.iter().zip(self.2) {
                *ignored = (*target == self.1) | (nan & target.is_nan());
            }
        }
    }
    isa.vectorize(Mark(targets, index, ignored));
}

/// Writes +0.0 to what is ignored.
pub fn clear<R: Real>(isa: AnyIsa, results: &mut [R], ignored: &[bool]) {
    struct Clear<'a, R>(&'a mut [R], &'a [bool]);
    impl<R: Real> Kernel for Clear<'_, R> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, _: I) {
            for (result, ignored) in self.0.iter_mut().zip(self.1) {
                *result = if *ignored { R::ZERO } else { *result };
            }
        }
    }
    isa.vectorize(Clear(results, ignored));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_becomes_zero() {
        for isa in AnyIsa::available() {
            let mut ignored = [false; 4];
            mark(isa, &[255.0, 1.0, f64::NAN, 255.0], 255.0, &mut ignored);
            let mut results = [f64::NAN, 1.0, 2.0, -3.0];
            clear(isa, &mut results, &ignored);
            assert_eq!(results, [0.0, 1.0, 2.0, 0.0]);
            assert!(results[3].is_sign_positive());
            mark(isa, &[255.0, 1.0, f64::NAN, 255.0], f64::NAN, &mut ignored);
            assert_eq!(ignored, [false, false, true, false]);
        }
    }
}
