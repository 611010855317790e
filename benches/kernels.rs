//! Time of the kernels in cache, for every instruction set, element type, gamma and set of outputs.
//!
//! `cargo bench --no-default-features -- avx512/f32` picks some.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use focalgrad::kernel::compiled::Compiled;
use focalgrad::kernel::exact_tile::{ExactTileSum, Summable};
use focalgrad::kernel::operands::{Constants, Operands};
use focalgrad::kernel::output::Set;
use focalgrad::kernel::reduce::TileSum;
use focalgrad::kernel::tile::TILE;
use focalgrad::loss::focal::Gamma;
use focalgrad::simd::AnyIsa;

const OUTPUTS: [(&str, Set); 5] = [
    ("value", Set::Value),
    ("grad", Set::Grad),
    ("value+grad", Set::ValueAndGrad),
    ("grad+hess", Set::GradAndCurvature),
    ("grad+gauss_newton", Set::GradAndGaussNewton),
];

fn kernels_of<R: Compiled + Summable>(criterion: &mut Criterion, name: &str) {
    // A golden-ratio sequence over [-8, 8): every regime, no pattern for the branch predictor.
    let logits: Vec<R> =
        (0..TILE).map(|i| R::from_f64((i as f64 * 0.618_034).fract() * 16.0 - 8.0)).collect();
    let targets: Vec<R> = (0..TILE).map(|i| R::from_f64(f64::from(u8::from(i % 10 == 0)))).collect();
    for isa in AnyIsa::available() {
        let mut group = criterion.benchmark_group(format!("{}/{name}", isa.name()));
        group.throughput(Throughput::Elements(TILE as u64));
        for gamma in [0.0, 1.0, 2.0, 3.0, 1.7] {
            for (label, outputs) in OUTPUTS {
                let run = R::kernel(gamma, outputs);
                let weights = [[0.75, 0.25].map(R::from_f64); 3];
                let constants = Constants { gamma: Gamma::new(gamma), weights, ignored: None };
                let mut results = [vec![R::ZERO; TILE], vec![R::ZERO; TILE], vec![R::ZERO; TILE]];
                let [value, grad, hess] = results.each_mut().map(|row| row.as_mut_ptr());
                let operands = Operands {
                    len: TILE,
                    logits: logits.as_ptr(),
                    targets: targets.as_ptr(),
                    value,
                    grad,
                    hess,
                    ..Operands::NONE
                };
                group.bench_function(format!("gamma {gamma}/{label}"), |bencher| {
                    // SAFETY: every operand holds a tile.
                    bencher.iter(|| unsafe { run(isa, &constants, &operands) });
                });
            }
        }
        group.bench_function("sum", |bencher| bencher.iter(|| isa.vectorize(TileSum(&logits))));
        group.bench_function("exact sum", |bencher| bencher.iter(|| isa.vectorize(ExactTileSum(&logits))));
        group.finish();
    }
}

fn kernels(criterion: &mut Criterion) {
    kernels_of::<f32>(criterion, "f32");
    kernels_of::<f64>(criterion, "f64");
}

criterion_group!(benches, kernels);
criterion_main!(benches);
