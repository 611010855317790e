//! Runs of any length through the kernels for labels of 0 and 1: they have the bits of their elements alone, and stop
//! where they are asked to.

use std::ptr::null;

use focalgrad::kernel::compiled::Compiled;
use focalgrad::kernel::elementwise::{Constants, Operands, output};
use focalgrad::kernel::tile::TILE;
use focalgrad::loss::focal::Gamma;
use focalgrad::simd::AnyIsa;

/// Three tiles and a little more.
const LEN: usize = 3 * TILE + 77;

fn logits() -> Vec<f32> {
    (0..LEN).map(|i| (i as f32 * 0.618_034).fract() * 60.0 - 30.0).collect()
}

fn labels() -> Vec<f32> {
    (0..LEN).map(|i| if i % 3 == 0 { 1.0 } else { 0.0 }).collect()
}

/// Losses and gradient, and how many elements were done.
fn run(isa: AnyIsa, gamma: f64, logits: &[f32], targets: &[f32], stops: bool) -> ([Vec<f32>; 2], usize) {
    let len = logits.len();
    let [mut value, mut grad] = [vec![-1.0; len], vec![-1.0; len]];
    let constants = Constants { gamma: Gamma::new(gamma), weights: [[0.75, 0.25]; 3] };
    let operands = Operands {
        len,
        logits: logits.as_ptr(),
        targets: targets.as_ptr(),
        weights: [[null(); 2]; 3],
        gammas: [null(); 2],
        value: value.as_mut_ptr(),
        grad: grad.as_mut_ptr(),
        hess: std::ptr::null_mut(),
        ahead: null(),
        stops,
    };
    let kernel = f32::kernel(gamma, output::VALUE | output::GRAD, false);
    // SAFETY: every operand that the kernel uses is `len` long.
    let done = unsafe { kernel(isa, &constants, &operands) };
    ([value, grad], done)
}

#[test]
fn a_long_run_has_the_bits_of_its_elements() {
    let (logits, targets) = (logits(), labels());
    for isa in AnyIsa::available() {
        for gamma in [0.0, 1.7, 2.0] {
            let (whole, done) = run(isa, gamma, &logits, &targets, true);
            assert_eq!(done, LEN);
            for i in 0..LEN {
                let (alone, _) = run(isa, gamma, &logits[i..=i], &targets[i..=i], true);
                for (whole, alone) in whole.iter().zip(&alone) {
                    assert_eq!(whole[i].to_bits(), alone[0].to_bits(), "{} {gamma} {i}", isa.name());
                }
            }
        }
    }
}

#[test]
fn a_kernel_stops_before_the_tile_of_another_label() {
    let logits = logits();
    for isa in AnyIsa::available() {
        for at in [0, 1, TILE - 1, TILE, 2 * TILE + 40, 3 * TILE, LEN - 1] {
            for label in [0.5, f32::NAN, -1.0, 2.0] {
                let mut targets = labels();
                targets[at] = label;
                let (results, done) = run(isa, 2.0, &logits, &targets, true);
                assert_eq!(done, at / TILE * TILE, "{} {at} {label}", isa.name());
                for result in &results {
                    assert!(result[..done].iter().all(|x| x.is_finite() && *x != -1.0));
                    assert!(result[done..].iter().all(|&x| x == -1.0), "written behind the end");
                }
                let (results, done) = run(isa, 2.0, &logits, &targets, false);
                assert_eq!(done, LEN);
                for result in results {
                    assert!(result.iter().enumerate().all(|(i, x)| x.is_nan() == (i == at)));
                }
            }
        }
    }
}
