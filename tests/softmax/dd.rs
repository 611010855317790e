//! Double-double arithmetic: a number as the unevaluated sum of two float64, good to about 2^-100.
//!
//! Sources: Dekker, "A floating-point technique for extending the available precision" (1971); Hida, Li
//! and Bailey, "Library for double-double and quad-double arithmetic" (2007).

use std::ops::{Add, Div, Mul, Neg, Sub};

/// hi + lo.
#[derive(Clone, Copy, Debug)]
pub struct Dd {
    pub hi: f64,
    pub lo: f64,
}

/// ln(2).
const LN2: Dd = Dd { hi: core::f64::consts::LN_2, lo: 2.319_046_813_846_299_6e-17 };

fn fast_two_sum(a: f64, b: f64) -> Dd {
    let hi = a + b;
    Dd { hi, lo: if hi.is_finite() { b - (hi - a) } else { 0.0 } }
}

fn two_sum(a: f64, b: f64) -> Dd {
    if a.abs() >= b.abs() { fast_two_sum(a, b) } else { fast_two_sum(b, a) }
}

fn two_product(a: f64, b: f64) -> Dd {
    let hi = a * b;
    Dd { hi, lo: if hi.is_finite() { a.mul_add(b, -hi) } else { 0.0 } }
}

impl From<f64> for Dd {
    fn from(hi: f64) -> Self {
        Self { hi, lo: 0.0 }
    }
}

impl Add for Dd {
    type Output = Self;
    fn add(self, b: Self) -> Self {
        let (s, t) = (two_sum(self.hi, b.hi), two_sum(self.lo, b.lo));
        let u = fast_two_sum(s.hi, s.lo + t.hi);
        fast_two_sum(u.hi, u.lo + t.lo)
    }
}

impl Neg for Dd {
    type Output = Self;
    fn neg(self) -> Self {
        Self { hi: -self.hi, lo: -self.lo }
    }
}

impl Sub for Dd {
    type Output = Self;
    fn sub(self, b: Self) -> Self {
        self + -b
    }
}

impl Mul for Dd {
    type Output = Self;
    fn mul(self, b: Self) -> Self {
        let p = two_product(self.hi, b.hi);
        fast_two_sum(p.hi, p.lo + (self.hi * b.lo + self.lo * b.hi))
    }
}

impl Div for Dd {
    type Output = Self;
    fn div(self, b: Self) -> Self {
        let q = Self::from(self.hi / b.hi);
        let r = self - q * b;
        let q = q + Self::from(r.hi / b.hi);
        let r = self - q * b;
        q + Self::from(r.hi / b.hi)
    }
}

impl Dd {
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

    /// self * 2^power.
    pub fn scaled(self, power: i32) -> Self {
        let half = 2.0_f64.powi(power / 2);
        let rest = 2.0_f64.powi(power - power / 2);
        Self { hi: self.hi * half * rest, lo: self.lo * half * rest }
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

#[test]
fn exp_and_log_undo_each_other() {
    for x in [1e-12, 1e-8, 0.3, 1.0, 7.0, 1e3, 1e5] {
        let x = Dd::from(x);
        let back = Dd::from(1.0) / (-x.ln_1p()).exp() - Dd::from(1.0);
        let error = ((back - x) / (x + Dd::from(1.0))).hi.abs();
        assert!(error < 1e-29, "{x:?}: {error:e}");
    }
}
