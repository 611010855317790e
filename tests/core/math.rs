//! The elementary functions keep the errors that `src/math/mod.rs` states, on every instruction set.

mod oracle;

use focalgrad::real::Real;
use focalgrad::simd::AnyIsa;
use oracle::dd::Dd;
use oracle::math::{BATCH, Evaluate, Function, Parts, worst_f32};
use oracle::setting;
use oracle::wide::Wide;
use rayon::prelude::*;

/// What `src/math/mod.rs` states, of float32 after all of its numbers (`make walk`).
const EXP_F32_ULP: f64 = 0.69;
const LOG1P_F32_ULP: f64 = 0.96;
/// Of float64 for the sets with a fused multiply-add.
const EXP_ULP: f64 = 0.68;
const LOG1P_ULP: f64 = 0.89;
const LOG_ULP: f64 = 0.45;
/// And for the portable set in float64.
const PORTABLE_ULP: [f64; 2] = [0.70, 0.97];

#[test]
fn float32_functions_keep_their_errors() {
    let stride = setting("WALK_STRIDE", 251);
    let best = AnyIsa::available()[0];
    for isa in AnyIsa::available() {
        for (bias, largest) in [(64.0_f32, 128.0_f32), (32.0, 105.0)] {
            let patterns = [0, largest.to_bits()];
            let worst = worst_f32(isa, best, Function::ExpNeg(bias.into()), patterns, stride);
            println!(
                "{:9} float32 exp_neg, bias {bias}: {:.3} ulp at {:e}",
                isa.name(),
                worst.0,
                f32::from_bits(worst.1)
            );
            assert!(worst.0 <= EXP_F32_ULP, "{}: {worst:?}", isa.name());
        }
        let patterns = [1, 1.0_f32.to_bits()];
        let worst = worst_f32(isa, best, Function::Log1p, patterns, stride);
        println!("{:9} float32 log1p: {:.3} ulp at {:e}", isa.name(), worst.0, f32::from_bits(worst.1));
        assert!(worst.0 <= LOG1P_F32_ULP, "{}: {worst:?}", isa.name());
        for [first, last] in [[f32::MIN_POSITIVE, 2.0_f32.powi(125)], [0.99, 1.01]] {
            let patterns = [first.to_bits(), last.to_bits()];
            let worst = worst_f32(isa, best, Function::Log, patterns, stride);
            println!("{:9} float32 log: {:.3} ulp at {:e}", isa.name(), worst.0, f32::from_bits(worst.1));
            assert!(worst.0 <= LOG_ULP, "{}: {worst:?}", isa.name());
        }
    }
}

/// Arguments in two parts: a golden-ratio sequence, in size or in the exponent.
fn arguments(points: u32, largest: f64) -> Vec<[f64; 2]> {
    (0..points)
        .map(|i| {
            let unit = (f64::from(i) * 0.618_033_988_749_895).fract();
            let lo = (f64::from(i) * 0.754_877_666_246_693).fract() * 2.0 - 1.0;
            let hi = if i % 2 == 0 { unit * largest } else { largest * (unit * -40.0).exp2() };
            [hi, lo * hi * 2.0_f64.powi(-53)]
        })
        .collect()
}

/// As [`arguments`], of the logarithm: near 1 from both sides, and over all exponents.
fn logarithms(points: u32) -> Vec<[f64; 2]> {
    let near = arguments(points, 0.4).into_iter().enumerate().map(|(i, [hi, lo])| {
        let sign = if i / 2 % 2 == 0 { 1.0 } else { -1.0 };
        [1.0 + sign * hi, lo]
    });
    let far = arguments(points, 1.0).into_iter().map(|[hi, _]| (hi * 2042.0 - 1022.0).exp2());
    near.chain(far.map(|x| [x, x * 2.0_f64.powi(-54)])).collect()
}

fn worst_f64(isa: AnyIsa, function: Function, arguments: &[[f64; 2]]) -> (f64, f64) {
    let errors = arguments.par_chunks(BATCH).map(|chunk| {
        let mut x: Parts<f64> = [[0.5; BATCH]; 2];
        for (k, &[hi, lo]) in chunk.iter().enumerate() {
            (x[0][k], x[1][k]) = (hi, lo);
        }
        let mut y: Parts<f64> = [[0.0; BATCH]; 2];
        isa.vectorize(Evaluate(function, &x, &mut y));
        (0..chunk.len())
            .map(|k| {
                let argument = Dd { hi: x[0][k], lo: x[1][k] };
                let truth = match function {
                    Function::ExpNeg(bias) => {
                        let exp = Wide::exp(-argument);
                        Wide::new(exp.mantissa, exp.exponent + bias as i32)
                    }
                    Function::Log1p => Wide::new(argument, 0).log1p(),
                    Function::Log => Wide::new(argument, 0).log(),
                };
                let error = truth - Wide::from(y[1][k]);
                (error.error_of(y[0][k], truth, 53, -1022), x[0][k])
            })
            .fold((0.0, 0.0), |a: (f64, f64), b| if b.0 > a.0 || b.0.is_nan() { b } else { a })
    });
    errors.reduce(Default::default, |a, b| if b.0 > a.0 || b.0.is_nan() { b } else { a })
}

#[test]
fn float64_functions_keep_their_errors() {
    let points = setting("WALK_POINTS", 200_000);
    for isa in AnyIsa::available() {
        let portable = isa.name() == "portable";
        for (bias, largest) in [(256.0, f64::SATURATED), (64.0, 746.0)] {
            let worst = worst_f64(isa, Function::ExpNeg(bias), &arguments(points, largest));
            println!("{:9} float64 exp_neg, bias {bias}: {:.3} ulp at {:e}", isa.name(), worst.0, worst.1);
            assert!(worst.0 <= if portable { PORTABLE_ULP[0] } else { EXP_ULP }, "{}: {worst:?}", isa.name());
        }
        let worst = worst_f64(isa, Function::Log1p, &arguments(points, 1.0));
        println!("{:9} float64 log1p: {:.3} ulp at {:e}", isa.name(), worst.0, worst.1);
        assert!(worst.0 <= if portable { PORTABLE_ULP[1] } else { LOG1P_ULP }, "{}: {worst:?}", isa.name());
        let worst = worst_f64(isa, Function::Log, &logarithms(points));
        println!("{:9} float64 log: {:.3} ulp at {:e}", isa.name(), worst.0, worst.1);
        assert!(worst.0 <= LOG_ULP, "{}: {worst:?}", isa.name());
    }
}

#[test]
fn exp_and_log_undo_each_other() {
    for x in [1e-12, 1e-8, 0.3, 1.0, 7.0, 1e3, 1e5] {
        let x = Dd::from(x);
        let back = Dd::from(1.0) / (-x.ln_1p()).exp() - Dd::from(1.0);
        let error = ((back - x) / (x + Dd::from(1.0))).hi.abs();
        assert!(error < 1e-29, "{x:?}: {error:e}");
    }
}
