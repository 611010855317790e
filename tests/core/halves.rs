//! Every float16 and every bfloat16 there is as a logit: results within 0.51 ulp of their own type.

mod oracle;

use focalgrad::element::DType;
use focalgrad::kernel::tile::TILE;
use focalgrad::simd::AnyIsa;
use oracle::run::{Results, gauss_newton, plain};
use oracle::{GAMMAS, PROMISE};
use rayon::prelude::*;

const BOUND: f64 = 0.51;

/// Logits of a half type through the kernels of float32 and back, against the float64 kernels, whose own error is
/// some 2^-26 ulp of float32. The error of the value, the gradient or the Hessian, and the logit.
type Worst = [(f64, f32); 3];

/// Significant bits, the exponent of the smallest normal number, and the largest number.
fn format(dtype: DType) -> (i32, i32, f64) {
    if dtype == DType::Float16 { (11, -14, 65504.0) } else { (8, -126, 255.0 * 2.0_f64.powi(120)) }
}

/// The numbers that bit patterns of a half type stand for.
fn widened(isa: AnyIsa, dtype: DType, patterns: &[u16]) -> Vec<f32> {
    let mut wide = vec![0.0; patterns.len()];
    // SAFETY: both arrays hold as many elements.
    unsafe { dtype.widen::<f32>()(isa, patterns.as_ptr().cast(), wide.as_mut_ptr(), patterns.len()) };
    wide
}

/// The distance in ulp of the half type, counted at `size`.
fn error(dtype: DType, got: f32, truth: f64, size: f64) -> f64 {
    let (bits, lowest, largest) = format(dtype);
    let unit = |size: f64| {
        let exponent = (size.to_bits() >> 52) as i32 - 1023;
        2.0_f64.powi(exponent.clamp(lowest, 1024) - (bits - 1))
    };
    let got = f64::from(got);
    // Beyond half a unit from the largest number infinity is the nearest.
    if got == truth || (got.is_infinite() && truth.abs() >= largest + unit(largest) / 2.0) {
        return 0.0;
    }
    (got - truth).abs() / unit(size)
}

fn tile(isa: AnyIsa, dtype: DType, gamma: f64, patterns: &[u16], target: f32) -> Worst {
    let len = patterns.len();
    let logits = widened(isa, dtype, patterns);
    let sign = if target == 1.0 { 1.0 } else { -1.0 };
    let margins: Vec<f64> = logits.iter().map(|&x| sign * f64::from(x)).collect();
    let mut got: Results<f32> = [[0.0; TILE]; 3];
    let mut truth: Results<f64> = [[0.0; TILE]; 3];
    let mut surrogate: Results<f64> = [[0.0; TILE]; 3];
    plain(isa, gamma, &logits, target, &mut got);
    plain(isa, gamma, &margins, 1.0, &mut truth);
    gauss_newton(isa, gamma, &margins, &mut surrogate);
    std::array::from_fn(|which| {
        let mut rounded = [0_u16; TILE];
        let narrow = dtype.narrow::<f32>().expect("a half type");
        // SAFETY: both arrays hold a tile.
        unsafe { narrow(isa, got[which].as_ptr(), rounded.as_mut_ptr().cast(), TILE) };
        let results = widened(isa, dtype, &rounded);
        let mut worst = (0.0, 0.0);
        for i in (0..len).filter(|&i| !logits[i].is_nan()) {
            let truth = if which == 1 { sign * truth[1][i] } else { truth[which][i] };
            let upper = if which == 2 { 0.5 * (1.0 + gamma) * surrogate[2][i] } else { 0.0 };
            let error = error(dtype, results[i], truth, truth.abs().max(upper));
            if error > worst.0 || error.is_nan() {
                worst = (error, logits[i]);
            }
        }
        worst
    })
}

#[test]
fn every_half_keeps_the_promise() {
    let patterns: Vec<u16> = (0..=u16::MAX).collect();
    let larger = |a: Worst, b: Worst| {
        std::array::from_fn(|k| if b[k].0 > a[k].0 || b[k].0.is_nan() { b[k] } else { a[k] })
    };
    for isa in AnyIsa::available() {
        for dtype in [DType::Float16, DType::BFloat16] {
            for gamma in GAMMAS {
                let tiles = patterns.par_chunks(TILE).flat_map_iter(|tile| [(tile, 0.0), (tile, 1.0)]);
                let errors = tiles.map(|(patterns, target)| tile(isa, dtype, gamma, patterns, target));
                let worst = errors.reduce(Worst::default, larger);
                for ((error, at), (name, _)) in worst.into_iter().zip(PROMISE) {
                    let line = format!("{:9} {} gamma {gamma} {name}", isa.name(), dtype.name());
                    println!("{line}: {error:.4} ulp at {at:e}");
                    assert!(error <= BOUND, "{line}: {error} at {at:e}");
                }
            }
        }
    }
}
