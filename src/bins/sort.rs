//! Which bin does an element go to?

use std::ops::Neg;

use super::{BLOCK, MARGINS, NAN, PER_UNIT, range_of};
use crate::element::DType;
use crate::error::Error;
use crate::kernel::tile::TILE;
use crate::pool;
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel};

/// Logits or targets of some type, one after the other.
#[derive(Clone, Copy)]
pub struct Column {
    /// The first number.
    pub data: *const u8,
    /// The type of the numbers.
    pub dtype: DType,
}

// SAFETY: it is only followed by `sort`, whose caller vouches for the memory behind it.
unsafe impl Send for Column {}
// SAFETY: as above; the memory is only read.
unsafe impl Sync for Column {}

impl Column {
    /// Numbers from `at` on as another type.
    ///
    /// # Safety
    /// The column must be valid for reading as many there.
    #[inline]
    pub(super) unsafe fn widen<R: Real>(&self, isa: AnyIsa, at: usize, numbers: &mut [R]) {
        let from = self.data.wrapping_add(at * self.dtype.size());
        // SAFETY: handed through from the caller.
        unsafe { self.dtype.widen::<R>()(isa, from, numbers.as_mut_ptr(), numbers.len()) }
    }
}

/// What sorting finds beside the bins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// Logits that are NaN.
    pub nan_logits: usize,
    /// Targets of 1/2 or more.
    pub positives: usize,
    /// The first target that is below 0 or above 1.
    pub outside: Option<usize>,
}

impl Sorted {
    /// Adds a tile.
    pub(super) fn add(&mut self, (nan_logits, positives, _): (usize, usize, bool)) {
        self.nan_logits += nan_logits;
        self.positives += positives;
    }

    /// Adds what comes behind this.
    pub(super) fn merge(&mut self, other: Self) {
        self.nan_logits += other.nan_logits;
        self.positives += other.positives;
        self.outside = self.outside.or(other.outside);
    }
}

/// The bin of each element, for logits that are computed with as `R`.
///
/// # Errors
/// If the threads cannot be started.
///
/// # Safety
/// Both columns must be valid for reading as many numbers as there are losses.
pub unsafe fn sort<R: Sortable>(
    isa: AnyIsa,
    logits: Column,
    targets: Column,
    losses: &[R],
    bins: &mut [u16],
) -> Result<Sorted, Error> {
    let len = losses.len().min(bins.len());
    let target = Target(bins.as_mut_ptr());
    let blocks = pool::map(0..len.div_ceil(BLOCK), 1, |block| {
        let range = range_of(block, len);
        // SAFETY: the ranges are disjoint and within the bins, which outlive the call; the columns are as long.
        let bins = unsafe { std::slice::from_raw_parts_mut(target.at(range.start), range.len()) };
        // SAFETY: as above.
        unsafe { Ok(sort_block(isa, logits, targets, &losses[range.clone()], range.start, bins)) }
    })?;
    let mut sorted = Sorted::default();
    blocks.into_iter().for_each(|block| sorted.merge(block));
    Ok(sorted)
}

/// A pointer that threads share.
struct Target(*mut u16);

// SAFETY: each thread writes a range of its own.
unsafe impl Sync for Target {}

impl Target {
    /// # Safety
    /// The place must be within the memory.
    unsafe fn at(&self, place: usize) -> *mut u16 {
        // SAFETY: handed through from the caller.
        unsafe { self.0.add(place) }
    }
}

/// # Safety
/// As [`sort`]; `first` is the place of the first loss among all.
unsafe fn sort_block<R: Sortable>(
    isa: AnyIsa,
    logits: Column,
    targets: Column,
    losses: &[R],
    first: usize,
    bins: &mut [u16],
) -> Sorted {
    let mut sorted = Sorted::default();
    let (mut x, mut y) = ([R::ZERO; TILE], [R::ZERO; TILE]);
    for (at, (losses, bins)) in (first..).step_by(TILE).zip(losses.chunks(TILE).zip(bins.chunks_mut(TILE))) {
        let len = losses.len();
        // SAFETY: the tile is within the columns, and no longer than x and y.
        unsafe {
            logits.widen(isa, at, &mut x[..len]);
            targets.widen(isa, at, &mut y[..len]);
        }
        let found = isa.vectorize(Sort { x: &x[..len], y: &y[..len], losses, bins });
        sorted.add(found);
        if found.2 && sorted.outside.is_none() {
            let beyond = |&y: &R| y < R::ZERO || y > R::ONE;
            sorted.outside = y[..len].iter().position(beyond).map(|place| at + place);
        }
    }
    sorted
}

/// A type whose margins are cut into bins.
pub trait Sortable: Real + Neg<Output = Self> {
    /// Whether it is NaN.
    fn is_no_number(self) -> bool;

    /// Without its sign.
    fn magnitude(self) -> Self;

    /// The number of whole bins between 0 and this number, the last one's at most; that too for NaN, whose loss says
    /// that it belongs to no bin.
    fn steps(self) -> i32;
}

macro_rules! sortable {
    ($real:ident) => {
        impl Sortable for $real {
            #[inline(always)]
            fn is_no_number(self) -> bool {
                self.is_nan()
            }

            #[inline(always)]
            fn magnitude(self) -> Self {
                self.abs()
            }

            #[inline(always)]
            fn steps(self) -> i32 {
                const LAST: $real = (MARGINS / 2 - 1) as $real;
                let steps = self.abs() * PER_UNIT as $real;
                let steps = if steps < LAST { steps } else { LAST };
                // SAFETY: a number from 0 to 127. Conversions that look for others take ten times as long.
                unsafe { steps.to_int_unchecked() }
            }
        }
    };
}

sortable!(f32);
sortable!(f64);

/// Sorts a tile.
pub(super) struct Sort<'a, R> {
    pub x: &'a [R],
    pub y: &'a [R],
    pub losses: &'a [R],
    pub bins: &'a mut [u16],
}

impl<R: Sortable> Kernel for Sort<'_, R> {
    /// How many logits are NaN, how many targets 1/2 or more, and whether there are some outside 0 to 1.
    type Output = (usize, usize, bool);

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> (usize, usize, bool) {
        // In the type of the logits: eight times a number is exact, and so is a comparison.
        let middle = i32::from(MARGINS / 2);
        let (mut nan_logits, mut positives, mut outside) = (0_u32, 0_u32, false);
        for (((&x, &y), &loss), bin) in self.x.iter().zip(self.y).zip(self.losses).zip(self.bins) {
            nan_logits += u32::from(x.is_no_number());
            outside |= y < R::ZERO || y > R::ONE;
            let positive = y >= R::HALF;
            positives += u32::from(positive);
            let margin = if positive { -x } else { x };
            let steps = margin.steps();
            // A margin of 0 is hard, whatever its sign.
            let place = if margin < R::ZERO { middle - 1 - steps } else { middle + steps };
            let place = place + if positive { i32::from(MARGINS) } else { 0 };
            *bin = if loss.is_no_number() { NAN } else { place as u16 };
        }
        (nan_logits as usize, positives as usize, outside)
    }
}
