//! Rows whose lanes lie across rows: from the logits of a tile to all results in one go, a group of rows at a time.
//!
//! What belongs to a row stays in registers. Where the target is, lanes say by comparing numbers of classes.

use super::group::{Call, Outcome, Rows, class_numbers, put_some};
use super::sums::{add_exponential, tame};
use super::tile::{Ahead, Matrix, Tile};
use super::tree::{Terms, by_tree};
use super::{HESS, MOST_PARTIAL_SUMS, RowReal};
use crate::kernel::output;
use crate::loss::softmax::{Row, Sum};
use crate::real::Real;
use crate::simd::{Isa, Kernel, Vector};

/// Turns a tile of columns of logits into gradients and writes the losses. `POWER`: as for
/// [`Margin`](crate::loss::focal::Margin); `SIGMOID`: the modulator is the sigmoid; `N`: the sums that are needed, two
/// for a Hessian.
pub struct Columns<'a, R, const POWER: u8, const SIGMOID: bool, const N: usize> {
    pub call: Call<'a, R>,
    /// The row of the call that the tile begins with.
    pub row: usize,
    /// The logits; the gradient takes their place.
    pub tile: Tile<R>,
    /// Where the Hessian goes, a tile of the same form; this may be the other one if it alone is wanted.
    pub hess: Tile<R>,
    /// What will be needed next, as for [`Sums`](super::sums::Sums).
    pub ahead: [Matrix<*const R>; 2],
}

impl<R: RowReal, const POWER: u8, const SIGMOID: bool, const N: usize> Kernel
    for Columns<'_, R, POWER, SIGMOID, N>
{
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { call, row, tile, hess, ahead: [next, own] } = self;
        let lanes = <R::RowLanes<I>>::LANES;
        let ahead = [Ahead::new(&next, &tile, lanes), Ahead::new(&own, &tile, lanes)];
        let mut at = 0;
        while at < tile.rows {
            let group = Group::<R> { call, row: row + at, len: tile.rows - at, tile, hess, at, ahead };
            // SAFETY: the tile's rows are among those of the call, and its columns padded to whole groups of lanes.
            unsafe { group.run::<R::RowLanes<I>, POWER, SIGMOID, N>(isa) };
            at += lanes;
        }
    }
}

/// As many rows as there are lanes, or what is left of them.
struct Group<'a, R> {
    call: Call<'a, R>,
    /// The first one, in the call and in the tile.
    row: usize,
    at: usize,
    /// How many rows there are from there on.
    len: usize,
    tile: Tile<R>,
    hess: Tile<R>,
    ahead: [Ahead<R>; 2],
}

impl<R: RowReal> Group<'_, R> {
    /// # Safety
    /// The rows must be among those of the call, and the tiles be padded to whole groups of lanes.
    #[inline(always)]
    unsafe fn run<V, const POWER: u8, const SIGMOID: bool, const N: usize>(&self, isa: V::Isa)
    where
        V: Vector<Real = R>,
    {
        let Self { call: Call { operands, wanted, .. }, row, len, .. } = *self;
        let zero = V::splat(isa, R::ZERO);
        // SAFETY: handed through from the caller.
        unsafe {
            let targets = class_numbers::<V>(isa, operands.targets.wrapping_add(row), len);
            let ignored = targets.lt(zero);
            let ignored = V::any(ignored).then_some(ignored);
            let classes = if self.tile.classes == 2 {
                self.two_classes(targets, ignored)
            } else {
                self.classes::<V, N>(targets, ignored)
            };
            let outcome =
                Rows::new(&self.call, [row, len], ignored, classes).outcome::<POWER, SIGMOID>(wanted);
            if wanted.has(output::VALUE) {
                put_some(outcome.value, operands.value.wrapping_add(row), len);
            }
            if wanted.factor {
                put_some(outcome.factor, operands.factor.wrapping_add(row), len);
            }
            if self.tile.classes == 2 {
                self.put_two(targets, &outcome);
            } else {
                self.put(targets, ignored, &outcome);
            }
        }
    }

    /// The exponential of the only other class is 1, and no sum is needed.
    ///
    /// # Safety
    /// As [`Group::run`].
    #[inline(always)]
    unsafe fn two_classes<V>(&self, targets: V, ignored: Option<V::Mask>) -> (Row<V>, Sum<V>, V)
    where
        V: Vector<Real = R>,
    {
        let (isa, zero) = (targets.isa(), targets.constant(R::ZERO));
        let [first, second] = [self.tile.at(self.at, 0), self.tile.at(self.at, 1)];
        self.ahead[0].ask(self.at, 0, 2 * V::LANES);
        self.ahead[1].ask(self.at, 0, 2 * V::LANES);
        // SAFETY: handed through from the caller.
        let (first, second) = unsafe { (V::load(isa, first), V::load(isa, second)) };
        let is_first = targets.equals(zero);
        let own = V::select(is_first, first, second);
        let (mut target, mut other) = (own, V::select(is_first, second, first));
        if let Some(ignored) = ignored {
            target = V::select(ignored, zero, target);
            other = V::select(ignored, zero, other);
        }
        (Row::of_two(target, other), Sum::nothing(isa), own)
    }

    /// # Safety
    /// As [`Group::run`].
    #[inline(always)]
    unsafe fn put_two<V: Vector<Real = R>>(&self, targets: V, outcome: &Outcome<V>) {
        let is_first = targets.equals(targets.constant(R::ZERO));
        let exp = targets.constant(R::P_SCALE);
        let put = [
            (HESS, &self.hess, outcome.hess, outcome.others.hess.of(exp)),
            (output::GRAD, &self.tile, outcome.grad, outcome.others.grad.of(exp)),
        ];
        for (which, tile, own, other) in put {
            if self.call.wanted.has(which) {
                // SAFETY: handed through from the caller.
                unsafe {
                    V::select(is_first, own, other).store(tile.at(self.at, 0));
                    V::select(is_first, other, own).store(tile.at(self.at, 1));
                }
            }
        }
    }

    /// What the classes come to, and the targets' logits. Leaves the exponentials in the tile.
    ///
    /// # Safety
    /// As [`Group::run`].
    #[inline(always)]
    unsafe fn classes<V, const N: usize>(&self, targets: V, ignored: Option<V::Mask>) -> (Row<V>, Sum<V>, V)
    where
        V: Vector<Real = R>,
    {
        let (isa, zero) = (targets.isa(), targets.constant(R::ZERO));
        // SAFETY: handed through from the caller.
        let (own, mut max) = unsafe { self.largest(targets) };
        let mut target = own;
        if V::any(max.equals(max.constant(R::INFINITY))) {
            let [mut targets, mut largest] = [[R::ZERO; MOST_PARTIAL_SUMS]; 2];
            // SAFETY: no group has more lanes.
            unsafe {
                own.store(targets.as_mut_ptr());
                max.store(largest.as_mut_ptr());
                self.limit(&mut targets[..V::LANES], &mut largest[..V::LANES]);
                (target, max) = (V::load(isa, targets.as_ptr()), V::load(isa, largest.as_ptr()));
            }
        }
        let others = Others { tile: self.tile, ahead: self.ahead };
        // SAFETY: handed through from the caller.
        let mut sums: [Sum<V>; N] = unsafe { by_tree(isa, &self.tile, &others, &(max, targets), self.at) };
        if let Some(ignored) = ignored {
            target = V::select(ignored, zero, target);
            max = V::select(ignored, zero, max);
            for sum in &mut sums {
                *sum = sum.unless(ignored);
            }
            sums[0].head = V::select(ignored, zero.constant(R::P_SCALE), sums[0].head);
        }
        (Row::new(target, max, sums[0]), sums[N - 1], own)
    }

    /// The targets' logits, and the largest of the others.
    ///
    /// # Safety
    /// As [`Group::run`].
    #[inline(always)]
    unsafe fn largest<V: Vector<Real = R>>(&self, targets: V) -> (V, V) {
        let isa = targets.isa();
        let (one, lowest) = (targets.constant(R::ONE), targets.constant(R::NEG_INFINITY));
        let mut number = targets.constant(R::ZERO);
        let (mut own, mut max) = (number, targets.constant(R::LOWEST));
        for k in 0..self.tile.classes {
            // SAFETY: handed through from the caller.
            let z = unsafe { V::load(isa, self.tile.at(self.at, k)) };
            let is_target = targets.equals(number);
            own = V::select(is_target, z, own);
            let z = V::select(is_target, lowest, z);
            max = max.max_or(z);
            number = number + one;
        }
        (own, max)
    }

    /// The target class of a row of the group.
    fn target(&self, lane: usize) -> i64 {
        // SAFETY: the group's rows are among those of the call.
        unsafe { self.call.operands.targets.add(self.row + lane).read() }
    }

    /// Takes rows whose largest other logit is infinite to their limits.
    #[cold]
    #[inline(never)]
    fn limit(&self, targets: &mut [R], largest: &mut [R]) {
        for (lane, (target, largest)) in targets.iter_mut().zip(largest).enumerate() {
            if *largest == R::INFINITY {
                // An ignored target is no class.
                let class = if lane < self.len { self.target(lane) } else { -1 };
                *largest = tame(&self.tile, self.at + lane, usize::try_from(class).unwrap_or(usize::MAX));
                *target = beside_infinity(*target);
            }
        }
    }

    /// Multiplies the exponentials and puts the targets' results among them.
    ///
    /// # Safety
    /// As [`Group::run`].
    #[inline(always)]
    unsafe fn put<V: Vector<Real = R>>(&self, targets: V, ignored: Option<V::Mask>, outcome: &Outcome<V>) {
        let (isa, wanted, one) = (targets.isa(), self.call.wanted, targets.constant(R::ONE));
        if !wanted.has(output::GRAD | HESS) {
            return;
        }
        let zero = targets.constant(R::ZERO);
        let mut number = zero;
        for k in 0..self.tile.classes {
            let grad = self.tile.at(self.at, k);
            let is_target = targets.equals(number);
            // SAFETY: handed through from the caller.
            unsafe {
                let mut exp = V::load(isa, grad);
                if let Some(ignored) = ignored {
                    exp = V::select(ignored, zero, exp);
                }
                if wanted.has(HESS) {
                    let hess = V::select(is_target, outcome.hess, outcome.others.hess.of(exp));
                    hess.store(self.hess.at(self.at, k));
                }
                if wanted.has(output::GRAD) {
                    V::select(is_target, outcome.grad, outcome.others.grad.of(exp)).store(grad);
                }
            }
            number = number + one;
        }
    }
}

/// The exponentials of all classes but the targets', which go where the logits were, and their sum.
struct Others<R> {
    tile: Tile<R>,
    ahead: [Ahead<R>; 2],
}

impl<V: Vector, const N: usize> Terms<V, N> for Others<V::Real>
where
    V::Real: RowReal,
{
    /// The largest logits, and the target classes as numbers.
    type Row = (V, V);

    #[inline(always)]
    unsafe fn add(&self, (max, targets): &(V, V), row: usize, class: usize, sums: &mut [Sum<V>; N]) {
        let logit = self.tile.at(row, class);
        self.ahead[0].ask(row, class, V::LANES);
        self.ahead[1].ask(row, class, V::LANES);
        // SAFETY: handed through from the caller.
        let z = unsafe { V::load(max.isa(), logit) };
        let is_target = targets.equals(max.constant(V::Real::of_class(class as i32)));
        let z = V::select(is_target, max.constant(V::Real::NEG_INFINITY), z);
        let head = add_exponential(z, *max, sums);
        // SAFETY: handed through from the caller.
        unsafe { head.store(logit) };
    }
}

/// What a target's logit counts as in a row where another is infinite.
pub fn beside_infinity<R: RowReal>(logit: R) -> R {
    if logit <= R::HIGHEST { R::NEG_INFINITY } else { R::NAN }
}

#[cfg(test)]
mod tests {
    use std::ptr::null;

    use super::*;
    use crate::kernel::rows::{Constants, Form, Matrix, Operands};
    use crate::simd::AnyIsa;

    const ROWS: usize = 77;
    const PITCH: usize = 96;
    const OUTPUTS: u8 = output::VALUE | output::GRAD | output::CURVATURE;

    /// [`Columns`] with groups of a single vector.
    struct Narrow<'a, R>(Columns<'a, R, 2, false, 2>);

    impl<R: RowReal> Kernel for Narrow<'_, R> {
        type Output = ();

        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            let Columns { call, row, tile, hess, ahead: [next, own] } = self.0;
            let lanes = <R::One<I>>::LANES;
            let ahead = [Ahead::new(&next, &tile, lanes), Ahead::new(&own, &tile, lanes)];
            for at in (0..tile.rows).step_by(lanes) {
                let group = Group::<R> { call, row: row + at, len: tile.rows - at, tile, hess, at, ahead };
                // SAFETY: the tile is as long as its pitch, which is a multiple of all groups.
                unsafe { group.run::<R::One<I>, 2, false, 2>(isa) };
            }
        }
    }

    /// Losses, gradients and Hessians of rows with infinities, NaN and ignored targets among them.
    fn results<R: RowReal>(isa: AnyIsa, classes: usize, narrow: bool) -> Vec<f64> {
        let mut tiles = vec![R::ZERO; 2 * classes * PITCH];
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3e4, -3e4];
        for (i, logit) in tiles[..classes * PITCH].iter_mut().enumerate() {
            let number = (i as f64 * 0.618_034).fract() * 16.0 - 8.0;
            *logit = R::from_f64(if i % 29 == 3 { special[i / 29 % 5] } else { number });
        }
        let targets: Vec<i64> =
            (0..ROWS).map(|r| if r % 13 == 5 { -7 } else { (r * 7 % classes) as i64 }).collect();
        let mut value = vec![R::ZERO; ROWS];
        let nowhere = Matrix { data: std::ptr::null_mut(), row: 0, class: 0 };
        let operands = Operands {
            rows: ROWS,
            classes,
            logits: Matrix { data: null(), row: 0, class: 0 },
            targets: targets.as_ptr(),
            weights: [null(); 3],
            gammas: [null(); 3],
            value: value.as_mut_ptr(),
            factor: std::ptr::null_mut(),
            grad: nowhere,
            hess: nowhere,
            streamed: false,
        };
        let constants = Constants::new(2.0);
        let call = Call::new(&constants, &operands, OUTPUTS);
        let tile = Tile { data: tiles.as_mut_ptr(), pitch: PITCH, form: Form::Columns, rows: ROWS, classes };
        let hess = Tile { data: tile.data.wrapping_add(classes * PITCH), ..tile };
        let ahead = [Matrix { data: null(), row: 0, class: 0 }; 2];
        let columns = Columns::<R, 2, false, 2> { call, row: 0, tile, hess, ahead };
        if narrow {
            isa.vectorize(Narrow(columns))
        } else {
            isa.vectorize(columns)
        }
        let columns = tiles.chunks(PITCH).flat_map(|column| &column[..ROWS]);
        value.iter().chain(columns).map(|x| x.to_f64()).collect()
    }

    fn check<R: RowReal>() {
        for isa in AnyIsa::available() {
            for classes in [1, 2, 3, 10, 31, 32, 33, 70] {
                let [wide, narrow] = [false, true].map(|narrow| results::<R>(isa, classes, narrow));
                let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(narrow.iter().zip(&wide).all(same), "{} {classes}", isa.name());
            }
        }
    }

    #[test]
    fn lanes_make_no_difference() {
        check::<f32>();
        check::<f64>();
    }
}
