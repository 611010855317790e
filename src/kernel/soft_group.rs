//! A group of lanes of [`super::soft`]: from its inputs to its outputs.

use crate::kernel::folds::Folds;
use crate::kernel::labels::Exceptions;
use crate::kernel::operands::{Constants, Operands};
use crate::kernel::soft::{EXPECTED, FACTOR, Options};
use crate::loss::factor::{Labels, Modulated};
use crate::loss::focal::{Fold, Gamma, Margin, Scales, power};
use crate::loss::probability::{Given, Point};
use crate::loss::product::unless_zero;
use crate::loss::soft::Soft;
use crate::params::SoftTargets;
use crate::real::Real;
use crate::simd::Vector;

/// What the work on a group of lanes needs to know.
pub struct Group<'a, V: Vector> {
    constants: &'a Constants<V::Real>,
    options: &'a Options<V::Real>,
    /// 1 - s and s/2, if there is smoothing.
    smoothing: Option<[V; 2]>,
    /// V and 1/S, if the loss is divided by the sum of the modulating factors.
    quotient: Option<[V; 2]>,
    gamma: Gamma<V>,
    zero: V,
    one: V,
}

/// The inputs of a group of lanes, but for the weights of labels: those are no output, and read when they are needed.
struct Lanes<'a, V: Vector> {
    x: V,
    y: V,
    gamma: Gamma<V>,
    samples: Option<V>,
    exceptions: Option<Exceptions<V>>,
    operands: &'a Operands<V::Real>,
    at: usize,
}

impl<V: Vector> Lanes<'_, V> {
    /// Writes a result, or what stands for it where the target is ignored.
    ///
    /// # Safety
    /// As [`Vector::store`].
    #[inline(always)]
    unsafe fn put(&self, result: V, to: *mut V::Real) {
        // Sums of terms of both signs, some of which may vanish: of no zero the sign is one of rounding.
        let result = result + result.constant(V::Real::ZERO);
        let result = match &self.exceptions {
            Some(exceptions) => exceptions.result(result),
            None => result,
        };
        // SAFETY: handed through from the caller.
        unsafe { result.store(to) }
    }
}

/// Where the results of a group of lanes go, or null.
#[derive(Clone, Copy)]
struct Outputs<R> {
    value: *mut R,
    grad: *mut R,
    hess: *mut R,
    factor: *mut R,
}

impl<R> Outputs<R> {
    /// Those of the group that starts at element `at`.
    #[inline(always)]
    fn of(operands: &Operands<R>, at: usize) -> Self {
        let Operands { value, grad, hess, factor, .. } = *operands;
        Self {
            value: moved(value, at),
            grad: moved(grad, at),
            hess: moved(hess, at),
            factor: moved(factor, at),
        }
    }
}

/// An operand from element `at` on; null stays null.
#[inline(always)]
fn moved<R>(operand: *mut R, at: usize) -> *mut R {
    if operand.is_null() { operand } else { operand.wrapping_add(at) }
}

/// How a group is folded: the less likely class is the negative one where `likely`; where `clipped` nothing
/// changes with the input.
struct Side<V: Vector> {
    labels: Labels<V>,
    likely: V::Mask,
    clipped: Option<V::Mask>,
}

/// A margin with any gamma.
type AnyMargin<V> = Margin<V, { power::GENERAL }>;

const VALUE: usize = 0;
const GRAD: usize = 1;
const HESS: usize = 2;

impl<'a, V: Vector> Group<'a, V>
where
    V::Real: Scales,
{
    #[inline(always)]
    pub fn new(isa: V::Isa, constants: &'a Constants<V::Real>, options: &'a Options<V::Real>) -> Self {
        // No `map`: only what is inlined for certain has the instructions of the set.
        #[expect(clippy::manual_map)]
        let quotient = match options.quotient {
            Some(both) => Some(splat(isa, both)),
            None => None,
        };
        let smoothing = if options.smoothing == [V::Real::ONE, V::Real::ZERO] {
            None
        } else {
            Some(splat(isa, options.smoothing))
        };
        Self {
            constants,
            options,
            smoothing,
            quotient,
            gamma: constants.gamma.splat(isa),
            zero: V::splat(isa, V::Real::ZERO),
            one: V::splat(isa, V::Real::ONE),
        }
    }

    /// The group of lanes that starts at element `at`. What outputs may be is read before anything is written.
    ///
    /// # Safety
    /// The operands must be null or valid for the group of lanes; logits must have been put into `folds`.
    #[inline(always)]
    pub unsafe fn work<const KIND: u8>(
        &self,
        operands: &Operands<V::Real>,
        at: usize,
        folds: &Folds<V::Real>,
    ) {
        // SAFETY: handed through from the caller.
        unsafe {
            let lanes = self.load(operands, at);
            let outputs = Outputs::of(operands, at);
            match KIND {
                FACTOR => self.factor(&lanes, folds.get(self.zero.isa(), at), &outputs),
                EXPECTED => self.expected(&lanes, folds.get(self.zero.isa(), at), &outputs),
                _ => self.probabilities(&lanes, &outputs),
            }
        }
    }

    /// # Safety
    /// As [`Self::work`].
    #[inline(always)]
    unsafe fn load<'o>(&self, operands: &'o Operands<V::Real>, at: usize) -> Lanes<'o, V> {
        let isa = self.zero.isa();
        // SAFETY: handed through from the caller.
        unsafe {
            let targets = V::load(isa, operands.targets.add(at));
            let mut lanes = Lanes {
                x: V::load(isa, operands.logits.add(at)),
                y: inside(targets),
                gamma: self.gamma,
                samples: None,
                exceptions: None,
                operands,
                at,
            };
            if !operands.samples.is_null() {
                lanes.samples = Some(V::load(isa, operands.samples.add(at)));
            }
            if self.constants.ignored.is_some() {
                lanes.exceptions = Some(Exceptions::of_soft(targets, self.constants.ignored));
            }
            let [hi, lo] = operands.gammas;
            if !hi.is_null() {
                lanes.gamma = Gamma::of_lanes(V::load(isa, hi.add(at)), V::load(isa, lo.add(at)));
            }
            lanes
        }
    }

    /// What an output of negatives and of positives is multiplied with.
    ///
    /// # Safety
    /// As [`Self::work`].
    #[inline(always)]
    unsafe fn weights(&self, lanes: &Lanes<'_, V>, of: usize) -> [V; 2] {
        let (isa, [negative, positive]) = (self.zero.isa(), lanes.operands.weights[of]);
        let mut weights = splat(isa, self.constants.weights[of]);
        if !negative.is_null() {
            // SAFETY: handed through from the caller.
            weights = unsafe { [V::load(isa, negative.add(lanes.at)), V::load(isa, positive.add(lanes.at))] };
        }
        match lanes.samples {
            Some(samples) => [samples * weights[0] + self.zero, samples * weights[1] + self.zero],
            None => weights,
        }
    }

    /// Their mean under the labels.
    ///
    /// # Safety
    /// As [`Self::work`].
    #[inline(always)]
    unsafe fn weight(&self, lanes: &Lanes<'_, V>, side: &Side<V>, of: usize) -> V {
        // SAFETY: handed through from the caller.
        side.labels.weight(side.likely, unsafe { self.weights(lanes, of) })
    }

    /// # Safety
    /// As [`Self::work`].
    #[inline(always)]
    unsafe fn factor(&self, lanes: &Lanes<'_, V>, fold: Fold<V>, outputs: &Outputs<V::Real>) {
        let likely = self.zero.lt(lanes.x);
        let labels = Labels::new(lanes.y, likely, self.smoothing);
        let quality = self.options.meaning == SoftTargets::Quality;
        let soft = Soft::new(lanes.x, fold, labels, quality, &lanes.gamma);
        let side = Side { labels, likely, clipped: None };
        let surrogate = if self.options.gauss_newton && !outputs.hess.is_null() {
            // SAFETY: handed through from the caller.
            let weight = unsafe { self.weight(lanes, &side, HESS) };
            let [negative, positive] = self.labelled(lanes, [weight; 2]);
            let up = AnyMargin::of(lanes.x, fold, &lanes.gamma);
            let down = AnyMargin::of(-lanes.x, fold, &lanes.gamma);
            Some(up.gauss_newton(positive) + down.gauss_newton(negative))
        } else {
            None
        };
        // SAFETY: handed through from the caller.
        unsafe {
            let mut others = *outputs;
            if let Some(surrogate) = surrogate {
                lanes.put(surrogate, outputs.hess);
                others.hess = std::ptr::null_mut();
            }
            self.write(lanes, &soft, &side, &others);
        }
    }

    /// # Safety
    /// As [`Self::work`].
    #[inline(always)]
    unsafe fn probabilities(&self, lanes: &Lanes<'_, V>, outputs: &Outputs<V::Real>) {
        let (p, clipped) = match self.options.clip {
            None => (inside(lanes.x), None),
            Some(bounds) => {
                let [low, high] = splat::<V>(self.zero.isa(), bounds);
                // A NaN stays, and -0.0 becomes 0.0.
                let p = low.max_or(high.min_or(lanes.x)) + self.zero;
                (p, Some(V::either(lanes.x.lt(low), high.lt(lanes.x))))
            }
        };
        let (point, likely) = Point::new(p);
        let labels = Labels::new(lanes.y, likely, self.smoothing);
        let side = Side { labels, likely, clipped };
        // SAFETY: handed through from the caller.
        unsafe {
            if self.options.meaning == SoftTargets::Expected {
                self.expected_probabilities(lanes, point, &side, outputs);
            } else {
                let quality = self.options.meaning == SoftTargets::Quality;
                let given = Given::new(point, labels, quality, &lanes.gamma);
                self.write(lanes, &given, &side, outputs);
            }
        }
    }

    /// Writes what there is to write of a loss that has a factor.
    ///
    /// # Safety
    /// As [`Self::work`].
    #[inline(always)]
    unsafe fn write(
        &self,
        lanes: &Lanes<'_, V>,
        loss: &impl Modulated<V>,
        side: &Side<V>,
        outputs: &Outputs<V::Real>,
    ) {
        // SAFETY: handed through from the caller.
        unsafe {
            if !outputs.value.is_null() {
                lanes.put(loss.value(self.weight(lanes, side, VALUE)), outputs.value);
            }
            if !outputs.grad.is_null() {
                let slope = self.divided_gradient(loss, self.weight(lanes, side, GRAD));
                lanes.put(self.slope(side, slope), outputs.grad);
            }
            if !outputs.hess.is_null() {
                let weight = self.weight(lanes, side, HESS);
                let mut hessian = loss.curvature(weight);
                if let Some([value, inverse]) = self.quotient {
                    let slope = self.divided_gradient(loss, weight);
                    let turn = loss.factor_gradient(inverse);
                    let bend = loss.factor_curvature(inverse);
                    let turned = unless_zero(slope + slope, turn) * turn;
                    let rest = unless_zero(value, bend).mul_add(bend, turned);
                    hessian = hessian * inverse - rest;
                }
                lanes.put(self.unless_clipped(side, hessian), outputs.hess);
            }
            if !outputs.factor.is_null() {
                lanes.put(loss.factor(self.one), outputs.factor);
            }
        }
    }

    /// n', or (n' - V s') / S, folded.
    #[inline(always)]
    fn divided_gradient(&self, loss: &impl Modulated<V>, weight: V) -> V {
        let slope = loss.gradient(weight);
        match self.quotient {
            Some([value, inverse]) => {
                let drift = loss.factor_gradient(inverse);
                unless_zero(value, drift).neg_mul_add(drift, slope * inverse)
            }
            None => slope,
        }
    }

    /// A gradient by the positive class, from that by the less likely one.
    #[inline(always)]
    fn slope(&self, side: &Side<V>, slope: V) -> V {
        self.unless_clipped(side, V::select(side.likely, -slope, slope))
    }

    #[inline(always)]
    fn unless_clipped(&self, side: &Side<V>, derivative: V) -> V {
        match side.clipped {
            // 0, or NaN for a target that is.
            Some(clipped) => V::select(clipped, side.labels.small * self.zero, derivative),
            None => derivative,
        }
    }

    /// The weights of both classes, each times its label.
    #[inline(always)]
    fn labelled(&self, lanes: &Lanes<'_, V>, [negative, positive]: [V; 2]) -> [V; 2] {
        let [keep, half] = splat::<V>(self.zero.isa(), self.options.smoothing);
        let (y, not_y) = (lanes.y.mul_add(keep, half), (self.one - lanes.y).mul_add(keep, half));
        [negative * not_y, positive * y]
    }

    /// # Safety
    /// As [`Self::work`].
    #[inline(always)]
    unsafe fn expected(&self, lanes: &Lanes<'_, V>, fold: Fold<V>, outputs: &Outputs<V::Real>) {
        let up = AnyMargin::of(lanes.x, fold, &lanes.gamma);
        let down = AnyMargin::of(-lanes.x, fold, &lanes.gamma);
        // SAFETY: handed through from the caller.
        unsafe {
            if !outputs.value.is_null() {
                let [negative, positive] = self.labelled(lanes, self.weights(lanes, VALUE));
                let value = up.value_or_zero(positive) + down.value_or_zero(negative);
                lanes.put(value, outputs.value);
            }
            if !outputs.grad.is_null() {
                let [negative, positive] = self.labelled(lanes, self.weights(lanes, GRAD));
                lanes.put(down.descent(negative) - up.descent(positive), outputs.grad);
            }
            if !outputs.hess.is_null() {
                let [negative, positive] = self.labelled(lanes, self.weights(lanes, HESS));
                let hessian = if self.options.gauss_newton {
                    up.gauss_newton(positive) + down.gauss_newton(negative)
                } else {
                    up.curvature(positive) + down.curvature(negative)
                };
                lanes.put(hessian, outputs.hess);
            }
        }
    }

    /// # Safety
    /// As [`Self::work`].
    #[inline(always)]
    unsafe fn expected_probabilities(
        &self,
        lanes: &Lanes<'_, V>,
        point: Point<V>,
        side: &Side<V>,
        outputs: &Outputs<V::Real>,
    ) {
        let small = Given::new(point, Labels::hard(lanes.x, true), false, &lanes.gamma);
        let large = Given::new(point, Labels::hard(lanes.x, false), false, &lanes.gamma);
        // The weights of the less and of the more likely class, each times its label.
        let weights = |of: usize| {
            // SAFETY: handed through from the caller.
            let [negative, positive] = self.labelled(lanes, unsafe { self.weights(lanes, of) });
            [V::select(side.likely, negative, positive), V::select(side.likely, positive, negative)]
        };
        // SAFETY: handed through from the caller.
        unsafe {
            if !outputs.value.is_null() {
                let [a, b] = weights(VALUE);
                lanes.put(small.value(a) + large.value(b), outputs.value);
            }
            if !outputs.grad.is_null() {
                let [a, b] = weights(GRAD);
                let slope = self.slope(side, small.gradient(a) + large.gradient(b));
                lanes.put(slope, outputs.grad);
            }
            if !outputs.hess.is_null() {
                let [a, b] = weights(HESS);
                let hessian = self.unless_clipped(side, small.curvature(a) + large.curvature(b));
                lanes.put(hessian, outputs.hess);
            }
        }
    }
}

/// A label or a probability, NaN where it is outside \[0, 1\]. A -0.0 becomes 0.0.
#[inline(always)]
fn inside<V: Vector>(x: V) -> V {
    let zero = x.constant(V::Real::ZERO);
    let outside = V::either(x.lt(zero), x.constant(V::Real::ONE).lt(x));
    V::select(outside, x.constant(V::Real::NAN), x + zero)
}

/// Two numbers in vectors.
#[inline(always)]
fn splat<V: Vector>(isa: V::Isa, [a, b]: [V::Real; 2]) -> [V; 2] {
    [V::splat(isa, a), V::splat(isa, b)]
}
