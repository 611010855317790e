//! Losses added up over the class axis: one number for each position.

use super::elements::{Inputs, Job, Work};
use super::labels::{Indices, Labels};
use super::strip::Strips;
use super::weights::{LabelWeights, Weights};
use super::{BLOCKS, Cut, Keeping, Stop, Sums, operand, over_blocks};
use crate::kernel::rows::RowReal;
use crate::kernel::tile::{Buffer, Place, Raw, Source, TILE};
use crate::simd::{AnyIsa, Isa, Kernel, fence};

/// Bytes from a class to the next.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// Of the logits.
    pub logits: isize,
    /// Of dense targets.
    pub targets: isize,
    /// Of sample weights.
    pub samples: isize,
}

/// Fills the job's `value` with the sums of the losses over `classes` classes. The plan is one of positions; the
/// sources are those of the first class, and gradient and Hessian are not there.
///
/// # Errors
/// If it was stopped, or the threads could not be started.
///
/// # Safety
/// As [`super::elements::run`], for every class.
pub unsafe fn run<R: RowReal>(
    isa: AnyIsa,
    job: &Job<R>,
    classes: usize,
    steps: Steps,
    go_on: impl FnMut() -> bool,
) -> Result<(), Stop> {
    let plan = &job.plan;
    // A block of so many classes takes as long as that many blocks.
    let tiles = (BLOCKS.tiles / classes.max(1)).max(1);
    let between_looks = BLOCKS.tiles * BLOCKS.between_looks / (tiles * classes.max(1));
    over_blocks(plan, Cut { tiles, each: 1, between_looks }, Keeping::Rounded, go_on, |block| {
        let (mut results, mut raw) = (Buffer::<R>::new(), Raw::new());
        Strips::with(|strips| {
            for tile in block.tiles(plan) {
                let mut work = Work::new(isa, job, strips);
                let mut totals = [0.0; TILE];
                for class in 0..classes as isize {
                    let inputs = job.inputs.of_class(class, steps);
                    let [losses, ..] = strips.outputs;
                    let written = [losses, std::ptr::null_mut(), std::ptr::null_mut()];
                    // SAFETY: the caller vouches for the arrays; a strip holds a tile, and no tile alone is refused.
                    unsafe {
                        work.inputs(&inputs, (tile, 1), written, false, &mut Sums::new(Keeping::Rounded));
                        let losses = std::slice::from_raw_parts(losses, tile.len);
                        isa.vectorize(Add { totals: &mut totals, losses });
                    }
                }
                let rounded = results.as_mut_ptr();
                for (i, total) in totals[..tile.len].iter().enumerate() {
                    // SAFETY: a tile is no longer than the buffer.
                    unsafe { rounded.add(i).write(R::from_f64(*total)) };
                }
                if let [Some(target), ..] = &job.outputs.0 {
                    let place = Place { plan, operand: operand::VALUE, tile };
                    // SAFETY: handed through from the caller.
                    unsafe { target.put(isa, place, rounded, &mut raw) };
                }
            }
        })?;
        fence();
        Ok(Sums::new(Keeping::Rounded))
    })?;
    Ok(())
}

/// Adds losses to totals.
struct Add<'a, R> {
    totals: &'a mut [f64; TILE],
    losses: &'a [R],
}

impl<R: RowReal> Kernel for Add<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        for (total, loss) in self.totals.iter_mut().zip(self.losses) {
            *total += loss.to_f64();
        }
    }
}

impl<R: RowReal> Inputs<R> {
    /// The inputs of another class.
    fn of_class(&self, class: isize, steps: Steps) -> Self {
        /// Entries of a list by class have the size of their type.
        fn entry<T>(list: Source<T>, class: isize) -> Source<T> {
            list.moved(class * size_of::<T>() as isize)
        }
        let Self { logits, labels, weights: Weights { labels: of_labels, samples }, gammas } = *self;
        Self {
            logits: logits.moved(class * steps.logits),
            labels: match labels {
                Labels::Dense(targets) => Labels::Dense(targets.moved(class * steps.targets)),
                Labels::Marked(targets, ignored) => {
                    Labels::Marked(targets.moved(class * steps.targets), ignored)
                }
                Labels::Indices(indices) => Labels::Indices(Indices {
                    targets: indices.targets.moved(class * steps.targets),
                    classes: entry(indices.classes, class),
                    ..indices
                }),
            },
            weights: Weights {
                labels: match of_labels {
                    LabelWeights::All(numbers) => LabelWeights::All(numbers),
                    LabelWeights::Lists(lists) => {
                        LabelWeights::Lists(lists.map(|pair| pair.map(|list| entry(list, class))))
                    }
                },
                samples: samples.map(|samples| samples.moved(class * steps.samples)),
            },
            gammas: gammas.map(|parts| parts.map(|part| entry(part, class))),
        }
    }
}
