//! The exact sum of a tile, for sums that must not depend on order, cuts or merges.
//!
//! The numbers of a tile are cut at fixed bits. With M = 1.5 * 2^(52 + k) the float64 sum t = x + M is x
//! rounded to a multiple n 2^k, and n stands in the low bits of t: adding up the bits of t as integers
//! adds up n without any rounding. x - (t - M) is what remains of x, exactly, for a next window of bits
//! below (Demmel and Nguyen, "Parallel reproducible summation", 2015, cut floating-point sums in this
//! way). How many windows a tile needs follows from its largest and its smallest magnitude: one or two as
//! a rule. Each window's integer then goes to [`ExactSum`] as it is.

use super::exact::ExactSum;
use crate::kernel::tile::TILE;
use crate::real::Real;
use crate::simd::{Isa, Kernel, MAX_LANES, Vector};

/// Numbers whose magnitudes are compared side by side.
const ROW: usize = 32;
/// The most windows that are tried: they hold what differs by less than 2^150, float32 or float64.
const WINDOWS: usize = 4;
/// A window with the unit 2^k takes magnitudes up to 2^(WIDTH + k).
const WIDTH: i32 = 51;
/// What it leaves is no more than half its unit, and fits one so many bits below.
const STEP: i32 = WIDTH + 1;

/// The magnitudes of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// All are below 2^above; `i32::MAX` if one is infinite or NaN, `i32::MIN` if all are 0.
    above: i32,
    /// All are multiples of 2^unit.
    unit: i32,
}

/// What summation must know of an element type.
pub trait Summable: Copy {
    /// The magnitudes of a tile.
    fn extent(values: &[Self]) -> Extent;

    /// A group of float64 lanes.
    ///
    /// # Safety
    /// `source` must be valid for reading as many elements as the group has lanes.
    unsafe fn widen<I: Isa>(isa: I, source: *const Self) -> I::F64;
}

macro_rules! summable {
    ($real:ident, $bits:ident, mantissa $mantissa:literal, bias $bias:literal, $widen:item) => {
        impl Summable for $real {
            #[inline(always)]
            fn extent(values: &[Self]) -> Extent {
                // Twice the bits have no sign. Less 1, a zero is the largest of all.
                let (mut largest, mut smallest) = ([0; ROW], [$bits::MAX; ROW]);
                let (rows, rest) = values.as_chunks::<ROW>();
                for row in rows {
                    for ((large, small), x) in largest.iter_mut().zip(&mut smallest).zip(row) {
                        let bits = x.to_bits() << 1;
                        *large = bits.max(*large);
                        *small = bits.wrapping_sub(1).min(*small);
                    }
                }
                for ((large, small), x) in largest.iter_mut().zip(&mut smallest).zip(rest) {
                    let bits = x.to_bits() << 1;
                    *large = bits.max(*large);
                    *small = bits.wrapping_sub(1).min(*small);
                }
                let large = largest.into_iter().fold(0, $bits::max);
                let small = smallest.into_iter().fold($bits::MAX, $bits::min).wrapping_add(1);
                // Subnormal numbers have the exponent of the smallest normal ones.
                let exponent = |bits: $bits| ((bits >> ($mantissa + 1)) as i32).max(1) - $bias;
                match large {
                    0 => Extent { above: i32::MIN, unit: 0 },
                    _ if $real::from_bits(large >> 1).is_finite() => {
                        Extent { above: exponent(large) + 1, unit: exponent(small) - $mantissa }
                    }
                    _ => Extent { above: i32::MAX, unit: 0 },
                }
            }

            $widen
        }
    };
}

summable! {
    f32, u32, mantissa 23, bias 127,
    #[inline(always)]
    unsafe fn widen<I: Isa>(isa: I, source: *const f32) -> I::F64 {
        let mut wide = [0.0; MAX_LANES];
        let mut i = 0;
        while i < I::F64::LANES {
            // SAFETY: the caller promises so many elements.
            wide[i] = f64::from(unsafe { source.add(i).read() });
            i += 1;
        }
        // SAFETY: a group has no more than MAX_LANES lanes.
        unsafe { I::F64::load(isa, wide.as_ptr()) }
    }
}

summable! {
    f64, u64, mantissa 52, bias 1023,
    #[inline(always)]
    unsafe fn widen<I: Isa>(isa: I, source: *const f64) -> I::F64 {
        // SAFETY: handed through from the caller.
        unsafe { I::F64::load(isa, source) }
    }
}

/// The exact sum of a tile.
pub enum Part {
    /// In whole numbers.
    Windows {
        /// A number for each window, the coarsest first.
        sums: [i64; WINDOWS],
        /// The exponent of the first one's unit.
        unit: i32,
    },
    /// Of magnitudes too far apart for that, or not all finite.
    Scattered(Box<ExactSum>),
}

impl ExactSum {
    /// Adds the sum of a tile.
    #[inline]
    pub fn add(&mut self, part: Part) {
        match part {
            Part::Windows { sums, mut unit } => {
                for sum in sums {
                    if sum != 0 {
                        self.add_scaled(sum, unit);
                    }
                    unit -= STEP;
                }
            }
            Part::Scattered(total) => self.merge(*total),
        }
    }
}

/// 2^n.
#[inline(always)]
fn power_of_two(n: i32) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

/// The windows of a tile, the first with a unit of 2^unit.
#[inline(always)]
fn windows<I: Isa, R: Real + Summable, const COUNT: usize>(isa: I, values: &[R], unit: i32) -> Part {
    let mut magic = [0.0; COUNT];
    for (magic, i) in magic.iter_mut().zip(0..) {
        *magic = 1.5 * power_of_two(unit - i * STEP + 52);
    }
    let zero = I::F64::splat(isa, 0.0);
    let mut cut = Cut { magic: [zero; COUNT], sums: [zero; COUNT] };
    for (lanes, number) in cut.magic.iter_mut().zip(magic) {
        *lanes = I::F64::splat(isa, number);
    }
    let lanes = I::F64::LANES;
    let mut wide = [0.0; MAX_LANES];
    let mut at = 0;
    while at + lanes <= values.len() {
        // SAFETY: at + lanes does not exceed the length.
        cut.add(unsafe { R::widen(isa, values.as_ptr().add(at)) });
        at += lanes;
    }
    if at < values.len() {
        wide = [0.0; MAX_LANES];
        for (wide, x) in wide.iter_mut().zip(&values[at..]) {
            *wide = x.to_f64();
        }
        // SAFETY: as above.
        cut.add(unsafe { I::F64::load(isa, wide.as_ptr()) });
        at += lanes;
    }
    let mut sums = [0; WINDOWS];
    for ((sum, sum_lanes), magic) in sums.iter_mut().zip(cut.sums).zip(magic) {
        // SAFETY: as above.
        unsafe { sum_lanes.store(wide.as_mut_ptr()) };
        let mut all = 0_i64;
        let mut i = 0;
        while i < lanes {
            all = all.wrapping_add(wide[i].to_bits() as i64);
            i += 1;
        }
        // Modulo 2^64 what the magic numbers themselves have added comes off exactly.
        *sum = all.wrapping_sub((magic.to_bits() as i64).wrapping_mul(at as i64));
    }
    Part::Windows { sums, unit }
}

/// The windows of many numbers, lane by lane.
struct Cut<V, const COUNT: usize> {
    magic: [V; COUNT],
    sums: [V; COUNT],
}

impl<V: Vector, const COUNT: usize> Cut<V, COUNT> {
    #[inline(always)]
    fn add(&mut self, mut x: V) {
        let mut i = 0;
        while i < COUNT {
            let shifted = x + self.magic[i];
            self.sums[i] = self.sums[i].add_bits(shifted);
            x = x - (shifted - self.magic[i]);
            i += 1;
        }
    }
}

/// One number at a time.
#[cold]
fn scattered<R: Real>(values: &[R]) -> Part {
    let mut total = Box::<ExactSum>::default();
    values.iter().for_each(|x| total.add_number(x.to_f64()));
    Part::Scattered(total)
}

/// The sum of a tile. At most [`TILE`] numbers: more might overflow the integers.
pub struct ExactTileSum<'a, R>(pub &'a [R]);

impl<R: Real + Summable> Kernel for ExactTileSum<'_, R> {
    type Output = Part;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Part {
        // A window's integers reach 2^WIDTH, and so many may be added, the last group's padding too.
        const { assert!(TILE + MAX_LANES < 1 << (62 - WIDTH)) };
        let values = self.0;
        if values.len() > TILE {
            return scattered(values);
        }
        let Extent { above, unit } = R::extent(values);
        if above == i32::MIN {
            return Part::Windows { sums: [0; WINDOWS], unit: 0 };
        }
        // Outside, some magic number might not be normal.
        if !(-700..=1000).contains(&above) {
            return scattered(values);
        }
        let first = above - WIDTH;
        match (first - unit + STEP - 1) / STEP {
            ..=0 => windows::<I, R, 1>(isa, values, first),
            1 => windows::<I, R, 2>(isa, values, first),
            2 => windows::<I, R, 3>(isa, values, first),
            3 => windows::<I, R, WINDOWS>(isa, values, first),
            _ => scattered(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::AnyIsa;
    use proptest::prelude::*;

    /// The sum of a tile on every instruction set, and number by number.
    fn sums<R: Real + Summable>(values: &[R]) -> Vec<ExactSum> {
        let mut single = ExactSum::default();
        values.iter().for_each(|x| single.add_number(x.to_f64()));
        let tile = |isa: AnyIsa| {
            let mut total = ExactSum::default();
            total.add(isa.vectorize(ExactTileSum(values)));
            total
        };
        std::iter::once(single).chain(AnyIsa::available().into_iter().map(tile)).collect()
    }

    proptest! {
        #[test]
        fn tiles_are_added_exactly(
            bits in prop::collection::vec(any::<u64>(), 0..TILE),
            centre in 0_u64..2047,
            spread in prop::sample::select(vec![1_u64, 20, 60, 150, 330, 2048]),
        ) {
            let wide: Vec<f64> = bits.iter().map(|&x| {
                let exponent = (centre + (x >> 52) % spread).min(2047);
                f64::from_bits(x & (1 << 63 | ((1 << 52) - 1)) | exponent << 52)
            }).collect();
            let narrow: Vec<f32> = bits.iter().map(|&x| {
                let exponent = (centre / 8 + (x >> 52) % spread.min(256)).min(255) as u32;
                f32::from_bits(x as u32 & (1 << 31 | ((1 << 23) - 1)) | exponent << 23)
            }).collect();
            let (wide, narrow) = (sums(&wide), sums(&narrow));
            prop_assert!(wide.iter().all(|sum| *sum == wide[0]));
            prop_assert!(narrow.iter().all(|sum| *sum == narrow[0]));
        }
    }

    #[test]
    fn the_largest_and_smallest_numbers_fill_a_tile() {
        for x in [f64::MAX, f64::MIN, f64::from(f32::MAX), 1.0, -1.0, f64::MIN_POSITIVE, 5e-324] {
            let found = sums(&[x; TILE]);
            assert!(found.iter().all(|sum| *sum == found[0]), "{x:e}");
        }
        for x in [f32::MAX, f32::MIN, 2.0_f32.next_down(), f32::MIN_POSITIVE, 1e-45] {
            let found = sums(&[x; TILE]);
            assert!(found.iter().all(|sum| *sum == found[0]), "{x:e}");
            assert_eq!(found[0].value(), f64::from(x) * TILE as f64);
        }
    }
}
