//! Zeros have the same sign on every instruction set, and infinities and NaN are in the same places: digits may differ
//! where there is no fused multiply-add, and where results vanish or cancel their sign must not be one of rounding.

use focalgrad::array::{Output, Shape, View};
use focalgrad::call::{Inputs, Loss, Outputs, SampleWeight, Wanted, evaluate_on};
use focalgrad::element::Stored;
use focalgrad::params::{
    Common, Hessian, Modulator, Normalizer, Parameter, Reduction, SigmoidFocalLoss, SoftTargets,
    SoftmaxFocalLoss,
};
use focalgrad::simd::AnyIsa;

const ROWS: usize = 24;
const CLASSES: usize = 3;
const LEN: usize = ROWS * CLASSES;
const GAMMAS: [f64; 6] = [0.0, 0.5, 1.0, 2.0, 2.5, 5.0];
const MEANINGS: [SoftTargets; 3] = [SoftTargets::Mixture, SoftTargets::Expected, SoftTargets::Quality];

/// A fixed sequence of numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 * 2.0_f64.powi(-53)
    }

    fn pick(&mut self, list: &[f64]) -> f64 {
        list[(self.next() * list.len() as f64) as usize]
    }
}

trait Float: Stored {
    fn new(x: f64) -> Self;
    fn get(self) -> f64;
}

impl Float for f32 {
    fn new(x: f64) -> Self {
        x as f32
    }
    fn get(self) -> f64 {
        f64::from(self)
    }
}

impl Float for f64 {
    fn new(x: f64) -> Self {
        x
    }
    fn get(self) -> f64 {
        self
    }
}

/// Numbers of a call.
struct Table {
    logits: Vec<f64>,
    dense: Vec<f64>,
    classes: Vec<i64>,
    weights: Vec<f64>,
}

impl Table {
    /// Logits, or probabilities; weights that make results vanish.
    fn new(random: &mut Random, probabilities: bool) -> Self {
        const FAR: [f64; 14] = [
            745.0,
            -745.0,
            709.8,
            -709.8,
            104.0,
            -104.0,
            88.7,
            -87.4,
            40.0,
            -37.0,
            0.0,
            1e30,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        // Around the roots of the second derivative for some gammas.
        const ROOTS: [f64; 5] = [-10.0, -5.21, -4.38, -2.79, -1.06];
        const CHANCES: [f64; 8] = [0.0, 1.0, 1e-40, 1e-300, 0.5, 0.057_8, 1.0 - 1e-7, 1e-9];
        const WEIGHTS: [f64; 10] = [1.0, -1.0, 1e-310, -1e-310, 1e-40, -1e-44, 0.0, 1e-200, -1e-200, 1e10];
        let mut logits = || match () {
            () if probabilities && random.next() < 0.5 => random.pick(&CHANCES),
            () if probabilities => random.next(),
            () if random.next() < 0.4 => random.pick(&FAR),
            () if random.next() < 0.4 => random.pick(&ROOTS) + (random.next() - 0.5) * 0.1,
            () => (random.next() - 0.5) * 60.0,
        };
        let logits = (0..LEN).map(|_| logits()).collect();
        let mut label = || {
            let y = random.next();
            if y < 0.3 {
                0.0
            } else if y < 0.5 {
                1.0
            } else {
                y
            }
        };
        let dense = (0..LEN).map(|_| label()).collect();
        let classes = (0..ROWS).map(|_| (random.next() * CLASSES as f64) as i64).collect();
        let weights = (0..ROWS).map(|_| random.pick(&WEIGHTS)).collect();
        Self { logits, dense, classes, weights }
    }
}

/// Value, losses, gradient and Hessian.
fn found<R: Float, L: Loss>(isa: AnyIsa, loss: &L, table: &Table, hard: bool) -> Vec<f64> {
    let given: Vec<R> = table.logits.iter().map(|&x| R::new(x)).collect();
    let dense: Vec<R> = table.dense.iter().map(|&y| R::new(y)).collect();
    let shape = Shape::new(&[ROWS, CLASSES], size_of::<R>());
    let indices = Shape::new(&[ROWS], size_of::<i64>());
    let by_rows = hard || loss.rules().rows;
    let weights_shape = Shape::new(if by_rows { &[ROWS] } else { &[ROWS, 1] }, size_of::<f64>());
    let inputs = Inputs {
        logits: View::of("logits", &given, &shape),
        targets: match hard {
            true => View::of("targets", &table.classes, &indices),
            false => View::of("targets", &dense, &shape),
        },
        sample_weight: SampleWeight::Array(View::of("sample_weight", &table.weights, &weights_shape)),
    };
    let reduction = loss.common().reduction;
    let mut losses = vec![R::new(0.0); if loss.rules().rows { ROWS } else { LEN }];
    let losses_shape = if loss.rules().rows { vec![ROWS] } else { vec![ROWS, CLASSES] };
    let losses_shape = Shape::new(&losses_shape, size_of::<R>());
    let (mut grad, mut hess) = (given.clone(), given.clone());
    let outputs = Outputs {
        value: (!reduction.is_number()).then(|| Output::of("value", &mut losses, &losses_shape)),
        ..Outputs::default()
    };
    let value = evaluate_on(isa, loss, Wanted::Value, inputs, outputs);
    let value = value.unwrap_or_else(|error| panic!("{error}"));
    let outputs = Outputs {
        value: None,
        grad: Some(Output::of("grad", &mut grad, &shape)),
        hess: Some(Output::of("hess", &mut hess, &shape)),
    };
    let both = evaluate_on(isa, loss, Wanted::GradAndHess(Hessian::Exact), inputs, outputs);
    both.unwrap_or_else(|error| panic!("{error}"));
    let arrays = losses.into_iter().chain(grad).chain(hess).map(R::get);
    std::iter::once(value).chain(arrays).collect()
}

/// Compares the instruction sets.
fn compare<R: Float, L: Loss + std::fmt::Debug>(loss: &L, table: &Table, hard: bool) {
    let mut all = AnyIsa::available().into_iter().map(|isa| (isa, found::<R, L>(isa, loss, table, hard)));
    let Some((_, first)) = all.next() else { return };
    for (isa, other) in all {
        for (i, (&a, &b)) in first.iter().zip(&other).enumerate() {
            let zeros = a != 0.0 || b != 0.0 || a.is_sign_negative() == b.is_sign_negative();
            let places = a.is_nan() == b.is_nan() && a.is_infinite() == b.is_infinite();
            assert!(zeros && places, "{} {i}: {a:e} and {b:e}, hard {hard}, {loss:?}", isa.name());
        }
    }
}

fn both_types<L: Loss + std::fmt::Debug>(loss: &L, table: &Table, hard: bool) {
    compare::<f64, L>(loss, table, hard);
    compare::<f32, L>(loss, table, hard);
}

/// Reductions that differ in what becomes of a zero.
fn commons() -> impl Iterator<Item = Common> {
    let each = [
        (Reduction::None, Normalizer::Count),
        (Reduction::Sum, Normalizer::Count),
        (Reduction::Mean, Normalizer::FocalWeights),
    ];
    let gammas = GAMMAS.into_iter().map(Parameter::Number);
    gammas.chain([Parameter::PerClass([0.5, 5.0, 2.0].into())]).flat_map(move |gamma| {
        each.map(|(reduction, normalizer)| Common {
            gamma: gamma.clone(),
            reduction,
            normalizer,
            ..Common::default()
        })
    })
}

#[test]
fn zeros_of_the_sigmoid_loss_have_one_sign() {
    let mut random = Random(1);
    for from_logits in [true, false] {
        for common in commons() {
            for soft_targets in MEANINGS {
                let quotient = common.normalizer == Normalizer::FocalWeights;
                if quotient && soft_targets == SoftTargets::Expected {
                    continue;
                }
                let common = Common { from_logits, ..common.clone() };
                let class_weight = Some(Parameter::PerClass([1e-300, 1.0, 3.0].into()));
                let loss = SigmoidFocalLoss {
                    common,
                    soft_targets,
                    class_axis: Some(1),
                    class_weight,
                    ..SigmoidFocalLoss::default()
                };
                let loss = loss.check().unwrap_or_else(|error| panic!("{error}"));
                for _ in 0..20 {
                    let table = Table::new(&mut random, !from_logits);
                    both_types(&loss, &table, true);
                    both_types(&loss, &table, false);
                }
            }
        }
    }
}

#[test]
fn zeros_of_the_softmax_loss_have_one_sign() {
    let mut random = Random(2);
    for (from_logits, modulator) in
        [(true, Modulator::Softmax), (false, Modulator::Softmax), (true, Modulator::Sigmoid)]
    {
        for common in commons() {
            let common = Common { from_logits, ..common };
            let loss = SoftmaxFocalLoss { common, modulator, ..SoftmaxFocalLoss::default() };
            let loss = loss.check().unwrap_or_else(|error| panic!("{error}"));
            for _ in 0..80 {
                let table = Table::new(&mut random, !from_logits);
                both_types(&loss, &table, true);
                if modulator == Modulator::Softmax {
                    both_types(&loss, &table, false);
                }
            }
        }
    }
}
