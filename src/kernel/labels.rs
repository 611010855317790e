//! Labels of elements: how class indices become labels, which elements do not count, and which kernel labels need.

use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel, Vector};

/// Which targets do not count: those that equal a number, or are NaN where that number is NaN.
#[derive(Clone, Copy, Debug)]
pub struct Ignored<R> {
    index: R,
    is_nan: bool,
}

impl<R: Real> Ignored<R> {
    /// Those that equal `index`.
    pub fn new(index: R) -> Self {
        Self { index, is_nan: index.to_f64().is_nan() }
    }

    /// What stands for an ignored target in labels that are made here: 2, which no such label is otherwise.
    pub fn marked() -> Self {
        Self { index: R::from_f64(2.0), is_nan: false }
    }

    /// Whether a target is one of these.
    #[inline(always)]
    pub fn has(&self, target: R) -> bool {
        // A number that is neither above 0 nor below 1 is NaN.
        let no_number = !((target > R::ZERO) | (target < R::ONE));
        (target == self.index) | (self.is_nan & no_number)
    }
}

/// Elements whose results are not what a formula makes of their logit and label.
#[derive(Clone, Copy)]
pub(super) struct Exceptions<V: Vector> {
    /// Where results are the formula's.
    ordinary: V::Mask,
    /// What the others are: 0 where the target is ignored, else NaN.
    others: V,
}

impl<V: Vector> Exceptions<V> {
    /// Among the targets of a kernel for labels of 0 and 1.
    #[inline(always)]
    pub(super) fn of_hard(targets: V, ignored: Option<Ignored<V::Real>>) -> Self {
        let (one, nan) = (targets.constant(V::Real::ONE), targets.constant(V::Real::NAN));
        // y^2 - y, which is 0 for 0 and 1 alone, rounded once or twice.
        let zero = targets.constant(V::Real::ZERO);
        let is_label = targets.mul_add(targets, -targets).equals(zero);
        Self::with(V::select(is_label, one, nan), targets, ignored)
    }

    /// Among the targets of a kernel for labels between 0 and 1.
    #[inline(always)]
    pub(super) fn of_soft(targets: V, ignored: Option<Ignored<V::Real>>) -> Self {
        Self::with(targets.constant(V::Real::ONE), targets, ignored)
    }

    /// `others` is 1 where results are the formula's, but for ignored targets.
    #[inline(always)]
    fn with(mut others: V, targets: V, ignored: Option<Ignored<V::Real>>) -> Self {
        let zero = targets.constant(V::Real::ZERO);
        if let Some(Ignored { index, is_nan }) = ignored {
            others = if is_nan {
                V::select(targets.equals(targets), others, zero)
            } else {
                V::select(targets.equals(targets.constant(index)), zero, others)
            };
        }
        Self { ordinary: others.equals(targets.constant(V::Real::ONE)), others }
    }

    /// A result, or what stands for it.
    #[inline(always)]
    pub(super) fn result(&self, formula: V) -> V {
        V::select(self.ordinary, formula, self.others)
    }
}

/// What labels a tile has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// 0 and 1 alone, and ignored ones.
    Hard,
    /// Others alone.
    Soft,
    /// Some of both.
    Both,
}

/// What kinds of labels these are; hard, if there are none.
pub fn kinds<R: Real>(isa: AnyIsa, labels: &[R], ignored: Option<Ignored<R>>) -> Kinds {
    /// Whether all and whether some are hard.
    struct AreHard<'a, R>(&'a [R], Option<Ignored<R>>);
    impl<R: Real> Kernel for AreHard<'_, R> {
        type Output = (bool, bool);
        #[inline(always)]
        fn run<I: Isa>(self, _: I) -> (bool, bool) {
            let (mut all, mut some) = (true, false);
            for y in self.0 {
                let is_hard = is_hard(*y, self.1);
                all &= is_hard;
                some |= is_hard;
            }
            (all, some)
        }
    }
    match isa.vectorize(AreHard(labels, ignored)) {
        (true, _) => Kinds::Hard,
        (false, true) => Kinds::Both,
        (false, false) => Kinds::Soft,
    }
}

/// Whether a label is one for the kernels of labels of 0 and 1: ignored ones are, too.
#[inline(always)]
pub(super) fn is_hard<R: Real>(label: R, ignored: Option<Ignored<R>>) -> bool {
    let hard = (label == R::ZERO) | (label == R::ONE);
    match ignored {
        Some(ignored) => hard | ignored.has(label),
        None => hard,
    }
}

/// The classes of elements.
#[derive(Clone, Copy)]
pub enum Classes<'a> {
    /// One for all.
    One(f64),
    /// One for each.
    Each(&'a [f64]),
}

/// Writes labels: 1 where the target is the element's class, else 0; [`Ignored::marked`] where it is ignored.
///
/// # Safety
/// `labels` must be valid for as many elements as there are targets, and no fewer classes be there.
pub unsafe fn one_hot<R: Real>(
    isa: AnyIsa,
    targets: &[f64],
    classes: Classes<'_>,
    ignored: Option<Ignored<f64>>,
    labels: *mut R,
) {
    struct OneHot<'a, R>(&'a [f64], Classes<'a>, Option<Ignored<f64>>, *mut R);
    impl<R: Real> OneHot<'_, R> {
        #[inline(always)]
        fn write(&self, class: impl Fn(usize) -> f64) {
            for (i, target) in self.0.iter().enumerate() {
                // SAFETY: the caller vouches for as many labels.
                unsafe { self.3.add(i).write(label(*target, class(i), self.2)) }
            }
        }
    }
    impl<R: Real> Kernel for OneHot<'_, R> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, _: I) {
            match self.1 {
                Classes::One(class) => self.write(|_| class),
                Classes::Each(classes) => {
                    let classes = &classes[..self.0.len()];
                    self.write(|i| classes[i]);
                }
            }
        }
    }
    isa.vectorize(OneHot(targets, classes, ignored, labels));
}

/// The label of an element of a class.
#[inline(always)]
pub(super) fn label<R: Real>(target: f64, class: f64, ignored: Option<Ignored<f64>>) -> R {
    let label = if class == target { R::ONE } else { R::ZERO };
    match ignored {
        Some(ignored) if ignored.has(target) => Ignored::marked().index,
        _ => label,
    }
}

/// Writes targets as labels, [`Ignored::marked`] where they are ignored. A target of that number becomes another one
/// that is no label either.
///
/// # Safety
/// `labels` must be valid for as many elements as there are targets.
pub unsafe fn mark<R: Real>(isa: AnyIsa, targets: &[f64], ignored: Ignored<f64>, labels: *mut R) {
    struct Mark<'a, R>(&'a [f64], Ignored<f64>, *mut R);
    impl<R: Real> Kernel for Mark<'_, R> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, _: I) {
            let Self(targets, ignored, labels) = self;
            let mark = Ignored::<R>::marked().index;
            for (i, target) in targets.iter().enumerate() {
                let label = R::from_f64(*target);
                let label = if label == mark { R::from_f64(3.0) } else { label };
                let label = if ignored.has(*target) { mark } else { label };
                // SAFETY: the caller vouches for as many labels.
                unsafe { labels.add(i).write(label) }
            }
        }
    }
    isa.vectorize(Mark(targets, ignored, labels));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_from_class_indices() {
        let (targets, classes) = ([0.0, 2.0, 2.0, -1.0, 1.0, f64::NAN], [0.0, 1.0, 2.0, 3.0, f64::NAN, 1.0]);
        for isa in AnyIsa::available() {
            for (classes, ignored, want) in [
                (Classes::Each(&classes), None, [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]),
                (Classes::One(2.0), None, [0.0, 1.0, 1.0, 0.0, 0.0, 0.0]),
                (Classes::Each(&classes), Some(-1.0), [1.0, 0.0, 1.0, 2.0, 0.0, 0.0]),
                (Classes::Each(&classes), Some(2.0), [1.0, 2.0, 2.0, 0.0, 0.0, 0.0]),
                (Classes::One(2.0), Some(f64::NAN), [0.0, 1.0, 1.0, 0.0, 0.0, 2.0]),
            ] {
                let mut labels = [9.0_f32; 6];
                // SAFETY: all have six elements.
                unsafe { one_hot(isa, &targets, classes, ignored.map(Ignored::new), labels.as_mut_ptr()) };
                assert_eq!(labels, want, "{} {ignored:?}", isa.name());
            }
        }
    }

    #[test]
    fn marked_targets_are_those_that_are_ignored() {
        let targets = [0.0, 1.0, 2.0, 255.0, 0.25, f64::NAN, 2.0 + 1e-12, -1.0];
        for isa in AnyIsa::available() {
            for (index, at) in [(255.0, 3), (2.0, 2), (0.25, 4), (-1.0, 7), (f64::NAN, 5), (0.0, 0)] {
                let mut labels = [9.0_f32; 8];
                // SAFETY: both have eight elements.
                unsafe { mark(isa, &targets, Ignored::new(index), labels.as_mut_ptr()) };
                for (i, (label, target)) in labels.into_iter().zip(targets).enumerate() {
                    let marked = Ignored::marked().has(label);
                    assert_eq!(marked, i == at, "{} {index} {i}", isa.name());
                    if !marked && (0.0..=1.0).contains(&target) {
                        assert_eq!(label, target as f32);
                    }
                }
            }
        }
    }

    #[test]
    fn kinds_of_labels() {
        for isa in AnyIsa::available() {
            for len in [1, 7, 8, 33, 512] {
                let hard: Vec<f32> = (0..len).map(|i| (i % 2) as f32).collect();
                assert_eq!(kinds(isa, &hard, None), Kinds::Hard);
                assert_eq!(kinds(isa, &vec![0.5_f32; len], None), Kinds::Soft);
                for at in [0, len / 2, len - 1] {
                    let (mut one_soft, mut one_hard) = (hard.clone(), vec![f64::NAN; len]);
                    (one_soft[at], one_hard[at]) = (1.0_f32.next_down(), -0.0);
                    let of_one = |other| if len == 1 { other } else { Kinds::Both };
                    assert_eq!(kinds(isa, &one_soft, None), of_one(Kinds::Soft), "{len} {at}");
                    assert_eq!(kinds(isa, &one_hard, None), of_one(Kinds::Hard), "{len} {at}");
                    let index = Some(Ignored::new(one_soft[at]));
                    assert_eq!(kinds(isa, &one_soft, index), Kinds::Hard, "{len} {at}");
                    assert_eq!(
                        kinds(isa, &one_hard, Some(Ignored::new(f64::NAN))),
                        Kinds::Hard,
                        "{len} {at}"
                    );
                }
            }
            assert_eq!(kinds::<f32>(isa, &[], None), Kinds::Hard);
        }
    }
}
