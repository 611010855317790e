//! Denominators that do not depend on the logits: counts, and sums of weights. They are exact sums, which do not depend
//! on the order of the elements either.

use super::labels::Labels;
use super::per_row::PerRow;
use super::weights::LabelWeights;
use super::{BLOCKS, JobPlan, Keeping, Stop, Sum, Sums, operand, over_blocks};
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
            let of_tile = OfTile { isa, plan, inputs, per_row: per_row.as_ref(), tile };
            // SAFETY: handed through from the caller.
            unsafe { of_tile.add(measure, terms, &mut sums.value) };
        }
        Ok(sums)
    })?;
    Ok(sums.value.exact())
}

/// A tile to measure.
struct OfTile<'a> {
    isa: AnyIsa,
    plan: &'a JobPlan,
    inputs: &'a Inputs,
    per_row: Option<&'a PerRow>,
    tile: Tile,
}

impl OfTile<'_> {
    /// Adds the measure of the tile. Where its terms are a few numbers again and again, they are counted.
    ///
    /// # Safety
    /// As [`run`]; `terms` must be as long as the tile.
    unsafe fn add(&self, measure: Measure<'_>, terms: &mut [f64], sum: &mut Sum) {
        let Self { isa, plan, inputs, per_row, tile } = *self;
        let (mut buffer, mut raw) = (Buffer::new(), Raw::new());
        // SAFETY: handed through from the caller; a buffer holds a tile.
        let labels = unsafe {
            let (memory, raw) = (buffer.as_mut_ptr(), raw.as_mut_ptr());
            let labels = inputs.labels.strip(isa, (plan, tile), per_row, memory, raw);
            std::slice::from_raw_parts(labels, tile.len)
        };
        let Counts { ignored, zeros, ones } = isa.vectorize(Count { labels, ignored: inputs.ignored });
        let are_hard = ignored + zeros + ones == tile.len as u64;
        match (measure, inputs.weights, inputs.samples) {
            (Measure::Count, ..) => sum.add_times(1.0, tile.len as u64 - ignored),
            (Measure::Positives, ..) if are_hard => sum.add_times(1.0, ones),
            (Measure::Weights, LabelWeights::All([[negative, positive], ..]), Source::Constant(sample))
                if are_hard =>
            {
                sum.add_times(sample * negative, zeros);
                sum.add_times(sample * positive, ones);
            }
            _ => {
                // SAFETY: handed through from the caller.
                unsafe { self.fill(measure, labels, terms) };
                sum.add(isa, terms);
            }
        }
    }

    /// Writes a term for each label.
    ///
    /// # Safety
    /// As [`Self::add`].
    unsafe fn fill(&self, measure: Measure<'_>, labels: &[f64], terms: &mut [f64]) {
        let Self { isa, plan, inputs, tile, .. } = *self;
        let Inputs { ignored, ref samples, weights, .. } = *inputs;
        let mut buffers = [const { Buffer::new() }; 3];
        let [of_samples, of_negatives, of_positives] = &mut buffers;
        let mut raw = Raw::new();
        // SAFETY: handed through from the caller; a buffer holds a tile.
        unsafe {
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

/// How often labels are what.
struct Counts {
    ignored: u64,
    zeros: u64,
    ones: u64,
}

/// Counts labels that do not count, and of the others those that are 0 and 1.
struct Count<'a> {
    labels: &'a [f64],
    ignored: Option<Ignored<f64>>,
}

impl Kernel for Count<'_> {
    type Output = Counts;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> Counts {
        let mut counts = Counts { ignored: 0, zeros: 0, ones: 0 };
        for label in self.labels {
            let ignored = self.ignored.is_some_and(|ignored| ignored.has(*label));
            counts.ignored += u64::from(ignored);
            counts.zeros += u64::from((*label == 0.0) & !ignored);
            counts.ones += u64::from((*label == 1.0) & !ignored);
        }
        counts
    }
}

/// A label, NaN outside [0, 1], as its loss is.
#[inline(always)]
fn inside(label: f64) -> f64 {
    if (0.0..=1.0).contains(&label) { label } else { f64::NAN }
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
