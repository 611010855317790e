//! What multiplies the results of rows: sample weights times the weights of their targets' classes, in float64 and rounded
//! once. What is finite stays finite, and what is not 0 stays so ([`Real::from_weight`]).

use crate::simd::{AnyIsa, Isa, Kernel, Real};

/// What sample weights are multiplied with.
#[derive(Clone, Copy)]
pub enum Others<'a> {
    /// The same number for all.
    One(f64),
    /// A number for each.
    Each(&'a [f64]),
}

/// Writes products of weights.
///
/// # Safety
/// `products` must be valid for writing as many elements as there are `weights`, of which there are no more than others.
#[inline]
pub unsafe fn products<R: Real>(isa: AnyIsa, weights: &[f64], others: Others<'_>, products: *mut R) {
    isa.vectorize(Products { weights, others, products });
}

struct Products<'a, R> {
    weights: &'a [f64],
    others: Others<'a>,
    products: *mut R,
}

impl<R: Real> Products<'_, R> {
    #[inline(always)]
    fn write(&self, other: impl Fn(usize) -> f64) {
        for (i, weight) in self.weights.iter().enumerate() {
            // The sum makes -0.0 a +0.0.
            let product = R::from_weight(weight * other(i) + 0.0);
            // SAFETY: the caller of `products` vouches for as many.
            unsafe { self.products.add(i).write(product) };
        }
    }
}

impl<R: Real> Kernel for Products<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        match self.others {
            Others::One(other) => self.write(|_| other),
            Others::Each(others) => {
                let others = &others[..self.weights.len()];
                self.write(|i| others[i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_rounded_once_and_stay_what_they_are() {
        let weights = [1.0, 0.0, 1e-200, f64::INFINITY, 3.0, 1e300, -0.0, 2.0, 0.1];
        let others: [f64; 9] = std::array::from_fn(|i| 0.7 + i as f64 / 3.0);
        for isa in AnyIsa::available() {
            let mut found = [[9.0_f32; 10]; 2];
            let [one, each] = found.each_mut().map(|row| row.as_mut_ptr());
            // SAFETY: there is room for nine and more.
            unsafe {
                products(isa, &weights, Others::One(0.7), one);
                products(isa, &weights, Others::Each(&others), each);
            }
            for i in 0..9 {
                for (row, other) in found.iter().zip([0.7, others[i]]) {
                    let want = f32::from_weight(weights[i] * other + 0.0);
                    assert_eq!(row[i].to_bits(), want.to_bits(), "{} {i}", isa.name());
                }
            }
            assert_eq!(found.map(|row| row[9]), [9.0; 2]);
            assert_eq!(found[0][2], f32::from_bits(1));
            assert_eq!(found[0][5], f32::MAX);
            assert!(found[0][6].is_sign_positive());
        }
    }
}
