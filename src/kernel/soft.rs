//! The sigmoid focal loss over a tile for labels between 0 and 1, for probabilities, and divided by the
//! sum of its modulating factors.
//!
//! Here much is decided at run time that [`super::elementwise`] compiles a kernel for: outputs and
//! inputs are there or null, and any gamma goes through a logarithm. A branch that all elements of a
//! call take alike costs little beside two logarithms, and so there are three kernels in all.

use std::hint::black_box;

use crate::cache::prefetch_ahead;
use crate::kernel::folds::Folds;
use crate::kernel::rows::RowReal;
use crate::kernel::soft_group::Group;
use crate::kernel::tile::TILE;
use crate::loss::focal::{Fold, Gamma};
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel, MAX_LANES, Pair, Vector};

/// What a label between 0 and 1 means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// The probability that modulates is that of a draw from both classes.
    Mixture,
    /// The mean of the losses of both classes.
    Expected,
    /// The distance of probability and label modulates.
    Quality,
}

/// The numbers of a call that are the same for every element.
#[derive(Clone, Copy, Debug)]
pub struct SoftConstants<R> {
    /// The focusing parameter, where elements have none of their own.
    pub gamma: Gamma<R>,
    /// For loss, gradient and Hessian what negatives and positives are multiplied with, where elements have
    /// no weights of their own.
    pub weights: [[R; 2]; 3],
    /// What labels between 0 and 1 mean.
    pub meaning: Meaning,
    /// 1 - s and s/2 of label smoothing.
    pub smoothing: [R; 2],
    /// The Gauss-Newton Hessian instead of the exact one (logits only).
    pub gauss_newton: bool,
    /// Bounds that probabilities are clipped to.
    pub clip: [R; 2],
    /// The value V and 1/S, where the loss is divided by the sum S of the modulating factors: gradient
    /// and exact Hessian become (n' - V s') / S and (n'' - V s'' - 2 V' s') / S, with n the element's
    /// weighted loss as it is without and s its modulating factor. Not with `Expected`.
    pub quotient: Option<[R; 2]>,
}

impl<R: Real> SoftConstants<R> {
    /// No weights, no smoothing, no clipping, no quotient, the exact Hessian.
    pub fn new(gamma: f64, meaning: Meaning) -> Self {
        Self {
            gamma: Gamma::new(gamma),
            weights: [[R::ONE; 2]; 3],
            meaning,
            smoothing: [R::ONE, R::ZERO],
            gauss_newton: false,
            clip: [R::ZERO, R::ONE],
            quotient: None,
        }
    }

    /// With label smoothing `s`.
    pub fn smoothed(self, s: f64) -> Self {
        Self { smoothing: [R::from_f64(1.0 - s), R::from_f64(s / 2.0)], ..self }
    }

    /// With probabilities clipped to \[eps, 1 - eps\].
    pub fn clipped(self, eps: f64) -> Self {
        Self { clip: [R::from_f64(eps), R::from_f64(1.0 - eps)], ..self }
    }
}

/// The operands of a tile; those that may be null say so. An output may be the very memory of logits or labels.
#[derive(Clone, Copy, Debug)]
pub struct SoftOperands<R> {
    /// Number of elements.
    pub len: usize,
    /// Logits or probabilities.
    pub logits: *const R,
    /// Labels.
    pub targets: *const R,
    /// For loss, gradient and Hessian what each element as a negative and as a positive is multiplied
    /// with, without the sign of its label; or null, both of a pair.
    pub weights: [[*const R; 2]; 3],
    /// A gamma for each element as the sum of two parts, in place of the one for all; or null.
    pub gammas: [*const R; 2],
    /// The loss, or null.
    pub value: *mut R,
    /// The gradient, or null.
    pub grad: *mut R,
    /// The Hessian, or null.
    pub hess: *mut R,
    /// The modulating factor without any weight, or null. Not with `Expected`.
    pub factor: *mut R,
}

/// A kernel.
///
/// # Safety
/// The operands that are not null must be valid for `len` elements, aligned to their type; `len` must not
/// exceed [`TILE`]; an output must either be exactly the memory of logits or labels, or share none with any input, and
/// share none with another output.
pub type SoftKernel<R> = unsafe fn(AnyIsa, &SoftConstants<R>, &SoftOperands<R>);

/// The kernel for a meaning, of logits or of probabilities.
pub fn kernel<R: RowReal>(meaning: Meaning, probabilities: bool) -> SoftKernel<R> {
    match (probabilities, meaning) {
        (true, _) => run::<R, PROBABILITIES>,
        (false, Meaning::Expected) => run::<R, EXPECTED>,
        (false, Meaning::Mixture | Meaning::Quality) => run::<R, FACTOR>,
    }
}

/// Logits, and one modulating factor for an element.
pub(super) const FACTOR: u8 = 0;
/// Logits, and a factor for each class.
pub(super) const EXPECTED: u8 = 1;
/// Probabilities.
const PROBABILITIES: u8 = 2;

/// # Safety
/// As [`SoftKernel`].
unsafe fn run<R: RowReal, const KIND: u8>(
    isa: AnyIsa,
    constants: &SoftConstants<R>,
    operands: &SoftOperands<R>,
) {
    isa.vectorize(Loop::<R, KIND> { constants: *constants, operands: *operands });
}

/// The loop over a tile.
struct Loop<R, const KIND: u8> {
    constants: SoftConstants<R>,
    operands: SoftOperands<R>,
}

/// Fewer lanes than [`Real::Lanes`] at a time: the intermediate values are many.
type Short<R, I> = Pair<<R as Real>::One<I>>;

const INPUTS: usize = 10;
const OUTPUTS: usize = 4;

/// A group's worth of every operand, for the elements that do not fill a group.
#[repr(align(64))]
struct Padded<R>([[R; MAX_LANES]; INPUTS + OUTPUTS]);

impl<R: RowReal, const KIND: u8> Kernel for Loop<R, KIND> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let lanes = <Short<R, I>>::LANES;
        let len = self.operands.len;
        debug_assert!(lanes <= MAX_LANES && len <= TILE);
        let mut folds = Folds::new();
        // SAFETY: the caller of the kernel vouches for `len` elements.
        unsafe {
            let whole = len - len % lanes;
            self.part(isa, &self.operands, whole, &mut folds);
            // The same code on a padded copy: the tail gets the bits that it would get anywhere. Fewer than
            // `lanes <= MAX_LANES` elements are copied in and out.
            if whole < len {
                let mut memory = Padded([[R::ZERO; MAX_LANES]; INPUTS + OUTPUTS]);
                let tail = self.operands.from(whole);
                let inside = tail.padded(&mut memory);
                for (from, to) in tail.inputs().into_iter().zip(inside.inputs()) {
                    copy(from, to.cast_mut(), len - whole);
                }
                self.part(isa, &inside, lanes, &mut folds);
                for (to, from) in tail.outputs().into_iter().zip(inside.outputs()) {
                    copy(from.cast_const(), to, len - whole);
                }
            }
        }
    }
}

impl<R: RowReal, const KIND: u8> Loop<R, KIND> {
    /// Two loops, as [`crate::loss::focal::Fold`] has it.
    ///
    /// # Safety
    /// The operands that are not null must be valid for `len` elements, at most [`TILE`] and a multiple of the group of
    /// lanes.
    #[inline(always)]
    unsafe fn part<I: Isa>(&self, isa: I, operands: &SoftOperands<R>, len: usize, folds: &mut Folds<R>) {
        let lanes = <Short<R, I>>::LANES;
        let mut at = 0;
        while at < len && KIND != PROBABILITIES {
            operands.prefetch(at, lanes);
            // SAFETY: `at + lanes <= len <= TILE`.
            unsafe { folds.put(at, Fold::new(<Short<R, I>>::load(isa, operands.logits.add(at)))) };
            at += lanes;
        }
        at = 0;
        while at < len {
            if KIND == PROBABILITIES {
                operands.prefetch(at, lanes);
            }
            // Not known to be the same every time: a loop for each set of operands would be too much.
            let (operands, constants) = black_box((operands, &self.constants));
            // SAFETY: as above.
            unsafe { Group::<Short<R, I>>::new(isa, constants).work::<KIND>(operands, at, folds) };
            at += lanes;
        }
    }
}

/// Copies an operand if there is one.
///
/// # Safety
/// Both are null or valid for `len` elements, without overlap.
#[inline(always)]
unsafe fn copy<R>(from: *const R, to: *mut R, len: usize) {
    if !from.is_null() {
        // SAFETY: handed through from the caller.
        unsafe { std::ptr::copy_nonoverlapping(from, to, len) }
    }
}

impl<R: Real> SoftOperands<R> {
    #[inline(always)]
    fn inputs(&self) -> [*const R; INPUTS] {
        let [[a, b], [c, d], [e, f]] = self.weights;
        let [hi, lo] = self.gammas;
        [self.logits, self.targets, a, b, c, d, e, f, hi, lo]
    }

    #[inline(always)]
    fn outputs(&self) -> [*mut R; OUTPUTS] {
        [self.value, self.grad, self.hess, self.factor]
    }

    #[inline(always)]
    fn with(inputs: [*const R; INPUTS], outputs: [*mut R; OUTPUTS], len: usize) -> Self {
        let [logits, targets, a, b, c, d, e, f, hi, lo] = inputs;
        let [value, grad, hess, factor] = outputs;
        let (weights, gammas) = ([[a, b], [c, d], [e, f]], [hi, lo]);
        Self { len, logits, targets, weights, gammas, value, grad, hess, factor }
    }

    /// The operands from element `at` on; null stays null.
    #[inline(always)]
    fn from(&self, at: usize) -> Self {
        // No `map`: it is not always inlined.
        let (mut inputs, mut outputs) = (self.inputs(), self.outputs());
        for row in &mut inputs {
            *row = if row.is_null() { *row } else { row.wrapping_add(at) };
        }
        for row in &mut outputs {
            *row = if row.is_null() { *row } else { row.wrapping_add(at) };
        }
        Self::with(inputs, outputs, self.len)
    }

    /// Asks for memory ahead of the group of lanes that starts at element `at`.
    #[inline(always)]
    fn prefetch(&self, at: usize, lanes: usize) {
        for operand in [self.logits, self.targets, self.value, self.grad, self.hess] {
            if !operand.is_null() {
                prefetch_ahead(operand.wrapping_add(at).cast(), lanes * size_of::<R>());
            }
        }
    }

    /// The operands of one group in memory of their own; null stays null.
    #[inline(always)]
    fn padded(&self, memory: &mut Padded<R>) -> Self {
        let rows = memory.0.each_mut().map(|row| row.as_mut_ptr());
        let mut inputs = self.inputs();
        for (pointer, row) in inputs.iter_mut().zip(&rows) {
            *pointer = if pointer.is_null() { *pointer } else { row.cast_const() };
        }
        let mut outputs = self.outputs();
        for (pointer, row) in outputs.iter_mut().zip(&rows[INPUTS..]) {
            *pointer = if pointer.is_null() { *pointer } else { *row };
        }
        Self::with(inputs, outputs, MAX_LANES)
    }
}
