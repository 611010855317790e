//! The sigmoid focal loss over a run of elements: one logit, one target, one set of results an element.

use std::mem::MaybeUninit;

use crate::kernel::folds::Folds;
use crate::kernel::output;
use crate::kernel::tile::TILE;
use crate::loss::focal::{Fold, Gamma, Margin, Scales, power};
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel, MAX_LANES, Vector};

mod cut;
mod operands;

use cut::{Cut, Edge, Part};
pub use operands::Operands;
use operands::{Padded, Weighing};

/// The numbers of a call that are the same for every element.
#[derive(Clone, Copy, Debug)]
pub struct Constants<R> {
    /// The focusing parameter.
    pub gamma: Gamma<R>,
    /// What losses, gradient and Hessian of negatives and of positives are multiplied with. Kernels without the weights of
    /// elements take none of 0 for losses.
    pub weights: [[R; 2]; 3],
}

/// A kernel for one class of gammas and one set of outputs. It gives back how many elements it has done.
///
/// # Safety
/// The operands that it uses must be valid for `len` elements, aligned to their type; an output must either be exactly
/// the memory of logits, targets or samples, or share none with any input, and share none with another output. What streams
/// must be as [`Operands::streams`] says.
pub type TileKernel<R> = unsafe fn(AnyIsa, &Constants<R>, &Operands<R>) -> usize;

/// The kernel for a gamma, a set of outputs ([`output`]), and whether it looks for weights of elements.
pub fn kernel<R: Real + Scales>(gamma: f64, outputs: u8, weighted: bool) -> TileKernel<R> {
    match power::of(gamma) {
        0 => for_outputs::<R, 0>(outputs, weighted),
        1 => for_outputs::<R, 1>(outputs, weighted),
        2 => for_outputs::<R, 2>(outputs, weighted),
        3 => for_outputs::<R, 3>(outputs, weighted),
        _ => for_outputs::<R, { power::GENERAL }>(outputs, weighted),
    }
}

/// The kernel for gammas and weights of each element's own, and a set of outputs.
pub fn kernel_of_gammas<R: Real + Scales>(outputs: u8) -> TileKernel<R> {
    for_outputs::<R, PER_ELEMENT>(outputs, true)
}

/// In the place of a class of gammas: each element has its own.
const PER_ELEMENT: u8 = power::GENERAL - 1;

fn for_outputs<R: Real + Scales, const POWER: u8>(outputs: u8, weighted: bool) -> TileKernel<R> {
    use output::{CURVATURE, GAUSS_NEWTON, GRAD, VALUE};
    const BOTH: u8 = VALUE | GRAD;
    const EXACT: u8 = GRAD | CURVATURE;
    const SURROGATE: u8 = GRAD | GAUSS_NEWTON;
    match outputs {
        VALUE => for_weights::<R, POWER, VALUE>(weighted),
        GRAD => for_weights::<R, POWER, GRAD>(weighted),
        BOTH => for_weights::<R, POWER, BOTH>(weighted),
        EXACT => for_weights::<R, POWER, EXACT>(weighted),
        SURROGATE => for_weights::<R, POWER, SURROGATE>(weighted),
        _ => unreachable!("no call asks for the outputs {outputs:#b}"),
    }
}

fn for_weights<R: Real + Scales, const POWER: u8, const OUTPUTS: u8>(weighted: bool) -> TileKernel<R> {
    if weighted { run::<R, POWER, OUTPUTS, true> } else { run::<R, POWER, OUTPUTS, false> }
}

/// # Safety
/// As [`TileKernel`].
unsafe fn run<R: Real + Scales, const POWER: u8, const OUTPUTS: u8, const WEIGHTED: bool>(
    isa: AnyIsa,
    constants: &Constants<R>,
    operands: &Operands<R>,
) -> usize {
    isa.vectorize(Sigmoid::<R, POWER, OUTPUTS, WEIGHTED> { constants, operands })
}

/// The loops over a run of elements.
struct Sigmoid<'a, R, const POWER: u8, const OUTPUTS: u8, const WEIGHTED: bool> {
    constants: &'a Constants<R>,
    operands: &'a Operands<R>,
}

impl<R: Real + Scales, const POWER: u8, const OUTPUTS: u8, const WEIGHTED: bool> Kernel
    for Sigmoid<'_, R, POWER, OUTPUTS, WEIGHTED>
{
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        let lanes = <R::Lanes<I>>::LANES;
        debug_assert!(lanes <= MAX_LANES && TILE.is_multiple_of(lanes));
        let weighing = self.operands.weighing::<OUTPUTS, WEIGHTED>();
        let constants = Splat::<R::Lanes<I>>::new(isa, self.constants, weighing);
        let (mut folds, mut logits, mut memory) = (Folds::new(), MaybeUninit::uninit(), Padded::new());
        let inside = Operands::padded(&mut memory);
        // A copy: nothing that the kernel writes can be suspected to change it. Made here, where no memory need be
        // copied: to read in one what was just written in pieces waits for all that is being written.
        let mut run = *self.operands;
        let len = run.len;
        // What streams is no input: elements may be computed twice.
        run.streams &= len >= lanes;
        run.prefetch_ends::<OUTPUTS>();
        // Where groups are shorter than lines, some begin within one.
        let lead = run.before_a_line::<OUTPUTS>() % lanes;
        let cut = Cut { len, lanes, overlap: run.streams, lead };
        let mut at = 0;
        while at < len {
            let mut operands = run;
            let mut part = cut.part(at);
            let (mut done, mut checked) = (part.len(), part.end..len.min(at + TILE));
            let rest = operands.from(at);
            // What does not fill a group goes the same way on a padded copy: it gets the bits that it would get
            // anywhere.
            let is_copy = done == 0;
            // SAFETY: the part is inside of what the caller of the kernel vouches for. Fewer than `lanes <= MAX_LANES`
            // elements are copied in and out; the padded operands are as long as the largest group. What streams begins
            // at a line, and so does every vector in it that is not of an edge.
            unsafe {
                if is_copy {
                    done = len - at;
                    rest.copy_inputs::<POWER, OUTPUTS>(&inside, done, lanes, weighing);
                    (operands, part, checked) = (inside, Cut::group(lanes), 0..0);
                }
                let are_hard = Self::fold(isa, &constants, &operands, &part, &mut folds);
                if run.stops && !(are_hard && operands.are_hard(checked)) {
                    break;
                }
                if !are_hard {
                    operands.logits = operands.without_others(part.reach(), &mut logits);
                    Self::fold(isa, &constants, &operands, &part, &mut folds);
                }
                Self::unfold(isa, &constants, &operands, &inside, &part, &folds);
                if is_copy {
                    rest.take_outputs::<OUTPUTS>(&inside, done);
                } else if let Some(Edge { at, len, skip }) = part.edge() {
                    operands.from(at).take_outputs::<OUTPUTS>(&inside.from(skip), len);
                }
            }
            at += done;
        }
        at
    }
}

impl<R: Real + Scales, const POWER: u8, const OUTPUTS: u8, const WEIGHTED: bool>
    Sigmoid<'_, R, POWER, OUTPUTS, WEIGHTED>
{
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
    /// of lanes before anything of it is written. Targets are 0 or 1, or their logits NaN. A group that has elements of
    /// others is written `inside`.
    ///
    /// # Safety
    /// As [`Self::fold`], which must have filled the folds. `inside` must be valid for a group.
    #[inline(always)]
    unsafe fn unfold<I: Isa>(
        isa: I,
        constants: &Splat<R::Lanes<I>>,
        run: &Operands<R>,
        inside: &Operands<R>,
        part: &Part,
        folds: &Folds<R>,
    ) {
        let lanes = <R::Lanes<I>>::LANES;
        let mut place = 0;
        let mut next = Some(part.row());
        while let Some(row) = next {
            let mut first = run.from(row.at);
            if !row.whole {
                first = first.into(inside);
            }
            let mut at = 0;
            while at < row.len {
                run.prefetch::<OUTPUTS>(row.at + at, lanes, constants.weighing);
                // SAFETY: null or valid, for which the caller of the kernel vouches.
                if let Some(ahead) = unsafe { run.ahead.as_ref() } {
                    ahead.ask(row.at + at, lanes);
                }
                let operands = first.from(at);
                // SAFETY: the caller vouches for the elements of groups and for the folds.
                unsafe {
                    // The sign bit of -y says which label it is.
                    let sign = constants.zero - <R::Lanes<I>>::load(isa, operands.targets);
                    let positive = sign.is_negative();
                    let z = -<R::Lanes<I>>::load(isa, operands.logits).flip(sign);
                    let fold = folds.get(isa, place);
                    if POWER == PER_ELEMENT {
                        let [hi, lo] = operands.gammas;
                        let gamma =
                            Gamma::of_lanes(<R::Lanes<I>>::load(isa, hi), <R::Lanes<I>>::load(isa, lo));
                        let margin = Margin::<_, { power::GENERAL }>::of(z, fold, &gamma);
                        Self::write(isa, positive, &margin, constants, &operands);
                    } else {
                        let margin = Margin::<_, POWER>::of(z, fold, &constants.gamma);
                        Self::write(isa, positive, &margin, constants, &operands);
                    }
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
    unsafe fn write<I: Isa, const FORM: u8>(
        isa: I,
        positive: <R::Lanes<I> as Vector>::Mask,
        margin: &Margin<R::Lanes<I>, FORM>,
        constants: &Splat<R::Lanes<I>>,
        operands: &Operands<R>,
    ) {
        // SAFETY: handed through from the caller.
        unsafe {
            // Read before anything is written, which may be where they stand.
            let mut samples = constants.zero;
            if constants.weighing.samples {
                samples = <R::Lanes<I>>::load(isa, operands.samples);
            }
            if OUTPUTS & output::VALUE != 0 {
                let weight = constants.weight::<0>(isa, positive, samples, operands);
                let loss = if WEIGHTED { margin.value_or_zero(weight) } else { margin.value(weight) };
                put(loss, operands.value, operands.streams && OUTPUTS == output::VALUE);
            }
            if OUTPUTS & output::GRAD != 0 {
                let weight = constants.weight::<1>(isa, positive, samples, operands);
                put(margin.descent(weight), operands.grad, operands.streams);
            }
            if OUTPUTS & output::CURVATURE != 0 {
                let weight = constants.weight::<2>(isa, positive, samples, operands);
                put(margin.curvature(weight), operands.hess, operands.streams);
            }
            if OUTPUTS & output::GAUSS_NEWTON != 0 {
                let weight = constants.weight::<2>(isa, positive, samples, operands);
                put(margin.gauss_newton(weight), operands.hess, operands.streams);
            }
        }
    }
}

/// Writes a result, past the caches if it `streams`.
///
/// # Safety
/// As [`Vector::store`], or [`Vector::stream`].
#[inline(always)]
unsafe fn put<V: Vector>(lanes: V, result: *mut V::Real, streams: bool) {
    // SAFETY: handed through from the caller.
    unsafe { if streams { lanes.stream(result) } else { lanes.store(result) } }
}

/// The constants in vectors.
struct Splat<V: Vector> {
    gamma: Gamma<V>,
    /// Those of positives' gradients with the sign of their logits.
    weights: [[V; 2]; 3],
    weighing: Weighing,
    zero: V,
}

impl<V: Vector> Splat<V> {
    #[inline(always)]
    fn new(isa: V::Isa, constants: &Constants<V::Real>, weighing: Weighing) -> Self {
        let zero = V::splat(isa, V::Real::ZERO);
        // Loops here and below, not `map`, which is not always compiled with the caller's instructions.
        let mut weights = [[zero; 2]; 3];
        for (lanes, numbers) in weights.iter_mut().zip(&constants.weights) {
            for (lanes, number) in lanes.iter_mut().zip(numbers) {
                *lanes = V::splat(isa, *number);
            }
        }
        weights[1][1] = zero - weights[1][1];
        Self { gamma: constants.gamma.splat(isa), weights, weighing, zero }
    }

    /// What multiplies an output of each lane: the weight of its label, of all elements or of its own, times that of its
    /// sample. The margin of a positive grows with its logit, that of a negative falls: the weights of gradients take that
    /// sign. A product of 0 is +0.0.
    ///
    /// # Safety
    /// The weights that there are must be valid for a group of lanes.
    #[inline(always)]
    unsafe fn weight<const OUTPUT: usize>(
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
            if self.weighing.samples { samples.mul_add(weight, self.zero) } else { weight }
        }
    }
}
