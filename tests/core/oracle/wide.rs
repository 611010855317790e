//! Double-doubles with a binary exponent beside them, so that nothing underflows.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::dd::{Dd, LN2, power_of_two};

/// mantissa * 2^exponent, the mantissa's magnitude in [1, 2) or 0.
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    pub mantissa: Dd,
    pub exponent: i32,
}

impl Wide {
    /// exp(x), for magnitudes up to 1e6.
    pub fn exp(x: Dd) -> Self {
        let n = (x.hi / LN2.hi).round();
        let r = x - LN2 * n.into();
        Self::new(r.expm1() + 1.0.into(), n as i32)
    }

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
