//! The parameters of the softmax focal loss, and what follows from them.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::common::Common;
use super::options::{Modulator, Named, Normalizer, Reduction};
use super::values::{Parameter, check_lengths};
use crate::error::Error;

/// The softmax focal loss with its parameters, checked once.
///
/// Source of the formula: Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 4, with the
/// probability that softmax gives the target class.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxFocalLoss {
    /// What multiplies the loss, for all or by the target's class.
    pub alpha: Option<Parameter>,
    /// What both losses have.
    pub common: Common,
    /// Where the classes are.
    pub class_axis: i64,
    /// What modulates the loss.
    pub modulator: Modulator,
}

impl Default for SoftmaxFocalLoss {
    fn default() -> Self {
        Self { alpha: None, common: Common::default(), class_axis: -1, modulator: Modulator::Softmax }
    }
}

impl SoftmaxFocalLoss {
    /// Checks the parameters one by one and together.
    ///
    /// # Errors
    /// Naming the first that is refused.
    pub fn check(self) -> Result<Self, Error> {
        const ALPHA: &str = "None, a finite number >= 0, or one such number a class";
        let alpha =
            self.alpha.map(|alpha| alpha.check("alpha", ALPHA, |alpha| alpha >= 0.0 && alpha.is_finite()));
        let loss = Self { alpha: alpha.transpose()?, common: self.common.check()?, ..self };
        loss.classes()?;
        loss.check_options()?;
        Ok(loss)
    }

    /// Whether it has this reduction: a target has one loss for all classes.
    pub fn reduces(reduction: Reduction) -> bool {
        reduction != Reduction::SumClasses
    }

    /// Whether its mean has this normaliser: every target has a class.
    pub fn normalizes(normalizer: Normalizer) -> bool {
        normalizer != Normalizer::Positives
    }

    /// Refuses options that this loss has not, or not together.
    fn check_options(&self) -> Result<(), Error> {
        let Common { reduction, normalizer, label_smoothing, from_logits, .. } = self.common;
        if !Self::reduces(reduction) {
            let takes = "\"none\", \"sum\" or \"mean\": a target has one loss for all classes";
            return Err(Error::value("reduction", "\"sum_classes\"", takes));
        }
        if !Self::normalizes(normalizer) {
            let takes = format!("{}: every target has a class", Normalizer::takes(Self::normalizes));
            return Err(Error::value("normalizer", "\"positives\"", takes));
        }
        if self.modulator == Modulator::Sigmoid && (label_smoothing != 0.0 || !from_logits) {
            let with = if from_logits { "label smoothing" } else { "probabilities" };
            let takes = "\"softmax\" with label smoothing or probabilities";
            return Err(Error::value("modulator", format!("\"sigmoid\" with {with}"), takes));
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
        ])
    }

    /// The weight of a target's class.
    pub fn weight_of(&self, class: usize) -> f64 {
        self.alpha.as_ref().map_or(1.0, |alpha| alpha.of(class))
    }
}

// Parameters are never NaN and zeros have one sign, so equality is an equivalence.
impl Eq for SoftmaxFocalLoss {}

impl Hash for SoftmaxFocalLoss {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // What is written differs if and only if the parameters do.
        self.to_string().hash(state);
    }
}

/// The Python call that makes the loss.
impl fmt::Display for SoftmaxFocalLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SoftmaxFocalLoss(alpha=")?;
        match &self.alpha {
            Some(alpha) => write!(f, "{alpha}")?,
            None => f.write_str("None")?,
        }
        self.common.write_start(f)?;
        if self.class_axis != -1 {
            write!(f, ", class_axis={}", self.class_axis)?;
        }
        self.common.write_labels(f)?;
        self.common.write_inputs(f)?;
        if self.modulator != Modulator::Softmax {
            write!(f, ", modulator='{}'", self.modulator.name())?;
        }
        f.write_str(")")
    }
}
