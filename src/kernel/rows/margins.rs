//! From the sums of rows to their losses and to what their classes' exponentials are multiplied with.

use super::{Constants, PerClass, RowReal, State};
use crate::kernel::elementwise::output;
use crate::loss::focal::{Gamma, power};
use crate::loss::softmax::{Bend, Row, Sum};
use crate::simd::{AnyIsa, Isa, Kernel, Vector};

/// The stage for a class of gammas.
pub type Stage<R> = fn(AnyIsa, &Constants<R>, usize, u8, &mut State<R>);

/// The stage for a gamma; [`power::GENERAL`] for those that differ by class.
pub fn stage<R: RowReal>(power: u8) -> Stage<R> {
    match power {
        0 => run::<R, 0>,
        1 => run::<R, 1>,
        2 => run::<R, 2>,
        3 => run::<R, 3>,
        _ => run::<R, { power::GENERAL }>,
    }
}

fn run<R: RowReal, const POWER: u8>(
    isa: AnyIsa,
    constants: &Constants<R>,
    rows: usize,
    outputs: u8,
    state: &mut State<R>,
) {
    isa.vectorize(Margins::<R, POWER> { constants, rows, outputs, state });
}

struct Margins<'a, R, const POWER: u8> {
    constants: &'a Constants<'a, R>,
    rows: usize,
    outputs: u8,
    state: &'a mut State<R>,
}

impl<R: RowReal, const POWER: u8> Kernel for Margins<'_, R, POWER> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { constants, rows, outputs, state } = self;
        let mut row = 0;
        while row < rows {
            // SAFETY: there are ROWS of everything, whole groups of lanes.
            unsafe { group::<R, I, POWER>(isa, constants, row, outputs, state) };
            row += <R::Lanes<I>>::LANES;
        }
    }
}

/// # Safety
/// A group of lanes from `row` on must be within the state.
#[inline(always)]
unsafe fn group<R: RowReal, I: Isa, const POWER: u8>(
    isa: I,
    constants: &Constants<R>,
    row: usize,
    outputs: u8,
    state: &mut State<R>,
) {
    macro_rules! load {
        ($($name:ident).+) => {
            // SAFETY: handed through from the caller.
            unsafe { <R::Lanes<I>>::load(isa, state.$($name).+.as_ptr().add(row)) }
        };
    }
    macro_rules! store {
        ($name:ident, $lanes:expr) => {
            let lanes = $lanes;
            // SAFETY: handed through from the caller.
            unsafe { lanes.store(state.$name.as_mut_ptr().add(row)) }
        };
    }
    macro_rules! weight {
        ($name:ident, $of_class:ident) => {
            match constants.$name {
                PerClass::Same(weight) => <R::Lanes<I>>::splat(isa, weight),
                PerClass::Each(_) => load!($of_class),
            }
            *load!(sample)
        };
    }
    let sum = Sum { head: load!(summary.sum_head), tail: load!(summary.sum_tail) };
    let summary = Row::new(load!(target), load!(summary.max), sum);
    let gamma = match constants.gamma {
        PerClass::Same(gamma) => gamma.splat(isa),
        PerClass::Each(_) => {
            // SAFETY: handed through from the caller.
            unsafe { Gamma::load(isa, state.gamma.each_ref().map(|part| part.as_ptr().add(row))) }
        }
    };
    let margin = summary.at_margin::<POWER>(&gamma);
    let zero = <R::Lanes<I>>::splat(isa, R::ZERO);
    if outputs & output::VALUE != 0 {
        store!(value, margin.value_or_zero(weight!(value, value_weight)));
    }
    if outputs & output::GRAD != 0 {
        let descent = margin.descent(weight!(grad, grad_weight));
        // Not a negation: an ignored row has no -0.0.
        store!(grad, zero - descent);
        let share = summary.share(descent);
        store!(grad_first, share.first);
        store!(grad_second, share.second);
    }
    if outputs & (output::CURVATURE | output::GAUSS_NEWTON) != 0 {
        let weight = weight!(hess, hess_weight);
        let own = if outputs & output::CURVATURE != 0 {
            margin.curvature(weight)
        } else {
            margin.gauss_newton(weight)
        };
        let rest = summary.rest(Sum { head: load!(summary.rest_head), tail: load!(summary.rest_tail) });
        let bend = Bend::new(&summary, rest, own, margin.descent(weight));
        store!(hess, own);
        store!(total, bend.total);
        store!(inverse, bend.inverse);
        store!(rest, bend.rest);
        store!(curvature, bend.curvature);
        store!(descent, bend.descent);
        store!(unscale, bend.unscale);
    }
}
