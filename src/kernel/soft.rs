//! The sigmoid focal loss over a tile for labels between 0 and 1, for probabilities, and divided by the
//! sum of its modulating factors.
//!
//! Here much is decided at run time that [`super::elementwise`] compiles a kernel for: outputs and
//! inputs are there or null, and any gamma goes through a logarithm. A branch that all elements of a
//! call take alike costs little beside two logarithms, and so there are three kernels in all.

use std::hint::black_box;

use crate::cache::prefetch_ahead;
use crate::kernel::folds::Folds;
use crate::kernel::operands::{Constants, Operands, Padded};
use crate::kernel::rows::RowReal;
use crate::kernel::soft_group::Group;
use crate::kernel::tile::TILE;
use crate::loss::focal::Fold;
use crate::params::SoftTargets;
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel, MAX_LANES, Vector};

/// What a call with soft labels or probabilities says, beside what every call says.
#[derive(Clone, Copy, Debug)]
pub struct Options<R> {
    /// What labels between 0 and 1 mean.
    pub meaning: SoftTargets,
    /// 1 - s and s/2 of label smoothing.
    pub smoothing: [R; 2],
    /// The Gauss-Newton Hessian instead of the exact one (logits only).
    pub gauss_newton: bool,
    /// Bounds that probabilities are clipped to. Without them a probability outside \[0, 1\] makes its element NaN.
    pub clip: Option<[R; 2]>,
    /// The value V and 1/S, where the loss is divided by the sum S of the modulating factors: gradient
    /// and exact Hessian become (n' - V s') / S and (n'' - V s'' - 2 V' s') / S, with n the element's
    /// weighted loss as it is without and s its modulating factor. Not with `Expected`.
    pub quotient: Option<[R; 2]>,
}

impl<R: Real> Options<R> {
    /// No smoothing, no clipping, no quotient, the exact Hessian.
    pub fn new(meaning: SoftTargets) -> Self {
        Self { meaning, smoothing: [R::ONE, R::ZERO], gauss_newton: false, clip: None, quotient: None }
    }

    /// With label smoothing `s`.
    pub fn smoothed(self, s: f64) -> Self {
        Self { smoothing: [R::from_f64(1.0 - s), R::from_f64(s / 2.0)], ..self }
    }

    /// With probabilities clipped to \[eps, 1 - eps\].
    pub fn clipped(self, eps: f64) -> Self {
        Self { clip: Some([R::from_f64(eps), R::from_f64(1.0 - eps)]), ..self }
    }
}

/// A kernel.
///
/// # Safety
/// The operands that are not null must be valid for `len` elements, aligned to their type; `len` must not
/// exceed [`TILE`]; an output must either be exactly the memory of logits, labels or samples, or share none with any
/// input, and share none with another output.
pub type SoftKernel<R> = unsafe fn(AnyIsa, &Constants<R>, &Options<R>, &Operands<R>);

/// The kernel for a meaning, of logits or of probabilities.
pub fn kernel<R: RowReal>(meaning: SoftTargets, probabilities: bool) -> SoftKernel<R> {
    match (probabilities, meaning) {
        (true, _) => run::<R, PROBABILITIES>,
        (false, SoftTargets::Expected) => run::<R, EXPECTED>,
        (false, SoftTargets::Mixture | SoftTargets::Quality) => run::<R, FACTOR>,
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
    constants: &Constants<R>,
    options: &Options<R>,
    operands: &Operands<R>,
) {
    isa.vectorize(Loop::<R, KIND> { constants: *constants, options: *options, operands: *operands });
}

/// The loop over a tile.
struct Loop<R, const KIND: u8> {
    constants: Constants<R>,
    options: Options<R>,
    operands: Operands<R>,
}

/// Fewer lanes than [`Real::Lanes`] at a time: the intermediate values are many.
type Short<R, I> = <R as RowReal>::RowLanes<I>;

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
                let mut memory = Padded::new();
                let inside = memory.operands(&self.operands);
                Padded::copy_inputs(&self.operands, whole, &inside, len - whole, lanes);
                self.part(isa, &inside, lanes, &mut folds);
                self.operands.take_outputs(whole, &inside, 0, len - whole);
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
    unsafe fn part<I: Isa>(&self, isa: I, operands: &Operands<R>, len: usize, folds: &mut Folds<R>) {
        let lanes = <Short<R, I>>::LANES;
        let mut at = 0;
        while at < len && KIND != PROBABILITIES {
            prefetch(operands, at, lanes);
            // SAFETY: `at + lanes <= len <= TILE`.
            unsafe { folds.put(at, Fold::new(<Short<R, I>>::load(isa, operands.logits.add(at)))) };
            at += lanes;
        }
        at = 0;
        while at < len {
            if KIND == PROBABILITIES {
                prefetch(operands, at, lanes);
            }
            // Not known to be the same every time: a loop for each set of operands would be too much.
            let (operands, constants, options) = black_box((operands, &self.constants, &self.options));
            // SAFETY: as above.
            unsafe { Group::<Short<R, I>>::new(isa, constants, options).work::<KIND>(operands, at, folds) };
            at += lanes;
        }
    }
}

/// Asks for memory ahead of the group of lanes that starts at element `at`.
#[inline(always)]
fn prefetch<R>(operands: &Operands<R>, at: usize, lanes: usize) {
    let Operands { logits, targets, value, grad, hess, .. } = *operands;
    for operand in [logits, targets, value, grad, hess] {
        if !operand.is_null() {
            prefetch_ahead(operand.wrapping_add(at).cast(), lanes * size_of::<R>());
        }
    }
}
