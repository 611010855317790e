//! From a tile of exponentials to the gradient and the Hessian of every class, in their place.

use super::tile::{Form, Tile};
use super::{ROWS, RowReal, State};
use crate::loss::softmax::{Bend, Factor};
use crate::simd::{Isa, Kernel, Vector};

/// Writes the gradient, the Hessian or both.
pub struct Spread<'a, R, const GRAD: bool, const HESS: bool> {
    /// The exponentials; the gradient takes their place.
    pub tile: Tile<R>,
    /// Where the Hessian goes, a tile of the same form.
    pub hess: Tile<R>,
    /// What the rows are multiplied with.
    pub state: &'a State<R>,
}

impl<R: RowReal, const GRAD: bool, const HESS: bool> Kernel for Spread<'_, R, GRAD, HESS> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { tile, hess, state } = self;
        match tile.form {
            Form::Columns => {
                let mut row = 0;
                while row < tile.rows {
                    // SAFETY: there are ROWS of each, whole groups of lanes.
                    let factors = unsafe { Factors::<R::RowLanes<I>>::load(isa, state, row) };
                    for k in 0..tile.classes {
                        // SAFETY: a column is padded to whole groups of lanes.
                        unsafe { factors.apply::<GRAD, HESS>(tile.at(row, k), hess.at(row, k)) };
                    }
                    row += <R::RowLanes<I>>::LANES;
                }
            }
            Form::Lines => {
                for row in 0..tile.rows {
                    let factors = Factors::<R::RowLanes<I>>::splat(isa, state, row);
                    let mut k = 0;
                    while k < tile.classes {
                        // SAFETY: a line is padded to whole groups of lanes.
                        unsafe { factors.apply::<GRAD, HESS>(tile.at(row, k), hess.at(row, k)) };
                        k += <R::RowLanes<I>>::LANES;
                    }
                }
            }
        }
    }
}

/// What the exponentials of a row, or of as many rows as there are lanes, are multiplied with.
pub struct Factors<V> {
    pub grad: Factor<V>,
    pub hess: Bend<V>,
}

impl<V: Vector> Factors<V>
where
    V::Real: RowReal,
{
    /// Those of one row for all lanes.
    #[inline(always)]
    pub fn splat(isa: V::Isa, state: &State<V::Real>, row: usize) -> Self {
        Self {
            grad: Factor {
                first: V::splat(isa, state.grad_first[row]),
                second: V::splat(isa, state.grad_second[row]),
            },
            hess: Bend {
                total: V::splat(isa, state.total[row]),
                inverse: V::splat(isa, state.inverse[row]),
                rest: V::splat(isa, state.rest[row]),
                curvature: V::splat(isa, state.curvature[row]),
                descent: V::splat(isa, state.descent[row]),
            },
        }
    }

    /// Those of the rows from `row` on, one a lane.
    ///
    /// # Safety
    /// A group of lanes from `row` on must be within the state.
    #[inline(always)]
    pub unsafe fn load(isa: V::Isa, state: &State<V::Real>, row: usize) -> Self {
        // SAFETY: handed through from the caller.
        unsafe {
            Self {
                grad: Factor {
                    first: V::load(isa, state.grad_first.as_ptr().add(row)),
                    second: V::load(isa, state.grad_second.as_ptr().add(row)),
                },
                hess: Bend {
                    total: V::load(isa, state.total.as_ptr().add(row)),
                    inverse: V::load(isa, state.inverse.as_ptr().add(row)),
                    rest: V::load(isa, state.rest.as_ptr().add(row)),
                    curvature: V::load(isa, state.curvature.as_ptr().add(row)),
                    descent: V::load(isa, state.descent.as_ptr().add(row)),
                },
            }
        }
    }

    /// Puts down those of the rows from `row` on.
    #[inline(always)]
    pub fn store(&self, state: &mut State<V::Real>, row: usize) {
        put(self.grad.first, &mut state.grad_first, row);
        put(self.grad.second, &mut state.grad_second, row);
        put(self.hess.total, &mut state.total, row);
        put(self.hess.inverse, &mut state.inverse, row);
        put(self.hess.rest, &mut state.rest, row);
        put(self.hess.curvature, &mut state.curvature, row);
        put(self.hess.descent, &mut state.descent, row);
    }

    /// # Safety
    /// A group of lanes must be valid at `exp` for reading and, for the gradient, writing; at `hess` for
    /// writing if the Hessian is asked for.
    #[inline(always)]
    unsafe fn apply<const GRAD: bool, const HESS: bool>(&self, exp: *mut V::Real, hess: *mut V::Real) {
        // SAFETY: handed through from the caller.
        unsafe {
            let e = V::load(self.grad.first.isa(), exp);
            if HESS {
                self.hess.of(e).store(hess);
            }
            if GRAD {
                self.grad.of(e).store(exp);
            }
        }
    }
}

/// Puts a group of lanes into a list.
#[inline(always)]
pub fn put<V: Vector>(lanes: V, of_row: &mut [V::Real; ROWS], row: usize) {
    // SAFETY: the slice is as long as a group of lanes.
    unsafe { lanes.store(of_row[row..row + V::LANES].as_mut_ptr()) };
}
