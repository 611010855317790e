//! The parameters of the sigmoid focal loss: what they may be, and what follows from them.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::error::Error;

/// How per-element losses become the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// They are the result.
    None,
    /// Their sum.
    Sum,
    /// Their sum divided by the normaliser.
    Mean,
}

impl Reduction {
    const NAMES: [(&'static str, Self); 3] = [("none", Self::None), ("sum", Self::Sum), ("mean", Self::Mean)];

    /// The reduction of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn parse(name: &str) -> Result<Self, Error> {
        named(&Self::NAMES, "reduction", name)
    }

    /// The name that users give.
    pub fn name(self) -> &'static str {
        name_of(&Self::NAMES, self)
    }
}

/// What the mean divides by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalizer {
    /// The number of elements.
    Count,
    /// The sum of the weights that multiply the loss.
    Weights,
    /// The sum of the targets.
    Positives,
    /// A number.
    Constant(f64),
}

impl Normalizer {
    const NAMES: [(&'static str, Self); 2] = [("weights", Self::Weights), ("positives", Self::Positives)];
    const TAKES: &'static str = "None, \"weights\", \"positives\" or a positive finite number";

    /// The normaliser of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|&(_, value)| value).ok_or_else(|| Self::refuse(format!("{name:?}")))
    }

    /// A number to divide by.
    ///
    /// # Errors
    /// If it is not positive and finite.
    pub fn constant(number: f64) -> Result<Self, Error> {
        if number > 0.0 && number.is_finite() {
            Ok(Self::Constant(number))
        } else {
            Err(Self::refuse(number))
        }
    }

    fn refuse(got: impl ToString) -> Error {
        Error::value("normalizer", got, Self::TAKES)
    }

    /// The name that users give, if the normaliser has one.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(_, value)| *value == self).map(|&(name, _)| name)
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

impl Hessian {
    const NAMES: [(&'static str, Self); 3] =
        [("exact", Self::Exact), ("gauss_newton", Self::GaussNewton), ("upper", Self::Upper)];

    /// The Hessian of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn parse(name: &str) -> Result<Self, Error> {
        named(&Self::NAMES, "hessian", name)
    }
}

fn named<T: Copy>(names: &[(&'static str, T)], argument: &'static str, name: &str) -> Result<T, Error> {
    let found = names.iter().find(|(known, _)| *known == name);
    found.map(|&(_, value)| value).ok_or_else(|| {
        let known: Vec<_> = names.iter().map(|(known, _)| format!("{known:?}")).collect();
        Error::value(argument, format!("{name:?}"), format!("one of {}", known.join(", ")))
    })
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, known)| *known == value).map_or("", |&(name, _)| name)
}

/// The sigmoid focal loss with its parameters, checked once.
///
/// Source of the formula: Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SigmoidFocalLoss {
    alpha: Option<f64>,
    gamma: f64,
    reduction: Reduction,
    normalizer: Normalizer,
}

impl SigmoidFocalLoss {
    /// Checks the parameters.
    ///
    /// A negative alpha means none, as in torchvision.
    ///
    /// # Errors
    /// If alpha is above 1 or not a number, gamma is negative or not finite, or a normaliser is given
    /// without the mean that it would divide.
    pub fn new(
        alpha: Option<f64>,
        gamma: f64,
        reduction: Reduction,
        normalizer: Normalizer,
    ) -> Result<Self, Error> {
        let alpha = match alpha {
            Some(a) if a.is_nan() || a > 1.0 => {
                let takes = "None, a number in [0, 1], or a negative number, which means None";
                return Err(Error::value("alpha", a, takes));
            }
            // Minus infinity and -1 mean none; -0.0 is 0.
            Some(a) if a < 0.0 => None,
            Some(a) => Some(a + 0.0),
            None => None,
        };
        if !(gamma >= 0.0 && gamma.is_finite()) {
            return Err(Error::value("gamma", gamma, "a finite number >= 0"));
        }
        if normalizer != Normalizer::Count && reduction != Reduction::Mean {
            let got = format!("a normalizer with reduction={:?}", reduction.name());
            return Err(Error::value("normalizer", got, "None unless reduction=\"mean\""));
        }
        Ok(Self { alpha, gamma: gamma + 0.0, reduction, normalizer })
    }

    /// The weight of positives, none if unweighted.
    pub fn alpha(&self) -> Option<f64> {
        self.alpha
    }

    /// The focusing parameter.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// How losses become the result.
    pub fn reduction(&self) -> Reduction {
        self.reduction
    }

    /// What the mean divides by.
    pub fn normalizer(&self) -> Normalizer {
        self.normalizer
    }

    /// The weights of negatives and of positives.
    pub fn class_weights(&self) -> [f64; 2] {
        self.alpha.map_or([1.0, 1.0], |alpha| [1.0 - alpha, alpha])
    }
}

// Parameters are never NaN and zeros have one sign, so equality is an equivalence.
impl Eq for SigmoidFocalLoss {}

impl Hash for SigmoidFocalLoss {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.alpha.map(f64::to_bits).hash(state);
        self.gamma.to_bits().hash(state);
        self.reduction.hash(state);
        std::mem::discriminant(&self.normalizer).hash(state);
        if let Normalizer::Constant(number) = self.normalizer {
            number.to_bits().hash(state);
        }
    }
}

/// The Python call that makes the loss.
impl fmt::Display for SigmoidFocalLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigmoidFocalLoss(alpha=")?;
        match self.alpha {
            Some(alpha) => write!(f, "{alpha:?}")?,
            None => f.write_str("None")?,
        }
        write!(f, ", gamma={:?}, reduction='{}'", self.gamma, self.reduction.name())?;
        match (self.normalizer, self.normalizer.name()) {
            (Normalizer::Constant(number), _) => write!(f, ", normalizer={number:?}")?,
            (_, Some(name)) => write!(f, ", normalizer='{name}'")?,
            (_, None) => {}
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_alpha_means_none_and_zero_has_one_sign() {
        let make = |alpha| SigmoidFocalLoss::new(alpha, 2.0, Reduction::Mean, Normalizer::Count).unwrap();
        assert_eq!(make(Some(-1.0)).alpha(), None);
        assert_eq!(make(Some(f64::NEG_INFINITY)).alpha(), None);
        assert_eq!(make(Some(-0.0)).alpha().map(f64::to_bits), Some(0));
        assert_eq!(make(Some(0.25)).class_weights(), [0.75, 0.25]);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let refused = |alpha, gamma, reduction, normalizer| {
            SigmoidFocalLoss::new(alpha, gamma, reduction, normalizer).unwrap_err().to_string()
        };
        let (mean, count) = (Reduction::Mean, Normalizer::Count);
        assert!(refused(Some(1.5), 2.0, mean, count).starts_with("alpha must be"));
        assert!(refused(Some(f64::NAN), 2.0, mean, count).ends_with("got NaN"));
        assert!(refused(None, -1.0, mean, count).starts_with("gamma must be"));
        assert!(refused(None, f64::INFINITY, mean, count).starts_with("gamma must be"));
        assert!(refused(None, 2.0, Reduction::Sum, Normalizer::Weights).starts_with("normalizer"));
        assert!(Normalizer::constant(0.0).is_err());
        assert!(Normalizer::constant(f64::NAN).is_err());
        assert!(Reduction::parse("avg").unwrap_err().to_string().contains("\"none\", \"sum\", \"mean\""));
    }
}
