//! Arrays that belong together: shapes, the class axis, class indices, broadcast weights, outputs.

use super::mean::Rules;
use super::{Filled, Inputs, MOST_CLASSES, SampleWeight, Wanted};
use crate::array::{View, shape_text, without};
use crate::element::DType;
use crate::error::Error;
use crate::kernel::tile::Source;
use crate::params::options::Named;
use crate::params::{Common, Hessian, Normalizer, Reduction};
use crate::real::Real;

/// Inputs that belong together.
#[derive(Debug)]
pub struct Admitted<'a> {
    /// Logits.
    pub logits: View<'a>,
    /// Targets.
    pub targets: View<'a>,
    /// The axis of the classes.
    pub axis: Option<usize>,
    /// Whether the targets are class indices: they have no class axis.
    pub indices: bool,
    rules: Rules,
    weight: SampleWeight<'a>,
    /// Bytes from a class index to the next along the logits' axes.
    index_strides: Vec<isize>,
    /// Bytes from a sample weight to the next along them.
    weight_strides: Vec<isize>,
}

impl<'a> Admitted<'a> {
    /// Checks what belongs together.
    ///
    /// # Errors
    /// For shapes that do not fit.
    pub fn new(inputs: Inputs<'a>, rules: Rules) -> Result<Self, Error> {
        let Inputs { logits, targets, sample_weight: weight } = inputs;
        if logits.dtype == DType::Bool {
            let got = "an array of dtype bool; were logits and targets swapped?";
            return Err(Error::wrong_type(logits.name, got, "an array of numbers"));
        }
        let axis = rules.class_axis.map(|axis| check_axis(&logits, axis)).transpose()?;
        let indices = axis.is_some_and(|axis| targets.shape == without(logits.shape, axis));
        if !indices {
            check_shapes(&logits, &targets, axis)?;
        }
        let weight_strides = match &weight {
            SampleWeight::None | SampleWeight::Number(_) => Vec::new(),
            SampleWeight::Array(array) => match axis.filter(|_| indices || rules.rows) {
                None => array.broadcast_to(logits.name, logits.shape)?,
                Some(axis) => {
                    let what = if indices { "targets" } else { "the targets without their class axis" };
                    with_zero(&array.broadcast_to(what, &without(logits.shape, axis))?, axis)
                }
            },
        };
        let index_axis = axis.filter(|_| indices);
        let index_strides = index_axis.map_or(Vec::new(), |axis| with_zero(targets.strides, axis));
        Ok(Self { logits, targets, axis, indices, rules, weight, index_strides, weight_strides })
    }

    /// Whether kernels compute in float64.
    pub fn computes_in_f64(&self) -> bool {
        self.logits.dtype.of_results() == DType::Float64
    }

    /// The refusal of an output where the result is no array.
    pub fn refuse_use(&self, name: &'static str) -> Result<(), Error> {
        let reduction = self.rules.reduction.name();
        let got = format!("an array where reduction={reduction:?} makes the value a float");
        Err(Error::value(name, got, "None unless the result is an array"))
    }

    /// Refuses an output (0 losses, 1 gradient, 2 Hessian) that is not as the result is.
    pub fn check_output(&self, output: usize, array: &View<'_>) -> Result<(), Error> {
        let dtype = self.logits.dtype.of_results();
        match self.value_axis().filter(|_| output == 0) {
            Some(axis) => array.check_results(dtype, &without(self.logits.shape, axis)),
            None => array.check_results(dtype, self.logits.shape),
        }
    }

    /// The arrays that are read.
    pub fn inputs(&self) -> [Option<View<'a>>; 3] {
        [Some(self.logits), Some(self.targets), self.weight_array()]
    }

    /// Bytes from a target to the next along the logits' axes.
    pub fn target_strides(&self) -> &[isize] {
        if self.indices { &self.index_strides } else { self.targets.strides }
    }

    /// The axis that losses have not, but logits have.
    pub fn value_axis(&self) -> Option<usize> {
        self.axis.filter(|_| self.rules.rows || self.rules.reduction == Reduction::SumClasses)
    }

    /// The array of sample weights, if there is one.
    pub fn weight_array(&self) -> Option<View<'a>> {
        match self.weight {
            SampleWeight::Array(array) => Some(array),
            SampleWeight::None | SampleWeight::Number(_) => None,
        }
    }

    /// Bytes from a sample weight to the next along the logits' axes.
    pub fn weight_strides(&self) -> &[isize] {
        &self.weight_strides
    }

    /// The sample weights, as kernels take them.
    pub fn samples<R: Real>(&self) -> Option<Source<R>> {
        match &self.weight {
            SampleWeight::None => None,
            SampleWeight::Number(number) => Some(Source::Constant(R::from_weight(*number))),
            SampleWeight::Array(array) => Some(Source::weights(array.data, array.dtype)),
        }
    }

    /// The number of classes; 1 without a class axis.
    pub fn classes(&self) -> usize {
        self.axis.map_or(1, |axis| self.logits.shape[axis] as usize)
    }

    /// Refuses lists by class that are made for another number of classes, and more classes than lists may have.
    ///
    /// # Errors
    /// Naming both numbers.
    pub fn check_classes(&self, expected: Option<usize>) -> Result<(), Error> {
        check_classes(&self.logits, self.axis, expected)
    }
}

/// Refuses lists by class that are made for another number of classes, and more classes than lists may have.
///
/// # Errors
/// Naming both numbers.
pub fn check_classes(logits: &View<'_>, axis: Option<usize>, expected: Option<usize>) -> Result<(), Error> {
    let Some(axis) = axis else { return Ok(()) };
    let classes = logits.shape[axis] as usize;
    if classes > MOST_CLASSES {
        let takes = format!("of at most {MOST_CLASSES} classes");
        return Err(Error::value(logits.name, format!("{classes} classes"), takes));
    }
    match expected {
        Some(expected) if expected != classes => {
            let got = format!("{classes} along axis {axis} of shape {}", shape_text(logits.shape));
            let takes = format!("of {expected} classes, as many as the loss has numbers by class");
            Err(Error::value(logits.name, got, takes))
        }
        _ => Ok(()),
    }
}

/// Refuses a call that would need more memory by class than there is: what the core cannot have ends the process.
///
/// # Errors
/// If the memory cannot be had.
pub fn check_memory(classes: usize, bytes_each: usize) -> Result<(), Error> {
    /// Lists of fewer classes take no more than what any call does.
    const FEW: usize = 1 << 16;
    let bytes = classes.saturating_mul(bytes_each);
    let mut memory = Vec::<u8>::new();
    if classes > FEW && memory.try_reserve_exact(bytes).is_err() {
        return Err(Error::Memory(format!("{bytes} bytes for lists of {classes} classes").into()));
    }
    // Looked at, so that it is asked for.
    std::hint::black_box(&memory);
    Ok(())
}

/// Every output against every input and against the other outputs.
///
/// # Errors
/// Naming two that share memory.
#[inline]
pub fn check_overlaps(outputs: &Filled<'_>, inputs: &[Option<View<'_>>; 3]) -> Result<(), Error> {
    for (i, output) in outputs.iter().enumerate() {
        let Some(output) = output else { continue };
        for input in inputs.iter().flatten() {
            output.check_overlap(input)?;
        }
        for other in outputs[..i].iter().flatten() {
            output.check_disjoint(other)?;
        }
    }
    Ok(())
}

/// Refuses surrogate Hessians where there is only the exact one.
///
/// # Errors
/// Naming what it was asked with: probabilities, a quotient, or what a loss has beside these.
pub fn check_surrogate(wanted: Wanted, common: &Common, other: Option<&str>) -> Result<(), Error> {
    if wanted.hess().is_none_or(|hessian| hessian == Hessian::Exact) {
        return Ok(());
    }
    let with = if !common.from_logits {
        "from_logits=False"
    } else if common.normalizer == Normalizer::FocalWeights {
        "normalizer=\"focal_weights\""
    } else if let Some(other) = other {
        other
    } else {
        return Ok(());
    };
    Err(Error::value("hessian", format!("a surrogate with {with}"), format!("\"exact\" with {with}")))
}

/// The axis as a number from 0 on.
pub fn check_axis(logits: &View<'_>, axis: i64) -> Result<usize, Error> {
    let dimensions = logits.shape.len() as i64;
    let from_start = if axis < 0 { axis.saturating_add(dimensions) } else { axis };
    match usize::try_from(from_start) {
        Ok(found) if from_start < dimensions => Ok(found),
        _ => {
            let got = format!("{axis} with {} of shape {}", logits.name, shape_text(logits.shape));
            Err(Error::value("class_axis", got, "an axis of the logits"))
        }
    }
}

/// Refuses targets that have not the logits' shape, naming what would do.
fn check_shapes(logits: &View<'_>, targets: &View<'_>, axis: Option<usize>) -> Result<(), Error> {
    let Some(axis) = axis else { return targets.check_shape(logits) };
    if targets.shape == logits.shape {
        return Ok(());
    }
    let takes = format!(
        "of the shape of {}, {}, or class indices of shape {}",
        logits.name,
        shape_text(logits.shape),
        shape_text(&without(logits.shape, axis))
    );
    Err(Error::value(targets.name, format!("shape {}", shape_text(targets.shape)), takes))
}

/// Strides with one of 0 more, at that axis.
fn with_zero(strides: &[isize], axis: usize) -> Vec<isize> {
    let mut strides = strides.to_vec();
    strides.insert(axis, 0);
    strides
}
