//! The softmax focal loss over rows of logits: one target class, one loss a row, one gradient and one
//! Hessian a logit.
//!
//! A batch of rows goes through a tile of private memory, which holds in turn the logits ([`tile`]), the
//! exponentials ([`sums`]) and the results. What belongs to a row as a whole is computed in between, for as many rows
//! as there are lanes ([`group`]).
//!
//! Lanes lie across rows where the classes are few or their axis is strided: a group of rows stays in registers from
//! its sums to its results ([`columns`]). Elsewhere they lie across classes, and the numbers of many rows wait in lists
//! for what belongs to whole rows ([`lines`], [`spread`]). Results do not depend on it: classes are added up in the same
//! order in both ([`tree`]).
//!
//! A row of more than [`RowReal::CHUNK`] classes is brought in chunk by chunk: once for its sums, each
//! relative to the chunk's largest logit, and once for its results.
//!
//! There is an entry for every kind of rows: [`run`] and [`run_dense`] for logits with a target class or a
//! target for every class, [`run_probabilities`] and [`run_dense_probabilities`] for probabilities.

mod batch;
mod chunks;
mod columns;
mod dense;
mod domain;
mod entries;
mod group;
mod lines;
pub mod posterior;
mod probabilities;
mod spread;
mod sums;
mod tile;
mod tree;

use std::collections::TryReserveError;
use std::ops::{Add, Mul, Sub};
use std::ptr::copy_nonoverlapping;

use crate::kernel::exact_tile::Summable;
use crate::kernel::output;
use crate::loss::focal::{Gamma, Scales, power};
use crate::params::Modulator;
use crate::real::Real;
use crate::simd::{Isa, Vector};
pub use dense::Operands as DenseOperands;
pub use entries::Compiled;
pub use tile::{Form, Matrix};

/// What the kernels of rows need to know of an element type.
pub trait RowReal:
    Compiled + Summable + Real + Scales + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self>
{
    /// The group of lanes that works on a tile: their number divides `PARTIAL_SUMS`.
    type RowLanes<I: Isa>: Vector<Isa = I, Real = Self>;

    /// Partial sums of a row, a power of two.
    const PARTIAL_SUMS: usize;
    /// Classes that are brought in at once: 128 KiB.
    const CHUNK: usize = (128 << 10) / size_of::<Self>();
    /// The highest finite number.
    const HIGHEST: Self;
    /// Infinity.
    const INFINITY: Self;

    /// The number of a class.
    fn of_class(class: i32) -> Self;
}

/// The most partial sums.
const MOST_PARTIAL_SUMS: usize = 32;

impl RowReal for f32 {
    type RowLanes<I: Isa> = I::RowF32;
    const PARTIAL_SUMS: usize = 32;
    const HIGHEST: Self = f32::MAX;
    const INFINITY: Self = f32::INFINITY;

    #[inline(always)]
    fn of_class(class: i32) -> Self {
        class as f32
    }
}

impl RowReal for f64 {
    type RowLanes<I: Isa> = I::RowF64;
    const PARTIAL_SUMS: usize = 16;
    const HIGHEST: Self = f64::MAX;
    const INFINITY: Self = f64::INFINITY;

    #[inline(always)]
    fn of_class(class: i32) -> Self {
        f64::from(class)
    }
}

/// The numbers of a call that are the same for every row.
#[derive(Clone, Copy, Debug)]
pub struct Constants<R> {
    /// The focusing parameter.
    pub gamma: Gamma<R>,
    /// The class of gamma: [`power::of`](crate::loss::focal::power::of) it.
    pub power: u8,
    /// What the loss is modulated by.
    pub modulator: Modulator,
    /// What multiplies the loss.
    pub value: R,
    /// What multiplies the gradient.
    pub grad: R,
    /// What multiplies the Hessian.
    pub hess: R,
    /// V / S and 1 / S, if gradient and exact Hessian are those of V, the sum of the weighted losses over S,
    /// the sum of the modulating factors. What multiplies gradient and Hessian is then the weight of the
    /// row over S. 0 for 1 / S and all of these make all results 0.
    pub quotient: Option<[R; 2]>,
}

impl<R: RowReal> Constants<R> {
    /// All weights 1, and nothing else out of the ordinary.
    pub fn new(gamma: f64) -> Self {
        Self {
            gamma: Gamma::new(gamma),
            power: power::of(gamma),
            modulator: Modulator::Softmax,
            value: R::ONE,
            grad: R::ONE,
            hess: R::ONE,
            quotient: None,
        }
    }

    /// What multiplies value, gradient and Hessian.
    fn weights(&self) -> [R; 3] {
        [self.value, self.grad, self.hess]
    }
}

/// The operands of a run of rows. Those that are not used may be null. A result may be the very memory
/// of the logits.
#[derive(Clone, Copy, Debug)]
pub struct Operands<R> {
    /// Number of rows.
    pub rows: usize,
    /// Number of classes.
    pub classes: usize,
    /// Logits.
    pub logits: Matrix<*const R>,
    /// The target class of each row; negative: the row is ignored, all its results are +0.0.
    pub targets: *const i64,
    /// What multiplies loss, gradient and Hessian of each row, instead of the constants where not null. It
    /// makes no difference for ignored rows.
    pub weights: [*const R; 3],
    /// The [`Gamma::parts`] of each row's own gamma, or all null.
    pub gammas: [*const R; 3],
    /// The loss of each row.
    pub value: *mut R,
    /// The modulating factor of each row, without its weight; null if it is not asked for.
    pub factor: *mut R,
    /// The gradient.
    pub grad: Matrix<*mut R>,
    /// The Hessian.
    pub hess: Matrix<*mut R>,
    /// Whether gradient and Hessian are written past the caches.
    pub streamed: bool,
}

/// The Hessians.
const HESS: u8 = output::CURVATURE | output::GAUSS_NEWTON;

/// The most rows in a batch.
const ROWS: usize = 256;

/// What the classes of each row come to, for a batch of rows.
#[derive(Clone)]
#[repr(C, align(64))]
struct Summary<R> {
    /// The largest logit but the target's; the lowest finite number if it is lower.
    max: [R; ROWS],
    /// The sum of the scaled exponentials, in two parts.
    sum_head: [R; ROWS],
    sum_tail: [R; ROWS],
    /// The sum of those that are smaller than the largest.
    rest_head: [R; ROWS],
    rest_tail: [R; ROWS],
    /// Whether the largest logit was infinite.
    infinite: [bool; ROWS],
}

/// Numbers that belong to a row, for a batch of rows.
#[repr(C, align(64))]
struct State<R> {
    /// Of the chunk at hand, in the end of the whole row.
    summary: Summary<R>,
    /// Of the chunks before it.
    before: Summary<R>,
    /// The target's logit, and what it was before a limit changed it.
    target: [R; ROWS],
    own: [R; ROWS],
    /// What multiplies loss, gradient and Hessian, 0 if the row is ignored.
    weights: [[R; ROWS]; 3],
    /// What multiplies the modulating factor: 1, 0 if the row is ignored.
    counted: [R; ROWS],
    /// V / S and 1 / S of [`Constants::quotient`], 0 if the row is ignored.
    quotient: [[R; ROWS]; 2],
    /// The row's gamma, where each has its own.
    gamma: [[R; ROWS]; 3],
    /// The loss, the modulating factor, and the target's gradient and Hessian.
    value: [R; ROWS],
    factor: [R; ROWS],
    grad: [R; ROWS],
    hess: [R; ROWS],
    /// What the others' exponentials are multiplied with.
    grad_first: [R; ROWS],
    grad_second: [R; ROWS],
    total: [R; ROWS],
    inverse: [R; ROWS],
    rest: [R; ROWS],
    curvature: [R; ROWS],
    descent: [R; ROWS],
}

impl<R: Real> Summary<R> {
    fn new() -> Self {
        let zeros = [R::ZERO; ROWS];
        let infinite = [false; ROWS];
        Self { max: zeros, sum_head: zeros, sum_tail: zeros, rest_head: zeros, rest_tail: zeros, infinite }
    }
}

impl<R: Real> State<R> {
    fn new() -> Self {
        let zeros = [R::ZERO; ROWS];
        Self {
            summary: Summary::new(),
            before: Summary::new(),
            target: zeros,
            own: zeros,
            weights: [zeros; 3],
            counted: zeros,
            quotient: [zeros; 2],
            gamma: [zeros; 3],
            value: zeros,
            factor: zeros,
            grad: zeros,
            hess: zeros,
            grad_first: zeros,
            grad_second: zeros,
            total: zeros,
            inverse: zeros,
            rest: zeros,
            curvature: zeros,
            descent: zeros,
        }
    }

    /// The gammas of the rows from this on, one a lane.
    #[inline(always)]
    fn gammas<V: Vector<Real = R>>(&self, isa: V::Isa, row: usize) -> Gamma<V> {
        let ([hi, lo, one_plus_twice], rows) = (&self.gamma, row..row + V::LANES);
        // SAFETY: the slices are as long as a group of lanes.
        unsafe {
            Gamma::of_parts([
                V::load(isa, hi[rows.clone()].as_ptr()),
                V::load(isa, lo[rows.clone()].as_ptr()),
                V::load(isa, one_plus_twice[rows].as_ptr()),
            ])
        }
    }
}

/// Fills a slot that is empty.
///
/// # Errors
/// If there is no memory for it.
fn fill<T>(slot: &mut Option<Box<T>>, new: impl FnOnce() -> T) -> Result<(), TryReserveError> {
    if slot.is_none() {
        let mut one = Vec::new();
        one.try_reserve_exact(1)?;
        one.push(new());
        // SAFETY: a slice of one element is that element.
        *slot = Some(unsafe { Box::from_raw(Box::into_raw(one.into_boxed_slice()).cast()) });
    }
    Ok(())
}

/// Memory that a thread lends to one run after another.
pub struct Scratch<R> {
    tiles: Vec<R>,
    state: Option<Box<State<R>>>,
    dense: Option<Box<dense::State<R>>>,
}

impl<R: Real> Scratch<R> {
    /// Memory that grows as it is needed.
    pub const fn new() -> Self {
        Self { tiles: Vec::new(), state: None, dense: None }
    }
}

impl<R: RowReal> Scratch<R> {
    /// Takes all that rows of so many classes may need, whatever is computed.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn reserve(&mut self, classes: usize) -> Result<(), TryReserveError> {
        fill(&mut self.state, State::new)?;
        fill(&mut self.dense, dense::State::new)?;
        let (classes, align) = (classes.min(R::CHUNK).next_multiple_of(GROUP), 64 / size_of::<R>());
        let needed = 4 * longest_tile::<R>(LINES_BYTES, classes) + 3 * classes + align;
        self.tiles.try_reserve_exact(needed.saturating_sub(self.tiles.len()))
    }

    /// Room for `count` tiles of `len` elements, and for `more` elements after them; good until the next
    /// call.
    fn tiles(&mut self, count: usize, len: usize, more: usize) -> (*mut R, *mut R) {
        // A cache line more, to align the tiles.
        let align = 64 / size_of::<R>();
        let needed = count * len + more + align;
        if self.tiles.len() < needed {
            self.tiles.resize(needed, R::ZERO);
        }
        let memory = self.tiles.as_mut_ptr();
        let tiles = memory.wrapping_add(memory.align_offset(64).min(align));
        (tiles, tiles.wrapping_add(count * len))
    }
}

/// Fills the numbers of `rows` rows from `row` on from a list, or with a constant if that is null.
///
/// # Safety
/// A list that is not null must be valid for these rows.
unsafe fn lay_out<R: RowReal>(list: *const R, row: usize, rows: usize, constant: R, of_row: &mut [R; ROWS]) {
    if list.is_null() {
        of_row.fill(constant);
    } else {
        // SAFETY: handed through from the caller; there are no more than ROWS rows.
        unsafe { copy_nonoverlapping(list.add(row), of_row.as_mut_ptr(), rows) };
    }
}

impl<R: Real> Default for Scratch<R> {
    fn default() -> Self {
        Self::new()
    }
}

/// How a run is cut into tiles.
#[derive(Clone, Copy)]
struct Plan {
    form: Form,
    /// Rows of a batch.
    rows: usize,
    /// Classes of a chunk.
    classes: usize,
    /// As in [`Tile`].
    pitch: usize,
}

/// The longest group of lanes: columns are padded to it, and lines to two of the shorter ones.
const GROUP: usize = 2 * MOST_PARTIAL_SUMS;

/// From so many classes on lanes lie across them, if their axis is contiguous.
const LINES_FROM: usize = 40;

/// Bytes that tiles aim at.
const COLUMNS_BYTES: usize = 24 << 10;
const LINES_BYTES: usize = 48 << 10;

/// No tile has more elements that aims at no more than so many bytes, of no more than so many classes.
fn longest_tile<R: Real>(bytes: usize, classes: usize) -> usize {
    bytes / size_of::<R>() + MOST_PARTIAL_SUMS * (classes + 2 * LINES_FROM)
}

impl Plan {
    /// The form is a matter of speed alone: no result depends on it.
    /// `contiguous`: whether the class axis is, or else it is taken to be far from it.
    fn new<R: RowReal>(rows: usize, classes: usize, contiguous: bool, form: Option<Form>) -> Self {
        const MOST_BYTES: usize = 256 << 10;
        let fits = classes * MOST_PARTIAL_SUMS * size_of::<R>() <= MOST_BYTES;
        let columns = classes < LINES_FROM || (!contiguous && fits);
        let form = form.unwrap_or(if columns { Form::Columns } else { Form::Lines });
        let classes = classes.min(R::CHUNK);
        // Lines want many rows, of which what belongs to whole rows is computed together; columns the first-level cache.
        let bytes = if form == Form::Columns { COLUMNS_BYTES } else { LINES_BYTES };
        let elements = bytes / size_of::<R>();
        if form == Form::Columns {
            let most = (elements / classes / GROUP * GROUP).clamp(MOST_PARTIAL_SUMS, ROWS);
            let rows = most.min(rows);
            let pitch = rows.next_multiple_of(MOST_PARTIAL_SUMS);
            // Columns a power of two apart would share few sets of the caches.
            let apart = if pitch.is_multiple_of(ROWS / 2) { MOST_PARTIAL_SUMS } else { 0 };
            return Self { form, rows, classes, pitch: pitch + apart };
        }
        let pitch = classes.next_multiple_of(GROUP);
        // A strided axis is read by whole cache lines of neighbouring rows.
        let fewest = if contiguous { 1 } else { 64 / size_of::<R>() };
        let rows = (elements / pitch).clamp(fewest, ROWS).min(rows);
        Self { form, rows, classes, pitch }
    }

    /// Elements of a tile.
    fn len(&self) -> usize {
        match self.form {
            Form::Columns => self.pitch * self.classes,
            Form::Lines => self.pitch * self.rows,
        }
    }
}
