//! What multiplies each element of a tile: the weight of its label times that of its sample.
//!
//! Kernels multiply the two themselves, in their own type, where all numbers are [ordinary](are_ordinary): the nearest
//! number to the product of such numbers is the right one. Others may leave the range of that type alone, but not together:
//! they are multiplied in float64. What is finite stays finite, and what is not 0 stays so ([`Real::from_weight`]).

use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel, MAX_LANES, Vector};

/// Numbers for the elements of a tile.
pub trait Numbers: Copy {
    /// Those of the first `len` elements.
    fn first(self, len: usize) -> Self;

    /// That of an element.
    fn at(self, i: usize) -> f64;

    /// Whether they are all ordinary: +0.0, or between 2^-60 and 2^60.
    fn are_ordinary(self) -> bool;
}

/// One number for all.
impl Numbers for f64 {
    #[inline(always)]
    fn first(self, _: usize) -> Self {
        self
    }

    #[inline(always)]
    fn at(self, _: usize) -> f64 {
        self
    }

    #[inline(always)]
    fn are_ordinary(self) -> bool {
        [self].as_slice().are_ordinary()
    }
}

/// A number for each.
impl Numbers for &[f64] {
    #[inline(always)]
    fn first(self, len: usize) -> Self {
        &self[..len]
    }

    #[inline(always)]
    fn at(self, i: usize) -> f64 {
        self[i]
    }

    #[inline(always)]
    fn are_ordinary(self) -> bool {
        let mut ends = Ends::none();
        for x in self {
            ends.add(0, *x);
        }
        ends.are_ordinary()
    }
}

/// 2^-60 and 2^60.
const SMALLEST: f64 = f64::from_bits((1023 - 60) << 52);
const LARGEST: f64 = f64::from_bits((1023 + 60) << 52);

/// Numbers that are multiplied side by side.
const SIDE_BY_SIDE: usize = 16;

/// The ends of what numbers are there, side by side, by their bits: comparisons of integers, because vectors have a
/// smallest and a largest of those without a mask.
struct Ends<R: Real> {
    /// The smallest number but 0, less 1.
    least: [R::Bits; SIDE_BY_SIDE],
    /// The largest number.
    most: [R::Bits; SIDE_BY_SIDE],
}

impl<R: Real> Ends<R> {
    /// Those of no numbers.
    #[inline(always)]
    fn none() -> Self {
        Self { least: [R::ZERO.bits_below(); SIDE_BY_SIDE], most: [R::ZERO.bits(); SIDE_BY_SIDE] }
    }

    #[inline(always)]
    fn add(&mut self, place: usize, x: R) {
        self.least[place] = self.least[place].min(x.bits_below());
        self.most[place] = self.most[place].max(x.bits());
    }

    /// Whether all numbers were +0.0, or between 2^-60 and 2^60.
    #[inline(always)]
    fn are_ordinary(&self) -> bool {
        let (smallest, largest) = (R::from_f64(SMALLEST).bits_below(), R::from_f64(LARGEST).bits());
        self.least.iter().all(|least| *least >= smallest) && self.most.iter().all(|most| *most <= largest)
    }
}

/// The sample weights of elements, of a type that float64 has all numbers of.
#[derive(Clone, Copy)]
pub struct Samples<'a, S>(pub &'a [S]);

impl<S: Real> Samples<'_, S> {
    /// Writes sample weights times others, in float64 and rounded once, and says whether both are ordinary.
    ///
    /// # Safety
    /// `products` must be valid for writing as many elements as there are samples.
    #[inline]
    pub unsafe fn times<W: Numbers, R: Real>(self, isa: AnyIsa, weights: W, products: *mut R) -> bool {
        isa.vectorize(Products { samples: self, weights, products })
    }
}

/// Sample weights times other weights, and where that is written.
struct Products<'a, S, W, R> {
    samples: Samples<'a, S>,
    weights: W,
    products: *mut R,
}

impl<S: Real, W: Numbers, R: Real> Kernel for Products<'_, S, W, R> {
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> bool {
        let Samples(samples) = self.samples;
        let weights = self.weights.first(samples.len());
        // SAFETY: the caller of `Samples::times` vouches for as many products.
        unsafe {
            let ordinary =
                weights.are_ordinary() && write::<S, R, true>(samples, |i| weights.at(i), self.products);
            if !ordinary {
                write::<S, R, false>(samples, |i| weights.at(i), self.products);
            }
            ordinary
        }
    }
}

/// Whether kernels may multiply these numbers with others of which that is true: each is 0, NaN, or between 2^-60 and
/// 2^60, or of a type whose products are right whatever they are.
#[inline]
pub fn are_ordinary<R: Real>(isa: AnyIsa, numbers: &[R]) -> bool {
    !R::WEIGHTS_NEED_CARE || isa.vectorize(AreOrdinary(numbers))
}

struct AreOrdinary<'a, R>(&'a [R]);

impl<R: Real> Kernel for AreOrdinary<'_, R> {
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> bool {
        let (numbers, lanes) = (self.0, <R::Lanes<I>>::LANES);
        let mut ends = [<R::Lanes<I>>::splat(isa, R::ONE); 2];
        let mut at = 0;
        // SAFETY: there are `lanes` numbers from `at` on, then as many in a copy of the rest.
        unsafe {
            while at + lanes <= numbers.len() {
                ends = widened(ends, <R::Lanes<I>>::load(isa, numbers.as_ptr().add(at)));
                at += lanes;
            }
            let mut rest = [R::ONE; MAX_LANES];
            for (copy, number) in rest.iter_mut().zip(&numbers[at..]) {
                *copy = *number;
            }
            ends = widened(ends, <R::Lanes<I>>::load(isa, rest.as_ptr()));
            let mut found = [[R::ONE; MAX_LANES]; 2];
            for (end, found) in ends.iter().zip(&mut found) {
                end.store(found.as_mut_ptr());
            }
            let [smallest, largest] = [R::from_f64(SMALLEST), R::from_f64(LARGEST)];
            let [least, most] = found;
            least.iter().all(|least| *least >= smallest) & most.iter().all(|most| *most <= largest)
        }
    }
}

/// The smallest of numbers but 0, in steps of one to the next float, less one such step; and the largest. NaN is none.
#[inline(always)]
fn widened<V: Vector>([least, most]: [V; 2], numbers: V) -> [V; 2] {
    // One step below 0 is NaN.
    let below = numbers.add_bits(numbers.constant(V::Real::ALL_BITS));
    [below.min_or(least), numbers.max_or(most)]
}

/// Writes [`product`]s of sample weights and those of labels.
///
/// # Safety
/// `products` must be valid for writing as many elements as there are samples.
#[inline]
pub unsafe fn products<W: Numbers, R: Real>(isa: AnyIsa, samples: &[f64], weights: W, products: *mut R) {
    isa.vectorize(OfLabels { samples, weights, products });
}

struct OfLabels<'a, W, R> {
    samples: &'a [f64],
    weights: W,
    products: *mut R,
}

impl<W: Numbers, R: Real> Kernel for OfLabels<'_, W, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let weights = self.weights.first(self.samples.len());
        for (i, sample) in self.samples.iter().enumerate() {
            // SAFETY: the caller of `products` vouches for as many.
            unsafe { self.products.add(i).write(product(*sample, weights.at(i))) };
        }
    }
}

/// Writes sample weights times others, as the nearest numbers or as the right ones, and looks meanwhile whether all
/// samples are ordinary: if not, the nearest may not be right.
///
/// # Safety
/// The products must be valid for writing as many elements as there are samples.
#[inline(always)]
unsafe fn write<S: Real, R: Real, const NEAREST: bool>(
    samples: &[S],
    weight: impl Fn(usize) -> f64,
    products: *mut R,
) -> bool {
    let mut ends = Ends::none();
    let len = samples.len();
    let mut at = 0;
    while at < len {
        // The last numbers are multiplied with some before them, once more.
        let first = at.min(len.saturating_sub(SIDE_BY_SIDE));
        if let Some(samples) = samples[first..].first_chunk::<SIDE_BY_SIDE>() {
            let mut numbers = [R::ZERO; SIDE_BY_SIDE];
            for i in 0..SIDE_BY_SIDE {
                ends.add(i, samples[i]);
                numbers[i] = rounded::<R, NEAREST>(samples[i].to_f64() * weight(first + i));
            }
            // SAFETY: there are as many samples, and the caller vouches for as many products.
            unsafe { products.add(first).cast::<[R; SIDE_BY_SIDE]>().write_unaligned(numbers) };
        } else {
            for (i, sample) in samples.iter().enumerate() {
                ends.add(0, *sample);
                // SAFETY: as above.
                unsafe { products.add(i).write(rounded::<R, NEAREST>(sample.to_f64() * weight(i))) };
            }
        }
        at += SIDE_BY_SIDE;
    }
    ends.are_ordinary()
}

/// A sample weight times that of a label: as kernels multiply the two where both are ordinary, else in float64 and rounded
/// once.
#[inline(always)]
pub fn product<R: Real>(sample: f64, weight: f64) -> R {
    let rounded = |x: f64| R::from_f64(x).to_f64();
    let ordinary = |x: f64| (x == 0.0) | ((rounded(x).abs() >= SMALLEST) & (rounded(x).abs() <= LARGEST));
    let both = ordinary(sample) & ordinary(weight);
    right(if both { rounded(sample) * rounded(weight) } else { sample * weight })
}

/// The weight that a product is rounded to. The sum makes -0.0 a +0.0.
#[inline(always)]
fn right<R: Real>(product: f64) -> R {
    R::from_weight(product + 0.0)
}

/// As [`right`], or the nearest number, where that is known to be the right one.
#[inline(always)]
fn rounded<R: Real, const NEAREST: bool>(product: f64) -> R {
    if NEAREST { R::from_f64(product) } else { right(product) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than are multiplied side by side, twice.
    const LEN: usize = 2 * SIDE_BY_SIDE + 7;

    const ODD: [f64; 8] = [1.0, 0.0, 1e-200, f64::INFINITY, 3.0, 1e300, -0.0, 2.0];
    const EVEN: [f64; 8] = [1.0, 0.0, 0.3, 7e-17, 3.0, 1e17, 0.0, 2.0];

    fn check<S: Real>() {
        for isa in AnyIsa::available() {
            for (list, len) in
                [ODD, EVEN].into_iter().flat_map(|list| [5, 16, 17, LEN].map(|len| (list, len)))
            {
                let list: [S; LEN] = std::array::from_fn(|i| S::from_f64(list[i % 8]));
                let samples = Samples(&list[..len]);
                let mut found = [[9.0_f32; LEN]; 2];
                let [a, b] = found.each_mut().map(|row| row.as_mut_ptr());
                // SAFETY: there are `LEN` of everything.
                let ordinary =
                    unsafe { [samples.times(isa, 0.7, a), samples.times(isa, [0.7; LEN].as_slice(), b)] };
                let want = list[..len].iter().all(|x| x.to_f64() < 1e18 && x.to_f64().is_sign_positive());
                let tiny = list[..len].iter().any(|x| (0.0..1e-20).contains(&x.to_f64()) && x.to_f64() > 0.0);
                assert_eq!(ordinary, [want && !tiny; 2]);
                for (i, sample) in list.iter().enumerate() {
                    let product = f32::from_weight(sample.to_f64() * 0.7 + 0.0);
                    let want = if i < len { product } else { 9.0 };
                    assert!(found.iter().all(|row| row[i].to_bits() == want.to_bits()), "{i}");
                }
            }
        }
    }

    #[test]
    fn products_are_rounded_once_and_stay_what_they_are() {
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn kernels_products_are_those_of_two_numbers() {
        for isa in AnyIsa::available() {
            for list in [ODD, EVEN] {
                let samples: [f64; LEN] = std::array::from_fn(|i| list[i % 8]);
                let weights: [f64; LEN] = std::array::from_fn(|i| 0.1 + i as f64 * 1e-9);
                let mut found = [9.0_f32; LEN];
                // SAFETY: there are `LEN` of everything.
                unsafe { products(isa, &samples, weights.as_slice(), found.as_mut_ptr()) };
                let rounded = samples.map(|sample| sample as f32);
                for i in 0..LEN {
                    assert_eq!(found[i].to_bits(), product::<f32>(samples[i], weights[i]).to_bits());
                    if are_ordinary(isa, &rounded) {
                        assert_eq!(found[i].to_bits(), (rounded[i] * weights[i] as f32).to_bits());
                    }
                }
            }
        }
        assert_eq!(product::<f32>(1e-60, 1e60), (1e-60 * 1e60) as f32);
        assert_eq!(product::<f32>(1e-200, 1.0), f32::from_bits(1));
        assert_eq!(product::<f32>(1e200, -1.0), f32::MIN);
        assert_eq!(product::<f64>(1e-200, 1e200), 1e-200 * 1e200);
        assert!(product::<f32>(-0.0, 1.0).is_sign_positive() && product::<f32>(f64::NAN, 1.0).is_nan());
    }

    #[test]
    fn nearest_products_of_ordinary_numbers_are_right() {
        let ordinary = |x: f64| [x].as_slice().are_ordinary();
        let ends = [0.0, 2.0_f64.powi(-60), 1.0, 2.0_f64.powi(60)];
        for (a, b) in ends.into_iter().flat_map(|a| ends.map(|b| (a, b))) {
            assert!(ordinary(a) && ordinary(b) && [a, b].as_slice().are_ordinary());
            assert_eq!(((a * b) as f32).to_bits(), f32::from_weight(a * b + 0.0).to_bits(), "{a} {b}");
        }
        let others =
            [-0.0, -1.0, 2.0_f64.powi(60).next_up(), 2.0_f64.powi(-60).next_down(), f64::INFINITY, f64::NAN];
        for other in others {
            assert!(!ordinary(other) && ![0.0, other, 1.0].as_slice().are_ordinary(), "{other}");
        }
        for isa in AnyIsa::available() {
            for (other, ordinary) in [(0.0, true), (-0.0, true), (f32::NAN, true), (1e18, true)]
                .into_iter()
                .chain([-1.0, -1e-30, 1e19, 1e-19, 1e-45, f32::INFINITY].map(|other| (other, false)))
            {
                for (len, place) in
                    [0, 15, 16, 38, 63, 64, 149].into_iter().map(|place| (150, place)).chain([(1, 0)])
                {
                    let mut numbers = [1.0_f32; 150];
                    numbers[place] = other;
                    assert_eq!(are_ordinary(isa, &numbers[..len]), ordinary, "{other} {place}");
                }
            }
        }
    }
}
