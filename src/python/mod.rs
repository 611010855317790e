//! The binding to Python: the only place that knows pyo3 and NumPy.
//!
//! A call comes in once: [`array`] admits what it brings (what is no NumPy array, with the help of [`foreign`] and
//! [`columns`]), [`call`] turns it into a job for the core, and the results go out. [`parameters`] and [`number`] read parameters,
//! [`sigmoid`] and [`softmax`] are the public classes, [`class`] is what
//! they share, [`sum`] serves what comes in pieces, [`bins`] says where
//! their losses come from, [`runtime`] the state of the process
//! (instruction set, threads), [`error`] how refusals look in Python.

mod array;
mod bins;
mod call;
mod class;
mod columns;
mod error;
mod foreign;
mod number;
mod parameters;
mod runtime;
mod sigmoid;
mod softmax;
mod sum;
mod tally;

use pyo3::prelude::*;

/// The compiled part of focalgrad.
#[pymodule]
mod _core {
    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::bins::{
        add_by_bin, largest_of_rows, margins_of_rows, sizes_of_rows, sort_by_margin, walk_losses,
    };
    #[pymodule_export]
    use super::foreign::read_array;
    #[pymodule_export]
    use super::runtime::{get_num_threads, limit_this_thread, num_threads_in_use, set_num_threads};
    #[pymodule_export]
    use super::sigmoid::{SigmoidFocalLoss, sigmoid_focal_loss};
    #[pymodule_export]
    use super::softmax::{SoftmaxFocalLoss, softmax_focal_loss};
    #[pymodule_export]
    use super::sum::{ExactSum, exact_denominator, exact_sums, piece};
    #[pymodule_export]
    use super::tally::{largest_weight, tally_indices, tally_labels};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::runtime::from_environment().map_err(PyImportError::new_err)?;
        super::array::load_numpy(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("ISA", super::runtime::isa().name())?;
        module.add("ISAS_AVAILABLE", super::runtime::isas_available())?;
        Ok(())
    }
}
