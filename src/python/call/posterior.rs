//! The posteriors that scores stand for.

use pyo3::prelude::*;

use super::admit::{check_axis, check_classes, check_overlaps};
use super::run::{detached, lengths};
use crate::element::DType;
use crate::error::Error;
use crate::exec::posterior::{self as elements, Job};
use crate::exec::row_posterior::{self as rows, RowJob};
use crate::exec::rows::{PerThread, RowArray, tile_rows};
use crate::exec::{operand, stores};
use crate::kernel::posterior::Constants;
use crate::kernel::rows::posterior::{ByClass, RowConstants};
use crate::kernel::tile::{Source, Stores, TILE, Target, repeating};
use crate::layout::Plan;
use crate::loss::focal::power;
use crate::loss::posterior::{ANY, SKEW, Skew, Unsmooth};
use crate::params::{Common, Modulator, SigmoidFocalLoss, SoftmaxFocalLoss};
use crate::python::array::{Array, Held};
use crate::python::runtime::isa;
use crate::simd::in_default_mode;

/// Scores that have been admitted, and where their posteriors go.
struct Admitted<'b, 'py> {
    scores: Array<'b, 'py>,
    axis: Option<usize>,
    posteriors: Array<'b, 'py>,
}

impl Admitted<'_, '_> {
    /// The number of classes; 1 without a class axis.
    fn classes(&self) -> usize {
        self.axis.map_or(1, |axis| self.scores.shape[axis] as usize)
    }
}

/// What the losses have to say about their scores.
struct Rules<'a> {
    common: &'a Common,
    class_axis: Option<i64>,
    /// The length of lists by class.
    classes: Option<usize>,
}

/// Computes posteriors, with what `work` does with the arrays.
fn filled<'py>(
    rules: &Rules<'_>,
    scores: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
    work: impl FnOnce(&Admitted<'_, 'py>) -> PyResult<()>,
) -> PyResult<Bound<'py, PyAny>> {
    if !rules.common.from_logits {
        let got = "False, of whose probabilities none is recovered";
        return Err(Error::value("from_logits", got, "True for posterior").into());
    }
    let found = Held::new("scores", scores)?;
    let given = out.map(|out| Held::output("out", out)).transpose()?;
    in_default_mode(|| {
        let scores = Array::read("scores", &found)?;
        if scores.dtype == DType::Bool {
            return Err(Error::wrong_type("scores", "an array of dtype bool", "an array of numbers").into());
        }
        let axis = rules.class_axis.map(|axis| check_axis(&scores, axis)).transpose()?;
        check_classes(&scores, axis, rules.classes)?;
        let dtype = scores.dtype.of_results();
        let result = match &given {
            None => scores.allocate_like(None)?,
            Some(held) => {
                let out = Array::output("out", dtype, scores.shape, held)?;
                let result = out.object.clone();
                check_overlaps(&[Some(out), None, None], [Some(&scores), None, None])?;
                result
            }
        };
        let posteriors = Array::made("a result", &result, dtype)?;
        work(&Admitted { scores, axis, posteriors })?;
        Ok(result)
    })
}

/// The posteriors of a sigmoid loss.
///
/// # Errors
/// `TypeError` and `ValueError` for what is refused, `MemoryError`, and what handlers of signals raise.
pub fn sigmoid_posterior<'py>(
    py: Python<'py>,
    loss: &SigmoidFocalLoss,
    scores: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let rules = Rules { common: &loss.common, class_axis: loss.class_axis, classes: loss.classes()? };
    filled(&rules, scores, out, |admitted| match admitted.posteriors.dtype {
        DType::Float64 => sigmoid::<f64>(py, loss, admitted),
        _ => sigmoid::<f32>(py, loss, admitted),
    })
}

/// Computes in `R`.
fn sigmoid<R: PerThread>(
    py: Python<'_>,
    loss: &SigmoidFocalLoss,
    admitted: &Admitted<'_, '_>,
) -> PyResult<()> {
    let Admitted { scores, axis, posteriors } = admitted;
    let common = &loss.common;
    let alpha = |class| loss.alpha.as_ref().map(|alpha| alpha.of(class));
    let gamma = common.gamma.of(0);
    let (power, skew) = match (Skew::<R>::of_products(gamma, alpha(0)), power::of(gamma)) {
        (None, _) => (power::GENERAL, Skew::new(gamma, alpha(0))),
        (Some(skew), power::GENERAL) => (ANY, skew),
        (Some(skew), power) => (power, skew),
    };
    let smoothing = (common.label_smoothing != 0.0).then(|| Unsmooth::new(common.label_smoothing, 2));
    let constants = Constants { power, skew, smoothing };
    let mut lists = [const { Vec::new() }; SKEW];
    if loss.alpha.as_ref().is_some_and(|alpha| alpha.per_class().is_some())
        || common.gamma.per_class().is_some()
    {
        for class in 0..admitted.classes() {
            let numbers = Skew::<R>::new(common.gamma.of(class), alpha(class)).numbers();
            lists.iter_mut().zip(numbers).for_each(|(list, number)| list.push(number));
        }
    }
    let lists = lists.map(|list| repeating(list, scores.len()));
    let by_class = !lists[0].is_empty();
    let along: Vec<isize> = (0..scores.shape.len())
        .map(|each| if Some(each) == *axis && by_class { size_of::<R>() as isize } else { 0 })
        .collect();
    let mut strides = [&[][..]; operand::COUNT];
    strides[operand::LOGITS] = scores.strides;
    strides[operand::VALUE] = posteriors.strides;
    strides[operand::LISTS] = &along;
    let plan = Plan::new(&lengths(scores.shape), strides, TILE, operand::COUNT);
    let len = plan.len();
    let bytes = (scores.dtype.size() + posteriors.dtype.size()).saturating_mul(len);
    let is_run = plan.is_run(operand::VALUE, posteriors.dtype.size());
    let stores = if is_run { stores(bytes) } else { Stores::Ordinary };
    let job = Job {
        plan,
        constants,
        scores: Source::numbers(scores.data, scores.dtype),
        skews: by_class.then(|| lists.each_ref().map(|list| Source::list(list))),
        posteriors: Target::new(posteriors.data, posteriors.dtype, stores),
    };
    // SAFETY: both arrays were admitted or made, are valid wherever the plan, made of their shapes and strides, has
    // elements, and overlap only where they are the same. They live as long as the references that the call holds. Other
    // threads must not write to them meanwhile: the documentation asks that of callers.
    detached(py, len, |go_on| unsafe { elements::run(isa(), &job, go_on) })
}

/// The posteriors of a softmax loss.
///
/// # Errors
/// As [`sigmoid_posterior`].
pub fn softmax_posterior<'py>(
    py: Python<'py>,
    loss: &SoftmaxFocalLoss,
    scores: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let rules = Rules { common: &loss.common, class_axis: Some(loss.class_axis), classes: loss.classes()? };
    filled(&rules, scores, out, |admitted| match admitted.posteriors.dtype {
        DType::Float64 => softmax::<f64>(py, loss, admitted),
        _ => softmax::<f32>(py, loss, admitted),
    })
}

/// Computes in `R`.
fn softmax<R: PerThread>(
    py: Python<'_>,
    loss: &SoftmaxFocalLoss,
    admitted: &Admitted<'_, '_>,
) -> PyResult<()> {
    let Admitted { scores, axis: Some(axis), posteriors } = admitted else { return Ok(()) };
    let (common, classes) = (&loss.common, admitted.classes());
    let gammas: Vec<f64> = match common.gamma.per_class() {
        Some(gammas) => gammas.to_vec(),
        None => Vec::new(),
    };
    let alphas: Vec<f64> = match loss.alpha.as_ref().and_then(|alpha| alpha.per_class()) {
        Some(alphas) => alphas.to_vec(),
        None => Vec::new(),
    };
    let constants = RowConstants::<R> {
        gamma: common.gamma.of(0),
        sigmoid: loss.modulator == Modulator::Sigmoid,
        smoothing: (common.label_smoothing != 0.0).then(|| Unsmooth::new(common.label_smoothing, classes)),
        by_class: ByClass::new(&gammas, &alphas),
    };
    let without = |strides: &[isize]| {
        let mut strides = strides.to_vec();
        strides.remove(*axis);
        strides
    };
    let mut shape = lengths(scores.shape);
    shape.remove(*axis);
    let (of_scores, of_posteriors) = (without(scores.strides), without(posteriors.strides));
    let mut strides = [&[][..]; operand::COUNT];
    strides[operand::LOGITS] = &of_scores;
    strides[operand::GRAD] = &of_posteriors;
    let plan = Plan::of_runs(&shape, strides, tile_rows(classes), operand::COUNT);
    let len = plan.len().saturating_mul(classes);
    let row_array = |array: &Array<'_, '_>| RowArray {
        data: array.data,
        dtype: array.dtype,
        class_stride: array.strides[*axis],
    };
    let job =
        RowJob { plan, classes, constants, scores: row_array(scores), posteriors: row_array(posteriors) };
    // SAFETY: as in `sigmoid`, for every class of the plan's rows.
    detached(py, len, |go_on| unsafe { rows::run(isa(), &job, go_on) })
}
