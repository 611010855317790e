//! What multiplies the results of the sigmoid focal loss: weights, what differs by class, and one over the denominator.

use super::admit::Admitted;
use super::denominator::Scaling;
use super::{Call, Wanted};
use crate::exec::weights::{LabelWeights, Weights};
use crate::kernel::factors::{product, products};
use crate::kernel::tile::{Source, repeating};
use crate::loss::focal::Gamma;
use crate::params::{Hessian, Reduction, SigmoidFocalLoss};
use crate::real::Real;

/// [`repeating`] lists that sources point to: numbers by class, but for `ready`. Empty if there are none of the kind.
#[derive(Default)]
pub struct Lists<R> {
    /// The classes themselves; NaN for background.
    pub classes: Vec<f64>,
    /// What multiplies losses, gradient and Hessian of negatives and of positives, beside sample weights.
    weights: [[Vec<f64>; 2]; 3],
    /// The same in the kernel's type, if sample weights are multiplied with each element.
    rounded: [[Vec<R>; 2]; 3],
    /// The same with sample weights in it, by class or along the one axis that these vary along.
    ready: Option<[[Vec<R>; 2]; 3]>,
    /// Gamma, in two parts.
    pub gammas: [Vec<R>; 2],
}

/// Sample weights along one axis are multiplied beforehand if they are at most so many,
const MOST_LISTED: usize = 1 << 14;

/// and each stands for at least so many elements,
const LEAST_REPEATED: usize = 16;

/// that follow each other one by one, or so many together: shorter rows are sooner laid out with their products.
const LEAST_IN_ROW: isize = 4096;

impl Call<'_, SigmoidFocalLoss> {
    /// The axis of the lists in a kernel's own type, if there are any: that of the classes, or the one axis along which
    /// sample weights vary.
    pub(super) fn listed_axis(&self) -> Option<usize> {
        let Admitted { logits, axis, .. } = &self.admitted;
        let of_classes = axis.filter(|_| self.loss.differs_by_class());
        let of_samples =
            self.axis_of_samples().filter(|_| self.loss.common.reduction != Reduction::SumClasses);
        let of_samples = of_samples.filter(|&axis| {
            let len = logits.shape[axis] as usize;
            let own = logits.strides[axis].unsigned_abs();
            let inside =
                logits.shape.iter().zip(logits.strides).filter(|(_, stride)| stride.unsigned_abs() < own);
            let row: isize = inside.map(|(&len, _)| len).product();
            let at_hand = row == 1 || row >= LEAST_IN_ROW;
            at_hand && len <= MOST_LISTED && logits.len() / LEAST_REPEATED >= len
        });
        of_classes.or(of_samples)
    }

    /// The axis along which sample weights vary, if it is one alone.
    fn axis_of_samples(&self) -> Option<usize> {
        let mut axes = self.admitted.weight_strides().iter().enumerate().filter(|&(_, &stride)| stride != 0);
        axes.next().map(|(axis, _)| axis).filter(|_| axes.next().is_none())
    }

    /// Sample weights for every entry of the lists, if there are lists that can have them in it; else they are to be
    /// multiplied with each element.
    fn listed_samples(&self) -> Option<Vec<f64>> {
        let axis = self.listed_axis()?;
        let len = self.admitted.logits.shape[axis] as usize;
        match self.admitted.samples() {
            None => Some(vec![1.0; len]),
            Some(Source::Constant(number)) => Some(vec![number; len]),
            Some(samples) if self.axis_of_samples() == Some(axis) => {
                let stride = self.admitted.weight_strides()[axis];
                // SAFETY: the array was admitted: its strides are those with which it broadcasts to the logits.
                Some(unsafe { samples.along(self.isa, len, stride) })
            }
            Some(_) => None,
        }
    }

    /// What differs by class, in lists.
    pub(super) fn lists<R: Real>(&self, wanted: Wanted, scaling: Scaling) -> Lists<R> {
        let &Self { loss, ref admitted, .. } = self;
        let elements = admitted.logits.len();
        let mut lists: Lists<R> = Lists { classes: self.numbers_of_classes(), ..Lists::default() };
        if loss.differs_by_class() {
            for class in 0..admitted.classes() {
                let weights = weights_of(loss, wanted, class, scaling);
                for (list, weight) in lists.weights.iter_mut().flatten().zip(weights.into_iter().flatten()) {
                    list.push(weight);
                }
            }
        }
        if let Some(samples) = self.listed_samples() {
            let numbers = weights_of(loss, wanted, 0, scaling);
            let ready = lists.ready.insert(Default::default()).iter_mut().flatten();
            let weights = lists.weights.iter().flatten().zip(numbers.into_iter().flatten());
            for (ready, (weights, number)) in ready.zip(weights) {
                let mut list = vec![R::ZERO; samples.len()];
                // SAFETY: there are as many products as samples, and weights of classes.
                unsafe {
                    match &weights[..] {
                        [] => products(self.isa, &samples, number, list.as_mut_ptr()),
                        weights => products(self.isa, &samples, weights, list.as_mut_ptr()),
                    }
                }
                *ready = repeating(list, elements);
            }
        }
        if loss.common.gamma.per_class().is_some() {
            for class in 0..admitted.classes() {
                let parts = Gamma::<R>::new(loss.common.gamma.of(class)).parts();
                for (list, part) in lists.gammas.iter_mut().zip(parts) {
                    list.push(part);
                }
            }
        }
        let Lists { classes, weights, ready, gammas, .. } = lists;
        let of_kernel = |list: &Vec<f64>| {
            let read = if ready.is_some() { &[][..] } else { list };
            read.iter().map(|&weight| product(1.0, weight)).collect()
        };
        let rounded = weights.each_ref().map(|pair| pair.each_ref().map(of_kernel));
        let rounded = rounded.map(|pair| pair.map(|list| repeating(list, elements)));
        let weights = weights.map(|pair| pair.map(|list| repeating(list, elements)));
        let gammas = gammas.map(|list| repeating(list, elements));
        Lists { classes: repeating(classes, elements), weights, rounded, ready, gammas }
    }

    /// The classes that targets are compared with; NaN for the background.
    fn numbers_of_classes(&self) -> Vec<f64> {
        let background = self.loss.background_index.and_then(|index| usize::try_from(index).ok());
        let number = |class| if Some(class) == background { f64::NAN } else { class as f64 };
        if self.admitted.indices { (0..self.admitted.classes()).map(number).collect() } else { Vec::new() }
    }

    /// What multiplies results, as far as possible in the form that kernels take.
    pub(super) fn weights<R: Real>(&self, lists: &Lists<R>, wanted: Wanted, scaling: Scaling) -> Weights<R> {
        if let Some(ready) = &lists.ready {
            return Weights::Lists(
                ready.each_ref().map(|pair| pair.each_ref().map(|list| Source::list(list))),
            );
        }
        let sample = match self.admitted.samples() {
            None => 1.0,
            Some(Source::Constant(number)) => number,
            Some(Source::Array { .. }) => return self.sampled(lists, wanted, scaling),
        };
        let numbers = weights_of(self.loss, wanted, 0, scaling);
        Weights::All(numbers.map(|pair| pair.map(|weight| product(sample, weight))))
    }

    /// Sample weights, and what they are to be multiplied with.
    pub(super) fn sampled<R: Real>(&self, lists: &Lists<R>, wanted: Wanted, scaling: Scaling) -> Weights<R> {
        let numbers = weights_of(self.loss, wanted, 0, scaling);
        let mut weights = LabelWeights {
            rounded: numbers.map(|pair| pair.map(|weight| Source::Constant(product(1.0, weight)))),
            exact: numbers.map(|pair| pair.map(Source::Constant)),
        };
        if self.loss.differs_by_class() {
            let Lists { weights: exact, rounded, .. } = lists;
            weights = LabelWeights {
                rounded: rounded.each_ref().map(|pair| pair.each_ref().map(|list| Source::list(list))),
                exact: exact.each_ref().map(|pair| pair.each_ref().map(|list| Source::list(list))),
            };
        }
        Weights::Sampled(self.admitted.samples().unwrap_or(Source::Constant(1.0)), weights)
    }
}

/// What multiplies losses, gradient and Hessian of a class' negatives and positives. Derivatives are divided at
/// once; losses after they are added up, but for a power of two that keeps their products in range.
pub fn weights_of(loss: &SigmoidFocalLoss, wanted: Wanted, class: usize, scaling: Scaling) -> [[f64; 2]; 3] {
    let Scaling { denominator, scale } = scaling;
    let weights = loss.weights_of(class);
    let upper = wanted.hess == Some(Hessian::Upper);
    let bound = if upper { 1.0 + loss.common.gamma.of(class) } else { 1.0 };
    [
        weights.map(|weight| weight / scale),
        weights.map(|weight| weight / denominator),
        weights.map(|weight| weight / denominator * bound),
    ]
}
