//! Results depend on the numbers alone: not on the layout, the instruction set, the neighbours or what
//! else is asked for.

use focalgrad::kernel::output::{CURVATURE, GAUSS_NEWTON, GRAD, VALUE};
use focalgrad::kernel::rows::{Form, RowReal, Scratch};
use focalgrad::simd::AnyIsa;

use crate::harness::{Case, KINDS, Random, Results, bits, row};

fn rows_of<R: RowReal>(rows: usize, classes: usize, seed: u64) -> (Vec<R>, Vec<i64>) {
    let mut random = Random(seed);
    let (mut logits, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let (z, target) = row(random.below(KINDS), classes, &mut random);
        logits.extend(z.into_iter().map(R::from_f64));
        targets.push(target);
    }
    (logits, targets)
}

fn same<R: RowReal>(a: &Results<R>, b: &Results<R>, what: &str) {
    assert!(bits(&a.value) == bits(&b.value), "{what}: value");
    assert!(bits(&a.factor) == bits(&b.factor), "{what}: modulating factor");
    assert!(bits(&a.grad) == bits(&b.grad), "{what}: gradient");
    assert!(bits(&a.hess) == bits(&b.hess), "{what}: Hessian");
}

/// (rows, classes): every number of classes around a group of lanes, tails of rows, long rows.
fn shapes<R: RowReal>() -> Vec<(usize, usize)> {
    let mut shapes: Vec<_> = (1..=70).map(|classes| (1 + classes * 7 % 71, classes)).collect();
    shapes.extend((1..=70).map(|rows| (rows, 3)));
    shapes.extend([(300, 10), (600, 2), (20, 100), (70, 257), (3, 1000), (2, 4099)]);
    shapes.extend([(2, R::CHUNK), (3, R::CHUNK + 1), (2, 2 * R::CHUNK + 77)]);
    shapes
}

fn layouts_agree<R: RowReal>() {
    let mut scratch = Scratch::new();
    for (rows, classes) in shapes::<R>() {
        let (logits, targets) = rows_of::<R>(rows, classes, 12345 + classes as u64);
        let weights: Vec<R> = (0..rows).map(|i| R::from_f64(0.25 + i as f64)).collect();
        for gamma in [2.0, 1.7] {
            let plain = Case { weights: Some(&weights), ..Case::new(classes, &logits, &targets, gamma) };
            for isa in AnyIsa::available() {
                for outputs in [VALUE | GRAD, GRAD | CURVATURE] {
                    let mut run =
                        |case: &Case<R>| case.run_with(isa, outputs, &case.constants(), &mut scratch);
                    let expected = run(&plain);
                    for form in [Form::Columns, Form::Lines] {
                        for class_first in [false, true] {
                            for streamed in [false, true] {
                                let case = Case { form: Some(form), class_first, streamed, ..plain.clone() };
                                let what =
                                    format!("{} {rows} x {classes} {form:?} {class_first}", isa.name());
                                same(&run(&case), &expected, &what);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn layouts_agree_in_float32() {
    layouts_agree::<f32>();
}

#[test]
fn layouts_agree_in_float64() {
    layouts_agree::<f64>();
}

fn sets_agree<R: RowReal>() {
    // Without a fused multiply-add the portable set rounds more often.
    let sets: Vec<AnyIsa> = AnyIsa::available().into_iter().filter(|isa| isa.name() != "portable").collect();
    for (rows, classes) in shapes::<R>() {
        let (logits, targets) = rows_of::<R>(rows, classes, 777 + classes as u64);
        for gamma in [0.0, 1.0, 2.0, 3.0, 1.7] {
            for outputs in [VALUE | GRAD, GRAD | CURVATURE, GRAD | GAUSS_NEWTON] {
                let case = Case::new(classes, &logits, &targets, gamma);
                let results: Vec<_> = sets.iter().map(|&isa| case.run(isa, outputs)).collect();
                for (isa, result) in sets.iter().zip(&results) {
                    same(result, &results[0], &format!("{} {rows} x {classes}", isa.name()));
                }
            }
        }
    }
}

#[test]
fn instruction_sets_agree_in_float32() {
    sets_agree::<f32>();
}

#[test]
fn instruction_sets_agree_in_float64() {
    sets_agree::<f64>();
}

#[test]
fn single_and_fused_calls_agree() {
    for isa in AnyIsa::available() {
        for (rows, classes) in [(40, 5), (9, 300), (2, 40_000)] {
            let (logits, targets) = rows_of::<f32>(rows, classes, 99);
            let case = Case::new(classes, &logits, &targets, 2.0);
            let fused = case.run(isa, VALUE | GRAD);
            assert_eq!(bits(&case.run(isa, VALUE).value), bits(&fused.value));
            for outputs in [GRAD, GRAD | CURVATURE, GRAD | GAUSS_NEWTON] {
                assert_eq!(bits(&case.run(isa, outputs).grad), bits(&fused.grad));
            }
            let both = case.run(isa, GRAD | CURVATURE);
            assert_eq!(bits(&case.run(isa, CURVATURE).hess), bits(&both.hess));
        }
    }
}

#[test]
fn a_row_knows_nothing_of_its_neighbours() {
    let (logits, targets) = rows_of::<f32>(150, 10, 4242);
    for isa in AnyIsa::available() {
        let all = Case::new(10, &logits, &targets, 1.7).run(isa, VALUE | GRAD);
        for r in 0..150 {
            let one =
                Case::new(10, &logits[10 * r..10 * r + 10], &targets[r..=r], 1.7).run(isa, VALUE | GRAD);
            assert_eq!(bits(&one.value), bits(&all.value[r..=r]));
            assert_eq!(bits(&one.grad), bits(&all.grad[10 * r..10 * r + 10]));
        }
    }
}
