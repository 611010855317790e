//! What multiplies the results of a tile's elements: sample weights times the weights of labels.

use super::heads::Heads;
use super::room::{Factors, Room};
use super::{JobPlan, operand};
use crate::kernel::factors::{Samples, product};
use crate::kernel::tile::{Buffer, Place, Raw, Source};
use crate::layout::Tile;
use crate::real::Real;
use crate::simd::AnyIsa;

/// What multiplies losses, gradient and Hessian of negatives and of positives.
#[derive(Clone, Copy, Debug)]
pub enum Weights<R> {
    /// The same numbers for all elements.
    All([[R; 2]; 3]),
    /// Lists in the form that kernels take, as the plan's [`operand::LISTS`].
    Lists([[Source<R>; 2]; 3]),
    /// A weight for each sample, and what it is to be multiplied with: numbers, or lists as the plan's
    /// [`operand::CLASSES`].
    Sampled(Source<f64>, [[Source<f64>; 2]; 3]),
}

/// What multiplies the elements of one tile.
#[derive(Clone, Copy)]
pub(super) enum OfTile<R> {
    /// The same for all.
    All([[R; 2]; 3]),
    /// For each its own. Null for what is not computed.
    Each([[*const R; 2]; 3]),
}

/// What multiplies the elements of tiles that follow each other.
pub(super) enum AtHand<'a, R> {
    /// It stands there.
    Ready(OfTile<R>),
    /// It is to be laid out.
    Products(Factors<'a>),
}

/// Memory for the weights of a tile.
pub(super) struct Memory<R> {
    tiles: [[Buffer<R>; 2]; 3],
}

impl<R> Memory<R> {
    /// Uninitialised.
    #[inline]
    pub const fn new() -> Self {
        Self { tiles: [const { [const { Buffer::new() }; 2] }; 3] }
    }

    /// Where it is: once, since what is laid out there is read through pointers.
    #[inline]
    pub fn room(&mut self) -> Room<R> {
        Room(self.tiles.each_mut().map(|pair| pair.each_mut().map(Buffer::as_mut_ptr)))
    }
}

/// Where weights are needed.
#[derive(Clone, Copy)]
pub(super) struct Where<'a, R> {
    /// Whose tile it is.
    pub plan: &'a JobPlan,
    /// The tile.
    pub tile: Tile,
    /// Which of losses, gradient and Hessian are computed.
    pub computed: [bool; 3],
    /// Where sample weights lie that rows have in common.
    pub heads: Option<&'a Heads>,
    /// Its labels, if they are 0 and 1 alone: weights need to be right for the label only that an element has.
    pub labels: Option<&'a [R]>,
}

impl<R> Where<'_, R> {
    fn place(&self, operand: usize) -> Place<'_, { operand::COUNT }> {
        Place { plan: self.plan, operand, tile: self.tile }
    }
}

impl<R: Real> Weights<R> {
    /// What multiplies the elements of a tile. Pointers live as long as the arrays and the memory.
    ///
    /// # Safety
    /// The arrays must be readable wherever the plan says that their operands have elements.
    #[inline]
    pub(super) unsafe fn of_tile(
        &self,
        isa: AnyIsa,
        at: Where<'_, R>,
        room: Room<R>,
        raw: &mut Raw,
    ) -> OfTile<R> {
        // SAFETY: handed through from the caller.
        unsafe {
            match self {
                Self::All(numbers) => OfTile::All(*numbers),
                Self::Lists(lists) => entries(isa, lists, at, room, raw),
                Self::Sampled(samples, labels) => products(isa, samples, labels, at, room, raw),
            }
        }
    }
}

impl<R: Real> Weights<R> {
    /// What multiplies the elements of tiles that follow each other, if nothing need be put down for each of them but
    /// products of sample weights.
    ///
    /// # Safety
    /// As [`Weights::of_tile`].
    #[inline]
    pub(super) unsafe fn at_hand<'a>(&'a self, isa: AnyIsa, at: Where<'a, R>) -> Option<AtHand<'a, R>> {
        // SAFETY: handed through from the caller.
        unsafe {
            match self {
                Self::All(numbers) => Some(AtHand::Ready(OfTile::All(*numbers))),
                Self::Lists(lists) => standing(isa, lists, at).map(AtHand::Ready),
                Self::Sampled(samples, weights) => by_samples(isa, samples, weights, at),
            }
        }
    }
}

/// Sample weights times the weights of labels, where the latter are the same for all elements.
///
/// # Safety
/// As [`Weights::at_hand`].
unsafe fn by_samples<'a, R: Real>(
    isa: AnyIsa,
    samples: &'a Source<f64>,
    weights: &[[Source<f64>; 2]; 3],
    at: Where<'a, R>,
) -> Option<AtHand<'a, R>> {
    // SAFETY: handed through from the caller.
    unsafe {
        let weights = numbers(isa, weights, at.place(operand::CLASSES))?;
        if let Some(offset) = at.place(operand::SAMPLES).constant() {
            let sample = samples.number(isa, offset);
            let numbers = weights.map(|pair| pair.map(|weight| product(sample, weight)));
            return Some(AtHand::Ready(OfTile::All(numbers)));
        }
        Some(AtHand::Products(Factors { samples, heads: at.heads, weights, computed: at.computed }))
    }
}

/// Entries of lists, if they stand there in a run or are all the same.
///
/// # Safety
/// As [`Weights::of_tile`].
unsafe fn standing<R: Real>(isa: AnyIsa, lists: &[[Source<R>; 2]; 3], at: Where<'_, R>) -> Option<OfTile<R>> {
    let place = at.place(operand::LISTS);
    // SAFETY: handed through from the caller.
    if let Some(numbers) = unsafe { numbers(isa, lists, place) } {
        return Some(OfTile::All(numbers));
    }
    let offset = place.repeated(size_of::<R>())?;
    let mut pointers = [[std::ptr::null(); 2]; 3];
    for (output, _) in at.computed.iter().enumerate().filter(|&(_, computed)| *computed) {
        let [negative, positive] = &lists[output];
        pointers[output] = [negative.run(offset)?, positive.run(offset)?];
    }
    Some(OfTile::Each(pointers))
}

/// The numbers that all elements of a tile have in common, if they have.
///
/// # Safety
/// As [`Weights::of_tile`].
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

/// Entries of lists, where they stand if they stand there in a run.
///
/// # Safety
/// As [`Weights::of_tile`].
#[inline(never)]
unsafe fn entries<R: Real>(
    isa: AnyIsa,
    lists: &[[Source<R>; 2]; 3],
    at: Where<'_, R>,
    room: Room<R>,
    raw: &mut Raw,
) -> OfTile<R> {
    let place = at.place(operand::LISTS);
    // SAFETY: handed through from the caller; every buffer holds a tile.
    unsafe {
        if let Some(found) = standing(isa, lists, at) {
            return found;
        }
        let mut pointers = [[std::ptr::null(); 2]; 3];
        for (output, tiles) in room.0.into_iter().enumerate().filter(|&(output, _)| at.computed[output]) {
            for (label, tile) in tiles.into_iter().enumerate() {
                pointers[output][label] = lists[output][label].strip(isa, place, tile, raw.as_mut_ptr());
            }
        }
        OfTile::Each(pointers)
    }
}

/// Sample weights times the weights of labels, rounded once.
///
/// # Safety
/// As [`Weights::of_tile`].
#[inline(never)]
unsafe fn products<R: Real>(
    isa: AnyIsa,
    samples: &Source<f64>,
    weights: &[[Source<f64>; 2]; 3],
    at: Where<'_, R>,
    room: Room<R>,
    raw: &mut Raw,
) -> OfTile<R> {
    let (len, place) = (at.tile.len, at.place(operand::SAMPLES));
    let (mut own, mut negatives, mut positives) = (Buffer::new(), Buffer::new(), Buffer::new());
    // SAFETY: what stands in buffers outlives the slice, and so do arrays.
    let slice = |start: *const f64, len| unsafe { std::slice::from_raw_parts(start, len) };
    // SAFETY: handed through from the caller; every buffer holds a tile.
    unsafe {
        match by_samples(isa, samples, weights, at) {
            Some(AtHand::Ready(found)) => return found,
            Some(AtHand::Products(factors)) => {
                return OfTile::Each(room.lay_out(isa, &factors, (at.plan, at.tile), at.labels));
            }
            None => {}
        }
        let samples = Samples(slice(samples.tile(isa, place, &mut own, raw), len));
        let place = at.place(operand::CLASSES);
        let mut pointers = [[std::ptr::null(); 2]; 3];
        for (output, tiles) in room.0.into_iter().enumerate().filter(|&(output, _)| at.computed[output]) {
            let [negative, positive] = &weights[output];
            let negatives = slice(negative.tile(isa, place, &mut negatives, raw), len);
            let positives = slice(positive.tile(isa, place, &mut positives, raw), len);
            pointers[output] = times(isa, samples, [negatives, positives], at.labels, tiles);
        }
        OfTile::Each(pointers)
    }
}

/// Writes what multiplies each element as a negative and as a positive and says where; with labels of 0 and 1 what
/// multiplies each as what it is.
///
/// # Safety
/// There must be as many weights, and labels, as samples; both tiles must be valid for writing as many.
unsafe fn times<R: Real>(
    isa: AnyIsa,
    samples: Samples<'_, f64>,
    weights: [&[f64]; 2],
    labels: Option<&[R]>,
    tiles: [*mut R; 2],
) -> [*const R; 2] {
    // SAFETY: handed through from the caller.
    unsafe {
        let Some(labels) = labels else {
            for (weights, products) in weights.into_iter().zip(tiles) {
                samples.times(isa, weights, products);
            }
            return tiles.map(<*mut R>::cast_const);
        };
        samples.times_of_labels(isa, weights, labels, tiles[0]);
    }
    [tiles[0].cast_const(); 2]
}
