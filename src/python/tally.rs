//! Targets counted, for what is computed from counts.

use numpy::PyArray1;
use pyo3::prelude::*;

use super::array::{Array, Held};
use super::call::detached;
use super::parameters::read_label;
use super::runtime::isa;
use crate::array::{View, lengths};
use crate::call::{MOST_CLASSES, indices};
use crate::error::Error;
use crate::exec::histogram;
use crate::exec::labels;
use crate::exec::rows::tile_rows;
use crate::exec::tally::{self, Targets};
use crate::exec::{JobPlan, operand};
use crate::kernel::tile::{Source, TILE};
use crate::layout::Plan;
use crate::simd::in_default_mode;

/// Classes that are counted before it is known how many there are.
const FEW: usize = 1024;

type Numbers<'py> = Bound<'py, PyArray1<f64>>;

/// Targets and what they are multiplied with, both arrays of one shape.
struct Given<'b> {
    targets: View<'b>,
    samples: Option<View<'b>>,
}

impl<'b> Given<'b> {
    fn read(targets: &'b Held<'_, '_>, samples: Option<&'b Held<'_, '_>>) -> PyResult<Self> {
        let targets = Array::read("targets", targets)?.view;
        let read = |samples| Array::read("sample_weight", samples).map(|samples| samples.view);
        let samples = samples.map(read).transpose()?;
        if let Some(samples) = &samples {
            samples.check_shape(&targets)?;
        }
        Ok(Self { targets, samples })
    }

    /// Refuses an axis that targets have not.
    fn check_axis(&self, axis: Option<usize>) -> PyResult<()> {
        let dimensions = self.targets.shape.len();
        match axis {
            Some(axis) if axis >= dimensions => {
                Err(Error::value("axis", axis, format!("below {dimensions}, the dimensions of targets"))
                    .into())
            }
            _ => Ok(()),
        }
    }

    fn counted(&self, scale: f64, numbers: Source<f64>, ignored: Option<f64>) -> Targets {
        let Self { targets, samples } = self;
        Targets {
            data: targets.data,
            dtype: targets.dtype,
            numbers,
            ignored,
            samples: samples.as_ref().map(|samples| Source::numbers(samples.data, samples.dtype)),
            scale,
        }
    }

    /// The order of all targets, or of their positions beside an axis.
    fn plan(&self, without: Option<usize>) -> JobPlan {
        let of = |strides: &[isize]| {
            let mut strides = strides.to_vec();
            if let Some(axis) = without.filter(|&axis| axis < strides.len()) {
                strides.remove(axis);
            }
            strides
        };
        let samples = of(self.samples.as_ref().map_or(&[][..], |samples| samples.strides));
        let targets = of(self.targets.strides);
        let mut shape = lengths(self.targets.shape);
        let mut strides = [&[][..]; operand::COUNT];
        (strides[operand::TARGETS], strides[operand::SAMPLES]) = (&targets, &samples);
        match without {
            None => Plan::new(&shape, strides, TILE, operand::COUNT),
            Some(axis) => {
                let classes = shape.remove(axis);
                Plan::of_runs(&shape, strides, tile_rows(classes), operand::COUNT)
            }
        }
    }
}

/// The weights of positive and of negative labels, of every class along an axis if there is one; whether some labels are
/// neither 0 nor 1, and whether some are outside [0, 1].
#[pyfunction]
#[pyo3(signature = (targets, sample_weight, scale, axis, ignored))]
pub fn tally_labels<'py>(
    py: Python<'py>,
    targets: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    scale: f64,
    axis: Option<usize>,
    ignored: Option<f64>,
) -> PyResult<(Numbers<'py>, Numbers<'py>, bool, bool)> {
    let targets = Held::new("targets", targets)?;
    let samples = sample_weight.map(|weight| Held::new("sample_weight", weight)).transpose()?;
    let weights = in_default_mode(|| {
        let given = Given::read(&targets, samples.as_ref())?;
        given.check_axis(axis)?;
        let counted = given.counted(scale, Source::numbers(given.targets.data, given.targets.dtype), ignored);
        let (plan, len) = (given.plan(axis), given.targets.len());
        let of_axis = axis.map(|axis| {
            let samples = given.samples.as_ref().map_or(0, |samples| samples.strides[axis]);
            ([given.targets.strides[axis], samples], given.targets.shape[axis] as usize)
        });
        // SAFETY: both arrays were admitted and live as long as the references to them; the plan and the strides are made
        // of theirs. Other threads must not write to them meanwhile: the documentation asks that of callers.
        detached(py, len, |go_on| unsafe {
            match of_axis {
                None => tally::labels(isa(), &plan, &counted, go_on),
                Some((strides, classes)) => tally::columns(isa(), &plan, &counted, strides, classes, go_on),
            }
        })
    })?;
    let of = |i: usize| weights.sums.iter().map(move |sums| sums[i].value());
    let (ones, zeros) = (PyArray1::from_iter(py, of(0)), PyArray1::from_iter(py, of(1)));
    Ok((ones, zeros, weights.soft, weights.outside))
}

/// The weight of every class among class indices, and of those that stand for none. Without a number of classes there are
/// as many as the largest index says, but not `most` or more.
#[pyfunction]
#[pyo3(signature = (targets, sample_weight, scale, classes, most, ignored, background))]
#[expect(clippy::too_many_arguments, reason = "all of them different things")]
pub fn tally_indices<'py>(
    py: Python<'py>,
    targets: &Bound<'py, PyAny>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    scale: f64,
    classes: Option<usize>,
    most: usize,
    ignored: Option<&Bound<'py, PyAny>>,
    background: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Numbers<'py>, f64)> {
    let most = most.min(MOST_CLASSES);
    if let Some(classes) = classes
        && classes > MOST_CLASSES
    {
        let takes = format!("at most {MOST_CLASSES}");
        return Err(Error::value("classes", classes, takes).into());
    }
    let label = |name| move |label| read_label(name, label);
    let special = [
        ignored.map(label("ignore_index")).transpose()?,
        background.map(label("background_index")).transpose()?,
    ];
    let targets = Held::new("targets", targets)?;
    let samples = sample_weight.map(|weight| Held::new("sample_weight", weight)).transpose()?;
    let found = in_default_mode(|| {
        let given = Given::read(&targets, samples.as_ref())?;
        let View { data, dtype, .. } = given.targets;
        let numbers = labels::targets(data, dtype, special);
        let [ignored, background] =
            special.map(|label| label.and_then(|label| labels::number_of(label, dtype)));
        let counted = given.counted(scale, numbers, ignored);
        let plan = given.plan(None);
        // SAFETY: as in `tally_labels`; all are indices that are not ignored or background.
        detached(py, given.targets.len(), |go_on| unsafe {
            // One walk is enough where there are as many classes as are wanted, or few.
            let guess = classes.or(given.samples.is_none().then_some(FEW));
            if let Some(guess) = guess
                && let Some(mut found) =
                    histogram::histogram(isa(), &plan, &counted, background, guess, &mut *go_on)?
            {
                if classes.is_none() {
                    let largest = found.classes.iter().rposition(|count| *count != 0.0);
                    found.classes.truncate(largest.map_or(0, |largest| largest + 1));
                }
                return Ok(found);
            }
            let most = classes.unwrap_or(most);
            indices::check(isa(), &given.targets, most, special, &mut *go_on)?;
            let largest = histogram::largest_index(isa(), &plan, &counted, background, &mut *go_on)?;
            let classes = largest.map_or(0, |largest| largest + 1);
            let found = histogram::histogram(isa(), &plan, &counted, background, classes, go_on)?;
            Ok(found.unwrap_or_default())
        })
    })?;
    Ok((PyArray1::from_vec(py, found.classes), found.apart))
}

/// The largest magnitude of finite weights.
#[pyfunction]
pub fn largest_weight(py: Python<'_>, sample_weight: &Bound<'_, PyAny>) -> PyResult<f64> {
    let held = Held::new("sample_weight", sample_weight)?;
    in_default_mode(|| {
        let array = Array::read("sample_weight", &held)?.view;
        let mut strides = [&[][..]; operand::COUNT];
        strides[operand::SAMPLES] = array.strides;
        let plan = Plan::new(&lengths(array.shape), strides, TILE, operand::COUNT);
        let whole = &array;
        // SAFETY: as in `tally_labels`.
        detached(py, array.len(), |go_on| unsafe {
            let View { data, dtype, .. } = *whole;
            let source = Source::<f64>::numbers(data, dtype);
            tally::largest_weight(isa(), &plan, &source, go_on)
        })
    })
}
