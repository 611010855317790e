//! Where losses and gradients come from, for evaluations of data in pieces. Its callers are the package's own.

use std::slice;

use pyo3::prelude::*;

use super::array::{Array, Held};
use super::runtime::isa;
use super::sigmoid::SigmoidFocalLoss;
use super::sum::ExactSum;
use crate::array::{View, lengths};
use crate::bins::{self, Column, Each, Row, Rows, Sortable, Weighed};
use crate::element::DType;
use crate::error::Error;
use crate::kernel::exact_tile::Summable;
use crate::loss::focal::Scales;
use crate::params;
use crate::real::Real;

/// Refuses what is not in C order.
fn in_order<'b>(name: &'static str, held: &'b Held<'_, '_>) -> PyResult<View<'b>> {
    let array = Array::read(name, held)?.view;
    if array.c_order { Ok(array) } else { Err(Error::value(name, "another order", "in C order").into()) }
}

/// Refuses an array that cannot be seen as a slice of that type.
fn check_slice<T>(array: &View<'_>, dtype: DType) -> PyResult<()> {
    array.check_dtype(dtype)?;
    if array.data.cast::<T>().is_aligned() {
        return Ok(());
    }
    Err(Error::value(array.name, "an unaligned array", "aligned").into())
}

/// The numbers of an array of that type.
///
/// # Safety
/// Nothing may write to the array, or change its shape, while they are read.
unsafe fn numbers<'b, T>(array: &View<'b>, dtype: DType) -> PyResult<&'b [T]> {
    check_slice::<T>(array, dtype)?;
    // SAFETY: the array is aligned, and has so many elements of that type, one after the other.
    Ok(unsafe { slice::from_raw_parts(array.data.cast(), array.len()) })
}

/// The numbers of an array of that type, to be changed.
///
/// # Safety
/// Nothing else may use the array meanwhile.
unsafe fn numbers_mut<'b, T>(array: &View<'b>, dtype: DType) -> PyResult<&'b mut [T]> {
    array.check_results(dtype, array.shape)?;
    check_slice::<T>(array, dtype)?;
    // SAFETY: as for `numbers`.
    Ok(unsafe { slice::from_raw_parts_mut(array.data.cast(), array.len()) })
}

/// Sort elements into bins by label and margin. Returns how many logits are NaN, how many targets 1/2 or more, and the
/// first target outside 0 to 1.
#[pyfunction]
pub fn sort_by_margin(
    py: Python<'_>,
    logits: &Bound<'_, PyAny>,
    targets: &Bound<'_, PyAny>,
    losses: &Bound<'_, PyAny>,
    bins: &Bound<'_, PyAny>,
) -> PyResult<(usize, usize, Option<usize>)> {
    let held = [Held::new("logits", logits)?, Held::new("targets", targets)?];
    let (losses, bins) = (Held::output("losses", losses)?, Held::output("bins", bins)?);
    let (logits, targets) = (in_order("logits", &held[0])?, in_order("targets", &held[1])?);
    let (losses, bins) = (in_order("losses", &losses)?, in_order("bins", &bins)?);
    for array in [&logits, &targets, &bins] {
        if array.len() != losses.len() {
            return Err(Error::value(array.name, array.len(), format!("{} numbers", losses.len())).into());
        }
    }
    let column = |array: &View<'_>| Column { data: array.data, dtype: array.dtype };
    let (x, y) = (column(&logits), column(&targets));
    // SAFETY: the package's evaluation owns losses and bins, and is the only caller.
    let bins = unsafe { numbers_mut(&bins, DType::UInt16)? };
    let sorted = match losses.dtype {
        DType::Float64 => {
            // SAFETY: as above.
            let losses: &[f64] = unsafe { numbers(&losses, DType::Float64)? };
            // SAFETY: the lengths have been compared.
            py.detach(|| unsafe { bins::sort(isa(), x, y, losses, bins) })?
        }
        _ => {
            // SAFETY: as above.
            let losses: &[f32] = unsafe { numbers(&losses, DType::Float32)? };
            // SAFETY: as above.
            py.detach(|| unsafe { bins::sort(isa(), x, y, losses, bins) })?
        }
    };
    Ok((sorted.nan_logits, sorted.positives, sorted.outside))
}

/// What one loss adds up to: the sum, that of squared slopes, smallest and largest loss, infinite losses.
type Total = (ExactSum, f64, f64, f64, u64);

/// Add losses and gradients to the rows of the elements' bins, and the elements to their counts.
#[pyfunction]
pub fn add_by_bin(
    py: Python<'_>,
    bins: &Bound<'_, PyAny>,
    losses: Vec<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
    counts: &Bound<'_, PyAny>,
    rows: &Bound<'_, PyAny>,
) -> PyResult<Vec<Total>> {
    let held = [Held::output("bins", bins)?, Held::output("counts", counts)?, Held::output("rows", rows)?];
    let [bins, counts, rows] = [("bins", &held[0]), ("counts", &held[1]), ("rows", &held[2])];
    let (bins, counts) = (in_order(bins.0, bins.1)?, in_order(counts.0, counts.1)?);
    let rows = in_order(rows.0, rows.1)?;
    let tables = losses.len().div_ceil(2);
    if rows.len() != tables * counts.len() * size_of::<Row>() / size_of::<f64>() || losses.is_empty() {
        return Err(Error::value("rows", rows.len(), "four numbers a bin for each two losses").into());
    }
    let mut pairs = Vec::new();
    for (values, slopes) in &losses {
        pairs.push((Held::output("values", values)?, Held::output("slopes", slopes)?));
    }
    let mut arrays = Vec::new();
    for (values, slopes) in &pairs {
        let (values, slopes) = (in_order("values", values)?, in_order("slopes", slopes)?);
        if values.len() != bins.len() || slopes.len() != bins.len() {
            return Err(Error::value("losses", values.len(), format!("{} numbers", bins.len())).into());
        }
        arrays.push((values, slopes));
    }
    // SAFETY: the package's evaluation owns all of these, and is the only caller.
    let (bins, counts) = unsafe { (numbers(&bins, DType::UInt16)?, numbers_mut(&counts, DType::Int64)?) };
    // SAFETY: as above.
    let rows: &mut [f64] = unsafe { numbers_mut(&rows, DType::Float64)? };
    let (rows, _) = rows.as_chunks_mut();
    if arrays[0].0.dtype == DType::Float64 {
        run::<f64>(py, bins, &arrays, counts, rows)
    } else {
        run::<f32>(py, bins, &arrays, counts, rows)
    }
}

/// As [`add_by_bin`], for losses of one type.
fn run<R: Sortable + Summable>(
    py: Python<'_>,
    bins: &[u16],
    arrays: &[(View<'_>, View<'_>)],
    counts: &mut [i64],
    rows: &mut [Row],
) -> PyResult<Vec<Total>> {
    let mut each = Vec::new();
    for (values, slopes) in arrays {
        // SAFETY: the package's evaluation owns them, and is the only caller.
        let (values, slopes) =
            unsafe { (numbers::<R>(values, DType::of::<R>())?, numbers::<R>(slopes, DType::of::<R>())?) };
        each.push(Each { values, slopes });
    }
    let totals = py.detach(|| bins::tally(isa(), bins, &each, counts, rows))?;
    Ok(totals.into_iter().map(shown).collect())
}

fn shown(total: bins::Total) -> Total {
    (ExactSum(total.sum), total.squares, total.low, total.high, total.infinite)
}

/// Add losses and gradients of logits with plain labels to the rows of their bins, and the elements to their counts: one
/// walk for all losses, which are those of `add_by_bin`. Returns what that does, how many logits are NaN, and how many
/// labels 1. None, and nothing is added, where there are other labels, or losses or arrays that this way is not for.
#[pyfunction]
pub fn walk_losses(
    py: Python<'_>,
    losses: Vec<PyRef<'_, SigmoidFocalLoss>>,
    logits: &Bound<'_, PyAny>,
    targets: &Bound<'_, PyAny>,
    counts: &Bound<'_, PyAny>,
    rows: &Bound<'_, PyAny>,
) -> PyResult<Option<(Vec<Total>, usize, usize)>> {
    let Some(losses) = losses.iter().map(|loss| weighed(loss.parameters())).collect::<Option<Vec<_>>>()
    else {
        return Ok(None);
    };
    let held = [Held::new("logits", logits)?, Held::new("targets", targets)?];
    let sums = [Held::output("counts", counts)?, Held::output("rows", rows)?];
    let (logits, targets) = (Array::read("logits", &held[0])?.view, Array::read("targets", &held[1])?.view);
    if !(logits.c_order && targets.c_order && logits.shape == targets.shape) {
        return Ok(None);
    }
    let (counts, rows) = (in_order("counts", &sums[0])?, in_order("rows", &sums[1])?);
    if rows.len() != losses.len().div_ceil(2) * counts.len() * size_of::<Row>() / size_of::<f64>() {
        return Err(Error::value("rows", rows.len(), "four numbers a bin for each two losses").into());
    }
    let column = |array: &View<'_>| Column { data: array.data, dtype: array.dtype };
    let data = (column(&logits), column(&targets), logits.len());
    // SAFETY: the package's evaluation owns them, and is the only caller.
    let counts: &mut [i64] = unsafe { numbers_mut(&counts, DType::Int64)? };
    // SAFETY: as above.
    let rows: &mut [f64] = unsafe { numbers_mut(&rows, DType::Float64)? };
    let (rows, _) = rows.as_chunks_mut();
    let found = match logits.dtype {
        DType::Float32 => walk::<f32>(py, data, &losses, counts, rows)?,
        DType::Float64 => walk::<f64>(py, data, &losses, counts, rows)?,
        _ => None,
    };
    Ok(found.map(|bins::Walked { totals, sorted }| {
        (totals.into_iter().map(shown).collect(), sorted.nan_logits, sorted.positives)
    }))
}

/// As [`walk_losses`], for logits of one type.
fn walk<R: Sortable + Scales + Summable>(
    py: Python<'_>,
    data: (Column, Column, usize),
    losses: &[Weighed],
    counts: &mut [i64],
    rows: &mut [Row],
) -> PyResult<Option<bins::Walked>> {
    // SAFETY: both arrays have so many numbers, one after the other, and live as long as the references to them.
    Ok(py.detach(|| unsafe { bins::walk::<R>(isa(), data, losses, counts, rows) })?)
}

/// What a walk needs of a loss, if its elements differ in their logits and labels alone.
fn weighed(loss: &params::SigmoidFocalLoss) -> Option<Weighed> {
    let common = &loss.common;
    let plain = common.from_logits && common.label_smoothing == 0.0 && common.ignore_index.is_none();
    let same = loss.class_axis.is_none() && common.gamma.per_class().is_none() && !loss.differs_by_class();
    (plain && same).then(|| Weighed { gamma: common.gamma.of(0), weights: loss.weights_of(0) })
}

/// Rows of an array in C order whose second axis is that of the classes.
///
/// # Safety
/// As [`numbers`].
unsafe fn rows_of<'b, R: Real>(array: &View<'b>) -> PyResult<Rows<'b, R>> {
    let shape = lengths(array.shape);
    let [_, classes, inner @ ..] = &shape[..] else {
        return Err(Error::value(array.name, format!("{} axes", shape.len()), "two or more").into());
    };
    // SAFETY: handed through from the caller.
    let entries = unsafe { numbers(array, DType::of::<R>())? };
    Ok(Rows { entries, classes: *classes, inner: inner.iter().product() })
}

/// Refuses an array that has not a number for each of so many rows.
fn check_rows(name: &'static str, len: usize, rows: usize) -> PyResult<()> {
    if len == rows {
        return Ok(());
    }
    Err(Error::value(name, len, format!("a number for each of {rows} rows")).into())
}

/// The class of each row's largest entry, the first of several, and that entry; a NaN is larger than a number.
#[pyfunction]
pub fn largest_of_rows(
    py: Python<'_>,
    entries: &Bound<'_, PyAny>,
    classes: &Bound<'_, PyAny>,
    largest: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let held = [
        Held::new("entries", entries)?,
        Held::output("classes", classes)?,
        Held::output("largest", largest)?,
    ];
    let (entries, classes) = (in_order("entries", &held[0])?, in_order("classes", &held[1])?);
    let most = in_order("largest", &held[2])?;
    if entries.dtype == DType::Float64 {
        largest_of::<f64>(py, &entries, &classes, &most)
    } else {
        largest_of::<f32>(py, &entries, &classes, &most)
    }
}

fn largest_of<R: Sortable>(
    py: Python<'_>,
    entries: &View<'_>,
    classes: &View<'_>,
    most: &View<'_>,
) -> PyResult<()> {
    // SAFETY: the package's evaluation owns them, and is the only caller.
    let (rows, classes) = unsafe { (rows_of::<R>(entries)?, numbers_mut::<i64>(classes, DType::Int64)?) };
    // SAFETY: as above.
    let most = unsafe { numbers_mut::<R>(most, DType::of::<R>())? };
    check_rows("classes", classes.len(), rows.len())?;
    check_rows("largest", most.len(), rows.len())?;
    Ok(py.detach(|| bins::largest(rows, classes, most))?)
}

/// The sum of each row's magnitudes; returns the sum of all squares.
#[pyfunction]
pub fn sizes_of_rows(py: Python<'_>, entries: &Bound<'_, PyAny>, sums: &Bound<'_, PyAny>) -> PyResult<f64> {
    let held = [Held::output("entries", entries)?, Held::output("sums", sums)?];
    let (entries, sums) = (in_order("entries", &held[0])?, in_order("sums", &held[1])?);
    if entries.dtype == DType::Float64 {
        sizes_of::<f64>(py, &entries, &sums)
    } else {
        sizes_of::<f32>(py, &entries, &sums)
    }
}

fn sizes_of<R: Sortable>(py: Python<'_>, entries: &View<'_>, sums: &View<'_>) -> PyResult<f64> {
    // SAFETY: the package's evaluation owns them, and is the only caller.
    let (rows, sums) = unsafe { (rows_of::<R>(entries)?, numbers_mut::<R>(sums, DType::of::<R>())?) };
    check_rows("sums", sums.len(), rows.len())?;
    Ok(py.detach(|| bins::sizes(rows, sums))?)
}

/// The margins of rows' classes against all others together, from their cross entropies.
#[pyfunction]
pub fn margins_of_rows(
    py: Python<'_>,
    entropies: &Bound<'_, PyAny>,
    margins: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let held = [Held::output("entropies", entropies)?, Held::output("margins", margins)?];
    let (entropies, margins) = (in_order("entropies", &held[0])?, in_order("margins", &held[1])?);
    check_rows("margins", margins.len(), entropies.len())?;
    // SAFETY: the package's evaluation owns them, and is the only caller.
    let margins = unsafe { numbers_mut::<f64>(&margins, DType::Float64)? };
    if entropies.dtype == DType::Float64 {
        // SAFETY: as above.
        let entropies: &[f64] = unsafe { numbers(&entropies, DType::Float64)? };
        return Ok(py.detach(|| bins::margins(entropies, margins))?);
    }
    // SAFETY: as above.
    let entropies: &[f32] = unsafe { numbers(&entropies, DType::Float32)? };
    Ok(py.detach(|| bins::margins(entropies, margins))?)
}
