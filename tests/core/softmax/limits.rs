//! Infinities, NaN, ignored rows, weights and options by class.

use focalgrad::kernel::output::{CURVATURE, GAUSS_NEWTON, GRAD, VALUE};
use focalgrad::kernel::rows::{Constants, Form, RowReal, Scratch};
use focalgrad::loss::focal::power;
use focalgrad::simd::AnyIsa;

use crate::harness::{Case, Random, Results, bits, row};

const INF: f64 = f64::INFINITY;

/// Runs `check` on the results of one row in every form, instruction set and element type.
fn each(z: &[f64], target: i64, weight: f64, check: impl Fn(&[f64], &[f64], &[f64])) {
    each_of::<f32>(z, target, weight, &check);
    each_of::<f64>(z, target, weight, &check);
}

fn each_of<R: RowReal>(z: &[f64], target: i64, weight: f64, check: &impl Fn(&[f64], &[f64], &[f64])) {
    let logits: Vec<R> = z.iter().map(|&z| R::from_f64(z)).collect();
    let (targets, weights) = ([target], [R::from_f64(weight)]);
    for isa in AnyIsa::available() {
        for gamma in [0.0, 1.7, 2.0] {
            for form in [Form::Columns, Form::Lines] {
                let case = Case {
                    form: Some(form),
                    weights: Some(&weights),
                    ..Case::new(z.len(), &logits, &targets, gamma)
                };
                let first = case.run(isa, VALUE | GRAD);
                let numbers = |x: &[R]| x.iter().map(|x| x.to_f64()).collect::<Vec<_>>();
                for hessian in [CURVATURE, GAUSS_NEWTON] {
                    let second = case.run(isa, GRAD | hessian);
                    check(&numbers(&first.value), &numbers(&first.grad), &numbers(&second.hess));
                }
            }
        }
    }
}

fn all_nan(value: &[f64], grad: &[f64], hess: &[f64]) {
    assert!(value.iter().chain(grad).chain(hess).all(|x| x.is_nan()), "{value:?} {grad:?} {hess:?}");
}

fn all_zero(value: &[f64], grad: &[f64], hess: &[f64]) {
    assert!(value.iter().chain(grad).chain(hess).all(|&x| x == 0.0), "{value:?} {grad:?} {hess:?}");
}

fn all_positive_zero(value: &[f64], grad: &[f64], hess: &[f64]) {
    assert!(value.iter().chain(grad).chain(hess).all(|x| x.to_bits() == 0), "{value:?} {grad:?} {hess:?}");
}

#[test]
fn rows_without_a_result_are_nan() {
    let nan = f64::NAN;
    for t in 0..4 {
        for k in 0..4 {
            let mut z = [0.5, -1.0, 2.0, 0.1];
            z[k] = nan;
            each(&z, t, 1.0, all_nan);
            each(&z, t, 0.0, all_nan);
            // Also beside infinities, which may hide it from a search for the largest.
            for filler in [INF, -INF] {
                let mut z = [filler; 4];
                z[k] = nan;
                each(&z, t, 1.0, all_nan);
            }
            let mut z = [0.5, -1.0, INF, nan];
            z.rotate_left(k);
            each(&z, t, 1.0, all_nan);
        }
        each(&[INF, 1.0, INF, 2.0], t, 1.0, all_nan);
        each(&[-INF; 4], t, 1.0, all_nan);
        each(&[INF; 4], t, 1.0, all_nan);
    }
    each(&[-INF], 0, 1.0, all_nan);
    each(&[f64::NAN], 0, 1.0, all_nan);
}

#[test]
fn one_infinity_is_the_limit() {
    each(&[1.0, INF, 2.0], 1, 3.0, all_zero);
    for finite in [2.0, f64::from(f32::MAX), -INF] {
        each(&[1.0, finite, INF], 0, 3.0, |value, grad, hess| {
            assert_eq!(value, [INF]);
            assert_eq!(grad, [-3.0, 0.0, 3.0]);
            assert!(hess.iter().all(|&h| h == 0.0), "{hess:?}");
        });
    }
    each(&[-INF, 0.0, 0.0], 0, 3.0, |value, grad, hess| {
        assert_eq!(value, [INF]);
        assert_eq!(grad, [-3.0, 1.5, 1.5]);
        assert_eq!(hess, [0.0, 0.75, 0.75]);
    });
    // No other class, or none with a probability.
    each(&[0.3], 0, 1.0, all_zero);
    each(&[INF], 0, 1.0, all_zero);
    each(&[-INF, -5.0, -INF], 1, 1.0, all_zero);
    each(&[-INF, f64::from(f32::MIN), -INF], 1, 1.0, all_zero);
}

#[test]
fn long_rows_have_the_same_limits() {
    let classes = 2 * f32::CHUNK + 50;
    let run = |places: &[(usize, f32)], target: i64| {
        let mut z = vec![0.25_f32; classes];
        for &(k, x) in places {
            z[k] = x;
        }
        Case::new(classes, &z, &[target], 2.0).run(AnyIsa::available()[0], VALUE | GRAD)
    };
    for k in [7, f32::CHUNK + 3, classes - 1] {
        for other in [0, f32::CHUNK, classes - 2] {
            let limit = run(&[(k, f32::INFINITY), (other, f32::MAX)], 100);
            assert_eq!(limit.value, [f32::INFINITY]);
            for (j, &grad) in limit.grad.iter().enumerate() {
                assert_eq!(
                    grad,
                    if j == k {
                        1.0
                    } else if j == 100 {
                        -1.0
                    } else {
                        0.0
                    },
                    "{j}"
                );
            }
            for bad in [f32::INFINITY, f32::NAN] {
                let none = run(&[(k, f32::INFINITY), (other, bad)], 100);
                assert!(none.value[0].is_nan() && none.grad.iter().all(|x| x.is_nan()));
                let none = run(&[(other, bad)], other as i64);
                assert!(none.value[0].is_nan() == bad.is_nan());
            }
        }
    }
}

#[test]
fn weights() {
    // A zero weight turns an infinite loss into 0.
    for zero in [0.0, -0.0] {
        each(&[-INF, 0.0, 0.0], 0, zero, all_zero);
    }
    each(&[1.0, 0.0, 0.0], 0, f64::NAN, all_nan);
    let logits = [1.0_f32, 0.0, -3.0];
    for isa in AnyIsa::available() {
        let one = Case::new(3, &logits, &[0], 2.0).run(isa, VALUE | GRAD);
        let weights = [-4.0_f32];
        let case = Case { weights: Some(&weights), ..Case::new(3, &logits, &[0], 2.0) };
        let minus_four = case.run(isa, VALUE | GRAD);
        assert_eq!(minus_four.value[0], -4.0 * one.value[0]);
        assert!(minus_four.grad.iter().zip(&one.grad).all(|(a, b)| *a == -4.0 * b));
        // Large ones do not overflow on the way.
        for (large, outputs) in [(1e38_f32, GRAD), (1e18, GRAD | CURVATURE), (1e18, GRAD | GAUSS_NEWTON)] {
            let weights = [large];
            let case = Case { weights: Some(&weights), ..Case::new(3, &logits, &[0], 2.0) };
            let Results { grad, hess, .. } = case.run(isa, outputs);
            assert!(grad.iter().chain(&hess).all(|x| x.is_finite() && *x != 0.0), "{grad:?} {hess:?}");
        }
    }
}

#[test]
fn ignored_rows_are_zero_whatever_they_hold() {
    for z in [[0.5, 1.0, 2.0], [f64::NAN, 1.0, 2.0], [INF, INF, 0.0], [-INF; 3], [1.0, INF, 0.0]] {
        for weight in [1.0, -2.0, f64::NAN] {
            each(&z, -1, weight, all_positive_zero);
        }
    }
    each(&[f64::NAN], -1, 1.0, all_positive_zero);
    // And leave their neighbours alone.
    let mut random = Random(1);
    let (z, target) = row(0, 20, &mut random);
    let z: Vec<f32> = z.into_iter().map(|z| z as f32).collect();
    let nan = [f32::NAN; 20];
    let logits = [nan.as_slice(), &z, &nan].concat();
    for isa in AnyIsa::available() {
        for form in [Form::Columns, Form::Lines] {
            let form = Some(form);
            let targets = [-1, target, i64::MIN];
            let three = Case { form, ..Case::new(20, &logits, &targets, 2.0) };
            let one = Case::new(20, &z, &[target], 2.0).run(isa, VALUE | GRAD);
            let Results { value, grad, .. } = three.run(isa, VALUE | GRAD);
            assert_eq!(bits(&value), bits(&[0.0, one.value[0], 0.0]));
            assert_eq!(bits(&grad[20..40]), bits(&one.grad));
            assert!(grad[..20].iter().chain(&grad[40..]).all(|x| x.to_bits() == 0));
        }
    }
}

#[test]
fn rows_may_have_weights_and_gammas_of_their_own() {
    let gammas: Vec<f64> = (0..100).map(|r| [0.0, 1.7, 2.0, 5.0, 0.3][r % 5]).collect();
    let weights: Vec<f32> = (0..100).map(|r| [0.5, 2.0, 0.0, 1.25][r % 4]).collect();
    let logits: Vec<f32> = (0..400).map(|i| (i as f32 * 0.618).fract() * 12.0 - 6.0).collect();
    let targets: Vec<i64> = (0..100).map(|r| [0, 1, 2, 3, -1][r % 5]).collect();
    for isa in AnyIsa::available() {
        let (weights, gammas) = (Some(weights.as_slice()), Some(gammas.as_slice()));
        let case = Case { weights, gammas, ..Case::new(4, &logits, &targets, 9.0) };
        let (all, hess) = (case.run(isa, VALUE | GRAD), case.run(isa, GRAD | CURVATURE).hess);
        for r in 0..100 {
            let constants = Constants {
                power: power::GENERAL,
                value: weights.unwrap()[r],
                grad: weights.unwrap()[r],
                hess: weights.unwrap()[r],
                ..Constants::new(gammas.unwrap()[r])
            };
            let one = Case::new(4, &logits[4 * r..4 * r + 4], &targets[r..=r], 9.0);
            let expected = one.run_with(isa, VALUE | GRAD, &constants, &mut Scratch::new());
            assert_eq!(bits(&all.value[r..=r]), bits(&expected.value));
            assert_eq!(bits(&all.factor[r..=r]), bits(&expected.factor));
            assert_eq!(bits(&all.grad[4 * r..4 * r + 4]), bits(&expected.grad));
            let expected = one.run_with(isa, GRAD | CURVATURE, &constants, &mut Scratch::new());
            assert_eq!(bits(&hess[4 * r..4 * r + 4]), bits(&expected.hess));
        }
    }
}

#[test]
fn shares_sum_to_one() {
    let mut random = Random(5);
    for classes in [2, 7, 50, 3000] {
        let (z, target) = row(0, classes, &mut random);
        let z: Vec<f32> = z.into_iter().map(|z| z as f32).collect();
        for isa in AnyIsa::available() {
            let grad = Case::new(classes, &z, &[target], 2.0).run(isa, VALUE | GRAD).grad;
            let sum: f64 = grad.iter().map(|&x| f64::from(x)).sum();
            let size: f64 = grad.iter().map(|&x| f64::from(x.abs())).sum();
            assert!(sum.abs() < 3e-7 * size, "{classes}: {sum} of {size}");
        }
    }
}
