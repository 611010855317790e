//! The loss of a row with any targets, in double-double, straight from the definitions: sums over the
//! classes of y a q^g L and y q^g and their derivatives by every logit.

use crate::oracle::dd::Dd;

/// A number and the sum of the magnitudes that it is the sum of.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    pub sum: Dd,
    pub size: f64,
}

impl Number {
    pub fn nothing() -> Self {
        Self { sum: Dd::from(0.0), size: 0.0 }
    }

    pub fn plus(self, term: Dd) -> Self {
        Self { sum: self.sum + term, size: self.size + term.hi.abs() }
    }

    pub fn plus_all(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, size: self.size + other.size }
    }

    pub fn times(self, factor: f64) -> Self {
        Self { sum: self.sum * Dd::from(factor), size: self.size * factor.abs() }
    }
}

/// What a row is made of.
pub struct Row<'a> {
    pub logits: &'a [f64],
    pub targets: &'a [f64],
    pub alphas: &'a [f64],
    pub gammas: &'a [f64],
}

/// A function of the row: its value, gradient, Hessian, Gauss-Newton Hessian and the upper bound of it.
pub struct Truth {
    pub value: Number,
    pub grad: Vec<Number>,
    pub hess: Vec<Number>,
    pub gauss_newton: Vec<Number>,
    pub upper: Vec<Number>,
}

/// p, 1 - p, -log p and -log(1 - p) of every class.
pub fn probabilities(z: &[f64]) -> Vec<[Dd; 4]> {
    let largest = (0..z.len()).reduce(|a, b| if z[b] > z[a] { b } else { a }).unwrap();
    let one = Dd::from(1.0);
    let exp = |k: usize| {
        if z[k] == f64::NEG_INFINITY { Dd::from(0.0) } else { (Dd::from(z[k]) - Dd::from(z[largest])).exp() }
    };
    let exps: Vec<Dd> = (0..z.len()).map(exp).collect();
    let rest = (0..z.len()).filter(|&k| k != largest).fold(Dd::from(0.0), |sum, k| sum + exps[k]);
    let (total, log) = (one + rest, rest.ln_1p());
    (0..z.len())
        .map(|k| {
            let p = exps[k] / total;
            let q = if k == largest { rest / total } else { one - p };
            let loss = if z[k] == f64::NEG_INFINITY {
                Dd::from(f64::INFINITY)
            } else {
                (Dd::from(z[largest]) - Dd::from(z[k])) + log
            };
            let minus_log = if k == largest { log - rest.ln() } else { (p / q).ln_1p() };
            [p, q, loss, minus_log]
        })
        .collect()
}

/// c q^g L + d q^g of one class, as c and d times F, -p dF/dp and -p d(-p dF/dp)/dp.
struct Class {
    p: Dd,
    q: Dd,
    of_loss: [Dd; 3],
    of_factor: [Dd; 3],
}

impl Class {
    fn new([p, q, loss, minus_log]: [Dd; 4], gamma: f64) -> Self {
        let (zero, one, g) = (Dd::from(0.0), Dd::from(1.0), Dd::from(gamma));
        // A row of one class.
        if q.hi == 0.0 {
            let factor = if gamma == 0.0 { one } else { zero };
            return Self { p, q, of_loss: [zero; 3], of_factor: [factor, zero, zero] };
        }
        let power = |n: f64| (-((g - Dd::from(n)) * minus_log)).exp();
        if p.hi == 0.0 {
            return Self { p, q, of_loss: [loss, one, zero], of_factor: [one, zero, zero] };
        }
        let (t, t1, t2) = (power(0.0), power(1.0), power(2.0));
        let of_loss = [t * loss, t + g * t1 * p * loss, p * t2 * (g * q + g * q + g * loss * (g * p - one))];
        Self { p, q, of_loss, of_factor: [t, g * p * t1, g * p * t2 * (g * p - one)] }
    }
}

impl Row<'_> {
    /// sum of y q^g (`loss` false) or of y a q^g L.
    pub fn truth(&self, loss: bool) -> Truth {
        let classes: Vec<Class> = probabilities(self.logits)
            .into_iter()
            .zip(self.gammas)
            .map(|(class, &gamma)| Class::new(class, gamma))
            .collect();
        let terms: Vec<[Dd; 3]> = classes
            .iter()
            .enumerate()
            .map(|(c, class)| {
                let weight = self.targets[c] * if loss { self.alphas[c] } else { 1.0 };
                if weight == 0.0 {
                    return [Dd::from(0.0); 3];
                }
                let alpha = Dd::from(if loss { self.alphas[c] } else { 1.0 });
                let (of_loss, of_factor) = (class.of_loss, class.of_factor);
                (if loss { of_loss } else { of_factor }).map(|x| Dd::from(self.targets[c]) * alpha * x)
            })
            .collect();
        let value = terms.iter().fold(Number::nothing(), |sum, term| sum.plus(term[0]));
        let by_class = |gauss_newton: bool, scale: &dyn Fn(usize) -> f64, second: bool| {
            (0..classes.len())
                .map(|j| {
                    let (p, q) = (classes[j].p, classes[j].q);
                    (0..classes.len()).fold(Number::nothing(), |sum, c| {
                        let [_, slope, bend] = terms[c];
                        let slope = slope * Dd::from(scale(c));
                        match (second, gauss_newton, c == j) {
                            (false, _, true) => sum.plus(-(q * slope)),
                            (false, _, false) => sum.plus(p * slope),
                            (true, true, _) => sum.plus(p * q * slope),
                            (true, false, true) => sum.plus(p * q * slope).plus(q * q * bend),
                            (true, false, false) => sum.plus(p * q * slope).plus(p * p * bend),
                        }
                    })
                })
                .collect()
        };
        let one = |_: usize| 1.0;
        let upper = |c: usize| 1.0 + self.gammas[c];
        Truth {
            value,
            grad: by_class(false, &one, false),
            hess: by_class(false, &one, true),
            gauss_newton: by_class(true, &one, true),
            upper: by_class(true, &upper, true),
        }
    }

    /// Gradient and Hessian of (weight * loss + others) / S, S the sum of this row's modulating factor and
    /// those of others, where the quotient itself is V.
    pub fn quotient(&self, weight: f64, [v, s]: [f64; 2]) -> [Vec<Number>; 2] {
        let (loss, factor) = (self.truth(true), self.truth(false));
        let grad: Vec<Number> = (0..self.logits.len())
            .map(|j| loss.grad[j].times(weight / s).plus_all(factor.grad[j].times(-v / s)))
            .collect();
        let hess = (0..self.logits.len())
            .map(|j| {
                let product = grad[j].sum * factor.grad[j].sum * Dd::from(-2.0 / s);
                loss.hess[j].times(weight / s).plus_all(factor.hess[j].times(-v / s)).plus(product)
            })
            .collect();
        [grad, hess]
    }
}
