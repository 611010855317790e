//! The parameters that are one of a few names.

use crate::error::Error;

/// An option that users choose by its name.
pub trait Named: Copy + PartialEq + 'static {
    /// The argument.
    const ARGUMENT: &'static str;
    /// What it may be called, and what that means.
    const NAMES: &'static [(&'static str, Self)];

    /// The names of the options that are offered, quoted.
    fn names(offered: fn(Self) -> bool) -> String {
        let known = Self::NAMES.iter().filter(|(_, option)| offered(*option));
        known.map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(", ")
    }

    /// The option of that name; a refusal lists those that are offered.
    ///
    /// # Errors
    /// If there is none.
    fn parse(name: &str, takes: impl FnOnce() -> String) -> Result<Self, Error> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        let refuse = || Error::value(Self::ARGUMENT, format!("{name:?}"), takes());
        found.map(|&(_, option)| option).ok_or_else(refuse)
    }

    /// The name that users give.
    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("", |&(name, _)| name)
    }
}

/// How per-element losses become the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// They are the result.
    None,
    /// Their sum.
    Sum,
    /// Their sum divided by the normaliser.
    Mean,
    /// Their sums over the class axis.
    SumClasses,
}

impl Named for Reduction {
    const ARGUMENT: &'static str = "reduction";
    const NAMES: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("sum", Self::Sum), ("mean", Self::Mean), ("sum_classes", Self::SumClasses)];
}

impl Reduction {
    /// Whether the result is a number.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Sum | Self::Mean)
    }
}

/// What the mean divides by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalizer {
    /// The number of elements (sigmoid) or targets (softmax) that are not ignored.
    Count,
    /// The sum of the weights that multiply the loss.
    Weights,
    /// The sum of the targets.
    Positives,
    /// The sum of the modulating factors.
    FocalWeights,
    /// A number.
    Constant(f64),
}

impl Named for Normalizer {
    const ARGUMENT: &'static str = "normalizer";
    const NAMES: &'static [(&'static str, Self)] =
        &[("weights", Self::Weights), ("positives", Self::Positives), ("focal_weights", Self::FocalWeights)];
}

impl Normalizer {
    /// What it may be.
    pub fn takes(offered: fn(Self) -> bool) -> String {
        format!("None, {} or a positive finite number", Self::names(offered))
    }

    /// A number to divide by.
    ///
    /// # Errors
    /// If it is not positive and finite.
    pub fn constant(number: f64, takes: String) -> Result<Self, Error> {
        if number > 0.0 && number.is_finite() {
            Ok(Self::Constant(number))
        } else {
            Err(Error::value("normalizer", number, takes))
        }
    }
}

/// Which diagonal Hessian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hessian {
    /// The second derivative. Negative where the loss is not convex.
    Exact,
    /// -p f', never negative.
    GaussNewton,
    /// (1 + gamma) times that: an upper bound of the exact one.
    Upper,
}

impl Named for Hessian {
    const ARGUMENT: &'static str = "hessian";
    const NAMES: &'static [(&'static str, Self)] =
        &[("exact", Self::Exact), ("gauss_newton", Self::GaussNewton), ("upper", Self::Upper)];
}

/// What targets between 0 and 1 mean to the sigmoid focal loss. All meanings agree on 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SoftTargets {
    /// The loss is modulated by the probability that a draw from both classes is wrong.
    Mixture,
    /// The loss is the mean of those of both classes.
    Expected,
    /// The loss is modulated by the distance of probability and target.
    Quality,
}

impl Named for SoftTargets {
    const ARGUMENT: &'static str = "soft_targets";
    const NAMES: &'static [(&'static str, Self)] =
        &[("mixture", Self::Mixture), ("expected", Self::Expected), ("quality", Self::Quality)];
}

/// What modulates the softmax focal loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modulator {
    /// 1 less the softmax of the target's logit, as in the paper.
    Softmax,
    /// 1 less its sigmoid. There is no surrogate Hessian.
    Sigmoid,
}

impl Named for Modulator {
    const ARGUMENT: &'static str = "modulator";
    const NAMES: &'static [(&'static str, Self)] = &[("softmax", Self::Softmax), ("sigmoid", Self::Sigmoid)];
}
