//! The posteriors that scores stand for: arrays in, arrays out.

use pyo3::prelude::*;

use super::detached;
use crate::call::check_overlaps;
use crate::call::posterior::{Arrays, Posterior, check, check_loss, fill};
use crate::python::array::{Array, Held};
use crate::python::runtime::isa;

/// The posteriors of a loss' scores, in `out` if it is given.
///
/// # Errors
/// `TypeError` and `ValueError` for what is refused, `MemoryError`, and what handlers of signals raise.
pub fn posterior<'py, L: Posterior>(
    py: Python<'py>,
    loss: &L,
    scores: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    check_loss(loss)?;
    let found = Held::new("scores", scores)?;
    let given = out.map(|out| Held::output("out", out)).transpose()?;
    let scores = Array::read("scores", &found)?;
    let axis = check(loss, &scores.view)?;
    let dtype = scores.view.dtype.of_results();
    let result = match &given {
        None => scores.allocate_like(None)?,
        Some(held) => {
            let out = Array::output("out", dtype, held)?;
            out.view.check_results(dtype, scores.view.shape)?;
            check_overlaps(&[Some(out.view), None, None], &[Some(scores.view), None, None])?;
            out.object.clone()
        }
    };
    let posteriors = Array::made("a result", &result, dtype)?.view;
    let arrays = Arrays { scores: scores.view, posteriors };
    // SAFETY: both arrays were read or made, and live as long as what was found, which nobody changes meanwhile; they
    // overlap only where they are the same. Other threads must not write to them: the documentation asks that of callers.
    detached(py, scores.view.len(), |go_on| unsafe { fill(isa(), loss, arrays, axis, go_on) })?;
    Ok(result)
}
