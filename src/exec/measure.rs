//! Denominators that do not depend on the logits: counts, and sums of weights. They are exact sums, which do not depend
//! on the order of the elements either.

use super::labels::Labels;
use super::per_row::PerRow;
use super::weights::LabelWeights;
use super::{BLOCKS, JobPlan, Keeping, Stop, Sums, operand, over_blocks};
use crate::kernel::exact::ExactSum;
use crate::kernel::labels::Ignored;
use crate::kernel::tile::{Buffer, Raw, Source, TILE};
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

/// What denominators are made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    /// Labels.
    pub labels: Labels<f64>,
    /// Which of them do not count.
    pub ignored: Option<Ignored<f64>>,
    /// Sample weights.
    pub samples: Source<f64>,
    /// What multiplies those of negatives and of positives: the weights of losses.
    pub weights: LabelWeights<f64>,
}

// SAFETY: the pointers are only followed by functions whose callers vouch for the memory behind them, and only read.
unsafe impl Sync for Inputs {}

/// The sum of a measure over all elements of a plan.
///
/// # Errors
/// If it was stopped, or the threads could not be started.
///
/// # Safety
/// All inputs must be valid wherever the plan says that they have elements. No other thread may write to them meanwhile.
pub unsafe fn run(
    isa: AnyIsa,
    plan: &JobPlan,
    inputs: &Inputs,
    measure: Measure<'_>,
    go_on: impl FnMut() -> bool,
) -> Result<ExactSum, Stop> {
    let per_row = PerRow::targets(plan);
    let sums = over_blocks(plan, BLOCKS, Keeping::Exact, go_on, |block| {
        let mut sums = Sums::new(Keeping::Exact);
        let mut terms = [0.0; TILE];
        for tile in block.tiles(plan) {
            let terms = &mut terms[..tile.len];
            // SAFETY: handed through from the caller.
            unsafe { Terms { isa, plan, inputs, per_row: per_row.as_ref(), tile }.fill(measure, terms) };
            sums.value.add(isa, terms);
        }
        Ok(sums)
    })?;
    Ok(sums.value.exact())
}

/// The terms of a tile.
struct Terms<'a> {
    isa: AnyIsa,
    plan: &'a JobPlan,
    inputs: &'a Inputs,
    per_row: Option<&'a PerRow>,
    tile: Tile,
}

impl Terms<'_> {
    /// # Safety
    /// As [`run`]; `terms` must be as long as the tile.
    unsafe fn fill(&self, measure: Measure<'_>, terms: &mut [f64]) {
        let Self { isa, plan, inputs, per_row, tile } = *self;
        let Inputs { labels, ignored, ref samples, weights } = *inputs;
        let mut buffers = [const { Buffer::new() }; 4];
        let [of_labels, of_samples, of_negatives, of_positives] = &mut buffers;
        let mut raw = Raw::new();
        // SAFETY: handed through from the caller; a buffer holds a tile.
        unsafe {
            let (memory, raw_memory) = (of_labels.as_mut_ptr(), raw.as_mut_ptr());
            let labels = labels.strip(isa, (plan, tile), per_row, memory, raw_memory);
            let labels = std::slice::from_raw_parts(labels, tile.len);
            match measure {
                Measure::Count => terms.fill(1.0),
                Measure::Positives => {
                    for (term, label) in terms.iter_mut().zip(labels) {
                        *term = inside(*label);
                    }
                }
                Measure::Weights => {
                    let (operand, [negative, positive]) = match weights {
                        LabelWeights::All([pair, ..]) => (operand::LISTS, pair.map(Source::Constant)),
                        LabelWeights::Lists([pair, ..]) => (operand::LISTS, pair),
                    };
                    let samples = samples.slice(isa, (plan, operand::SAMPLES, tile), of_samples, &mut raw);
                    let negative = negative.slice(isa, (plan, operand, tile), of_negatives, &mut raw);
                    let positive = positive.slice(isa, (plan, operand, tile), of_positives, &mut raw);
                    isa.vectorize(Weigh { labels, negative, positive, samples, terms });
                }
                Measure::ByTarget(list) => {
                    let samples = samples.slice(isa, (plan, operand::SAMPLES, tile), of_samples, &mut raw);
                    for ((term, sample), target) in terms.iter_mut().zip(samples).zip(labels) {
                        // An ignored target may be no index; it is cleared below.
                        *term = sample * list.get(*target as usize).copied().unwrap_or(0.0);
                    }
                }
            }
            if let Some(ignored) = ignored {
                isa.vectorize(Clear { labels, ignored, terms });
            }
        }
    }
}

/// A label, NaN outside [0, 1], as its loss is.
#[inline(always)]
fn inside(label: f64) -> f64 {
    if (label < 0.0) | (label > 1.0) { f64::NAN } else { label }
}

/// s ((1 - y) `w_0` + y `w_1`) for each label y.
struct Weigh<'a> {
    labels: &'a [f64],
    negative: &'a [f64],
    positive: &'a [f64],
    samples: &'a [f64],
    terms: &'a mut [f64],
}

impl Kernel for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let weights = self.negative.iter().zip(self.positive).zip(self.samples);
        for ((term, y), ((negative, positive), sample)) in self.terms.iter_mut().zip(self.labels).zip(weights)
        {
            let y = inside(*y);
            *term = sample * ((1.0 - y) * negative + y * positive);
        }
    }
}

/// Writes 0 for labels that do not count.
struct Clear<'a> {
    labels: &'a [f64],
    ignored: Ignored<f64>,
    terms: &'a mut [f64],
}

impl Kernel for Clear<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        for (term, label) in self.terms.iter_mut().zip(self.labels) {
            *term = if self.ignored.has(*label) { 0.0 } else { *term };
        }
    }
}
