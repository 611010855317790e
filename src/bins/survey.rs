//! What a tile of losses and gradients adds up to, and how large its losses are.

use super::Sortable;
use crate::kernel::exact_tile::Summable;
use crate::simd::{Isa, Kernel, MAX_LANES, Vector};

/// Lanes in which squares are added up, whatever the instruction set: their order decides the last bits.
const LANES: usize = 32;

/// The sum of squares, and the extremes, of a tile.
pub struct Survey<'a, R> {
    /// A loss each.
    pub values: &'a [R],
    /// A gradient each.
    pub slopes: &'a [R],
}

impl<R: Sortable + Summable> Kernel for Survey<'_, R> {
    /// The sum of the squares of the slopes; the smallest and the largest value.
    type Output = (f64, f64, f64);

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> (f64, f64, f64) {
        let (low, high) = extremes(isa, self.values);
        (squares(isa, self.slopes), low, high)
    }
}

#[inline(always)]
fn squares<I: Isa, R: Sortable + Summable>(isa: I, slopes: &[R]) -> f64 {
    let lanes = I::F64::LANES;
    const { assert!(LANES.is_multiple_of(I::F64::LANES)) };
    let mut sums = [I::F64::splat(isa, 0.0); LANES];
    let mut last = [R::ZERO; LANES];
    let whole = slopes.len() - slopes.len() % LANES;
    last[..slopes.len() - whole].copy_from_slice(&slopes[whole..]);
    let mut at = 0;
    while at <= whole {
        // The numbers that fill no group stand behind it, zeros behind them.
        let from = if at < whole { slopes[at..].as_ptr() } else { last.as_ptr() };
        let mut place = 0;
        while place < LANES {
            // SAFETY: there are as many numbers as lanes.
            let slope = unsafe { R::widen(isa, from.add(place)) };
            sums[place / lanes] = sums[place / lanes] + slope * slope;
            place += lanes;
        }
        at += LANES;
    }
    let mut all = [0.0; LANES];
    let mut place = 0;
    while place < LANES {
        // SAFETY: the lanes that are written are among them.
        unsafe { sums[place / lanes].store(all.as_mut_ptr().add(place)) };
        place += lanes;
    }
    all.iter().sum()
}

/// The smallest and the largest number; NaN is neither.
#[inline(always)]
fn extremes<I: Isa, R: Sortable>(isa: I, values: &[R]) -> (f64, f64) {
    let lanes = <R::Lanes<I>>::LANES;
    let mut low = <R::Lanes<I>>::splat(isa, -R::NEG_INFINITY);
    let mut high = <R::Lanes<I>>::splat(isa, R::NEG_INFINITY);
    let mut last = [R::NAN; MAX_LANES];
    let whole = values.len() - values.len() % lanes;
    last[..values.len() - whole].copy_from_slice(&values[whole..]);
    let mut at = 0;
    while at <= whole {
        let from = if at < whole { values[at..].as_ptr() } else { last.as_ptr() };
        // SAFETY: there are as many numbers as lanes.
        let value = unsafe { <R::Lanes<I>>::load(isa, from) };
        (low, high) = (value.min_or(low), value.max_or(high));
        at += lanes;
    }
    let (mut lows, mut highs) = ([-R::NEG_INFINITY; MAX_LANES], [R::NEG_INFINITY; MAX_LANES]);
    // SAFETY: no group has more lanes.
    unsafe {
        low.store(lows.as_mut_ptr());
        high.store(highs.as_mut_ptr());
    }
    let (mut all_low, mut all_high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut lane = 0;
    while lane < lanes {
        all_low = all_low.min(lows[lane].to_f64());
        all_high = all_high.max(highs[lane].to_f64());
        lane += 1;
    }
    (all_low, all_high)
}
