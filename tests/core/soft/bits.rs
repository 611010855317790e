//! Bits depend neither on the place in a tile nor on neighbours, nor on the instruction set if it has a fused
//! multiply-add.

use std::ptr::null_mut;

use focalgrad::kernel::compiled::Compiled;
use focalgrad::kernel::labels::{Kinds, kinds};
use focalgrad::kernel::mixed::Mixed;
use focalgrad::kernel::operands::{Constants, Operands};
use focalgrad::kernel::output::{self, Set};
use focalgrad::simd::AnyIsa;

use crate::harness::{Call, MEANINGS, same, spread};

fn logits(len: usize) -> Vec<f32> {
    (0..len).map(|i| (spread(i) * 40.0 - 20.0) as f32).collect()
}

#[test]
fn every_length_and_instruction_set_gives_the_same_bits() {
    for probabilities in [false, true] {
        let x: Vec<f32> = (0..130)
            .map(|i| if probabilities { spread(i) as f32 } else { (spread(i) * 200.0 - 100.0) as f32 })
            .collect();
        let y: Vec<f32> =
            (0..130).map(|i| if i % 3 == 0 { (i % 2) as f32 } else { spread(3 * i) as f32 }).collect();
        for (_, meaning) in MEANINGS {
            let call = Call { probabilities, smoothing: 0.1, ..Call::plain(meaning, 1.7) };
            let fused = AnyIsa::available().into_iter().filter(|isa| isa.name() != "portable");
            let all: Vec<_> = fused.map(|isa| call.run(isa, &x, &y)).collect();
            for other in &all {
                assert!(other.iter().zip(&all[0]).all(|(a, b)| same(a, b)), "{call:?}");
            }
            for isa in AnyIsa::available() {
                let whole = call.run(isa, &x, &y);
                for len in 0..=130 {
                    let part = call.run(isa, &x[..len], &y[..len]);
                    assert!(part.iter().zip(&whole).all(|(a, b)| same(a, &b[..len])), "{} {len}", isa.name());
                }
            }
        }
    }
}

/// Value, gradient and Hessian of one tile through both kernels.
fn mixed(isa: AnyIsa, call: &Call, x: &[f32], y: &[f32]) -> [Vec<f32>; 3] {
    let mut results = [(); 3].map(|()| vec![0.0; x.len()]);
    let [value, grad, hess] = results.each_mut().map(|row| row.as_mut_ptr());
    // The value by a call of its own: no kernel for hard labels has all three outputs.
    for outputs in [Set::Value, Set::GradAndCurvature] {
        let (hard, soft) = (f32::kernel(call.gamma, outputs), f32::soft_kernel(call.meaning, false));
        let (constants, options) = (&call.constants(), &call.options());
        let pick = |flag, row: *mut f32| if outputs.has(flag) { row } else { null_mut() };
        let operands = Operands {
            len: x.len(),
            logits: x.as_ptr(),
            targets: y.as_ptr(),
            value: pick(output::VALUE, value),
            grad: pick(output::GRAD, grad),
            hess: pick(output::CURVATURE, hess),
            ..Operands::NONE
        };
        // SAFETY: every operand is as long as `x`, less than a tile, or null.
        unsafe {
            match kinds(isa, y, None) {
                Kinds::Hard => {
                    hard(isa, constants, &operands);
                }
                Kinds::Soft => soft(isa, constants, options, &operands),
                Kinds::Both => Mixed { hard, soft, options, constants }.run(isa, &operands),
            }
        }
    }
    results
}

#[test]
fn hard_labels_have_the_same_bits_among_soft_ones() {
    let x = logits(300);
    let hard: Vec<f32> = (0..300).map(|i| (i % 2) as f32).collect();
    let some: Vec<f32> =
        hard.iter().enumerate().map(|(i, &y)| if i % 3 == 0 { spread(i + 1) as f32 } else { y }).collect();
    for isa in AnyIsa::available() {
        for (_, meaning) in MEANINGS {
            for gamma in [0.0, 1.7, 2.0] {
                let call = Call { weights: [0.75, 0.25], ..Call::plain(meaning, gamma) };
                let (a, b) = (mixed(isa, &call, &x, &hard), mixed(isa, &call, &x, &some));
                let soft = call.run(isa, &x, &some);
                for k in 0..3 {
                    for i in 0..x.len() {
                        let want = if i % 3 == 0 { soft[k][i] } else { a[k][i] };
                        assert_eq!(b[k][i].to_bits(), want.to_bits(), "{} {call:?} {k} {i}", isa.name());
                    }
                }
            }
        }
    }
}

#[test]
fn gammas_of_their_own_equal_one_gamma_for_all() {
    let x = logits(200);
    let y: Vec<f32> = (0..200).map(|i| (i % 2) as f32).collect();
    let gammas = [0.5, 1.7, 4.25];
    let of = |i: usize| gammas[i % 3];
    let hi: Vec<f32> = (0..200).map(|i| of(i) as f32).collect();
    let lo: Vec<f32> = (0..200).map(|i| (of(i) - f64::from(of(i) as f32)) as f32).collect();
    let ones = vec![1.0_f32; 200];
    let outputs = Set::GradAndCurvature;
    for isa in AnyIsa::available() {
        let run = |gamma: Option<f64>| {
            let mut out = [vec![0.0_f32; 200], vec![0.0_f32; 200]];
            let [grad, hess] = out.each_mut().map(|row| row.as_mut_ptr());
            let constants = Constants::new(gamma.unwrap_or(0.0), [1.0; 2]);
            let operands = Operands {
                len: 200,
                logits: x.as_ptr(),
                targets: y.as_ptr(),
                weights: [[ones.as_ptr(); 2]; 3],
                gammas: [hi.as_ptr(), lo.as_ptr()],
                grad,
                hess,
                ..Operands::NONE
            };
            let kernel = gamma.map_or(f32::kernel_of_gammas(outputs), |gamma| f32::kernel(gamma, outputs));
            // SAFETY: every operand that the kernel uses is 200 long.
            unsafe { kernel(isa, &constants, &operands) };
            out
        };
        let own = run(None);
        let each = gammas.map(|gamma| run(Some(gamma)));
        for i in 0..200 {
            for k in 0..2 {
                assert_eq!(own[k][i].to_bits(), each[i % 3][k][i].to_bits(), "{} {k} {i}", isa.name());
            }
        }
    }
}
