//! What is no plain NumPy array: how to get at the array in it without a copy, and which words it gets if there is
//! none.
//!
//! No library is imported but NumPy: objects are known by what they offer.

use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

use super::array::{Array, Held, is_scalar, type_name};
use super::columns::column;
use crate::element::DType;
use crate::error::Error;

/// What every operand may be.
pub fn takes() -> String {
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
        check_items(name, object, MOST_NESTED)?;
        return asarray(name, object);
    }
    if object.is_instance_of::<PyBytes>() {
        return asarray(name, PyMemoryView::from(object)?.as_any());
    }
    if let Some(array) = column(name, object)? {
        return Ok(array);
    }
    if gives_true(object, "is_deleted")? {
        let got = format!("a {} whose memory was given away (donated or deleted)", type_name(object));
        return Err(refuse(format!("{got}; pass a copy that was made before")));
    }
    if is_true(object, "requires_grad")? {
        return Err(refuse(format!("a {} that requires grad; pass its .detach()", type_name(object))));
    }
    if gives_true(object, "is_neg")? {
        let got = format!("a {} that is a negative view; pass its .resolve_neg()", type_name(object));
        return Err(refuse(got));
    }
    if is_true(object, "is_sparse")? || object.hasattr("toarray")? && object.hasattr("nnz")? {
        return Err(refuse(format!("the sparse {}; make it dense first", type_name(object))));
    }
    if object.hasattr("__dlpack__")? && object.hasattr("__dlpack_device__")? {
        return from_dlpack(name, object);
    }
    asarray(name, object)
}

/// Whether an object is a list or a tuple.
fn is_list(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>()
}

/// Lists in lists have no more dimensions than NumPy's arrays may have.
const MOST_NESTED: usize = 64;

/// Refuses lists of what is refused by itself: NumPy would look at no mask and at no missing value of an item.
fn check_items(name: &'static str, object: &Bound<'_, PyAny>, nested: usize) -> PyResult<()> {
    if nested == 0 || !is_list(object) {
        return Ok(());
    }
    for item in object.try_iter()? {
        let item = item?;
        if is_list(&item) {
            check_items(name, &item, nested - 1)?;
        } else if !is_plain(&item) && !item.is_none() && !item.is_instance_of::<PyString>() {
            Held::new(name, &item)?;
        }
    }
    Ok(())
}

/// The NumPy array in or behind an object, for what is computed in Python: what calls refuse is refused.
#[pyfunction]
pub fn read_array<'py>(name: &str, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    const NAMES: [&str; 4] = ["targets", "sample_weight", "scores", "counts"];
    let name = NAMES.into_iter().find(|known| *known == name).unwrap_or("the argument");
    let held = Held::new(name, object)?;
    Array::read(name, &held)?;
    Ok(held.array().clone())
}

/// Numbers and containers of Python, and what gives its memory through the buffer protocol and nothing else.
fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    is_list(object)
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

/// Whether an object has that method and it says so: `is_neg` of a torch tensor that is a view whose signs are only
/// noted, for DLPack hands over the memory without them, or `is_deleted` of a jax array.
fn gives_true(object: &Bound<'_, PyAny>, method: &str) -> PyResult<bool> {
    let Some(method) = object.getattr_opt(method)?.filter(|method| method.is_callable()) else {
        return Ok(false);
    };
    Ok(method.call0()?.extract().unwrap_or(false))
}

/// `numpy.asarray`, but for masked arrays that mask something.
///
/// # Errors
/// `TypeError` or `ValueError` for what gives no array, and what the object itself raises.
pub fn asarray<'py>(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let array = FUNCTION
        .import(object.py(), "numpy", "asanyarray")?
        .call1((object,))
        .map_err(|error| unreadable(name, object, error))?;
    refuse_masked(name, &array).map(|()| array)
}

/// The array behind DLPack's protocol, by NumPy's own reader.
fn from_dlpack<'py>(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    /// DLPack's numbers for memory that the processor reads: its own, CUDA's and ROCm's pinned.
    const HOST: [i64; 3] = [1, 3, 11];
    let refuse = |got: String| PyErr::from(Error::wrong_type(name, got, takes()));
    let device = object.call_method0("__dlpack_device__")?;
    let Ok((number, _)) = device.extract::<(i64, i64)>() else {
        let got = format!("a {} whose __dlpack_device__() is {}", type_name(object), device.repr()?);
        return Err(refuse(got));
    };
    if !HOST.contains(&number) {
        let got = format!("a {} on device type {number}; copy it to the CPU first", type_name(object));
        return Err(refuse(got));
    }
    let py = object.py();
    match FUNCTION.import(py, "numpy", "from_dlpack")?.call1((object,)) {
        // What DLPack or NumPy's reader cannot express, the object's own way to NumPy may.
        Err(error) if says_cannot(py, &error) && object.hasattr("__array__")? => {
            // Its own library may say so too, such as torch of a tensor of bfloat16.
            asarray(name, object).map_err(|error| {
                let by_library = error.is_instance_of::<PyTypeError>(py) && error.traceback(py).is_some();
                if by_library { no_array(name, object, error) } else { error }
            })
        }
        result => result.map_err(|error| unreadable(name, object, error)),
    }
}

/// Whether an error is one of those by which NumPy and the two sides of DLPack say that they cannot express something.
fn says_cannot(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyBufferError>(py)
        || error.is_instance_of::<PyRuntimeError>(py)
        || error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyValueError>(py)
}

/// The refusal of what NumPy can make no array of, such as lists of unequal lengths. What an object's own code raises stays
/// as it is.
fn unreadable(name: &'static str, object: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = object.py();
    // Only code of Python leaves a trace. Buffers have none of their own; what NumPy does with them may.
    let by_numpy = is_plain(object) && !is_list(object) || error.traceback(py).is_none();
    if by_numpy && says_cannot(py, &error) { no_array(name, object, error) } else { error }
}

/// The refusal of an object that gives no array, in the words of what was raised instead.
fn no_array(name: &'static str, object: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = object.py();
    let got = format!("a {}, which gives no NumPy array: {}", type_name(object), error.value(py));
    let is_value = error.is_instance_of::<PyValueError>(py);
    let refusal =
        if is_value { Error::value(name, got, takes()) } else { Error::wrong_type(name, got, takes()) };
    let refusal = PyErr::from(refusal);
    refusal.set_cause(py, Some(error));
    refusal
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

/// What to do with an array of objects or strings: to convert it, where that gives numbers. `made`: it was made of an
/// object that may have no such method.
fn of_words(array: &Bound<'_, PyAny>, made: bool) -> &'static str {
    let converted = array.call_method1("astype", ("float64",));
    match (converted.is_ok(), made) {
        (true, false) => "; convert it with .astype(numpy.float64)",
        (true, true) => "; convert it with numpy.asarray(it).astype(numpy.float64)",
        (false, _) => {
            ", whose elements are no numbers; encode labels as numbers first, two kinds with numpy.asarray(it) == label"
        }
    }
}

/// The refusal of an array whose type is not taken, `from` being the type of what it was made of.
#[cold]
pub fn refuse_dtype(name: &'static str, array: &Bound<'_, PyAny>, from: Option<&str>) -> PyErr {
    let describe = || -> PyResult<String> {
        let dtype = array.getattr("dtype")?;
        let kind: String = dtype.getattr("kind")?.extract()?;
        let native: bool = dtype.getattr("isnative")?.extract()?;
        let structured = !dtype.getattr("names")?.is_none();
        let size: usize = dtype.getattr("itemsize")?.extract()?;
        let advice = match kind.as_str() {
            "f" | "i" | "u" if !native && size <= 8 => "; convert it with .astype(dtype.newbyteorder('='))",
            "c" if native && size <= 16 => "; take its .real",
            "c" => "; convert its .real with .astype(numpy.float64)",
            "V" if structured => "; pick one of its fields",
            "M" | "m" => "; make numbers of it first, with .astype(numpy.int64)",
            "O" | "U" | "S" | "T" => of_words(array, from.is_some()),
            _ => "; convert it with .astype(numpy.float64)",
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
