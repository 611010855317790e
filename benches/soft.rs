//! Time of the kernels for soft labels in cache, beside that of the kernel for hard ones.
//!
//! `cargo bench --no-default-features --bench soft -- avx512/f32` picks some.

use std::ptr::null_mut;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use focalgrad::kernel::compiled::Compiled;
use focalgrad::kernel::operands::{Constants, Operands};
use focalgrad::kernel::output::{self, Set};
use focalgrad::kernel::soft::Options;
use focalgrad::kernel::tile::TILE;
use focalgrad::params::SoftTargets;
use focalgrad::simd::AnyIsa;

const MEANINGS: [(&str, SoftTargets); 3] = [
    ("mixture", SoftTargets::Mixture),
    ("expected", SoftTargets::Expected),
    ("quality", SoftTargets::Quality),
];

const OUTPUTS: [(&str, Set); 3] =
    [("value", Set::Value), ("value+grad", Set::ValueAndGrad), ("grad+hess", Set::GradAndCurvature)];

fn kernels_of<R: Compiled>(criterion: &mut Criterion, name: &str) {
    let spread = |i: usize| (i as f64 * 0.618_034).fract();
    let logits: Vec<R> = (0..TILE).map(|i| R::from_f64(spread(i) * 16.0 - 8.0)).collect();
    let targets: Vec<R> = (0..TILE).map(|i| R::from_f64(spread(i * 7 + 1))).collect();
    let hard: Vec<R> = (0..TILE).map(|i| R::from_f64(f64::from(u8::from(i % 10 == 0)))).collect();
    let weights = [vec![R::ONE; TILE], vec![R::ONE; TILE]];
    let weights = [weights.each_ref().map(|row| row.as_ptr()); 3];
    let mut results = [vec![R::ZERO; TILE], vec![R::ZERO; TILE], vec![R::ZERO; TILE]];
    let rows = results.each_mut().map(|row| row.as_mut_ptr());
    let gamma = 1.7;
    for isa in AnyIsa::available() {
        let mut group = criterion.benchmark_group(format!("{}/{name}", isa.name()));
        group.throughput(Throughput::Elements(TILE as u64));
        for (label, outputs) in OUTPUTS {
            let pick = |flag: u8, row: *mut R| if outputs.has(flag) { row } else { null_mut() };
            let (value, grad) = (pick(output::VALUE, rows[0]), pick(output::GRAD, rows[1]));
            let hess = pick(output::CURVATURE, rows[2]);
            let len = TILE;
            let (logits, targets) = (logits.as_ptr(), targets.as_ptr());
            let constants = Constants::new(gamma, [R::ONE; 2]);
            let targets_of_hard = hard.as_ptr();
            let operands = Operands {
                len,
                logits,
                targets: targets_of_hard,
                weights,
                value,
                grad,
                hess,
                ..Operands::NONE
            };
            let kernel = R::kernel(gamma, outputs);
            group.bench_function(format!("hard/{label}"), |bencher| {
                // SAFETY: every operand holds a tile.
                bencher.iter(|| unsafe { kernel(isa, &constants, &operands) });
            });
            for (meaning_name, meaning) in MEANINGS {
                for (probabilities, input) in [(false, ""), (true, " of probabilities")] {
                    let kernel = R::soft_kernel(meaning, probabilities);
                    let options = Options::new(meaning);
                    let operands = Operands {
                        len,
                        logits: if probabilities { targets } else { logits },
                        targets,
                        weights,
                        value,
                        grad,
                        hess,
                        ..Operands::NONE
                    };
                    group.bench_function(format!("{meaning_name}{input}/{label}"), |bencher| {
                        // SAFETY: every operand holds a tile, or is null where it may be.
                        bencher.iter(|| unsafe { kernel(isa, &constants, &options, &operands) });
                    });
                }
            }
        }
        group.finish();
    }
}

fn kernels(criterion: &mut Criterion) {
    kernels_of::<f32>(criterion, "f32");
    kernels_of::<f64>(criterion, "f64");
}

criterion_group!(benches, kernels);
criterion_main!(benches);
