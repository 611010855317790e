//! Numbers as parameters: Python's, NumPy's scalars and arrays without dimensions; no booleans.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::array::type_name;
use crate::error::Error;

/// What a parameter may be.
pub enum Numbers {
    /// One number.
    One(f64),
    /// A sequence of numbers, one a class.
    Many(Vec<f64>),
}

/// The number or the numbers that an object stands for: a list, a tuple or an array of one dimension.
///
/// # Errors
/// As [`number`], for each.
pub fn number_or_sequence(
    argument: &'static str,
    takes: &str,
    object: &Bound<'_, PyAny>,
) -> PyResult<Numbers> {
    let dimensions = object.getattr_opt("ndim")?.and_then(|ndim| ndim.extract::<usize>().ok()).unwrap_or(0);
    let is_sequence = object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>();
    if !is_sequence && dimensions != 1 {
        return number(argument, takes, object).map(Numbers::One);
    }
    let mut numbers = Vec::new();
    for item in object.try_iter()? {
        numbers.push(number(argument, takes, &item?)?);
    }
    Ok(Numbers::Many(numbers))
}

/// The number that an object stands for.
///
/// # Errors
/// `TypeError` naming the argument if the object is not one real number, and whatever the object itself
/// raises.
pub fn number(argument: &'static str, takes: &str, object: &Bound<'_, PyAny>) -> PyResult<f64> {
    let refuse = |got: String| PyErr::from(Error::wrong_type(argument, got, takes));
    if object.is_instance_of::<PyBool>() {
        return Err(refuse(format!("the bool {object}")));
    }
    if object.is_instance_of::<PyFloat>() {
        return object.extract();
    }
    if object.is_instance_of::<PyInt>() {
        return object
            .extract()
            .map_err(|_| Error::value(argument, "an integer beyond float64", takes).into());
    }
    if object.is_instance_of::<PyString>() {
        return Err(refuse(format!("the string {}", object.repr()?)));
    }
    // NumPy's scalars and arrays: by what they hold, not by whether they could be converted.
    if let Some(dtype) = object.getattr_opt("dtype")? {
        let dimensions = object.getattr_opt("ndim")?.map_or(Ok(0), |ndim| ndim.extract::<usize>())?;
        let kind = dtype.getattr_opt("kind")?.map_or(Ok(String::new()), |kind| kind.extract())?;
        if dimensions > 0 {
            return Err(refuse(format!("an array with {dimensions} dimension(s)")));
        }
        if !matches!(kind.as_str(), "i" | "u" | "f") {
            return Err(refuse(format!("{} of dtype {dtype}", type_name(object))));
        }
    } else if !object.hasattr("__float__")? {
        return Err(refuse(type_name(object)));
    }
    object.call_method0("__float__")?.extract()
}
