//! Passes over a tile that turn class indices into labels and take out what is ignored. None needs to know an
//! instruction set: the compiler lays out the lanes.

use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel};

/// Writes labels: 1 where the target is the element's class, else 0.
///
/// # Safety
/// `labels` must be valid for as many elements as there are targets and classes.
pub unsafe fn one_hot<R: Real>(isa: AnyIsa, targets: &[f64], classes: &[f64], labels: *mut R) {
    struct OneHot<'a, R>(&'a [f64], &'a [f64], *mut R);
    impl<R: Real> Kernel for OneHot<'_, R> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, _: I) {
            let Self(targets, classes, labels) = self;
            for (i, (target, class)) in targets.iter().zip(classes).enumerate() {
                // SAFETY: the caller vouches for as many labels.
                unsafe { labels.add(i).write(if target == class { R::ONE } else { R::ZERO }) }
            }
        }
    }
    isa.vectorize(OneHot(targets, classes, labels));
}

/// Whether all labels are 0 or 1.
pub fn are_hard<R: Real>(isa: AnyIsa, labels: &[R]) -> bool {
    struct AreHard<'a, R>(&'a [R]);
    impl<R: Real> Kernel for AreHard<'_, R> {
        type Output = bool;
        #[inline(always)]
        fn run<I: Isa>(self, _: I) -> bool {
            let mut all = true;
            for y in self.0 {
                all &= (*y == R::ZERO) | (*y == R::ONE);
            }
            all
        }
    }
    isa.vectorize(AreHard(labels))
}

/// Notes which targets are the one that is ignored.
pub fn mark(isa: AnyIsa, targets: &[f64], index: f64, ignored: &mut [bool]) {
    struct Mark<'a>(&'a [f64], f64, &'a mut [bool]);
    impl Kernel for Mark<'_> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, _: I) {
            for (target, ignored) in self.0.iter().zip(self.2) {
                *ignored = *target == self.1;
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
    fn labels_from_class_indices() {
        for isa in AnyIsa::available() {
            let mut labels = [9.0_f32; 5];
            let (targets, classes) = ([0.0, 2.0, 2.0, -1.0, 1.0], [0.0, 1.0, 2.0, 3.0, f64::NAN]);
            // SAFETY: all have five elements.
            unsafe { one_hot(isa, &targets, &classes, labels.as_mut_ptr()) };
            assert_eq!(labels, [1.0, 0.0, 1.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn what_is_ignored_becomes_zero() {
        for isa in AnyIsa::available() {
            let mut ignored = [false; 4];
            mark(isa, &[255.0, 1.0, f64::NAN, 255.0], 255.0, &mut ignored);
            let mut results = [f64::NAN, 1.0, 2.0, -3.0];
            clear(isa, &mut results, &ignored);
            assert_eq!(results, [0.0, 1.0, 2.0, 0.0]);
            assert!(results[3].is_sign_positive());
        }
    }
}
