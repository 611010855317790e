//! How far float32 results are from the truth, in ulp, over a sample of all logits.
//!
//! The oracle is the same formula in float64 from the platform's exp and log1p, good to about 2^-50.

use focalgrad::kernel::elementwise::{Constants, Operands, Weights, kernel, output};
use focalgrad::kernel::tile::TILE;
use focalgrad::loss::focal::Gamma;
use focalgrad::simd::AnyIsa;

/// f, f', f'' and the size that errors of f'' are counted at, for a positive target at logit z.
fn oracle(z: f64, g: f64) -> [f64; 4] {
    let e = (-z.abs()).exp();
    let (small, large) = (e / (1.0 + e), 1.0 / (1.0 + e));
    let (p, q) = if z >= 0.0 { (large, small) } else { (small, large) };
    let l = e.ln_1p();
    let loss = (-z).max(0.0) + l;
    let t = (-g * (z.max(0.0) + l)).exp();
    let slope = if p == 0.0 { q } else { q + g * p * loss };
    let curvature =
        if p == 0.0 { 0.0 } else { p * t * (q * ((1.0 + 2.0 * g) - g * loss) + g * g * p * loss) };
    [t * loss, -t * slope, curvature, (1.0 + g) * p * t * slope]
}

fn ulp(x: f64) -> f64 {
    let x = x.abs().max(f64::from(f32::MIN_POSITIVE));
    2.0_f64.powi(x.log2().floor() as i32 - 23)
}

/// Largest errors of value, gradient and Hessian, and where.
fn worst(isa: AnyIsa, gamma: f64, logits: &[f32]) -> [(f64, f32); 3] {
    let one = Weights::new([1.0, 1.0]);
    let constants =
        Constants { gamma: Gamma::new(gamma), value: one, grad: Weights::new([1.0, -1.0]), hess: one };
    let mut found = [(0.0, 0.0); 3];
    for x in logits.chunks(TILE) {
        let targets = [1.0_f32; TILE];
        let mut out = [[0.0_f32; TILE]; 3];
        let [value, grad, hess] = out.each_mut().map(|row| row.as_mut_ptr());
        let operands = Operands {
            len: x.len(),
            logits: x.as_ptr(),
            targets: targets.as_ptr(),
            weights: [std::ptr::null(); 3],
            value,
            grad,
            hess,
        };
        for outputs in [output::VALUE, output::GRAD | output::CURVATURE] {
            // SAFETY: all arrays hold a tile.
            unsafe { kernel::<f32>(gamma, outputs, false)(isa, &constants, &operands) };
        }
        for (i, &z) in x.iter().enumerate() {
            let truth = oracle(f64::from(z), gamma);
            for k in 0..3 {
                let unit = if k == 2 { ulp(truth[2].abs().max(truth[3] / 2.0)) } else { ulp(truth[k]) };
                let got = f64::from(out[k][i]);
                let error = if got == truth[k] { 0.0 } else { (got - truth[k]).abs() / unit };
                if error > found[k].0 || error.is_nan() {
                    found[k] = (error, z);
                }
            }
        }
    }
    found
}

#[test]
fn float32_results_keep_the_promise_over_a_sample_of_all_logits() {
    // Every 4099th bit pattern, both signs, NaN left out.
    let logits: Vec<f32> =
        (0..=u32::MAX).step_by(1999).map(f32::from_bits).filter(|x| x.is_finite()).collect();
    // And densely where things happen.
    let dense: Vec<f32> = (0..2_000_000).map(|i| (i as f32 - 1e6) * 1.2e-4 + 1e-7 * (i % 7) as f32).collect();
    for isa in AnyIsa::available() {
        for gamma in [0.0, 0.5, 1.0, 1.7, 2.0, 3.0, 5.0] {
            let a = worst(isa, gamma, &logits);
            let b = worst(isa, gamma, &dense);
            println!("{:9} gamma {gamma}: {:.2?} {:.2?}", isa.name(), a, b);
            for k in 0..3 {
                let bound = [8.0, 10.0, 12.0][k];
                assert!(a[k].0 <= bound && b[k].0 <= bound, "{} {gamma} {k}: {a:?} {b:?}", isa.name());
            }
        }
    }
}
