//! What happens to a batch of rows, pass by pass.

use super::super::tile::Tile;
use super::super::{ROWS, RowReal};
use super::walk::{Pass, pass};
use super::{RowConstants, State, in_parts, kind};
use crate::loss::posterior::Unsmooth;
use crate::loss::row_posterior::{ROW, Row, exponent, power, share_by_sigmoid, share_of_square};
use crate::loss::softmax::{Sum, scaled_exp};
use crate::real::Real;
use crate::simd::{Isa, Kernel, Vector};

/// A batch of rows: scores, then exponents; exponentials, then shares and posteriors; what shares are divided by.
pub struct Batch<'a, R> {
    pub constants: &'a RowConstants<R>,
    pub tiles: [Tile<R>; 3],
    pub state: &'a mut State<R>,
}

/// A batch, worked on.
pub struct Work<'a, R, const KIND: u8>(pub Batch<'a, R>);

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
