//! The softmax focal loss over rows of logits with a target for every class: [`crate::loss::softmax_dense`].
//!
//! A row's largest class takes the place that the target class has in [`super::run`]; the exponentials of
//! the others and their sums are the same. What is new are the terms of the classes ([`terms`]), which are
//! summed up before a row is put together ([`mix`]), and stay in tiles for the results ([`spread`]).
//!
//! A row that is brought in chunk by chunk comes four times: for its largest class, its exponentials, its
//! terms and its results.

mod batch;
mod mix;
mod probabilities;
mod spread;
mod terms;

use super::{Matrix, ROWS, Summary};
use crate::real::Real;
pub use batch::run;
pub use probabilities::run as run_probabilities;

/// The operands of a run of rows. Those that are not used may be null. A result may be the very memory
/// of the logits or of the targets.
#[derive(Clone, Copy, Debug)]
pub struct Operands<R> {
    /// Number of rows.
    pub rows: usize,
    /// Number of classes.
    pub classes: usize,
    /// Logits, or probabilities.
    pub logits: Matrix<*const R>,
    /// Targets.
    pub targets: Matrix<*const R>,
    /// What targets are multiplied with, and what is added to the product: 1 - s and s / C smooth them.
    pub smoothing: [R; 2],
    /// The weight of each class; all 1 if null.
    pub alphas: *const R,
    /// The [`Gamma::parts`](crate::loss::focal::Gamma::parts) of each class' own gamma, or all null.
    pub gammas: [*const R; 3],
    /// What multiplies loss, gradient and Hessian of each row, instead of the constants where not null.
    /// In a quotient the Hessian's weight is the gradient's.
    pub weights: [*const R; 3],
    /// Whether the Gauss-Newton Hessian gives way to the upper bound: (1 + g) F' stands for F' in it.
    pub upper: bool,
    /// The loss of each row.
    pub value: *mut R,
    /// The sum of y q^g of each row, without its weight; null if it is not asked for.
    pub factor: *mut R,
    /// The gradient.
    pub grad: Matrix<*mut R>,
    /// The Hessian.
    pub hess: Matrix<*mut R>,
    /// Whether gradient and Hessian are written past the caches.
    pub streamed: bool,
}

/// Sums over the classes of a row, in two parts each.
type Totals<R> = [[[R; ROWS]; 2]; SUMS];

/// How many there are.
const SUMS: usize = 5;

/// So many are enough for losses and gradient without quotient.
const FEW: usize = 2;

/// Which is which.
mod sum {
    pub const VALUE: usize = 0;
    pub const SLOPE: usize = 1;
    /// Of the second derivative, or of the slopes times 1 + g.
    pub const BEND: usize = 2;
    pub const FACTOR: usize = 3;
    /// Of the modulating factor's slopes.
    pub const FACTOR_SLOPE: usize = 4;
}

/// Numbers that belong to a row, for a batch of rows, besides those of [`super::State`].
#[repr(C, align(64))]
pub(super) struct State<R> {
    /// The largest class and its logit.
    largest: [i64; ROWS],
    logit: [R; ROWS],
    /// Where in a chunk its largest logit is, or -1.
    place: [i32; ROWS],
    /// Its target and its weight.
    target: [R; ROWS],
    alpha: [R; ROWS],
    /// The row's exponentials, when those of chunks have taken their place.
    summary: Summary<R>,
    /// The numbers of [`Shares`](crate::loss::softmax_dense::Shares).
    shares: [[R; ROWS]; 6],
    /// What the terms of gradient and Hessian are still to be multiplied with.
    outer: [[R; ROWS]; 2],
    /// Of the chunk at hand, and of all.
    part: Totals<R>,
    totals: Totals<R>,
    /// What the exponentials are multiplied with for the gradient of the modulating factors.
    factor_first: [R; ROWS],
    factor_second: [R; ROWS],
    /// 1 / S of the quotient.
    quotient: [R; ROWS],
}

impl<R: Real> State<R> {
    pub(super) fn new() -> Self {
        let zeros = [R::ZERO; ROWS];
        Self {
            largest: [0; ROWS],
            logit: zeros,
            place: [0; ROWS],
            target: zeros,
            alpha: zeros,
            summary: Summary::new(),
            shares: [zeros; 6],
            outer: [zeros; 2],
            part: [[zeros; 2]; SUMS],
            totals: [[zeros; 2]; SUMS],
            factor_first: zeros,
            factor_second: zeros,
            quotient: zeros,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Needs {
    /// As [`output`](crate::kernel::output) has them.
    outputs: u8,
    upper: bool,
    factor: bool,
    quotient: bool,
}

impl Needs {
    /// How many of the sums are needed, counted from the first.
    fn sums(self) -> usize {
        use crate::kernel::output::{GRAD, VALUE};
        if self.factor || self.quotient || self.outputs & !(VALUE | GRAD) != 0 { SUMS } else { FEW }
    }
}
