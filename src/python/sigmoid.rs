//! The public class of the sigmoid focal loss, and its one-call function.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::call::{Arguments, Results, arguments, evaluate_sigmoid, missing, posterior};
use super::class::loss_class;
use super::parameters::{
    CommonArguments, Given, Object, constructed, init_score, label_to_python, normalizer_to_python,
    parameter_to_python, pickled, read_parameter, read_whole, replaced,
};
use crate::call::Wanted;
use crate::params::options::Named;
use crate::params::{self, Hessian, Parameter, Reduction, SoftTargets};

/// The parameters, in the order of the constructor's.
const NAMES: [&str; 12] = [
    "alpha",
    "gamma",
    "reduction",
    "normalizer",
    "class_axis",
    "class_weight",
    "label_smoothing",
    "ignore_index",
    "background_index",
    "from_logits",
    "eps",
    "soft_targets",
];

/// Sigmoid (binary) focal loss.
///
/// For a logit :math:`x`, a target :math:`y \in \{0, 1\}` and :math:`p = 1 / (1 + e^{-x})` the loss is
///
/// .. math:: -\alpha_t (1 - p_t)^\gamma \log p_t
///
/// with :math:`p_t = p, \alpha_t = \alpha` for positives (:math:`y = 1`) and
/// :math:`p_t = 1 - p, \alpha_t = 1 - \alpha` for negatives. Easy examples, those with :math:`p_t` close
/// to 1, count less the larger :math:`\gamma` is; :math:`\gamma = 0` is cross entropy. For targets between
/// 0 and 1, with :math:`a = \alpha y + (1 - \alpha)(1 - y)` and the cross entropy
/// :math:`CE = -y \log p - (1 - y) \log(1 - p)`, it is
///
/// .. math::
///
///    a \, [y (1 - p) + (1 - y) p]^\gamma \, CE \quad & \text{"mixture"} \\
///    y \alpha f(x) + (1 - y)(1 - \alpha) f(-x) \quad & \text{"expected"} \\
///    a \, |y - p|^\gamma \, CE \quad & \text{"quality"}
///
/// where :math:`f(x)` is the unweighted loss of a positive.
///
/// A loss is immutable, hashable, comparable and picklable, and its ``repr`` is the call that makes it.
///
/// Parameters
/// ----------
/// alpha : float, array_like of shape (C,) or None, default 0.25
///     Weight of positives, in [0, 1]; that of negatives is ``1 - alpha``. ``None``, and any negative
///     number, is no weighting. An array has one such number for each class.
/// gamma : float or array_like of shape (C,), default 2.0
///     Focusing parameter, finite and >= 0; an array has one for each class.
/// reduction : {"none", "sum", "mean", "sum_classes"}, default "mean"
///     What a call returns: the losses, their sum, their sum divided by the normaliser, or their sums over the
///     class axis. Gradient and Hessian are those of what is returned: "mean" divides them too. Boosting libraries
///     want those of each sample: give them "sum".
/// normalizer : None, "weights", "positives", "focal_weights" or float, default None
///     What "mean" divides by: the number of elements that are not ignored, the sum of the sample, class and
///     alpha weights, the number of positives, the sum of the modulating factors, or a positive number. Where it
///     is 0, value, gradient and Hessian are 0. Gradients are those of the quotient.
/// class_axis : int or None, default None
///     The axis of the logits along which the classes lie.
/// class_weight : array_like of shape (C,) or None, default None
///     Finite numbers that multiply all losses of a class.
/// label_smoothing : float, default 0.0
///     In [0, 1): a target y becomes ``y * (1 - label_smoothing) + label_smoothing / 2``.
/// ignore_index : number or None, default None
///     Targets equal to it have loss, gradient and Hessian 0 and count in no denominator. NaN: targets that are NaN.
/// background_index : int or None, default None
///     The class index that means no class: all its classes are negative.
/// from_logits : bool, default True
///     False: inputs are probabilities, and derivatives are with respect to them.
/// eps : float, default 0.0
///     Probabilities are clipped to [eps, 1 - eps], with derivatives of 0 where that changes them.
/// soft_targets : {"mixture", "expected", "quality"}, default "mixture"
///     What targets between 0 and 1 mean. All meanings agree on 0 and 1.
///
/// Raises
/// ------
/// TypeError
///     If a parameter is of the wrong type (booleans are no numbers).
/// ValueError
///     If `alpha` is above 1 or NaN, `gamma` negative or not finite, `label_smoothing` or `eps` out of range,
///     a name unknown, `normalizer` not positive or given without ``reduction="mean"``; if arrays by class differ
///     in length or are given without `class_axis`, as ``"sum_classes"`` and `background_index`; if
///     `background_index` equals `ignore_index`, `eps` is given without ``from_logits=False``, or
///     ``normalizer="focal_weights"`` with ``soft_targets="expected"``.
///
/// See Also
/// --------
/// SoftmaxFocalLoss : For classes that exclude each other.
/// sigmoid_focal_loss : The same as one call.
///
/// Notes
/// -----
/// Results are within 8 ulp (gradients 10, Hessians 12) of the exact value for every logit, targets of 0 and 1,
/// and ``gamma <= 5``. They have the same bits for any number of threads. Calls on large arrays run in
/// parallel, without the interpreter; other threads must not write to the arrays meanwhile.
///
/// NaN logits and targets give NaN for their element, and so do targets outside [0, 1] and, unless they are clipped,
/// probabilities outside [0, 1]. Infinite logits give the limit. A weight of 0 makes even an infinite loss 0.
///
/// References
/// ----------
/// T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal Loss for Dense Object Detection",
/// ICCV 2017, equation 5. X. Li et al., "Generalized Focal Loss", NeurIPS 2020, equation 2 ("quality").
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
///
/// Class indices, of three classes along the last axis:
///
/// >>> loss = fg.SigmoidFocalLoss(reduction="sum_classes", class_axis=-1)
/// >>> loss(np.zeros((2, 3)), np.array([2, 0])).round(6)
/// array([0.303252, 0.303252])
#[pyclass(frozen, eq, hash, module = "focalgrad")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SigmoidFocalLoss(params::SigmoidFocalLoss);

loss_class! {
    class: SigmoidFocalLoss, loss: params::SigmoidFocalLoss, names: &NAMES, evaluate: evaluate_sigmoid;
    alpha {
        /// Weight of positives, one for all or for each class; None is no weighting.
    }
    gamma {
        /// Focusing parameter, one for all or for each class.
    }
    reduction {
        /// What a call returns: "none", "sum", "mean" or "sum_classes".
    }
    label_smoothing {
        /// How much of a target is spread over both labels.
    }
    ignore_index {
        /// The target that does not count.
    }
    targets {
        ///     0, 1 or between, of the logits' shape; with a class axis also class indices, of the logits' shape
        ///     without it.
    }
    sample_weight {
        ///     Multiplies the losses; broadcasts to the logits' shape, with class indices to theirs.
    }
    value_out {
        ///     With ``reduction="none"`` or "sum_classes": an array of the losses' shape and the logits' dtype to fill
        ///     and return. It may be the very same array as an input.
    }
    returns {
        ///     A float; with ``reduction="none"`` an array of the logits' shape and dtype, with "sum_classes" one
        ///     without the class axis.
    }
    call_example {
        /// >>> loss = fg.SigmoidFocalLoss(gamma=2.0, reduction="none")
        /// >>> loss(np.array([0.0, 1.0]), np.array([True, True])).round(6)
        /// array([0.043322, 0.005665])
    }
    gradient {
        /// With :math:`z = \pm x` the logit of the true class, :math:`p = \sigma(z)` and :math:`q = 1 - p`
        ///
        /// .. math:: \frac{df}{dz} = -q^\gamma (q - \gamma p \log p)
    }
    grad_example {
        /// >>> loss = fg.SigmoidFocalLoss(alpha=None, gamma=0.0, reduction="sum")
        /// >>> loss.grad(np.array([0.0, 0.0]), np.array([1.0, 0.0]))
        /// array([-0.5,  0.5])
    }
    both_example {
        /// >>> loss = fg.SigmoidFocalLoss(alpha=None, gamma=0.0)
        /// >>> value, grad = loss.value_and_grad(np.zeros(2), np.array([1.0, 0.0]))
        /// >>> round(value, 6)
        /// 0.693147
        /// >>> grad
        /// array([-0.25,  0.25])
    }
    hessians {
        /// With :math:`L = -\log p` and the notation of :meth:`grad`, "exact" is
        ///
        /// .. math:: \frac{d^2 f}{dz^2} = p q^\gamma [q (1 + 2 \gamma - \gamma L) + \gamma^2 p L]
        ///
        /// which is negative for hard examples, as focal loss is not convex. "gauss_newton" is :math:`p |f'|`,
        /// never negative and equal to the exact one at :math:`\gamma = 0`; "upper" is :math:`1 + \gamma` times
        /// that, and never below the exact one.
    }
    hess_example {
        /// >>> loss = fg.SigmoidFocalLoss(alpha=None, gamma=0.0, reduction="sum")
        /// >>> grad, hess = loss.grad_and_hess(np.zeros(2), np.array([1.0, 0.0]))
        /// >>> hess
        /// array([0.25, 0.25])
    }
    init_example {
        /// >>> loss = fg.SigmoidFocalLoss(alpha=None, gamma=0.0)
        /// >>> round(loss.init_score(np.array([1] * 10 + [0] * 90)), 6)
        /// -2.197225
    }
    posterior_example {
        /// >>> loss = fg.SigmoidFocalLoss(alpha=None, gamma=2.0)
        /// >>> loss.posterior(np.array([0.0, 1.0])).round(3)
        /// array([0.5  , 0.936])
    }
    replace_example {
        /// >>> fg.SigmoidFocalLoss(alpha=None).replace(reduction="sum")
        /// SigmoidFocalLoss(alpha=None, gamma=2.0, reduction='sum')
    }
    init_raises {
        ///     For a loss of probabilities, for class indices out of range and dense targets outside [0, 1], and if
        ///     `dense` must be given and is not.
    }
    own {
        #[new]
        #[pyo3(
            signature = (alpha=Given::NOT, gamma=Given::NOT, *, reduction=Given::NOT, normalizer=None, class_axis=None,
                         class_weight=None, label_smoothing=Given::NOT, ignore_index=None, background_index=None,
                         from_logits=Given::NOT, eps=Given::NOT, soft_targets=Given::NOT),
            text_signature = "(alpha=0.25, gamma=2.0, *, reduction='mean', normalizer=None, class_axis=None, class_weight=None, label_smoothing=0.0, ignore_index=None, background_index=None, from_logits=True, eps=0.0, soft_targets='mixture')"
        )]
        #[expect(clippy::too_many_arguments, reason = "they are the loss'")]
        fn new(
            alpha: Given<'_, '_>,
            gamma: Given<'_, '_>,
            reduction: Given<'_, '_>,
            normalizer: Object<'_, '_>,
            class_axis: Object<'_, '_>,
            class_weight: Object<'_, '_>,
            label_smoothing: Given<'_, '_>,
            ignore_index: Object<'_, '_>,
            background_index: Object<'_, '_>,
            from_logits: Given<'_, '_>,
            eps: Given<'_, '_>,
            soft_targets: Given<'_, '_>,
        ) -> PyResult<Self> {
            let reduction = reduction.option(Reduction::Mean)?;
            let common =
                CommonArguments { gamma, reduction, normalizer, normalizers: |_| true, label_smoothing, ignore_index, from_logits, eps };
            let alpha = alpha.parse(Some(Parameter::Number(0.25)), |object| match object.is_none() {
                true => Ok(None),
                false => read_parameter("alpha", "None, a number, or a number for each class", object).map(Some),
            })?;
            let whole = |argument, takes: &'static str| {
                move |object: &Bound<'_, PyAny>| read_whole(argument, takes, object)
            };
            let weight = |object: &Bound<'_, PyAny>| {
                let takes = "None, or a finite number for each class";
                match read_parameter("class_weight", takes, object)? {
                    weight @ Parameter::PerClass(_) => Ok(weight),
                    // One number for all classes is a weight of the loss as a whole.
                    Parameter::Number(number) => {
                        Err(PyErr::from(crate::error::Error::wrong_type("class_weight", number, takes)))
                    }
                }
            };
            let loss = params::SigmoidFocalLoss {
                alpha,
                common: common.read()?,
                class_axis: class_axis.map(whole("class_axis", "None or a whole number")).transpose()?,
                class_weight: class_weight.map(weight).transpose()?,
                background_index: background_index
                    .map(whole("background_index", "None or a whole number"))
                    .transpose()?,
                soft_targets: soft_targets.option(SoftTargets::Mixture)?,
            };
            Ok(Self(loss.check()?))
        }

        /// The axis of the classes.
        #[getter]
        fn class_axis(&self) -> Option<i64> {
            self.0.class_axis
        }

        /// What multiplies the losses of each class.
        #[getter]
        fn class_weight<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
            self.0.class_weight.as_ref().map(|weight| parameter_to_python(py, weight)).transpose()
        }

        /// The class index that means no class.
        #[getter]
        fn background_index(&self) -> Option<i64> {
            self.0.background_index
        }

        /// What targets between 0 and 1 mean: "mixture", "expected" or "quality".
        #[getter]
        fn soft_targets(&self) -> &'static str {
            self.0.soft_targets.name()
        }
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
///     Logits, of any shape and memory layout. Integers count as float64.
/// targets : array_like of real numbers or bools
///     0, 1 or between, of the inputs' shape; with a class axis also class indices, of the inputs' shape
///     without it.
/// alpha : float or None, default 0.25
///     Weight of positives, in [0, 1]; ``None`` or a negative number for no weighting.
/// gamma : float, default 2.0
///     Focusing parameter, finite and >= 0.
/// reduction : {"none", "sum", "mean", "sum_classes"}, default "none"
///     What is returned: the losses, their sum, their sum divided by the normaliser, or their sums over the class
///     axis.
/// sample_weight : float or array_like, optional
///     Multiplies the losses; broadcasts to the inputs' shape, with class indices to theirs.
/// out : ndarray, optional
///     With ``reduction="none"``: an array of the inputs' shape and dtype to fill and return.
/// **options
///     The other parameters of :class:`SigmoidFocalLoss`.
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
    signature = (inputs, targets, alpha=Given::NOT, gamma=Given::NOT, reduction=Given::NOT, *, sample_weight=None,
                 out=None, **options),
    text_signature = "(inputs, targets, alpha=0.25, gamma=2.0, reduction='none', *, sample_weight=None, out=None, **options)"
)]
#[expect(clippy::too_many_arguments, reason = "they are the call's")]
pub fn sigmoid_focal_loss<'py>(
    py: Python<'py>,
    inputs: &Bound<'py, PyAny>,
    targets: &Bound<'py, PyAny>,
    alpha: Given<'_, 'py>,
    gamma: Given<'_, 'py>,
    reduction: Given<'_, 'py>,
    sample_weight: Object<'_, 'py>,
    out: Object<'_, 'py>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let loss = constructed(&py.get_type::<SigmoidFocalLoss>(), alpha, gamma, reduction, options)?;
    let loss = loss.cast::<SigmoidFocalLoss>()?.get();
    let wanted = Wanted::Value;
    let arguments = Arguments {
        logits_name: "inputs",
        value_out: ("out", out),
        ..arguments(inputs, targets, sample_weight)
    };
    evaluate_sigmoid(py, &loss.0, wanted, &arguments)?.value.ok_or_else(missing)
}
