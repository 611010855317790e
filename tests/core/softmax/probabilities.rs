//! Rows of probabilities.

use std::ptr::null;

use focalgrad::kernel::output::{CURVATURE, GRAD, VALUE};
use focalgrad::kernel::rows::{Constants, DenseOperands, Form, Matrix, Operands, RowReal, Scratch};
use focalgrad::simd::AnyIsa;

use crate::harness::{Random, Results, bits, ulps};
use crate::oracle::dd::Dd;
use crate::truth::Number;

const ALL: u8 = VALUE | GRAD | CURVATURE;

/// Rows of probabilities with targets of both kinds.
struct Case<'a, R> {
    classes: usize,
    p: &'a [R],
    /// One class a row.
    targets: &'a [i64],
    /// The same as numbers, or others.
    y: &'a [R],
    bounds: Option<[R; 2]>,
    constants: Constants<R>,
    form: Option<Form>,
}

impl<R: RowReal> Case<'_, R> {
    fn run(&self, isa: AnyIsa, dense: bool) -> Results<R> {
        let (rows, classes) = (self.p.len() / self.classes, self.classes);
        let [mut value, mut factor] = [vec![R::NAN; rows], vec![R::NAN; rows]];
        let [mut grad, mut hess] = [vec![R::NAN; self.p.len()], vec![R::NAN; self.p.len()]];
        let at = |data| Matrix { data, row: classes as isize, class: 1 };
        let to = |data| Matrix { data, row: classes as isize, class: 1 };
        let mut scratch = Scratch::new();
        if dense {
            let operands = DenseOperands {
                rows,
                classes,
                logits: at(self.p.as_ptr()),
                targets: at(self.y.as_ptr()),
                smoothing: [R::ONE, R::ZERO],
                alphas: null(),
                gammas: [null(); 3],
                weights: [null(); 3],
                upper: false,
                value: value.as_mut_ptr(),
                factor: factor.as_mut_ptr(),
                grad: to(grad.as_mut_ptr()),
                hess: to(hess.as_mut_ptr()),
                streamed: false,
            };
            let Self { constants, bounds, form, .. } = self;
            // SAFETY: all arrays are as long as rows and classes say.
            unsafe {
                R::run_dense_probabilities(isa, constants, &operands, *bounds, ALL, *form, &mut scratch);
            }
        } else {
            let operands = Operands {
                rows,
                classes,
                logits: at(self.p.as_ptr()),
                targets: self.targets.as_ptr(),
                weights: [null(); 3],
                gammas: [null(); 3],
                value: value.as_mut_ptr(),
                factor: factor.as_mut_ptr(),
                grad: to(grad.as_mut_ptr()),
                hess: to(hess.as_mut_ptr()),
                streamed: false,
            };
            // SAFETY: as above, and targets are classes.
            unsafe { R::run_probabilities(isa, &self.constants, &operands, self.bounds, ALL, &mut scratch) };
        }
        Results { value, factor, grad, hess }
    }
}

/// Loss, factor, gradient and Hessian of weight f, or of the quotient V with S.
fn truth(p: f64, gamma: f64, weight: f64, quotient: Option<[f64; 2]>) -> [Number; 4] {
    let [v, s] = quotient.unwrap_or([0.0, 1.0]);
    let (one, g, w) = (Dd::from(1.0), Dd::from(gamma), Dd::from(weight));
    let (p, q) = (Dd::from(p), one - Dd::from(p));
    let loss = -p.ln();
    let power = |n: f64| ((g - Dd::from(n)) * q.ln()).exp();
    let (t, t1, t2) = (power(0.0), g * power(1.0), g * (g - one) * power(2.0));
    let over =
        |terms: &[Dd]| terms.iter().fold(Number::nothing(), |sum, &term| sum.plus(term * Dd::from(1.0 / s)));
    let grad = over(&[-(w * t / p), -(w * t1 * loss), Dd::from(v) * t1]);
    let product = if quotient.is_some() { grad.sum * t1 } else { Dd::from(0.0) };
    let hess =
        over(&[w * t2 * loss, w * (t1 + t1) / p, w * t / p / p, -(Dd::from(v) * t2), product + product]);
    [Number::nothing().plus(w * t * loss), Number::nothing().plus(t), grad, hess]
}

/// Probabilities from the ends and the middle of the unit interval.
fn draw<R: RowReal>(random: &mut Random) -> Vec<R> {
    let p = |i: usize| {
        let x = random.next();
        R::from_f64(match i % 4 {
            0 => x,
            1 => 1.0 - x * x * x * 1e-3,
            2 => x * x * x * 1e-3,
            _ => (-80.0 * x).exp(),
        })
    };
    (0..4000).map(p).map(|p| if p < R::ONE { p } else { R::from_f64(0.5) }).collect()
}

fn examine<R: RowReal>(case: &Case<R>, gamma: f64, worst: &mut [f64; 4]) {
    let quotient = case.constants.quotient.map(|quotient| quotient.map(|x| x.to_f64()));
    let quotient = quotient.map(|[mean, inverse]| [mean / inverse, 1.0 / inverse]);
    let c = quotient.map_or(1.0, |[_, s]| s);
    for isa in AnyIsa::available() {
        let (got, dense) = (case.run(isa, false), case.run(isa, true));
        let lines = Case { form: Some(Form::Lines), ..*case }.run(isa, true);
        for other in [&dense, &lines] {
            assert_eq!(bits(&got.value), bits(&other.value));
            assert_eq!(bits(&got.factor), bits(&other.factor));
            // But for the sign of zeros.
            assert_eq!(got.grad, other.grad);
            assert_eq!(got.hess, other.hess);
        }
        for (i, &p) in case.p.iter().enumerate() {
            if i as i64 % 4 != case.targets[i / 4] {
                assert!(got.grad[i].to_f64() == 0.0 && got.hess[i].to_f64() == 0.0);
                continue;
            }
            let expected = truth(p.to_f64(), gamma, c, quotient);
            let results = [got.value[i / 4], got.factor[i / 4], got.grad[i], got.hess[i]];
            for (k, (got, truth)) in results.into_iter().zip(expected).enumerate() {
                let truth = if k == 0 { truth.times(1.0 / c) } else { truth };
                let size = truth.sum.hi.abs().max(truth.size / 2.0);
                if truth.sum.hi.abs() < R::HIGHEST.to_f64() {
                    worst[k] = worst[k].max(ulps(got, truth.sum, size));
                }
            }
        }
    }
}

fn keeps_the_promise<R: RowReal>() {
    let mut random = Random(31);
    let mut worst = [0.0_f64; 4];
    let targets: Vec<i64> = (0..1000).map(|r| r % 4).collect();
    let y: Vec<R> = (0..4000).map(|i| R::from_f64(f64::from(i as i64 % 4 == targets[i / 4]))).collect();
    for gamma in [0.0, 0.5, 1.0, 1.7, 2.0, 5.0] {
        let p = draw::<R>(&mut random);
        for quotient in [None, Some([R::from_f64(0.05), R::from_f64(0.25)])] {
            let constants = Constants { quotient, ..Constants::new(gamma) };
            let bounds = None;
            let case = Case { classes: 4, p: &p, targets: &targets, y: &y, bounds, constants, form: None };
            examine(&case, gamma, &mut worst);
        }
    }
    println!("float{}: value, factor, gradient, Hessian {worst:.2?} ulp", 8 * size_of::<R>());
    for (ulps, bound) in worst.into_iter().zip([8.0, 8.0, 10.0, 12.0]) {
        assert!(ulps <= bound);
    }
}

#[test]
fn float32_keeps_the_promise() {
    keeps_the_promise::<f32>();
}

#[test]
fn float64_keeps_the_promise() {
    keeps_the_promise::<f64>();
}

#[test]
fn limits_and_clipping() {
    let inf = f32::INFINITY;
    let open = None;
    for isa in AnyIsa::available() {
        let run = |p: f32, gamma: f64, bounds: Option<[f32; 2]>, y: f32| {
            let constants = Constants::new(gamma);
            let (p, y) = ([p, 0.25], [y, 0.0]);
            let case = Case { classes: 2, p: &p, targets: &[0], y: &y, bounds, constants, form: None };
            let [one, other] = [case.run(isa, false), case.run(isa, true)];
            if y[0] == 1.0 {
                assert_eq!(bits(&one.value), bits(&other.value));
                assert!(
                    bits(&one.grad)[0] == bits(&other.grad)[0] && bits(&one.hess)[0] == bits(&other.hess)[0]
                );
            }
            [other.value[0], other.grad[0], other.hess[0]]
        };
        assert_eq!(run(0.0, 2.0, open, 1.0), [inf, -inf, inf]);
        assert_eq!(run(0.0, 0.5, open, 1.0), [inf, -inf, inf]);
        // What has no target counts for nothing.
        assert_eq!(run(0.0, 2.0, open, 0.0), [0.0; 3]);
        assert!(run(f32::NAN, 2.0, open, 0.0).iter().all(|x| x.is_nan()));
        assert_eq!(run(1.0, 0.0, open, 1.0), [0.0, -1.0, 1.0]);
        assert_eq!(run(1.0, 0.5, open, 1.0), [0.0, 0.0, inf]);
        assert_eq!(run(1.0, 1.0, open, 1.0), [0.0, 0.0, 2.0]);
        assert_eq!(run(1.0, 2.0, open, 1.0), [0.0; 3]);
        // -0.0 is 0, and what is no probability has no loss unless it is clipped.
        assert_eq!(run(-0.0, 2.0, open, 1.0), [inf, -inf, inf]);
        for p in [1.0_f32.next_up(), -1e-9, inf, -inf, 2.5] {
            assert!(run(p, 2.0, open, 1.0).iter().all(|x| x.is_nan()));
            assert!(run(p, 2.0, open, 0.0).iter().all(|x| x.is_nan()));
        }
        let (least, most) = (0.125, 0.875);
        let inside = run(least, 2.0, open, 1.0);
        assert_eq!(run(least, 2.0, Some([least, most]), 1.0), inside);
        assert_eq!(run(0.1, 2.0, Some([least, most]), 1.0), [inside[0], 0.0, 0.0]);
        let inside = run(most, 2.0, open, 1.0);
        assert_eq!(run(most, 2.0, Some([least, most]), 1.0), inside);
        assert_eq!(run(0.9, 2.0, Some([least, most]), 1.0), [inside[0], 0.0, 0.0]);
        assert_eq!(run(inf, 2.0, Some([least, most]), 1.0), [inside[0], 0.0, 0.0]);
    }
}
