//! Numbers as a sum of two float64 (Dekker 1971; Hida, Li and Bailey 2001) with a binary exponent
//! beside them, so that nothing underflows: about 100 significant bits.

use std::ops::{Add, Div, Mul, Neg, Sub};
use std::sync::LazyLock;

/// The sum of two float64, the second below the rounding error of the first.
#[derive(Clone, Copy, Debug)]
pub struct Dd {
    pub hi: f64,
    pub lo: f64,
}

/// ln(2) to 107 bits.
const LN2: Dd = Dd { hi: std::f64::consts::LN_2, lo: 2.319_046_813_846_299_6e-17 };

/// a + b exactly (Knuth).
fn two_sum(a: f64, b: f64) -> Dd {
    let hi = a + b;
    let b_part = hi - a;
    Dd { hi, lo: (a - (hi - b_part)) + (b - b_part) }
}

/// a + b exactly for |a| >= |b| (Dekker).
fn quick_two_sum(a: f64, b: f64) -> Dd {
    let hi = a + b;
    Dd { hi, lo: b - (hi - a) }
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
        let product = self.hi * other.hi;
        let error = self.hi.mul_add(other.hi, -product);
        quick_two_sum(product, error + (self.hi * other.lo + self.lo * other.hi))
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
fn power_of_two(n: i32) -> f64 {
    match n {
        ..=-1023 => 0.0,
        -1022..=1023 => f64::from_bits(((n + 1023) as u64) << 52),
        1024.. => f64::INFINITY,
    }
}

impl Dd {
    /// self * 2^n, where nothing under- or overflows.
    fn scaled(self, n: i32) -> Self {
        Self { hi: self.hi * power_of_two(n), lo: self.lo * power_of_two(n) }
    }

    /// exp(self) - 1 for |self| <= 0.7, without cancellation: Taylor's series at self / 256, then
    /// doubling the argument eight times by expm1(2x) = 2 expm1(x) + expm1(x)^2.
    fn expm1(self) -> Self {
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

    /// exp(self), for magnitudes up to 1e6.
    pub fn exp(self) -> Wide {
        let n = (self.hi / LN2.hi).round();
        let r = self - LN2 * n.into();
        Wide::new(r.expm1() + 1.0.into(), n as i32)
    }
}

/// mantissa * 2^exponent, the mantissa's magnitude in [1, 2) or 0.
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    pub mantissa: Dd,
    pub exponent: i32,
}

impl Wide {
    /// mantissa * 2^exponent, normalised.
    pub fn new(mantissa: Dd, exponent: i32) -> Self {
        if mantissa.hi == 0.0 || mantissa.hi.abs() < f64::MIN_POSITIVE {
            // A subnormal first part has no second one.
            let scaled = mantissa.hi * power_of_two(64);
            if scaled == 0.0 {
                return Self { mantissa: 0.0.into(), exponent: 0 };
            }
            return Self::new(scaled.into(), exponent - 64);
        }
        let shift = ((mantissa.hi.to_bits() >> 52) & 0x7ff) as i32 - 1023;
        // In two steps: 2^-1023 is no normal number.
        let mantissa = mantissa.scaled(-(shift / 2)).scaled(shift / 2 - shift);
        Self { mantissa, exponent: exponent + shift }
    }

    /// The number if it is between 2^-900 and 2^900, 0 below.
    pub fn to_dd(self) -> Dd {
        if self.exponent < -900 { 0.0.into() } else { self.mantissa.scaled(self.exponent) }
    }

    pub fn is_zero(self) -> bool {
        self.mantissa.hi == 0.0
    }

    pub fn abs(self) -> Self {
        if self.mantissa.hi < 0.0 { -self } else { self }
    }

    pub fn max(self, other: Self) -> Self {
        if (self - other).mantissa.hi > 0.0 { self } else { other }
    }

    /// log(self) for positive numbers.
    pub fn log(self) -> Self {
        // The mantissa around 1, so that nothing cancels where the logarithm is small.
        let upper = self.mantissa.hi > std::f64::consts::SQRT_2;
        let mantissa = if upper { self.mantissa.scaled(-1) } else { self.mantissa };
        let whole = Dd::from(f64::from(self.exponent + i32::from(upper)));
        Self::new(whole * LN2, 0) + Self::new(mantissa - 1.0.into(), 0).log1p()
    }

    /// log(1 + self) for -0.4 <= self <= 1, by a Newton step from the platform's.
    pub fn log1p(self) -> Self {
        if self.exponent < -110 {
            return self;
        }
        let e = self.to_dd();
        let guess = Dd::from(e.hi.ln_1p());
        let reached = guess.expm1();
        Self::new(guess + (e - reached) / (reached + 1.0.into()), 0)
    }

    /// How far `got` is from this number, in ulp of a type of that many significant bits whose
    /// smallest normal exponent is `lowest`, at the size of `at`.
    pub fn error_of(self, got: f64, at: Self, bits: i32, lowest: i32) -> f64 {
        let exponent = if at.is_zero() { lowest } else { at.exponent.max(lowest) };
        let unit = exponent - (bits - 1);
        let difference = Self::new(got.into(), 0) - self;
        (difference.mantissa.hi * 2.0_f64.powi((difference.exponent - unit).clamp(-1000, 1000))).abs()
    }
}

impl From<f64> for Wide {
    fn from(x: f64) -> Self {
        Self::new(x.into(), 0)
    }
}

impl Neg for Wide {
    type Output = Self;
    fn neg(self) -> Self {
        Self { mantissa: -self.mantissa, ..self }
    }
}

impl Add for Wide {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        if self.is_zero() || other.is_zero() {
            return if self.is_zero() { other } else { self };
        }
        let (large, small) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let shift = small.exponent - large.exponent;
        if shift < -200 {
            large
        } else {
            Self::new(large.mantissa + small.mantissa.scaled(shift), large.exponent)
        }
    }
}

impl Sub for Wide {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Wide {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self::new(self.mantissa * other.mantissa, self.exponent + other.exponent)
    }
}

impl Div for Wide {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        Self::new(self.mantissa / other.mantissa, self.exponent - other.exponent)
    }
}
