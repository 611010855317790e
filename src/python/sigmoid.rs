//! The public class of the sigmoid focal loss, and its one-call function.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::array::type_name;
use super::call::{Arguments, Results, Wanted, evaluate};
use super::number::{number, number_or_sequence};
use crate::error::Error;
use crate::loss::{self, Hessian, Normalizer, Reduction};

type Object<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// Sigmoid (binary) focal loss.
///
/// For a logit :math:`x`, a target :math:`y \in \{0, 1\}` and :math:`p = 1 / (1 + e^{-x})` the loss is
///
/// .. math:: -\alpha_t (1 - p_t)^\gamma \log p_t
///
/// with :math:`p_t = p, \alpha_t = \alpha` for positives (:math:`y = 1`) and
/// :math:`p_t = 1 - p, \alpha_t = 1 - \alpha` for negatives. Easy examples, those with :math:`p_t` close
/// to 1, count less the larger :math:`\gamma` is; :math:`\gamma = 0` is cross entropy.
///
/// A loss is immutable, hashable, comparable and picklable, and its ``repr`` is the call that makes it.
///
/// Parameters
/// ----------
/// alpha : float or None, default 0.25
///     Weight of positives, in [0, 1]; that of negatives is ``1 - alpha``. ``None``, and any negative
///     number, is no weighting.
/// gamma : float, default 2.0
///     Focusing parameter, finite and >= 0.
/// reduction : {"none", "sum", "mean"}, default "mean"
///     What a call returns: the losses, their sum, or their sum divided by the normaliser.
/// normalizer : None, "weights", "positives" or float, default None
///     What "mean" divides by: the number of elements, the sum of the sample and alpha weights, the
///     number of positives, or a positive number. Where it is 0, value, gradient and Hessian are 0.
///
/// Raises
/// ------
/// TypeError
///     If a parameter is of the wrong type (booleans are no numbers).
/// ValueError
///     If `alpha` is above 1 or NaN, `gamma` negative or not finite, `reduction` unknown, or `normalizer`
///     unknown, not positive, or given without ``reduction="mean"``.
///
/// See Also
/// --------
/// sigmoid_focal_loss : The same as one call.
///
/// Notes
/// -----
/// Results are within 8 ulp (gradients 10, Hessians 12) of the exact value for every logit and
/// ``gamma <= 5``. They have the same bits for any number of threads. Calls on large arrays run in
/// parallel, without the interpreter; other threads must not write to the arrays meanwhile.
///
/// NaN logits, and targets that are neither 0 nor 1, give NaN for their element. Infinite logits give the
/// limit. A weight of 0 makes even an infinite loss 0.
///
/// References
/// ----------
/// T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal Loss for Dense Object Detection",
/// ICCV 2017, equation 5.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> import focalgrad as fg
/// >>> logits = np.array([2.0, -1.0, 0.5])
/// >>> targets = np.array([1, 0, 0], dtype=np.uint8)
/// >>> loss = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0, reduction="sum")
/// >>> loss
/// SigmoidFocalLoss(alpha=0.25, gamma=2.0, reduction='sum')
/// >>> round(loss(logits, targets), 6)
/// 0.300503
/// >>> loss.grad(logits, targets).round(6)
/// array([-0.001218,  0.039436,  0.394614])
#[pyclass(frozen, eq, hash, module = "focalgrad")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SigmoidFocalLoss(loss::SigmoidFocalLoss);

#[pymethods]
impl SigmoidFocalLoss {
    #[new]
    #[pyo3(
        signature = (alpha=Given::NOT, gamma=Given::NOT, *, reduction=Given::NOT, normalizer=None),
        text_signature = "(alpha=0.25, gamma=2.0, *, reduction='mean', normalizer=None)"
    )]
    fn new(
        alpha: Given<'_, '_>,
        gamma: Given<'_, '_>,
        reduction: Given<'_, '_>,
        normalizer: Object<'_, '_>,
    ) -> PyResult<Self> {
        let reduction = reduction.parse(Reduction::Mean, read_reduction)?;
        Self::from_arguments(alpha, gamma, reduction, normalizer)
    }

    /// Weight of positives; None is no weighting.
    #[getter]
    fn alpha(&self) -> Option<f64> {
        self.0.alpha()
    }

    /// Focusing parameter.
    #[getter]
    fn gamma(&self) -> f64 {
        self.0.gamma()
    }

    /// What a call returns: "none", "sum" or "mean".
    #[getter]
    fn reduction(&self) -> &'static str {
        self.0.reduction().name()
    }

    /// What the mean divides by.
    #[getter]
    fn normalizer<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(match (self.0.normalizer(), self.0.normalizer().name()) {
            (Normalizer::Constant(number), _) => Some(number.into_pyobject(py)?.into_any()),
            (_, name) => name.map(|name| PyString::new(py, name).into_any()),
        })
    }

    /// The loss.
    ///
    /// Parameters
    /// ----------
    /// logits : array_like of real numbers
    ///     Raw scores, of any shape and memory layout. Integers and bools count as float64.
    /// targets : array_like of real numbers or bools
    ///     0 or 1, of the logits' shape.
    /// sample_weight : float or array_like, optional
    ///     Multiplies the losses; broadcasts to the logits' shape.
    /// out : ndarray, optional
    ///     With ``reduction="none"``: an array of the logits' shape and dtype to fill and return. It may be
    ///     the very same array as an input.
    ///
    /// Returns
    /// -------
    /// float or ndarray
    ///     A float; with ``reduction="none"`` an array of the logits' shape and dtype.
    ///
    /// Raises
    /// ------
    /// TypeError
    ///     If an argument is of a type or dtype that is not taken.
    /// ValueError
    ///     If shapes differ, values are missing, or an output is read-only, overlaps another array,
    ///     or has no use.
    ///
    /// Examples
    /// --------
    /// >>> import numpy as np
    /// >>> import focalgrad as fg
    /// >>> loss = fg.SigmoidFocalLoss(gamma=2.0, reduction="none")
    /// >>> loss(np.array([0.0, 1.0]), np.array([True, True])).round(6)
    /// array([0.043322, 0.005665])
    #[pyo3(signature = (logits, targets, *, sample_weight=None, out=None))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        logits: &Bound<'py, PyAny>,
        targets: &Bound<'py, PyAny>,
        sample_weight: Object<'_, 'py>,
        out: Object<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let wanted = Wanted { value: true, grad: false, hess: None };
        let arguments = Arguments { value_out: ("out", out), ..arguments(logits, targets, sample_weight) };
        evaluate(py, &self.0, wanted, &arguments)?.value.ok_or_else(missing)
    }

    /// The gradient of the loss with respect to the logits.
    ///
    /// With :math:`z = \pm x` the logit of the true class, :math:`p = \sigma(z)` and :math:`q = 1 - p`
    ///
    /// .. math:: \frac{df}{dz} = -q^\gamma (q - \gamma p \log p)
    ///
    /// times the weights; with ``reduction="mean"`` over the normaliser. With ``reduction="none"`` it is the
    /// gradient of the sum.
    ///
    /// Parameters
    /// ----------
    /// logits : array_like of real numbers
    ///     Raw scores, of any shape and memory layout. Integers and bools count as float64.
    /// targets : array_like of real numbers or bools
    ///     0 or 1, of the logits' shape.
    /// sample_weight : float or array_like, optional
    ///     Multiplies the losses; broadcasts to the logits' shape.
    /// out : ndarray, optional
    ///     An array of the logits' shape and dtype to fill and return. It may be the very same array as an
    ///     input.
    ///
    /// Returns
    /// -------
    /// ndarray
    ///     Of the logits' shape and dtype.
    ///
    /// Raises
    /// ------
    /// TypeError
    ///     If an argument is of a type or dtype that is not taken.
    /// ValueError
    ///     If shapes differ, values are missing, or an output is read-only or overlaps another array.
    ///
    /// Examples
    /// --------
    /// >>> import numpy as np
    /// >>> import focalgrad as fg
    /// >>> loss = fg.SigmoidFocalLoss(alpha=None, gamma=0.0, reduction="sum")
    /// >>> loss.grad(np.array([0.0, 0.0]), np.array([1.0, 0.0]))
    /// array([-0.5,  0.5])
    #[pyo3(signature = (logits, targets, *, sample_weight=None, out=None))]
    fn grad<'py>(
        &self,
        py: Python<'py>,
        logits: &Bound<'py, PyAny>,
        targets: &Bound<'py, PyAny>,
        sample_weight: Object<'_, 'py>,
        out: Object<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let wanted = Wanted { value: false, grad: true, hess: None };
        let arguments = Arguments { grad_out: ("out", out), ..arguments(logits, targets, sample_weight) };
        evaluate(py, &self.0, wanted, &arguments)?.grad.ok_or_else(missing)
    }

    /// The loss and its gradient in one pass.
    ///
    /// Both have the bits that the separate calls give.
    ///
    /// Parameters
    /// ----------
    /// logits : array_like of real numbers
    ///     Raw scores, of any shape and memory layout. Integers and bools count as float64.
    /// targets : array_like of real numbers or bools
    ///     0 or 1, of the logits' shape.
    /// sample_weight : float or array_like, optional
    ///     Multiplies the losses; broadcasts to the logits' shape.
    /// out : ndarray, optional
    ///     With ``reduction="none"``: an array of the logits' shape and dtype to fill with the losses.
    /// grad_out : ndarray, optional
    ///     An array of the logits' shape and dtype to fill with the gradient. Either may be the very same
    ///     array as an input.
    ///
    /// Returns
    /// -------
    /// value : float or ndarray
    ///     The loss.
    /// grad : ndarray
    ///     Its gradient, of the logits' shape and dtype.
    ///
    /// Raises
    /// ------
    /// TypeError
    ///     If an argument is of a type or dtype that is not taken.
    /// ValueError
    ///     If shapes differ, values are missing, or an output is read-only, overlaps another array,
    ///     or has no use.
    ///
    /// Examples
    /// --------
    /// >>> import numpy as np
    /// >>> import focalgrad as fg
    /// >>> loss = fg.SigmoidFocalLoss(alpha=None, gamma=0.0)
    /// >>> value, grad = loss.value_and_grad(np.zeros(2), np.array([1.0, 0.0]))
    /// >>> round(value, 6)
    /// 0.693147
    /// >>> grad
    /// array([-0.25,  0.25])
    #[pyo3(signature = (logits, targets, *, sample_weight=None, out=None, grad_out=None))]
    fn value_and_grad<'py>(
        &self,
        py: Python<'py>,
        logits: &Bound<'py, PyAny>,
        targets: &Bound<'py, PyAny>,
        sample_weight: Object<'_, 'py>,
        out: Object<'_, 'py>,
        grad_out: Object<'_, 'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let wanted = Wanted { value: true, grad: true, hess: None };
        let arguments = Arguments {
            value_out: ("out", out),
            grad_out: ("grad_out", grad_out),
            ..arguments(logits, targets, sample_weight)
        };
        let Results { value, grad, .. } = evaluate(py, &self.0, wanted, &arguments)?;
        value.zip(grad).ok_or_else(missing)
    }

    /// The gradient and the diagonal of the Hessian in one pass.
    ///
    /// With :math:`L = -\log p` and the notation of :meth:`grad`, "exact" is
    ///
    /// .. math:: \frac{d^2 f}{dz^2} = p q^\gamma [q (1 + 2 \gamma - \gamma L) + \gamma^2 p L]
    ///
    /// which is negative for hard examples, as focal loss is not convex. "gauss_newton" is :math:`p |f'|`,
    /// never negative and equal to the exact one at :math:`\gamma = 0`; "upper" is :math:`1 + \gamma` times
    /// that, and never below the exact one.
    ///
    /// Parameters
    /// ----------
    /// logits : array_like of real numbers
    ///     Raw scores, of any shape and memory layout. Integers and bools count as float64.
    /// targets : array_like of real numbers or bools
    ///     0 or 1, of the logits' shape.
    /// sample_weight : float or array_like, optional
    ///     Multiplies the losses; broadcasts to the logits' shape.
    /// hessian : {"exact", "gauss_newton", "upper"}, default "exact"
    ///     Which Hessian.
    /// grad_out, hess_out : ndarray, optional
    ///     Arrays of the logits' shape and dtype to fill and return. Either may be the very same array as an
    ///     input.
    ///
    /// Returns
    /// -------
    /// grad, hess : ndarray
    ///     Of the logits' shape and dtype.
    ///
    /// Raises
    /// ------
    /// TypeError
    ///     If an argument is of a type or dtype that is not taken.
    /// ValueError
    ///     If `hessian` is unknown, shapes differ, values are missing, or an output is read-only or
    ///     overlaps another array.
    ///
    /// Examples
    /// --------
    /// >>> import numpy as np
    /// >>> import focalgrad as fg
    /// >>> loss = fg.SigmoidFocalLoss(alpha=None, gamma=0.0, reduction="sum")
    /// >>> grad, hess = loss.grad_and_hess(np.zeros(2), np.array([1.0, 0.0]))
    /// >>> hess
    /// array([0.25, 0.25])
    #[pyo3(
        signature = (logits, targets, *, sample_weight=None, hessian=Given::NOT, grad_out=None, hess_out=None),
        text_signature = "($self, logits, targets, *, sample_weight=None, hessian='exact', grad_out=None, hess_out=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are the call's")]
    fn grad_and_hess<'py>(
        &self,
        py: Python<'py>,
        logits: &Bound<'py, PyAny>,
        targets: &Bound<'py, PyAny>,
        sample_weight: Object<'_, 'py>,
        hessian: Given<'_, 'py>,
        grad_out: Object<'_, 'py>,
        hess_out: Object<'_, 'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let hessian = hessian.parse(Hessian::Exact, |object| read_name("hessian", object, Hessian::parse))?;
        let wanted = Wanted { value: false, grad: true, hess: Some(hessian) };
        let arguments = Arguments {
            grad_out: ("grad_out", grad_out),
            hess_out: ("hess_out", hess_out),
            ..arguments(logits, targets, sample_weight)
        };
        let Results { grad, hess, .. } = evaluate(py, &self.0, wanted, &arguments)?;
        grad.zip(hess).ok_or_else(missing)
    }

    /// A copy with some parameters changed.
    ///
    /// Leaving ``reduction="mean"`` drops a normaliser that the call does not name.
    ///
    /// Parameters
    /// ----------
    /// **changes
    ///     Parameters of the constructor.
    ///
    /// Returns
    /// -------
    /// SigmoidFocalLoss
    ///     The changed copy.
    ///
    /// Raises
    /// ------
    /// TypeError
    ///     If the constructor has no such parameter.
    /// ValueError
    ///     If the constructor refuses the parameters.
    ///
    /// Examples
    /// --------
    /// >>> import focalgrad as fg
    /// >>> fg.SigmoidFocalLoss(alpha=None).replace(reduction="sum")
    /// SigmoidFocalLoss(alpha=None, gamma=2.0, reduction='sum')
    #[pyo3(signature = (**changes))]
    fn replace<'py>(
        slf: &Bound<'py, Self>,
        changes: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let parameters = slf.get().parameters(slf.py())?;
        if let Some(changes) = changes {
            let reduction = changes.get_item("reduction")?;
            let leaves_mean =
                reduction.is_some_and(|name| name.extract::<&str>().is_ok_and(|name| name != "mean"));
            if leaves_mean {
                parameters.set_item("normalizer", slf.py().None())?;
            }
            parameters.update(changes.as_mapping())?;
        }
        slf.get_type().call((), Some(&parameters))
    }

    #[pyo3(signature = (**changes))]
    fn __replace__<'py>(
        slf: &Bound<'py, Self>,
        changes: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::replace(slf, changes)
    }

    /// Made again from its parameters: for pickle, in every protocol, and for copy.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let parameters = slf.get().parameters(py)?;
        let make = py.import("copyreg")?.getattr("__newobj_ex__")?;
        Ok((make, (slf.get_type(), PyTuple::empty(py), parameters).into_pyobject(py)?))
    }

    fn __repr__(&self) -> String {
        self.0.to_string()
    }
}

impl SigmoidFocalLoss {
    /// The parameters as the constructor takes them.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let parameters = PyDict::new(py);
        parameters.set_item("alpha", self.alpha())?;
        parameters.set_item("gamma", self.gamma())?;
        parameters.set_item("reduction", self.reduction())?;
        parameters.set_item("normalizer", self.normalizer(py)?)?;
        Ok(parameters)
    }

    fn from_arguments(
        alpha: Given<'_, '_>,
        gamma: Given<'_, '_>,
        reduction: Reduction,
        normalizer: Object<'_, '_>,
    ) -> PyResult<Self> {
        let alpha = alpha.parse(Some(0.25), |object| match object.is_none() {
            true => Ok(None),
            false => read_parameter("alpha", "None or a number", object).map(Some),
        })?;
        let gamma = gamma.parse(2.0, |object| read_parameter("gamma", "a finite number >= 0", object))?;
        let normalizer = normalizer.map_or(Ok(Normalizer::Count), read_normalizer)?;
        Ok(Self(loss::SigmoidFocalLoss::new(alpha, gamma, reduction, normalizer)?))
    }
}

/// Sigmoid (binary) focal loss in one call.
///
/// The first five parameters are those of ``torchvision.ops.sigmoid_focal_loss``, in its order; the
/// formula is that of :class:`SigmoidFocalLoss`.
///
/// Parameters
/// ----------
/// inputs : array_like of real numbers
///     Logits, of any shape and memory layout. Integers and bools count as float64.
/// targets : array_like of real numbers or bools
///     0 or 1, of the inputs' shape.
/// alpha : float or None, default 0.25
///     Weight of positives, in [0, 1]; ``None`` or a negative number for no weighting.
/// gamma : float, default 2.0
///     Focusing parameter, finite and >= 0.
/// reduction : {"none", "sum", "mean"}, default "none"
///     What is returned: the losses, their sum, or their sum divided by the normaliser.
/// normalizer : None, "weights", "positives" or float, default None
///     What "mean" divides by.
/// sample_weight : float or array_like, optional
///     Multiplies the losses; broadcasts to the inputs' shape.
/// out : ndarray, optional
///     With ``reduction="none"``: an array of the inputs' shape and dtype to fill and return.
///
/// Returns
/// -------
/// float or ndarray
///     A float; with ``reduction="none"`` an array of the inputs' shape and dtype.
///
/// Raises
/// ------
/// TypeError
///     If an argument is of a type or dtype that is not taken.
/// ValueError
///     If a parameter or an array is refused, as by :class:`SigmoidFocalLoss` and its calls.
///
/// See Also
/// --------
/// SigmoidFocalLoss : The loss as an object, with its gradient and Hessian.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> import focalgrad as fg
/// >>> fg.sigmoid_focal_loss(np.array([0.0, 1.0]), np.array([1.0, 1.0])).round(6)
/// array([0.043322, 0.005665])
#[pyfunction]
#[pyo3(
    signature = (inputs, targets, alpha=Given::NOT, gamma=Given::NOT, reduction=Given::NOT, *,
                 normalizer=None, sample_weight=None, out=None),
    text_signature = "(inputs, targets, alpha=0.25, gamma=2.0, reduction='none', *, normalizer=None, sample_weight=None, out=None)"
)]
#[expect(clippy::too_many_arguments, reason = "they are the call's")]
pub fn sigmoid_focal_loss<'py>(
    py: Python<'py>,
    inputs: &Bound<'py, PyAny>,
    targets: &Bound<'py, PyAny>,
    alpha: Given<'_, 'py>,
    gamma: Given<'_, 'py>,
    reduction: Given<'_, 'py>,
    normalizer: Object<'_, 'py>,
    sample_weight: Object<'_, 'py>,
    out: Object<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let reduction = reduction.parse(Reduction::None, read_reduction)?;
    let loss = SigmoidFocalLoss::from_arguments(alpha, gamma, reduction, normalizer)?;
    let wanted = Wanted { value: true, grad: false, hess: None };
    let arguments = Arguments {
        logits_name: "inputs",
        value_out: ("out", out),
        ..arguments(inputs, targets, sample_weight)
    };
    evaluate(py, &loss.0, wanted, &arguments)?.value.ok_or_else(missing)
}

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
    const NOT: Self = Self(None);

    fn parse<T>(self, default: T, read: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<T>) -> PyResult<T> {
        self.0.map_or(Ok(default), |object| read(&object))
    }
}

fn read_parameter(argument: &'static str, takes: &str, object: &Bound<'_, PyAny>) -> PyResult<f64> {
    number_or_sequence(argument, takes, object)?.ok_or_else(|| {
        let got =
            format!("{}: one number a class needs a class axis, which this loss has not", type_name(object));
        Error::value(argument, got, takes).into()
    })
}

fn read_name<T>(
    argument: &'static str,
    object: &Bound<'_, PyAny>,
    parse: fn(&str) -> Result<T, Error>,
) -> PyResult<T> {
    match object.cast::<PyString>() {
        Ok(name) => Ok(parse(&name.to_string_lossy())?),
        // No name is empty: the refusal of that one lists those that there are.
        Err(_) => Err(match parse("") {
            Err(Error::Value { takes, .. }) => Error::wrong_type(argument, type_name(object), takes),
            Err(error) => error,
            Ok(_) => Error::wrong_type(argument, type_name(object), "a string"),
        }
        .into()),
    }
}

fn read_reduction(object: &Bound<'_, PyAny>) -> PyResult<Reduction> {
    read_name("reduction", object, Reduction::parse)
}

fn read_normalizer(object: &Bound<'_, PyAny>) -> PyResult<Normalizer> {
    if object.is_instance_of::<PyString>() {
        return read_name("normalizer", object, Normalizer::parse);
    }
    let takes = "None, \"weights\", \"positives\" or a positive number";
    Ok(Normalizer::constant(number("normalizer", takes, object)?)?)
}

/// The arguments that every call has.
fn arguments<'a, 'py>(
    logits: &'a Bound<'py, PyAny>,
    targets: &'a Bound<'py, PyAny>,
    sample_weight: Object<'a, 'py>,
) -> Arguments<'a, 'py> {
    Arguments {
        logits_name: "logits",
        logits,
        targets,
        sample_weight,
        value_out: ("out", None),
        grad_out: ("grad_out", None),
        hess_out: ("hess_out", None),
    }
}

/// A result that was asked for is not there.
fn missing() -> PyErr {
    PyRuntimeError::new_err("a result is missing; this is a defect of focalgrad")
}
