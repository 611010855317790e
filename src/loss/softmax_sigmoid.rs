//! The softmax cross entropy, modulated by the sigmoid of the target's logit alone.
//!
//! With w = (1 - sigmoid(z_t))^g = exp(-g softplus(z_t)), c the weight of the row, u its margin
//! ([`crate::loss::softmax`]) and l = L(u) the cross entropy, the loss is c w l. The other classes see it as
//! a cross entropy of weight c w. With sg = sigmoid(z_t), w' = -g sg w and w'' = w g sg (g sg - (1 - sg)),
//!
//! ```text
//! grad_t = c (w l' + w' l)                    = -w [c q + g sg c l]
//! H_tt   = c (w l'' + 2 w' l' + w'' l)        = w [c p q + g sg (2 c q + (g sg - (1 - sg)) c l)]
//! ```
//!
//! where p = sigmoid(u), q = 1 - p. For the quotient V = sum(c w l) / sum(w), with S = sum(w),
//!
//! ```text
//! V'  = (c (w l)' - V w') / S                 = -w [c q + g sg (c l - V)] / S
//! V'' = (c (w l)'' - V w'' - 2 V' w') / S     = w [c p q + g sg (2 c q + (g sg - (1 - sg)) (c l - V) + 2 V')] / S
//! ```
//!
//! so that c l - V stands in for c l. In the code c and V are over S from the start; without a quotient V
//! is 0 and so is the term in V'.

use crate::loss::focal::{Gamma, Margin, Scales, power, split_scale};
use crate::loss::product::unless_zero;
use crate::real::Real;
use crate::simd::Vector;

/// A row: its modulating factor, and its cross entropy at the margin.
#[derive(Clone, Copy)]
pub struct Modulated<V: Vector> {
    /// At the target's logit.
    modulator: Margin<V, { power::GENERAL }>,
    /// At the margin.
    entropy: Margin<V, 0>,
    gamma: V,
    /// The cross entropy.
    loss: V,
    /// Where it is infinite: there it wins over a modulating factor that is too small for a number.
    infinite: V::Mask,
}

impl<V: Vector> Modulated<V>
where
    V::Real: Scales,
{
    /// From the target's logit and the margin.
    #[inline(always)]
    pub fn new(target: V, entropy: Margin<V, 0>, gamma: &Gamma<V>) -> Self {
        let loss = entropy.value(target.constant(V::Real::ONE));
        let infinite = loss.equals(-target.constant(V::Real::NEG_INFINITY));
        Self { modulator: Margin::new(target, gamma), entropy, gamma: gamma.number(), loss, infinite }
    }

    /// weight * w.
    #[inline(always)]
    pub fn factor(&self, weight: V) -> V {
        self.modulator.scaled_factor(weight)
    }

    /// x * w for an x that is infinite where the loss makes it so.
    #[inline(always)]
    fn modulated(&self, x: V) -> V {
        let infinite = x.abs().equals(-x.constant(V::Real::NEG_INFINITY));
        V::select(infinite, x, self.factor(x))
    }

    /// weight * w * l, 0 for a weight of 0 even where the loss is infinite.
    #[inline(always)]
    pub fn value(&self, weight: V) -> V {
        let zero = weight.constant(V::Real::ZERO);
        let bounded = (-weight.constant(V::Real::LOWEST)).min_or(self.loss);
        let factor = V::select(self.infinite, weight, self.factor(weight));
        factor * V::select(weight.equals(zero), bounded, self.loss)
    }

    /// -weight * w * l', what the gradient of the other classes is made of.
    #[inline(always)]
    pub fn descent(&self, weight: V) -> V {
        self.entropy.descent(self.factor(weight))
    }

    /// weight * w * l''.
    #[inline(always)]
    pub fn curvature(&self, weight: V) -> V {
        self.entropy.curvature(self.factor(weight))
    }

    /// Minus the target's gradient.
    #[inline(always)]
    pub fn own_descent(&self, weight: V, mean: V) -> V {
        let share = self.gamma * self.modulator.p();
        let excess = unless_zero(self.excess(weight, mean), share);
        let slope = share.mul_add(excess, weight * self.entropy.q());
        self.modulated(slope)
    }

    /// The target's Hessian, given minus its gradient.
    #[inline(always)]
    pub fn own_curvature(&self, weight: V, mean: V, inverse: V, descent: V) -> V {
        let share = self.gamma * self.modulator.p();
        let bend = (share - self.modulator.q()) * self.excess(weight, mean);
        let turn = inverse * unless_zero(descent, inverse);
        let slope = weight.mul_add(self.entropy.q(), -turn);
        let p_scaled = self.modulator.p_scaled().0;
        let inner = self.gamma * unless_zero(unless_zero(slope + slope + bend, self.gamma), p_scaled);
        let flat = (weight * self.entropy.q()) * self.entropy.p_scaled().0;
        let (before, after) = split_scale(inner.abs().max_or(weight.abs()), V::Real::P_ROOT);
        let bracket = (inner * before).mul_add(p_scaled, flat * before);
        self.modulated(bracket) * after + weight.constant(V::Real::ZERO)
    }

    /// weight * l - mean, where l is only bounded if what it is multiplied with is 0.
    #[inline(always)]
    fn excess(&self, weight: V, mean: V) -> V {
        let zero = weight.constant(V::Real::ZERO);
        let nothing = V::either(weight.equals(zero), self.modulator.p_scaled().0.equals(zero));
        let bounded = weight.constant(V::Real::SATURATED).min_or(self.loss);
        weight.mul_add(V::select(nothing, bounded, self.loss), -mean)
    }
}
