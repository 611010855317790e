//! Walking over the float32 logits: kernels against float64 kernels, tile by tile.
//!
//! The oracle of a float32 result is the float64 kernel at the same logit. That is no circle: its own
//! error, measured against double-double arithmetic and mpmath, is some 2^-26 ulp of float32.

use focalgrad::kernel::tile::TILE;
use focalgrad::simd::{AnyIsa, Isa, Kernel};
use rayon::prelude::*;

use super::run::{Results, gauss_newton, plain};

/// Magnitudes |z| that are reported apart: name, and the bits of the first float32 of each.
pub const DOMAINS: [(&str, u32); 5] = [
    ("\\|z\\| < 2^-12", 0),
    ("2^-12 <= \\|z\\| < 1", 0x3980_0000),
    ("1 <= \\|z\\| < 17", 0x3f80_0000),
    ("17 <= \\|z\\| < 104", 0x4188_0000),
    ("104 <= \\|z\\| <= inf", 0x42d0_0000),
];

/// The bits of the largest magnitude, infinity.
const LAST: u32 = 0x7f80_0000;

/// What was found of one function over one domain.
#[derive(Clone, Copy, Default)]
pub struct Found {
    /// The largest error in ulp, and the logit's bits.
    pub worst: f64,
    pub at: u32,
    /// The sum of all errors, and their number.
    pub sum: f64,
    pub count: u64,
    /// A sum over all logits of what their bits and the result's make together: equal for equal results.
    pub fingerprint: u64,
    /// Results for the target 0 that are not the mirror image of those for the target 1.
    pub asymmetric: u64,
    /// Results of each other instruction set that have other bits.
    pub differing: [u64; OTHERS],
}

/// Instruction sets that one walk can compare beside its own.
pub const OTHERS: usize = 3;

impl Found {
    pub fn merge(self, other: Self) -> Self {
        let larger = if other.worst > self.worst || other.worst.is_nan() { other } else { self };
        Self {
            worst: larger.worst,
            at: larger.at,
            sum: self.sum + other.sum,
            count: self.count + other.count,
            fingerprint: self.fingerprint.wrapping_add(other.fingerprint),
            asymmetric: self.asymmetric + other.asymmetric,
            differing: std::array::from_fn(|i| self.differing[i] + other.differing[i]),
        }
    }

    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

/// A walk: on which instruction set, which others to compare bit by bit, with which oracle, and how many
/// patterns each step skips.
#[derive(Clone, Copy)]
pub struct Walk {
    pub isa: AnyIsa,
    pub others: [Option<AnyIsa>; OTHERS],
    pub oracle: AnyIsa,
    pub gamma: f64,
    pub stride: u32,
}

impl Walk {
    /// Goes through a domain, positive and negative logits, and measures value, gradient and Hessian.
    pub fn domain(&self, domain: usize) -> [Found; 3] {
        let first = DOMAINS[domain].1;
        let end = DOMAINS.get(domain + 1).map_or(LAST + 1, |next| next.1);
        let span = TILE as u32 * self.stride;
        let tiles = (end - first).div_ceil(span);
        let merge = |a: [Found; 3], b: [Found; 3]| std::array::from_fn(|i| a[i].merge(b[i]));
        let tile = |sign: u32, i: u32| {
            let start = first + i * span;
            self.tile((start..end.min(start.saturating_add(span))).step_by(self.stride as usize), sign)
        };
        [0, 1 << 31]
            .into_iter()
            .map(|sign| (0..tiles).into_par_iter().map(|i| tile(sign, i)).reduce(Default::default, merge))
            .fold(Default::default(), merge)
    }

    fn tile(&self, patterns: impl ExactSizeIterator<Item = u32>, sign: u32) -> [Found; 3] {
        let len = patterns.len();
        let mut logits = [0.0_f32; TILE];
        for (logit, pattern) in logits.iter_mut().zip(patterns) {
            *logit = f32::from_bits(pattern | sign);
        }
        let opposite = logits.map(|x| -x);
        let wide = logits.map(f64::from);
        let mut got: Results<f32> = [[0.0; TILE]; 3];
        let mut mirrored: Results<f32> = [[0.0; TILE]; 3];
        let mut truth: Results<f64> = [[0.0; TILE]; 3];
        let mut surrogate: Results<f64> = [[0.0; TILE]; 3];
        plain(self.isa, self.gamma, &logits[..len], 1.0, &mut got);
        plain(self.isa, self.gamma, &opposite[..len], 0.0, &mut mirrored);
        plain(self.oracle, self.gamma, &wide[..len], 1.0, &mut truth);
        gauss_newton(self.oracle, self.gamma, &wide[..len], &mut surrogate);
        let half_upper = 0.5 * (1.0 + self.gamma);
        let mut found = std::array::from_fn(|which| {
            self.oracle.vectorize(Measure {
                logits: &logits[..len],
                got: &got[which],
                mirrored: &mirrored[which],
                mirror: if which == 1 { 1 << 31 } else { 0 },
                truth: &truth[which],
                surrogate: &surrogate[2],
                half_upper: if which == 2 { half_upper } else { 0.0 },
            })
        });
        for (i, &other) in self.others.iter().flatten().enumerate() {
            plain(other, self.gamma, &logits[..len], 1.0, &mut mirrored);
            for (found, (a, b)) in found.iter_mut().zip(got.iter().zip(&mirrored)) {
                found.differing[i] =
                    a.iter().zip(b).filter(|(a, b)| a.to_bits() != b.to_bits()).count() as u64;
            }
        }
        found
    }
}

/// The errors of one function over a tile.
struct Measure<'a> {
    logits: &'a [f32],
    got: &'a [f32; TILE],
    mirrored: &'a [f32; TILE],
    /// What the sign bit of a mirrored result is expected to be changed by.
    mirror: u32,
    truth: &'a [f64; TILE],
    surrogate: &'a [f64; TILE],
    half_upper: f64,
}

/// One over the ulp of a float32 of this size: from its exponent, that of the smallest normal number if
/// it is smaller.
#[inline(always)]
fn per_ulp(size: f64) -> f64 {
    let exponent = size.abs().max(f64::from(f32::MIN_POSITIVE)).to_bits() >> 52;
    f64::from_bits((2 * 1023 + 23 - exponent) << 52)
}

impl Kernel for Measure<'_> {
    type Output = Found;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> Found {
        let mut errors = [0.0_f64; TILE];
        let mut found = Found { count: self.logits.len() as u64, ..Found::default() };
        for (i, x) in self.logits.iter().enumerate() {
            let (got, truth) = (self.got[i], self.truth[i]);
            let size = truth.abs().max(self.half_upper * self.surrogate[i]);
            let error = (f64::from(got) - truth).abs() * per_ulp(size);
            errors[i] = if f64::from(got) == truth { 0.0 } else { error };
            found.asymmetric += u64::from(self.mirrored[i].to_bits() ^ self.mirror != got.to_bits());
            let odd = u64::from(x.to_bits()).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            found.fingerprint =
                found.fingerprint.wrapping_add(odd.wrapping_mul(u64::from(got.to_bits()) + 1));
        }
        let mut sums = [0.0; 16];
        let mut largest = [0.0; 16];
        for row in errors.as_chunks::<16>().0 {
            for ((sum, large), &error) in sums.iter_mut().zip(&mut largest).zip(row) {
                *sum += error;
                *large = if error <= *large { *large } else { error };
            }
        }
        found.sum = sums.iter().sum();
        // A NaN is larger than everything.
        found.worst = largest.iter().fold(0.0, |worst, &error| if error <= worst { worst } else { error });
        let at = errors.iter().position(|&error| error == found.worst || error.is_nan());
        found.at = at.map_or(0, |i| self.logits.get(i).map_or(0, |x| x.to_bits()));
        found
    }
}
