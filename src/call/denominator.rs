//! What results are divided by: decided here, and nowhere else.

use crate::exec::measure::Measure;
use crate::params::{Common, Normalizer, Reduction};

/// What results are divided by.
#[derive(Clone, Copy, Debug)]
pub enum Denominator {
    /// 1: they are no mean.
    One,
    /// A number that the user gave.
    Number(f64),
    /// The number of all elements, or rows.
    All,
    /// A sum that does not depend on the logits, over the elements, or rows, that are not ignored.
    Sum(Measure<'static>),
    /// The sum of the modulating factors, which depends on the logits: losses and factors are added up in a walk of
    /// their own, and the derivatives are those of the quotient.
    FocalWeights,
}

impl Denominator {
    /// That of a loss.
    pub fn of(common: &Common) -> Self {
        match (common.reduction, common.normalizer) {
            (Reduction::None | Reduction::Sum | Reduction::SumClasses, _) => Self::One,
            (Reduction::Mean, Normalizer::Constant(number)) => Self::Number(number),
            (Reduction::Mean, Normalizer::Count) if common.ignore_index.is_none() => Self::All,
            (Reduction::Mean, Normalizer::Count) => Self::Sum(Measure::Count),
            (Reduction::Mean, Normalizer::Positives) => Self::Sum(Measure::Positives),
            (Reduction::Mean, Normalizer::Weights) => Self::Sum(Measure::Weights),
            (Reduction::Mean, Normalizer::FocalWeights) => Self::FocalWeights,
        }
    }

    /// The number, of so many elements or rows, if it can be told without looking at them.
    pub fn known(self, len: usize) -> Option<f64> {
        match self {
            Self::One => Some(1.0),
            Self::Number(number) => Some(number),
            Self::All => Some(len as f64),
            Self::Sum(_) | Self::FocalWeights => None,
        }
    }

    /// Whether the modulating factors are added up.
    pub fn adds_factors(self) -> bool {
        matches!(self, Self::FocalWeights)
    }
}

/// What results are divided by: derivatives at once, losses after they are added up.
#[derive(Clone, Copy, Debug)]
pub struct Scaling {
    /// What the derivatives are divided by.
    pub denominator: f64,
    /// What the losses are divided by before they are added up: a power of two that keeps them in range.
    pub scale: f64,
}

impl Scaling {
    /// Nothing is divided.
    pub const NONE: Self = Self { denominator: 1.0, scale: 1.0 };

    /// For a denominator that is the sum of numbers of so many elements.
    pub fn new(denominator: f64, len: usize) -> Self {
        Self { denominator, scale: scale_of(denominator / len as f64) }
    }

    /// What a weight becomes in derivatives.
    pub fn of_derivatives(self, weight: f64) -> f64 {
        over(weight, self.denominator)
    }

    /// The same times a bound of at least 1.
    pub fn bounded(self, weight: f64, bound: f64) -> f64 {
        let product = self.of_derivatives(weight) * bound;
        if weight.is_finite() { finite(product) } else { product }
    }

    /// The mean, from the sum of the scaled losses.
    pub fn mean(self, sum: f64) -> f64 {
        sum / (self.denominator / self.scale)
    }
}

/// A quotient that is finite if both numbers are: a derivative of 0 has the product 0 with it.
pub fn over(number: f64, denominator: f64) -> f64 {
    let quotient = number / denominator;
    if number.is_finite() && denominator != 0.0 { finite(quotient) } else { quotient }
}

/// The number, or the largest instead of an infinite one.
fn finite(number: f64) -> f64 {
    if number.is_infinite() { f64::MAX.copysign(number) } else { number }
}

/// A power of two near the size of typical weights, if that is far from 1; else 1.
fn scale_of(weight: f64) -> f64 {
    // 2^-40 to 2^40
    const ORDINARY: std::ops::Range<f64> = 1.0 / (1_u64 << 40) as f64..(1_u64 << 40) as f64;
    let power = f64::from_bits(weight.to_bits() & f64::INFINITY.to_bits());
    if power.is_normal() && !ORDINARY.contains(&power) { power } else { 1.0 }
}
