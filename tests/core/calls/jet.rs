//! Numbers that carry their first and second derivative with respect to one variable: whatever is computed with them
//! is differentiated exactly, without a formula for the derivative.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number and its derivatives.
#[derive(Clone, Copy, Debug)]
pub struct Jet {
    pub value: f64,
    pub first: f64,
    pub second: f64,
}

impl Jet {
    /// A constant.
    pub const fn of(value: f64) -> Self {
        Self { value, first: 0.0, second: 0.0 }
    }

    /// The variable itself.
    pub const fn variable(value: f64) -> Self {
        Self { value, first: 1.0, second: 0.0 }
    }

    /// f of the number, given f, f' and f'' there: the chain rule.
    fn chain(self, f: f64, df: f64, ddf: f64) -> Self {
        let Self { first, second, .. } = self;
        Self { value: f, first: df * first, second: ddf * first * first + df * second }
    }

    pub fn exp(self) -> Self {
        let e = self.value.exp();
        self.chain(e, e, e)
    }

    pub fn ln(self) -> Self {
        let x = self.value;
        self.chain(x.ln(), 1.0 / x, -1.0 / (x * x))
    }

    /// x^g, where x^0 is 1.
    pub fn power(self, g: f64) -> Self {
        if g == 0.0 {
            return Self::of(1.0);
        }
        let x = self.value;
        self.chain(x.powf(g), g * x.powf(g - 1.0), g * (g - 1.0) * x.powf(g - 2.0))
    }

    pub fn abs(self) -> Self {
        if self.value < 0.0 { -self } else { self }
    }
}

impl Add for Jet {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (first, second) = (self.first + other.first, self.second + other.second);
        Self { value: self.value + other.value, first, second }
    }
}

impl Neg for Jet {
    type Output = Self;

    fn neg(self) -> Self {
        Self { value: -self.value, first: -self.first, second: -self.second }
    }
}

impl Sub for Jet {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Jet {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self {
            value: self.value * other.value,
            first: self.first * other.value + self.value * other.first,
            second: self.second * other.value + 2.0 * self.first * other.first + self.value * other.second,
        }
    }
}

impl Div for Jet {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let x = other.value;
        self * other.chain(1.0 / x, -1.0 / (x * x), 2.0 / (x * x * x))
    }
}

impl std::iter::Sum for Jet {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::of(0.0), Add::add)
    }
}
