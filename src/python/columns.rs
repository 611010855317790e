//! Columns and tables of pandas, polars and pyarrow: the array behind them, if nothing in it is missing. NumPy would
//! make a NaN of what is.

use pyo3::prelude::*;

use super::array::type_name;
use super::foreign::{asarray, takes};
use crate::error::Error;

/// The array behind a column or a table; none if the object is no such thing. What kind it is its type says: labels of a
/// frame may be called anything.
///
/// # Errors
/// `ValueError` for missing values, `TypeError` for what NumPy has no numbers for, and what the object itself raises.
pub fn column<'py>(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let offers = |attribute| object.get_type().hasattr(attribute);
    if offers("null_count")? || offers("itercolumns")? {
        if !offers("__array__")? {
            return Err(without_numbers(name, object)?);
        }
        return match lacks(object)? {
            true => Err(missing(name, object)),
            false => asarray(name, object).map(Some),
        };
    }
    if !offers("isna")? {
        return Ok(None);
    }
    if !offers("dtype")? {
        return frame(name, object).map(Some);
    }
    let dtype = object.getattr("dtype")?;
    if is_numpy(&dtype)? {
        return asarray(name, object).map(Some);
    }
    if dtype.hasattr("fill_value")? {
        let got = format!("a sparse {}; make it dense first", type_name(object));
        return Err(Error::wrong_type(name, got, takes()).into());
    }
    if object.call_method0("isna")?.call_method0("any")?.is_truthy()? {
        return Err(missing(name, object));
    }
    match dtype.getattr_opt("numpy_dtype")? {
        Some(numpy_dtype) => object.call_method1("to_numpy", (numpy_dtype,)).map(Some),
        None => asarray(name, object).map(Some),
    }
}

/// Whether a dtype is one of NumPy's.
fn is_numpy(dtype: &Bound<'_, PyAny>) -> PyResult<bool> {
    dtype.hasattr("newbyteorder")
}

/// Whether a column or a table of polars or pyarrow lacks values, also those of lists, dictionaries and runs.
fn lacks(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let offers = |attribute| object.get_type().hasattr(attribute);
    for columns in ["itercolumns", "iter_columns"] {
        if offers(columns)? {
            return any_lacks(&object.call_method0(columns)?);
        }
    }
    if !offers("null_count")? {
        return Ok(false);
    }
    // A method of polars, a number of pyarrow.
    let count = object.getattr("null_count")?;
    let count = if count.is_callable() { count.call0()? } else { count };
    if count.extract::<u64>().is_ok_and(|count| count > 0) {
        return Ok(true);
    }
    if offers("explode")? && is_nested(&object.getattr("dtype")?)? {
        return lacks(&object.call_method0("explode")?);
    }
    if offers("chunks")? && any_lacks(&object.getattr("chunks")?)? {
        return Ok(true);
    }
    for values in ["dictionary", "values", "storage"] {
        if offers(values)? && lacks(&object.getattr(values)?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether one of several columns lacks values.
fn any_lacks(columns: &Bound<'_, PyAny>) -> PyResult<bool> {
    for column in columns.try_iter()? {
        if lacks(&column?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a column of polars has arrays for elements.
fn is_nested(dtype: &Bound<'_, PyAny>) -> PyResult<bool> {
    dtype.getattr_opt("is_nested")?.map_or(Ok(false), |is_nested| is_nested.call0()?.is_truthy())
}

/// The array behind a frame of pandas whose columns are NumPy's.
fn frame<'py>(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    for dtype in object.getattr("dtypes")?.try_iter()? {
        let dtype = dtype?;
        if dtype.hasattr("na_value")? && !is_numpy(&dtype)? {
            let got =
                format!("a {} with a column of dtype {dtype}; pass its .to_numpy(dtype)", type_name(object));
            return Err(Error::wrong_type(name, got, takes()).into());
        }
    }
    asarray(name, object)
}

/// The refusal of what polars is yet to compute, with the way to its numbers.
fn without_numbers(name: &'static str, object: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let advice = match object.hasattr("collect")? {
        true => "pass its .collect()",
        false => "pass the column that it selects, frame.select(expression).to_series()",
    };
    let got = format!("a {}, which has no numbers yet; {advice}", type_name(object));
    Ok(Error::wrong_type(name, got, takes()).into())
}

/// Missing values are refused: to a loss they are nothing.
fn missing(name: &'static str, object: &Bound<'_, PyAny>) -> PyErr {
    let offers = |method| object.hasattr(method).unwrap_or(false);
    let cures = ["fillna(value)", "fill_null(value)", "dropna()", "drop_nulls()", "drop_null()"];
    let known = cures.into_iter().filter(|cure| cure.split('(').next().is_some_and(offers));
    let cures: Vec<_> = known.map(|cure| format!("its .{cure}")).collect();
    let got = format!("a {} with missing values; pass {}", type_name(object), cures.join(" or "));
    Error::value(name, got, "without missing values").into()
}
