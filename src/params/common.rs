//! The parameters that both losses have.

use std::fmt;

use super::options::{Named, Normalizer, Reduction};
use super::values::{Label, Parameter};
use crate::error::Error;

/// The parameters that both losses have.
#[derive(Clone, Debug, PartialEq)]
pub struct Common {
    /// The focusing parameter.
    pub gamma: Parameter,
    /// How losses become the result.
    pub reduction: Reduction,
    /// What the mean divides by.
    pub normalizer: Normalizer,
    /// How much of a label is spread over all classes, in [0, 1).
    pub label_smoothing: f64,
    /// The target that does not count.
    pub ignore_index: Option<Label>,
    /// Whether inputs are logits; else they are probabilities.
    pub from_logits: bool,
    /// Probabilities are clipped to [eps, 1 - eps].
    pub eps: f64,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            gamma: Parameter::Number(2.0),
            reduction: Reduction::Mean,
            normalizer: Normalizer::Count,
            label_smoothing: 0.0,
            ignore_index: None,
            from_logits: true,
            eps: 0.0,
        }
    }
}

impl Common {
    /// Checks the parameters one by one and together.
    ///
    /// # Errors
    /// Naming the first that is refused.
    pub(super) fn check(self) -> Result<Self, Error> {
        const GAMMA: &str = "a finite number >= 0, or one such number a class";
        let gamma = self.gamma.check("gamma", GAMMA, |gamma| gamma >= 0.0 && gamma.is_finite())?;
        if self.normalizer != Normalizer::Count && self.reduction != Reduction::Mean {
            let got = format!("a normalizer with reduction={:?}", self.reduction.name());
            return Err(Error::value("normalizer", got, "None unless reduction=\"mean\""));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(Error::value("label_smoothing", self.label_smoothing, "a number in [0, 1)"));
        }
        if !(0.0..0.5).contains(&self.eps) {
            return Err(Error::value("eps", self.eps, "a number in [0, 0.5)"));
        }
        if self.from_logits && self.eps != 0.0 {
            let got = format!("{:?} with from_logits=True", self.eps);
            return Err(Error::value("eps", got, "0 unless from_logits=False: logits are not clipped"));
        }
        let (label_smoothing, eps) = (self.label_smoothing + 0.0, self.eps + 0.0);
        Ok(Self { gamma, label_smoothing, eps, ..self })
    }

    /// The arguments between `reduction` and what each loss has of its own.
    pub(super) fn write_start(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", gamma={}, reduction='{}'", self.gamma, self.reduction.name())?;
        match self.normalizer {
            Normalizer::Count => Ok(()),
            Normalizer::Constant(number) => write!(f, ", normalizer={number:?}"),
            named => write!(f, ", normalizer='{}'", named.name()),
        }
    }

    /// The arguments of labels, those that differ from their defaults.
    pub(super) fn write_labels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.label_smoothing != 0.0 {
            write!(f, ", label_smoothing={:?}", self.label_smoothing)?;
        }
        if let Some(label) = self.ignore_index {
            write!(f, ", ignore_index={label}")?;
        }
        Ok(())
    }

    /// The arguments of probabilities, those that differ from their defaults.
    pub(super) fn write_inputs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.from_logits {
            f.write_str(", from_logits=False")?;
        }
        if self.eps != 0.0 {
            write!(f, ", eps={:?}", self.eps)?;
        }
        Ok(())
    }
}
