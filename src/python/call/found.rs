//! The arguments of a call, found: the arrays in them or behind them, before one of their fields is read.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt};

use super::Arguments;
use crate::call::{Inputs, SampleWeight};
use crate::python::array::{Array, Held};
use crate::python::number::number;

const WEIGHT: &str = "sample_weight";

/// Arguments whose arrays have been found, which may have run any Python code.
pub struct Found<'a, 'py> {
    logits: Held<'a, 'py>,
    targets: Held<'a, 'py>,
    weight: HeldWeight<'a, 'py>,
    /// Arrays for losses, gradient and Hessian.
    pub outputs: [Option<Held<'a, 'py>>; 3],
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

    /// Reads the fields of the inputs, those of the logits being called `name`. Between this and the end of the call
    /// nothing may change them.
    ///
    /// # Errors
    /// `TypeError` for a type that is not taken.
    pub fn read<'b>(&'b self, name: &'static str) -> PyResult<Read<'b, 'py>> {
        let logits = Array::read(name, &self.logits)?;
        let targets = Array::read("targets", &self.targets)?.view;
        let sample_weight = match &self.weight {
            HeldWeight::None => SampleWeight::None,
            HeldWeight::Number(number) => SampleWeight::Number(*number),
            HeldWeight::Array(held) => SampleWeight::Array(Array::read(WEIGHT, held)?.view),
        };
        Ok(Read { logits, inputs: Inputs { logits: logits.view, targets, sample_weight } })
    }
}

/// Inputs whose fields have been read.
pub struct Read<'b, 'py> {
    /// The logits, which results are like.
    pub logits: Array<'b, 'py>,
    /// What the core sees.
    pub inputs: Inputs<'b>,
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
