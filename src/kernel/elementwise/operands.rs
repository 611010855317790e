//! What a kernel for labels of 0 and 1 works on, and a copy of what does not fill a group of lanes.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::copy_nonoverlapping;

use super::{PER_ELEMENT, output};
use crate::cache::{Ahead, LINE, prefetch, prefetch_ahead};
use crate::kernel::folds::ROOM;
use crate::real::Real;
use crate::simd::{MAX_LANES, stream};

/// The operands of a run of elements. Those that the kernel does not use may be null; an output may be the very
/// memory of logits, targets or samples.
#[derive(Clone, Copy, Debug)]
pub struct Operands<R> {
    /// Number of elements.
    pub len: usize,
    /// Logits.
    pub logits: *const R,
    /// Targets, 0 or 1.
    pub targets: *const R,
    /// What loss, gradient and Hessian of each element are multiplied with as those of a negative and of a positive,
    /// instead of the constants; or null, all of them.
    pub weights: [[*const R; 2]; 3],
    /// What that is multiplied with for each element; or null. Both are 0, or so that the product is a normal number.
    pub samples: *const R,
    /// A gamma for each element as the sum of two parts: read by the kernels of
    /// [`kernel_of_gammas`](super::kernel_of_gammas).
    pub gammas: [*const R; 2],
    /// The loss.
    pub value: *mut R,
    /// The gradient.
    pub grad: *mut R,
    /// The Hessian.
    pub hess: *mut R,
    /// What to ask for meanwhile, beside what comes next in these operands; or null.
    pub ahead: *const Ahead,
    /// Whether to stop before the first part of [`TILE`](crate::kernel::tile::TILE) elements that has a target other
    /// than 0 and 1. Else such a target makes its element NaN.
    pub stops: bool,
    /// Whether results, but losses beside a gradient, are written past the caches. They must all begin as far from a
    /// cache line, and no result may be an input then: elements may be computed twice. What comes before the first line
    /// belongs to the first part, with the [`TILE`](crate::kernel::tile::TILE) elements behind it.
    pub streams: bool,
}

/// Which weights elements have of their own.
#[derive(Clone, Copy)]
pub(super) struct Weighing {
    /// Those of labels, in lists.
    pub lists: bool,
    /// Those of samples.
    pub samples: bool,
}

/// A group's worth of every operand, for the elements that do not fill a group.
#[repr(align(64))]
pub(super) struct Padded<R>(MaybeUninit<[[R; MAX_LANES]; ROWS]>);

impl<R> Padded<R> {
    /// Uninitialised.
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self(MaybeUninit::uninit())
    }
}

/// Operands.
const ROWS: usize = 14;

/// Whether a set of outputs has losses, gradient, a Hessian.
#[inline(always)]
const fn writes(outputs: u8) -> [bool; 3] {
    let hess = output::CURVATURE | output::GAUSS_NEWTON;
    [outputs & output::VALUE != 0, outputs & output::GRAD != 0, outputs & hess != 0]
}

/// Which of them may be written past the caches: losses beside others are not.
#[inline(always)]
const fn streamed(outputs: u8) -> [bool; 3] {
    let [_, grad, hess] = writes(outputs);
    [outputs == output::VALUE, grad, hess]
}

impl<R: Real> Operands<R> {
    /// The operands from element `at` on, of the same length. Pointers that are null move to nowhere, unused.
    #[inline(always)]
    pub(super) fn from(&self, at: usize) -> Self {
        let Self { mut weights, gammas: [hi, lo], .. } = *self;
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
            ..*self
        }
    }

    /// Which weights there are, if there are any.
    #[inline(always)]
    pub(super) fn weighing<const OUTPUTS: u8, const WEIGHTED: bool>(&self) -> Weighing {
        let [value, grad, _] = writes(OUTPUTS);
        let output = if value { 0 } else { 2 - usize::from(grad) };
        Weighing {
            lists: WEIGHTED && !self.weights[output][0].is_null(),
            samples: WEIGHTED && !self.samples.is_null(),
        }
    }

    /// Whether the targets of these elements are all 0 or 1.
    ///
    /// # Safety
    /// The targets must be valid for them.
    #[inline(always)]
    pub(super) unsafe fn are_hard(&self, mut elements: Range<usize>) -> bool {
        // SAFETY: handed through from the caller.
        elements.all(|at| [R::ZERO, R::ONE].contains(unsafe { &*self.targets.add(at) }))
    }

    /// Copies the logits of these elements, but NaN for those whose target is neither 0 nor 1: theirs are all results.
    /// Where the first logit of all would be.
    ///
    /// # Safety
    /// Logits and targets must be valid for the elements, no more than there is room for.
    #[cold]
    pub(super) unsafe fn without_others(
        &self,
        elements: Range<usize>,
        memory: &mut MaybeUninit<[R; ROOM]>,
    ) -> *const R {
        let copy = memory.as_mut_ptr().cast::<R>().wrapping_sub(elements.start);
        for at in elements {
            // SAFETY: the caller vouches for the element and for the room.
            unsafe {
                let is_label = [R::ZERO, R::ONE].contains(&*self.targets.add(at));
                copy.wrapping_add(at).write(if is_label { *self.logits.add(at) } else { R::NAN });
            }
        }
        copy
    }

    /// Asks for memory ahead of the group of lanes that starts at element `at`.
    #[inline(always)]
    pub(super) fn prefetch<const OUTPUTS: u8>(&self, at: usize, lanes: usize, weighing: Weighing) {
        let ([value, grad, hess], bytes) = (writes(OUTPUTS), lanes * size_of::<R>());
        let ask = |operand: *const R, used: bool| {
            if used {
                prefetch_ahead(operand.wrapping_add(at).cast(), bytes);
            }
        };
        let through = !self.streams;
        ask(self.logits, true);
        ask(self.targets, true);
        ask(self.samples, weighing.samples);
        ask(self.value, value && through);
        ask(self.grad, grad && through);
        ask(self.hess, hess && through);
    }

    /// Asks for the lines in which results that are written past the caches begin and end, where those are not whole
    /// lines: ordinary stores that wait for memory would hold up all that follow.
    #[inline(always)]
    pub(super) fn prefetch_ends<const OUTPUTS: u8>(&self) {
        let ask = |result: *mut R, streams: bool| {
            for end in [result, result.wrapping_add(self.len)] {
                if streams && !end.addr().is_multiple_of(LINE) {
                    prefetch::<false>(end.cast_const().cast());
                }
            }
        };
        let [value, grad, hess] = streamed(OUTPUTS);
        ask(self.value, value && self.streams);
        ask(self.grad, grad && self.streams);
        ask(self.hess, hess && self.streams);
    }

    /// Elements before the first cache line of results, if they are written past the caches.
    #[inline(always)]
    pub(super) fn before_a_line<const OUTPUTS: u8>(&self) -> usize {
        let result = match writes(OUTPUTS) {
            [_, true, _] => self.grad,
            [_, _, true] => self.hess,
            _ => self.value,
        };
        if self.streams { result.addr().wrapping_neg() % LINE / size_of::<R>() } else { 0 }
    }

    /// The operands of one group, in memory of their own.
    #[inline(always)]
    pub(super) fn padded(memory: &mut Padded<R>) -> Self {
        let start = memory.0.as_mut_ptr().cast::<R>();
        let mut rows = [start; ROWS];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = start.wrapping_add(i * MAX_LANES);
        }
        let [logits, targets, value, grad, hess, hi, lo, samples, a, b, c, d, e, f] = rows;
        Self {
            len: MAX_LANES,
            logits,
            targets,
            weights: [[a, b], [c, d], [e, f]],
            samples,
            gammas: [hi, lo],
            value,
            grad,
            hess,
            ahead: std::ptr::null(),
            stops: false,
            streams: false,
        }
    }

    /// The inputs with the outputs of `inside`.
    #[inline(always)]
    pub(super) fn into(self, inside: &Self) -> Self {
        let Self { value, grad, hess, streams, .. } = *inside;
        Self { value, grad, hess, streams, ..self }
    }

    /// Copies the inputs of `len` elements to `inside` and fills the rest of a group of lanes with zeros.
    ///
    /// # Safety
    /// The inputs must be valid for `len` elements, those of `inside` for `lanes`, which are not fewer, and writable.
    #[inline(always)]
    pub(super) unsafe fn copy_inputs<const POWER: u8, const OUTPUTS: u8>(
        &self,
        inside: &Self,
        len: usize,
        lanes: usize,
        weighing: Weighing,
    ) {
        // SAFETY: handed through from the caller.
        unsafe {
            pad(self.logits, inside.logits, len, lanes);
            pad(self.targets, inside.targets, len, lanes);
            for (output, (outside, inside)) in self.weights.into_iter().zip(inside.weights).enumerate() {
                if weighing.lists && writes(OUTPUTS)[output] {
                    pad(outside[0], inside[0], len, lanes);
                    pad(outside[1], inside[1], len, lanes);
                }
            }
            if weighing.samples {
                pad(self.samples, inside.samples, len, lanes);
            }
            if POWER == PER_ELEMENT {
                for (outside, inside) in self.gammas.into_iter().zip(inside.gammas) {
                    pad(outside, inside, len, lanes);
                }
            }
        }
    }

    /// Copies the outputs of `len` elements from `inside`, past the caches if these stream.
    ///
    /// # Safety
    /// The outputs must be valid for `len` elements, those of `inside` for as many.
    #[inline(always)]
    pub(super) unsafe fn take_outputs<const OUTPUTS: u8>(&self, inside: &Self, len: usize) {
        let take = |from: *mut R, to: *mut R, used: bool, streams: bool| {
            // SAFETY: handed through from the caller.
            unsafe {
                match used {
                    true if streams => stream(from, to, len),
                    true => copy_nonoverlapping(from, to, len),
                    false => {}
                }
            }
        };
        let ([value, grad, hess], [value_too, ..]) = (writes(OUTPUTS), streamed(OUTPUTS));
        take(inside.value, self.value, value, self.streams && value_too);
        take(inside.grad, self.grad, grad, self.streams);
        take(inside.hess, self.hess, hess, self.streams);
    }
}

/// Copies `len` numbers and fills up to `lanes` with zeros.
///
/// # Safety
/// `from` must be valid for `len` numbers, `to` for writing `lanes`, which are not fewer.
#[inline(always)]
unsafe fn pad<R: Real>(from: *const R, to: *const R, len: usize, lanes: usize) {
    // SAFETY: handed through from the caller.
    unsafe {
        for lane in 0..lanes {
            to.cast_mut().add(lane).write(R::ZERO);
        }
        copy_nonoverlapping(from, to.cast_mut(), len);
    }
}
