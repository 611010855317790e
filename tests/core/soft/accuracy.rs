//! How far results are from the truth, in ulp of the larger of the result and half the sum of the
//! magnitudes of what cancels in it.

use focalgrad::kernel::compiled::Compiled;
use focalgrad::kernel::tile::TILE;
use focalgrad::params::SoftTargets;
use focalgrad::simd::AnyIsa;
use rayon::prelude::*;

use crate::harness::{Call, MEANINGS, spread, ulp};
use crate::oracle::run::{Results, gauss_newton, plain};
use crate::oracle::truth::AtLogit;
use crate::oracle::{GAMMAS, PROMISE, setting};
use crate::truth::{Truth, truth};

/// Twice the promise for hard labels; the Gauss-Newton Hessian as the exact one.
const BOUNDS: [f64; 4] = [16.0, 20.0, 24.0, 24.0];

fn labels(i: usize) -> f32 {
    match i % 11 {
        0 => 0.0,
        1 => 1.0,
        2 => 0.5,
        3 => (0.5 + (spread(i) - 0.5) * 1e-4) as f32,
        4 => (-60.0 * spread(i)).exp2() as f32,
        5 => (1.0 - (-24.0 * spread(i)).exp2()) as f32,
        _ => spread(i) as f32,
    }
}

/// Logits or probabilities, everywhere and densely where something happens, and labels.
fn inputs(probabilities: bool) -> (Vec<f32>, Vec<f32>) {
    let count = setting("WALK_POINTS", 60_000);
    let unit = |i: u32| (f64::from(i) * 0.618_033_988_749_895).fract();
    let x: Vec<f32> = (0..count)
        .map(|i| match (probabilities, i / 16 % 4) {
            (false, 0 | 1) => unit(i) * 240.0 - 120.0,
            (false, 2) => unit(i) * 12.0 - 6.0,
            (false, _) => (unit(i) - 0.5) * (-20.0 * unit(i * 7)).exp2(),
            (true, 0 | 1) => unit(i),
            (true, 2) => (-140.0 * unit(i)).exp2(),
            (true, _) => 1.0 - (-24.0 * unit(i)).exp2(),
        } as f32)
        .filter(|&p| !probabilities || p > 0.0 && p < 1.0)
        .collect();
    let y = (0..x.len()).map(labels).collect();
    (x, y)
}

/// Powers of the factor that float32 kernels cannot hold any more.
const VANISHED: f64 = 1e-44;

/// The error in ulp of float32, and the element.
type Worst = (f64, f32, f32, f32);

fn worst_of(x: &[f32], y: &[f32], got: &[f32], truths: &[Truth], k: usize) -> Worst {
    let mut worst = (0.0, 0.0, 0.0, 0.0);
    for (i, (value, size)) in truths.iter().enumerate() {
        let unit = ulp::<f32>(value[k].abs().max(size[k] / 2.0));
        let exact = value[k] as f32 == got[i];
        let error = if exact { 0.0 } else { (f64::from(got[i]) - value[k]).abs() / unit };
        // At its singular point `quality` has no truth here.
        if !value[k].is_nan() && (error > worst.0 || error.is_nan()) {
            worst = (error, x[i], y[i], got[i]);
        }
    }
    worst
}

#[test]
fn float32_keeps_twice_the_promise() {
    let settings = [(0.0, [1.0, 1.0]), (0.1, [0.75, 0.25])];
    for probabilities in [false, true] {
        let (x, y) = inputs(probabilities);
        for (name, meaning) in MEANINGS {
            let mut all = vec![[0.0_f64; 4]; AnyIsa::available().len()];
            for (gamma, (smoothing, weights)) in GAMMAS.into_iter().flat_map(|g| settings.map(|s| (g, s))) {
                let call = Call { meaning, probabilities, gamma, smoothing, weights };
                let at = |(&x, &y): (&f32, &f32)| truth(&call, f64::from(x), f64::from(y));
                let mut truths: Vec<Truth> = x.par_iter().zip(&y).map(at).collect();
                if probabilities {
                    // Where a power vanishes that a quotient would bring back, there is nothing to compare.
                    for (i, truth) in truths.iter_mut().enumerate() {
                        if call.power(f64::from(x[i]), f64::from(y[i])) < VANISHED {
                            truth.0 = [f64::NAN; 4];
                        }
                    }
                }
                for (isa, all) in AnyIsa::available().into_iter().zip(&mut all) {
                    let mut out = call.run(isa, &x, &y);
                    if !probabilities {
                        let mut options = call.options();
                        options.gauss_newton = true;
                        out[3].clone_from(&call.run_with(isa, &options, &x, &y)[2]);
                    }
                    for k in 0..if probabilities { 3 } else { 4 } {
                        let worst = worst_of(&x, &y, &out[k], &truths, k);
                        all[k] = all[k].max(worst.0);
                        assert!(worst.0 <= BOUNDS[k], "{} {call:?} {k}: {worst:?}", isa.name());
                    }
                }
            }
            let of = if probabilities { "probabilities" } else { "logits" };
            for (isa, all) in AnyIsa::available().into_iter().zip(all) {
                println!("{:9} float32 {name} of {of}: {all:.2?} ulp", isa.name());
            }
        }
    }
}

struct Row {
    call: Call,
    x: f64,
    y: f64,
    loss: [f64; 4],
    factor: [f64; 3],
}

fn rows() -> Vec<Row> {
    let parse = |row: &str| {
        let words: Vec<&str> = row.split(' ').collect();
        let n: Vec<f64> =
            words[2..].iter().map(|bits| f64::from_bits(u64::from_str_radix(bits, 16).unwrap())).collect();
        let meaning = MEANINGS.iter().find(|(name, _)| *name == words[0]).unwrap().1;
        let probabilities = words[1] == "1";
        let call = Call { meaning, probabilities, gamma: n[0], smoothing: n[1], weights: [n[2], n[3]] };
        let (loss, factor) = ([n[6], n[7], n[8], n[12]], [n[9], n[10], n[11]]);
        Row { call, x: n[4], y: n[5], loss, factor }
    };
    include_str!("truth.txt").lines().map(parse).collect()
}

#[test]
fn float64_keeps_twice_the_promise() {
    for isa in AnyIsa::available() {
        let mut worst = [[0.0_f64; 5]; 6];
        for Row { call, x, y, loss, factor } in rows() {
            let mut out = call.run(isa, &[x], &[y]).map(|row| row[0]);
            let (_, size) = truth(&call, x, y);
            let kind = call.meaning as usize * 2 + usize::from(call.probabilities);
            if call.meaning != SoftTargets::Expected {
                let blur =
                    if call.meaning == SoftTargets::Quality { (size[0] / loss[0]).max(1.0) } else { 1.0 };
                let error = (out[3] - factor[0]).abs() / ulp::<f64>(factor[0] * blur);
                worst[kind][4] = worst[kind][4].max(error);
                assert!(error <= BOUNDS[0], "{} {call:?} {x} {y}: {error} {}", isa.name(), out[3]);
            }
            let mut options = call.options();
            options.gauss_newton = !call.probabilities;
            out[3] = call.run_with(isa, &options, &[x], &[y])[2][0];
            for k in 0..if call.probabilities { 3 } else { 4 } {
                let unit = ulp::<f64>(loss[k].abs().max(size[k] / 2.0));
                let error = (out[k] - loss[k]).abs() / unit;
                worst[kind][k] = worst[kind][k].max(error);
                let name = format!("{} {call:?} {x} {y} {k}: {error} {} {}", isa.name(), out[k], loss[k]);
                assert!(error <= BOUNDS[k], "{name}");
            }
        }
        println!("{:9} float64 {worst:.2?}", isa.name());
    }
}

#[test]
fn the_quotient_by_the_sum_of_factors_has_its_own_derivatives() {
    for isa in AnyIsa::available() {
        for Row { call, x, y, loss, factor } in rows() {
            if call.meaning == SoftTargets::Expected {
                continue;
            }
            let (value, sum) = (0.375, 8.0);
            let mut options = call.options::<f64>();
            options.quotient = Some([value, 1.0 / sum]);
            let out = call.run_with(isa, &options, &[x], &[y]).map(|row| row[0]);
            let (_, size) = truth(&call, x, y);
            let grad = (loss[1] - value * factor[1]) / sum;
            let hess = (loss[2] - value * factor[2] - 2.0 * grad * factor[1]) / sum;
            let sizes = [
                size[1] + factor[1].abs(),
                size[2] + 4.0 * factor[2].abs() + factor[1] * factor[1] + (2.0 * grad * factor[1]).abs(),
            ];
            let blur = 1.0 + if call.meaning == SoftTargets::Quality { size[0] / loss[0].abs() } else { 0.0 };
            let name = format!("{} {call:?} {x} {y}: {out:?} {grad} {hess}", isa.name());
            assert!((out[1] - grad).abs() <= 1e-14 * sizes[0] * blur, "{name}");
            assert!((out[2] - hess).abs() <= 1e-14 * sizes[1] * blur * blur, "{name}");
        }
    }
}

/// Hard labels through the soft kernels: the errors of losses, gradient, Hessian, and of the factor.
fn hard<R: Compiled>(
    isa: AnyIsa,
    meaning: SoftTargets,
    gamma: f64,
    logits: &[f64],
    worst: &mut [(f64, f64); 4],
) {
    let call = Call::plain(meaning, gamma);
    let x: Vec<R> = logits.iter().map(|&x| R::from_f64(x)).collect();
    let opposite: Vec<R> = logits.iter().map(|&x| R::from_f64(-x)).collect();
    let exact: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
    let mut best: Results<f64> = [[0.0; TILE]; 3];
    plain(isa, gamma, &exact, 1.0, &mut best);
    let mut surrogate: Results<f64> = [[0.0; TILE]; 3];
    gauss_newton(isa, gamma, &exact, &mut surrogate);
    let positive = call.run(isa, &x, &vec![R::ONE; x.len()]);
    let negative = call.run(isa, &opposite, &vec![R::ZERO; x.len()]);
    for i in 0..x.len() {
        for k in 0..4 {
            let sign = if k == 1 { -1.0 } else { 1.0 };
            let (got, mirrored) = (positive[k][i].to_f64(), sign * negative[k][i].to_f64());
            let error = |got: f64| match k {
                3 if meaning == SoftTargets::Expected => 0.0,
                3 => {
                    let truth = AtLogit::new(exact[i]).modulation(gamma);
                    let (bits, lowest) = if size_of::<R>() == 4 { (24, -126) } else { (53, -1022) };
                    truth.error_of(got, truth.abs(), bits, lowest)
                }
                _ if size_of::<R>() == 4 => {
                    let size = if k == 2 { 0.5 * (1.0 + gamma) * surrogate[2][i] } else { 0.0 };
                    (got - best[k][i]).abs() / ulp::<f32>(best[k][i].abs().max(size))
                }
                _ => AtLogit::new(exact[i]).focal(gamma).error_f64(k, got),
            };
            for error in [error(got), error(mirrored)] {
                if error > worst[k].0 || error.is_nan() {
                    worst[k] = (error, exact[i]);
                }
            }
        }
    }
}

#[test]
fn hard_labels_keep_the_hard_promise_under_every_meaning() {
    let unit = |i: u32| (f64::from(i) * 0.618_033_988_749_895).fract();
    for isa in AnyIsa::available() {
        for (name, meaning) in MEANINGS {
            let mut worst = [[(0.0, 0.0); 4]; 2];
            for gamma in GAMMAS {
                for tile in 0..setting("WALK_POINTS", 8_192) / TILE as u32 {
                    let reach = [120.0, 12.0, 800.0, 1.0][tile as usize % 4];
                    let at = |i| (unit(tile * TILE as u32 + i) * 2.0 - 1.0) * reach;
                    let logits: Vec<f64> = (0..TILE as u32).map(at).collect();
                    hard::<f32>(isa, meaning, gamma, &logits, &mut worst[0]);
                    hard::<f64>(isa, meaning, gamma, &logits, &mut worst[1]);
                }
            }
            println!("{:9} hard {name}: {worst:.2?} ulp", isa.name());
            for worst in worst {
                for ((error, at), bound) in
                    worst.into_iter().zip(PROMISE.map(|(_, b)| b).into_iter().chain([8.0]))
                {
                    assert!(error <= bound, "{} {name}: {error} at {at}", isa.name());
                }
            }
        }
    }
}
