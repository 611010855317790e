//! Sample weights times the weights of labels, laid out for the elements: weights that rows of elements have in common
//! are multiplied once a row.

use std::mem::MaybeUninit;

use super::JobPlan;
use super::operand;
use crate::kernel::factors::Samples;
use crate::kernel::repeat::Repeat;
use crate::kernel::tile::{Place, Source};
use crate::layout::{Plan, Tile};
use crate::real::Real;
use crate::simd::AnyIsa;

/// Where weights of rows lie.
#[derive(Clone, Debug)]
pub struct Heads {
    /// Elements of a row.
    cols: usize,
    /// The weights, a row an element.
    plan: Plan<1>,
}

/// Memory for as many numbers each as there are elements.
pub(super) struct Room<R> {
    /// The weights of rows.
    pub samples: *mut f64,
    /// Their products.
    pub products: *mut R,
    /// Weights before they are converted.
    pub raw: *mut u64,
    /// What multiplies losses, gradient and Hessian of the elements as negatives and as positives.
    pub elements: [[*mut R; 2]; 3],
}

impl<R> Room<R> {
    /// Writes, by `times`, what multiplies the elements as negatives and as positives, where it is needed, and says
    /// where. What is the same is written once.
    fn fill(
        &self,
        weights: [[f64; 2]; 3],
        computed: [bool; 3],
        mut times: impl FnMut(f64, *mut R),
    ) -> [[*const R; 2]; 3] {
        let mut pointers = [[std::ptr::null(); 2]; 3];
        let mut last = None;
        for (output, _) in computed.iter().enumerate().filter(|&(_, computed)| *computed) {
            pointers[output] = match last {
                Some(last) if weights[last] == weights[output] => pointers[last],
                _ => {
                    let [negatives, positives] = self.elements[output];
                    let [of_negative, of_positive] = weights[output];
                    times(of_negative, negatives);
                    if of_positive == of_negative {
                        [negatives.cast_const(); 2]
                    } else {
                        times(of_positive, positives);
                        [negatives.cast_const(), positives.cast_const()]
                    }
                }
            };
            last = Some(output);
        }
        pointers
    }
}

impl<R: Real> Room<R> {
    /// Writes what multiplies the elements of a tile, each of which has a sample weight of its own, where it is needed,
    /// and says where.
    ///
    /// # Safety
    /// The weights must be readable at the place, and the room must be as large as it says.
    pub(super) unsafe fn lay_out(
        &self,
        isa: AnyIsa,
        (samples, weights): (&Source<f64>, [[f64; 2]; 3]),
        place: Place<'_, { operand::COUNT }>,
        computed: [bool; 3],
    ) -> [[*const R; 2]; 3] {
        // SAFETY: handed through from the caller.
        unsafe {
            let each = samples.strip(isa, place, self.samples, self.raw);
            let samples = Samples::new(isa, std::slice::from_raw_parts(each, place.tile.len));
            self.fill(weights, computed, |weight, list| samples.times(isa, weight, list))
        }
    }
}

impl Heads {
    /// Of a plan's sample weights, if rows have them in common.
    pub fn new(plan: &JobPlan) -> Option<Self> {
        plan.heads(operand::SAMPLES).map(|(cols, plan)| Self { cols, plan })
    }

    /// Writes what multiplies the elements of a tile as negatives and as positives, where it is needed, and says where.
    ///
    /// # Safety
    /// The weights must be readable wherever the plan says that they are, and the room must be as large as it says.
    pub(super) unsafe fn lay_out<R: Real>(
        &self,
        isa: AnyIsa,
        (samples, weights): (&Source<f64>, [[f64; 2]; 3]),
        (start, len): (usize, usize),
        computed: [bool; 3],
        room: &Room<R>,
    ) -> [[*const R; 2]; 3] {
        let (first, skip) = (start / self.cols, start % self.cols);
        let rows = (skip + len).div_ceil(self.cols);
        let place = Place { plan: &self.plan, operand: 0, tile: Tile { number: first, len: rows } };
        // SAFETY: handed through from the caller; there are no more rows than elements.
        unsafe {
            let samples = samples.strip(isa, place, room.samples, room.raw);
            let samples = Samples::new(isa, std::slice::from_raw_parts(samples, rows));
            room.fill(weights, computed, |weight, list| {
                samples.times(isa, weight, room.products);
                let numbers = std::slice::from_raw_parts(room.products, rows);
                let elements = std::slice::from_raw_parts_mut(list.cast::<MaybeUninit<R>>(), len);
                isa.vectorize(Repeat { numbers, cols: self.cols, skip, elements });
            })
        }
    }
}
