//! Sample weights times the weights of labels, laid out for tiles that follow each other: what rows of elements have in
//! common is multiplied once a row.

use super::heads::{Heads, parts};
use super::{JobPlan, operand};
use crate::kernel::by_row::{BEHIND, ByRow, are_short};
use crate::kernel::factors::Samples;
use crate::kernel::repeat::{OfLabel, Repeat, Same};
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
    /// Writes the same numbers for all of so many elements, and says where.
    ///
    /// # Safety
    /// There must be room for as many.
    pub unsafe fn filled(self, len: usize, numbers: &[[R; 2]; 3]) -> [[*const R; 2]; 3] {
        let lists = self.0;
        for (list, number) in lists.iter().flatten().zip(numbers.iter().flatten()) {
            for i in 0..len {
                // SAFETY: the caller vouches for the room.
                unsafe { list.add(i).write(*number) };
            }
        }
        lists.map(|pair| pair.map(<*mut R>::cast_const))
    }

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
        let labels = labels.filter(|_| factors.heads.is_none_or(|heads| !heads.are_very_short()));
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
        // SAFETY: handed through from the caller.
        unsafe {
            if factors.heads.is_none() && factors.of_run(isa, plan, tiles, labels, lists) {
                return pointers;
            }
            for (start, tile) in parts(factors.heads, tiles) {
                let mut lists = lists;
                for (pair, _) in lists.iter_mut().flatten() {
                    for list in pair {
                        *list = list.add(start);
                    }
                }
                let labels = labels.map(|labels| &labels[start..start + tile.len]);
                match factors.heads {
                    Some(heads) => factors.of_rows(isa, heads, heads.of(plan, tile), tile.len, labels, lists),
                    None => factors.of_elements(isa, plan, tile, labels, lists),
                }
            }
        }
        pointers
    }
}

impl Factors<'_> {
    /// Products of weights that elements have of their own, if those lie in a run of a type that kernels take.
    ///
    /// # Safety
    /// As [`Room::lay_out`], for these lists.
    #[inline(never)]
    unsafe fn of_run<R: Real>(
        &self,
        isa: AnyIsa,
        plan: &JobPlan,
        tiles: Tile,
        labels: Option<&[R]>,
        lists: [Option<List<R>>; 3],
    ) -> bool {
        let place = Place { plan, operand: operand::SAMPLES, tile: tiles };
        // SAFETY: handed through from the caller.
        unsafe {
            if let Some(run) = self.samples.own::<R, _>(place) {
                weigh(isa, std::slice::from_raw_parts(run, tiles.len), labels, lists);
            } else if let Some(run) = self.samples.own::<f64, _>(place) {
                weigh(isa, std::slice::from_raw_parts(run, tiles.len), labels, lists);
            } else {
                return false;
            }
        }
        true
    }

    /// Products of weights that elements have of their own.
    ///
    /// # Safety
    /// As [`Room::lay_out`], for one tile and these lists.
    #[inline(never)]
    unsafe fn of_elements<R: Real>(
        &self,
        isa: AnyIsa,
        plan: &JobPlan,
        tile: Tile,
        labels: Option<&[R]>,
        lists: [Option<List<R>>; 3],
    ) {
        let (mut samples, mut raw) = (Buffer::new(), Raw::new());
        let place = Place { plan, operand: operand::SAMPLES, tile };
        // SAFETY: handed through from the caller; a buffer holds a tile.
        unsafe {
            let samples = self.samples.tile(isa, place, &mut samples, &mut raw);
            weigh(isa, std::slice::from_raw_parts(samples, tile.len), labels, lists);
        }
    }

    /// Products of weights that rows have in common.
    ///
    /// # Safety
    /// As [`Room::lay_out`], for these lists and at most a tile of rows.
    #[inline(never)]
    unsafe fn of_rows<R: Real>(
        &self,
        isa: AnyIsa,
        heads: &Heads,
        (place, skip): (Place<'_, 1>, usize),
        len: usize,
        labels: Option<&[R]>,
        lists: [Option<List<R>>; 3],
    ) {
        let rows = place.tile.len;
        let mut products = [const { [const { Buffer::<R>::new() }; 2] }; 3];
        let (mut made, mut count) = ([(0.0, std::ptr::null_mut()); 6], 0);
        for ((_, weights), products) in lists.iter().flatten().zip(&mut products) {
            for (weight, products) in weights.iter().zip(products) {
                made[count] = (*weight, products.as_mut_ptr());
                count += 1;
            }
        }
        let made = &made[..count];
        // SAFETY: handed through from the caller; buffers hold a tile, and rows with those behind them are no more: see
        // `Heads::reach`.
        unsafe {
            if let Some(run) = self.samples.own::<R, _>(place) {
                Samples(std::slice::from_raw_parts(run, rows)).times_each(isa, made);
            } else {
                let (mut samples, mut raw) = (Buffer::new(), Raw::new());
                let samples = self.samples.tile(isa, place, &mut samples, &mut raw);
                Samples(std::slice::from_raw_parts(samples, rows)).times_each(isa, made);
            }
            for (_, products) in made {
                products.add(rows).cast::<[R; BEHIND]>().write([R::ZERO; BEHIND]);
            }
            let (mut spread, mut count) = ([([&[][..]; 2], [std::ptr::null_mut(); 2]); 3], 0);
            for ((elements, _), pair) in lists.into_iter().flatten().zip(made.chunks(2)) {
                let of = |i: usize| std::slice::from_raw_parts(pair[i].1.cast_const(), rows + BEHIND);
                spread[count] = ([of(0), of(1)], elements);
                count += 1;
            }
            let shape = [heads.cols(), skip, len];
            for lists in spread[..count].chunks(2) {
                match (labels, lists) {
                    (Some(labels), &[(a, [to_a, _]), (b, [to_b, _])]) => {
                        of_labels(isa, [a, b], labels, [to_a, to_b], shape);
                    }
                    (Some(labels), lists) => {
                        for &(numbers, [elements, _]) in lists {
                            of_labels(isa, [numbers], labels, [elements], shape);
                        }
                    }
                    (None, lists) => {
                        for &(numbers, elements) in lists {
                            isa.vectorize(Repeat::new(Same { numbers, elements }, shape));
                        }
                    }
                }
            }
        }
    }
}

/// Makes each element in lists one of two numbers of its row: that of its label, 0 or 1.
///
/// # Safety
/// As [`Repeat::new`]; there must be as many labels as elements, and numbers for [`BEHIND`] rows more than they need.
unsafe fn of_labels<R: Real, const LISTS: usize>(
    isa: AnyIsa,
    numbers: [[&[R]; 2]; LISTS],
    labels: &[R],
    elements: [*mut R; LISTS],
    shape: [usize; 3],
) {
    // SAFETY: handed through from the caller.
    unsafe {
        if are_short(shape[0]) {
            isa.vectorize(ByRow::new(numbers, labels, elements, shape));
        } else {
            isa.vectorize(Repeat::new(OfLabel { numbers, labels, elements }, shape));
        }
    }
}

/// Writes products of sample weights and those of labels: once for both labels where they are chosen by, or the same.
///
/// # Safety
/// There must be room for as many numbers as samples in each list, and as many labels.
#[inline]
unsafe fn weigh<S: Real, R: Real>(
    isa: AnyIsa,
    samples: &[S],
    labels: Option<&[R]>,
    lists: [Option<List<R>>; 3],
) {
    let samples = Samples(samples);
    for ([first, second], [negative, positive]) in lists.into_iter().flatten() {
        // SAFETY: handed through from the caller.
        unsafe {
            match labels {
                _ if negative == positive => samples.times(isa, negative, first),
                Some(labels) => samples.times_of_labels(isa, [negative, positive], labels, first),
                None => samples.times_each(isa, &[(negative, first), (positive, second)]),
            }
        }
    }
}
