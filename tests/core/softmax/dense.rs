//! Rows with a target for every class, and quotients.

use std::ptr::null;

use focalgrad::element::DType;
use focalgrad::kernel::output::{CURVATURE, GAUSS_NEWTON, GRAD, VALUE};
use focalgrad::kernel::rows::{Constants, DenseOperands, Form, Matrix, RowReal, Scratch};
use focalgrad::loss::focal::{Gamma, power};
use focalgrad::simd::AnyIsa;

use crate::harness::{KINDS, Random, Results, bits, row, turn, ulps};
use crate::truth::{Number, Row};

/// A case: logits and targets in rows, and how they are handed over.
#[derive(Clone)]
pub struct Case<'a, R> {
    pub classes: usize,
    pub logits: &'a [R],
    pub targets: &'a [R],
    pub alphas: Option<&'a [R]>,
    pub gammas: Option<&'a [f64]>,
    pub upper: bool,
    pub smoothing: [R; 2],
    pub constants: Constants<R>,
    pub class_first: bool,
    pub form: Option<Form>,
}

impl<'a, R: RowReal> Case<'a, R> {
    pub fn new(classes: usize, logits: &'a [R], targets: &'a [R], gamma: f64) -> Self {
        Self {
            classes,
            logits,
            targets,
            alphas: None,
            gammas: None,
            upper: false,
            smoothing: [R::ONE, R::ZERO],
            constants: Constants::new(gamma),
            class_first: false,
            form: None,
        }
    }

    pub fn run(&self, isa: AnyIsa, outputs: u8, scratch: &mut Scratch<R>) -> Results<R> {
        let (rows, classes) = (self.logits.len() / self.classes, self.classes);
        let order = |x: &[R]| if self.class_first { turn(x, rows, classes) } else { x.to_vec() };
        let (logits, targets) = (order(self.logits), order(self.targets));
        let (row, class) = if self.class_first { (1, rows as isize) } else { (classes as isize, 1) };
        let [mut value, mut factor] = [vec![R::NAN; rows], vec![R::NAN; rows]];
        let [mut grad, mut hess] = [vec![R::NAN; logits.len()], vec![R::NAN; logits.len()]];
        let gammas: [Vec<R>; 3] = std::array::from_fn(|i| {
            self.gammas.unwrap_or_default().iter().map(|&g| Gamma::new(g).parts()[i]).collect()
        });
        let operands = DenseOperands {
            rows,
            classes,
            logits: Matrix { data: logits.as_ptr(), row, class },
            targets: Matrix { data: targets.as_ptr(), row, class },
            smoothing: self.smoothing,
            alphas: self.alphas.map_or(null(), |alphas| alphas.as_ptr()),
            gammas: gammas.each_ref().map(|part| if part.is_empty() { null() } else { part.as_ptr() }),
            weights: [null(); 3],
            upper: self.upper,
            value: value.as_mut_ptr(),
            factor: factor.as_mut_ptr(),
            grad: Matrix { data: grad.as_mut_ptr(), row, class },
            hess: Matrix { data: hess.as_mut_ptr(), row, class },
            streamed: false,
        };
        // SAFETY: all arrays are as long as rows and classes say.
        unsafe { R::run_dense(isa, &self.constants, &operands, outputs, self.form, scratch) };
        if self.class_first {
            grad = turn(&grad, classes, rows);
            hess = turn(&hess, classes, rows);
        }
        Results { value, factor, grad, hess }
    }
}

/// Targets of one kind or another.
fn targets(kind: usize, z: &[f64], target: i64, random: &mut Random) -> Vec<f64> {
    let total: f64 = z.len() as f64;
    (0..z.len())
        .map(|k| match kind % 4 {
            0 => f64::from(k as i64 == target),
            1 => 0.9 * f64::from(k as i64 == target) + 0.1 / total,
            2 => random.next(),
            _ => (random.next() - 0.7).max(0.0),
        })
        .zip(z)
        .map(|(y, &z)| if z == f64::NEG_INFINITY { 0.0 } else { y })
        .collect()
}

#[derive(Default)]
struct Worst([(f64, usize, usize); 7]);

impl Worst {
    fn see<R: RowReal>(&mut self, which: usize, got: R, truth: Number, kind: usize, classes: usize) {
        let error = ulps(got, truth.sum, truth.sum.hi.abs().max(truth.size / 2.0));
        if error > self.0[which].0 || error.is_nan() {
            self.0[which] = (if error.is_nan() { f64::INFINITY } else { error }, kind, classes);
        }
    }
}

const GAMMAS: [f64; 6] = [0.0, 0.5, 1.7, 2.0, 3.0, 5.0];

/// A row of a kind, in numbers of R and what these are exactly.
struct Drawn<R> {
    logits: Vec<R>,
    targets: Vec<R>,
    alphas: Vec<R>,
    exact: [Vec<f64>; 3],
    gammas: Vec<f64>,
    by_class: bool,
}

fn draw<R: RowReal>(kind: usize, classes: usize, random: &mut Random) -> Drawn<R> {
    let (mut z, target) = row(kind / 4, classes, random);
    // Double-double has no room for the powers of smaller probabilities.
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    z.iter_mut().for_each(|z| *z = if *z < largest - 250.0 { f64::NEG_INFINITY } else { *z });
    let y = targets(kind, &z, target, random);
    let alphas: Vec<f64> = (0..classes).map(|_| 0.25 + random.next()).collect();
    let [logits, targets, alphas] =
        [z, y, alphas].map(|x| x.into_iter().map(R::from_f64).collect::<Vec<R>>());
    let exact = [&logits, &targets, &alphas].map(|x| x.iter().map(|x| x.to_f64()).collect());
    let gamma = GAMMAS[random.below(GAMMAS.len())];
    let each: Vec<f64> = (0..classes).map(|_| GAMMAS[random.below(GAMMAS.len())]).collect();
    let by_class = random.below(3) == 0;
    let gammas = if by_class { each } else { vec![gamma; classes] };
    Drawn { logits, targets, alphas, exact, gammas, by_class }
}

fn examine<R: RowReal>(drawn: &Drawn<R>, kind: usize, worst: &mut [Worst], scratch: &mut Scratch<R>) {
    let Drawn { logits, targets, alphas, exact: [z, y, alpha], gammas, by_class } = drawn;
    let classes = z.len();
    let truth = Row { logits: z, targets: y, alphas: alpha, gammas };
    let (loss, factor) = (truth.truth(true), truth.truth(false));
    let [mean, inverse, weight] = [0.16, 0.2, 0.7].map(R::from_f64);
    let s = 1.0 / inverse.to_f64();
    let quotient = truth.quotient(weight.to_f64() * s, [mean.to_f64() * s, s]);
    for (isa, worst) in AnyIsa::available().into_iter().zip(worst) {
        let mut constants = Constants::<R>::new(gammas[0]);
        if *by_class {
            constants.power = power::GENERAL;
        }
        let case = Case {
            alphas: Some(alphas),
            gammas: by_class.then_some(gammas.as_slice()),
            constants,
            ..Case::new(classes, logits, targets, gammas[0])
        };
        let first = case.run(isa, VALUE | GRAD, scratch);
        worst.see(0, first.value[0], loss.value, kind, classes);
        worst.see(1, first.factor[0], factor.value, kind, classes);
        let second = case.run(isa, GRAD | CURVATURE, scratch);
        let third = case.run(isa, GAUSS_NEWTON, scratch);
        let upper = Case { upper: true, ..case.clone() }.run(isa, GAUSS_NEWTON, scratch);
        let constants =
            Constants { grad: weight, hess: weight, quotient: Some([mean, inverse]), ..constants };
        let fourth = Case { constants, ..case.clone() }.run(isa, GRAD | CURVATURE, scratch);
        assert_eq!(bits(&first.grad), bits(&second.grad));
        for (j, (grad, hess)) in quotient[0].iter().zip(&quotient[1]).enumerate() {
            worst.see(2, first.grad[j], loss.grad[j], kind, classes);
            worst.see(3, second.hess[j], loss.hess[j], kind, classes);
            worst.see(4, third.hess[j], loss.gauss_newton[j], kind, classes);
            worst.see(4, upper.hess[j], loss.upper[j], kind, classes);
            worst.see(5, fourth.grad[j], *grad, kind, classes);
            worst.see(6, fourth.hess[j], *hess, kind, classes);
        }
    }
}

fn keeps_the_promise<R: RowReal>() {
    let mut random = Random(77);
    let mut worst: Vec<Worst> = AnyIsa::available().iter().map(|_| Worst::default()).collect();
    let mut scratch = Scratch::new();
    for (classes, repeats) in [(1, 2), (2, 30), (3, 20), (5, 10), (21, 4), (64, 2), (100, 1), (300, 1)] {
        for kind in (0..4 * KINDS).cycle().take(4 * KINDS * repeats) {
            examine(&draw::<R>(kind, classes, &mut random), kind, &mut worst, &mut scratch);
        }
    }
    let bounds = [16.0, 16.0, 16.0, 24.0, 24.0, 24.0, 24.0];
    let names = ["value", "factor", "gradient", "Hessian", "Gauss-Newton", "quotient's", "its Hessian"];
    for (isa, worst) in AnyIsa::available().into_iter().zip(worst) {
        for ((name, (ulps, kind, classes)), bound) in names.into_iter().zip(worst.0).zip(bounds) {
            let line = format!("{:9} {} {name:12}", isa.name(), DType::of::<R>().name());
            println!("{line} {ulps:.2} ulp (kind {kind}, {classes} classes)");
            assert!(ulps <= bound, "{line}: {ulps}");
        }
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

fn layouts_and_sets_agree<R: RowReal>() {
    let sets: Vec<AnyIsa> = AnyIsa::available();
    let mut scratch = Scratch::new();
    let mut shapes: Vec<_> = (1..=70).map(|classes| (1 + classes * 7 % 71, classes)).collect();
    shapes.extend([(300, 10), (20, 100), (3, 1000), (2, R::CHUNK + 1), (2, 2 * R::CHUNK + 77)]);
    for (rows, classes) in shapes {
        let mut random = Random(991 + classes as u64);
        let (mut logits, mut y) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let (z, target) = row(random.below(KINDS), classes, &mut random);
            y.extend(targets(random.below(4), &z, target, &mut random).into_iter().map(R::from_f64));
            logits.extend(z.into_iter().map(R::from_f64));
        }
        let gammas: Vec<f64> = (0..classes).map(|k| [2.0, 0.5, 1.7][k % 3]).collect();
        for by_class in [false, true] {
            let mut case = Case::new(classes, &logits, &y, 2.0);
            case.smoothing = [R::from_f64(0.9), R::from_f64(0.1 / classes as f64)];
            if by_class {
                case.gammas = Some(&gammas);
            }
            case.constants.quotient = Some([R::from_f64(0.3), R::from_f64(0.125)]);
            let outputs = if by_class { VALUE | GRAD } else { GRAD | CURVATURE };
            let expected = case.run(sets[0], outputs, &mut scratch);
            for &isa in &sets {
                // Without a fused multiply-add the portable set rounds more often.
                let expected =
                    if isa.name() == "portable" { &case.run(isa, outputs, &mut scratch) } else { &expected };
                for form in [None, Some(Form::Columns), Some(Form::Lines)] {
                    for class_first in [false, true] {
                        let other = Case { form, class_first, ..case.clone() };
                        let got = other.run(isa, outputs, &mut scratch);
                        let what = format!("{} {rows} x {classes} {form:?} {class_first}", isa.name());
                        assert!(bits(&got.value) == bits(&expected.value), "{what}: value");
                        assert!(bits(&got.factor) == bits(&expected.factor), "{what}: factor");
                        assert!(bits(&got.grad) == bits(&expected.grad), "{what}: gradient");
                        assert!(bits(&got.hess) == bits(&expected.hess), "{what}: Hessian");
                    }
                }
            }
        }
    }
}

#[test]
fn layouts_and_instruction_sets_agree_in_float32() {
    layouts_and_sets_agree::<f32>();
}

#[test]
fn layouts_and_instruction_sets_agree_in_float64() {
    layouts_and_sets_agree::<f64>();
}

#[test]
fn limits() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for isa in AnyIsa::available() {
        for form in [Form::Columns, Form::Lines] {
            let run = |logits: &[f32], y: &[f32]| {
                let case = Case { form: Some(form), ..Case::new(logits.len(), logits, y, 2.0) };
                let first = case.run(isa, VALUE | GRAD, &mut Scratch::new());
                let hess = case.run(isa, CURVATURE, &mut Scratch::new()).hess;
                [first.value, first.grad, hess].concat()
            };
            for bad in [[nan, 0.0, 1.0], [inf, 0.0, inf], [-inf; 3], [nan, inf, -inf], [inf, nan, nan]] {
                for k in 0..3 {
                    let mut z = bad;
                    z.rotate_left(k);
                    let none = run(&z, &[0.2, 0.3, 0.5]);
                    assert!(none.iter().all(|x| x.is_nan()), "{none:?}");
                }
            }
            let none = run(&[1.0, 2.0, 3.0], &[0.5, nan, 0.5]);
            assert!(none.iter().all(|x| x.is_nan()), "{none:?}");
            // No target, no loss; a class without probability.
            assert_eq!(run(&[1.0, -inf, 2.0], &[0.5, 0.0, 0.5])[2], 0.0);
            assert_eq!(run(&[0.0, -inf, 0.0], &[0.0, 1.0, 0.0]), [inf, 0.5, -1.0, 0.5, 0.25, 0.0, 0.25]);
            assert_eq!(run(&[1.0, inf, 2.0], &[0.0, 1.0, 0.0]), [0.0; 7]);
            assert_eq!(run(&[1.0, inf, 2.0], &[0.5, 0.5, 0.0]), [inf, -0.5, 0.5, 0.0, 0.0, 0.0, 0.0]);
            assert_eq!(run(&[0.3], &[1.0]), [0.0; 3]);
            // Anything else does not crash.
            run(&[1.0, -2.0, 3.0], &[-5.0, inf, 1e30]);
            let zero = Constants { value: 0.0, ..Constants::new(2.0) };
            let (z, y) = ([0.0, -inf], [0.0, 1.0]);
            let case = Case { constants: zero, ..Case::new(2, &z, &y, 2.0) };
            assert_eq!(case.run(isa, VALUE, &mut Scratch::new()).value[0].to_bits(), 0);
        }
    }
}
