//! The state of the process: instruction set and threads.

use std::env;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::array::type_name;
use crate::error::Error;
use crate::pool;
use crate::simd::AnyIsa;

static ISA: OnceLock<AnyIsa> = OnceLock::new();

/// Reads `FOCALGRAD_ISA` and `FOCALGRAD_NUM_THREADS`. Empty counts as unset.
pub fn from_environment() -> Result<(), String> {
    let isa = env::var_os("FOCALGRAD_ISA").map(|name| name.to_string_lossy().into_owned());
    let chosen = AnyIsa::choose(isa.as_deref()).map_err(|error| error.to_string())?;
    ISA.get_or_init(|| chosen);
    let threads = env::var_os("FOCALGRAD_NUM_THREADS").unwrap_or_default();
    let threads = threads.to_string_lossy();
    let threads = threads.trim();
    if threads.is_empty() {
        return Ok(());
    }
    let set = threads.parse().ok().and_then(|n| pool::set_threads(n).ok());
    set.ok_or_else(|| {
        let most = pool::MAX_THREADS;
        format!("FOCALGRAD_NUM_THREADS must be empty or a whole number from 1 to {most}; got {threads:?}")
    })
}

/// The instruction set in use.
pub fn isa() -> AnyIsa {
    *ISA.get_or_init(|| AnyIsa::available()[0])
}

/// The names of the instruction sets that this processor has, the best first.
pub fn isas_available() -> Vec<&'static str> {
    AnyIsa::available().into_iter().map(AnyIsa::name).collect()
}

/// Set the number of threads that calls on large arrays use.
///
/// The number holds for the whole process. Results do not depend on it, to the bit. It starts as
/// ``FOCALGRAD_NUM_THREADS`` or, where that is not set, as the number of processors that the process
/// may run on.
///
/// Parameters
/// ----------
/// n : int
///     From 1 to 1024.
///
/// Raises
/// ------
/// TypeError
///     If `n` is not an integer.
/// ValueError
///     If `n` is out of range.
///
/// See Also
/// --------
/// num_threads : The same for the length of a ``with`` block.
///
/// Examples
/// --------
/// >>> import focalgrad as fg
/// >>> before = fg.get_num_threads()
/// >>> fg.set_num_threads(2)
/// >>> fg.get_num_threads()
/// 2
/// >>> fg.set_num_threads(before)
#[pyfunction]
pub fn set_num_threads(n: &Bound<'_, PyAny>) -> PyResult<()> {
    let takes = format!("an integer from 1 to {}", pool::MAX_THREADS);
    if n.is_instance_of::<PyBool>() || !n.hasattr("__index__")? {
        return Err(Error::wrong_type("n", type_name(n), takes).into());
    }
    let index = n.call_method0("__index__")?;
    let threads = index.extract::<usize>().map_err(|_| Error::value("n", &index, takes))?;
    Ok(pool::set_threads(threads)?)
}

/// The number of threads that calls on large arrays use.
///
/// Returns
/// -------
/// int
///     From 1 to 1024.
///
/// Examples
/// --------
/// >>> import focalgrad as fg
/// >>> with fg.num_threads(3):
/// ...     fg.get_num_threads()
/// 3
#[pyfunction]
pub fn get_num_threads() -> usize {
    pool::threads_of_process()
}

/// Let calls from this thread use no more than `n` threads; returns the limit before.
#[pyfunction]
pub fn limit_this_thread(n: usize) -> PyResult<usize> {
    Ok(pool::limit_this_thread(n)?)
}

/// The number of threads that calls on large arrays do use: fewer than they may where not all could be started.
#[pyfunction]
pub fn num_threads_in_use() -> usize {
    pool::threads_in_use()
}
