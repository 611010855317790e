//! One hash for every kind of result, from inputs that are the same on every machine.

use std::fmt::Write;

use focalgrad::element::DType;
use focalgrad::kernel::compiled::Compiled;
use focalgrad::kernel::exact::ExactSum;
use focalgrad::kernel::exact_tile::{ExactTileSum, Summable};
use focalgrad::kernel::output::Set;
use focalgrad::kernel::reduce::{TileSum, Total};
use focalgrad::kernel::tile::TILE;
use focalgrad::real::Real;
use focalgrad::simd::AnyIsa;
use rayon::prelude::*;

use super::GAMMAS;
use super::run::{Call, Results};

mod rows;
mod soft;

/// The committed hashes: name, hash of the sets with a fused multiply-add, hash of `portable`.
pub const COMMITTED: &str = include_str!("../../hashes.txt");

/// Every array length up to here, and one large array.
const SMALL: usize = 300;
const LARGE: usize = 100_003;

/// Adds hashes and their names to a list.
type Part = fn(AnyIsa, &mut Vec<(String, u64)>);

/// Hashes by name, for one instruction set.
pub fn hashes(isa: AnyIsa) -> Vec<(String, u64)> {
    let parts: [Part; 6] = [
        all_of::<f32>,
        all_of::<f64>,
        soft::all_of::<f32>,
        soft::all_of::<f64>,
        rows::all_of::<f32>,
        rows::all_of::<f64>,
    ];
    let part = |part: Part| {
        let mut list = Vec::new();
        part(isa, &mut list);
        list
    };
    parts.into_par_iter().flat_map_iter(part).collect()
}

/// Which column of the file an instruction set has to hit.
pub fn column(isa: AnyIsa) -> usize {
    usize::from(isa.name() == "portable")
}

/// The lines of the committed file: name and both hashes.
pub fn committed() -> Vec<(String, [u64; 2])> {
    let lines = COMMITTED.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, hashes) = words.split_at(words.len() - 2);
            let hash = |i: usize| u64::from_str_radix(hashes[i], 16).unwrap();
            (name.join(" "), [hash(0), hash(1)])
        })
        .collect()
}

/// The file for these hashes.
pub fn file(lines: &[(String, [u64; 2])]) -> String {
    let mut text =
        "# Results in bits: sets with a fused multiply-add, then portable. Made by `make hashes`.\n"
            .to_owned();
    for (name, [fused, portable]) in lines {
        writeln!(text, "{name:56} {fused:016x} {portable:016x}").unwrap();
    }
    text
}

/// A fixed sequence of integers (Steele, Lea and Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A hash of bit patterns, every NaN as one (Fowler, Noll and Vo, a word at a time).
struct Hash(u64);

impl Hash {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, x: f64) {
        let bits = if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() };
        self.0 = (self.0 ^ bits).wrapping_mul(0x100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }
}

/// Whether two lists have the same bits, every NaN as one.
fn same<R: Real>(a: &[R], b: &[R]) -> bool {
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a.to_f64(), b.to_f64()))
}

struct Inputs<R> {
    logits: Vec<R>,
    targets: Vec<R>,
    samples: Vec<f64>,
}

impl<R: Compiled> Inputs<R> {
    /// Logits of every size, some of them not finite; targets that are labels but for one in 64;
    /// weights of both signs. All are float32 numbers, made without rounding.
    fn new() -> Self {
        let mut random = SplitMix(5);
        let mut inputs = Self { logits: vec![], targets: vec![], samples: vec![] };
        for i in 0..LARGE {
            let bits = random.next();
            let fraction = f64::from(bits as i32 >> 8) * 2.0_f64.powi(-23);
            let logit = match i % 8 {
                0 => f64::from(f32::from_bits((bits >> 32) as u32)),
                1 => fraction * 128.0,
                2 => fraction * 1024.0,
                3..=5 => fraction * 8.0,
                _ => fraction * 32.0,
            };
            let target = if bits >> 58 == 0 { 0.5 } else { f64::from((bits >> 57) as u8 & 1) };
            inputs.logits.push(R::from_f64(logit));
            inputs.targets.push(R::from_f64(target));
            inputs.samples.push(f64::from((bits >> 40) as u8) / 32.0 - 1.0);
        }
        inputs
    }
}

fn all_of<R: Compiled + Summable>(isa: AnyIsa, list: &mut Vec<(String, u64)>) {
    let inputs = Inputs::<R>::new();
    let kind = DType::of::<R>().name();
    for gamma in GAMMAS.into_iter().chain([0.3, 1e15]) {
        for weighted in [false, true] {
            let label = if weighted { "weighted" } else { "plain" };
            for (hash, name) in elementwise(isa, gamma, weighted, &inputs).into_iter().zip(NAMES) {
                list.push((format!("{kind} gamma {gamma} {label} {name}"), hash));
            }
        }
    }
    // The last bit of the last coefficient is too small to be seen in these results.
    let mut coefficients = Hash::new();
    [R::EXP, R::LOG1P, R::LOG].concat().iter().for_each(|x| coefficients.add(x.to_f64()));
    list.push((format!("{kind} coefficients"), coefficients.0));
    for (name, hash) in ["sum", "exact sum"].into_iter().zip(sums(isa, &inputs)) {
        list.push((format!("{kind} {name}"), hash));
    }
}

const NAMES: [&str; 4] = ["value", "gradient", "Hessian", "Gauss-Newton"];

/// Hashes of the four results over all sizes; panics if fused calls or other positions differ.
fn elementwise<R: Compiled>(isa: AnyIsa, gamma: f64, weighted: bool, inputs: &Inputs<R>) -> [u64; 4] {
    let call = |from: usize, to: usize| Call {
        isa,
        gamma,
        weights: [0.75, 0.25],
        logits: &inputs.logits[from..to],
        targets: &inputs.targets[from..to],
        samples: weighted.then_some(&inputs.samples[from..to]),
    };
    let mut hashes = [const { Hash::new() }; 4];
    let small = (0..SMALL).map(|len| (SMALL - len, SMALL));
    let large = (0..LARGE).step_by(TILE).map(|at| (at, LARGE.min(at + TILE)));
    for (from, to) in small.chain(large) {
        let call = call(from, to);
        let mut fused: Results<R> = [[R::ZERO; TILE]; 3];
        let mut exact: Results<R> = [[R::ZERO; TILE]; 3];
        let mut surrogate: Results<R> = [[R::ZERO; TILE]; 3];
        let mut single: Results<R> = [[R::ZERO; TILE]; 3];
        call.run(Set::ValueAndGrad, &mut fused);
        call.run(Set::GradAndCurvature, &mut exact);
        call.run(Set::GradAndGaussNewton, &mut surrogate);
        call.run(Set::Value, &mut single);
        call.run(Set::Grad, &mut single);
        let rows = [&fused[0], &fused[1], &exact[2], &surrogate[2]];
        for (hash, row) in hashes.iter_mut().zip(rows) {
            row[..to - from].iter().for_each(|x| hash.add(x.to_f64()));
        }
        for (a, b) in [(&fused[0], &single[0]), (&fused[1], &single[1]), (&exact[1], &single[1])] {
            assert!(same(a, b), "{} gamma {gamma}: a fused call differs from a single one", isa.name());
        }
    }
    hashes.map(|hash| hash.0)
}

/// Hashes of sums over all sizes.
fn sums<R: Compiled + Summable>(isa: AnyIsa, inputs: &Inputs<R>) -> [u64; 2] {
    let mut hashes = [const { Hash::new() }; 2];
    // Finite: one number that is not would hide the others.
    let finite = |&x: &R| if x.to_f64().abs() < 1e30 { x } else { R::ONE };
    let values: Vec<R> = inputs.logits.iter().map(finite).collect();
    for len in (0..SMALL).chain([LARGE]) {
        let (mut total, mut exact) = (Total::default(), ExactSum::default());
        for from in (0..len).step_by(TILE) {
            let range = from..len.min(from + TILE);
            total.add(isa.vectorize(TileSum(&values[range.clone()])));
            exact.add(isa.vectorize(ExactTileSum(&values[range])));
        }
        let results = [total.value(), exact.value()];
        hashes.iter_mut().zip(results).for_each(|(hash, x)| hash.add(x));
    }
    hashes.map(|hash| hash.0)
}
