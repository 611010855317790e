//! From the sums of rows to their losses and to what their classes' exponentials are multiplied with.

use std::ptr::copy_nonoverlapping;

use super::spread::Factors;
use super::{Constants, HESS, MOST_PARTIAL_SUMS, Operands, RowReal};
use crate::kernel::output;
use crate::loss::focal::{Gamma, Margin};
use crate::loss::softmax::{Bend, Factor, Row, Sum};
use crate::loss::softmax_sigmoid::Modulated;
use crate::real::Real;
use crate::simd::Vector;

/// What is asked for, and how.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// As [`output`] has them.
    pub outputs: u8,
    /// Whether the modulating factors are.
    pub factor: bool,
    /// Whether the results are those of a quotient.
    pub quotient: bool,
    /// Whether each row has a gamma of its own.
    pub gammas: bool,
}

impl Wanted {
    /// Whether these outputs ([`output`]) are among what is asked for.
    #[inline(always)]
    pub fn has(self, outputs: u8) -> bool {
        self.outputs & outputs != 0
    }
}

/// A call: what is computed from what.
#[derive(Clone, Copy)]
pub struct Call<'a, R> {
    pub constants: &'a Constants<R>,
    pub operands: &'a Operands<R>,
    pub wanted: Wanted,
}

impl<'a, R> Call<'a, R> {
    /// The call that computes these outputs ([`output`]).
    pub fn new(constants: &'a Constants<R>, operands: &'a Operands<R>, outputs: u8) -> Self {
        let (factor, quotient) = (!operands.factor.is_null(), constants.quotient.is_some());
        let wanted = Wanted { outputs, factor, quotient, gammas: !operands.gammas[0].is_null() };
        Self { constants, operands, wanted }
    }
}

/// As many rows as there are lanes: what their classes come to, and what multiplies their results.
pub struct Rows<V> {
    /// The sums over their classes.
    summary: Row<V>,
    /// The sums of the exponentials that are smaller than the largest, for the Hessian.
    smaller: Sum<V>,
    /// The targets' logits.
    own: V,
    /// The focusing parameter.
    gamma: Gamma<V>,
    /// What multiplies loss, gradient and Hessian, 0 if the row is ignored.
    weights: [V; 3],
    /// What multiplies the modulating factor: 1, 0 if the row is ignored.
    counted: V,
    /// V / S and 1 / S of [`Constants::quotient`].
    quotient: [V; 2],
}

/// The results of these rows; 0 for what is not asked for.
pub struct Outcome<V> {
    /// The losses and the modulating factors.
    pub value: V,
    pub factor: V,
    /// The targets' gradients and Hessians.
    pub grad: V,
    pub hess: V,
    /// What the exponentials of the other classes are multiplied with.
    pub others: Factors<V>,
}

impl<V: Vector> Rows<V>
where
    V::Real: RowReal,
{
    /// The `len` rows of a call from `row` on, of which `ignored` ones have no weight.
    ///
    /// # Safety
    /// The operands of the call must be valid for these rows.
    #[inline(always)]
    pub unsafe fn new(
        call: &Call<V::Real>,
        [row, len]: [usize; 2],
        ignored: Option<V::Mask>,
        (summary, smaller, own): (Row<V>, Sum<V>, V),
    ) -> Self {
        let Call { constants, operands, wanted } = call;
        let (isa, zero, one) = (own.isa(), own.constant(V::Real::ZERO), own.constant(V::Real::ONE));
        let [value, grad, hess] = operands.weights;
        let [mean, inverse] = constants.quotient.unwrap_or([V::Real::ZERO; 2]);
        // SAFETY: handed through from the caller.
        let (weights, gamma) = unsafe {
            let gamma = if wanted.gammas {
                let [hi, lo, one_plus_twice] = operands.gammas;
                Gamma::of_parts([
                    some(isa, hi, [row, len], V::Real::ZERO),
                    some(isa, lo, [row, len], V::Real::ZERO),
                    some(isa, one_plus_twice, [row, len], V::Real::ONE),
                ])
            } else {
                constants.gamma.splat(isa)
            };
            // The sums make a -0.0 a +0.0.
            let weights = [
                some::<V>(isa, value, [row, len], constants.value) + zero,
                some::<V>(isa, grad, [row, len], constants.grad) + zero,
                some::<V>(isa, hess, [row, len], constants.hess) + zero,
            ];
            (weights, gamma)
        };
        let quotient = [own.constant(mean), own.constant(inverse)];
        let rows = Self { summary, smaller, own, gamma, weights, counted: one, quotient };
        if let Some(ignored) = ignored { rows.without(ignored) } else { rows }
    }

    /// The same, some of them without weight: their results are all +0.0.
    #[inline(always)]
    fn without(self, ignored: V::Mask) -> Self {
        let zero = self.own.constant(V::Real::ZERO);
        let [value, grad, hess] = self.weights;
        let [mean, inverse] = self.quotient;
        Self {
            own: V::select(ignored, zero, self.own),
            weights: [
                V::select(ignored, zero, value),
                V::select(ignored, zero, grad),
                V::select(ignored, zero, hess),
            ],
            counted: V::select(ignored, zero, self.counted),
            quotient: [V::select(ignored, zero, mean), V::select(ignored, zero, inverse)],
            ..self
        }
    }

    /// Computes what is wanted. `SIGMOID`: the modulator is the sigmoid.
    #[inline(always)]
    pub fn outcome<const POWER: u8, const SIGMOID: bool>(&self, wanted: Wanted) -> Outcome<V> {
        if SIGMOID { self.by_sigmoid(wanted) } else { self.by_softmax::<POWER>(wanted) }
    }

    /// No results yet.
    #[inline(always)]
    fn nothing(&self) -> Outcome<V> {
        let zero = self.own.constant(V::Real::ZERO);
        let grad = Factor { first: zero, second: zero };
        let hess = Bend { total: zero, inverse: zero, rest: zero, curvature: zero, descent: zero };
        Outcome { value: zero, factor: zero, grad: zero, hess: zero, others: Factors { grad, hess } }
    }

    /// The paper's loss.
    #[inline(always)]
    fn by_softmax<const POWER: u8>(&self, wanted: Wanted) -> Outcome<V> {
        let Self { weights: [value, grad, hess], quotient: [mean, inverse], .. } = *self;
        let margin = self.summary.at_margin::<POWER>(&self.gamma);
        let mut outcome = self.nothing();
        if wanted.factor {
            outcome.factor = margin.factor(self.counted);
        }
        if wanted.has(output::VALUE) {
            outcome.value = margin.value_or_zero(value);
        }
        if wanted.has(output::GRAD) {
            let descent = descent(&margin, wanted, grad, mean);
            self.put_grad(descent, descent, &mut outcome);
        }
        if wanted.has(HESS) {
            let descent = descent(&margin, wanted, hess, mean);
            let own = if wanted.has(output::GAUSS_NEWTON) {
                margin.gauss_newton(hess)
            } else if wanted.quotient {
                margin.quotient_curvature(hess, mean, inverse, descent)
            } else {
                margin.curvature(hess)
            };
            self.put_hess(own, own, descent, &mut outcome);
        }
        outcome
    }

    /// The cross entropy, modulated by the sigmoid of the target's logit.
    #[inline(always)]
    fn by_sigmoid(&self, wanted: Wanted) -> Outcome<V> {
        let Self { weights: [value, grad, hess], quotient: [mean, inverse], .. } = *self;
        let cross_entropy = self.summary.at_margin::<0>(&self.gamma);
        let row = Modulated::new(self.own, cross_entropy, &self.gamma);
        let mut outcome = self.nothing();
        if wanted.factor {
            outcome.factor = row.factor(self.counted);
        }
        if wanted.has(output::VALUE) {
            outcome.value = row.value(value);
        }
        if wanted.has(output::GRAD) {
            self.put_grad(row.own_descent(grad, mean), row.descent(grad), &mut outcome);
        }
        if wanted.has(output::CURVATURE) {
            let own = row.own_curvature(hess, mean, inverse, row.own_descent(hess, mean));
            self.put_hess(own, row.curvature(hess), row.descent(hess), &mut outcome);
        }
        outcome
    }

    /// What the gradient is made of: minus that of the target, and what the others share.
    #[inline(always)]
    fn put_grad(&self, own: V, descent: V, outcome: &mut Outcome<V>) {
        // Not a negation: an ignored row has no -0.0.
        outcome.grad = own.constant(V::Real::ZERO) - own;
        outcome.others.grad = self.summary.share(descent);
    }

    /// What the Hessian is made of: that of the target, and the two derivatives that the others share.
    #[inline(always)]
    fn put_hess(&self, own: V, curvature: V, descent: V, outcome: &mut Outcome<V>) {
        outcome.hess = own;
        outcome.others.hess = Bend::new(&self.summary, self.summary.rest(self.smaller), curvature, descent);
    }
}

/// -weight f', or what it is in a quotient.
#[inline(always)]
fn descent<V: Vector, const POWER: u8>(margin: &Margin<V, POWER>, wanted: Wanted, weight: V, mean: V) -> V
where
    V::Real: RowReal,
{
    if wanted.quotient { margin.quotient_descent(weight, mean) } else { margin.descent(weight) }
}

/// The numbers of `len` rows from `row` on, out of a list, or a constant if that is null.
///
/// # Safety
/// A list that is not null must be valid for these rows.
#[inline(always)]
unsafe fn some<V: Vector>(isa: V::Isa, list: *const V::Real, [row, len]: [usize; 2], constant: V::Real) -> V {
    if list.is_null() {
        return V::splat(isa, constant);
    }
    let list = list.wrapping_add(row);
    if len >= V::LANES {
        // SAFETY: handed through from the caller.
        return unsafe { V::load(isa, list) };
    }
    let mut lanes = [constant; MOST_PARTIAL_SUMS];
    // SAFETY: handed through from the caller; there are fewer rows than lanes, and no group has more of these.
    unsafe {
        copy_nonoverlapping(list, lanes.as_mut_ptr(), len);
        V::load(isa, lanes.as_ptr())
    }
}

/// Writes the first `len` lanes, or all if there are no more.
///
/// # Safety
/// `target` must be valid for as many numbers.
#[inline(always)]
pub unsafe fn put_some<V: Vector>(group: V, target: *mut V::Real, len: usize) {
    // SAFETY: handed through from the caller; no group has more lanes.
    unsafe {
        if len >= V::LANES {
            group.store(target);
        } else {
            let mut lanes = [V::Real::ZERO; MOST_PARTIAL_SUMS];
            group.store(lanes.as_mut_ptr());
            copy_nonoverlapping(lanes.as_ptr(), target, len);
        }
    }
}

/// The target classes of a group of `len` rows as numbers; -1 where a row is ignored, and behind the last one.
///
/// # Safety
/// `targets` must be valid for these rows.
#[inline(always)]
pub unsafe fn class_numbers<V: Vector>(isa: V::Isa, targets: *const i64, len: usize) -> V
where
    V::Real: RowReal,
{
    let mut numbers = [V::Real::of_class(-1); MOST_PARTIAL_SUMS];
    // SAFETY: handed through from the caller; no group has more lanes.
    unsafe {
        if len >= V::LANES {
            for (i, number) in numbers.iter_mut().enumerate().take(V::LANES) {
                *number = class_number(targets.add(i).read());
            }
        } else {
            for (i, number) in numbers.iter_mut().enumerate().take(len) {
                *number = class_number(targets.add(i).read());
            }
        }
        V::load(isa, numbers.as_ptr())
    }
}

/// A class as a number, -1 for negative ones. There are fewer than 2^31 classes.
#[inline(always)]
fn class_number<R: RowReal>(class: i64) -> R {
    R::of_class(class as i32 | (class >> 32) as i32 >> 31)
}
