//! Sample weights times the weights of labels, laid out for tiles that follow each other: what rows of elements have in
//! common is multiplied once a row.

use super::heads::{Heads, parts};
use super::{JobPlan, operand};
use crate::kernel::factors::Samples;
use crate::kernel::repeat::{Repeat, Same};
use crate::kernel::tile::{Buffer, Place, Raw, Source};
use crate::layout::Tile;
use crate::real::Real;
use crate::simd::AnyIsa;

/// Sample weights and what they are multiplied with.
pub(super) struct Factors<'a> {
    /// A weight for each element.
    pub samples: &'a Source<f64>,
    /// Where those lie that rows have in common.
    pub heads: Option<&'a Heads>,
    /// The weights of negatives and of positives, for losses, gradient and Hessian.
    pub weights: [[f64; 2]; 3],
    /// Which of these are computed.
    pub computed: [bool; 3],
}

/// Memory for what multiplies losses, gradient and Hessian of the elements as negatives and as positives.
#[derive(Clone, Copy)]
pub(super) struct Room<R>(pub [[*mut R; 2]; 3]);

/// Where numbers are written, and the weights of negatives and of positives that they are made of.
type List<R> = ([*mut R; 2], [f64; 2]);

impl<R: Real> Room<R> {
    /// Writes what multiplies the elements of tiles that follow each other as negatives and as positives, where it is
    /// needed, and says where: once for both if it can choose by labels of 0 and 1. What is the same is written once.
    ///
    /// # Safety
    /// The weights must be readable wherever the plan says that they are, and there must be room for as many numbers as
    /// there are elements. There must be as many labels.
    pub(super) unsafe fn lay_out(
        &self,
        isa: AnyIsa,
        factors: &Factors<'_>,
        at: (&JobPlan, Tile),
        labels: Option<&[R]>,
    ) -> [[*const R; 2]; 3] {
        // For rows it costs less to lay out both than to choose.
        let labels = labels.filter(|_| factors.heads.is_none());
        let mut pointers = [[std::ptr::null(); 2]; 3];
        let mut lists = [None; 3];
        let mut last = None;
        for (output, _) in factors.computed.iter().enumerate().filter(|&(_, computed)| *computed) {
            let weights = factors.weights[output];
            pointers[output] = match last {
                Some(last) if factors.weights[last] == weights => pointers[last],
                _ => {
                    let [first, second] = self.0[output];
                    lists[output] = Some(([first, second], weights));
                    let once = labels.is_some() || weights[0] == weights[1];
                    [first.cast_const(), if once { first } else { second }.cast_const()]
                }
            };
            last = Some(output);
        }
        let (plan, tiles) = at;
        for (start, tile) in parts(factors.heads, tiles) {
            let lists = lists.map(|list: Option<List<R>>| {
                list.map(|(pair, weights)| (pair.map(|list| list.wrapping_add(start)), weights))
            });
            let labels = labels.map(|labels| &labels[start..start + tile.len]);
            // SAFETY: handed through from the caller.
            unsafe { factors.lay_out(isa, plan, tile, labels, lists) };
        }
        pointers
    }
}

impl Factors<'_> {
    /// # Safety
    /// As [`Room::lay_out`], for one tile and these lists.
    #[inline(never)]
    unsafe fn lay_out<R: Real>(
        &self,
        isa: AnyIsa,
        plan: &JobPlan,
        tile: Tile,
        labels: Option<&[R]>,
        lists: [Option<List<R>>; 3],
    ) {
        let (mut samples, mut products, mut raw) = (Buffer::new(), Buffer::<R>::new(), Raw::new());
        // SAFETY: handed through from the caller; buffers hold a tile, and there are no more rows than elements.
        unsafe {
            let (samples, rows) = match self.heads {
                None => {
                    let place = Place { plan, operand: operand::SAMPLES, tile };
                    (self.samples.tile(isa, place, &mut samples, &mut raw), tile.len)
                }
                Some(heads) => {
                    let (place, _) = heads.of(plan, tile);
                    (self.samples.tile(isa, place, &mut samples, &mut raw), place.tile.len)
                }
            };
            let samples = Samples::new(isa, std::slice::from_raw_parts(samples, rows));
            let mut write = |weight, list: *mut R| {
                let Some(heads) = self.heads else { return samples.times(isa, weight, list) };
                samples.times(isa, weight, products.as_mut_ptr());
                isa.vectorize(Repeat {
                    each: Same(std::slice::from_raw_parts(products.as_mut_ptr(), rows)),
                    cols: heads.cols(),
                    skip: heads.of(plan, tile).1,
                    elements: std::slice::from_raw_parts_mut(list.cast(), tile.len),
                });
            };
            for ([first, second], [negative, positive]) in lists.into_iter().flatten() {
                if let Some(labels) = labels.filter(|_| negative != positive) {
                    samples.times_of_labels(isa, [negative, positive], labels, first);
                    continue;
                }
                write(negative, first);
                if negative != positive {
                    write(positive, second);
                }
            }
        }
    }
}
