//! What is no plain NumPy array: how to get at the array in it without a copy, and which words it gets if there is
//! none.
//!
//! No library is imported but NumPy: objects are known by what they offer.

use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

use super::array::{is_scalar, type_name};
use crate::element::DType;
use crate::error::Error;

/// What every operand may be.
fn takes() -> String {
    let names: Vec<_> = DType::ALL.iter().map(|dtype| dtype.name()).collect();
    format!("an array of dtype {}", names.join(", "))
}

/// NumPy's array behind an object that is no NumPy array.
///
/// # Errors
/// `TypeError` or `ValueError` for what must not be read, and what the object itself raises.
#[cold]
pub fn ndarray<'py>(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let refuse = |got: String| PyErr::from(Error::wrong_type(name, got, takes()));
    if object.is_none() || object.is_instance_of::<PyString>() {
        return Err(refuse(type_name(object)));
    }
    if is_plain(object) {
        return asarray(object);
    }
    if object.is_instance_of::<PyBytes>() {
        return asarray(PyMemoryView::from(object)?.as_any());
    }
    if is_true(object, "requires_grad")? {
        return Err(refuse(format!("a {} that requires grad; pass its .detach()", type_name(object))));
    }
    if is_negated(object)? {
        let got = format!("a {} that is a negative view; pass its .resolve_neg()", type_name(object));
        return Err(refuse(got));
    }
    if is_true(object, "is_sparse")? || object.hasattr("toarray")? && object.hasattr("nnz")? {
        return Err(refuse(format!("the sparse {}; make it dense first", type_name(object))));
    }
    if let Some(array) = column(name, object)? {
        return Ok(array);
    }
    if object.hasattr("__dlpack__")? && object.hasattr("__dlpack_device__")? {
        return from_dlpack(name, object);
    }
    asarray(object)
}

/// Numbers and containers of Python, and what gives its memory through the buffer protocol and nothing else.
fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyList>()
        || object.is_instance_of::<PyTuple>()
        || object.is_instance_of::<PyFloat>()
        || object.is_instance_of::<PyInt>()
        || object.is_instance_of::<PyBool>()
        || object.is_instance_of::<PyByteArray>()
        || object.is_instance_of::<PyMemoryView>()
        || is_scalar(object)
}

/// Whether an object has that attribute and it is true.
fn is_true(object: &Bound<'_, PyAny>, attribute: &str) -> PyResult<bool> {
    object.getattr_opt(attribute)?.map_or(Ok(false), |value| value.is_truthy())
}

/// Whether a torch tensor is a view whose signs are only noted: DLPack hands over the memory without them.
fn is_negated(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Some(method) = object.getattr_opt("is_neg")?.filter(|method| method.is_callable()) else {
        return Ok(false);
    };
    Ok(method.call0()?.extract().unwrap_or(false))
}

/// `numpy.asarray`.
fn asarray<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FUNCTION.import(object.py(), "numpy", "asarray")?.call1((object,))
}

/// The array behind DLPack's protocol, by NumPy's own reader.
fn from_dlpack<'py>(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    /// DLPack's numbers for memory that the processor reads: its own, CUDA's and ROCm's pinned.
    const HOST: [i64; 3] = [1, 3, 11];
    let (device, _): (i64, Bound<'_, PyAny>) = object.call_method0("__dlpack_device__")?.extract()?;
    if !HOST.contains(&device) {
        let got = format!("a {} on device type {device}; copy it to the CPU first", type_name(object));
        return Err(Error::wrong_type(name, got, takes()).into());
    }
    let py = object.py();
    match FUNCTION.import(py, "numpy", "from_dlpack")?.call1((object,)) {
        // What DLPack or NumPy's reader cannot express, the object's own way to NumPy may.
        Err(error) if says_cannot(py, &error) && object.hasattr("__array__")? => {
            asarray(object).map_err(|error| unreadable(name, object, error))
        }
        result => result,
    }
}

/// Whether an error is one of those by which DLPack's two sides say that they cannot express something.
fn says_cannot(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyBufferError>(py)
        || error.is_instance_of::<PyRuntimeError>(py)
        || error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyValueError>(py)
}

/// The refusal of what neither DLPack nor its own library can make an array of, such as a torch tensor of bfloat16.
fn unreadable(name: &'static str, object: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = object.py();
    if !error.is_instance_of::<PyTypeError>(py) {
        return error;
    }
    let got = format!("a {}, which gives no NumPy array: {}", type_name(object), error.value(py));
    let refusal = PyErr::from(Error::wrong_type(name, got, takes()));
    refusal.set_cause(py, Some(error));
    refusal
}

/// The array behind a column of pandas, polars or pyarrow; none if the object is no such thing.
fn column<'py>(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Some(count) = object.getattr_opt("null_count")? {
        // polars: a method; pyarrow: a number. Frames answer with a frame, and are not columns.
        let count = if count.is_callable() { count.call0()? } else { count };
        let Ok(nulls) = count.extract::<i64>() else { return Ok(None) };
        if nulls > 0 {
            return Err(missing(name, object, "fill_null()"));
        }
        return asarray(object).map(Some);
    }
    if !object.hasattr("iloc")? || !object.hasattr("isna")? {
        return Ok(None);
    }
    let Some(dtype) = object.getattr_opt("dtype")? else { return frame(name, object).map(Some) };
    let Some(numpy_dtype) = dtype.getattr_opt("numpy_dtype")? else {
        // NumPy's own dtypes; and categories and the like, which become arrays of objects and are refused as such.
        return match dtype.hasattr("fill_value")? {
            true => Err(Error::wrong_type(name, format!("a sparse {}", type_name(object)), takes()).into()),
            false => asarray(object).map(Some),
        };
    };
    if is_true(object, "hasnans")? {
        return Err(missing(name, object, "fillna()"));
    }
    object.call_method1("to_numpy", (numpy_dtype,)).map(Some)
}

/// The array behind a frame whose columns are NumPy's.
fn frame<'py>(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    for dtype in object.getattr("dtypes")?.try_iter()? {
        let dtype = dtype?;
        if dtype.hasattr("na_value")? && !dtype.hasattr("newbyteorder")? {
            let got =
                format!("a {} with a column of dtype {dtype}; pass its .to_numpy(dtype)", type_name(object));
            return Err(Error::wrong_type(name, got, takes()).into());
        }
    }
    asarray(object)
}

/// Missing values are refused: to a loss they are nothing.
fn missing(name: &'static str, object: &Bound<'_, PyAny>, cure: &str) -> PyErr {
    let got = format!("a {} with missing values; drop them or use {cure}", type_name(object));
    Error::value(name, got, "without missing values").into()
}

/// Refuses masked arrays that mask something.
///
/// # Errors
/// `TypeError` with advice.
#[cold]
pub fn refuse_masked(name: &'static str, object: &Bound<'_, PyAny>) -> PyResult<()> {
    // Of all array classes only these keep a mask beside the data, under this name.
    let Some(mask) = object.getattr_opt("_mask")? else { return Ok(()) };
    if !mask.hasattr("any")? || !mask.call_method0("any")?.is_truthy()? {
        return Ok(());
    }
    let got =
        "a masked array with masked elements; pass .filled(value), or .compressed() with targets to match";
    Err(Error::wrong_type(name, got, "an array without a mask").into())
}

/// The refusal of an array whose type is not taken, `from` being the type of what it was made of.
#[cold]
pub fn refuse_dtype(name: &'static str, array: &Bound<'_, PyAny>, from: Option<&str>) -> PyErr {
    let describe = || -> PyResult<String> {
        let dtype = array.getattr("dtype")?;
        let kind: String = dtype.getattr("kind")?.extract()?;
        let native: bool = dtype.getattr("isnative")?.extract()?;
        let structured = !dtype.getattr("names")?.is_none();
        let advice = match kind.as_str() {
            "f" | "i" | "u" if !native => "; convert it with .astype(dtype.newbyteorder('='))",
            "c" => "; take its .real",
            "f" | "O" => "; convert it with .astype(numpy.float64)",
            "V" if structured => "; pick one of its fields",
            _ => "",
        };
        // long double has another name on every machine.
        let long = if kind == "f" && native { " (long double)" } else { "" };
        let from = from.map_or(String::new(), |from| format!("{from}, for NumPy "));
        Ok(format!("{from}an array of dtype {}{long}{advice}", dtype.str()?))
    };
    match describe() {
        Ok(got) => Error::wrong_type(name, got, takes()).into(),
        Err(error) => error,
    }
}
