//! What multiplies each element of a tile: the weight of a label times that of its sample, in float64, rounded once.

use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel};

/// Numbers for the elements of a tile.
pub trait Numbers: Copy {
    /// Those of the first `len` elements.
    fn first(self, len: usize) -> Self;

    /// That of an element.
    fn at(self, i: usize) -> f64;

    /// Whether they are all ordinary: +0.0, or between 2^-60 and 2^60. The nearest number to a product of two such
    /// numbers is the right weight.
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
        const SMALLEST: f64 = f64::from_bits((1023 - 60) << 52);
        const LARGEST: f64 = f64::from_bits((1023 + 60) << 52);
        let (smallest, largest) = (R::from_f64(SMALLEST).bits_below(), R::from_f64(LARGEST).bits());
        self.least.iter().all(|least| *least >= smallest) && self.most.iter().all(|most| *most <= largest)
    }
}

/// The sample weights of elements, of a type that float64 has all numbers of.
#[derive(Clone, Copy)]
pub struct Samples<'a, S>(pub &'a [S]);

impl<S: Real> Samples<'_, S> {
    /// Writes what multiplies each element.
    ///
    /// # Safety
    /// `products` must be valid for writing as many elements as there are samples.
    #[inline]
    pub unsafe fn times<W: Numbers, R: Real>(self, isa: AnyIsa, weights: W, products: *mut R) {
        isa.vectorize(Products { samples: self, lists: &[(weights, products)] });
    }

    /// Writes several lists of what multiplies each element.
    ///
    /// # Safety
    /// As [`Self::times`], for each list.
    #[inline]
    pub unsafe fn times_each<W: Numbers, R: Real>(self, isa: AnyIsa, lists: &[(W, *mut R)]) {
        isa.vectorize(Products { samples: self, lists });
    }

    /// Writes what multiplies each element as what its label, 0 or 1, says: a negative or a positive.
    ///
    /// # Safety
    /// `products` must be valid for writing as many elements as there are samples.
    #[inline]
    pub unsafe fn times_of_labels<W: Numbers, R: Real>(
        self,
        isa: AnyIsa,
        weights: [W; 2],
        labels: &[R],
        products: *mut R,
    ) {
        isa.vectorize(Selected { samples: self, weights, labels, products });
    }
}

/// Sample weights times other weights, and where that is written.
struct Products<'a, S, W, R> {
    samples: Samples<'a, S>,
    lists: &'a [(W, *mut R)],
}

impl<S: Real, W: Numbers, R: Real> Kernel for Products<'_, S, W, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Samples(samples) = self.samples;
        // The samples are looked at once, while the first list is written.
        let mut samples_are_ordinary = None;
        for (weights, products) in self.lists {
            let weights = weights.first(samples.len());
            // SAFETY: the caller of `Samples::times` vouches for as many products.
            unsafe {
                let done = weights.are_ordinary()
                    && match samples_are_ordinary {
                        Some(false) => false,
                        Some(true) => write::<S, R, true, false>(samples, |i| weights.at(i), *products),
                        None => {
                            let ordinary = write::<S, R, true, true>(samples, |i| weights.at(i), *products);
                            *samples_are_ordinary.insert(ordinary)
                        }
                    };
                if !done {
                    write::<S, R, false, false>(samples, |i| weights.at(i), *products);
                }
            }
        }
    }
}

/// Sample weights times the weights of labels.
struct Selected<'a, S, W, R> {
    samples: Samples<'a, S>,
    weights: [W; 2],
    labels: &'a [R],
    products: *mut R,
}

impl<S: Real, W: Numbers, R: Real> Kernel for Selected<'_, S, W, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let (Samples(samples), [negatives, positives]) = (self.samples, self.weights);
        let len = samples.len();
        let (labels, negatives, positives) =
            (&self.labels[..len], negatives.first(len), positives.first(len));
        // Both are read, so that the compiler may lay out lanes.
        let weight = |i: usize| {
            let (of_negative, of_positive) = (negatives.at(i), positives.at(i));
            if labels[i] > R::ZERO { of_positive } else { of_negative }
        };
        let ordinary = negatives.are_ordinary() && positives.are_ordinary();
        // SAFETY: the caller of `Samples::times_of_labels` vouches for as many products.
        unsafe {
            if !ordinary || !write::<S, R, true, true>(samples, weight, self.products) {
                write::<S, R, false, false>(samples, weight, self.products);
            }
        }
    }
}

/// Writes sample weights times others, as the nearest numbers or as the right ones, and looks meanwhile if `LOOKS` whether
/// all samples are ordinary (true if it does not look): if not, the nearest may not be right.
///
/// # Safety
/// The products must be valid for writing as many elements as there are samples.
#[inline(always)]
unsafe fn write<S: Real, R: Real, const NEAREST: bool, const LOOKS: bool>(
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
                if LOOKS {
                    ends.add(i, samples[i]);
                }
                numbers[i] = rounded::<R, NEAREST>(samples[i].to_f64() * weight(first + i));
            }
            // SAFETY: there are as many samples, and the caller vouches for as many products.
            unsafe { products.add(first).cast::<[R; SIDE_BY_SIDE]>().write_unaligned(numbers) };
        } else {
            for (i, sample) in samples.iter().enumerate() {
                if LOOKS {
                    ends.add(0, *sample);
                }
                // SAFETY: as above.
                unsafe { products.add(i).write(rounded::<R, NEAREST>(sample.to_f64() * weight(i))) };
            }
        }
        at += SIDE_BY_SIDE;
    }
    ends.are_ordinary()
}

/// A sample weight times another, rounded once.
#[inline(always)]
pub fn product<R: Real>(sample: f64, weight: f64) -> R {
    right(sample * weight)
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

    fn check<S: Real>() {
        let odd = [1.0, 0.0, 1e-200, f64::INFINITY, 3.0, 1e300, -0.0, 2.0];
        let even = [1.0, 0.0, 0.3, 7e-17, 3.0, 1e17, 0.0, 2.0];
        let labels: [f32; LEN] = std::array::from_fn(|i| f32::from(u8::from(i % 3 < 2)));
        let lists = [[0.1; LEN], [0.7; LEN]];
        for isa in AnyIsa::available() {
            for (list, len) in
                [odd, even].into_iter().flat_map(|list| [5, 16, 17, LEN].map(|len| (list, len)))
            {
                let list: [S; LEN] = std::array::from_fn(|i| S::from_f64(list[i % 8]));
                let samples = Samples(&list[..len]);
                let lists = lists.each_ref().map(|list| &list[..]);
                let mut found = [[9.0_f32; LEN]; 5];
                let [a, b, c, d, e] = found.each_mut().map(|row| row.as_mut_ptr());
                // SAFETY: there are `LEN` of everything.
                unsafe {
                    samples.times_each(isa, &[(0.7, a), (0.7, e)]);
                    samples.times(isa, lists[1], b);
                    samples.times_of_labels(isa, lists, &labels, c);
                    samples.times_of_labels(isa, [0.1, 0.7], &labels, d);
                }
                for (i, &label) in labels.iter().enumerate() {
                    let product = |weight: f64| f32::from_weight(list[i].to_f64() * weight + 0.0);
                    let want = |weight| if i < len { product(weight) } else { 9.0 };
                    for (row, found) in found.iter().enumerate() {
                        let by_label = row == 2 || row == 3;
                        let weight = if by_label && label == 0.0 { 0.1 } else { 0.7 };
                        assert_eq!(found[i].to_bits(), want(weight).to_bits(), "{row} {i}");
                    }
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
    }
}
