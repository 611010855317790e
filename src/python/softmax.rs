//! The public class of the softmax focal loss, and its one-call function.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::call::{Arguments, Results, arguments, evaluate, missing, posterior};
use super::class::loss_class;
use super::parameters::{
    CommonArguments, Given, Object, constructed, init_score, label_to_python, normalizer_to_python,
    parameter_to_python, pickled, read_parameter, read_whole, replaced,
};
use crate::call::Wanted;
use crate::params::options::Named;
use crate::params::{self, Hessian, Modulator, Reduction};

/// The parameters, in the order of the constructor's.
const NAMES: [&str; 10] = [
    "alpha",
    "gamma",
    "reduction",
    "normalizer",
    "class_axis",
    "label_smoothing",
    "ignore_index",
    "from_logits",
    "eps",
    "modulator",
];

/// Softmax (multi-class) focal loss.
///
/// For logits :math:`z` of C classes, one of which is the target :math:`t`, and
/// :math:`p_t = e^{z_t} / \sum_k e^{z_k}` the loss is
///
/// .. math:: -\alpha_t (1 - p_t)^\gamma \log p_t
///
/// For a target :math:`y_c` for each class (one-hot, soft or smoothed) it is
/// :math:`-\sum_c y_c \alpha_c (1 - p_c)^{\gamma} \log p_c`. :math:`\gamma = 0` is cross entropy.
///
/// A loss is immutable, hashable, comparable and picklable, and its ``repr`` is the call that makes it.
///
/// Parameters
/// ----------
/// alpha : float, array_like of shape (C,) or None, default None
///     Weight, finite and >= 0: of every sample, or of each target class. ``None`` is no weighting.
/// gamma : float or array_like of shape (C,), default 2.0
///     Focusing parameter, finite and >= 0; an array has one for each target class.
/// reduction : {"none", "sum", "mean"}, default "mean"
///     What a call returns: the losses, their sum, or their sum divided by the normaliser. Gradient and Hessian are
///     those of what is returned: "mean" divides them too. Boosting libraries want those of each sample: give them
///     "sum".
/// normalizer : None, "weights", "focal_weights" or float, default None
///     What "mean" divides by: the number of targets that are not ignored, the sum of the sample and alpha
///     weights, the sum of the modulating factors, or a positive number. Where it is 0, value, gradient and
///     Hessian are 0. Gradients are those of the quotient.
/// class_axis : int, default -1
///     The axis of the logits along which the classes lie.
/// label_smoothing : float, default 0.0
///     In [0, 1): a target y becomes ``y * (1 - label_smoothing) + label_smoothing / C``.
/// ignore_index : number or None, default None
///     Class indices equal to it have loss, gradient and Hessian 0 and count in no denominator. NaN: those that are
///     NaN.
/// from_logits : bool, default True
///     False: inputs are probabilities, taken as they are, and derivatives are with respect to them.
/// eps : float, default 0.0
///     Probabilities are clipped to [eps, 1 - eps], with derivatives of 0 where that changes them.
/// modulator : {"softmax", "sigmoid"}, default "softmax"
///     What modulates the loss: :math:`(1 - p_t)^\gamma`, or :math:`(1 - \sigma(z_t))^\gamma`.
///
/// Raises
/// ------
/// TypeError
///     If a parameter is of the wrong type (booleans are no numbers).
/// ValueError
///     If `alpha` or `gamma` is negative or not finite, `label_smoothing` or `eps` out of range, a name unknown,
///     `normalizer` "positives", not positive or given without ``reduction="mean"``; if arrays by class differ in
///     length, `eps` is given without ``from_logits=False``, or ``modulator="sigmoid"`` with smoothing or
///     probabilities.
///
/// See Also
/// --------
/// SigmoidFocalLoss : For classes that do not exclude each other.
/// softmax_focal_loss : The same as one call.
///
/// Notes
/// -----
/// For class indices and ``gamma <= 5`` values and gradients are within 8 ulp of the exact ones (gradients 12
/// for ``gamma > 2``, Hessians 12). They have the same bits for any number of threads. Calls on large arrays run
/// in parallel, without the interpreter; other threads must not write to the arrays meanwhile.
///
/// A logit of -inf is a class of probability 0, one of +inf the limit. Rows with a NaN, with two or more +inf, or
/// without a logit above -inf are NaN, and so are those with a dense target or an unclipped probability outside [0, 1].
/// A weight of 0 makes even an infinite loss 0.
///
/// References
/// ----------
/// T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal Loss for Dense Object Detection",
/// ICCV 2017, equation 4.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> import focalgrad as fg
/// >>> logits = np.array([[2.0, 0.5, -1.0], [0.0, 0.0, 0.0]])
/// >>> loss = fg.SoftmaxFocalLoss(gamma=2.0, reduction="sum")
/// >>> loss
/// SoftmaxFocalLoss(alpha=None, gamma=2.0, reduction='sum')
/// >>> round(loss(logits, np.array([0, 2])), 6)
/// 0.499365
/// >>> loss.grad(logits, np.array([0, 2])).round(6)
/// array([[-0.027285,  0.022307,  0.004977],
///        [ 0.310906,  0.310906, -0.621811]])
#[pyclass(frozen, eq, hash, module = "focalgrad")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SoftmaxFocalLoss(params::SoftmaxFocalLoss);

loss_class! {
    class: SoftmaxFocalLoss, loss: params::SoftmaxFocalLoss, names: &NAMES, evaluate: evaluate;
    alpha {
        /// Weight, one for all samples or for each target class; None is no weighting.
    }
    gamma {
        /// Focusing parameter, one for all or for each target class.
    }
    reduction {
        /// What a call returns: "none", "sum" or "mean".
    }
    label_smoothing {
        /// How much of a target is spread over all classes.
    }
    ignore_index {
        /// The class index that does not count.
    }
    targets {
        ///     Class indices, of the logits' shape without the class axis; or a target for each class, of the
        ///     logits' shape.
    }
    sample_weight {
        ///     Multiplies the losses; broadcasts to the logits' shape without the class axis.
    }
    value_out {
        ///     With ``reduction="none"``: an array of the losses' shape and the logits' dtype to fill and return. It
        ///     may be the very same array as an input.
    }
    returns {
        ///     A float; with ``reduction="none"`` an array of the logits' dtype and of their shape without the class
        ///     axis.
    }
    call_example {
        /// >>> loss = fg.SoftmaxFocalLoss(gamma=2.0, reduction="none")
        /// >>> loss(np.array([[0.0, 0.0], [1.0, 3.0]]), np.array([0, 1])).round(6)
        /// array([0.173287, 0.001803])
    }
    gradient {
        /// With :math:`p` the probability of the target :math:`t`, :math:`q = 1 - p` and
        /// :math:`f' = -q^\gamma (q - \gamma p \log p)`
        ///
        /// .. math:: \frac{df}{dz_t} = f', \qquad \frac{df}{dz_j} = -f' \frac{p_j}{q}
    }
    grad_example {
        /// >>> loss = fg.SoftmaxFocalLoss(gamma=0.0, reduction="sum")
        /// >>> loss.grad(np.zeros((1, 4)), np.array([2]))
        /// array([[ 0.25,  0.25, -0.75,  0.25]])
    }
    both_example {
        /// >>> loss = fg.SoftmaxFocalLoss(gamma=0.0)
        /// >>> value, grad = loss.value_and_grad(np.zeros((2, 2)), np.array([0, 1]))
        /// >>> round(value, 6)
        /// 0.693147
        /// >>> grad
        /// array([[-0.25,  0.25],
        ///        [ 0.25, -0.25]])
    }
    hessians {
        /// With the notation of :meth:`grad`, :math:`\pi_j = p_j / q` and the second derivative :math:`f''` of the
        /// sigmoid loss, "exact" is
        ///
        /// .. math:: H_{tt} = f'', \qquad H_{jj} = f'' \pi_j^2 - f' \pi_j (1 - \pi_j)
        ///
        /// which is negative for some hard examples, as focal loss is not convex. "gauss_newton" is
        /// :math:`p_j (1 - p_j) |f'| / q`, never negative and equal to the exact one at :math:`\gamma = 0`; "upper" is
        /// :math:`1 + \gamma` times that, and never below the exact one.
    }
    hess_example {
        /// >>> loss = fg.SoftmaxFocalLoss(gamma=0.0, reduction="sum")
        /// >>> grad, hess = loss.grad_and_hess(np.zeros((1, 2)), np.array([1]))
        /// >>> hess
        /// array([[0.25, 0.25]])
    }
    init_example {
        /// >>> loss = fg.SoftmaxFocalLoss(gamma=0.0)
        /// >>> loss.init_score(np.array([0, 0, 0, 1])).round(6)
        /// array([ 0.549306, -0.549306])
    }
    posterior_example {
        /// >>> loss = fg.SoftmaxFocalLoss(gamma=0.0)
        /// >>> loss.posterior(np.zeros((1, 4)))
        /// array([[0.25, 0.25, 0.25, 0.25]])
    }
    replace_example {
        /// >>> fg.SoftmaxFocalLoss().replace(reduction="sum")
        /// SoftmaxFocalLoss(alpha=None, gamma=2.0, reduction='sum')
    }
    init_raises {
        ///     For a loss of probabilities or with ``modulator="sigmoid"``, for class indices out of range and dense
        ///     targets outside [0, 1], and if `dense` must be given and is not.
    }
    own {
        #[new]
        #[pyo3(
            signature = (alpha=None, gamma=Given::NOT, *, reduction=Given::NOT, normalizer=None, class_axis=Given::NOT,
                         label_smoothing=Given::NOT, ignore_index=None, from_logits=Given::NOT, eps=Given::NOT,
                         modulator=Given::NOT),
            text_signature = "(alpha=None, gamma=2.0, *, reduction='mean', normalizer=None, class_axis=-1, label_smoothing=0.0, ignore_index=None, from_logits=True, eps=0.0, modulator='softmax')"
        )]
        #[expect(clippy::too_many_arguments, reason = "they are the loss'")]
        fn new(
            alpha: Object<'_, '_>,
            gamma: Given<'_, '_>,
            reduction: Given<'_, '_>,
            normalizer: Object<'_, '_>,
            class_axis: Given<'_, '_>,
            label_smoothing: Given<'_, '_>,
            ignore_index: Object<'_, '_>,
            from_logits: Given<'_, '_>,
            eps: Given<'_, '_>,
            modulator: Given<'_, '_>,
        ) -> PyResult<Self> {
            let reduction = reduction.option_of(Reduction::Mean, params::SoftmaxFocalLoss::reduces)?;
            let normalizers = params::SoftmaxFocalLoss::normalizes;
            let common =
                CommonArguments { gamma, reduction, normalizer, normalizers, label_smoothing, ignore_index, from_logits, eps };
            let takes = "None, a finite number >= 0, or one such number a class";
            let loss = params::SoftmaxFocalLoss {
                alpha: alpha.map(|alpha| read_parameter("alpha", takes, alpha)).transpose()?,
                common: common.read()?,
                class_axis: class_axis.parse(-1, |axis| read_whole("class_axis", "a whole number", axis))?,
                modulator: modulator.option(Modulator::Softmax)?,
            };
            Ok(Self(loss.check()?))
        }

        /// The axis of the classes.
        #[getter]
        fn class_axis(&self) -> i64 {
            self.0.class_axis
        }

        /// What modulates the loss: "softmax" or "sigmoid".
        #[getter]
        fn modulator(&self) -> &'static str {
            self.0.modulator.name()
        }
    }
}

/// Softmax (multi-class) focal loss in one call.
///
/// The formula is that of :class:`SoftmaxFocalLoss`.
///
/// Parameters
/// ----------
/// inputs : array_like of real numbers
///     Logits, of any shape and memory layout. Integers count as float64.
/// targets : array_like of real numbers or bools
///     Class indices, of the inputs' shape without the class axis; or a target for each class, of the inputs'
///     shape.
/// alpha : float, array_like of shape (C,) or None, default None
///     Weight of every sample, or of each target class.
/// gamma : float or array_like of shape (C,), default 2.0
///     Focusing parameter, finite and >= 0.
/// reduction : {"none", "sum", "mean"}, default "none"
///     What is returned: the losses, their sum, or their sum divided by the normaliser.
/// sample_weight : float or array_like, optional
///     Multiplies the losses; broadcasts to the inputs' shape without the class axis.
/// out : ndarray, optional
///     With ``reduction="none"``: an array of the losses' shape and the inputs' dtype to fill and return.
/// **options
///     The other parameters of :class:`SoftmaxFocalLoss`.
///
/// Returns
/// -------
/// float or ndarray
///     A float; with ``reduction="none"`` an array of the inputs' dtype and of their shape without the class axis.
///
/// Raises
/// ------
/// TypeError
///     If an argument is of a type or dtype that is not taken.
/// ValueError
///     If a parameter or an array is refused, as by :class:`SoftmaxFocalLoss` and its calls.
///
/// See Also
/// --------
/// SoftmaxFocalLoss : The loss as an object, with its gradient and Hessian.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> import focalgrad as fg
/// >>> fg.softmax_focal_loss(np.zeros((2, 2)), np.array([1, 0])).round(6)
/// array([0.173287, 0.173287])
#[pyfunction]
#[pyo3(
    signature = (inputs, targets, alpha=Given::NOT, gamma=Given::NOT, reduction=Given::NOT, *, sample_weight=None,
                 out=None, **options),
    text_signature = "(inputs, targets, alpha=None, gamma=2.0, reduction='none', *, sample_weight=None, out=None, **options)"
)]
#[expect(clippy::too_many_arguments, reason = "they are the call's")]
pub fn softmax_focal_loss<'py>(
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
    let loss = constructed(&py.get_type::<SoftmaxFocalLoss>(), alpha, gamma, reduction, options)?;
    let loss = loss.cast::<SoftmaxFocalLoss>()?.get();
    let wanted = Wanted::Value;
    let arguments = Arguments {
        logits_name: "inputs",
        value_out: ("out", out),
        ..arguments(inputs, targets, sample_weight)
    };
    evaluate(py, &loss.0, wanted, &arguments)?.value.ok_or_else(missing)
}
