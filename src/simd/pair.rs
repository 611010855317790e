//! Two vectors that go through every operation side by side.
//!
//! One vector at a time leaves the processor waiting for the last result. A pair, or a pair of pairs,
//! puts independent operations next to each other in the instruction stream without any kernel
//! having to know.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::Vector;

/// Two vectors, one after the other in memory, worked on in turns.
#[derive(Clone, Copy)]
pub struct Pair<V>(V, V);

macro_rules! operators {
    ($($trait:ident :: $method:ident),+) => {$(
        impl<V: Vector> $trait for Pair<V> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(self.0.$method(other.0), self.1.$method(other.1))
            }
        }
    )+};
}
operators!(Add::add, Sub::sub, Mul::mul, Div::div);

impl<V: Vector> Neg for Pair<V> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(-self.0, -self.1)
    }
}

impl<V: Vector> Vector for Pair<V> {
    type Isa = V::Isa;
    type Real = V::Real;
    type Mask = (V::Mask, V::Mask);

    const LANES: usize = 2 * V::LANES;

    #[inline(always)]
    fn isa(self) -> V::Isa {
        self.0.isa()
    }

    #[inline(always)]
    fn splat(isa: V::Isa, x: V::Real) -> Self {
        let lanes = V::splat(isa, x);
        Self(lanes, lanes)
    }

    #[inline(always)]
    unsafe fn load(isa: V::Isa, source: *const V::Real) -> Self {
        // SAFETY: the caller promises 2 * V::LANES elements.
        unsafe { Self(V::load(isa, source), V::load(isa, source.add(V::LANES))) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut V::Real) {
        // SAFETY: the caller promises 2 * V::LANES elements.
        unsafe {
            self.0.store(target);
            self.1.store(target.add(V::LANES));
        }
    }

    #[inline(always)]
    unsafe fn stream(self, target: *mut V::Real) {
        // SAFETY: the caller promises 2 * V::LANES elements, and that both parts are aligned.
        unsafe {
            self.0.stream(target);
            self.1.stream(target.add(V::LANES));
        }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self(self.0.mul_add(b.0, c.0), self.1.mul_add(b.1, c.1))
    }

    #[inline(always)]
    fn neg_mul_add(self, b: Self, c: Self) -> Self {
        Self(self.0.neg_mul_add(b.0, c.0), self.1.neg_mul_add(b.1, c.1))
    }

    #[inline(always)]
    fn product_error(self, b: Self, product: Self) -> Self {
        Self(self.0.product_error(b.0, product.0), self.1.product_error(b.1, product.1))
    }

    #[inline(always)]
    fn max_or(self, other: Self) -> Self {
        Self(self.0.max_or(other.0), self.1.max_or(other.1))
    }

    #[inline(always)]
    fn min_or(self, other: Self) -> Self {
        Self(self.0.min_or(other.0), self.1.min_or(other.1))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.abs(), self.1.abs())
    }

    #[inline(always)]
    fn add_exponent(self, shifted: Self) -> Self {
        Self(self.0.add_exponent(shifted.0), self.1.add_exponent(shifted.1))
    }

    #[inline(always)]
    fn biased_exponent(self) -> Self {
        Self(self.0.biased_exponent(), self.1.biased_exponent())
    }

    #[inline(always)]
    fn add_bits(self, other: Self) -> Self {
        Self(self.0.add_bits(other.0), self.1.add_bits(other.1))
    }

    #[inline(always)]
    fn lt(self, other: Self) -> Self::Mask {
        (self.0.lt(other.0), self.1.lt(other.1))
    }

    #[inline(always)]
    fn equals(self, other: Self) -> Self::Mask {
        (self.0.equals(other.0), self.1.equals(other.1))
    }

    #[inline(always)]
    fn is_negative(self) -> Self::Mask {
        (self.0.is_negative(), self.1.is_negative())
    }

    #[inline(always)]
    fn flip(self, sign: Self) -> Self {
        Self(self.0.flip(sign.0), self.1.flip(sign.1))
    }

    #[inline(always)]
    fn either(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        (V::either(a.0, b.0), V::either(a.1, b.1))
    }

    #[inline(always)]
    fn any(mask: Self::Mask) -> bool {
        // Not `||`: that would be a branch.
        V::any(mask.0) | V::any(mask.1)
    }

    #[inline(always)]
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self {
        Self(V::select(mask.0, yes.0, no.0), V::select(mask.1, yes.1, no.1))
    }
}
