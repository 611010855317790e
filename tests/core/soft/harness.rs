//! Running the soft kernels over plain arrays.

use std::ptr::null_mut;

use focalgrad::kernel::compiled::Compiled;
use focalgrad::kernel::operands::{Constants, Operands};
use focalgrad::kernel::soft::Options;
use focalgrad::kernel::tile::TILE;
use focalgrad::params::SoftTargets;
use focalgrad::real::Real;
use focalgrad::simd::AnyIsa;

pub const MEANINGS: [(&str, SoftTargets); 3] = [
    ("mixture", SoftTargets::Mixture),
    ("expected", SoftTargets::Expected),
    ("quality", SoftTargets::Quality),
];

/// A call as the user knows it.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub meaning: SoftTargets,
    pub probabilities: bool,
    pub gamma: f64,
    pub smoothing: f64,
    /// Weights of negatives and positives.
    pub weights: [f64; 2],
}

impl Call {
    /// Logits, neither weights nor smoothing.
    pub fn plain(meaning: SoftTargets, gamma: f64) -> Self {
        Self { meaning, probabilities: false, gamma, smoothing: 0.0, weights: [1.0; 2] }
    }

    /// The modulating factor at a probability; of `Expected` the smaller one.
    pub fn power(&self, p: f64, y: f64) -> f64 {
        let s = self.smoothing;
        let y = y * (1.0 - s) + s / 2.0;
        let m = match self.meaning {
            SoftTargets::Mixture => y * (1.0 - p) + (1.0 - y) * p,
            SoftTargets::Expected => p.min(1.0 - p),
            SoftTargets::Quality => (p - y).abs(),
        };
        m.powf(self.gamma)
    }

    pub fn constants<R: Real>(&self) -> Constants<R> {
        Constants::new(self.gamma, self.weights.map(R::from_weight))
    }

    pub fn options<R: Real>(&self) -> Options<R> {
        Options::new(self.meaning).smoothed(self.smoothing)
    }

    /// Value, gradient, Hessian and factor of every element.
    pub fn run<R: Compiled>(&self, isa: AnyIsa, x: &[R], y: &[R]) -> [Vec<R>; 4] {
        self.run_with(isa, &self.options(), x, y)
    }

    /// The same with other options; no factor for `Expected`, which has none.
    pub fn run_with<R: Compiled>(&self, isa: AnyIsa, options: &Options<R>, x: &[R], y: &[R]) -> [Vec<R>; 4] {
        let mut out = [(); 4].map(|()| vec![R::ZERO; x.len()]);
        let kernel = R::soft_kernel(self.meaning, self.probabilities);
        let weights = self.weights.map(|weight| [R::from_weight(weight); TILE]);
        for at in (0..x.len()).step_by(TILE) {
            let [value, grad, hess, factor] = out.each_mut().map(|row| row[at..].as_mut_ptr());
            let operands = Operands {
                len: TILE.min(x.len() - at),
                logits: x[at..].as_ptr(),
                targets: y[at..].as_ptr(),
                weights: [weights.each_ref().map(|row| row.as_ptr()); 3],
                value,
                grad,
                hess,
                factor: if self.meaning == SoftTargets::Expected { null_mut() } else { factor },
                ..Operands::NONE
            };
            // SAFETY: every operand is a tile long, or null.
            unsafe { kernel(isa, &self.constants(), options, &operands) };
        }
        out
    }
}

/// A sequence that fills the unit interval evenly.
pub fn spread(i: usize) -> f64 {
    (i as f64 * 0.754_877_666_246_692_8).fract()
}

/// A unit in the last place of a number of type R near `x`.
pub fn ulp<R: Real>(x: f64) -> f64 {
    let (bits, smallest) = if size_of::<R>() == 4 { (23, -126) } else { (52, -1022) };
    let exponent = if x == 0.0 { smallest } else { (x.abs().log2().floor() as i32).max(smallest) };
    // In two steps: the unit of the smallest numbers is subnormal.
    2.0_f64.powi(exponent) * 2.0_f64.powi(-bits)
}

/// Whether two arrays have the same bits, any NaN counting as any other.
pub fn same<R: Real>(a: &[R], b: &[R]) -> bool {
    let bits = |x: &R| {
        let x = x.to_f64();
        if x.is_nan() { u64::MAX } else { x.to_bits() }
    };
    a.iter().map(bits).eq(b.iter().map(bits))
}
