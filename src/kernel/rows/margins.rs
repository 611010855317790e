//! From the sums of rows to their losses and to what their classes' exponentials are multiplied with.

use super::{Constants, ROWS, RowReal, State, Summary};
use crate::kernel::output;
use crate::loss::focal::{Gamma, Margin, power};
use crate::loss::softmax::{Bend, Row, Sum};
use crate::loss::softmax_sigmoid::Modulated;
use crate::params::Modulator;
use crate::real::Real;
use crate::simd::{AnyIsa, Isa, Kernel, Vector};

/// What is asked for, and how.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// As [`output`] has them.
    pub outputs: u8,
    /// Whether the modulating factors are.
    pub factor: bool,
    /// Whether each row has a gamma of its own.
    pub gammas: bool,
}

/// The stage for a class of gammas and a modulator.
pub type Stage<R> = fn(AnyIsa, &Constants<R>, usize, Wanted, &mut State<R>);

/// The stage that a call needs.
pub fn stage<R: RowReal>(constants: &Constants<R>, wanted: Wanted) -> Stage<R> {
    match (constants.modulator, if wanted.gammas { power::GENERAL } else { constants.power }) {
        (Modulator::Sigmoid, _) => run::<R, 0, true>,
        (Modulator::Softmax, 0) => run::<R, 0, false>,
        (Modulator::Softmax, 1) => run::<R, 1, false>,
        (Modulator::Softmax, 2) => run::<R, 2, false>,
        (Modulator::Softmax, 3) => run::<R, 3, false>,
        (Modulator::Softmax, _) => run::<R, { power::GENERAL }, false>,
    }
}

fn run<R: RowReal, const POWER: u8, const SIGMOID: bool>(
    isa: AnyIsa,
    constants: &Constants<R>,
    rows: usize,
    wanted: Wanted,
    state: &mut State<R>,
) {
    isa.vectorize(Margins::<R, POWER, SIGMOID> { constants, rows, wanted, state });
}

/// `SIGMOID`: the modulator is the sigmoid, and the margin that of the cross entropy (`POWER` 0).
struct Margins<'a, R, const POWER: u8, const SIGMOID: bool> {
    constants: &'a Constants<R>,
    rows: usize,
    wanted: Wanted,
    state: &'a mut State<R>,
}

impl<R: RowReal, const POWER: u8, const SIGMOID: bool> Kernel for Margins<'_, R, POWER, SIGMOID> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { constants, rows, wanted, state } = self;
        let mut row = 0;
        while row < rows {
            let gamma = if wanted.gammas { state.gammas(isa, row) } else { constants.gamma.splat(isa) };
            let group = Group::<R::RowLanes<I>, POWER>::new(isa, state, row, gamma);
            if SIGMOID {
                group.by_sigmoid(wanted, state);
            } else {
                group.by_softmax(constants.quotient.is_some(), wanted, state);
            }
            row += <R::RowLanes<I>>::LANES;
        }
    }
}

/// As many rows as there are lanes.
struct Group<V: Vector, const POWER: u8> {
    isa: V::Isa,
    row: usize,
    gamma: Gamma<V>,
    summary: Row<V>,
    margin: Margin<V, POWER>,
    weights: [V; 3],
    counted: V,
    /// V / S and 1 / S.
    quotient: [V; 2],
}

impl<V: Vector, const POWER: u8> Group<V, POWER>
where
    V::Real: RowReal,
{
    #[inline(always)]
    fn new(isa: V::Isa, state: &State<V::Real>, row: usize, gamma: Gamma<V>) -> Self {
        let Summary { max, sum_head, sum_tail, .. } = &state.summary;
        let sum = Sum { head: load(isa, sum_head, row), tail: load(isa, sum_tail, row) };
        let summary = Row::<V>::new(load(isa, &state.target, row), load(isa, max, row), sum);
        let zero = V::splat(isa, V::Real::ZERO);
        let [value, grad, hess] = &state.weights;
        let [mean, inverse] = &state.quotient;
        Self {
            isa,
            row,
            gamma,
            summary,
            margin: summary.at_margin::<POWER>(&gamma),
            // The sums make a -0.0 a +0.0.
            weights: [
                load::<V>(isa, value, row) + zero,
                load::<V>(isa, grad, row) + zero,
                load::<V>(isa, hess, row) + zero,
            ],
            counted: load(isa, &state.counted, row),
            quotient: [load(isa, mean, row), load(isa, inverse, row)],
        }
    }

    /// The paper's loss.
    #[inline(always)]
    fn by_softmax(&self, quotient: bool, wanted: Wanted, state: &mut State<V::Real>) {
        let Self { margin, weights: [value, grad, hess], quotient: [mean, inverse], .. } = *self;
        if wanted.factor {
            self.put(margin.factor(self.counted), &mut state.factor);
        }
        if wanted.outputs & output::VALUE != 0 {
            self.put(margin.value_or_zero(value), &mut state.value);
        }
        if wanted.outputs & output::GRAD != 0 {
            let descent = self.descent(quotient, grad);
            self.put_grad(descent, descent, state);
        }
        if wanted.outputs & (output::CURVATURE | output::GAUSS_NEWTON) != 0 {
            let descent = self.descent(quotient, hess);
            let own = if wanted.outputs & output::GAUSS_NEWTON != 0 {
                margin.gauss_newton(hess)
            } else if quotient {
                margin.quotient_curvature(hess, mean, inverse, descent)
            } else {
                margin.curvature(hess)
            };
            self.put_hess(own, own, descent, state);
        }
    }

    /// -weight f', or what it is in a quotient.
    #[inline(always)]
    fn descent(&self, quotient: bool, weight: V) -> V {
        if quotient {
            self.margin.quotient_descent(weight, self.quotient[0])
        } else {
            self.margin.descent(weight)
        }
    }

    /// The cross entropy, modulated by the sigmoid of the target's logit.
    #[inline(always)]
    fn by_sigmoid(&self, wanted: Wanted, state: &mut State<V::Real>) {
        let Self { weights: [value, grad, hess], quotient: [mean, inverse], .. } = *self;
        let cross_entropy = self.summary.at_margin::<0>(&self.gamma);
        let row = Modulated::new(load(self.isa, &state.own, self.row), cross_entropy, &self.gamma);
        if wanted.factor {
            self.put(row.factor(self.counted), &mut state.factor);
        }
        if wanted.outputs & output::VALUE != 0 {
            self.put(row.value(value), &mut state.value);
        }
        if wanted.outputs & output::GRAD != 0 {
            self.put_grad(row.own_descent(grad, mean), row.descent(grad), state);
        }
        if wanted.outputs & output::CURVATURE != 0 {
            let own = row.own_curvature(hess, mean, inverse, row.own_descent(hess, mean));
            self.put_hess(own, row.curvature(hess), row.descent(hess), state);
        }
    }

    /// What the gradient is made of: minus that of the target, and what the others share.
    #[inline(always)]
    fn put_grad(&self, own: V, descent: V, state: &mut State<V::Real>) {
        // Not a negation: an ignored row has no -0.0.
        self.put(V::splat(self.isa, V::Real::ZERO) - own, &mut state.grad);
        let share = self.summary.share(descent);
        self.put(share.first, &mut state.grad_first);
        self.put(share.second, &mut state.grad_second);
    }

    /// What the Hessian is made of: that of the target, and the two derivatives that the others share.
    #[inline(always)]
    fn put_hess(&self, own: V, curvature: V, descent: V, state: &mut State<V::Real>) {
        let Summary { rest_head, rest_tail, .. } = &state.summary;
        let (head, tail) = (load(self.isa, rest_head, self.row), load(self.isa, rest_tail, self.row));
        let smaller = Sum { head, tail };
        let bend = Bend::new(&self.summary, self.summary.rest(smaller), curvature, descent);
        self.put(own, &mut state.hess);
        self.put(bend.total, &mut state.total);
        self.put(bend.inverse, &mut state.inverse);
        self.put(bend.rest, &mut state.rest);
        self.put(bend.curvature, &mut state.curvature);
        self.put(bend.descent, &mut state.descent);
    }

    #[inline(always)]
    fn put(&self, lanes: V, of_row: &mut [V::Real; ROWS]) {
        let target = &mut of_row[self.row..self.row + V::LANES];
        // SAFETY: as long as a group of lanes.
        unsafe { lanes.store(target.as_mut_ptr()) };
    }
}

#[inline(always)]
fn load<V: Vector>(isa: V::Isa, of_row: &[V::Real; ROWS], row: usize) -> V {
    // SAFETY: the slice is as long as a group of lanes.
    unsafe { V::load(isa, of_row[row..row + V::LANES].as_ptr()) }
}
