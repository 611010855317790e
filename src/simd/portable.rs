//! Plain Rust, for every processor: four lanes of float32, two of float64.
//!
//! Without an instruction for it, a fused multiply-add is a slow library call. In float32 the
//! arithmetic of float64 stands in for it (the product is exact there). In float64 products are
//! rounded before they are added, and [`Vector::product_error`] finds the error by Dekker's
//! splitting, so the error bounds hold but the bits may differ from those of the other sets.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Isa, Kernel, Pick, Vector};

/// The instruction set that every processor has.
#[derive(Clone, Copy)]
pub struct Portable(());

impl Isa for Portable {
    type F32 = F32x4;
    type F64 = F64x2;
    type RowF32 = F32x4;
    type RowF64 = F64x2;
    type OneF32 = F32x4;
    type OneF64 = F64x2;

    const NAME: &'static str = "portable";

    fn detect() -> Option<Self> {
        Some(Self(()))
    }

    // A function of its own, as on the other sets: what is put together in pieces stays in pieces.
    #[inline(never)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

macro_rules! operators {
    ($name:ident x $lanes:tt: $($trait:ident :: $method:ident $op:tt),+) => {$(
        impl $trait for $name {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(each!($lanes: a = self.0, b = other.0 => a $op b))
            }
        }
    )+};
}

/// The array of an expression's values for the elements of other arrays. Written out: a kernel has thousands of
/// these, and to compile so many loops takes minutes.
macro_rules! each {
    (2: $($x:ident = $array:expr),+ => $body:expr) => {{
        $( let $x = $array; )+
        [{ $( let $x = $x[0]; )+ $body }, { $( let $x = $x[1]; )+ $body }]
    }};
    (4: $($x:ident = $array:expr),+ => $body:expr) => {{
        $( let $x = $array; )+
        [
            { $( let $x = $x[0]; )+ $body },
            { $( let $x = $x[1]; )+ $body },
            { $( let $x = $x[2]; )+ $body },
            { $( let $x = $x[3]; )+ $body },
        ]
    }};
}

macro_rules! vector {
    (
        $(#[$doc:meta])* $name:ident: $real:ident x $lanes:tt, mantissa $mantissa:literal,
        $mul_add:ident $product_error:ident
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name([$real; $lanes]);

        operators!($name x $lanes: Add::add +, Sub::sub -, Mul::mul *, Div::div /);

        impl Neg for $name {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                Self(each!($lanes: a = self.0 => -a))
            }
        }

        impl Vector for $name {
            type Isa = Portable;
            type Real = $real;
            type Mask = [bool; $lanes];

            const LANES: usize = $lanes;

            #[inline(always)]
            fn isa(self) -> Portable {
                Portable(())
            }
            #[inline(always)]
            fn splat(_: Portable, x: $real) -> Self {
                Self([x; $lanes])
            }
            #[inline(always)]
            unsafe fn load(_: Portable, source: *const $real) -> Self {
                // SAFETY: the caller promises $lanes elements.
                Self(unsafe { source.cast::<[$real; $lanes]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, target: *mut $real) {
                // SAFETY: the caller promises $lanes elements.
                unsafe { target.cast::<[$real; $lanes]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                Self(each!($lanes: a = self.0, b = b.0, c = c.0 => $mul_add(a, b, c)))
            }
            #[inline(always)]
            fn neg_mul_add(self, b: Self, c: Self) -> Self {
                Self(each!($lanes: a = self.0, b = b.0, c = c.0 => $mul_add(-a, b, c)))
            }
            #[inline(always)]
            fn product_error(self, b: Self, product: Self) -> Self {
                Self(each!($lanes: a = self.0, b = b.0, p = product.0 => $product_error(a, b, p)))
            }
            #[inline(always)]
            fn max_or(self, other: Self) -> Self {
                Self(each!($lanes: a = self.0, b = other.0 => if a > b { a } else { b }))
            }
            #[inline(always)]
            fn min_or(self, other: Self) -> Self {
                Self(each!($lanes: a = self.0, b = other.0 => if a < b { a } else { b }))
            }
            #[inline(always)]
            fn abs(self) -> Self {
                Self(each!($lanes: a = self.0 => a.abs()))
            }
            #[inline(always)]
            fn add_exponent(self, shifted: Self) -> Self {
                Self(each!($lanes: a = self.0, n = shifted.0 => {
                    $real::from_bits(a.to_bits().wrapping_add(n.to_bits() << $mantissa))
                }))
            }
            #[inline(always)]
            fn biased_exponent(self) -> Self {
                Self(each!($lanes: a = self.0 => (a.to_bits() >> $mantissa) as $real))
            }
            #[inline(always)]
            fn add_bits(self, other: Self) -> Self {
                Self(each!($lanes: a = self.0, b = other.0 => $real::from_bits(a.to_bits().wrapping_add(b.to_bits()))))
            }
            #[inline(always)]
            fn lt(self, other: Self) -> Self::Mask {
                each!($lanes: a = self.0, b = other.0 => a < b)
            }
            #[inline(always)]
            fn equals(self, other: Self) -> Self::Mask {
                each!($lanes: a = self.0, b = other.0 => a == b)
            }
            #[inline(always)]
            fn is_negative(self) -> Self::Mask {
                each!($lanes: a = self.0 => a.is_sign_negative())
            }
            #[inline(always)]
            fn either(first: Self::Mask, second: Self::Mask) -> Self::Mask {
                each!($lanes: a = first, b = second => a | b)
            }
            #[inline(always)]
            fn any(mask: Self::Mask) -> bool {
                mask.contains(&true)
            }
            #[inline(always)]
            fn select(mask: Self::Mask, yes: Self, no: Self) -> Self {
                Self(each!($lanes: m = mask, yes = yes.0, no = no.0 => if m { yes } else { no }))
            }
        }
    };
}

vector! {
    /// Four lanes of float32.
    F32x4: f32 x 4, mantissa 23, mul_add_f32 product_error_f32
}

vector! {
    /// Two lanes of float64.
    F64x2: f64 x 2, mantissa 52, mul_add_f64 product_error_f64
}

impl Pick for F32x4 {}

impl Pick for F64x2 {}

#[inline(always)]
fn mul_add_f32(a: f32, b: f32, c: f32) -> f32 {
    (f64::from(a) * f64::from(b) + f64::from(c)) as f32
}

#[inline(always)]
fn product_error_f32(a: f32, b: f32, product: f32) -> f32 {
    (f64::from(a) * f64::from(b) - f64::from(product)) as f32
}

#[inline(always)]
fn mul_add_f64(a: f64, b: f64, c: f64) -> f64 {
    a * b + c
}

/// Dekker's product: both factors are split into halves whose products are exact.
#[inline(always)]
fn product_error_f64(a: f64, b: f64, product: f64) -> f64 {
    let (a_high, a_low) = split(a);
    let (b_high, b_low) = split(b);
    ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
}

/// Veltkamp's splitting into 26 and 27 bits; by mask, so that nothing overflows.
#[inline(always)]
fn split(x: f64) -> (f64, f64) {
    let high = f64::from_bits(x.to_bits() & !0x7ff_ffff);
    (high, x - high)
}
