//! What multiplies the results of the sigmoid focal loss: weights, what differs by class, and one over the denominator.

use super::admit::Admitted;
use super::denominator::Scaling;
use super::{Call, Wanted};
use crate::exec::weights::{LabelWeights, Weights};
use crate::kernel::tile::{Source, repeating};
use crate::loss::focal::Gamma;
use crate::params::{Hessian, Reduction, SigmoidFocalLoss};
use crate::real::Real;

/// [`repeating`] lists that sources point to. Empty if there are none of the kind.
#[derive(Default)]
pub struct Lists<R> {
    /// The classes themselves; NaN for background.
    pub classes: Vec<f64>,
    /// What multiplies losses, gradient and Hessian of negatives and of positives, by class.
    weights: [[Vec<R>; 2]; 3],
    /// Sample weights along the one axis that they vary along.
    samples: Vec<R>,
    /// Gamma by class, in two parts.
    pub gammas: [Vec<R>; 2],
}

/// Sample weights along one axis are listed if they are at most so many,
const MOST_LISTED: usize = 1 << 14;

/// and each stands for at least so many elements,
const LEAST_REPEATED: usize = 16;

/// that follow each other one by one, or so many together: shorter rows are sooner laid out ([`PerRow`]).
///
/// [`PerRow`]: crate::exec::per_row::PerRow
const LEAST_IN_ROW: isize = 4096;

impl Call<'_, SigmoidFocalLoss> {
    /// The one axis along which sample weights vary, if they are listed along it.
    pub(super) fn axis_of_samples(&self) -> Option<usize> {
        let logits = &self.admitted.logits;
        let mut axes = self.admitted.weight_strides().iter().enumerate().filter(|&(_, &stride)| stride != 0);
        let axis = axes.next().map(|(axis, _)| axis).filter(|_| axes.next().is_none())?;
        let len = logits.shape[axis] as usize;
        let own = logits.strides[axis].unsigned_abs();
        let inside =
            logits.shape.iter().zip(logits.strides).filter(|(_, stride)| stride.unsigned_abs() < own);
        let row: isize = inside.map(|(&len, _)| len).product();
        let at_hand = row == 1 || row >= LEAST_IN_ROW;
        let listed = at_hand && len <= MOST_LISTED && logits.len() / LEAST_REPEATED >= len;
        Some(axis).filter(|_| listed && self.loss.common.reduction != Reduction::SumClasses)
    }

    /// The lists of a walk.
    pub(super) fn lists<R: Real>(&self, wanted: Wanted, scaling: Scaling) -> Lists<R> {
        let &Self { loss, ref admitted, .. } = self;
        let mut lists: Lists<R> = Lists { classes: self.numbers_of_classes(), ..Lists::default() };
        if loss.differs_by_class() {
            for class in 0..admitted.classes() {
                let weights = weights_of::<R>(loss, wanted, class, scaling);
                for (list, weight) in lists.weights.iter_mut().flatten().zip(weights.into_iter().flatten()) {
                    list.push(weight);
                }
            }
        }
        if let (Some(axis), Some(samples)) = (self.axis_of_samples(), admitted.samples::<R>()) {
            let (len, stride) = (admitted.logits.shape[axis] as usize, admitted.weight_strides()[axis]);
            // SAFETY: the array was admitted: its strides are those with which it broadcasts to the logits.
            lists.samples = unsafe { samples.along(self.isa, len, stride) };
        }
        if loss.common.gamma.per_class().is_some() {
            for class in 0..admitted.classes() {
                let parts = Gamma::<R>::new(loss.common.gamma.of(class)).parts();
                for (list, part) in lists.gammas.iter_mut().zip(parts) {
                    list.push(part);
                }
            }
        }
        let elements = admitted.logits.len();
        let Lists { classes, weights, samples, gammas } = lists;
        Lists {
            classes: repeating(classes, elements),
            weights: weights.map(|pair| pair.map(|list| repeating(list, elements))),
            samples: repeating(samples, elements),
            gammas: gammas.map(|list| repeating(list, elements)),
        }
    }

    /// The classes that targets are compared with; NaN for the background.
    fn numbers_of_classes(&self) -> Vec<f64> {
        let background = self.loss.background_index.and_then(|index| usize::try_from(index).ok());
        let number = |class| if Some(class) == background { f64::NAN } else { class as f64 };
        if self.admitted.indices { (0..self.admitted.classes()).map(number).collect() } else { Vec::new() }
    }

    /// What multiplies results.
    pub(super) fn weights<R: Real>(&self, lists: &Lists<R>, wanted: Wanted, scaling: Scaling) -> Weights<R> {
        let Lists { weights, samples, .. } = lists;
        Weights {
            labels: if self.loss.differs_by_class() {
                LabelWeights::Lists(
                    weights.each_ref().map(|pair| pair.each_ref().map(|list| Source::list(list))),
                )
            } else {
                LabelWeights::All(weights_of(self.loss, wanted, 0, scaling))
            },
            samples: if samples.is_empty() { self.admitted.samples() } else { Some(Source::list(samples)) },
        }
    }

    /// Bytes from a sample weight to the next along the logits' axes, in the list of them if there is one.
    pub(super) fn sample_strides<R: Real>(&self) -> Vec<isize> {
        let Admitted { logits, .. } = &self.admitted;
        match self.axis_of_samples() {
            Some(axis) => along(logits.shape.len(), axis, size_of::<R>()),
            None => self.admitted.weight_strides().to_vec(),
        }
    }
}

/// Strides of a list along one axis.
pub(super) fn along(axes: usize, axis: usize, size: usize) -> Vec<isize> {
    (0..axes).map(|each| if each == axis { size as isize } else { 0 }).collect()
}

/// What multiplies losses, gradient and Hessian of a class' negatives and positives. Derivatives are divided at
/// once; losses after they are added up, but for a power of two that keeps their products in range.
pub fn weights_of<R: Real>(
    loss: &SigmoidFocalLoss,
    wanted: Wanted,
    class: usize,
    scaling: Scaling,
) -> [[R; 2]; 3] {
    let weights = loss.weights_of(class);
    let upper = wanted.hess() == Some(Hessian::Upper);
    let bound = if upper { 1.0 + loss.common.gamma.of(class) } else { 1.0 };
    [
        weights.map(|weight| R::from_weight(weight / scaling.scale + 0.0)),
        weights.map(|weight| R::from_weight(scaling.of_derivatives(weight) + 0.0)),
        weights.map(|weight| R::from_weight(scaling.bounded(weight, bound) + 0.0)),
    ]
}
