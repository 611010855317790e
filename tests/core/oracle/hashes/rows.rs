//! Hashes of losses over rows: logits and probabilities, one target class or a target for every class.

use std::ptr::null;

use focalgrad::element::DType;
use focalgrad::kernel::output::{CURVATURE, GAUSS_NEWTON, GRAD, VALUE};
use focalgrad::kernel::rows::{Constants, DenseOperands, Matrix, Operands, RowReal, Scratch};
use focalgrad::loss::focal::{Gamma, power};
use focalgrad::params::Modulator;
use focalgrad::simd::AnyIsa;

use super::{Hash, SplitMix, same};
use crate::oracle::GAMMAS;

/// Classes of the rows, and gammas of all losses but the first, which has all that are walked.
const CLASSES: [usize; 9] = [1, 2, 3, 7, 16, 33, 100, 257, 1000];
const SOME_GAMMAS: [f64; 5] = [0.0, 1.0, 1.7, 2.0, 3.0];

/// A loss over rows.
#[derive(Clone, Copy)]
struct Loss {
    name: &'static str,
    /// A target for every class.
    dense: bool,
    probabilities: bool,
    modulator: Modulator,
    /// Divided by the sum of the modulating factors.
    quotient: bool,
    /// Gammas of each row's or class' own, weights of rows and classes, smoothed targets.
    own: bool,
}

const SOFTMAX: Loss = Loss {
    name: "softmax",
    dense: false,
    probabilities: false,
    modulator: Modulator::Softmax,
    quotient: false,
    own: false,
};
const SIGMOID: Loss = Loss { name: "sigmoid modulator", modulator: Modulator::Sigmoid, ..SOFTMAX };
const DENSE: Loss = Loss { name: "dense", dense: true, ..SOFTMAX };
const LOSSES: [Loss; 10] = [
    SOFTMAX,
    Loss { name: "softmax weighted", own: true, ..SOFTMAX },
    Loss { name: "softmax quotient", quotient: true, ..SOFTMAX },
    SIGMOID,
    Loss { name: "sigmoid modulator quotient", quotient: true, ..SIGMOID },
    DENSE,
    Loss { name: "dense weighted", own: true, ..DENSE },
    Loss { name: "dense quotient", quotient: true, ..DENSE },
    Loss { name: "row probabilities", probabilities: true, ..SOFTMAX },
    Loss { name: "dense probabilities", probabilities: true, ..DENSE },
];

/// What has a hash of its own. Not every loss has the last two.
const QUANTITIES: [&str; 6] = ["value", "factor", "gradient", "Hessian", "Gauss-Newton", "upper"];

/// Rows that are the same on every machine.
struct Rows<R> {
    classes: usize,
    logits: Vec<R>,
    probabilities: Vec<R>,
    labels: Vec<i64>,
    targets: Vec<R>,
    /// Of each row: a weight and a gamma.
    weights: Vec<R>,
    gammas: Vec<f64>,
}

impl<R: RowReal> Rows<R> {
    /// Numbers of float32 or, where the comment says so, rounded once from a quotient.
    fn new(rows: usize, classes: usize) -> Self {
        let mut random = SplitMix(classes as u64);
        let mut it = Self {
            classes,
            logits: vec![],
            probabilities: vec![],
            labels: vec![],
            targets: vec![],
            weights: vec![],
            gammas: vec![],
        };
        for row in 0..rows {
            let bits = random.next();
            // A class that stands out, and what it is.
            let (odd, oddity) = ((bits >> 32) as usize % classes, f32::from_bits(random.next() as u32));
            it.labels.push(if row % 16 == 15 { -1 } else { (bits % classes as u64) as i64 });
            it.weights.push(R::from_f64(f64::from((bits >> 40) as u8) / 32.0 - 1.0));
            it.gammas.push([0.5, 2.0, 1.7][row % 3]);
            for class in 0..classes {
                let bits = random.next();
                let fraction = f64::from(bits as i32 >> 8) * 2.0_f64.powi(-23);
                let scale = [8.0, 0.0, 32.0, 8.0, 512.0, 1.0, 128.0, 8.0][row % 8];
                let logit = match row % 8 {
                    3 if bits >> 62 == 0 => f64::NEG_INFINITY,
                    7 if class == odd => f64::from(oddity),
                    _ => fraction * scale,
                };
                let small = f64::from((bits >> 40) as u16) * 2.0_f64.powi([-16, -20, -60, -17][row % 4]);
                let target = match row % 4 {
                    0 => f64::from(class == odd),
                    1 => f64::from((bits >> 56) as u8) / 256.0,
                    2 => f64::from((bits >> 63) as u8) * 0.5,
                    _ => (f64::from((bits >> 56) as i8) / 128.0).max(0.0),
                };
                it.logits.push(R::from_f64(logit));
                it.probabilities.push(R::from_f64(if bits >> 33 & 1 == 0 { small } else { 1.0 - small }));
                it.targets.push(R::from_f64(target));
            }
        }
        it
    }

    fn len(&self) -> usize {
        self.labels.len()
    }
}

/// A call: a loss of rows, laid out one way or the other.
struct Call<'a, R> {
    isa: AnyIsa,
    loss: Loss,
    constants: Constants<R>,
    rows: &'a Rows<R>,
    class_first: bool,
    upper: bool,
}

/// Value, factor, gradient and Hessian; by rows, whatever the layout.
type Results<R> = [Vec<R>; 4];

impl<R: RowReal> Call<'_, R> {
    /// Runs a kernel; what it does not compute stays 0.
    fn run(&self, outputs: u8) -> Results<R> {
        let Self { rows, loss, .. } = *self;
        let (count, classes) = (rows.len(), rows.classes);
        let x = if loss.probabilities { &rows.probabilities } else { &rows.logits };
        let (x, y) = (self.laid_out(x), self.laid_out(&rows.targets));
        let (row, class) = if self.class_first { (1, count as isize) } else { (classes as isize, 1) };
        let (zeros, mut grad) = (vec![R::ZERO; count], vec![R::ZERO; x.len()]);
        let (mut value, mut factor, mut hess) = (zeros.clone(), zeros, grad.clone());
        let gammas: Vec<f64> = rows.gammas.iter().copied().cycle().take(count.max(classes)).collect();
        let gammas: [Vec<R>; 3] =
            std::array::from_fn(|part| gammas.iter().map(|&g| Gamma::new(g).parts()[part]).collect());
        let alphas: Vec<R> = (0..classes).map(|c| R::from_f64(0.25 + (c % 7) as f64 / 8.0)).collect();
        let own = |list: &[R]| if loss.own { list.as_ptr() } else { null() };
        // The second one is a quotient that is rounded once.
        let smoothing = if loss.own { [0.875, 0.125 / classes as f64] } else { [1.0, 0.0] };
        let logits = Matrix { data: x.as_ptr(), row, class };
        let weights = [own(&rows.weights); 3];
        let gammas = gammas.each_ref().map(|part| own(part));
        let (value_to, factor_to) = (value.as_mut_ptr(), factor.as_mut_ptr());
        let grad_to = Matrix { data: grad.as_mut_ptr(), row, class };
        let hess_to = Matrix { data: hess.as_mut_ptr(), row, class };
        let bounds = Some([2.0_f64.powi(-50), 1.0].map(R::from_f64));
        let (isa, constants, mut scratch) = (self.isa, &self.constants, Scratch::new());
        if loss.dense {
            let operands = DenseOperands {
                rows: count,
                classes,
                logits,
                targets: Matrix { data: y.as_ptr(), row, class },
                smoothing: smoothing.map(R::from_f64),
                alphas: own(&alphas),
                gammas,
                weights,
                upper: self.upper,
                value: value_to,
                factor: factor_to,
                grad: grad_to,
                hess: hess_to,
                streamed: false,
            };
            // SAFETY: all lists are as long as rows and classes say, gammas and weights as long as either.
            unsafe {
                if loss.probabilities {
                    R::run_dense_probabilities(
                        isa,
                        constants,
                        &operands,
                        bounds,
                        outputs,
                        None,
                        &mut scratch,
                    );
                } else {
                    R::run_dense(isa, constants, &operands, outputs, None, &mut scratch);
                }
            }
        } else {
            let operands = Operands {
                rows: count,
                classes,
                logits,
                targets: rows.labels.as_ptr(),
                weights,
                gammas,
                value: value_to,
                factor: factor_to,
                grad: grad_to,
                hess: hess_to,
                streamed: false,
            };
            // SAFETY: as above, and labels are less than the number of classes.
            unsafe {
                if loss.probabilities {
                    R::run_probabilities(isa, constants, &operands, bounds, outputs, &mut scratch);
                } else {
                    R::run(isa, constants, &operands, outputs, None, &mut scratch);
                }
            }
        }
        [value, factor, self.by_rows(grad), self.by_rows(hess)]
    }

    fn laid_out(&self, matrix: &[R]) -> Vec<R> {
        if self.class_first { turned(matrix, self.rows.classes) } else { matrix.to_vec() }
    }

    fn by_rows(&self, matrix: Vec<R>) -> Vec<R> {
        if self.class_first { turned(&matrix, self.rows.len()) } else { matrix }
    }
}

/// A matrix of so many columns, by its columns.
fn turned<R: Copy>(matrix: &[R], columns: usize) -> Vec<R> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}

/// Hashes of all losses over rows; panics if layouts or single and fused calls differ.
pub fn all_of<R: RowReal>(isa: AnyIsa, list: &mut Vec<(String, u64)>) {
    let kind = DType::of::<R>().name();
    let short = CLASSES.map(|classes| Rows::<R>::new((1800 / classes).clamp(3, 71), classes));
    // More than are brought in at once.
    let long = [Rows::<R>::new(2, R::CHUNK + 77)];
    for loss in LOSSES {
        let gammas = match loss.name {
            "softmax" => &GAMMAS[..],
            _ if loss.own => &[1.7],
            _ => &SOME_GAMMAS,
        };
        for &gamma in gammas {
            let name = if loss.own { String::new() } else { format!(" gamma {gamma}") };
            push(list, &format!("{kind} {}{name}", loss.name), loss, of_rows(isa, loss, gamma, &short));
        }
        push(list, &format!("{kind} {} long rows", loss.name), loss, of_rows(isa, loss, 1.7, &long));
    }
}

/// A line for each quantity. Values and factors of rows know nothing of a quotient.
fn push(list: &mut Vec<(String, u64)>, name: &str, loss: Loss, hashes: Vec<u64>) {
    let quantities = QUANTITIES.iter().zip(hashes).skip(if loss.quotient { 2 } else { 0 });
    list.extend(quantities.map(|(quantity, hash)| (format!("{name} {quantity}"), hash)));
}

/// One hash for each quantity that the loss has.
fn of_rows<R: RowReal>(isa: AnyIsa, loss: Loss, gamma: f64, all: &[Rows<R>]) -> Vec<u64> {
    let mut constants = Constants::new(gamma);
    constants.modulator = loss.modulator;
    if loss.own {
        constants.power = power::GENERAL;
    }
    if loss.quotient {
        let [mean, inverse, weight] = [0.1875, 0.25, 0.75].map(R::from_f64);
        (constants.grad, constants.hess, constants.quotient) = (weight, weight, Some([mean, inverse]));
    }
    let surrogates = match loss {
        Loss { probabilities: true, .. } | Loss { quotient: true, .. } => 0,
        Loss { modulator: Modulator::Sigmoid, .. } => 0,
        Loss { dense: false, .. } => 1,
        Loss { dense: true, .. } => 2,
    };
    let mut hashes: Vec<Hash> = (0..4 + surrogates).map(|_| Hash::new()).collect();
    for rows in all {
        let quantities = [false, true].map(|class_first| {
            let call = |upper| Call { isa, loss, constants, rows, class_first, upper };
            let [value, factor, grad, _] = call(false).run(VALUE | GRAD);
            let [_, _, again, hess] = call(false).run(GRAD | CURVATURE);
            assert!(same(&grad, &again), "{} {} gamma {gamma}: gradients differ", isa.name(), loss.name);
            let mut quantities = vec![value, factor, grad, hess];
            for upper in [false, true].into_iter().take(surrogates) {
                let [.., surrogate] = call(upper).run(GAUSS_NEWTON);
                quantities.push(surrogate);
            }
            quantities
        });
        let [last, first] = quantities;
        for ((hash, last), first) in hashes.iter_mut().zip(&last).zip(&first) {
            assert!(same(last, first), "{} {} gamma {gamma}: layouts differ", isa.name(), loss.name);
            last.iter().for_each(|x| hash.add(x.to_f64()));
        }
    }
    hashes.into_iter().map(|hash| hash.0).collect()
}
