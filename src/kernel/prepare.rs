//! Passes over a tile that turn class indices into labels and take out what is ignored. None needs to know an
//! instruction set: the compiler lays out the lanes.

use crate::kernel::factors::Numbers;
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel};

/// Writes labels: 1 where the target is the element's class, else 0.
///
/// # Safety
/// `labels` must be valid for as many elements as there are targets.
pub unsafe fn one_hot<C: Numbers, R: Real>(isa: AnyIsa, targets: &[f64], classes: C, labels: *mut R) {
    struct OneHot<'a, C, R>(&'a [f64], C, *mut R);
    impl<C: Numbers, R: Real> Kernel for OneHot<'_, C, R> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, _: I) {
            let Self(targets, classes, labels) = self;
            let classes = classes.first(targets.len());
            for (i, target) in targets.iter().enumerate() {
                let label = if *target == classes.at(i) { R::ONE } else { R::ZERO };
                // SAFETY: the caller vouches for as many labels.
                unsafe { labels.add(i).write(label) }
            }
        }
    }
    isa.vectorize(OneHot(targets, classes, labels));
}

/// What labels a tile has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// 0 and 1 alone.
    Hard,
    /// Others alone.
    Soft,
    /// Some of both.
    Both,
}

/// What kinds of labels these are; hard, if there are none.
pub fn kinds<R: Real>(isa: AnyIsa, labels: &[R]) -> Kinds {
    /// Whether all and whether some are hard.
    struct AreHard<'a, R>(&'a [R]);
    impl<R: Real> Kernel for AreHard<'_, R> {
        type Output = (bool, bool);
        #[inline(always)]
        fn run<I: Isa>(self, _: I) -> (bool, bool) {
            let (mut all, mut some) = (true, false);
            for y in self.0 {
                let is_hard = (*y == R::ZERO) | (*y == R::ONE);
                all &= is_hard;
                some |= is_hard;
            }
            (all, some)
        }
    }
    match isa.vectorize(AreHard(labels)) {
        (true, _) => Kinds::Hard,
        (false, true) => Kinds::Both,
        (false, false) => Kinds::Soft,
    }
}

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
    fn labels_from_class_indices() {
        for isa in AnyIsa::available() {
            let mut labels = [9.0_f32; 5];
            let (targets, classes) = ([0.0, 2.0, 2.0, -1.0, 1.0], [0.0, 1.0, 2.0, 3.0, f64::NAN]);
            // SAFETY: all have five elements.
            unsafe { one_hot(isa, &targets, &classes[..], labels.as_mut_ptr()) };
            assert_eq!(labels, [1.0, 0.0, 1.0, 0.0, 0.0]);
            // SAFETY: as above.
            unsafe { one_hot(isa, &targets, 2.0, labels.as_mut_ptr()) };
            assert_eq!(labels, [0.0, 1.0, 1.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn kinds_of_labels() {
        for isa in AnyIsa::available() {
            for len in [1, 7, 8, 33, 512] {
                let hard: Vec<f32> = (0..len).map(|i| (i % 2) as f32).collect();
                assert_eq!(kinds(isa, &hard), Kinds::Hard);
                assert_eq!(kinds(isa, &vec![0.5_f32; len]), Kinds::Soft);
                for at in [0, len / 2, len - 1] {
                    let (mut one_soft, mut one_hard) = (hard.clone(), vec![f64::NAN; len]);
                    (one_soft[at], one_hard[at]) = (1.0_f32.next_down(), -0.0);
                    let of_one = |other| if len == 1 { other } else { Kinds::Both };
                    assert_eq!(kinds(isa, &one_soft), of_one(Kinds::Soft), "{len} {at}");
                    assert_eq!(kinds(isa, &one_hard), of_one(Kinds::Hard), "{len} {at}");
                }
            }
            assert_eq!(kinds::<f32>(isa, &[]), Kinds::Hard);
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
            mark(isa, &[255.0, 1.0, f64::NAN, 255.0], f64::NAN, &mut ignored);
            assert_eq!(ignored, [false, false, true, false]);
        }
    }
}
