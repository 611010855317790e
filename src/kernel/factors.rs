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
        const SMALLEST: f64 = f64::from_bits((1023 - 60) << 52);
        const LARGEST: f64 = f64::from_bits((1023 + 60) << 52);
        let mut all = true;
        for x in self {
            all &= (x.to_bits() == 0) | (*x >= SMALLEST) & (*x <= LARGEST);
        }
        all
    }
}

/// The sample weights of a tile's elements.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    each: &'a [f64],
    ordinary: bool,
}

impl<'a> Samples<'a> {
    /// One for each element.
    pub fn new(isa: AnyIsa, each: &'a [f64]) -> Self {
        struct AreOrdinary<'a>(&'a [f64]);
        impl Kernel for AreOrdinary<'_> {
            type Output = bool;
            #[inline(always)]
            fn run<I: Isa>(self, _: I) -> bool {
                self.0.are_ordinary()
            }
        }
        Self { each, ordinary: isa.vectorize(AreOrdinary(each)) }
    }

    /// Writes what multiplies each element.
    ///
    /// # Safety
    /// `products` must be valid for writing as many elements as there are samples.
    #[inline]
    pub unsafe fn times<W: Numbers, R: Real>(self, isa: AnyIsa, weights: W, products: *mut R) {
        isa.vectorize(Products { samples: self, weights, products });
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

/// Sample weights times other weights.
struct Products<'a, W, R> {
    samples: Samples<'a>,
    weights: W,
    products: *mut R,
}

impl<W: Numbers, R: Real> Kernel for Products<'_, W, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, _: I) {
        self.weights = self.weights.first(self.samples.each.len());
        // SAFETY: the caller of `Samples::times` vouches for as many products.
        unsafe {
            if self.samples.ordinary && self.weights.are_ordinary() {
                self.write::<true>();
            } else {
                self.write::<false>();
            }
        }
    }
}

impl<W: Numbers, R: Real> Products<'_, W, R> {
    /// # Safety
    /// The products must be valid for writing as many elements as there are samples.
    #[inline(always)]
    unsafe fn write<const NEAREST: bool>(&self) {
        for (i, sample) in self.samples.each.iter().enumerate() {
            let number = sample * self.weights.at(i);
            // SAFETY: handed through from the caller.
            unsafe { self.products.add(i).write(rounded::<R, NEAREST>(number)) };
        }
    }
}

/// Sample weights times the weights of labels.
struct Selected<'a, W, R> {
    samples: Samples<'a>,
    weights: [W; 2],
    labels: &'a [R],
    products: *mut R,
}

impl<W: Numbers, R: Real> Kernel for Selected<'_, W, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, _: I) {
        let len = self.samples.each.len();
        self.labels = &self.labels[..len];
        let mut nearest = self.samples.ordinary;
        for weights in &mut self.weights {
            *weights = weights.first(len);
            nearest &= weights.are_ordinary();
        }
        // SAFETY: the caller of `Samples::times_of_labels` vouches for as many products.
        unsafe {
            if nearest {
                self.write::<true>();
            } else {
                self.write::<false>();
            }
        }
    }
}

impl<W: Numbers, R: Real> Selected<'_, W, R> {
    /// # Safety
    /// The products must be valid for writing as many elements as there are samples.
    #[inline(always)]
    unsafe fn write<const NEAREST: bool>(&self) {
        let [negatives, positives] = self.weights;
        for (i, (sample, label)) in self.samples.each.iter().zip(self.labels).enumerate() {
            // Both are read, so that the compiler may lay out lanes.
            let (of_negative, of_positive) = (negatives.at(i), positives.at(i));
            let number = sample * if *label > R::ZERO { of_positive } else { of_negative };
            // SAFETY: handed through from the caller.
            unsafe { self.products.add(i).write(rounded::<R, NEAREST>(number)) };
        }
    }
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

    #[test]
    fn products_are_rounded_once_and_stay_what_they_are() {
        let odd = [1.0, 0.0, 1e-200, f64::INFINITY, 3.0, 1e300, -0.0, 2.0];
        let even = [1.0, 0.0, 0.3, 7e-17, 3.0, 1e17, 0.0, 2.0];
        let labels = [1.0_f32, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0];
        let lists = [[0.1; 8], [0.7; 8]];
        for isa in AnyIsa::available() {
            for (list, len) in [(odd, 5), (odd, 8), (even, 5), (even, 8)] {
                let samples = Samples::new(isa, &list[..len]);
                let lists = lists.each_ref().map(|list| &list[..]);
                let mut found = [[9.0_f32; 8]; 4];
                let [a, b, c, d] = found.each_mut().map(|row| row.as_mut_ptr());
                // SAFETY: there are eight of everything.
                unsafe {
                    samples.times(isa, 0.7, a);
                    samples.times(isa, lists[1], b);
                    samples.times_of_labels(isa, lists, &labels, c);
                    samples.times_of_labels(isa, [0.1, 0.7], &labels, d);
                }
                for (i, &label) in labels.iter().enumerate() {
                    let want =
                        |weight: f64| if i < len { f32::from_weight(list[i] * weight + 0.0) } else { 9.0 };
                    for (row, found) in found.iter().enumerate() {
                        let weight = if row < 2 || label == 1.0 { 0.7 } else { 0.1 };
                        assert_eq!(found[i].to_bits(), want(weight).to_bits(), "{row} {i}");
                    }
                }
            }
        }
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
