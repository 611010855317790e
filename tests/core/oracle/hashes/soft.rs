//! Hashes of losses for labels between 0 and 1 and for probabilities, element by element.

use std::ptr::null_mut;

use focalgrad::element::DType;
use focalgrad::kernel::compiled::Compiled;
use focalgrad::kernel::operands::{Constants, Operands};
use focalgrad::kernel::soft::Options;
use focalgrad::kernel::tile::TILE;
use focalgrad::params::SoftTargets;
use focalgrad::simd::AnyIsa;

use super::{Hash, SplitMix};

const MEANINGS: [(&str, SoftTargets); 3] = [
    ("mixture", SoftTargets::Mixture),
    ("expected", SoftTargets::Expected),
    ("quality", SoftTargets::Quality),
];
const GAMMAS: [f64; 4] = [0.0, 0.5, 1.7, 2.0];
const QUANTITIES: [&str; 5] = ["value", "gradient", "Hessian", "factor", "Gauss-Newton"];

/// Every array length up to here, and some whole tiles.
const SMALL: usize = 130;
const LARGE: usize = 4 * TILE;

struct Inputs<R> {
    logits: Vec<R>,
    probabilities: Vec<R>,
    labels: Vec<R>,
}

impl<R: Compiled> Inputs<R> {
    /// Numbers of float32: logits of every size, some of them not finite, probabilities of every size.
    fn new() -> Self {
        let mut random = SplitMix(6);
        let mut inputs = Self { logits: vec![], probabilities: vec![], labels: vec![] };
        for i in 0..LARGE {
            let bits = random.next();
            let fraction = f64::from(bits as i32 >> 8) * 2.0_f64.powi(-23);
            let logit = match i % 8 {
                0 => f64::from(f32::from_bits((bits >> 32) as u32)),
                1..=2 => fraction * 128.0,
                _ => fraction * 16.0,
            };
            let small = f64::from((bits >> 40) as u16) * 2.0_f64.powi([-16, -20, -60, -17][i / 2 % 4]);
            inputs.logits.push(R::from_f64(logit));
            inputs.probabilities.push(R::from_f64(if i % 2 == 0 { small } else { 1.0 - small }));
            let label = f64::from((bits >> 50) as u8 & 127) / 128.0;
            inputs.labels.push(R::from_f64(if i % 16 == 0 { 1.0 } else { label }));
        }
        inputs
    }
}

/// Hashes of all meanings.
pub fn all_of<R: Compiled>(isa: AnyIsa, list: &mut Vec<(String, u64)>) {
    let inputs = Inputs::<R>::new();
    for (name, meaning) in MEANINGS {
        for probabilities in [false, true] {
            for gamma in GAMMAS {
                let label = if probabilities { "probabilities" } else { "logits" };
                let name = format!("{} {name} of {label} gamma {gamma}", DType::of::<R>().name());
                let hashes = of_meaning(isa, meaning, probabilities, gamma, &inputs);
                let quantities = QUANTITIES.into_iter().zip(hashes);
                // What a meaning does not have is not computed.
                let there = quantities.filter(|&(quantity, _)| match quantity {
                    "factor" => meaning != SoftTargets::Expected,
                    "Gauss-Newton" => !probabilities,
                    _ => true,
                });
                list.extend(there.map(|(quantity, hash)| (format!("{name} {quantity}"), hash)));
            }
        }
    }
}

/// Hashes over all sizes: plain, smoothed, clipped and weighted, and as a quotient by the sum of the factors.
fn of_meaning<R: Compiled>(
    isa: AnyIsa,
    meaning: SoftTargets,
    probabilities: bool,
    gamma: f64,
    inputs: &Inputs<R>,
) -> [u64; 5] {
    let plain = Options::<R>::new(meaning);
    let smoothed = plain.smoothed(0.125).clipped(2.0_f64.powi(-50));
    let quotient = Some([0.375, 0.125].map(R::from_f64));
    let mut variants = vec![(plain, [1.0, 1.0]), (smoothed, [0.75, 0.25])];
    if meaning != SoftTargets::Expected {
        variants.push((Options { quotient, ..plain }, [0.75, 0.25]));
    }
    let x = if probabilities { &inputs.probabilities } else { &inputs.logits };
    let mut hashes = [const { Hash::new() }; 5];
    for (options, weights) in variants {
        let small = (0..SMALL).map(|len| (SMALL - len, SMALL));
        for (from, to) in small.chain((0..LARGE).step_by(TILE).map(|at| (at, at + TILE))) {
            let run = |options| {
                let kernel = R::soft_kernel(meaning, probabilities);
                let mut out = [[R::ZERO; TILE]; 4];
                let [value, grad, hess, factor] = out.each_mut().map(|row| row.as_mut_ptr());
                let weights = weights.map(|weight| [R::from_f64(weight); TILE]);
                let operands = Operands {
                    len: to - from,
                    logits: x[from..to].as_ptr(),
                    targets: inputs.labels[from..to].as_ptr(),
                    weights: [weights.each_ref().map(|row| row.as_ptr()); 3],
                    value,
                    grad,
                    hess,
                    factor: if meaning == SoftTargets::Expected { null_mut() } else { factor },
                    ..Operands::NONE
                };
                // SAFETY: inputs have `len` elements, weights and outputs a tile.
                unsafe { kernel(isa, &Constants::new(gamma, [R::ONE; 2]), &options, &operands) };
                out
            };
            let [value, grad, hess, factor] = run(options);
            let surrogate = run(Options { gauss_newton: !probabilities, ..options })[2];
            for (hash, row) in hashes.iter_mut().zip([value, grad, hess, factor, surrogate]) {
                row[..to - from].iter().for_each(|x| hash.add(x.to_f64()));
            }
        }
    }
    hashes.map(|hash| hash.0)
}
