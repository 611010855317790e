//! One target a row: the sum of the modulating factors as the denominator, and the sigmoid modulator.

use focalgrad::kernel::output::{CURVATURE, GRAD, VALUE};
use focalgrad::kernel::rows::{Constants, Form, RowReal, Scratch};
use focalgrad::params::Modulator;
use focalgrad::simd::AnyIsa;

use crate::harness::{Case, KINDS, Random, bits, row, ulps};
use crate::oracle::dd::Dd;
use crate::truth::{Number, Row, probabilities};

const GAMMAS: [f64; 7] = [0.0, 0.1, 1.0, 1.7, 2.0, 3.0, 5.0];

/// What a row comes to: its loss, modulating factor, gradient and Hessian.
struct Expected {
    value: Number,
    factor: Number,
    grad: Vec<Number>,
    hess: Vec<Number>,
}

/// The paper's loss over S, with V.
fn by_softmax(z: &[f64], target: usize, gamma: f64, weight: f64, quotient: [f64; 2]) -> Expected {
    let targets: Vec<f64> = (0..z.len()).map(|k| f64::from(k == target)).collect();
    let (alphas, gammas) = (vec![1.0; z.len()], vec![gamma; z.len()]);
    let row = Row { logits: z, targets: &targets, alphas: &alphas, gammas: &gammas };
    let [grad, hess] = row.quotient(weight, quotient);
    Expected { value: row.truth(true).value.times(weight), factor: row.truth(false).value, grad, hess }
}

/// The cross entropy, modulated by the sigmoid.
fn by_sigmoid(z: &[f64], target: usize, gamma: f64, weight: f64, [v, s]: [f64; 2]) -> Expected {
    let (one, g, c) = (Dd::from(1.0), Dd::from(gamma), Dd::from(weight));
    let [_, _, loss, _] = probabilities(z)[target];
    let own = Dd::from(z[target]);
    let e = if own.hi > 0.0 { (-own).exp() } else { own.exp() };
    let (small, large) = (e / (one + e), one / (one + e));
    let (sg, rest) = if own.hi > 0.0 { (large, small) } else { (small, large) };
    let softplus = if own.hi > 0.0 { own + e.ln_1p() } else { e.ln_1p() };
    let w = (-(g * softplus)).exp();
    let w1 = -(g * sg * w);
    let w2 = [w * g * g * sg * sg, -(w * g * sg * rest)];
    let (value, scale) = (Number::nothing().plus(c * w * loss), Dd::from(1.0 / s));
    let (mut grad, mut hess) = (Vec::new(), Vec::new());
    for (j, [p, q, ..]) in probabilities(z).into_iter().enumerate() {
        let over = |terms: &[Dd]| terms.iter().fold(Number::nothing(), |sum, &term| sum.plus(term * scale));
        if j == target {
            let first = over(&[-(c * w * q), c * w1 * loss, -(Dd::from(v) * w1)]);
            let mut terms =
                vec![c * w * p * q, -(c * w1 * q), -(c * w1 * q), -(first.sum * w1 + first.sum * w1)];
            terms.extend(w2.iter().flat_map(|&w2| [c * w2 * loss, -(Dd::from(v) * w2)]));
            grad.push(first);
            hess.push(over(&terms));
        } else {
            grad.push(over(&[c * w * p]));
            hess.push(over(&[c * w * p * q]));
        }
    }
    Expected { value, factor: Number::nothing().plus(w), grad, hess }
}

type Worst = [(f64, usize, usize, f64); 4];

fn examine<R: RowReal>(
    modulator: Modulator,
    kind: usize,
    classes: usize,
    random: &mut Random,
    worst: &mut Worst,
) {
    let (mut z, target) = row(kind, classes, random);
    // Double-double has no room for the powers of smaller probabilities.
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    z.iter_mut().for_each(|z| *z = (*z).max(largest - 250.0));
    if modulator == Modulator::Sigmoid && random.below(2) == 0 {
        z.iter_mut().for_each(|z| *z -= largest);
    }
    let logits: Vec<R> = z.iter().map(|&z| R::from_f64(z)).collect();
    let z: Vec<f64> = logits.iter().map(|z| z.to_f64()).collect();
    let gamma = GAMMAS[random.below(GAMMAS.len())];
    let [weight, mean, inverse] = [0.7, 0.05 + 0.2 * random.next(), 0.2].map(R::from_f64);
    let s = 1.0 / inverse.to_f64();
    let (c, quotient) = (R::from_f64(weight.to_f64() * s), [mean.to_f64() * s, s]);
    let expected = match modulator {
        Modulator::Softmax => by_softmax(&z, target as usize, gamma, weight.to_f64() * s, quotient),
        Modulator::Sigmoid => by_sigmoid(&z, target as usize, gamma, weight.to_f64() * s, quotient),
    };
    let mut see = |which: usize, got: R, truth: Number| {
        let error = ulps(got, truth.sum, truth.sum.hi.abs().max(truth.size / 2.0));
        if error > worst[which].0 || error.is_nan() {
            worst[which] = (if error.is_nan() { f64::INFINITY } else { error }, kind, classes, gamma);
        }
    };
    for isa in AnyIsa::available() {
        let constants = Constants {
            modulator,
            value: c,
            grad: weight,
            hess: weight,
            quotient: Some([mean, inverse]),
            ..Constants::new(gamma)
        };
        let targets = [target];
        let case = Case::new(classes, &logits, &targets, gamma);
        let first = case.run_with(isa, VALUE | GRAD, &constants, &mut Scratch::new());
        let second = case.run_with(isa, GRAD | CURVATURE, &constants, &mut Scratch::new());
        assert_eq!(bits(&first.grad), bits(&second.grad));
        see(0, first.value[0], expected.value);
        see(1, first.factor[0], expected.factor);
        for j in 0..classes {
            see(2, first.grad[j], expected.grad[j]);
            see(3, second.hess[j], expected.hess[j]);
        }
    }
}

fn keeps_the_promise<R: RowReal>(modulator: Modulator) {
    let mut random = Random(2_024);
    let mut worst = Worst::default();
    for (classes, repeats) in [(1, 2), (2, 60), (3, 40), (10, 20), (64, 3), (300, 1)] {
        for kind in (0..KINDS).cycle().take(KINDS * repeats) {
            examine::<R>(modulator, kind, classes, &mut random, &mut worst);
        }
    }
    println!("{modulator:?} float{}", 8 * size_of::<R>());
    for (name, (ulps, kind, classes, gamma)) in
        ["value", "factor", "gradient", "Hessian"].into_iter().zip(worst)
    {
        println!("    {name:10} {ulps:.2} ulp (kind {kind}, {classes} classes, gamma {gamma})");
    }
    for ((ulps, ..), bound) in worst.into_iter().zip([10.0, 10.0, 14.0, 14.0]) {
        assert!(ulps <= bound);
    }
}

#[test]
fn focal_weights_keep_the_promise_in_float32() {
    keeps_the_promise::<f32>(Modulator::Softmax);
}

#[test]
fn focal_weights_keep_the_promise_in_float64() {
    keeps_the_promise::<f64>(Modulator::Softmax);
}

#[test]
fn the_sigmoid_keeps_the_promise_in_float32() {
    keeps_the_promise::<f32>(Modulator::Sigmoid);
}

#[test]
fn the_sigmoid_keeps_the_promise_in_float64() {
    keeps_the_promise::<f64>(Modulator::Sigmoid);
}

#[test]
fn ignored_rows_are_zero_and_limits_are_limits() {
    let inf = f32::INFINITY;
    for isa in AnyIsa::available() {
        for modulator in [Modulator::Softmax, Modulator::Sigmoid] {
            for form in [Form::Columns, Form::Lines] {
                let run = |logits: &[f32], target: i64, quotient: Option<[f32; 2]>| {
                    let constants = Constants { modulator, quotient, ..Constants::new(2.0) };
                    let targets = [target];
                    let case = Case { form: Some(form), ..Case::new(3, logits, &targets, 2.0) };
                    let first = case.run_with(isa, VALUE | GRAD, &constants, &mut Scratch::new());
                    let hess = case.run_with(isa, CURVATURE, &constants, &mut Scratch::new()).hess;
                    [first.value, first.factor, first.grad, hess].concat()
                };
                for logits in [[1.0, 2.0, 0.5], [f32::NAN; 3], [inf, inf, 1.0]] {
                    for quotient in [None, Some([0.5, 0.25]), Some([f32::NAN, f32::NAN])] {
                        let ignored = run(&logits, -1, quotient);
                        assert!(ignored.iter().all(|x| x.to_bits() == 0), "{ignored:?}");
                    }
                }
                let mut nan = run(&[1.0, f32::NAN, 2.0], 0, Some([0.5, 0.25]));
                // The target's own logit is not.
                if modulator == Modulator::Sigmoid {
                    nan.remove(1);
                }
                assert!(nan.iter().all(|x| x.is_nan()), "{nan:?}");
                // A likely target: loss, factor and all derivatives vanish.
                let likely = run(&[1.0, inf, 2.0], 1, Some([0.5, 0.25]));
                assert!(likely.iter().all(|&x| x == 0.0), "{likely:?}");
                // An impossible one: the loss is infinite.
                let impossible = run(&[-inf, 0.0, 0.0], 0, None);
                assert_eq!(impossible, [inf, 1.0, -1.0, 0.5, 0.5, 0.0, 0.25, 0.25]);
            }
        }
    }
}
