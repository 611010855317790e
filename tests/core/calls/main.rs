//! Whole calls from Rust: every reduction with every normaliser, kind of target, gamma and weight, on every
//! instruction set, against a readable definition.

mod definition;
mod jet;

use definition::{Defined, Table, Targets, result};
use focalgrad::array::{Output, Shape, View};
use focalgrad::call::{Inputs, Loss, Outputs, SampleWeight, Wanted, evaluate_on};
use focalgrad::element::Stored;
use focalgrad::params::{
    Common, Hessian, Label, Normalizer, Parameter, Reduction, SigmoidFocalLoss, SoftTargets, SoftmaxFocalLoss,
};
use focalgrad::simd::AnyIsa;
use jet::Jet;

const ROWS: usize = 4;
const CLASSES: usize = 3;
/// The target that does not count, where one does not.
const IGNORED: i64 = -7;

const REDUCTIONS: [Reduction; 4] = [Reduction::None, Reduction::Sum, Reduction::Mean, Reduction::SumClasses];
const NORMALIZERS: [Normalizer; 5] = [
    Normalizer::Count,
    Normalizer::Weights,
    Normalizer::Positives,
    Normalizer::FocalWeights,
    Normalizer::Constant(3.5),
];

/// Every reduction, the mean with every normaliser.
fn reductions() -> impl Iterator<Item = (Reduction, Normalizer)> {
    REDUCTIONS.into_iter().flat_map(|reduction| {
        let all = if reduction == Reduction::Mean { &NORMALIZERS[..] } else { &NORMALIZERS[..1] };
        all.iter().map(move |&normalizer| (reduction, normalizer))
    })
}

/// One gamma for all classes, or one for each.
fn gammas() -> impl Iterator<Item = Parameter> {
    let numbers = [0.0, 0.5, 1.0, 2.0, 3.0, 3.7].into_iter().map(Parameter::Number);
    numbers.chain([Parameter::PerClass([0.5, 2.0, 1.5].into())])
}

/// A type of logits.
trait Float: Stored {
    const TOLERANCE: f64;
    fn new(x: f64) -> Self;
    fn get(self) -> f64;
}

impl Float for f32 {
    const TOLERANCE: f64 = 4e-6;
    fn new(x: f64) -> Self {
        x as f32
    }
    fn get(self) -> f64 {
        f64::from(self)
    }
}

impl Float for f64 {
    const TOLERANCE: f64 = 1e-13;
    fn new(x: f64) -> Self {
        x
    }
    fn get(self) -> f64 {
        self
    }
}

/// Logits that both types have.
fn logits() -> Vec<f64> {
    (0..ROWS * CLASSES).map(|i| (f64::from(i as u32 * 7 % 12) - 5.5) / 2.0).collect()
}

/// How targets are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Hard,
    Soft,
    Bytes,
    Indices,
    HardIgnored,
    IndicesIgnored,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Hard, Self::Soft, Self::Bytes, Self::Indices, Self::HardIgnored, Self::IndicesIgnored];

    fn has_indices(self) -> bool {
        matches!(self, Self::Indices | Self::IndicesIgnored)
    }

    fn ignore_index(self) -> Option<Label> {
        matches!(self, Self::HardIgnored | Self::IndicesIgnored).then_some(Label::Whole(IGNORED.into()))
    }

    fn targets(self) -> Targets {
        let dense = |of: fn(usize) -> f64| Targets::Dense((0..ROWS * CLASSES).map(of).collect());
        match self {
            Self::Hard | Self::Bytes => dense(|i| f64::from(u8::from(i % 4 == 0))),
            Self::Soft => dense(|i| f64::from(i as u32 % 5) / 4.0),
            Self::HardIgnored => {
                dense(|i| if i % 3 == 1 { IGNORED as f64 } else { f64::from(u8::from(i % 4 == 0)) })
            }
            Self::Indices => Targets::Indices(vec![2, 0, 1, 0]),
            Self::IndicesIgnored => Targets::Indices(vec![2, IGNORED, 1, 0]),
        }
    }
}

/// What multiplies losses of samples.
#[derive(Clone, Copy, Debug)]
enum Samples {
    None,
    Number,
    Array,
}

impl Samples {
    const ALL: [Self; 3] = [Self::None, Self::Number, Self::Array];

    fn numbers(self, len: usize) -> Vec<f64> {
        let number = |i: usize| match self {
            Self::None => 1.0,
            Self::Number => 0.75,
            Self::Array => f64::from(i as u32 % 5) / 2.0,
        };
        (0..len).map(number).collect()
    }
}

/// What a call gave.
struct Found {
    value: Vec<f64>,
    grad: Vec<f64>,
    hess: Vec<f64>,
}

/// Calls the core for everything.
fn found<R: Float, L: Loss>(isa: AnyIsa, loss: &L, table: &Table, kind: Kind, samples: Samples) -> Found {
    let given: Vec<R> = table.logits.iter().map(|&x| R::new(x)).collect();
    let shape = Shape::new(&[ROWS, CLASSES], size_of::<R>());
    let logits = View::of("logits", &given, &shape);
    let (bytes, wide): (Vec<u8>, Vec<i64>);
    let dense: Vec<R>;
    let targets_shape;
    let targets = match &table.targets {
        Targets::Indices(indices) => {
            wide = indices.clone();
            targets_shape = Shape::new(&[ROWS], size_of::<i64>());
            View::of("targets", &wide, &targets_shape)
        }
        Targets::Dense(numbers) if kind == Kind::Bytes => {
            bytes = numbers.iter().map(|&y| y as u8).collect();
            targets_shape = Shape::new(&[ROWS, CLASSES], 1);
            View::of("targets", &bytes, &targets_shape)
        }
        Targets::Dense(numbers) => {
            dense = numbers.iter().map(|&y| R::new(y)).collect();
            View::of("targets", &dense, &shape)
        }
    };
    let rows = table.samples.len() == ROWS;
    let samples_shape = if rows { vec![ROWS] } else { vec![ROWS, CLASSES] };
    let samples_shape = Shape::new(&samples_shape, size_of::<f64>());
    let sample_weight = match samples {
        Samples::None => SampleWeight::None,
        Samples::Number => SampleWeight::Number(table.samples[0]),
        Samples::Array => SampleWeight::Array(View::of("sample_weight", &table.samples, &samples_shape)),
    };
    let inputs = Inputs { logits, targets, sample_weight };
    let reduction = loss.common().reduction;
    let by_row = reduction == Reduction::SumClasses || loss.rules().rows;
    let value_shape = if by_row { vec![ROWS] } else { vec![ROWS, CLASSES] };
    let value_len = if by_row { ROWS } else { ROWS * CLASSES };
    let value_shape = Shape::new(&value_shape, size_of::<R>());
    let [mut grad, mut same_grad, mut hess] = [const { Vec::new() }; 3].map(|_: Vec<R>| given.clone());
    let mut value = vec![R::new(0.0); value_len];

    let outputs = Outputs {
        value: (!reduction.is_number()).then(|| Output::of("value", &mut value, &value_shape)),
        grad: Some(Output::of("grad", &mut grad, &shape)),
        hess: None,
    };
    let number = evaluate_on(isa, loss, Wanted::ValueAndGrad, inputs, outputs);
    let number = number.unwrap_or_else(|error| panic!("{error}"));
    let outputs = Outputs {
        value: None,
        grad: Some(Output::of("grad", &mut same_grad, &shape)),
        hess: Some(Output::of("hess", &mut hess, &shape)),
    };
    let wanted = Wanted::GradAndHess(Hessian::Exact);
    evaluate_on(isa, loss, wanted, inputs, outputs).unwrap_or_else(|error| panic!("{error}"));
    assert!(grad.iter().zip(&same_grad).all(|(a, b)| a.get() == b.get()), "one gradient");
    let numbers = |results: Vec<R>| results.into_iter().map(R::get).collect();
    Found {
        value: if reduction.is_number() { vec![number] } else { numbers(value) },
        grad: numbers(grad),
        hess: numbers(hess),
    }
}

/// What the definition says.
fn expected<L: Defined>(loss: &L, table: &Table) -> Found {
    let constants: Vec<Jet> = table.logits.iter().map(|&x| Jet::of(x)).collect();
    let pieces = loss.pieces(table, &constants);
    let losses: Vec<f64> = pieces.iter().map(|piece| piece.loss.value).collect();
    let value = match loss.common().reduction {
        Reduction::None => losses,
        Reduction::SumClasses => losses.chunks(CLASSES).map(|row| row.iter().sum()).collect(),
        Reduction::Sum | Reduction::Mean => vec![result(loss.common(), &pieces).value],
    };
    let along = |at: usize| {
        let mut logits = constants.clone();
        logits[at] = Jet::variable(table.logits[at]);
        result(loss.common(), &loss.pieces(table, &logits))
    };
    let jets: Vec<Jet> = (0..table.logits.len()).map(along).collect();
    let (grad, hess) = jets.iter().map(|jet| (jet.first, jet.second)).unzip();
    Found { value, grad, hess }
}

/// Compares call and definition.
fn compare<R: Float, L: Loss + Defined + std::fmt::Debug>(loss: &L, kind: Kind, samples: Samples) {
    let rows = kind.has_indices() || Loss::rules(loss).rows;
    let table = Table {
        classes: CLASSES,
        logits: logits(),
        targets: kind.targets(),
        samples: samples.numbers(if rows { ROWS } else { ROWS * CLASSES }),
    };
    let expected = expected(loss, &table);
    for isa in AnyIsa::available() {
        let found = found::<R, L>(isa, loss, &table, kind, samples);
        let results = [
            ("value", &found.value, &expected.value),
            ("grad", &found.grad, &expected.grad),
            ("hess", &found.hess, &expected.hess),
        ];
        for (name, found, expected) in results {
            assert_eq!(found.len(), expected.len());
            for (i, (&a, &b)) in found.iter().zip(expected).enumerate() {
                // Terms of both signs cancel in derivatives: they are measured by what they are made of.
                let close = (a - b).abs() <= R::TOLERANCE * b.abs().max(0.05);
                let set = isa.name();
                assert!(close, "{name}[{i}] = {a}, not {b}, on {set}: {loss:?}, {kind:?}, {samples:?}");
            }
        }
    }
}

fn common(gamma: Parameter, (reduction, normalizer): (Reduction, Normalizer), kind: Kind) -> Common {
    Common { gamma, reduction, normalizer, ignore_index: kind.ignore_index(), ..Common::default() }
}

fn sigmoid<R: Float>() {
    let per_class = |numbers: [f64; CLASSES]| Some(Parameter::PerClass(numbers.into()));
    let weights = [
        (None, None),
        (Some(Parameter::Number(0.25)), None),
        (per_class([0.25, 0.5, 1.0]), None),
        (Some(Parameter::Number(0.75)), per_class([2.0, 0.5, 1.5])),
    ];
    let mut calls = 0;
    for (gamma, mean) in gammas().flat_map(|gamma| reductions().map(move |mean| (gamma.clone(), mean))) {
        for kind in Kind::ALL {
            for (alpha, class_weight) in weights.clone() {
                for (soft_targets, label_smoothing) in [
                    (SoftTargets::Mixture, 0.0),
                    (SoftTargets::Mixture, 0.2),
                    (SoftTargets::Expected, 0.2),
                    (SoftTargets::Quality, 0.0),
                ] {
                    let common = Common { label_smoothing, ..common(gamma.clone(), mean, kind) };
                    let (class_axis, class_weight, alpha) = (Some(1), class_weight.clone(), alpha.clone());
                    let loss = SigmoidFocalLoss {
                        alpha,
                        common,
                        class_axis,
                        class_weight,
                        soft_targets,
                        ..Default::default()
                    };
                    // Two modulating factors an element have no sum.
                    if soft_targets == SoftTargets::Expected && mean.1 == Normalizer::FocalWeights {
                        assert!(loss.check().is_err());
                        continue;
                    }
                    let loss = loss.check().unwrap_or_else(|error| panic!("{error}"));
                    for samples in Samples::ALL {
                        compare::<R, _>(&loss, kind, samples);
                        calls += 1;
                    }
                }
            }
        }
    }
    assert!(calls > 10_000, "{calls} calls");
}

fn softmax<R: Float>() {
    let weights = [None, Some(Parameter::Number(0.25)), Some(Parameter::PerClass([2.0, 0.5, 1.5].into()))];
    let mut calls = 0;
    for (gamma, mean) in gammas().flat_map(|gamma| reductions().map(move |mean| (gamma.clone(), mean))) {
        for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::HardIgnored) {
            for alpha in weights.clone() {
                for label_smoothing in [0.0, 0.2] {
                    let common = Common { label_smoothing, ..common(gamma.clone(), mean, kind) };
                    let loss = SoftmaxFocalLoss { alpha: alpha.clone(), common, ..Default::default() };
                    // Every row has one loss for all classes, and every target a class.
                    if mean.0 == Reduction::SumClasses || mean.1 == Normalizer::Positives {
                        assert!(loss.check().is_err());
                        continue;
                    }
                    let loss = loss.check().unwrap_or_else(|error| panic!("{error}"));
                    for samples in Samples::ALL {
                        compare::<R, _>(&loss, kind, samples);
                        calls += 1;
                    }
                }
            }
        }
    }
    assert!(calls > 3_000, "{calls} calls");
}

#[test]
fn sigmoid_of_float32_keeps_its_definition() {
    sigmoid::<f32>();
}

#[test]
fn sigmoid_of_float64_keeps_its_definition() {
    sigmoid::<f64>();
}

#[test]
fn softmax_of_float32_keeps_its_definition() {
    softmax::<f32>();
}

#[test]
fn softmax_of_float64_keeps_its_definition() {
    softmax::<f64>();
}
