//! How the core's refusals look in Python.

use pyo3::PyErr;
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};

use crate::error::Error;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Type { .. } => PyTypeError::new_err(message),
            Error::Value { .. } | Error::Overlap { .. } | Error::Isa { .. } => PyValueError::new_err(message),
            Error::Memory(_) => PyMemoryError::new_err(message),
        }
    }
}
