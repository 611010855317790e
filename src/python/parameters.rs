//! The parameters of losses as Python gives and shows them.

use pyo3::exceptions::{PyMemoryError, PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString, PyTuple, PyType};

use super::array::type_name;
use super::number::{Numbers, number, number_or_sequence};
use crate::error::Error;
use crate::params::options::Named;
use crate::params::{Common, Label, Normalizer, Parameter, Reduction};

/// An argument that need not be given.
pub type Object<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// An argument that has a default other than None. Never fails to be read, so that refusals keep their
/// own words.
#[derive(Clone, Copy)]
pub struct Given<'a, 'py>(Option<Borrowed<'a, 'py, PyAny>>);

impl<'a, 'py> FromPyObject<'a, 'py> for Given<'a, 'py> {
    type Error = std::convert::Infallible;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> Result<Self, Self::Error> {
        Ok(Self(Some(object)))
    }
}

impl<'a, 'py> Given<'a, 'py> {
    /// It was not given.
    pub const NOT: Self = Self(None);

    /// What was given, else the default.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn parse<T>(self, default: T, read: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<T>) -> PyResult<T> {
        self.0.map_or(Ok(default), |object| read(&object))
    }

    /// The option of the name that was given, else the default.
    ///
    /// # Errors
    /// If there is no such name.
    pub fn option<T: Named>(self, default: T) -> PyResult<T> {
        self.option_of(default, |_| true)
    }

    /// The same, where a refusal lists only what is `offered`.
    ///
    /// # Errors
    /// If there is no such name.
    pub fn option_of<T: Named>(self, default: T, offered: fn(T) -> bool) -> PyResult<T> {
        self.parse(default, |object| read_name(object, offered))
    }
}

/// The arguments of the parameters that both losses have.
pub struct CommonArguments<'a, 'py> {
    /// Gamma.
    pub gamma: Given<'a, 'py>,
    /// How losses become the result.
    pub reduction: Reduction,
    /// What the mean divides by.
    pub normalizer: Object<'a, 'py>,
    /// What a refusal of it lists.
    pub normalizers: fn(Normalizer) -> bool,
    /// Label smoothing.
    pub label_smoothing: Given<'a, 'py>,
    /// The target that does not count.
    pub ignore_index: Object<'a, 'py>,
    /// Whether inputs are logits.
    pub from_logits: Given<'a, 'py>,
    /// The bound of probabilities.
    pub eps: Given<'a, 'py>,
}

impl CommonArguments<'_, '_> {
    /// The parameters, not checked together yet.
    ///
    /// # Errors
    /// `TypeError` and `ValueError` naming the argument.
    pub fn read(self) -> PyResult<Common> {
        let gamma = self.gamma.parse(Parameter::Number(2.0), |object| {
            read_parameter("gamma", "a finite number >= 0, or one such number a class", object)
        })?;
        Ok(Common {
            gamma,
            reduction: self.reduction,
            normalizer: self
                .normalizer
                .map_or(Ok(Normalizer::Count), |object| read_normalizer(object, self.normalizers))?,
            label_smoothing: self
                .label_smoothing
                .parse(0.0, |object| number("label_smoothing", "a number in [0, 1)", object))?,
            ignore_index: self.ignore_index.map(|object| read_label("ignore_index", object)).transpose()?,
            from_logits: self.from_logits.parse(true, |object| read_bool("from_logits", object))?,
            eps: self.eps.parse(0.0, |object| number("eps", "a number in [0, 0.5)", object))?,
        })
    }
}

/// A target with a meaning of its own. Integers are taken as they are, not as the float next to them.
///
/// # Errors
/// `TypeError` and `ValueError` naming the argument, and whatever the object itself raises.
pub fn read_label(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Label> {
    let label = number(argument, "None or a number", object)?;
    let Ok(index) = object.call_method0("__index__") else { return Ok(Label::new(label)) };
    if let Some(label) = index.extract::<i128>().ok().and_then(Label::whole) {
        return Ok(label);
    }
    if index.eq(label)? {
        return Ok(Label::new(label));
    }
    let takes = "None, a number that float64 has, or the largest int64 or uint64";
    Err(Error::value(argument, object.str()?, takes).into())
}

/// A number, or one for each class.
///
/// # Errors
/// `TypeError` naming the argument if it is neither, and whatever the object itself raises.
pub fn read_parameter(argument: &'static str, takes: &str, object: &Bound<'_, PyAny>) -> PyResult<Parameter> {
    Ok(match number_or_sequence(argument, takes, object)? {
        Numbers::One(number) => Parameter::Number(number),
        Numbers::Many(numbers) => Parameter::PerClass(numbers.into()),
    })
}

/// A whole number.
///
/// # Errors
/// `TypeError` naming the argument if it is none, `ValueError` if it is too large to be one here.
pub fn read_whole(argument: &'static str, takes: &str, object: &Bound<'_, PyAny>) -> PyResult<i64> {
    let refuse = || Error::wrong_type(argument, type_name(object), takes);
    if object.is_instance_of::<PyBool>() {
        return Err(refuse().into());
    }
    let index = match object.cast::<PyInt>() {
        Ok(int) => int.as_any().clone(),
        // NumPy's integers have it, its floats have not, its arrays have it for one element.
        Err(_) if object.hasattr("__index__")? => object.call_method0("__index__").map_err(|error| {
            // What code of Python raises, which leaves a trace, comes through as it is.
            let py = object.py();
            let by_library = error.is_instance_of::<PyTypeError>(py) && error.traceback(py).is_none();
            if by_library { refuse().into() } else { error }
        })?,
        Err(_) => return Err(refuse().into()),
    };
    index.extract().map_err(|_| Error::value(argument, &index, takes).into())
}

fn read_bool(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.extract().map_err(|_| Error::wrong_type(argument, type_name(object), "True or False").into())
}

/// The option of a name.
///
/// # Errors
/// `TypeError` if it is no string, `ValueError` if there is no such name.
fn read_name<T: Named>(object: &Bound<'_, PyAny>, offered: fn(T) -> bool) -> PyResult<T> {
    let takes = || format!("one of {}", T::names(offered));
    match object.cast::<PyString>() {
        Ok(name) => Ok(T::parse(&name.to_string_lossy(), takes)?),
        Err(_) => Err(Error::wrong_type(T::ARGUMENT, type_name(object), takes()).into()),
    }
}

fn read_normalizer(object: &Bound<'_, PyAny>, offered: fn(Normalizer) -> bool) -> PyResult<Normalizer> {
    let takes = || Normalizer::takes(offered);
    if let Ok(name) = object.cast::<PyString>() {
        return Ok(Normalizer::parse(&name.to_string_lossy(), takes)?);
    }
    Ok(Normalizer::constant(number("normalizer", &takes(), object)?, takes())?)
}

/// A parameter as users see it: a float, or a tuple of floats.
///
/// # Errors
/// `MemoryError`.
pub fn parameter_to_python<'py>(py: Python<'py>, parameter: &Parameter) -> PyResult<Bound<'py, PyAny>> {
    Ok(match parameter {
        Parameter::Number(number) => number.into_pyobject(py)?.into_any(),
        Parameter::PerClass(numbers) => PyTuple::new(py, numbers)?.into_any(),
    })
}

/// A normaliser as users see it.
///
/// # Errors
/// `MemoryError`.
pub fn normalizer_to_python(py: Python<'_>, normalizer: Normalizer) -> PyResult<Option<Bound<'_, PyAny>>> {
    Ok(match normalizer {
        Normalizer::Count => None,
        Normalizer::Constant(number) => Some(number.into_pyobject(py)?.into_any()),
        named => Some(PyString::new(py, named.name()).into_any()),
    })
}

/// A label as users see it.
///
/// # Errors
/// `MemoryError`.
pub fn label_to_python(py: Python<'_>, label: Option<Label>) -> PyResult<Option<Bound<'_, PyAny>>> {
    Ok(match label {
        None => None,
        Some(Label::Whole(number)) => Some(number.into_pyobject(py)?.into_any()),
        Some(Label::Other(number)) => Some(number.into_pyobject(py)?.into_any()),
        Some(Label::Nan) => Some(f64::NAN.into_pyobject(py)?.into_any()),
    })
}

/// The parameters of a loss by the names that its constructor takes: its own attributes.
///
/// # Errors
/// If one is missing; that would be a defect.
pub fn parameters<'py>(loss: &Bound<'py, PyAny>, names: &[&str]) -> PyResult<Bound<'py, PyDict>> {
    let parameters = PyDict::new(loss.py());
    for name in names {
        parameters.set_item(name, loss.getattr(*name)?)?;
    }
    Ok(parameters)
}

/// A copy of a loss with some parameters changed. Leaving "mean" drops a normaliser that is not named.
///
/// # Errors
/// Those of the constructor.
pub fn replaced<'py>(
    loss: &Bound<'py, PyAny>,
    names: &[&str],
    changes: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let parameters = parameters(loss, names)?;
    if let Some(changes) = changes {
        let reduction = changes.get_item("reduction")?;
        if reduction.is_some_and(|name| name.extract::<&str>().is_ok_and(|name| name != "mean")) {
            parameters.set_item("normalizer", loss.py().None())?;
        }
        parameters.update(changes.as_mapping())?;
    }
    loss.get_type().call((), Some(&parameters))
}

/// How to make a loss again from its parameters: for pickle, in every protocol, and for copy.
///
/// # Errors
/// If a parameter is missing; that would be a defect.
pub fn pickled<'py>(
    loss: &Bound<'py, PyAny>,
    names: &[&str],
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
    let py = loss.py();
    let make = py.import("copyreg")?.getattr("__newobj_ex__")?;
    Ok((make, (loss.get_type(), PyTuple::empty(py), parameters(loss, names)?).into_pyobject(py)?))
}

/// The loss of a one-call function: its first parameters by position, the others by name.
///
/// # Errors
/// Those of the constructor; `TypeError` for options that it has not.
pub fn constructed<'py>(
    class: &Bound<'py, PyType>,
    alpha: Given<'_, 'py>,
    gamma: Given<'_, 'py>,
    reduction: Given<'_, 'py>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let parameters = PyDict::new(class.py());
    for (name, given) in [("alpha", alpha), ("gamma", gamma), ("reduction", reduction)] {
        if let Some(object) = given.0 {
            parameters.set_item(name, object)?;
        }
    }
    if !parameters.contains("reduction")? {
        parameters.set_item("reduction", Reduction::None.name())?;
    }
    if let Some(options) = options {
        parameters.update(options.as_mapping())?;
    }
    class.call((), Some(&parameters))
}

/// The score at which a loss starts best, found in Python from what targets count.
///
/// # Errors
/// What it refuses.
pub fn init_score<'py>(
    loss: &Bound<'py, PyAny>,
    targets: &Bound<'py, PyAny>,
    sample_weight: Object<'_, 'py>,
    dense: Object<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let module = import(loss.py(), "focalgrad._init_score")?;
    module.getattr("init_score")?.call1((loss, targets, sample_weight, dense))
}

/// Imports a module of the package. Where there is no memory to look for it, that is a `MemoryError`, as anywhere else.
fn import<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyModule>> {
    const ENOMEM: i32 = 12;
    py.import(name).map_err(|error| {
        let number = error.value(py).getattr("errno").and_then(|number| number.extract::<i32>());
        let no_memory = error.is_instance_of::<PyOSError>(py) && number.is_ok_and(|number| number == ENOMEM);
        if no_memory { PyMemoryError::new_err(error.to_string()) } else { error }
    })
}
