//! Denominators that do not depend on the logits: counts, and sums of weights.

use super::elements::Inputs;
use super::heads::Heads;
use super::labels::Labels;
use super::weights::{LabelWeights, Weights};
use super::{BLOCKS, JobPlan, Keeping, Stop, Sum, Sums, operand, over_blocks};
use crate::kernel::prepare::{clear, mark};
use crate::kernel::tile::{Buffer, Place, Raw, Source, TILE};
use crate::layout::Tile;
use crate::simd::{AnyIsa, Isa, Kernel};

/// What to add up over the elements that are not ignored.
#[derive(Clone, Copy, Debug)]
pub enum Measure<'a> {
    /// 1.
    Count,
    /// The label.
    Positives,
    /// The sample weight times that of the label.
    Weights,
    /// The sample weight times the number in the list that the target, a class index, stands for.
    ByTarget(&'a [f64]),
}

/// The sum of a measure over all elements of a plan. Weights are those of the inputs' first pair.
///
/// # Errors
/// If it was stopped, or the threads could not be started.
///
/// # Safety
/// All inputs but the logits must be valid wherever the plan says that they have elements. No other thread may
/// write to them meanwhile.
pub unsafe fn run(
    isa: AnyIsa,
    plan: &JobPlan,
    inputs: &Inputs<f64>,
    measure: Measure<'_>,
    keeping: Keeping,
    go_on: impl FnMut() -> bool,
) -> Result<Sum, Stop> {
    /// Pointers that blocks may share.
    struct Shared<'a>(&'a Inputs<f64>);
    // SAFETY: blocks only read.
    unsafe impl Sync for Shared<'_> {}
    impl Shared<'_> {
        fn inputs(&self) -> &Inputs<f64> {
            self.0
        }
    }
    let shared = Shared(inputs);
    let heads = Heads::of_targets(plan);
    let sums = over_blocks(plan, BLOCKS, keeping, go_on, |block| {
        let mut sums = Sums::new(keeping);
        let mut terms = [0.0; TILE];
        for tile in block.tiles(plan) {
            let terms = &mut terms[..tile.len];
            // SAFETY: handed through from the caller.
            unsafe {
                Terms { isa, plan, inputs: shared.inputs(), heads: heads.as_ref(), tile }.fill(measure, terms)
            };
            sums.value.add(isa, terms);
        }
        Ok(sums)
    })?;
    Ok(sums.value)
}

/// The terms of a tile.
struct Terms<'a> {
    isa: AnyIsa,
    plan: &'a JobPlan,
    inputs: &'a Inputs<f64>,
    heads: Option<&'a Heads>,
    tile: Tile,
}

impl Terms<'_> {
    /// # Safety
    /// As [`run`]; `terms` must be as long as the tile.
    unsafe fn fill(&self, measure: Measure<'_>, terms: &mut [f64]) {
        let mut buffers = [const { Buffer::new() }; 4];
        let [first, second, third, fourth] = &mut buffers;
        // SAFETY: handed through from the caller.
        unsafe {
            match measure {
                Measure::Count => terms.fill(1.0),
                Measure::Positives => {
                    self.labels(terms, first);
                    self.isa.vectorize(Inside(terms));
                }
                Measure::Weights => {
                    self.labels(terms, first);
                    self.isa.vectorize(Inside(terms));
                    let (samples, [negative, positive], list) = match self.inputs.weights {
                        Weights::All([pair, ..]) => {
                            (Source::Constant(1.0), pair.map(Source::Constant), operand::LISTS)
                        }
                        Weights::Lists([pair, ..]) => (Source::Constant(1.0), pair, operand::LISTS),
                        Weights::Sampled(samples, LabelWeights { exact: [pair, ..], .. }) => {
                            (samples, pair, operand::CLASSES)
                        }
                    };
                    let negative = self.fetch(&negative, list, first);
                    let positive = self.fetch(&positive, list, second);
                    let samples = self.fetch(&samples, operand::SAMPLES, third);
                    self.isa.vectorize(Weigh { terms, negative, positive, samples });
                }
                Measure::ByTarget(list) => {
                    self.labels(terms, first);
                    let samples = match &self.inputs.weights {
                        Weights::All(_) | Weights::Lists(_) => &Source::Constant(1.0),
                        Weights::Sampled(samples, _) => samples,
                    };
                    let samples = self.fetch(samples, operand::SAMPLES, third);
                    for (term, sample) in terms.iter_mut().zip(samples) {
                        // An ignored target may be no index; it is cleared below.
                        *term = sample * list.get(*term as usize).copied().unwrap_or(0.0);
                    }
                }
            }
            if let Some((targets, index)) = &self.inputs.ignored {
                let mut ignored = [false; TILE];
                mark(self.isa, self.fetch(targets, operand::TARGETS, fourth), *index, &mut ignored);
                clear(self.isa, terms, &ignored);
            }
        }
    }

    /// # Safety
    /// As [`run`]. The slice lives no longer than the array and the buffer.
    unsafe fn fetch<'s>(
        &self,
        source: &Source<f64>,
        operand: usize,
        buffer: &'s mut Buffer<f64>,
    ) -> &'s [f64] {
        let place = Place { plan: self.plan, operand, tile: self.tile };
        let mut raw = Raw::new();
        // SAFETY: handed through from the caller; a tile has `len` elements.
        unsafe { std::slice::from_raw_parts(source.tile(self.isa, place, buffer, &mut raw), self.tile.len) }
    }

    /// # Safety
    /// As [`Self::fill`].
    unsafe fn labels(&self, terms: &mut [f64], buffer: &mut Buffer<f64>) {
        // SAFETY: handed through from the caller.
        unsafe {
            match &self.inputs.labels {
                Labels::Dense(source) => {
                    terms.copy_from_slice(self.fetch(source, operand::TARGETS, buffer));
                }
                Labels::Indices(indices) => {
                    indices.write(self.isa, self.plan, self.tile, self.heads, terms.as_mut_ptr());
                }
            }
        }
    }
}

/// Makes labels outside [0, 1] NaN, as their losses are.
struct Inside<'a>(&'a mut [f64]);

impl Kernel for Inside<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        for y in self.0 {
            *y = if (*y < 0.0) | (*y > 1.0) { f64::NAN } else { *y };
        }
    }
}

/// Turns labels y into s ((1 - y) `w_0` + y `w_1`).
struct Weigh<'a> {
    terms: &'a mut [f64],
    negative: &'a [f64],
    positive: &'a [f64],
    samples: &'a [f64],
}

impl Kernel for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let weights = self.negative.iter().zip(self.positive).zip(self.samples);
        for (y, ((negative, positive), sample)) in self.terms.iter_mut().zip(weights) {
            *y = sample * ((1.0 - *y) * negative + *y * positive);
        }
    }
}
