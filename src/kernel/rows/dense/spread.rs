//! From the exponentials and the terms of the classes to their gradients and Hessians.

use super::terms::{Tiles, pick, shares};
use super::{Needs, State};
use crate::kernel::output;
use crate::kernel::rows::spread::Factors;
use crate::kernel::rows::tile::Form;
use crate::kernel::rows::{self, RowReal};
use crate::loss::focal::Scales;
use crate::loss::softmax::{Factor, in_range};
use crate::loss::softmax_dense::Shares;
use crate::real::Real;
use crate::simd::{Isa, Kernel, Vector};

/// Writes the gradient, the Hessian or both.
pub struct Spread<'a, R> {
    pub tiles: Tiles<R>,
    pub needs: Needs,
    /// What the rows are multiplied with.
    pub state: &'a rows::State<R>,
    pub dense: &'a State<R>,
}

impl<R: RowReal> Kernel for Spread<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { tiles, needs, state, dense } = self;
        let tile = tiles.exp;
        match tile.form {
            Form::Columns => {
                let mut row = 0;
                while row < tile.rows {
                    // SAFETY: there are ROWS of each, whole groups of lanes.
                    let factors = unsafe { Factors::<R::RowLanes<I>>::load(isa, state, row) };
                    let rows = Rows::new(isa, factors, dense, row, false);
                    for k in 0..tile.classes {
                        // SAFETY: a column is padded to whole groups of lanes.
                        unsafe { rows.apply(&tiles, needs, row, k) };
                    }
                    row += <R::RowLanes<I>>::LANES;
                }
            }
            Form::Lines => {
                for row in 0..tile.rows {
                    let factors = Factors::<R::RowLanes<I>>::splat(isa, state, row);
                    let rows = Rows::new(isa, factors, dense, row, true);
                    let mut k = 0;
                    while k < tile.classes {
                        // SAFETY: a line is padded to whole groups of lanes.
                        unsafe { rows.apply(&tiles, needs, row, k) };
                        k += <R::RowLanes<I>>::LANES;
                    }
                }
            }
        }
    }
}

/// What the exponentials and the terms of a row, or of as many rows as there are lanes, are multiplied with.
struct Rows<V> {
    factors: Factors<V>,
    shares: Shares<V>,
    outer: [V; 2],
    /// The gradient of the modulating factor, and twice 1 / S.
    factor: Factor<V>,
    twice: V,
}

impl<V: Vector> Rows<V>
where
    V::Real: RowReal,
{
    #[inline(always)]
    fn new(isa: V::Isa, factors: Factors<V>, dense: &State<V::Real>, row: usize, same: bool) -> Self {
        let State { shares: of_rows, outer: [grad, hess], factor_first, factor_second, quotient, .. } = dense;
        let inverse: V = pick(isa, quotient, row, same);
        Self {
            factors,
            shares: shares(isa, of_rows, row, same),
            outer: [pick(isa, grad, row, same), pick(isa, hess, row, same)],
            factor: Factor {
                first: pick(isa, factor_first, row, same),
                second: pick(isa, factor_second, row, same),
            },
            twice: inverse + inverse,
        }
    }

    /// # Safety
    /// The group of lanes that begins with this row and class must be within the tiles.
    #[inline(always)]
    unsafe fn apply(&self, tiles: &Tiles<V::Real>, needs: Needs, row: usize, class: usize) {
        let isa = self.twice.isa();
        // SAFETY: handed through from the caller.
        unsafe {
            let exp = V::load(isa, tiles.exp.at(row, class));
            let slope = V::load(isa, tiles.logits.at(row, class));
            let zero = V::splat(isa, V::Real::ZERO);
            // Differences of what may be nothing: of no zero the sign is one of rounding.
            let grad = self.outer[0].neg_mul_add(slope, self.factors.grad.of(in_range(exp))) + zero;
            if needs.outputs & (output::CURVATURE | output::GAUSS_NEWTON) != 0 {
                let mut hess = self.factors.hess.of(in_range(exp));
                if needs.outputs & output::CURVATURE != 0 {
                    let one = V::splat(isa, V::Real::ONE);
                    let p = self.shares.p_scaled(exp) * V::splat(isa, V::Real::P_UNSCALE);
                    let bend = V::load(isa, tiles.hess.at(row, class)) * self.outer[1];
                    hess = hess + (bend * (one - (p + p))) * V::splat(isa, V::Real::P_UNSCALE);
                }
                if needs.quotient {
                    let descent = V::load(isa, tiles.targets.at(row, class));
                    let factor = self.factor.of(in_range(exp)) - descent;
                    hess = (grad * self.twice).neg_mul_add(factor, hess);
                }
                (hess + zero).store(tiles.hess.at(row, class));
            }
            if needs.outputs & output::GRAD != 0 {
                grad.store(tiles.exp.at(row, class));
            }
        }
    }
}
