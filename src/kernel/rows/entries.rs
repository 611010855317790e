//! The four ways into the kernels of rows, compiled with this crate for each element type: a generic function is
//! compiled again in every program that calls it, and these would bring all kernels of rows along.

use super::domain::{self, any_number, outside, unit};
use super::{Constants, DenseOperands, Form, Operands, Scratch, batch, dense, probabilities};
use crate::simd::AnyIsa;

/// An element type with compiled kernels of rows. What is computed is a set of
/// [`output`](crate::kernel::output)s.
///
/// `form` is for tests: left to itself a kernel takes the faster one, and the results are the same. Probabilities
/// are taken to the nearer of the `bounds` first, if there are any; they have no Gauss-Newton Hessian, and the softmax as
/// modulator, as rows with a target for every class have. Rows with a NaN, a target of a class or an unclipped
/// probability outside \[0, 1\] are NaN.
///
/// # Safety
/// Of all methods: the operands that are used must be valid for `rows` rows and `classes` classes and aligned to
/// their type; class indices must be less than `classes`. A result must either be exactly the memory of the
/// logits or of dense targets or share none with them, and share none with another.
pub trait Compiled: Sized {
    /// Rows of logits, one target class each.
    ///
    /// # Safety
    /// As the trait says.
    unsafe fn run(
        isa: AnyIsa,
        constants: &Constants<Self>,
        operands: &Operands<Self>,
        outputs: u8,
        form: Option<Form>,
        scratch: &mut Scratch<Self>,
    );

    /// Rows of logits, a target for every class.
    ///
    /// # Safety
    /// As the trait says.
    unsafe fn run_dense(
        isa: AnyIsa,
        constants: &Constants<Self>,
        operands: &DenseOperands<Self>,
        outputs: u8,
        form: Option<Form>,
        scratch: &mut Scratch<Self>,
    );

    /// Rows of probabilities, one target class each.
    ///
    /// # Safety
    /// As the trait says.
    unsafe fn run_probabilities(
        isa: AnyIsa,
        constants: &Constants<Self>,
        operands: &Operands<Self>,
        bounds: Option<[Self; 2]>,
        outputs: u8,
        scratch: &mut Scratch<Self>,
    );

    /// Rows of probabilities, a target for every class.
    ///
    /// # Safety
    /// As the trait says.
    unsafe fn run_dense_probabilities(
        isa: AnyIsa,
        constants: &Constants<Self>,
        operands: &DenseOperands<Self>,
        bounds: Option<[Self; 2]>,
        outputs: u8,
        form: Option<Form>,
        scratch: &mut Scratch<Self>,
    );
}

macro_rules! compiled {
    ($($real:ty),+) => {$(
        impl Compiled for $real {
            unsafe fn run(
                isa: AnyIsa,
                constants: &Constants<Self>,
                operands: &Operands<Self>,
                outputs: u8,
                form: Option<Form>,
                scratch: &mut Scratch<Self>,
            ) {
                // SAFETY: handed through from the caller.
                unsafe { batch::run(isa, constants, operands, outputs, form, scratch) }
            }

            unsafe fn run_dense(
                isa: AnyIsa,
                constants: &Constants<Self>,
                operands: &DenseOperands<Self>,
                outputs: u8,
                form: Option<Form>,
                scratch: &mut Scratch<Self>,
            ) {
                let shape = [operands.rows, operands.classes];
                // SAFETY: handed through from the caller.
                unsafe {
                    let rows = outside(isa, &operands.targets, shape, unit());
                    dense::run(isa, constants, operands, outputs, form, scratch);
                    domain::spoil_dense(operands, outputs, &rows);
                }
            }

            unsafe fn run_probabilities(
                isa: AnyIsa,
                constants: &Constants<Self>,
                operands: &Operands<Self>,
                bounds: Option<[Self; 2]>,
                outputs: u8,
                scratch: &mut Scratch<Self>,
            ) {
                let shape = [operands.rows, operands.classes];
                let domain = if bounds.is_some() { any_number() } else { unit() };
                let bounds = bounds.unwrap_or(unit());
                // SAFETY: handed through from the caller.
                unsafe {
                    let rows = outside(isa, &operands.logits, shape, domain);
                    probabilities::run(isa, constants, operands, bounds, outputs, scratch);
                    domain::spoil(operands, outputs, &rows);
                }
            }

            unsafe fn run_dense_probabilities(
                isa: AnyIsa,
                constants: &Constants<Self>,
                operands: &DenseOperands<Self>,
                bounds: Option<[Self; 2]>,
                outputs: u8,
                form: Option<Form>,
                scratch: &mut Scratch<Self>,
            ) {
                let shape = [operands.rows, operands.classes];
                let domain = if bounds.is_some() { any_number() } else { unit() };
                let bounds = bounds.unwrap_or(unit());
                // SAFETY: handed through from the caller.
                unsafe {
                    let mut rows = outside(isa, &operands.logits, shape, domain);
                    rows.extend(outside(isa, &operands.targets, shape, unit()));
                    dense::run_probabilities(isa, constants, operands, bounds, outputs, form, scratch);
                    domain::spoil_dense(operands, outputs, &rows);
                }
            }
        }
    )+};
}
compiled!(f32, f64);
