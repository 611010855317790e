//! The parameters of the sigmoid focal loss, and what follows from them.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::common::Common;
use super::options::{Named, Normalizer, Reduction, SoftTargets};
use super::values::{Label, Parameter, check_lengths};
use crate::error::Error;

/// The sigmoid focal loss with its parameters, checked once.
///
/// Source of the formula: Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 5.
#[derive(Clone, Debug, PartialEq)]
pub struct SigmoidFocalLoss {
    /// Weight of positives; that of negatives is 1 less it. None is no weighting.
    pub alpha: Option<Parameter>,
    /// What both losses have.
    pub common: Common,
    /// Where the classes are.
    pub class_axis: Option<i64>,
    /// What multiplies both terms of a class.
    pub class_weight: Option<Parameter>,
    /// The class index that means no class.
    pub background_index: Option<i64>,
    /// What labels between 0 and 1 mean.
    pub soft_targets: SoftTargets,
}

impl Default for SigmoidFocalLoss {
    fn default() -> Self {
        Self {
            alpha: Some(Parameter::Number(0.25)),
            common: Common::default(),
            class_axis: None,
            class_weight: None,
            background_index: None,
            soft_targets: SoftTargets::Mixture,
        }
    }
}

impl SigmoidFocalLoss {
    /// Checks the parameters one by one and together.
    ///
    /// A negative alpha means none, as in torchvision.
    ///
    /// # Errors
    /// Naming the first that is refused.
    pub fn check(self) -> Result<Self, Error> {
        const ALPHA: &str = "None, a number in [0, 1] or a negative number, which means None, or a number in \
                             [0, 1] for each class";
        let alpha = match self.alpha {
            Some(Parameter::Number(alpha)) if alpha < 0.0 => None,
            Some(alpha) => Some(alpha.check("alpha", ALPHA, |alpha| (0.0..=1.0).contains(&alpha))?),
            None => None,
        };
        const WEIGHT: &str = "None, or a finite number for each class";
        let weight = self.class_weight.map(|weight| weight.check("class_weight", WEIGHT, f64::is_finite));
        let loss = Self { alpha, common: self.common.check()?, class_weight: weight.transpose()?, ..self };
        loss.classes()?;
        loss.check_axis()?;
        loss.check_background()?;
        loss.check_labels()?;
        Ok(loss)
    }

    /// Refuses what needs a class axis if there is none.
    fn check_axis(&self) -> Result<(), Error> {
        if self.class_axis.is_some() {
            return Ok(());
        }
        let needs = |argument, got: &str| {
            Err(Error::value(argument, format!("{got} without class_axis"), "given with a class_axis"))
        };
        if self.alpha.as_ref().is_some_and(|alpha| alpha.per_class().is_some()) {
            return needs("alpha", "one number a class");
        }
        if self.common.gamma.per_class().is_some() {
            return needs("gamma", "one number a class");
        }
        if self.class_weight.is_some() {
            return needs("class_weight", "one number a class");
        }
        if self.common.reduction == Reduction::SumClasses {
            return needs("reduction", "\"sum_classes\"");
        }
        match self.background_index {
            Some(index) => needs("background_index", &index.to_string()),
            None => Ok(()),
        }
    }

    /// Refuses a background that targets cannot be compared with: they are as float64.
    fn check_background(&self) -> Result<(), Error> {
        const WHOLE: u64 = 1 << 53;
        match self.background_index {
            Some(index) if index.unsigned_abs() > WHOLE => {
                let takes = "None or a whole number of at most 2**53 in magnitude";
                Err(Error::value("background_index", index, takes))
            }
            _ => Ok(()),
        }
    }

    /// Refuses meanings of labels that exclude each other.
    fn check_labels(&self) -> Result<(), Error> {
        if let (Some(background), Some(Label::Whole(ignored))) =
            (self.background_index, self.common.ignore_index)
            && i128::from(background) == ignored
        {
            let takes = "different from ignore_index: a target cannot be both background and ignored";
            return Err(Error::value("background_index", background, takes));
        }
        if self.common.normalizer == Normalizer::FocalWeights && self.soft_targets == SoftTargets::Expected {
            let takes = "other than \"focal_weights\" with soft_targets=\"expected\", which has two \
                         modulating factors an element";
            return Err(Error::value("normalizer", "\"focal_weights\"", takes));
        }
        Ok(())
    }

    /// The number of classes that lists of numbers by class are made for.
    ///
    /// # Errors
    /// If they differ.
    pub fn classes(&self) -> Result<Option<usize>, Error> {
        check_lengths([
            ("alpha", self.alpha.as_ref().and_then(Parameter::per_class)),
            ("gamma", self.common.gamma.per_class()),
            ("class_weight", self.class_weight.as_ref().and_then(Parameter::per_class)),
        ])
    }

    /// The weights of negatives and of positives of a class.
    pub fn weights_of(&self, class: usize) -> [f64; 2] {
        let weight = self.class_weight.as_ref().map_or(1.0, |weight| weight.of(class));
        let alpha = self.alpha.as_ref().map(|alpha| alpha.of(class));
        alpha.map_or([1.0, 1.0], |alpha| [1.0 - alpha, alpha]).map(|alpha| weight * alpha)
    }

    /// Whether weights or gammas differ from class to class.
    pub fn differs_by_class(&self) -> bool {
        matches!(self.classes(), Ok(Some(_)))
    }
}

// Parameters are never NaN and zeros have one sign, so equality is an equivalence.
impl Eq for SigmoidFocalLoss {}

impl Hash for SigmoidFocalLoss {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // What is written differs if and only if the parameters do.
        self.to_string().hash(state);
    }
}

/// The Python call that makes the loss.
impl fmt::Display for SigmoidFocalLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigmoidFocalLoss(alpha=")?;
        match &self.alpha {
            Some(alpha) => write!(f, "{alpha}")?,
            None => f.write_str("None")?,
        }
        self.common.write_start(f)?;
        if let Some(axis) = self.class_axis {
            write!(f, ", class_axis={axis}")?;
        }
        if let Some(weight) = &self.class_weight {
            write!(f, ", class_weight={weight}")?;
        }
        self.common.write_labels(f)?;
        if let Some(index) = self.background_index {
            write!(f, ", background_index={index}")?;
        }
        self.common.write_inputs(f)?;
        if self.soft_targets != SoftTargets::Mixture {
            write!(f, ", soft_targets='{}'", self.soft_targets.name())?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_alpha(alpha: Option<f64>) -> SigmoidFocalLoss {
        SigmoidFocalLoss { alpha: alpha.map(Parameter::Number), ..SigmoidFocalLoss::default() }
    }

    #[test]
    fn negative_alpha_means_none_and_zero_has_one_sign() {
        let checked = |alpha| with_alpha(Some(alpha)).check().unwrap();
        assert_eq!(checked(-1.0).alpha, None);
        assert_eq!(checked(f64::NEG_INFINITY).alpha, None);
        assert_eq!(checked(-0.0).weights_of(0)[1].to_bits(), 0);
        assert_eq!(checked(0.25).weights_of(0), [0.75, 0.25]);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let refused = |loss: SigmoidFocalLoss| loss.check().unwrap_err().to_string();
        let of = |common: Common| SigmoidFocalLoss { common, ..SigmoidFocalLoss::default() };
        let gamma = |gamma| of(Common { gamma: Parameter::Number(gamma), ..Common::default() });
        assert!(refused(with_alpha(Some(1.5))).starts_with("alpha must be"));
        assert!(refused(with_alpha(Some(f64::NAN))).ends_with("got NaN"));
        assert!(refused(gamma(-1.0)).starts_with("gamma must be"));
        assert!(refused(gamma(f64::INFINITY)).starts_with("gamma must be"));
        let sum = Common { reduction: Reduction::Sum, normalizer: Normalizer::Weights, ..Common::default() };
        assert!(refused(of(sum)).starts_with("normalizer"));
        assert!(Normalizer::constant(0.0, String::new()).is_err());
        assert!(Normalizer::constant(f64::NAN, String::new()).is_err());
        assert_eq!(Reduction::names(|name| name != Reduction::Sum), "\"none\", \"mean\", \"sum_classes\"");
        let background = SigmoidFocalLoss { background_index: Some(3), ..SigmoidFocalLoss::default() };
        assert!(refused(background).contains("class_axis"));
    }

    #[test]
    fn lists_by_class_are_of_one_length() {
        let list = |len: usize| Parameter::PerClass(vec![0.5; len].into());
        let loss = SigmoidFocalLoss {
            alpha: Some(list(3)),
            class_weight: Some(list(2)),
            class_axis: Some(-1),
            ..SigmoidFocalLoss::default()
        };
        assert!(loss.check().unwrap_err().to_string().starts_with("class_weight must be as long as alpha"));
    }
}
