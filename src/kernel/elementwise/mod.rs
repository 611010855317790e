//! The sigmoid focal loss over a run of elements: one logit, one target, one set of results an element.

use std::ops::Range;

use crate::kernel::folds::Folds;
use crate::kernel::labels::{Exceptions, Ignored, is_hard};
use crate::kernel::operands::{Constants, Operands, Padded};
use crate::kernel::output::{self, Set};
use crate::kernel::tile::TILE;
use crate::loss::focal::{Fold, Gamma, Margin, Scales, power};
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel, MAX_LANES, Vector};

mod cut;
mod memory;
mod weighing;

use cut::{Cut, Edge, Part};
use memory::{before_a_line, prefetch_ends, prefetch_group};
use weighing::{Splat, Weighing};

/// A kernel for one class of gammas and one set of outputs. It gives back how many elements it has done.
///
/// # Safety
/// The operands that it uses must be valid for `len` elements, aligned to their type; an output must either be exactly
/// the memory of logits, targets or samples, or share none with any input, and share none with another output. What streams
/// must be as [`Operands::streams`] says.
pub type TileKernel<R> = unsafe fn(AnyIsa, &Constants<R>, &Operands<R>) -> usize;

/// The kernel for a gamma and a set of outputs. Elements may have gammas of their own unless this one is a
/// whole number up to 3, for which products do.
pub fn kernel<R: Real + Scales>(gamma: f64, outputs: Set) -> TileKernel<R> {
    match power::of(gamma) {
        power::GENERAL => for_outputs::<R, { power::GENERAL }>(outputs),
        _ => for_outputs::<R, { power::WHOLE }>(outputs),
    }
}

/// The kernel for gammas of each element's own, and a set of outputs.
pub fn kernel_of_gammas<R: Real + Scales>(outputs: Set) -> TileKernel<R> {
    for_outputs::<R, { power::GENERAL }>(outputs)
}

fn for_outputs<R: Real + Scales, const POWER: u8>(outputs: Set) -> TileKernel<R> {
    match outputs {
        Set::Value => run::<R, POWER, { Set::Value.bits() }>,
        Set::Grad => run::<R, POWER, { Set::Grad.bits() }>,
        Set::ValueAndGrad => run::<R, POWER, { Set::ValueAndGrad.bits() }>,
        Set::GradAndCurvature => run::<R, POWER, { Set::GradAndCurvature.bits() }>,
        Set::GradAndGaussNewton => run::<R, POWER, { Set::GradAndGaussNewton.bits() }>,
    }
}

/// # Safety
/// As [`TileKernel`].
unsafe fn run<R: Real + Scales, const POWER: u8, const OUTPUTS: u8>(
    isa: AnyIsa,
    constants: &Constants<R>,
    operands: &Operands<R>,
) -> usize {
    isa.vectorize(Sigmoid::<R, POWER, OUTPUTS> { constants, operands })
}

/// The loops over a run of elements.
struct Sigmoid<'a, R, const POWER: u8, const OUTPUTS: u8> {
    constants: &'a Constants<R>,
    operands: &'a Operands<R>,
}

impl<R: Real + Scales, const POWER: u8, const OUTPUTS: u8> Kernel for Sigmoid<'_, R, POWER, OUTPUTS> {
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        let lanes = <R::Lanes<I>>::LANES;
        debug_assert!(lanes <= MAX_LANES && TILE.is_multiple_of(lanes));
        let weighing = Weighing::of::<R, OUTPUTS>(self.constants, self.operands);
        let own_gammas = !self.operands.gammas[0].is_null();
        let constants = Splat::<R::Lanes<I>>::new(isa, self.constants, weighing, own_gammas);
        let (mut folds, mut memory) = (Folds::new(), Padded::new());
        let inside = memory.operands(self.operands);
        // A copy: nothing that the kernel writes can be suspected to change it. Made here, where no memory need be
        // copied: to read in one what was just written in pieces waits for all that is being written.
        let mut run = *self.operands;
        let len = run.len;
        // What streams is no input: elements may be computed twice.
        run.streams &= len >= lanes;
        prefetch_ends::<R, OUTPUTS>(&run);
        // Where groups are shorter than lines, some begin within one.
        let lead = before_a_line::<R, OUTPUTS>(&run) % lanes;
        let cut = Cut { len, lanes, overlap: run.streams, lead };
        let mut at = 0;
        while at < len {
            let mut operands = run;
            let mut part = cut.part(at);
            let (mut done, mut checked) = (part.len(), part.end..len.min(at + TILE));
            // What does not fill a group goes the same way on a padded copy: it gets the bits that it would get
            // anywhere.
            let is_copy = done == 0;
            // SAFETY: the part is inside of what the caller of the kernel vouches for. Fewer than `lanes <= MAX_LANES`
            // elements are copied in and out; the padded operands are as long as the largest group. What streams begins
            // at a line, and so does every vector in it that is not of an edge.
            unsafe {
                if is_copy {
                    done = len - at;
                    Padded::copy_inputs(&run, at, &inside, done, lanes);
                    (operands, part, checked) = (inside, Cut::group(lanes), 0..0);
                }
                let are_hard = Self::fold(isa, &constants, &operands, &part, &mut folds);
                if run.stops {
                    let ignored = constants.ignored;
                    let part_is = are_hard || are_known(operands.targets, part.reach(), ignored);
                    if !(part_is && are_known(operands.targets, checked, ignored)) {
                        break;
                    }
                }
                let are_ordinary = are_hard && constants.ignored.is_none();
                Self::unfold(isa, &constants, &operands, (&inside, are_ordinary), &part, &folds);
                if is_copy {
                    run.take_outputs(at, &inside, 0, done);
                } else if let Some(Edge { at, len, skip }) = part.edge() {
                    run.take_outputs(at, &inside, skip, len);
                }
            }
            at += done;
        }
        at
    }
}

impl<R: Real + Scales, const POWER: u8, const OUTPUTS: u8> Sigmoid<'_, R, POWER, OUTPUTS> {
    /// The first half of a part's work, which reads logits and targets: whether all targets of its groups are 0 or 1.
    ///
    /// # Safety
    /// The operands must be valid for the elements of the groups, no more than [`Folds`] have room for.
    #[inline(always)]
    unsafe fn fold<I: Isa>(
        isa: I,
        constants: &Splat<R::Lanes<I>>,
        run: &Operands<R>,
        part: &Part,
        folds: &mut Folds<R>,
    ) -> bool {
        let lanes = <R::Lanes<I>>::LANES;
        // |y^2 - y|, which is 0 for 0 and 1 alone, rounded once or twice.
        let mut others = constants.zero;
        let mut place = 0;
        let mut next = Some(part.row());
        while let Some(row) = next {
            let (mut at, end) = (row.at, row.at + row.len);
            while at < end {
                let operands = run.from(at);
                // SAFETY: the caller vouches for the elements of groups, and for the room.
                unsafe {
                    let x = <R::Lanes<I>>::load(isa, operands.logits);
                    let y = <R::Lanes<I>>::load(isa, operands.targets);
                    others = others + y.mul_add(y, -y).abs();
                    folds.put(place, Fold::new(x));
                }
                at += lanes;
                place += lanes;
            }
            next = part.after(row);
        }
        let mut found = [R::ZERO; MAX_LANES];
        // SAFETY: no group has more lanes.
        unsafe { others.store(found.as_mut_ptr()) };
        found.iter().all(|&lane| lane == R::ZERO)
    }

    /// The second half of a part's work, which reads logits and targets again, and the other inputs: those of a group
    /// of lanes before anything of it is written. Only where the elements `are_ordinary` are targets not looked at for
    /// others than 0 and 1. A group that has elements of others is written `inside`.
    ///
    /// # Safety
    /// As [`Self::fold`], which must have filled the folds. `inside` must be valid for a group.
    #[inline(always)]
    unsafe fn unfold<I: Isa>(
        isa: I,
        constants: &Splat<R::Lanes<I>>,
        run: &Operands<R>,
        (inside, are_ordinary): (&Operands<R>, bool),
        part: &Part,
        folds: &Folds<R>,
    ) {
        let lanes = <R::Lanes<I>>::LANES;
        let mut place = 0;
        let mut next = Some(part.row());
        while let Some(row) = next {
            let mut first = run.from(row.at);
            if !row.whole {
                first = first.writing_to(inside);
            }
            let mut at = 0;
            while at < row.len {
                prefetch_group::<R, OUTPUTS>(run, row.at + at, lanes, constants.weighing);
                // SAFETY: null or valid, for which the caller of the kernel vouches.
                if let Some(ahead) = unsafe { run.ahead.as_ref() } {
                    ahead.ask(row.at + at, lanes);
                }
                let operands = first.from(at);
                // SAFETY: the caller vouches for the elements of groups and for the folds.
                unsafe {
                    // The sign bit of -y says which label it is.
                    let y = <R::Lanes<I>>::load(isa, operands.targets);
                    let sign = constants.zero - y;
                    let positive = sign.is_negative();
                    let z = -<R::Lanes<I>>::load(isa, operands.logits).flip(sign);
                    let exceptions =
                        if are_ordinary { None } else { Some(Exceptions::of_hard(y, constants.ignored)) };
                    let lanes = Lanes { positive, exceptions };
                    let fold = folds.get(isa, place);
                    let mut gamma = constants.gamma;
                    if POWER == power::GENERAL && constants.own_gammas {
                        let [hi, lo] = operands.gammas;
                        gamma = Gamma::of_lanes(<R::Lanes<I>>::load(isa, hi), <R::Lanes<I>>::load(isa, lo));
                    }
                    let margin = Margin::<_, POWER>::of(z, fold, &gamma);
                    Self::write(isa, lanes, &margin, constants, &operands);
                }
                at += lanes;
                place += lanes;
            }
            next = part.after(row);
        }
    }

    /// Writes the outputs of a group of lanes.
    ///
    /// # Safety
    /// As [`Self::unfold`].
    #[inline(always)]
    unsafe fn write<I: Isa>(
        isa: I,
        Lanes { positive, exceptions }: Lanes<R::Lanes<I>>,
        margin: &Margin<R::Lanes<I>, POWER>,
        constants: &Splat<R::Lanes<I>>,
        operands: &Operands<R>,
    ) {
        // SAFETY: handed through from the caller.
        unsafe {
            // Read before anything is written, which may be where they stand.
            let (mut samples, weighing) = (constants.zero, constants.weighing);
            if weighing.samples {
                samples = <R::Lanes<I>>::load(isa, operands.samples);
            }
            if OUTPUTS & output::VALUE != 0 {
                let weight = constants.weight::<0>(isa, positive, samples, operands);
                let loss = if weighing.zeros { margin.value_or_zero(weight) } else { margin.value(weight) };
                put(loss, exceptions, operands.value, operands.streams && OUTPUTS == output::VALUE);
            }
            if OUTPUTS & output::GRAD != 0 {
                let weight = constants.weight::<1>(isa, positive, samples, operands);
                put(margin.descent(weight), exceptions, operands.grad, operands.streams);
            }
            if OUTPUTS & output::CURVATURE != 0 {
                let weight = constants.weight::<2>(isa, positive, samples, operands);
                put(margin.curvature(weight), exceptions, operands.hess, operands.streams);
            }
            if OUTPUTS & output::GAUSS_NEWTON != 0 {
                let weight = constants.weight::<2>(isa, positive, samples, operands);
                put(margin.gauss_newton(weight), exceptions, operands.hess, operands.streams);
            }
        }
    }
}

/// What the results of a group of lanes depend on beside their margins.
#[derive(Clone, Copy)]
struct Lanes<V: Vector> {
    /// Where the label is 1.
    positive: V::Mask,
    /// Elements that the formula is not for, where there may be any.
    exceptions: Option<Exceptions<V>>,
}

/// Writes a result, past the caches if it `streams`.
///
/// # Safety
/// As [`Vector::store`], or [`Vector::stream`].
#[inline(always)]
unsafe fn put<V: Vector>(
    mut lanes: V,
    exceptions: Option<Exceptions<V>>,
    result: *mut V::Real,
    streams: bool,
) {
    if let Some(exceptions) = exceptions {
        lanes = exceptions.result(lanes);
    }
    // SAFETY: handed through from the caller.
    unsafe { if streams { lanes.stream(result) } else { lanes.store(result) } }
}

/// Whether these targets are all 0, 1 or ignored.
///
/// # Safety
/// They must be valid.
#[inline(always)]
unsafe fn are_known<R: Real>(targets: *const R, elements: Range<usize>, ignored: Option<Ignored<R>>) -> bool {
    let mut all = true;
    for at in elements {
        // SAFETY: handed through from the caller.
        all &= is_hard(unsafe { targets.add(at).read() }, ignored);
    }
    all
}

/// Whether a set of outputs has losses, gradient, a Hessian.
#[inline(always)]
const fn writes(outputs: u8) -> [bool; 3] {
    let hess = output::CURVATURE | output::GAUSS_NEWTON;
    [outputs & output::VALUE != 0, outputs & output::GRAD != 0, outputs & hess != 0]
}
