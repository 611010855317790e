//! What multiplies the results of a tile's elements: sample weights times the weights of labels.

use super::heads::{Heads, parts};
use super::room::{OfSamples, Room, lay_out};
use super::{JobPlan, operand};
use crate::kernel::factors::{self, are_ordinary, product};
use crate::kernel::tile::{Buffer, Place, Raw, Source, TILE};
use crate::layout::Tile;
use crate::real::Real;
use crate::simd::AnyIsa;

/// What multiplies losses, gradient and Hessian of negatives and of positives.
#[expect(clippy::large_enum_variant, reason = "a call has one")]
#[derive(Clone, Copy, Debug)]
pub enum Weights<R> {
    /// The same numbers for all elements.
    All([[R; 2]; 3]),
    /// Lists in the form that kernels take, as the plan's [`operand::LISTS`].
    Lists([[Source<R>; 2]; 3]),
    /// A weight for each sample, and those of labels, with which it is to be multiplied.
    Sampled(Source<f64>, LabelWeights<R>),
}

/// What multiplies losses, gradient and Hessian of negatives and of positives beside sample weights: numbers, or lists.
#[derive(Clone, Copy, Debug)]
pub struct LabelWeights<R> {
    /// In the form that kernels take, as the plan's [`operand::LISTS`].
    pub rounded: [[Source<R>; 2]; 3],
    /// As they are, as the plan's [`operand::CLASSES`].
    pub exact: [[Source<f64>; 2]; 3],
}

/// What multiplies the elements of tiles that follow each other.
#[derive(Clone, Copy)]
pub(super) struct Factors<R> {
    /// The weights of their labels.
    pub labels: OfLabels<R>,
    /// Those of their samples; null if there are none.
    pub samples: *const R,
}

/// What multiplies the elements of tiles as their labels have it.
#[derive(Clone, Copy)]
pub(super) enum OfLabels<R> {
    /// The same for all.
    All([[R; 2]; 3]),
    /// For each its own. Null for what is not computed.
    Each([[*const R; 2]; 3]),
}

/// Memory for the weights of a tile.
pub(super) struct Memory<R> {
    labels: [[Buffer<R>; 2]; 3],
    samples: Buffer<R>,
}

impl<R> Memory<R> {
    /// Uninitialised.
    #[inline]
    pub const fn new() -> Self {
        Self { labels: [const { [const { Buffer::new() }; 2] }; 3], samples: Buffer::new() }
    }

    /// Where it is: once, since what is laid out there is read through pointers.
    #[inline]
    pub fn room(&mut self) -> Room<R> {
        Room {
            labels: self.labels.each_mut().map(|pair| pair.each_mut().map(Buffer::as_mut_ptr)),
            samples: self.samples.as_mut_ptr(),
        }
    }
}

/// Where weights are needed.
#[derive(Clone, Copy)]
pub(super) struct Where<'a> {
    /// Whose tiles they are.
    pub plan: &'a JobPlan,
    /// The tiles, as one.
    pub tile: Tile,
    /// Which of losses, gradient and Hessian are computed.
    pub computed: [bool; 3],
    /// Where sample weights lie that rows have in common.
    pub heads: Option<&'a Heads>,
    /// Whether the kernels multiply the weights of samples with those of labels.
    pub apart: bool,
}

impl Where<'_> {
    fn place(&self, operand: usize) -> Place<'_, { operand::COUNT }> {
        Place { plan: self.plan, operand, tile: self.tile }
    }

    /// The outputs that are computed, by number.
    fn outputs(&self) -> impl Iterator<Item = usize> {
        (0..3).filter(|&output| self.computed[output])
    }
}

impl<R: Real> Weights<R> {
    /// What multiplies the elements of tiles that follow each other. Pointers live as long as the arrays and the memory.
    /// None if several tiles would need copies of lists: one of them may need none.
    ///
    /// # Safety
    /// The arrays must be readable wherever the plan says that their operands have elements, and there must be room for
    /// the elements of the tiles; `raw` must hold as many of the largest type.
    #[inline]
    pub(super) unsafe fn of(
        &self,
        isa: AnyIsa,
        at: Where<'_>,
        room: Room<R>,
        raw: *mut u64,
    ) -> Option<Factors<R>> {
        let without = |labels| Factors { labels, samples: std::ptr::null() };
        // SAFETY: handed through from the caller.
        unsafe {
            let (samples, weights) = match self {
                Self::All(numbers) => return Some(without(OfLabels::All(*numbers))),
                Self::Lists(lists) => return of_labels(isa, lists, at, room, raw).map(without),
                Self::Sampled(samples, weights) => (samples, weights),
            };
            if let Some(offset) = at.place(operand::SAMPLES).constant()
                && let Some(numbers) = numbers(isa, &weights.exact, at.place(operand::CLASSES))
            {
                let sample = samples.number(isa, offset);
                let products = numbers.map(|pair| pair.map(|weight| product(sample, weight)));
                return Some(without(OfLabels::All(products)));
            }
            if at.apart {
                let labels = of_labels(isa, &weights.rounded, at, room, raw)?;
                let OfSamples { start, ordinary } =
                    lay_out(isa, samples, at.heads, (at.plan, at.tile), room.samples);
                if ordinary && labels.are_ordinary(isa, at) {
                    return Some(Factors { labels, samples: start });
                }
            }
            Some(without(OfLabels::Each(products(isa, samples, &weights.exact, at, room))))
        }
    }

    /// As [`of`](Self::of), of one tile.
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub(super) unsafe fn of_tile(
        &self,
        isa: AnyIsa,
        at: Where<'_>,
        room: Room<R>,
        raw: &mut Raw,
    ) -> Factors<R> {
        // SAFETY: handed through from the caller.
        let found = unsafe { self.of(isa, at, room, raw.as_mut_ptr()) };
        // One tile always has some.
        found.unwrap_or(Factors { labels: OfLabels::All([[R::NAN; 2]; 3]), samples: std::ptr::null() })
    }
}

impl<R: Real> OfLabels<R> {
    /// Whether the products that kernels make of them are right: see [`are_ordinary`].
    ///
    /// # Safety
    /// There must be as many in each list as elements.
    unsafe fn are_ordinary(&self, isa: AnyIsa, at: Where<'_>) -> bool {
        match self {
            Self::All(numbers) => at.outputs().all(|output| are_ordinary(isa, &numbers[output])),
            Self::Each(lists) => at.outputs().flat_map(|output| lists[output]).all(|list| {
                // SAFETY: handed through from the caller.
                are_ordinary(isa, unsafe { std::slice::from_raw_parts(list, at.tile.len) })
            }),
        }
    }
}

/// The weights of labels: numbers, or entries of lists, where they stand if they stand there in a run.
///
/// # Safety
/// As [`Weights::of`].
#[inline]
unsafe fn of_labels<R: Real>(
    isa: AnyIsa,
    lists: &[[Source<R>; 2]; 3],
    at: Where<'_>,
    room: Room<R>,
    raw: *mut u64,
) -> Option<OfLabels<R>> {
    let place = at.place(operand::LISTS);
    // SAFETY: handed through from the caller.
    unsafe {
        if let Some(numbers) = numbers(isa, lists, place) {
            return Some(OfLabels::All(numbers));
        }
        if at.tile.len > TILE && place.repeated(size_of::<R>()).is_none() {
            return None;
        }
        let mut pointers = [[std::ptr::null(); 2]; 3];
        for output in at.outputs() {
            for (label, list) in lists[output].iter().enumerate() {
                pointers[output][label] = list.strip(isa, place, room.labels[output][label], raw);
            }
        }
        Some(OfLabels::Each(pointers))
    }
}

/// Writes what multiplies each element as a negative and as a positive, and says where.
///
/// # Safety
/// As [`Weights::of`].
#[inline(never)]
unsafe fn products<R: Real>(
    isa: AnyIsa,
    samples: &Source<f64>,
    weights: &[[Source<f64>; 2]; 3],
    at: Where<'_>,
    room: Room<R>,
) -> [[*const R; 2]; 3] {
    let (mut of_samples, mut of_labels, mut raw) = (Buffer::new(), Buffer::new(), Raw::new());
    let mut pointers = [[std::ptr::null(); 2]; 3];
    for (start, tile) in parts(None, at.tile) {
        let place = |operand| Place { plan: at.plan, operand, tile };
        // SAFETY: handed through from the caller; buffers hold a tile.
        unsafe {
            let samples = samples.tile(isa, place(operand::SAMPLES), &mut of_samples, &mut raw);
            let samples = std::slice::from_raw_parts(samples, tile.len);
            for output in at.outputs() {
                for (label, weights) in weights[output].iter().enumerate() {
                    let weights = weights.tile(isa, place(operand::CLASSES), &mut of_labels, &mut raw);
                    let weights = std::slice::from_raw_parts(weights, tile.len);
                    let list = room.labels[output][label];
                    factors::products(isa, samples, weights, list.add(start));
                    pointers[output][label] = list.cast_const();
                }
            }
        }
    }
    pointers
}

/// The numbers that all elements of a tile have in common, if they have.
///
/// # Safety
/// As [`Weights::of`].
#[inline]
unsafe fn numbers<T: Real, const N: usize>(
    isa: AnyIsa,
    sources: &[[Source<T>; 2]; 3],
    place: Place<'_, N>,
) -> Option<[[T; 2]; 3]> {
    let all = sources.iter().flatten().all(|source| matches!(source, Source::Constant(_)));
    let offset = if all { 0 } else { place.constant()? };
    let mut numbers = [[T::ZERO; 2]; 3];
    for (number, source) in numbers.iter_mut().flatten().zip(sources.iter().flatten()) {
        // SAFETY: handed through from the caller.
        *number = unsafe { source.number(isa, offset) };
    }
    Some(numbers)
}
