//! What the kernels of single elements work on: the same for labels of 0 and 1 ([`super::elementwise`]) and for all
//! others ([`super::soft`]).
//!
//! Kernels go over groups of lanes. Elements that do not fill a group go the same way on a padded copy
//! ([`Padded`]), so that they get the bits that they would get anywhere.

use std::mem::MaybeUninit;
use std::ptr::{copy_nonoverlapping, null, null_mut};

use crate::cache::Ahead;
use crate::kernel::labels::Ignored;
use crate::loss::focal::Gamma;
use crate::real::Real;
use crate::simd::{MAX_LANES, stream};

/// The numbers of a call that are the same for every element.
#[derive(Clone, Copy, Debug)]
pub struct Constants<R> {
    /// The focusing parameter, where elements have none of their own.
    pub gamma: Gamma<R>,
    /// What losses, gradient and Hessian of negatives and of positives are multiplied with, where elements have no
    /// weights of their own.
    pub weights: [[R; 2]; 3],
    /// Elements with such a target have results of +0.0, whatever the logit.
    pub ignored: Option<Ignored<R>>,
}

impl<R: Real> Constants<R> {
    /// A gamma for all elements, none of which is ignored, and these weights of negatives and positives.
    pub fn new(gamma: f64, weights: [R; 2]) -> Self {
        Self { gamma: Gamma::new(gamma), weights: [weights; 3], ignored: None }
    }
}

/// The operands of a run of elements. What is not there or not wanted is null; an output may be the very memory of
/// logits, targets or samples.
#[derive(Clone, Copy, Debug)]
pub struct Operands<R> {
    /// Number of elements.
    pub len: usize,
    /// Logits, or probabilities.
    pub logits: *const R,
    /// Targets.
    pub targets: *const R,
    /// What loss, gradient and Hessian of each element are multiplied with as those of a negative and of a positive,
    /// instead of the constants.
    pub weights: [[*const R; 2]; 3],
    /// What that is multiplied with for each element.
    pub samples: *const R,
    /// A gamma for each element as the sum of two parts.
    pub gammas: [*const R; 2],
    /// The loss.
    pub value: *mut R,
    /// The gradient.
    pub grad: *mut R,
    /// The Hessian.
    pub hess: *mut R,
    /// The modulating factor without any weight: written by the kernels for soft labels, but not for `Expected`.
    pub factor: *mut R,
    /// What to ask for meanwhile, beside what comes next in these operands.
    pub ahead: *const Ahead,
    /// Whether a kernel for labels of 0 and 1 stops before the first part of [`TILE`](crate::kernel::tile::TILE)
    /// elements that has another target. Else such a target makes its element NaN.
    pub stops: bool,
    /// Whether a kernel for labels of 0 and 1 writes its results, but losses beside a gradient, past the caches. They
    /// must all begin as far from a cache line, and no result may be an input then: elements may be computed twice.
    /// What comes before the first line belongs to the first part, with the elements behind it.
    pub streams: bool,
}

/// Operands that are read.
pub(super) const INPUTS: usize = 11;
/// Operands that are written.
pub(super) const OUTPUTS: usize = 4;

impl<R: Copy> Operands<R> {
    /// No elements and no operands: what a call lacks is taken from here.
    pub const NONE: Self = Self {
        len: 0,
        logits: null(),
        targets: null(),
        weights: [[null(); 2]; 3],
        samples: null(),
        gammas: [null(); 2],
        value: null_mut(),
        grad: null_mut(),
        hess: null_mut(),
        factor: null_mut(),
        ahead: null(),
        stops: false,
        streams: false,
    };

    /// The operands from element `at` on, of the same length. Pointers that are null move to nowhere, unused.
    #[inline(always)]
    pub(super) fn from(&self, at: usize) -> Self {
        let Self { mut weights, gammas: [hi, lo], .. } = *self;
        // No `map`: it is not always compiled with the kernel's instructions.
        for pair in &mut weights {
            for weights in pair {
                *weights = weights.wrapping_add(at);
            }
        }
        Self {
            logits: self.logits.wrapping_add(at),
            targets: self.targets.wrapping_add(at),
            weights,
            samples: self.samples.wrapping_add(at),
            gammas: [hi.wrapping_add(at), lo.wrapping_add(at)],
            value: self.value.wrapping_add(at),
            grad: self.grad.wrapping_add(at),
            hess: self.hess.wrapping_add(at),
            factor: self.factor.wrapping_add(at),
            ..*self
        }
    }

    /// The operands of `len` elements from element `at` on, as a call of their own. Null stays null.
    #[inline]
    pub fn part(&self, at: usize, len: usize) -> Self {
        let (mut inputs, mut outputs) = (self.inputs(), self.outputs());
        for input in inputs.iter_mut().filter(|input| !input.is_null()) {
            *input = input.wrapping_add(at);
        }
        for output in outputs.iter_mut().filter(|output| !output.is_null()) {
            *output = output.wrapping_add(at);
        }
        Self { len, ..self.with(inputs, outputs) }
    }

    /// What is read.
    #[inline(always)]
    pub(super) fn inputs(&self) -> [*const R; INPUTS] {
        let [[a, b], [c, d], [e, f]] = self.weights;
        let [hi, lo] = self.gammas;
        [self.logits, self.targets, a, b, c, d, e, f, self.samples, hi, lo]
    }

    /// What is written.
    #[inline(always)]
    pub(super) fn outputs(&self) -> [*mut R; OUTPUTS] {
        [self.value, self.grad, self.hess, self.factor]
    }

    /// The same call with these inputs and outputs, in the order of [`Self::inputs`] and [`Self::outputs`].
    #[inline(always)]
    pub(super) fn with(&self, inputs: [*const R; INPUTS], outputs: [*mut R; OUTPUTS]) -> Self {
        let [logits, targets, a, b, c, d, e, f, samples, hi, lo] = inputs;
        let [value, grad, hess, factor] = outputs;
        let (weights, gammas) = ([[a, b], [c, d], [e, f]], [hi, lo]);
        Self { logits, targets, weights, samples, gammas, value, grad, hess, factor, ..*self }
    }

    /// The inputs with the outputs of `other`.
    #[inline(always)]
    pub(super) fn writing_to(self, other: &Self) -> Self {
        let Self { value, grad, hess, factor, streams, .. } = *other;
        Self { value, grad, hess, factor, streams, ..self }
    }

    /// Copies the outputs of `len` elements from element `skip` of `inside` on to element `at` of these, past the caches
    /// where these stream.
    ///
    /// # Safety
    /// The outputs must be null or valid for those elements, those of `inside` too.
    #[inline(always)]
    pub(super) unsafe fn take_outputs(&self, at: usize, inside: &Self, skip: usize, len: usize) {
        let alone = self.grad.is_null() && self.hess.is_null();
        for (i, (to, from)) in self.outputs().into_iter().zip(inside.outputs()).enumerate() {
            if to.is_null() {
                continue;
            }
            // SAFETY: handed through from the caller.
            unsafe {
                let (from, to) = (from.add(skip), to.add(at));
                if self.streams && (i > 0 || alone) {
                    stream(from, to, len);
                } else {
                    copy_nonoverlapping(from, to, len);
                }
            }
        }
    }
}

/// A group's worth of every operand, for the elements that do not fill a group.
#[repr(align(64))]
pub(super) struct Padded<R>(MaybeUninit<[[R; MAX_LANES]; INPUTS + OUTPUTS]>);

impl<R: Real> Padded<R> {
    /// Uninitialised.
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// The operands of one group in this memory, nothing copied yet. What `outside` lacks is null here too.
    #[inline(always)]
    pub(super) fn operands(&mut self, outside: &Operands<R>) -> Operands<R> {
        let start = self.0.as_mut_ptr().cast::<R>();
        let (mut inputs, mut outputs) = (outside.inputs(), outside.outputs());
        for (i, input) in inputs.iter_mut().enumerate() {
            *input = if input.is_null() { *input } else { start.wrapping_add(i * MAX_LANES) };
        }
        for (i, output) in outputs.iter_mut().enumerate() {
            *output = if output.is_null() { *output } else { start.wrapping_add((INPUTS + i) * MAX_LANES) };
        }
        Operands { len: MAX_LANES, ..Operands::NONE.with(inputs, outputs) }
    }

    /// Copies the inputs of `len` elements from element `at` of `outside` on into `inside`, the
    /// [operands](Self::operands) of this memory, and fills the rest of a group of lanes with zeros.
    ///
    /// # Safety
    /// The inputs must be null or valid for those elements, `len <= lanes <= MAX_LANES`.
    #[inline(always)]
    pub(super) unsafe fn copy_inputs(
        outside: &Operands<R>,
        at: usize,
        inside: &Operands<R>,
        len: usize,
        lanes: usize,
    ) {
        for (from, to) in outside.inputs().into_iter().zip(inside.inputs()) {
            if from.is_null() {
                continue;
            }
            // SAFETY: the caller vouches for the elements; rows of this memory hold `MAX_LANES`.
            unsafe {
                let to = to.cast_mut();
                for lane in 0..lanes {
                    to.add(lane).write(R::ZERO);
                }
                copy_nonoverlapping(from.add(at), to, len);
            }
        }
    }
}
