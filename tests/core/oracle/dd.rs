//! Double-double arithmetic: a number as the unevaluated sum of two float64, good to about 2^-100.
//!
//! Sources: Dekker, "A floating-point technique for extending the available precision" (1971); Hida, Li
//! and Bailey, "Library for double-double and quad-double arithmetic" (2007).

use std::ops::{Add, Div, Mul, Neg, Sub};
use std::sync::LazyLock;

/// The sum of two float64, the second below the rounding error of the first.
#[derive(Clone, Copy, Debug)]
pub struct Dd {
    pub hi: f64,
    pub lo: f64,
}

/// ln(2) to 107 bits.
pub const LN2: Dd = Dd { hi: std::f64::consts::LN_2, lo: 2.319_046_813_846_299_6e-17 };

/// a + b exactly (Knuth).
fn two_sum(a: f64, b: f64) -> Dd {
    let hi = a + b;
    let b_part = hi - a;
    Dd { hi, lo: if hi.is_finite() { (a - (hi - b_part)) + (b - b_part) } else { 0.0 } }
}

/// a + b exactly for |a| >= |b| (Dekker).
fn quick_two_sum(a: f64, b: f64) -> Dd {
    let hi = a + b;
    Dd { hi, lo: if hi.is_finite() { b - (hi - a) } else { 0.0 } }
}

/// a * b exactly.
fn two_product(a: f64, b: f64) -> Dd {
    let hi = a * b;
    Dd { hi, lo: if hi.is_finite() { a.mul_add(b, -hi) } else { 0.0 } }
}

impl From<f64> for Dd {
    fn from(x: f64) -> Self {
        Self { hi: x, lo: 0.0 }
    }
}

impl Neg for Dd {
    type Output = Self;
    fn neg(self) -> Self {
        Self { hi: -self.hi, lo: -self.lo }
    }
}

impl Add for Dd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let head = two_sum(self.hi, other.hi);
        let tail = two_sum(self.lo, other.lo);
        let sum = quick_two_sum(head.hi, head.lo + tail.hi);
        quick_two_sum(sum.hi, sum.lo + tail.lo)
    }
}

impl Sub for Dd {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Dd {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let product = two_product(self.hi, other.hi);
        quick_two_sum(product.hi, product.lo + (self.hi * other.lo + self.lo * other.hi))
    }
}

impl Div for Dd {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let first = self.hi / other.hi;
        let rest = self - other * first.into();
        let second = rest.hi / other.hi;
        let rest = rest - other * second.into();
        quick_two_sum(first, second) + (rest.hi / other.hi).into()
    }
}

/// 2^n as a float64, 0 or infinity beyond its range.
pub fn power_of_two(n: i32) -> f64 {
    match n {
        ..=-1023 => 0.0,
        -1022..=1023 => f64::from_bits(((n + 1023) as u64) << 52),
        1024.. => f64::INFINITY,
    }
}

impl Dd {
    /// self * 2^n.
    pub fn scaled(self, n: i32) -> Self {
        if let -1022..=1023 = n {
            return Self { hi: self.hi * power_of_two(n), lo: self.lo * power_of_two(n) };
        }
        // In two steps: 2^n is no normal number.
        let (half, rest) = (power_of_two(n / 2), power_of_two(n - n / 2));
        Self { hi: self.hi * half * rest, lo: self.lo * half * rest }
    }

    /// exp(self) - 1 for |self| <= 0.7, without cancellation: Taylor's series at self / 256, then
    /// doubling the argument eight times by expm1(2x) = 2 expm1(x) + expm1(x)^2.
    pub fn expm1(self) -> Self {
        static INVERSE_FACTORIALS: LazyLock<[Dd; 13]> = LazyLock::new(|| {
            let mut factorial = Dd::from(1.0);
            std::array::from_fn(|n| {
                factorial = factorial * Dd::from((n.max(1)) as f64);
                Dd::from(1.0) / factorial
            })
        });
        let x = self.scaled(-8);
        let mut sum = INVERSE_FACTORIALS[12];
        for &coefficient in INVERSE_FACTORIALS[1..12].iter().rev() {
            sum = sum * x + coefficient;
        }
        let mut result = sum * x;
        for _ in 0..8 {
            result = result.scaled(1) + result * result;
        }
        result
    }

    /// e^self; 0 far below 0.
    pub fn exp(self) -> Self {
        self.scaled_exp(0)
    }

    /// e^self * 2^power, which may be a normal number where e^self is none.
    pub fn scaled_exp(self, power: i32) -> Self {
        if self.hi < -1200.0 {
            return Self::from(0.0);
        }
        let n = (self.hi / LN2.hi).round();
        let r = (self - LN2 * Self::from(n)) * Self::from(1.0 / 64.0);
        let mut term = Self::from(1.0);
        let mut sum = term;
        for k in 1..16 {
            term = term * r / Self::from(f64::from(k));
            sum = sum + term;
        }
        for _ in 0..6 {
            sum = sum * sum;
        }
        sum.scaled(n as i32 + power)
    }

    /// log(self) for self > 0, -inf for 0.
    pub fn ln(self) -> Self {
        if self.hi == 0.0 {
            return Self::from(f64::NEG_INFINITY);
        }
        let y = Self::from(self.hi.ln());
        // Two Newton steps for e^y = self.
        let y = y + (self * (-y).exp() - Self::from(1.0));
        y + (self * (-y).exp() - Self::from(1.0))
    }

    /// log(1 + self) for self >= 0.
    pub fn ln_1p(self) -> Self {
        if self.hi < 1e-9 {
            // The next term is 1e-45 of the sum.
            let third = self * self * self / Self::from(3.0);
            return self - self * self / Self::from(2.0) + third - third * self * Self::from(0.75);
        }
        let y = Self::from(self.hi.ln_1p());
        // Two Newton steps for e^y = 1 + self.
        let x = self + Self::from(1.0);
        let y = y + (x * (-y).exp() - Self::from(1.0));
        y + (x * (-y).exp() - Self::from(1.0))
    }
}
