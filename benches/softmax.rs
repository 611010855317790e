//! Time of the softmax loss a logit, in cache and from memory, against a plain copy.
//!
//! `cargo bench --no-default-features --bench softmax -- avx512/f32` picks some.

use std::ptr::{null, null_mut};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use focalgrad::kernel::output;
use focalgrad::kernel::rows::{Constants, DenseOperands, Matrix, Operands, RowReal, Scratch};
use focalgrad::simd::AnyIsa;

const CLASSES: [usize; 8] = [2, 3, 10, 21, 80, 100, 1000, 32_000];

const OUTPUTS: [(&str, u8); 3] = [
    ("value", output::VALUE),
    ("value+grad", output::VALUE | output::GRAD),
    ("grad+hess", output::GRAD | output::CURVATURE),
];

/// Logits in all: in the second-level cache, or in none.
const SIZES: [(&str, usize); 2] = [("cache", 1 << 16), ("memory", 1 << 24)];

fn rows_of<R: RowReal>(criterion: &mut Criterion, name: &str) {
    for (place, size) in SIZES {
        // A golden-ratio sequence over [-8, 8): every regime, no pattern for the branch predictor.
        let logits: Vec<R> =
            (0..size).map(|i| R::from_f64((i as f64 * 0.618_034).fract() * 16.0 - 8.0)).collect();
        let mut results = [vec![R::ZERO; size], vec![R::ZERO; size]];
        let mut values = vec![R::ZERO; size];
        for isa in AnyIsa::available() {
            let mut group = criterion.benchmark_group(format!("{}/{name}/{place}", isa.name()));
            group.sample_size(20);
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function("copy", |bencher| bencher.iter(|| results[0].copy_from_slice(&logits)));
            for classes in CLASSES {
                let rows = size / classes;
                let targets: Vec<i64> = (0..rows as i64).map(|i| i * 7919 % classes as i64).collect();
                for class_first in [false, true] {
                    // As in an image: planes of positions.
                    let (row, class, order) =
                        if class_first { (1, rows as isize, "first") } else { (classes as isize, 1, "last") };
                    for (label, outputs) in OUTPUTS {
                        let [grad, hess] =
                            results.each_mut().map(|array| Matrix { data: array.as_mut_ptr(), row, class });
                        let operands = Operands {
                            rows,
                            classes,
                            logits: Matrix { data: logits.as_ptr(), row, class },
                            targets: targets.as_ptr(),
                            weights: [null(); 3],
                            gammas: [null(); 3],
                            value: values.as_mut_ptr(),
                            factor: null_mut(),
                            grad,
                            hess,
                            streamed: place == "memory",
                        };
                        let constants = Constants::new(2.0);
                        let mut scratch = Scratch::new();
                        group.bench_function(format!("C {classes} {order}/{label}"), |bencher| {
                            // SAFETY: all arrays hold rows times classes elements.
                            bencher.iter(|| unsafe {
                                R::run(isa, &constants, &operands, outputs, None, &mut scratch);
                            });
                        });
                    }
                }
            }
            group.finish();
        }
    }
}

/// A target for every class, in cache.
fn dense_of<R: RowReal>(criterion: &mut Criterion, name: &str) {
    let size = SIZES[0].1;
    let logits: Vec<R> =
        (0..size).map(|i| R::from_f64((i as f64 * 0.618_034).fract() * 16.0 - 8.0)).collect();
    let mut results = [vec![R::ZERO; size], vec![R::ZERO; size]];
    let mut values = vec![R::ZERO; size];
    for isa in AnyIsa::available() {
        let mut group = criterion.benchmark_group(format!("{}/{name}/dense", isa.name()));
        group.sample_size(20);
        group.throughput(Throughput::Elements(size as u64));
        for classes in CLASSES {
            let (rows, row) = (size / classes, classes as isize);
            let targets: Vec<R> = (0..size)
                .map(|i| R::from_f64(if i % classes == i / classes % classes { 1.0 } else { 0.0 }))
                .collect();
            for (gamma, (label, outputs)) in [2.0, 1.7].into_iter().flat_map(|g| OUTPUTS.map(|o| (g, o))) {
                let [grad, hess] =
                    results.each_mut().map(|array| Matrix { data: array.as_mut_ptr(), row, class: 1 });
                let operands = DenseOperands {
                    rows,
                    classes,
                    logits: Matrix { data: logits.as_ptr(), row, class: 1 },
                    targets: Matrix { data: targets.as_ptr(), row, class: 1 },
                    smoothing: [R::ONE, R::ZERO],
                    alphas: null(),
                    gammas: [null(); 3],
                    weights: [null(); 3],
                    upper: false,
                    value: values.as_mut_ptr(),
                    factor: null_mut(),
                    grad,
                    hess,
                    streamed: false,
                };
                let (constants, mut scratch) = (Constants::new(gamma), Scratch::new());
                group.bench_function(format!("C {classes} gamma {gamma}/{label}"), |bencher| {
                    // SAFETY: all arrays hold rows times classes elements.
                    bencher.iter(|| unsafe {
                        R::run_dense(isa, &constants, &operands, outputs, None, &mut scratch);
                    });
                });
            }
        }
        group.finish();
    }
}

fn rows(criterion: &mut Criterion) {
    rows_of::<f32>(criterion, "f32");
    rows_of::<f64>(criterion, "f64");
    dense_of::<f32>(criterion, "f32");
    dense_of::<f64>(criterion, "f64");
}

criterion_group!(benches, rows);
criterion_main!(benches);
