//! Posteriors of rows of scores: [`crate::loss::row_posterior`].
//!
//! Rows go through private memory, batch by batch, in passes: the largest score, the sum of the exponentials, the shares of
//! the classes and their sum, and the posteriors. As in the kernels of the loss, lanes lie across rows where the classes are
//! few or their axis is strided, and across classes elsewhere; sums are in a tree that is the same for both.

use std::collections::TryReserveError;
use std::mem::MaybeUninit;

use super::tile::{Form, Matrix, Tile, emit, fetch};
use super::{LINES_FROM, MOST_PARTIAL_SUMS, ROWS, RowReal, fill, longest_tile};
use crate::loss::posterior::{Unsmooth, bounded};
use crate::loss::row_posterior::{ROW, Row, exponent, power, share_by_sigmoid, share_of_square};
use crate::loss::softmax::{Sum, scaled_exp};
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel, MAX_LANES, Vector};

/// What differs by class, in lists that are empty where nothing does.
#[derive(Clone, Debug)]
pub struct ByClass<R> {
    /// Gamma, in two parts.
    gammas: [Vec<R>; 2],
    /// The smallest alpha over each; where some are 0, 1 for those and 0 for the others.
    weights: Vec<R>,
}

/// Numbers behind the end of lists that groups of lanes may read.
const BEHIND: usize = 2 * MOST_PARTIAL_SUMS;

/// Bytes that tiles aim at.
const TILE_BYTES: usize = 32 << 10;

impl<R: RowReal> ByClass<R> {
    /// From lists of numbers by class, each empty if there is one for all.
    pub fn new(gammas: &[f64], alphas: &[f64]) -> Self {
        let least = alphas.iter().copied().fold(f64::INFINITY, f64::min);
        let weight = |alpha: &f64| match (least == 0.0, *alpha == 0.0) {
            (true, is_none) => R::from_f64(f64::from(is_none)),
            (false, _) => R::from_weight(least / alpha),
        };
        let padded = |numbers: Vec<R>, empty: bool| {
            let behind = if empty { 0 } else { BEHIND };
            numbers.into_iter().chain(std::iter::repeat_n(R::ZERO, behind)).collect::<Vec<R>>()
        };
        let part = |i: usize| {
            let parts = gammas.iter().map(|gamma| in_parts::<R>(*gamma)[i]);
            padded(parts.collect(), gammas.is_empty())
        };
        let weights = padded(alphas.iter().map(weight).collect(), alphas.is_empty());
        Self { gammas: [part(0), part(1)], weights }
    }
}

/// A gamma in two parts.
fn in_parts<R: RowReal>(gamma: f64) -> [R; 2] {
    let gamma = bounded::<R>(gamma);
    let hi = R::from_f64(gamma);
    [hi, R::from_f64(gamma - hi.to_f64())]
}

/// What is the same for all rows of a call.
#[derive(Clone, Debug)]
pub struct RowConstants<R> {
    /// Gamma, where there is none by class.
    pub gamma: f64,
    /// Whether the sigmoid of the target's logit modulates the loss.
    pub sigmoid: bool,
    /// What labels were smoothed by.
    pub smoothing: Option<Unsmooth<R>>,
    /// What differs by class.
    pub by_class: ByClass<R>,
}

/// The operands of a run of rows.
#[derive(Clone, Copy, Debug)]
pub struct RowOperands<R> {
    /// Number of rows.
    pub rows: usize,
    /// Number of classes.
    pub classes: usize,
    /// Scores.
    pub scores: Matrix<*const R>,
    /// Where the posteriors go: the very memory of the scores, or none that they have.
    pub posteriors: Matrix<*mut R>,
}

/// How shares are computed.
mod kind {
    /// As products.
    pub const SQUARE: u8 = 0;
    /// By the sigmoid of the score.
    pub const SIGMOID: u8 = 1;
    /// By exponents.
    pub const ANY: u8 = 2;
}

/// Numbers that belong to a row, for a batch of rows.
struct State<R> {
    /// The head and the tail of a sum, and what a pass finds beside it.
    found: [[R; ROWS]; 3],
    /// The largest score; later the largest exponent.
    largest: [R; ROWS],
    /// [`Row::numbers`].
    row: [[R; ROWS]; ROW],
}

impl<R: Real> State<R> {
    fn new() -> Self {
        let zeros = [R::ZERO; ROWS];
        Self { found: [zeros; 3], largest: zeros, row: [zeros; ROW] }
    }
}

/// Memory that a thread lends to one run after another.
pub struct RowScratch<R> {
    tiles: Vec<R>,
    state: Option<Box<State<R>>>,
}

impl<R> RowScratch<R> {
    /// Memory that grows as it is needed.
    pub const fn new() -> Self {
        Self { tiles: Vec::new(), state: None }
    }

    /// Elements that it has room for.
    pub fn capacity(&self) -> usize {
        self.tiles.capacity()
    }
}

impl<R: RowReal> RowScratch<R> {
    /// Takes all that rows of so many classes may need.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn reserve(&mut self, classes: usize) -> Result<(), TryReserveError> {
        fill(&mut self.state, State::new)?;
        let (classes, align) = (classes.next_multiple_of(BEHIND), 64 / size_of::<R>());
        let needed = 3 * longest_tile::<R>(TILE_BYTES, classes) + align;
        self.tiles.try_reserve_exact(needed.saturating_sub(self.tiles.len()))
    }
}

impl<R> Default for RowScratch<R> {
    fn default() -> Self {
        Self::new()
    }
}

/// Computes posteriors. `form` is for tests: left to itself the kernel takes the faster one, and the results are the same.
///
/// # Safety
/// The operands must be valid for their rows and classes, and aligned to their type.
pub unsafe fn run<R: RowReal>(
    isa: AnyIsa,
    constants: &RowConstants<R>,
    operands: &RowOperands<R>,
    form: Option<Form>,
    scratch: &mut RowScratch<R>,
) {
    let RowOperands { rows, classes, scores, posteriors } = operands;
    if *rows == 0 || *classes == 0 {
        return;
    }
    let (tile, most) = shape::<R>(*rows, *classes, scores.class == 1, form);
    let len = match tile.form {
        Form::Columns => tile.pitch * classes,
        Form::Lines => tile.pitch * most,
    };
    let align = 64 / size_of::<R>();
    scratch.tiles.resize(scratch.tiles.len().max(3 * len + align), R::ZERO);
    let memory = scratch.tiles.as_mut_ptr();
    let first = memory.wrapping_add(memory.align_offset(64).min(align));
    let state = scratch.state.get_or_insert_with(|| Box::new(State::new()));
    let mut at = 0;
    while at < *rows {
        let count = most.min(rows - at);
        let tiles = [0, 1, 2].map(|i| Tile { data: first.wrapping_add(i * len), rows: count, ..tile });
        // SAFETY: the caller vouches for the rows; the tiles are the batch's own.
        unsafe {
            fetch(isa, scores, at, 0, &tiles[0], R::NEG_INFINITY);
            let batch = Batch { constants, tiles, state };
            let square = constants.gamma == 2.0 && constants.by_class.gammas[0].is_empty();
            match (constants.sigmoid, square) {
                (true, _) => isa.vectorize(Work::<R, { kind::SIGMOID }>(batch)),
                (false, true) => isa.vectorize(Work::<R, { kind::SQUARE }>(batch)),
                (false, false) => isa.vectorize(Work::<R, { kind::ANY }>(batch)),
            }
            emit(isa, &tiles[1], posteriors, at, 0, false);
        }
        at += count;
    }
}

/// How rows lie in memory, and how many of them at a time.
fn shape<R: RowReal>(rows: usize, classes: usize, contiguous: bool, form: Option<Form>) -> (Tile<R>, usize) {
    const MOST_BYTES: usize = 256 << 10;
    let elements = TILE_BYTES / size_of::<R>();
    let fits = classes * MOST_PARTIAL_SUMS * size_of::<R>() <= MOST_BYTES;
    let columns = classes < LINES_FROM || (!contiguous && fits);
    let form = form.unwrap_or(if columns { Form::Columns } else { Form::Lines });
    let tile = |pitch| Tile { data: std::ptr::null_mut(), pitch, form, rows: 0, classes };
    if form == Form::Columns {
        let most =
            (elements / classes / MOST_PARTIAL_SUMS * MOST_PARTIAL_SUMS).clamp(MOST_PARTIAL_SUMS, ROWS);
        let most = most.min(rows);
        let pitch = most.next_multiple_of(MOST_PARTIAL_SUMS);
        // Columns a power of two apart would share few sets of the caches.
        let apart = if pitch.is_multiple_of(ROWS / 2) { MOST_PARTIAL_SUMS } else { 0 };
        return (tile(pitch + apart), most);
    }
    let pitch = classes.next_multiple_of(BEHIND);
    // A strided axis is read by whole cache lines of neighbouring rows.
    let fewest = if contiguous { 1 } else { 64 / size_of::<R>() };
    (tile(pitch), (elements / pitch).clamp(fewest, ROWS).min(rows))
}

/// A batch of rows: scores, then exponents; exponentials, then shares and posteriors; what shares are divided by.
struct Batch<'a, R> {
    constants: &'a RowConstants<R>,
    tiles: [Tile<R>; 3],
    state: &'a mut State<R>,
}

/// What a pass does with a group of lanes, in a tile whose lanes lie across rows or across classes.
trait Pass<V: Vector> {
    /// Whether the first two results are added up.
    const ADDS: bool;

    /// Whether the third of the results is added up; else the largest is found.
    const COUNTS: bool;

    /// What it needs to know of a row.
    type Row;

    /// That of the rows from `row` on, or of the `same` row in all lanes.
    fn row(&self, isa: V::Isa, row: usize, same: bool) -> Self::Row;

    /// Two parts of what is added to the row's sum, and what is counted or compared.
    ///
    /// # Safety
    /// The group must be within the tiles.
    unsafe fn work(&self, of_row: &Self::Row, row: usize, class: usize, across: bool) -> [V; 3];
}

/// A batch, worked on.
struct Work<'a, R, const KIND: u8>(Batch<'a, R>);

impl<R: RowReal, const KIND: u8> Kernel for Work<'_, R, KIND> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self(Batch { constants, tiles, state }) = self;
        let lists = Lists { constants, gamma: in_parts(constants.gamma) };
        pass(isa, &tiles[0], &Largest { tiles: &tiles }, &mut state.found);
        state.largest = state.found[2];
        pass(isa, &tiles[0], &Exponentials { tiles: &tiles, largest: &state.largest }, &mut state.found);
        rows::<R, I>(isa, tiles[0].rows, state);
        if KIND == kind::ANY {
            pass(
                isa,
                &tiles[0],
                &Exponents { tiles: &tiles, rows: &state.row, lists: &lists },
                &mut state.found,
            );
            state.largest = state.found[2];
        }
        let shares =
            Shares::<R, KIND> { tiles: &tiles, rows: &state.row, largest: &state.largest, lists: &lists };
        pass(isa, &tiles[0], &shares, &mut state.found);
        let sums = [state.found[0], state.found[1]];
        pass(isa, &tiles[0], &Divide { tiles: &tiles, sums: &sums, constants }, &mut state.found);
    }
}

/// Numbers of rows, in vectors.
#[inline(always)]
fn rows<R: RowReal, I: Isa>(isa: I, count: usize, state: &mut State<R>) {
    let mut row = 0;
    while row < count {
        // SAFETY: there are ROWS of everything, whole groups of lanes.
        unsafe {
            let load = |list: &[R; ROWS]| <R::RowLanes<I>>::load(isa, list.as_ptr().add(row));
            let others = Sum { head: load(&state.found[0]), tail: load(&state.found[1]) };
            let numbers = Row::new(load(&state.largest), load(&state.found[2]), others).numbers();
            let mut i = 0;
            while i < ROW {
                numbers[i].store(state.row[i].as_mut_ptr().add(row));
                i += 1;
            }
        }
        row += <R::RowLanes<I>>::LANES;
    }
}

/// Goes over a tile; of each row the sum and the count, or the largest, go to `found`.
#[inline(always)]
fn pass<R: RowReal, I: Isa, P: Pass<R::RowLanes<I>>>(
    isa: I,
    tile: &Tile<R>,
    what: &P,
    found: &mut [[R; ROWS]; 3],
) {
    let lanes = <R::RowLanes<I>>::LANES;
    let start = if P::COUNTS { R::ZERO } else { R::NEG_INFINITY };
    let across = tile.form == Form::Lines;
    let (step, partial) = if across { (lanes, R::PARTIAL_SUMS / lanes) } else { (1, R::PARTIAL_SUMS) };
    let mut row = 0;
    while row < tile.rows {
        let of_row = what.row(isa, row, across);
        let mut beside = <R::RowLanes<I>>::splat(isa, start);
        let mut sums = [const { MaybeUninit::<Sum<R::RowLanes<I>>>::uninit() }; MOST_PARTIAL_SUMS];
        let (mut class, mut at, mut used) = (0, 0, 0);
        while class < tile.classes {
            // SAFETY: rows and classes are padded to whole groups. The sums below `used` have been written.
            unsafe {
                let [head, tail, other] = what.work(&of_row, row, class, across);
                if P::ADDS && used < partial {
                    // What a sum of nothing and this would be.
                    sums[at].write(Sum { head, tail });
                    used += 1;
                } else if P::ADDS {
                    let sum = sums[at].assume_init();
                    sums[at].write(sum.add(head, tail));
                }
                beside = if P::COUNTS { beside + other } else { other.max_or(beside) };
            }
            class += step;
            at = if at + 1 == partial { 0 } else { at + 1 };
        }
        // SAFETY: there are ROWS of everything, whole groups of lanes; the sums below `used` have been written.
        unsafe {
            if across {
                if P::ADDS {
                    [found[0][row], found[1][row]] = along::<R, I>(isa, &sums, used);
                }
                found[2][row] = together::<R, I>(beside, P::COUNTS);
            } else {
                if P::ADDS {
                    let sum = tree(&mut sums, used);
                    sum.head.store(found[0].as_mut_ptr().add(row));
                    sum.tail.store(found[1].as_mut_ptr().add(row));
                }
                beside.store(found[2].as_mut_ptr().add(row));
            }
        }
        row += if across { 1 } else { lanes };
    }
}

/// Partial sums, of which the first have been written.
type Partial<V> = [MaybeUninit<Sum<V>>; MOST_PARTIAL_SUMS];

/// Adds up partial sums; the others are 0.
///
/// # Safety
/// The first `used` must have been written, one at least.
#[inline(always)]
unsafe fn tree<V: Vector>(sums: &mut Partial<V>, used: usize) -> Sum<V> {
    let (mut width, mut used) = (MOST_PARTIAL_SUMS / 2, used);
    // SAFETY: handed through from the caller.
    unsafe {
        while width > 0 {
            let mut at = 0;
            while at + width < used {
                let sum = sums[at].assume_init().merge(sums[at + width].assume_init());
                sums[at].write(sum);
                at += 1;
            }
            used = used.min(width);
            width /= 2;
        }
        sums[0].assume_init()
    }
}

/// Adds up the lanes of partial sums, as [`tree`] does: head and tail.
///
/// # Safety
/// As [`tree`].
#[inline(always)]
unsafe fn along<R: RowReal, I: Isa>(isa: I, sums: &Partial<R::RowLanes<I>>, used: usize) -> [R; 2] {
    let lanes = <R::RowLanes<I>>::LANES;
    let mut parts = [[R::ZERO; MOST_PARTIAL_SUMS]; 2];
    let nothing = Sum::<R::RowLanes<I>>::nothing(isa);
    let mut at = 0;
    while at < R::PARTIAL_SUMS / lanes {
        // SAFETY: the lanes of all partial sums are as many as there are places; the caller vouches for those used.
        unsafe {
            let sum = if at < used { sums[at].assume_init() } else { nothing };
            sum.head.store(parts[0].as_mut_ptr().add(at * lanes));
            sum.tail.store(parts[1].as_mut_ptr().add(at * lanes));
        }
        at += 1;
    }
    let [heads, tails] = &mut parts;
    let mut width = R::PARTIAL_SUMS / 2;
    while width > 0 {
        for at in 0..width {
            let (a, b) = (heads[at], heads[at + width]);
            let sum = a + b;
            let seen = sum - a;
            tails[at] = (tails[at] + tails[at + width]) + ((a - (sum - seen)) + (b - seen));
            heads[at] = sum;
        }
        width /= 2;
    }
    [heads[0], tails[0]]
}

/// The sum of whole numbers in lanes, or the largest number.
#[inline(always)]
fn together<R: RowReal, I: Isa>(lanes: R::RowLanes<I>, counts: bool) -> R {
    let mut numbers = [R::ZERO; MAX_LANES];
    // SAFETY: no group has more lanes.
    unsafe { lanes.store(numbers.as_mut_ptr()) };
    let (first, rest) = numbers.split_at(1);
    let mut found = first[0];
    for next in &rest[..<R::RowLanes<I>>::LANES - 1] {
        found = if counts {
            found + *next
        } else if *next > found {
            *next
        } else {
            found
        };
    }
    found
}

/// A group of lanes out of a list, or the `same` number in all lanes.
#[inline(always)]
fn pick<V: Vector>(isa: V::Isa, list: &[V::Real], at: usize, same: bool) -> V {
    if same {
        return V::splat(isa, list[at]);
    }
    // SAFETY: the slice is as long as a group of lanes.
    unsafe { V::load(isa, list[at..at + V::LANES].as_ptr()) }
}

/// What differs by class, or is the same for all.
struct Lists<'a, R> {
    constants: &'a RowConstants<R>,
    gamma: [R; 2],
}

impl<R: RowReal> Lists<'_, R> {
    /// Gamma of a class or of the classes from it on.
    #[inline(always)]
    fn gamma<V: Vector<Real = R>>(&self, isa: V::Isa, class: usize, across: bool) -> [V; 2] {
        let [hi, lo] = &self.constants.by_class.gammas;
        if hi.is_empty() {
            return [V::splat(isa, self.gamma[0]), V::splat(isa, self.gamma[1])];
        }
        [pick(isa, hi, class, !across), pick(isa, lo, class, !across)]
    }

    /// A share times its weight.
    #[inline(always)]
    fn weighed<V: Vector<Real = R>>(&self, share: V, class: usize, across: bool) -> V {
        let weights = &self.constants.by_class.weights;
        if weights.is_empty() { share } else { share * pick(share.isa(), weights, class, !across) }
    }
}

/// Looks for the largest score.
struct Largest<'a, R> {
    tiles: &'a [Tile<R>; 3],
}

impl<V: Vector> Pass<V> for Largest<'_, V::Real>
where
    V::Real: RowReal,
{
    const ADDS: bool = false;
    const COUNTS: bool = false;
    type Row = V;

    #[inline(always)]
    fn row(&self, isa: V::Isa, _: usize, _: bool) -> V {
        V::splat(isa, V::Real::ZERO)
    }

    #[inline(always)]
    unsafe fn work(&self, zero: &V, row: usize, class: usize, _: bool) -> [V; 3] {
        // SAFETY: handed through from the caller.
        let z = unsafe { V::load(zero.isa(), self.tiles[0].at(row, class)) };
        [*zero, *zero, z]
    }
}

/// Computes exponentials, sums up all that are not the largest, and counts these.
struct Exponentials<'a, R> {
    tiles: &'a [Tile<R>; 3],
    largest: &'a [R; ROWS],
}

impl<V: Vector> Pass<V> for Exponentials<'_, V::Real>
where
    V::Real: RowReal,
{
    const ADDS: bool = true;
    const COUNTS: bool = true;
    type Row = V;

    #[inline(always)]
    fn row(&self, isa: V::Isa, row: usize, same: bool) -> V {
        pick(isa, self.largest, row, same)
    }

    #[inline(always)]
    unsafe fn work(&self, largest: &V, row: usize, class: usize, _: bool) -> [V; 3] {
        let isa = largest.isa();
        let (zero, one) = (V::splat(isa, V::Real::ZERO), V::splat(isa, V::Real::ONE));
        // SAFETY: handed through from the caller.
        unsafe {
            let z = V::load(isa, self.tiles[0].at(row, class));
            let (head, tail) = scaled_exp(z, *largest);
            head.store(self.tiles[1].at(row, class));
            let top = z.equals(*largest);
            [V::select(top, zero, head), V::select(top, zero, tail), V::select(top, one, zero)]
        }
    }
}

/// Computes the exponents of shares and finds the largest.
struct Exponents<'a, R> {
    tiles: &'a [Tile<R>; 3],
    rows: &'a [[R; ROWS]; ROW],
    lists: &'a Lists<'a, R>,
}

/// The numbers of rows.
#[inline(always)]
fn row_of<V: Vector>(isa: V::Isa, rows: &[[V::Real; ROWS]; ROW], row: usize, same: bool) -> Row<V> {
    let mut numbers = [V::splat(isa, V::Real::ZERO); ROW];
    let mut i = 0;
    while i < ROW {
        numbers[i] = pick(isa, &rows[i], row, same);
        i += 1;
    }
    Row::from_numbers(numbers)
}

impl<V: Vector> Pass<V> for Exponents<'_, V::Real>
where
    V::Real: RowReal,
{
    const ADDS: bool = false;
    const COUNTS: bool = false;
    type Row = Row<V>;

    #[inline(always)]
    fn row(&self, isa: V::Isa, row: usize, same: bool) -> Row<V> {
        row_of(isa, self.rows, row, same)
    }

    #[inline(always)]
    unsafe fn work(&self, of_row: &Row<V>, row: usize, class: usize, across: bool) -> [V; 3] {
        let isa = of_row.max.isa();
        let zero = V::splat(isa, V::Real::ZERO);
        let gamma = self.lists.gamma(isa, class, across);
        // SAFETY: handed through from the caller.
        unsafe {
            let z = V::load(isa, self.tiles[0].at(row, class));
            let exp = V::load(isa, self.tiles[1].at(row, class));
            let ([exponent, low], factor) = exponent(of_row, z, exp, gamma);
            exponent.store(self.tiles[0].at(row, class));
            low.store(self.tiles[1].at(row, class));
            factor.store(self.tiles[2].at(row, class));
            [zero, zero, exponent]
        }
    }
}

/// Computes shares and sums them up.
struct Shares<'a, R, const KIND: u8> {
    tiles: &'a [Tile<R>; 3],
    rows: &'a [[R; ROWS]; ROW],
    largest: &'a [R; ROWS],
    lists: &'a Lists<'a, R>,
}

impl<V: Vector, const KIND: u8> Pass<V> for Shares<'_, V::Real, KIND>
where
    V::Real: RowReal,
{
    const ADDS: bool = true;
    const COUNTS: bool = true;
    type Row = (Row<V>, V);

    #[inline(always)]
    fn row(&self, isa: V::Isa, row: usize, same: bool) -> (Row<V>, V) {
        (row_of(isa, self.rows, row, same), pick(isa, self.largest, row, same))
    }

    #[inline(always)]
    unsafe fn work(&self, (of_row, largest): &(Row<V>, V), row: usize, class: usize, across: bool) -> [V; 3] {
        let isa = largest.isa();
        let zero = V::splat(isa, V::Real::ZERO);
        // SAFETY: handed through from the caller.
        unsafe {
            let z = V::load(isa, self.tiles[0].at(row, class));
            let second = V::load(isa, self.tiles[1].at(row, class));
            let share = match KIND {
                kind::SQUARE => share_of_square(of_row, z, second),
                kind::SIGMOID => {
                    let [gamma, _] = self.lists.gamma(isa, class, across);
                    share_by_sigmoid(of_row, z, second, gamma)
                }
                _ => power([z, second], *largest) / V::load(isa, self.tiles[2].at(row, class)),
            };
            let share = self.lists.weighed(share, class, across);
            share.store(self.tiles[1].at(row, class));
            [share, zero, zero]
        }
    }
}

/// Divides shares by their sum, and undoes smoothing.
struct Divide<'a, R> {
    tiles: &'a [Tile<R>; 3],
    sums: &'a [[R; ROWS]; 2],
    constants: &'a RowConstants<R>,
}

impl<V: Vector> Pass<V> for Divide<'_, V::Real>
where
    V::Real: RowReal,
{
    const ADDS: bool = false;
    const COUNTS: bool = true;
    type Row = V;

    #[inline(always)]
    fn row(&self, isa: V::Isa, row: usize, same: bool) -> V {
        pick::<V>(isa, &self.sums[0], row, same) + pick(isa, &self.sums[1], row, same)
    }

    #[inline(always)]
    unsafe fn work(&self, sum: &V, row: usize, class: usize, _: bool) -> [V; 3] {
        let isa = sum.isa();
        let zero = V::splat(isa, V::Real::ZERO);
        // SAFETY: handed through from the caller.
        unsafe {
            let mut posterior = V::load(isa, self.tiles[1].at(row, class)) / *sum;
            if let Some(Unsmooth { share: [share, share_lo], stretch }) = self.constants.smoothing {
                let splat = |number| V::splat(isa, number);
                let smoothing = Unsmooth { share: [splat(share), splat(share_lo)], stretch: splat(stretch) };
                posterior = splat(V::Real::ONE).min_or(smoothing.of(posterior));
            }
            posterior.store(self.tiles[1].at(row, class));
        }
        [zero, zero, zero]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{GROUP, LINES_BYTES, Plan};
    use super::*;

    fn no_tile_is_longer<R: RowReal>() {
        for classes in 1..=2100_usize {
            let (few, many) = (classes.next_multiple_of(BEHIND), classes.next_multiple_of(GROUP));
            for (rows, contiguous) in
                [1, 31, 100, 128, ROWS].into_iter().flat_map(|rows| [(rows, true), (rows, false)])
            {
                let (tile, most) = shape::<R>(rows, classes, contiguous, None);
                let len = tile.pitch * if tile.form == Form::Columns { classes } else { most };
                assert!(len <= longest_tile::<R>(TILE_BYTES, few), "{classes} {rows}");
                let plan = Plan::new::<R>(rows, classes, contiguous, None);
                assert!(plan.len() <= longest_tile::<R>(LINES_BYTES, many), "{classes} {rows}");
            }
        }
    }

    #[test]
    fn no_tile_is_longer_than_what_is_reserved() {
        no_tile_is_longer::<f32>();
        no_tile_is_longer::<f64>();
    }

    fn run_as(
        isa: AnyIsa,
        constants: &RowConstants<f64>,
        scores: &[f64],
        classes: usize,
        form: Form,
    ) -> Vec<u64> {
        let mut posteriors = vec![0.0; scores.len()];
        let (row, rows) = (classes as isize, scores.len() / classes);
        let operands = RowOperands {
            rows,
            classes,
            scores: Matrix { data: scores.as_ptr(), row, class: 1 },
            posteriors: Matrix { data: posteriors.as_mut_ptr(), row, class: 1 },
        };
        // SAFETY: both have as many rows and classes.
        unsafe { run(isa, constants, &operands, Some(form), &mut RowScratch::new()) };
        for row in posteriors.chunks(classes) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-14, "{row:?}");
        }
        posteriors.into_iter().map(f64::to_bits).collect()
    }

    #[test]
    fn results_do_not_depend_on_the_form() {
        for classes in [1, 2, 7, 40, 130] {
            let scores: Vec<f64> =
                (0..37 * classes).map(|i| f64::from((i * 7919 % 1013) as u32) / 100.0).collect();
            for (gamma, sigmoid) in [(2.0, false), (1.7, false), (0.0, false), (2.0, true)] {
                let constants =
                    RowConstants { gamma, sigmoid, smoothing: None, by_class: ByClass::new(&[], &[]) };
                for isa in AnyIsa::available() {
                    let columns = run_as(isa, &constants, &scores, classes, Form::Columns);
                    let lines = run_as(isa, &constants, &scores, classes, Form::Lines);
                    assert_eq!(columns, lines, "{} {classes} {gamma}", isa.name());
                }
            }
        }
    }
}
