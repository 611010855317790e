//! Errors in ulp over rows that are hard in one way or another, for every instruction set.

use focalgrad::kernel::output;
use focalgrad::kernel::rows::RowReal;
use focalgrad::simd::AnyIsa;

use crate::harness::{Case, KINDS, Random, row, ulps};
use crate::oracle::dd::Dd;

/// What a row comes to, in double-double: u and the shares with their complements.
struct Truth {
    margin: Dd,
    /// (pi_j, 1 - pi_j), the target's unused.
    shares: Vec<(Dd, Dd)>,
}

impl Truth {
    fn new(z: &[f64], target: usize) -> Self {
        let others = || (0..z.len()).filter(|&k| k != target);
        let largest = others().reduce(|a, b| if z[b] > z[a] { b } else { a });
        let Some(largest) = largest.filter(|&k| z[k] > f64::NEG_INFINITY) else {
            let nothing = (Dd::from(0.0), Dd::from(1.0));
            return Self { margin: Dd::from(f64::INFINITY), shares: vec![nothing; z.len()] };
        };
        let one = Dd::from(1.0);
        let exp = |k: usize| {
            if z[k] == f64::NEG_INFINITY {
                Dd::from(0.0)
            } else {
                (Dd::from(z[k]) - Dd::from(z[largest])).exp()
            }
        };
        let exps: Vec<Dd> = (0..z.len()).map(|k| if k == target { Dd::from(0.0) } else { exp(k) }).collect();
        let sum = |skip: usize| others().filter(|&k| k != skip).fold(Dd::from(0.0), |sum, k| sum + exps[k]);
        let rest = sum(largest);
        let total = one + rest;
        let margin = (Dd::from(z[target]) - Dd::from(z[largest])) - rest.ln_1p();
        let share = |k: usize| {
            let pi = exps[k] / total;
            (pi, if k == largest { rest / total } else { one - pi })
        };
        Self { margin, shares: (0..z.len()).map(share).collect() }
    }

    /// p, f, -f', f'' at the margin.
    fn scalar(&self, gamma: f64) -> [Dd; 4] {
        let (u, g, one, zero) = (self.margin, Dd::from(gamma), Dd::from(1.0), Dd::from(0.0));
        if u.hi == f64::INFINITY {
            return [one, zero, zero, zero];
        }
        let likely = u.hi >= 0.0;
        let e = if likely { (-u).exp() } else { u.exp() };
        let (small, large) = (e / (one + e), one / (one + e));
        let (p, q) = if likely { (large, small) } else { (small, large) };
        let l = e.ln_1p();
        let (loss, minus_log_q) = if likely { (l, u + l) } else { (l - u, l) };
        let t = (-(g * minus_log_q)).exp();
        let slope = q + g * p * loss;
        let bend = q * (one + g + g - g * loss) + g * g * p * loss;
        // p may be no normal number where p times the rest is one.
        const POWER: i32 = 256;
        let p_scaled = if likely { p.scaled(POWER) } else { u.scaled_exp(POWER) / (one + e) };
        [p, t * loss, t * slope, (p_scaled * t * bend).scaled(-POWER)]
    }
}

#[derive(Clone, Copy, Default, Debug)]
struct Worst {
    ulps: f64,
    kind: usize,
    classes: usize,
}

impl Worst {
    fn see(&mut self, ulps: f64, kind: usize, classes: usize) {
        if ulps > self.ulps || ulps.is_nan() {
            *self = Self { ulps: if ulps.is_nan() { f64::INFINITY } else { ulps }, kind, classes };
        }
    }
}

const GAMMAS: [f64; 7] = [0.0, 0.5, 1.0, 1.7, 2.0, 3.0, 5.0];

fn keeps_the_promise<R: RowReal>(sizes: &[(usize, usize)]) {
    let mut worst = vec![[[Worst::default(); 4]; GAMMAS.len()]; AnyIsa::available().len()];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for &(classes, repeats) in sizes {
        for kind in (0..KINDS).cycle().take(KINDS * repeats) {
            let (z, target) = row(kind, classes, &mut random);
            let logits: Vec<R> = z.iter().map(|&z| R::from_f64(z)).collect();
            let z: Vec<f64> = logits.iter().map(|z| z.to_f64()).collect();
            let truth = Truth::new(&z, target as usize);
            for (g, &gamma) in GAMMAS.iter().enumerate() {
                let scalar = truth.scalar(gamma);
                for (i, isa) in AnyIsa::available().into_iter().enumerate() {
                    check(isa, &logits, target, gamma, &truth, scalar, kind, &mut worst[i][g]);
                }
            }
        }
    }
    for (isa, worst) in AnyIsa::available().into_iter().zip(worst) {
        for (gamma, worst) in GAMMAS.into_iter().zip(worst) {
            println!("{} float{} gamma {gamma}:", isa.name(), 8 * size_of::<R>());
            let bounds = [8.0, if gamma > 2.0 { 12.0 } else { 8.0 }, 12.0, 12.0];
            for ((name, worst), bound) in
                ["value", "gradient", "Hessian", "Gauss-Newton"].into_iter().zip(worst).zip(bounds)
            {
                let Worst { ulps, kind, classes } = worst;
                println!("    {name:12} {ulps:.2} ulp (kind {kind}, {classes} classes)");
                assert!(ulps <= bound, "{} gamma {gamma} {name}: {worst:?}", isa.name());
            }
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "one call, all of them different things")]
fn check<R: RowReal>(
    isa: AnyIsa,
    logits: &[R],
    target: i64,
    gamma: f64,
    truth: &Truth,
    [p, f, descent, bend]: [Dd; 4],
    kind: usize,
    worst: &mut [Worst; 4],
) {
    let classes = logits.len();
    let targets = [target];
    let case = Case::new(classes, logits, &targets, gamma);
    let first = case.run(isa, output::VALUE | output::GRAD);
    worst[0].see(ulps(first.value[0], f, f.hi.abs()), kind, classes);
    for (surrogate, outputs) in
        [(false, output::GRAD | output::CURVATURE), (true, output::GRAD | output::GAUSS_NEWTON)]
    {
        let results = case.run(isa, outputs);
        let own = if surrogate { p * descent } else { bend };
        for k in 0..classes {
            let (pi, others) = truth.shares[k];
            let (grad, hess, gauss_newton) = if k as i64 == target {
                (-descent, own, p * descent)
            } else {
                (descent * pi, pi * (own * pi + descent * others), pi * descent * (others + p * pi))
            };
            worst[1].see(ulps(results.grad[k], grad, grad.hi.abs()), kind, classes);
            let half_upper = (0.5 * (1.0 + gamma) * gauss_newton.hi).abs();
            let error = ulps(results.hess[k], hess, hess.hi.abs().max(half_upper));
            worst[if surrogate { 3 } else { 2 }].see(error, kind, classes);
        }
    }
}

const SIZES: [(usize, usize); 14] = [
    (1, 1),
    (2, 200),
    (3, 100),
    (5, 60),
    (10, 40),
    (21, 20),
    (33, 10),
    (64, 6),
    (80, 6),
    (100, 6),
    (257, 3),
    (1000, 2),
    (4099, 1),
    (32_000, 1),
];

#[test]
fn float32_keeps_the_promise() {
    keeps_the_promise::<f32>(&SIZES);
}

#[test]
fn float64_keeps_the_promise() {
    keeps_the_promise::<f64>(&SIZES);
}
