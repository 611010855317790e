//! Both losses as their documentation words them, over a table of rows and classes. Values alone are defined:
//! derivatives are those of [`Jet`]s.

use focalgrad::params::{
    Common, Label, Normalizer, Parameter, Reduction, SigmoidFocalLoss, SoftTargets, SoftmaxFocalLoss,
};

use crate::jet::Jet;

/// Targets of a table.
#[derive(Clone, Debug)]
pub enum Targets {
    /// One for each logit.
    Dense(Vec<f64>),
    /// The class of each row.
    Indices(Vec<i64>),
}

/// What a loss is computed of.
#[derive(Clone, Debug)]
pub struct Table {
    pub classes: usize,
    pub logits: Vec<f64>,
    pub targets: Targets,
    /// A number for each logit (sigmoid, dense targets) or each row.
    pub samples: Vec<f64>,
}

/// What an element of the sigmoid focal loss, or a row of the softmax focal loss, brings to a sum.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Its loss with all weights.
    pub loss: Jet,
    /// Its modulating factor.
    factor: Jet,
    /// What multiplies its loss.
    weight: f64,
    /// Its target.
    positive: f64,
    /// Whether it counts.
    counts: bool,
}

const IGNORED: Piece =
    Piece { loss: Jet::of(0.0), factor: Jet::of(0.0), weight: 0.0, positive: 0.0, counts: false };

/// A loss that has a definition.
pub trait Defined {
    fn common(&self) -> &Common;
    /// The pieces of a table, with these in place of its logits.
    fn pieces(&self, table: &Table, logits: &[Jet]) -> Vec<Piece>;
}

/// The result of a loss as one number: what is not reduced is added up.
pub fn result(common: &Common, pieces: &[Piece]) -> Jet {
    let total = pieces.iter().map(|piece| piece.loss).sum();
    if common.reduction != Reduction::Mean {
        return total;
    }
    let sum = |of: fn(&Piece) -> f64| Jet::of(pieces.iter().map(of).sum());
    let denominator = match common.normalizer {
        Normalizer::Count => sum(|piece| f64::from(u8::from(piece.counts))),
        Normalizer::Weights => sum(|piece| piece.weight),
        Normalizer::Positives => sum(|piece| piece.positive),
        Normalizer::FocalWeights => pieces.iter().map(|piece| piece.factor).sum(),
        Normalizer::Constant(number) => Jet::of(number),
    };
    if denominator.value == 0.0 { Jet::of(0.0) } else { total / denominator }
}

fn number(parameter: Option<&Parameter>, class: usize) -> Option<f64> {
    parameter.map(|parameter| parameter.of(class))
}

/// Loss and modulating factor of a probability of class 1, without sample and class weights.
fn binary(p: Jet, y: f64, alpha: Option<f64>, gamma: f64, meaning: SoftTargets) -> (Jet, Jet) {
    let (one, y, not_y) = (Jet::of(1.0), Jet::of(y), Jet::of(1.0 - y));
    let [of_negative, of_positive] = alpha.map_or([1.0; 2], |alpha| [1.0 - alpha, alpha]).map(Jet::of);
    let balance = y * of_positive + not_y * of_negative;
    // 0 log 0 is 0; here no probability is 0 or 1.
    let entropy = -(y * p.ln()) - not_y * (one - p).ln();
    let missed = match meaning {
        SoftTargets::Mixture => y * (one - p) + not_y * p,
        SoftTargets::Quality => (y - p).abs(),
        SoftTargets::Expected => {
            let loss = y * of_positive * (one - p).power(gamma) * -p.ln()
                + not_y * of_negative * p.power(gamma) * -(one - p).ln();
            return (loss, Jet::of(f64::NAN));
        }
    };
    let factor = missed.power(gamma);
    (balance * factor * entropy, factor)
}

impl Defined for SigmoidFocalLoss {
    fn common(&self) -> &Common {
        &self.common
    }

    fn pieces(&self, table: &Table, logits: &[Jet]) -> Vec<Piece> {
        let piece = |(at, &logit): (usize, &Jet)| {
            let (row, class) = (at / table.classes, at % table.classes);
            let (target, y, sample) = match &table.targets {
                Targets::Dense(targets) => (targets[at], targets[at], table.samples[at]),
                Targets::Indices(targets) => {
                    let hit = targets[row] == class as i64;
                    (targets[row] as f64, f64::from(u8::from(hit)), table.samples[row])
                }
            };
            if self.common.ignore_index.is_some_and(|label| label == Label::new(target)) {
                return IGNORED;
            }
            let smoothing = self.common.label_smoothing;
            let smooth = y * (1.0 - smoothing) + smoothing / 2.0;
            let alpha = number(self.alpha.as_ref(), class);
            let p = Jet::of(1.0) / (Jet::of(1.0) + (-logit).exp());
            let (loss, factor) = binary(p, smooth, alpha, self.common.gamma.of(class), self.soft_targets);
            let weight = sample * number(self.class_weight.as_ref(), class).unwrap_or(1.0);
            let balance = alpha.map_or(1.0, |alpha| y * alpha + (1.0 - y) * (1.0 - alpha));
            let loss = Jet::of(weight) * loss;
            Piece { loss, factor, weight: weight * balance, positive: y, counts: true }
        };
        logits.iter().enumerate().map(piece).collect()
    }
}

impl Defined for SoftmaxFocalLoss {
    fn common(&self) -> &Common {
        &self.common
    }

    fn pieces(&self, table: &Table, logits: &[Jet]) -> Vec<Piece> {
        let piece = |(row, logits): (usize, &[Jet])| {
            let hit = |class, target| f64::from(u8::from(class as i64 == target));
            let targets: Vec<f64> = match &table.targets {
                Targets::Dense(targets) => targets[row * table.classes..][..table.classes].to_vec(),
                Targets::Indices(targets) => {
                    if self.common.ignore_index == Some(Label::Whole(targets[row].into())) {
                        return IGNORED;
                    }
                    (0..table.classes).map(|class| hit(class, targets[row])).collect()
                }
            };
            let total: Jet = logits.iter().map(|logit| logit.exp()).sum();
            let smoothing = self.common.label_smoothing;
            let (mut loss, mut factor, mut balance) = (Jet::of(0.0), Jet::of(0.0), 0.0);
            for (class, &y) in targets.iter().enumerate() {
                let alpha = number(self.alpha.as_ref(), class).unwrap_or(1.0);
                let smooth = Jet::of(y * (1.0 - smoothing) + smoothing / table.classes as f64);
                let p = logits[class].exp() / total;
                let modulated = (Jet::of(1.0) - p).power(self.common.gamma.of(class));
                loss = loss + smooth * Jet::of(alpha) * modulated * -p.ln();
                factor = factor + smooth * modulated;
                balance += y * alpha;
            }
            let sample = table.samples[row];
            let (loss, weight) = (Jet::of(sample) * loss, sample * balance);
            Piece { loss, factor, weight, positive: 1.0, counts: true }
        };
        logits.chunks(table.classes).enumerate().map(piece).collect()
    }
}
