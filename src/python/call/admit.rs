//! The arguments of a call as arrays that belong together.

use numpy::npyffi::npy_intp;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt};

use super::{Arguments, Wanted};
use crate::element::DType;
use crate::error::Error;
use crate::kernel::tile::Source;
use crate::params::options::Named;
use crate::params::{Normalizer, Reduction};
use crate::python::array::{Array, Held, shape_text};
use crate::python::number::number;

const WEIGHT: &str = "sample_weight";

/// The most classes: lists by class must fit the memory also where the logits are one number, broadcast.
const MOST_CLASSES: usize = 1 << 27;

/// Arguments whose arrays have been found, which may have run any Python code.
pub struct Found<'a, 'py> {
    logits: Held<'a, 'py>,
    targets: Held<'a, 'py>,
    weight: HeldWeight<'a, 'py>,
    outputs: [Option<Held<'a, 'py>>; 3],
}

impl<'a, 'py> Found<'a, 'py> {
    /// Finds them.
    ///
    /// # Errors
    /// If there are none, and what the arguments raise.
    pub fn new(arguments: &Arguments<'a, 'py>) -> PyResult<Self> {
        let mut found = Self {
            logits: Held::new(arguments.logits_name, arguments.logits)?,
            targets: Held::new("targets", arguments.targets)?,
            weight: HeldWeight::new(arguments.sample_weight)?,
            outputs: [const { None }; 3],
        };
        for (held, (name, out)) in found.outputs.iter_mut().zip(arguments.outputs()) {
            *held = out.map(|out| Held::output(name, out)).transpose()?;
        }
        Ok(found)
    }
}

/// Sample weights whose array has been found.
enum HeldWeight<'a, 'py> {
    None,
    Number(f64),
    Array(Held<'a, 'py>),
}

impl<'a, 'py> HeldWeight<'a, 'py> {
    fn new(weight: Option<&'a Bound<'py, PyAny>>) -> PyResult<Self> {
        let Some(weight) = weight else { return Ok(Self::None) };
        let is_int = weight.is_instance_of::<PyInt>() && !weight.is_instance_of::<PyBool>();
        if is_int || weight.is_instance_of::<PyFloat>() {
            return Ok(Self::Number(number(WEIGHT, "a number or an array", weight)?));
        }
        Ok(Self::Array(Held::new(WEIGHT, weight)?))
    }
}

/// Sample weights: a number, or an array and the strides with which it broadcasts to the logits.
enum SampleWeight<'b, 'py> {
    None,
    Number(f64),
    Array(Array<'b, 'py>, Vec<isize>),
}

/// What the calls of both losses say about their targets.
pub struct Rules {
    /// Where the classes are, if they are somewhere.
    pub class_axis: Option<i64>,
    /// Whether a target has one loss for all classes.
    pub rows: bool,
    /// How losses become the result.
    pub reduction: Reduction,
}

/// Arrays to fill: losses, gradient, Hessian.
pub type Outputs<'b, 'py> = [Option<Array<'b, 'py>>; 3];

/// Arguments that belong together.
pub struct Admitted<'b, 'py> {
    /// Logits.
    pub logits: Array<'b, 'py>,
    /// Targets.
    pub targets: Array<'b, 'py>,
    /// The axis of the classes.
    pub axis: Option<usize>,
    /// Whether the targets are class indices: they have no class axis.
    pub indices: bool,
    /// Bytes from a class index to the next along the logits' axes.
    index_strides: Vec<isize>,
    weight: SampleWeight<'b, 'py>,
}

impl<'b, 'py> Admitted<'b, 'py> {
    /// Checks what belongs together.
    ///
    /// # Errors
    /// `TypeError` and `ValueError` for what is refused.
    pub fn new(name: &'static str, found: &'b Found<'_, 'py>, rules: &Rules) -> PyResult<Self> {
        let logits = Array::read(name, &found.logits)?;
        if logits.dtype == DType::Bool {
            let got = "an array of dtype bool; were logits and targets swapped?";
            return Err(Error::wrong_type(name, got, "an array of numbers").into());
        }
        let targets = Array::read("targets", &found.targets)?;
        let axis = rules.class_axis.map(|axis| check_axis(&logits, axis)).transpose()?;
        let indices = axis.is_some_and(|axis| targets.shape == without(logits.shape, axis));
        if !indices {
            check_shapes(&logits, &targets, axis)?;
        }
        let index_axis = axis.filter(|_| indices);
        let weight = match &found.weight {
            HeldWeight::None => SampleWeight::None,
            HeldWeight::Number(number) => SampleWeight::Number(*number),
            HeldWeight::Array(held) => {
                let array = Array::read(WEIGHT, held)?;
                let strides = match axis.filter(|_| indices || rules.rows) {
                    None => array.broadcast_to(name, logits.shape)?,
                    Some(axis) => {
                        let what = if indices { "targets" } else { "the targets without their class axis" };
                        with_zero(&array.broadcast_to(what, &without(logits.shape, axis))?, axis)
                    }
                };
                SampleWeight::Array(array, strides)
            }
        };
        let index_strides = index_axis.map_or(Vec::new(), |axis| with_zero(targets.strides, axis));
        Ok(Self { logits, targets, axis, indices, index_strides, weight })
    }

    /// The outputs that were given, checked against the results and all inputs.
    ///
    /// # Errors
    /// `TypeError` and `ValueError` for what is refused.
    pub fn outputs(
        &self,
        wanted: Wanted,
        arguments: &Arguments<'_, 'py>,
        found: &'b Found<'_, 'py>,
        rules: &Rules,
    ) -> PyResult<Outputs<'b, 'py>> {
        let given = arguments.outputs().map(|(name, _)| name).into_iter().zip(&found.outputs);
        let mut admitted: Outputs<'b, 'py> = [const { None }; 3];
        let is_array = wanted.arrays(rules.reduction);
        for (i, (slot, (name, out))) in admitted.iter_mut().zip(given).enumerate() {
            let Some(out) = out else { continue };
            if !is_array[i] {
                let reduction = rules.reduction.name();
                let got = format!("an array where reduction={reduction:?} makes the value a float");
                return Err(Error::value(name, got, "None unless the result is an array").into());
            }
            let dtype = self.logits.dtype.of_results();
            *slot = Some(match self.value_axis(rules).filter(|_| i == 0) {
                Some(axis) => Array::output(name, dtype, &without(self.logits.shape, axis), out)?,
                None => Array::output(name, dtype, self.logits.shape, out)?,
            });
        }
        check_overlaps(&admitted, self.inputs())?;
        Ok(admitted)
    }

    /// The arrays that are read.
    pub fn inputs(&self) -> [Option<&Array<'b, 'py>>; 3] {
        [Some(&self.logits), Some(&self.targets), self.weight_array()]
    }

    /// Bytes from a target to the next along the logits' axes.
    pub fn target_strides(&self) -> &[isize] {
        if self.indices { &self.index_strides } else { self.targets.strides }
    }

    /// The axis that losses have not, but logits have.
    pub fn value_axis(&self, rules: &Rules) -> Option<usize> {
        self.axis.filter(|_| rules.rows || rules.reduction == Reduction::SumClasses)
    }

    /// The array of sample weights, if there is one.
    pub fn weight_array(&self) -> Option<&Array<'b, 'py>> {
        match &self.weight {
            SampleWeight::Array(array, _) => Some(array),
            SampleWeight::None | SampleWeight::Number(_) => None,
        }
    }

    /// Bytes from a sample weight to the next along the logits' axes.
    pub fn weight_strides(&self) -> &[isize] {
        match &self.weight {
            SampleWeight::Array(_, strides) => strides,
            SampleWeight::None | SampleWeight::Number(_) => &[],
        }
    }

    /// The sample weights.
    pub fn samples(&self) -> Option<Source<f64>> {
        match &self.weight {
            SampleWeight::None => None,
            SampleWeight::Number(number) => Some(Source::Constant(*number)),
            SampleWeight::Array(array, _) => Some(Source::numbers(array.data, array.dtype)),
        }
    }

    /// The number of classes; 1 without a class axis.
    pub fn classes(&self) -> usize {
        self.axis.map_or(1, |axis| self.logits.shape[axis] as usize)
    }

    /// As [`check_classes`].
    ///
    /// # Errors
    /// `ValueError` naming both numbers.
    pub fn check_classes(&self, expected: Option<usize>) -> PyResult<()> {
        check_classes(&self.logits, self.axis, expected)
    }
}

/// Refuses lists by class that are made for another number of classes, and more classes than lists may have.
///
/// # Errors
/// `ValueError` naming both numbers.
pub fn check_classes(logits: &Array<'_, '_>, axis: Option<usize>, expected: Option<usize>) -> PyResult<()> {
    let Some(axis) = axis else { return Ok(()) };
    let classes = logits.shape[axis] as usize;
    if classes > MOST_CLASSES {
        let takes = format!("of at most {MOST_CLASSES} classes");
        return Err(Error::value(logits.name, format!("{classes} classes"), takes).into());
    }
    match expected {
        Some(expected) if expected != classes => {
            let got = format!("{classes} along axis {axis} of shape {}", shape_text(logits.shape));
            let takes = format!("of {expected} classes, as many as the loss has numbers by class");
            Err(Error::value(logits.name, got, takes).into())
        }
        _ => Ok(()),
    }
}

/// Refuses a call that would need more memory by class than there is: what the core cannot have ends the process.
///
/// # Errors
/// `MemoryError`.
pub fn check_memory(classes: usize, bytes_each: usize) -> PyResult<()> {
    /// Lists of fewer classes take no more than what any call does.
    const FEW: usize = 1 << 16;
    let bytes = classes.saturating_mul(bytes_each);
    let mut memory = Vec::<u8>::new();
    if classes > FEW && memory.try_reserve_exact(bytes).is_err() {
        let message = format!("{bytes} bytes for lists of {classes} classes cannot be had");
        return Err(PyMemoryError::new_err(message));
    }
    // Looked at, so that it is asked for.
    std::hint::black_box(&memory);
    Ok(())
}

/// Every output against every input and against the other outputs.
///
/// # Errors
/// `ValueError` naming two that share memory.
pub fn check_overlaps(outputs: &Outputs<'_, '_>, inputs: [Option<&Array<'_, '_>>; 3]) -> PyResult<()> {
    for (i, output) in outputs.iter().enumerate() {
        let Some(output) = output else { continue };
        for input in inputs.into_iter().flatten() {
            output.check_overlap(input)?;
        }
        for other in outputs[..i].iter().flatten() {
            output.check_disjoint(other)?;
        }
    }
    Ok(())
}

/// The denominator's name, for refusals of Hessians that it has not.
pub fn check_surrogate(
    exact: bool,
    from_logits: bool,
    normalizer: Normalizer,
    softmax: bool,
) -> PyResult<()> {
    if exact {
        return Ok(());
    }
    let with = if !from_logits {
        "from_logits=False"
    } else if normalizer == Normalizer::FocalWeights {
        "normalizer=\"focal_weights\""
    } else if !softmax {
        "modulator=\"sigmoid\""
    } else {
        return Ok(());
    };
    Err(Error::value("hessian", format!("a surrogate with {with}"), format!("\"exact\" with {with}")).into())
}

/// The axis as a number from 0 on.
pub fn check_axis(logits: &Array<'_, '_>, axis: i64) -> PyResult<usize> {
    let dimensions = logits.shape.len() as i64;
    let from_start = if axis < 0 { axis.saturating_add(dimensions) } else { axis };
    match usize::try_from(from_start) {
        Ok(found) if from_start < dimensions => Ok(found),
        _ => {
            let got = format!("{axis} with {} of shape {}", logits.name, shape_text(logits.shape));
            Err(Error::value("class_axis", got, "an axis of the logits").into())
        }
    }
}

/// Refuses targets that have not the logits' shape, naming what would do.
fn check_shapes(logits: &Array<'_, '_>, targets: &Array<'_, '_>, axis: Option<usize>) -> PyResult<()> {
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
    Err(Error::value(targets.name, format!("shape {}", shape_text(targets.shape)), takes).into())
}

/// A shape without one of its axes.
fn without(shape: &[npy_intp], axis: usize) -> Vec<npy_intp> {
    let mut shape = shape.to_vec();
    shape.remove(axis);
    shape
}

/// Strides with one of 0 more, at that axis.
fn with_zero(strides: &[isize], axis: usize) -> Vec<isize> {
    let mut strides = strides.to_vec();
    strides.insert(axis, 0);
    strides
}
