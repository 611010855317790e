//! From the sums of rows to their losses and to what their classes are multiplied with.

use super::{Needs, State, sum};
use crate::kernel::output;
use crate::kernel::rows::{self, Constants, ROWS, RowReal, Summary};
use crate::loss::focal::{Gamma, Margin, power};
use crate::loss::product::unless_zero;
use crate::loss::softmax::{Bend, Row, Sum};
use crate::loss::softmax_dense::{Mixture, Others, Shares, curvatures};
use crate::real::Real;
use crate::simd::{Isa, Kernel, Vector};

use super::terms::lanes;
use crate::kernel::rows::spread::put;

/// Finds what the terms of the classes need to know of their rows.
pub struct Describe<'a, R> {
    pub rows: usize,
    pub quotient: bool,
    pub state: &'a rows::State<R>,
    pub dense: &'a mut State<R>,
}

impl<R: RowReal> Kernel for Describe<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { rows, quotient, state, dense } = self;
        let one = <R::RowLanes<I>>::splat(isa, R::ONE);
        let zero = <R::RowLanes<I>>::splat(isa, R::ZERO);
        let mut at = 0;
        while at < rows {
            let row = describe::<R::RowLanes<I>>(isa, state, &dense.summary, at);
            let [grad, hess] = [lanes(isa, &state.weights[1], at), lanes(isa, &state.weights[2], at)];
            let (weight, outer) = if quotient { (grad, [one, one]) } else { (one, [grad, hess]) };
            let mean = if quotient { lanes(isa, &state.quotient[0], at) } else { zero };
            // Any gamma will do for a cross entropy.
            let gamma = Gamma::new(0.0).splat(isa);
            let max = lanes(isa, &dense.summary.max, at);
            let shares = Shares::new(&row, max, weight, mean, &gamma);
            let [first, second, max, base, weight, mean] = &mut dense.shares;
            put(shares.first, first, at);
            put(shares.second, second, at);
            put(shares.max, max, at);
            put(shares.base, base, at);
            put(shares.weight, weight, at);
            put(shares.mean, mean, at);
            put(outer[0], &mut dense.outer[0], at);
            put(outer[1], &mut dense.outer[1], at);
            at += <R::RowLanes<I>>::LANES;
        }
    }
}

#[inline(always)]
fn describe<V: Vector>(
    isa: V::Isa,
    state: &rows::State<V::Real>,
    summary: &Summary<V::Real>,
    row: usize,
) -> Row<V>
where
    V::Real: RowReal,
{
    let sum = Sum { head: lanes(isa, &summary.sum_head, row), tail: lanes(isa, &summary.sum_tail, row) };
    Row::new(lanes(isa, &state.target, row), lanes(isa, &summary.max, row), sum)
}

/// The sums of a group of rows, rounded.
#[inline(always)]
pub fn sum_of<V: Vector>(isa: V::Isa, [heads, tails]: &[[V::Real; ROWS]; 2], row: usize) -> V {
    Sum { head: lanes(isa, heads, row), tail: lanes(isa, tails, row) }.rounded()
}

/// Puts rows together.
pub struct Mix<'a, R, const POWER: u8> {
    pub constants: &'a Constants<R>,
    pub rows: usize,
    pub needs: Needs,
    pub state: &'a mut rows::State<R>,
    pub dense: &'a mut State<R>,
}

impl<R: RowReal, const POWER: u8> Kernel for Mix<'_, R, POWER> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { constants, rows, needs, state, dense } = self;
        let mut row = 0;
        while row < rows {
            let gamma =
                if POWER == power::GENERAL { state.gammas(isa, row) } else { constants.gamma.splat(isa) };
            let group = Group::<R::RowLanes<I>, POWER>::new(isa, row, gamma, needs, state, dense);
            group.loss(state);
            if needs.outputs & !output::VALUE != 0 {
                group.gradient(state, dense);
                if needs.outputs & output::CURVATURE != 0 {
                    group.curvature(state, dense);
                } else if needs.outputs & output::GAUSS_NEWTON != 0 {
                    group.gauss_newton(state, dense);
                }
            }
            row += <R::RowLanes<I>>::LANES;
        }
    }
}

/// As many rows as there are lanes.
struct Group<V: Vector, const POWER: u8> {
    isa: V::Isa,
    row: usize,
    needs: Needs,
    summary: Row<V>,
    margin: Margin<V, POWER>,
    /// The largest class' target, its alpha and its 1 + gamma.
    target: V,
    alpha: V,
    one_plus_gamma: V,
    weights: [V; 3],
    /// V / S and 1 / S.
    quotient: [V; 2],
    sums: [V; super::SUMS],
}

impl<V: Vector, const POWER: u8> Group<V, POWER>
where
    V::Real: RowReal,
{
    #[inline(always)]
    fn new(
        isa: V::Isa,
        row: usize,
        gamma: Gamma<V>,
        needs: Needs,
        state: &rows::State<V::Real>,
        dense: &State<V::Real>,
    ) -> Self {
        let summary = describe::<V>(isa, state, &dense.summary, row);
        let zero = V::splat(isa, V::Real::ZERO);
        let [value, grad, hess] = &state.weights;
        let (value, grad) = (lanes::<V>(isa, value, row) + zero, lanes::<V>(isa, grad, row) + zero);
        let hess = if needs.quotient { grad } else { lanes::<V>(isa, hess, row) + zero };
        let [mean, inverse] = &state.quotient;
        let [a, b, c, d, e] = &dense.totals;
        Self {
            isa,
            row,
            needs,
            summary,
            margin: summary.at_margin::<POWER>(&gamma),
            target: lanes(isa, &dense.target, row),
            alpha: lanes(isa, &dense.alpha, row),
            one_plus_gamma: gamma.number() + V::splat(isa, V::Real::ONE),
            weights: [value, grad, hess],
            quotient: [lanes(isa, mean, row), lanes(isa, inverse, row)],
            sums: [
                sum_of(isa, a, row),
                sum_of(isa, b, row),
                sum_of(isa, c, row),
                sum_of(isa, d, row),
                sum_of(isa, e, row),
            ],
        }
    }

    /// The loss and the modulating factor.
    #[inline(always)]
    fn loss(&self, state: &mut rows::State<V::Real>) {
        let weight = self.weights[0];
        let zero = weight.constant(V::Real::ZERO);
        let lowest = weight.constant(V::Real::LOWEST);
        let loss = self.margin.value_or_zero(self.target * self.alpha) + self.sums[sum::VALUE];
        let bounded = lowest.max_or((-lowest).min_or(loss));
        let loss = weight * V::select(weight.equals(zero), bounded, loss);
        put(loss, &mut state.value, self.row);
        put(self.margin.factor(self.target) + self.sums[sum::FACTOR], &mut state.factor, self.row);
    }

    /// D and M for a weight.
    #[inline(always)]
    fn slopes(&self, weight: V) -> [V; 2] {
        let own = weight * self.alpha;
        if self.needs.quotient {
            let descent = self.margin.quotient_descent(own, self.quotient[0]);
            [self.target * unless_zero(descent, self.target), self.sums[sum::SLOPE]]
        } else {
            [self.target * self.margin.descent(own), weight * self.sums[sum::SLOPE]]
        }
    }

    #[inline(always)]
    fn mixture(&self, [descent, slope]: [V; 2]) -> Mixture<V> {
        Mixture::new(&self.summary, &self.margin, descent, slope)
    }

    #[inline(always)]
    fn gradient(&self, state: &mut rows::State<V::Real>, dense: &mut State<V::Real>) {
        let Mixture { own, descent } = self.mixture(self.slopes(self.weights[1]));
        put(V::splat(self.isa, V::Real::ZERO) - own, &mut state.grad, self.row);
        let share = self.summary.share(descent);
        put(share.first, &mut state.grad_first, self.row);
        put(share.second, &mut state.grad_second, self.row);
        if self.needs.quotient {
            let share = self.summary.share(self.factor().descent);
            put(share.first, &mut dense.factor_first, self.row);
            put(share.second, &mut dense.factor_second, self.row);
            put(self.quotient[1], &mut dense.quotient, self.row);
        }
    }

    /// The gradient of the modulating factor.
    #[inline(always)]
    fn factor(&self) -> Mixture<V> {
        self.mixture([self.margin.factor_descent(self.target), self.sums[sum::FACTOR_SLOPE]])
    }

    #[inline(always)]
    fn curvature(&self, state: &mut rows::State<V::Real>, dense: &State<V::Real>) {
        let weight = self.weights[2];
        let zero = V::splat(self.isa, V::Real::ZERO);
        let [own, slope] = self.slopes(weight);
        let Mixture { own: own_descent, descent } = self.mixture([own, slope]);
        let (own, bend) = if self.needs.quotient {
            let own = self.margin.quotient_curvature(weight * self.alpha, self.quotient[0], zero, zero);
            (own, self.sums[sum::BEND])
        } else {
            (self.margin.curvature(weight * self.alpha), weight * self.sums[sum::BEND])
        };
        let others = Others { slope, bend };
        let [mut own, shared] = curvatures(&self.summary, &self.margin, self.target * own, others);
        if self.needs.quotient {
            let product = (own_descent + own_descent) * self.quotient[1];
            own = product.neg_mul_add(self.factor().own, own);
        }
        // Of no zero the sign is one of rounding.
        self.put_hess(own + zero, shared, descent, state, dense);
    }

    #[inline(always)]
    fn gauss_newton(&self, state: &mut rows::State<V::Real>, dense: &State<V::Real>) {
        let weight = self.weights[2];
        let slopes = if self.needs.upper {
            let own = self.target * self.margin.descent(weight * self.alpha);
            [own * self.one_plus_gamma, weight * self.sums[sum::BEND]]
        } else {
            self.slopes(weight)
        };
        let Mixture { descent, .. } = self.mixture(slopes);
        let own = self.margin.p() * descent;
        self.put_hess(own, own, descent, state, dense);
    }

    #[inline(always)]
    fn put_hess(
        &self,
        own: V,
        curvature: V,
        descent: V,
        state: &mut rows::State<V::Real>,
        dense: &State<V::Real>,
    ) {
        let Summary { rest_head, rest_tail, .. } = &dense.summary;
        let (head, tail) = (lanes(self.isa, rest_head, self.row), lanes(self.isa, rest_tail, self.row));
        let smaller = Sum { head, tail };
        let bend = Bend::new(&self.summary, self.summary.rest(smaller), curvature, descent);
        put(own, &mut state.hess, self.row);
        put(bend.total, &mut state.total, self.row);
        put(bend.inverse, &mut state.inverse, self.row);
        put(bend.rest, &mut state.rest, self.row);
        put(bend.curvature, &mut state.curvature, self.row);
        put(bend.descent, &mut state.descent, self.row);
    }
}
