//! Running the kernels over plain arrays.

use focalgrad::kernel::compiled::Compiled;
use focalgrad::kernel::operands::{Constants, Operands};
use focalgrad::kernel::output::Set;
use focalgrad::kernel::tile::TILE;
use focalgrad::simd::AnyIsa;

/// Losses, gradient and Hessian of up to a tile of elements.
pub type Results<R> = [[R; TILE]; 3];

/// A call without reduction, weights of its own for negatives and positives, and sample weights.
#[derive(Clone, Copy)]
pub struct Call<'a, R> {
    pub isa: AnyIsa,
    pub gamma: f64,
    pub weights: [f64; 2],
    pub logits: &'a [R],
    pub targets: &'a [R],
    pub samples: Option<&'a [f64]>,
}

impl<R: Compiled> Call<'_, R> {
    /// Runs one kernel over at most a tile; what it does not compute stays as it was.
    pub fn run(&self, outputs: Set, results: &mut Results<R>) {
        let constants = Constants::new(self.gamma, self.weights.map(R::from_weight));
        let len = self.logits.len();
        assert!(len <= TILE && self.targets.len() == len && self.samples.is_none_or(|s| s.len() == len));
        let [value, grad, hess] = results.each_mut().map(|row| row.as_mut_ptr());
        let mut samples = [R::ZERO; TILE];
        for (sample, number) in samples.iter_mut().zip(self.samples.into_iter().flatten()) {
            *sample = R::from_weight(*number);
        }
        let operands = Operands {
            len,
            logits: self.logits.as_ptr(),
            targets: self.targets.as_ptr(),
            samples: if self.samples.is_some() { samples.as_ptr() } else { std::ptr::null() },
            value,
            grad,
            hess,
            ..Operands::NONE
        };
        // SAFETY: every operand holds `len` elements, samples and results a tile.
        unsafe { R::kernel(self.gamma, outputs)(self.isa, &constants, &operands) };
    }
}

/// Unweighted losses, gradient and exact Hessian of logits that all have the same target.
pub fn plain<R: Compiled>(isa: AnyIsa, gamma: f64, logits: &[R], target: R, results: &mut Results<R>) {
    let targets = [target; TILE];
    let targets = &targets[..logits.len()];
    let call = Call { isa, gamma, weights: [1.0; 2], logits, targets, samples: None };
    call.run(Set::Value, results);
    call.run(Set::GradAndCurvature, results);
}

/// The Gauss-Newton Hessian of logits whose targets are 1.
pub fn gauss_newton(isa: AnyIsa, gamma: f64, logits: &[f64], results: &mut Results<f64>) {
    let targets = [1.0; TILE];
    let targets = &targets[..logits.len()];
    let call = Call { isa, gamma, weights: [1.0; 2], logits, targets, samples: None };
    call.run(Set::GradAndGaussNewton, results);
}
