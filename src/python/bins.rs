//! Where losses and gradients come from, for evaluations of data in pieces. Its callers are the package's own.

use std::slice;

use pyo3::prelude::*;

use super::array::{Array, Held};
use super::runtime::isa;
use super::sum::ExactSum;
use crate::array::View;
use crate::bins::{self, Column, Each, Row};
use crate::element::DType;
use crate::error::Error;
use crate::kernel::exact_tile::Summable;
use crate::real::Real;

/// Refuses what is not in C order.
fn in_order<'b>(name: &'static str, held: &'b Held<'_, '_>) -> PyResult<View<'b>> {
    let array = Array::read(name, held)?.view;
    if array.c_order { Ok(array) } else { Err(Error::value(name, "another order", "in C order").into()) }
}

/// The numbers of an array of that type.
///
/// # Safety
/// Nothing may write to the array, or change its shape, while they are read.
unsafe fn numbers<'b, T>(array: &View<'b>, dtype: DType) -> PyResult<&'b [T]> {
    array.check_results(dtype, array.shape)?;
    // SAFETY: the array has so many elements of that type, one after the other.
    Ok(unsafe { slice::from_raw_parts(array.data.cast(), array.len()) })
}

/// The numbers of an array of that type, to be changed.
///
/// # Safety
/// Nothing else may use the array meanwhile.
unsafe fn numbers_mut<'b, T>(array: &View<'b>, dtype: DType) -> PyResult<&'b mut [T]> {
    array.check_results(dtype, array.shape)?;
    // SAFETY: as for `numbers`.
    Ok(unsafe { slice::from_raw_parts_mut(array.data.cast(), array.len()) })
}

/// Sort elements into bins by label and margin. Returns how many logits are NaN, and the first target outside 0 to 1.
#[pyfunction]
pub fn sort_by_margin(
    py: Python<'_>,
    logits: &Bound<'_, PyAny>,
    targets: &Bound<'_, PyAny>,
    losses: &Bound<'_, PyAny>,
    bins: &Bound<'_, PyAny>,
) -> PyResult<(usize, Option<usize>)> {
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
    Ok((sorted.nan_logits, sorted.outside))
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
fn run<R: Real + Summable>(
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
    let shown =
        |total: bins::Total| (ExactSum(total.sum), total.squares, total.low, total.high, total.infinite);
    Ok(totals.into_iter().map(shown).collect())
}
