//! The focal loss to some 30 digits, and the committed values that show it.

use std::sync::LazyLock;

use super::dd::Dd;
use super::wide::Wide;

/// f, f', f'' and A = (1 + g) p |f'|, the size at which errors of f'' are counted.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    pub results: [Wide; 3],
    pub upper: Wide,
}

impl Truth {
    /// The size whose ulp counts errors of the value, the gradient or the Hessian.
    pub fn size(&self, which: usize) -> Wide {
        let size = self.results[which].abs();
        if which == 2 { size.max(self.upper * 0.5.into()) } else { size }
    }

    /// The error of a result in ulp of float64.
    pub fn error_f64(&self, which: usize, got: f64) -> f64 {
        self.results[which].error_of(got, self.size(which), 53, -1022)
    }

    /// The error of a result in ulp of float32.
    pub fn error_f32(&self, which: usize, got: f64) -> f64 {
        self.results[which].error_of(got, self.size(which), 24, -126)
    }
}

/// What a logit alone decides: p, q, L and -log q.
#[derive(Clone, Copy)]
pub struct AtLogit {
    p: Wide,
    q: Wide,
    cross_entropy: Wide,
    minus_log_q: Wide,
}

impl AtLogit {
    pub fn new(z: f64) -> Self {
        // exp(-3000) is nothing beside anything that float64 holds.
        let e = Wide::exp(-Dd::from(z.abs().min(3000.0)));
        let one = Wide::from(1.0);
        let (small, large) = (e / (one + e), one / (one + e));
        let (p, q) = if z >= 0.0 { (large, small) } else { (small, large) };
        let softplus = e.log1p();
        Self {
            p,
            q,
            cross_entropy: Wide::from((-z).max(0.0)) + softplus,
            minus_log_q: Wide::from(z.clamp(0.0, 3000.0)) + softplus,
        }
    }

    /// q^g.
    pub fn modulation(&self, gamma: f64) -> Wide {
        let product = Wide::from(gamma) * self.minus_log_q;
        if gamma == 0.0 { Wide::from(1.0) } else { Wide::exp(-product.to_dd()) }
    }

    pub fn focal(&self, gamma: f64) -> Truth {
        let Self { p, q, cross_entropy, .. } = *self;
        let g = Wide::from(gamma);
        let one = Wide::from(1.0);
        let modulation = self.modulation(gamma);
        let slope = q + g * p * cross_entropy;
        let bracket = q * (one + g + g - g * cross_entropy) + g * g * p * cross_entropy;
        Truth {
            results: [modulation * cross_entropy, -(modulation * slope), modulation * p * bracket],
            upper: (one + g) * p * modulation * slope,
        }
    }
}

/// One line of the committed values.
pub struct Known {
    pub gamma: f64,
    pub z: f64,
    pub results: [Wide; 3],
}

/// The values that `tools/truth.py` computes with mpmath.
pub static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let lines = include_str!("truth.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let numbers: Vec<f64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
            let wide = |i: usize| Wide {
                mantissa: Dd { hi: numbers[i], lo: numbers[i + 1] },
                exponent: numbers[i + 2] as i32,
            };
            Known { gamma: numbers[0], z: numbers[1], results: [wide(2), wide(5), wide(8)] }
        })
        .collect()
});
