//! The promise: how far results are from the truth, in ulp. `make walk` goes through every float32.

mod oracle;

use focalgrad::kernel::compiled::Compiled;
use focalgrad::kernel::tile::TILE;
use focalgrad::simd::AnyIsa;
use oracle::run::{Results, plain};
use oracle::truth::{AtLogit, KNOWN, Truth};
use oracle::walk::{DOMAINS, Found, OTHERS, Walk};
use oracle::{GAMMAS, PROMISE, setting};
use rayon::prelude::*;

#[test]
fn the_oracle_has_the_digits_that_mpmath_gives() {
    for known in KNOWN.iter() {
        let truth = AtLogit::new(known.z).focal(known.gamma);
        for which in 0..3 {
            let (got, expected) = (truth.results[which], known.results[which]);
            if expected.is_zero() {
                assert!(got.is_zero() || got.exponent < -1190, "{} {}", known.gamma, known.z);
                continue;
            }
            let error = (got - expected).abs() / truth.size(which);
            // Of an ulp of float64: 2^-40, and more.
            assert!(error.is_zero() || error.exponent < -93, "{} {} {error:?}", known.gamma, known.z);
        }
    }
}

#[test]
fn the_float64_kernels_can_be_the_oracle_of_float32() {
    for isa in AnyIsa::available() {
        let mut worst: f64 = 0.0;
        for known in KNOWN.iter() {
            let mut got: Results<f64> = [[0.0; TILE]; 3];
            plain(isa, known.gamma, &[known.z], 1.0, &mut got);
            let mut truth = AtLogit::new(known.z).focal(known.gamma);
            truth.results = known.results;
            for (which, got) in got.iter().enumerate() {
                worst = worst.max(truth.error_f32(which, got[0]));
            }
        }
        println!("{:9} float64 kernels against mpmath: {worst:.1e} ulp of float32", isa.name());
        assert!(worst < 1e-6, "{}: {worst}", isa.name());
    }
}

/// What a walk on every domain finds.
fn walk_all(isa: AnyIsa, gamma: f64, stride: u32) -> [Found; 3] {
    let walk = Walk { isa, others: [None; OTHERS], oracle: AnyIsa::available()[0], gamma, stride };
    let merge = |a: [Found; 3], b: [Found; 3]| std::array::from_fn(|which| a[which].merge(b[which]));
    (0..DOMAINS.len()).map(|domain| walk.domain(domain)).fold(Default::default(), merge)
}

#[test]
fn float32_keeps_the_promise() {
    let stride = setting("WALK_STRIDE", 251);
    for isa in AnyIsa::available() {
        for gamma in GAMMAS {
            for (found, (name, bound)) in walk_all(isa, gamma, stride).iter().zip(PROMISE) {
                let at = f32::from_bits(found.at);
                println!("{:9} float32 gamma {gamma} {name}: {:.2} ulp at {at:e}", isa.name(), found.worst);
                assert!(found.worst <= bound, "{} {gamma} {name}: {} at {at:e}", isa.name(), found.worst);
                assert_eq!(found.asymmetric, 0, "{} {gamma} {name}: target 0 differs from 1", isa.name());
            }
        }
    }
}

#[test]
fn beyond_gamma_5_errors_grow_slowly() {
    let stride = setting("WALK_STRIDE", 251) * 5;
    for gamma in [7.5, 10.0, 30.0, 100.0, 1000.0, 1e4] {
        for (which, found) in walk_all(AnyIsa::available()[0], gamma, stride).iter().enumerate() {
            let (name, at) = (PROMISE[which].0, f32::from_bits(found.at));
            println!("float32 gamma {gamma} {name}: {:.2} ulp at {at:e}", found.worst);
            // The Hessian has a factor up to gamma^2, which multiplies the rounding of a subnormal q^gamma.
            let bound = if which == 2 { 10.0 + gamma + gamma * gamma } else { 4.0 + gamma };
            assert!(found.worst <= bound, "{gamma} {name}: {} at {at:e}", found.worst);
        }
    }
}

/// Points for float64: everywhere, and densely where something switches or ends.
fn points(count: u32) -> Vec<f64> {
    const SWITCHES: [f64; 14] =
        [0.0, 1e-8, 0.35, 1.0, 17.0, 37.0, 88.0, 104.0, 372.0, 709.0, 745.0, 800.0, 1e16, 1e300];
    (0..count)
        .map(|i| {
            let unit = (f64::from(i) * 0.618_033_988_749_895).fract();
            let magnitude = match i % 5 {
                0 => unit * 760.0,
                1 => unit * 40.0,
                2 => (unit * 2098.0 - 1074.0).exp2(),
                3 => (unit * 70.0 - 60.0).exp2(),
                _ => {
                    let switch = SWITCHES[i as usize / 5 % SWITCHES.len()];
                    let (offset, size) = (unit * 2.0 - 1.0, f64::from(i / 70 % 17));
                    switch + offset * switch.max(1e-3) * (-3.0 * size).exp2()
                }
            };
            if i / 5 % 2 == 0 { magnitude } else { -magnitude }
        })
        .collect()
}

#[test]
fn float64_keeps_the_promise() {
    let points = points(setting("WALK_POINTS", 1_000_000));
    let isas = AnyIsa::available();
    let merge = |mut a: Vec<(f64, f64)>, b: Vec<(f64, f64)>| {
        for (a, b) in a.iter_mut().zip(b) {
            if b.0 > a.0 || b.0.is_nan() {
                *a = b;
            }
        }
        a
    };
    let none = || vec![(0.0, 0.0); isas.len() * GAMMAS.len() * 3];
    let chunk = |logits: &[f64]| {
        let at: Vec<AtLogit> = logits.iter().map(|&z| AtLogit::new(z)).collect();
        let mut worst = none();
        for (g, &gamma) in GAMMAS.iter().enumerate() {
            let truth: Vec<Truth> = at.iter().map(|at| at.focal(gamma)).collect();
            for (s, &isa) in isas.iter().enumerate() {
                let mut got: Results<f64> = [[0.0; TILE]; 3];
                plain(isa, gamma, logits, 1.0, &mut got);
                for which in 0..3 {
                    let found = &mut worst[(s * GAMMAS.len() + g) * 3 + which];
                    for (i, truth) in truth.iter().enumerate() {
                        let error = truth.error_f64(which, got[which][i]);
                        if error > found.0 || error.is_nan() {
                            *found = (error, logits[i]);
                        }
                    }
                }
            }
        }
        worst
    };
    let worst = points.par_chunks(TILE).map(chunk).reduce(none, merge);
    for (i, (error, at)) in worst.into_iter().enumerate() {
        let (which, gamma, isa) = (i % 3, GAMMAS[i / 3 % 7], isas[i / 21].name());
        let (name, bound) = PROMISE[which];
        println!("{isa:9} float64 gamma {gamma} {name}: {error:.2} ulp at {at:e}");
        assert!(error <= bound, "{isa} {gamma} {name}: {error} at {at:e}");
    }
}

/// Limits, and what no number stands for.
fn limits<R: Compiled>() {
    let number = R::from_f64;
    let infinity = number(f64::INFINITY);
    let logits = [infinity, R::NEG_INFINITY, number(f64::from(f32::MAX)), R::LOWEST, R::NAN];
    for isa in AnyIsa::available() {
        for gamma in [0.0, 1e-300, 0.5, 1.0, 2.0, 3.0, 5.0, 1e3, 1e15, 1e30, 1e300, f64::MAX] {
            let mut got: Results<R> = [[R::ONE; TILE]; 3];
            plain(isa, gamma, &logits, R::ONE, &mut got);
            let [value, grad, hess] = got.map(|row| row.map(|x| x.to_f64()));
            let name = format!("{} {gamma}: {:?} {:?} {:?}", isa.name(), &value[..5], &grad[..5], &hess[..5]);
            assert_eq!(value[..4], [0.0, f64::INFINITY, 0.0, -R::LOWEST.to_f64()], "{name}");
            assert_eq!(grad[..4], [0.0, -1.0, 0.0, -1.0], "{name}");
            assert_eq!(hess[..4], [0.0; 4], "{name}");
            assert!(value[4].is_nan() && grad[4].is_nan() && hess[4].is_nan(), "{name}");
        }
    }
}

#[test]
fn limits_are_reached_and_nan_stays() {
    limits::<f32>();
    limits::<f64>();
}

#[test]
fn no_gamma_makes_finite_logits_nan() {
    for isa in AnyIsa::available() {
        for gamma in [1e-300, 1e-10, 7.0, 100.0, 1e6, 1e15, 1e30, 1e100, 1e300, f64::MAX] {
            for logits in points(20_000).chunks(TILE) {
                let mut got: Results<f64> = [[0.0; TILE]; 3];
                plain(isa, gamma, logits, 1.0, &mut got);
                let narrow: Vec<f32> = logits.iter().map(|&x| x.clamp(-1e38, 1e38) as f32).collect();
                let mut narrow_got: Results<f32> = [[0.0; TILE]; 3];
                plain(isa, gamma, &narrow, 1.0, &mut narrow_got);
                for which in 0..3 {
                    assert!(got[which].iter().all(|x| x.is_finite()), "{} {gamma} {which}", isa.name());
                    assert!(
                        narrow_got[which].iter().all(|x| x.is_finite()),
                        "{} {gamma} {which}",
                        isa.name()
                    );
                }
            }
        }
    }
}
