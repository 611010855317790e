//! The errors of the elementary functions of `src/math`, both parts taken together.

use focalgrad::math::{exp_neg, log, log1p};
use focalgrad::real::Real;
use focalgrad::simd::{AnyIsa, Isa, Kernel, Vector};
use rayon::prelude::*;

/// Arguments of one call.
pub const BATCH: usize = 1024;

/// Both parts of a function at a batch of arguments in two parts.
pub type Parts<R> = [[R; BATCH]; 2];

/// Which function, with its bias where it takes one.
#[derive(Clone, Copy)]
pub enum Function {
    /// exp(-x) * 2^bias.
    ExpNeg(f64),
    /// log(1 + x).
    Log1p,
    /// log(x).
    Log,
}

/// Evaluates a function of `src/math`; both parts of the argument are in `x`.
pub struct Evaluate<'a, R>(pub Function, pub &'a Parts<R>, pub &'a mut Parts<R>);

impl<R: Real> Kernel for Evaluate<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self(function, [x, x_lo], [y, y_lo]) = self;
        let lanes = <R::Lanes<I>>::LANES;
        assert_eq!(BATCH % lanes, 0);
        for at in (0..BATCH).step_by(lanes) {
            // SAFETY: a group of lanes from `at` on lies within the batch.
            unsafe {
                let hi = <R::Lanes<I>>::load(isa, x.as_ptr().add(at));
                let lo = <R::Lanes<I>>::load(isa, x_lo.as_ptr().add(at));
                let (head, tail) = match function {
                    Function::ExpNeg(bias) => {
                        exp_neg(hi, lo, R::from_f64(bias + R::TO_INTEGER.to_f64())).scaled_by(R::ONE)
                    }
                    Function::Log1p => {
                        let one = hi.constant(R::ONE);
                        log1p(hi, lo, one / (one + hi))
                    }
                    Function::Log => log(hi, lo),
                };
                head.store(y.as_mut_ptr().add(at));
                tail.store(y_lo.as_mut_ptr().add(at));
            }
        }
    }
}

/// The largest error in ulp and the bits of the argument.
pub type Worst = (f64, u32);

/// Measures a float32 function on every `stride`-th argument between two bit patterns, against the
/// float64 function. The second part of the argument is a pseudo-random part of what rounding to the
/// first may have lost (of the exponential: of what a product of that size may have lost).
pub fn worst_f32(isa: AnyIsa, oracle: AnyIsa, function: Function, patterns: [u32; 2], stride: u32) -> Worst {
    let [first, last] = patterns;
    let span = BATCH as u32 * stride;
    let batches = (last - first) / span + 1;
    let batch = |i: u32| {
        let mut x: Parts<f32> = [[0.0; BATCH]; 2];
        let [x_hi, x_lo] = &mut x;
        for ((hi, lo), k) in x_hi.iter_mut().zip(x_lo).zip(0..) {
            let bits = (first + i * span).saturating_add(k * stride).min(last);
            let fraction = f64::from(bits.wrapping_mul(0x9e37_79b9) as i32) * 2.0_f64.powi(-31);
            *hi = f32::from_bits(bits);
            *lo = (f64::from(*hi) * fraction * 2.0_f64.powi(-24)) as f32;
        }
        let mut y: Parts<f32> = [[0.0; BATCH]; 2];
        isa.vectorize(Evaluate(function, &x, &mut y));
        let exact = [std::array::from_fn(|k| f64::from(x[0][k]) + f64::from(x[1][k])), [0.0; BATCH]];
        let mut truth: Parts<f64> = [[0.0; BATCH]; 2];
        oracle.vectorize(Evaluate(function, &exact, &mut truth));
        oracle.vectorize(Compare { x: &x, y: &y, truth: &truth })
    };
    let larger = |a: Worst, b: Worst| if b.0 > a.0 || b.0.is_nan() { b } else { a };
    (0..batches).into_par_iter().map(batch).reduce(Default::default, larger)
}

struct Compare<'a> {
    x: &'a Parts<f32>,
    y: &'a Parts<f32>,
    truth: &'a Parts<f64>,
}

impl Kernel for Compare<'_> {
    type Output = Worst;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> Worst {
        let mut errors = [0.0_f64; BATCH];
        for (k, error) in errors.iter_mut().enumerate() {
            let truth = self.truth[0][k] + self.truth[1][k];
            let got = f64::from(self.y[0][k]) + f64::from(self.y[1][k]);
            let exponent = truth.abs().max(f64::from(f32::MIN_POSITIVE)).to_bits() >> 52;
            *error = (got - truth).abs() * f64::from_bits((2 * 1023 + 23 - exponent) << 52);
        }
        let worst = errors.iter().fold(0.0, |worst, &error| if error <= worst { worst } else { error });
        let at = errors.iter().position(|&error| error == worst || error.is_nan()).unwrap_or(0);
        (worst, self.x[0][at].to_bits())
    }
}
