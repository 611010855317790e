//! What multiplies the results of elements: the weight of the sample times that of the label, which has alpha, class
//! weights, and what a mean divides by in it.
//!
//! Both are numbers of the type that kernels compute in, and kernels multiply them. What is finite stays finite on the
//! way there and what is not 0 stays so ([`Real::from_weight`]); their product is as that type has it.

use super::per_row::PerRow;
use super::strip::Strips;
use super::{JobPlan, operand, samples};
use crate::kernel::tile::{Place, Source, TILE};
use crate::layout::Tile;
use crate::real::Real;
use crate::simd::AnyIsa;

/// What multiplies the results of a job.
#[derive(Clone, Copy, Debug)]
pub struct Weights<R> {
    /// The weights of labels.
    pub labels: LabelWeights<R>,
    /// Those of samples, if there are any.
    pub samples: Option<Source<R>>,
}

/// What multiplies losses, gradient and Hessian of negatives and of positives, beside sample weights.
#[derive(Clone, Copy, Debug)]
pub enum LabelWeights<R> {
    /// The same numbers for all elements.
    All([[R; 2]; 3]),
    /// Lists by class, as the plan's [`operand::LISTS`].
    Lists([[Source<R>; 2]; 3]),
}

/// What multiplies the elements of tiles that follow each other, as kernels take it.
#[derive(Clone, Copy)]
pub(super) struct Found<R> {
    /// What all elements have in common.
    pub numbers: [[R; 2]; 3],
    /// The weight of each element as a negative and as a positive, instead of those; or null.
    pub lists: [[*const R; 2]; 3],
    /// The weight of each element's sample, or null.
    pub samples: *const R,
}

/// The product of two weights, as kernels make it. The sum makes -0.0 a +0.0.
#[inline]
pub fn product<R: Real>(a: R, b: R) -> R {
    R::from_f64(a.to_f64() * b.to_f64() + 0.0)
}

impl<R: Real> Weights<R> {
    /// What multiplies the elements of tiles that follow each other, for the outputs that are `computed`. Pointers live
    /// as long as the arrays and the strips. None if several tiles would need copies of lists: one of them may need none.
    ///
    /// # Safety
    /// The arrays must be readable wherever the plan says that their operands have elements, and strips hold the tiles.
    #[inline]
    pub(super) unsafe fn find(
        &self,
        isa: AnyIsa,
        (plan, tile): (&JobPlan, Tile),
        per_row: Option<&PerRow>,
        computed: [bool; 3],
        strips: &Strips<R>,
    ) -> Option<Found<R>> {
        let place = |operand| Place { plan, operand, tile };
        let mut found = Found {
            numbers: [[R::ZERO; 2]; 3],
            lists: [[std::ptr::null(); 2]; 3],
            samples: std::ptr::null(),
        };
        // SAFETY: handed through from the caller.
        unsafe {
            match &self.labels {
                LabelWeights::All(numbers) => found.numbers = *numbers,
                LabelWeights::Lists(lists) => {
                    let place = place(operand::LISTS);
                    if let Some(offset) = place.constant() {
                        for (number, list) in found.numbers.iter_mut().flatten().zip(lists.iter().flatten()) {
                            *number = list.number(isa, offset);
                        }
                    } else if tile.len > TILE && place.repeated(size_of::<R>()).is_none() {
                        return None;
                    } else {
                        for output in (0..3).filter(|&output| computed[output]) {
                            for (label, list) in lists[output].iter().enumerate() {
                                let memory = strips.weights[output][label];
                                found.lists[output][label] = list.strip(isa, place, memory, strips.raw);
                            }
                        }
                    }
                }
            }
            let Some(samples) = &self.samples else { return Some(found) };
            let are_lists = found.lists.iter().flatten().any(|list| !list.is_null());
            let one = match samples {
                Source::Constant(_) => Some(0),
                Source::Array { .. } => place(operand::SAMPLES).constant(),
            };
            match one.filter(|_| !are_lists) {
                Some(offset) => {
                    let sample = samples.number(isa, offset);
                    for number in found.numbers.iter_mut().flatten() {
                        *number = product(sample, *number);
                    }
                }
                None => {
                    found.samples =
                        samples::strip(isa, samples, per_row, (plan, tile), strips.samples, strips.raw);
                }
            }
        }
        Some(found)
    }
}
