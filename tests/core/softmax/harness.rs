//! Calls of the kernel on vectors.

use std::ptr::null;

use focalgrad::kernel::output;
use focalgrad::kernel::rows::{Constants, Form, Matrix, Operands, RowReal, Scratch};
use focalgrad::loss::focal::Gamma;
use focalgrad::simd::AnyIsa;

use crate::oracle::dd::Dd;

/// The results of a set of rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results<R> {
    pub value: Vec<R>,
    pub factor: Vec<R>,
    pub grad: Vec<R>,
    pub hess: Vec<R>,
}

/// A case: logits in rows, and how they are handed over.
#[derive(Clone)]
pub struct Case<'a, R> {
    pub classes: usize,
    /// By rows.
    pub logits: &'a [R],
    pub targets: &'a [i64],
    /// Of each row, for all results.
    pub weights: Option<&'a [R]>,
    pub gamma: f64,
    /// Each row's own, instead of that.
    pub gammas: Option<&'a [f64]>,
    /// Whether the class axis comes first in memory.
    pub class_first: bool,
    pub form: Option<Form>,
    pub streamed: bool,
}

impl<'a, R: RowReal> Case<'a, R> {
    pub fn new(classes: usize, logits: &'a [R], targets: &'a [i64], gamma: f64) -> Self {
        let (class_first, form, streamed) = (false, None, false);
        Self { classes, logits, targets, weights: None, gamma, gammas: None, class_first, form, streamed }
    }

    pub fn constants(&self) -> Constants<R> {
        Constants::new(self.gamma)
    }

    pub fn run(&self, isa: AnyIsa, outputs: u8) -> Results<R> {
        self.run_with(isa, outputs, &self.constants(), &mut Scratch::new())
    }

    /// Whatever the layout, results come back by rows.
    pub fn run_with(
        &self,
        isa: AnyIsa,
        outputs: u8,
        constants: &Constants<R>,
        scratch: &mut Scratch<R>,
    ) -> Results<R> {
        let (rows, classes) = (self.targets.len(), self.classes);
        assert_eq!(rows * classes, self.logits.len());
        let turned;
        let logits = if self.class_first {
            turned = turn(self.logits, rows, classes);
            turned.as_slice()
        } else {
            self.logits
        };
        let (row, class) = if self.class_first { (1, rows as isize) } else { (classes as isize, 1) };
        // NaN shows what was not written.
        let [mut value, mut factor] = [vec![R::NAN; rows], vec![R::NAN; rows]];
        let [mut grad, mut hess] = [vec![R::NAN; logits.len()], vec![R::NAN; logits.len()]];
        let weights = self.weights.map_or(null(), |weights| weights.as_ptr());
        let gammas: [Vec<R>; 3] = std::array::from_fn(|i| {
            self.gammas.unwrap_or_default().iter().map(|&g| Gamma::new(g).parts()[i]).collect()
        });
        let operands = Operands {
            rows,
            classes,
            logits: Matrix { data: logits.as_ptr(), row, class },
            targets: self.targets.as_ptr(),
            weights: [weights; 3],
            gammas: gammas.each_ref().map(|part| if part.is_empty() { null() } else { part.as_ptr() }),
            value: value.as_mut_ptr(),
            factor: factor.as_mut_ptr(),
            grad: Matrix { data: grad.as_mut_ptr(), row, class },
            hess: Matrix { data: hess.as_mut_ptr(), row, class },
            streamed: self.streamed,
        };
        // SAFETY: all arrays are as long as rows and classes say.
        unsafe { R::run(isa, constants, &operands, outputs, self.form, scratch) };
        if self.class_first {
            grad = turn(&grad, classes, rows);
            hess = turn(&hess, classes, rows);
        }
        if outputs & output::VALUE == 0 {
            value.clear();
        }
        if outputs & output::GRAD == 0 {
            grad.clear();
        }
        if outputs & !(output::VALUE | output::GRAD) == 0 {
            hess.clear();
        }
        Results { value, factor, grad, hess }
    }
}

pub fn turn<R: Copy>(matrix: &[R], rows: usize, columns: usize) -> Vec<R> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| matrix[r * columns + c])).collect()
}

/// The bits of numbers, all NaNs the same.
pub fn bits<R: RowReal>(numbers: &[R]) -> Vec<u64> {
    let bits = |x: f64| if x.is_nan() { u64::MAX } else { x.to_bits() };
    numbers.iter().map(|x| bits(x.to_f64())).collect()
}

/// A sequence of pseudorandom numbers in [0, 1) (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 * 2.0_f64.powi(-53)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() * n as f64) as usize
    }
}

/// Kinds of rows that [`row`] makes.
pub const KINDS: usize = 12;

/// A row that is hard in one way or another.
pub fn row(kind: usize, classes: usize, random: &mut Random) -> (Vec<f64>, i64) {
    let target = random.below(classes);
    let mut z: Vec<f64> = (0..classes).map(|_| random.next() * 10.0 - 5.0).collect();
    let other = random.below(classes);
    let distance = random.next() * 100.0;
    match kind {
        0 => {}
        1 => z.fill(3.3),
        2 => z[other] += distance,
        3 => z.iter_mut().for_each(|z| *z *= 200.0),
        4 => z.iter_mut().for_each(|z| *z += 1e4),
        5 => z.iter_mut().for_each(|z| *z = if random.next() < 0.3 { f64::NEG_INFINITY } else { *z }),
        // Every term as large as the sum before it.
        6 => z.iter_mut().enumerate().for_each(|(k, z)| *z = (k / 32) as f64 * std::f64::consts::LN_2),
        // All but the largest far below and equal.
        7 => {
            z.fill(-1.3 - distance / 2.0);
            z[other] = 2.7;
        }
        // An unlikely target.
        8 => z[target] -= distance,
        // A likely target.
        9 => z[target] += distance,
        // Two close to the top and a target below all.
        10 => {
            z[other] += distance;
            let second = random.below(classes);
            z[second] = z[other] - random.next() * 20.0;
            z[target] -= 1.2 * distance;
        }
        // Margins around 0.
        _ => {
            let sum: f64 = z.iter().enumerate().filter(|&(k, _)| k != target).map(|(_, z)| z.exp()).sum();
            z[target] = if classes > 1 { sum.ln() + (random.next() - 0.5) * 1e-3 } else { 0.0 };
        }
    }
    if z[target] == f64::NEG_INFINITY {
        z[target] = -2.0;
    }
    (z, target as i64)
}

/// The distance in ulp of R, counted at `size`.
pub fn ulps<R: RowReal>(got: R, truth: Dd, size: f64) -> f64 {
    let (bits, smallest) = if size_of::<R>() == 4 { (23, -126) } else { (52, -1022) };
    let got = got.to_f64();
    if got == truth.hi {
        return 0.0;
    }
    let error = (Dd::from(got) - truth).hi.abs();
    let exponent = if size > 0.0 { (size.log2().floor() as i32).max(smallest) } else { smallest };
    // In two factors: the unit may be subnormal.
    let half = exponent / 2;
    error * 2.0_f64.powi(-half) * 2.0_f64.powi(bits - (exponent - half))
}
