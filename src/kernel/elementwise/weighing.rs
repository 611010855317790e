//! What multiplies the results of a group of lanes.

use super::writes;
use crate::kernel::labels::Ignored;
use crate::kernel::operands::{Constants, Operands};
use crate::loss::focal::Gamma;
use crate::real::Real;
use crate::simd::Vector;

/// The constants in vectors.
pub(super) struct Splat<V: Vector> {
    pub gamma: Gamma<V>,
    /// Whether elements have gammas of their own instead.
    pub own_gammas: bool,
    /// Those of positives' gradients with the sign of their logits.
    weights: [[V; 2]; 3],
    pub weighing: Weighing,
    /// Labels that do not count.
    pub ignored: Option<Ignored<V::Real>>,
    /// 0.
    pub zero: V,
}

impl<V: Vector> Splat<V> {
    #[inline(always)]
    pub(super) fn new(
        isa: V::Isa,
        constants: &Constants<V::Real>,
        weighing: Weighing,
        own_gammas: bool,
    ) -> Self {
        let zero = V::splat(isa, V::Real::ZERO);
        // Loops here and below, not `map`, which is not always compiled with the caller's instructions.
        let mut weights = [[zero; 2]; 3];
        for (lanes, numbers) in weights.iter_mut().zip(&constants.weights) {
            for (lanes, number) in lanes.iter_mut().zip(numbers) {
                *lanes = V::splat(isa, *number);
            }
        }
        weights[1][1] = zero - weights[1][1];
        let ignored = constants.ignored;
        Self { gamma: constants.gamma.splat(isa), own_gammas, weights, weighing, ignored, zero }
    }

    /// What multiplies an output of each lane: the weight of its label, of all elements or of its own, times that of its
    /// sample. The margin of a positive grows with its logit, that of a negative falls: the weights of gradients take that
    /// sign. A product of 0 is +0.0.
    ///
    /// # Safety
    /// The weights that there are must be valid for a group of lanes.
    #[inline(always)]
    pub(super) unsafe fn weight<const OUTPUT: usize>(
        &self,
        isa: V::Isa,
        positive: V::Mask,
        samples: V,
        operands: &Operands<V::Real>,
    ) -> V {
        let [mut of_negative, mut of_positive] = self.weights[OUTPUT];
        // SAFETY: handed through from the caller.
        unsafe {
            if self.weighing.lists {
                let [negatives, positives] = operands.weights[OUTPUT];
                (of_negative, of_positive) = (V::load(isa, negatives), V::load(isa, positives));
                of_positive = if OUTPUT == 1 { self.zero - of_positive } else { of_positive };
            }
            let weight = V::select(positive, of_positive, of_negative);
            if self.weighing.samples { samples * weight + self.zero } else { weight }
        }
    }
}

/// Which weights there are.
#[derive(Clone, Copy)]
pub(super) struct Weighing {
    /// Whether elements have weights of labels of their own.
    pub lists: bool,
    /// Whether they have weights of samples.
    pub samples: bool,
    /// Whether losses may have the weight 0, which makes 0 of an infinite one.
    pub zeros: bool,
}

impl Weighing {
    #[inline(always)]
    pub(super) fn of<R: Real, const OUTPUTS: u8>(constants: &Constants<R>, operands: &Operands<R>) -> Self {
        let [value, grad, _] = writes(OUTPUTS);
        let output = if value { 0 } else { 2 - usize::from(grad) };
        let (lists, samples) = (!operands.weights[output][0].is_null(), !operands.samples.is_null());
        let [of_losses, ..] = constants.weights;
        Self { lists, samples, zeros: lists | samples | of_losses.contains(&R::ZERO) }
    }
}
